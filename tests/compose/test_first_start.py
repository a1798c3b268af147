"""What the first start makes is made once, belongs to one user each, and is the same nowhere else."""

from __future__ import annotations

import importlib.util
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509

from tests.project.collect import ROOT

_NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
_NAMES = ("authority", "postgres", "rabbitmq", "axis")


@pytest.fixture(scope="module", name="first_start")
def _first_start() -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_start", ROOT / "deploy" / "first_start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where `dataclass` looks for the names in annotations.
    import sys

    sys.modules["first_start"] = module
    spec.loader.exec_module(module)
    return module


def _make(first_start: ModuleType, root: Path, *, now: datetime = _NOW) -> dict[str, bytes]:
    folders = {name: root / name for name in _NAMES}
    first_start.make(
        folders,
        now=now,
        owners=dict.fromkeys(_NAMES[1:], os.geteuid()),
        web_names=["truc.example.gov.vn", "192.0.2.7"],
    )
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _certificate(files: dict[str, bytes], name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files[name])


def test_every_start_but_the_first_changes_nothing(first_start: ModuleType, tmp_path: Path) -> None:
    """A restart must not lock the axis out of its own database."""
    first = _make(first_start, tmp_path)

    assert _make(first_start, tmp_path, now=_NOW + timedelta(days=200)) == first


@pytest.mark.threat(
    "a default password that survives", control="made at the first start, for each installation"
)
def test_two_installations_share_nothing(first_start: ModuleType, tmp_path: Path) -> None:
    """No password, key or certificate of one is found in the other."""
    one, other = _make(first_start, tmp_path / "one"), _make(first_start, tmp_path / "other")

    assert one.keys() == other.keys()
    assert [name for name in one if one[name] == other[name]] == []
    passwords = {name: value for name, value in one.items() if name.endswith((".password", ".token"))}
    assert len(passwords) == 5
    assert all(len(value.strip()) >= 43 for value in passwords.values())


def test_both_sides_of_a_connection_have_its_password(first_start: ModuleType, tmp_path: Path) -> None:
    """And nobody has the other's."""
    files = _make(first_start, tmp_path)

    broker = files["axis/broker.password"].decode().strip()
    assert files["postgres/axis.password"] == files["axis/database.password"]
    assert f"default_pass = {broker}\n" in files["rabbitmq/rabbitmq.conf"].decode()
    everybody_elses = b"".join(
        value for name, value in files.items() if not name.startswith(("rabbitmq/", "axis/"))
    )
    assert broker.encode() not in everybody_elses
    assert files["postgres/superuser.password"].strip() not in files["axis/database.password"]


@pytest.mark.threat("secrets read by another service", control="a volume for each, readable by one user")
def test_only_the_owner_reads(first_start: ModuleType, tmp_path: Path) -> None:
    """No file or folder has a bit for group or others."""
    _make(first_start, tmp_path)

    open_to_others = [
        path.name
        for name in _NAMES
        for path in [tmp_path / name, *(tmp_path / name).iterdir()]
        if path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


@pytest.mark.parametrize(
    ("folder", "name"), [("postgres", "postgres"), ("rabbitmq", "rabbitmq"), ("axis", "web")]
)
def test_certificates_are_those_a_client_accepts(
    first_start: ModuleType, tmp_path: Path, folder: str, name: str
) -> None:
    """Signed by this installation's authority, for the service's name and for this machine."""
    files = _make(first_start, tmp_path)

    certificate = _certificate(files, f"{folder}/server.pem")
    authority = _certificate(files, "axis/servers.pem")
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {name, "localhost"} <= set(names.get_values_for_type(x509.DNSName))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / folder / "server.pem", tmp_path / folder / "server.key")


def test_stations_reach_the_web_interface_under_its_public_names(
    first_start: ModuleType, tmp_path: Path
) -> None:
    """Host names and addresses alike."""
    certificate = _certificate(_make(first_start, tmp_path), "axis/server.pem")

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "truc.example.gov.vn" in names.get_values_for_type(x509.DNSName)
    assert "192.0.2.7" in {str(one) for one in names.get_values_for_type(x509.IPAddress)}


def test_a_certificate_is_renewed_before_it_ends(first_start: ModuleType, tmp_path: Path) -> None:
    """By the same authority, so that everybody goes on trusting it; passwords stay."""
    first = _make(first_start, tmp_path)

    later = _make(first_start, tmp_path, now=_NOW + first_start.SERVER_LIFE - timedelta(days=29))

    changed = {name for name in first if first[name] != later[name]}
    assert changed == {f"{name}/server.{end}" for name in _NAMES[1:] for end in ("pem", "key")}
    _certificate(later, "axis/server.pem").verify_directly_issued_by(_certificate(first, "axis/servers.pem"))


def test_a_certificate_of_another_authority_is_left_alone(first_start: ModuleType, tmp_path: Path) -> None:
    """Also when it has ended: replacing it would be worse than saying so."""
    _make(first_start, tmp_path / "mine")
    theirs = _make(first_start, tmp_path / "theirs")
    for name in ("server.pem", "server.key", "ca.pem"):
        (tmp_path / "mine" / "axis" / name).write_bytes(theirs[f"axis/{name}"])

    after = _make(first_start, tmp_path / "mine", now=_NOW + timedelta(days=5_000 - 1400))

    assert after["axis/server.pem"] == theirs["axis/server.pem"]
    assert after["axis/servers.pem"] != theirs["axis/servers.pem"]


def test_wrong_usage_says_how(first_start: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and the usage."""
    assert first_start.main(["/secrets"]) == 2
    assert "first_start.py AUTHORITY POSTGRES RABBITMQ AXIS" in capsys.readouterr().err
