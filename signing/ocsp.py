"""
OCSP responses: reading one, and whether the issuer of a certificate stands behind it (RFC 6960).

Responses come stapled or from a background refresher; nothing here asks a responder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing.certificates import UNREADABLE, find_extension, is_strong_key
from signing.errors import MaterialError
from signing.policy import Policy

MAX_RESPONSE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OCSPAnswer:
    """What one response says about one certificate."""

    response: ocsp.OCSPResponse
    sha256: str
    """Of the response's DER bytes."""
    issuer_key_hash: bytes
    serial: int
    status: ocsp.OCSPCertStatus
    issued_at: datetime
    next_update: datetime | None
    revoked_at: datetime | None

    @property
    def source(self) -> str:
        """How evidence names it."""
        return f"ocsp:-:{self.sha256}"

    def signer(self, issuer: x509.Certificate, *, policy: Policy) -> x509.Certificate | None:
        """
        Who signed the response: `issuer` itself, or a responder that it certified for this; None for anybody else.

        Whether that responder has been revoked is not asked here.
        """
        algorithm = self.response.signature_hash_algorithm
        if algorithm is None or algorithm.name not in policy.chain_hashes:
            return None
        candidates = [issuer, *(c for c in self.response.certificates if self._may_sign(c, issuer, policy))]
        return next((c for c in candidates if _has_signed(c.public_key(), self.response)), None)

    def _may_sign(self, responder: x509.Certificate, issuer: x509.Certificate, policy: Policy) -> bool:
        usages = find_extension(responder.extensions, x509.ExtendedKeyUsage)
        algorithm = responder.signature_hash_algorithm
        return (
            usages is not None
            and ExtendedKeyUsageOID.OCSP_SIGNING in usages
            and responder.not_valid_before_utc <= self.issued_at <= responder.not_valid_after_utc
            and algorithm is not None
            and algorithm.name in policy.chain_hashes
            and is_strong_key(responder.public_key(), policy)
            and _has_issued(issuer, responder)
        )


def read_response(der: bytes) -> tuple[OCSPAnswer, ...]:
    """
    Read a response to its last answer.

    Raises:
        MaterialError: it cannot be read, or the responder gave no answer.
    """
    if len(der) > MAX_RESPONSE_BYTES:
        raise MaterialError("ocsp.too_large", f"more than {MAX_RESPONSE_BYTES} bytes")
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise MaterialError("ocsp.refused", response.response_status.name)
        _ = response.certificates, response.signature_hash_algorithm
        digest = sha256(der).hexdigest()
        return tuple(
            OCSPAnswer(
                response=response,
                sha256=digest,
                issuer_key_hash=one.issuer_key_hash,
                serial=one.serial_number,
                status=one.certificate_status,
                issued_at=one.this_update_utc,
                next_update=one.next_update_utc,
                revoked_at=one.revocation_time_utc,
            )
            for one in response.responses
        )
    except UNREADABLE as error:
        raise MaterialError("ocsp.unreadable", type(error).__name__) from error


def key_hashes(key: CertificatePublicKeyTypes) -> tuple[bytes, ...]:
    """What OCSP may call an issuer: SHA-1 (here a name, not a proof) and SHA-256 of its bare key."""
    if isinstance(key, rsa.RSAPublicKey):
        bare = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        bare = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    else:
        return ()
    return x509.SubjectKeyIdentifier.from_public_key(key).digest, sha256(bare).digest()


def is_exempt(responder: x509.Certificate) -> bool:
    """Whether its issuer promised not to revoke it (id-pkix-ocsp-nocheck)."""
    return find_extension(responder.extensions, x509.OCSPNoCheck) is not None


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    return _holds(lambda: certificate.verify_directly_issued_by(issuer))


def _has_signed(key: CertificatePublicKeyTypes, response: ocsp.OCSPResponse) -> bool:
    algorithm = response.signature_hash_algorithm
    signature, signed = response.signature, response.tbs_response_bytes
    if algorithm is None:
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return _holds(lambda: key.verify(signature, signed, padding.PKCS1v15(), algorithm))
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _holds(lambda: key.verify(signature, signed, ec.ECDSA(algorithm)))
    return False


def _holds(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
