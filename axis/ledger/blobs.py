"""
Payloads as files named by their SHA-256, each stored once: `ab/ab12…`.

A payload is written to a temporary file, synced, renamed to its name, and the folder is synced: killed at any moment,
there is either the whole blob or none. Several processes may put the same payload at once; the last rename wins and
changes nothing. Never reads what a payload says.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from axis.core.errors import NotFound, ServiceUnavailable
from axis.core.model import Digest
from axis.ledger.disk import on_disk, opened, sync_folder, unavailable

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_PIECE: Final = 1024 * 1024
"""Bytes read or written in one turn of a thread."""
_UNFINISHED: Final = "tmp"
_SHARDS: Final = tuple(f"{number:02x}" for number in range(256))


class FileBlobs:
    """Implements `axis.core.ports.Blobs` in one folder, which all processes of an axis share."""

    def __init__(self, root: Path) -> None:
        """
        Make the folders under `root`, once and durably, so that storing a payload syncs one folder only.

        Raises:
            ServiceUnavailable: the disk does not take them.
        """
        self._root = root
        try:
            for name in (*_SHARDS, _UNFINISHED):
                (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(root)
        except OSError as problem:
            raise unavailable(problem) from problem

    def path(self, digest: Digest) -> Path:
        """
        Where the finished blob lies, or would lie.

        Raises:
            NotFound: the text is no digest, so it names no file either.
        """
        if _DIGEST.match(digest) is None:
            raise NotFound("payload", digest[:64])
        return self._root / digest[:2] / digest

    async def put(self, payloads: Sequence[bytes | Path]) -> Sequence[Digest]:
        """
        Store each payload and return the digests in order; when this returns, they survive a power cut.

        A file is moved in and is gone from where it was; one that already is a blob stays where it is.

        Raises:
            ServiceUnavailable: the disk did not take all of them. Those it took are whole.
            NotFound: a file that was to be moved in does not exist.
        """
        if not payloads:
            return ()
        return await on_disk(self._put, payloads)

    async def read(self, digest: Digest) -> bytes:
        """
        The whole payload.

        Raises:
            NotFound: there is no such blob.
        """
        path = self.path(digest)
        try:
            return await on_disk(path.read_bytes)
        except ServiceUnavailable as problem:
            raise _missing(problem, digest) from problem.__cause__

    async def stream(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """
        The payload in pieces, from `start` to before `end`.

        Raises:
            NotFound: there is no such blob; raised before the first piece.
        """
        path = self.path(digest)
        with contextlib.ExitStack() as files:
            try:
                source = await on_disk(opened, path, os.O_RDONLY, files)
            except ServiceUnavailable as problem:
                raise _missing(problem, digest) from problem.__cause__
            position = start
            while end is None or position < end:
                most = _PIECE if end is None else min(_PIECE, end - position)
                piece = await on_disk(os.pread, source, most, position)
                if not piece:
                    return
                position += len(piece)
                yield piece

    async def size(self, digest: Digest) -> int | None:
        """Size in bytes, or None when there is no such blob."""
        if _DIGEST.match(digest) is None:
            return None
        return await on_disk(_size_of, self.path(digest))

    async def remove(self, digests: Sequence[Digest]) -> None:
        """Delete, so that a power cut does not bring them back; a missing blob is no error."""
        paths = [self.path(one) for one in digests if _DIGEST.match(one) is not None]
        if paths:
            await on_disk(_remove, paths)

    async def remove_idle(self, digests: Sequence[Digest], *, before: datetime) -> Sequence[Digest]:
        """
        Delete those that nobody has put since `before`; returns those that are gone now, or were before.

        Somebody who puts one at this moment either finds it and keeps it young, or finds it gone and writes it again.
        """
        paths = [self.path(one) for one in digests if _DIGEST.match(one) is not None]
        return await on_disk(_remove_idle, paths, before.timestamp())

    async def sweep(self, *, before: datetime) -> int:
        """Delete unfinished files that nothing was written to since `before`: what killed processes left."""
        return await on_disk(_sweep, self._root / _UNFINISHED, before.timestamp())

    # --- in a thread ----------------------------------------------------------------------------------------------

    def _put(self, payloads: Sequence[bytes | Path]) -> Sequence[Digest]:
        digests = [self._store(one) for one in payloads]
        # The names become durable together: one sync for each folder, however many payloads it got. Also for a blob
        # that was there: another process may have renamed it a moment ago and not have synced the folder yet.
        _sync_folders(self.path(one).parent for one in digests)
        return digests

    def _store(self, payload: bytes | Path) -> Digest:
        if isinstance(payload, bytes):
            return self._store_bytes(payload)
        if payload == self._blob_named(payload):
            if not _keep_young(payload):
                raise NotFound("file", payload.name)
            return Digest(payload.name)
        return self._move_in(payload)

    def _blob_named(self, file: Path) -> Path | None:
        return self.path(Digest(file.name)) if _DIGEST.match(file.name) is not None else None

    def _store_bytes(self, payload: bytes) -> Digest:
        digest = Digest(hashlib.sha256(payload).hexdigest())
        target = self.path(digest)
        if _size_of(target) != len(payload) or not _keep_young(target):
            self._write([payload], target)
        return digest

    def _move_in(self, file: Path) -> Digest:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as problem:
            raise NotFound("file", file.name) from problem
        with open(descriptor, "rb", buffering=0) as source:  # noqa: PTH123 - a descriptor has no path
            digest = Digest(hashlib.file_digest(source, "sha256").hexdigest())
            target = self.path(digest)
            if _size_of(target) == os.fstat(descriptor).st_size and _keep_young(target):
                file.unlink()
                return digest
            os.fsync(descriptor)
            try:
                file.replace(target)
            except OSError as problem:
                if problem.errno != errno.EXDEV:
                    raise
                # The spool lies on another disk.
                source.seek(0)
                self._write(iter(lambda: source.read(_PIECE), b""), target)
                file.unlink()
        return digest

    def _write(self, pieces: Iterable[bytes], target: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._root / _UNFINISHED)
        unfinished = Path(name)
        try:
            with open(descriptor, "wb", buffering=0) as sink:  # noqa: PTH123 - a descriptor has no path
                for piece in pieces:
                    _write_all(sink.fileno(), piece)
                os.fsync(sink.fileno())
            unfinished.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise


def _write_all(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        # One call may take a part only: 2 GiB is the most on Linux, and a signal or a full disk ends it earlier.
        rest = rest[os.write(descriptor, rest) :]


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _keep_young(path: Path) -> bool:
    """Mark a blob as handed in now; False: it is gone meanwhile."""
    with contextlib.ExitStack() as files, contextlib.suppress(FileNotFoundError):
        fcntl.flock(opened(path.parent, os.O_RDONLY, files), fcntl.LOCK_SH)
        os.utime(path)
        return True
    return False


def _remove_idle(paths: Sequence[Path], before: float) -> Sequence[Digest]:
    gone: list[Digest] = []
    for path in paths:
        with contextlib.ExitStack() as files:
            fcntl.flock(opened(path.parent, os.O_RDONLY, files), fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime >= before:
                    continue
                path.unlink()
            gone.append(Digest(path.name))
    _sync_folders(path.parent for path in paths)
    return gone


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    _sync_folders(path.parent for path in paths)


def _sweep(folder: Path, before: float) -> int:
    swept = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
                swept += 1
    return swept


def _sync_folders(folders: Iterable[Path]) -> None:
    for folder in sorted(set(folders)):
        sync_folder(folder)


def _missing(problem: ServiceUnavailable, digest: Digest) -> NotFound | ServiceUnavailable:
    return NotFound("payload", digest) if isinstance(problem.__cause__, FileNotFoundError) else problem
