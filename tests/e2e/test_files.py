"""`axis sign`, `verify` and `inspect` on files, without an axis."""

from __future__ import annotations

from pathlib import Path

import pytest

from axis.demo.letters import package, spoilt
from tests.e2e.command import axis
from tests.flow.town import AT, VPCP, a_letter, hand
from tests.signing.builders import pki

pytestmark = pytest.mark.slow


def _files(folder: Path) -> tuple[Path, Path, Path, Path]:
    key, chain = hand(VPCP.name).write(folder, "vpcp")
    trust = folder / "trust.pem"
    trust.write_bytes(pki().trust_pem)
    letter = folder / "letter.edxml"
    letter.write_bytes(package(a_letter(), pen=None, at=AT))
    return key, chain, trust, letter


def test_sign_verify_spoil(tmp_path: Path) -> None:
    """0 passed, 1 failed, 4 unsigned; several files give the worst."""
    key, chain, trust, letter = _files(tmp_path)
    signed, bad = tmp_path / "signed.edxml", tmp_path / "bad.edxml"

    assert axis("sign", letter, "--key", key, "--cert", chain, "-o", signed).status == 0
    bad.write_bytes(spoilt(signed.read_bytes()))
    good = axis("verify", signed, "--trust", trust, "--json")
    both = axis("verify", signed, bad, "--trust", trust, "--json")

    assert (good.status, good.json[0]["verdict"]) == (0, "passed")
    assert (both.status, [one["verdict"] for one in both.json]) == (1, ["passed", "failed"])
    assert axis("verify", letter, "--trust", trust).status == 4


def test_inspect_says_what_it_is(tmp_path: Path) -> None:
    *_, letter = _files(tmp_path)
    junk = tmp_path / "junk.edxml"
    junk.write_bytes(b"%PDF-1.7")

    one = axis("inspect", letter, "--json")
    both = axis("inspect", letter, junk, "--json")

    assert one.json["kind"] == "edoc"
    assert one.json["to"] == ["000.00.00.H26", "000.00.00.G14"]
    assert one.json["attachments"][0]["detected_type"] == "application/pdf"
    assert (both.status, both.json[1]["kind"]) == (1, "unreadable")


def test_a_key_others_can_read_is_refused(tmp_path: Path) -> None:
    """Permissions are checked before the key is used, and the key is never shown."""
    key, chain, _, letter = _files(tmp_path)
    key.chmod(0o644)

    ended = axis("sign", letter, "--key", key, "--cert", chain, "-o", tmp_path / "out.edxml")

    assert ended.status == 1
    assert "PRIVATE KEY" not in ended.err + ended.out
    assert not (tmp_path / "out.edxml").exists()
