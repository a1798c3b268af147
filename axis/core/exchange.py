"""
What the axis and a station say to each other, whichever channel carries it.

AMQP and HTTP carry the same JSON: `axis.broker.wire` and `axis.web.wire` only add names, headers and paths.
docs/connect.md describes every shape for programmers of other languages. Readers here take hostile input:
anything unexpected is a `BadMessage` that names the member.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Any, Final

from axis.core.directory import Station
from axis.core.errors import Ambiguous, NotAllowed, NotFound, Purged, Withdrawn
from axis.core.events import JSON
from axis.core.ids import is_id
from axis.core.model import (
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    Kind,
    Lane,
    LegalValue,
    Owner,
    RequestKind,
    StationId,
    SubmissionId,
    SubmissionState,
    Tier,
    iso,
)
from axis.core.reasons import REASONS, Cause, Detail, ReasonCode

MAX_ACKS = 1_000
"""Most acknowledgements in one message."""
MAX_OWED = 500
"""Most answers in one page of what is owed."""


class BadMessage(ValueError):
    """A message that does not have the shape of the contract; `path` names the member."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


NO_ANSWER: Final = (NotFound, NotAllowed, Withdrawn, Purged, Ambiguous, BadMessage)
"""How a question can end without an answer."""


# --- what the axis answers to a submission ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A warning or remark on an accepted message: stable code, where, in both languages."""

    code: str
    path: str
    vi: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One receiver of a document, as the sender is told of it."""

    delivery: DeliveryId
    code: str
    """As written in `To`."""
    name: str
    state: DeliveryState
    reason: ReasonCode | None = None
    at: datetime | None = None
    """When the state was reached."""
    status: str | None = None
    """The receiver's last shown status code, such as `03`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSignature:
    """
    One signature over the Merkle root of a batch of records (RFC 9162 hashing); `path` leads from the leaf to `root`.

    What is signed is defined in `signing.receipts`.
    """

    index: int
    size: int
    path: tuple[str, ...]
    root: str
    key: str
    """Key name, `<origin>+<8 hex digits>` as in C2SP signed notes."""
    signature: str
    """Base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Signed evidence of an event; `proof` (C2SP tlog-proof) is added after the next checkpoint."""

    record: str
    """The canonical record, as text."""
    batch: BatchSignature
    proof: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a submission."""

    submission: SubmissionId
    state: SubmissionState
    message_id: str
    digest: Digest
    at: datetime
    """When the axis received it: the legal time of sending (LR-29), unchanged by a hold."""
    headline_vi: str
    headline_en: str
    """What a clerk must know first."""
    document: DocumentKey | None = None
    causes: tuple[Cause, ...] = ()
    notices: tuple[Notice, ...] = ()
    deliveries: tuple[DeliveryLine, ...] = ()
    next_try: datetime | None = None
    """For a hold: when the axis tries again."""
    receipt: Receipt | None = None

    @property
    def reason(self) -> ReasonCode | None:
        """The first cause, which gives the answer its code."""
        return self.causes[0].code if self.causes else None


# --- what a station receives --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRef:
    """One delivery inside a consignment."""

    delivery: DeliveryId
    code: str
    """Receiving organ's code as the sender wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consignment:
    """One message for one station: the header of a document or status; the bytes travel inside or by digest."""

    consignment: ConsignmentId
    document: DocumentKey
    kind: Kind
    lane: Lane
    digest: Digest
    size: int
    tier: Tier
    value: LegalValue
    report: Digest | None
    """Digest of the signed verification report."""
    attempt: int
    deliveries: tuple[DeliveryRef, ...]
    """At most `MAX_REFS` of them in an AMQP header; `deliveries_total` says how many there are."""
    deliveries_total: int
    notices: tuple[Notice, ...] = ()
    sent_at: datetime
    """When the axis accepted it."""


@unique
class Outcome(StrEnum):
    """What a station says of a delivery."""

    FETCHED = "fetched"
    DONE = "done"
    FAIL = "fail"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """One statement of a station about one delivery."""

    delivery: DeliveryId
    outcome: Outcome
    reason: str = ""
    """For `fail`: what went wrong, for people; at most 500 characters."""


@unique
class Ask(StrEnum):
    """
    What a station asks of the axis over AMQP, where there is no HTTP request for it.

    The reply lies in its `receipts` queue, type `reply`, correlated to the question. A question without an answer
    gets `no_answer_json`.
    """

    RESYNC = "resync"
    """Everything handed over and not settled is offered again; no reply."""
    WHERE_IS = "where_is"
    """`whereabouts_json` of a document the station sent."""
    REPORT = "report"
    """`{"type": "report", "document", "report": canonical text, "receipt": receipt_json}`."""
    CONSIGNMENT = "consignment"
    """`{"type": "consignment", ...consignment_json}` with all pending deliveries."""
    PAYLOAD = "payload"
    """`{"type": "payload", "document", "digest", "content": base64}`, up to 8 MiB."""
    OWED = "owed"
    """`owed_list_json`, a page of it; the question stands in `StationMessage.owed`, not in `document`."""


@unique
class NoAnswer(StrEnum):
    """Why a question asked over AMQP has no answer."""

    NOT_FOUND = "not_found"
    RECALLED = "recalled"
    PURGED = "purged"
    """`issuer` is the code of who has the original."""
    NOT_ALLOWED = "not_allowed"
    AMBIGUOUS = "ambiguous"
    """`candidates` are ids that fit."""
    BAD_MESSAGE = "bad_message"
    """`problem` says what is wrong with the question."""


@unique
class Duty(StrEnum):
    """Which answers are owed."""

    RECEIPT = "receipt"
    """A status 01 to 06 that did not come by the deadline of receipt (LR-17), recorded as `delivery.not_taken`."""
    REPLY = "reply"
    """`DueDate` has passed, and the receiver has said neither 06 nor 02."""
    REQUEST = "request"
    """15 to a recall, take-back or update: from the day it was asked for, and still after a 16."""


@unique
class OwedBy(StrEnum):
    """Whose duty it is."""

    ME = "me"
    """The station that asks: of what it received."""
    OTHERS = "others"
    """The receivers of what it sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedQuestion:
    """What a station wants to know of what is owed."""

    duty: Duty
    by: OwedBy = OwedBy.ME
    after: DeliveryId | None = None
    """`next` of the page before; None: the first page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationMessage:
    """The body of one message on `axis.ack`, or of `POST /acks`."""

    acks: tuple[Ack, ...] = ()
    ask: Ask | None = None
    document: str | None = None
    owed: OwedQuestion | None = None
    """For `Ask.OWED`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One message of a station, and who said it when."""

    station: Station
    message: StationMessage
    message_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """A later event of a station's documents, in the order of the log."""

    index: int
    """Leaf index in the log; `GET /events?after=` continues behind it."""
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a document stands, per receiver."""

    document: DocumentKey
    document_id: str
    state: SubmissionState
    deliveries: tuple[DeliveryLine, ...]
    value: LegalValue | None = None
    """What the signatures inside the attachments make of it; None while it is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """One submission, as its station finds it again in the list of what it handed in."""

    submission: SubmissionId
    document: DocumentKey | None
    """None as long as it is held, and when it was refused."""
    digest: Digest
    kind: Kind | None
    """None when nobody could read it."""
    sender: str
    """Code in `From`, as written."""
    document_id: str
    code: str
    subject: str
    state: SubmissionState
    reason: ReasonCode | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One answer that somebody owes, for one delivery."""

    duty: Duty
    document: DocumentKey
    delivery: DeliveryId
    document_id: str
    code: str
    """Number and notation of the document."""
    subject: str
    sender: str
    """Code in `From`, as written: to whom it is owed."""
    receiver: str
    """Code in `To`, as written: who owes it."""
    state: DeliveryState
    status: str | None
    """The receiver's last shown status code."""
    due: datetime | None
    """Until when; None where the calendar of the axis does not know the year."""
    is_late: bool
    request: RequestKind | None = None
    """For `Duty.REQUEST`: what is asked for."""
    requested_by: DocumentKey | None = None
    """The recall, the update or the status 13."""
    requested_at: datetime | None = None
    is_rejected: bool = False
    """The receiver said 16: people talk, and 15 ends it (LR-25)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedList:
    """A page of what is owed, in the order of the deliveries' ids: oldest first."""

    owed: tuple[Owed, ...]
    next: DeliveryId | None
    """What to ask `after` for the next page; None: this is the last."""


# --- JSON ---------------------------------------------------------------------------------------------------------


def cause_json(cause: Cause) -> dict[str, JSON]:
    """A cause with its texts, for programs and people."""
    reason = REASONS[cause.code]
    return {
        "code": cause.code.value,
        "owner": reason.owner.value,
        "vi": reason.vi,
        "en": reason.en,
        "next": {"vi": reason.next_vi, "en": reason.next_en},
        "details": [{"path": one.path, "vi": one.vi, "en": one.en} for one in cause.details],
    }


def _line_json(line: DeliveryLine) -> dict[str, JSON]:
    return {
        "delivery": line.delivery,
        "code": line.code,
        "name": line.name,
        "state": line.state.value,
        "reason": line.reason.value if line.reason else None,
        "at": iso(line.at) if line.at else None,
        "status": line.status,
    }


def receipt_json(receipt: Receipt) -> dict[str, JSON]:
    """A receipt as the small file a station keeps."""
    batch = receipt.batch
    return {
        "record": receipt.record,
        "batch": {
            "index": batch.index,
            "size": batch.size,
            "path": list(batch.path),
            "root": batch.root,
            "key": batch.key,
            "signature": batch.signature,
        },
        "proof": receipt.proof,
    }


def answer_json(answer: Answer) -> dict[str, JSON]:
    """The body of a receipt message and of a 202."""
    return {
        "type": "receipt",
        "submission": answer.submission,
        "state": answer.state.value,
        "message_id": answer.message_id,
        "digest": answer.digest,
        "at": iso(answer.at),
        "headline": {"vi": answer.headline_vi, "en": answer.headline_en},
        "document": answer.document,
        "causes": [cause_json(one) for one in answer.causes],
        "notices": [_notice_json(one) for one in answer.notices],
        "deliveries": [_line_json(one) for one in answer.deliveries],
        "next_try": iso(answer.next_try) if answer.next_try else None,
        "receipt": receipt_json(answer.receipt) if answer.receipt else None,
    }


def _notice_json(notice: Notice) -> dict[str, JSON]:
    return {"code": notice.code, "path": notice.path, "vi": notice.vi, "en": notice.en}


def consignment_json(one: Consignment) -> dict[str, JSON]:
    """An inbox line."""
    return {
        "consignment": one.consignment,
        "document": one.document,
        "kind": one.kind.value,
        "lane": one.lane.value,
        "digest": one.digest,
        "size": one.size,
        "tier": one.tier.value,
        "value": one.value.value,
        "report": one.report,
        "attempt": one.attempt,
        "deliveries": [{"delivery": ref.delivery, "code": ref.code} for ref in one.deliveries],
        "deliveries_total": one.deliveries_total,
        "notices": [_notice_json(notice) for notice in one.notices],
        "sent_at": iso(one.sent_at),
    }


def station_message_json(message: StationMessage) -> dict[str, JSON]:
    """What a station sends on `axis.ack` or `POST /acks`."""
    body: dict[str, JSON] = {}
    if message.acks:
        body["acks"] = [
            {
                "delivery": ack.delivery,
                "outcome": ack.outcome.value,
                **({"reason": ack.reason} if ack.reason else {}),
            }
            for ack in message.acks
        ]
    if message.ask:
        body["ask"] = message.ask.value
    if message.document is not None:
        body["document"] = message.document
    if message.owed is not None:
        asked = message.owed
        body["owed"] = {"duty": asked.duty.value, "by": asked.by.value, "after": asked.after}
    return body


def whereabouts_json(where: Whereabouts) -> dict[str, JSON]:
    """Answer to `where_is`."""
    return {
        "type": "where_is",
        "document": where.document,
        "document_id": where.document_id,
        "state": where.state.value,
        "value": where.value.value if where.value else None,
        "deliveries": [_line_json(line) for line in where.deliveries],
    }


def submitted_json(one: Submitted) -> dict[str, JSON]:
    """One line of the list of submissions."""
    return {
        "submission": one.submission,
        "document": one.document,
        "digest": one.digest,
        "kind": one.kind.value if one.kind else None,
        "from": one.sender,
        "document_id": one.document_id,
        "code": one.code,
        "subject": one.subject,
        "state": one.state.value,
        "reason": one.reason.value if one.reason else None,
        "received_at": iso(one.received_at),
    }


def owed_list_json(page: OwedList) -> dict[str, JSON]:
    """Answer to `owed`."""
    return {"type": "owed", "owed": [_owed_json(one) for one in page.owed], "next": page.next}


def _owed_json(one: Owed) -> dict[str, JSON]:
    return {
        "duty": one.duty.value,
        "document": one.document,
        "delivery": one.delivery,
        "document_id": one.document_id,
        "code": one.code,
        "subject": one.subject,
        "from": one.sender,
        "to": one.receiver,
        "state": one.state.value,
        "status": one.status,
        "due": iso(one.due) if one.due else None,
        "late": one.is_late,
        "request": one.request.value if one.request else None,
        "requested_by": one.requested_by,
        "requested_at": iso(one.requested_at) if one.requested_at else None,
        "rejected": one.is_rejected,
    }


def no_answer_json(question: StationMessage, error: Exception) -> dict[str, JSON]:
    """The reply to a question that ended in one of `NO_ANSWER`; anything else is raised again."""
    facts: dict[str, JSON] = {}
    match error:
        case NotFound():
            said = NoAnswer.NOT_FOUND
        case Withdrawn():
            said = NoAnswer.RECALLED
        case Purged():
            said, facts = NoAnswer.PURGED, {"issuer": error.issuer}
        case NotAllowed():
            said = NoAnswer.NOT_ALLOWED
        case Ambiguous():
            said, facts = NoAnswer.AMBIGUOUS, {"candidates": list(error.candidates)}
        case BadMessage():
            said, facts = NoAnswer.BAD_MESSAGE, {"problem": str(error)}
        case _:
            raise error
    return {
        "type": "error",
        "ask": question.ask.value if question.ask else None,
        "document": question.document,
        "error": said.value,
        **facts,
    }


def feed_json(entry: FeedEntry) -> dict[str, JSON]:
    """One line of the event feed."""
    return {"type": "event", "index": entry.index, "record": entry.record}


def events_json(entries: Sequence[FeedEntry]) -> dict[str, JSON]:
    """Events in the order of the log: the answer to `GET /events`, and a message in the `receipts` queue."""
    return {"type": "events", "events": [feed_json(one) for one in entries]}


def dump(body: Mapping[str, JSON]) -> bytes:
    """UTF-8 JSON for the wire."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def load(body: bytes) -> Mapping[str, Any]:
    """
    The JSON object in `body`.

    Raises:
        BadMessage: not UTF-8, not JSON, or not an object.
    """
    try:
        # Decoded first: json.loads would also take UTF-16 and UTF-32.
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise BadMessage("$", "not JSON") from problem
    if not isinstance(value, dict):
        raise BadMessage("$", "not an object")
    return value


def _member(body: Mapping[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadMessage(name, f"{kind.__name__} expected")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    text = str(_member(body, name, str))
    # JSON can say both, but UTF-8 has no half of a pair and PostgreSQL no zero: recording them would fail for ever.
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise BadMessage(name, "a character that cannot be recorded")
    return text


def _optional_text(body: Mapping[str, Any], name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _time(body: Mapping[str, Any], name: str) -> datetime:
    try:
        at = datetime.fromisoformat(_text(body, name))
    except ValueError as problem:
        raise BadMessage(name, "not a time") from problem
    if at.tzinfo is None:
        raise BadMessage(name, "a time without zone")
    return at


def _objects(body: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadMessage(name, "a list of objects expected")
    return value


def read_station_message(body: bytes) -> StationMessage:
    """
    What a station says.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    value = load(body)
    acks = _objects(value, "acks")
    if len(acks) > MAX_ACKS:
        raise BadMessage("acks", f"more than {MAX_ACKS}")
    ask = _optional_text(value, "ask")
    if ask is not None and ask not in set(Ask):
        raise BadMessage("ask", f"one of {', '.join(Ask)} expected")
    if not acks and ask is None:
        raise BadMessage("$", "neither acks nor ask")
    return StationMessage(
        acks=tuple(_read_ack(one) for one in acks),
        ask=Ask(ask) if ask is not None else None,
        document=_optional_text(value, "document"),
        owed=_read_question(_member(value, "owed", dict)) if value.get("owed") is not None else None,
    )


def _read_question(value: Mapping[str, Any]) -> OwedQuestion:
    duty, by = _text(value, "duty"), _optional_text(value, "by") or OwedBy.ME
    if duty not in set(Duty):
        raise BadMessage("owed.duty", f"one of {', '.join(Duty)} expected")
    if by not in set(OwedBy):
        raise BadMessage("owed.by", f"one of {', '.join(OwedBy)} expected")
    after = _optional_text(value, "after")
    if after is not None and not is_id(after):
        raise BadMessage("owed.after", "an id expected")
    return OwedQuestion(duty=Duty(duty), by=OwedBy(by), after=DeliveryId(after) if after else None)


def _read_ack(value: Mapping[str, Any]) -> Ack:
    outcome = _text(value, "outcome")
    if outcome not in set(Outcome):
        raise BadMessage("outcome", f"one of {', '.join(Outcome)} expected")
    return Ack(
        delivery=DeliveryId(_text(value, "delivery")[:40]),
        outcome=Outcome(outcome),
        reason=(_optional_text(value, "reason") or "")[:500],
    )


def _read_notice(value: Mapping[str, Any]) -> Notice:
    return Notice(
        code=_text(value, "code"), path=_text(value, "path"), vi=_text(value, "vi"), en=_text(value, "en")
    )


def _read_line(value: Mapping[str, Any]) -> DeliveryLine:
    reason = _optional_text(value, "reason")
    return DeliveryLine(
        delivery=DeliveryId(_text(value, "delivery")),
        code=_text(value, "code"),
        name=_text(value, "name"),
        state=DeliveryState(_text(value, "state")),
        reason=ReasonCode(reason) if reason else None,
        at=_time(value, "at") if value.get("at") else None,
        status=_optional_text(value, "status"),
    )


def read_receipt(value: Mapping[str, Any]) -> Receipt:
    """
    A receipt from its JSON; nothing is verified here, see `signing.receipts.verify_receipt`.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    batch = _member(value, "batch", dict)
    path = batch.get("path")
    if not isinstance(path, list) or not all(isinstance(one, str) for one in path):
        raise BadMessage("batch.path", "a list of texts expected")
    return Receipt(
        record=_text(value, "record"),
        batch=BatchSignature(
            index=_member(batch, "index", int),
            size=_member(batch, "size", int),
            path=tuple(path),
            root=_text(batch, "root"),
            key=_text(batch, "key"),
            signature=_text(batch, "signature"),
        ),
        proof=_optional_text(value, "proof"),
    )


def read_answer(value: Mapping[str, Any]) -> Answer:
    """
    The station's reading of an answer.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    headline = _member(value, "headline", dict)
    try:
        return Answer(
            submission=SubmissionId(_text(value, "submission")),
            state=SubmissionState(_text(value, "state")),
            message_id=_text(value, "message_id"),
            digest=Digest(_text(value, "digest")),
            at=_time(value, "at"),
            headline_vi=_text(headline, "vi"),
            headline_en=_text(headline, "en"),
            document=DocumentKey(_text(value, "document")) if value.get("document") else None,
            causes=tuple(_read_cause(one) for one in _objects(value, "causes")),
            notices=tuple(_read_notice(one) for one in _objects(value, "notices")),
            deliveries=tuple(_read_line(one) for one in _objects(value, "deliveries")),
            next_try=_time(value, "next_try") if value.get("next_try") else None,
            receipt=read_receipt(_member(value, "receipt", dict)) if value.get("receipt") else None,
        )
    except BadMessage:
        raise
    except ValueError as problem:
        raise BadMessage("$", str(problem)) from problem


def _read_cause(value: Mapping[str, Any]) -> Cause:
    return Cause(
        code=ReasonCode(_text(value, "code")),
        details=tuple(
            Detail(path=_text(one, "path"), vi=_text(one, "vi"), en=_text(one, "en"))
            for one in _objects(value, "details")
        ),
    )


def read_consignment(value: Mapping[str, Any]) -> Consignment:
    """
    The station's reading of an inbox line.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    try:
        return Consignment(
            consignment=ConsignmentId(_text(value, "consignment")),
            document=DocumentKey(_text(value, "document")),
            kind=Kind(_text(value, "kind")),
            lane=Lane(_text(value, "lane")),
            digest=Digest(_text(value, "digest")),
            size=_member(value, "size", int),
            tier=Tier(_text(value, "tier")),
            value=LegalValue(_text(value, "value")),
            report=Digest(_text(value, "report")) if value.get("report") else None,
            attempt=_member(value, "attempt", int),
            deliveries=tuple(
                DeliveryRef(delivery=DeliveryId(_text(one, "delivery")), code=_text(one, "code"))
                for one in _objects(value, "deliveries")
            ),
            deliveries_total=_member(value, "deliveries_total", int),
            notices=tuple(_read_notice(one) for one in _objects(value, "notices")),
            sent_at=_time(value, "sent_at"),
        )
    except BadMessage:
        raise
    except ValueError as problem:
        raise BadMessage("$", str(problem)) from problem


def read_whereabouts(value: Mapping[str, Any]) -> Whereabouts:
    """
    The station's reading of `where_is`.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    try:
        return Whereabouts(
            document=DocumentKey(_text(value, "document")),
            document_id=_text(value, "document_id"),
            state=SubmissionState(_text(value, "state")),
            value=LegalValue(_text(value, "value")) if value.get("value") else None,
            deliveries=tuple(_read_line(one) for one in _objects(value, "deliveries")),
        )
    except BadMessage:
        raise
    except ValueError as problem:
        raise BadMessage("$", str(problem)) from problem


def read_submitted(value: Mapping[str, Any]) -> Submitted:
    """
    The station's reading of one line of the list of submissions.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    document, kind = _optional_text(value, "document"), _optional_text(value, "kind")
    reason = _optional_text(value, "reason")
    try:
        return Submitted(
            submission=SubmissionId(_text(value, "submission")),
            document=DocumentKey(document) if document is not None else None,
            digest=Digest(_text(value, "digest")),
            kind=Kind(kind) if kind is not None else None,
            sender=_text(value, "from"),
            document_id=_text(value, "document_id"),
            code=_text(value, "code"),
            subject=_text(value, "subject"),
            state=SubmissionState(_text(value, "state")),
            reason=ReasonCode(reason) if reason is not None else None,
            received_at=_time(value, "received_at"),
        )
    except BadMessage:
        raise
    except ValueError as problem:
        raise BadMessage("$", str(problem)) from problem


def read_owed_list(value: Mapping[str, Any]) -> OwedList:
    """
    The station's reading of `owed`.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    following = _optional_text(value, "next")
    _member(value, "owed", list)
    try:
        owed = tuple(_read_owed(one) for one in _objects(value, "owed"))
    except BadMessage:
        raise
    except ValueError as problem:
        raise BadMessage("$", str(problem)) from problem
    if following is not None and (not owed or following != owed[-1].delivery):
        # Whoever turned pages by it would turn them for ever.
        raise BadMessage("next", "the id of the last delivery expected")
    return OwedList(owed=owed, next=DeliveryId(following) if following is not None else None)


def _read_owed(value: Mapping[str, Any]) -> Owed:
    request, by = _optional_text(value, "request"), _optional_text(value, "requested_by")
    return Owed(
        duty=Duty(_text(value, "duty")),
        document=DocumentKey(_text(value, "document")),
        delivery=DeliveryId(_text(value, "delivery")),
        document_id=_text(value, "document_id"),
        code=_text(value, "code"),
        subject=_text(value, "subject"),
        sender=_text(value, "from"),
        receiver=_text(value, "to"),
        state=DeliveryState(_text(value, "state")),
        status=_optional_text(value, "status"),
        due=_time(value, "due") if value.get("due") else None,
        is_late=bool(_member(value, "late", bool)),
        request=RequestKind(request) if request is not None else None,
        requested_by=DocumentKey(by) if by is not None else None,
        requested_at=_time(value, "requested_at") if value.get("requested_at") else None,
        is_rejected=bool(_member(value, "rejected", bool)),
    )


def read_feed(value: Mapping[str, Any]) -> FeedEntry:
    """
    The station's reading of one event.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    return FeedEntry(index=_member(value, "index", int), record=_text(value, "record"))


def read_events(value: Mapping[str, Any]) -> tuple[FeedEntry, ...]:
    """
    The station's reading of several.

    Raises:
        BadMessage: naming the member that is wrong.
    """
    return tuple(read_feed(one) for one in _objects(value, "events"))


__all__ = [
    "MAX_ACKS",
    "MAX_OWED",
    "Ack",
    "Answer",
    "Ask",
    "BadMessage",
    "BatchSignature",
    "Consignment",
    "DeliveryLine",
    "DeliveryRef",
    "Duty",
    "FeedEntry",
    "Notice",
    "Outcome",
    "Owed",
    "OwedBy",
    "OwedList",
    "OwedQuestion",
    "Owner",
    "Receipt",
    "StationId",
    "StationMessage",
    "Submitted",
    "Whereabouts",
    "answer_json",
    "cause_json",
    "consignment_json",
    "dump",
    "events_json",
    "feed_json",
    "load",
    "owed_list_json",
    "read_answer",
    "read_consignment",
    "read_events",
    "read_feed",
    "read_owed_list",
    "read_receipt",
    "read_station_message",
    "read_submitted",
    "read_whereabouts",
    "receipt_json",
    "station_message_json",
    "submitted_json",
    "whereabouts_json",
]
