"""
Replay: an operator sends failed, held or buried items round again, by a plan that is rows in the ledger.

    failed delivery   offered again, the same delivery                 lifecycle step REPLAY
    held submission   judged now                                       axis.flow.hold
    buried message    admitted at step 1, same time of receipt         axis.flow.pipeline
    refused           never: its sender corrects and sends again
    acknowledged, withdrawn   never

Killed at any point, `run` goes on where the rows say: what was done is marked in the transaction that did it, or finds
itself done when it is tried once more. A run that sees most of it fail again stops by itself: the plan is paused, and
whoever has mended the cause runs it again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from axis.core.errors import InvariantBroken, NotAllowed
from axis.core.events import JSON, Event, EventKind
from axis.core.lifecycle import DeliveryStep
from axis.core.model import (
    Actor,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    DocumentKey,
    EventId,
    Lane,
    StationId,
    SubmissionId,
    SubmissionState,
)
from axis.core.ports import Blobs, Clock, Directories, Ids, InboundMessage, Ledger, Transaction
from axis.core.rows import ConsignmentRow, DeliveryRow, DocumentRow
from axis.flow.bells import Bells
from axis.flow.hold import HoldKeeper
from axis.flow.outcomes import Refusal
from axis.flow.pipeline import Pipeline
from axis.flow.receive import receive
from axis.flow.steps import step_event

log = structlog.get_logger(__name__)

DELIVERY, HELD, BURIED = "delivery", "held", "buried"
KINDS = (DELIVERY, HELD, BURIED)

Item = tuple[str, str]
"""Kind and id."""

OFFERED = "offered"
_FAILED_AGAIN = frozenset({SubmissionState.HELD.value, SubmissionState.REFUSED.value})


MOST_AT_ONCE = 100
"""Most items between two looks at whether the plan still runs."""
JUDGED = 100
"""So many of the last items are looked at to tell whether it pays to go on."""
FEWEST_JUDGED = 20
"""With fewer than that nothing can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How far a run has come."""

    done: int
    failed_again: int
    has_stopped: bool = False
    """Most of what was tried last has failed again: the plan is paused."""


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run of one plan, in this process."""

    plan: str
    by: Actor
    most: int
    """Items at a time."""
    tally: Tally = Tally(done=0, failed_again=0)
    last: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=JUDGED))
    """(id, result) of the last items."""

    def note(self, item: Item, result: str) -> None:
        again = result in _FAILED_AGAIN
        self.tally = replace(
            self.tally, done=self.tally.done + 1, failed_again=self.tally.failed_again + again
        )
        self.last.append((item[1], result))


class Replayer:
    """Makes and runs plans. Every act carries the person and the reason."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        holds: HoldKeeper,
        ledger: Ledger,
        blobs: Blobs,
        directories: Directories,
        clock: Clock,
        ids: Ids,
        bells: Bells,
    ) -> None:
        self._pipeline = pipeline
        self._holds = holds
        self._ledger = ledger
        self._blobs = blobs
        self._directories = directories
        self._clock = clock
        self._ids = ids
        self._bells = bells

    async def plan(self, items: Sequence[Item], *, by: Actor) -> str:
        """
        Write a plan down; nothing moves yet. Returns its id.

        Raises:
            NotAllowed: no person or no reason is named, or there is nothing in it.
        """
        if not by.person or not by.reason:
            raise NotAllowed("a replay needs a person and a reason")
        if not items:
            raise NotAllowed("there is nothing to replay")
        at = self._clock.now()
        plan = self._ids.new(at)
        await self._append(self._change(plan, "planned", by=by, at=at, items=[list(one) for one in items]))
        return plan

    async def run(
        self,
        plan: str,
        *,
        by: Actor,
        per_second: float | None = None,
        progress: Callable[[Tally], None] | None = None,
    ) -> Tally:
        """
        Do what the plan still holds, at most so many items a second. A plan that was run to its end does nothing more.

        Raises:
            NotFound: no such plan.
            NotAllowed: it was cancelled.
        """
        async with self._ledger.transaction() as tx:
            state, _ = await tx.replay_plan(plan)
            if state == "cancelled":
                raise NotAllowed(f"plan {plan} was cancelled")
            if state in {"planned", "paused"}:
                await tx.append([self._change(plan, "running", by=by, at=self._clock.now())])
        most = MOST_AT_ONCE if per_second is None else max(1, min(MOST_AT_ONCE, int(per_second)))
        run = _Run(plan=plan, by=by, most=most)
        clock = asyncio.get_running_loop().time
        began = clock()
        while await self._piece(run):
            if progress is not None:
                progress(run.tally)
            if per_second is not None:
                await asyncio.sleep(max(0.0, began + run.tally.done / per_second - clock()))
        return run.tally

    async def _piece(self, run: _Run) -> bool:
        """The next items of the plan; False when there is nothing more to do."""
        async with self._ledger.transaction() as tx:
            state, items = await tx.replay_plan(run.plan)
            if state != "running":
                return False
            at = self._clock.now()
            if not items:
                await tx.append([self._change(run.plan, "done", by=run.by, at=at)])
                return False
            if await self._fails_again(tx, run):
                run.tally = replace(run.tally, has_stopped=True)
                facts: dict[str, JSON] = {"cause": "most_fail_again"}
                await tx.append([self._change(run.plan, "paused", by=run.by, at=at, **facts)])
                log.warning("replay.stopped", plan=run.plan, done=run.tally.done)
                return False
            items = items[: run.most]
            deliveries = [DeliveryId(item) for kind, item in items if kind == DELIVERY]
            # With the plan locked until they are marked: of two runs of one plan, each does what the other has not.
            stations = await self._deliveries(tx, run, deliveries, at=at) if deliveries else set()
        self._bells.ring(stations)
        for kind, item in items:
            if kind != DELIVERY:
                await self._judged_anew(run, (kind, item))
        return True

    async def _fails_again(self, tx: Transaction, run: _Run) -> bool:
        """Whether most of the last items have: a delivery may tell only minutes after it was offered."""
        offered = [DeliveryId(item) for item, result in run.last if result == OFFERED]
        rows = await tx.deliveries(sorted(offered)) if offered else {}
        failed = sum(one.state is DeliveryState.FAILED for one in rows.values())
        failed += sum(result in _FAILED_AGAIN for _, result in run.last)
        return len(run.last) >= FEWEST_JUDGED and failed * 2 > len(run.last)

    async def change(self, plan: str, to: str, *, by: Actor) -> None:
        """
        Pause, resume or cancel: `to` is `paused`, `running` or `cancelled`.

        Raises:
            NotFound: no such plan.
            NotAllowed: it has ended.
        """
        async with self._ledger.transaction() as tx:
            state, _ = await tx.replay_plan(plan)
            if state in {"done", "cancelled"}:
                raise NotAllowed(f"plan {plan} is {state}")
            await tx.append([self._change(plan, to, by=by, at=self._clock.now())])

    # --- one item -------------------------------------------------------------------------------------------------

    async def _judged_anew(self, run: _Run, item: Item) -> None:
        """A held or buried message: it has a transaction of its own, and finds itself done when that was before."""
        kind, identifier = item
        if kind == HELD:
            result = await self._held(SubmissionId(identifier))
        else:
            result = await self._buried(SubmissionId(identifier))
        async with self._ledger.transaction() as tx:
            _, planned = await tx.replay_plan(run.plan)
            if item in planned:
                await tx.append([self._item(run.plan, item, result, by=run.by, at=self._clock.now())])
        run.note(item, result)

    async def _deliveries(
        self, tx: Transaction, run: _Run, ids: Sequence[DeliveryId], *, at: datetime
    ) -> set[StationId]:
        """Offer these again, and mark them; the stations they are for."""
        consignments = await tx.consignments_of(sorted(ids))
        every = await tx.deliveries_in(sorted({one.id for one in consignments.values()}))
        documents = await tx.documents(sorted({one.document for one in every}))
        events: list[Event] = []
        offered: dict[ConsignmentId, StationId] = {}
        for inside in _by_consignment(ids, consignments):
            consignment = consignments.get(inside[0])
            rows = [one for one in every if consignment is not None and one.consignment == consignment.id]
            states = {one.id: one.state for one in rows}
            # What is not failed was replayed by another plan, or taken after all.
            chosen = {one for one in inside if states.get(one) is DeliveryState.FAILED}
            if consignment is not None and chosen:
                step = self._step(consignment, rows, chosen, documents, by=run.by, at=at)
                events.append(step)
                offered[consignment.id] = consignment.station
            for one in inside:
                state = states.get(one)
                result = OFFERED if one in chosen else (state.value if state is not None else "unknown")
                events.append(self._item(run.plan, (DELIVERY, one), result, by=run.by, at=at))
                run.note((DELIVERY, one), result)
        await tx.append(events)
        if offered:
            await tx.pace(sorted(offered), due_at=at, lease_until=None)
        return set(offered.values())

    def _step(
        self,
        consignment: ConsignmentRow,
        rows: Sequence[DeliveryRow],
        chosen: set[DeliveryId],
        documents: Mapping[DocumentKey, DocumentRow],
        *,
        by: Actor,
        at: datetime,
    ) -> Event:
        step = step_event(
            DeliveryStep.REPLAY,
            chosen=chosen,
            every=rows,
            consignment=consignment,
            document=documents[consignment.document],
            by=by,
            at=at,
            ids=self._ids,
            # The schedule of tries begins anew.
            more={"attempt": 0, "failures": 0},
        )
        if step is None:
            raise InvariantBroken(f"a failed delivery of {consignment.id} cannot be replayed")
        return step

    async def _held(self, submission: SubmissionId) -> str:
        async with self._ledger.transaction() as tx:
            row = (await tx.submissions([submission])).get(submission)
        if row is None:
            return "unknown"
        if row.state is not SubmissionState.HELD:
            return row.state.value
        return (await self._holds.try_now([row]))[0].state.value

    async def _buried(self, submission: SubmissionId) -> str:
        async with self._ledger.transaction() as tx:
            row = (await tx.buried([submission])).get(submission)
        if row is None:
            return "unknown"
        if row.admitted_as is not None:
            return "admitted"
        world = await self._pipeline.world()
        message = InboundMessage(
            station=row.station,
            message_id=row.message_id,
            body=self._blobs.path(row.digest),
            lane=Lane.NORMAL,
            received_at=row.at,
        )
        inbound, cause = receive(message, submission=row.id, payload=None, world=world)
        inbound = replace(inbound, unburies=row.id)
        if cause is not None:
            judged = Refusal(inbound=inbound, causes=(cause,))
            answers = await self._pipeline.settle([judged])
        else:
            answers = await self._pipeline.settle([await self._pipeline.judge_again(inbound)])
        return answers[0].state.value

    # --- events ---------------------------------------------------------------------------------------------------

    async def _append(self, event: Event) -> None:
        async with self._ledger.transaction() as tx:
            await tx.append([event])

    def _item(self, plan: str, item: Item, result: str, *, by: Actor, at: datetime) -> Event:
        return self._change(plan, "item", by=by, at=at, item=list(item), result=result)

    def _change(self, plan: str, change: str, *, by: Actor, at: datetime, **more: JSON) -> Event:
        return Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.REPLAY_CHANGED,
            at=at,
            by=by,
            facts={"plan": plan, "change": change, **more},
        )


def _by_consignment(
    ids: Sequence[DeliveryId], consignments: Mapping[DeliveryId, ConsignmentRow]
) -> Sequence[Sequence[DeliveryId]]:
    """The deliveries in groups that travel together; one that has no consignment alone."""
    groups: dict[str, list[DeliveryId]] = {}
    for one in ids:
        consignment = consignments.get(one)
        groups.setdefault(consignment.id if consignment is not None else one, []).append(one)
    return list(groups.values())
