"""
Every kind of refusal, shown once: messages spoilt on purpose, with the reason each must be refused for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from axis.core.reasons import ReasonCode
from axis.demo.letters import (
    Agency,
    Pen,
    letter,
    package,
    spoilt,
    status,
    with_doctype,
)
from axis.edxml.message import StatusCode

NOWHERE: Final = Agency(code="000.00.00.H2X", name="Không có trong danh mục")
CLOSED: Final = Agency(code="000.00.00.H99", name="Cơ quan đã giải thể (minh họa)")
_FIRST: Final = 9_000
"""Numbers of these letters, so that none repeats one that is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One message that must be refused, and why."""

    reason: ReasonCode
    body: bytes


def bad_messages(
    *, sender: Agency, other: Agency, receiver: Agency, pen: Pen, other_pen: Pen, old_pen: Pen, at: datetime
) -> Iterator[Bad]:
    """
    Messages for the station of `sender`, each refused for its own reason.

    `other` is an organ of another station; `old_pen` belongs to a certificate that has expired.
    """
    good = letter(_FIRST, sender=sender, receivers=[receiver], at=at)
    plain = package(good, pen=None, at=at)
    signed = package(good, pen=pen, at=at)

    def bad(reason: ReasonCode, body: bytes) -> Bad:
        return Bad(reason=reason, body=body)

    yield bad(ReasonCode.PARSE_NOT_XML, b"%PDF-1.7 gui nham tep")
    yield bad(ReasonCode.PARSE_DOCTYPE, with_doctype(signed))
    yield bad(ReasonCode.PARSE_ENCODING, signed.decode().encode("utf-16"))
    yield bad(
        ReasonCode.PARSE_LIMITS,
        _altered(plain, "<edXML:ToPlaces>", "<edXML:ToPlaces>" + "<edXML:Place>x</edXML:Place>" * 20_001),
    )
    yield bad(ReasonCode.PARSE_NOT_EDXML, b"<html><body>404 Not Found</body></html>")
    yield bad(
        ReasonCode.PARSE_BUSINESS_TYPE,
        _altered(plain, "<edXML:BussinessDocType>0<", "<edXML:BussinessDocType>7<"),
    )
    yield bad(
        ReasonCode.VALIDATE_NO_SENDER,
        _altered(plain, f"<edXML:OrganId>{sender.code}</edXML:OrganId>", "<edXML:OrganId/>", most=1),
    )
    yield bad(ReasonCode.VALIDATE_NO_RECEIVER, _without(plain, "edXML:To"))
    yield bad(
        ReasonCode.VALIDATE_DUPLICATE_RECEIVER,
        package(letter(_FIRST, sender=sender, receivers=[receiver, receiver], at=at), pen=pen, at=at),
    )
    yield bad(ReasonCode.VALIDATE_NO_DOCUMENT_ID, _without(plain, "edXML:DocumentId"))
    yield bad(ReasonCode.VALIDATE_ATTACHMENT_MISSING, _without(plain, "Attachment"))
    yield bad(ReasonCode.VALIDATE_ATTACHMENT_UNLISTED, _without(plain, "edXML:Reference"))
    yield bad(ReasonCode.VALIDATE_BASE64, _altered(plain, "JVBERi0", "JVBE*i0", most=1))
    yield bad(
        ReasonCode.VALIDATE_SECRECY,
        package(
            letter(_FIRST, sender=sender, receivers=[receiver], at=at, subject="V/v phương án bảo vệ (MẬT)"),
            pen=pen,
            at=at,
        ),
    )
    mistaken = status(StatusCode.ARRIVED, sender=sender, answered=good, at=at)
    yield bad(
        ReasonCode.VALIDATE_STATUS_CODE,
        _altered(mistaken, "<edXML:StatusCode>01<", "<edXML:StatusCode>14<"),
    )
    yield bad(ReasonCode.VALIDATE_STATUS_TARGET, _without(mistaken, "edXML:ResponseFor"))
    yield bad(ReasonCode.ROUTE_UNKNOWN_DOCUMENT, mistaken)
    yield bad(
        ReasonCode.RECEIVE_NOT_YOUR_ORGAN,
        package(letter(_FIRST, sender=other, receivers=[receiver], at=at), pen=other_pen, at=at),
    )
    yield bad(ReasonCode.VERIFY_UNSIGNED, plain)
    yield bad(ReasonCode.VERIFY_SIGNATURE, spoilt(signed))
    yield bad(ReasonCode.VERIFY_CERTIFICATE, package(good, pen=old_pen, at=at))
    yield bad(ReasonCode.VERIFY_ORGAN, package(good, pen=other_pen, at=at))
    yield bad(
        ReasonCode.ROUTE_UNKNOWN_RECEIVER,
        package(letter(_FIRST, sender=sender, receivers=[NOWHERE], at=at), pen=pen, at=at),
    )
    yield bad(
        ReasonCode.ROUTE_CLOSED_RECEIVER,
        package(letter(_FIRST, sender=sender, receivers=[CLOSED], at=at), pen=pen, at=at),
    )


def _altered(body: bytes, old: str, new: str, *, most: int = -1) -> bytes:
    text = body.decode()
    if old not in text:
        raise AssertionError(f"nothing to alter: {old!r}")
    return text.replace(old, new, most).encode()


def _without(body: bytes, element: str) -> bytes:
    """Without the first element of that name."""
    text = body.decode()
    start = min(place for end in "> " if (place := text.find(f"<{element}{end}")) >= 0)
    end = text.index(f"</{element}>", start) + len(f"</{element}>")
    return (text[:start] + text[end:]).encode()
