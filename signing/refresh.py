"""
Keeping revocation lists and responses fresh, in the background; never while a message waits.

`Refresher` is told addresses by whoever runs it (`watch_list`, `watch_question`), or it is told about every chain that
was found good, and learns from its certificates where their authorities publish lists and answer questions (RFC 5280
4.2.1.13, 4.2.2.1). So it only ever asks addresses that an operator wrote or an authority of ours has signed, never one
that a stranger wrote. It does not talk to the network itself:

    1. `watch` the path of a verdict, or an address
    2. fetch what `due` returns, and give it to `take`, or say `failed`
    3. `overdue` says which authorities' lists have not been renewed in time: warn an operator before they go stale

A list is asked for again some time before it ends, and after a failure in growing pauses.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from signing.certificates import CertificatePath, find_extension
from signing.crl import MAX_LIST_BYTES, ListFolder, split_lists
from signing.errors import MaterialError
from signing.ocsp import MAX_RESPONSE_BYTES
from signing.revocation import RevocationIndex

_SCHEMES: Final = ("http://", "https://")
"""Lists are signed, so that plain HTTP, which most authorities use, does no harm. LDAP is not spoken."""


@unique
class FetchKind(StrEnum):
    LIST = "list"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One thing to get: GET the address, or POST the body to it."""

    kind: FetchKind
    url: str
    authority: str
    """Whose certificates it is about, for people."""
    body: bytes | None = None
    """For responses: the question, `application/ocsp-request`."""

    @property
    def max_bytes(self) -> int:
        """Beyond this the answer is none; stop reading."""
        return MAX_LIST_BYTES if self.kind is FetchKind.LIST else MAX_RESPONSE_BYTES


@dataclass(slots=True, kw_only=True)
class _Watched:
    fetch: Fetch
    due_at: datetime
    pause: timedelta
    good_until: datetime | None = None
    """When what was fetched last ends."""
    failed_since: datetime | None = None


class Refresher:
    """
    What to fetch when.

    `use_ocsp`: also ask for each signer, where its authority answers; lists are enough where they are short-lived.
    """

    def __init__(
        self,
        index: RevocationIndex,
        *,
        folder: ListFolder | None = None,
        every: timedelta = timedelta(hours=1),
        retry: timedelta = timedelta(minutes=1),
        use_ocsp: bool = False,
    ) -> None:
        self._index = index
        self._folder = folder
        self._every = every
        self._retry = retry
        self._use_ocsp = use_ocsp
        self._watched: dict[tuple[str, bytes | None], _Watched] = {}

    def watch(self, path: CertificatePath, *, now: datetime) -> None:
        """Learn where the lists about this chain are published; what is new is due at once."""
        for read, issuer in zip(path.certificates, path.certificates[1:], strict=False):
            fetches = [*_lists_of(read.certificate)]
            if self._use_ocsp:
                fetches += _questions_about(read.certificate, issuer.certificate)
            for fetch in fetches:
                self._watch(fetch, now=now)

    def watch_list(self, url: str, *, now: datetime) -> None:
        """Fetch the lists at this address, whoever issued them."""
        self._watch(Fetch(kind=FetchKind.LIST, url=url, authority=url), now=now)

    def watch_question(
        self, certificate: x509.Certificate, issuer: x509.Certificate, *, url: str, now: datetime
    ) -> None:
        """Ask the responder at this address about a certificate, wherever that says its responder is."""
        self._watch(_question(certificate, issuer, url=url), now=now)

    def _watch(self, fetch: Fetch, *, now: datetime) -> None:
        self._watched.setdefault(
            (fetch.url, fetch.body), _Watched(fetch=fetch, due_at=now, pause=self._retry)
        )

    def due(self, *, now: datetime) -> list[Fetch]:
        """What to fetch now."""
        return [one.fetch for one in self._watched.values() if one.due_at <= now]

    def take(self, fetch: Fetch, content: bytes, *, now: datetime) -> None:
        """
        What came back: kept and indexed. It is believed only under the key of the authority, so that a wrong answer
        does no harm but to stay away.

        Raises:
            MaterialError: it is no list or response; counted as a failure.
        """
        watched = self._watched[fetch.url, fetch.body]
        try:
            ends = self._take_list(content) if fetch.kind is FetchKind.LIST else self._take_response(content)
        except MaterialError:
            self.failed(fetch, now=now)
            raise
        watched.failed_since = None
        watched.pause = self._retry
        watched.good_until = ends
        # Half-way to its end, so that there is time for failures; at least once in a while.
        early = now + self._every if ends is None else min(now + self._every, now + (ends - now) / 2)
        watched.due_at = max(early, now + self._retry)

    def failed(self, fetch: Fetch, *, now: datetime) -> None:
        """Nothing came back."""
        watched = self._watched[fetch.url, fetch.body]
        watched.failed_since = watched.failed_since or now
        watched.due_at = now + watched.pause
        watched.pause = min(watched.pause * 2, self._every)

    def overdue(self, *, now: datetime, within: timedelta = timedelta(hours=6)) -> list[str]:
        """Authorities about whose certificates nothing new came although what is held ends soon, or ended."""
        return sorted(
            {
                one.fetch.authority
                for one in self._watched.values()
                if one.failed_since is not None and (one.good_until is None or one.good_until <= now + within)
            }
        )

    def _take_list(self, content: bytes) -> datetime | None:
        ends: list[datetime] = []
        for der in split_lists(content):
            if self._folder is not None:
                self._folder.keep(der)
            facts = self._index.add_list(der)
            if facts.next_update is not None:
                ends.append(facts.next_update)
        return min(ends, default=None)

    def _take_response(self, content: bytes) -> datetime | None:
        self._index.add_response(content)
        return ocsp.load_der_ocsp_response(content).next_update_utc


def _lists_of(certificate: x509.Certificate) -> Iterator[Fetch]:
    points = find_extension(certificate.extensions, x509.CRLDistributionPoints) or ()
    for url in _addresses(name for point in points for name in point.full_name or ()):
        yield Fetch(kind=FetchKind.LIST, url=url, authority=certificate.issuer.rfc4514_string())


def _questions_about(certificate: x509.Certificate, issuer: x509.Certificate) -> Iterator[Fetch]:
    access = find_extension(certificate.extensions, x509.AuthorityInformationAccess) or ()
    places = (d.access_location for d in access if d.access_method == AuthorityInformationAccessOID.OCSP)
    for url in _addresses(places):
        yield _question(certificate, issuer, url=url)


def _question(certificate: x509.Certificate, issuer: x509.Certificate, *, url: str) -> Fetch:
    request = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, SHA256()).build()
    return Fetch(
        kind=FetchKind.RESPONSE,
        url=url,
        authority=certificate.issuer.rfc4514_string(),
        body=request.public_bytes(Encoding.DER),
    )


def _addresses(names: Iterable[x509.GeneralName]) -> Iterator[str]:
    for name in names:
        if isinstance(name, x509.UniformResourceIdentifier) and name.value.lower().startswith(_SCHEMES):
            yield name.value
