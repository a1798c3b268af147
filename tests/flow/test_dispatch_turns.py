"""Whose consignments go out when: a backlog that is drained, and many that are busy, keep nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from axis.core.model import StationId
from axis.core.ports import Outgoing, Published
from axis.flow.dispatch import Dispatcher, Pace
from tests.flow.office import Office
from tests.flow.town import HANOI, TTTT, a_letter, signed


class _Broker:
    """Confirms everything, and tells whose consignments went out in which order."""

    def __init__(self, *, after_first: Callable[[], Awaitable[object]] | None = None) -> None:
        self._after_first = after_first
        self.went_out: list[str] = []
        self.news = asyncio.Event()

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Published]:
        self.went_out += [one.station for one in outgoing]
        if self._after_first is not None:
            after_first, self._after_first = self._after_first, None
            await after_first()
        self.news.set()
        return [Published.CONFIRMED] * len(outgoing)

    async def declare(self, *, station: StationId, secret: str) -> None:
        """Every queue is there."""

    async def depth(self, *, station: StationId, secret: str) -> int | None:
        """Something lies in each: nothing is offered again."""
        del station, secret
        return 1


def _dispatcher(office: Office, broker: _Broker, *, pace: Pace) -> Dispatcher:
    return Dispatcher(
        ledger=office.ledger,
        outbox=office.outbox,
        blobs=office.blobs,
        publisher=broker,
        declare=broker.declare,
        depth=broker.depth,
        directories=office.country,
        clock=office.clock,
        ids=office.ids,
        bells=office.pipeline.bells,
        pace=pace,
    )


async def test_a_backlog_that_is_drained_keeps_nobody_waiting(office: Office) -> None:
    """A station is back with much that waits: what comes for another meanwhile goes out with the next batches."""
    for number in range(1, 13):
        await office.admit(signed(a_letter(number, receivers=(HANOI,))))
    broker = _Broker(after_first=lambda: office.admit(signed(a_letter(13, receivers=(TTTT,)))))
    # Nothing but bells within the time of this test.
    dispatcher = _dispatcher(office, broker, pace=Pace(batch=2, per_station=2, sweep_seconds=3_600))
    stop = asyncio.Event()

    running = asyncio.ensure_future(dispatcher.run(stop))
    try:
        async with asyncio.timeout(60):
            while len(broker.went_out) < 13:
                broker.news.clear()
                await broker.news.wait()
    finally:
        stop.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert "bo-tttt" in broker.went_out[:6], broker.went_out


async def test_busy_stations_are_served_in_turns(office: Office) -> None:
    """A batch is too small for all of them: whoever had the last one waits for the others, whatever their names."""
    for number in range(1, 5):
        await office.admit(signed(a_letter(number, receivers=(HANOI, TTTT))))
    broker = _Broker()
    dispatcher = _dispatcher(office, broker, pace=Pace(batch=2, per_station=2))

    stations = {StationId("ha-noi"), StationId("bo-tttt")}
    while stations:
        stations = await dispatcher.offer(stations)

    assert broker.went_out == ["bo-tttt"] * 2 + ["ha-noi"] * 2 + ["bo-tttt"] * 2 + ["ha-noi"] * 2
