"""
The bytes of the VXP gateway's requests and answers: bodies as they arrive, within bounds, and messages on their way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog
from starlette.requests import Request
from starlette.types import Message as Received
from starlette.types import Receive

from adapters.vxp_caller import hash_forms
from adapters.vxp_words import ErrorCode, Failed

_log = structlog.get_logger(__name__)

CHUNK: Final = 3 * 64 * 1024
"""A multiple of three, so that base64 of the chunks is base64 of the whole."""
_IN_MEMORY_BYTES: Final = 1024 * 1024
_MAX_SMALL_BODY: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What one body may take."""

    body_bytes: int = 100 * 1024 * 1024
    stall_seconds: float = 20
    """Longest time without a byte of the body."""
    body_seconds: float = 300


class Incoming:
    """What a client sends, and whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def __call__(self) -> Received:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_over = True
        return message

    async def drain(self, *, seconds: float, most: int) -> None:
        """Read and throw away what is left of a body, within bounds."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_over and size <= most:
                    size += len((await self()).get("body", b""))


@contextlib.asynccontextmanager
async def arriving(request: Request, *, limits: BodyLimits, spool: Path | None) -> AsyncIterator[Body]:
    """
    The whole body of a request; it is gone afterwards.

    Raises:
        Failed: too large, too slow, or the disk does not take it.
    """
    body = Body(spool)
    begun = asyncio.get_running_loop().time()
    try:
        async for piece in _pieces(request, most=limits.body_bytes, limits=limits):
            if piece:
                await body.write(piece)
        body.end(seconds=asyncio.get_running_loop().time() - begun)
        yield body
    except OSError as error:
        _log.error("vxp.spool", cause=error.strerror)
        raise Failed(ErrorCode.SYSTEM, "He thong khong luu duoc tep, vui long gui lai") from error
    finally:
        body.discard()


async def small_body(request: Request, *, limits: BodyLimits) -> bytes:
    """
    The body of a request that carries no file.

    Raises:
        Failed: too large or too slow.
    """
    found = bytearray()
    async for piece in _pieces(request, most=_MAX_SMALL_BODY, limits=limits):
        found += piece
    return bytes(found)


async def _pieces(request: Request, *, most: int, limits: BodyLimits) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    too_large = Failed(ErrorCode.REQUEST, f"Tep qua lon, toi da {most} byte")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    size = 0
    stream = request.stream()
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                async with asyncio.timeout(limits.stall_seconds):
                    piece = await anext(stream, None)
                if piece is None:
                    return
                size += len(piece)
                if size > most:
                    raise too_large
                yield piece
    except TimeoutError as error:
        raise Failed(ErrorCode.REQUEST, "Noi dung gui qua cham, vui long gui lai") from error


class Body:
    """The body of a request: in memory while it is small, then in a file; hashed with and without a line end behind."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._pieces = bytearray()
        self._path: Path | None = None
        self._descriptor: int | None = None
        self._hash = hashlib.sha256()
        self._tail = b""
        self.size = 0
        self.seconds = 0.0
        """How long it took to arrive."""
        self.digest = ""
        """SHA-256 of what `matching` gave."""

    async def write(self, piece: bytes) -> None:
        self.size += len(piece)
        pending = self._tail + piece
        self._hash.update(pending[:-2])
        self._tail = pending[-2:]
        self._pieces += piece
        if len(self._pieces) >= _IN_MEMORY_BYTES:
            await asyncio.to_thread(self._flush)

    def _flush(self) -> None:
        if self._descriptor is None:
            self._descriptor, name = tempfile.mkstemp(prefix="axis-vxp-", dir=self._folder)
            self._path = Path(name)
        rest = memoryview(bytes(self._pieces))
        self._pieces.clear()
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def end(self, *, seconds: float) -> None:
        """All of it is here."""
        self.seconds = seconds
        if self._descriptor is not None:
            self._flush()

    def matching(self, wanted: str) -> bytes | Path:
        """
        The bytes the client hashed: the body, or the body without the line end the SDK puts behind every file.

        Raises:
            Failed: it hashed something else.
        """
        if not self.size:
            raise Failed(ErrorCode.REQUEST, "Khong co noi dung")
        without, whole = self._hash, self._hash.copy()
        whole.update(self._tail)
        for found, cut in ((whole, 0), (without, 2)):
            if cut and self._tail != b"\r\n":
                continue
            if wanted in hash_forms(found.digest()):
                self.digest = found.hexdigest()
                return self._without(cut)
        raise Failed(ErrorCode.FILE, "hash-file khong khop noi dung tep")

    def _without(self, cut: int) -> bytes | Path:
        if self._path is None or self._descriptor is None:
            return bytes(self._pieces[: self.size - cut])
        os.ftruncate(self._descriptor, self.size - cut)
        return self._path

    def discard(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class Content:
    """The bytes of a message on their way to a client."""

    def __init__(self, *, body: bytes | None, descriptor: int | None, size: int) -> None:
        self._body = body
        self._descriptor = descriptor
        self.size = size

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(body=body, descriptor=None, size=len(body))

    @classmethod
    def open(cls, path: Path | None, *, body: Callable[[], bytes]) -> Self:
        """
        What lies in a file, else in memory. Opened now, so that it can be read to its end whatever becomes of the file.
        """
        if path is None:
            return cls.of(body())
        descriptor = os.open(path, os.O_RDONLY)
        return cls(body=None, descriptor=descriptor, size=os.fstat(descriptor).st_size)

    @property
    def base64_size(self) -> int:
        return 4 * ((self.size + 2) // 3)

    def read(self) -> bytes:
        return self._body if self._body is not None else self._part(0, self.size)

    def _part(self, start: int, end: int) -> bytes:
        if self._body is not None:
            return self._body[start:end]
        assert self._descriptor is not None, "content is in memory or in a file"
        found = bytearray()
        while start + len(found) < end:
            piece = os.pread(self._descriptor, end - start - len(found), start + len(found))
            if not piece:
                raise OSError("the file became shorter")
            found += piece
        return bytes(found)

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            for start in range(0, self.size, CHUNK):
                yield await asyncio.to_thread(self._part, start, min(start + CHUNK, self.size))
        finally:
            self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
