"""
One connection to the broker, opened when first needed and opened anew after it broke.

Knows addresses and channels; never declares, publishes or consumes. The library's own reconnecting connection is
not used: it restores consumers and channels behind its caller's back, and its caller must know, as delivery tags and
outstanding confirms of the old channel mean nothing on the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiormq

from axis.broker.envelope import GuardedTransport
from axis.core.errors import ServiceUnavailable

SERVICE = "broker"


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """PEM files for a TLS connection."""

    ca: Path
    """Roots the broker's certificate must lead to."""
    certificate: Path | None = None
    """The client's own certificate with its chain: its common name is the broker user when logging in by EXTERNAL."""
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, host name checked."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            context.load_cert_chain(str(self.certificate), None if self.key is None else str(self.key))
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where the broker is and who we are there."""

    urls: tuple[str, ...] = field(repr=False)
    """`amqp(s)://user:password@host:port/vhost`, one for each node of a cluster; tried in turn."""
    tls: TLSFiles | None = None
    external: bool = False
    """Log in by the client certificate instead of the password (SASL EXTERNAL)."""
    heartbeat_seconds: int = 10
    """A broker silent for three times as long is taken for gone."""
    connect_seconds: float = 10

    def url(self, index: int, *, name: str) -> str:
        """Address number `index`, around and around, with what the client library reads from its query."""
        parts = urlsplit(self.urls[index % len(self.urls)])
        query = dict(parse_qsl(parts.query)) | {"heartbeat": str(self.heartbeat_seconds), "name": name}
        if self.external:
            query["auth"] = "external"
        return urlunsplit(parts._replace(query=urlencode(query)))


class Link:
    """The connection of one part of the axis, named after it in the broker's own lists."""

    def __init__(self, address: BrokerAddress, *, name: str) -> None:
        self._address = address
        self._name = name
        self._turn = 0
        self._lock = asyncio.Lock()
        self._connection: aiormq.Connection | None = None
        self._transport: GuardedTransport | None = None
        self._farewells: set[asyncio.Task[None]] = set()

    async def open_channel(self, *, confirms: bool = False) -> aiormq.Channel:
        """
        A fresh channel. With `confirms`, unroutable messages raise instead of returning.

        Raises:
            ServiceUnavailable: no address answered.
        """
        async with self._lock:
            connection = await self._connect()
            try:
                channel = await connection.channel(
                    publisher_confirms=confirms,
                    on_return_raises=confirms,
                    timeout=self._address.connect_seconds,
                )
            except asyncio.CancelledError as error:
                self.break_off()
                if was_asked_to_stop():
                    raise
                raise ServiceUnavailable(SERVICE, "the connection broke") from error
            except (aiormq.AMQPError, OSError, RuntimeError, TimeoutError) as error:
                self.break_off()
                raise ServiceUnavailable(SERVICE, cause_of(error)) from error
            assert isinstance(channel, aiormq.Channel)
            return channel

    @property
    def version(self) -> str:
        """The broker's version as it said on connecting; empty before."""
        properties = self._connection.server_properties if self._connection is not None else None
        return str(properties.get("version", "")) if properties else ""

    async def _connect(self) -> aiormq.Connection:
        if self._connection is not None and self._connection.is_opened:
            return self._connection
        self.break_off()
        causes = []
        for _ in self._address.urls:
            transport = GuardedTransport()
            tls = self._address.tls
            connection = aiormq.Connection(
                self._address.url(self._turn, name=self._name),
                context=tls.context() if tls is not None else None,
                transport_factory=transport,
            )
            try:
                async with asyncio.timeout(self._address.connect_seconds):
                    await connection.connect()
            except asyncio.CancelledError:
                transport.abort()
                if was_asked_to_stop():
                    raise
                causes.append("the connection broke")
            except (aiormq.AMQPError, OSError, TimeoutError, ssl.SSLError, EOFError) as error:
                transport.abort()
                causes.append(cause_of(error))
            except StopAsyncIteration:
                # The library's word for a connection that was closed in the middle of the greeting.
                transport.abort()
                causes.append("closed while greeting")
            else:
                self._connection, self._transport = connection, transport
                return connection
            self._turn += 1
        raise ServiceUnavailable(SERVICE, "; ".join(causes))

    def break_off(self, channel: aiormq.Channel | None = None) -> None:
        """
        Drop the connection (of `channel`, if it is still that one): it broke, or the other end does not answer.
        The next channel comes over a new one, to the next address.
        """
        if self._connection is None or self._transport is None:
            return
        if channel is not None and channel.connection is not self._connection:
            return
        connection, transport = self._connection, self._transport
        self._connection = self._transport = None
        self._turn += 1
        transport.abort()
        farewell = asyncio.ensure_future(_say_goodbye(connection))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    @contextlib.contextmanager
    def speaking(self, channel: aiormq.Channel, doing: str) -> Iterator[None]:
        """
        For a dialogue on a channel: whatever breaks it off is one error. No answer in time ends the connection.

        Raises:
            ServiceUnavailable: naming what was being done.
        """
        try:
            yield
        except asyncio.CancelledError as error:
            if was_asked_to_stop():
                raise
            raise ServiceUnavailable(SERVICE, f"{doing}: the connection broke") from error
        except TimeoutError as error:
            self.break_off(channel)
            raise ServiceUnavailable(SERVICE, f"{doing}: no answer") from error
        # A closed channel rejects its futures with whatever closed it, even with a bare Exception.
        except Exception as error:
            raise ServiceUnavailable(SERVICE, f"{doing}: {cause_of(error)}") from error

    async def close_channel(self, channel: aiormq.Channel) -> None:
        """Close a channel and wait for the broker's word; a broker that does not answer loses the connection."""
        if channel.is_closed:
            return
        with contextlib.suppress(ServiceUnavailable), self.speaking(channel, "closing a channel"):
            async with asyncio.timeout(self._address.connect_seconds):
                await channel.close()

    async def close(self) -> None:
        """End the connection in good order; at once if the broker does not answer."""
        connection, transport = self._connection, self._transport
        self._connection = self._transport = None
        if connection is not None and transport is not None:
            await _say_goodbye(connection)
            transport.abort()
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=5)


async def _say_goodbye(connection: aiormq.Connection) -> None:
    # However a dead connection ends, nobody waits for it any more.
    with contextlib.suppress(aiormq.AMQPError, OSError, RuntimeError, TimeoutError):
        async with asyncio.timeout(5):
            await connection.close()


def was_asked_to_stop() -> bool:
    """Whether this task itself was cancelled; the library cancels its futures, too, when a connection breaks."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def cause_of(error: BaseException) -> str:
    """What went wrong, in one line without an address."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
