"""
The outbox: what the ledger knows to be waiting, and who is working on it now.

Reads and paces only. Rows that are leased carry the end of the lease in an operational column; what became of them is
recorded as an event by whoever leased them. PostgreSQL skips rows another publisher is looking at; SQLite has one
writer at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select, update

from axis.core.directory import Station
from axis.core.events import Event, read_record
from axis.core.exchange import DeliveryRef, FeedEntry, Notice
from axis.core.ids import year_of
from axis.core.model import (
    PENDING,
    Channel,
    ConsignmentId,
    DeliveryId,
    DocumentKey,
    Lane,
    StationId,
    StationState,
    SubmissionId,
    SubmissionState,
    micros,
)
from axis.core.ports import Ready
from axis.core.rows import DocumentRow, SubmissionRow
from axis.ledger import tables as t
from axis.ledger.store import (
    SQLLedger,
    SQLTransaction,
    consignment_row,
    rows_by_id,
    submission_row,
)

_PENDING = tuple(sorted(state.value for state in PENDING))
_OUT = ("fetched", "handed_over")


def _is_free(at: int) -> ColumnElement[bool]:
    """Due, and nobody works on it."""
    table = t.consignment.c
    return and_(
        table.state == "waiting",
        table.due_at <= at,
        or_(table.lease_until.is_(None), table.lease_until <= at),
    )


class SQLOutbox:
    """Implements `axis.core.ports.Outbox`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    # --- consignments ---------------------------------------------------------------------------------------------

    async def stations_due(self, *, at: datetime) -> Sequence[StationId]:
        """See the port."""
        # One probe of the index per station, however much waits for it.
        waiting = exists().where(t.consignment.c.station_id == t.station.c.id, _is_free(micros(at)))
        return await self._stations(waiting)

    async def stations_unfinished(self, *, before: datetime) -> Sequence[StationId]:
        """See the port."""
        table = t.consignment.c
        out = exists().where(
            table.station_id == t.station.c.id, table.state.in_(_OUT), table.state_at < micros(before)
        )
        return await self._stations(out)

    async def _stations(self, condition: ColumnElement[bool]) -> Sequence[StationId]:
        query = select(t.station.c.id).where(condition).order_by(t.station.c.id)
        async with self._ledger.reading() as connection:
            return [StationId(one) for one in (await connection.execute(query)).scalars()]

    async def lease(
        self, station: Station, *, at: datetime, until: datetime, limit: int
    ) -> Sequence[ConsignmentId]:
        """See the port."""
        now = micros(at)
        async with self._ledger.transaction() as tx:
            room = min(limit, station.window - await self._in_hand(tx, station.id, now=now))
            taken: list[ConsignmentId] = []
            for lane in (Lane.URGENT, Lane.NORMAL):
                if len(taken) < room:
                    taken += await self._take(tx, station.id, lane, now=now, most=room - len(taken))
            await tx.pace(taken, due_at=None, lease_until=until)
        return taken

    async def _in_hand(self, tx: SQLTransaction, station: StationId, *, now: int) -> int:
        """Consignments in the station's queue, fetched, or on their way into it."""
        table = t.consignment.c
        out = select(func.count()).where(table.station_id == station, table.state.in_(_OUT))
        leased = select(func.count()).where(
            table.station_id == station, table.lease_until > now, table.state == "waiting"
        )
        counts = [(await tx.connection.execute(query)).scalar_one() for query in (out, leased)]
        return sum(counts)

    async def _take(
        self, tx: SQLTransaction, station: StationId, lane: Lane, *, now: int, most: int
    ) -> list[ConsignmentId]:
        table = t.consignment.c
        query = (
            select(table.id)
            .where(table.station_id == station, table.lane == lane.value, _is_free(now))
            .order_by(table.id)
            .limit(most)
        )
        if tx.connection.dialect.name == "postgresql":
            query = query.with_for_update(skip_locked=True)
        return [ConsignmentId(one) for one in (await tx.connection.execute(query)).scalars()]

    async def ready(self, ids: Sequence[ConsignmentId], *, refs: int) -> Sequence[Ready]:
        """See the port."""
        if not ids:
            return ()
        async with self._ledger.reading() as connection:
            tx = SQLTransaction(connection)
            consignments = {
                row.id: consignment_row(row) for row in await rows_by_id(connection, t.consignment, ids)
            }
            documents = await tx.documents(sorted({one.document for one in consignments.values()}))
            notices = await self._notices(tx, list(documents.values()))
            refs_of: dict[str, list[DeliveryRef]] = {}
            totals: dict[str, int] = {}
            for chunk in _chunks(sorted(consignments)):
                table = t.delivery.c
                query = (
                    select(table.id, table.consignment_id, table.code)
                    .where(table.consignment_id.in_(chunk), table.state.in_(_PENDING))
                    .order_by(table.id)
                )
                for row in await connection.execute(query):
                    totals[row.consignment_id] = totals.get(row.consignment_id, 0) + 1
                    named = refs_of.setdefault(row.consignment_id, [])
                    if len(named) < refs:
                        named.append(DeliveryRef(delivery=DeliveryId(row.id), code=row.code))
        return [
            Ready(
                row=consignments[one],
                document=documents[consignments[one].document],
                deliveries=tuple(refs_of.get(one, ())),
                deliveries_total=totals.get(one, 0),
                notices=notices[consignments[one].document],
            )
            for one in ids
            if one in consignments
        ]

    async def _notices(
        self, tx: SQLTransaction, documents: Sequence[DocumentRow]
    ) -> dict[DocumentKey, tuple[Notice, ...]]:
        accepted = await acceptances(tx, documents)
        return {one.id: notices_of(accepted[one.submission]) for one in documents}

    async def unfinished(
        self, station: StationId, *, before: datetime, limit: int
    ) -> Sequence[ConsignmentId]:
        """See the port."""
        table = t.consignment.c
        query = (
            select(table.id)
            .where(table.station_id == station, table.state.in_(_OUT), table.state_at < micros(before))
            .order_by(table.id)
            .limit(limit)
        )
        async with self._ledger.reading() as connection:
            return [ConsignmentId(one) for one in (await connection.execute(query)).scalars()]

    # --- holds ----------------------------------------------------------------------------------------------------

    async def holds_due(self, *, at: datetime, until: datetime, limit: int) -> Sequence[SubmissionRow]:
        """See the port."""
        table = t.submission
        query = (
            select(table)
            .where(table.c.state == SubmissionState.HELD.value, table.c.next_try_at <= micros(at))
            .order_by(table.c.next_try_at, table.c.id)
            .limit(limit)
        )
        async with self._ledger.transaction() as tx:
            if tx.connection.dialect.name == "postgresql":
                query = query.with_for_update(skip_locked=True)
            rows = [submission_row(row) for row in await tx.connection.execute(query)]
            for row in rows:
                await tx.connection.execute(
                    update(table)
                    .where(table.c.year == year_of(row.id), table.c.id == row.id)
                    .values(next_try_at=micros(until))
                )
        return rows

    # --- events for stations --------------------------------------------------------------------------------------

    async def stations_unpushed(self) -> Sequence[StationId]:
        """See the port."""
        table = t.feed.c
        return await self._stations(
            and_(
                t.station.c.channel == Channel.AMQP.value,
                t.station.c.state == StationState.ACTIVE.value,
                exists().where(table.station_id == t.station.c.id, table.idx > t.station.c.feed_cursor),
            )
        )

    async def unpushed(
        self, station: StationId, *, limit: int
    ) -> Sequence[tuple[FeedEntry, DocumentKey | None]]:
        """See the port."""
        cursor = select(t.station.c.feed_cursor).where(t.station.c.id == station)
        async with self._ledger.reading() as connection:
            after = (await connection.execute(cursor)).scalar()
            if after is None:
                return ()
            return await feed_entries(SQLTransaction(connection), station, after=after, limit=limit)

    async def pushed(self, station: StationId, *, index: int) -> None:
        """See the port."""
        table = t.station
        async with self._ledger.transaction() as tx:
            await tx.connection.execute(
                update(table)
                # Two hubs may push the same events; the cursor never goes back.
                .where(table.c.id == station, table.c.feed_cursor < index)
                .values(feed_cursor=index)
            )


async def feed_entries(
    tx: SQLTransaction, station: StationId, *, after: int, limit: int
) -> list[tuple[FeedEntry, DocumentKey | None]]:
    """Events the station is told of, behind leaf `after`, in the order of the log."""
    table = t.feed.c
    query = (
        select(t.feed).where(table.station_id == station, table.idx > after).order_by(table.idx).limit(limit)
    )
    rows = (await tx.connection.execute(query)).all()
    events = {row.id: row for row in await rows_by_id(tx.connection, t.event, [row.event_id for row in rows])}
    return [
        (
            FeedEntry(index=row.idx, record=bytes(events[row.event_id].record).decode()),
            DocumentKey(events[row.event_id].document_id) if events[row.event_id].document_id else None,
        )
        for row in rows
    ]


async def acceptances(tx: SQLTransaction, documents: Sequence[DocumentRow]) -> dict[SubmissionId, Event]:
    """The events that accepted these documents, by submission."""
    submissions: list[Row[Any]] = await rows_by_id(
        tx.connection, t.submission, [one.submission for one in documents]
    )
    event_of = {row.id: row.event_id for row in submissions}
    events = await rows_by_id(tx.connection, t.event, sorted(event_of.values()))
    records = {row.id: read_record(bytes(row.record)) for row in events}
    return {SubmissionId(one): records[event] for one, event in event_of.items()}


def notices_of(accepted: Event) -> tuple[Notice, ...]:
    """Warnings recorded with an acceptance."""
    facts: Any = accepted.facts
    return tuple(
        Notice(code=one["code"], path=one["path"], vi=one["vi"], en=one["en"])
        for one in facts.get("notices", ())
    )


def _chunks(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + 500] for start in range(0, len(values), 500)]
