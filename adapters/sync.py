"""
The same station for programs without an event loop: every call blocks until it has its answer.

    with SyncStation("https://axis.example", credentials, state=Path("state")) as station:
        for document in station.receive():
            store(document.body)
            document.done()

One thread of its own runs the loop, so that connections live on between calls. Any thread may call. Waiting is
interruptible: Ctrl-C ends the call, not the station.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from adapters.document import Document, Report
from adapters.errors import Closed, NotAnswered
from adapters.reader import Reader
from adapters.station import ASK_SECONDS, SUBMIT_SECONDS, WINDOW, Credentials, Station, Told
from axis.core.exchange import (
    Ack,
    Answer,
    Consignment,
    Duty,
    Notice,
    OwedBy,
    OwedList,
    Receipt,
    Submitted,
    Whereabouts,
)
from axis.core.model import DeliveryId, Digest, DocumentKey, Kind, Lane, LegalValue, SubmissionId, Tier
from axis.edxml.message import Message, StaffInfo, Status, StatusCode
from axis.web.wire import MAX_ORGANS, OrganList, Whoami
from signing.note import Checkpoint
from signing.receipts import VerifiedReceipt

_Result = TypeVar("_Result")

_CLOSE_SECONDS: Final = 30.0


class SyncDocument:
    """`adapters.document.Document`, blocking."""

    def __init__(self, document: Document, loop: _Loop) -> None:
        self._document = document
        self._loop = loop

    def __repr__(self) -> str:
        return repr(self._document)

    @property
    def header(self) -> Consignment:
        """All that the axis says of it."""
        return self._document.header

    @property
    def key(self) -> DocumentKey:
        """The axis's own id of the document."""
        return self._document.key

    @property
    def kind(self) -> Kind:
        """Document or status."""
        return self._document.kind

    @property
    def digest(self) -> Digest:
        """SHA-256 of the bytes."""
        return self._document.digest

    @property
    def tier(self) -> Tier:
        """What the signature of the message is worth."""
        return self._document.tier

    @property
    def value(self) -> LegalValue:
        """What the signatures inside the attachments make of it."""
        return self._document.value

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Remarks of the axis, in both languages."""
        return self._document.warnings

    @property
    def is_withdrawn(self) -> bool:
        """Whether the axis took it back after it was handed out."""
        return self._document.is_withdrawn

    @property
    def body(self) -> bytes:
        """The bytes as their sender made them. Those of a large document are gone after `done` or `fail`."""
        return self._document.body

    def save(self, path: Path) -> None:
        """Write the bytes to a file: all of them, or none after a crash."""
        self._loop.run(self._document.save(path))

    def message(self) -> Message:
        """The edXML message inside."""
        return self._loop.run(self._document.message())

    def report(self) -> Report:
        """The signed verification report, checked."""
        return self._loop.run(self._document.report())

    def done(self) -> None:
        """My system has it."""
        self._loop.run(self._document.done())

    def fail(self, reason: str) -> None:
        """My system cannot take it now."""
        self._loop.run(self._document.fail(reason))

    @property
    def asynchronous(self) -> Document:
        """The document itself, for `SyncStation.answer`."""
        return self._document


class SyncStation:
    """`adapters.station.Station`, blocking. Takes the same settings."""

    def __init__(self, url: str, credentials: Credentials, **settings: Any) -> None:
        """
        Check the settings; nothing is opened yet.

        Raises:
            NotPossible: they cannot work.
        """
        self._make: Callable[[], Station] = lambda: Station(url, credentials, **settings)
        self._make()
        self._loop: _Loop | None = None
        self._station: Station | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Take the state folder and get ready."""
        if self._loop is not None:
            return
        loop = _Loop()
        try:
            self._station = loop.run(_opened(self._make))
        except BaseException:
            loop.stop()
            raise
        self._loop = loop

    def close(self) -> None:
        """Stop in good order."""
        loop, station = self._loop, self._station
        self._loop = self._station = None
        if loop is None or station is None:
            return
        try:
            loop.run(station.close(), within=_CLOSE_SECONDS)
        finally:
            loop.stop()

    def _both(self) -> tuple[_Loop, Station]:
        if self._loop is None or self._station is None:
            raise Closed("the station is not open")
        return self._loop, self._station

    # --- the calls, as `Station` describes them -------------------------------------------------------------------

    def submit(
        self,
        package: bytes | Path,
        *,
        lane: Lane | None = None,
        message_id: str | None = None,
        by_digest: bool = False,
        within: float | None = SUBMIT_SECONDS,
    ) -> Answer:
        """Hand in a document or a status."""
        loop, station = self._both()
        return loop.run(
            station.submit(package, lane=lane, message_id=message_id, by_digest=by_digest, within=within)
        )

    def receive(self, *, window: int = WINDOW, within: float | None = None) -> Iterator[SyncDocument]:
        """
        Documents as they come, urgent ones first. Ends after `within` seconds without one; None: never by itself.
        """
        loop, station = self._both()
        inbox = loop.call(lambda: station.receive(window=window))
        try:
            while True:
                document = loop.run(_next(inbox, within))
                if document is None:
                    return
                yield SyncDocument(document, loop)
        finally:
            if not loop.is_stopped:
                loop.run(inbox.aclose())

    def events(self, *, within: float | None = None) -> Iterator[Told]:
        """Later events. Ends after `within` seconds without one; None: never by itself."""
        loop, station = self._both()
        return loop.iterate(loop.call(station.events), within=within)

    def receipts(self, *, within: float | None = None) -> Iterator[Answer]:
        """Answers no call waits for. Ends after `within` seconds without one; None: never by itself."""
        loop, station = self._both()
        return loop.iterate(loop.call(station.receipts), within=within)

    def send_status(
        self, status: Status, *, message_id: str | None = None, within: float | None = SUBMIT_SECONDS
    ) -> Answer:
        """Write an edXML status and hand it in."""
        loop, station = self._both()
        return loop.run(station.send_status(status, message_id=message_id, within=within))

    def answer(
        self,
        document: SyncDocument,
        code: StatusCode,
        *,
        description: str = "",
        organ: str | None = None,
        staff: StaffInfo | None = None,
        message_id: str | None = None,
        within: float | None = SUBMIT_SECONDS,
    ) -> Answer:
        """Answer a received document with a status."""
        loop, station = self._both()
        return loop.run(
            station.answer(
                document.asynchronous,
                code,
                description=description,
                organ=organ,
                staff=staff,
                message_id=message_id,
                within=within,
            )
        )

    def answer_to(
        self,
        *,
        submission: SubmissionId | None = None,
        message_id: str | None = None,
        within: float | None = ASK_SECONDS,
    ) -> Answer:
        """The answer to an earlier submission as it stands now."""
        loop, station = self._both()
        return loop.run(station.answer_to(submission=submission, message_id=message_id, within=within))

    def where_is(self, document: DocumentKey | str, *, within: float | None = ASK_SECONDS) -> Whereabouts:
        """Where a document this station sent stands."""
        loop, station = self._both()
        return loop.run(station.where_is(document, within=within))

    def submissions(
        self,
        *,
        kind: Kind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        named: str | None = None,
        offset: int = 0,
        limit: int = 100,
        within: float | None = ASK_SECONDS,
    ) -> Sequence[Submitted]:
        """What this station handed in, newest first."""
        loop, station = self._both()
        return loop.run(
            station.submissions(
                kind=kind, since=since, until=until, named=named, offset=offset, limit=limit, within=within
            )
        )

    def owed(
        self,
        duty: Duty,
        *,
        by: OwedBy = OwedBy.ME,
        after: DeliveryId | None = None,
        within: float | None = ASK_SECONDS,
    ) -> OwedList:
        """The answers this station owes, or is owed, page by page."""
        loop, station = self._both()
        return loop.run(station.owed(duty, by=by, after=after, within=within))

    def organs(
        self,
        *,
        since: int = 0,
        after: int = 0,
        limit: int = MAX_ORGANS,
        within: float | None = ASK_SECONDS,
    ) -> OrganList:
        """The directory, page by page."""
        loop, station = self._both()
        return loop.run(station.organs(since=since, after=after, limit=limit, within=within))

    def register_organ(
        self, code: str, *, name: str, parent: str = "", within: float | None = ASK_SECONDS
    ) -> None:
        """Register an organ below one of this station's, or give one that stands there another name."""
        loop, station = self._both()
        loop.run(station.register_organ(code, name=name, parent=parent, within=within))

    def close_organ(self, code: str, *, within: float | None = ASK_SECONDS) -> None:
        """Close an organ below one of this station's."""
        loop, station = self._both()
        loop.run(station.close_organ(code, within=within))

    def whoami(self, *, within: float | None = ASK_SECONDS) -> Whoami:
        """What the axis knows of this station."""
        loop, station = self._both()
        return loop.run(station.whoami(within=within))

    def resync(self, *, within: float | None = ASK_SECONDS) -> None:
        """Have everything offered again that was handed over and not ended."""
        loop, station = self._both()
        loop.run(station.resync(within=within))

    def say(self, acks: Sequence[Ack], *, within: float | None = ASK_SECONDS) -> None:
        """Say how deliveries ended whose documents are not at hand any more."""
        loop, station = self._both()
        loop.run(station.say(acks, within=within))

    def witness(self, *, within: float | None = ASK_SECONDS) -> Checkpoint | None:
        """Look at the log now."""
        loop, station = self._both()
        return loop.run(station.witness(within=within))

    def verify_receipt(self, receipt: Receipt) -> VerifiedReceipt:
        """Verify a receipt offline, with the pinned keys."""
        return self._both()[1].verify_receipt(receipt)


async def _opened(make: Callable[[], Station]) -> Station:
    station = make()
    await station.open()
    return station


async def _next(items: AsyncIterator[_Result], within: float | None) -> _Result | None:
    try:
        async with asyncio.timeout(within):
            return await anext(items)
    except (TimeoutError, StopAsyncIteration):
        return None


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="axis-station", daemon=True)
        self._thread.start()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing can run any more."""
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, _Result], *, within: float | None = None) -> _Result:
        """Run to the end. Interrupted, the work is cancelled, and its end waited for."""
        if self.is_stopped:
            work.close()
            raise Closed("the station was closed")
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result(timeout=within)
        except concurrent.futures.CancelledError as error:
            raise Closed("the station was closed") from error
        except TimeoutError as error:
            if running.done():
                raise
            running.cancel()
            raise NotAnswered(f"not done within {within} s") from error
        except BaseException:
            running.cancel()
            raise

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Call something that must happen in the loop's thread."""

        async def calling() -> _Result:
            return work()

        return self.run(calling())

    def iterate(self, items: Reader[_Result], *, within: float | None) -> Iterator[_Result]:
        """The items, one by one."""
        try:
            while (item := self.run(_next(items, within))) is not None:
                yield item
        finally:
            if not self.is_stopped:
                self.run(items.aclose())

    def stop(self) -> None:
        """End the thread; what still runs in the loop is cancelled."""
        if self.is_stopped:
            return
        with contextlib.suppress(concurrent.futures.CancelledError):
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(timeout=_CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
