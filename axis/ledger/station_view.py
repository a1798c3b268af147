"""
What one station may see of the ledger, and nothing of anybody else.

Every query names the station. What does not exist and what is another's end in the same `NotFound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import Ambiguous, NotFound, Withdrawn
from axis.core.events import Event, read_record
from axis.core.exchange import DeliveryLine, DeliveryRef, FeedEntry, Whereabouts
from axis.core.ids import is_id, year_of
from axis.core.model import (
    PENDING,
    DeliveryId,
    DeliveryState,
    DocumentKey,
    Kind,
    StationId,
    SubmissionId,
    SubmissionState,
)
from axis.core.ports import Ready
from axis.core.rows import DeliveryRow, DocumentRow
from axis.ledger import tables as t
from axis.ledger.outbox import acceptances, feed_entries, notices_of
from axis.ledger.search import INDEXED
from axis.ledger.store import (
    SQLLedger,
    SQLTransaction,
    consignment_row,
    delivery_row,
    document_row,
    rows_by_id,
)

_PENDING = tuple(sorted(state.value for state in PENDING))
_MOST_CANDIDATES = 20


class SQLStationView:
    """Implements `axis.core.ports.StationView`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def key_hash(self, station: StationId) -> str | None:
        """See the port."""
        query = select(t.station.c.key_hash).where(t.station.c.id == station)
        async with self._ledger.reading() as connection:
            found = (await connection.execute(query)).scalar()
        return found or None

    async def consignment(self, station: StationId, document: DocumentKey, *, refs: int) -> Ready:
        """See the port."""
        table = t.consignment.c
        newest = (
            select(t.consignment)
            .where(table.document_key == document, table.station_id == station)
            .order_by(table.id.desc())
            .limit(1)
        )
        async with self._ledger.reading() as connection:
            tx = SQLTransaction(connection)
            row = (await connection.execute(newest)).one_or_none()
            if row is None:
                raise NotFound("document", document)
            found = (await tx.documents([document]))[document]
            pending = and_(t.delivery.c.consignment_id == row.id, t.delivery.c.state.in_(_PENDING))
            named = (
                select(t.delivery.c.id, t.delivery.c.code)
                .where(pending)
                .order_by(t.delivery.c.id)
                .limit(refs)
            )
            deliveries = tuple(
                DeliveryRef(delivery=DeliveryId(one.id), code=one.code)
                for one in await connection.execute(named)
            )
            total = (
                await connection.execute(select(func.count()).select_from(t.delivery).where(pending))
            ).scalar_one()
            accepted = await acceptances(tx, [found])
        return Ready(
            row=consignment_row(row),
            document=found,
            deliveries=deliveries,
            deliveries_total=total,
            notices=notices_of(accepted[found.submission]),
        )

    async def payload_of(self, station: StationId, document: DocumentKey) -> DocumentRow:
        """See the port."""
        async with self._ledger.reading() as connection:
            found = await self._document(connection, document)
            mine = await self._mine(connection, station, document)
        if found.station == station or any(one.state is not DeliveryState.WITHDRAWN for one in mine):
            return found
        if mine:
            raise Withdrawn(document)
        raise NotFound("document", document)

    async def report(self, station: StationId, document: DocumentKey) -> tuple[bytes, str]:
        """See the port."""
        table = t.report.c
        async with self._ledger.reading() as connection:
            found = await self._document(connection, document)
            if found.station != station and not await self._mine(connection, station, document):
                raise NotFound("document", document)
            query = select(table.body, table.signature).where(
                table.year == year_of(document), table.document_key == document
            )
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound("report", document)
        return bytes(row.body), row.signature

    async def where_is(self, station: StationId, document: str) -> Whereabouts:
        """See the port."""
        async with self._ledger.reading() as connection:
            root = await self._named(connection, station, document)
            lines = (
                select(t.delivery)
                .join(
                    t.document,
                    and_(t.document.c.id == t.delivery.c.document_key, t.document.c.root == root.root),
                )
                .order_by(t.delivery.c.id)
            )
            deliveries = [delivery_row(row) for row in await connection.execute(lines)]
        return Whereabouts(
            document=root.id,
            document_id=root.document_id,
            state=SubmissionState.ACCEPTED,
            deliveries=tuple(
                DeliveryLine(
                    delivery=one.id,
                    code=one.code,
                    name=one.name,
                    state=one.state,
                    reason=one.reason,
                    at=one.state_at,
                    status=one.status,
                )
                for one in deliveries
            ),
        )

    async def outcome(
        self, station: StationId, *, submission: SubmissionId | None, message_id: str | None
    ) -> Event:
        """See the port."""
        table = t.submission.c
        query: Select[Any] = select(table.event_id).where(table.station_id == station)
        if submission is not None:
            if not is_id(submission):
                raise NotFound("submission", submission[:64])
            query = query.where(table.year == year_of(submission), table.id == submission)
        elif message_id is not None:
            answered = t.answered_message.c
            query = query.join(t.answered_message, answered.submission_id == table.id).where(
                answered.station_id == station, answered.message_id == message_id
            )
        else:
            raise NotFound("submission", "")
        query = query.order_by(table.id.desc()).limit(1)
        async with self._ledger.reading() as connection:
            event = (await connection.execute(query)).scalar()
            if event is None:
                raise NotFound("submission", submission or message_id or "")
            row = (await rows_by_id(connection, t.event, [event]))[0]
        return read_record(bytes(row.record))

    async def feed(self, station: StationId, *, after: int, limit: int) -> Sequence[FeedEntry]:
        """See the port."""
        async with self._ledger.reading() as connection:
            found = await feed_entries(SQLTransaction(connection), station, after=after, limit=limit)
        return [entry for entry, _ in found]

    # --- whose is it ----------------------------------------------------------------------------------------------

    async def _document(self, connection: AsyncConnection, document: DocumentKey) -> DocumentRow:
        found = await rows_by_id(connection, t.document, [document]) if is_id(document) else []
        if not found:
            raise NotFound("document", document[:64])
        return document_row(found[0])

    async def _mine(
        self, connection: AsyncConnection, station: StationId, document: DocumentKey
    ) -> list[DeliveryRow]:
        query = select(t.delivery).where(
            t.delivery.c.document_key == document, t.delivery.c.station_id == station
        )
        return [delivery_row(row) for row in await connection.execute(query)]

    async def _named(self, connection: AsyncConnection, station: StationId, name: str) -> DocumentRow:
        """The first sending of a document this station sent, by the axis's id or by its DocumentId."""
        if is_id(name):
            found = await rows_by_id(connection, t.document, [name])
            if found and found[0].station_id == station:
                return document_row(found[0])
        table = t.document.c
        query = (
            select(t.document)
            .where(
                t.document_id_head == name[:INDEXED],
                table.document_id == name,
                table.station_id == station,
                table.kind == Kind.EDOC.value,
                table.root == table.id,
            )
            .order_by(table.id.desc())
            .limit(_MOST_CANDIDATES)
        )
        rows = [document_row(row) for row in await connection.execute(query)]
        if not rows:
            raise NotFound("document", name[:200])
        if len(rows) > 1:
            raise Ambiguous(name[:200], tuple(one.id for one in rows))
        return rows[0]
