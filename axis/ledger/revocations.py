"""
Revocation lists and responses as the ledger knows them, and which documents they concern.

Reads and paces only: that a list was taken is an event (`axis.flow.revocation`), its bytes lie among the payloads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.model import Digest, DocumentKey, LegalValue, SubmissionState, from_micros, micros
from axis.core.reasons import ReasonCode
from axis.core.rows import DocumentRow
from axis.flow.revocation import KeptEvidence
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger, document_row, rows_by_id

_CHUNK = 500
_LATE_COMMIT = 60_000_000
"""Microseconds: how much later than another a transaction may commit that took its time before it."""


class SQLRevocations:
    """Implements `axis.flow.revocation.Shelf`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def mark(self) -> int:
        """See the port."""
        async with self._ledger.reading() as connection:
            return int((await connection.execute(select(func.max(t.revocation.c.taken_at)))).scalar() or 0)

    async def wanted(self, *, at: datetime, within: timedelta) -> Sequence[KeptEvidence]:
        """See the port."""
        table = t.revocation
        newest = (
            select(table.c.kind, table.c.about, func.max(table.c.issued_at).label("issued_at"))
            .group_by(table.c.kind, table.c.about)
            .subquery()
        )
        query = (
            select(table)
            .join(newest, (table.c.kind == newest.c.kind) & (table.c.about == newest.c.about))
            .where(
                or_(table.c.issued_at == newest.c.issued_at, table.c.issued_at >= micros(at - within)),
                # What nobody has renewed for that long says nothing any more; a list does, as revoked stays revoked.
                or_(table.c.kind == "crl", table.c.next_update >= micros(at - within)),
            )
            .order_by(table.c.issued_at, table.c.digest)
        )
        async with self._ledger.reading() as connection:
            return [_kept(row) for row in await connection.execute(query)]

    async def since(self, mark: int) -> Sequence[KeptEvidence]:
        """See the port."""
        table = t.revocation
        query = (
            select(table)
            .where(table.c.taken_at > mark - _LATE_COMMIT)
            .order_by(table.c.taken_at, table.c.digest)
        )
        async with self._ledger.reading() as connection:
            return [_kept(row) for row in await connection.execute(query)]

    async def has(self, digest: Digest) -> bool:
        """See the port."""
        query = select(t.revocation.c.digest).where(t.revocation.c.digest == digest)
        async with self._ledger.reading() as connection:
            return (await connection.execute(query)).first() is not None

    async def indeterminate(self, *, after: DocumentKey | None, limit: int) -> Sequence[DocumentRow]:
        """See the port."""
        table = t.document
        query = select(table).where(t.is_indeterminate).order_by(table.c.id).limit(limit)
        if after is not None:
            query = query.where(table.c.id > after)
        async with self._ledger.reading() as connection:
            return [document_row(row) for row in await connection.execute(query)]

    async def signed_under(
        self, serials: Collection[str], *, since: datetime, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentRow]:
        """See the port."""
        table = t.document
        query = (
            select(table)
            .where(table.c.tier.in_(("passed", "indeterminate")), table.c.received_at >= micros(since))
            .order_by(table.c.id)
            .limit(limit)
        )
        if after is not None:
            query = query.where(table.c.id > after)
        found: list[DocumentRow] = []
        async with self._ledger.reading() as connection:
            for chunk in _chunks(await _with_those_below(connection, serials)):
                rows = await connection.execute(query.where(table.c.signer_serial.in_(chunk)))
                found += [document_row(row) for row in rows]
        return sorted(found, key=lambda row: row.id)[:limit]

    async def valued_under(
        self, serials: Collection[str], *, since: datetime, after: DocumentKey | None, limit: int
    ) -> Sequence[DocumentRow]:
        """See the port."""
        found: list[DocumentRow] = []
        async with self._ledger.reading() as connection:
            sought = await _with_those_below(connection, serials)
            while len(found) < limit:
                keys = await _signed_inside(connection, sought, after=after, limit=limit)
                rows = map(document_row, await rows_by_id(connection, t.document, keys))
                found += [
                    row
                    for row in rows
                    if row.value in {LegalValue.ORIGINAL, LegalValue.COPY} and row.received_at >= since
                ]
                if len(keys) < limit:
                    break
                after = keys[-1]
        return found[:limit]

    async def try_holds(self, *, at: datetime) -> None:
        """See the port."""
        table = t.submission
        async with self._ledger.transaction() as tx:
            await tx.connection.execute(
                update(table)
                .where(
                    table.c.state == SubmissionState.HELD.value,
                    table.c.reason == ReasonCode.VERIFY_INDETERMINATE.value,
                    table.c.next_try_at > micros(at),
                )
                .values(next_try_at=micros(at))
            )


async def _with_those_below(connection: AsyncConnection, serials: Collection[str]) -> Sequence[str]:
    """These serial numbers, and those of signers whose chain held one of them above them."""
    table = t.certified_under
    found = set(serials)
    for chunk in _chunks(sorted(serials)):
        found.update(
            (await connection.execute(select(table.c.serial).where(table.c.above.in_(chunk)))).scalars()
        )
    return sorted(found)


async def _signed_inside(
    connection: AsyncConnection, serials: Sequence[str], *, after: DocumentKey | None, limit: int
) -> Sequence[DocumentKey]:
    """The first documents behind `after` with a signature under one of these in their files."""
    table = t.file_signer
    query = select(table.c.document_key).distinct().order_by(table.c.document_key).limit(limit)
    if after is not None:
        query = query.where(table.c.document_key > after)
    found: set[str] = set()
    for chunk in _chunks(serials):
        found.update((await connection.execute(query.where(table.c.serial.in_(chunk)))).scalars())
    return [DocumentKey(one) for one in sorted(found)[:limit]]


def _chunks(serials: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(serials), _CHUNK):
        yield serials[start : start + _CHUNK]


def _kept(row: Row[*tuple[Any, ...]]) -> KeptEvidence:
    return KeptEvidence(
        digest=Digest(row.digest),
        kind=row.kind,
        about=row.about,
        number=row.number,
        issued_at=from_micros(row.issued_at),
        next_update=from_micros(row.next_update) if row.next_update is not None else None,
    )
