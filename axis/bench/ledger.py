"""
`axis bench ledger`: what the delivery log, a document's life, the counts and an append cost beside years of history.

    1 load      a made-up history of so many deliveries, through the axis's own projections, with COPY
    2 ask       every question of an auditor, many times with other words, organs and days: p50 and p95
    3 append    documents accepted one transaction each, and the sequencer behind them

Questions are asked through `axis.ledger.queries`, so each time holds the record of the look as well. PostgreSQL only,
and only into an empty database: the history would stand in a real ledger for ever.
"""

from __future__ import annotations

import gc
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import asyncpg
from sqlalchemy import Column, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, DropIndex

from axis.bench.history import MADE_UP, History
from axis.bench.machine import busy_ms
from axis.core.errors import InvalidQuestion, InvariantBroken
from axis.core.events import Event, EventKind, read_record
from axis.core.ids import compose, year_of
from axis.core.model import BusinessType, OrganNumber, Urgency, micros
from axis.core.reasons import ReasonCode
from axis.ledger import tables as t
from axis.ledger.count import By, CountFilter
from axis.ledger.counts import COUNTED, tables_of
from axis.ledger.delivery_log import LogFilter, states_named
from axis.ledger.migrate import upgrade
from axis.ledger.mirror import Mirror
from axis.ledger.queries import ActFilter, Queries
from axis.ledger.scope import Viewer
from axis.ledger.sequencer import Growth, Sequencer
from axis.ledger.store import SQLLedger, open_engine
from signing.merkle import Frontier
from signing.note import SigningKey

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
"""The history's now: the same one every time, so that the same seed makes the same ledger."""
YEARS = (2024, 2025, 2026)
LOG = "bench.example/log"

_KEPT = frozenset({"pair", "organ", "organ_code", "directory_version"})
"""Tables whose rows change to the end; all others are complete with their batch."""
_WITH_ROOM = ("consignment", "delivery")

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One question, asked many times."""

    name: str
    limit_ms: float | None
    p50_ms: float
    p95_ms: float
    worst_ms: float
    times: int
    rows: int
    """Most rows of one answer: a question that finds nothing measures nothing."""

    @property
    def holds(self) -> bool:
        """Whether it stays within its limit."""
        return self.limit_ms is None or self.p95_ms <= self.limit_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBench:
    """What one run found."""

    deliveries: int
    documents: int
    events: int
    database_mb: int
    load_s: float
    timings: tuple[Timed, ...]
    append_per_s: float
    """Deliveries accepted each second by one writer, one document a transaction."""
    server: str
    """PostgreSQL's version."""
    busy: float
    """How busy the machine was while the questions were asked, 1 = all of it: above a half, others worked on it."""
    numbered_per_s: float
    """Events the sequencer numbers each second."""


class _Clock:
    """Time that stands at the history's now and moves a millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self._now = NOW

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now


class _Ids:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret hangs on it

    def new(self, at: datetime) -> str:
        return compose(at=at, randomness=self._random.getrandbits(80))


async def bench_ledger(
    url: str, *, deliveries: int, times: int = 40, progress: Progress = lambda _what, _done, _of: None
) -> LedgerBench:
    """
    Load, ask, append.

    Raises:
        InvalidQuestion: the database is no PostgreSQL, or not empty.
        ServiceUnavailable: it does not answer.
    """
    if not url.startswith("postgresql"):
        raise InvalidQuestion(
            vi="axis bench ledger cần PostgreSQL: --database postgresql://...",
            en="axis bench ledger needs PostgreSQL: --database postgresql://...",
        )
    engine = open_engine(url, pool_size=4)
    try:
        for year in YEARS:
            await upgrade(engine, year=year)
        ledger = SQLLedger(engine)
        began = perf_counter()
        history, loaded = await _history_in(ledger, url, deliveries=deliveries, progress=progress)
        load_s = perf_counter() - began
        began, worked = perf_counter(), busy_ms()
        timings = await _Asker(ledger, times=times, seed=loaded.events, progress=progress).ask()
        busy = (busy_ms() - worked) / 1_000 / (perf_counter() - began) / (os.cpu_count() or 1)
        appended, numbered = await _append(ledger, history, progress=progress)
        async with ledger.reading() as connection:
            size = (await connection.execute(text("SELECT pg_database_size(current_database())"))).scalar()
            server = str((await connection.execute(text("SHOW server_version"))).scalar())
        return LedgerBench(
            deliveries=loaded.deliveries,
            documents=loaded.documents,
            events=loaded.events,
            database_mb=int(size or 0) // 2**20,
            load_s=load_s,
            timings=tuple(timings),
            append_per_s=appended,
            numbered_per_s=numbered,
            server=server,
            busy=busy,
        )
    finally:
        await engine.dispose()


async def _history_in(
    ledger: SQLLedger, url: str, *, deliveries: int, progress: Progress
) -> tuple[History, _Loaded]:
    """Fill an empty database; one that a benchmark has filled before is asked again as it is."""
    since = datetime(YEARS[0], 1, 1, 1, tzinfo=UTC)
    async with ledger.reading() as connection:
        size = (await connection.execute(select(func.max(t.log_head.c.size)))).scalar()
        oldest = (await connection.execute(select(t.event.c.record).order_by(t.event.c.id).limit(1))).scalar()
    if oldest is None:
        history = History(since=since, until=NOW, deliveries=deliveries)
        return history, await _Loader(url, history, deliveries=deliveries, progress=progress).load(ledger)
    if not size or read_record(bytes(oldest)).by.reason != MADE_UP:
        raise InvalidQuestion(
            vi="cơ sở dữ liệu không trống: lịch sử giả định cần một cơ sở dữ liệu riêng",
            en="the database is not empty: a made-up history belongs into one of its own",
        )
    async with ledger.reading() as connection:
        counted = [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (t.document, t.delivery, t.event)
        ]
    documents, found, events = counted
    # Another seed: what this run appends is not what the run before appended.
    again = History(since=since, until=NOW, deliveries=deliveries, seed=size)
    return again, _Loaded(documents=documents, deliveries=found, events=events)


# --- loading ----------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Loaded:
    documents: int = 0
    deliveries: int = 0
    events: int = 0


class _Loader:
    """Writes a history as the axis would have, only faster: whole batches, indexes last."""

    def __init__(self, url: str, history: History, *, deliveries: int, progress: Progress) -> None:
        self._url = url.replace("postgresql+asyncpg", "postgresql").replace("?ssl=", "?sslmode=")
        self._history = history
        self._total = deliveries
        self._progress = progress
        self._mirror = Mirror()
        self._growth = Growth(frontier=Frontier(), epoch=1)
        self._counts: Counter[Any] = Counter()

    async def load(self, ledger: SQLLedger) -> _Loaded:
        """Everything, with statistics at the end."""
        loaded = _Loaded()
        dropped = await self._drop_indexes(ledger)
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute("SET synchronous_commit = off")
            await self._write(connection, self._history.beginning(), loaded)
            for events in self._history.batches():
                await self._write(connection, events, loaded)
                # Millions of rows stay until the end and none is garbage: looking at them again costs minutes.
                gc.freeze()
                self._progress("load", min(self._history.made, self._total), self._total)
            await self._finish(connection)
        finally:
            await connection.close()
        self._progress("index", 0, len(dropped))
        async with ledger.engine.connect() as raw:
            index_connection = await raw.execution_options(isolation_level="AUTOCOMMIT")
            await index_connection.execute(text("SET maintenance_work_mem = '512MB'"))
            await index_connection.execute(text("SET max_parallel_maintenance_workers = 2"))
            for done, index in enumerate(dropped):
                await index_connection.execute(CreateIndex(index))
                self._progress("index", done + 1, len(dropped))
            # The log's questions are planned by what the columns hold; without it they would be guessed.
            await index_connection.execute(text("VACUUM ANALYZE"))
        loaded.deliveries = self._history.made
        return loaded

    async def _drop_indexes(self, ledger: SQLLedger) -> list[Any]:
        names = ("event", "submission", "document", "consignment", "delivery", *COUNTED)
        found = [index for name in names for index in sorted(t.metadata.tables[name].indexes, key=_name)]
        async with ledger.engine.begin() as connection:
            for index in found:
                await connection.execute(DropIndex(index, if_exists=True))
        return found

    async def _write(self, connection: Any, events: Sequence[Event], loaded: _Loaded) -> None:
        rows: list[tuple[Any, ...]] = []
        reports: list[tuple[Any, ...]] = []
        for event in events:
            for complaint in self._mirror.apply(event):
                raise InvariantBroken(f"the made-up history is impossible: {event.kind} {complaint}")
            self._growth.add(event, digest=event.hash)
            at = micros(event.at)
            rows.append(
                (
                    event.year,
                    event.id,
                    event.kind.value,
                    at,
                    event.submission,
                    event.document,
                    event.record,
                    event.hash,
                )
            )
            if event.kind is EventKind.SUBMISSION_ACCEPTED:
                loaded.documents += 1
                body = f"report of {event.document}".encode()
                reports.append((year_of(str(event.document)), event.document, body, "{}"))
        loaded.events += len(events)
        async with connection.transaction():
            columns = ("year", "id", "kind", "at", "submission_id", "document_id", "record", "hash")
            await connection.copy_records_to_table("event", records=rows, columns=columns)
            await connection.copy_records_to_table(
                "report", records=reports, columns=("year", "document_key", "body", "signature")
            )
            for name, found in (
                ("leaf", self._growth.leaves),
                ("node", self._growth.nodes),
                ("feed", self._growth.feed),
            ):
                await _copy(connection, name, found)
                found.clear()
            for name, kept in self._mirror.rows.items():
                if name not in _KEPT:
                    await _copy(connection, name, list(kept.values()))
                    kept.clear()
        self._counts.update(self._growth.counts)
        self._growth.counts.clear()

    async def _finish(self, connection: Any) -> None:
        frontier = self._growth.frontier
        async with connection.transaction():
            for name in _KEPT:
                await _copy(connection, name, list(self._mirror.rows.get(name, {}).values()))
            for name, cells in tables_of(self._counts).items():
                keys = [column.name for column in t.metadata.tables[name].primary_key.columns]
                rows = [{**dict(zip(keys, cell, strict=True)), "n": n} for cell, n in cells.items()]
                await _copy(connection, name, rows)
            head = {"id": 1, "size": frontier.size, "root": frontier.root(), "epoch": 1}
            await _copy(connection, "log_head", [head])


def _name(index: Any) -> str:
    return str(index.name)


async def _copy(connection: Any, name: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = list(t.metadata.tables[name].columns)
    defaults = [_default(column) for column in columns]
    names = [column.name for column in columns]
    records = [
        tuple(row.get(one, default) for one, default in zip(names, defaults, strict=True)) for row in rows
    ]
    await connection.copy_records_to_table(name, records=records, columns=names)


def _default(column: Column[Any]) -> Any:
    # Only constants stand as defaults in the ledger's tables.
    return getattr(column.default, "arg", None)


# --- asking -----------------------------------------------------------------------------------------------------

LOG_LIMIT_MS = 500.0
SHOW_LIMIT_MS = 100.0
COUNT_LIMIT_MS = 200.0


class _Asker:
    """Asks, with other values every time."""

    def __init__(self, ledger: SQLLedger, *, times: int, seed: int, progress: Progress) -> None:
        self._ledger = ledger
        self._times = times
        self._progress = progress
        self._random = random.Random(11)  # noqa: S311 - no secret hangs on it
        # Another seed for each run on one database: the looks of the run before stand there.
        self._clock, self._ids = _Clock(), _Ids(seed)

    def _queries(self, tree: int | None = None) -> Queries:
        viewer = Viewer(name="bench", tree=OrganNumber(tree) if tree is not None else None)
        return Queries(self._ledger, viewer=viewer, clock=self._clock, ids=self._ids)

    async def ask(self) -> list[Timed]:
        """Every question of issue 5.5, 5.6 and 5.8."""
        async with self._ledger.reading() as connection:
            samples = await _samples(connection)
        whole, draw = self._queries(), self._random
        pick = draw.choice

        def day() -> datetime:
            return NOW - timedelta(days=draw.randrange(1, 1_000))

        def log(**asked: Any) -> Callable[[], Awaitable[int]]:
            return lambda: _log(whole, LogFilter(**{name: value() for name, value in asked.items()}))

        def seen_by_a_province(**asked: Any) -> Callable[[], Awaitable[int]]:
            return lambda: _log(
                self._queries(pick(samples.provinces)),
                LogFilter(**{name: value() for name, value in asked.items()}),
            )

        def always(value: Any) -> Callable[[], Any]:
            return lambda: value

        def province() -> OrganNumber:
            return OrganNumber(pick(samples.provinces))

        def in_a_month(**asked: Any) -> Callable[[], Awaitable[int]]:
            async def ask_about_one() -> int:
                begin = day()
                return await log(**asked, since=always(begin), until=always(begin + timedelta(days=30)))()

            return ask_about_one

        words = [
            ("báo cáo",),
            ("điện tử",),
            ("ban hành quy chế",),
            ("nông thôn moi",),
            ("an toan thuc pham",),
        ]
        questions: list[tuple[str, Callable[[], Awaitable[int]]]] = [
            ("log, newest", log()),
            ("log, of an organ with its tree", log(organ=province)),
            ("log, of a unit", log(organ=lambda: OrganNumber(pick(samples.units)))),
            ("log, of a month", in_a_month()),
            ("log, number/notation", log(number=lambda: pick(samples.codes))),
            ("log, number alone", log(number=lambda: pick(samples.codes).partition("/")[0])),
            ("log, DocumentId", log(document=lambda: pick(samples.document_ids))),
            ("log, common words", log(subject=lambda: pick(words)[0])),
            ("log, rare words", log(subject=lambda: f"chuyen de {draw.randrange(3_000)}")),
            ("log, words nobody wrote", log(subject=always("khongcotunay"))),
            ("log, words of an organ's tree", log(organ=province, subject=lambda: pick(words)[0])),
            ("log, words in a month", in_a_month(subject=lambda: pick(words)[0])),
            ("log, signer", log(signer=lambda: pick(samples.signers))),
            ("log, signer of an organ's tree", log(organ=province, signer=lambda: pick(samples.signers))),
            ("log, late", log(late=always(True))),
            ("log, late of an organ's tree", log(organ=province, late=always(True))),
        ]
        for name in (
            "waiting",
            "handed_over",
            "acknowledged",
            "failed",
            "withdrawn",
            "not_connected",
            "pending",
            "refused",
        ):
            states = states_named(name)
            questions.append((f"log, {name}", log(states=always(states))))
            questions.append((f"log, {name}, of an organ's tree", log(organ=province, states=always(states))))
        questions += [(f"log, type {one.value}", log(business_type=always(one))) for one in BusinessType]
        questions += [(f"log, urgency {one.value}", log(urgency=always(one))) for one in Urgency]
        questions.append(("log, recalls of an organ's tree", log(organ=province, business_type=always(BusinessType.RECALL))))  # fmt: skip
        questions += [
            ("log, express of a unit", log(organ=lambda: OrganNumber(pick(samples.units)), urgency=always(Urgency.EXPRESS))),
            ("log, express and late recall", log(urgency=always(Urgency.EXPRESS), late=always(True), business_type=always(BusinessType.RECALL))),
            ("log, reason", log(reason=always(ReasonCode.DELIVER_NOT_TAKEN))),
            ("log, reason of a refusal", log(reason=always(ReasonCode.VERIFY_SIGNATURE))),
            ("log, everything at once", in_a_month(organ=province, states=always(states_named("acknowledged")), subject=lambda: pick(words)[0], urgency=always(Urgency.URGENT))),
            ("log, a page years back", lambda: _page_behind(whole, pick(samples.places_in_time))),
            ("log, as a province", seen_by_a_province()),
            ("log, as a province, words", seen_by_a_province(subject=lambda: pick(words)[0])),
            ("log, as a province, about another", seen_by_a_province(organ=province)),
            ("acts", lambda: _acts(whole)),
        ]  # fmt: skip
        others: list[tuple[str, float, Callable[[], Awaitable[int]]]] = [
            ("life of a document with 69 receivers", SHOW_LIMIT_MS, lambda: _show(whole, pick(samples.large))),
            ("life of a document", SHOW_LIMIT_MS, lambda: _show(whole, pick(samples.documents))),
            ("counts by month, all years", COUNT_LIMIT_MS, lambda: _count(whole, By.MONTH)),
            ("counts by month, an organ's tree", COUNT_LIMIT_MS, lambda: _count(whole, By.MONTH, organ=province())),
            ("counts by day, a quarter", COUNT_LIMIT_MS, lambda: _count(whole, By.DAY, since="2026-07-01", until="2026-09-30")),
            ("counts by organ, a quarter", LOG_LIMIT_MS, lambda: _count(whole, By.ORGAN, since="2026-07-01", until="2026-09-30")),
            ("counts by organ, two years of odd days", LOG_LIMIT_MS, lambda: _count(whole, By.ORGAN, since="2024-05-17", until="2026-05-16")),
            ("counts by organ with its tree, all years", LOG_LIMIT_MS, lambda: _count(whole, By.TREE)),
        ]  # fmt: skip
        every = [(name, LOG_LIMIT_MS, question) for name, question in questions] + others
        found = []
        for done, (name, limit, question) in enumerate(every):
            found.append(await self._time(name, limit, question))
            self._progress("ask", done + 1, len(every))
        return found

    async def _time(self, name: str, limit: float, question: Callable[[], Awaitable[int]]) -> Timed:
        rows = await question()
        times = []
        for _ in range(self._times):
            began = perf_counter()
            rows = max(rows, await question())
            times.append((perf_counter() - began) * 1_000)
        times.sort()
        return Timed(
            name=name,
            limit_ms=limit,
            p50_ms=times[len(times) // 2],
            p95_ms=times[min(len(times) - 1, int(len(times) * 0.95))],
            worst_ms=times[-1],
            times=len(times),
            rows=rows,
        )


async def _log(queries: Queries, asked: LogFilter) -> int:
    return len((await queries.log(asked, limit=100)).rows)


async def _page_behind(queries: Queries, after: str) -> int:
    return len((await queries.log(LogFilter(), after=after, limit=100)).rows)


async def _acts(queries: Queries) -> int:
    return len((await queries.acts(ActFilter(), limit=100)).rows)


async def _show(queries: Queries, document: str) -> int:
    life: Any = await queries.show(document)
    return len(life["deliveries"])


async def _count(queries: Queries, by: By, **asked: Any) -> int:
    return len((await queries.count(CountFilter(**asked), by=by)).rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Samples:
    """What the questions are about: drawn from the whole of the history."""

    provinces: Sequence[int]
    units: Sequence[int]
    documents: Sequence[str]
    large: Sequence[str]
    document_ids: Sequence[str]
    codes: Sequence[str]
    signers: Sequence[str]
    places_in_time: Sequence[str]


async def _samples(connection: AsyncConnection) -> _Samples:
    async def column(query: Any) -> list[Any]:
        return list((await connection.execute(query)).scalars())

    organs, documents, deliveries = t.organ.c, t.document.c, t.delivery.c
    few = "TABLESAMPLE SYSTEM (1) REPEATABLE (1)"
    sampled = (
        f"SELECT id, document_id, number || '/' || notation AS code, signatory FROM document {few} LIMIT 200"  # noqa: S608 - constants
    )
    several = list(await connection.execute(text(sampled)))
    if not several:
        several = list(
            await connection.execute(
                select(
                    documents.id,
                    documents.document_id,
                    (documents.number + "/" + documents.notation).label("code"),
                    documents.signatory,
                ).limit(200)
            )
        )
    in_time = await connection.execute(
        text(f"SELECT accepted_at, id FROM delivery {few} ORDER BY id LIMIT 100")  # noqa: S608 - constants
    )
    places = [f"{row.accepted_at}.{row.id}" for row in in_time] or [
        f"{row.accepted_at}.{row.id}"
        for row in await connection.execute(select(deliveries.accepted_at, deliveries.id).limit(100))
    ]
    large = (
        select(deliveries.document_key)
        .group_by(deliveries.document_key)
        .having(func.count() >= 68)
        .limit(100)
    )
    return _Samples(
        provinces=await column(select(organs.number).where(organs.kind == "province")),
        units=await column(select(organs.number).where(organs.kind == "unit")),
        documents=[row.id for row in several],
        large=await column(large) or [several[0].id],
        document_ids=[row.document_id for row in several],
        codes=[row.code for row in several],
        signers=sorted({row.signatory for row in several}),
        places_in_time=places,
    )


# --- appending --------------------------------------------------------------------------------------------------


async def _append(
    ledger: SQLLedger, history: History, *, progress: Progress, documents: int = 200
) -> tuple[float, float]:
    """Accept documents, one transaction each; then let the sequencer number what came of it."""
    deliveries = 0
    spent = 0.0
    for done in range(documents):
        event, lines = history.acceptance(NOW + timedelta(seconds=done))
        began = perf_counter()
        async with ledger.transaction() as tx:
            await tx.append([event])
            if event.document is not None:
                body = f"report of {event.document}".encode()
                await tx.keep_reports([(event.document, body, "{}")])
        spent += perf_counter() - began
        deliveries += len(lines)
        progress("append", done + 1, documents)
    signer = SigningKey.from_seed(LOG, seed=bytes(range(32)))
    sequencer = Sequencer(ledger, clock=_Clock(), signer=signer, log=LOG, holder="bench")
    began = perf_counter()
    numbered = 0
    while count := await sequencer.turn():
        numbered += count
    return deliveries / spent, numbered / (perf_counter() - began)
