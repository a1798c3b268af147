"""
First start of docker-compose.yml: makes what no two installations may share, and never makes it twice.

    python first_start.py AUTHORITY POSTGRES RABBITMQ AXIS

    AUTHORITY   the private authority that issues the certificates below; only this service sees it
    POSTGRES    superuser.password, axis.password, and the server's certificate
    RABBITMQ    rabbitmq.conf with the password of the axis, and the server's certificate
    AXIS        broker.password, database.password, metrics.token, and the certificate of the web interface

Run again at every start: what is there stays, a certificate that ends within 30 days is issued anew. Each folder is
a volume of its own, owned by the one user who reads it. To use certificates of another authority, replace
`server.pem`, `server.key` and `ca.pem`: a certificate that another authority issued is left alone.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)

RABBITMQ = """\
# Made at the first start; the password is the axis's alone.
listeners.tcp = none
listeners.ssl.default = 5671
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
ssl_cert_login_from = common_name
management.ssl.port = 15671
management.ssl.cacertfile = {folder}/ca.pem
management.ssl.certfile = {folder}/server.pem
management.ssl.keyfile = {folder}/server.key
default_user = axis
default_pass = {password}
default_user_tags.administrator = true
# Small, so that little stays on disk of a message that had to be thrown away (SECURITY.md).
raft.wal_max_size_bytes = 67108864
log.console = true
log.console.level = warning
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The private authority of this installation."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def write(path: Path, content: bytes) -> None:
    """The whole file or none, readable by its owner alone."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def keep_or_make(path: Path) -> str:
    """The password in this file; made when there is none."""
    if not path.exists():
        write(path, secrets.token_urlsafe(32).encode() + b"\n")
    return path.read_text(encoding="ascii").strip()


def same_password(one: Path, other: Path) -> str:
    """One password for the two sides of a connection, each of which has its own folder."""
    password = keep_or_make(one)
    if not other.exists() or other.read_text(encoding="ascii").strip() != password:
        write(other, password.encode() + b"\n")
    return password


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def authority(folder: Path, *, now: datetime) -> Authority:
    """The authority in this folder, or a new one."""
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    if certificate_file.exists() and key_file.exists():
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise SystemExit(f"{key_file.name}: not a key this service made")
        return Authority(certificate=x509.load_pem_x509_certificate(certificate_file.read_bytes()), key=key)
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own, so that two installations are never taken for each other.
    name = _name(f"axis {secrets.token_hex(4)}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write(key_file, _pem(key))
    write(certificate_file, certificate.public_bytes(Encoding.PEM))
    return Authority(certificate=certificate, key=key)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def serve_as(names: list[str], folder: Path, *, by: Authority, now: datetime) -> None:
    """A certificate for a server with these names in `folder`, unless a good one is there."""
    if not _must_issue(folder, by=by, now=now):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False
        )
        .sign(by.key, hashes.SHA256())
    )
    write(folder / "server.key", _pem(key))
    write(folder / "server.pem", certificate.public_bytes(Encoding.PEM))
    write(folder / "ca.pem", by.certificate.public_bytes(Encoding.PEM))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _must_issue(folder: Path, *, by: Authority, now: datetime) -> bool:
    if not all((folder / name).exists() for name in ("server.pem", "server.key", "ca.pem")):
        return True
    found = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    is_ours = found.issuer == by.certificate.subject
    return is_ours and found.not_valid_after_utc - now < RENEW_BEFORE


def give(folder: Path, *, uid: int) -> None:
    """Let one user read the folder and nobody else."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if os.geteuid() == 0:
            os.chown(path, uid, -1)


def make(folders: dict[str, Path], *, now: datetime, owners: dict[str, int], web_names: list[str]) -> None:
    """Everything the services of the compose file need, in the folder of each."""
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    ours = authority(folders["authority"], now=now)
    local = ["localhost", "127.0.0.1"]
    serve_as(["postgres", *local], folders["postgres"], by=ours, now=now)
    serve_as(["rabbitmq", *local], folders["rabbitmq"], by=ours, now=now)
    serve_as(["web", *local, *web_names], folders["axis"], by=ours, now=now)
    # The axis checks both servers by the authority of this installation, whatever its own certificate is from.
    write(folders["axis"] / "servers.pem", ours.certificate.public_bytes(Encoding.PEM))

    keep_or_make(folders["postgres"] / "superuser.password")
    same_password(folders["postgres"] / "axis.password", folders["axis"] / "database.password")
    password = keep_or_make(folders["axis"] / "broker.password")
    configuration = RABBITMQ.format(folder=folders["rabbitmq"], password=password)
    write(folders["rabbitmq"] / "rabbitmq.conf", configuration.encode())
    keep_or_make(folders["axis"] / "metrics.token")

    give(folders["authority"], uid=0)
    for name, uid in owners.items():
        give(folders[name], uid=uid)


def main(arguments: list[str]) -> int:
    names = ("authority", "postgres", "rabbitmq", "axis")
    if len(arguments) != len(names):
        print(__doc__, file=sys.stderr)
        return 2
    folders = {name: Path(one) for name, one in zip(names, arguments, strict=True)}
    owners = {name: int(os.environ[f"{name.upper()}_UID"]) for name in names[1:]}
    web_names = [name.strip() for name in os.environ.get("WEB_NAMES", "").split(",") if name.strip()]
    now = datetime.now(UTC)  # noqa: TID251 - a program of its own, outside the axis
    make(folders, now=now, owners=owners, web_names=web_names)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
