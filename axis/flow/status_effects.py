"""
What a status means for the delivery it answers: that its receiver has it, the state that is shown, and what is settled
of a recall, an update or a take-back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from axis.core.events import JSON, Event, EventKind
from axis.core.lifecycle import DeliveryStep, RequestStep
from axis.core.model import (
    Actor,
    BusinessType,
    DeliveryState,
    EventId,
    Kind,
    RequestState,
)
from axis.core.ports import Ids, Transaction
from axis.core.rows import ConsignmentRow, DeliveryRow, DocumentRow
from axis.edxml.message import Status, StatusCode
from axis.flow.answer_to import (
    TAKEN,
    Target,
    asks_for_an_answer,
    is_too_late,
    shown_after,
)
from axis.flow.recall import (
    answered,
    may_take,
    original_of,
)
from axis.flow.steps import is_pending, step_event

_ANSWERS = MappingProxyType({StatusCode.AGREED: RequestStep.AGREE, StatusCode.REJECTED: RequestStep.REJECT})
_OLD_ANSWERS = MappingProxyType(
    {StatusCode.REGISTERED: RequestStep.AGREE, StatusCode.RETURNED: RequestStep.REJECT}
)
"""How older systems answer a recall document: they register it, or return it."""
_MOST_SAID = 500


class StatusEffects:
    """The events that follow from the accepted statuses of one round."""

    def __init__(self, tx: Transaction, *, at: datetime, ids: Ids) -> None:
        self._tx = tx
        self._at = at
        self._ids = ids
        self._events: list[Event] = []

    async def of(self, status: Status, target: Target, *, accepted: Event) -> list[Event]:
        """
        Taken, answered, and the state that is shown: in the order in which they are appended, behind `accepted`.

        `accepted` is the event by which the status itself was accepted.
        """
        self._events = []
        assert status.code is not None, "an unknown code does not pass validation"
        consignment = (await self._tx.consignments_of([target.delivery.id])).get(target.delivery.id)
        # Read again under lock: what the target was found by may be a moment old.
        delivery = (await self._tx.deliveries([target.delivery.id]))[target.delivery.id]
        not_taken_yet = is_pending(delivery) or delivery.state is DeliveryState.FAILED
        is_answer = status.code in {StatusCode.AGREED, StatusCode.REJECTED}
        says_taken = status.code in TAKEN or (is_answer and asks_for_an_answer(target, delivery))
        if consignment is not None and says_taken and not_taken_yet:
            taken = await self._taken(consignment, target.document, delivery, status.code, by=accepted.by)
            if taken is not None:
                self._events.append(taken)
                consignment = replace(consignment, head=taken.hash.hex())
        is_branch = accepted.facts["sender"] != delivery.organ
        change: list[JSON] = []
        if status.code is StatusCode.REGISTERED and not delivery.registered:
            change.append("registered")
        if (
            status.code is StatusCode.RETURNED
            and not delivery.returned
            and not is_branch
            and delivery.status in {None, "01", "02"}
        ):
            change.append("returned")
        document = target.document
        facts: dict[str, JSON] = {
            "kind": document.kind.value,
            "sender": document.sender,
            "business_type": int(document.business_type),
            "urgency": int(document.urgency),
            "digest": document.digest,
            "code": status.code.written,
            "by_organ": accepted.facts["sender"],
            "status": accepted.document,
            "lines": [[delivery.id, delivery.organ, change]],
        }
        if is_branch:
            facts["branch"] = True
        if status.code is not StatusCode.TAKE_BACK and not (is_branch and status.code is StatusCode.RETURNED):
            facts["shown"] = shown_after(delivery.status, status.code)
        if is_too_late(delivery.status, status.code):
            facts["mark"] = "too_late"
        settled = await self._settled(status, target, delivery, by=accepted.by)
        if settled is not None:
            facts["settles"] = settled
        if status.code in TAKEN and delivery.told_at is None:
            facts["first_told"] = True
        if consignment is not None:
            facts["consignment"] = consignment.id
        self._events.append(
            Event(
                id=EventId(self._ids.new(self._at)),
                kind=EventKind.DELIVERY_ANSWERED,
                at=self._at,
                by=accepted.by,
                document=document.id,
                deliveries=(delivery.id,),
                stations=(document.station,),
                facts=facts,
                previous=consignment.head if consignment is not None else document.head,
            )
        )
        return self._events

    async def _taken(
        self,
        consignment: ConsignmentRow,
        document: DocumentRow,
        delivery: DeliveryRow,
        code: StatusCode,
        *,
        by: Actor,
    ) -> Event | None:
        """A status shows that the receiver's system has the delivery, whatever its station has said so far."""
        more: dict[str, JSON] = {"by_status": code.written}
        if delivery.request is RequestState.WITHDRAWING:
            # Too late to take it back unseen.
            more["request"] = RequestState.ASKED.value
        return step_event(
            DeliveryStep.ACKNOWLEDGE,
            chosen={delivery.id},
            every=await self._tx.deliveries_in([consignment.id]),
            consignment=consignment,
            document=document,
            by=by,
            at=self._at,
            ids=self._ids,
            more=more,
        )

    async def _settled(
        self, status: Status, target: Target, delivery: DeliveryRow, *, by: Actor
    ) -> dict[str, JSON] | None:
        """What an answer to a recall, an update or a take-back settles; its reason stands beside it (LR-25)."""
        acts = target.document.business_type in {BusinessType.RECALL, BusinessType.UPDATE}
        steps = dict(_ANSWERS)
        if target.document.business_type is BusinessType.RECALL:
            steps.update(_OLD_ANSWERS)
        step = steps.get(status.code) if status.code is not None else None
        if step is None or delivery.kind is not Kind.EDOC:
            return None
        family = await self._tx.family(original_of(target.document))
        found = [one.id for one in await self._tx.deliveries_of([one.id for one in family])]
        consignments = await self._tx.consignments_of(found)
        rows = await self._tx.deliveries(found)
        settled = answered(
            [rows[one] for one in sorted(rows)],
            organ=delivery.organ,
            step=step,
            by=target.document.root if acts else None,
        )
        if not settled:
            return None
        documents = {one.id: one for one in family}
        for row in settled:
            consignment = consignments.get(row.id)
            if consignment is not None and row.id != delivery.id and may_take(rows[row.id]):
                assert status.code is not None, "it has a step"
                taken = await self._taken(
                    consignment, documents[row.document], rows[row.id], status.code, by=by
                )
                if taken is not None:
                    self._events.append(taken)
        return {
            "deliveries": [row.id for row in settled],
            "request": settled[0].request.value,
            "said": status.description[:_MOST_SAID],
        }
