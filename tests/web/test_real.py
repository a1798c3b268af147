"""The contract of the HTTP API, on the real desk: signed edXML, judged and recorded on SQLite and on PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from axis.core.credentials import hash_of_key, key_of
from axis.core.model import StationId
from axis.demo.letters import pdf, status
from axis.edxml.message import Edoc, StatusCode
from axis.edxml.writer import AttachmentSource, edoc_bytes
from axis.flow.overdue import DeadlineKeeper
from axis.ledger.deadlines import SQLDeadlines
from axis.ledger.figures import SQLFigures
from axis.ledger.log import SQLLogView
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger
from axis.ledger.uploads import Spool, SQLUploads
from axis.web import wire
from axis.web.services import WebServices
from signing.sign import sign
from tests.flow.conftest import _sqlite_template, ledger, ledger_url, office
from tests.flow.office import LOG, RECEIPTS, Office
from tests.flow.town import AT, HANOI, VPCP, a_letter, pen
from tests.web.contract import StationContract, calling
from tests.web.serving import running

__all__ = ["_sqlite_template", "ledger", "ledger_url", "office"]


@cache
def _key(station: str) -> str:
    return key_of(StationId(station), randomness=hashlib.sha256(station.encode()).digest())


@dataclass
class OfficeWorld:
    """Implements `World`: Văn phòng Chính phủ writes to Hà Nội."""

    url: str
    office: Office
    letters: dict[bytes, Edoc] = field(default_factory=dict)
    garbage: int = 0

    sender = _key("vpcp")
    receiver = _key("ha-noi")
    stranger = _key("bo-nv")
    suspended = _key("tam-dung")

    def document(self, *, is_urgent: bool = False, size: int = 0) -> bytes:
        letter = a_letter(len(self.letters) + 1, receivers=(HANOI,), priority=int(is_urgent))
        body = self._signed(letter, size)
        self.letters[body] = letter
        return body

    def _signed(self, letter: Edoc, size: int = 0) -> bytes:
        words = f"{letter.code.written} {letter.sender.organ_id}"
        # Behind its end a PDF may hold anything: what makes it large is not what is tested.
        file = AttachmentSource(
            content_id="c0", name="a.pdf", content_type="application/pdf", source=pdf(words) + bytes(size)
        )
        hand = pen(VPCP)
        return sign(
            edoc_bytes(letter, attachments=(file,)), signer=hand.signer, chain=hand.chain, signing_time=AT
        )

    def unacceptable(self) -> bytes:
        self.garbage += 1
        return f"no edXML, number {self.garbage}".encode()

    def status(self, document: bytes, code: str) -> bytes:
        return status(StatusCode(int(code)), sender=HANOI, answered=self.letters[document], at=AT)

    def name(self, document: bytes) -> str:
        return self.letters[document].document_id

    async def pass_deadlines(self) -> None:
        self.office.clock.jump(timedelta(hours=15))
        keeper = DeadlineKeeper(
            deadlines=SQLDeadlines(self.office.ledger),
            ledger=self.office.ledger,
            clock=self.office.clock,
            ids=self.office.ids,
            bells=self.office.pipeline.bells,
        )
        await keeper.turn()

    async def number(self) -> None:
        while await self.office.sequencer.turn():
            pass
        await self.office.sequencer.sign_head()


class TestOnTheRealDesk(StationContract):
    @pytest.fixture
    async def served(self, office: Office, ledger: SQLLedger, tmp_path: Path) -> AsyncIterator[OfficeWorld]:
        async with ledger.transaction() as tx:
            for station in office.country.directory.stations.values():
                await tx.keep_secrets(
                    station.id, secret=station.secret, key_hash=hash_of_key(_key(station.id))
                )
        services = WebServices(
            desk=office.desk,
            keys=SQLStationView(ledger),
            log=SQLLogView(ledger),
            payloads=office.blobs,
            uploads=SQLUploads(ledger, clock=office.clock),
            spool=Spool(tmp_path / "uploads"),
            directories=office.country,
            clock=office.clock,
            ids=office.ids,
            folder=tmp_path / "bodies",
            log_origin=LOG.verifier.name,
            figures=SQLFigures(ledger),
            log_keys=(RECEIPTS.verifier.text, LOG.verifier.text),
        )
        async with running(services) as server:
            yield OfficeWorld(url=server.url, office=office)

    async def test_metrics_show_what_waits_and_what_was_counted(self, served: OfficeWorld) -> None:
        """Per station and state, this day's counts, and the state of the log."""
        async with calling(served, served.sender) as sender, calling(served, served.receiver) as receiver:
            first = await sender.accepted(served.document(is_urgent=True))
            await receiver.one(first)
            await sender.accepted(served.document())
            await sender.submit(served.unacceptable())
            before = await sender.client.get(wire.METRICS)
            await served.number()
            after = await sender.client.get(wire.METRICS)

        lines = after.text.splitlines()
        assert 'axis_consignments{station="ha-noi",lane="urgent",state="handed_over"} 1' in lines
        assert 'axis_consignments{station="ha-noi",lane="normal",state="waiting"} 1' in lines
        assert 'axis_today{metric="sent"} 2' in lines
        assert 'axis_today{metric="refused"} 1' in lines
        assert {"axis_held 0", "axis_buried 0", "axis_events_unnumbered 0", "axis_ledger_up 1"} <= set(lines)
        assert "axis_log_size 0" in before.text.splitlines()
        assert "axis_log_size 0" not in lines
