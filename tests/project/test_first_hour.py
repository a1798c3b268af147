"""The program of README.md, run as it stands there against `axis up`: only address and key are filled in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from axis.demo.letters import Agency, Pen, letter, package
from axis.demo.pki import PKI, KeyShelf
from signing.certificates import certificates_from_pem
from signing.keys import KeySigner
from tests.project.collect import ROOT
from tests.services.processes import LeashedProcess, wait_until

VPCP = Agency(code="000.00.00.G22", name="Văn phòng Chính phủ")
HANOI = Agency(code="000.00.00.H26", name="UBND Thành phố Hà Nội")
_WHY = ("--as", "tester", "--reason", "the first hour")


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


def _environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AXIS_HOME": str(home),
        "AXIS_HTTP_PORT": "0",
        "AXIS_LANG": "en",
        "AXIS_PUBLIC_URL": "https://axis.example.gov.vn",
    }


@pytest.fixture(name="address")
def _address(home: Path, tmp_path: Path) -> Iterator[str]:
    axis = Path(sys.executable).with_name("axis")
    process = LeashedProcess([str(axis), "up"], name="up", folder=tmp_path, env=_environment(home))
    process.start()
    try:
        listening = re.compile(r'"address": "(http://[^"]+)"')
        wait_until(
            lambda: (
                not process.running or listening.search(process.log.read_text(encoding="utf-8")) is not None
            ),
            within_s=60,
            what="axis up listens",
        )
        found = listening.search(process.log.read_text(encoding="utf-8"))
        assert found is not None, process.last_words()
        yield found[1]
    finally:
        process.stop()


def _axis(home: Path, *arguments: str, key: str = "") -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("axis"), *arguments],
        env=_environment(home) | {"AXIS_STATION_KEY": key},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"axis {' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.requirement("LR-48", "LR-63")
def test_the_program_of_the_readme_connects_a_system(home: Path, address: str, tmp_path: Path) -> None:
    """It hands in, is answered, receives what came for it, and lets the axis know: the sender sees it taken."""
    now = datetime.now(UTC)
    pki = PKI.build(
        not_before=now - timedelta(days=1), not_after=now + timedelta(days=9), shelf=KeyShelf(distinct=4)
    )
    (home / "trust.pem").write_bytes(pki.trust_pem)
    _axis(home, "organ", "import", "--with-assumed", *_WHY)
    folder = tmp_path / "system"
    folder.mkdir()
    keys = {}
    for agency, other in ((VPCP, HANOI), (HANOI, VPCP)):
        code = agency.code.rpartition(".")[2]
        issued = pki.issue(agency.name)
        certificate = tmp_path / f"{code}.pem"
        certificate.write_bytes(issued.certificate_pem)
        added = _axis(
            home, "station", "add", code.lower(), "--organs", code, "--channel", "pull", *_WHY, "--json"
        )
        keys[code] = json.loads(added)["key"]
        assert json.loads(added)["url"] == "https://axis.example.gov.vn"
        _axis(home, "station", "cert", "add", code, str(certificate), *_WHY)
        pen = Pen(signer=KeySigner(issued.key), chain=certificates_from_pem(issued.chain_pem))
        edoc = letter(1, sender=agency, receivers=[other], at=now)
        (folder / f"{code}.edxml").write_bytes(package(edoc, pen=pen, at=now))
    _axis(home, "send", str(folder / "G22.edxml"), "--station", address, key=keys["G22"])

    assert "AXIS_STATION_URL=https://axis.example.gov.vn\n" in _axis(home, "station", "rotate", "g22", *_WHY)

    (folder / "H26.edxml").rename(folder / "signed.edxml")
    (folder / "station.key").write_text(keys["H26"] + "\n", encoding="utf-8")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (folder / "program.py").write_text(
        program.replace("https://axis.example.gov.vn", address), encoding="utf-8"
    )
    running = LeashedProcess(
        [sys.executable, "-u", "program.py"],
        name="program",
        folder=tmp_path,
        cwd=folder,
        env=_environment(home) | {"PYTHONPATH": str(ROOT)},
    )
    running.start()

    def states() -> dict[str, str]:
        rows = json.loads(_axis(home, "log", "--format", "json", "--as", "tester"))
        found = rows if isinstance(rows, list) else rows["rows"]
        return {row["to"]: row["state"] for row in found}

    try:
        wait_until(
            lambda: not running.running or "acknowledged" in states().values(),
            within_s=60,
            what="the document is acknowledged",
            every_s=0.5,
        )
    finally:
        running.kill()
    said = running.log.read_text(encoding="utf-8")
    assert said.startswith("accepted Trục đã tiếp nhận"), said
    [received] = list(folder.glob("01*.edxml"))
    assert received.read_bytes() == (folder / "G22.edxml").read_bytes()
    assert sorted(states().values()) == ["acknowledged", "waiting"]
