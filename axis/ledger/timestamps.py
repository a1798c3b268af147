"""
Which checkpoints have a token of the timestamp authority; the tokens' bytes lie among the payloads.

For evidence: `SQLTimestamps.covering(index)` gives the token that shows when a record was there, or None until one
covers it. Only reads; who records a token is `axis.flow.stamp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from axis.core.events import EventKind
from axis.core.model import Digest, from_micros
from axis.core.ports import Blobs
from axis.flow.stamp import Head
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointTimestamp:
    """A token over a checkpoint."""

    size: int
    note: str
    """The checkpoint: its UTF-8 bytes are what was stamped."""
    token: bytes
    """The authority's whole answer (`.tsr`, DER)."""
    at: datetime
    """What the token says: the checkpoint was there before."""
    authority: str
    serial: str


class SQLTimestamps:
    """Implements `axis.flow.stamp.Checkpoints`."""

    def __init__(self, ledger: SQLLedger, blobs: Blobs) -> None:
        self._ledger = ledger
        self._blobs = blobs

    async def unstamped(self) -> Head | None:
        """See the port."""
        newest = select(t.checkpoint).order_by(t.checkpoint.c.size.desc()).limit(1)
        stamped = select(func.max(t.timestamp.c.size))
        async with self._ledger.reading(snapshot=True) as connection:
            head = (await connection.execute(newest)).first()
            done = int((await connection.execute(stamped)).scalar() or 0)
            if head is None or head.size <= done:
                return None
            fresh = (
                select(t.leaf.c.idx)
                .join(t.event, (t.event.c.year == t.leaf.c.year) & (t.event.c.id == t.leaf.c.event_id))
                .where(
                    t.leaf.c.idx >= done,
                    t.leaf.c.idx < head.size,
                    t.event.c.kind != EventKind.LOG_TIMESTAMPED.value,
                )
                .limit(1)
            )
            if (await connection.execute(fresh)).first() is None:
                return None
        return Head(size=head.size, note=head.note)

    async def is_stamped(self, size: int) -> bool:
        """See the port."""
        query = select(t.timestamp.c.size).where(t.timestamp.c.size == size)
        async with self._ledger.reading() as connection:
            return (await connection.execute(query)).first() is not None

    async def covering(self, index: int) -> CheckpointTimestamp | None:
        """
        The first token over a checkpoint that covers the record of this number; None until there is one.

        Raises:
            NotFound: the bytes of the token are gone.
            ServiceUnavailable: the database or the disk does not answer.
        """
        query = (
            select(t.timestamp, t.checkpoint.c.note)
            .join(t.checkpoint, t.checkpoint.c.size == t.timestamp.c.size)
            .where(t.timestamp.c.size > index)
            .order_by(t.timestamp.c.size)
            .limit(1)
        )
        async with self._ledger.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return CheckpointTimestamp(
            size=row.size,
            note=row.note,
            token=await self._blobs.read(Digest(row.digest)),
            at=from_micros(row.at),
            authority=row.authority,
            serial=row.serial,
        )

    async def newest(self) -> tuple[int, datetime] | None:
        """Size and time of the newest token."""
        query = select(t.timestamp.c.size, t.timestamp.c.at).order_by(t.timestamp.c.size.desc()).limit(1)
        async with self._ledger.reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else (row.size, from_micros(row.at))
