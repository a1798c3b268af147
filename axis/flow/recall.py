"""
A recall withdraws what nobody has yet (LR-22): the original's deliveries that still wait in the ledger.

Those already handed over are not touched here: their stations get the recall itself and owe an answer (status 15, 16).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from axis.core.events import JSON, Event
from axis.core.lifecycle import DeliveryStep
from axis.core.model import Actor, DeliveryId, DeliveryState
from axis.core.ports import Ids, Transaction
from axis.core.reasons import ReasonCode
from axis.flow.steps import step_event


async def withdraw_waiting(
    tx: Transaction, deliveries: Sequence[DeliveryId], *, recall: Event, at: datetime, ids: Ids
) -> list[Event]:
    """The events that withdraw what a recall takes back, where it still waits; locks the consignments."""
    return await take_out_waiting(
        tx,
        deliveries,
        reason=ReasonCode.DELIVER_RECALLED,
        by=Actor(station=recall.by.station),
        more={"recall": str(recall.document)},
        at=at,
        ids=ids,
    )


async def take_out_waiting(
    tx: Transaction,
    deliveries: Sequence[DeliveryId],
    *,
    reason: ReasonCode,
    by: Actor,
    at: datetime,
    ids: Ids,
    more: Mapping[str, JSON] = MappingProxyType({}),
) -> list[Event]:
    """The events that withdraw these deliveries where they still wait; locks their consignments."""
    carried = await tx.consignments_of(deliveries)
    consignments = {one.id: one for one in carried.values()}
    rows = await tx.deliveries_in(sorted(consignments))
    documents = await tx.documents(sorted({one.document for one in consignments.values()}))
    chosen = {row.id for row in rows if row.state is DeliveryState.WAITING and row.id in carried}
    events = []
    for consignment in consignments.values():
        event = step_event(
            DeliveryStep.WITHDRAW,
            chosen=chosen,
            every=[row for row in rows if row.consignment == consignment.id],
            consignment=consignment,
            document=documents[consignment.document],
            by=by,
            at=at,
            ids=ids,
            reason=reason,
            more=more,
        )
        if event is not None:
            events.append(event)
    return events
