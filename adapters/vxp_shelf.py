"""
What the VXP gateway shows of one station: what waits for it, and what it has sent.

The shelf holds headers of documents the axis handed over and the client has not ended: nothing that could be lost, as
the axis offers all of it again to the next process. The register lists what was sent through this gateway, newest
20,000; the documents and where they are lie at the axis, and every row is asked for there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from adapters.document import Document
from adapters.errors import Closed, MemoryUnusable, NotAllowed, NotFound, StationError
from adapters.inbox import Inbox
from adapters.memory import Lines
from adapters.station import Station
from adapters.vxp_words import Transport
from axis.core.model import DocumentKey, Kind, Lane, SubmissionId
from axis.edxml.reader import Unreadable

_log = structlog.get_logger(__name__)

WINDOW: Final = 5_000
"""Documents shown at a time; what waits behind them comes as these are ended."""
MAX_SENT: Final = 20_000
MAX_ENDED: Final = 10_000

_IDLE_SECONDS: Final = 0.5
"""Nothing came for so long: the shelf shows all there is."""
_AGAIN_SECONDS: Final = 5.0


@dataclass(slots=True)
class Item:
    """One document on the shelf."""

    document: Document
    sender: str
    """Code of the organ it comes from."""
    transport: Transport
    updated_at: datetime


class Shelf:
    """What waits for one station. Filled in the background, from `open` until `close`."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._items: dict[DocumentKey, Item] = {}
        self._ended: dict[DocumentKey, Transport] = {}
        self._filling: asyncio.Task[None] | None = None
        self._is_known = asyncio.Event()
        """What waited at the beginning is on the shelf, or it is known why not."""
        self._problem: StationError | None = None

    def open(self) -> None:
        """Begin to fill it."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.ensure_future(self._fill())

    async def close(self) -> None:
        """Stop; everything comes again to whoever opens the next one."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)

    async def _fill(self) -> None:
        while True:
            try:
                async with self._station.receive(window=WINDOW, lazy=True) as inbox:
                    while (document := await self._next(inbox)) is not None:
                        self._problem = None
                        await self._put(document)
            except Closed:
                pass
            except StationError as error:
                # A key that is refused, a disk that is full: said to whoever asks, and tried again.
                self._problem = error
                self._is_known.set()
                _log.error("vxp.not_received", station=self._station.id, cause=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            return

    async def _next(self, inbox: Inbox) -> Document | None:
        waiting = asyncio.ensure_future(anext(inbox, None))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=_IDLE_SECONDS)
            if not done:
                self._problem = None
                self._is_known.set()
            return await waiting
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})

    async def _put(self, document: Document) -> None:
        self._items[document.key] = Item(
            document=document,
            sender=await self._sender_of(document),
            transport=Transport.INITIAL,
            updated_at=document.header.sent_at,
        )
        self._ended.pop(document.key, None)

    async def _sender_of(self, document: Document) -> str:
        try:
            sender = (await document.report()).facts.get("sender")
        except Closed:
            raise
        except StationError as error:
            if not isinstance(error, NotFound):
                _log.warning("vxp.no_report", document=document.key, cause=str(error))
            sender = None
        if isinstance(sender, dict) and isinstance(sender.get("code"), str):
            return str(sender["code"])
        return await self._written_sender(document)

    async def _written_sender(self, document: Document) -> str:
        """A message without a report: what it says itself."""
        try:
            await document.load()
            return (await document.message()).sender.organ_id
        except (StationError, Unreadable):
            return ""
        finally:
            document.unload()

    async def look(self, *, within: float) -> Sequence[Item]:
        """
        All that waits, urgent first, then oldest first; what is being listed for the first time is waited for.

        Raises:
            StationError: nothing can be received, and why.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._is_known.wait()
        if isinstance(self._problem, NotAllowed):
            raise self._problem
        self._sweep()
        return sorted(
            self._items.values(),
            key=lambda one: (one.document.lane is not Lane.URGENT, one.document.header.sent_at),
        )

    def find(self, key: DocumentKey) -> Item | None:
        """The item of this document, if it is on the shelf."""
        self._sweep()
        return self._items.get(key)

    def ended(self, key: DocumentKey) -> Transport | None:
        """How a document that was on the shelf ended, if it was lately."""
        return self._ended.get(key)

    def remove(self, key: DocumentKey, *, ended: Transport) -> None:
        """It came to its end."""
        self._items.pop(key, None)
        self._ended[key] = ended
        while len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _sweep(self) -> None:
        """What the axis took back is not shown any more."""
        for key in [key for key, item in self._items.items() if item.document.outcome is not None]:
            del self._items[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One sent message."""

    doc_id: SubmissionId
    """What `sendEdoc` answered: the submission's id, which no repetition and no hold changes."""
    document: str | None
    """The axis's id of the document, as soon as it is known."""
    digest: str
    kind: str
    sender: str
    title: str
    code: str
    document_id: str
    sent_at: str


class Register:
    """What was sent, in a file or in memory. Every method is quick; `add` returns when it would survive a power cut."""

    def __init__(self, path: Path | None) -> None:
        self._entries: deque[Entry] = deque(maxlen=MAX_SENT)
        self._known: dict[str, Entry] = {}
        self._lines: Lines | None = None
        self._path = path
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lines = Lines(path)
            for line in self._lines.read():
                with contextlib.suppress(ValueError, TypeError):
                    self._remember(Entry(**json.loads(line)))
            self._lines.replace([_line(one) for one in self._entries])
        except OSError as error:
            raise MemoryUnusable(f"{path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._lines is not None:
            self._lines.close()

    def add(self, entry: Entry) -> None:
        """It was sent; said again with more known, the newer word counts."""
        if self._known.get(entry.doc_id) == entry:
            return
        if self._lines is not None:
            try:
                self._lines.append([_line(entry)])
            except OSError as error:
                raise MemoryUnusable(f"{self._path}: {error.strerror}") from error
        self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        if entry.doc_id in self._known:
            self._entries = deque(
                (entry if one.doc_id == entry.doc_id else one for one in self._entries), maxlen=MAX_SENT
            )
        else:
            if len(self._entries) == MAX_SENT:
                self._known.pop(self._entries[0].doc_id, None)
            self._entries.append(entry)
        self._known[entry.doc_id] = entry

    def find(self, doc_id: str) -> Entry | None:
        """By what `sendEdoc` answered, or by the axis's id of the document."""
        found = self._known.get(doc_id)
        return found or next((one for one in self._entries if one.document == doc_id), None)

    def same(self, *, digest: str, document: str | None) -> Entry | None:
        """The first sending of these bytes, else of this document."""
        return next((one for one in self._entries if one.digest == digest), None) or next(
            (one for one in self._entries if document is not None and one.document == document), None
        )

    def page(
        self,
        *,
        kind: Kind | None,
        since: datetime | None,
        until: datetime | None,
        offset: int,
        limit: int,
    ) -> Sequence[Entry]:
        """Newest first."""
        chosen = [
            one
            for one in reversed(self._entries)
            if (kind is None or one.kind == kind.value)
            and (since is None or datetime.fromisoformat(one.sent_at) >= since)
            and (until is None or datetime.fromisoformat(one.sent_at) <= until)
        ]
        return chosen[offset : offset + limit]


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
