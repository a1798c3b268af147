"""
Negative evidence: a delivery that was not fetched, or not answered, by its deadline is an event of its own.

Any number of these keepers may run. The deadline stands with the delivery since its acceptance (`axis.flow.deadlines`);
here it is only looked at. Each turn is one transaction that reads the deliveries again under lock: a turn that dies is
a turn that never was, and nothing is recorded twice. Both sides' stations are told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from axis.core.errors import ServiceUnavailable
from axis.core.events import JSON, Event, EventKind
from axis.core.model import PENDING, Actor, DeliveryId, DeliveryState, EventId, StationId, iso
from axis.core.ports import Clock, Ids, Ledger, Transaction
from axis.core.rows import ConsignmentRow, DeliveryRow, DocumentRow
from axis.flow.bells import Bells

log = structlog.get_logger(__name__)

_BY: Final = Actor(axis="deadlines")
_OWED: Final = PENDING | {DeliveryState.ACKNOWLEDGED}
"""Where a delivery stands that somebody still has to answer."""


class Deadlines(Protocol):
    """Which deliveries have passed their deadline in silence."""

    async def passed(self, *, at: datetime, limit: int) -> Sequence[DeliveryId]:
        """At most `limit` of them, longest overdue first. Raises `ServiceUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePace:
    """How often."""

    batch: int = 500
    sweep_seconds: float = 30.0


class DeadlineKeeper:
    """Records what has passed its deadline."""

    def __init__(
        self,
        *,
        deadlines: Deadlines,
        ledger: Ledger,
        clock: Clock,
        ids: Ids,
        bells: Bells,
        pace: DeadlinePace | None = None,
    ) -> None:
        self._deadlines = deadlines
        self._ledger = ledger
        self._clock = clock
        self._ids = ids
        self._bells = bells
        self._pace = pace or DeadlinePace()

    async def run(self, stop: asyncio.Event) -> None:
        """Record what passes until `stop`."""
        while not stop.is_set():
            try:
                recorded = await self.turn()
            except ServiceUnavailable as trouble:
                log.warning("deadlines.waiting", service=trouble.service, cause=trouble.cause)
                recorded = 0
            if not recorded:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.sweep_seconds):
                        await stop.wait()

    async def turn(self) -> int:
        """One batch; returns how many deliveries it was recorded of."""
        wanted = await self._deadlines.passed(at=self._clock.now(), limit=self._pace.batch)
        if not wanted:
            return 0
        async with self._ledger.transaction() as tx:
            events = await self._events(tx, wanted)
            await tx.append(events)
        for event in events:
            log.info("delivery.not_taken", document=event.document, deliveries=len(event.deliveries))
        self._bells.ring({station for event in events for station in event.stations})
        return sum(len(event.deliveries) for event in events)

    async def _events(self, tx: Transaction, wanted: Sequence[DeliveryId]) -> list[Event]:
        carried = await tx.consignments_of(wanted)
        consignments = {one.id: one for one in carried.values()}
        rows = await tx.deliveries_in(sorted(consignments))
        documents = await tx.documents(sorted({one.document for one in consignments.values()}))
        at = self._clock.now()
        events = []
        for key in sorted(consignments):
            overdue = [row for row in rows if row.consignment == key and _is_overdue(row, at)]
            if overdue:
                consignment = consignments[key]
                events.append(self._event(consignment, documents[consignment.document], overdue, at=at))
        return events

    def _event(
        self, consignment: ConsignmentRow, document: DocumentRow, rows: Sequence[DeliveryRow], *, at: datetime
    ) -> Event:
        lines: list[JSON] = [
            [row.id, row.organ, "not_fetched" if _is_in_store(row) else "not_answered"] for row in rows
        ]
        facts: dict[str, JSON] = {
            "kind": document.kind.value,
            "sender": document.sender,
            "business_type": int(document.business_type),
            "urgency": int(document.urgency),
            "digest": document.digest,
            "consignment": consignment.id,
            "station": consignment.station,
            "due": iso(max(row.due_at for row in rows if row.due_at is not None)),
            "lines": lines,
        }
        return Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.DELIVERY_NOT_TAKEN,
            at=at,
            by=_BY,
            document=document.id,
            deliveries=tuple(row.id for row in rows),
            stations=_both(document.station, consignment.station),
            facts=facts,
            previous=consignment.head,
        )


def _is_overdue(row: DeliveryRow, at: datetime) -> bool:
    return (
        row.due_at is not None
        and row.due_at <= at
        and row.told_at is None
        and row.not_taken_at is None
        and row.state in _OWED
    )


def _is_in_store(row: DeliveryRow) -> bool:
    """Nobody has fetched it: it waits in the ledger, or lies in the station's queue."""
    return row.state in {DeliveryState.WAITING, DeliveryState.HANDED_OVER}


def _both(sender: StationId, receiver: StationId) -> tuple[StationId, ...]:
    return (sender,) if sender == receiver else (sender, receiver)
