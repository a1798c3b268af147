"""
A certificate authority for tests: made on the spot, so that nothing ever expires in the repository.

For TLS between processes. The keys that sign documents are another authority's.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.services.rabbitmq import BrokerTLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key as PEM files."""

    cert_file: Path
    key_file: Path


class Authority:
    """Issues certificates; `ca_file` is what the other side must trust."""

    def __init__(self, folder: Path, *, name: str = "Test TLS root") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._now = dt.datetime.now(dt.UTC)
        public = self._key.public_key()
        self._cert = (
            self._builder(subject=self._name, public=public, days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._cert.public_bytes(Encoding.PEM))

    def _builder(
        self, *, subject: x509.Name, public: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        start = self._now - dt.timedelta(minutes=5) if days > 0 else self._now + dt.timedelta(days=days - 1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(self._now + dt.timedelta(days=days))
        )

    def issue(self, common_name: str, *, server: bool = False, days: int = 7) -> Certificate:
        """Issue a certificate for a client, or a server on this machine; a negative number of days has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            self._builder(subject=_name(common_name), public=public, days=days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if server:
            names: list[x509.GeneralName] = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        stem = f"{common_name}-{signed.serial_number:x}"[:60]
        found = Certificate(cert_file=self._folder / f"{stem}.pem", key_file=self._folder / f"{stem}.key")
        found.cert_file.write_bytes(signed.public_bytes(Encoding.PEM))
        found.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        found.key_file.chmod(0o600)
        return found

    def for_broker(self, *, client_certificate_required: bool = False) -> BrokerTLS:
        """Issue what a RabbitMQ node on this machine needs to speak TLS."""
        server = self.issue("localhost", server=True)
        return BrokerTLS(
            ca_file=self.ca_file,
            cert_file=server.cert_file,
            key_file=server.key_file,
            client_certificate_required=client_certificate_required,
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
