"""
The registers of outgoing and incoming documents (sổ đăng ký văn bản đi, đến) as the axis knows them (LR-41).

The ten columns of NĐ30/2020/NĐ-CP Annex IV, in its order, then what finds the document in the axis again. They are for
comparing with an agency's own registers, and replace none: what only the agency knows (its number for an incoming
document, who keeps the copy) is empty here and never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum, unique
from typing import Any

from sqlalchemy import BigInteger, Row, Select, and_, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.events import JSON
from axis.core.model import DeliveryState, Kind, from_micros, iso, micros, vietnam_day
from axis.ledger import tables as t
from axis.ledger.scope import Scope, names_of
from axis.ledger.search import code_of

PIECE = 500
"""Documents or deliveries read at a time."""

_Row = Row[*tuple[Any, ...]]


@unique
class Direction(StrEnum):
    """Which register."""

    OUT = "out"
    IN = "in"


OUTGOING: Mapping[str, tuple[str, str]] = {
    "code": ("Số, ký hiệu văn bản", "Number and notation"),
    "date": ("Ngày tháng văn bản", "Date of the document"),
    "content": ("Tên loại và trích yếu nội dung văn bản", "Type and subject"),
    "signatory": ("Người ký", "Signed by"),
    "receivers": ("Nơi nhận văn bản", "Receivers"),
    "kept_by": ("Đơn vị, người nhận bản lưu", "Who keeps the copy"),
    "copies": ("Số lượng bản", "Copies"),
    "sent_on": ("Ngày chuyển", "Sent on"),
    "signed_for": ("Ký nhận", "Receipt"),
    "remarks": ("Ghi chú", "Remarks"),
}
"""Annex IV, part I: member -> heading in Vietnamese and English."""

INCOMING: Mapping[str, tuple[str, str]] = {
    "arrived_on": ("Ngày đến", "Arrived on"),
    "arrival_number": ("Số đến", "Arrival number"),
    "author": ("Tác giả", "Author"),
    "code": ("Số, ký hiệu văn bản", "Number and notation"),
    "date": ("Ngày tháng văn bản", "Date of the document"),
    "content": ("Tên loại và trích yếu nội dung văn bản", "Type and subject"),
    "taken_by": ("Đơn vị hoặc người nhận", "Unit or person it went to"),
    "sent_on": ("Ngày chuyển", "Passed on"),
    "signed_for": ("Ký nhận", "Receipt"),
    "remarks": ("Ghi chú", "Remarks"),
}
"""Annex IV, part VI."""

FOUND_BY: Mapping[str, tuple[str, str]] = {
    "organ": ("Mã định danh", "Organ"),
    "document": ("Mã của Trục", "The axis's id"),
    "document_id": ("DocumentId", "DocumentId"),
    "digest": ("SHA-256 của gói tin", "SHA-256 of the package"),
}

_TYPES = {
    1: ("Thu hồi", "Recall"),
    2: ("Cập nhật", "Update"),
    3: ("Thay thế", "Replacement"),
}
_URGENCIES = {1: ("Khẩn", "Urgent"), 2: ("Thượng khẩn", "Very urgent"), 3: ("Hỏa tốc", "Express")}
_VALUES = {"reference": ("Chỉ để tham khảo", "Reference only"), "copy": ("Bản sao", "Copy")}


async def register_piece(
    connection: AsyncConnection,
    direction: Direction,
    *,
    scope: Scope,
    since: datetime,
    until: datetime,
    after: tuple[int, str] | None,
    lang: str,
) -> tuple[list[dict[str, JSON]], tuple[int, str] | None]:
    """The next rows behind `after`, oldest first, and where the piece after them begins; None at the end."""
    of_documents = direction is Direction.OUT
    table = t.document if of_documents else t.delivery
    at = table.c.accepted_at
    query: Select[Any] = select(t.document) if of_documents else _INCOMING
    query = query.where(
        at >= micros(since),
        at < micros(until),
        table.c.kind == Kind.EDOC.value,
        scope.covers(t.document.c.sender if of_documents else t.delivery.c.organ),
    )
    if of_documents:
        # A supplementary sending is no second document: its receivers stand with the first.
        query = query.where(t.document.c.root == t.document.c.id)
    if after is not None:
        query = query.where(
            tuple_(at, table.c.id) > tuple_(literal(after[0], BigInteger()), literal(after[1]))
        )
    rows = list((await connection.execute(query.order_by(at, table.c.id).limit(PIECE + 1))).all())
    shown = rows[:PIECE]
    end = (shown[-1].accepted_at, shown[-1].id if of_documents else shown[-1].delivery_id)
    index = 1 if lang == "en" else 0
    found = (
        (
            await _outgoing(connection, shown, index=index)
            if of_documents
            else await _incoming(connection, shown, index=index)
        )
        if shown
        else []
    )
    return found, end if len(rows) > PIECE else None


_INCOMING = select(
    t.delivery.c.id.label("delivery_id"),
    t.delivery.c.accepted_at,
    t.delivery.c.code.label("to_code"),
    t.delivery.c.name.label("to_name"),
    t.delivery.c.state,
    t.delivery.c.received_at,
    t.delivery.c.returned,
    t.delivery.c.registered,
    t.document,
).join_from(
    t.delivery,
    t.document,
    and_(t.document.c.id == t.delivery.c.document_key, t.document.c.year == t.delivery.c.year),
)


async def _outgoing(
    connection: AsyncConnection, rows: Sequence[_Row], *, index: int
) -> list[dict[str, JSON]]:
    roots = [row.id for row in rows]
    table = t.delivery
    # Deliveries of the first sending and of every later one.
    query = (
        select(t.document.c.root, table.c.name, table.c.code, table.c.state, table.c.accepted_at, table.c.id)
        .join_from(
            t.document,
            table,
            and_(table.c.document_key == t.document.c.id, table.c.year == t.document.c.year),
        )
        .where(t.document.c.root.in_(roots))
        .order_by(table.c.accepted_at, table.c.code, table.c.id)
    )
    receivers: dict[str, list[_Row]] = {root: [] for root in roots}
    for row in await connection.execute(query):
        receivers[row.root].append(row)
    found = []
    for row in rows:
        theirs = receivers[row.id]
        states = Counter(one.state for one in theirs)
        taken = states[DeliveryState.ACKNOWLEDGED.value]
        found.append(
            {
                **_common(row, index=index),
                "receivers": "; ".join(f"{one.name} ({one.code})" for one in theirs),
                "kept_by": None,
                "copies": len(theirs),
                "sent_on": vietnam_day(from_micros(row.accepted_at)),
                "signed_for": (f"{taken}/{len(theirs)} đã nhận", f"{taken}/{len(theirs)} taken")[index],
                "organ": row.from_code,
            }
        )
    return found


async def _incoming(
    connection: AsyncConnection, rows: Sequence[_Row], *, index: int
) -> list[dict[str, JSON]]:
    names = await names_of(connection, [row.sender for row in rows])
    found = []
    for row in rows:
        taken = iso(from_micros(row.received_at))[:19].replace("T", " ") if row.received_at else None
        arrived = vietnam_day(from_micros(row.received_at or row.accepted_at))
        common = _common(row, index=index)
        remarks = [str(common["remarks"])] if common["remarks"] else []
        if row.state != DeliveryState.ACKNOWLEDGED.value:
            remarks.append(row.state)
        if row.returned:
            remarks.append(("Trả lại", "Returned")[index])
        found.append(
            {
                **common,
                "arrived_on": arrived,
                "arrival_number": None,
                "author": names.get(row.sender, (row.from_code, row.from_code))[1],
                "taken_by": row.to_name,
                "sent_on": vietnam_day(from_micros(row.accepted_at)),
                "signed_for": taken,
                "remarks": "; ".join(remarks) or None,
                "organ": row.to_code,
            }
        )
    return found


def _common(row: _Row, *, index: int) -> dict[str, JSON]:
    remarks = [
        texts[index]
        for texts in (
            _TYPES.get(row.business_type),
            _URGENCIES.get(row.urgency),
            _VALUES.get(row.value),
        )
        if texts is not None
    ]
    content = f"{row.type_name}: {row.subject}" if row.type_name else row.subject
    return {
        "code": code_of(row.number, row.notation) or None,
        "date": row.promulgation_date,
        "content": content,
        "signatory": row.signatory or None,
        "remarks": "; ".join(remarks) or None,
        "document": row.id,
        "document_id": row.document_id,
        "digest": row.digest,
    }


def headings(direction: Direction, *, lang: str) -> dict[str, str]:
    """Members and headings in the order of the register."""
    own = OUTGOING if direction is Direction.OUT else INCOMING
    index = 1 if lang == "en" else 0
    return {name: texts[index] for name, texts in {**own, **FOUND_BY}.items()}
