"""
Certificate revocation lists: reading one, what it says about itself, and the folder in which every one is kept.

Whether a list is to be believed is not asked here: that takes the key of its issuer (signing.revocation).
RFC 5280 section 5 is the standard.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from signing.certificates import UNREADABLE, find_extension
from signing.errors import MaterialError
from signing.files import write_file
from signing.policy import Policy

MAX_LIST_BYTES: Final = 64 * 1024 * 1024
_PEM_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_PEM_END: Final = b"-----END X509 CRL-----"
_PLAIN_EXTENSIONS: Final = frozenset(
    {
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFacts:
    """One revocation list, as it is recorded and shown."""

    issuer: str
    """RFC 4514."""
    number: int | None
    issued_at: datetime
    next_update: datetime | None
    sha256: str
    """Of the DER bytes."""

    @property
    def source(self) -> str:
        """How evidence names it."""
        return f"crl:{'-' if self.number is None else self.number}:{self.sha256}"

    def good_until(self, policy: Policy) -> datetime:
        """Beyond this it is stale: what it does not name is not known to be good."""
        if self.next_update is None:
            return self.issued_at + policy.revocation_fresh_without_next_update
        return self.next_update + policy.revocation_grace


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """For which certificates of its issuer a list speaks (RFC 5280, 5.2.5)."""

    points: frozenset[str]
    """Distribution points; empty for all."""
    only_authorities: bool
    only_users: bool

    def covers(self, *, is_authority: bool, points: frozenset[str]) -> bool:
        """Whether a certificate of that kind, with those distribution points, would stand on the list."""
        if (self.only_authorities and not is_authority) or (self.only_users and is_authority):
            return False
        return not self.points or not self.points.isdisjoint(points)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A parsed list: certificates by serial number."""

    crl: x509.CertificateRevocationList
    places: dict[int, int]
    """Serial number to position; the rest of an entry is read when somebody asks for it."""

    def revoked_since(self, serial: int) -> datetime | None:
        """
        The revocation date, or the earlier date since when the key must be taken for lost; None when not listed.

        An entry with an extension that cannot be read is a revocation all the same.
        """
        place = self.places.get(serial)
        if place is None:
            return None
        entry = self.crl[place]
        since = entry.revocation_date_utc
        try:
            invalidity = find_extension(entry.extensions, x509.InvalidityDate)
        except UNREADABLE:
            return since
        return since if invalidity is None else min(since, invalidity.invalidity_date_utc)


def split_lists(content: bytes, *, name: str = "") -> tuple[bytes, ...]:
    """
    The lists in a file, as DER: one in DER, or any number in PEM.

    Raises:
        MaterialError: there is none.
    """
    if _PEM_BEGIN not in content:
        parse_list(content)
        return (content,)
    found = []
    for piece in content.split(_PEM_BEGIN)[1:]:
        pem = _PEM_BEGIN + piece.partition(_PEM_END)[0] + _PEM_END
        try:
            found.append(x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER))
        except UNREADABLE as error:
            raise MaterialError("crl.unreadable", name) from error
    return tuple(found)


def parse_list(der: bytes) -> x509.CertificateRevocationList:
    """
    Read a list to its last extension, not yet to its last entry.

    Raises:
        MaterialError: it cannot be read.
    """
    if len(der) > MAX_LIST_BYTES:
        raise MaterialError("crl.too_large", f"more than {MAX_LIST_BYTES} bytes")
    try:
        crl = x509.load_der_x509_crl(der)
        # The library reads these when they are asked for: ask now, so that nothing breaks later.
        _ = crl.extensions, crl.issuer, crl.signature_hash_algorithm, crl.last_update_utc, crl.next_update_utc
    except UnsupportedAlgorithm as error:
        raise MaterialError("crl.algorithm", str(error)) from error
    except UNREADABLE as error:
        raise MaterialError("crl.unreadable", type(error).__name__) from error
    return crl


def facts_of(crl: x509.CertificateRevocationList, *, digest: str) -> ListFacts:
    """What the list says about itself."""
    number = find_extension(crl.extensions, x509.CRLNumber)
    return ListFacts(
        issuer=crl.issuer.rfc4514_string(),
        number=None if number is None else number.crl_number,
        issued_at=crl.last_update_utc,
        next_update=crl.next_update_utc,
        sha256=digest,
    )


def scope_of(crl: x509.CertificateRevocationList) -> Scope | None:
    """Whom the list speaks for; None where finding out takes the machinery of RFC 5280 section 6.3."""
    if any(extension.oid not in _PLAIN_EXTENSIONS for extension in crl.extensions):
        # A delta, a pointer to one, or an extension nobody here has heard of.
        return None
    point = find_extension(crl.extensions, x509.IssuingDistributionPoint)
    if point is None:
        return Scope(points=frozenset(), only_authorities=False, only_users=False)
    limited = point.indirect_crl or point.only_some_reasons is not None or point.relative_name is not None
    if limited or point.only_contains_attribute_certs:
        return None
    return Scope(
        points=addresses(point.full_name),
        only_authorities=point.only_contains_ca_certs,
        only_users=point.only_contains_user_certs,
    )


def kind_of(crl: x509.CertificateRevocationList) -> str:
    """Names the series a list belongs to: lists of one kind replace one another."""
    point = find_extension(crl.extensions, x509.IssuingDistributionPoint)
    key = find_extension(crl.extensions, x509.AuthorityKeyIdentifier)
    is_delta = find_extension(crl.extensions, x509.DeltaCRLIndicator) is not None
    return f"{is_delta} {'' if point is None else hash(point)} {'' if key is None else hash(key)}"


def addresses(names: Iterable[x509.GeneralName] | None) -> frozenset[str]:
    """General names of distribution points, in a form that compares."""
    return frozenset(f"{type(name).__name__}:{name.value}" for name in names or ())


def tabulate(crl: x509.CertificateRevocationList) -> Table:
    """
    Read all serial numbers.

    Raises:
        MaterialError: an entry cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # A serial number of 0 or below is a fault of its authority, not of the list.
            warnings.simplefilter("ignore")
            return Table(crl=crl, places={entry.serial_number: place for place, entry in enumerate(crl)})
    except UNREADABLE as error:
        raise MaterialError("crl.unreadable", "an entry cannot be read") from error


class ListFolder:
    """A folder of lists, each a file named by its SHA-256, written once and never changed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Path]:
        """The files, in no particular order."""
        return iter(sorted(self._path.glob("*.crl")))

    def keep(self, der: bytes) -> Path:
        """
        Store a list; the same one again is no second file. A crash leaves the whole list or none.

        Raises:
            MaterialError: it is no list, or the folder does not take it.
        """
        parse_list(der)
        target = self._path / f"{sha256(der).hexdigest()}.crl"
        if target.exists():
            return target
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MaterialError("file.unwritable", f"{self._path.name}: {error.strerror}") from error
        write_file(target, der)
        return target
