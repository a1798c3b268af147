"""A small real HTTP server on loopback that answers as it is told, is away, or never ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

Answering = Callable[[bytes], Awaitable[bytes]]


class Place:
    """One address. `answer` is what it gives, or a function of what is posted; None: it breaks off."""

    def __init__(self, answer: bytes | Answering | None = None) -> None:
        self.answer = answer
        self.status = "200 OK"
        self.asked = 0
        self.is_stuck = False
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/it"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for one in list(self._connections):
            one.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(
                (
                    int(line.partition(":")[2])
                    for line in head.splitlines()
                    if line.startswith("content-length")
                ),
                0,
            )
            body = await reader.readexactly(length)
            self.asked += 1
            if self.is_stuck:
                await reader.read()
            answer = await self.answer(body) if callable(self.answer) else self.answer
            if answer is not None:
                writer.write(
                    f"HTTP/1.1 {self.status}\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode()
                )
                writer.write(answer)
                await writer.drain()
        self._connections.discard(writer)
        writer.close()
