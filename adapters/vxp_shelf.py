"""
What the VXP gateway shows of what waits for one station.

The shelf holds headers of documents the axis handed over and the client has not ended: nothing that could be lost, as
the axis offers all of it again to the next process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from adapters.document import Document
from adapters.errors import Closed, NotAllowed, NotFound, StationError
from adapters.inbox import Inbox
from adapters.station import Station
from adapters.vxp_words import Transport
from axis.core.model import DocumentKey, Lane
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
