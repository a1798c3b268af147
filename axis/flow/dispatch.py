"""
Out of the ledger into the stations' hands: the only place that publishes consignments, and only after commit.

    lease     waiting consignments, urgent first, within each station's window
    publish   persistent, mandatory, confirmed; a message id of its own for every attempt
    record    delivery.handed_over, for what the broker confirmed and nothing else

Killed between publish and record, a consignment is published again under another message id when its lease ends: the
station sees the same delivery twice and keeps one. Killed anywhere else, nothing has happened.

A station that pulls over HTTP is served by `hand_out`: giving the list is the hand-over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from axis.core.directory import Directory, Station
from axis.core.errors import NotFound, ServiceUnavailable
from axis.core.exchange import Consignment, FeedEntry
from axis.core.lifecycle import DeliveryStep
from axis.core.model import (
    Actor,
    Channel,
    DeliveryState,
    Digest,
    RequestState,
    StationId,
    StationState,
)
from axis.core.ports import (
    Blobs,
    Clock,
    Directories,
    Ids,
    Ledger,
    Outbox,
    OutgoingConsignment,
    OutgoingEvents,
    OutgoingWithdrawal,
    Published,
    Publisher,
    Ready,
)
from axis.core.reasons import ReasonCode
from axis.flow.acknowledge import offer_again
from axis.flow.bells import Bells
from axis.flow.steps import step_event

log = structlog.get_logger(__name__)

REFS = 50
"""Most deliveries named in one AMQP header (design section 7); the rest is fetched."""

_BY = Actor(axis="dispatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast and how patiently."""

    batch: int = 256
    """Most consignments in one publish and one transaction."""
    per_station: int = 64
    """Most of one station in a batch, so that a flood to one does not keep others waiting."""
    lease: timedelta = timedelta(seconds=60)
    """How long a publisher may take; then another one does the work."""
    sweep_seconds: float = 1.0
    """How often the ledger is looked through for what no bell told of."""
    refused_pause: timedelta = timedelta(seconds=2)
    """A queue that takes nothing now is asked again after this."""
    unsettled: timedelta = timedelta(minutes=30)
    """Handed over for so long without a word, with nothing left in the queue: offered again."""
    feed: int = 1_000
    """Most events pushed to one station at a time."""
    feed_message: int = 50
    """Most events in one message."""
    feed_chars: int = 100_000
    """Most text in one message of several events, so that it is read in one piece."""


class Depths(Protocol):
    """How many messages lie in a station's queues."""

    async def __call__(self, *, station: StationId, secret: str) -> int | None:
        """None when it has no queues. Raises `ServiceUnavailable`."""
        ...


class Declare(Protocol):
    """Makes the queues of a station."""

    async def __call__(self, *, station: StationId, secret: str) -> None:
        """Raises `ServiceUnavailable`."""
        ...


def header_of(ready: Ready, *, attempt: int) -> Consignment:
    """What is said of a consignment on the wire."""
    document = ready.document
    return Consignment(
        consignment=ready.row.id,
        document=document.id,
        kind=document.kind,
        lane=ready.row.lane,
        digest=document.digest,
        size=document.size,
        tier=document.tier,
        value=document.value,
        report=document.report,
        attempt=attempt,
        # What is asked back is listed as well: its payload is not given out, and that tells a station that pulls.
        deliveries=(*ready.deliveries, *ready.asked_back),
        deliveries_total=ready.deliveries_total + len(ready.asked_back),
        notices=ready.notices,
        sent_at=document.accepted_at,
    )


async def record_hand_over(
    handed: Sequence[tuple[Ready, str]], *, ledger: Ledger, clock: Clock, ids: Ids, by: Actor = _BY
) -> None:
    """
    Record that these consignments, published or listed under these message ids, were handed over.

    What was settled meanwhile, by a status or a quick station, stays as it is; so does what a quick station has failed
    to take, which waits to be offered again and is in no queue. What was recalled while it was on its way is asked back
    at once: its bytes may lie in the station's queue.
    """
    published_as_wanted_back = {ref.delivery for ready, _ in handed for ref in ready.asked_back}
    message_ids = {ready.row.id: message_id for ready, message_id in handed}
    async with ledger.transaction() as tx:
        at = clock.now()
        rows = await tx.consignments(sorted(message_ids))
        deliveries = await tx.deliveries_in(sorted(rows))
        inside: dict[str, list[int]] = {}
        for position, one in enumerate(deliveries):
            inside.setdefault(one.consignment or "", []).append(position)
        documents = {ready.row.id: ready.document for ready, _ in handed}
        events = []
        for row in rows.values():
            if not row.is_leased:
                # Its lease was given back with the failure: recorded as handed over, nobody would offer it again.
                continue
            every = [deliveries[position] for position in inside.get(row.id, ())]
            event = step_event(
                DeliveryStep.HAND_OVER,
                chosen={one.id for one in every},
                every=every,
                consignment=row,
                document=documents[row.id],
                by=by,
                at=at,
                ids=ids,
                more={"attempt": row.attempt + 1, "message_id": message_ids[row.id]},
            )
            if event is None:
                continue
            events.append(event)
            late = {
                one.id
                for one in every
                if one.request is RequestState.WITHDRAWING and one.id not in published_as_wanted_back
            }
            moved = set(event.deliveries)
            asked = step_event(
                DeliveryStep.ASK_BACK,
                chosen=late,
                every=[
                    replace(one, state=DeliveryState.HANDED_OVER) if one.id in moved else one for one in every
                ],
                consignment=replace(row, head=event.hash.hex()),
                document=documents[row.id],
                by=by,
                at=at,
                ids=ids,
                reason=ReasonCode.DELIVER_RECALLED,
                more={"request": RequestState.WITHDRAWING.value},
            )
            if asked is not None:
                events.append(asked)
        await tx.append(events)
        await tx.pace(sorted(rows), due_at=None, lease_until=None)


async def hand_out(
    station: Station,
    *,
    limit: int,
    refs: int,
    lease: timedelta,
    outbox: Outbox,
    ledger: Ledger,
    clock: Clock,
    ids: Ids,
) -> Sequence[Consignment]:
    """
    What waits for a station that pulls, handed over by this very listing.

    When the answer is lost on its way, the consignments are offered again after the time for unsettled ones.
    """
    at = clock.now()
    leased = await outbox.lease([station], at=at, until=at + lease, per_station=limit, most=limit)
    if not leased.consignments:
        return ()
    ready = await outbox.ready(leased.consignments, refs=refs)
    await record_hand_over(
        [(one, one.row.id) for one in ready],
        ledger=ledger,
        clock=clock,
        ids=ids,
        by=Actor(station=station.id),
    )
    return [header_of(one, attempt=one.row.attempt + 1) for one in ready]


class PullKeeper:
    """Offers again what stations that pull listed and never settled: the answer was lost, or they were."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        outbox: Outbox,
        directories: Directories,
        clock: Clock,
        ids: Ids,
        bells: Bells,
        everybody_pulls: bool,
        unsettled: timedelta = timedelta(minutes=10),
        sweep_seconds: float = 5.0,
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._directories = directories
        self._clock = clock
        self._ids = ids
        self._bells = bells
        self._everybody_pulls = everybody_pulls
        self._unsettled = unsettled
        self._sweep_seconds = sweep_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Look every few seconds until `stop`."""
        while not stop.is_set():
            try:
                await self.turn()
            except ServiceUnavailable as trouble:
                log.warning("pull.waiting", service=trouble.service, cause=trouble.cause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._sweep_seconds):
                    await stop.wait()

    async def turn(self) -> int:
        """One look; returns how many consignments are offered again."""
        before = self._clock.now() - self._unsettled
        directory = await self._directories.current()
        count = 0
        for name in await self._outbox.stations_unfinished(before=before):
            station = directory.stations.get(name)
            if station is None or (station.channel is Channel.AMQP and not self._everybody_pulls):
                continue
            consignments = await self._outbox.unfinished(name, before=before, limit=500)
            count += await offer_again(
                consignments,
                cause="not_settled",
                ledger=self._ledger,
                clock=self._clock,
                ids=self._ids,
                by=_BY,
                since=self._unsettled,
            )
            self._bells.ring([name])
        return count


class Dispatcher:
    """Publishes what waits for stations that take their documents over AMQP; any number of these may run."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        outbox: Outbox,
        blobs: Blobs,
        publisher: Publisher,
        declare: Declare,
        depth: Depths,
        directories: Directories,
        clock: Clock,
        ids: Ids,
        bells: Bells,
        pace: Pace | None = None,
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._blobs = blobs
        self._publisher = publisher
        self._declare = declare
        self._depth = depth
        self._directories = directories
        self._clock = clock
        self._ids = ids
        self._bells = bells
        self._pace = pace or Pace()
        self._turns = itertools.count(1)
        self._last_turn: dict[StationId, int] = {}
        """When each station was last in a batch."""

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop`; what is under way then is finished."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._insist(stop, self._serve_bells))
            group.create_task(self._insist(stop, self._sweep))

    async def _insist(self, stop: asyncio.Event, work: _Turn) -> None:
        pause = 0.1
        while not stop.is_set():
            try:
                await work(stop)
                pause = 0.1
            except ServiceUnavailable as trouble:
                log.warning("dispatch.waiting", service=trouble.service, cause=trouble.cause, pause_s=pause)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()
                pause = min(pause * 2, 5)

    async def _serve_bells(self, stop: asyncio.Event) -> None:
        stations = set(await self._bells.hear_any(seconds=self._pace.sweep_seconds))
        while stations and not stop.is_set():
            stations = await self.offer(stations)
            if stations:
                # One that drains what waited for a day must not keep others waiting until it is done.
                stations |= await self._bells.hear_any(seconds=0)

    async def _sweep(self, stop: asyncio.Event) -> None:
        at = self._clock.now()
        self._bells.ring(await self._outbox.stations_due(at=at))
        await self.push_events()
        await self.offer_unsettled()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.sweep_seconds):
                await stop.wait()

    def _reachable(self, directory: Directory, stations: Sequence[StationId]) -> list[Station]:
        found = [directory.stations[one] for one in stations if one in directory.stations]
        return [one for one in found if one.channel is Channel.AMQP and one.state is StationState.ACTIVE]

    async def offer(self, stations: set[StationId]) -> set[StationId]:
        """
        One batch over these stations; returns those that may have more.

        Raises:
            ServiceUnavailable: what was published and not recorded is published again after its lease.
        """
        directory = await self._directories.current()
        # Whoever has waited longest first: a batch may be too small for all.
        line = sorted(stations, key=lambda one: (self._last_turn.get(one, 0), one))
        served = self._reachable(directory, line)
        turn = next(self._turns)
        at = self._clock.now()
        leased = await self._outbox.lease(
            served,
            at=at,
            until=at + self._pace.lease,
            per_station=self._pace.per_station,
            most=self._pace.batch,
        )
        self._last_turn |= dict.fromkeys(leased.taken, turn)
        if leased.consignments:
            ready = await self._outbox.ready(leased.consignments, refs=REFS)
            await self._publish(ready, directory, at=at)
        return set(leased.more)

    async def _publish(self, ready: Sequence[Ready], directory: Directory, *, at: datetime) -> None:
        parcels = await self._pack(ready, directory, at=at)
        results = await self._publisher.publish([parcel for _, parcel in parcels])
        unrouted = _having(Published.UNROUTED, parcels, results)
        confirmed = _confirmed(parcels, results)
        refused = _having(Published.REFUSED, parcels, results)
        if unrouted:
            again = await self._declare_and_repeat(unrouted, directory, at=at)
            confirmed += again
            found = {one.row.id for one, _ in again}
            lost = [one for one in unrouted if one.row.id not in found]
            if lost:
                await self._fail_unrouted(lost)
        if confirmed:
            await record_hand_over(confirmed, ledger=self._ledger, clock=self._clock, ids=self._ids)
        if refused:
            async with self._ledger.transaction() as tx:
                await tx.pace(
                    [one.row.id for one in refused],
                    due_at=self._clock.now() + self._pace.refused_pause,
                    lease_until=None,
                )

    async def _pack(
        self, ready: Sequence[Ready], directory: Directory, *, at: datetime
    ) -> list[tuple[Ready, OutgoingConsignment | OutgoingWithdrawal]]:
        bodies: dict[Digest, bytes] = {}
        parcels: list[tuple[Ready, OutgoingConsignment | OutgoingWithdrawal]] = []
        for one in ready:
            station = directory.stations[one.row.station]
            if one.asked_back:
                notice = OutgoingWithdrawal(
                    station=station.id,
                    secret=station.secret,
                    message_id=self._ids.new(at),
                    consignment=one.row.id,
                    document=one.document.id,
                    deliveries=tuple(ref.delivery for ref in one.asked_back),
                )
                parcels.append((one, notice))
            if one.asked_back and not one.deliveries:
                continue
            body: bytes | None = None
            if one.document.size <= station.inline_bytes:
                digest = one.document.digest
                if digest not in bodies:
                    try:
                        bodies[digest] = await self._blobs.read(digest)
                    except NotFound:
                        # Kept as waiting: an operator must see that a payload is gone.
                        log.exception("dispatch.payload_missing", document=one.document.id, digest=digest)
                        continue
                body = bodies[digest]
            parcels.append(
                (
                    one,
                    OutgoingConsignment(
                        station=station.id,
                        secret=station.secret,
                        message_id=self._ids.new(at),
                        header=header_of(replace(one, asked_back=()), attempt=one.row.attempt + 1),
                        body=body,
                    ),
                )
            )
        return parcels

    async def _declare_and_repeat(
        self,
        unrouted: Sequence[Ready],
        directory: Directory,
        *,
        at: datetime,
    ) -> list[tuple[Ready, str]]:
        for station in sorted({one.row.station for one in unrouted}):
            await self._declare(station=station, secret=directory.stations[station].secret)
        parcels = await self._pack(unrouted, directory, at=at)
        results = await self._publisher.publish([parcel for _, parcel in parcels])
        return _confirmed(parcels, results)

    async def _fail_unrouted(self, lost: Sequence[Ready]) -> None:
        """No queue, though it was declared a moment ago: an operator must look, so it shows as failed."""
        async with self._ledger.transaction() as tx:
            at = self._clock.now()
            rows = await tx.consignments([one.row.id for one in lost])
            deliveries = await tx.deliveries_in(sorted(rows))
            events = []
            for one in lost:
                every = [delivery for delivery in deliveries if delivery.consignment == one.row.id]
                event = step_event(
                    DeliveryStep.FAIL,
                    chosen={delivery.id for delivery in every},
                    every=every,
                    consignment=rows[one.row.id],
                    document=one.document,
                    by=_BY,
                    at=at,
                    ids=self._ids,
                    reason=ReasonCode.DELIVER_UNROUTED,
                )
                if event is not None:
                    events.append(event)
            await tx.append(events)
        for one in lost:
            log.error("dispatch.unrouted", station=one.row.station, document=one.document.id)

    async def push_events(self) -> None:
        """Push what stations are told of into their `receipts` queues, in the order of the log."""
        directory = await self._directories.current()
        at = self._clock.now()
        for station in self._reachable(directory, sorted(await self._outbox.stations_unpushed())):
            entries = await self._outbox.unpushed(station.id, limit=self._pace.feed)
            messages = list(_in_messages(entries, pace=self._pace))
            results = await self._publisher.publish(
                [
                    OutgoingEvents(
                        station=station.id,
                        secret=station.secret,
                        message_id=self._ids.new(at),
                        entries=message,
                    )
                    for message in messages
                ]
            )
            # Only the unbroken run of confirmed ones counts: the order of the feed is part of its meaning.
            last: int | None = None
            for message, result in zip(messages, results, strict=True):
                if result is not Published.CONFIRMED:
                    if result is Published.UNROUTED:
                        await self._declare(station=station.id, secret=station.secret)
                    break
                last = message[-1].index
            if last is not None:
                await self._outbox.pushed(station.id, index=last)

    async def offer_unsettled(self) -> None:
        """Offer again what was handed over long ago, when nothing of it can still be in the queue."""
        before = self._clock.now() - self._pace.unsettled
        directory = await self._directories.current()
        stations = await self._outbox.stations_unfinished(before=before)
        for station in self._reachable(directory, sorted(stations)):
            if await self._depth(station=station.id, secret=station.secret):
                continue
            await self._offer_again(station.id, before=before)

    async def _offer_again(self, station: StationId, *, before: datetime) -> None:
        consignments = await self._outbox.unfinished(station, before=before, limit=500)
        count = await offer_again(
            consignments,
            cause="not_settled",
            ledger=self._ledger,
            clock=self._clock,
            ids=self._ids,
            by=_BY,
            since=self._pace.unsettled,
        )
        if count:
            log.warning("dispatch.offered_again", station=station, consignments=count)


def _in_messages(entries: Sequence[FeedEntry], *, pace: Pace) -> Iterator[Sequence[FeedEntry]]:
    """The events in their order, as many in one message as may be."""
    message: list[FeedEntry] = []
    chars = 0
    for entry in entries:
        if message and (len(message) == pace.feed_message or chars + len(entry.record) > pace.feed_chars):
            yield message
            message, chars = [], 0
        message.append(entry)
        chars += len(entry.record)
    if message:
        yield message


_Parcels = Sequence[tuple[Ready, OutgoingConsignment | OutgoingWithdrawal]]


def _confirmed(parcels: _Parcels, results: Sequence[Published]) -> list[tuple[Ready, str]]:
    """Consignments of which everything was confirmed, each with a message id it went under."""
    pairs = list(zip(parcels, results, strict=True))
    failed = {one.row.id for (one, _), result in pairs if result is not Published.CONFIRMED}
    found = {one.row.id: (one, parcel.message_id) for (one, parcel), _ in pairs if one.row.id not in failed}
    return list(found.values())


def _having(wanted: Published, parcels: _Parcels, results: Sequence[Published]) -> list[Ready]:
    """Consignments with a message of this result, each once."""
    pairs = zip(parcels, results, strict=True)
    return list({one.row.id: one for (one, _), result in pairs if result is wanted}.values())


class _Turn(Protocol):
    def __call__(self, stop: asyncio.Event, /) -> Awaitable[None]: ...
