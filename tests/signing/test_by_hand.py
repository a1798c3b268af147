"""docs/signing-by-hand.md: its commands are run as they stand there, on a message of ours."""

import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.signing.builders import AT, PDF, good, ministry, pki

PAGE = Path(__file__).parents[2] / "docs" / "signing-by-hand.md"
DAY = timedelta(days=1)


def steps() -> list[str]:
    """The shell blocks of the page, in order."""
    return re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def lay_out(folder: Path, message: bytes, *, revoked: bool = False) -> None:
    entries = [(ministry().certificate, AT - DAY)] if revoked else []
    lists = [
        pki().revocation_list(issued_at=AT - timedelta(hours=1), revoked=entries),
        pki().revocation_list(issued_at=AT - timedelta(hours=1), by=pki().root),
    ]
    (folder / "message.edxml").write_bytes(message)
    (folder / "trust.pem").write_bytes(pki().trust_pem)
    (folder / "crl.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in lists))


def run(step: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AT": str(int(AT.timestamp())), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_step_says_what_the_page_promises(tmp_path: Path) -> None:
    """Signature, signer, revocation, attachment."""
    lay_out(tmp_path, good())

    signature, signer, revocation, attachment = (run(step, tmp_path) for step in steps())

    assert [s.returncode for s in (signature, signer, revocation, attachment)] == [0, 0, 0, 0], (
        signature.stderr
    )
    assert "OK" in signature.stdout + signature.stderr
    assert "Bộ Thử nghiệm" in signer.stdout
    assert "certificate1.pem: OK" in revocation.stdout
    computed, written = attachment.stdout.split()
    assert computed == written
    assert (tmp_path / "c0.bin").read_bytes() == PDF


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"000.00.00.H26", b"000.00.00.H27"), (b"JVBERi0x", b"JVBERi0y"), (b"phu_luc.pdf<", b"phu_lac.pdf<")],
)
def test_the_first_step_refuses_a_changed_message(old: bytes, new: bytes, tmp_path: Path) -> None:
    """So that `OK` means something."""
    lay_out(tmp_path, good().replace(old, new))

    assert run(steps()[0], tmp_path).returncode != 0


def test_the_third_step_refuses_a_revoked_certificate(tmp_path: Path) -> None:
    """As the list says."""
    lay_out(tmp_path, good(), revoked=True)
    for step in steps()[:2]:
        assert run(step, tmp_path).returncode == 0

    refused = run(steps()[2], tmp_path)

    assert refused.returncode != 0
    assert "revoked" in refused.stderr


def test_the_fourth_step_shows_a_changed_attachment(tmp_path: Path) -> None:
    """The two lines differ."""
    lay_out(tmp_path, good().replace(b"JVBERi0x", b"JVBERi0y", 1))

    computed, written = run(steps()[3], tmp_path).stdout.split()

    assert computed != written
