"""
Before a submission by digest: payloads on their way in, in pieces, and who uploaded which.

A station may submit a digest only after it has uploaded the bytes itself, in full, in the last 24 hours, whether the
axis has them already or not: nobody gets hold of a payload by knowing its digest. Pieces lie in a spool, apart for
each station, until they are complete; nothing here reads what they say.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from axis.core.errors import NotFound, UploadRefused, WrongOffset
from axis.core.model import Digest, StationId, micros
from axis.core.ports import Clock
from axis.core.reasons import ReasonCode
from axis.ledger import tables as t
from axis.ledger.disk import on_disk
from axis.ledger.store import SQLLedger

UPLOAD_COUNTS: Final = timedelta(hours=24)
"""How long an upload may be submitted."""
MOST_BYTES: Final = 2 * 1024 * 1024 * 1024
"""Largest upload the spool takes when nothing else is said; the pipeline's own limit is lower."""
MOST_UPLOADS: Final = 64
"""Most uploads a station may have under way."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_STATION: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,30}\Z")
_WRITTEN_AT_ONCE: Final = 1024 * 1024


class SQLUploads:
    """Implements `axis.core.ports.Uploads`."""

    def __init__(self, ledger: SQLLedger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def uploaded(self, station: StationId, digest: Digest) -> bool:
        """See the port."""
        table = t.upload
        oldest = micros(self._clock.now() - UPLOAD_COUNTS)
        query = select(table.c.at).where(
            table.c.station_id == station, table.c.digest == digest, table.c.at > oldest
        )
        async with self._ledger.reading() as connection:
            return (await connection.execute(query)).first() is not None

    async def record(self, station: StationId, digest: Digest, *, size: int, at: datetime) -> None:
        """See the port."""
        table = t.upload
        build = postgresql.insert if self._ledger.engine.dialect.name == "postgresql" else sqlite.insert
        statement = build(table).values(station_id=station, digest=digest, size=size, at=micros(at))
        async with self._ledger.transaction() as tx:
            await tx.connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["station_id", "digest"],
                    set_={"size": statement.excluded["size"], "at": statement.excluded["at"]},
                )
            )

    async def forget(self, *, before: datetime) -> int:
        """Forget who uploaded what before that moment; how many there were. The payloads are not touched."""
        async with self._ledger.transaction() as tx:
            result = await tx.connection.execute(delete(t.upload).where(t.upload.c.at < micros(before)))
            return result.rowcount


class Spool:
    """
    Implements `axis.core.ports.UploadSpool` in one folder: `<station>/<digest>`, a file that grows, and
    `<station>/<digest>.whole`, one that does not any more.

    A lock on the file keeps two requests, of any two processes, from adding to it at the same time. A verified file
    gets its other name under the same lock: nobody who could still write to it has it open.
    """

    def __init__(self, root: Path, *, most_bytes: int = MOST_BYTES, most_uploads: int = MOST_UPLOADS) -> None:
        self._root = root
        self._most_bytes = most_bytes
        self._most_uploads = most_uploads

    async def offset(self, station: StationId, digest: Digest) -> int:
        """See the port."""
        path = self._path(station, digest)
        return await on_disk(lambda: _size_of(_whole(path)) or _size_of(path))

    async def append(
        self, station: StationId, digest: Digest, *, offset: int, pieces: AsyncIterator[bytes]
    ) -> int:
        """See the port."""
        path = self._path(station, digest)
        with contextlib.ExitStack() as files:
            descriptor, end = await on_disk(self._open, path, files)
            if end != offset:
                raise WrongOffset(end)
            if descriptor is None:
                return end
            return await self._add(path, descriptor, end, pieces)

    async def _add(self, path: Path, descriptor: int, end: int, pieces: AsyncIterator[bytes]) -> int:
        waiting: list[bytes] = []
        size = 0
        try:
            async for piece in pieces:
                waiting.append(piece)
                size += len(piece)
                if end + size > self._most_bytes:
                    waiting.clear()
                    await on_disk(path.unlink)
                    raise UploadRefused(ReasonCode.RECEIVE_TOO_LARGE, f"more than {self._most_bytes} bytes")
                if size >= _WRITTEN_AT_ONCE:
                    end = await on_disk(_write, descriptor, waiting, end)
                    waiting, size = [], 0
        finally:
            # What arrived before the connection broke counts: the station goes on from there.
            if waiting:
                end = await on_disk(_write, descriptor, waiting, end)
        return end

    async def finish(self, station: StationId, digest: Digest) -> Path:
        """See the port."""
        path = self._path(station, digest)
        await on_disk(_finish, path, digest)
        return _whole(path)

    async def discard(self, station: StationId, digest: Digest) -> None:
        """See the port."""
        path = self._path(station, digest)
        for one in (path, _whole(path)):
            await on_disk(one.unlink, missing_ok=True)

    async def expire(self, *, before: datetime) -> int:
        """See the port."""
        return await on_disk(_expire, self._root, before.timestamp())

    def _path(self, station: StationId, digest: Digest) -> Path:
        # Both come from outside: neither may lead out of the folder.
        if _STATION.match(station) is None or _DIGEST.match(digest) is None:
            raise NotFound("upload", digest[:64])
        return self._root / station / digest

    def _open(self, path: Path, files: contextlib.ExitStack) -> tuple[int | None, int]:
        """The locked file and its size; no file when the upload is whole."""
        if _whole(path).exists():
            return None, _size_of(_whole(path))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists() and sum(1 for _ in path.parent.iterdir()) >= self._most_uploads:
            raise UploadRefused(ReasonCode.RECEIVE_QUOTA, f"{self._most_uploads} uploads are under way")
        descriptor = files.enter_context(_locked(path, os.O_RDWR | os.O_CREAT))
        return descriptor, os.fstat(descriptor).st_size


def _whole(path: Path) -> Path:
    return path.with_name(f"{path.name}.whole")


def _finish(path: Path, digest: Digest) -> None:
    whole = _whole(path)
    try:
        # It may have been finished before, by a process that died before the payload was stored.
        source = whole if whole.exists() else path
        with _locked(source, os.O_RDONLY) as descriptor, open(descriptor, "rb", closefd=False) as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
            if found != digest:
                source.unlink()
                raise UploadRefused(ReasonCode.RECEIVE_DIGEST, f"the bytes sent have the digest {found}")
            source.replace(whole)
    except FileNotFoundError as problem:
        raise NotFound("upload", digest) from problem


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    """The file, opened and locked; `WrongOffset` when another request holds it."""
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                yield descriptor
                return
            # It was finished or discarded between opening and locking: what is locked has no name any more.
        except BlockingIOError as problem:
            raise WrongOffset(_size_of(path)) from problem
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _write(descriptor: int, pieces: list[bytes], end: int) -> int:
    rest = memoryview(b"".join(pieces))
    while rest:
        written = os.pwrite(descriptor, rest, end)
        rest = rest[written:]
        end += written
    return end


def _expire(root: Path, before: float) -> int:
    expired = 0
    for path in root.glob("*/*"):
        with contextlib.suppress(FileNotFoundError, WrongOffset):
            if path.stat().st_mtime < before:
                with _locked(path, os.O_RDONLY):
                    path.unlink()
                    expired += 1
    return expired
