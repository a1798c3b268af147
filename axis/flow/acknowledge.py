"""
After step 7: what a station says of its deliveries becomes events; a broker acknowledgement alone proves nothing.

`fetched` and `done` move a delivery on, `fail` offers it again by the schedule and in the end fails it, `withdrawn`
closes one that was recalled. What changes nothing (twice, too late, not the station's) is recorded as ignored, with
the reason, and never stops what stands beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import Ack, Outcome, Statement
from axis.core.lifecycle import DeliveryStep, advance, next_delivery_state
from axis.core.model import (
    Actor,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    DocumentKey,
    EventId,
    RequestKind,
    RequestState,
    StationId,
)
from axis.core.ports import Clock, Ids, Ledger, Transaction
from axis.core.reasons import ReasonCode
from axis.core.retry import DELIVERIES, Backoff
from axis.core.rows import ConsignmentRow, DeliveryRow, DocumentRow
from axis.core.text import printable
from axis.flow.recall import follow, to_serve
from axis.flow.receive import LONGEST_MESSAGE_ID
from axis.flow.steps import step_event

MOST_REASON = 500
"""Characters of a station's own explanation that are kept."""

_STEP = {
    Outcome.FETCHED: DeliveryStep.FETCH,
    Outcome.DONE: DeliveryStep.ACKNOWLEDGE,
    Outcome.WITHDRAWN: DeliveryStep.WITHDRAW,
}


async def acknowledge(
    statements: Sequence[Statement],
    *,
    ledger: Ledger,
    clock: Clock,
    ids: Ids,
    schedule: Backoff = DELIVERIES,
) -> frozenset[StationId]:
    """
    Record what the stations say, in order, in one transaction; returns the stations that are told of it.

    `schedule` says how often and when a delivery is offered again to a station that failed to take it.

    Raises:
        ServiceUnavailable: nothing was recorded, or it is unknown; said again, it changes nothing twice.
    """
    async with ledger.transaction() as tx:
        desk = await _Deliveries.load(
            tx,
            sorted({ack.delivery for one in statements for ack in one.message.acks}),
            at=clock.now(),
            ids=ids,
            schedule=schedule,
        )
        for statement in statements:
            desk.take(statement)
        await tx.append(desk.events)
        followed = await follow(tx, desk.events, at=desk.at, ids=ids)
        for due_at, consignments in desk.offer_again_at.items():
            await tx.pace(consignments, due_at=due_at, lease_until=None)
    told = {station for event in (*desk.events, *followed) for station in event.stations}
    return frozenset(told | {station for event in followed for station in to_serve(event)})


class _Deliveries:
    """The deliveries a batch speaks of, as they stand after each statement."""

    def __init__(
        self,
        *,
        rows: Mapping[DeliveryId, DeliveryRow],
        consignments: Mapping[ConsignmentId, ConsignmentRow],
        documents: Mapping[DocumentKey, DocumentRow],
        at: datetime,
        ids: Ids,
        schedule: Backoff,
    ) -> None:
        self._schedule = schedule
        self._rows = dict(rows)
        self._consignments = dict(consignments)
        self._documents = documents
        self._inside: dict[ConsignmentId, list[DeliveryId]] = defaultdict(list)
        for row in rows.values():
            if row.consignment is not None:
                self._inside[row.consignment].append(row.id)
        self.at = at
        self._ids = ids
        self.events: list[Event] = []
        self.offer_again_at: dict[datetime, list[ConsignmentId]] = defaultdict(list)

    @classmethod
    async def load(
        cls,
        tx: Transaction,
        wanted: Sequence[DeliveryId],
        *,
        at: datetime,
        ids: Ids,
        schedule: Backoff,
    ) -> _Deliveries:
        """Lock the consignments, then all their deliveries."""
        carried = await tx.consignments_of(wanted)
        consignments = {one.id: one for one in carried.values()}
        rows = await tx.deliveries_in(sorted(consignments))
        named = {one.document for one in consignments.values()}
        named |= {row.requested_by for row in rows if row.requested_by is not None}
        documents = await tx.documents(sorted(named))
        return cls(
            rows={row.id: row for row in rows},
            consignments=consignments,
            documents=documents,
            at=at,
            ids=ids,
            schedule=schedule,
        )

    def take(self, statement: Statement) -> None:
        """One message: an event per consignment and step, and one for what is ignored."""
        ignored: list[JSON] = []
        groups: dict[tuple[ConsignmentId, Outcome, str, int, bool], list[DeliveryId]] = defaultdict(list)
        for ack in statement.message.acks:
            row = self._rows.get(ack.delivery)
            if row is None or row.consignment is None or row.station != statement.station.id:
                # That it exists for somebody else is not told.
                ignored.append([ack.delivery[:26], ack.outcome.value, "not_yours"])
                continue
            why = self._no_step(row, ack)
            if why is not None:
                ignored.append([row.id, ack.outcome.value, why])
                continue
            # Only failures are counted: however often it was offered for another cause, it has all its tries.
            failures = row.failures + 1 if ack.outcome is Outcome.FAIL else 0
            wanted = is_wanted_back(row)
            groups[row.consignment, ack.outcome, ack.reason[:MOST_REASON], failures, wanted].append(row.id)
        for (consignment, outcome, reason, failures, _), chosen in groups.items():
            self._step(statement, self._consignments[consignment], outcome, reason, failures, chosen)
        if ignored:
            self.events.append(
                Event(
                    id=EventId(self._ids.new(self.at)),
                    kind=EventKind.ACK_IGNORED,
                    at=self.at,
                    by=Actor(station=statement.station.id),
                    facts={
                        "message_id": printable(statement.message_id, most=LONGEST_MESSAGE_ID),
                        "ignored": ignored,
                    },
                )
            )

    def _no_step(self, row: DeliveryRow, ack: Ack) -> str | None:
        """Why an acknowledgement changes nothing, or None when it does."""
        match ack.outcome:
            case Outcome.FAIL:
                possible = row.state in {DeliveryState.HANDED_OVER, DeliveryState.FETCHED} or (
                    row.state is DeliveryState.WAITING
                    and (row.request is RequestState.WITHDRAWING or self._is_on_its_way(row))
                )
            case Outcome.WITHDRAWN if row.request is not RequestState.WITHDRAWING:
                # Only the axis takes a delivery back; a station that will not have it says "fail".
                return "not_recalled"
            case Outcome.FETCHED if self._is_old_news(row):
                possible = False
            case _:
                possible = next_delivery_state(row.state, _STEP[ack.outcome]) is not None
        return None if possible else row.state.value

    def _is_old_news(self, row: DeliveryRow) -> bool:
        """
        Whether this is `fetched` of an earlier try, overtaken by the "fail" that ended it: two hubs read one queue.

        It waits, was handed over or failed before and is on no publisher's way out: taken for a new one, it would wait
        for the end of something nobody has begun.
        """
        consignment = self._consignment_of(row)
        return (
            row.state is DeliveryState.WAITING
            and row.request is not RequestState.WITHDRAWING
            and (consignment.attempt > 0 or row.failures > 0)
            and not consignment.is_leased
        )

    def _is_on_its_way(self, row: DeliveryRow) -> bool:
        """Whether it is published and not yet recorded as handed over: a quick station has it all the same."""
        return row.state is DeliveryState.WAITING and self._consignment_of(row).is_leased

    def _consignment_of(self, row: DeliveryRow) -> ConsignmentRow:
        assert row.consignment is not None, "what is no station's was ignored before"
        return self._consignments[row.consignment]

    def _step(
        self,
        statement: Statement,
        consignment: ConsignmentRow,
        outcome: Outcome,
        reason: str,
        failures: int,
        chosen: Sequence[DeliveryId],
    ) -> None:
        more: dict[str, JSON] = {"said": reason} if reason else {}
        code: ReasonCode | None = None
        wanted_by: StationId | None = None
        is_wanted = is_wanted_back(self._rows[chosen[0]])
        if outcome is Outcome.WITHDRAWN or (outcome is Outcome.FAIL and is_wanted):
            # What it could not take and must not have is not offered again.
            step, code = DeliveryStep.WITHDRAW, ReasonCode.DELIVER_RECALLED
            if self._rows[chosen[0]].request is RequestState.ASKED:
                more["request"] = RequestState.ASKED.value
            by_document = self._rows[chosen[0]].requested_by
            more["by_document"] = by_document
            wanted_by = self._documents[by_document].station if by_document is not None else None
        elif outcome is Outcome.FAIL:
            if early := [one for one in chosen if self._is_on_its_way(self._rows[one])]:
                # "fail" has overtaken `fetched`, as two hubs read one queue: whoever could not take it had it.
                self._step(statement, consignment, Outcome.FETCHED, "", 0, early)
                consignment = self._consignments[consignment.id]
            more["failures"] = failures
            pause = self._schedule.pause(failures)
            if pause is None:
                step, code = DeliveryStep.FAIL, ReasonCode.DELIVER_NOT_TAKEN
            else:
                step = DeliveryStep.OFFER_AGAIN
                self.offer_again_at[self.at + pause].append(consignment.id)
        else:
            step = _STEP[outcome]
            if any(self._rows[one].request is RequestState.WITHDRAWING for one in chosen):
                # Too late to take it back unseen: the receiver is asked for it.
                more["request"] = RequestState.ASKED.value
        event = step_event(
            step,
            chosen=set(chosen),
            every=[self._rows[one] for one in self._inside[consignment.id]],
            consignment=consignment,
            document=self._documents[consignment.document],
            by=Actor(station=statement.station.id),
            at=self.at,
            ids=self._ids,
            reason=code,
            more=more,
            wanted_by=wanted_by,
        )
        if event is not None:
            self._remember(event, step, consignment)

    def _remember(self, event: Event, step: DeliveryStep, consignment: ConsignmentRow) -> None:
        self.events.append(event)
        facts: Any = event.facts
        for delivery in event.deliveries:
            row = self._rows[delivery]
            after = next_delivery_state(row.state, step)
            assert after is not None, "step_event takes only what the lifecycle allows"
            request = RequestState.NONE if step is DeliveryStep.WITHDRAW else row.request
            self._rows[delivery] = replace(
                row,
                state=after,
                failures=facts.get("failures", row.failures),
                request=RequestState(facts.get("request", request.value)),
            )
        self._consignments[consignment.id] = replace(
            consignment, head=event.hash.hex(), state=facts["consignment_state"]
        )


async def offer_again(
    consignments: Sequence[ConsignmentId],
    *,
    cause: str,
    ledger: Ledger,
    clock: Clock,
    ids: Ids,
    by: Actor,
    since: timedelta = timedelta(0),
) -> int:
    """
    Put what was handed over or fetched and never settled back into the ledger: same deliveries, a new message.

    `cause` says why (`resync`, `not_settled`). Those whose last event is younger than `since` stay.
    """
    count = 0
    async with ledger.transaction() as tx:
        at = clock.now()
        rows = await tx.consignments(consignments)
        deliveries = await tx.deliveries_in(sorted(rows))
        documents = await tx.documents(sorted({row.document for row in rows.values()}))
        events = []
        for row in rows.values():
            inside = [one for one in deliveries if one.consignment == row.id]
            old = [one for one in inside if one.state_at + since <= at]
            found = _once_more(row, inside, old, documents[row.document], cause=cause, by=by, at=at, ids=ids)
            events += found
            count += bool(found)
        await tx.append(events)
        await tx.pace(list(rows), due_at=at, lease_until=None)
    return count


def is_wanted_back(row: DeliveryRow) -> bool:
    """Whether it must not be offered any more: it is asked back, or recalled and its receiver has not answered."""
    asked = row.request is RequestState.ASKED and row.request_kind is RequestKind.RECALL
    return row.request is RequestState.WITHDRAWING or asked


def _once_more(
    consignment: ConsignmentRow,
    inside: Sequence[DeliveryRow],
    old: Sequence[DeliveryRow],
    document: DocumentRow,
    *,
    cause: str,
    by: Actor,
    at: datetime,
    ids: Ids,
) -> list[Event]:
    """
    What was fetched, not settled and recalled meanwhile is not offered any more, and its receiver still owes the
    answer it was asked for, as its DMS may have seen it. The rest is offered again.
    """
    recalled = {one.id for one in old if one.state is DeliveryState.FETCHED and is_wanted_back(one)}
    rows = list(inside)
    events: list[Event] = []
    for step, chosen in (
        (DeliveryStep.WITHDRAW, recalled),
        (DeliveryStep.OFFER_AGAIN, {one.id for one in old} - recalled),
    ):
        more: dict[str, JSON] = {"cause": cause}
        if step is DeliveryStep.WITHDRAW:
            more["request"] = RequestState.ASKED.value
        event = step_event(
            step,
            chosen=chosen,
            every=rows,
            consignment=consignment,
            document=document,
            by=by,
            at=at,
            ids=ids,
            reason=ReasonCode.DELIVER_RECALLED if step is DeliveryStep.WITHDRAW else None,
            more=more,
        )
        if event is not None:
            events.append(event)
            consignment = replace(consignment, head=event.hash.hex())
            moved = set(event.deliveries)
            rows = [replace(one, state=advance(one.state, step)) if one.id in moved else one for one in rows]
    return events
