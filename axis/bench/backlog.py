"""
`axis bench backlog`: what waits for stations that are away, beside those that are there.

    alone    nothing waits: as much as is taken, and the times at a steady rate
    away     so many documents wait for one station, many more for others: the same again
    drain    the one station is back and takes everything, while the others go on at the steady rate

What waits was admitted at the desk; hubs run from the beginning and fill the windows of the stations that are away.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from time import perf_counter
from typing import Any, Final

from axis.bench.admission import measure_admission
from axis.bench.figures import Figure
from axis.bench.ground import Say, open_ground
from axis.bench.processes import Child
from axis.bench.road import Pace, Running, login, measure_road, running
from axis.bench.town import Profile, Servers, Town, letters
from axis.bootstrap.parts import Axis

_THERE: Final = 6
"""Stations that take what they are sent."""
_AWAY: Final = 50
"""Stations beside the one that comes back."""
_PIECE: Final = 200
_SHARE: Final = 0.3
"""The steady rate, against what is taken at full load."""
_STEADY_SECONDS: Final = 15.0
_STILL_SECONDS: Final = 5.0
_DRAIN_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much waits, and where."""

    servers: Servers
    waiting: int = 10_000
    """Documents for the station that comes back."""
    others: int = 100_000
    """Documents for all the other stations that are away, added up."""
    documents: int = 600
    """Documents sent each time to the stations that are there."""


async def bench_backlog(plan: Plan, *, say: Say) -> dict[str, Any]:
    """The object `axis bench backlog --json` prints."""
    async with open_ground(plan.servers, receivers=_THERE + 1 + _AWAY, say=say) as ground:
        town = ground.town
        there = replace(town, receivers=town.receivers[:_THERE])
        async with running(ground.axis, plan.servers, there, ground.environ, hubs=1) as run:
            figures = await _Bench(plan=plan, axis=ground.axis, town=town, run=run, say=say).measure()
    return ground.report(figures)


class _Bench:
    def __init__(self, *, plan: Plan, axis: Axis, town: Town, run: Running, say: Say) -> None:
        self._plan = plan
        self._axis = axis
        self._town = town
        self._run = run
        self._say = say
        self._written = 0
        self._profile = Profile(name="10 KB", attachment_bytes=10_000, fanout=3, documents=plan.documents)

    async def measure(self) -> list[Figure]:
        plan, back = self._plan, self._town.receivers[_THERE]
        self._say("alone: warming up")
        await self._road(Pace(), count=40)
        alone = await self._road(Pace(name="alone, full"), count=plan.documents)
        assert alone.documents_per_s is not None
        rate = alone.documents_per_s * _SHARE
        steady = max(10, round(rate * _STEADY_SECONDS))
        figures = [alone, await self._road(Pace(name="alone", per_second=rate), count=steady)]
        await self._let_wait(replace(self._town, receivers=(back,)), documents=plan.waiting)
        await self._let_wait(
            replace(self._town, receivers=self._town.receivers[_THERE + 1 :]), documents=plan.others // _AWAY
        )
        await self._until_still()
        waiting = f"{plan.waiting + plan.others:,} wait"
        figures += [
            await self._road(Pace(name=f"{waiting}, full"), count=plan.documents),
            await self._road(Pace(name=waiting, per_second=rate), count=steady),
        ]
        drained = asyncio.ensure_future(self._drain(login(self._town, back.code)))
        beside = await self._road(Pace(name="beside a drain", per_second=rate), count=steady)
        return [*figures, beside, await drained]

    async def _road(self, pace: Pace, *, count: int) -> Figure:
        self._say(f"{pace.name}: {count} documents")
        batch = await self._written_for(self._run.town, self._profile, count)
        return await measure_road(self._run, batch, profile=self._profile, pace=pace)

    async def _let_wait(self, town: Town, *, documents: int) -> None:
        """Documents for every one of these stations, none of which takes anything."""
        profile = Profile(
            name="waiting", attachment_bytes=1_000, fanout=len(town.receivers), documents=documents
        )
        for first in range(0, documents, _PIECE):
            self._say(f"{first:,} of {documents:,} wait for each of {len(town.receivers)}")
            batch = await self._written_for(town, profile, min(_PIECE, documents - first))
            await measure_admission(town, self._axis, profile, batch=batch)

    async def _until_still(self) -> None:
        """Until the windows of the stations that are away are full, and everything is numbered."""
        self._say("hubs fill the windows")
        before: object = None
        while (now := await self._states()) != before:
            before = now
            await asyncio.sleep(_STILL_SECONDS)

    async def _states(self) -> object:
        figures = await self._axis.figures.figures(at=self._axis.clock.now())
        return [one for one in figures if one.name == "axis_consignments"]

    async def _drain(self, station: dict[str, str | None]) -> Figure:
        """The station is back: from its first look to its last acknowledgement."""
        run = self._run
        spec = {
            "url": run.station_url,
            "http": None if run.servers.broker_url is None else run.http,
            "expected": self._plan.waiting,
            "stations": [station],
        }
        async with Child.of("axis.bench.stations", spec) as taker, asyncio.timeout(_DRAIN_SECONDS):
            assert await taker.line() == "ready"
            began = perf_counter()
            await taker.json()
            seconds = perf_counter() - began
        return Figure(
            name="drain",
            profile="waiting",
            fanout=1,
            documents=self._plan.waiting,
            documents_per_s=self._plan.waiting / seconds,
            load=f"{self._plan.waiting:,} wait",
        )

    async def _written_for(self, town: Town, profile: Profile, count: int) -> list[tuple[str, bytes]]:
        first, self._written = self._written, self._written + count
        # A moment ago: a letter signed in the future would be refused.
        at = self._axis.clock.now() - timedelta(seconds=5)
        written = await asyncio.to_thread(letters, town, profile, count=count, first=first, at=at)
        return [(agency.code, body) for agency, body in written]
