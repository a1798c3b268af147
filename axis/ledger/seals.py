"""
What keeps a log from going back on its word: signed heads outside the database, and the look at them before a start.

A database restored from a backup is shorter than what the axis has told others. Numbering on from there would give
other records the same numbers: two histories under one name. So the sequencer examines every head it can find, in
the database and beside it, before it numbers anything. `begin_epoch` records such a break in public: the log goes on
under a new origin (`signing.note.origin_of`), and no old checkpoint can be taken for one of the new history.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InTwoLanguages, InvariantBroken
from axis.core.events import Event, EventKind, read_record
from axis.core.model import Actor, EventId
from axis.core.ports import Clock, Ids
from axis.ledger import tables as t
from axis.ledger.disk import on_disk, opened, sync_folder
from axis.ledger.log import root_at
from axis.ledger.store import SQLLedger
from signing.merkle import EMPTY_ROOT
from signing.note import Checkpoint, NoteError, VerifierKey, epoch_of, verify_checkpoint


class HistoryBroken(InTwoLanguages, InvariantBroken):
    """The log does not continue what was signed; `signed` is the head it contradicts, if it is one."""

    def __init__(self, *, vi: str, en: str, signed: Checkpoint | None = None) -> None:
        super().__init__(vi=vi, en=en)
        self.signed = signed


class Seals(Protocol):
    """Where signed heads are kept outside the database."""

    async def keep(self, note: str) -> None:
        """Keep a newer head. Raises `ServiceUnavailable`."""
        ...

    async def kept(self) -> Iterable[str]:
        """Every head there is. Raises `ServiceUnavailable`."""
        ...


class SealFile:
    """Implements `Seals`: the newest head in one file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def keep(self, note: str) -> None:
        """See the protocol. When this returns, the head survives a power cut."""
        await on_disk(self._replace, note.encode())

    async def kept(self) -> Iterable[str]:
        """See the protocol."""
        return await on_disk(self._read)

    def _replace(self, note: bytes) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        with contextlib.ExitStack() as files:
            descriptor = opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, files)
            os.write(descriptor, note)
            os.fsync(descriptor)
        fresh.replace(self._path)
        sync_folder(self._path.parent)

    def _read(self) -> tuple[str, ...]:
        try:
            return (self._path.read_text(encoding="utf-8", errors="replace"),)
        except FileNotFoundError:
            return ()


async def examine(
    ledger: SQLLedger, *, log: str, keys: Iterable[VerifierKey], witnessed: Iterable[str] = ()
) -> None:
    """
    Make sure that the log is whole at its end and continues every signed head: the newest stored one and `witnessed`.

    Raises:
        HistoryBroken: it does not; saying which and what to do. `axis ledger check` looks at everything.
    """
    known = tuple(keys)
    async with ledger.reading(snapshot=True) as connection:
        head = (await connection.execute(select(t.log_head))).first()
        size, root, epoch = (head.size, head.root, head.epoch) if head is not None else (0, EMPTY_ROOT, 1)
        newest = (await connection.execute(select(func.max(t.leaf.c.idx)))).scalar()
        if (newest if newest is not None else -1) != size - 1:
            raise HistoryBroken(
                vi=f"nhật ký ghi là có {size} bản ghi, mà bản ghi cuối mang số {newest}",
                en=f"the log says it has {size} records, and its last one has number {newest}",
            )
        if size and await root_at(connection, size) != root:
            raise HistoryBroken(
                vi=f"các mã băm của nhật ký không dẫn tới gốc của nó ở {size} bản ghi",
                en=f"the log's hashes do not lead to its root at {size} records",
            )
        stored = select(t.checkpoint.c.note).order_by(t.checkpoint.c.size.desc()).limit(1)
        notes = [*(await connection.execute(stored)).scalars(), *witnessed]
        begun = await epochs(connection) if epoch > 1 else {}
        for note in notes:
            try:
                signed = verify_checkpoint(note, keys=known)
                its_epoch = epoch_of(signed.origin, log=log)
            except NoteError as problem:
                raise HistoryBroken(
                    vi=f"không thể tin một điểm kiểm tra đã lưu: {problem}",
                    en=f"a stored checkpoint cannot be believed: {problem}",
                ) from problem
            await _continues(connection, signed, its_epoch, size=size, epoch=epoch, begun=begun)


async def _continues(
    connection: AsyncConnection,
    signed: Checkpoint,
    its_epoch: int,
    *,
    size: int,
    epoch: int,
    begun: Mapping[int, int],
) -> None:
    if its_epoch > epoch:
        raise HistoryBroken(
            vi=f"đã ký một điểm kiểm tra của kỷ nguyên {its_epoch}, mà nhật ký này ở kỷ nguyên {epoch}: một bản sao cũ",
            en=f"a checkpoint of epoch {its_epoch} was signed, and this log is in epoch {epoch}: an old copy",
            signed=signed,
        )
    if its_epoch < epoch:
        size = begun[its_epoch + 1]
        if signed.size > size:
            return  # The part that was lost, as the epoch after it says in public.
    if signed.size > size:
        raise HistoryBroken(
            vi=f"đã ký một điểm kiểm tra gồm {signed.size} bản ghi, mà nhật ký này có {size}: cơ sở dữ liệu là một bản sao "
            "cũ. Hãy khôi phục bản mới hơn; nếu không còn, `axis ledger new-epoch` công bố điều đó.",
            en=f"a checkpoint of {signed.size} records was signed, and this log has {size}: the database is an older "
            "copy. Bring back the newer one; if there is none, `axis ledger new-epoch` says so in public.",
            signed=signed,
        )
    if signed.size and await root_at(connection, signed.size) != signed.root:
        raise HistoryBroken(
            vi=f"{signed.size} bản ghi đầu không phải là những bản ghi đã ký; `axis ledger check` chỉ ra chỗ sai",
            en=f"the first {signed.size} records are not those that were signed; `axis ledger check` names the place",
            signed=signed,
        )


async def epochs(connection: AsyncConnection) -> Mapping[int, int]:
    """For each epoch after the first, how many records of the one before it are still true."""
    query = (
        select(t.event.c.record)
        .join(t.leaf, (t.leaf.c.event_id == t.event.c.id) & (t.leaf.c.year == t.event.c.year))
        .where(t.is_act, t.event.c.kind == EventKind.LOG_EPOCH_BEGUN.value)
    )
    found: dict[int, int] = {}
    for record in (await connection.execute(query)).scalars():
        facts = read_record(record).facts
        number, size = facts["epoch"], facts["size"]
        # What waited for a number in the older copy is numbered in front of the record, and was in nobody's head.
        assert isinstance(number, int) and isinstance(size, int), "the sequencer takes no other"  # noqa: PT018
        found[number] = size
    return found


async def begin_epoch(
    ledger: SQLLedger, *, person: str, reason: str, lost: Checkpoint | None, clock: Clock, ids: Ids
) -> Event:
    """
    Record that the log goes on from an older copy: the epoch begins when the sequencer numbers this event.

    `lost` is the newest head that was signed in the history that is no more, when one is known.
    """
    async with ledger.transaction() as tx:
        query = select(t.log_head.c.size, t.log_head.c.root, t.log_head.c.epoch)
        head = (await tx.connection.execute(query)).first()
        size, root, epoch = head if head is not None else (0, EMPTY_ROOT, 1)
        at = clock.now()
        event = Event(
            id=EventId(ids.new(at)),
            kind=EventKind.LOG_EPOCH_BEGUN,
            at=at,
            by=Actor(person=person, reason=reason),
            facts={
                "epoch": epoch + 1,
                "size": size,
                "root": root.hex(),
                "lost": None if lost is None else {"size": lost.size, "root": lost.root.hex()},
            },
        )
        await tx.append([event])
    return event
