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
from collections.abc import AsyncIterator, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from axis.core.calendar import Calendar
from axis.core.directory import Directory, Organ
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import Answer, Notice, dump, receipt_json
from axis.core.lifecycle import DeliveryStep, DocumentStep, RequestStep, next_document_state
from axis.core.model import (
    Actor,
    BusinessType,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    DocumentState,
    EventId,
    Kind,
    OrganNumber,
    RequestKind,
    RequestState,
    StationId,
    SubmissionId,
    iso,
)
from axis.core.ports import Clock, Ids, Ledger, ReceiptSigner, Transaction
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.retry import HOLDS
from axis.core.rows import Claim, ConsignmentRow, DeliveryRow, DocumentRow
from axis.edxml.fingerprint import content_digest
from axis.edxml.message import Edoc, Status, StatusCode
from axis.edxml.organ_code import normal
from axis.flow.answer import answer_of, causes_json, notices_json
from axis.flow.answer_to import (
    TAKEN,
    Target,
    find_target,
    is_receiver,
    is_too_late,
    plain_code,
    shown_after,
    unknown_document,
)
from axis.flow.claims import claim_key, document_claim, split_claim
from axis.flow.deadlines import SHIPPED_CALENDAR, deadline_facts
from axis.flow.evidence import verdict_facts
from axis.flow.outcomes import Hold, Known, Refusal
from axis.flow.recall import (
    Held,
    Wish,
    answered,
    carry_out,
    follow,
    hold_still,
    is_recalled,
    may_take,
    original_of,
    to_serve,
)
from axis.flow.receive import Inbound
from axis.flow.report import report_of
from axis.flow.route import Line, Routed
from axis.flow.steps import is_pending, step_event
from axis.flow.targets import Named, find_originals, names_by_code, unknown_targets
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
    wishes: tuple[Wish, ...] = ()
    """What a recall, an update or a status 13 wants of the deliveries it is about."""
    acts_on: tuple[tuple[DocumentKey, DocumentState], ...] = ()
    """Documents that stand otherwise from now on."""
    replaces: tuple[tuple[DocumentKey, tuple[str, ...]], ...] = ()
    """For a replacement: which documents, and for whom."""
    more_claims: tuple[str, ...] = ()
    """Keys it occupies beside its own."""


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
        marks |= _names(one)
        marks.discard(None)
        (later if marks & seen else now).append(index)
        seen |= marks
        # Whoever names a document by its code alone need not say whose it is.
        seen |= {("code", code) for _, code in _namesakes(one)}
    return now, later


def _codes_sought(judged: Judged) -> list[tuple[OrganNumber, str]]:
    """The sender and the code by which a new document's namesakes and other halves are found; else nothing."""
    if not isinstance(judged, Routed):
        return []
    sender, message = judged.verified.sender.number, judged.verified.message
    if not isinstance(message, Edoc) or message.business_type is not BusinessType.NEW:
        return []
    code = message.code if split_claim(sender, message) is None else message.code.without_suffix
    return [(sender, code.written)]


def _namesakes(judged: Judged) -> set[tuple[OrganNumber, str]]:
    """The sender and the code of a new document, as documents are compared: two of a round would not see each other."""
    return {(sender, plain_code(code)) for sender, code in _codes_sought(judged) if code}


def _names(judged: Judged) -> set[object]:
    """What a message is called or names: whoever acts on a document is judged behind it, and behind its rivals."""
    if not isinstance(judged, Routed):
        return set()
    message = judged.verified.message
    if isinstance(message, Status):
        answered = message.response_for
        return {("id", answered.document_id), ("code", plain_code(answered.code))} if answered else set()
    names: set[object] = {("id", one) for one in (message.document_id, *message.target_ids) if one}
    names |= {("code", plain_code(one.code)) for one in names_by_code(message)}
    names |= _namesakes(judged)
    split = split_claim(judged.verified.sender.number, message)
    return names if split is None else {*names, split}


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
        self._coded: AbstractSet[tuple[OrganNumber, str]] = frozenset()
        """Organs and codes of this round's new documents that earlier documents have, too."""
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
        self._coded = await self._tx.codes_in_use([key for _, one in items for key in _codes_sought(one)])
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
        await self._tx.append(self._events)
        for index, decision, _ in decided:
            if isinstance(decision, _Accept) and decision.wishes:
                by = Actor(station=inbound_of(decision.routed).station)
                self._events += await carry_out(
                    self._tx, decision.wishes, acting=self.outcomes[index], by=by, at=self._at, ids=self._ids
                )
        self._events += await follow(self._tx, self._events, at=self._at, ids=self._ids)
        self.stations |= {one for event in self._events for one in to_serve(event)}
        receipts = self._signer.sign([body for _, body in self._reports])
        await self._tx.keep_reports(
            [
                (document, body, dump(receipt_json(receipt)).decode())
                for (document, body), receipt in zip(self._reports, receipts, strict=True)
            ]
        )
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
        named: list[Named] = []
        if message.business_type is not BusinessType.NEW:
            found = await find_originals(
                self._tx,
                message,
                sender=judged.verified.sender,
                directory=judged.directory,
                at=inbound.received_at,
            )
            if isinstance(found, Cause):
                outcome = Hold if found.code is ReasonCode.ROUTE_WAITS_FOR_HELD else Refusal
                return outcome(inbound=inbound, causes=(found,), known=_known(judged))
            named = found
        if holder is None and message.business_type is BusinessType.NEW:
            return await self._new(judged, message)
        if holder is None:
            return await self._act(judged, message, named)
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
        if message.business_type is BusinessType.RECALL and first.target is not None:
            # Whoever does not have the original needs no recall, also not by a second sending of it.
            held = await hold_still(self._tx, first.target)
            added = tuple(line for line in added if line.organ in held.had_by)
        if not added:
            return _Duplicate(
                inbound=inbound, known=_known(judged), submission=first.submission, document=first.id
            )
        root = (await self._tx.documents([first.root]))[first.root]
        if next_document_state(root.state, DocumentStep.SUPPLEMENT) is None:
            return self._over(judged, root)
        notice = Notice(
            code="record.supplementary",
            path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/To",
            vi=f"Gửi bổ sung: {len(added)} đơn vị nhận mới; các đơn vị đã nhận không nhận lại.",
            en=f"Supplementary sending: {len(added)} new receivers; the others do not get it again.",
        )
        routed = replace(judged, lines=added, notices=(*judged.notices, notice))
        return _Accept(routed=routed, root=first.root, target=first.target)

    def _over(self, judged: Routed, root: DocumentRow) -> Refusal:
        detail = Detail(
            path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/DocumentId",
            vi=f"{root.document_id[:120]}: đã được thu hồi (văn bản {root.id})",
            en=f"{root.document_id[:120]}: was recalled (document {root.id})",
        )
        cause = Cause(code=ReasonCode.ROUTE_RECALLED, details=(detail,))
        return Refusal(inbound=inbound_of(judged), causes=(cause,), known=_known(judged))

    async def _new(self, judged: Routed, message: Edoc) -> _Decision:
        """
        A document under an id that is free: the first of its kind, one of several that differ in the receiver alone,
        or one whose number another document has as well (LR-27).
        """
        sender = judged.verified.sender.number
        split = split_claim(sender, message)
        coded = [
            one
            for key in _codes_sought(judged)
            if key in self._coded
            for one in await self._tx.documents_coded(key[1], senders=[sender])
            if one.business_type is BusinessType.NEW and one.root == one.id
        ]
        if split is None:
            return _Accept(routed=_with_number_warning(judged, message, coded))
        mine = Claim(key=split, submission=inbound_of(judged).submission, document=None)
        other = (await self._tx.claim([mine])).get(split)
        if other is not None and other.document is not None:
            first = (await self._tx.documents([other.document]))[other.document]
            return await self._compare(judged, message, first)
        whole = next((one for one in coded if one.content == content_digest(message)), None)
        if whole is not None:
            return await self._compare(judged, message, whole)
        return _Accept(routed=judged, more_claims=(split,) if other is None else ())

    # --- acting on a document -------------------------------------------------------------------------------------

    async def _act(self, judged: Routed, message: Edoc, named: Sequence[Named]) -> _Decision:
        match message.business_type:
            case BusinessType.RECALL:
                return await self._recall(judged, named[0].original)
            case BusinessType.UPDATE:
                return await self._update(judged, message, named[0].original)
            case _:
                return await self._replace(judged, message, named)

    async def _recall(self, judged: Routed, original: DocumentRow) -> _Decision:
        """The recall goes to those who have the document, named in it or not, and to nobody else (LR-22)."""
        held = await hold_still(self._tx, original.id)
        after = next_document_state(held.root.state, DocumentStep.RECALL)
        if after is None:
            return self._over(judged, held.root)
        wish = held.wish(RequestKind.RECALL)
        lines, notices = _to_holders(judged, held, concerned=held.had_by)
        return _Accept(
            routed=replace(judged, lines=lines, notices=(*judged.notices, *notices)),
            target=held.root.id,
            wishes=(wish,),
            acts_on=((held.root.id, after),),
        )

    async def _update(self, judged: Routed, message: Edoc, original: DocumentRow) -> _Decision:
        """
        Removed receivers as by a status 13, with the update as what tells them; added ones get the update; all others
        that have the document get it and answer it.
        """
        held = await hold_still(self._tx, original.id)
        after = next_document_state(held.root.state, DocumentStep.UPDATE)
        if after is None:
            return self._over(judged, held.root)
        changes = message.bussiness.changes if message.bussiness is not None else None
        codes = [one.organ_id for one in changes.receivers if one.receiver_type == 0] if changes else []
        removed = {
            one.organ
            for one in held.deliveries
            if any(is_receiver(one, code, judged.directory) for code in codes)
        }
        gone = held.wish(RequestKind.TAKE_BACK, removed)
        kept = tuple(line for line in judged.lines if line.organ not in removed)
        told = tuple(_line_of(one, judged) for one in _one_each(held, removed & held.had_by))
        concerned = {line.organ for line in kept}
        asks = tuple(
            one.id
            for one in held.deliveries
            if one.organ in concerned
            and (is_pending(one) or one.state is DeliveryState.ACKNOWLEDGED)
            and one.request is not RequestState.WITHDRAWING
            and not is_recalled(one)
        )
        notices = judged.notices
        if codes:
            notices = (*notices, _removed(len(gone.withdraw), len(gone.ask_back), len(told)))
        return _Accept(
            routed=replace(judged, lines=(*kept, *told), notices=notices),
            target=held.root.id,
            wishes=(gone, Wish(kind=RequestKind.UPDATE, asks=asks)),
            acts_on=((held.root.id, after),),
        )

    async def _replace(self, judged: Routed, message: Edoc, named: Sequence[Named]) -> _Decision:
        """Links the chain. For whom a document is replaced stands in the list; for none means for all."""
        entries = message.bussiness.replacements if message.bussiness is not None else ()
        organs = {one.document_id: one.organ_ids for one in entries}
        acts_on: list[tuple[DocumentKey, DocumentState]] = []
        links: list[tuple[DocumentKey, tuple[str, ...]]] = []
        for one in sorted(named, key=lambda each: each.original.id):
            await self._tx.receivers(one.original.id)
            root = (await self._tx.documents([one.original.id]))[one.original.id]
            after = next_document_state(root.state, DocumentStep.REPLACE)
            if after is None:
                return self._over(judged, root)
            links.append((root.id, organs.get(one.written, ())))
            if not organs.get(one.written):
                acts_on.append((root.id, after))
        notices = judged.notices
        unknown = unknown_targets(message, named)
        if unknown or not named:
            notices = (*notices, _replaces_unknown(unknown))
        return _Accept(
            routed=replace(judged, notices=notices),
            target=named[0].original.id if named else None,
            acts_on=tuple(acts_on),
            replaces=tuple(links),
        )

    # --- statuses -------------------------------------------------------------------------------------------------

    async def _decide_status(self, judged: Routed, status: Status) -> _Decision:
        inbound, directory, sender = inbound_of(judged), judged.directory, judged.verified.sender
        answered = status.response_for
        assert answered is not None, "a status without target does not pass validation"
        assert inbound.station is not None, "a message without station does not pass step 1"
        target: Target | Cause = unknown_document(status)
        async for candidates in self._candidates(
            status, sender=sender, directory=directory, at=inbound.received_at
        ):
            found = find_target(
                status,
                sender=sender,
                station=inbound.station,
                candidates=candidates,
                deliveries=await self._tx.deliveries_of([one.id for one in candidates]),
                directory=directory,
                at=inbound.received_at,
            )
            # That it is somebody else's says more than that it is unknown.
            target = found if isinstance(found, Target) or candidates else target
            if isinstance(target, Target):
                break
        if isinstance(target, Cause):
            return Refusal(inbound=inbound, causes=(target,), known=_known(judged))
        organ = directory.organs[target.tell]
        organ = directory.successor(organ, at=inbound.received_at) or organ
        station = directory.station_of(organ.number, at=inbound.received_at)
        line = Line(
            organ=organ.number,
            code=organ.code,
            name=organ.name,
            station=station,
            state=DeliveryState.WAITING if station is not None else DeliveryState.NOT_CONNECTED,
            reason=None if station is not None else ReasonCode.ROUTE_NOT_CONNECTED,
        )
        routed = replace(judged, lines=(line,), lane=target.document.lane)
        if status.code is StatusCode.TAKE_BACK:
            return await self._take_back(routed, target)
        notices = _remarks(status, target)
        return _Accept(
            routed=replace(routed, notices=(*routed.notices, *notices)),
            target=target.document.id,
            answers=target,
        )

    async def _candidates(
        self, status: Status, *, sender: Organ, directory: Directory, at: datetime
    ) -> AsyncIterator[Sequence[DocumentRow]]:
        """
        Documents the status may name: by `DocumentId`, then by organ, code and date, also those of whom the organ
        succeeded, then without the date.
        """
        answered = status.response_for
        assert answered is not None, "a status without target does not pass validation"
        takes_back = status.code is StatusCode.TAKE_BACK
        authors = [sender.number] if takes_back else list(directory.codes.get(normal(answered.organ_id), ()))
        if answered.document_id:
            by_id = await self._tx.documents_named(
                sender=None, document_id=answered.document_id, code="", kind=Kind.EDOC
            )
            # A number such as 18661 is the id of many senders' documents: the one that is named goes first.
            yield [one for one in by_id if one.sender in authors] or by_id
        if answered.code and authors:
            coded = await self._tx.documents_coded(answered.code, senders=authors)
            issued = answered.promulgation_date
            day = issued.iso if issued is not None else None
            yield [one for one in coded if day is not None and one.promulgation_date == day]
            if day is not None and (merged := directory.predecessors(authors, at=at)):
                older = await self._tx.documents_coded(answered.code, senders=merged)
                yield [one for one in older if one.promulgation_date == day]
            yield coded

    async def _take_back(self, routed: Routed, target: Target) -> _Decision:
        """
        Not taken yet: withdrawn or asked back, and its sender is told so by the axis's own event. Taken: the status
        goes to the receiver, who answers it.
        """
        held = await hold_still(self._tx, original_of(target.document))
        organ = target.delivery.organ
        wish = held.wish(RequestKind.TAKE_BACK, {organ})
        lines = routed.lines if organ in held.had_by else ()
        notice = _taken_back(wish, is_forwarded=bool(lines))
        return _Accept(
            routed=replace(routed, lines=lines, notices=(*routed.notices, notice)),
            target=target.document.id,
            answers=target,
            wishes=(wish,),
        )

    def _status_claim(self, accept: _Accept, target: Target) -> str:
        status = accept.routed.verified.message
        assert isinstance(status, Status)
        written = status.timestamp.written if status.timestamp else ""
        sender = accept.routed.verified.sender.number
        return claim_key(
            "status",
            sender,
            target.delivery.id,
            status.code.written if status.code is not None else "",
            written,
            status.description,
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
            "recalls": isinstance(message, Edoc)
            and message.business_type is BusinessType.RECALL
            and accept.root is None,
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
        asks: list[JSON] = [
            {"kind": one.kind.value, "deliveries": list(one.asks)} for one in accept.wishes if one.asks
        ]
        if asks:
            facts["asks"] = asks
        if accept.acts_on:
            facts["acts_on"] = [{"document": one, "state": state.value} for one, state in accept.acts_on]
        if accept.replaces:
            facts["replaces"] = [{"document": one, "organs": list(organs)} for one, organs in accept.replaces]
        if claim is not None or accept.more_claims:
            facts["claims"] = [*([claim] if claim is not None else []), *accept.more_claims]
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
        is_answer = status.code in {StatusCode.AGREED, StatusCode.REJECTED}
        says_taken = status.code in TAKEN or (is_answer and _asks_for_an_answer(target, delivery))
        if consignment is not None and says_taken and not_taken_yet:
            taken = await self._taken(consignment, target.document, delivery, status.code, by=event.by)
            if taken is not None:
                self._events.append(taken)
                consignment = replace(consignment, head=taken.hash.hex())
        is_branch = event.facts["sender"] != delivery.organ
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
            "by_organ": accept.routed.verified.sender.number,
            "status": event.document,
            "lines": [[delivery.id, delivery.organ, change]],
        }
        if is_branch:
            facts["branch"] = True
        if status.code is not StatusCode.TAKE_BACK and not (is_branch and status.code is StatusCode.RETURNED):
            facts["shown"] = shown_after(delivery.status, status.code)
        if is_too_late(delivery.status, status.code):
            facts["mark"] = "too_late"
        settled = await self._settled(status, target, delivery, by=event.by)
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
                by=Actor(station=accept.routed.verified.valid.parsed.inbound.station),
                document=document.id,
                deliveries=(delivery.id,),
                stations=(document.station,),
                facts=facts,
                previous=consignment.head if consignment is not None else document.head,
            )
        )

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


_ANSWERS = MappingProxyType({StatusCode.AGREED: RequestStep.AGREE, StatusCode.REJECTED: RequestStep.REJECT})
_OLD_ANSWERS = MappingProxyType(
    {StatusCode.REGISTERED: RequestStep.AGREE, StatusCode.RETURNED: RequestStep.REJECT}
)
"""How older systems answer a recall document: they register it, or return it."""
_MOST_SAID = 500


def _asks_for_an_answer(target: Target, delivery: DeliveryRow) -> bool:
    acts = target.document.business_type in {BusinessType.RECALL, BusinessType.UPDATE}
    return acts or delivery.request in {RequestState.ASKED, RequestState.REJECTED}


# --- receivers of what acts on a document -------------------------------------------------------------------------


def _one_each(held: Held, organs: Collection[OrganNumber]) -> list[DeliveryRow]:
    """The newest delivery of each organ."""
    newest = {row.organ: row for row in held.deliveries if row.organ in organs}
    return [newest[organ] for organ in sorted(newest)]


def _line_of(row: DeliveryRow, judged: Routed) -> Line:
    at = inbound_of(judged).received_at
    directory = judged.directory
    known = row.organ in directory.organs
    station = directory.station_of(row.organ, at=at) if known else None
    station = station or (directory.stations.get(row.station) if row.station is not None else None)
    return Line(
        organ=row.organ,
        code=row.code,
        name=row.name,
        station=station,
        state=DeliveryState.WAITING if station is not None else DeliveryState.NOT_CONNECTED,
        reason=None if station is not None else ReasonCode.ROUTE_NOT_CONNECTED,
    )


def _to_holders(
    judged: Routed, held: Held, *, concerned: Collection[OrganNumber]
) -> tuple[tuple[Line, ...], list[Notice]]:
    """The receivers of a recall: everybody who has the document, as it is a duty of all of them."""
    kept = tuple(line for line in judged.lines if line.organ in concerned)
    named = {line.organ for line in kept}
    others = tuple(_line_of(row, judged) for row in _one_each(held, set(concerned) - named))
    left_out = len(judged.lines) - len(kept)
    notices = []
    path = "/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/To"
    if left_out:
        notices.append(
            Notice(
                code="record.recall_not_needed",
                path=path,
                vi=f"{left_out} đơn vị chưa nhận văn bản gốc: bản gốc được rút, không cần gửi thông báo thu hồi.",
                en=f"{left_out} receivers do not have the original: it is withdrawn, they need no recall.",
            )
        )
    if others:
        codes = ", ".join(line.code for line in others[:10])
        notices.append(
            Notice(
                code="record.recall_added",
                path=path,
                vi=f"{len(others)} đơn vị đang giữ văn bản nhưng không có trong To cũng được chuyển: {codes}.",
                en=f"{len(others)} receivers that have the document and are not in To get the recall, too: {codes}.",
            )
        )
    return (*kept, *others), notices


def _removed(withdrawn: int, asked_back: int, told: int) -> Notice:
    return Notice(
        code="record.receivers_removed",
        path="/edXML/edXMLEnvelope/edXMLHeader/TraceHeaderList/Bussiness/BussinessDocumentInfo/ReceiverList",
        vi=f"Đơn vị bị loại: {withdrawn} lượt đã rút, {asked_back} lượt đang rút, {told} đơn vị đã nhận và phải trả lời.",
        en=f"Removed receivers: {withdrawn} withdrawn, {asked_back} being asked back, {told} have it and must answer.",
    )


def _taken_back(wish: Wish, *, is_forwarded: bool) -> Notice:
    if wish.withdraw:
        code = "record.taken_back"
        vi, en = "Đơn vị nhận chưa lấy văn bản: đã rút.", "The receiver had not taken it: it is withdrawn."
    elif wish.ask_back:
        code = "record.asked_back"
        vi = "Văn bản đang ở hệ thống nhận: đã yêu cầu rút, kết quả báo sau."
        en = "It is in the receiving system's hands: asked back, the outcome is told later."
    elif is_forwarded:
        code = "record.take_back_forwarded"
        vi = "Đơn vị nhận đã lấy văn bản: yêu cầu được chuyển tới, chờ trả lời 15 hoặc 16."
        en = "The receiver has it: the request is sent on, it answers with 15 or 16."
    else:
        code = "record.nothing_to_take_back"
        vi, en = "Không có gì để lấy lại ở đơn vị này.", "There is nothing to take back from this receiver."
    path = "/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/ResponseFor/OrganId"
    return Notice(code=code, path=path, vi=vi, en=en)


def _replaces_unknown(unknown: Sequence[str]) -> Notice:
    names = ", ".join(one[:120] for one in unknown[:5])
    return Notice(
        code="record.replaces_unknown",
        path="/edXML/edXMLEnvelope/edXMLHeader/TraceHeaderList/Bussiness/ReplacementInfoList",
        vi=f"Văn bản bị thay thế không có trên Trục, không liên kết được: {names}",
        en=f"Not known to the axis, so not linked: {names}",
    )


def _with_number_warning(judged: Routed, message: Edoc, coded: Sequence[DocumentRow]) -> Routed:
    """Number and notation are unique for an organ within a year (NĐ30 Art. 15.1): the receiver is told."""
    issued = message.promulgation.date
    year = (issued.iso or "")[:4] if issued is not None else ""
    twins = [
        one
        for one in coded
        if one.document_id != message.document_id and (one.promulgation_date or "")[:4] == year
    ]
    if not twins or not message.code.written:
        return judged
    twin = twins[0]
    notice = Notice(
        code="record.same_number",
        path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/Code",
        vi=f"Đơn vị gửi đã có văn bản khác cùng số, ký hiệu {message.code.written[:80]} trong năm (DocumentId {twin.document_id[:80]}).",
        en=f"The sender has another document of number {message.code.written[:80]} this year (DocumentId {twin.document_id[:80]}).",
    )
    return replace(judged, notices=(notice, *judged.notices))


def _remarks(status: Status, target: Target) -> tuple[Notice, ...]:
    """What the sender of a status must hear, though it is taken."""
    path = "/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/StatusCode"
    code = status.code
    if code is not None and is_too_late(target.delivery.status, code):
        return (
            Notice(
                code="record.return_too_late",
                path=path,
                vi="Văn bản đã được tiếp nhận (03 trở lên) nên không trả lại bằng trạng thái 02 được; hãy gửi văn bản trả lại.",
                en="It was registered (03 or later), so status 02 does not return it any more; send a return document.",
            ),
        )
    answers = code in {StatusCode.AGREED, StatusCode.REJECTED}
    if answers and not _asks_for_an_answer(target, target.delivery):
        return (
            Notice(
                code="record.no_request",
                path=path,
                vi="Không có yêu cầu thu hồi, lấy lại hoặc cập nhật nào đang chờ trả lời; trạng thái được lưu và chuyển đi.",
                en="No recall, take-back or update waits for an answer; the status is kept and sent on.",
            ),
        )
    return ()


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
