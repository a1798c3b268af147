"""
What is late and what is owed: the lists of people who must act, and how long documents take.

    receipt    not answered by 01 or 03 by 24:00 of the day it arrived (NĐ30 Art. 21)
    next_day   the same for what came after 16:30 or on a day off: due at the end of the next working day
    sending    sent after noon of the working day after issue (QĐ28 Art. 6.2)
    reply      DueDate has passed, and the receiver has said neither that it has finished (06) nor that it returns it (02)
    request    a recall, take-back or update unanswered at the end of the next working day
    urgent     stations that sent more than a fifth of a day's documents as khẩn or above

Every list is read from derived columns, which `axis ledger check` recomputes. A receiver that has been asked to answer
sees its own lines and its sender sees them too: people by their organs, stations by what they received and sent.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum, unique
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.calendar import Calendar, UnknownYear, end_of_day
from axis.core.events import JSON
from axis.core.exchange import Duty, Owed, OwedBy, OwedList, OwedQuestion
from axis.core.model import (
    PENDING,
    VIETNAM,
    BusinessType,
    DeliveryId,
    DeliveryState,
    DocumentKey,
    Kind,
    OrganNumber,
    RequestKind,
    RequestState,
    StationId,
    Urgency,
    from_micros,
    iso,
    micros,
    vietnam_day,
)
from axis.flow.deadlines import SHIPPED_CALENDAR
from axis.ledger import tables as t
from axis.ledger.scope import Scope, names_of
from axis.ledger.search import code_of
from axis.ledger.store import SQLLedger

MOST_LISTED: Final = 10_000
TOO_URGENT: Final = 0.2
"""A station above this share of urgent documents in a day is listed: who marks everything urgent marks nothing."""
FEWEST_URGENT: Final = 5
"""Documents a station must have sent that day; one of two says nothing."""
PERCENTILES: Final = (50, 90, 95, 99)
REMEMBERED: Final = timedelta(days=366)
"""Stations are told of receipts and replies whose deadline lies no farther back; a request stays until it is answered."""
_DAY: Final = 24 * 3600 * 1_000_000
_ZONE: Final = 7 * 3600 * 1_000_000
_IS_ITS_DOCUMENT: Final = and_(
    t.document.c.id == t.delivery.c.document_key, t.document.c.year == t.delivery.c.year
)
"""Both ids are of one moment, that of the acceptance: the year is the same, and names the partition."""
_OWED: Final = sorted(state.value for state in PENDING | {DeliveryState.ACKNOWLEDGED})


@unique
class Due(StrEnum):
    """Which list."""

    RECEIPT = "receipt"
    NEXT_DAY = "next_day"
    SENDING = "sending"
    REPLY = "reply"
    REQUEST = "request"
    URGENT = "urgent"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueFilter:
    """Which list, of whom, and of which time."""

    which: Due
    organ: OrganNumber | None = None
    """Sender or receiver, with everything below."""
    since: datetime | None = None
    """Accepted from then on."""
    until: datetime | None = None
    limit: int = MOST_LISTED

    def said(self) -> dict[str, JSON]:
        """What was asked for, as the record of the question holds it."""
        found: dict[str, JSON] = {"which": self.which.value}
        if self.organ is not None:
            found["organ"] = int(self.organ)
        for name in ("since", "until"):
            at = getattr(self, name)
            if at is not None:
                found[name] = iso(at)
        return found


class SQLDeadlines:
    """Implements `axis.flow.overdue.Deadlines`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def passed(self, *, at: datetime, limit: int) -> Sequence[DeliveryId]:
        """See the port."""
        column = t.delivery.c
        query = (
            select(column.id)
            .where(t.is_not_told, column.due_at <= micros(at), column.state.in_(_OWED))
            .order_by(column.due_at, column.id)
            .limit(limit)
        )
        async with self._ledger.reading() as connection:
            return [DeliveryId(one) for one in (await connection.execute(query)).scalars()]


async def list_due(
    connection: AsyncConnection,
    asked: DueFilter,
    *,
    scope: Scope,
    at: datetime,
    calendar: Calendar = SHIPPED_CALENDAR,
) -> list[dict[str, JSON]]:
    """The rows of one list at the moment `at`, oldest first."""
    if asked.which is Due.URGENT:
        return await _urgent_days(connection, asked, scope=scope)
    if asked.which is Due.SENDING:
        return await _late_sendings(connection, asked, scope=scope)
    query = _deliveries(asked, scope=scope)
    column = t.delivery.c
    match asked.which:
        case Due.RECEIPT | Due.NEXT_DAY:
            query = query.where(
                # Recorded as passed, or about to be: each of the two has its index.
                or_(t.is_overdue, and_(t.is_not_told, column.due_at <= micros(at))),
                column.state.in_(_OWED),
                column.next_day.is_(asked.which is Due.NEXT_DAY),
            ).order_by(column.due_at, column.id)
        case Due.REPLY:
            query = query.where(
                t.document.c.due_date < vietnam_day(at),
                column.state.in_(_OWED),
                _is_not_replied(),
            ).order_by(t.document.c.due_date, column.id)
        case Due.REQUEST:
            query = query.where(
                t.is_request_open, column.request == "asked", column.requested_at < micros(at)
            ).order_by(column.requested_at, column.id)
    found = (await connection.execute(query.limit(asked.limit))).all()
    names = await names_of(connection, [row.sender for row in found])
    rows = [_row(row, names, asked.which, calendar) for row in found]
    if asked.which is Due.REQUEST:
        # When an answer is due follows from the calendar, which no database knows.
        rows = [row for row in rows if row["due"] is not None and str(row["due"]) <= iso(at)]
    return rows


def _deliveries(asked: DueFilter, *, scope: Scope) -> Select[Any]:
    column, document = t.delivery.c, t.document.c
    query = (
        select(
            column.id,
            column.document_key,
            column.code,
            column.name,
            column.organ,
            column.sender,
            column.station_id,
            column.state,
            column.status,
            column.accepted_at,
            column.received_at,
            column.due_at,
            column.not_taken_at,
            column.request,
            column.request_kind,
            column.requested_at,
            document.from_code,
            document.number,
            document.notation,
            document.subject,
            document.urgency,
            document.due_date,
        )
        .join_from(t.delivery, t.document, _IS_ITS_DOCUMENT)
        .where(column.kind == Kind.EDOC.value, scope.covers_either(column.sender, column.organ))
    )
    return _within(query, column.accepted_at, asked)


def _within(query: Select[Any], column: Any, asked: DueFilter) -> Select[Any]:
    if asked.since is not None:
        query = query.where(column >= micros(asked.since))
    if asked.until is not None:
        query = query.where(column < micros(asked.until))
    return query


def _row(row: Any, names: Any, which: Due, calendar: Calendar) -> dict[str, JSON]:
    found: dict[str, JSON] = {
        "document": row.document_key,
        "delivery": row.id,
        "code": code_of(row.number, row.notation) or None,
        "subject": row.subject,
        "urgency": row.urgency,
        "from": row.from_code,
        "from_name": names.get(row.sender, ("", ""))[1] or None,
        "to": row.code,
        "to_name": row.name,
        "to_station": row.station_id,
        "state": row.state,
        "status": row.status,
        "accepted_at": _time(row.accepted_at),
        "received_at": _time(row.received_at),
        "due": _time(row.due_at),
        "recorded_at": _time(row.not_taken_at),
    }
    if which is Due.REPLY:
        found["due"] = iso(end_of_day(date.fromisoformat(row.due_date)))
    if which is Due.REQUEST:
        found |= {
            "request": row.request_kind,
            "requested_at": _time(row.requested_at),
            "due": iso(due) if (due := _answer_due(row, calendar)) else None,
        }
    return found


def _is_not_replied() -> ColumnElement[bool]:
    """Neither finished nor returned."""
    status = t.delivery.c.status
    return or_(status.is_(None), status.not_in(("02", "06")))


def _answer_due(row: Any, calendar: Calendar) -> datetime | None:
    """When the answer to the request of a delivery is due; None for a year the calendar does not know."""
    try:
        return calendar.end_of_next_working_day(from_micros(row.requested_at))
    except UnknownYear:
        return None


def _time(value: int | None) -> str | None:
    return None if value is None else iso(from_micros(value))


async def list_owed(
    connection: AsyncConnection,
    station: StationId,
    asked: OwedQuestion,
    *,
    at: datetime,
    calendar: Calendar,
    limit: int,
) -> OwedList:
    """What a station owes for what it received, or is owed for what it sent: at most `limit`, by delivery."""
    column, document = t.delivery.c, t.document.c
    query = (
        select(
            column.id,
            column.document_key,
            column.code,
            column.state,
            column.status,
            column.due_at,
            column.request,
            column.request_kind,
            column.requested_by,
            column.requested_at,
            document.document_id,
            document.from_code,
            document.number,
            document.notation,
            document.subject,
            document.due_date,
        )
        .join_from(t.delivery, t.document, _IS_ITS_DOCUMENT)
        .where(column.kind == Kind.EDOC.value)
        .where((column if asked.by is OwedBy.ME else document).station_id == station)
    )
    match asked.duty:
        case Duty.RECEIPT:
            query = query.where(
                t.is_overdue, column.due_at >= micros(at - REMEMBERED), column.state.in_(_OWED)
            )
        case Duty.REPLY:
            query = query.where(
                document.due_date < vietnam_day(at),
                document.due_date >= vietnam_day(at - REMEMBERED),
                column.state.in_(_OWED),
                _is_not_replied(),
            )
        case Duty.REQUEST:
            query = query.where(t.is_request_open)
    if asked.after is not None:
        query = query.where(column.id > asked.after)
    found = (await connection.execute(query.order_by(column.id).limit(limit + 1))).all()
    owed = tuple(_owed(row, asked.duty, at=at, calendar=calendar) for row in found[:limit])
    return OwedList(owed=owed, next=owed[-1].delivery if len(found) > limit else None)


def _owed(row: Any, duty: Duty, *, at: datetime, calendar: Calendar) -> Owed:
    is_request = duty is Duty.REQUEST
    due: datetime | None
    match duty:
        case Duty.RECEIPT:
            due = from_micros(row.due_at)
        case Duty.REPLY:
            due = end_of_day(date.fromisoformat(row.due_date))
        case Duty.REQUEST:
            due = _answer_due(row, calendar)
    return Owed(
        duty=duty,
        document=DocumentKey(row.document_key),
        delivery=DeliveryId(row.id),
        document_id=row.document_id,
        code=code_of(row.number, row.notation),
        subject=row.subject or "",
        sender=row.from_code,
        receiver=row.code,
        state=DeliveryState(row.state),
        status=row.status,
        due=due,
        is_late=due is not None and due <= at,
        request=RequestKind(row.request_kind) if is_request else None,
        requested_by=DocumentKey(row.requested_by) if is_request else None,
        requested_at=from_micros(row.requested_at) if is_request else None,
        is_rejected=is_request and row.request == RequestState.REJECTED.value,
    )


async def _late_sendings(
    connection: AsyncConnection, asked: DueFilter, *, scope: Scope
) -> list[dict[str, JSON]]:
    column = t.document.c
    query = (
        select(
            column.id,
            column.sender,
            column.from_code,
            column.number,
            column.notation,
            column.subject,
            column.promulgation_date,
            column.received_at,
            column.urgency,
            column.station_id,
        )
        .where(column.late.is_(True), scope.covers(column.sender))
        .order_by(column.received_at, column.id)
        .limit(asked.limit)
    )
    found = (await connection.execute(_within(query, column.accepted_at, asked))).all()
    names = await names_of(connection, [row.sender for row in found])
    return [
        {
            "document": row.id,
            "code": code_of(row.number, row.notation) or None,
            "subject": row.subject,
            "urgency": row.urgency,
            "from": row.from_code,
            "from_name": names.get(row.sender, ("", ""))[1] or None,
            "from_station": row.station_id,
            "issued": row.promulgation_date,
            "submitted_at": _time(row.received_at),
        }
        for row in found
    ]


async def _urgent_days(
    connection: AsyncConnection, asked: DueFilter, *, scope: Scope
) -> list[dict[str, JSON]]:
    column = t.document.c
    day = (column.accepted_at + literal_column(str(_ZONE))) // literal_column(str(_DAY))
    urgent = func.sum(case((column.urgency > int(Urgency.NORMAL), 1), else_=0))
    query = (
        select(column.station_id, day.label("day"), func.count().label("n"), urgent.label("urgent"))
        .where(
            column.kind == Kind.EDOC.value,
            column.root == column.id,
            scope.covers(column.sender),
        )
        .group_by(column.station_id, day)
        .order_by(day, column.station_id)
    )
    found = (await connection.execute(_within(query, column.accepted_at, asked))).all()
    return [
        {
            "station": row.station_id,
            "day": date.fromordinal(date(1970, 1, 1).toordinal() + int(row.day)).isoformat(),
            "sent": int(row.n),
            "urgent": int(row.urgent),
            "percent": round(100 * int(row.urgent) / int(row.n)),
        }
        for row in found
        if row.n >= FEWEST_URGENT and row.urgent > TOO_URGENT * row.n
    ][: asked.limit]


@unique
class Stage(StrEnum):
    """How far a document has come, counted from the day it was issued (LR-51)."""

    ACCEPTED = "accepted"
    """The axis has it."""
    TAKEN = "taken"
    """The receiver's system has it."""
    REGISTERED = "registered"
    """It stands in the receiver's register (03)."""


async def times_of(connection: AsyncConnection, asked: DueFilter, *, scope: Scope) -> list[dict[str, JSON]]:
    """
    Hours from issue to each stage, by percentile; normal and urgent documents apart.

    The format gives issue a day and no hour, so hours run from 00:00 of that day in Vietnam. Documents without a day,
    or with one in the future, are left out and counted. Only first sendings of new documents.
    """
    seconds: dict[tuple[Stage, bool], array[int]] = defaultdict(lambda: array("q"))
    left_out = 0
    result = await connection.stream(_dated(asked, scope=scope).execution_options(yield_per=1_000))
    last: str | None = None
    async for piece in result.partitions():
        for row in piece:
            issued = _midnight(row.promulgation_date)
            if issued is None or issued > row.accepted_at:
                left_out += last != row.id
            else:
                for stage, at in _stages(row, is_new=last != row.id):
                    seconds[stage, row.urgency > Urgency.NORMAL].append((at - issued) // 1_000_000)
            last = row.id
    rows: list[dict[str, JSON]] = []
    for stage in Stage:
        for is_urgent in (False, True):
            found = sorted(seconds[stage, is_urgent])
            if found:
                rows.append(
                    {"stage": stage.value, "urgent": is_urgent, "n": len(found), **_percentiles(found)}
                )
    return [*rows, {"stage": "undated", "urgent": None, "n": left_out}] if left_out else rows


def _dated(asked: DueFilter, *, scope: Scope) -> Select[Any]:
    column, delivery = t.document.c, t.delivery.c
    query = (
        select(
            column.id,
            column.promulgation_date,
            column.accepted_at,
            column.urgency,
            delivery.received_at,
            delivery.registered_at,
        )
        .outerjoin_from(t.document, t.delivery, _IS_ITS_DOCUMENT)
        .where(
            column.kind == Kind.EDOC.value,
            column.business_type == int(BusinessType.NEW),
            column.root == column.id,
            scope.covers(column.sender),
        )
        .order_by(column.accepted_at, column.id)
    )
    return _within(query, column.accepted_at, asked)


def _midnight(day: str | None) -> int | None:
    return None if day is None else micros(datetime.fromisoformat(day).replace(tzinfo=VIETNAM))


def _stages(row: Row[Any], *, is_new: bool) -> Iterator[tuple[Stage, int]]:
    if is_new:
        yield Stage.ACCEPTED, row.accepted_at
    if row.received_at is not None:
        yield Stage.TAKEN, row.received_at
    if row.registered_at is not None:
        yield Stage.REGISTERED, row.registered_at


def _percentiles(ordered: Sequence[int]) -> dict[str, JSON]:
    """Nearest rank, in whole minutes: a record holds no fractions."""
    return {
        f"p{one}_minutes": ordered[max(0, -(-len(ordered) * one // 100) - 1)] // 60 for one in PERCENTILES
    }
