"""
What a sender wants back: recall (type 1), take-back (status 13), receivers that an update removes.

    nobody has it yet       withdrawn at once
    in the station's hands  asked back: a `withdraw` notice, answered `withdrawn` or `fetched`
    the receiver has it     the recall, the update or the status 13 goes to it, and it owes an answer (15, 16)

What was put into a queue once counts as in the station's hands until the station says otherwise, also while a
publisher works on it: the axis never says "withdrawn" of what may reach a DMS. A station that says `fetched` after all
gets the recall then. A recall is about everything that carries the document: its supplementary sendings and updates,
for every receiver; whoever never had it hears nothing of it (LR-22, QĐ28 Art. 8.2, 9.2). It is closed when all who
have it agreed; a rejection stays open for the operator (LR-25).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from axis.core.events import JSON, Event, EventKind
from axis.core.lifecycle import (
    DeliveryStep,
    DocumentStep,
    RequestStep,
    next_delivery_state,
    next_document_state,
    next_request_state,
)
from axis.core.model import (
    Actor,
    BusinessType,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    DocumentKey,
    DocumentState,
    EventId,
    Kind,
    OrganNumber,
    RequestKind,
    RequestState,
    StationId,
    iso,
)
from axis.core.ports import Ids, Transaction
from axis.core.reasons import ReasonCode
from axis.core.rows import ConsignmentRow, DeliveryRow, DocumentRow
from axis.flow.steps import step_event

_BY = Actor(axis="recall")
HELD = frozenset({DeliveryState.FETCHED, DeliveryState.ACKNOWLEDGED})
"""The receiver's system has the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a message wants of deliveries of the document it acts on."""

    kind: RequestKind
    withdraw: tuple[DeliveryId, ...] = ()
    """Nobody has them, and nobody will."""
    ask_back: tuple[DeliveryId, ...] = ()
    """Their stations must say whether the DMS has seen them."""
    asks: tuple[DeliveryId, ...] = ()
    """Their receivers have them and owe an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Everything that carries a document, locked: its deliveries, and the consignments they travel in."""

    root: DocumentRow
    deliveries: tuple[DeliveryRow, ...]
    consignments: Mapping[ConsignmentId, ConsignmentRow]

    @property
    def had_by(self) -> frozenset[OrganNumber]:
        """Organs whose systems have it."""
        return frozenset(one.organ for one in self.deliveries if one.state in HELD)

    def wish(self, kind: RequestKind, organs: Collection[OrganNumber] | None = None) -> Wish:
        """What must happen so that these organs, or all, give it back."""
        withdraw: list[DeliveryId] = []
        ask_back: list[DeliveryId] = []
        asks: list[DeliveryId] = []
        for one in self.deliveries:
            if organs is not None and one.organ not in organs:
                continue
            if kind is not RequestKind.RECALL and is_recalled(one):
                continue  # A recall asks for more than this one does.
            match one.state:
                case DeliveryState.FAILED:
                    withdraw.append(one.id)
                case DeliveryState.WAITING | DeliveryState.HANDED_OVER:
                    (withdraw if self._is_untouched(one) else ask_back).append(one.id)
                case DeliveryState.FETCHED | DeliveryState.ACKNOWLEDGED:
                    asks.append(one.id)
                case DeliveryState.WITHDRAWN | DeliveryState.NOT_CONNECTED:
                    continue
        return Wish(kind=kind, withdraw=tuple(withdraw), ask_back=tuple(ask_back), asks=tuple(asks))

    def _is_untouched(self, row: DeliveryRow) -> bool:
        consignment = self.consignments.get(row.consignment) if row.consignment is not None else None
        return (
            row.state is DeliveryState.WAITING
            and (consignment is None or (not consignment.is_leased and consignment.attempt == 0))
        )  # fmt: skip


def is_recalled(row: DeliveryRow) -> bool:
    """Whether a recall of it is under way, or was agreed to."""
    return row.request_kind is RequestKind.RECALL and row.request is not RequestState.NONE


async def hold_still(tx: Transaction, root: DocumentKey) -> Held:
    """
    Everything that carries the document, as it stands now; nothing of it moves until the transaction ends.

    Consignments are locked before their deliveries and the document last, as everywhere; a supplementary sending that
    slips in between waits for the document, and is refused when it finds it recalled.
    """
    for _ in range(3):
        family = await tx.family(root)
        found = await tx.deliveries_of([one.id for one in family])
        consignments = await tx.consignments_of([one.id for one in found])
        deliveries = await tx.deliveries([one.id for one in found])
        await tx.receivers(root)
        again = await tx.deliveries_of([one.id for one in await tx.family(root)])
        if {one.id for one in again} == set(deliveries):
            break
    first = (await tx.documents([root]))[root]
    return Held(
        root=first,
        deliveries=tuple(deliveries[one] for one in sorted(deliveries)),
        consignments={one.id: one for one in consignments.values()},
    )


# --- what happens at once -----------------------------------------------------------------------------------------


async def carry_out(
    tx: Transaction, wishes: Iterable[Wish], *, acting: Event, by: Actor, at: datetime, ids: Ids
) -> list[Event]:
    """The events that withdraw and ask back what the wishes say; `acting` is the acceptance of who wishes."""
    events: list[Event] = []
    for wish in wishes:
        facts: dict[str, JSON] = {"by_document": str(acting.document), "wish": wish.kind.value}
        events += await _steps(
            tx, DeliveryStep.WITHDRAW, wish.withdraw, more=facts, by=by, at=at, ids=ids, wanted_by=by.station
        )  # fmt: skip
        asked: dict[str, JSON] = {
            **facts,
            "request": RequestState.WITHDRAWING.value,
            "request_kind": wish.kind.value,
            "requested_by": str(acting.document),
            "requested_at": iso(at),
        }
        events += await _steps(tx, DeliveryStep.ASK_BACK, wish.ask_back, more=asked, by=by, at=at, ids=ids)
    return events


async def _steps(
    tx: Transaction,
    step: DeliveryStep,
    deliveries: Sequence[DeliveryId],
    *,
    more: Mapping[str, JSON],
    by: Actor,
    at: datetime,
    ids: Ids,
    wanted_by: StationId | None = None,
) -> list[Event]:
    if not deliveries:
        return []
    carried = await tx.consignments_of(deliveries)
    consignments = {one.id: one for one in carried.values()}
    rows = await tx.deliveries_in(sorted(consignments))
    documents = await tx.documents(sorted({one.document for one in consignments.values()}))
    found = [
        step_event(
            step,
            chosen=set(deliveries),
            every=[row for row in rows if row.consignment == one.id],
            consignment=one,
            document=documents[one.document],
            by=by,
            at=at,
            ids=ids,
            reason=ReasonCode.DELIVER_RECALLED,
            more=more,
            wanted_by=wanted_by,
        )
        for one in consignments.values()
    ]
    events = [one for one in found if one is not None]
    await tx.append(events)
    if step is DeliveryStep.ASK_BACK:
        unleased = [one.id for one in consignments.values() if not one.is_leased]
        await tx.pace(unleased, due_at=at, lease_until=None)
    return events


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


# --- what follows -------------------------------------------------------------------------------------------------


async def follow(tx: Transaction, events: Sequence[Event], *, at: datetime, ids: Ids) -> list[Event]:
    """
    What follows from events that were just appended: whoever has the document after all gets the recall, and a recall
    whose last holder agreed is closed. Appends what it returns.
    """
    late = [
        delivery
        for event in events
        if event.kind in {EventKind.DELIVERY_FETCHED, EventKind.DELIVERY_ACKNOWLEDGED}
        and event.facts.get("request") == RequestState.ASKED.value
        for delivery in event.deliveries
    ]
    followed = await _tell_late(tx, late, at=at, ids=ids) if late else []
    await tx.append(followed)
    closed = await _close(tx, [one for one in events if _settles(one)], at=at, ids=ids)
    await tx.append(closed)
    return [*followed, *closed]


def _settles(event: Event) -> bool:
    facts: Any = event.facts
    match event.kind:
        case EventKind.DELIVERY_WITHDRAWN:
            return True
        case EventKind.DELIVERY_ANSWERED:
            return facts.get("settles") is not None
        case EventKind.SUBMISSION_ACCEPTED:
            return bool(facts.get("recalls"))
        case _:
            return False


async def _tell_late(tx: Transaction, late: Sequence[DeliveryId], *, at: datetime, ids: Ids) -> list[Event]:
    rows = await tx.deliveries(late)
    by_document: dict[DocumentKey, list[DeliveryRow]] = {}
    for row in rows.values():
        if row.requested_by is not None:
            by_document.setdefault(row.requested_by, []).append(row)
    documents = await tx.documents(sorted(by_document))
    events = []
    for key in sorted(by_document):
        acting = documents[key]
        told = await tx.receivers(acting.root)
        untold = {row.organ: row for row in by_document[key] if row.organ not in told}
        if untold:
            events.append(await _added(tx, acting, list(untold.values()), at=at, ids=ids))
    return events


async def _added(
    tx: Transaction, acting: DocumentRow, rows: Sequence[DeliveryRow], *, at: datetime, ids: Ids
) -> Event:
    """More deliveries of a document that was accepted before, to receivers it turned out to concern."""
    consignments: dict[str, str] = {}
    lines: list[JSON] = []
    made: list[DeliveryId] = []
    numbers: dict[tuple[OrganNumber, OrganNumber], int] = {}
    if acting.kind is Kind.EDOC:
        numbers.update(await tx.number_pairs({(acting.sender, row.organ): 1 for row in rows}))
    for row in rows:
        assert row.station is not None, "what a station fetched went through a station"
        line: dict[str, JSON] = {
            # As if it had been made with the document: its year names the partition in which both are looked for.
            "id": ids.new(acting.accepted_at),
            "organ": row.organ,
            "code": row.code,
            "name": row.name,
            "state": DeliveryState.WAITING.value,
            "station": row.station,
            "consignment": consignments.setdefault(row.station, ids.new(at)),
        }
        if acting.kind is Kind.EDOC:
            line["number"] = numbers[acting.sender, row.organ]
        made.append(DeliveryId(str(line["id"])))
        lines.append(line)
    return Event(
        id=EventId(ids.new(at)),
        kind=EventKind.DELIVERY_ADDED,
        at=at,
        by=_BY,
        document=acting.id,
        deliveries=tuple(made),
        stations=(acting.station,),
        facts={
            "kind": acting.kind.value,
            "sender": acting.sender,
            "business_type": int(acting.business_type),
            "urgency": int(acting.urgency),
            "lane": acting.lane.value,
            "root": acting.root,
            "consignments": [{"id": key, "station": station} for station, key in consignments.items()],
            "deliveries": lines,
        },
        previous=acting.head,
    )


async def _close(tx: Transaction, settling: Sequence[Event], *, at: datetime, ids: Ids) -> list[Event]:
    """Recalls that are over now: nobody who has the document is left that did not agree."""
    documents = await tx.documents(sorted({DocumentKey(str(one.document)) for one in settling}))
    roots = {original_of(one) for one in documents.values()}
    recalls = {one.id: one for one in documents.values() if one.business_type is BusinessType.RECALL}
    events = []
    for key in sorted(roots):
        await tx.receivers(key)  # locks the document: the last two holders may agree at the same moment
        root = (await tx.documents([key]))[key]
        after = next_document_state(root.state, DocumentStep.CLOSE_RECALL)
        if after is None:
            continue
        carried = await tx.deliveries_of([one.id for one in await tx.family(key)])
        if all(_is_over(one) for one in carried):
            wanted_by = await tx.documents(
                sorted(
                    {one.requested_by for one in carried if is_recalled(one) and one.requested_by is not None}
                )
            )
            told = {one.station for one in wanted_by.values()}
            told |= {one.station for one in recalls.values() if one.target == key}
            events.append(_closed(root, after, told=told, at=at, ids=ids))
    return events


def original_of(document: DocumentRow) -> DocumentKey:
    """The document whose state is at stake: the one acted on, and of an update the one it updates."""
    acts = document.business_type in {BusinessType.RECALL, BusinessType.UPDATE}
    return document.target if acts and document.target is not None else document.root


def _is_over(row: DeliveryRow) -> bool:
    is_out = row.state in {DeliveryState.WITHDRAWN, DeliveryState.NOT_CONNECTED}
    never_had = is_out and row.request is RequestState.NONE
    return never_had or (is_recalled(row) and row.request is RequestState.AGREED)


def _closed(
    root: DocumentRow, after: DocumentState, *, told: Collection[StationId], at: datetime, ids: Ids
) -> Event:
    return Event(
        id=EventId(ids.new(at)),
        kind=EventKind.DOCUMENT_RECALL_CLOSED,
        at=at,
        by=_BY,
        document=root.id,
        stations=(root.station, *sorted(set(told) - {root.station})),
        facts={"kind": root.kind.value, "sender": root.sender, "state": after.value},
        previous=root.head,
    )


def to_serve(event: Event) -> Iterator[StationId]:
    """Stations that have something to be offered because of an event."""
    facts: Any = event.facts
    if event.kind is EventKind.DELIVERY_ADDED:
        yield from (StationId(one["station"]) for one in facts["consignments"])
    elif event.kind is EventKind.DELIVERY_ASKED_BACK:
        yield StationId(facts["station"])


# --- answers ------------------------------------------------------------------------------------------------------


def answered(
    rows: Iterable[DeliveryRow], *, organ: OrganNumber, step: RequestStep, by: DocumentKey | None
) -> list[DeliveryRow]:
    """
    Of all that carries a document, the deliveries to this organ that an answer settles, as they stand after it.

    `by` names the recall or update that was answered; without it the original was, and any open request is meant.
    """
    settled = []
    for row in rows:
        after = next_request_state(row.request, step)
        if row.organ == organ and after is not None and (by is None or row.requested_by == by):
            settled.append(replace(row, request=after))
    return settled


def may_take(row: DeliveryRow) -> bool:
    """Whether the receiver's word that it agrees or not shows that its system has the delivery."""
    pending = next_delivery_state(row.state, DeliveryStep.ACKNOWLEDGE) is not None
    return pending and row.request is not RequestState.WITHDRAWING
