"""
A document as the station's caller gets it: verified bytes, what the axis says of them, and the two words that end it.

`done` means "my system has it": only then does the axis let go of it. Until then it comes again, after a crash too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adapters.errors import BadAnswer, MemoryUnusable
from adapters.memory import write_whole
from adapters.payload import Payload
from axis.core.exchange import Consignment, DeliveryRef, Notice, Outcome, Receipt
from axis.core.model import Digest, DocumentKey, Kind, Lane, LegalValue, Tier
from axis.edxml.message import Message
from axis.edxml.reader import Unreadable, read_package


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the axis checked before it let the document travel."""

    body: bytes
    """Canonical JSON; its SHA-256 is the one in the document's header."""
    receipt: Receipt
    """The axis's signature over it."""
    is_proven: bool
    """The signature was verified with a pinned key. False: no key was given to the station, nothing was verified."""
    valued: Receipt | None = None
    """The axis's signed record of what it found in the files; None while they are being judged."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """The report's members: tier, legal value, signer, checks, attachments, warnings."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def value(self) -> LegalValue:
        """The legal value: as judged, else as it was when the document set out."""
        if self.valued is not None:
            return LegalValue(json.loads(self.valued.record)["facts"]["value"])
        return LegalValue(self.facts.get("value", LegalValue.CHECKING))

    @property
    def files(self) -> tuple[Mapping[str, Any], ...]:
        """What was found in each file: `reason`, and for each signature who made it and what became of it since."""
        if self.valued is None:
            return ()
        return tuple(json.loads(self.valued.record)["facts"]["files"])


class Keeper(Protocol):
    """What a document needs of the inbox it came from."""

    async def end(self, document: Document, outcome: Outcome, reason: str) -> None: ...

    async def load(self, document: Document) -> Payload: ...

    async def report_on(self, header: Consignment) -> Report: ...


class Document:
    """
    One document or status for this station. Its bytes were complete and verified before it was handed out, or are when
    `load` returns.
    """

    def __init__(self, *, header: Consignment, payload: Payload | None, keeper: Keeper) -> None:
        self.header = header
        self._payload = payload
        self._loading = asyncio.Lock()
        self._keeper = keeper
        self._message: Message | None = None
        self._ending = asyncio.Lock()
        self._outcome: Outcome | None = None
        self._is_withdrawn = False

    def __repr__(self) -> str:
        return f"<Document {self.header.document} {self.header.kind} {self.header.digest[:12]}>"

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def key(self) -> DocumentKey:
        """The axis's own id of the document: what to recognise it by when it comes again."""
        return self.header.document

    @property
    def kind(self) -> Kind:
        """Document or status."""
        return self.header.kind

    @property
    def lane(self) -> Lane:
        """Urgent or normal."""
        return self.header.lane

    @property
    def digest(self) -> Digest:
        """SHA-256 of the bytes."""
        return self.header.digest

    @property
    def tier(self) -> Tier:
        """What the signature of the message is worth."""
        return self.header.tier

    @property
    def value(self) -> LegalValue:
        """What the signatures inside the attachments make of it; may still be under examination."""
        return self.header.value

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Remarks of the axis, in both languages; over AMQP the first few, the report has all."""
        return self.header.notices

    @property
    def deliveries(self) -> tuple[DeliveryRef, ...]:
        """The organs of this station it is for."""
        return self.header.deliveries

    @property
    def is_withdrawn(self) -> bool:
        """Whether the axis took it back after it was handed out: the recall follows as a document of its own."""
        return self._is_withdrawn

    @property
    def outcome(self) -> Outcome | None:
        """How it ended here: done, fail, withdrawn before it had bytes, or None while the caller has it."""
        return self._outcome

    # --- its bytes ------------------------------------------------------------------------------------------------

    @property
    def is_loaded(self) -> bool:
        """Whether the bytes are here; from a lazy inbox they come with `load`."""
        return self._payload is not None

    async def load(self) -> None:
        """
        Fetch and verify the bytes of a document from a lazy inbox. Here already, they are not fetched again.

        Raises:
            Recalled: it was taken back meanwhile; nothing more is to be done about it.
            BadAnswer: the bytes are not those of the header. Say `fail`.
            NotAnswered: they are out of reach; try again.
        """
        async with self._loading:
            if self._payload is None and self._outcome is None:
                self._payload = await self._keeper.load(self)

    def unload(self) -> None:
        """Let go of the bytes; `load` fetches them anew."""
        if self._payload is not None:
            self._payload.discard()
            self._payload = None

    @property
    def body(self) -> bytes:
        """The bytes as their sender made them. Those of a large document are gone after `done` or `fail`."""
        return self._bytes().read()

    @property
    def path(self) -> Path | None:
        """Where a large document lies until `done` or `fail`; None when it is in memory."""
        return self._bytes().path

    def _bytes(self) -> Payload:
        if self._payload is None:
            raise BadAnswer("the bytes are not here: they are gone, or were never loaded")
        return self._payload

    async def save(self, path: Path) -> None:
        """Write the bytes to a file: all of them, or none after a crash."""
        await asyncio.to_thread(lambda: write_whole(path, self.body))

    async def message(self) -> Message:
        """
        The edXML message inside.

        Raises:
            axis.edxml.reader.Unreadable: it is none; the axis accepts no such message.
        """
        if self._message is None:
            self._message = (await asyncio.to_thread(lambda: read_package(self.body))).message
        return self._message

    async def report(self) -> Report:
        """
        The signed verification report, checked against the digest in the header.

        Raises:
            NotFound: the axis made none, or purged it.
            NotProven: it is not the one the header names, or the axis's key did not sign it.
        """
        return await self._keeper.report_on(self.header)

    # --- how it ends ----------------------------------------------------------------------------------------------

    async def done(self) -> None:
        """
        My system has it. Returns when the axis, or its broker, has this word for certain; said twice it is said once.

        Call it after your own commit. When the process dies before that, the document comes again.
        """
        await self._end(Outcome.DONE, "")

    async def fail(self, reason: str) -> None:
        """
        My system cannot take it now: the axis offers it again, a few times, and then calls it failed.

        `reason` is for people, at most 500 characters. After `done` it changes nothing.
        """
        await self._end(Outcome.FAIL, reason[:500])

    async def _end(self, outcome: Outcome, reason: str) -> None:
        async with self._ending:
            if self._outcome is None:
                await self._keeper.end(self, outcome, reason)
                self._outcome = outcome
                await self._let_go()

    async def _let_go(self) -> None:
        """A file is removed; what the message says stays, so that it can still be answered."""
        if self._payload is not None and self._payload.path is not None:
            with contextlib.suppress(Unreadable, BadAnswer, MemoryUnusable):
                await self.message()
            self.unload()

    def mark_withdrawn(self) -> None:
        """For the inbox: the axis took it back."""
        self._is_withdrawn = True
        if self._payload is None:
            self._outcome = Outcome.WITHDRAWN
