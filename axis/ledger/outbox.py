"""
The outbox: what the ledger knows to be waiting, and who is working on it now.

Reads and paces only. Rows that are leased carry the end of the lease in an operational column; what became of them is
recorded as an event by whoever leased them. PostgreSQL skips rows another publisher is looking at; SQLite has one
writer at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.directory import Station
from axis.core.exchange import DeliveryRef, FeedEntry, Notice
from axis.core.ids import year_of
from axis.core.model import (
    PENDING,
    Channel,
    ConsignmentId,
    DeliveryId,
    DocumentKey,
    Lane,
    RequestState,
    StationId,
    StationState,
    SubmissionState,
    micros,
)
from axis.core.ports import Leased, Ready
from axis.core.rows import DocumentRow, SubmissionRow
from axis.ledger import tables as t
from axis.ledger.bulk import among
from axis.ledger.store import (
    SQLLedger,
    SQLTransaction,
    consignment_row,
    document_row,
    rows_by_id,
    submission_row,
)

_PENDING = tuple(sorted(state.value for state in PENDING))
_OUT = ("fetched", "handed_over")
_LANES = (Lane.URGENT, Lane.NORMAL)


def _is_free(at: int) -> ColumnElement[bool]:
    """Due, and nobody works on it."""
    table = t.consignment.c
    return and_(
        table.state == "waiting",
        table.due_at <= at,
        or_(table.lease_until.is_(None), table.lease_until <= at),
    )


def _is_out() -> ColumnElement[bool]:
    """In a station's hands, in the words of the index that knows since when."""
    return t.consignment.c.state.in_([literal_column(f"'{one}'") for one in _OUT])


def _finds_one(query: Select[Any], *order: ColumnElement[Any]) -> ColumnElement[bool]:
    """
    Whether the query finds a row of the station at hand: one probe of an index for each, however much there is.

    EXISTS says the same, but PostgreSQL may answer it for all stations at once, by reading the whole backlog.
    """
    return query.order_by(*order).limit(1).correlate(t.station).scalar_subquery().is_not(None)


class SQLOutbox:
    """Implements `axis.core.ports.Outbox`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    # --- consignments ---------------------------------------------------------------------------------------------

    async def stations_due(self, *, at: datetime) -> Sequence[StationId]:
        """See the port."""
        table = t.consignment.c
        waiting = select(table.id).where(table.station_id == t.station.c.id, _is_free(micros(at)))
        return await self._stations(_finds_one(waiting, table.lane, table.id))

    async def stations_unfinished(self, *, before: datetime) -> Sequence[StationId]:
        """See the port."""
        table = t.consignment.c
        out = select(table.id).where(
            table.station_id == t.station.c.id, _is_out(), table.state_at < micros(before)
        )
        return await self._stations(_finds_one(out, table.state_at, table.id))

    async def _stations(self, *conditions: ColumnElement[bool]) -> Sequence[StationId]:
        query = select(t.station.c.id).where(*conditions).order_by(t.station.c.id)
        async with self._ledger.looking() as connection:
            return [StationId(one) for one in (await connection.execute(query)).scalars()]

    async def lease(
        self, stations: Sequence[Station], *, at: datetime, until: datetime, per_station: int, most: int
    ) -> Leased:
        """See the port."""
        now = micros(at)
        due = await self._lanes_due([one.id for one in stations], now=now)
        taken: dict[StationId, Sequence[ConsignmentId]] = {one.id: () for one in stations}
        if not due or min(per_station, most) <= 0:
            # Nearly every look finds nothing: it must not cost SQLite's one writer.
            return Leased(taken=taken)
        more: set[StationId] = set()
        async with self._ledger.transaction() as tx:
            in_hand = await self._in_hand(tx, due, now=now)
            for station in (one for one in stations if one.id in due):
                limit = min(per_station, most)
                if limit <= 0:
                    del taken[station.id]
                    more.add(station.id)
                    continue
                room = min(limit, station.window - in_hand[station.id])
                found: list[ConsignmentId] = []
                for lane in due[station.id]:
                    if len(found) < room:
                        found += await self._take(tx, station.id, lane, now=now, most=room - len(found))
                taken[station.id] = found
                most -= len(found)
                if len(found) == limit:
                    more.add(station.id)
            leased = Leased(taken=taken, more=frozenset(more))
            await tx.pace(leased.consignments, due_at=None, lease_until=until)
        return leased

    async def _lanes_due(
        self, stations: Sequence[StationId], *, now: int
    ) -> Mapping[StationId, Sequence[Lane]]:
        """On which lanes something of these stations is due, urgent first; those without are left out."""
        table = t.consignment.c

        def on(lane: Lane) -> ColumnElement[bool]:
            waiting = select(table.id).where(
                table.station_id == t.station.c.id, table.lane == lane.value, _is_free(now)
            )
            return _finds_one(waiting, table.lane, table.id).label(lane.value)

        query = select(t.station.c.id, *(on(lane) for lane in _LANES)).where(among(t.station.c.id, stations))
        async with self._ledger.looking() as connection:
            rows = (await connection.execute(query)).all()
        found = {
            StationId(name): [lane for lane, is_due in zip(_LANES, due, strict=True) if is_due]
            for name, *due in rows
        }
        return {station: lanes for station, lanes in found.items() if lanes}

    async def _in_hand(
        self, tx: SQLTransaction, stations: Iterable[StationId], *, now: int
    ) -> Mapping[StationId, int]:
        """
        Consignments in each station's queue, fetched, or on their way into it.

        One lease of a station at a time: two that count together would fill its window twice. Whoever leases for
        several locks them in the same order.
        """
        wanted = among(t.station.c.id, stations)
        if tx.connection.dialect.name == "postgresql":
            line = select(t.station.c.id).where(wanted).order_by(t.station.c.id)
            await tx.connection.execute(line.with_for_update(key_share=True))
        table = t.consignment.c
        of_station = table.station_id == t.station.c.id
        out = select(func.count()).where(of_station, table.state.in_(_OUT))
        # "Not anything else" instead of "waiting": PostgreSQL would look through all that waits for the few leased.
        leased = select(func.count()).where(
            of_station, table.lease_until > now, table.state.not_in((*_OUT, "closed"))
        )
        both = out.correlate(t.station).scalar_subquery() + leased.correlate(t.station).scalar_subquery()
        rows = await tx.connection.execute(select(t.station.c.id, both).where(wanted))
        return {StationId(name): count for name, count in rows}

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
            return await read_ready(connection, ids, refs=refs)

    async def unfinished(
        self, station: StationId, *, before: datetime, limit: int
    ) -> Sequence[ConsignmentId]:
        """See the port."""
        table = t.consignment.c
        query = (
            select(table.id)
            .where(table.station_id == station, _is_out(), table.state_at < micros(before))
            .order_by(table.state_at, table.id)
            .limit(limit)
        )
        async with self._ledger.looking() as connection:
            return [ConsignmentId(one) for one in (await connection.execute(query)).scalars()]

    # --- holds ----------------------------------------------------------------------------------------------------

    async def holds_due(self, *, at: datetime, until: datetime, limit: int) -> Sequence[SubmissionRow]:
        """See the port."""
        table = t.submission
        query = (
            select(table)
            .where(table.c.state == SubmissionState.HELD.value, table.c.next_try_at <= micros(at))
            # What names a held document waits behind it, so the older one is tried first.
            .order_by(table.c.received_at, table.c.id)
            .limit(limit)
        )
        async with self._ledger.transaction() as tx:
            if tx.connection.dialect.name == "postgresql":
                query = query.with_for_update(skip_locked=True)
            rows = [submission_row(row) for row in await tx.connection.execute(query)]
            if rows:
                await tx.connection.execute(
                    update(table)
                    .where(table.c.year == bindparam("in_year"), table.c.id == bindparam("this_id"))
                    .values(next_try_at=micros(until)),
                    [{"in_year": year_of(row.id), "this_id": row.id} for row in rows],
                )
        return rows

    # --- events for stations --------------------------------------------------------------------------------------

    async def stations_unpushed(self) -> Sequence[StationId]:
        """See the port."""
        table = t.feed.c
        unpushed = select(table.idx).where(
            table.station_id == t.station.c.id, table.idx > t.station.c.feed_cursor
        )
        return await self._stations(
            t.station.c.channel == Channel.AMQP.value,
            t.station.c.state == StationState.ACTIVE.value,
            _finds_one(unpushed, table.idx),
        )

    async def unpushed(self, station: StationId, *, limit: int) -> Sequence[FeedEntry]:
        """See the port."""
        cursor = select(t.station.c.feed_cursor).where(t.station.c.id == station)
        async with self._ledger.reading() as connection:
            after = (await connection.execute(cursor)).scalar()
            if after is None:
                return ()
            return await feed_entries(connection, station, after=after, limit=limit)

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


async def read_ready(
    connection: AsyncConnection, ids: Sequence[ConsignmentId], *, refs: int
) -> Sequence[Ready]:
    """The consignments in the order given, each with its first `refs` pending deliveries."""
    consignments = {row.id: consignment_row(row) for row in await rows_by_id(connection, t.consignment, ids)}
    documents = {
        row.id: document_row(row)
        for row in await rows_by_id(connection, t.document, {one.document for one in consignments.values()})
    }
    notices = await _notices_of(connection, documents.values())
    refs_of: dict[str, list[DeliveryRef]] = {}
    totals: dict[str, int] = {}
    for row in await connection.execute(_first_pending(sorted(consignments), most=refs)):
        totals[row.consignment_id] = row.total
        refs_of.setdefault(row.consignment_id, []).append(
            DeliveryRef(delivery=DeliveryId(row.id), code=row.code)
        )
    asked_back: dict[str, list[DeliveryRef]] = {}
    for row in await connection.execute(_asked_back(sorted(consignments))):
        ref = DeliveryRef(delivery=DeliveryId(row.id), code=row.code)
        asked_back.setdefault(row.consignment_id, []).append(ref)
    return [
        Ready(
            row=consignments[one],
            document=documents[consignments[one].document],
            deliveries=tuple(refs_of.get(one, ())[:refs]),
            deliveries_total=totals.get(one, 0),
            asked_back=tuple(asked_back.get(one, ())),
            notices=notices[consignments[one].document],
        )
        for one in ids
        if one in consignments
    ]


async def feed_entries(
    connection: AsyncConnection, station: StationId, *, after: int, limit: int
) -> list[FeedEntry]:
    """Events the station is told of, behind leaf `after`, in the order of the log."""
    table = t.feed.c
    query = (
        select(t.feed).where(table.station_id == station, table.idx > after).order_by(table.idx).limit(limit)
    )
    rows = (await connection.execute(query)).all()
    events = {row.id: row for row in await rows_by_id(connection, t.event, [row.event_id for row in rows])}
    return [FeedEntry(index=row.idx, record=bytes(events[row.event_id].record).decode()) for row in rows]


def _first_pending(consignments: Sequence[str], *, most: int) -> Select[Any]:
    """The first pending deliveries of each consignment, and with every one how many its consignment has."""
    table = t.delivery.c
    numbered = (
        select(
            table.id,
            table.consignment_id,
            table.code,
            func.row_number().over(partition_by=table.consignment_id, order_by=table.id).label("place"),
            func.count().over(partition_by=table.consignment_id).label("total"),
        )
        .where(
            among(table.consignment_id, consignments),
            table.state.in_(_PENDING),
            table.request != RequestState.WITHDRAWING.value,
        )
        .subquery()
    )
    # Of one that is to show none, the first is read all the same, for the total.
    return select(numbered).where(numbered.c.place <= max(most, 1)).order_by(numbered.c.id)


def _asked_back(consignments: Sequence[str]) -> Select[Any]:
    """The pending deliveries of these consignments that are asked back."""
    table = t.delivery.c
    return (
        select(table.id, table.consignment_id, table.code)
        .where(
            among(table.consignment_id, consignments),
            table.state.in_(_PENDING),
            table.request == RequestState.WITHDRAWING.value,
        )
        .order_by(table.id)
    )


async def _notices_of(
    connection: AsyncConnection, documents: Iterable[DocumentRow]
) -> dict[DocumentKey, tuple[Notice, ...]]:
    """Warnings recorded with the acceptance of each document."""
    accepted = list(documents)
    submissions = await rows_by_id(connection, t.submission, [one.submission for one in accepted])
    event_of = {row.id: row.event_id for row in submissions}
    events = await rows_by_id(connection, t.event, event_of.values())
    # Read for this one member: `axis ledger check` is who asks whether a record is what it says.
    said = {row.id: json.loads(row.record)["facts"].get("notices", ()) for row in events}
    return {
        one.id: tuple(
            Notice(code=each["code"], path=each["path"], vi=each["vi"], en=each["en"])
            for each in said[event_of[one.submission]]
        )
        for one in accepted
    }
