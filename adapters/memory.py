"""
What a station must not forget when its process dies: which deliveries it has taken, how far it has read the events,
the last checkpoint it saw, and letters that came and nobody has read yet.

One folder per station, held by one process at a time::

    memory.jsonl     one fact a line, appended and synced; written anew (temporary file, fsync, rename, fsync of the
                     folder) when it has grown; a last line that was torn by a crash never happened
    events.jsonl     events that came over AMQP and were not read yet; likewise receipts.jsonl
    spool/           large payloads under way; emptied at every start
    alarms/          evidence of a rewritten history, see `adapters.witness`

Everything is bounded: the oldest deliveries are forgotten after `MAX_DONE`. Without a folder all of it lives in
memory and ends with the process. Never holds a document that was taken, a key or a password.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from adapters.errors import MemoryUnusable

_Key = TypeVar("_Key")

VERSION: Final = 1
MAX_DONE: Final = 50_000
"""Deliveries remembered as taken. One that comes again after so many others is handed out again."""
MAX_WITHDRAWN: Final = 20_000
MAX_HEARD: Final = 5_000
MAX_UNREAD_BYTES: Final = 64 * 1024 * 1024
"""Letters nobody reads are kept up to this; what comes then stays readable in the ledger only."""
MAX_UNREAD_IN_MEMORY: Final = 10_000

_GROWN_BYTES: Final = 4 * 1024 * 1024


class Memory:
    """The facts. Every method that changes one returns when it would survive a power cut; callable from any thread."""

    def __init__(self, *, station: str, folder: Path | None) -> None:
        self._station = station
        self._folder = folder
        self._guard = threading.RLock()
        self._done: dict[str, None] = {}
        self._withdrawn: dict[str, None] = {}
        self._heard: dict[int, None] = {}
        self._positions: dict[str, int] = {}
        self._feed = -1
        self._checkpoint: str | None = None
        self._lock: _FolderLock | None = None
        self._file: Lines | None = None
        self._spool: tempfile.TemporaryDirectory[str] | None = None
        self._unread: dict[str, Unread] = {}
        if folder is not None:
            self._open(folder)

    def _open(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _FolderLock(folder / "lock")
        except OSError as error:
            raise MemoryUnusable(f"{folder} cannot be used as a state folder: {error.strerror}") from error
        try:
            self._file = Lines(folder / "memory.jsonl")
            for number, line in enumerate(self._file.read(), start=1):
                self._recall(line, number=number)
            self._rewrite()
            spool = folder / "spool"
            spool.mkdir(exist_ok=True)
            for left in spool.iterdir():
                left.unlink()
        except OSError as error:
            self.close()
            raise MemoryUnusable(f"{folder}: {error.strerror}") from error
        except MemoryUnusable:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the folder."""
        with self._guard:
            for unread in self._unread.values():
                unread.close()
            self._unread.clear()
            if self._file is not None:
                self._file.close()
                self._file = None
            if self._spool is not None:
                self._spool.cleanup()
                self._spool = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    # --- deliveries -----------------------------------------------------------------------------------------------

    def is_done(self, deliveries: Iterable[str]) -> bool:
        """Whether every one of these deliveries was taken; False for none at all."""
        with self._guard:
            found = [one in self._done for one in deliveries]
        return bool(found) and all(found)

    def remember_done(self, deliveries: Sequence[str]) -> None:
        """These deliveries are taken."""
        self._note({"done": list(deliveries)})

    def is_withdrawn(self, name: str) -> bool:
        """Whether the axis took back the consignment or delivery of this name."""
        with self._guard:
            return name in self._withdrawn

    def remember_withdrawn(self, *names: str) -> None:
        """The axis took these consignments or deliveries back: when they come, they are not handed out."""
        self._note({"withdrawn": list(names)})

    # --- events ---------------------------------------------------------------------------------------------------

    @property
    def feed(self) -> int:
        """Leaf index of the last event that was read; -1 before the first."""
        return self._feed

    def advance_feed(self, index: int) -> None:
        """Everything up to this event was read."""
        self._note({"feed": index})

    def has_heard(self, index: int) -> bool:
        """Whether this event was pushed to us lately. Pushed events may come twice, and not quite in order."""
        with self._guard:
            return index in self._heard

    def remember_heard(self, indexes: Sequence[int]) -> None:
        """These events were pushed to us and are kept."""
        self._note({"heard": list(indexes)})

    # --- the log --------------------------------------------------------------------------------------------------

    @property
    def checkpoint(self) -> str | None:
        """The newest checkpoint that was seen and found consistent: the signed note, verbatim."""
        return self._checkpoint

    def remember_checkpoint(self, note: str) -> None:
        """This checkpoint continues the one before it."""
        self._note({"checkpoint": note})

    def keep_evidence(self, name: str, parts: Mapping[str, str]) -> Path | None:
        """Keep evidence of a rewritten history; where, or None without a folder. Never overwrites."""
        if self._folder is None:
            return None
        folder = self._folder / "alarms"
        path = folder / f"{name}.json"
        try:
            folder.mkdir(exist_ok=True)
            if not path.exists():
                _write_whole(path, json.dumps(parts, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise MemoryUnusable(f"{path}: {error.strerror}") from error
        return path

    # --- files ----------------------------------------------------------------------------------------------------

    @property
    def spool(self) -> Path:
        """Where large payloads lie while they are under way."""
        with self._guard:
            if self._folder is not None:
                return self._folder / "spool"
            if self._spool is None:
                self._spool = tempfile.TemporaryDirectory(prefix="axis-station-")
            return Path(self._spool.name)

    def unread(self, name: str) -> Unread:
        """Letters of one sort that nobody has read yet."""
        with self._guard:
            if name not in self._unread:
                self._unread[name] = Unread(
                    name=name,
                    memory=self,
                    path=None if self._folder is None else self._folder / f"{name}.jsonl",
                )
            return self._unread[name]

    def position(self, name: str) -> int:
        """How far `unread(name)` was read, in bytes."""
        with self._guard:
            return self._positions.get(name, 0)

    def remember_position(self, name: str, position: int) -> None:
        """Everything before it was read."""
        self._note({"read": {name: position}})

    # --- one fact -------------------------------------------------------------------------------------------------

    def _note(self, fact: Mapping[str, Any]) -> None:
        with self._guard:
            if self._file is not None:
                try:
                    self._file.append([_line(fact)])
                except OSError as error:
                    raise MemoryUnusable(f"{self._file.path}: {error.strerror}") from error
            self._apply(fact)
            if self._file is not None and self._file.size > _GROWN_BYTES:
                # Everything is in the old file: that it cannot be made smaller now loses nothing.
                with contextlib.suppress(OSError):
                    self._rewrite()

    def _recall(self, line: bytes, *, number: int) -> None:
        try:
            fact = json.loads(line)
            if number == 1:
                self._check_head(fact)
            else:
                self._apply(fact)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise MemoryUnusable(
                f"memory.jsonl, line {number}, is damaged. Move the folder away to start without a memory:"
                " documents that were taken may then be handed out once more, and the witness begins anew"
            ) from error

    def _check_head(self, fact: Mapping[str, Any]) -> None:
        if fact["v"] != VERSION:
            raise MemoryUnusable(f"memory.jsonl is of version {fact['v']}, this program knows {VERSION}")
        if fact["station"] != self._station:
            raise MemoryUnusable(f"this is the state folder of {fact['station']}, not of {self._station}")

    def _apply(self, fact: Mapping[str, Any]) -> None:
        for name, value in fact.items():
            match name:
                case "done":
                    _remember(self._done, [str(one) for one in value], most=MAX_DONE)
                case "withdrawn":
                    _remember(self._withdrawn, [str(one) for one in value], most=MAX_WITHDRAWN)
                case "heard":
                    _remember(self._heard, [int(one) for one in value], most=MAX_HEARD)
                case "feed":
                    self._feed = int(value)
                case "checkpoint":
                    self._checkpoint = str(value)
                case "read":
                    self._positions |= {str(one): int(position) for one, position in value.items()}
                case _:
                    # A newer program wrote it: it is forgotten, which costs what its absence costs.
                    continue

    def _rewrite(self) -> None:
        if self._file is None:
            return
        facts: list[Mapping[str, Any]] = [{"v": VERSION, "station": self._station}]
        if self._done:
            facts.append({"done": list(self._done)})
        if self._withdrawn:
            facts.append({"withdrawn": list(self._withdrawn)})
        if self._heard:
            facts.append({"heard": list(self._heard)})
        if self._positions:
            facts.append({"read": self._positions})
        facts.append({"feed": self._feed})
        if self._checkpoint is not None:
            facts.append({"checkpoint": self._checkpoint})
        self._file.replace([_line(fact) for fact in facts])


class Unread:
    """
    Letters in the order they came, until somebody has read them. One reader.

    A letter counts as read when `forget_first` is called: after a crash the one under way comes again.
    """

    def __init__(self, *, name: str, memory: Memory, path: Path | None) -> None:
        self._name = name
        self._memory = memory
        self._guard = threading.RLock()
        self._lines = None if path is None else Lines(path)
        self._waiting: deque[tuple[int, bytes]] = deque()
        """The first letters that are not read, each with the position behind it."""
        self._loaded = 0
        if self._lines is not None:
            self._lines.settle()
            self._loaded = memory.position(name)
            if self._loaded > self._lines.size:
                # Emptied just before the crash: everything was read.
                self._loaded = 0
                memory.remember_position(name, 0)

    def close(self) -> None:
        with self._guard:
            if self._lines is not None:
                self._lines.close()

    def add(self, letters: Sequence[bytes]) -> bool:
        """Keep these JSON letters; False when there is no room, and then none of them is kept."""
        with self._guard:
            if self._lines is None:
                if len(self._waiting) + len(letters) > MAX_UNREAD_IN_MEMORY:
                    return False
                self._waiting.extend((0, one) for one in letters)
                return True
            if self._lines.size > MAX_UNREAD_BYTES:
                return False
            try:
                self._lines.append([one.replace(b"\n", b" ") + b"\n" for one in letters])
            except OSError as error:
                raise MemoryUnusable(f"{self._lines.path}: {error.strerror}") from error
            return True

    def first(self) -> bytes | None:
        """The oldest letter that was not read."""
        with self._guard:
            if not self._waiting and self._lines is not None and self._loaded < self._lines.size:
                for line in self._lines.read(start=self._loaded, most=200):
                    self._loaded += len(line) + 1
                    self._waiting.append((self._loaded, line))
            return self._waiting[0][1] if self._waiting else None

    def forget_first(self) -> None:
        """The letter `first` gave was read."""
        with self._guard:
            position, _ = self._waiting.popleft()
            if self._lines is None:
                return
            if not self._waiting and self._loaded >= self._lines.size:
                # First emptied, then noted: the other way round, a crash between the two would lose letters.
                self._lines.empty()
                self._loaded = position = 0
            self._memory.remember_position(self._name, position)


class Lines:
    """A file of lines: appended and synced, or replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Unbuffered: what could not be written must not be written later, behind our back.
        self._out = path.open("ab", buffering=0)
        self.size = self._out.tell()

    def close(self) -> None:
        self._out.close()

    def settle(self) -> None:
        """Cut off a last line that a crash tore."""
        with self.path.open("rb") as source:
            kept = end = self.size
            while end > 0:
                start = max(0, end - 65_536)
                source.seek(start)
                newline = source.read(end - start).rfind(b"\n")
                if newline >= 0:
                    kept = start + newline + 1
                    break
                kept = end = start
        if kept < self.size:
            self._out.truncate(kept)
            os.fsync(self._out.fileno())
            self.size = kept

    def read(self, *, start: int = 0, most: int | None = None) -> Iterator[bytes]:
        """Whole lines without their ends, from a position on."""
        self.settle()
        with self.path.open("rb") as source:
            source.seek(start)
            for count, line in enumerate(source):
                if count == most:
                    return
                yield line[:-1]

    def append(self, lines: Sequence[bytes]) -> None:
        """Raises `OSError`: nothing was added."""
        body = b"".join(lines)
        rest = memoryview(body)
        try:
            while rest:
                rest = rest[self._out.write(rest) :]
            os.fsync(self._out.fileno())
        except OSError:
            # A half line in the middle of the file would damage it: back to what was there.
            with contextlib.suppress(OSError):
                os.ftruncate(self._out.fileno(), self.size)
            raise
        self.size += len(body)

    def empty(self) -> None:
        self._out.truncate(0)
        os.fsync(self._out.fileno())
        self.size = 0

    def replace(self, lines: Sequence[bytes]) -> None:
        """All lines at once: a crash leaves either the old file or the new one."""
        body = b"".join(lines)
        self._out.close()
        try:
            _write_whole(self.path, body)
        finally:
            self._out = self.path.open("ab", buffering=0)
            self.size = self._out.tell()


class _FolderLock:
    """Held by one process; given back by the system when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")
        try:
            _lock(self._file.fileno())
        except OSError as error:
            self._file.close()
            raise MemoryUnusable(f"{path.parent} is in use by another process of this station") from error

    def close(self) -> None:
        self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _sync_folder(folder: Path) -> None:
        """Windows has no such thing; the rename itself is journalled."""

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _sync_folder(folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_whole(path: Path, body: bytes) -> None:
    """
    Write a file so that a crash leaves either all of it or what was there before.

    Raises:
        MemoryUnusable: the disk does not take it.
    """
    try:
        _write_whole(path, body)
    except OSError as error:
        raise MemoryUnusable(f"{path}: {error.strerror}") from error


def _write_whole(path: Path, body: bytes) -> None:
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as out:
        out.write(body)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _line(fact: Mapping[str, Any]) -> bytes:
    return json.dumps(fact, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _remember(kept: dict[_Key, None], new: Iterable[_Key], *, most: int) -> None:
    for one in new:
        # Again at the end: what was heard of lately is forgotten last.
        kept.pop(one, None)
        kept[one] = None
    while len(kept) > most:
        del kept[next(iter(kept))]
