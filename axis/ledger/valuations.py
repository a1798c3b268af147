"""
Which documents wait to have their legal value judged, and who judges one now.

A row is taken by moving its time ahead: when whoever took it dies, it is due again for another. PostgreSQL skips rows
somebody is taking at this moment; SQLite has one writer at a time. What was found is recorded as an event by whoever
took it, and ends the row; see `axis.flow.value`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update

from axis.core.model import DocumentKey, micros
from axis.core.ports import ToValue
from axis.ledger import tables as t
from axis.ledger.bulk import change_rows
from axis.ledger.store import SQLLedger, document_row, rows_by_id


class SQLValuations:
    """Implements `axis.core.ports.Valuations`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def take(self, *, at: datetime, until: datetime, limit: int) -> Sequence[ToValue]:
        """See the port."""
        table = t.valuation
        due = (
            select(table)
            .where(table.c.due_at <= micros(at))
            .order_by(table.c.due_at, table.c.document_key)
            .limit(limit)
        )
        async with self._ledger.looking() as connection:
            if (await connection.execute(due)).first() is None:
                # Nearly every look finds nothing: it must not cost SQLite's one writer.
                return ()
        async with self._ledger.transaction() as tx:
            if tx.connection.dialect.name == "postgresql":
                due = due.with_for_update(skip_locked=True)
            rows = (await tx.connection.execute(due)).all()
            if rows and rows[0].tries:
                rows = rows[:1]
            taken = {row.document_key: row.tries + 1 for row in rows if row is rows[0] or not row.tries}
            await change_rows(
                tx.connection,
                table,
                {
                    (("document_key", key),): {"due_at": micros(until), "tries": tries}
                    for key, tries in taken.items()
                },
            )
            documents = await rows_by_id(tx.connection, t.document, taken)
        rounds = {row.document_key: row.round for row in rows}
        return [
            ToValue(document=document_row(row), tries=taken[row.id], round=rounds[row.id])
            for row in documents
        ]

    async def keep(self, documents: Sequence[DocumentKey], *, until: datetime) -> None:
        """See the port."""
        table = t.valuation
        async with self._ledger.transaction() as tx:
            await change_rows(
                tx.connection,
                table,
                {(("document_key", one),): {"due_at": micros(until)} for one in documents},
            )

    async def put_off(self, document: DocumentKey, *, until: datetime, tries: int) -> None:
        """See the port."""
        table = t.valuation
        async with self._ledger.transaction() as tx:
            await tx.connection.execute(
                update(table)
                .where(table.c.document_key == document)
                .values(due_at=micros(until), tries=tries)
            )

    async def free(self) -> None:
        """See the port."""
        async with self._ledger.transaction() as tx:
            await tx.connection.execute(update(t.valuation).values(due_at=0))
