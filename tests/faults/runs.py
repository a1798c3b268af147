"""
What the children of the zygote do: a whole happy path over counted ports, and a hub over counted ports.

Each run is written so that it can be done again on the same stores: stations send again under the same message ids,
list again, and say again what they said. That is what real ones do after a crash.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from axis.broker.connection import BrokerAddress
from axis.broker.consumer import Consumer
from axis.broker.publisher import BrokerPublisher
from axis.core.errors import Withdrawn
from axis.core.exchange import Outcome
from axis.core.model import BusinessType, StationId
from axis.demo.letters import status
from axis.edxml.message import StatusCode
from axis.flow.dispatch import Dispatcher, Pace, PullKeeper
from axis.ledger import tables as t
from axis.ledger.outbox import SQLOutbox
from axis.ledger.store import SQLLedger, open_engine
from tests.faults.crashing import Crasher
from tests.flow.office import Office
from tests.flow.town import AT, HANOI, NOWHERE, NV, QP, TTTT, a_letter, a_message, signed

# Made once, before any child is: what is sent again after a crash is the same bytes.
_FIRST = signed(a_letter(1, receivers=(HANOI, TTTT)))
_REFUSED = signed(a_letter(2, receivers=(NOWHERE,)))
_URGENT = signed(a_letter(3, receivers=(HANOI,), priority=2))
_HOLDERS = (HANOI, NV, TTTT, QP)
_WANTED_BACK = signed(a_letter(4, receivers=_HOLDERS))
_THE_RECALL = a_letter(5, receivers=_HOLDERS, kind=BusinessType.RECALL, target=a_letter(4).document_id)
_RECALL = signed(_THE_RECALL)


def _told(file: str) -> Any:
    def tell(moment: str) -> None:
        Path(file).write_text(moment)

    return tell


async def road(
    *, url: str, folder: str, log: str, first_id: int, kill_at: int | None, moments: str, later_minutes: int
) -> None:
    """Submit, refuse, list, fetch, acknowledge, answer, list the answer, number: once over every port."""
    del log
    crasher = Crasher(kill_at=kill_at, told=_told(moments))
    ledger = SQLLedger(open_engine(url))
    office = Office.open(
        crasher.ledger(ledger),
        Path(folder),
        first_id=first_id,
        blobs=lambda one: crasher.port(one, name="blobs", methods=("put", "read")),
        outbox=lambda one: crasher.port(one, name="outbox", methods=("lease", "ready")),
        sequencer_ledger=ledger,
    )
    office.clock.jump(timedelta(minutes=later_minutes))
    await office.enrol_once()
    # What a hub does all the time: offer again what was listed and never settled.
    await PullKeeper(
        ledger=crasher.ledger(ledger),
        outbox=office.outbox,
        directories=office.country,
        clock=office.clock,
        ids=office.ids,
        bells=office.pipeline.bells,
        everybody_pulls=True,
    ).turn()
    await office.admit_all(
        [
            a_message(_FIRST, message_id="m-1"),
            a_message(_REFUSED, message_id="m-2"),
            a_message(_URGENT, message_id="m-3"),
        ]
    )
    for station in ("ha-noi", "bo-tttt"):
        for one in await office.inbox(station):
            deliveries = [ref.delivery for ref in one.deliveries]
            await office.blobs.read(one.digest)
            await office.say(station, Outcome.FETCHED, *deliveries)
            _remember(folder, station, deliveries)
            await office.say(station, Outcome.DONE, *deliveries)
    answer = status(StatusCode.REGISTERED, sender=HANOI, answered=a_letter(1), at=AT)
    await office.admit(answer, message_id="m-4", station="ha-noi")
    for one in await office.inbox("vpcp"):
        await office.say("vpcp", Outcome.DONE, *[ref.delivery for ref in one.deliveries])
    while await office.sequencer.turn():
        pass
    _told(moments)(json.dumps(crasher.moments))
    await ledger.engine.dispose()


async def withdrawal(
    *, url: str, folder: str, log: str, first_id: int, kill_at: int | None, moments: str, later_minutes: int
) -> None:
    """
    A recall that finds one receiver done, one with the bytes in hand, one whose listing is on its way to it, and one
    that has seen nothing; moments are counted from the recall on.
    """
    del log
    crasher = Crasher(kill_at=kill_at, told=_told(moments))
    ledger = SQLLedger(open_engine(url))
    happens: list[Any] = []

    class Between(SQLOutbox):
        """An outbox after whose reading the recall comes: the listing is on its way, and not recorded yet."""

        async def ready(self, ids: Any, *, refs: int) -> Any:
            found = await super().ready(ids, refs=refs)
            while found and happens:
                await happens.pop()()
            return found

    def opened(first: int, *, is_counted: bool) -> Office:
        waiting = Between(ledger)
        office = Office.open(
            crasher.ledger(ledger) if is_counted else ledger,
            Path(folder),
            first_id=first,
            blobs=lambda one: crasher.port(one, name="blobs", methods=("put", "read")) if is_counted else one,
            outbox=lambda _: (
                crasher.port(waiting, name="outbox", methods=("lease", "ready")) if is_counted else waiting
            ),
            sequencer_ledger=ledger,
        )
        office.clock.jump(timedelta(minutes=later_minutes))
        return office

    before = opened(first_id, is_counted=False)
    await before.enrol_once()
    keeper = PullKeeper(
        ledger=crasher.ledger(ledger),
        outbox=before.outbox,
        directories=before.country,
        clock=before.clock,
        ids=before.ids,
        bells=before.pipeline.bells,
        everybody_pulls=True,
    )
    await keeper.turn()
    await before.admit(_WANTED_BACK, message_id="m-1")
    if not await _recalls(before):
        await _take(before, folder, "ha-noi")
        for one in await before.inbox("bo-nv"):
            _remember(folder, "bo-nv", [ref.delivery for ref in one.deliveries])
    office = opened(first_id + 500_000, is_counted=True)
    crasher.moments.clear()

    async def recall() -> None:
        await office.admit(_RECALL, message_id="m-2")

    happens.append(recall)
    await _take(office, folder, "bo-tttt")
    # Nothing was on its way any more: the walk before this one was killed behind the recall.
    while happens:
        await happens.pop()()
    await _take(office, folder, "bo-nv")
    in_hand = Path(folder) / "bo-nv.seen"
    await office.say("bo-nv", Outcome.FETCHED, *in_hand.read_text().split())
    await _take(office, folder, "bo-qp")
    for number, (station, organ) in enumerate((("ha-noi", HANOI), ("bo-nv", NV)), start=3):
        await _take(office, folder, station)
        agreed = status(StatusCode.AGREED, sender=organ, answered=_THE_RECALL, at=AT, words="Đã hủy")
        await office.admit(agreed, message_id=f"m-{number}", station=station)
    await _take(office, folder, "vpcp")
    while await office.sequencer.turn():
        pass
    _told(moments)(json.dumps(crasher.moments))
    await ledger.engine.dispose()


async def _recalls(office: Office) -> bool:
    return any(row["business_type"] == BusinessType.RECALL for row in await office.rows(t.document))


async def _take(office: Office, folder: str, station: str) -> None:
    """What a station that pulls does: it drops what it may not fetch any more, unless its users have it."""
    for one in await office.inbox(station):
        deliveries = [ref.delivery for ref in one.deliveries]
        seen = Path(folder) / f"{station}.seen"
        has_it = seen.exists() and set(deliveries) <= set(seen.read_text().split())
        try:
            digest, _ = await office.desk.payload(
                office.country.directory.stations[StationId(station)], one.document
            )
        except Withdrawn:
            await office.say(station, Outcome.FETCHED if has_it else Outcome.WITHDRAWN, *deliveries)
            continue
        await office.blobs.read(digest)
        _remember(folder, station, deliveries)
        await office.say(station, Outcome.DONE, *deliveries)


def _remember(folder: str, station: str, deliveries: list[Any]) -> None:
    """What the station has on its own disk, before it says so."""
    with (Path(folder) / f"{station}.seen").open("a") as file:
        file.writelines(f"{one}\n" for one in deliveries)
        file.flush()
        os.fsync(file.fileno())


async def hub(
    *, url: str, broker: str, folder: str, log: str, first_id: int, kill_at: int | None, moments: str
) -> None:
    """A hub on RabbitMQ and PostgreSQL over counted ports, until it is told to stop or kills itself."""
    del log
    crasher = Crasher(kill_at=kill_at, told=_told(moments))
    engine = open_engine(url)
    plain = SQLLedger(engine)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    office = Office.open(
        crasher.ledger(plain),
        Path(folder),
        first_id=first_id,
        blobs=lambda one: crasher.port(one, name="blobs", methods=("put", "read")),
        outbox=lambda one: crasher.port(one, name="outbox", methods=("lease", "ready")),
        sequencer_ledger=plain,
        is_clock_real=True,
    )
    address = BrokerAddress(urls=(broker,))
    async with BrokerPublisher(address, clock=office.clock) as publisher:
        counted = crasher.port(publisher, name="broker", methods=("publish",))
        consumer = Consumer(
            address,
            desk=office.desk,
            publisher=counted,
            clock=office.clock,
            ids=office.ids,
            ignore=office.desk.ignore,
            declare_station=publisher.declare_station,
        )
        dispatcher = Dispatcher(
            ledger=crasher.ledger(plain),
            outbox=office.outbox,
            blobs=office.blobs,
            publisher=counted,
            declare=publisher.declare_station,
            depth=publisher.depth,
            directories=office.country,
            clock=office.clock,
            ids=office.ids,
            bells=office.pipeline.bells,
            # A lease of the dead one must not keep the living one waiting for a minute.
            pace=Pace(lease=timedelta(seconds=1), sweep_seconds=0.2),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(stop))
            group.create_task(dispatcher.run(stop))
            group.create_task(office.sequencer.run(stop, wake=plain.appended))
    _told(moments)(json.dumps(crasher.moments))
    await engine.dispose()


async def write_letters(*, folder: str, count: int, log: str) -> None:
    """Letters 1 to `count`, signed with the keys all children share."""
    del log
    for number in range(1, count + 1):
        (Path(folder) / f"letter-{number}").write_bytes(await asyncio.to_thread(signed, a_letter(number)))
