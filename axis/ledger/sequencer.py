"""
The sequencer: gives events their numbers, and with the number its leaf, its place in the feeds and its counts.

    1 look      what waits for a number, in the order it was written (`axis.ledger.tables.pending_leaf`)
    2 grow      leaves, complete subtrees, feeds and counts that follow from it: pure
    3 advance   the head moves by compare-and-swap on (size, root, epoch), and all of 2 with it: one transaction
    4 sign      the committed head, once per size; stored under that size before anyone sees it

Only one sequencer works at a time as a rule: a lease says whose turn it is. Nothing depends on it. One that was
stopped past its lease, or a second one by mistake, finds that the head has moved and what it wrote is rolled back.
Numbers have no gaps and no order but this: an event stands behind the one it names as its previous.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Row, delete, exists, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvariantBroken, ServiceUnavailable
from axis.core.events import Event, EventKind, leaf_hash, read_record
from axis.core.model import micros
from axis.core.ports import Clock
from axis.ledger import tables as t
from axis.ledger.bulk import among, insert_rows, put_rows
from axis.ledger.counts import Cell, fold, tables_of
from axis.ledger.log import hashes_at
from axis.ledger.seals import HistoryBroken, Seals, examine
from axis.ledger.store import SQLLedger
from signing.merkle import EMPTY_ROOT, Frontier, peaks
from signing.note import Checkpoint, NoteSigner, VerifierKey, origin_of, sign_note

log = structlog.get_logger(__name__)

_AT_A_TIME = 100
_POLL_S = 0.2
_SIGN_EVERY_S = 1.0
_BACK_OFF_S = 1.0

_LIMITS = text(
    "SELECT set_config('idle_in_transaction_session_timeout', :idle, true), "
    "set_config('lock_timeout', :lock, true)"
)


class _Overtaken(Exception):
    """Somebody else moved the head."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that has no number yet."""

    seq: int
    year: int
    id: str
    record: bytes
    hash: bytes


@dataclass(slots=True, kw_only=True)
class Growth:
    """What a batch of events adds to the log."""

    frontier: Frontier
    epoch: int
    leaves: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    feed: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[Cell] = field(default_factory=Counter)

    def add(self, event: Event, *, digest: bytes) -> None:
        """The next leaf: what follows from the event that is `digest`'s record."""
        index = self.frontier.size
        if event.kind is EventKind.LOG_EPOCH_BEGUN:
            if event.facts["epoch"] != self.epoch + 1:
                raise InvariantBroken(f"epoch {event.facts['epoch']} cannot follow {self.epoch}")
            self.epoch += 1
        place = {"year": event.year, "event_id": event.id}
        self.leaves.append({"idx": index, "hash": digest, **place})
        self.nodes += [
            {"level": node.at.level, "idx": node.at.position, "hash": node.hash}
            for node in self.frontier.append(digest)
        ]
        self.feed += [
            {"station_id": station, "idx": index, **place} for station in dict.fromkeys(event.stations)
        ]
        for one in fold(event):
            cell = (one.day, one.sender, one.receiver, one.business_type, one.urgency, one.metric.value)
            self.counts[cell] += one.n


class Sequencer:
    """Numbers events; see the head of this module."""

    def __init__(
        self,
        ledger: SQLLedger,
        *,
        clock: Clock,
        signer: NoteSigner,
        log: str,
        holder: str,
        batch: int = 2_000,
        lease: timedelta = timedelta(seconds=10),
        seals: Seals | None = None,
        former: Sequence[VerifierKey] = (),
    ) -> None:
        """
        `holder` names this sequencer among others; `seals` keep signed heads outside the database; `former` are keys
        that signed for this log before and are still believed.

        Raises:
            ValueError: the key is not this log's: nobody would believe what it signs.
        """
        if signer.verifier.name != log:
            raise ValueError(f"the key of {signer.verifier.name!r} cannot sign for the log {log!r}")
        self._ledger = ledger
        self._clock = clock
        self._signer = signer
        self._log = log
        self._holder = holder[:80]
        self._batch = batch
        self._lease = lease
        self._seals = seals
        self._keys = (signer.verifier, *former)
        self._frontier = Frontier()

    # --- the loop -------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, *, wake: asyncio.Event | None = None) -> None:
        """
        Number and sign until `stop`; `wake` says that there is work before the next look.

        At the end what waits is numbered and signed, so that a ledger put away in good order is complete.

        Raises:
            InvariantBroken: the log does not continue what was signed, or a record was changed before it was
                numbered. Nothing was numbered on top of it: a person must look.
        """
        loop = asyncio.get_running_loop()
        is_examined = False
        next_signing = loop.time()
        while not stop.is_set():
            try:
                if not is_examined:
                    await self.examine()
                    is_examined = True
                if wake is not None:
                    wake.clear()
                numbered = await self.turn()
                if loop.time() >= next_signing and await self.sign_head() is not None:
                    next_signing = loop.time() + _SIGN_EVERY_S
            except ServiceUnavailable as problem:
                log.warning("sequencer.waits", cause=str(problem))
                await _first_of(stop, within_s=_BACK_OFF_S)
                continue
            if numbered < self._batch:
                await _first_of(stop, wake, within_s=_POLL_S)
        with contextlib.suppress(ServiceUnavailable):
            while is_examined and await self.turn():
                pass
            if is_examined:
                await self.sign_head()

    async def examine(self) -> None:
        """
        Make sure that the log continues every signed head there is, before anything is numbered.

        Raises:
            HistoryBroken: it does not.
            ServiceUnavailable: the database or the seals do not answer.
        """
        witnessed = await self._seals.kept() if self._seals is not None else ()
        await examine(self._ledger, log=self._log, keys=self._keys, witnessed=witnessed)

    # --- numbering ------------------------------------------------------------------------------------------------

    async def turn(self) -> int:
        """
        Number up to a batch of events and return how many; 0 when nothing waits or somebody else is at it.

        Raises:
            InvariantBroken: a record was changed before it was numbered, or the log is not whole.
            ServiceUnavailable: the database did not answer; whether it was done is found out by the next turn.
        """
        if not await self._has_work():
            return 0
        try:
            return await self._number()
        except _Overtaken:
            log.info("sequencer.overtaken", holder=self._holder)
            return 0

    async def _has_work(self) -> bool:
        head = select(t.log_head.c.holder, t.log_head.c.lease_until)
        async with self._ledger.looking() as connection:
            is_waiting = (await connection.execute(select(exists().select_from(t.pending_leaf)))).scalar()
            return bool(is_waiting) and self._is_ours((await connection.execute(head)).first())

    async def may_number(self) -> bool:
        """Whether nobody else has the lease now."""
        async with self._ledger.looking() as connection:
            head = select(t.log_head.c.holder, t.log_head.c.lease_until)
            return self._is_ours((await connection.execute(head)).first())

    def _is_ours(self, head: Row[*tuple[Any, ...]] | None) -> bool:
        """Whether nobody else has the lease. Only a hint: the compare-and-swap decides."""
        if head is None or head.holder in {None, self._holder}:
            return True
        return bool((head.lease_until or 0) <= micros(self._clock.now()))

    async def _number(self) -> int:
        async with self._ledger.transaction() as tx:
            connection = tx.connection
            await self._limit_waiting(connection)
            size, root, epoch = await self._head(connection)
            waiting = await self._waiting(connection)
            if not waiting:
                return 0
            growth = Growth(frontier=(await self._edge(connection, size, root)).copy(), epoch=epoch)
            for number, one in enumerate(waiting):
                growth.add(_checked(one), digest=one.hash)
                if number % _AT_A_TIME == _AT_A_TIME - 1:
                    await asyncio.sleep(0)  # Whoever shares the loop need not wait for the whole batch.
            await self._advance(connection, growth, size=size, root=root, epoch=epoch)
            await self._write(connection, growth)
            await self._take_out(connection, [one.seq for one in waiting])
        self._frontier = growth.frontier
        return len(waiting)

    async def _limit_waiting(self, connection: AsyncConnection) -> None:
        """
        A sequencer that is stopped in the middle of this transaction must not keep the others waiting for ever:
        PostgreSQL ends its session when the lease is over, and with it everything that was not committed.
        """
        if connection.dialect.name == "postgresql":
            pause = int(self._lease.total_seconds() * 1000)
            await connection.execute(_LIMITS, {"idle": str(pause), "lock": str(2 * pause)})

    async def _head(self, connection: AsyncConnection) -> tuple[int, bytes, int]:
        query = select(t.log_head.c.size, t.log_head.c.root, t.log_head.c.epoch)
        row = (await connection.execute(query)).first()
        if row is None:
            build = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            first = {"id": 1, "size": 0, "root": EMPTY_ROOT, "epoch": 1}
            await connection.execute(build(t.log_head).values(first).on_conflict_do_nothing())
            row = (await connection.execute(query)).one()
        return row.size, row.root, row.epoch

    async def _waiting(self, connection: AsyncConnection) -> list[Waiting]:
        # The queue first and the events by key afterwards: a join would be planned by the size that the queue had
        # when it was last counted, which is nothing or everything.
        queue = select(t.pending_leaf).order_by(t.pending_leaf.c.seq).limit(self._batch)
        rows = (await connection.execute(queue)).all()
        by_year: dict[int, list[str]] = {}
        for row in rows:
            by_year.setdefault(row.year, []).append(row.event_id)
        found: dict[tuple[int, str], Row[*tuple[Any, ...]]] = {}
        table = t.event
        for year, ids in by_year.items():
            query = select(table.c.year, table.c.id, table.c.record, table.c.hash).where(
                table.c.year == year, among(table.c.id, ids)
            )
            found.update({(year, one.id): one for one in await connection.execute(query)})
        waiting = []
        for row in rows:
            event = found.get((row.year, row.event_id))
            if event is None:
                raise InvariantBroken(f"event {row.event_id} waits for a number and is not there")
            waiting.append(
                Waiting(seq=row.seq, year=row.year, id=event.id, record=event.record, hash=event.hash)
            )
        return waiting

    async def _edge(self, connection: AsyncConnection, size: int, root: bytes) -> Frontier:
        """The edge of the tree: remembered from the last turn, unless somebody else has appended since."""
        if (self._frontier.size, self._frontier.root()) != (size, root):
            edge = peaks(size)
            hashes = await hashes_at(connection, edge)
            self._frontier = Frontier(size=size, peaks=[hashes[one] for one in edge])
            if self._frontier.root() != root:
                raise InvariantBroken(f"the log's hashes do not lead to its root at {size} records")
        return self._frontier

    async def _advance(
        self, connection: AsyncConnection, growth: Growth, *, size: int, root: bytes, epoch: int
    ) -> None:
        """Move the head from exactly where it was when the batch was read; the row is locked from here to the commit."""
        head = t.log_head
        moved = await connection.execute(
            update(head)
            .where(head.c.id == 1, head.c.size == size, head.c.root == root, head.c.epoch == epoch)
            .values(
                size=growth.frontier.size,
                root=growth.frontier.root(),
                epoch=growth.epoch,
                holder=self._holder,
                lease_until=micros(self._clock.now() + self._lease),
            )
        )
        if moved.rowcount != 1:
            raise _Overtaken

    async def _write(self, connection: AsyncConnection, growth: Growth) -> None:
        await insert_rows(connection, t.leaf, growth.leaves)
        await insert_rows(connection, t.node, growth.nodes)
        await insert_rows(connection, t.feed, growth.feed)
        if growth.counts:
            await self._count(connection, growth.counts)

    async def _count(self, connection: AsyncConnection, counts: Counter[Cell]) -> None:
        for name, cells in tables_of(counts).items():
            table = t.metadata.tables[name]
            keys = [column.name for column in table.primary_key.columns]
            rows = [{**dict(zip(keys, cell, strict=True)), "n": n} for cell, n in cells.items()]
            await put_rows(connection, table, rows, adds="n")

    async def _take_out(self, connection: AsyncConnection, numbers: Sequence[int]) -> None:
        gone = await connection.execute(delete(t.pending_leaf).where(among(t.pending_leaf.c.seq, numbers)))
        if gone.rowcount != len(numbers):
            raise InvariantBroken("somebody else takes events out of the queue")

    # --- signing --------------------------------------------------------------------------------------------------

    async def sign_head(self) -> Checkpoint | None:
        """
        Sign the committed head and store the note; None when it is signed already or somebody else is at it.

        Raises:
            HistoryBroken: a head longer than the log, or another one of this size, was signed before.
            ServiceUnavailable: database or seals did not take it; the next call signs the same bytes.
        """
        newest = select(func.max(t.checkpoint.c.size)).scalar_subquery()
        query = select(t.log_head, newest.label("signed"))
        async with self._ledger.looking() as connection:
            head = (await connection.execute(query)).first()
        if head is None or not head.size or not self._is_ours(head) or head.signed == head.size:
            return None
        if (head.signed or 0) > head.size:
            raise HistoryBroken(
                vi=f"đã ký một điểm kiểm tra gồm {head.signed} bản ghi, mà nhật ký này có {head.size}",
                en=f"a checkpoint of {head.signed} records was signed, this log has {head.size}",
            )
        signed = Checkpoint(origin=origin_of(self._log, epoch=head.epoch), size=head.size, root=head.root)
        note = sign_note(signed.text, signers=[self._signer])
        await self._keep(signed, epoch=head.epoch, note=note)
        if self._seals is not None:
            await self._seals.keep(note)
        return signed

    async def _keep(self, signed: Checkpoint, *, epoch: int, note: str) -> None:
        row = {"size": signed.size, "epoch": epoch, "root": signed.root, "note": note}
        async with self._ledger.transaction() as tx:
            stored = select(t.checkpoint.c.root).where(t.checkpoint.c.size == signed.size)
            root = (await tx.connection.execute(stored)).scalar()
            if root is None:
                # Looked first: SQLite's one writer is alone here, and its trigger answers before DO NOTHING could.
                build = postgresql.insert if tx.connection.dialect.name == "postgresql" else sqlite.insert
                await tx.connection.execute(build(t.checkpoint).values(row).on_conflict_do_nothing())
                root = (await tx.connection.execute(stored)).scalar()
            if root != signed.root:
                raise HistoryBroken(
                    vi=f"đã ký một gốc khác cho {signed.size} bản ghi",
                    en=f"another head of {signed.size} records was signed",
                    signed=signed,
                )


def _checked(waiting: Waiting) -> Event:
    """
    The event of a record that is what was written.

    Raises:
        InvariantBroken: it is not.
    """
    try:
        event = read_record(waiting.record)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InvariantBroken(f"event {waiting.id} cannot be read: {problem}") from problem
    if leaf_hash(waiting.record) != waiting.hash or event.id != waiting.id or event.year != waiting.year:
        raise InvariantBroken(f"event {waiting.id} was changed before it was numbered")
    return event


async def _first_of(*events: asyncio.Event | None, within_s: float) -> None:
    """Wait until one of the events is set, or for `within_s` seconds."""
    tasks = [asyncio.ensure_future(one.wait()) for one in events if one is not None]
    try:
        await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
