"""
A certification authority for demonstrations and tests, made on the spot.

Root, issuing authority, one certificate per organ, revocation lists: the shape of the government's PKI with none of
its secrets. It is in no document's life; a real axis never runs it, and nothing it makes is worth anything outside
the folder it was made in. Times are arguments, so that tests can stand before, in and after any validity.

RSA keys cost 50 to 100 ms each. `KeyShelf` hands the same few out again and again where secrecy is no matter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_BITS: Final = 2048
_DAY: Final = timedelta(days=1)

SIGNING_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(slots=True)
class KeyShelf:
    """RSA keys by name; at most `distinct` are ever made, then they are given out again."""

    distinct: int = 4
    bits: int = _BITS
    _keys: list[rsa.RSAPrivateKey] = field(default_factory=list)
    _given: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)

    def key(self, name: str) -> rsa.RSAPrivateKey:
        """The key of `name`, the same each time it is asked for."""
        if name not in self._given:
            if len(self._keys) < self.distinct:
                self._keys.append(rsa.generate_private_key(public_exponent=65537, key_size=self.bits))
                self._given[name] = self._keys[-1]
            else:
                self._given[name] = self._keys[len(self._given) % self.distinct]
        return self._given[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate, its key, and the certificates from it up to, not including, the root."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its issuers, the signer's first: what `axis sign --cert` takes."""
        return b"".join(c.public_bytes(Encoding.PEM) for c in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The private key, without a passphrase."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write `name.key.pem` (readable by its owner only) and `name.chain.pem`; return both paths."""
        folder.mkdir(parents=True, exist_ok=True)
        key, chain = folder / f"{name}.key.pem", folder / f"{name}.chain.pem"
        key.touch(mode=0o600, exist_ok=True)
        key.chmod(0o600)
        key.write_bytes(self.key_pem)
        chain.write_bytes(self.chain_pem)
        return key, chain


@dataclass(frozen=True, slots=True, kw_only=True)
class PKI:
    """Root and issuing authority; issues what it is asked for, good or bad."""

    root: Issued
    issuing: Issued
    not_before: datetime
    not_after: datetime
    shelf: KeyShelf

    @classmethod
    def build(
        cls,
        *,
        not_before: datetime,
        not_after: datetime,
        shelf: KeyShelf | None = None,
        name: str = "Demo",
        issuing_path_length: int | None = 0,
    ) -> "PKI":
        """Make root and issuing authority, both valid from `not_before` to `not_after`."""
        shelf = shelf or KeyShelf()
        root_key, issuing_key = shelf.key(f"{name}/root"), shelf.key(f"{name}/issuing")
        root_name = _name(f"{name} Root CA (not for real use)")
        root = (
            _builder(root_name, root_name, root_key, not_before=not_before, not_after=not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(CA_USAGE, critical=True)
            .sign(root_key, hashes.SHA256())
        )
        issuing = (
            _builder(
                _name(f"{name} Issuing CA (not for real use)"),
                root_name,
                issuing_key,
                not_before=not_before,
                not_after=not_after,
                issuer_key=root_key,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=issuing_path_length), critical=True)
            .add_extension(CA_USAGE, critical=True)
            .sign(root_key, hashes.SHA256())
        )
        return cls(
            root=Issued(certificate=root, key=root_key, chain=()),
            issuing=Issued(certificate=issuing, key=issuing_key, chain=(issuing,)),
            not_before=not_before,
            not_after=not_after,
            shelf=shelf,
        )

    @property
    def trust_pem(self) -> bytes:
        """The root: what `--trust` takes."""
        return self.root.certificate_pem

    def issue(
        self,
        name: str,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        usage: x509.KeyUsage | None = SIGNING_USAGE,
        extended_usage: Sequence[x509.ObjectIdentifier] = (),
        ca: bool = False,
        key: rsa.RSAPrivateKey | None = None,
        by: Issued | None = None,
        hash_algorithm: hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
        more: Iterable[x509.ExtensionType] = (),
        user_id: str | None = None,
    ) -> Issued:
        """
        Issue a certificate to `name`, by default a good one for signing.

        What would be wrong in a certificate for signing can be asked for: other usages, a CA flag, a foreign key,
        another issuer, a validity outside its issuer's. `more` are further extensions, not critical. A `user_id` such
        as `CCCD:001080000001` is how authorities in Viet Nam mark a certificate of a person.
        """
        by = by or self.issuing
        own = key or self.shelf.key(f"leaf/{name}")
        builder = _builder(
            _name(name, user_id=user_id),
            by.certificate.subject,
            own,
            not_before=not_before or self.not_before,
            not_after=not_after or self.not_after,
            issuer_key=by.key,
        ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if usage is not None:
            builder = builder.add_extension(usage, critical=True)
        if extended_usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(extended_usage)), critical=False)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(by.key, hash_algorithm or hashes.SHA256())
        return Issued(certificate=certificate, key=own, chain=(certificate, *by.chain))

    def revocation_list(
        self,
        *,
        issued_at: datetime,
        revoked: Sequence[tuple[x509.Certificate, datetime]] = (),
        next_update: datetime | None = None,
        number: int = 1,
        by: Issued | None = None,
        reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise,
    ) -> x509.CertificateRevocationList:
        """Issue a CRL; by default the issuing authority's, valid for a day."""
        by = by or self.issuing
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(by.certificate.subject)
            .last_update(_utc(issued_at))
            .next_update(_utc(next_update or issued_at + _DAY))
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False
            )
        )
        for certificate, when in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(_utc(when))
                .add_extension(x509.CRLReason(reason), critical=False)
                .build()
            )
        return builder.sign(by.key, hashes.SHA256())


def _name(common_name: str, *, user_id: str | None = None) -> x509.Name:
    attributes = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
        # X.520 allows 64 characters; names of organs can be longer.
        x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
    ]
    if user_id is not None:
        attributes.append(x509.NameAttribute(NameOID.USER_ID, user_id))
    return x509.Name(attributes)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    *,
    not_before: datetime,
    not_after: datetime,
    issuer_key: rsa.RSAPrivateKey | None = None,
) -> x509.CertificateBuilder:
    public, signing = key.public_key(), (issuer_key or key).public_key()
    # The serial number follows from what is certified: the same arguments give the same certificate.
    seed = f"{subject.rfc4514_string()}|{issuer.rfc4514_string()}|{not_before}|{not_after}".encode()
    serial = int.from_bytes(sha256(seed + str(public.public_numbers().n).encode()).digest()[:15], "big") | 1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(_utc(not_before))
        .not_valid_after(_utc(not_after))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing), critical=False)
    )
