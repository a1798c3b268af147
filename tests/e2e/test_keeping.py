"""
What an operator does once in years, through the command line: payloads go, a legal hold keeps one, a backup comes back.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from axis.bootstrap.parts import HEAD_FILE
from tests.e2e.command import ROOT, Ended, axis

pytestmark = pytest.mark.slow

_LATER = {"PYTHONPATH": str(Path(__file__).parent / "later"), "DAYS_LATER": "40"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a small demonstration left behind."""
    home = tmp_path_factory.mktemp("keeping") / "D"
    ended = axis("demo", "--json", "--documents", "5", "--stations", "4", "--dir", home)
    assert ended.status == 0, ended.err + ended.out
    return home


@pytest.fixture
def home(demo: Path, tmp_path: Path) -> Path:
    """A copy of it, to do with as one likes."""
    return Path(shutil.copytree(demo, tmp_path / "D"))


def _on(home: Path, *arguments: str | Path, **environ: str) -> Ended:
    return axis(*arguments, environ={"AXIS_HOME": str(home), **environ})


def _blobs(home: Path) -> set[str]:
    return {path.name for path in (home / "blobs").rglob("*") if path.is_file()}


def _age(home: Path) -> None:
    """Nobody has handed any of it in for days: what was uploaded today may be submitted tomorrow."""
    then = time.time() - 3 * 86_400
    for path in (home / "blobs").rglob("*"):
        os.utime(path, (then, then))


def _documents(home: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _on(home, "log", "--state", "acknowledged", "--format", "json").json
    return rows


@pytest.mark.requirement("LR-60")
@pytest.mark.timeout(300)
def test_payloads_go_and_what_is_held_stays(home: Path, tmp_path: Path) -> None:
    """Nothing goes by a look; a hold keeps its document; every proof outlives the bytes, and who did it is on record."""
    _age(home)
    kept = _blobs(home)
    row, *others = _documents(home)
    other = next(one for one in others if one["digest"] != row["digest"])
    assert _on(home, "ledger", "purge", "--dry-run", "--json").json == []

    planned = _on(home, "ledger", "purge", "--dry-run", "--json", **_LATER).json

    assert {one["class"] for one in planned} == {"delivered", "refused"}
    assert {row["digest"], other["digest"]} <= {one["digest"] for one in planned}
    assert _blobs(home) == kept

    unsaid = _on(home, "ledger", "hold", row["document"])
    assert (unsaid.status, "needs a reason" in unsaid.err) == (2, True)
    held = _on(home, "ledger", "hold", row["document"], "--reason", "công văn 12/TTr", "--as", "ha")
    assert (held.status, held.out.strip()) == (0, row["document"])
    assert _on(home, "ledger", "hold", row["document"], "--reason", "lần nữa").status == 2

    gone = _on(home, "ledger", "purge", "--reason", "hết hạn lưu", "--as", "lan", "--json", **_LATER).json

    digests = {one["digest"] for one in gone}
    assert digests == {one["digest"] for one in planned} - {row["digest"]}
    assert _blobs(home) == kept - digests
    acts = {one["kind"]: one for one in _on(home, "log", "--acts", "--json").json}
    assert [
        (acts[kind]["person"], acts[kind]["reason"]) for kind in ("legal_hold.changed", "payload.purged")
    ] == [
        ("ha", "công văn 12/TTr"),
        ("lan", "hết hạn lưu"),
    ]
    assert _on(home, "ledger", "check").status == 0
    bundle = tmp_path / "bundle.zip"
    for one, has_message in ((row, True), (other, False)):
        exported = _on(home, "evidence", "export", one["document"], "-o", bundle, "--json")
        assert (exported.status, exported.json["message"]) == (0, has_message), exported.err
        assert axis("evidence", "verify", bundle, "--trust", home / "trust.pem").status in {0, 3}

    lifted = _on(home, "ledger", "hold", row["document"], "--lift", "--reason", "đã xong", "--as", "ha")
    assert lifted.status == 0, lifted.err
    rest = _on(home, "ledger", "purge", "--json", **_LATER).json
    assert [one["digest"] for one in rest] == [row["digest"]]
    assert _on(home, "ledger", "purge", "--json", **_LATER).json == []


def test_who_may_only_read_purges_and_holds_nothing(home: Path, tmp_path: Path) -> None:
    """An auditor sees what would go, and changes nothing."""
    _age(home)
    people = tmp_path / "people.toml"
    people.write_text('[people.ha]\nrole = "auditor"\n')
    row = _documents(home)[0]
    kept = _blobs(home)

    def as_auditor(*arguments: str) -> Ended:
        return _on(home, *arguments, "--as", "ha", AXIS_PEOPLE=str(people), **_LATER)

    assert as_auditor("ledger", "purge", "--dry-run", "--json").json
    for refused in (
        as_auditor("ledger", "purge", "--reason", "x"),
        as_auditor("ledger", "hold", row["document"], "--reason", "x"),
    ):
        assert (refused.status, refused.out) == (1, "")
    assert _blobs(home) == kept


@contextmanager
def _running(home: Path) -> Iterator[subprocess.Popen[str]]:
    """`axis up` on this home; ended in good order."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AXIS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "axis", "up"],
        cwd=ROOT,
        env={**clean, "AXIS_LANG": "en", "AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def _sign_another_head(home: Path) -> str:
    """Something happens, and the axis signs it."""
    head = home / "keys" / HEAD_FILE
    before = head.read_text()
    assert _on(home, "log", "--json").status == 0  # The look is recorded.
    with _running(home) as process:
        until = time.monotonic() + 60
        while head.read_text() == before:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
    assert process.returncode == 0
    return head.read_text()


@pytest.mark.timeout(300)
def test_yesterdays_backup_is_said_in_public_before_anything_else(home: Path, tmp_path: Path) -> None:
    """The axis does not start on it; `new-epoch` says who and why; then it goes on, and there is nothing more to say."""
    backup = tmp_path / "backup.db"
    shutil.copy(home / "ledger.db", backup)
    early = _on(home, "ledger", "new-epoch", "--reason", "thử")
    assert (early.status, "nothing to say" in early.err) == (2, True)
    _sign_another_head(home)
    for path in home.glob("ledger.db*"):
        path.unlink()
    shutil.copy(backup, home / "ledger.db")

    refused = _on(home, "up", AXIS_HTTP_PORT="0")
    assert refused.status not in {0, 2}
    assert "axis ledger new-epoch" in refused.err
    assert "Traceback" not in refused.err
    unsaid = _on(home, "ledger", "new-epoch")
    assert (unsaid.status, "needs a reason" in unsaid.err) == (2, True)

    said = _on(home, "ledger", "new-epoch", "--reason", "đĩa hỏng", "--as", "an.nguyen", "--json")

    assert said.status == 0, said.err
    assert said.json["origin"].endswith("/epoch-2")
    assert all(one in said.json["record"] for one in ("an.nguyen", "đĩa hỏng", '"lost"'))
    assert _on(home, "ledger", "check").status == 0
    (act,) = [one for one in _on(home, "log", "--acts", "--json").json if one["kind"] == "log.epoch_begun"]
    assert (act["person"], act["reason"]) == ("an.nguyen", "đĩa hỏng")
    assert _on(home, "ledger", "new-epoch", "--reason", "lần nữa").status == 2
    assert "/epoch-2\n" in _sign_another_head(home)
