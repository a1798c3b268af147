"""
Replay: an operator sends failed, held or buried items round again, by a plan that is rows in the ledger.

    failed delivery   offered again, the same delivery                 lifecycle step REPLAY
    held submission   judged now                                       axis.flow.hold
    buried message    admitted at step 1, same time of receipt         axis.flow.pipeline
    refused           never: its sender corrects and sends again
    acknowledged, withdrawn   never

Killed at any point, `run` goes on where the rows say: what was done is marked in the transaction that did it, or finds
itself done when it is tried once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from axis.core.errors import NotAllowed
from axis.core.events import JSON, Event, EventKind
from axis.core.lifecycle import DeliveryStep
from axis.core.model import (
    Actor,
    DeliveryId,
    DeliveryState,
    EventId,
    Lane,
    SubmissionId,
    SubmissionState,
)
from axis.core.ports import Blobs, Clock, Directories, Ids, InboundMessage, Ledger, Transaction
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How far a run has come."""

    done: int
    failed_again: int


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

    async def run(self, plan: str, *, by: Actor, progress: Callable[[Tally], None] | None = None) -> Tally:
        """
        Do what the plan still holds. A plan that was run to its end, or cancelled, does nothing more.

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
        tally = Tally(done=0, failed_again=0)
        while True:
            async with self._ledger.transaction() as tx:
                state, items = await tx.replay_plan(plan)
                if state != "running":
                    return tally
                if not items:
                    await tx.append([self._change(plan, "done", by=by, at=self._clock.now())])
                    return tally
            for kind, item in items:
                result = await self._one(plan, (kind, item), by=by)
                again = result in {SubmissionState.HELD.value, SubmissionState.REFUSED.value}
                tally = replace(tally, done=tally.done + 1, failed_again=tally.failed_again + again)
                if progress is not None:
                    progress(tally)

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

    async def _one(self, plan: str, item: Item, *, by: Actor) -> str:
        kind, identifier = item
        match kind:
            case "delivery":
                return await self._delivery(plan, DeliveryId(identifier), by=by)
            case "held":
                result = await self._held(SubmissionId(identifier))
            case _:
                result = await self._buried(SubmissionId(identifier))
        at = self._clock.now()
        await self._append(self._item(plan, item, result, by=by, at=at))
        return result

    async def _delivery(self, plan: str, delivery: DeliveryId, *, by: Actor) -> str:
        async with self._ledger.transaction() as tx:
            at = self._clock.now()
            result, step = await self._replayed(tx, delivery, by=by, at=at)
            events = [] if step is None else [step]
            await tx.append([*events, self._item(plan, (DELIVERY, delivery), result, by=by, at=at)])
            if step is not None:
                consignment = (await tx.consignments_of([delivery]))[delivery]
                await tx.pace([consignment.id], due_at=at, lease_until=None)
                self._bells.ring([consignment.station])
        return result

    async def _replayed(
        self, tx: Transaction, delivery: DeliveryId, *, by: Actor, at: datetime
    ) -> tuple[str, Event | None]:
        consignment = (await tx.consignments_of([delivery])).get(delivery)
        if consignment is None:
            return "unknown", None
        every = await tx.deliveries_in([consignment.id])
        row = next(one for one in every if one.id == delivery)
        if row.state is not DeliveryState.FAILED:
            # Replayed by another plan, or taken after all.
            return row.state.value, None
        document = (await tx.documents([row.document]))[row.document]
        event = step_event(
            DeliveryStep.REPLAY,
            chosen={delivery},
            every=every,
            consignment=consignment,
            document=document,
            by=by,
            at=at,
            ids=self._ids,
            # The schedule of tries begins anew.
            more={"attempt": 0, "failures": 0},
        )
        return "offered", event

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
