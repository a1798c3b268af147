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
from axis.core.exchange import Outcome
from axis.demo.letters import status
from axis.edxml.message import StatusCode
from axis.flow.dispatch import Dispatcher, Pace, PullKeeper
from axis.ledger.store import SQLLedger, open_engine
from tests.faults.crashing import Crasher
from tests.flow.office import Office
from tests.flow.town import AT, HANOI, NOWHERE, TTTT, a_letter, a_message, signed

# Made once, before any child is: what is sent again after a crash is the same bytes.
_FIRST = signed(a_letter(1, receivers=(HANOI, TTTT)))
_REFUSED = signed(a_letter(2, receivers=(NOWHERE,)))
_URGENT = signed(a_letter(3, receivers=(HANOI,), priority=2))


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
