"""
Whoever gets a bundle needs nothing of ours: `verify.py` in an environment that has `cryptography` and not this package,
and the commands of VERIFY.md as they stand there.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from axis.evidence import verify as standalone
from axis.evidence.archive import read_archive, write_archive
from axis.evidence.bundle import COVER, seal
from axis.evidence.pages import archive_of
from signing.note import SigningKey, sign_note, split_note
from tests.evidence.laptop import laptop
from tests.evidence.laptop import run as _run
from tests.evidence.making import TRUST_FILE, Made
from tests.flow.office import KEYS
from tests.signing.builders import pki


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laptop of somebody who trusts the axis's keys."""
    folder = laptop(tmp_path_factory.mktemp("clean"))
    (folder / "axis-keys.txt").write_text(KEYS.text)
    (folder / "roots.pem").write_bytes(pki().trust_pem)
    return folder


def _verify(folder: Path, archive: bytes) -> tuple[int, str]:
    (folder / "bundle.zip").write_bytes(archive)
    done = _run(folder, "bin/python", "verify.py", "bundle.zip", "--keys", "axis-keys.txt")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_our_package_is_not_there(clean: Path) -> None:
    """Or the test below would show nothing."""
    for module in ("axis", "signing", "lxml", "sqlalchemy"):
        assert "ModuleNotFoundError" in _run(clean, "bin/python", "-c", f"import {module}").stderr


def test_the_one_file_verifies_and_refuses(clean: Path, made: Made) -> None:
    """Good bundles hold; each kind of forgery it looks for is refused by the name of its step."""
    entries = made.bundle.entries
    (digest, message), *_ = made.bundle.messages.items()
    swapped = (entries[0], replace(entries[1], event=entries[2].event), *entries[2:])
    forged = {
        "archive": made.whole.archive[:-5_000],
        "sums": _with_other_sums(made),
        "checkpoint": archive_of(replace(made.bundle, checkpoint=_by_a_stranger(made.bundle.checkpoint))),
        "inclusion": archive_of(replace(made.bundle, entries=swapped)),
        "records": archive_of(replace(made.bundle, entries=(entries[0], *entries[2:]))),
        "digests": archive_of(replace(made.bundle, messages={digest: message + b" "})),
    }

    assert [_verify(clean, one.archive)[0] for one in (made.whole, made.for_hanoi, made.refused)] == [0, 0, 0]
    older = archive_of(replace(made.bundle, checkpoint=made.before))
    for step, archive in [*forged.items(), ("inclusion", older)]:
        status, said = _verify(clean, archive)
        assert (status, said.partition(":")[0]) == (1, f"REFUSED     {step}"), said


def _by_a_stranger(note: str) -> str:
    stranger = SigningKey.from_seed("test.example/log", seed=bytes(32))
    return sign_note(split_note(note)[0], signers=[stranger])


def _with_other_sums(made: Made) -> bytes:
    """Written as an archive must be, with sums of before."""
    members = read_archive(made.whole.archive)
    return write_archive({**members, COVER: members[COVER] + b" "})


def test_the_one_file_says_what_it_does_not_look_at(clean: Path, made: Made) -> None:
    """A cover page that lies, with sums made anew, is not its business, and it says so."""
    members = read_archive(made.whole.archive)

    status, said = _verify(clean, seal({**members, COVER: b"<p>all is well"}))

    assert status == 0
    assert "cover.html, timestamp and signature: see VERIFY.md" in said


def test_one_byte_changed_anywhere_is_refused_by_the_one_file(made: Made) -> None:
    """In this process, to try many: every byte of the smallest bundle, every 23rd of the whole one; by the first steps."""
    keys = standalone.read_keys(KEYS.text)
    for archive, step in ((made.refused.archive, 1), (made.whole.archive, 23)):
        for at in range(0, len(archive), step):
            changed = archive[:at] + bytes([archive[at] ^ 0x20]) + archive[at + 1 :]
            with pytest.raises(standalone.Refused, match=r"^(archive|sums): "):
                standalone.verify(changed, keys, None)


def test_the_commands_of_the_guide_work_as_they_stand(clean: Path, made: Made) -> None:
    """Every indented line of VERIFY.md behind "By hand", in one shell that stops at the first that fails."""
    guide = read_archive(made.whole.archive)["VERIFY.md"].decode()
    (clean / "bundle.zip").write_bytes(made.whole.archive)
    by_hand = guide.partition("## 3.")[2]
    commands = re.findall(r"^    (.+)$", by_hand, flags=re.MULTILINE)
    script = "\n".join(["set -e -o pipefail", *commands])

    done = _run(clean, "bash", "-c", script)

    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    assert "Verification: OK" in done.stdout + done.stderr
    assert made.bundle.entries[0].event.hash.hex() in done.stdout
    assert len(commands) == 10


def test_the_command_needs_no_axis(tmp_path: Path, made: Made) -> None:
    """No home, no settings, no database: a file and what is trusted; one more byte and it says where."""
    (tmp_path / "bundle.zip").write_bytes(made.whole.archive)
    (tmp_path / "broken.zip").write_bytes(made.whole.archive + b" ")
    (tmp_path / "trust.pem").write_bytes(TRUST_FILE)
    axis = str(Path(sys.executable).with_name("axis"))

    good = _run(tmp_path, axis, "evidence", "verify", "bundle.zip", "--trust", "trust.pem", "--json")
    bad = _run(tmp_path, axis, "evidence", "verify", "broken.zip", "--trust", "trust.pem")
    written = _run(tmp_path, axis, "evidence", "verifier", "-o", "verify.py")

    assert (good.returncode, bad.returncode, written.returncode) == (0, 1, 0)
    assert '"verdict": "passed"' in good.stdout
    assert "✗ archive" in bad.stdout
    assert (tmp_path / "verify.py").read_bytes() == Path(standalone.__file__).read_bytes()
    assert {"bundle.zip", "broken.zip", "trust.pem", "verify.py"} == {one.name for one in tmp_path.iterdir()}
