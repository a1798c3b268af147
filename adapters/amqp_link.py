"""
The connection of one station to the broker, and a channel that consumes: opened anew by whoever finds it broken.

What the client library raises leaves this room as the agency's side says it. The library cancels its own futures when a
connection breaks; that is told from a task that was really asked to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import aiormq
from aiormq.abc import DeliveredMessage
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from yarl import URL

from adapters.errors import (
    NotAllowed,
    NotAnswered,
    StationError,
)


class Link:
    """The connection of one station, named after it in the broker's own lists."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None, connect_seconds: float) -> None:
        self._url = url
        self._tls = tls
        self.connect_seconds = connect_seconds
        self.was_open = False
        """Whether the broker has accepted the credentials since the beginning."""
        self._lock = asyncio.Lock()
        self._connection: aiormq.Connection | None = None
        self._transport: _Transport | None = None
        self._farewells: set[asyncio.Task[None]] = set()

    async def open_channel(self, *, confirms: bool = False) -> aiormq.Channel:
        """
        A fresh channel. With `confirms`, messages that cannot be routed raise.

        Raises:
            NotAnswered: the broker does not answer.
            NotAllowed: it does not take the credentials.
        """
        async with self._lock:
            connection = await self._connect()
            try:
                channel = await connection.channel(
                    publisher_confirms=confirms, on_return_raises=confirms, timeout=self.connect_seconds
                )
            except (Exception, asyncio.CancelledError) as error:
                self.break_off()
                if isinstance(error, asyncio.CancelledError) and was_asked_to_stop():
                    raise
                raise translated(error) from error
            assert isinstance(channel, aiormq.Channel)
            return channel

    async def _connect(self) -> aiormq.Connection:
        if self._connection is not None and self._connection.is_opened:
            return self._connection
        self.break_off()
        transport = _Transport()
        connection = aiormq.Connection(self._url, context=self._tls, transport_factory=transport)
        try:
            async with asyncio.timeout(self.connect_seconds):
                await connection.connect()
        except (Exception, asyncio.CancelledError) as error:
            transport.abort()
            if isinstance(error, asyncio.CancelledError) and was_asked_to_stop():
                raise
            raise translated(error) from error
        self.was_open = True
        self._connection, self._transport = connection, transport
        return connection

    def break_off(self) -> None:
        """Drop the connection: it broke, or the other end does not answer. The next channel comes over a new one."""
        if self._connection is None or self._transport is None:
            return
        connection, transport = self._connection, self._transport
        self._connection = self._transport = None
        transport.abort()
        self._later(_end(connection))

    def close_channel(self, channel: aiormq.Channel) -> None:
        """Let go of a channel without waiting for the broker."""
        if not channel.is_closed:
            self._later(_end(channel))

    def _later(self, farewell: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(farewell)
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def close(self) -> None:
        """End the connection in good order; at once if the broker does not answer."""
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=5)
        connection, transport = self._connection, self._transport
        self._connection = self._transport = None
        if connection is not None and transport is not None:
            await _end(connection)
            transport.abort()
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=5)


class Consumer:
    """One channel that consumes from some queues, for as long as it lives."""

    def __init__(self, link: Link, *, prefetch: Mapping[str, int]) -> None:
        self._link = link
        self._prefetch = prefetch
        self._channel: aiormq.Channel | None = None
        self._queues: dict[str, str] = {}
        self._messages: deque[DeliveredMessage] = deque()
        self._stirred = asyncio.Event()
        self._is_cancelled = False

    async def __aenter__(self) -> Self:
        """
        Open the channel and consume.

        Raises:
            StationError: no connection, no such queue, or no right to it.
        """
        channel = self._channel = await self._link.open_channel()
        channel.closing.add_done_callback(lambda _: self._stirred.set())
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        try:
            async with asyncio.timeout(self._link.connect_seconds):
                for queue, count in self._prefetch.items():
                    # Counts for each consumer begun after it, not for the channel (RabbitMQ's reading of basic.qos).
                    await channel.basic_qos(prefetch_count=count)
                    begun = await channel.basic_consume(queue, self._delivered)
                    self._queues[begun.consumer_tag or ""] = queue
        except BaseException as error:
            self._link.close_channel(channel)
            if isinstance(error, asyncio.CancelledError) and was_asked_to_stop():
                raise
            if isinstance(error, Exception | asyncio.CancelledError):
                raise translated(error) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._channel is not None
        self._link.close_channel(self._channel)

    def queue_of(self, message: DeliveredMessage) -> str:
        """The queue a message came from."""
        delivery = message.delivery
        assert isinstance(delivery, aiormq.spec.Basic.Deliver)
        return self._queues.get(delivery.consumer_tag or "", "")

    async def take(self) -> Sequence[DeliveredMessage]:
        """What has come, at least one; nothing when the channel is gone."""
        assert self._channel is not None
        while not self._messages:
            if self._channel.is_closed or self._is_cancelled:
                return ()
            self._stirred.clear()
            await self._stirred.wait()
        found = tuple(self._messages)
        self._messages.clear()
        return found

    async def _delivered(self, message: DeliveredMessage) -> None:
        self._messages.append(message)
        self._stirred.set()

    def _cancelled(self, _: object) -> None:
        # The queue was deleted or moved: the next channel finds out.
        self._is_cancelled = True
        self._stirred.set()


class _Transport(aiormq.TransportFactory):
    """Opens one connection, and can end it without asking anybody."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    # The base class is loosely typed there.
    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open it, over TLS for `amqps`."""
        inner = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await inner.create(url, **kwargs)
        return reader, self._writer

    def abort(self) -> None:
        """End the connection at once: what is still to be sent is dropped."""
        if self._writer is not None:
            self._writer.transport.abort()


async def settle(message: DeliveredMessage) -> None:
    """Acknowledge to the broker. When the channel is gone it delivers the message again, and it is recognised."""
    with contextlib.suppress(aiormq.AMQPError, OSError, RuntimeError):
        assert message.delivery_tag is not None
        await message.channel.basic_ack(message.delivery_tag, wait=False)


async def reject(message: DeliveredMessage) -> None:
    """Give a message up that cannot be read: the queue buries it, and it comes no more."""
    with contextlib.suppress(aiormq.AMQPError, OSError, RuntimeError):
        assert message.delivery_tag is not None
        await message.channel.basic_reject(message.delivery_tag, requeue=False, wait=False)


def was_asked_to_stop() -> bool:
    """Whether this task itself was cancelled; the library cancels its futures, too, when a connection breaks."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def translated(error: BaseException) -> StationError:
    """What the library raised, as the agency's side says it; without addresses."""
    if isinstance(error, StationError):
        return error
    text = " ".join(str(error).split())
    cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(
        error, aiormq.exceptions.AuthenticationError | aiormq.exceptions.ProbableAuthenticationError
    ):
        return NotAllowed(f"the broker does not take the station's key: {cause}")
    if isinstance(error, aiormq.ChannelAccessRefused | aiormq.ChannelPreconditionFailed) or (
        isinstance(error, aiormq.exceptions.ConnectionClosed) and error.args[:1] == (530,)
    ):
        return NotAllowed(f"the broker refuses it: {cause}")
    if isinstance(error, asyncio.CancelledError):
        return NotAnswered("the connection broke")
    return NotAnswered(f"the broker does not answer: {cause}")


def address_of(url: str, *, station: str, password: str, heartbeat: int) -> str:
    """The address with the station's credentials, heartbeat in seconds and a name for the broker's lists."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = dict(parse_qsl(parts.query)) | {"heartbeat": str(heartbeat), "name": f"station {station}"}
    return urlunsplit(
        parts._replace(
            netloc=f"{quote(station, safe='')}:{quote(password, safe='')}@{host}", query=urlencode(query)
        )
    )


async def _end(thing: aiormq.Connection | aiormq.Channel) -> None:
    # However a dead connection ends, nobody waits for it any more.
    with contextlib.suppress(aiormq.AMQPError, OSError, RuntimeError, TimeoutError):
        async with asyncio.timeout(5):
            await thing.close()
