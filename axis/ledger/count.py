"""
The counts as people ask for them: folded cells (`tally`), or every record counted again, into the same rows.

Counting rules version 1. A row is an organ, an organ with everything below it, a day, a month, a quarter, a year,
a business type, an urgency, or a pair of sender and receiver. What counts at the sender (sent, refused, recalled,
late, unsigned, paper) stands in the sender's row; what counts for each delivery stands in the receiver's. Every row
balances:

    pending_start + addressed = received + withdrawn + failed + pending

`failed` and `received` are net: a failure that was sent round again is taken back on the day of the replay, so a
period can show less than none. Events without a number are in none of the columns; `Counts` says how many there are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum, unique
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, Table, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvalidQuestion
from axis.core.events import JSON, read_record
from axis.core.model import BusinessType, OrganNumber, Urgency
from axis.ledger import tables as t
from axis.ledger.counts import RULE_VERSION, Metric, Tally, fold
from axis.ledger.scope import Scope, names_of

_AT_THE_SENDER = frozenset(
    {
        Metric.SENT,
        Metric.REFUSED,
        Metric.RECALLED,
        Metric.LATE,
        Metric.LATE_ND30,
        Metric.UNSIGNED,
        Metric.PAPER,
    }
)
_PENDING = {Metric.ADDRESSED: 1, Metric.RECEIVED: -1, Metric.WITHDRAWN: -1, Metric.FAILED: -1}
"""How each column changes what is pending."""

COLUMNS = (
    "sent",
    "addressed",
    "received",
    "registered",
    "returned",
    "pending_start",
    "pending",
    "failed",
    "withdrawn",
    "not_connected",
    "refused",
    "recalled",
    "late",
    "late_nd30",
    "unsigned",
    "paper",
    "rule_version",
)
"""Numbers of a row, behind what names it."""


@unique
class By(StrEnum):
    """What a row of the counts is."""

    ORGAN = "organ"
    TREE = "tree"
    """An organ with everything below it, so an organ's numbers stand in its own row and in those above it."""
    TOP = "top"
    """An organ of the first level with everything below it: ministries, provinces. Their rows add up to the whole."""
    DAY = "day"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    TYPE = "type"
    URGENCY = "urgency"
    PAIR = "pair"
    MATRIX = "matrix"
    """Sender and receiver of the first level, each with everything below it."""


_ORGANS = frozenset({By.ORGAN, By.TREE, By.TOP})
_PAIRS = frozenset({By.PAIR, By.MATRIX})
_NAMED_BY = {**dict.fromkeys(_ORGANS, ("organ",)), **dict.fromkeys(_PAIRS, ("from", "to"))}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False


_PERIODS = frozenset({By.DAY, By.MONTH, By.QUARTER, By.YEAR})
_WHOLE = _PERIODS | {By.TYPE, By.URGENCY}
"""Rows of these name no organ."""

Name: TypeAlias = tuple[str | int, ...]
"""What a row is of: an organ's number, a period, a type, or sender and receiver (0: none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFilter:
    """What is counted; what is not said does not restrict."""

    since: str | None = None
    """First day, `yyyy-mm-dd`, Asia/Ho_Chi_Minh."""
    until: str | None = None
    """Last day; it is counted too."""
    organ: OrganNumber | None = None
    """With everything below it."""
    business_type: BusinessType | None = None
    urgency: Urgency | None = None
    """Refusals were never routed: they count under normal."""
    received_as_addressed: bool = False
    """The other reading of the published figures: received is what was addressed, picked up or not."""

    def __post_init__(self) -> None:
        """Refuse days that are none."""
        for name, day in (("since", self.since), ("until", self.until)):
            if day is not None and not _is_day(day):
                raise InvalidQuestion(f"{name}: {day[:40]!r} is no day; yyyy-mm-dd expected")

    def said(self) -> dict[str, JSON]:
        """What was asked for, as the record of the question holds it."""
        found: dict[str, JSON] = {}
        for name in ("since", "until"):
            if getattr(self, name) is not None:
                found[name] = str(getattr(self, name))
        for name in ("organ", "business_type", "urgency"):
            if getattr(self, name) is not None:
                found[name] = int(getattr(self, name))
        if self.received_as_addressed:
            found["received_as"] = "addressed"
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows, and how far the log was counted."""

    rows: Sequence[dict[str, JSON]]
    numbered_up_to: int
    """Records of the log that are in the rows; all records of it."""
    not_numbered: int
    """Events that are recorded and not yet numbered: in no row, and in no column."""


@dataclass(slots=True)
class _Cells:
    """Sums by row and column."""

    columns: dict[Name, Counter[Metric]] = field(default_factory=dict)
    before: Counter[Name] = field(default_factory=Counter)
    """What was pending when the period began."""

    def add(self, name: Name, metric: Metric, n: int) -> None:
        self.columns.setdefault(name, Counter())[metric] += n


def _period(by: By, day: str) -> str:
    match by:
        case By.MONTH:
            return day[:7]
        case By.QUARTER:
            return f"{day[:4]}-Q{(int(day[5:7]) + 2) // 3}"
        case By.YEAR:
            return day[:4]
        case _:
            return day


async def count_tallies(connection: AsyncConnection, asked: CountFilter, *, by: By, scope: Scope) -> Counts:
    """The counts from the cells that were folded with the log; of one moment if the transaction is."""
    cells = _Cells()
    for at_the_sender in (True, False):
        query, name_of = _sums(asked, by=by, scope=scope, at_the_sender=at_the_sender)
        for row in await connection.execute(query):
            cells.add(name_of(row), Metric(row.metric), int(row.n))
    if asked.since is not None:
        query, name_of = _sums(asked, by=by, scope=scope, at_the_sender=False, before=True)
        for row in await connection.execute(query):
            cells.before[_base(by, name_of(row))] += int(row.n) * _PENDING[Metric(row.metric)]
    return await _counts(connection, cells, asked, by=by, scope=scope)


async def count_records(
    connection: AsyncConnection,
    asked: CountFilter,
    *,
    by: By,
    scope: Scope,
    progress: Callable[[int], None] = lambda _: None,
) -> Counts:
    """The same from every record of the log: slow, and believing nothing but the records."""
    cells = _Cells()
    # The head first: an event that is numbered while this reads belongs to the next count.
    size = (await connection.execute(select(t.log_head.c.size))).scalar() or 0
    query = (
        select(t.leaf.c.idx, t.event.c.record)
        .join_from(t.leaf, t.event, (t.event.c.year == t.leaf.c.year) & (t.event.c.id == t.leaf.c.event_id))
        .where(t.leaf.c.idx < size)
    )
    result = await connection.stream(query.execution_options(yield_per=1_000))
    done = 0
    async for piece in result.partitions():
        for row in piece:
            for one in fold(read_record(row.record)):
                _fold_in(cells, one, asked, by=by, scope=scope)
        done += len(piece)
        progress(done)
    return await _counts(connection, cells, asked, by=by, scope=scope)


def _fold_in(cells: _Cells, one: Tally, asked: CountFilter, *, by: By, scope: Scope) -> None:
    at_the_sender = one.metric in _AT_THE_SENDER
    if by in _PAIRS:
        is_seen = scope.has_either(one.sender, one.receiver)
    else:
        is_seen = scope.has(one.sender if at_the_sender else one.receiver)
    for wanted, actual in ((asked.business_type, one.business_type), (asked.urgency, one.urgency)):
        is_seen = is_seen and (wanted is None or int(wanted) == actual)
    if not is_seen or (asked.until is not None and one.day > asked.until):
        return
    name: Name
    match by:
        case By.ORGAN | By.TREE | By.TOP:
            name = (one.sender if at_the_sender else one.receiver,)
        case By.PAIR | By.MATRIX:
            name = (one.sender, one.receiver)
        case By.TYPE:
            name = (one.business_type,)
        case By.URGENCY:
            name = (one.urgency,)
        case _:
            name = (_period(by, one.day),)
    if asked.since is None or one.day >= asked.since:
        cells.add(name, one.metric, one.n)
    elif one.metric in _PENDING:
        cells.before[_base(by, name)] += one.n * _PENDING[one.metric]


def _base(by: By, name: Name) -> Name:
    """Before the first day there is one number for all periods."""
    return () if by in _PERIODS else name


def _sums(
    asked: CountFilter, *, by: By, scope: Scope, at_the_sender: bool, before: bool = False
) -> tuple[Select[Any], Callable[[Any], Name]]:
    """The statement that adds up one side's columns, and how a row of it names its row of the counts."""
    # Over all organs there are few rows a day; nobody's tree can be told apart in them.
    is_whole = not scope.trees and by in _WHOLE
    table = t.day_total if is_whole else t.tally
    metrics = [one.value for one in Metric if (one in _AT_THE_SENDER) == at_the_sender]
    if before:
        metrics = [one.value for one in _PENDING]
    organ: Any = None if is_whole else table.c.sender if at_the_sender else table.c.receiver
    group: list[Any]
    name_of: Callable[[Any], Name]
    match by:
        case By.ORGAN | By.TREE | By.TOP:
            group, name_of = [organ], lambda row: (row[0],)
        case By.PAIR | By.MATRIX:
            group, name_of = [table.c.sender, table.c.receiver], lambda row: (row[0], row[1])
        case By.TYPE:
            group, name_of = [table.c.business_type], lambda row: (row[0],)
        case By.URGENCY:
            group, name_of = [table.c.urgency], lambda row: (row[0],)
        case By.DAY:
            group, name_of = [table.c.day], lambda row: (row[0],)
        case _:
            month = func.substr(table.c.day, literal_column("1"), literal_column("7"))
            group, name_of = [month], lambda row: (_period(by, row[0]),)
    conditions = list(_conditions(asked, table, before=before))
    if by in _PAIRS:
        conditions.append(scope.covers_either(table.c.sender, table.c.receiver))
    elif not is_whole:
        conditions.append(scope.covers(organ))
    query = (
        select(*group, table.c.metric, func.sum(table.c.n).label("n"))
        .where(table.c.metric.in_(metrics), *conditions)
        .group_by(*group, table.c.metric)
    )
    return query, name_of


def _conditions(asked: CountFilter, table: Table, *, before: bool) -> Iterator[ColumnElement[bool]]:
    if before:
        yield table.c.day < asked.since
    else:
        if asked.since is not None:
            yield table.c.day >= asked.since
        if asked.until is not None:
            yield table.c.day <= asked.until
    if asked.business_type is not None:
        yield table.c.business_type == int(asked.business_type)
    if asked.urgency is not None:
        yield table.c.urgency == int(asked.urgency)


async def _counts(
    connection: AsyncConnection, cells: _Cells, asked: CountFilter, *, by: By, scope: Scope
) -> Counts:
    if by in {By.TREE, By.TOP, By.MATRIX}:
        cells = await _rolled_up(connection, cells, by=by, scope=scope)
    size = (await connection.execute(select(t.log_head.c.size))).scalar() or 0
    waiting = (await connection.execute(select(func.count()).select_from(t.pending_leaf))).scalar() or 0
    organs: list[int] = []
    if by in _NAMED_BY:
        organs = [int(one) for name in (*cells.columns, *cells.before) for one in name]
    names = await names_of(connection, organs)
    rows = [_row(by, name, numbers, names) for name, numbers in _balanced(cells, asked, by=by)]
    if organs:
        # By code, as people look for it; what has none comes last.
        rows.sort(key=lambda row: [(row[one] is None, str(row[one])) for one in _NAMED_BY[by]])
    return Counts(rows=rows, numbered_up_to=size, not_numbered=waiting)


async def _rolled_up(connection: AsyncConnection, cells: _Cells, *, by: By, scope: Scope) -> _Cells:
    """Every organ's numbers in the rows of those above it, as the directory has them now."""
    parents = {row.number: row.parent for row in await connection.execute(_PARENTS)}

    def line(organ: str | int) -> list[int]:
        """The organ and those above it that the viewer sees."""
        found = [int(organ)]
        while (above := parents.get(found[-1])) is not None and above not in found and scope.has(above):
            found.append(above)
        return found

    def names(name: Name) -> list[Name]:
        if by is By.TREE:
            return [(one,) for one in line(name[0])]
        return [tuple(line(one)[-1] for one in name)]

    found = _Cells()
    for name, columns in cells.columns.items():
        for above in names(name):
            for metric, n in columns.items():
                found.add(above, metric, n)
    for name, n in cells.before.items():
        for above in names(name):
            found.before[above] += n
    return found


_PARENTS = select(t.organ.c.number, t.organ.c.parent).where(t.organ.c.parent.is_not(None))


def _balanced(cells: _Cells, asked: CountFilter, *, by: By) -> Iterator[tuple[Name, dict[str, JSON]]]:
    """Every row that has something to show, with what was pending before and after."""
    running = cells.before[()]
    for name in sorted({*cells.columns, *(one for one in cells.before if one and cells.before[one])}):
        columns = cells.columns.get(name, Counter())
        start = running if by in _PERIODS else cells.before[name]
        end = start + sum(columns[metric] * sign for metric, sign in _PENDING.items())
        running = end
        numbers: dict[str, JSON] = {metric.value: columns[metric] for metric in Metric}
        numbers |= {"pending_start": start, "pending": end, "rule_version": RULE_VERSION}
        if asked.received_as_addressed:
            numbers["received"] = columns[Metric.ADDRESSED]
        yield name, {column: numbers[column] for column in COLUMNS}


def _row(
    by: By, name: Name, numbers: Mapping[str, JSON], names: Mapping[int, tuple[str, str]]
) -> dict[str, JSON]:
    def organ(number: str | int, *, member: str) -> dict[str, JSON]:
        code, written = names.get(int(number), (None, None))
        return {member: code, f"{member}_name": written, f"{member}_number": number or None}

    match by:
        case By.ORGAN | By.TREE | By.TOP:
            return {**organ(name[0], member="organ"), **numbers}
        case By.PAIR | By.MATRIX:
            return {**organ(name[0], member="from"), **organ(name[1], member="to"), **numbers}
        case By.TYPE:
            return {"business_type": name[0], **numbers}
        case By.URGENCY:
            return {"urgency": name[0], **numbers}
        case _:
            return {by.value: name[0], **numbers}
