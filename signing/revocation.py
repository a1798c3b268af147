"""
Whether a certificate had been revoked: the question, its possible answers, and the index that answers on the road.

A source is asked for the signer's certificate and for each authority below the root, in the verdict's last step
(rule 27). It answers from what it already holds; nothing here fetches anything while a message waits.

`RevocationIndex` holds revocation lists and OCSP responses, old ones too, because a question about a past moment is
answered by the lists of that moment:

    revoked   some list or response says so, with a date (or an invalidity date) not after the moment asked for; it
              may have been issued later: that is how a revocation that comes to light afterwards is found
    good      not so, and one that does not name the certificate was current at that moment, or was issued later,
              before the certificate expired (lists may drop what has expired)
    stale     what is held is too old for that moment
    unknown   nothing is held, or nothing that the issuer has signed

A list is verified once for each key and its serial numbers are read once; then a question costs look-ups. What
RFC 5280 calls delta, indirect and reason-limited lists, and lists under another key than the certificate's, are
handed over to the slow path (signing.slow_path).
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final, Protocol, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.ocsp import OCSPCertStatus

from signing.certificates import TrustStore, find_extension
from signing.crl import (
    ListFacts,
    ListFolder,
    Scope,
    Table,
    addresses,
    facts_of,
    kind_of,
    parse_list,
    scope_of,
    split_lists,
    tabulate,
)
from signing.files import read_file
from signing.ocsp import OCSPAnswer, is_exempt, key_hashes, read_response
from signing.policy import CURRENT_POLICY, Policy

_LOADED_LISTS: Final = 16
"""How many lists are held parsed at a time; a list of 100,000 entries takes about 20 MB."""


@unique
class RevocationState(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    STALE = "stale"
    """What is known is too old to say anything about that moment."""
    UNKNOWN = "unknown"
    """Nothing is known about certificates of that issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationAnswer:
    """What a source says about one certificate at one moment."""

    state: RevocationState
    source: str
    """What the answer rests on, for the evidence: kind, number and SHA-256 of the list; empty for unknown."""
    revoked_at: datetime | None = None
    issued_at: datetime | None = None
    """When the list or response was issued. If after the moment asked for, the answer is final."""


class RevocationSource(Protocol):
    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, at: datetime
    ) -> RevocationAnswer:
        """What is known about `certificate`, issued by `issuer`, at the moment `at`. Fast: it is on the road."""
        ...


class SlowRevocation(Protocol):
    """Whoever understands all of RFC 5280, at a hundred times the cost."""

    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, lists: Sequence[bytes], at: datetime
    ) -> RevocationAnswer:
        """What these lists (DER) say; unknown whenever in doubt."""
        ...


class DeferredSlowPath:
    """The slow path over the roots of a trust store; its library takes half a second and is loaded when needed."""

    def __init__(self, trust: TrustStore, *, policy: Policy = CURRENT_POLICY) -> None:
        self._trust = trust
        self._policy = policy
        self._loaded: SlowRevocation | None = None

    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, lists: Sequence[bytes], at: datetime
    ) -> RevocationAnswer:
        """What the slow path says."""
        if self._loaded is None:
            from signing.slow_path import SlowPath

            self._loaded = SlowPath(
                self._trust.roots, intermediates=self._trust.intermediates, policy=self._policy
            )
        return self._loaded.status(certificate, issuer=issuer, lists=lists, at=at)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """A list and where its bytes are."""

    facts: ListFacts
    scope: Scope | None
    """None: it takes the slow path."""
    kind: str
    """The same for lists that follow one another: a delta does not follow a full list."""
    read: Callable[[], bytes]
    verified: dict[bytes, bool] = field(default_factory=dict)
    """By the key it was checked with."""


class RevocationIndex:
    """
    Lists and responses by issuer. One may add while others ask.

    Without a `slow` path the questions that take one are unknown.
    """

    def __init__(self, *, policy: Policy = CURRENT_POLICY, slow: SlowRevocation | None = None) -> None:
        self._policy = policy
        self._slow = slow
        self._lists: dict[bytes, tuple[_Held, ...]] = {}
        """By encoded name of the issuer, in the order in which they were issued."""
        self._beyond: tuple[_Held, ...] = ()
        """Lists that take the slow path; they may speak for certificates of other issuers."""
        self._facts: dict[str, ListFacts] = {}
        self._responses: dict[tuple[bytes, int], tuple[OCSPAnswer, ...]] = {}
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def from_files(
        cls, *paths: Path, policy: Policy = CURRENT_POLICY, slow: SlowRevocation | None = None
    ) -> Self:
        """
        Index the lists in these files, in DER or (several in one file are fine) in PEM.

        Raises:
            MaterialError: a file cannot be read or holds no list.
        """
        index = cls(policy=policy, slow=slow)
        for path in paths:
            for der in split_lists(read_file(path), name=path.name):
                index.add_list(der)
        return index

    @classmethod
    def from_folder(
        cls, folder: ListFolder, *, policy: Policy = CURRENT_POLICY, slow: SlowRevocation | None = None
    ) -> Self:
        """
        Index every list kept in a folder. Their bytes stay on disk and are read when a question needs them.

        Raises:
            MaterialError: a list cannot be read.
        """
        index = cls(policy=policy, slow=slow)
        for path in folder:
            index.add_file(path)
        return index

    @property
    def lists(self) -> tuple[ListFacts, ...]:
        """Everything held, in no particular order."""
        return tuple(self._facts.values())

    def newest(self, issuer: x509.Name) -> ListFacts | None:
        """The list of `issuer` that was issued last."""
        held = self._lists.get(issuer.public_bytes())
        return held[-1].facts if held else None

    def add_list(self, der: bytes) -> ListFacts:
        """
        Take in a list. It is believed only once a question brings the issuer whose key has signed it.

        Raises:
            MaterialError: it cannot be read completely.
        """
        return self._add(der, read=lambda: der)

    def add_file(self, path: Path) -> ListFacts:
        """
        Take in a list that stays in its file.

        Raises:
            MaterialError: it cannot be read completely.
        """
        return self._add(read_file(path), read=lambda: read_file(path))

    def _add(self, der: bytes, *, read: Callable[[], bytes]) -> ListFacts:
        digest = sha256(der).hexdigest()
        if digest in self._facts:
            return self._facts[digest]
        crl = parse_list(der)
        held = _Held(facts=facts_of(crl, digest=digest), scope=scope_of(crl), kind=kind_of(crl), read=read)
        # Its entries are read now, so that no message waits for it.
        self._remember(digest, tabulate(crl))
        issuer = crl.issuer.public_bytes()
        with self._lock:
            others = self._lists.get(issuer, ())
            self._lists[issuer] = tuple(sorted((*others, held), key=_issued_at))
            if held.scope is None:
                self._beyond = (*self._beyond, held)
            self._facts[digest] = held.facts
        return held.facts

    def add_response(self, der: bytes) -> None:
        """
        Take in an OCSP response, stapled or fetched. It is believed, as a list is, only under its issuer's key.

        Raises:
            MaterialError: it cannot be read, or holds no answer.
        """
        for answer in read_response(der):
            name = (answer.issuer_key_hash, answer.serial)
            with self._lock:
                others = self._responses.get(name, ())
                if all(one.sha256 != answer.sha256 for one in others):
                    self._responses[name] = (*others, answer)

    def status(
        self, certificate: x509.Certificate, *, issuer: x509.Certificate, at: datetime
    ) -> RevocationAnswer:
        """What is held about `certificate` at the moment `at`; the head of this file has the rules."""
        asked, authority = _asked(certificate), _authority(issuer)
        answers = [
            *self._ask_lists(certificate, asked, issuer, authority, at),
            *self._ask_responses(asked, issuer, authority, at),
        ]
        for state in (RevocationState.REVOKED, RevocationState.GOOD, RevocationState.STALE):
            of_state = [answer for answer in answers if answer.state is state]
            if of_state:
                return max(of_state, key=lambda answer: answer.issued_at or at)
        return RevocationAnswer(state=RevocationState.UNKNOWN, source="")

    # Lists.

    def _ask_lists(
        self,
        certificate: x509.Certificate,
        asked: "_Asked",
        issuer: x509.Certificate,
        authority: "_Authority",
        at: datetime,
    ) -> Iterator[RevocationAnswer]:
        held = self._lists.get(authority.name) or self._lists.get(asked.issuer, ())
        speaking = [
            one
            for one in held
            if one.scope is not None
            and one.scope.covers(is_authority=asked.is_authority, points=asked.points)
            and self._is_signed(one, issuer, authority)
        ]
        is_beyond = (
            asked.needs_machinery
            or any(one.scope is None for one in held)
            or (not speaking and bool(held or self._beyond))
        )
        if is_beyond:
            if self._slow is not None:
                lists = self._everything(at=at, until=asked.not_after)
                yield self._slow.status(certificate, issuer=issuer, lists=lists, at=at)
            return
        for one in _relevant(speaking, at=at, until=asked.not_after):
            since = self._table(one).revoked_since(asked.serial)
            yield self._answer(
                one.facts.source,
                issued_at=one.facts.issued_at,
                next_update=one.facts.next_update,
                revoked_at=since,
                asked=asked,
                at=at,
            )

    def _everything(self, *, at: datetime, until: datetime) -> list[bytes]:
        """Of every issuer and every kind of list, those that matter for `at`: what the slow path works on."""
        kinds: dict[tuple[bytes, str], list[_Held]] = {}
        for issuer, held in self._lists.items():
            for one in held:
                kinds.setdefault((issuer, one.kind), []).append(one)
        return [one.read() for lists in kinds.values() for one in _relevant(lists, at=at, until=until)]

    def _is_signed(self, one: _Held, issuer: x509.Certificate, authority: "_Authority") -> bool:
        """Whether the key of `issuer` may sign lists and has signed this one; the arithmetic is done once."""
        if not authority.may_sign_lists:
            return False
        known = one.verified.get(authority.key)
        if known is None:
            crl = self._table(one).crl
            algorithm = crl.signature_hash_algorithm
            is_allowed = algorithm is not None and algorithm.name in self._policy.chain_hashes
            known = is_allowed and _verifies(crl, issuer.public_key())
            one.verified[authority.key] = known
        return known

    def _table(self, one: _Held) -> Table:
        digest = one.facts.sha256
        with self._lock:
            table = self._tables.get(digest)
            if table is not None:
                self._tables.move_to_end(digest)
                return table
        table = tabulate(parse_list(one.read()))
        self._remember(digest, table)
        return table

    def _remember(self, digest: str, table: Table) -> None:
        with self._lock:
            self._tables[digest] = table
            while len(self._tables) > _LOADED_LISTS:
                self._tables.popitem(last=False)

    # Responses.

    def _ask_responses(
        self, asked: "_Asked", issuer: x509.Certificate, authority: "_Authority", at: datetime
    ) -> Iterator[RevocationAnswer]:
        for key_hash in authority.key_hashes:
            for one in self._responses.get((key_hash, asked.serial), ()):
                if one.status is not OCSPCertStatus.UNKNOWN and self._is_from(one, issuer, at):
                    yield self._answer(
                        one.source,
                        issued_at=one.issued_at,
                        next_update=one.next_update,
                        revoked_at=one.revoked_at,
                        asked=asked,
                        at=at,
                    )

    def _is_from(self, one: OCSPAnswer, issuer: x509.Certificate, at: datetime) -> bool:
        """Whether the issuer stands behind it; a responder must be exempt from revocation, or be on no list."""
        signer = one.signer(issuer, policy=self._policy)
        if signer is None or signer is issuer or is_exempt(signer):
            return signer is not None
        answers = self._ask_lists(signer, _asked(signer), issuer, _authority(issuer), at)
        states = {answer.state for answer in answers}
        return RevocationState.GOOD in states and RevocationState.REVOKED not in states

    def _answer(
        self,
        source: str,
        *,
        issued_at: datetime,
        next_update: datetime | None,
        revoked_at: datetime | None,
        asked: "_Asked",
        at: datetime,
    ) -> RevocationAnswer:
        """What something issued at `issued_at` says about the moment `at`."""
        if revoked_at is not None and revoked_at <= at:
            state = RevocationState.REVOKED
        elif issued_at <= at:
            is_current = at <= _good_until(issued_at, next_update, self._policy)
            state = RevocationState.GOOD if is_current else RevocationState.STALE
        else:
            state = RevocationState.GOOD if issued_at <= asked.not_after else RevocationState.STALE
        return RevocationAnswer(state=state, source=source, revoked_at=revoked_at, issued_at=issued_at)


def _issued_at(one: _Held) -> datetime:
    return one.facts.issued_at


def _relevant(lists: Sequence[_Held], *, at: datetime, until: datetime) -> list[_Held]:
    """
    Of lists in order of issue, those that decide: the one current at `at`, the first one after it, and the last one
    that still had to name the certificate. A revocation stays on the lists until the certificate expires.
    """
    after = bisect_right(lists, at, key=_issued_at)
    last = bisect_right(lists, until, key=_issued_at) - 1
    return [lists[place] for place in sorted({after - 1, after, last}) if 0 <= place < len(lists)]


def _good_until(issued_at: datetime, next_update: datetime | None, policy: Policy) -> datetime:
    if next_update is None:
        return issued_at + policy.revocation_fresh_without_next_update
    return next_update + policy.revocation_grace


def _verifies(crl: x509.CertificateRevocationList, key: CertificatePublicKeyTypes) -> bool:
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


# What is asked, and who answers: read once for each certificate.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    issuer: bytes
    serial: int
    is_authority: bool
    points: frozenset[str]
    needs_machinery: bool
    """It points at deltas, at another authority's lists, or at lists for some reasons only."""
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authority:
    name: bytes
    """As it writes itself; some write it differently in what they issue."""
    key: bytes
    key_hashes: tuple[bytes, ...]
    may_sign_lists: bool


@lru_cache(maxsize=4096)
def _asked(certificate: x509.Certificate) -> _Asked:
    constraints = find_extension(certificate.extensions, x509.BasicConstraints)
    points = find_extension(certificate.extensions, x509.CRLDistributionPoints) or ()
    points_at_deltas = find_extension(certificate.extensions, x509.FreshestCRL) is not None
    return _Asked(
        issuer=certificate.issuer.public_bytes(),
        serial=certificate.serial_number,
        is_authority=constraints is not None and constraints.ca,
        points=frozenset[str]().union(*(addresses(point.full_name) for point in points)),
        needs_machinery=points_at_deltas
        or any(point.crl_issuer or point.reasons or point.relative_name for point in points),
        not_after=certificate.not_valid_after_utc,
    )


@lru_cache(maxsize=512)
def _authority(issuer: x509.Certificate) -> _Authority:
    key = issuer.public_key()
    usage = find_extension(issuer.extensions, x509.KeyUsage)
    return _Authority(
        name=issuer.subject.public_bytes(),
        key=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        key_hashes=key_hashes(key),
        may_sign_lists=usage is None or usage.crl_sign,
    )
