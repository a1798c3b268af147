"""
Certificates: reading them, and the path from a signer to a pinned root (strict rules 15 and 23 to 25).

`cryptography` builds the path and checks its signatures, names and name constraints. It is asked with an open
extension policy, because government certificates carry neither server names nor web usages; so what that leaves
open is checked here: CA flag, certificate signing, path length, key usage, extended key usage, key sizes and
hashes (the library was seen to accept a CA-issued RSA-1024 leaf). Revocation is asked in `signing.revocation`.

Chains that use policy constraints, policy mappings or name constraints are handed over to the slow path
(signing.slow_path), and checked by the rules here all the same. RFC 5280 section 6 is the standard. Nothing here
fetches certificates.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NewType, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification
from cryptography.x509.oid import ExtensionOID

from signing.errors import MaterialError, SigningError
from signing.files import read_file
from signing.policy import Policy
from signing.reasons import Reason

SPKI = NewType("SPKI", str)
"""SHA-256 of a SubjectPublicKeyInfo, lower-case hex: the name of a key, whoever certified it."""

UNREADABLE: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
    UserWarning,
)
"""
What `cryptography` raises for certificates, lists and responses that are none. Not all are ValueErrors. The warnings
(a serial number of 0 or below, a name of impossible length) are errors only where all warnings are.
"""

_E = TypeVar("_E", bound=x509.ExtensionType)

_OPEN_CA_POLICY: Final = verification.ExtensionPolicy.permit_all().require_present(
    x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
)
_MACHINERY: Final = frozenset(
    {
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.NAME_CONSTRAINTS,
    }
)
_CACHED_CERTIFICATES: Final = 2048
_CACHED_PATHS: Final = 2048
_MAX_PATH: Final = 5


class PathRefusedError(SigningError):
    """The chain does not hold. Stays inside this package: the verifier makes it a verdict."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What identifies a certificate, in forms that can be stored, compared and shown."""

    subject: str
    """RFC 4514. For people; never decide anything by it."""
    issuer: str
    serial: str
    """Lower-case hex without leading zeros."""
    spki_sha256: SPKI
    sha256: str
    """Of the DER bytes."""
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadCertificate:
    """A certificate that could be parsed to its last extension."""

    der: bytes
    certificate: x509.Certificate
    facts: CertificateFacts
    rsa_key: rsa.RSAPublicKey | None
    is_ca: bool
    path_length: int | None
    key_usage: x509.KeyUsage | None
    extended_key_usages: frozenset[str] | None
    needs_slow_path: bool
    """It constrains policies or names of what stands below it, in ways that the fast path does not follow."""


@lru_cache(maxsize=_CACHED_CERTIFICATES)
def read_certificate(der: bytes) -> ReadCertificate:
    """
    Parse one DER certificate.

    Raises:
        MaterialError: it cannot be read completely. (Exceptions are not cached.)
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        extensions = certificate.extensions
        # Read later, in the path: ask now, so that nothing breaks then.
        _ = certificate.signature_hash_algorithm
        facts = CertificateFacts(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            serial=f"{certificate.serial_number:x}",
            spki_sha256=SPKI(
                sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
            ),
            sha256=sha256(der).hexdigest(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
        constraints = find_extension(extensions, x509.BasicConstraints)
        usages = find_extension(extensions, x509.ExtendedKeyUsage)
        return ReadCertificate(
            der=der,
            certificate=certificate,
            facts=facts,
            rsa_key=key if isinstance(key, rsa.RSAPublicKey) else None,
            is_ca=constraints is not None and constraints.ca,
            path_length=constraints.path_length if constraints is not None else None,
            key_usage=find_extension(extensions, x509.KeyUsage),
            extended_key_usages=None if usages is None else frozenset(u.dotted_string for u in usages),
            needs_slow_path=any(extension.oid in _MACHINERY for extension in extensions),
        )
    except UNREADABLE as error:
        raise MaterialError("certificate.unreadable", type(error).__name__) from error


def find_extension(extensions: x509.Extensions, kind: type[_E]) -> _E | None:
    """The extension of that kind, if there is one."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def certificates_from_pem(pem: bytes) -> tuple[ReadCertificate, ...]:
    """
    Read all certificates of a PEM file, in order.

    Raises:
        MaterialError: there is none, or one cannot be read.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise MaterialError("certificate.unreadable", "no PEM certificate") from error
    return tuple(read_certificate(c.public_bytes(Encoding.DER)) for c in found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CertificatePath:
    """From the signer (first) to a pinned root (last), with the time in which every one of them is valid."""

    certificates: tuple[ReadCertificate, ...]
    not_before: datetime
    not_after: datetime
    is_slow: bool = False
    """Whether it took the slow path to find it."""

    @property
    def signer(self) -> ReadCertificate:
        return self.certificates[0]


class TrustStore:
    """
    Pinned roots, and known intermediates that signers forget to send.

    Good paths are remembered with the time in which they are good, so that the second message of a signer costs
    a dictionary look-up. Bad ones are not.
    """

    def __init__(
        self, roots: Iterable[ReadCertificate], *, intermediates: Iterable[ReadCertificate] = ()
    ) -> None:
        self.roots = tuple(roots)
        self.intermediates = tuple(intermediates)
        if not self.roots:
            raise MaterialError("trust.empty", "at least one root certificate is needed")
        self._store = verification.Store([r.certificate for r in self.roots])
        self._paths: OrderedDict[tuple[str, tuple[bytes, ...]], CertificatePath] = OrderedDict()

    @classmethod
    def from_pem(cls, *pems: bytes, intermediates: Sequence[bytes] = ()) -> "TrustStore":
        """
        Trust every certificate in the given PEM texts.

        Raises:
            MaterialError: a text holds no certificate, or one that cannot be read.
        """
        return cls(
            [c for pem in pems for c in certificates_from_pem(pem)],
            intermediates=[c for pem in intermediates for c in certificates_from_pem(pem)],
        )

    @classmethod
    def from_files(cls, *paths: Path, intermediates: Sequence[Path] = ()) -> "TrustStore":
        """
        Trust every certificate in the given PEM files.

        Raises:
            MaterialError: a file cannot be read or holds no certificate.
        """
        return cls.from_pem(*map(read_file, paths), intermediates=[read_file(p) for p in intermediates])

    def path(self, chain: Sequence[ReadCertificate], *, at: datetime, policy: Policy) -> CertificatePath:
        """
        Find the path of the first certificate of `chain` to a root, valid at `at`.

        Raises:
            PathRefusedError: there is none, or a certificate on it breaks a rule.
        """
        key = (policy.version, tuple(c.der for c in chain))
        known = self._paths.get(key)
        if known is not None and known.not_before <= at <= known.not_after:
            return known
        path = self._build(chain, at=at, policy=policy)
        self._paths[key] = path
        while len(self._paths) > _CACHED_PATHS:
            self._paths.popitem(last=False)
        return path

    def _build(self, chain: Sequence[ReadCertificate], *, at: datetime, policy: Policy) -> CertificatePath:
        signer, others = chain[0], (*chain[1:], *self.intermediates)
        _check_signer(signer, at=at, policy=policy)
        certificates = None
        if not self._needs_slow_path(signer, others, policy=policy):
            certificates = self._find(signer, others, at=at, policy=policy)
        is_slow = certificates is None
        if certificates is None:
            certificates = self._find_slowly(chain, at=at, policy=policy)
        _check_path(certificates, at=at, policy=policy)
        return CertificatePath(
            certificates=certificates,
            not_before=max(c.facts.not_before for c in certificates),
            not_after=min(c.facts.not_after for c in certificates),
            is_slow=is_slow,
        )

    def _find(
        self, signer: ReadCertificate, others: Sequence[ReadCertificate], *, at: datetime, policy: Policy
    ) -> tuple[ReadCertificate, ...] | None:
        """The path; None when the library refuses one in which no rule is broken: let the slow path decide."""
        builder = (
            verification.PolicyBuilder()
            .store(self._store)
            .time(at.astimezone(UTC).replace(tzinfo=None))
            .max_chain_depth(_MAX_PATH)
            .extension_policies(
                ca_policy=_OPEN_CA_POLICY,
                ee_policy=verification.ExtensionPolicy.permit_all(),
            )
        )
        try:
            found = builder.build_client_verifier().verify(
                signer.certificate, [c.certificate for c in others]
            )
        except (verification.VerificationError, *UNREADABLE):
            # The library does not say why. So the rules here are asked; they can only refuse.
            _check_path(self._walk(signer, others), at=at, policy=policy)
            return None
        return tuple(read_certificate(c.public_bytes(Encoding.DER)) for c in found.chain)

    def _needs_slow_path(
        self, signer: ReadCertificate, others: Sequence[ReadCertificate], *, policy: Policy
    ) -> bool:
        """
        Whether the way to a root leads over a certificate with constraints, or the policy demands policies.

        A stranger's certificates do not: nobody but an authority of ours can make us work that hard.
        """
        if not policy.certificate_policies and not any(c.needs_slow_path for c in (signer, *others)):
            return False
        reached, seen = [signer], {signer}
        has_root = False
        for certificate in reached:
            has_root = has_root or any(_issued(certificate, root) for root in self.roots)
            for other in others:
                if other not in seen and _issued(certificate, other):
                    seen.add(other)
                    reached.append(other)
        return has_root and (bool(policy.certificate_policies) or any(c.needs_slow_path for c in reached))

    def _find_slowly(
        self, chain: Sequence[ReadCertificate], *, at: datetime, policy: Policy
    ) -> tuple[ReadCertificate, ...]:
        # Its library takes half a second to load, and most axes never need it.
        from signing.slow_path import SlowPath

        slow = SlowPath(self.roots, intermediates=self.intermediates, policy=policy)
        return slow.path(chain, at=at)

    def _walk(
        self, signer: ReadCertificate, others: Sequence[ReadCertificate]
    ) -> tuple[ReadCertificate, ...]:
        """
        From issuer to issuer, by name and signature alone, to a root.

        Raises:
            PathRefusedError: `chain.untrusted`, no root is reached.
        """
        path = [signer]
        while path[-1] not in self.roots:
            issuer = next((c for c in (*self.roots, *others) if _issued(path[-1], c)), None)
            if issuer is None or issuer in path or len(path) > _MAX_PATH:
                raise PathRefusedError(Reason.CHAIN_UNTRUSTED, f"no issuer for {path[-1].facts.issuer}")
            path.append(issuer)
        return tuple(path)


def _issued(certificate: ReadCertificate, issuer: ReadCertificate) -> bool:
    return same_name(certificate.certificate.issuer, issuer.certificate.subject) and _is_signed_with(
        certificate.certificate, issuer.certificate.public_key()
    )


def same_name(one: x509.Name, other: x509.Name) -> bool:
    """Whether two names are the same but for case, spaces and the type of string (RFC 5280, 7.1)."""
    return one == other or _folded(one) == _folded(other)


def _folded(name: x509.Name) -> list[frozenset[tuple[str, str]]]:
    return [
        frozenset((part.oid.dotted_string, " ".join(str(part.value).split()).casefold()) for part in rdn)
        for rdn in name.rdns
    ]


def _is_signed_with(certificate: x509.Certificate, key: CertificatePublicKeyTypes) -> bool:
    signature, content = certificate.signature, certificate.tbs_certificate_bytes
    try:
        scheme, algorithm = certificate.signature_algorithm_parameters, certificate.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey) and not isinstance(scheme, ec.ECDSA | None) and algorithm:
            key.verify(signature, content, scheme, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(scheme, ec.ECDSA):
            key.verify(signature, content, scheme)
        else:
            return False
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _check_validity(certificate: ReadCertificate, at: datetime) -> None:
    if at < certificate.facts.not_before:
        raise PathRefusedError(Reason.CHAIN_NOT_YET_VALID, certificate.facts.subject)
    if at > certificate.facts.not_after:
        raise PathRefusedError(Reason.CHAIN_EXPIRED, certificate.facts.subject)


def _check_signer(signer: ReadCertificate, *, at: datetime, policy: Policy) -> None:
    if signer.is_ca:
        raise PathRefusedError(Reason.CHAIN_CA_AS_SIGNER, signer.facts.subject)
    usage = signer.key_usage
    if usage is None or not (usage.digital_signature or usage.content_commitment):
        raise PathRefusedError(Reason.CHAIN_KEY_USAGE, signer.facts.subject)
    extended = signer.extended_key_usages
    if extended is not None and extended.isdisjoint(policy.extended_key_usages):
        raise PathRefusedError(Reason.CHAIN_EXTENDED_KEY_USAGE, signer.facts.subject)
    _check_validity(signer, at)


def _check_path(path: Sequence[ReadCertificate], *, at: datetime, policy: Policy) -> None:
    below = 0
    """Authorities that are not self-issued between the certificate and the signer (RFC 5280, 4.2.1.9)."""
    for position, certificate in enumerate(path):
        _check_validity(certificate, at)
        _check_key(certificate, policy)
        is_anchor = position == len(path) - 1
        hash_algorithm = certificate.certificate.signature_hash_algorithm
        if not is_anchor and (hash_algorithm is None or hash_algorithm.name not in policy.chain_hashes):
            raise PathRefusedError(Reason.CHAIN_WEAK_HASH, certificate.facts.subject)
        if position == 0:
            continue
        usage = certificate.key_usage
        if not certificate.is_ca or usage is None or not usage.key_cert_sign:
            raise PathRefusedError(Reason.CHAIN_ISSUER_NOT_CA, certificate.facts.subject)
        if certificate.path_length is not None and below > certificate.path_length:
            raise PathRefusedError(Reason.CHAIN_PATH_LENGTH, certificate.facts.subject)
        if certificate.certificate.issuer != certificate.certificate.subject:
            below += 1


def is_strong_key(key: CertificatePublicKeyTypes, policy: Policy) -> bool:
    """Whether a key of this kind and size may certify: RSA as the policy says, or a curve of 256 bits."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= policy.rsa_bits_min
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= 256


def _check_key(certificate: ReadCertificate, policy: Policy) -> None:
    if not is_strong_key(certificate.certificate.public_key(), policy):
        raise PathRefusedError(Reason.CHAIN_WEAK_KEY, certificate.facts.subject)
