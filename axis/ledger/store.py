"""
The ledger on SQLite or PostgreSQL: transactions that append events and write what follows from them.

SQLite: WAL, synchronous FULL, one writer at a time (`BEGIN IMMEDIATE`). PostgreSQL: READ COMMITTED; rows that decide
something are read FOR UPDATE in id order. Everything that follows from an event is written through
`axis.ledger.projections` and nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import (
    Connection,
    Dialect,
    Row,
    Select,
    Table,
    and_,
    event,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from axis.core.errors import InvariantBroken, NotFound, ServiceUnavailable
from axis.core.events import Event, read_record
from axis.core.ids import is_id, year_of
from axis.core.model import (
    Attachment,
    BusinessType,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    DocumentState,
    EventId,
    Kind,
    Lane,
    LegalValue,
    OrganNumber,
    RequestKind,
    RequestState,
    StationId,
    SubmissionId,
    SubmissionState,
    Tier,
    Urgency,
    from_micros,
    micros,
)
from axis.core.reasons import ReasonCode
from axis.core.rows import BuriedRow, Claim, ConsignmentRow, DeliveryRow, DocumentRow, SubmissionRow
from axis.ledger import tables as t
from axis.ledger.bulk import Key, among, change_rows, insert_missing, insert_rows, put_rows, remove_rows
from axis.ledger.projections import WHOLE_VERSION, Change, Insert, Op, Put, Remove, project
from axis.ledger.search import code_of, code_text

_WRITE = "axis_write"
_ASK_IDLE_SECONDS = 1.0
"""A pooled connection that was idle for longer is asked whether it still lives, and replaced when it does not."""


def open_engine(url: str, *, pool_size: int = 8) -> AsyncEngine:
    """An engine with the house rules for its database switched on."""
    if url.startswith("sqlite"):
        engine = create_async_engine(url, pool_size=pool_size, connect_args={"timeout": 30})
        event.listen(engine.sync_engine, "connect", _sqlite_connected)
        event.listen(engine.sync_engine, "begin", _sqlite_begin)
        return engine
    connect_args = {
        "timeout": 10,
        "command_timeout": 60,
        # Planned for the rows that are there: a plan kept from when a year's table was empty would read all of it.
        # And by one process unless years are read: starting others costs more than a page, and a plan that is thought to
        # be shared among them seems cheap enough to leave the order of the log.
        "server_settings": {"plan_cache_mode": "force_custom_plan", "parallel_setup_cost": "20000"},
    }
    engine = create_async_engine(url, pool_size=pool_size, connect_args=connect_args)
    event.listen(engine.sync_engine, "checkin", _put_back)
    event.listen(engine.sync_engine, "checkout", partial(_ask_if_alive, engine.dialect))
    return engine


def _put_back(dbapi: Any, record: ConnectionPoolEntry) -> None:
    del dbapi
    record.info["idle_since"] = monotonic()


def _ask_if_alive(dialect: Dialect, dbapi: Any, record: ConnectionPoolEntry, _: object) -> None:
    # Asking before every use would double the ways to the server; what was in use a moment ago is not asked.
    if monotonic() - record.info.get("idle_since", monotonic()) < _ASK_IDLE_SECONDS:
        return
    try:
        dialect.do_ping(dbapi)
    except dialect.loaded_dbapi.Error as gone:
        raise DisconnectionError from gone


def _sqlite_connected(dbapi: Any, _: ConnectionPoolEntry) -> None:
    # The driver must not open transactions by itself: `_sqlite_begin` does, with the right kind.
    dbapi.isolation_level = None
    cursor = dbapi.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


class SQLLedger:
    """Implements `axis.core.ports.Ledger`; reading for people and stations is in `axis.ledger.queries` and `.desk`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.appended = asyncio.Event()
        """Set whenever this process has committed events: wakes its sequencer, which clears it."""
        self._one_writer = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SQLTransaction]:
        """
        A writing transaction; commits when the block ends without an error.

        Raises:
            ServiceUnavailable: the database did not answer, or somebody recorded the same thing at the same moment.
                Whether a commit that was under way took place is then unknown: the same work is tried again and
                finds its own traces, or the other's.
        """
        async with AsyncExitStack() as stack:
            if self._one_writer is not None:
                await stack.enter_async_context(self._one_writer)
            stack.enter_context(as_unavailable())
            connection = await stack.enter_async_context(self.engine.connect())
            await connection.execution_options(**{_WRITE: True})
            async with connection.begin():
                transaction = SQLTransaction(connection)
                yield transaction
                await transaction.give_back_claims()
                transaction.refuse_gaps()
            if transaction.has_appended:
                self.appended.set()

    @asynccontextmanager
    async def reading(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """
        A reading transaction; with `snapshot` everything read in it is of one moment.

        Raises:
            ServiceUnavailable: the database did not answer.
        """
        with as_unavailable():
            async with self.engine.connect() as connection, connection.begin():
                if snapshot and connection.dialect.name == "postgresql":
                    await connection.execute(
                        text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    )
                yield connection

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[AsyncConnection]:
        """
        For single questions: every statement stands for itself, without the ways to begin and end a transaction.

        Raises:
            ServiceUnavailable: the database did not answer.
        """
        if self._one_writer is not None:
            # SQLite's transactions are ways within the process, and its driver must never begin one by itself.
            async with self.reading() as connection:
                yield connection
            return
        with as_unavailable():
            async with self.engine.connect() as connection:
                yield await connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def as_unavailable() -> Iterator[None]:
    """What a driver says of a database that does not answer, in the axis's own words."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError, ConnectionError, OSError) as problem:
        raise ServiceUnavailable("database", _short(problem)) from problem
    except DBAPIError as problem:
        if problem.connection_invalidated or _is_transient(problem):
            raise ServiceUnavailable("database", _short(problem)) from problem
        raise


def _is_transient(problem: DBAPIError) -> bool:
    # Class 40: serialization failure or deadlock; 53: no resources; 57: shutting down; 08: no connection.
    # 23505: two hubs were given one message and both recorded it. 25P03: stopped in the middle of a transaction
    # for so long that the server ended it. 55P03: waited too long for a row. All are tried again.
    state = getattr(problem.orig, "sqlstate", None) or getattr(problem.orig, "pgcode", None) or ""
    return state[:2] in {"40", "53", "57", "08"} or state in {"23505", "25P03", "55P03"}


def _short(problem: BaseException) -> str:
    # Driver messages carry statements and parameters; the first line names the trouble and nothing else.
    origin = getattr(problem, "orig", None) or problem
    return f"{type(origin).__name__}: {str(origin).splitlines()[0][:200] if str(origin) else ''}"


async def rows_by_id(
    connection: AsyncConnection, table: Table, ids: Iterable[str], *, lock: bool = False
) -> list[Row[Any]]:
    """
    Rows of a partitioned table by id, in the order of the ids: the year in an id names the partition.

    Ids may come from outside: a text that is no id names no row.
    """
    found: list[Row[Any]] = []
    by_year: dict[int, list[str]] = {}
    for one in sorted({one for one in ids if is_id(one)}):
        by_year.setdefault(year_of(one), []).append(one)
    for year, same_year in sorted(by_year.items()):
        query = select(table).where(table.c.year == year, among(table.c.id, same_year)).order_by(table.c.id)
        found.extend(await connection.execute(query.with_for_update() if lock else query))
    return found


class SQLTransaction:
    """Implements `axis.core.ports.Transaction` on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.has_appended = False
        self._postgresql = connection.dialect.name == "postgresql"
        self._claimed: dict[str, SubmissionId] = {}
        """Keys this transaction won that no event names yet."""
        self._numbered: dict[Key, int] = {}
        """The last number this transaction took for a pair, and has written: events that do not name it yet."""

    # --- reading --------------------------------------------------------------------------------------------------

    async def _rows(self, query: Select[Any], *, lock: bool = False) -> Sequence[Row[Any]]:
        if lock and self._postgresql:
            query = query.with_for_update()
        rows: Sequence[Row[Any]] = (await self.connection.execute(query)).all()
        return rows

    async def _wide(self, table: Table, ids: Sequence[str], *, lock: bool) -> list[Row[Any]]:
        return await rows_by_id(self.connection, table, ids, lock=lock and self._postgresql)

    async def answered(
        self, keys: Sequence[tuple[StationId, str, Digest]]
    ) -> Mapping[tuple[StationId, str, Digest], SubmissionId]:
        """See the port."""
        table = t.answered_message
        wanted = set(keys)
        found: dict[tuple[StationId, str, Digest], SubmissionId] = {}
        if not wanted:
            return found
        named = among(table.c.message_id, sorted({message_id for _, message_id, _ in wanted}))
        for row in await self._rows(select(table).where(named)):
            key = (StationId(row.station_id), row.message_id, Digest(row.digest))
            if key in wanted:
                found[key] = SubmissionId(row.submission_id)
        return found

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, Claim]:
        """See the port."""
        table = t.claim
        won = await insert_missing(
            self.connection,
            table,
            [
                {"key": one.key, "submission_id": one.submission, "document_key": one.document}
                for one in claims
            ],
        )
        self._claimed.update({one.key: one.submission for one in claims if one.key in won})
        lost = sorted({one.key for one in claims if one.key not in won})
        if not lost:
            return {}
        query = select(table).where(among(table.c.key, lost)).order_by(table.c.key)
        return {row.key: _claim(row) for row in await self._rows(query, lock=True)}

    async def holders(self, keys: Sequence[str]) -> Mapping[str, Claim]:
        """See the port."""
        if not keys:
            return {}
        table = t.claim
        query = select(table).where(among(table.c.key, sorted(set(keys))))
        return {row.key: _claim(row) for row in await self._rows(query)}

    async def submissions(self, ids: Sequence[SubmissionId]) -> Mapping[SubmissionId, SubmissionRow]:
        """See the port."""
        rows = await self._wide(t.submission, ids, lock=True)
        return {SubmissionId(row.id): submission_row(row) for row in rows}

    async def documents(self, ids: Sequence[DocumentKey]) -> Mapping[DocumentKey, DocumentRow]:
        """See the port."""
        return {
            DocumentKey(row.id): document_row(row) for row in await self._wide(t.document, ids, lock=False)
        }

    async def documents_named(
        self, *, sender: OrganNumber | None, document_id: str, code: str, kind: Kind
    ) -> Sequence[DocumentRow]:
        """See the port."""
        table = t.document
        base = select(table).where(table.c.kind == kind.value)
        if sender is not None:
            base = base.where(table.c.sender == sender)
        newest = (table.c.accepted_at.desc(), table.c.id.desc())
        rows: Sequence[Row[Any]] = ()
        if document_id:
            rows = await self._rows(base.where(t.has_document_id(document_id)).order_by(*newest).limit(20))
        if not rows and code and sender is not None:
            number, _, notation = code.partition("/")
            rows = await self._rows(
                base.where(
                    table.c.code_text == code_text(code_of(number, notation)),
                    table.c.number == number,
                    table.c.notation == notation,
                )
                .order_by(*newest)
                .limit(20)
            )
        return [document_row(row) for row in rows]

    async def family(self, root: DocumentKey) -> Sequence[DocumentRow]:
        """See the port."""
        table = t.document
        query = (
            select(table)
            .where(
                or_(
                    table.c.root == root,
                    and_(
                        table.c.target == root,
                        table.c.kind == Kind.EDOC.value,
                        table.c.business_type == BusinessType.UPDATE.value,
                    ),
                ),
                table.c.year >= year_of(root),
            )
            .order_by(table.c.accepted_at, table.c.id)
        )
        return [document_row(row) for row in await self._rows(query)]

    async def documents_coded(self, code: str, *, senders: Sequence[OrganNumber]) -> Sequence[DocumentRow]:
        """See the port."""
        table = t.document
        query = (
            select(table)
            .where(
                table.c.kind == Kind.EDOC.value,
                table.c.sender.in_(senders),
                table.c.code_text == code_text(code),
            )
            .order_by(table.c.accepted_at.desc(), table.c.id.desc())
            .limit(20)
        )
        return [document_row(row) for row in await self._rows(query)]

    async def codes_in_use(
        self, codes: Sequence[tuple[OrganNumber, str]]
    ) -> AbstractSet[tuple[OrganNumber, str]]:
        """See the port."""
        if not codes:
            return set()
        table = t.document.c
        texts = {code: code_text(code) for _, code in codes}
        query = (
            select(table.sender, table.code_text)
            .where(
                table.kind == Kind.EDOC.value,
                among(table.code_text, sorted(set(texts.values()))),
                among(table.sender, sorted({sender for sender, _ in codes})),
            )
            .distinct()
        )
        found = {(row.sender, row.code_text) for row in await self._rows(query)}
        return {(sender, code) for sender, code in codes if (sender, texts[code]) in found}

    async def receivers(self, root: DocumentKey) -> Mapping[OrganNumber, DeliveryId]:
        """See the port."""
        table = t.document
        await self._rows(
            select(table.c.id).where(table.c.year == year_of(root), table.c.id == root), lock=True
        )
        keys = t.delivery_key
        return {
            OrganNumber(row.organ): DeliveryId(row.delivery_id)
            for row in await self._rows(select(keys).where(keys.c.root == root))
        }

    async def being_valued(self, rounds: Mapping[DocumentKey, int]) -> Mapping[DocumentKey, DocumentRow]:
        """See the port."""
        key = t.valuation.c.document_key
        query = select(key, t.valuation.c.round).where(among(key, sorted(rounds))).order_by(key)
        waiting = [
            DocumentKey(row.document_key)
            for row in await self._rows(query, lock=True)
            if row.round == rounds[DocumentKey(row.document_key)]
        ]
        return await self.documents(waiting)

    async def begin_round(self) -> None:
        """See the port."""
        table = t.valuation
        # What nobody has taken yet will be judged by the new lists anyway.
        taken = update(table).where(table.c.tries > 0)
        await self.connection.execute(taken.values(round=table.c.round + 1, due_at=0))

    async def deliveries(self, ids: Sequence[DeliveryId]) -> Mapping[DeliveryId, DeliveryRow]:
        """See the port."""
        return {DeliveryId(row.id): delivery_row(row) for row in await self._wide(t.delivery, ids, lock=True)}

    async def deliveries_of(self, documents: Sequence[DocumentKey]) -> Sequence[DeliveryRow]:
        """See the port."""
        return await self._deliveries_where(t.delivery.c.document_key, documents, lock=False)

    async def deliveries_in(self, consignments: Sequence[ConsignmentId]) -> Sequence[DeliveryRow]:
        """See the port."""
        return await self._deliveries_where(t.delivery.c.consignment_id, consignments, lock=True)

    async def _deliveries_where(
        self, column: Any, values: Sequence[str], *, lock: bool
    ) -> Sequence[DeliveryRow]:
        if not values:
            return []
        query = select(t.delivery).where(among(column, sorted(set(values)))).order_by(t.delivery.c.id)
        return [delivery_row(row) for row in await self._rows(query, lock=lock)]

    async def consignments_of(self, deliveries: Sequence[DeliveryId]) -> Mapping[DeliveryId, ConsignmentRow]:
        """See the port."""
        # Which consignment carries a delivery never changes, so this much may be read without a lock.
        rows = await self._wide(t.delivery, deliveries, lock=False)
        carried = {
            DeliveryId(row.id): ConsignmentId(row.consignment_id) for row in rows if row.consignment_id
        }
        found = await self.consignments(sorted(set(carried.values())))
        return {delivery: found[consignment] for delivery, consignment in carried.items()}

    async def consignments(self, ids: Sequence[ConsignmentId]) -> Mapping[ConsignmentId, ConsignmentRow]:
        """See the port."""
        rows = await self._wide(t.consignment, ids, lock=True)
        return {ConsignmentId(row.id): consignment_row(row) for row in rows}

    async def buried(self, ids: Sequence[SubmissionId]) -> Mapping[SubmissionId, BuriedRow]:
        """See the port."""
        query = select(t.buried).where(among(t.buried.c.id, sorted(set(ids)))).order_by(t.buried.c.id)
        return {SubmissionId(row.id): buried_row(row) for row in await self._rows(query, lock=True)}

    async def events(self, ids: Sequence[EventId]) -> Mapping[EventId, Event]:
        """See the port."""
        rows = await self._wide(t.event, ids, lock=False)
        return {EventId(row.id): read_record(row.record) for row in rows}

    async def replay_plan(self, plan: str) -> tuple[str, Sequence[tuple[str, str]]]:
        """See the port."""
        rows = await self._rows(select(t.replay_plan).where(t.replay_plan.c.id == plan), lock=True)
        if not rows:
            raise NotFound("replay plan", plan)
        table = t.replay_item
        items = await self._rows(
            select(table.c.kind, table.c.item_id)
            .where(table.c.plan_id == plan, t.is_planned)
            .order_by(table.c.kind, table.c.item_id)
            .limit(100)
        )
        return str(rows[0].state), [(row.kind, row.item_id) for row in items]

    async def directory_version(self) -> int:
        """See the port."""
        table = t.directory_version
        query = select(table.c.n).where(table.c.id == WHOLE_VERSION)
        rows = await self._rows(query, lock=True)
        if not rows and self._postgresql:
            # The very first act has no row to lock: two of them would both make version 1.
            await self.connection.execute(text("LOCK TABLE directory_version IN SHARE ROW EXCLUSIVE MODE"))
            rows = await self._rows(query, lock=True)
        return int(rows[0].n) if rows else 0

    # --- writing --------------------------------------------------------------------------------------------------

    async def number_pairs(
        self, counts: Mapping[tuple[OrganNumber, OrganNumber], int]
    ) -> Mapping[tuple[OrganNumber, OrganNumber], int]:
        """See the port."""
        first: dict[tuple[OrganNumber, OrganNumber], int] = {}
        rows = [{"sender": sender, "receiver": receiver, "n": n} for (sender, receiver), n in counts.items()]
        # Written at once, as that is what makes another transaction wait; `append` finds it as its events say.
        for row in await put_rows(self.connection, t.pair, rows, adds="n", returns=True):
            pair = OrganNumber(row.sender), OrganNumber(row.receiver)
            first[pair] = row.n - counts[pair] + 1
            self._numbered[("receiver", row.receiver), ("sender", row.sender)] = row.n
        return first

    def refuse_gaps(self) -> None:
        """
        Make sure that every number that was taken is in an event.

        Raises:
            InvariantBroken: one is not; nothing of this transaction is committed.
        """
        if self._numbered:
            raise InvariantBroken(f"numbers were taken and not used: {list(self._numbered.items())[:3]}")

    async def append(self, events: Sequence[Event]) -> None:
        """See the port."""
        if not events:
            return
        self.has_appended = True
        await insert_rows(
            self.connection,
            t.event,
            [
                {
                    "year": one.year,
                    "id": one.id,
                    "kind": one.kind.value,
                    "at": micros(one.at),
                    "submission_id": one.submission,
                    "document_id": one.document,
                    "record": one.record,
                    "hash": one.hash,
                }
                for one in events
            ],
        )
        await self._give_back_unnamed(events)
        await self._apply(_Effects([op for one in events for op in project(one)]))
        # Last, with every row it changes locked: whoever changes one of them later gets a higher number, so that
        # the order of the queue is the order in which the rows were changed.
        waiting = [{"event_id": one.id, "year": one.year} for one in events]
        await insert_rows(self.connection, t.pending_leaf, waiting)

    async def _give_back_unnamed(self, events: Sequence[Event]) -> None:
        """A submission that was judged without its claim, such as a refused one, does not occupy it."""
        unnamed: list[str] = []
        for event_ in events:
            named = event_.facts.get("claims", ())
            mine = [key for key, submission in self._claimed.items() if submission == event_.submission]
            unnamed += [key for key in mine if key not in named]  # type: ignore[operator]  # a list of texts
            for key in mine:
                del self._claimed[key]
        await remove_rows(self.connection, t.claim, [(("key", key),) for key in unnamed])

    async def give_back_claims(self) -> None:
        """What was claimed and is named by no event of this transaction is free when it commits."""
        await remove_rows(self.connection, t.claim, [(("key", key),) for key in self._claimed])
        self._claimed.clear()

    async def _apply(self, effects: _Effects) -> None:
        """Write them in few statements, each in the order of the keys."""
        tables = t.metadata.tables
        for name, keys in effects.removed.items():
            await remove_rows(self.connection, tables[name], keys)
        for name, rows in effects.inserted.items():
            await insert_rows(self.connection, tables[name], list(rows.values()))
        for name, puts in effects.put.items():
            changed = self._not_written(puts) if name == "pair" else list(puts.values())
            await put_rows(self.connection, tables[name], changed)
        for name, changes in effects.changed.items():
            await change_rows(self.connection, tables[name], changes)

    def _not_written(self, pairs: Mapping[Key, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The pairs `number_pairs` has not written already; one whose last number is named here is done with."""
        others = [row for key, row in pairs.items() if key not in self._numbered]
        for key, row in pairs.items():
            if self._numbered.get(key) == row["n"]:
                del self._numbered[key]
        return others

    async def keep_reports(self, reports: Sequence[tuple[DocumentKey, bytes, str]]) -> None:
        """See the port."""
        await insert_rows(
            self.connection,
            t.report,
            [
                {"year": year_of(document), "document_key": document, "body": body, "signature": signature}
                for document, body, signature in reports
            ],
        )

    async def pace_hold(self, submission: SubmissionId, *, next_try_at: datetime | None, tries: int) -> None:
        """See the port."""
        table = t.submission
        await self.connection.execute(
            update(table)
            .where(table.c.year == year_of(submission), table.c.id == submission)
            .values(next_try_at=micros(next_try_at) if next_try_at else None, tries=tries)
        )

    async def pace(
        self, consignments: Sequence[ConsignmentId], *, due_at: datetime | None, lease_until: datetime | None
    ) -> None:
        """See the port."""
        table = t.consignment
        values: dict[str, int | None] = {"lease_until": micros(lease_until) if lease_until else None}
        if due_at is not None:
            values["due_at"] = micros(due_at)
        by_year: dict[int, list[str]] = {}
        for one in sorted(set(consignments)):
            by_year.setdefault(year_of(one), []).append(one)
        for year, ids in by_year.items():
            await self.connection.execute(
                update(table).where(table.c.year == year, among(table.c.id, ids)).values(**values)
            )

    async def keep_secrets(self, station: StationId, *, secret: str | None, key_hash: str | None) -> None:
        """See the port."""
        values = {
            name: value for name, value in (("secret", secret), ("key_hash", key_hash)) if value is not None
        }
        if values:
            table = t.station
            await self.connection.execute(update(table).where(table.c.id == station).values(**values))

    async def vxp_secrets(self) -> Mapping[str, str]:
        """See the port."""
        table = t.vxp_system
        rows = await self.connection.execute(select(table.c.id, table.c.secret))
        return {row.id: row.secret for row in rows if row.secret}

    async def keep_vxp_secret(self, system: str, *, sealed: str) -> None:
        """See the port."""
        table = t.vxp_system
        await self.connection.execute(update(table).where(table.c.id == system).values(secret=sealed))


class _Effects:
    """
    What the changes of a batch come to, row by row: removed first, then inserted, put and changed.

    A later change of a row wins over an earlier one, and a change of a row that is new in the batch joins it.
    """

    def __init__(self, ops: Iterable[Op]) -> None:
        self.removed: dict[str, set[Key]] = {}
        self.inserted: dict[str, dict[Key, dict[str, Any]]] = {}
        self.put: dict[str, dict[Key, dict[str, Any]]] = {}
        self.changed: dict[str, dict[Key, dict[str, Any]]] = {}
        for op in ops:
            match op:
                case Insert():
                    self._insert(op)
                case Change():
                    self._change(op)
                case Put():
                    self._put(op)
                case Remove():
                    self._remove(op)

    def _insert(self, op: Insert) -> None:
        columns = t.metadata.tables[op.table].primary_key.columns
        key = tuple(sorted((column.name, op.values[column.name]) for column in columns))
        rows = self.inserted.setdefault(op.table, {})
        if key in rows:
            raise InvariantBroken(f"two rows of {op.table} for {dict(key)}")
        rows[key] = dict(op.values)

    def _change(self, op: Change) -> None:
        key = tuple(sorted(op.key))
        new = self.inserted.get(op.table, {}).get(key) or self.put.get(op.table, {}).get(key)
        if new is None:
            new = self.changed.setdefault(op.table, {}).setdefault(key, {})
        new.update(op.values)

    def _put(self, op: Put) -> None:
        key = tuple(sorted(op.key))
        for column in op.values:
            self.changed.get(op.table, {}).get(key, {}).pop(column, None)
        self.put.setdefault(op.table, {})[key] = {**dict(op.key), **op.values}

    def _remove(self, op: Remove) -> None:
        key = tuple(sorted(op.key))
        for rows in (self.inserted, self.put, self.changed):
            rows.get(op.table, {}).pop(key, None)
        self.removed.setdefault(op.table, set()).add(key)


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        key=row.key,
        submission=SubmissionId(row.submission_id),
        document=DocumentKey(row.document_key) if row.document_key else None,
    )


# --- rows ---------------------------------------------------------------------------------------------------------


def _reason(value: str | None) -> ReasonCode | None:
    return ReasonCode(value) if value else None


def submission_row(row: Row[Any]) -> SubmissionRow:
    """A row of `submission`, typed."""
    return SubmissionRow(
        id=SubmissionId(row.id),
        station=StationId(row.station_id) if row.station_id else None,
        message_id=row.message_id,
        digest=Digest(row.digest),
        size=row.size,
        received_at=from_micros(row.received_at),
        state=SubmissionState(row.state),
        reason=_reason(row.reason),
        document=DocumentKey(row.document_key) if row.document_key else None,
        lane=Lane(row.lane),
        event=EventId(row.event_id),
        head=row.head,
        tries=row.tries,
    )


def document_row(row: Row[Any]) -> DocumentRow:
    """A row of `document`, typed."""
    return DocumentRow(
        id=DocumentKey(row.id),
        submission=SubmissionId(row.submission_id),
        kind=Kind(row.kind),
        station=StationId(row.station_id),
        sender=OrganNumber(row.sender),
        from_code=row.from_code,
        document_id=row.document_id,
        business_type=BusinessType(row.business_type),
        number=row.number,
        notation=row.notation,
        promulgation_date=row.promulgation_date,
        type_name=row.type_name,
        subject=row.subject,
        urgency=Urgency(row.urgency),
        lane=Lane(row.lane),
        digest=Digest(row.digest),
        size=row.size,
        content=row.content,
        tier=Tier(row.tier),
        value=LegalValue(row.value),
        received_at=from_micros(row.received_at),
        accepted_at=from_micros(row.accepted_at),
        root=DocumentKey(row.root),
        target=DocumentKey(row.target) if row.target else None,
        status_code=row.status_code,
        report=Digest(row.report) if row.report else None,
        attachments=tuple(
            Attachment(
                content_id=one["content_id"],
                name=one["name"],
                declared_type=one["declared_type"],
                detected_type=one["detected_type"],
                size=one["size"],
                sha256=Digest(one["sha256"]),
            )
            for one in json.loads(row.attachments)
        ),
        head=row.head,
        state=DocumentState(row.state),
    )


def delivery_row(row: Row[Any]) -> DeliveryRow:
    """A row of `delivery`, typed."""
    return DeliveryRow(
        id=DeliveryId(row.id),
        document=DocumentKey(row.document_key),
        consignment=ConsignmentId(row.consignment_id) if row.consignment_id else None,
        station=StationId(row.station_id) if row.station_id else None,
        kind=Kind(row.kind),
        sender=OrganNumber(row.sender),
        organ=OrganNumber(row.organ),
        code=row.code,
        name=row.name,
        state=DeliveryState(row.state),
        reason=_reason(row.reason),
        state_at=from_micros(row.state_at),
        accepted_at=from_micros(row.accepted_at),
        received_at=from_micros(row.received_at) if row.received_at is not None else None,
        status=row.status,
        registered=row.registered,
        returned=row.returned,
        due_at=from_micros(row.due_at) if row.due_at is not None else None,
        told_at=from_micros(row.told_at) if row.told_at is not None else None,
        not_taken_at=from_micros(row.not_taken_at) if row.not_taken_at is not None else None,
        failures=row.failures,
        request=RequestState(row.request),
        request_kind=RequestKind(row.request_kind) if row.request_kind else None,
        requested_by=DocumentKey(row.requested_by) if row.requested_by else None,
    )


def consignment_row(row: Row[Any]) -> ConsignmentRow:
    """A row of `consignment`, typed."""
    return ConsignmentRow(
        id=ConsignmentId(row.id),
        document=DocumentKey(row.document_key),
        station=StationId(row.station_id),
        lane=Lane(row.lane),
        state=row.state,
        attempt=row.attempt,
        head=row.head,
        is_leased=row.lease_until is not None,
    )


def buried_row(row: Row[Any]) -> BuriedRow:
    """A row of `buried`, typed."""
    return BuriedRow(
        id=SubmissionId(row.id),
        station=StationId(row.station_id) if row.station_id else None,
        message_id=row.message_id,
        digest=Digest(row.digest),
        size=row.size,
        reason=ReasonCode(row.reason),
        at=from_micros(row.at),
        admitted_as=SubmissionId(row.submission_id) if row.submission_id else None,
    )
