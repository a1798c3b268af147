"""
How long payloads are kept: the bytes go, every record, digest and proof stays.

    delivered   an accepted message: so many days after its last delivery came to rest; never while one waits or failed
    refused     what was refused or a duplicate: so many days, and within a measure of bytes per station, newest first
    buried      what nobody judged: as refused

Held messages and documents under a legal hold keep theirs. A payload that several submissions share goes when all of
them let it. First the record that says so is committed (`payload.purged`), then the file is removed: killed in between,
the next turn removes it. A file that somebody has handed in again since is not removed, see `FileBlobs.remove_idle`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Any, Final, Protocol

import structlog
from sqlalchemy import Row, and_, exists, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.errors import InvalidAct, NotFound, ServiceUnavailable
from axis.core.events import JSON, Event, EventKind, read_record
from axis.core.ids import is_id, year_of
from axis.core.model import Actor, DeliveryState, Digest, EventId, SubmissionState, micros
from axis.core.ports import Clock, Ids
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger, rows_by_id

log = structlog.get_logger(__name__)

_PAGE: Final = 500
_IN_USE: Final = timedelta(hours=25)
"""A payload may be uploaded up to 24 hours before it is submitted."""
_NOT_AT_REST: Final = frozenset(
    {
        DeliveryState.WAITING.value,
        DeliveryState.HANDED_OVER.value,
        DeliveryState.FETCHED.value,
        DeliveryState.FAILED.value,
    }
)
"""Deliveries that may still need the bytes: a failed one can be replayed."""

_Row = Row[*tuple[Any, ...]]


@unique
class PayloadClass(StrEnum):
    """What a payload is kept as."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    BURIED = "buried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is kept."""

    delivered: timedelta = timedelta(days=30)
    refused: timedelta = timedelta(days=30)
    refused_octets: int = 1024**3
    """Of one station; what goes beyond is kept as a digest only."""

    @property
    def said(self) -> dict[str, JSON]:
        """As the record of a purge holds it."""
        return {
            "delivered_seconds": int(self.delivered.total_seconds()),
            "refused_seconds": int(self.refused.total_seconds()),
            "refused_octets": self.refused_octets,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Purgeable:
    """One payload that may go."""

    digest: Digest
    size: int
    kept_as: PayloadClass


class IdleBlobs(Protocol):
    """Payloads, and when somebody last handed them in."""

    async def size(self, digest: Digest) -> int | None: ...

    async def remove_idle(self, digests: Sequence[Digest], *, before: datetime) -> Sequence[Digest]:
        """Remove those that nobody has handed in since `before`; those that are gone now, or were before."""
        ...


class Keeper:
    """Lets payloads go when their time has come. Any number may run."""

    def __init__(
        self, ledger: SQLLedger, *, blobs: IdleBlobs, policy: Retention, clock: Clock, ids: Ids
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._policy = policy
        self._clock = clock
        self._ids = ids

    async def run(self, stop: asyncio.Event, *, every_seconds: float) -> None:
        """Purge now and then until `stop`; the first time after one pause."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_seconds):
                    await stop.wait()
            if stop.is_set():
                return
            try:
                gone = await self.purge(by=Actor(axis="retention"))
                if gone:
                    log.info("payloads.purged", payloads=len(gone), octets=sum(one.size for one in gone))
            except ServiceUnavailable as trouble:
                log.warning("retention.waiting", service=trouble.service, cause=trouble.cause)

    async def plan(self) -> Sequence[Purgeable]:
        """
        What a purge would let go now.

        Raises:
            ServiceUnavailable: the database or the disk does not answer.
        """
        at = self._clock.now()
        found: dict[Digest, Purgeable] = {}
        async with self._ledger.reading(snapshot=True) as connection:
            too_much = await self._too_much(connection)
            for digests in await self._candidates(connection, at=at, too_much=too_much):
                judged = await self._judge(connection, digests, at=at, too_much=too_much)
                found.update(judged)
        return [one for digest, one in sorted(found.items()) if await self._blobs.size(digest) is not None]

    async def purge(self, *, by: Actor) -> Sequence[Purgeable]:
        """
        Record that payloads go, then remove their files, and those that an earlier purge did not come to.

        Raises:
            ServiceUnavailable: some other time; what was recorded is removed by the next purge.
        """
        chosen = await self.plan()
        for start in range(0, len(chosen), _PAGE):
            await self._record(chosen[start : start + _PAGE], by=by)
        await self.remove_files()
        return chosen

    async def remove_files(self) -> int:
        """Remove the files of payloads whose purge is recorded; how many are gone now."""
        table = t.payload_purge
        query = select(table.c.digest, table.c.at).where(table.c.removed.is_(False)).order_by(table.c.digest)
        async with self._ledger.reading() as connection:
            rows = (await connection.execute(query)).all()
        gone = 0
        for start in range(0, len(rows), _PAGE):
            piece = {Digest(row.digest): row.at for row in rows[start : start + _PAGE]}
            async with self._ledger.reading() as connection:
                again = await _handed_in_since(connection, piece)
            idle = await self._blobs.remove_idle(
                [one for one in piece if one not in again], before=self._clock.now() - _IN_USE
            )
            done = [*idle, *again]
            if done:
                async with self._ledger.transaction() as tx:
                    await tx.connection.execute(
                        update(table).where(table.c.digest.in_(done)).values(removed=True)
                    )
            gone += len(idle)
        return gone

    async def hold(self, document: str, *, lifted: bool, by: Actor) -> Event:
        """
        Keep everything of a document, whatever its age; or let its time run again.

        Raises:
            NotFound: no such document.
            InvalidAct: no reason is given, or the hold is already as wanted.
        """
        if not (by.reason or "").strip():
            raise InvalidAct(("a legal hold needs a reason: who asks for it, and where that is written",))
        async with self._ledger.transaction() as tx:
            rows = await rows_by_id(tx.connection, t.document, [document]) if is_id(document) else []
            if not rows:
                raise NotFound("document", document)
            root = rows[0].root
            held = select(t.legal_hold.c.document_key).where(t.legal_hold.c.document_key == root)
            is_held = (await tx.connection.execute(held)).first() is not None
            if is_held != lifted:
                raise InvalidAct((f"document {root} is {'' if is_held else 'not '}under a legal hold",))
            at = self._clock.now()
            event = Event(
                id=EventId(self._ids.new(at)),
                kind=EventKind.LEGAL_HOLD_CHANGED,
                at=at,
                by=by,
                facts={"document": root, "before": is_held, "after": not lifted},
            )
            await tx.append([event])
        return event

    # --- which ----------------------------------------------------------------------------------------------------

    async def _candidates(
        self, connection: AsyncConnection, *, at: datetime, too_much: Collection[str]
    ) -> list[list[Digest]]:
        """Digests of rows that are old enough by themselves, in pages; each is judged with all that share it."""
        table, buried, purged = t.submission, t.buried, t.payload_purge
        cutoff = micros(at - min(self._policy.delivered, self._policy.refused))
        gone = exists().where(purged.c.digest == table.c.digest, purged.c.at >= table.c.recorded_at)
        query = (
            select(table.c.digest)
            .distinct()
            .where(
                table.c.state != SubmissionState.HELD.value,
                table.c.recorded_at <= cutoff,
                table.c.size > 0,
                not_(gone),
            )
        )
        found = {Digest(one) for one in (await connection.execute(query)).scalars()} | set(
            map(Digest, too_much)
        )
        never = exists().where(purged.c.digest == buried.c.digest, purged.c.at >= buried.c.at)
        old = select(buried.c.digest).where(buried.c.at <= cutoff, not_(never))
        found |= {Digest(one) for one in (await connection.execute(old)).scalars()}
        ordered = sorted(found)
        return [ordered[start : start + _PAGE] for start in range(0, len(ordered), _PAGE)]

    async def _too_much(self, connection: AsyncConnection) -> frozenset[str]:
        """Refused payloads beyond the measure of their station: the oldest of them."""
        table, purged = t.submission, t.payload_purge
        gone = exists().where(purged.c.digest == table.c.digest, purged.c.at >= table.c.recorded_at)
        query = (
            select(table.c.station_id, table.c.digest, table.c.size)
            .where(
                t.is_not_accepted,
                table.c.state.in_((SubmissionState.REFUSED.value, SubmissionState.DUPLICATE.value)),
                not_(gone),
            )
            .order_by(table.c.recorded_at.desc(), table.c.id.desc())
        )
        used: dict[str | None, int] = defaultdict(int)
        counted: set[tuple[str | None, str]] = set()
        beyond: set[str] = set()
        result = await connection.stream(query)
        async for row in result:
            if (row.station_id, row.digest) in counted:
                continue
            counted.add((row.station_id, row.digest))
            used[row.station_id] += row.size
            if used[row.station_id] > self._policy.refused_octets:
                beyond.add(row.digest)
        return frozenset(beyond)

    async def _judge(
        self,
        connection: AsyncConnection,
        digests: Sequence[Digest],
        *,
        at: datetime,
        too_much: Collection[str],
    ) -> dict[Digest, Purgeable]:
        table = t.submission
        rows = (await connection.execute(select(table).where(table.c.digest.in_(digests)))).all()
        buried = (await connection.execute(select(t.buried).where(t.buried.c.digest.in_(digests)))).all()
        resting = await _at_rest(connection, [row.document_key for row in rows if row.state == "accepted"])
        refused_before = micros(at - self._policy.refused)
        delivered_before = micros(at - self._policy.delivered)
        may: dict[Digest, Purgeable] = {}
        kept = await _evidence_among(connection, digests)
        for row in rows:
            is_accepted = row.state == SubmissionState.ACCEPTED.value
            if is_accepted:
                since = resting.get(row.document_key)
                is_over = since is not None and since <= delivered_before
            elif row.state == SubmissionState.HELD.value:
                is_over = False
            else:
                is_over = row.recorded_at <= refused_before or row.digest in too_much
            if not is_over:
                kept.add(row.digest)
            elif is_accepted or row.digest not in may:
                kept_as = PayloadClass.DELIVERED if is_accepted else PayloadClass.REFUSED
                may[Digest(row.digest)] = Purgeable(digest=Digest(row.digest), size=row.size, kept_as=kept_as)
        for row in buried:
            if row.at > refused_before:
                kept.add(row.digest)
            else:
                one = Purgeable(digest=Digest(row.digest), size=row.size, kept_as=PayloadClass.BURIED)
                may.setdefault(Digest(row.digest), one)
        return {digest: one for digest, one in may.items() if digest not in kept}

    async def _record(self, chosen: Sequence[Purgeable], *, by: Actor) -> None:
        at = self._clock.now()
        event = Event(
            id=EventId(self._ids.new(at)),
            kind=EventKind.PAYLOAD_PURGED,
            at=at,
            by=by,
            facts={
                "policy": self._policy.said,
                "payloads": [
                    {"digest": one.digest, "size": one.size, "class": one.kept_as.value} for one in chosen
                ],
            },
        )
        table = t.payload_purge
        async with self._ledger.transaction() as tx:
            await tx.append([event])
            await tx.connection.execute(
                update(table).where(table.c.digest.in_([one.digest for one in chosen])).values(removed=False)
            )


async def _evidence_among(connection: AsyncConnection, digests: Sequence[Digest]) -> set[str]:
    """
    Those that are no message's alone: revocation lists, timestamps and policies lie among the payloads by their digest,
    and a station that hands in a copy of one must not be able to have it purged.
    """
    found: set[str] = set()
    for table in (t.revocation, t.timestamp):
        query = select(table.c.digest).where(table.c.digest.in_(digests))
        found.update((await connection.execute(query)).scalars())
    policies = select(t.event.c.record).where(t.is_act, t.event.c.kind == EventKind.POLICY_CHANGED.value)
    for record in (await connection.execute(policies)).scalars():
        after: Any = read_record(record).facts.get("after")
        if isinstance(after, Mapping) and "digest" in after:
            found.add(str(after["digest"]))
    return found


async def _at_rest(connection: AsyncConnection, documents: Iterable[str]) -> Mapping[str, int]:
    """For each document that needs its bytes no more: since when. One under a legal hold always needs them."""
    ids = sorted(set(documents))
    rows = await rows_by_id(connection, t.document, ids)
    held = set((await connection.execute(select(t.legal_hold.c.document_key))).scalars())
    since = {row.id: row.accepted_at for row in rows if row.root not in held}
    table = t.delivery
    query = select(table.c.document_key, table.c.state, table.c.state_at).where(
        table.c.year.in_({year_of(one) for one in ids}), table.c.document_key.in_(ids)
    )
    for row in await connection.execute(query):
        if row.state in _NOT_AT_REST:
            since.pop(row.document_key, None)
        elif row.document_key in since:
            since[row.document_key] = max(since[row.document_key], row.state_at)
    return since


async def _handed_in_since(connection: AsyncConnection, purged: Mapping[Digest, int]) -> list[Digest]:
    """Payloads that a submission has brought again after their purge was recorded: their files stay."""
    table = t.submission
    query = select(table.c.digest).where(
        or_(*(and_(table.c.digest == digest, table.c.recorded_at > at) for digest, at in purged.items()))
    )
    return sorted({Digest(one) for one in (await connection.execute(query)).scalars()})


def said_of(one: Purgeable) -> dict[str, JSON]:
    """A row for people and programs."""
    return {"digest": one.digest, "size": one.size, "class": one.kept_as.value}
