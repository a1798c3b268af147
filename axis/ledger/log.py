"""
The Merkle log as anybody may read it: checkpoints, and proofs from the hashes of complete subtrees.

Reads O(log n) rows for a proof, however long the log is. Nothing here signs or appends, see `axis.ledger.sequencer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvariantBroken, NotFound
from axis.core.events import EventKind
from axis.core.exchange import FeedEntry
from axis.core.ids import is_id
from axis.core.model import EventId
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger
from signing.merkle import Coordinate, carry_out, peaks, plan_consistency, plan_inclusion, wanted
from signing.note import LogProof

_MOST_AT_ONCE = 500
"""Most hashes in one statement."""


async def hashes_at(
    connection: AsyncConnection, coordinates: Iterable[Coordinate]
) -> Mapping[Coordinate, bytes]:
    """
    The hashes of complete subtrees.

    Raises:
        InvariantBroken: one that must be there is not.
    """
    sought = sorted(set(coordinates))
    found: dict[Coordinate, bytes] = {}
    for start in range(0, len(sought), _MOST_AT_ONCE):
        piece = sought[start : start + _MOST_AT_ONCE]
        leaves = [one.position for one in piece if one.level == 0]
        nodes = [(one.level, one.position) for one in piece if one.level]
        if leaves:
            query = select(t.leaf.c.idx, t.leaf.c.hash).where(t.leaf.c.idx.in_(leaves))
            found.update({Coordinate(0, row.idx): row.hash for row in await connection.execute(query)})
        if nodes:
            # Level by level: SQLite finds no index for pairs.
            levels = {level: [idx for at, idx in nodes if at == level] for level, _ in nodes}
            nodes_at = select(t.node).where(
                or_(*(and_(t.node.c.level == level, t.node.c.idx.in_(at)) for level, at in levels.items()))
            )
            found.update(
                {Coordinate(row.level, row.idx): row.hash for row in await connection.execute(nodes_at)}
            )
    for one in sought:
        if one not in found:
            raise InvariantBroken(f"the log has no hash at level {one.level}, position {one.position}")
    return found


async def root_at(connection: AsyncConnection, size: int) -> bytes:
    """The root of the tree of the first `size` leaves, for a size of 1 or more."""
    edge = peaks(size)
    (root,) = carry_out((edge,), await hashes_at(connection, edge))
    return root


class SQLLogView:
    """Implements `axis.core.ports.LogView`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def checkpoint(self) -> str | None:
        """See the port."""
        query = select(t.checkpoint.c.note).order_by(t.checkpoint.c.size.desc()).limit(1)
        async with self._ledger.reading() as connection:
            note: str | None = (await connection.execute(query)).scalar()
        return note

    async def consistency(self, *, old: int, new: int) -> Sequence[str]:
        """See the port."""
        async with self._ledger.reading(snapshot=True) as connection:
            size = (await connection.execute(select(t.log_head.c.size))).scalar() or 0
            if not 0 < old <= new <= size:
                raise NotFound("consistency proof", f"{old}-{new}")
            plan = plan_consistency(old, new)
            hashes = await hashes_at(connection, wanted(plan))
        return [one.hex() for one in carry_out(plan, hashes)]

    async def proof(self, index: int) -> str:
        """See the port."""
        found = await self.proofs([index])
        if index not in found:
            raise NotFound("leaf under a checkpoint", str(index))
        return found[index]

    async def proofs(self, indexes: Sequence[int]) -> Mapping[int, str]:
        """The same for many leaves against one checkpoint; those that none covers yet are left out."""
        newest = select(t.checkpoint).order_by(t.checkpoint.c.size.desc()).limit(1)
        async with self._ledger.reading(snapshot=True) as connection:
            head = (await connection.execute(newest)).first()
            if head is None:
                return {}
            plans = {index: plan_inclusion(index, head.size) for index in indexes if 0 <= index < head.size}
            hashes = await hashes_at(connection, (one for plan in plans.values() for one in wanted(plan)))
        return {
            index: LogProof(index=index, path=carry_out(plan, hashes), checkpoint=head.note).text
            for index, plan in plans.items()
        }

    async def index_of(self, event: EventId) -> int | None:
        """See the port."""
        if not is_id(event):
            return None
        query = select(t.leaf.c.idx).where(t.leaf.c.event_id == event)
        async with self._ledger.reading() as connection:
            index: int | None = (await connection.execute(query)).scalar()
        return index

    async def epochs(self) -> Sequence[FeedEntry]:
        """See the port."""
        query = (
            select(t.event.c.record, t.leaf.c.idx)
            .join(t.leaf, (t.leaf.c.event_id == t.event.c.id) & (t.leaf.c.year == t.event.c.year))
            .where(t.is_act, t.event.c.kind == EventKind.LOG_EPOCH_BEGUN.value)
            .order_by(t.leaf.c.idx)
        )
        async with self._ledger.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [FeedEntry(index=row.idx, record=row.record.decode()) for row in rows]
