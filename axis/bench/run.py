"""
One run of `axis bench`: which profiles, in which order, and what is made of the figures.

Every profile first carries a few letters that are not measured: the first of everything is slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from axis.bench.admission import measure_admission
from axis.bench.figures import Figure
from axis.bench.ground import Say, open_ground
from axis.bench.hop import measure_hop
from axis.bench.road import Pace, Running, measure_road, measure_values, running
from axis.bench.town import Profile, Servers, Town, letters
from axis.bootstrap.parts import Axis

PROFILES: Final = (
    Profile(name="10 KB", attachment_bytes=10_000, fanout=1, documents=2_000),
    Profile(name="10 KB", attachment_bytes=10_000, fanout=3, documents=2_000),
    Profile(name="100 KB", attachment_bytes=100_000, fanout=1, documents=1_000),
    Profile(name="100 KB", attachment_bytes=100_000, fanout=3, documents=1_000),
    Profile(name="100 KB", attachment_bytes=100_000, fanout=69, documents=60),
    Profile(name="1 MB", attachment_bytes=1_000_000, fanout=3, documents=200),
    # The load an axis is designed for: 3 documents a second, each with two files signed by a person and an organ.
    Profile(name="2 signed PDFs", attachment_bytes=0, fanout=3, documents=180, pdfs=2, per_second=3.0),
)
_SLOWEST_HOP: Final = {
    ("10 KB", 1): 1500.0,
    ("10 KB", 3): 900.0,
    ("100 KB", 1): 900.0,
    ("100 KB", 3): 400.0,
    ("100 KB", 69): 15.0,
    ("1 MB", 3): 40.0,
}
_WARM: Final = 40
_LOADS: Final = (0.1, 0.8)
_PACED_SECONDS: Final = 15.0
_OVERLOAD: Final = 10
_OVERLOAD_SECONDS: Final = 5.0
_URGENT_PER_S: Final = 8.0
_URGENT: Final = 3
"""`Priority` of an urgent document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and where."""

    servers: Servers
    profiles: Sequence[Profile] = PROFILES
    hubs: Sequence[int] = (1,)
    scale: float = 1.0
    """Documents of each profile, against the usual number."""
    with_latency: bool = True

    def count(self, profile: Profile) -> int:
        """How many of them to send."""
        return max(20, round(profile.documents * self.scale))


async def run_bench(plan: Plan, *, say: Say) -> dict[str, Any]:
    """
    All of it; the object `axis bench --json` prints.

    Args:
        plan: What to measure.
        say: Told what is going on, for people.
    """
    figures: list[Figure] = []
    most = max(_receivers_of(profile) for profile in plan.profiles)
    async with open_ground(plan.servers, receivers=most, say=say) as ground:
        bench = _Bench(plan=plan, axis=ground.axis, town=ground.town, environ=ground.environ, say=say)
        for hubs in plan.hubs:
            figures += await bench.measure(hubs=hubs)
        if ground.is_embedded:
            say("admission")
            for profile in plan.profiles:
                if profile.per_second is None:
                    batch = bench.next(profile, plan.count(profile))
                    figures.append(await measure_admission(ground.town, ground.axis, profile, batch=batch))
    return ground.report(figures)


def _receivers_of(profile: Profile) -> int:
    """How many stations take part in a profile: more than one document goes to, as in earnest."""
    return max(6, profile.fanout)


class _Bench:
    def __init__(self, *, plan: Plan, axis: Axis, town: Town, environ: dict[str, str], say: Say) -> None:
        self._plan = plan
        self._axis = axis
        self._town = town
        self._environ = environ
        self._say = say
        self._written = 0

    def next(self, profile: Profile, count: int, priority: int = 0) -> list[tuple[str, bytes]]:
        """Letters nobody has seen yet."""
        first, self._written = self._written, self._written + count
        # A moment ago: a letter signed in the future would be refused.
        at = self._axis.clock.now() - timedelta(seconds=5)
        # To those who take them, however many stations there are.
        town = replace(self._town, receivers=self._town.receivers[: _receivers_of(profile)])
        return [
            (agency.code, body)
            for agency, body in letters(town, profile, count=count, first=first, at=at, priority=priority)
        ]

    async def measure(self, *, hubs: int) -> list[Figure]:
        plan, found = self._plan, []
        for profile in plan.profiles:
            count = plan.count(profile)
            town = replace(self._town, receivers=self._town.receivers[: _receivers_of(profile)])
            floor = None
            title = f"{profile.name} x {profile.fanout}"
            if profile.per_second is not None:
                async with running(self._axis, plan.servers, town, self._environ, hubs=hubs) as run:
                    found += await self._values(run, profile, count, profile.per_second, title=title)
                continue
            if plan.servers.broker_url is not None:
                self._say(f"{title}: hop")
                bodies = [body for _, body in await asyncio.to_thread(self.next, profile, min(count, 1_000))]
                floor = await measure_hop(
                    plan.servers.broker_url, bodies, profile=profile.name, fanout=profile.fanout
                )
                found.append(floor)
            async with running(self._axis, plan.servers, town, self._environ, hubs=hubs) as run:
                full = await self._one(run, profile, count, Pace(), title=title)
                found.append(_against(full, floor))
                assert full.documents_per_s is not None
                for share in _LOADS if plan.with_latency else ():
                    rate = full.documents_per_s * share
                    pace = Pace(name=f"{share:.0%}", per_second=rate)
                    found.append(
                        await self._one(
                            run, profile, max(20, round(rate * _PACED_SECONDS)), pace, title=title
                        )
                    )
                if (
                    plan.with_latency
                    and plan.servers.broker_url is not None
                    and all(one.name != "urgent" for one in found)
                ):
                    found.append(await self._urgent(run, profile, full.documents_per_s, title=title))
        return found

    async def _urgent(self, run: Running, profile: Profile, taken_per_s: float, *, title: str) -> Figure:
        """Urgent letters beside ten times as many normal ones as the axis takes in the same time."""
        self._say(f"{title}: urgent beside a flood")
        flood = await asyncio.to_thread(
            self.next, profile, max(20, round(_OVERLOAD * _OVERLOAD_SECONDS * taken_per_s * self._plan.scale))
        )
        urgent = await asyncio.to_thread(
            self.next, profile, round(_URGENT_PER_S * _OVERLOAD_SECONDS), _URGENT
        )
        pace = Pace(name=f"normal lane {_OVERLOAD}x", per_second=_URGENT_PER_S)
        figure = await measure_road(run, urgent, profile=profile, pace=pace, behind=flood)
        # Processor time is that of both: it says nothing of either.
        return replace(figure, name="urgent", cpu_ms_per_document=None, cpu_ms={})

    async def _values(
        self, run: Running, profile: Profile, count: int, per_second: float, *, title: str
    ) -> list[Figure]:
        """What signed files are worth is judged behind the road: how far behind, at the load of the design."""
        pace = Pace(name=f"{per_second:g}/s", per_second=per_second)
        self._say(f"{title}: {pace.name}")
        warm = await asyncio.to_thread(self.next, profile, 4)
        await measure_values(run, warm, profile=profile, pace=pace)
        written = await asyncio.to_thread(self.next, profile, count)
        return await measure_values(run, written, profile=profile, pace=pace)

    async def _one(self, run: Running, profile: Profile, count: int, pace: Pace, *, title: str) -> Figure:
        self._say(f"{title}: {pace.name}")
        if pace.per_second is None:
            warm = await asyncio.to_thread(self.next, profile, max(2, min(_WARM, count // 2)))
            await measure_road(run, warm, profile=profile, pace=pace)
        written = await asyncio.to_thread(self.next, profile, count)
        return await measure_road(run, written, profile=profile, pace=pace)


def _against(figure: Figure, floor: Figure | None) -> Figure:
    if floor is None or floor.documents_per_s is None or figure.documents_per_s is None:
        return figure
    least = _SLOWEST_HOP.get((floor.profile, floor.fanout), 0.0)
    if floor.documents_per_s < least:
        return replace(figure, note=f"baseline too slow: {floor.documents_per_s:.0f}/s, {least:.0f} expected")
    return replace(figure, ratio_to_hop=figure.documents_per_s / floor.documents_per_s)
