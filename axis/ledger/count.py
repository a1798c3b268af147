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
from datetime import date, timedelta
from enum import StrEnum, unique
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, Table, case, func, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvalidQuestion
from axis.core.events import JSON, read_record
from axis.core.model import BusinessType, OrganNumber, Urgency
from axis.ledger import tables as t
from axis.ledger.counts import AT_THE_SENDER, RULE_VERSION, Metric, Tally, fold
from axis.ledger.scope import Scope, names_of

_PENDING: dict[str, int] = {Metric.ADDRESSED: 1, Metric.RECEIVED: -1, Metric.WITHDRAWN: -1, Metric.FAILED: -1}
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
        """Refuse days that are none, and a period that ends before it begins: nobody means that."""
        for name, day in (("since", self.since), ("until", self.until)):
            if day is not None and not _is_day(day):
                raise InvalidQuestion(
                    vi=f"{name}: {day[:40]!r} không phải là ngày; cần yyyy-mm-dd",
                    en=f"{name}: {day[:40]!r} is no day; yyyy-mm-dd expected",
                )
        if self.since is not None and self.until is not None and self.since > self.until:
            raise InvalidQuestion(
                vi=f"kỳ kết thúc ngày {self.until}, trước khi bắt đầu ngày {self.since}",
                en=f"the period ends on {self.until}, before it begins on {self.since}",
            )

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

    columns: dict[Name, Counter[str]] = field(default_factory=dict)
    before: Counter[Name] = field(default_factory=Counter)
    """What was pending when the period began."""

    def add(self, name: Name, metric: str, n: int) -> None:
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
    for row in await connection.execute(_sums(asked, by=by, scope=scope)):
        *name, metric, n = row
        cells.add(_name(by, name), metric, int(n))
    if asked.since is not None:
        for row in await connection.execute(_pending_before(asked, by=by, scope=scope)):
            *name, n = row
            cells.before[_base(by, tuple(name))] += int(n)
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
    at_the_sender = one.metric in AT_THE_SENDER
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


def _name(by: By, found: Sequence[Any]) -> Name:
    """How a row of `_sums` names its row of the counts."""
    return (_period(by, found[0]),) if by in _PERIODS else tuple(found)


_Piece: TypeAlias = tuple[Table, str | None, str | None]
"""A table of counts and which of its periods: the first one, and the first one behind them; None: no bound."""


def pieces(asked: CountFilter, *, by: By, is_whole: bool, before: bool = False) -> Iterator[_Piece]:
    """
    The tables whose rows make up the days that were asked for, or all days `before` them: each day in one piece.

    Whole years and months are read where they are added up, so that a period costs what its ends cost, not what
    happened in it. `is_whole`: over all organs, where there are few rows a day and nobody's tree can be told apart.
    """
    begin = None if before else asked.since
    end = asked.since if before else _day_behind(asked.until)
    if is_whole and by in _WHOLE:
        yield t.day_total, begin, end
        return
    if by in _PAIRS or (by is By.DAY and not before):
        yield t.tally, begin, end
        return
    months = _whole(begin, end, length=len("yyyy-mm"))
    if months is None:
        yield t.tally, begin, end
        return
    # What stands on both sides of the whole months, then of the whole years in them.
    yield from _ends(t.tally, begin, end, inner=months)
    years = None
    if by not in {By.MONTH, By.QUARTER} or before:
        years = _whole(*months, length=len("yyyy"))
    if years is None:
        yield t.organ_month, *months
        return
    yield from _ends(t.organ_month, *months, inner=years)
    yield t.organ_year, *years


def _whole(begin: str | None, end: str | None, *, length: int) -> tuple[str | None, str | None] | None:
    """The whole months between two days, or the whole years between two months: the first, and that behind the last."""
    first = begin and (begin[:length] if begin[length:] == "-01" else _behind(begin[:length]))
    last = end and end[:length]
    return None if first is not None and last is not None and first >= last else (first, last)


def _ends(
    table: Table, begin: str | None, end: str | None, *, inner: tuple[str | None, str | None]
) -> Iterator[_Piece]:
    """What of a period lies before and behind `inner`, which is made of larger ones."""
    until, since = (one and f"{one}-01" for one in inner)
    if begin != until:
        yield table, begin, until
    if end != since:
        yield table, since, end


def _behind(period: str) -> str:
    """The month behind a month, the year behind a year. None lies behind the last one that a date can have."""
    year, _, month = period.partition("-")
    if month and month != "12":
        return f"{year}-{int(month) + 1:02}"
    following = f"{min(int(year) + 1, date.max.year):04}"
    return f"{following}-01" if month else following


def _day_behind(day: str | None) -> str | None:
    if day is None or day == date.max.isoformat():
        return None
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def _sums(asked: CountFilter, *, by: By, scope: Scope) -> Select[Any]:
    """The statement that adds up the columns."""
    selects = [
        select(*names, table.c.metric, table.c.n).where(condition, *conditions)
        for table, names, condition, conditions in _read(asked, by=by, scope=scope)
    ]
    cells = union_all(*selects).subquery()
    *names, metric, n = cells.columns
    return select(*names, metric, func.sum(n)).group_by(*names, metric)


def _pending_before(asked: CountFilter, *, by: By, scope: Scope) -> Select[Any]:
    """
    The statement that says what was pending when the first day began.

    Of what balances it says nothing: years of pairs of organs, of which few have anything pending.
    """
    selects = []
    for table, names, condition, conditions in _read(asked, by=by, scope=scope, before=True):
        # Before the first day there is one number for all periods.
        shown = [] if by in _PERIODS else names
        change = case(*((table.c.metric == metric, sign * table.c.n) for metric, sign in _PENDING.items()))
        metrics = table.c.metric.in_(sorted(_PENDING))
        selects.append(select(*shown, change.label("n")).where(condition, metrics, *conditions))
    cells = union_all(*selects).subquery()
    *names, n = cells.columns
    return select(*names, func.sum(n)).group_by(*names).having(func.sum(n) != 0)


def _read(
    asked: CountFilter, *, by: By, scope: Scope, before: bool = False
) -> Iterator[tuple[Table, list[Any], ColumnElement[bool], Sequence[ColumnElement[bool]]]]:
    """Where the cells are: a table, what names a row of the counts in it, whose rows are seen, and which are asked for."""
    for table, begin, end in pieces(asked, by=by, is_whole=not scope.trees, before=before):
        conditions = list(_conditions(asked, table, begin=begin, end=end))
        for names, condition in _sides(table, by=by, scope=scope):
            yield table, names, condition, conditions


def _sides(table: Table, *, by: By, scope: Scope) -> Iterator[tuple[list[Any], ColumnElement[bool]]]:
    """What names a row of the counts in a table, and which rows are seen: each side's columns by its organ."""
    if table is t.day_total:
        yield _names(table, by=by), true()
    elif by in _PAIRS:
        yield [table.c.sender, table.c.receiver], scope.covers_either(table.c.sender, table.c.receiver)
    elif table is t.tally:
        at_the_sender = table.c.metric.in_(sorted(one.value for one in AT_THE_SENDER))
        if not scope.trees:
            counted_at = case((at_the_sender, table.c.sender), else_=table.c.receiver).label("organ")
            yield _names(table, by=by, organ=counted_at), true()
            return
        # One side after the other: each has an index of its own.
        for organ, condition in ((table.c.sender, at_the_sender), (table.c.receiver, ~at_the_sender)):
            yield _names(table, by=by, organ=organ), condition & scope.covers(organ)
    else:
        yield _names(table, by=by, organ=table.c.organ), scope.covers(table.c.organ)


def _names(table: Table, *, by: By, organ: Any = None) -> list[Any]:
    match by:
        case By.TYPE:
            return [table.c.business_type]
        case By.URGENCY:
            return [table.c.urgency]
        case By.DAY:
            return [_period_in(table)]
        case By.MONTH | By.QUARTER | By.YEAR:
            return [func.substr(_period_in(table), 1, len("yyyy-mm"))]
        case _:
            return [organ]


def _period_in(table: Table) -> Any:
    return table.c.day if "day" in table.c else table.c.period


def _conditions(
    asked: CountFilter, table: Table, *, begin: str | None, end: str | None
) -> Iterator[ColumnElement[bool]]:
    period = _period_in(table)
    if begin is not None:
        yield period >= begin
    if end is not None:
        yield period < end
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
        numbers: dict[str, JSON] = {column: columns[column] for column in COLUMNS}
        numbers.update(pending_start=start, pending=end, rule_version=RULE_VERSION)
        if asked.received_as_addressed:
            numbers["received"] = columns[Metric.ADDRESSED]
        yield name, numbers


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
