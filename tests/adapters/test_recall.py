"""
Recall over AMQP and over HTTP, on the real desk: one contract for both.

The recall comes at the worst moment: the hub has read a consignment as something to offer and has not recorded yet
that it did, so its bytes lie in the station's queue, or in the listing on its way, and the ledger says "waiting".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.over_http import HTTPLimits
from adapters.station import Credentials, Station
from axis.broker.admin import StationUsers
from axis.broker.connection import BrokerAddress
from axis.broker.consumer import Consumer
from axis.broker.management import Management
from axis.broker.publisher import BrokerPublisher
from axis.core.credentials import hash_of_key, key_of
from axis.core.errors import ServiceUnavailable
from axis.core.exchange import Duty
from axis.core.model import BusinessType, ConsignmentId, RequestKind, StationId, SubmissionState
from axis.core.ports import Outgoing, OutgoingWithdrawal, Published, Ready
from axis.edxml.message import Edoc, StatusCode
from axis.flow.dispatch import Dispatcher, Pace
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.log import SQLLogView
from axis.ledger.outbox import SQLOutbox
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger
from axis.ledger.uploads import Spool, SQLUploads
from axis.web.services import WebServices
from tests.adapters.contract import first
from tests.flow.conftest import _sqlite_template, ledger, ledger_url
from tests.flow.office import LOG, RECEIPTS, Office
from tests.flow.town import HANOI, HANOI_1, TTTT, a_letter, a_station, signed
from tests.services.rabbitmq import Vhost
from tests.web.serving import eventually, running

__all__ = ["_sqlite_template", "ledger", "ledger_url"]

_STATION = StationId("ha-noi")
_PASSWORD = "of-a-test-" + "x" * 33


@dataclass
class _Between(SQLOutbox):
    """An outbox after whose reading something happens once, before the reader goes on."""

    ledger: SQLLedger
    happens: list[Callable[[], Awaitable[object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.ledger)

    async def ready(self, ids: Sequence[ConsignmentId], *, refs: int) -> Sequence[Ready]:
        found = await super().ready(ids, refs=refs)
        while found and self.happens:
            await self.happens.pop()()
        return found


@dataclass
class _Dying:
    """A publisher whose hub dies when its first withdrawal is in the queue and not recorded."""

    publisher: BrokerPublisher
    deaths: int = 0

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Published]:
        results = await self.publisher.publish(outgoing)
        if not self.deaths and any(isinstance(one, OutgoingWithdrawal) for one in outgoing):
            self.deaths += 1
            raise ServiceUnavailable("hub", "it died here")
        return results


@dataclass(kw_only=True)
class Wire:
    """An axis, and one station's way to it."""

    office: Office
    outbox: _Between
    station: Callable[[], Station]
    offers_by_itself: bool
    """Whether the station is given something before it asks."""

    async def rows(self, document: str | None) -> dict[str, dict[str, Any]]:
        found = await self.office.rows(t.delivery)
        return {row["code"]: row for row in found if row["document_key"] == document}

    async def was_offered(self, times: int) -> None:
        await eventually(
            lambda: self.office.events("delivery.handed_over"),
            lambda events: len(events) >= times,
            within_s=30,
        )

    async def stands(self, document: str | None, state: str) -> None:
        def is_it(rows: list[dict[str, Any]]) -> bool:
            return any((row["id"], row["state"]) == (document, state) for row in rows)

        await eventually(lambda: self.office.rows(t.document), is_it, within_s=30)

    async def is_consistent(self) -> None:
        while await self.office.sequencer.turn():
            pass
        result = await check(self.office.ledger, keys=[LOG.verifier])
        assert result.ok, result.first


def recall_of(original: Edoc) -> bytes:
    edoc = a_letter(9, receivers=(HANOI, HANOI_1), kind=BusinessType.RECALL)
    assert edoc.bussiness is not None
    return signed(replace(edoc, bussiness=replace(edoc.bussiness, document_id=original.document_id)))


@asynccontextmanager
async def over_http(ledger: SQLLedger, folder: Path) -> AsyncIterator[Wire]:
    outbox = _Between(ledger)
    office = Office.open(ledger, folder, outbox=lambda _: outbox, is_clock_real=True)
    await office.enrol()
    key = key_of(_STATION, randomness=b"k" * 32)
    async with ledger.transaction() as tx:
        await tx.keep_secrets(_STATION, secret=a_station(_STATION).secret, key_hash=hash_of_key(key))
    services = WebServices(
        desk=office.desk,
        keys=SQLStationView(ledger),
        log=SQLLogView(ledger),
        payloads=office.blobs,
        uploads=SQLUploads(ledger, clock=office.clock),
        spool=Spool(folder / "uploads"),
        directories=office.country,
        clock=office.clock,
        ids=office.ids,
        folder=folder / "bodies",
        log_origin=LOG.verifier.name,
        log_keys=(RECEIPTS.verifier.text, LOG.verifier.text),
    )
    async with running(services) as server:
        limits = HTTPLimits(connect_seconds=2, answer_seconds=10, wait_seconds=1)
        yield Wire(
            office=office,
            outbox=outbox,
            station=lambda: Station(server.url, Credentials(station=_STATION, key=key), http_limits=limits),
            offers_by_itself=False,
        )


@asynccontextmanager
async def over_amqp(ledger: SQLLedger, folder: Path, vhost: Vhost) -> AsyncIterator[Wire]:
    outbox = _Between(ledger)
    office = Office.open(ledger, folder, outbox=lambda _: outbox, is_clock_real=True)
    await office.enrol()
    secret = a_station(_STATION).secret
    address = BrokerAddress(urls=(vhost.url,))
    stop = asyncio.Event()
    async with BrokerPublisher(address, clock=office.clock) as publisher:
        await publisher.declare_hub()
        async with Management(vhost.management_url, vhost=vhost.name) as management:
            await StationUsers(management).add(_STATION, secret=secret, password=_PASSWORD)
        consumer = Consumer(
            address,
            desk=office.desk,
            publisher=publisher,
            clock=office.clock,
            ids=office.ids,
            ignore=office.desk.ignore,
            declare_station=publisher.declare_station,
        )
        dispatcher = Dispatcher(
            ledger=ledger,
            outbox=outbox,
            blobs=office.blobs,
            publisher=_Dying(publisher),
            declare=publisher.declare_station,
            depth=publisher.depth,
            directories=office.country,
            clock=office.clock,
            ids=office.ids,
            bells=office.pipeline.bells,
            pace=Pace(lease=timedelta(seconds=1), sweep_seconds=0.2),
        )
        host = vhost.url.rpartition("@")[2]
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(stop))
            group.create_task(dispatcher.run(stop))
            credentials = Credentials(station=_STATION, key=f"{_STATION}.{_PASSWORD}", queue_secret=secret)
            yield Wire(
                office=office,
                outbox=outbox,
                station=lambda: Station(f"amqp://{host}", credentials),
                offers_by_itself=True,
            )
            stop.set()


@pytest.fixture(params=["http", pytest.param("amqp", marks=pytest.mark.service)])
async def wire(request: pytest.FixtureRequest, ledger: SQLLedger, tmp_path: Path) -> AsyncIterator[Wire]:
    """The contract's worlds."""
    if request.param == "http":
        async with over_http(ledger, tmp_path) as found:
            yield found
    else:
        async with over_amqp(ledger, tmp_path, request.getfixturevalue("vhost")) as found:
            yield found


@pytest.mark.requirement("LR-22", "LR-23")
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_recall_between_publish_and_take(wire: Wire) -> None:
    """
    The station never hands it out, and says so; the sender is told, and the recall is closed. What comes behind it
    is taken. Then one document is taken before its recall: that one is asked for and answered.
    """
    original, behind = a_letter(1, receivers=(HANOI, HANOI_1)), a_letter(2, receivers=(HANOI,))
    recall = recall_of(original)
    wire.outbox.happens.append(lambda: wire.office.admit(recall))
    lost = await wire.office.admit(signed(original))
    if wire.offers_by_itself:
        # The bytes, and then the notice: its hub died before it had recorded that, so it lies there twice.
        await wire.was_offered(2)

    async with wire.station() as station, station.receive() as inbox:
        taking = asyncio.ensure_future(first(inbox))
        await wire.stands(lost.document, "recalled")
        await wire.office.admit(signed(behind))
        found = await taking
        message = await found.message()
        assert isinstance(message, Edoc)
        assert message.document_id == behind.document_id
        await found.done()
        rows = await wire.rows(lost.document)
        assert {row["state"] for row in rows.values()} == {"withdrawn"}
        told = await wire.office.events("delivery.withdrawn")
        assert {one.stations for one in told} == {("vpcp",)}
        assert not await wire.office.events("delivery.added")

        again = await wire.office.admit(recall_again(behind))
        assert [one.code for one in again.deliveries] == [HANOI.code]
        asked = await first(inbox)
        await asked.done()
        [owed] = (await station.owed(Duty.REQUEST)).owed
        assert (owed.document, owed.requested_by, owed.request) == (
            found.key,
            again.document,
            RequestKind.RECALL,
        )
        assert (owed.receiver, owed.due is not None, owed.is_late) == (HANOI.code, True, False)
        answer = await station.answer(asked, StatusCode.AGREED, description="Đã hủy văn bản")
        assert answer.state is SubmissionState.ACCEPTED
        assert (await station.owed(Duty.REQUEST)).owed == ()
        await wire.stands(found.header.document, "recalled")
    await wire.is_consistent()


def recall_again(original: Edoc) -> bytes:
    edoc = a_letter(10, receivers=(HANOI, TTTT), kind=BusinessType.RECALL)
    assert edoc.bussiness is not None
    return signed(replace(edoc, bussiness=replace(edoc.bussiness, document_id=original.document_id)))
