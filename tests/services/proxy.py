"""
A TCP connection that can be cut, frozen and slowed down: what a network does, on request.

Stands between a client and a server on loopback. Runs in a thread of its own, so that both blocking and
asynchronous tests, and other processes, can go through it. Never looks into the bytes.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.services.processes import LOOPBACK

_Result = TypeVar("_Result")

_CHUNK_BYTES = 65_536


class TCPProxy:
    """
    Forwards `host:port` (its own) to one server.

    `cut()` resets every open connection, new ones are still taken; `refuse()` also closes the door until
    `accept()`; `freeze()` keeps everything open and moves no byte until `thaw()`; `slow()` delays each piece
    and limits the rate until `slow(delay_s=0)`.
    """

    def __init__(self, *, host: str, port: int) -> None:
        self._upstream = (host, port)
        self.host = LOOPBACK
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._delay_s = 0.0
        self._bytes_per_s: float | None = None
        self.connections = 0
        """How many connections were taken since the start."""
        self.bytes_forwarded = 0
        """How many bytes passed, both ways together."""

    @classmethod
    def before(cls, url: str) -> "TCPProxy":
        """Make a proxy in front of the server an address names; see `url`."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(host=parts.hostname, port=parts.port)

    def url(self, url: str) -> str:
        """Return an address with host and port replaced by the proxy's."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}{self.host}:{self.port}"))

    def _run(self, work: Coroutine[object, object, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    def start(self) -> None:
        self._thread.start()
        self._run(self._open())

    async def _open(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        up_writer: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
            self._writers.add(up_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, up_writer))
                both.create_task(self._forward(up_reader, writer))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            # One side is gone: so is the connection. What the test sees is its own end being closed.
            pass
        finally:
            for end in (writer, up_writer):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_CHUNK_BYTES):
            await self._flowing.wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if self._bytes_per_s:
                await asyncio.sleep(len(piece) / self._bytes_per_s)
            await self._flowing.wait()
            self.bytes_forwarded += len(piece)
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _abort_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _close_door(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Reset every open connection; a new one is taken as before."""
        self._run(self._abort_all())

    def refuse(self) -> None:
        """Reset every open connection and refuse new ones."""
        self._run(self._close_door())
        self.cut()

    def accept(self) -> None:
        """Take connections again, on the same port."""
        if self._server is None:
            self._run(self._open())

    def freeze(self) -> None:
        """Keep every connection open and move no byte, in either direction."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def thaw(self) -> None:
        self._loop.call_soon_threadsafe(self._flowing.set)

    def slow(self, *, delay_s: float, bytes_per_s: float | None = None) -> None:
        """Hold each piece back for a while, and limit the rate of each direction of each connection."""
        self._delay_s = delay_s
        self._bytes_per_s = bytes_per_s

    def stop(self) -> None:
        """Reset everything and end the thread."""
        if not self._thread.is_alive():
            return
        with contextlib.suppress(TimeoutError):
            self._run(self._close_door())
            self._run(self._abort_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
