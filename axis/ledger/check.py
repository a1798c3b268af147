"""
The ledger recomputed from its records: `axis ledger check`.

    1 evidence      every record, its hash and columns; every number, without gaps, each behind its previous
    2 log           the tree over them, its head, and every signed checkpoint
    3 feeds, counts what the sequencer wrote with each number
    4 derived       every other row, by replaying the events into memory and comparing column by column
    5 conservation  for every organ and day: what became pending = addressed - received - withdrawn - failed, where
                    the left side is told by the states of deliveries and the right side by the counts

Everything is of one moment. Problems come in this order, so the first one is the first wrong place; those after it
may follow from it. Values of long texts are shown as digests: a check may be read by people who may not read them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

from sqlalchemy import Column, LargeBinary, Row, Select, Table, Text, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.events import Event, EventKind, leaf_hash, read_record
from axis.core.ids import is_id, year_of
from axis.core.model import micros
from axis.ledger import tables as t
from axis.ledger.counts import COUNTED, Cell, Metric, fold, tables_of
from axis.ledger.mirror import Key, Mirror
from axis.ledger.store import SQLLedger
from signing.merkle import EMPTY_ROOT, Coordinate, Frontier, node_hash
from signing.note import NoteError, VerifierKey, epoch_of, verify_checkpoint

MOST_PROBLEMS = 100
"""More are not collected: the first few say it all."""

_PIECE = 1_000
_REPLAYED = tuple(
    table
    for table in t.metadata.sorted_tables
    if table.name not in {*t.APPEND_ONLY, "node", "log_head", "feed", *COUNTED, "report"}
    and any(column.info["class"] == "derived" for column in table.columns)
)
"""Tables that follow from the events alone."""


@unique
class Fault(StrEnum):
    """In which way a place is wrong."""

    DIFFERS = "differs"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    UNBALANCED = "unbalanced"
    IMPOSSIBLE = "impossible"
    """The record itself says what cannot be: a fault of the axis, not of whoever changed a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One wrong place."""

    fault: Fault
    table: str
    key: Mapping[str, str | int]
    """The row, by its key."""
    column: str | None = None
    expected: str | None = None
    actual: str | None = None
    detail: str = ""

    @property
    def place(self) -> str:
        """`table[key].column`."""
        key = ", ".join(f"{name}={value}" for name, value in self.key.items())
        return f"{self.table}[{key}]" + (f".{self.column}" if self.column else "")

    @property
    def en(self) -> str:
        """For people."""
        said = {
            Fault.DIFFERS: f"{self.place} is {self.actual}, and the records say {self.expected}",
            Fault.MISSING: f"{self.place} is missing",
            Fault.UNEXPECTED: f"{self.place} is there, and no record says so",
            Fault.UNBALANCED: f"{self.place} does not balance: {self.actual} by the counts, {self.expected} by the records",
            Fault.IMPOSSIBLE: f"{self.place} cannot be",
        }[self.fault]
        return f"{said} ({self.detail})" if self.detail else said

    @property
    def vi(self) -> str:
        """The same in Vietnamese."""
        said = {
            Fault.DIFFERS: f"{self.place} là {self.actual}, trong khi theo nhật ký phải là {self.expected}",
            Fault.MISSING: f"Thiếu {self.place}",
            Fault.UNEXPECTED: f"Có {self.place} nhưng không có bản ghi nào nói tới",
            Fault.UNBALANCED: f"{self.place} không cân đối: theo số đếm là {self.actual}, theo bản ghi là {self.expected}",
            Fault.IMPOSSIBLE: f"{self.place} không thể có",
        }[self.fault]
        return f"{said} ({self.detail})" if self.detail else said


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What was looked at, and every wrong place found; at most `MOST_PROBLEMS`."""

    events: int
    numbered: int
    checkpoints: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is as the records say."""
        return not self.problems

    @property
    def first(self) -> Problem | None:
        """The first wrong place."""
        return self.problems[0] if self.problems else None


Progress = Callable[[int, int], None]
"""Called with how many events were read, and how many there are."""


async def check(
    ledger: SQLLedger, *, keys: Iterable[VerifierKey], progress: Progress | None = None
) -> CheckResult:
    """
    Recompute the whole ledger; `keys` are those that may have signed its checkpoints.

    Raises:
        ServiceUnavailable: the database did not answer to the end.
    """
    async with ledger.reading(snapshot=True) as connection:
        work = _Check(connection, keys=tuple(keys), progress=progress)
        await work.evidence()
        await work.log()
        await work.feeds()
        await work.counts()
        await work.derived()
        work.conservation()
    return work.result()


class _Check:
    """One check, phase by phase."""

    def __init__(
        self, connection: AsyncConnection, *, keys: Sequence[VerifierKey], progress: Progress | None
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._progress = progress or (lambda _done, _total: None)
        self._problems: list[Problem] = []
        self._mirror = Mirror()
        self._frontier = Frontier()
        self._nodes: dict[Coordinate, bytes] = {}
        self._feed: dict[Key, dict[str, Any]] = {}
        self._counts: Counter[Cell] = Counter()
        self._stored_counts: dict[Key, int] = {}
        self._roots: dict[int, bytes] = {}
        """Roots at the sizes of the checkpoints."""
        self._epochs: list[int] = []
        """Numbers of the records that began an epoch."""
        self._next = 0
        """The number that comes next."""
        self._moves: Counter[tuple[int, str]] = Counter()
        """What the numbered events did to what is pending, see `Mirror.moves`."""
        self._seen: set[bytes] = set()
        self._events = 0
        self._checkpoints = 0

    def result(self) -> CheckResult:
        return CheckResult(
            events=self._events,
            numbered=self._frontier.size,
            checkpoints=self._checkpoints,
            problems=tuple(self._problems),
        )

    def _found(self, problem: Problem) -> None:
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(problem)

    async def _stream(self, query: Select[Any]) -> AsyncIterator[Row[*tuple[Any, ...]]]:
        result = await self._connection.stream(query.execution_options(yield_per=_PIECE))
        # Piece by piece: asking for every row by itself would change between the tasks once a row.
        async for piece in result.partitions():
            for row in piece:
                yield row

    # --- 1 evidence -----------------------------------------------------------------------------------------------

    async def evidence(self) -> None:
        """Every numbered record in the order of the log, then those that wait in the order they were written."""
        total = (await self._connection.execute(select(func.count()).select_from(t.event))).scalar() or 0
        sizes = (await self._connection.execute(select(t.checkpoint.c.size))).scalars()
        self._roots = dict.fromkeys(sizes, b"")
        numbered = (
            select(t.leaf, *_labelled(t.event))
            .outerjoin_from(
                t.leaf, t.event, (t.event.c.year == t.leaf.c.year) & (t.event.c.id == t.leaf.c.event_id)
            )
            .order_by(t.leaf.c.idx)
        )
        async for row in self._stream(numbered):
            self._place(row)
            if row.event_id_ is None:
                await self._lost(row)
            else:
                await self._numbered(row)
            self._grow(row)
            self._progress(self._events, total)
        self._moves = Counter(self._mirror.moves)
        await self._cut_off()
        await self._waiting(total)
        await self._forgotten(total)

    def _place(self, row: Row[*tuple[Any, ...]]) -> None:
        if row.idx != self._next:
            self._found(
                Problem(
                    fault=Fault.MISSING,
                    table="leaf",
                    key={"idx": self._next},
                    column="idx",
                    detail=f"the next one is {row.idx}",
                )
            )
        self._next = row.idx + 1

    async def _cut_off(self) -> None:
        """Leaves missing at the end: nothing comes after them that would not fit, but the head remembers them."""
        head = (await self._connection.execute(select(t.log_head.c.size, t.log_head.c.root))).first()
        if head is not None and head.size > self._next and head.root != self._frontier.root():
            key: dict[str, str | int] = {"idx": self._next}
            detail = f"the log has {head.size} records"
            self._found(Problem(fault=Fault.MISSING, table="leaf", key=key, detail=detail))

    def _grow(self, row: Row[*tuple[Any, ...]]) -> None:
        self._seen.add(row.hash)
        if len(row.hash) == 32:
            self._nodes.update((node.at, node.hash) for node in self._frontier.append(row.hash))
        if self._frontier.size in self._roots:
            self._roots[self._frontier.size] = self._frontier.root()

    async def _lost(self, row: Row[*tuple[Any, ...]]) -> None:
        """A leaf whose event is not where it says."""
        if is_id(row.event_id) and year_of(row.event_id) != row.year:
            self._differs(t.leaf, {"idx": row.idx}, "year", year_of(row.event_id), row.year)
            return
        query = select(t.event).where(t.event.c.id == row.event_id)
        elsewhere = (await self._connection.execute(query)).first()
        if elsewhere is not None:
            self._differs(t.event, {"id": row.event_id}, "year", row.year, elsewhere.year)
            return
        same = (await self._connection.execute(select(t.event).where(t.event.c.hash == row.hash))).first()
        said = _read(same.record) if same is not None else None
        if same is not None and said is not None and said.id == same.id:
            self._differs(t.leaf, {"idx": row.idx}, "event_id", said.id, row.event_id)
        elif same is not None:
            self._differs(t.event, {"year": same.year, "id": same.id}, "id", row.event_id, same.id)
        else:
            key: dict[str, str | int] = {"year": row.year, "id": row.event_id}
            self._found(Problem(fault=Fault.MISSING, table="event", key=key, detail=f"number {row.idx}"))

    async def _numbered(self, row: Row[*tuple[Any, ...]]) -> None:
        digest = leaf_hash(row.event_record_)
        key: dict[str, str | int] = {"year": row.event_year_, "id": row.event_id_}
        if digest != row.event_hash_ or digest != row.hash:
            if digest == row.hash:
                self._differs(t.event, key, "hash", digest, row.event_hash_)
            elif digest == row.event_hash_ and await self._is_in_tree(row.idx, digest, instead_of=row.hash):
                self._differs(t.leaf, {"idx": row.idx}, "hash", digest, row.hash)
            else:
                self._differs(t.event, key, "record", row.hash, digest)
        event = self._event(row)
        if event is not None:
            self._follow(event, index=row.idx)

    async def _is_in_tree(self, index: int, digest: bytes, *, instead_of: bytes) -> bool:
        """Whether the tree, as stored beside the leaves, was built with `digest` and not with what the leaf says."""
        sibling = (
            await self._connection.execute(select(t.leaf.c.hash).where(t.leaf.c.idx == index ^ 1))
        ).scalar()
        if sibling is not None:
            at = (t.node.c.level == 1) & (t.node.c.idx == index // 2)
            stored = (await self._connection.execute(select(t.node.c.hash).where(at))).scalar()
            pair = (digest, sibling) if index % 2 == 0 else (sibling, digest)
            return bool(stored == node_hash(*pair))
        # The last leaf of an odd tree: its own hash is at the edge, so the root tells.
        root = (await self._connection.execute(select(t.log_head.c.root))).scalar()
        with_digest, without = self._frontier.copy(), self._frontier.copy()
        with_digest.append(digest)
        without.append(instead_of)
        return root == with_digest.root() or root != without.root()

    def _event(self, row: Row[*tuple[Any, ...]]) -> Event | None:
        """The event of the record, whose columns are compared on the way."""
        key: dict[str, str | int] = {"year": row.event_year_, "id": row.event_id_}
        self._events += 1
        event = _read(row.event_record_)
        if event is None:
            self._found(
                Problem(
                    fault=Fault.IMPOSSIBLE,
                    table="event",
                    key=key,
                    column="record",
                    detail="it cannot be read",
                )
            )
            return None
        columns = {
            "year": event.year,
            "id": event.id,
            "kind": event.kind.value,
            "at": micros(event.at),
            "submission_id": event.submission,
            "document_id": event.document,
        }
        for name, expected in columns.items():
            actual = getattr(row, f"event_{name}_")
            if expected != actual:
                self._differs(t.event, key, name, expected, actual)
        return event

    def _follow(self, event: Event, *, index: int | None) -> None:
        """What follows from an event, with its number or without."""
        key: dict[str, str | int] = {"year": event.year, "id": event.id}
        if event.previous is not None and bytes.fromhex(event.previous) not in self._seen:
            self._found(
                Problem(
                    fault=Fault.IMPOSSIBLE,
                    table="event",
                    key=key,
                    detail="the event it names as its previous does not stand before it",
                )
            )
        for complaint in self._mirror.apply(event):
            self._found(Problem(fault=Fault.IMPOSSIBLE, table="event", key=key, detail=f"it {complaint}"))
        if index is None:
            return
        if event.kind is EventKind.LOG_EPOCH_BEGUN:
            self._epochs.append(index)
        for station in event.stations:
            self._feed[station, index] = {"year": event.year, "event_id": event.id}
        for one in fold(event):
            cell = (one.day, one.sender, one.receiver, one.business_type, one.urgency, one.metric.value)
            self._counts[cell] += one.n

    async def _waiting(self, total: int) -> None:
        queue = t.pending_leaf
        waiting = (
            select(queue.c.event_id, queue.c.year, t.leaf.c.idx, *_labelled(t.event))
            .outerjoin_from(
                queue, t.event, (t.event.c.year == queue.c.year) & (t.event.c.id == queue.c.event_id)
            )
            .outerjoin(t.leaf, t.leaf.c.event_id == queue.c.event_id)
            .order_by(queue.c.seq)
        )
        async for row in self._stream(waiting):
            key: dict[str, str | int] = {"event_id": row.event_id}
            if row.event_id_ is None:
                place = {"year": row.year, "id": row.event_id}
                self._found(
                    Problem(fault=Fault.MISSING, table="event", key=place, detail="it waits for a number")
                )
            elif row.idx is not None:
                detail = f"it has number {row.idx}"
                self._found(Problem(fault=Fault.UNEXPECTED, table="pending_leaf", key=key, detail=detail))
            else:
                digest = leaf_hash(row.event_record_)
                if digest != row.event_hash_:
                    self._differs(
                        t.event, {"year": row.year, "id": row.event_id}, "record", row.event_hash_, digest
                    )
                self._seen.add(row.event_hash_)
                event = self._event(row)
                if event is not None:
                    self._follow(event, index=None)
            self._progress(self._events, total)

    async def _forgotten(self, total: int) -> None:
        """Events that are neither numbered nor wait to be: nobody would ever see them."""
        if self._events == total:
            return
        query = select(t.event.c.year, t.event.c.id).where(
            ~exists().where(t.leaf.c.event_id == t.event.c.id),
            ~exists().where(t.pending_leaf.c.event_id == t.event.c.id),
        )
        async for row in self._stream(query.order_by(t.event.c.id).limit(MOST_PROBLEMS)):
            self._found(
                Problem(
                    fault=Fault.UNEXPECTED,
                    table="event",
                    key={"year": row.year, "id": row.id},
                    detail="it has no number and does not wait for one",
                )
            )

    # --- 2 log ----------------------------------------------------------------------------------------------------

    async def log(self) -> None:
        """Complete subtrees, the head, and what was signed."""
        expected: dict[Key, dict[str, Any]] = {
            (at.level, at.position): {"hash": digest} for at, digest in self._nodes.items()
        }
        await self._compare(t.node, expected)
        size, root = self._frontier.size, self._frontier.root()
        head = {"size": size, "root": root, "epoch": 1 + len(self._epochs)}
        rows = (await self._connection.execute(select(t.log_head))).all()
        if rows or size:
            await self._compare(t.log_head, {(1,): head})
        async for row in self._stream(select(t.checkpoint).order_by(t.checkpoint.c.size)):
            self._checkpoints += 1
            self._signed(row)

    def _signed(self, row: Row[*tuple[Any, ...]]) -> None:
        key: dict[str, str | int] = {"size": row.size}
        try:
            note = verify_checkpoint(row.note, keys=self._keys)
            epoch = _epoch(note.origin, logs=[one.name for one in self._keys])
        except NoteError as problem:
            self._found(
                Problem(
                    fault=Fault.IMPOSSIBLE, table="checkpoint", key=key, column="note", detail=str(problem)
                )
            )
            return
        said = {"size": note.size, "root": note.root, "epoch": epoch}
        wrong = [name for name, value in said.items() if getattr(row, name) != value]
        for name in wrong:
            self._differs(t.checkpoint, key, name, said[name], getattr(row, name))
        if wrong:
            return
        root = self._roots.get(row.size) or (EMPTY_ROOT if row.size == 0 else None)
        begun = 1 + sum(index < row.size for index in self._epochs)
        if root is None:
            detail = f"it is signed, and the log has {self._frontier.size} records"
            self._found(
                Problem(fault=Fault.MISSING, table="leaf", key={"idx": self._frontier.size}, detail=detail)
            )
        elif root != note.root or epoch != begun:
            detail = f"the first {row.size} records are not those that were signed"
            self._found(
                Problem(
                    fault=Fault.DIFFERS,
                    table="checkpoint",
                    key=key,
                    column="root",
                    expected=root.hex(),
                    actual=note.root.hex(),
                    detail=detail,
                )
            )

    # --- 3 feeds and counts ---------------------------------------------------------------------------------------

    async def feeds(self) -> None:
        """Which events each station is told of."""
        await self._compare(t.feed, self._feed)

    async def counts(self) -> None:
        """Every cell of the counts, and every total of them."""
        names = [column.name for column in t.tally.primary_key.columns]
        async for row in self._stream(select(t.tally)):
            self._stored_counts[tuple(getattr(row, name) for name in names)] = row.n
        for name, cells in tables_of(self._counts).items():
            await self._compare(t.metadata.tables[name], {key: {"n": n} for key, n in cells.items()})

    # --- 4 derived ------------------------------------------------------------------------------------------------

    async def derived(self) -> None:
        """Every row that follows from the events, and the reports whose digests they name."""
        for table in _REPLAYED:
            await self._compare(table, self._mirror.rows.get(table.name, {}))
        reports: dict[Key, dict[str, Any]] = {
            (year_of(row["id"]), row["id"]): {"body": row["report"]}
            for row in self._mirror.rows.get("document", {}).values()
            if row["report"] is not None
        }
        await self._compare(
            t.report, reports, shown_as={"body": lambda body: hashlib.sha256(body).hexdigest()}
        )

    async def _compare(
        self,
        table: Table,
        expected: Mapping[Key, Mapping[str, Any]],
        *,
        shown_as: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        """Every derived column of every row, in the order of the keys."""
        keys = list(table.primary_key.columns)
        columns = [one for one in table.columns if one.info["class"] == "derived"]
        values = [one for one in columns if not one.primary_key]
        left = dict(expected)
        extra: list[Row[*tuple[Any, ...]]] = []
        differing: list[Problem] = []
        async for row in self._stream(select(*columns).order_by(*keys)):
            key = tuple(getattr(row, one.name) for one in keys)
            wanted = left.pop(key, None)
            if wanted is None:
                extra.append(row)
            else:
                shown = {one.name: getattr(row, one.name) for one in values}
                shown.update({name: show(shown[name]) for name, show in (shown_as or {}).items()})
                differing += [
                    _difference(table, key, one, wanted.get(one.name), shown[one.name])
                    for one in values
                    if wanted.get(one.name) != shown[one.name]
                ]
            if len(differing) + len(extra) > MOST_PROBLEMS:
                left.clear()  # The rows behind this one were not looked at.
                break
        for problem in (*_unmatched(table, missing=left, extra=extra), *differing):
            self._found(problem)

    # --- 5 conservation -------------------------------------------------------------------------------------------

    def conservation(self) -> None:
        """The states of deliveries and the counts tell of the same documents."""
        signs = {
            Metric.ADDRESSED.value: 1,
            Metric.RECEIVED.value: -1,
            Metric.WITHDRAWN.value: -1,
            Metric.FAILED.value: -1,
        }
        moved: Counter[tuple[int, str]] = Counter()
        for (day, _, receiver, _, _, metric), n in self._stored_counts.items():
            moved[receiver, day] += signs.get(metric, 0) * n
        for organ, day in sorted({*moved, *self._moves}):
            if moved[organ, day] != self._moves[organ, day]:
                self._found(
                    Problem(
                        fault=Fault.UNBALANCED,
                        table="tally",
                        key={"receiver": organ, "day": day},
                        expected=str(self._moves[organ, day]),
                        actual=str(moved[organ, day]),
                    )
                )

    # --- words ----------------------------------------------------------------------------------------------------

    def _differs(
        self, table: Table, key: Mapping[str, str | int], column: str, expected: Any, actual: Any
    ) -> None:
        self._found(
            Problem(
                fault=Fault.DIFFERS,
                table=table.name,
                key=key,
                column=column,
                expected=_shown(table.c[column], expected),
                actual=_shown(table.c[column], actual),
            )
        )


def _labelled(table: Table) -> list[Any]:
    """The columns of `event` under names that no other table has."""
    return [column.label(f"{table.name}_{column.name}_") for column in table.columns]


def _epoch(origin: str, *, logs: Iterable[str]) -> int:
    """The epoch that an origin of one of these logs names; raises `NoteError`."""
    problem = NoteError("another log", origin[:80])
    for log in logs:
        try:
            return epoch_of(origin, log=log)
        except NoteError as other:
            problem = other
    raise problem


def _read(record: bytes) -> Event | None:
    try:
        return read_record(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _named(table: Table, key: Key) -> dict[str, str | int]:
    return {column.name: value for column, value in zip(table.primary_key.columns, key, strict=True)}


def _shown(column: Column[Any], value: Any) -> str:
    """A value as a report may show it."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 32 else f"sha256:{hashlib.sha256(value).hexdigest()}"
    if isinstance(column.type, Text) and isinstance(value, str):
        return f"sha256:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
    if isinstance(column.type, LargeBinary):
        return f"sha256:{value}"
    return str(value)


def _difference(table: Table, key: Key, column: Column[Any], expected: Any, actual: Any) -> Problem:
    return Problem(
        fault=Fault.DIFFERS,
        table=table.name,
        key=_named(table, key),
        column=column.name,
        expected=_shown(column, expected),
        actual=_shown(column, actual),
    )


def _unmatched(
    table: Table, *, missing: Mapping[Key, Mapping[str, Any]], extra: Sequence[Row[*tuple[Any, ...]]]
) -> list[Problem]:
    """
    Rows without their counterpart. A pair that is alike but for one column of the key is one changed key.
    """
    keys = list(table.primary_key.columns)
    left = dict(missing)
    problems: list[Problem] = []
    for row in extra:
        key = tuple(getattr(row, one.name) for one in keys)
        near = next(
            (other for other in left if sum(a != b for a, b in zip(key, other, strict=True)) == 1), None
        )
        if near is None:
            problems.append(Problem(fault=Fault.UNEXPECTED, table=table.name, key=_named(table, key)))
            continue
        del left[near]
        column = next(one for one, a, b in zip(keys, key, near, strict=True) if a != b)
        expected, actual = near[keys.index(column)], key[keys.index(column)]
        problems.append(_difference(table, near, column, expected, actual))
    problems += [
        Problem(fault=Fault.MISSING, table=table.name, key=_named(table, key)) for key in sorted(left)
    ]
    return problems
