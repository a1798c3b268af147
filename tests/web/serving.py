"""The API on a port of this machine, for as long as a test needs it; and requests that no HTTP library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from axis.core.exchange import load
from axis.web.app import WebServices, create_app
from axis.web.server import TLS, serve

_Found = TypeVar("_Found")


@dataclass
class Running:
    """A server that runs."""

    url: str
    stop: asyncio.Event
    done: asyncio.Task[None]


@asynccontextmanager
async def running(services: WebServices, *, tls: TLS | None = None) -> AsyncIterator[Running]:
    """The API over these services, on a free port."""
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    done = asyncio.create_task(
        serve(create_app(services), host="127.0.0.1", port=0, tls=tls, stop=stop, ready=listening.set_result)
    )
    try:
        done.add_done_callback(lambda _: listening.done() or listening.cancel())
        try:
            url = await listening
        except asyncio.CancelledError:
            await done
            raise
        yield Running(url=url, stop=stop, done=done)
    finally:
        stop.set()
        await done


@dataclass(frozen=True)
class Reply:
    """One answer, as read from the line."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body as a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        return dict(load(self.body))


class Line:
    """A connection on which a test writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str) -> Line:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def reply(self, *, within_s: float = 15) -> Reply:
        """The next answer; fails when the line is closed before its end."""
        async with asyncio.timeout(within_s):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (one.partition(":") for one in lines)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
            return Reply(status=int(first.split(" ")[1]), headers=headers, body=body)

    async def closed(self, *, within_s: float = 15) -> None:
        """Wait until the other side closes."""
        async with asyncio.timeout(within_s):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass

    def close(self) -> None:
        self.writer.close()


async def until(fact: Callable[[], object], *, within_s: float = 15, what: str = "the fact holds") -> None:
    """Wait for a fact; fail when it does not come in time."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not fact():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(0.01)


async def eventually(
    ask: Callable[[], Awaitable[_Found]], is_it: Callable[[_Found], bool], *, within_s: float = 15
) -> _Found:
    """Ask until the answer is the one that is waited for; fail when it does not come in time."""
    async with asyncio.timeout(within_s):
        while True:
            found = await ask()
            if is_it(found):
                return found
            await asyncio.sleep(0.01)
