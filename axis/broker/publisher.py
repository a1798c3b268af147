"""
The way out of the axis over AMQP: consignments, receipts, events, replies and withdrawal notices into station queues.

Every message is persistent, mandatory and confirmed, and its result is the broker's own word. Nothing is ever
published twice under one message id: a message that was not confirmed goes back to its caller, who decides whether
there will be another attempt and gives it a new id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import aiormq
import structlog
from pamqp.commands import Basic

from axis.broker import wire
from axis.broker.connection import SERVICE, BrokerAddress, Link, cause_of, was_asked_to_stop
from axis.broker.topology import Topology, declare, hub_topology, station_topology
from axis.core.errors import InvariantBroken, ServiceUnavailable
from axis.core.exchange import answer_json, dump, events_json
from axis.core.model import Lane, StationId
from axis.core.ports import (
    Clock,
    Outgoing,
    OutgoingAnswer,
    OutgoingConsignment,
    OutgoingEvents,
    OutgoingReply,
    OutgoingWithdrawal,
    Published,
)

_log = structlog.get_logger(__name__)

_PERSISTENT: Final = 2
_SHORT_TEXT_BYTES: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishLimits:
    """How much may be under way, and for how long."""

    window: int = 200
    """Most publishes waiting for their confirm; larger windows gain nothing (docs/broker.md)."""
    window_bytes: int = 32 * 1024 * 1024
    """Most bytes of bodies waiting for their confirm."""
    timeout_seconds: float = 15
    """A publish without an answer for so long means that the broker is not available."""
    doubtful_seconds: float = 2
    """The same for a station whose queue has let a publish time out: it goes a way of its own."""
    nacked_seconds: float = 1.0
    """A channel that only nacks for one queue for so long is replaced."""
    longest_nacked_seconds: float = 60
    """The same for a queue that nacks on fresh channels, too: each one doubles the time, up to this."""
    longest_pause_seconds: float = 0.5
    """Longest pause between calls while everything is nacked."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A message in the shape of the wire."""

    station: StationId
    queue: str
    body: bytes
    properties: Basic.Properties


@dataclass(slots=True)
class _Lane:
    """A channel and how many publishes wait on it: a replaced channel is closed when the last of them is answered."""

    channel: aiormq.Channel
    waiting: int = 0
    replaced: bool = False
    broken_off: bool = False
    """Somebody waited in vain on it: nobody else on it has waited for a queue of its own."""
    answered_at: float = 0
    """When the broker last answered anything on it."""


class BrokerPublisher:
    """
    `axis.core.ports.Publisher` over one AMQP connection of its own. May be called from several tasks at once.

    The window of unanswered publishes is shared by all callers.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        clock: Clock,
        limits: PublishLimits | None = None,
        name: str = "axis out",
    ) -> None:
        self._address = address
        self._name = name
        self._clock = clock
        self._limits = limits or PublishLimits()
        self._window = _Window(messages=self._limits.window, octets=self._limits.window_bytes)
        self._main = _Road(Link(address, name=name), limits=self._limits)
        self._byways: dict[StationId, _Road] = {}
        """
        Roads of stations in doubt. RabbitMQ 3.10 routes a message to a quorum queue without a leader by waiting for
        it, and everything behind it on the channel waits, too: such a queue must not have anybody behind it.
        """
        self._ends: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def publish(self, outgoing: Sequence[Outgoing]) -> Sequence[Published]:
        """
        Publish all in a window of confirms; one result each, in order.

        Raises:
            ServiceUnavailable: the broker does not answer; any of them may or may not have arrived.
        """
        if not outgoing:
            return ()
        await self._main.pause_after_nacks()
        tasks: list[asyncio.Task[Published]] = []
        try:
            for one in outgoing:
                parcel = self._pack(one)
                await self._window.enter(len(parcel.body))
                tasks.append(asyncio.ensure_future(await self._dispatch(parcel)))
            results = await asyncio.gather(*tasks, return_exceptions=True)
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
        published = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            published.append(result)
        return published

    async def declare_hub(self) -> None:
        """
        Declare the hub's exchanges and queues.

        Raises:
            TopologyDiffers: run `axis broker plan`.
            ServiceUnavailable: the broker does not answer.
        """
        await self._declare(hub_topology())

    async def declare_station(self, *, station: StationId, secret: str) -> None:
        """
        Declare a station's queues, where a publish came back unrouted or before the first one.

        Raises:
            TopologyDiffers: run `axis broker plan`.
            ServiceUnavailable: the broker does not answer.
        """
        await self._declare(station_topology(wire.station_queues(station=station, secret=secret)))

    async def depth(self, *, station: StationId, secret: str) -> int | None:
        """
        How many messages lie in a station's inbox and urgent queue, not counting those its client has in hand; None
        when one of the queues is missing.

        Raises:
            ServiceUnavailable: the broker does not answer.
        """
        queues = wire.station_queues(station=station, secret=secret)
        link = self._main.link
        channel = await link.open_channel()
        try:
            with link.speaking(channel, "looking into a queue"):
                try:
                    found = [
                        await channel.queue_declare(name, passive=True, timeout=self._limits.timeout_seconds)
                        for name in (queues.urgent, queues.inbox)
                    ]
                except aiormq.ChannelNotFoundEntity:
                    return None
        finally:
            await link.close_channel(channel)
        return sum(one.message_count or 0 for one in found)

    async def close(self) -> None:
        """Close the connections; what is not confirmed by then counts as not sent."""
        for road in (self._main, *self._byways.values()):
            await road.close()
        if self._ends:
            await asyncio.wait(self._ends, timeout=5)

    async def _declare(self, topology: Topology) -> None:
        channel = await self._main.link.open_channel()
        try:
            await declare(channel, topology)
        finally:
            await self._main.link.close_channel(channel)

    # --- one message ----------------------------------------------------------------------------------------------

    async def _dispatch(self, parcel: _Parcel) -> Coroutine[None, None, Published]:
        """Put the parcel on its way: in the order of the calls as far as the lane, to be awaited from there."""
        road = self._byways.get(parcel.station, self._main)
        try:
            lane = await road.open_lane()
        except BaseException:
            self._window.leave(len(parcel.body))
            raise
        lane.waiting += 1
        return self._send(road, lane, parcel)

    async def _send(self, road: _Road, lane: _Lane, parcel: _Parcel) -> Published:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        try:
            result = await self._publish(road, lane, parcel)
        except asyncio.CancelledError as error:
            if was_asked_to_stop():
                raise
            road.drop(lane)
            raise ServiceUnavailable(SERVICE, "the connection broke") from error
        except TimeoutError as error:
            if lane.broken_off and road is self._main:
                # Behind the first on the same channel; on a busy machine both times are up in the same moment. On a
                # byway everybody waits for the same queue, so each has waited for its own.
                raise ServiceUnavailable(SERVICE, "no confirm in time") from error
            # The first to wait in vain: the broker answers in order, so it is this queue that holds up the others.
            self._doubt(parcel.station)
            if road is not self._main or lane.answered_at > sent_at:
                # The broker is well and this queue is not. It may still take the message one day; the next attempt
                # is another message with another id.
                _log.warning("publish.no_confirm", station=parcel.station, queue=parcel.queue)
                if road is not self._main:
                    road.break_off(lane)
                return Published.REFUSED
            # A broker that takes bytes and answers nothing would cost every later call the same time.
            road.break_off(lane)
            raise ServiceUnavailable(SERVICE, "no confirm in time") from error
        # A closed channel rejects its futures with whatever closed it, even with a bare Exception.
        except Exception as error:
            road.drop(lane)
            raise ServiceUnavailable(SERVICE, cause_of(error)) from error
        else:
            lane.answered_at = loop.time()
            road.learn(parcel.queue, result)
            if road is not self._main and result is not Published.REFUSED:
                self._trust(parcel.station)
            return result
        finally:
            self._window.leave(len(parcel.body))
            road.leave(lane)

    async def _publish(self, road: _Road, lane: _Lane, parcel: _Parcel) -> Published:
        try:
            await lane.channel.basic_publish(
                parcel.body,
                exchange=wire.INBOX,
                routing_key=parcel.queue,
                properties=parcel.properties,
                mandatory=True,
                timeout=road.timeout_seconds,
                wait=False,
            )
        except aiormq.PublishError:
            return Published.UNROUTED
        except aiormq.DeliveryError:
            return Published.REFUSED
        return Published.CONFIRMED

    def _doubt(self, station: StationId) -> None:
        if station not in self._byways:
            link = Link(self._address, name=f"{self._name}, {station} alone")
            self._byways[station] = _Road(link, limits=self._limits, is_byway=True)

    def _trust(self, station: StationId) -> None:
        road = self._byways.pop(station, None)
        if road is not None:
            task = asyncio.ensure_future(road.close())
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    def _pack(self, one: Outgoing) -> _Parcel:
        try:
            queues = wire.station_queues(station=one.station, secret=one.secret)
        except ValueError as error:
            raise InvariantBroken(f"station {one.station!r} has no queue names") from error
        headers: Mapping[str, str | int | bool] = {}
        body: bytes
        correlation: str | None
        match one:
            case OutgoingConsignment():
                queue = queues.urgent if one.header.lane is Lane.URGENT else queues.inbox
                kind, content_type, correlation = wire.TYPE_CONSIGNMENT, wire.EDXML, one.header.document
                headers = wire.consignment_headers(one.header, inline=one.body is not None)
                body = b"" if one.body is None else one.body
            case OutgoingAnswer():
                queue, kind, content_type = queues.receipts, wire.TYPE_RECEIPT, wire.JSON_TYPE
                correlation = one.answer.message_id
                if one.answer.document is not None:
                    headers = {wire.H_DOCUMENT: one.answer.document}
                body = dump(answer_json(one.answer))
            case OutgoingEvents():
                queue, kind, content_type = queues.receipts, wire.TYPE_EVENTS, wire.JSON_TYPE
                correlation = None
                body = dump(events_json(one.entries))
            case OutgoingReply():
                queue, kind, content_type = queues.receipts, wire.TYPE_REPLY, wire.JSON_TYPE
                correlation = one.correlation_id
                body = one.body
            case OutgoingWithdrawal():
                queue, kind, content_type = queues.urgent, wire.TYPE_WITHDRAW, wire.JSON_TYPE
                correlation = one.document
                headers = {wire.H_DOCUMENT: one.document, wire.H_CONSIGNMENT: one.consignment}
                body = dump(
                    {
                        "type": kind,
                        "consignment": one.consignment,
                        "document": one.document,
                        "deliveries": list(one.deliveries),
                    }
                )
        properties = Basic.Properties(
            content_type=content_type,
            delivery_mode=_PERSISTENT,
            headers=dict(headers),
            message_id=one.message_id,
            correlation_id=_short(correlation),
            message_type=kind,
            timestamp=self._clock.now(),
            app_id="axis",
        )
        return _Parcel(one.station, queue, body, properties)


@dataclass(slots=True)
class _Nacking:
    """A queue that has only nacked on this channel."""

    since: float
    patience: float
    """Seconds until the channel is replaced."""


class _Road:
    """A connection and the one channel that is sent over; an old channel may still be waiting for answers."""

    def __init__(self, link: Link, *, limits: PublishLimits, is_byway: bool = False) -> None:
        self.link = link
        self.timeout_seconds = limits.doubtful_seconds if is_byway else limits.timeout_seconds
        self.lane: _Lane | None = None
        self._limits = limits
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._nacked_since: float | None = None
        """Since when nothing was confirmed, whatever the queue."""
        self._nacking: dict[str, _Nacking] = {}
        self._is_stale = False
        """The channel has nacked for one queue for too long."""

    async def open_lane(self) -> _Lane:
        """
        The channel to send over.

        Raises:
            ServiceUnavailable: the broker does not answer.
        """
        lane = self.lane
        if lane is not None and not lane.channel.is_closed and not self._is_stale:
            return lane
        async with self._opening:
            if self.lane is not None and self._is_stale:
                self._replace(self.lane)
            if self.lane is None or self.lane.channel.is_closed:
                self.lane = _Lane(await self.link.open_channel(confirms=True))
                self._is_stale = False
            return self.lane

    def learn(self, queue: str, result: Published) -> None:
        """
        What the broker said of a queue.

        A 3.10 channel can keep nacking for one queue for ever after its leader died, although there is a new one
        (rabbitmq-server PR 9241), while it confirms for all others. A fresh channel asks afresh.
        """
        now = asyncio.get_running_loop().time()
        if result is not Published.REFUSED:
            self._nacked_since = None
            self._nacking.pop(queue, None)
            return
        if self._nacked_since is None:
            self._nacked_since = now
        nacking = self._nacking.setdefault(queue, _Nacking(since=now, patience=self._limits.nacked_seconds))
        if now - nacking.since >= nacking.patience:
            self._is_stale = True
            # If the queue is full or broken, fresh channels do not help, and should not cost one a second.
            nacking.since = now
            nacking.patience = min(nacking.patience * 2, self._limits.longest_nacked_seconds)

    async def pause_after_nacks(self) -> None:
        """While everything is nacked: as long again as that has been going on."""
        if self._nacked_since is not None:
            lasted = asyncio.get_running_loop().time() - self._nacked_since
            await asyncio.sleep(min(max(lasted, 0.02), self._limits.longest_pause_seconds))

    def leave(self, lane: _Lane) -> None:
        """One publish on this lane has its answer, or will never have one."""
        lane.waiting -= 1
        if lane.replaced and lane.waiting == 0:
            self._close_lane(lane)

    def drop(self, lane: _Lane) -> None:
        """The lane broke: the next publish takes another."""
        if self.lane is lane:
            self.lane = None

    def break_off(self, lane: _Lane) -> None:
        """Nothing comes over this lane any more: end its connection."""
        lane.broken_off = True
        self.drop(lane)
        self.link.break_off(lane.channel)

    def _replace(self, lane: _Lane) -> None:
        """Send nothing more over this lane, and close it when what it carries is answered."""
        self.drop(lane)
        lane.replaced = True
        if lane.waiting == 0:
            self._close_lane(lane)

    def _close_lane(self, lane: _Lane) -> None:
        task = asyncio.ensure_future(self.link.close_channel(lane.channel))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close the connection."""
        self.lane = None
        await self.link.close()
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)


def _short(text: str | None) -> str | None:
    """At most what a short string of the protocol holds, cut at a character."""
    if text is None or len(text) * 4 <= _SHORT_TEXT_BYTES:
        return text
    return text.encode()[:_SHORT_TEXT_BYTES].decode(errors="ignore")


class _Window:
    """A place for so many messages and so many bytes at a time; who comes first gets in first."""

    def __init__(self, *, messages: int, octets: int) -> None:
        self._free_messages = messages
        self._free_octets = octets
        self._octets = octets
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    def _fits(self, octets: int) -> bool:
        return self._free_messages > 0 and self._free_octets >= min(octets, self._octets)

    def _take(self, octets: int) -> None:
        self._free_messages -= 1
        self._free_octets -= min(octets, self._octets)

    async def enter(self, octets: int) -> None:
        """Wait for a place. One message may be larger than all the bytes: it then goes alone."""
        if not self._queue and self._fits(octets):
            self._take(octets)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (octets, turn)
        self._queue.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(octets)
            else:
                self._queue.remove(entry)
            raise

    def leave(self, octets: int) -> None:
        """Give the place back."""
        self._free_messages += 1
        self._free_octets += min(octets, self._octets)
        while self._queue and self._fits(self._queue[0][0]):
            size, turn = self._queue.popleft()
            if not turn.cancelled():
                self._take(size)
                turn.set_result(None)
