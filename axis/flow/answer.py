"""
What a station is told of a submission: built from the recorded event alone, so that the answer to a message that
comes twice is the answer it was given.
"""

from __future__ import annotations

from typing import Any

from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import Answer, DeliveryLine, Notice
from axis.core.model import (
    DeliveryId,
    DeliveryState,
    Digest,
    Kind,
    SubmissionId,
    SubmissionState,
)
from axis.core.reasons import REASONS, Cause, Detail, ReasonCode

MOST_LINES = 1_000
"""Most receivers listed in an answer; all of them are in the ledger."""

_STATES = {
    EventKind.SUBMISSION_ACCEPTED: SubmissionState.ACCEPTED,
    EventKind.SUBMISSION_REFUSED: SubmissionState.REFUSED,
    EventKind.SUBMISSION_HELD: SubmissionState.HELD,
    EventKind.SUBMISSION_DUPLICATE: SubmissionState.DUPLICATE,
}


def causes_json(causes: tuple[Cause, ...]) -> list[JSON]:
    """Causes as they stand in a record."""
    return [
        {
            "code": one.code.value,
            "details": [{"path": detail.path, "vi": detail.vi, "en": detail.en} for detail in one.details],
        }
        for one in causes
    ]


def notices_json(notices: tuple[Notice, ...]) -> list[JSON]:
    """Notices as they stand in a record."""
    return [{"code": one.code, "path": one.path, "vi": one.vi, "en": one.en} for one in notices]


def read_causes(value: Any) -> tuple[Cause, ...]:
    """Causes of a record."""
    return tuple(
        Cause(
            code=ReasonCode(one["code"]),
            details=tuple(Detail(path=d["path"], vi=d["vi"], en=d["en"]) for d in one["details"]),
        )
        for one in value
    )


def read_notices(value: Any) -> tuple[Notice, ...]:
    """Notices of a record."""
    return tuple(Notice(code=one["code"], path=one["path"], vi=one["vi"], en=one["en"]) for one in value)


def answer_of(event: Event) -> Answer:
    """The answer an outcome event stands for, without its receipt."""
    from datetime import datetime

    facts: Any = event.facts
    causes = read_causes(facts.get("causes", ()))
    lines = tuple(
        DeliveryLine(
            delivery=DeliveryId(one["id"]),
            code=one["code"],
            name=one["name"],
            state=DeliveryState(one["state"]),
            reason=ReasonCode(one["reason"]) if one.get("reason") else None,
            at=event.at,
        )
        for one in facts.get("deliveries", ())[:MOST_LINES]
    )
    vi, en = _headline(event, facts, causes)
    return Answer(
        submission=SubmissionId(str(event.submission)),
        state=_STATES[event.kind],
        message_id=facts["message_id"],
        digest=Digest(facts["digest"]),
        at=datetime.fromisoformat(facts["received_at"]),
        headline_vi=vi,
        headline_en=en,
        document=event.document,
        causes=causes,
        notices=read_notices(facts.get("notices", ())),
        deliveries=lines,
        next_try=datetime.fromisoformat(facts["next_try"]) if facts.get("next_try") else None,
    )


def _headline(event: Event, facts: Any, causes: tuple[Cause, ...]) -> tuple[str, str]:
    if causes:
        reason = REASONS[causes[0].code]
        return reason.vi, reason.en
    if event.kind is EventKind.SUBMISSION_DUPLICATE:
        return (
            "Văn bản này đã được tiếp nhận trước đó; không gửi lại lần nữa.",
            "This document was accepted before; it is not sent again.",
        )
    if facts["kind"] == Kind.STATUS.value:
        return "Trục đã tiếp nhận trạng thái.", "The status was accepted."
    deliveries = facts["deliveries"]
    paper = [one for one in deliveries if one["state"] == DeliveryState.NOT_CONNECTED.value]
    sent = len(deliveries) - len(paper)
    vi = f"Trục đã tiếp nhận, chuyển tới {sent} đơn vị."
    en = f"Accepted, on its way to {sent} receivers."
    if paper:
        # What a clerk must still do stands in the first line.
        codes = ", ".join(one["code"] for one in paper[:10])
        vi = f"GỬI BẢN GIẤY cho {len(paper)} đơn vị chưa kết nối: {codes}. {vi}"
        en = f"SEND PAPER to {len(paper)} receivers that are not connected: {codes}. {en}"
    return vi, en
