"""
What one station may see of the ledger, and nothing of anybody else.

Every query names the station. What does not exist and what is another's end in the same `NotFound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.calendar import Calendar
from axis.core.errors import Ambiguous, NotFound, Withdrawn
from axis.core.events import Event, EventKind, read_record
from axis.core.exchange import DeliveryLine, FeedEntry, OwedList, OwedQuestion, Submitted, Whereabouts
from axis.core.ids import is_id, year_of
from axis.core.model import (
    BusinessType,
    ConsignmentId,
    DeliveryState,
    Digest,
    DocumentKey,
    DocumentState,
    Kind,
    LegalValue,
    RequestKind,
    RequestState,
    StationId,
    SubmissionId,
    SubmissionState,
    from_micros,
    micros,
)
from axis.core.ports import Ready, SubmissionFilter
from axis.core.reasons import ReasonCode
from axis.core.rows import DocumentRow
from axis.core.together import Together
from axis.ledger import tables as t
from axis.ledger.bulk import among
from axis.ledger.deadlines import list_owed
from axis.ledger.outbox import feed_entries, read_ready
from axis.ledger.store import (
    SQLLedger,
    delivery_row,
    document_row,
    rows_by_id,
)

_MOST_CANDIDATES = 20


class SQLStationView:
    """Implements `axis.core.ports.StationView`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger
        # Every request asks. Those that come while somebody looks share the next look, which begins after they came.
        self._key_hashes: Together[StationId, str | None] = Together(self._read_key_hashes, most=500)

    async def key_hash(self, station: StationId) -> str | None:
        """See the port."""
        return (await self._key_hashes.bring([station]))[0]

    async def _read_key_hashes(self, stations: Sequence[StationId]) -> Sequence[str | None]:
        table = t.station.c
        query = select(table.id, table.key_hash).where(among(table.id, sorted(set(stations))))
        async with self._ledger.looking() as connection:
            found = {row.id: row.key_hash for row in await connection.execute(query)}
        return [found.get(one) or None for one in stations]

    async def consignment(self, station: StationId, document: DocumentKey, *, refs: int) -> Ready:
        """See the port."""
        table = t.consignment.c
        newest = (
            select(table.id)
            .where(table.document_key == document, table.station_id == station)
            .order_by(table.id.desc())
            .limit(1)
        )
        async with self._ledger.reading() as connection:
            found = (await connection.execute(newest)).scalar() if is_id(document) else None
            if found is None:
                raise NotFound("document", document[:64])
            return (await read_ready(connection, [ConsignmentId(found)], refs=refs))[0]

    async def payload_of(self, station: StationId, document: DocumentKey) -> DocumentRow:
        """See the port."""
        async with self._ledger.reading() as connection:
            return await _visible(connection, station, document)

    async def is_purged(self, digest: Digest) -> bool:
        """See the port."""
        query = select(t.payload_purge.c.digest).where(t.payload_purge.c.digest == digest)
        async with self._ledger.reading() as connection:
            return (await connection.execute(query)).scalar() is not None

    async def report(self, station: StationId, document: DocumentKey) -> tuple[bytes, str]:
        """See the port; what was withdrawn before the station took it is `Withdrawn`, like the payload."""
        table = t.report.c
        async with self._ledger.reading() as connection:
            await _visible(connection, station, document)
            query = select(table.body, table.signature).where(
                table.year == year_of(document), table.document_key == document
            )
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound("report", document)
        return bytes(row.body), row.signature

    async def valued(self, station: StationId, document: DocumentKey) -> bytes | None:
        """See the port."""
        table = t.event.c
        async with self._ledger.reading() as connection:
            row = await _visible(connection, station, document)
            query = (
                select(table.record)
                .where(table.document_id == document, table.kind == EventKind.DOCUMENT_VALUED.value)
                .order_by(table.id.desc())
                .limit(1)
            )
            record = (await connection.execute(query)).scalar()
        if record is None or row.value is LegalValue.CHECKING:
            return None  # not judged yet, or being judged again
        if read_record(bytes(record)).facts["value"] != row.value.value:
            # It was judged, but its own signature turned bad afterwards, and what its files are worth counts no more.
            return None
        return bytes(record)

    async def where_is(self, station: StationId, document: str) -> Whereabouts:
        """
        See the port. Supplementary sendings count to the first one. A DocumentId that recalls or updates have too
        means the document they act on. What is held has no document yet: it goes by the id of its submission.
        """
        async with self._ledger.reading() as connection:
            root = await _root_named(connection, station, document)
            if root is None:
                return await _held(connection, station, document)
            parts = select(t.document.c.id).where(t.document.c.root == root.root)
            lines = select(t.delivery).where(t.delivery.c.document_key.in_(parts)).order_by(t.delivery.c.id)
            deliveries = [delivery_row(row) for row in await connection.execute(lines)]
        return Whereabouts(
            document=root.id,
            document_id=root.document_id,
            state=SubmissionState.ACCEPTED,
            value=root.value,
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

    async def submissions(
        self, station: StationId, wanted: SubmissionFilter, *, offset: int, limit: int
    ) -> Sequence[Submitted]:
        """See the port."""
        table = t.submission.c
        conditions = [table.station_id == station, table.state != SubmissionState.DUPLICATE.value]
        if wanted.kind is not None:
            conditions.append(table.kind == wanted.kind.value)
        if wanted.since is not None:
            conditions.append(table.received_at >= micros(wanted.since))
        if wanted.until is not None:
            conditions.append(table.received_at <= micros(wanted.until))
        async with self._ledger.reading() as connection:
            if wanted.named is not None:
                documents = await rows_by_id(connection, t.document, [wanted.named])
                name = documents[0].submission_id if documents else wanted.named
                if not is_id(name):
                    return ()
                conditions += [table.year == year_of(name), table.id == name]
            query = select(t.submission).where(*conditions)
            query = query.order_by(table.received_at.desc(), table.id.desc()).offset(offset).limit(limit)
            return [_submitted(row) for row in await connection.execute(query)]

    async def owed(
        self, station: StationId, asked: OwedQuestion, *, at: datetime, calendar: Calendar, limit: int
    ) -> OwedList:
        """See the port."""
        async with self._ledger.reading() as connection:
            return await list_owed(connection, station, asked, at=at, calendar=calendar, limit=limit)

    async def outcome(
        self, station: StationId, *, submission: SubmissionId | None, message_id: str | None
    ) -> Event:
        """See the port."""
        named = submission or message_id or ""
        table = t.answered_message.c
        async with self._ledger.reading() as connection:
            wanted: list[str] = [submission] if submission is not None else []
            if submission is None and message_id is not None and _can_be_stored(message_id):
                query = select(table.submission_id).where(
                    table.station_id == station, table.message_id == message_id
                )
                wanted = list((await connection.execute(query)).scalars())
            rows = [
                row for row in await rows_by_id(connection, t.submission, wanted) if row.station_id == station
            ]
            if not rows:
                raise NotFound("submission", named[:64])
            newest = max(rows, key=lambda row: str(row.id))
            [event] = await rows_by_id(connection, t.event, [newest.event_id])
        return read_record(bytes(event.record))

    async def feed(self, station: StationId, *, after: int, limit: int) -> Sequence[FeedEntry]:
        """See the port."""
        async with self._ledger.reading() as connection:
            return await feed_entries(connection, station, after=after, limit=limit)


def _submitted(row: Row[Any]) -> Submitted:
    return Submitted(
        submission=SubmissionId(row.id),
        document=DocumentKey(row.document_key) if row.document_key else None,
        digest=Digest(row.digest),
        kind=Kind(row.kind) if row.kind else None,
        sender=row.from_code or "",
        document_id=row.document_id or "",
        code=row.code or "",
        subject=row.subject or "",
        state=SubmissionState(row.state),
        reason=ReasonCode(row.reason) if row.reason else None,
        received_at=from_micros(row.received_at),
    )


# --- whose is it --------------------------------------------------------------------------------------------------


def _can_be_stored(text: str) -> bool:
    # PostgreSQL takes neither zeros nor halves of a pair; what cannot be stored is the name of nothing.
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


async def _visible(connection: AsyncConnection, station: StationId, document: DocumentKey) -> DocumentRow:
    """The document, if the station sent it or has a delivery of it that was not withdrawn."""
    rows = await rows_by_id(connection, t.document, [document])
    if rows and rows[0].station_id == station:
        return document_row(rows[0])
    table = t.delivery.c
    query = (
        select(table.state, table.request, table.request_kind)
        .where(table.document_key == document, table.station_id == station)
        .distinct()
    )
    mine = (await connection.execute(query)).all() if rows else []
    if not mine:
        raise NotFound("document", document[:64])
    if all(_is_given_back(row) for row in mine) or await _is_recalled(connection, rows[0]):
        raise Withdrawn(document)
    return document_row(rows[0])


def _is_given_back(row: Any) -> bool:
    """Taken back: readable until the receiver agrees, or while nobody knows whether its DMS has seen it, no more."""
    agreed: bool = row.request == RequestState.AGREED.value and row.request_kind != RequestKind.UPDATE.value
    withdrawn: bool = row.state == DeliveryState.WITHDRAWN.value
    asked_back: bool = row.request == RequestState.WITHDRAWING.value
    return withdrawn or asked_back or agreed


async def _is_recalled(connection: AsyncConnection, document: Row[Any]) -> bool:
    """Whether the document, or the one it updates, was recalled: given out to no receiver from then on (LR-23)."""
    wanted = {document.root}
    if document.business_type == BusinessType.UPDATE.value and document.target:
        wanted.add(document.target)
    over = {DocumentState.RECALLING.value, DocumentState.RECALLED.value}
    return any(row.state in over for row in await rows_by_id(connection, t.document, wanted))


async def _root_named(connection: AsyncConnection, station: StationId, name: str) -> DocumentRow | None:
    """The first sending of a document this station sent, by the axis's id of any sending or by its DocumentId."""
    for row in await rows_by_id(connection, t.document, [name]):
        if row.station_id == station:
            first = await rows_by_id(connection, t.document, [row.root])
            return document_row(first[0])
    if not _can_be_stored(name):
        return None
    table = t.document.c
    query = (
        select(t.document)
        .where(
            t.has_document_id(name),
            table.station_id == station,
            table.kind == Kind.EDOC.value,
            table.root == table.id,
        )
        .order_by(table.id.desc())
        .limit(_MOST_CANDIDATES)
    )
    found = [document_row(row) for row in await connection.execute(query)]
    new = [one for one in found if one.business_type is BusinessType.NEW]
    if len(found) > 1 and len(new) != 1:
        raise Ambiguous(name[:200], tuple(one.id for one in found))
    return next(iter(new or found), None)


async def _held(connection: AsyncConnection, station: StationId, name: str) -> Whereabouts:
    """The newest held submission of the station under this id or DocumentId."""
    table = t.submission.c
    query = (
        select(table.id, table.document_id)
        .where(
            table.state == SubmissionState.HELD.value,
            table.station_id == station,
            or_(table.id == name, table.document_id == name),
        )
        .order_by(table.id.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none() if _can_be_stored(name) else None
    if row is None:
        raise NotFound("document", name[:200])
    return Whereabouts(
        document=DocumentKey(row.id),
        document_id=row.document_id or "",
        state=SubmissionState.HELD,
        deliveries=(),
    )
