"""
One step of some deliveries of one consignment, as an event: the only place that builds `delivery.*` events.

Whoever calls has the rows locked. A delivery the lifecycle does not let take the step is left out; when none is left
there is no event.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from axis.core.events import JSON, Event, EventKind
from axis.core.lifecycle import DeliveryStep, next_delivery_state
from axis.core.model import PENDING, Actor, DeliveryId, DeliveryState, EventId, Kind, StationId
from axis.core.ports import Ids
from axis.core.reasons import ReasonCode
from axis.core.rows import ConsignmentRow, DeliveryRow, DocumentRow

KIND_OF_STEP = MappingProxyType(
    {
        DeliveryStep.HAND_OVER: EventKind.DELIVERY_HANDED_OVER,
        DeliveryStep.OFFER_AGAIN: EventKind.DELIVERY_OFFERED_AGAIN,
        DeliveryStep.FETCH: EventKind.DELIVERY_FETCHED,
        DeliveryStep.ACKNOWLEDGE: EventKind.DELIVERY_ACKNOWLEDGED,
        DeliveryStep.FAIL: EventKind.DELIVERY_FAILED,
        DeliveryStep.ASK_BACK: EventKind.DELIVERY_ASKED_BACK,
        DeliveryStep.WITHDRAW: EventKind.DELIVERY_WITHDRAWN,
        DeliveryStep.REPLAY: EventKind.DELIVERY_REPLAYED,
    }
)

_TOLD = frozenset({DeliveryStep.ACKNOWLEDGE, DeliveryStep.FAIL, DeliveryStep.WITHDRAW, DeliveryStep.REPLAY})
"""Steps the sender's station hears of; that a copy was put into a queue or fetched is in the ledger for who asks."""


def step_event(
    step: DeliveryStep,
    *,
    chosen: Collection[DeliveryId],
    every: Sequence[DeliveryRow],
    consignment: ConsignmentRow,
    document: DocumentRow,
    by: Actor,
    at: datetime,
    ids: Ids,
    reason: ReasonCode | None = None,
    more: Mapping[str, JSON] = MappingProxyType({}),
    wanted_by: StationId | None = None,
) -> Event | None:
    """
    The event of `step` for the `chosen` deliveries; `every` is all of the consignment. `wanted_by` is the station of a
    recall or take-back, which may be a successor's: it is told beside the one that sent the document.

    Facts: `lines` are [delivery, organ, state before]; `consignment_state` is where the consignment stands after it;
    `digest` is that of the received bytes, so that the record alone says what was handed over or acknowledged.
    """
    lines: list[JSON] = []
    moved: list[DeliveryId] = []
    after: list[DeliveryState] = []
    for row in every:
        state = next_delivery_state(row.state, step) if row.id in chosen else None
        if state is not None:
            lines.append([row.id, row.organ, row.state.value])
            moved.append(row.id)
        after.append(state or row.state)
    if not moved:
        return None
    told = [document.station]
    if wanted_by is not None and wanted_by != document.station:
        told.append(wanted_by)
    facts: dict[str, JSON] = {
        "kind": document.kind.value,
        "sender": document.sender,
        "business_type": int(document.business_type),
        "urgency": int(document.urgency),
        "digest": document.digest,
        "consignment": consignment.id,
        "consignment_state": consignment_state(after),
        "station": consignment.station,
        "lines": lines,
        **more,
    }
    if reason is not None:
        facts["reason"] = reason.value
    return Event(
        id=EventId(ids.new(at)),
        kind=KIND_OF_STEP[step],
        at=at,
        by=by,
        document=document.id,
        deliveries=tuple(moved),
        stations=tuple(told) if step in _TOLD and document.kind is Kind.EDOC else (),
        facts=facts,
        previous=consignment.head,
    )


def consignment_state(deliveries: Sequence[DeliveryState]) -> str:
    """A consignment stands where its least advanced pending delivery stands; without one it is closed."""
    for state in (DeliveryState.WAITING, DeliveryState.HANDED_OVER, DeliveryState.FETCHED):
        if state in deliveries:
            return state.value
    return "closed"


def is_pending(row: DeliveryRow) -> bool:
    """Whether the receiver's system has not taken it yet."""
    return row.state in PENDING
