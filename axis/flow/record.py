"""
Step 6: make it true. Outcomes of a whole batch become events in one transaction; duplicates are found here.

Only an accepted or held submission occupies its claim (sending organ, business type, DocumentId; for types 1-3 the
content too, as they may repeat the id of the document they act on). The claim is taken by INSERT ... ON CONFLICT DO
NOTHING; the loser is compared with the winner: same content and receivers is a duplicate, same content with new
receivers a supplementary sending, other content a conflict. A refused submission leaves its claim free, so that a
clerk can correct and send again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from axis.core.calendar import Calendar
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import Answer, Notice, dump, receipt_json
from axis.core.lifecycle import DeliveryStep
from axis.core.model import (
    Actor,
    BusinessType,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    EventId,
    Kind,
    OrganNumber,
    StationId,
    SubmissionId,
    iso,
)
from axis.core.ports import Clock, Ids, Ledger, ReceiptSigner, Transaction
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.retry import HOLDS
from axis.core.rows import Claim, DocumentRow
from axis.edxml.fingerprint import content_digest
from axis.edxml.message import Edoc, Status, StatusCode
from axis.edxml.organ_code import normal
from axis.flow.answer import answer_of, causes_json, notices_json
from axis.flow.answer_to import TAKEN, Target, find_target, shown_after
from axis.flow.claims import claim_key, document_claim, original_claim
from axis.flow.deadlines import SHIPPED_CALENDAR, deadline_facts
from axis.flow.evidence import verdict_facts
from axis.flow.outcomes import Hold, Known, Refusal
from axis.flow.recall import withdraw_waiting
from axis.flow.receive import Inbound
from axis.flow.report import report_of
from axis.flow.route import Line, Routed
from axis.flow.steps import is_pending, step_event
from axis.flow.validate import known_of

Judged = Routed | Refusal | Hold

_MOST_NOTICES = 20
_BY_AXIS = Actor(axis="record")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accept:
    """It is recorded as accepted."""

    routed: Routed
    root: DocumentKey | None = None
    """The first sending, when this one only adds receivers."""
    target: DocumentKey | None = None
    """What a recall, update or replacement acts on, or what a status answers."""
    answers: Target | None = None
    """For a status."""
    withdraws: tuple[DeliveryId, ...] = ()
    """For a recall: deliveries of the original, to be withdrawn where nobody has them yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duplicate:
    """The same thing was accepted or is held already."""

    inbound: Inbound
    known: Known
    submission: SubmissionId
    document: DocumentKey | None


_Decision = _Accept | Refusal | Hold | _Duplicate


def claim_of(judged: Judged) -> str | None:
    """What the submission would occupy; None for refusals, and for statuses before their target is known."""
    if isinstance(judged, Hold):
        return judged.claim or claim_key("held", judged.inbound.station or "", judged.inbound.digest)
    if isinstance(judged, Refusal):
        return None
    message = judged.verified.message
    return document_claim(judged.verified.sender.number, message) if isinstance(message, Edoc) else None


def inbound_of(judged: Judged) -> Inbound:
    """The message an outcome belongs to."""
    return judged.verified.valid.parsed.inbound if isinstance(judged, Routed) else judged.inbound


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a batch came to."""

    answers: tuple[Answer, ...]
    """In the order of the batch, each with its signed receipt."""
    stations: frozenset[StationId]
    """For whom there is something to offer or to tell."""


async def record(
    judged: Sequence[Judged],
    *,
    ledger: Ledger,
    clock: Clock,
    ids: Ids,
    signer: ReceiptSigner,
    calendar: Calendar = SHIPPED_CALENDAR,
) -> Recorded:
    """
    Record every outcome. `calendar` says what is late and what is due.

    Raises:
        ServiceUnavailable: nothing of the batch was recorded, or it is unknown; the same messages, admitted again,
            find what was.
    """
    recorded: dict[int, Event] = {}
    stations: set[StationId] = set()
    async with ledger.transaction() as tx:
        fresh = await _answered_before(tx, judged, recorded)
        while fresh:
            this_round, fresh = _without_collisions(judged, fresh)
            writer = _Round(tx, at=clock.now(), ids=ids, signer=signer, calendar=calendar)
            await writer.write([(index, judged[index]) for index in this_round])
            recorded.update(writer.outcomes)
            stations |= writer.stations
    events = [recorded[index] for index in range(len(judged))]
    receipts = signer.sign([event.record for event in events])
    answers = tuple(
        # A message that came again is answered under the message id it came with now.
        replace(answer_of(event), receipt=receipt, message_id=inbound_of(one).message_id)
        for event, receipt, one in zip(events, receipts, judged, strict=True)
    )
    return Recorded(answers=answers, stations=frozenset(stations))


def _delivery_of_message(inbound: Inbound) -> tuple[StationId, str, Digest] | None:
    if inbound.station is None or not inbound.message_id or inbound.after_hold:
        return None
    return inbound.station, inbound.message_id, inbound.digest


async def _answered_before(
    tx: Transaction, judged: Sequence[Judged], recorded: dict[int, Event]
) -> list[int]:
    """Messages delivered again get the answer they were given; the rest is new."""
    keys = [_delivery_of_message(inbound_of(one)) for one in judged]
    known = await tx.answered(sorted({key for key in keys if key is not None}))
    rows = await tx.submissions(sorted(set(known.values())))
    events = await tx.events(sorted({row.event for row in rows.values()}))
    fresh = []
    for index, key in enumerate(keys):
        if key is None or key not in known:
            fresh.append(index)
        else:
            recorded[index] = events[rows[known[key]].event]
    return fresh


def _without_collisions(judged: Sequence[Judged], fresh: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split so that nothing of one round can collide with another of it: the next round sees what became of it."""
    now: list[int] = []
    later: list[int] = []
    seen: set[object] = set()
    for index in fresh:
        one = judged[index]
        marks: set[object] = {_delivery_of_message(inbound_of(one)), claim_of(one)}
        if isinstance(one, Routed) and isinstance(one.verified.message, Status):
            # Statuses change rows of the documents they answer; one after the other keeps their order.
            marks.add("a status")
        marks.discard(None)
        (later if marks & seen else now).append(index)
        seen |= marks
    return now, later


class _Round:
    """One round of a batch inside the transaction."""

    def __init__(
        self, tx: Transaction, *, at: datetime, ids: Ids, signer: ReceiptSigner, calendar: Calendar
    ) -> None:
        self._tx = tx
        self._calendar = calendar
        self._at = at
        self._ids = ids
        self._signer = signer
        self._events: list[Event] = []
        self._reports: list[tuple[DocumentKey, bytes]] = []
        self._holds: list[tuple[SubmissionId, datetime, int]] = []
        self._numbers: dict[tuple[OrganNumber, OrganNumber], int] = {}
        """The next free number of every pair of organs that this round delivers documents between."""
        self.outcomes: dict[int, Event] = {}
        self.stations: set[StationId] = set()

    async def write(self, items: Sequence[tuple[int, Judged]]) -> None:
        """Decide about every item against what is recorded, and append the events."""
        wanted = {index: key for index, one in items if (key := claim_of(one)) is not None}
        taken = await self._tx.claim(
            [
                Claim(key=wanted[index], submission=inbound_of(one).submission, document=None)
                for index, one in items
                if index in wanted
            ]
        )
        decided: list[tuple[int, _Decision, str | None]] = []
        for index, one in items:
            holder = taken.get(wanted.get(index, ""))
            if holder is not None and holder.submission == inbound_of(one).submission:
                holder = None  # its own claim, from when it was held
            decision = await self._decide(one, holder)
            claim = wanted.get(index) if holder is None else None
            if isinstance(decision, _Accept) and decision.answers is not None:
                status_claim = self._status_claim(decision, decision.answers)
                other = (
                    await self._tx.claim(
                        [Claim(key=status_claim, submission=inbound_of(one).submission, document=None)]
                    )
                ).get(status_claim)
                if other is not None:
                    decision = _Duplicate(
                        inbound=inbound_of(one),
                        known=_known(one),
                        submission=other.submission,
                        document=other.document,
                    )
                else:
                    claim = status_claim
            decided.append((index, decision, claim))
        await self._number([one for _, one, _ in decided if isinstance(one, _Accept)])
        for index, decision, claim in decided:
            event = await self._event(decision, claim)
            self._events.append(event)
            self.outcomes[index] = event
            if isinstance(decision, _Accept) and decision.answers is not None:
                await self._follow_status(decision, decision.answers, event)
            if isinstance(decision, _Accept) and decision.withdraws:
                self._events += await withdraw_waiting(
                    self._tx, decision.withdraws, recall=event, at=self._at, ids=self._ids
                )
        await self._tx.append(self._events)
        receipts = self._signer.sign([body for _, body in self._reports])
        for (document, body), receipt in zip(self._reports, receipts, strict=True):
            signature = dump(receipt_json(receipt)).decode()
            await self._tx.keep_report(document, body=body, signature=signature)
        for submission, next_try, tries in self._holds:
            await self._tx.pace_hold(submission, next_try_at=next_try, tries=tries)

    # --- deciding -------------------------------------------------------------------------------------------------

    async def _decide(self, judged: Judged, holder: Claim | None) -> _Decision:
        inbound = inbound_of(judged)
        if isinstance(judged, Refusal):
            return judged
        if isinstance(judged, Hold):
            return judged if holder is None else await self._hold_again(judged, holder)
        message = judged.verified.message
        if isinstance(message, Status):
            return await self._decide_status(judged, message)
        target: DocumentKey | None = None
        if message.business_type is not BusinessType.NEW:
            found = await self._target_of(judged, message)
            if isinstance(found, Refusal | Hold):
                return found
            target = found
        if holder is None and message.business_type is BusinessType.RECALL and target is not None:
            return await self._recall(judged, target)
        if holder is None:
            return _Accept(routed=judged, target=target)
        if holder.document is None:
            held = (await self._tx.submissions([holder.submission]))[holder.submission]
            if held.digest == inbound.digest:
                return _Duplicate(inbound=inbound, known=_known(judged), submission=held.id, document=None)
            return Hold(
                inbound=inbound, causes=(Cause(code=ReasonCode.ROUTE_WAITS_FOR_HELD),), known=_known(judged)
            )
        first = (await self._tx.documents([holder.document]))[holder.document]
        return await self._compare(judged, message, first)

    async def _hold_again(self, judged: Hold, holder: Claim) -> _Decision:
        row = (await self._tx.submissions([holder.submission]))[holder.submission]
        if row.digest == judged.inbound.digest:
            return _Duplicate(
                inbound=judged.inbound, known=judged.known, submission=row.id, document=holder.document
            )
        return judged

    async def _compare(self, judged: Routed, message: Edoc, first: DocumentRow) -> _Decision:
        inbound = inbound_of(judged)
        if content_digest(message) != first.content:
            cause = Cause(code=ReasonCode.RECEIVE_CONFLICT, details=_differences(message, first))
            return Refusal(inbound=inbound, causes=(cause,), known=_known(judged))
        already = await self._tx.receivers(first.root)
        added = tuple(line for line in judged.lines if line.organ not in already)
        if not added:
            return _Duplicate(
                inbound=inbound, known=_known(judged), submission=first.submission, document=first.id
            )
        notice = Notice(
            code="record.supplementary",
            path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/To",
            vi=f"Gửi bổ sung: {len(added)} đơn vị nhận mới; các đơn vị đã nhận không nhận lại.",
            en=f"Supplementary sending: {len(added)} new receivers; the others do not get it again.",
        )
        routed = replace(judged, lines=added, notices=(*judged.notices, notice))
        return _Accept(routed=routed, root=first.root, target=first.target)

    async def _recall(self, judged: Routed, target: DocumentKey) -> _Accept:
        """
        Deliveries nobody has yet are withdrawn; the recall goes to those who have the original, and to nobody else
        (LR-22, QĐ28 Art. 8.2).
        """
        had = await self._tx.receivers(target)
        await self._tx.consignments_of(sorted(had.values()))  # locked before their deliveries
        states = await self._tx.deliveries(sorted(had.values()))
        holders = {
            organ
            for organ, delivery in had.items()
            if states[delivery].state not in {DeliveryState.WAITING, DeliveryState.WITHDRAWN}
        }
        kept = tuple(line for line in judged.lines if line.organ in holders)
        left_out = len(judged.lines) - len(kept)
        notices = judged.notices
        if left_out:
            notices = (
                *notices,
                Notice(
                    code="record.recall_not_needed",
                    path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/To",
                    vi=f"{left_out} đơn vị chưa nhận văn bản gốc: bản gốc được rút, không cần gửi thông báo thu hồi.",
                    en=f"{left_out} receivers never had the original: it is withdrawn, they need no recall.",
                ),
            )
        return _Accept(
            routed=replace(judged, lines=kept, notices=notices),
            target=target,
            withdraws=tuple(sorted(had.values())),
        )

    async def _target_of(self, judged: Routed, message: Edoc) -> DocumentKey | Refusal | Hold | None:
        """
        What a recall, update or replacement acts on; only the organ that sent it may (LR-22).

        It waits behind a target that is on hold.
        """
        sender = judged.verified.sender.number
        for wanted in message.target_ids:
            found = await self._tx.documents_named(sender=None, document_id=wanted, code="", kind=Kind.EDOC)
            mine = [one for one in found if one.sender == sender]
            if mine:
                return mine[-1].root
            if found:
                detail = Detail(path="Bussiness/DocumentId", vi=wanted[:120], en=wanted[:120])
                return Refusal(
                    inbound=inbound_of(judged),
                    causes=(Cause(code=ReasonCode.ROUTE_NOT_YOUR_DOCUMENT, details=(detail,)),),
                    known=_known(judged),
                )
        held = await self._tx.holders([original_claim(sender, wanted) for wanted in message.target_ids])
        if any(one.document is None for one in held.values()):
            return Hold(
                inbound=inbound_of(judged),
                causes=(Cause(code=ReasonCode.ROUTE_WAITS_FOR_HELD),),
                known=_known(judged),
            )
        return None

    async def _decide_status(self, judged: Routed, status: Status) -> _Decision:
        inbound, directory, sender = inbound_of(judged), judged.directory, judged.verified.sender
        answered = status.response_for
        assert answered is not None, "a status without target does not pass validation"
        assert inbound.station is not None, "a message without station does not pass step 1"
        takes_back = status.code is StatusCode.TAKE_BACK
        author = sender.number if takes_back else None
        named = directory.by_code(normal(answered.organ_id), at=inbound.received_at)
        if author is None and named is not None:
            author = named.number
        candidates = await self._tx.documents_named(
            sender=author, document_id=answered.document_id, code=answered.code, kind=Kind.EDOC
        )
        deliveries = await self._tx.deliveries_of([one.id for one in candidates])
        target = find_target(
            status,
            sender=sender,
            station=inbound.station,
            candidates=candidates,
            deliveries=deliveries,
            directory=directory,
        )
        if isinstance(target, Cause):
            return Refusal(inbound=inbound, causes=(target,), known=_known(judged))
        organ = directory.organs[target.tell]
        station = directory.station_of(target.tell, at=inbound.received_at)
        line = Line(
            organ=target.tell,
            code=organ.code,
            name=organ.name,
            station=station,
            state=DeliveryState.WAITING if station is not None else DeliveryState.NOT_CONNECTED,
            reason=None if station is not None else ReasonCode.ROUTE_NOT_CONNECTED,
        )
        return _Accept(
            routed=replace(judged, lines=(line,), lane=target.document.lane),
            target=target.document.id,
            answers=target,
        )

    def _status_claim(self, accept: _Accept, target: Target) -> str:
        status = accept.routed.verified.message
        assert isinstance(status, Status)
        written = status.timestamp.written if status.timestamp else ""
        sender = accept.routed.verified.sender.number
        return claim_key(
            "status", sender, target.delivery.id, status.status_code, written, status.description
        )

    # --- events ---------------------------------------------------------------------------------------------------

    async def _number(self, accepted: Sequence[_Accept]) -> None:
        """Take the numbers of all deliveries of this round, in one order of pairs, so that hubs cannot wait in a ring."""
        counts = Counter(
            (one.routed.verified.sender.number, line.organ)
            for one in accepted
            if isinstance(one.routed.verified.message, Edoc)
            for line in one.routed.lines
        )
        if counts:
            self._numbers.update(await self._tx.number_pairs(counts))

    def _next_number(self, sender: OrganNumber, receiver: OrganNumber) -> int:
        number = self._numbers[sender, receiver]
        self._numbers[sender, receiver] = number + 1
        return number

    async def _event(self, decision: _Decision, claim: str | None) -> Event:
        match decision:
            case _Accept():
                return await self._accepted(decision, claim)
            case Refusal():
                kind, known, causes = EventKind.SUBMISSION_REFUSED, decision.known, decision.causes
                more: dict[str, JSON] = {"kept": decision.keep_bytes, **verdict_facts(decision.verdict)}
                document = None
            case Hold():
                kind, known, causes = EventKind.SUBMISSION_HELD, decision.known, decision.causes
                next_try = iso(await self._schedule(decision.inbound))
                more = {"next_try": next_try, **verdict_facts(decision.verdict)}
                document = None
                if claim is not None:
                    more["claims"] = [claim]
            case _Duplicate():
                kind, known, causes = EventKind.SUBMISSION_DUPLICATE, decision.known, ()
                more = {"of": decision.submission}
                document = decision.document
        inbound = decision.inbound
        facts = {**_basics(inbound), **_facts_of(known), "causes": causes_json(causes), **more}
        previous = await self._after_hold(inbound, facts, kind)
        return Event(
            id=EventId(self._ids.new(self._at)),
            kind=kind,
            at=self._at,
            by=Actor(station=inbound.station) if inbound.station else _BY_AXIS,
            submission=inbound.submission,
            document=document,
            stations=_told_later(inbound),
            facts=facts,
            previous=previous,
        )

    async def _schedule(self, inbound: Inbound) -> datetime:
        tries = 0
        if inbound.after_hold:
            tries = (await self._tx.submissions([inbound.submission]))[inbound.submission].tries
        pause = HOLDS.pause(tries + 1) or HOLDS.longest
        self._holds.append((inbound.submission, self._at + pause, tries + 1))
        return self._at + pause

    async def _after_hold(self, inbound: Inbound, facts: dict[str, JSON], kind: EventKind) -> str | None:
        """Link to what was recorded before, and give back the claim of a hold that did not end in acceptance."""
        if not inbound.after_hold:
            return None
        row = (await self._tx.submissions([inbound.submission]))[inbound.submission]
        before: Any = (await self._tx.events([row.event]))[row.event].facts
        facts["after_hold"] = True
        if kind in {EventKind.SUBMISSION_REFUSED, EventKind.SUBMISSION_DUPLICATE}:
            facts["frees"] = list(before.get("claims", ()))
        elif kind is EventKind.SUBMISSION_HELD and "claims" not in facts:
            facts["claims"] = list(before.get("claims", ()))
        return row.head

    async def _accepted(self, accept: _Accept, claim: str | None) -> Event:
        routed = accept.routed
        verified, inbound = routed.verified, inbound_of(routed)
        message = verified.message
        document = DocumentKey(self._ids.new(self._at))
        lines, consignments = self._plan(routed.lines)
        if isinstance(message, Edoc):
            for line, one in zip(lines, routed.lines, strict=True):
                line["number"] = self._next_number(verified.sender.number, one.organ)
        self.stations |= {StationId(str(one["station"])) for one in consignments}
        body = report_of(routed, document=document, numbers=[line.get("number") for line in lines])
        self._reports.append((document, body))
        facts: dict[str, JSON] = {
            **_basics(inbound),
            **_facts_of(_known(routed)),
            "kind": message.kind.value,
            "sender": verified.sender.number,
            "from": message.sender.organ_id[:64],
            "urgency": int(routed.urgency),
            "lane": routed.lane.value,
            "tier": verified.tier.value,
            "value": verified.value.value,
            "policy": verified.verdict.policy_version,
            **verdict_facts(verified.verdict),
            "directory": routed.directory.version,
            "root": accept.root or document,
            "recalls": bool(accept.withdraws),
            "report": hashlib.sha256(body).hexdigest(),
            "notices": notices_json(routed.notices[:_MOST_NOTICES]),
            "consignments": consignments,
            "deliveries": lines,
            **_content_facts(message),
        }
        if isinstance(message, Edoc):
            facts |= deadline_facts(
                message,
                is_first=accept.root is None,
                received_at=inbound.received_at,
                accepted_at=self._at,
                calendar=self._calendar,
            )
        if accept.target is not None:
            facts["target"] = accept.target
        if claim is not None:
            facts["claims"] = [claim]
        previous = await self._after_hold(inbound, facts, EventKind.SUBMISSION_ACCEPTED)
        return Event(
            id=EventId(self._ids.new(self._at)),
            kind=EventKind.SUBMISSION_ACCEPTED,
            at=self._at,
            by=Actor(station=inbound.station),
            submission=inbound.submission,
            document=document,
            deliveries=tuple(DeliveryId(str(line["id"])) for line in lines),
            stations=_told_later(inbound),
            facts=facts,
            previous=previous,
        )

    def _plan(self, lines: Sequence[Line]) -> tuple[list[dict[str, JSON]], list[dict[str, JSON]]]:
        """One consignment per station, one delivery per organ."""
        consignments: dict[StationId, ConsignmentId] = {}
        written: list[dict[str, JSON]] = []
        for line in lines:
            one: dict[str, JSON] = {
                "id": self._ids.new(self._at),
                "organ": line.organ,
                "code": line.code,
                "name": line.name,
                "state": line.state.value,
            }
            if line.station is not None:
                if line.station.id not in consignments:
                    consignments[line.station.id] = ConsignmentId(self._ids.new(self._at))
                one["station"] = line.station.id
                one["consignment"] = consignments[line.station.id]
            if line.reason is not None:
                one["reason"] = line.reason.value
            written.append(one)
        return written, [{"id": key, "station": station} for station, key in consignments.items()]

    async def _follow_status(self, accept: _Accept, target: Target, event: Event) -> None:
        """What a status means for the delivery it answers: taken, and the state that is shown."""
        status = accept.routed.verified.message
        assert isinstance(status, Status)
        assert status.code is not None, "an unknown code does not pass validation"
        consignment = (await self._tx.consignments_of([target.delivery.id])).get(target.delivery.id)
        # Read again under lock: what the target was found by may be a moment old.
        delivery = (await self._tx.deliveries([target.delivery.id]))[target.delivery.id]
        not_taken_yet = is_pending(delivery) or delivery.state is DeliveryState.FAILED
        if consignment is not None and status.code in TAKEN and not_taken_yet:
            taken = step_event(
                DeliveryStep.ACKNOWLEDGE,
                chosen={delivery.id},
                every=await self._tx.deliveries_in([consignment.id]),
                consignment=consignment,
                document=target.document,
                by=Actor(station=accept.routed.verified.valid.parsed.inbound.station),
                at=self._at,
                ids=self._ids,
                more={"by_status": status.code.written},
            )
            if taken is not None:
                self._events.append(taken)
                consignment = replace(consignment, head=taken.hash.hex())
        change: list[JSON] = []
        if status.code is StatusCode.REGISTERED and not delivery.registered:
            change.append("registered")
        if (
            status.code is StatusCode.RETURNED
            and not delivery.returned
            and delivery.status in {None, "01", "02"}
        ):
            change.append("returned")
        document = target.document
        facts: dict[str, JSON] = {
            "kind": document.kind.value,
            "sender": document.sender,
            "business_type": int(document.business_type),
            "urgency": int(document.urgency),
            "code": status.code.written,
            "by_organ": accept.routed.verified.sender.number,
            "status": event.document,
            "lines": [[delivery.id, delivery.organ, change]],
        }
        if status.code is not StatusCode.TAKE_BACK:
            facts["shown"] = shown_after(delivery.status, status.code)
        if status.code in TAKEN and delivery.told_at is None:
            facts["first_told"] = True
        if consignment is not None:
            facts["consignment"] = consignment.id
        self._events.append(
            Event(
                id=EventId(self._ids.new(self._at)),
                kind=EventKind.DELIVERY_ANSWERED,
                at=self._at,
                by=Actor(station=accept.routed.verified.valid.parsed.inbound.station),
                document=document.id,
                deliveries=(delivery.id,),
                stations=(document.station,),
                facts=facts,
                previous=consignment.head if consignment is not None else document.head,
            )
        )


def _told_later(inbound: Inbound) -> tuple[StationId, ...]:
    # The first outcome is the answer itself; only what comes after a hold must be told.
    return (inbound.station,) if inbound.after_hold and inbound.station is not None else ()


def _basics(inbound: Inbound) -> dict[str, JSON]:
    facts: dict[str, JSON] = {
        "message_id": inbound.message_id,
        "digest": inbound.digest,
        "size": inbound.size,
        "received_at": iso(inbound.received_at),
        "lane": inbound.lane.value,
    }
    if inbound.station is not None:
        facts["station"] = inbound.station
    if inbound.unburies is not None:
        facts["unburies"] = inbound.unburies
    return facts


def _known(judged: Judged) -> Known:
    if isinstance(judged, Routed):
        return known_of(judged.verified.message, judged.verified.sender)
    return judged.known


def _facts_of(known: Known) -> dict[str, JSON]:
    facts: dict[str, JSON] = {
        "kind": known.kind.value if known.kind else None,
        "sender": known.sender,
        "from": known.from_code,
        "document_id": known.document_id,
        "business_type": int(known.business_type) if known.business_type is not None else None,
        "code": known.code,
        "subject": known.subject,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _content_facts(message: Edoc | Status) -> dict[str, JSON]:
    if isinstance(message, Status):
        answered = message.response_for
        return {
            "document_id": answered.document_id if answered else "",
            "business_type": 0,
            "number": "",
            "notation": answered.code if answered else "",
            "type_name": "",
            "subject": message.description,
            "content": "",
            "status_code": message.code.written if message.code else "",
            "attachments": [],
        }
    issued = message.promulgation.date
    return {
        "document_id": message.document_id,
        "business_type": int(message.business_type),
        "number": message.code.number,
        "notation": message.code.notation,
        "date": issued.iso if issued else None,
        "type_name": message.document_type.type_name,
        "signatory": message.signer.full_name,
        "subject": message.subject,
        "content": content_digest(message),
        "attachments": [
            {
                "content_id": one.content_id,
                "name": one.name,
                "declared_type": one.content_type,
                "detected_type": one.detected_type,
                "size": one.size,
                "sha256": one.sha256,
            }
            for one in message.attachments
        ],
    }


def _differences(message: Edoc, first: DocumentRow) -> tuple[Detail, ...]:
    """Which fields differ from the document that has the id; the values themselves are not told."""
    issued = message.promulgation.date
    pairs = (
        ("Code/CodeNumber", message.code.number, first.number),
        ("Code/CodeNotation", message.code.notation, first.notation),
        ("PromulgationInfo/PromulgationDate", issued.iso if issued else None, first.promulgation_date),
        ("Subject", message.subject, first.subject),
        (
            "AttachmentEncoded",
            sorted(one.sha256 for one in message.attachments),
            sorted(one.sha256 for one in first.attachments),
        ),
    )
    differing = [path for path, ours, theirs in pairs if ours != theirs] or ["Subject"]
    return tuple(
        Detail(
            path=path,
            vi=f"Khác với văn bản {first.id} đã tiếp nhận {iso(first.accepted_at)}",
            en=f"Differs from document {first.id}, accepted {iso(first.accepted_at)}",
        )
        for path in differing
    )
