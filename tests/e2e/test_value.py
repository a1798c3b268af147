"""
What documents are worth, as two stations see it, while the processes that find it out are killed.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.document import Document
from adapters.station import Credentials, Station
from axis.bootstrap.parts import open_axis
from axis.bootstrap.system import SystemClock
from axis.core.credentials import Credential
from axis.core.events import EventKind
from axis.core.model import Actor, Channel, DocumentKey, LegalValue, StationId
from axis.data import organs_csv
from axis.demo.letters import Pen, letter, package
from axis.demo.pki import PKI, Issued, KeyShelf
from axis.edxml.writer import AttachmentSource
from axis.flow.acts import NewStation
from axis.flow.organ_import import read_organs
from axis.settings import read_settings
from signing.certificates import certificates_from_pem
from signing.keys import KeySigner
from tests.adapters.contract import first, until
from tests.e2e.command import ROOT
from tests.e2e.command import axis as command
from tests.flow.town import HANOI, VPCP
from tests.signing.pdfs import a_pdf, an_endless_pdf, signed_pdf

pytestmark = pytest.mark.slow

_BY = Actor(person="test", reason="test")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:[0-9]+")


@dataclass(frozen=True, kw_only=True)
class _Cast:
    organ: Issued
    person: Issued
    sender: Credential
    receiver: Credential

    def package(self, number: int, *files: bytes) -> bytes:
        """A letter with these files, signed as a message."""
        now = SystemClock().now()
        edoc = letter(number, sender=VPCP, receivers=[HANOI], at=now)
        pen = Pen(signer=KeySigner(self.organ.key), chain=certificates_from_pem(self.organ.chain_pem))
        attached = [
            AttachmentSource(
                content_id=f"c{n}", name=f"tep_{n}.pdf", content_type="application/pdf", source=one
            )
            for n, one in enumerate(files)
        ]
        return package(edoc, pen=pen, at=now, files=attached)


async def _cast(home: Path) -> _Cast:
    """An operator loads the directory, adds two stations and binds the sender's certificate."""
    now = SystemClock().now()
    pki = PKI.build(
        not_before=now - timedelta(days=30), not_after=now + timedelta(days=365), shelf=KeyShelf(distinct=4)
    )
    organ = pki.issue(VPCP.name)
    await asyncio.to_thread(_make_home, home, pki.trust_pem)
    async with open_axis(read_settings({"AXIS_HOME": str(home)}), may_create=True) as axis:
        rows, defects = read_organs(organs_csv())
        acts = axis.acts()
        await acts.import_organs(rows, by=_BY, defects=defects)
        credentials = [
            await acts.add_station(
                NewStation(id=StationId(code.lower()), name=code, organs=(code,), channel=Channel.PULL),
                by=_BY,
            )
            for code in ("G22", "H26")
        ]
        await acts.bind_certificate("G22", organ.certificate_pem, by=_BY)
    return _Cast(
        organ=organ,
        person=pki.issue("Nguyễn Văn Kiểm", user_id="CCCD:001080000001"),
        sender=credentials[0],
        receiver=credentials[1],
    )


def _make_home(home: Path, trust: bytes) -> None:
    home.mkdir(mode=0o700)
    (home / "trust.pem").write_bytes(trust)


def _signed_files(cast: _Cast) -> tuple[bytes, bytes]:
    """By the organ alone, and by person and organ."""
    by_person = signed_pdf(a_pdf(), by=cast.person, field="Person")
    return signed_pdf(a_pdf(), by=cast.organ, field="Organ"), signed_pdf(
        by_person, by=cast.organ, field="Organ"
    )


@contextmanager
def _up(home: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`axis up` as a process, and the address it listens on."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AXIS_")}
    mine = {"AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0", "AXIS_VXP": "false", "AXIS_JUDGE_SECONDS": "5"}
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-u", "-m", "axis", "up"],
            cwd=ROOT,
            env={**clean, "AXIS_LANG": "en", **mine},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            while (found := _ADDRESS.search(log.read_text())) is None:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield process, found.group(0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _judging(process: subprocess.Popen[bytes]) -> list[int]:
    """The judging processes of a hub that have a file in hand."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = [
        int(one) for task in children.parents[1].iterdir() for one in (task / "children").read_text().split()
    ]
    return [one for one in found if Path(f"/proc/{one}/task/{one}/children").read_text().strip()]


def _has_been_taken(home: Path, document: DocumentKey) -> bool:
    with sqlite3.connect(f"file:{home}/ledger.db?mode=ro", uri=True) as database:
        row = database.execute("SELECT tries FROM valuation WHERE document_key = ?", (document,)).fetchone()
    database.close()
    return row is not None and row[0] > 0


def _station(url: str, credential: Credential, state: Path) -> Station:
    return Station(
        url,
        Credentials(station=credential.station, key=credential.key, queue_secret=credential.queue_secret),
        state=state,
    )


async def _told(station: Station, *, until_: set[DocumentKey]) -> list[tuple[DocumentKey, str]]:
    """Every value the station hears of, until it has heard of all these."""
    heard: list[tuple[DocumentKey, str]] = []
    async with station.events() as events, asyncio.timeout(60):
        while {document for document, _ in heard} < until_:
            event = (await first(events, within_s=60)).event
            if event is not None and event.kind is EventKind.DOCUMENT_VALUED and event.document is not None:
                heard.append((event.document, str(event.facts["value"])))
    return heard


async def _taken(station: Station, count: int) -> dict[DocumentKey, Document]:
    found: dict[DocumentKey, Document] = {}
    async with station.receive() as inbox:
        while len(found) < count:
            document = await first(inbox, within_s=30)
            found[document.key] = document
            await document.done()
    return found


async def _sent(station: Station, body: bytes) -> DocumentKey:
    answer = await station.submit(body)
    assert answer.document is not None, answer.headline_en
    return answer.document


@pytest.mark.timeout(240)
async def test_killed_while_judging_everything_is_valued_once(tmp_path: Path) -> None:
    """
    LR-06, LR-67: the hub is killed between taking a document and recording its value, then the judging process while
    it reads a file that never ends. Every document gets one value, told once to each side; deliveries waited for none.
    """
    home = tmp_path / "home"
    cast = await _cast(home)
    copy, original = await asyncio.to_thread(_signed_files, cast)

    with _up(home, tmp_path / "1.log") as (hub, url):
        async with _station(url, cast.sender, tmp_path / "s") as sender:
            endless = await _sent(sender, cast.package(1, copy, an_endless_pdf()))
        await until(lambda: bool(_judging(hub)), within_s=60)
        assert _has_been_taken(home, endless)
        hub.kill()
        hub.wait()

    with _up(home, tmp_path / "2.log") as (hub, url):
        async with (
            _station(url, cast.sender, tmp_path / "s") as sender,
            _station(url, cast.receiver, tmp_path / "r") as receiver,
        ):
            early = await _taken(receiver, 1)
            await until(lambda: bool(_judging(hub)), within_s=60)
            for judging in _judging(hub):
                os.kill(judging, signal.SIGKILL)
            expected = {
                await _sent(sender, cast.package(2, original)): "original",
                await _sent(sender, cast.package(3, copy)): "copy",
                await _sent(sender, cast.package(4, a_pdf())): "reference",
                endless: "reference",
            }
            heard, heard_too = await asyncio.gather(
                _told(sender, until_=set(expected)), _told(receiver, until_=set(expected))
            )
            late = await _taken(receiver, 3)
            where = {one: (await sender.where_is(one)).value for one in expected}
            reports = {one.key: await one.report() for one in (*early.values(), *late.values())}

    assert [one.value for one in early.values()] == [LegalValue.CHECKING]
    assert sorted(heard) == sorted(heard_too) == sorted(expected.items())
    assert where == expected
    assert {key: one.value.value for key, one in late.items()} == {
        key: value for key, value in expected.items() if key != endless
    }
    assert {key: report.value for key, report in reports.items()} == expected
    assert [file["reason"] for file in reports[endless].files] == ["pdf.passed", "pdf.time"]
    environ = {"AXIS_HOME": str(home)}
    shown = command("show", endless, environ=environ)
    assert "took too long" in shown.out, shown.out + shown.err
    assert command("ledger", "check", environ=environ).status == 0
