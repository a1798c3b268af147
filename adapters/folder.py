"""
A station as folders, for systems that can read and write files and nothing else.

    out/        drop a complete edXML file here (write it elsewhere on the same disk, then rename it into place)
    sending/    on its way; each in a folder named by its message id, which a crash does not change
    sent/       accepted, duplicate or held, with `<name>.answer.json` beside it: what the axis said, with the receipt
    refused/    refused, or not sendable at all, with the same beside it
    in/         received: `<document>.json` (what the axis says of it) and `<document>.report.json` first, then
                `<document>.edxml`; take them away as you like
    events/     later events of what was sent, one file each, named by their number in the log

Every step is a rename: after a crash at any moment nothing is lost, nothing is sent twice as two documents, and a
received document appears once. Never deletes what a person has put here or has not taken yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import stat
from pathlib import Path
from typing import Any, Final

import structlog

from adapters.document import Document
from adapters.errors import (
    Closed,
    MemoryUnusable,
    NotAllowed,
    NotAnswered,
    NotPossible,
    NotProven,
    StationError,
)
from adapters.memory import write_whole
from adapters.station import Station
from axis.core.exchange import Answer, answer_json, consignment_json, receipt_json
from axis.core.model import SubmissionState
from axis.core.ports import Clock, Ids

_log = structlog.get_logger(__name__)

SUFFIXES: Final = (".edxml", ".xml")
MAX_MARKS: Final = 20_000
"""Documents remembered as delivered into `in/`."""

_FOLDERS: Final = ("out", "sending", "sent", "refused", "in", "events")
_STAGE: Final = ".arriving"
_MARKS: Final = ".delivered"
_NAME_BYTES: Final = 200
"""Longest stem of a file name beside which others are written; file systems take 255 bytes."""


class Folder:
    """One station's folders. `run` serves them until it is told to stop."""

    def __init__(
        self,
        station: Station,
        root: Path,
        *,
        clock: Clock,
        ids: Ids,
        poll_seconds: float = 1.0,
        settle_seconds: float = 2.0,
        parallel: int = 4,
    ) -> None:
        """
        Nothing is made yet.

        Args:
            station: An open station.
            root: The folder that holds the others.
            clock: Tells when a message id is made.
            ids: Makes message ids.
            poll_seconds: How often `out/` is looked through.
            settle_seconds: A file that still changed lately is being written; for systems that cannot rename.
            parallel: Most files on their way at a time.
        """
        self._station = station
        self._root = root
        self._clock = clock
        self._ids = ids
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._room = asyncio.Semaphore(parallel)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[Path, tuple[int, int, float]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """
        Serve the folders until `stop`; what is on its way is finished later, under the same message id.

        Raises:
            NotPossible: the folders cannot be made.
            NotAllowed: the axis does not take the station's key.
        """
        try:
            await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise NotPossible(f"{self._root}: {error.strerror}") from error
        work = [asyncio.ensure_future(one()) for one in (self._serve_out, self._serve_in, self._serve_events)]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait({*work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for one in done - {stopping}:
                await one
        finally:
            for task in (*work, stopping, *self._under_way.values()):
                task.cancel()
            await asyncio.gather(*work, stopping, *self._under_way.values(), return_exceptions=True)

    def _prepare(self) -> None:
        for name in _FOLDERS:
            (self._root / name).mkdir(parents=True, exist_ok=True)
        for name in (_STAGE, _MARKS):
            (self._root / "in" / name).mkdir(exist_ok=True)
        for staged in (self._root / "in" / _STAGE).iterdir():
            if (self._mark(staged.name)).exists():
                self._appear(staged.name)
            else:
                # It was not complete, so `done` was not said: it comes again.
                shutil.rmtree(staged)
        self._forget_marks()

    # --- out ------------------------------------------------------------------------------------------------------

    async def _serve_out(self) -> None:
        while True:
            for claimed in sorted((self._root / "sending").iterdir()):
                self._begin(claimed)
            for found in await asyncio.to_thread(self._complete_files, asyncio.get_running_loop().time()):
                # Claimed only when there is room, so that what waits can still be taken back by its owner.
                async with self._room:
                    mine = await asyncio.to_thread(self._claim, found)
                if mine is not None:
                    self._begin(mine)
                    await asyncio.sleep(0)
            await asyncio.sleep(self._poll_seconds)

    def _complete_files(self, now: float) -> list[Path]:
        found: list[Path] = []
        seen: dict[Path, tuple[int, int, float]] = {}
        for path in sorted((self._root / "out").iterdir()):
            if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            try:
                facts = path.lstat()
            except OSError:
                continue
            if not stat.S_ISREG(facts.st_mode):
                continue
            size, changed, since = self._seen.get(path, (-1, -1, now))
            if (size, changed) != (facts.st_size, facts.st_mtime_ns):
                since = now
            seen[path] = (facts.st_size, facts.st_mtime_ns, since)
            if now - since >= self._settle_seconds:
                found.append(path)
        self._seen = seen
        return found

    def _claim(self, path: Path) -> Path | None:
        """Give a file its message id, by renaming it: from here on a crash changes nothing."""
        folder = self._root / "sending" / self._ids.new(self._clock.now())
        try:
            folder.mkdir()
            path.rename(folder / path.name)
        except OSError as error:
            # Somebody still holds it, or took it back.
            with contextlib.suppress(OSError):
                folder.rmdir()
            _log.info("folder.not_claimed", name=path.name, cause=error.strerror)
            return None
        return folder

    def _begin(self, claimed: Path) -> None:
        if claimed.name in self._under_way:
            return
        task = asyncio.ensure_future(self._send(claimed))
        self._under_way[claimed.name] = task
        task.add_done_callback(lambda _: self._under_way.pop(claimed.name, None))

    async def _send(self, claimed: Path) -> None:
        async with self._room:
            try:
                path = await asyncio.to_thread(_claimed_file, claimed)
                if path is None:
                    return
                into, said = await self._submit(path, message_id=claimed.name)
                await asyncio.to_thread(self._put_away, path, into=into, said=said)
            except (OSError, StationError) as error:
                if isinstance(error, Closed):
                    return
                # It stays where it is, and is tried again under the same message id.
                _log.error("folder.not_sent", message_id=claimed.name, cause=str(error))
                await asyncio.sleep(self._poll_seconds * 30)

    async def _submit(self, path: Path, *, message_id: str) -> tuple[str, dict[str, Any]]:
        """Submit until there is an answer; where the file belongs then, and what is written beside it."""
        while True:
            try:
                answer = await self._station.submit(path, message_id=message_id, within=None)
            except NotAnswered:
                continue
            except NotAllowed as error:
                _log.error("folder.not_allowed", cause=str(error))
                await asyncio.sleep(self._poll_seconds * 30)
            except NotPossible as error:
                return "refused", {"type": "problem", "state": "not_sent", "en": str(error)}
            except NotProven as error:
                # The axis answered; that it said so cannot be shown to anybody. A person must look.
                _log.error("folder.receipt_not_proven", message_id=message_id, cause=str(error))
                if error.answer is None:
                    raise
                return _place(error.answer), {**answer_json(error.answer), "not_proven": str(error)}
            else:
                return _place(answer), dict(answer_json(answer))

    def _put_away(self, path: Path, *, into: str, said: dict[str, Any]) -> None:
        message_id = path.parent.name
        name = self._free_name(into, path.name, message_id=message_id)
        write_whole(
            self._root / into / f"{_stem(name)}.answer.json",
            json.dumps({"message_id": message_id, **said}, ensure_ascii=False, indent=1).encode(),
        )
        path.rename(self._root / into / name)
        path.parent.rmdir()
        _log.info("folder.sent", message_id=message_id, state=said.get("state"), name=name)

    def _free_name(self, into: str, name: str, *, message_id: str) -> str:
        """The file's own name, or one with its message id when another file of that name lies there already."""
        beside = self._root / into / f"{_stem(name)}.answer.json"
        if not (self._root / into / name).exists():
            try:
                taken = json.loads(beside.read_bytes()).get("message_id") != message_id
            except FileNotFoundError:
                return name
            except (OSError, ValueError, AttributeError):
                taken = True
            if not taken:
                return name
        path = Path(name)
        return f"{_stem(path.stem)}.{message_id}{path.suffix}"

    # --- in -------------------------------------------------------------------------------------------------------

    async def _serve_in(self) -> None:
        count = 0
        async with self._station.receive() as inbox:
            async for document in inbox:
                count += 1
                if count % 1_000 == 0:
                    await asyncio.to_thread(self._forget_marks)
                try:
                    await self._deliver(document)
                except (OSError, MemoryUnusable) as error:
                    _log.error("folder.not_received", document=document.key, cause=str(error))
                    await document.fail(f"the receiver's folder does not take it: {type(error).__name__}")
                else:
                    await document.done()

    async def _deliver(self, document: Document) -> None:
        """Stage it, mark it, let it appear: a crash between any two of them ends in the same place."""
        if not await asyncio.to_thread(self._mark(document.key).exists):
            staged = self._root / "in" / _STAGE / document.key
            await asyncio.to_thread(staged.mkdir, exist_ok=True)
            await document.save(staged / f"{document.key}.edxml")
            about = consignment_json(document.header)
            await asyncio.to_thread(_write_json, staged / f"{document.key}.json", dict(about))
            report = await self._report(document)
            if report is not None:
                await asyncio.to_thread(_write_json, staged / f"{document.key}.report.json", report)
            await asyncio.to_thread(write_whole, self._mark(document.key), b"")
        await asyncio.to_thread(self._appear, document.key)
        _log.info("folder.received", document=document.key, kind=document.kind.value)

    async def _report(self, document: Document) -> dict[str, Any] | None:
        try:
            report = await document.report()
        except Closed:
            raise
        except StationError as error:
            _log.warning("folder.no_report", document=document.key, cause=str(error))
            return None
        return {
            "report": report.body.decode(),
            "receipt": receipt_json(report.receipt),
            "valued": receipt_json(report.valued) if report.valued else None,
            "is_proven": report.is_proven,
        }

    def _mark(self, key: str) -> Path:
        return self._root / "in" / _MARKS / key

    def _appear(self, key: str) -> None:
        """Move a staged document into `in/`, its own file last; without effect when that was done before."""
        staged = self._root / "in" / _STAGE / key
        for name in (f"{key}.json", f"{key}.report.json", f"{key}.edxml"):
            with contextlib.suppress(FileNotFoundError):
                (staged / name).replace(self._root / "in" / name)
        with contextlib.suppress(OSError):
            staged.rmdir()

    def _forget_marks(self) -> None:
        """The oldest go first: ids sort by time."""
        marks = sorted((self._root / "in" / _MARKS).iterdir())
        for mark in marks[: max(0, len(marks) - MAX_MARKS)]:
            mark.unlink(missing_ok=True)

    # --- events ---------------------------------------------------------------------------------------------------

    async def _serve_events(self) -> None:
        async with self._station.events() as events:
            async for told in events:
                path = self._root / "events" / f"{told.index:012d}.json"
                await self._keep(path, told.record.encode())

    async def _keep(self, path: Path, body: bytes) -> None:
        while True:
            try:
                await asyncio.to_thread(write_whole, path, body)
            except MemoryUnusable as error:
                _log.error("folder.event_not_kept", cause=str(error))
                await asyncio.sleep(self._poll_seconds * 10)
            else:
                return


def _place(answer: Answer) -> str:
    return "refused" if answer.state is SubmissionState.REFUSED else "sent"


def _claimed_file(claimed: Path) -> Path | None:
    """The file in its folder; a folder that a crash left empty is taken away."""
    path = next(claimed.iterdir(), None)
    if path is None:
        claimed.rmdir()
    return path


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def _stem(name: str) -> str:
    """The name, cut at a character where others of more letters could not stand beside it."""
    return name.encode()[:_NAME_BYTES].decode(errors="ignore")
