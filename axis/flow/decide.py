"""
Step 6, first half: what becomes of each message, against what is recorded. Nothing is written here but claims.

Only an accepted or held submission occupies its claim (sending organ, business type, DocumentId; for types 1-3 the
content too, as they may repeat the id of the document they act on). The claim is taken by INSERT ... ON CONFLICT DO
NOTHING; the loser is compared with the winner: same content and receivers is a duplicate, same content with new
receivers a supplementary sending, other content a conflict. A refused submission leaves its claim free, so that a
clerk can correct and send again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from axis.core.directory import Directory, Organ
from axis.core.exchange import Notice
from axis.core.lifecycle import DocumentStep, next_document_state
from axis.core.model import (
    BusinessType,
    DeliveryState,
    DocumentKey,
    DocumentState,
    Kind,
    OrganNumber,
    RequestKind,
    RequestState,
    SubmissionId,
    iso,
)
from axis.core.ports import Transaction
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.core.rows import Claim, DeliveryRow, DocumentRow
from axis.edxml.fingerprint import content_digest
from axis.edxml.message import Edoc, Status, StatusCode
from axis.edxml.organ_code import normal
from axis.flow.answer_to import (
    Target,
    asks_for_an_answer,
    find_target,
    is_receiver,
    is_too_late,
    unknown_document,
)
from axis.flow.claims import claim_key, document_claim, split_claim
from axis.flow.outcomes import Hold, Known, Refusal
from axis.flow.recall import (
    Held,
    Wish,
    hold_still,
    is_recalled,
    original_of,
)
from axis.flow.receive import Inbound
from axis.flow.route import Line, Routed
from axis.flow.steps import is_pending
from axis.flow.targets import Named, find_originals, unknown_targets
from axis.flow.validate import known_of

Judged = Routed | Refusal | Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
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
class Duplicate:
    """The same thing was accepted or is held already."""

    inbound: Inbound
    known: Known
    submission: SubmissionId
    document: DocumentKey | None


Decision = Accept | Refusal | Hold | Duplicate


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


def known_in(judged: Judged) -> Known:
    """What could be read of the message."""
    if isinstance(judged, Routed):
        return known_of(judged.verified.message, judged.verified.sender)
    return judged.known


def codes_sought(judged: Judged) -> list[tuple[OrganNumber, str]]:
    """The sender and the code by which a new document's namesakes and other halves are found; else nothing."""
    if not isinstance(judged, Routed):
        return []
    sender, message = judged.verified.sender.number, judged.verified.message
    if not isinstance(message, Edoc) or message.business_type is not BusinessType.NEW:
        return []
    code = message.code if split_claim(sender, message) is None else message.code.without_suffix
    return [(sender, code.written)]


class Decider:
    """Decides about the messages of one round of a batch, inside its transaction."""

    def __init__(self, tx: Transaction, *, coded: AbstractSet[tuple[OrganNumber, str]]) -> None:
        """`coded` are the organs and codes of this round's new documents that earlier documents have, too."""
        self._tx = tx
        self._coded = coded

    async def decide(self, judged: Judged, holder: Claim | None) -> Decision:
        """`holder` is whoever has the claim this one would occupy; None: it is this one's own."""
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
                return outcome(inbound=inbound, causes=(found,), known=known_in(judged))
            named = found
        if holder is None and message.business_type is BusinessType.NEW:
            return await self._new(judged, message)
        if holder is None:
            return await self._act(judged, message, named)
        if holder.document is None:
            held = (await self._tx.submissions([holder.submission]))[holder.submission]
            if held.digest == inbound.digest:
                return Duplicate(inbound=inbound, known=known_in(judged), submission=held.id, document=None)
            return Hold(
                inbound=inbound, causes=(Cause(code=ReasonCode.ROUTE_WAITS_FOR_HELD),), known=known_in(judged)
            )
        first = (await self._tx.documents([holder.document]))[holder.document]
        return await self._compare(judged, message, first)

    async def _hold_again(self, judged: Hold, holder: Claim) -> Decision:
        row = (await self._tx.submissions([holder.submission]))[holder.submission]
        if row.digest == judged.inbound.digest:
            return Duplicate(
                inbound=judged.inbound, known=judged.known, submission=row.id, document=holder.document
            )
        return judged

    async def _compare(self, judged: Routed, message: Edoc, first: DocumentRow) -> Decision:
        inbound = inbound_of(judged)
        if content_digest(message) != first.content:
            cause = Cause(code=ReasonCode.RECEIVE_CONFLICT, details=_differences(message, first))
            return Refusal(inbound=inbound, causes=(cause,), known=known_in(judged))
        already = await self._tx.receivers(first.root)
        added = tuple(line for line in judged.lines if line.organ not in already)
        if message.business_type is BusinessType.RECALL and first.target is not None:
            # Whoever does not have the original needs no recall, also not by a second sending of it.
            held = await hold_still(self._tx, first.target)
            added = tuple(line for line in added if line.organ in held.had_by)
        if not added:
            return Duplicate(
                inbound=inbound, known=known_in(judged), submission=first.submission, document=first.id
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
        return Accept(routed=routed, root=first.root, target=first.target)

    def _over(self, judged: Routed, root: DocumentRow) -> Refusal:
        detail = Detail(
            path="/edXML/edXMLEnvelope/edXMLHeader/MessageHeader/DocumentId",
            vi=f"{root.document_id[:120]}: đã được thu hồi (văn bản {root.id})",
            en=f"{root.document_id[:120]}: was recalled (document {root.id})",
        )
        cause = Cause(code=ReasonCode.ROUTE_RECALLED, details=(detail,))
        return Refusal(inbound=inbound_of(judged), causes=(cause,), known=known_in(judged))

    async def _new(self, judged: Routed, message: Edoc) -> Decision:
        """
        A document under an id that is free: the first of its kind, one of several that differ in the receiver alone,
        or one whose number another document has as well (LR-27).
        """
        sender = judged.verified.sender.number
        split = split_claim(sender, message)
        coded = [
            one
            for key in codes_sought(judged)
            if key in self._coded
            for one in await self._tx.documents_coded(key[1], senders=[sender])
            if one.business_type is BusinessType.NEW and one.root == one.id
        ]
        if split is None:
            return Accept(routed=_with_number_warning(judged, message, coded))
        mine = Claim(key=split, submission=inbound_of(judged).submission, document=None)
        other = (await self._tx.claim([mine])).get(split)
        if other is not None and other.document is not None:
            first = (await self._tx.documents([other.document]))[other.document]
            return await self._compare(judged, message, first)
        whole = next((one for one in coded if one.content == content_digest(message)), None)
        if whole is not None:
            return await self._compare(judged, message, whole)
        return Accept(routed=judged, more_claims=(split,) if other is None else ())

    # --- acting on a document -------------------------------------------------------------------------------------

    async def _act(self, judged: Routed, message: Edoc, named: Sequence[Named]) -> Decision:
        match message.business_type:
            case BusinessType.RECALL:
                return await self._recall(judged, named[0].original)
            case BusinessType.UPDATE:
                return await self._update(judged, message, named[0].original)
            case _:
                return await self._replace(judged, message, named)

    async def _recall(self, judged: Routed, original: DocumentRow) -> Decision:
        """The recall goes to those who have the document, named in it or not, and to nobody else (LR-22)."""
        held = await hold_still(self._tx, original.id)
        after = next_document_state(held.root.state, DocumentStep.RECALL)
        if after is None:
            return self._over(judged, held.root)
        wish = held.wish(RequestKind.RECALL)
        lines, notices = _to_holders(judged, held, concerned=held.had_by)
        return Accept(
            routed=replace(judged, lines=lines, notices=(*judged.notices, *notices)),
            target=held.root.id,
            wishes=(wish,),
            acts_on=((held.root.id, after),),
        )

    async def _update(self, judged: Routed, message: Edoc, original: DocumentRow) -> Decision:
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
        return Accept(
            routed=replace(judged, lines=(*kept, *told), notices=notices),
            target=held.root.id,
            wishes=(gone, Wish(kind=RequestKind.UPDATE, asks=asks)),
            acts_on=((held.root.id, after),),
        )

    async def _replace(self, judged: Routed, message: Edoc, named: Sequence[Named]) -> Decision:
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
        return Accept(
            routed=replace(judged, notices=notices),
            target=named[0].original.id if named else None,
            acts_on=tuple(acts_on),
            replaces=tuple(links),
        )

    # --- statuses -------------------------------------------------------------------------------------------------

    async def _decide_status(self, judged: Routed, status: Status) -> Decision:
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
            return Refusal(inbound=inbound, causes=(target,), known=known_in(judged))
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
        return Accept(
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

    async def _take_back(self, routed: Routed, target: Target) -> Decision:
        """
        Not taken yet: withdrawn or asked back, and its sender is told so by the axis's own event. Taken: the status
        goes to the receiver, who answers it.
        """
        held = await hold_still(self._tx, original_of(target.document))
        organ = target.delivery.organ
        wish = held.wish(RequestKind.TAKE_BACK, {organ})
        lines = routed.lines if organ in held.had_by else ()
        notice = _taken_back(wish, is_forwarded=bool(lines))
        return Accept(
            routed=replace(routed, lines=lines, notices=(*routed.notices, notice)),
            target=target.document.id,
            answers=target,
            wishes=(wish,),
        )


def status_claim(accept: Accept, target: Target) -> str:
    """What a status would occupy, once its target is known."""
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
    if answers and not asks_for_an_answer(target, target.delivery):
        return (
            Notice(
                code="record.no_request",
                path=path,
                vi="Không có yêu cầu thu hồi, lấy lại hoặc cập nhật nào đang chờ trả lời; trạng thái được lưu và chuyển đi.",
                en="No recall, take-back or update waits for an answer; the status is kept and sent on.",
            ),
        )
    return ()


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
