"""
`axis bench replay`: failed deliveries planned and sent round again, by the same questions and acts as `axis replay`.

The failures are real rows: letters admitted at the desk, whose deliveries then failed one and all. A hub (or `axis up`)
runs beside the replay and numbers what it records. Ends when the plan is done: every delivery waits to be handed over.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from time import perf_counter
from typing import Any, Final

from axis.bench.admission import measure_admission
from axis.bench.figures import Figure
from axis.bench.ground import Say, open_ground
from axis.bench.processes import BenchFailed
from axis.bench.road import running
from axis.bench.town import Profile, Servers, Town, letters
from axis.bootstrap.parts import Axis
from axis.core.lifecycle import DeliveryStep
from axis.core.model import Actor
from axis.core.reasons import ReasonCode
from axis.flow.steps import step_event
from axis.ledger.trouble import ReplayFilter, TroubleKind

_RECEIVERS: Final = 50
_PIECE: Final = 200
"""Letters, or consignments, worked on at a time while failures are made."""
_BY: Final = Actor(person="bench", reason="measurement")
_ASKED: Final = ReplayFilter(kinds=frozenset({TroubleKind.DELIVERY}), reason=ReasonCode.DELIVER_UNROUTED)


async def bench_replay(servers: Servers, *, items: int, say: Say) -> dict[str, Any]:
    """
    Make so many failures, plan and run; the object `axis bench replay --json` prints.

    Raises:
        BenchFailed: the plan did not do each item once.
    """
    profile = Profile(
        name="failed deliveries",
        attachment_bytes=1_000,
        fanout=_RECEIVERS,
        documents=max(1, items // _RECEIVERS),
    )
    async with open_ground(servers, receivers=_RECEIVERS, say=say) as ground:
        await _make_failures(ground.axis, ground.town, profile, say=say)
        async with running(ground.axis, servers, ground.town, ground.environ, hubs=1):
            figures = await _replay(ground.axis, profile, say=say)
    return ground.report(figures)


async def _make_failures(axis: Axis, town: Town, profile: Profile, *, say: Say) -> None:
    for first in range(0, profile.documents, _PIECE):
        at = axis.clock.now() - timedelta(seconds=5)
        count = min(_PIECE, profile.documents - first)
        written = await asyncio.to_thread(letters, town, profile, count=count, first=first, at=at)
        batch = [(agency.code, body) for agency, body in written]
        await measure_admission(town, axis, replace(profile, documents=count), batch=batch)
        for agency in town.receivers:
            await _fail_everything(axis, town, agency.code)
        say(f"{(first + count) * profile.fanout:,} deliveries have failed")


async def _fail_everything(axis: Axis, town: Town, code: str) -> None:
    """As a dispatcher does that finds no queue."""
    directory = await axis.directories.current()
    station = directory.stations[town.credentials[code].station]
    at = axis.clock.now()
    until = at + timedelta(minutes=1)
    found = await axis.outbox.lease([station], at=at, until=until, per_station=_PIECE, most=_PIECE)
    leased = found.consignments
    async with axis.ledger.transaction() as tx:
        rows = await tx.consignments(leased)
        every = await tx.deliveries_in(leased)
        documents = await tx.documents(sorted({one.document for one in every}))
        events = [
            step_event(
                DeliveryStep.FAIL,
                chosen={one.id},
                every=[one],
                consignment=rows[one.consignment],
                document=documents[one.document],
                by=_BY,
                at=at,
                ids=axis.ids,
                reason=ReasonCode.DELIVER_UNROUTED,
            )
            for one in every
            if one.consignment is not None
        ]
        await tx.append([one for one in events if one is not None])


async def _replay(axis: Axis, profile: Profile, *, say: Say) -> list[Figure]:
    queries = axis.queries(viewer="bench")
    count = profile.documents * profile.fanout
    began = perf_counter()
    rows = await queries.replay_candidates(_ASKED, limit=count + 1)
    items = [(str(one["kind"]), str(one["id"])) for one in rows]
    if len(items) != count:
        raise BenchFailed(f"{count} deliveries failed, and the preview shows {len(items)}")
    plan = await axis.replayer.plan(items, by=_BY)
    planned = perf_counter()
    marks: list[tuple[int, float]] = [(0, planned)]

    def note(done: int) -> None:
        marks.append((done, perf_counter()))
        say(f"{done:,} of {count:,} are offered again")

    tally = await axis.replayer.run(plan, by=_BY, progress=lambda tally: note(tally.done))
    ended = perf_counter()
    if (tally.done, tally.failed_again, tally.has_stopped) != (count, 0, False):
        raise BenchFailed(f"of {count} items {tally}")
    again = await axis.replayer.plan(items, by=_BY)
    await axis.replayer.run(again, by=_BY)

    def figure(load: str, number: int, seconds: float, note: str = "") -> Figure:
        return Figure(
            name="replay",
            profile=profile.name,
            fanout=1,
            documents=number,
            documents_per_s=number / seconds,
            load=load,
            note=note,
        )

    tenth = max(1, len(marks) // 10)
    first, last = marks[tenth], marks[-1 - tenth]
    slowdown = (ended - last[1]) / max(count - last[0], 1) / ((first[1] - planned) / max(first[0], 1))
    return [
        figure("preview, plan", count, planned - began),
        figure(
            "run", count, ended - planned, f"the last tenth took {slowdown:.2f} times as long as the first"
        ),
        figure("run again", count, perf_counter() - ended, "a second plan of the same: nothing moves twice"),
    ]
