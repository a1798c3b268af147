"""
Bodies of requests: bounded in size and time, held in memory when small, written to the spool when large.

A body counts only when it has arrived to its end. One that was cut off, or came too slowly, leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import Request

from axis.core.errors import ServiceUnavailable
from axis.web.problems import about, no, too_large
from axis.web.services import WebLimits
from axis.web.wire import HTTPReason

_PREFIX: Final = "body-"
_WRITE_BYTES: Final = 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Body:
    """A body that has arrived in full."""

    content: bytes | Path
    size: int
    _file: _SpoolFile | None = None

    def discard(self) -> None:
        """Forget what lies in the spool; a file that was moved away stays where it is."""
        if self._file is not None:
            self._file.discard()


def check_plain(request: Request) -> None:
    """
    Bodies come as they are.

    Raises:
        NotServed: 415 for a compressed one: what would be kept and hashed is not what was signed.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise no(HTTPReason.CONTENT_TYPE, about("Content-Encoding", vi="không nhận", en="not taken"))


def declared_size(request: Request) -> int | None:
    """`Content-Length`, which the HTTP parser has checked to be a number."""
    text = request.headers.get("content-length")
    return int(text) if text is not None else None


async def arriving(request: Request, *, most: int, limits: WebLimits) -> AsyncIterator[bytes]:
    """
    The body in pieces, as it comes; ends only when the body does.

    Raises:
        NotServed: 413 more than `most` bytes, 408 too slow, 400 cut off.
    """
    if (declared_size(request) or 0) > most:
        # Before the first byte is read, so that a caller that waits for 100 Continue need not send any.
        raise too_large(most)
    loop = asyncio.get_running_loop()
    began = loop.time()
    received = 0
    while True:
        allowed = limits.stall_seconds + received / limits.least_bytes_per_second
        patience = min(limits.stall_seconds, began + allowed - loop.time())
        try:
            async with asyncio.timeout(patience):
                message = await request.receive()
        except TimeoutError as slow:
            raise no(HTTPReason.TOO_SLOW) from slow
        if message["type"] == "http.disconnect":
            raise no(HTTPReason.CUT_OFF)
        piece: bytes = message.get("body", b"")
        received += len(piece)
        if received > most:
            raise too_large(most)
        if piece:
            yield piece
        if not message.get("more_body", False):
            return


async def read_small(request: Request, *, most: int, limits: WebLimits) -> bytes:
    """
    A body that is held in memory.

    Raises:
        NotServed: as `arriving`.
    """
    check_plain(request)
    return b"".join([piece async for piece in arriving(request, most=most, limits=limits)])


async def read_body(request: Request, *, folder: Path, name: str, limits: WebLimits) -> Body:
    """
    A body of any size the limits allow. Whoever gets it discards it.

    Raises:
        NotServed: as `arriving`.
        ServiceUnavailable: the disk does not take it.
    """
    check_plain(request)
    held = bytearray()
    size = 0
    file: _SpoolFile | None = None
    is_whole = False
    try:
        async for piece in arriving(request, most=limits.body_bytes, limits=limits):
            size += len(piece)
            held += piece
            if file is None and size > limits.memory_bytes:
                file = await asyncio.to_thread(_SpoolFile.create, folder, name)
            if file is not None and len(held) >= min(_WRITE_BYTES, limits.memory_bytes):
                await asyncio.to_thread(file.write, bytes(held))
                held.clear()
        if file is not None and held:
            await asyncio.to_thread(file.write, bytes(held))
        is_whole = True
    finally:
        if file is not None and not is_whole:
            file.discard()
    return Body(content=file.path if file is not None else bytes(held), size=size, _file=file)


class _SpoolFile:
    """
    One body on the disk. Its file is locked while somebody works on it, so that after a crash whoever starts next
    can tell what nobody owns (`sweep`), even when several processes share the folder.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path, name: str) -> _SpoolFile:
        path = folder / f"{_PREFIX}{name}"
        try:
            while True:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # A process that swept between the two calls has taken the file away again.
                if path.exists():
                    return cls(path, descriptor)
                os.close(descriptor)
        except OSError as problem:
            raise ServiceUnavailable("spool", problem.strerror or "disk") from problem

    def write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as problem:
            raise ServiceUnavailable("spool", problem.strerror or "disk") from problem

    def discard(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1


def sweep(folder: Path) -> int:
    """Remove bodies that a process which is gone left in the spool; how many there were."""
    found = 0
    for path in folder.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                found += 1
            finally:
                os.close(descriptor)
    return found
