"""
One system at the VXP gateway: its station, what waits for it, and one call of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from adapters.document import Document
from adapters.errors import NotAnswered, NotFound
from adapters.station import Station
from adapters.vxp_accounts import Account
from adapters.vxp_agencies import Agencies
from adapters.vxp_bodies import BodyLimits, Content, small_body
from adapters.vxp_caller import Call
from adapters.vxp_shelf import Shelf
from adapters.vxp_words import ErrorCode, Failed, encoded
from axis.core.model import DocumentKey, Kind
from axis.core.ports import Clock, Ids

_MAX_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """What one caller may take."""

    body: BodyLimits = field(default_factory=BodyLimits)
    answer_seconds: float = 45
    """Clients give up after 60 s and never ask again."""
    list_seconds: float = 10
    calls: int = 200
    """Calls under way; more are told to come again."""
    max_age: timedelta | None = timedelta(days=30)
    """Oldest time stamp of a client. It is made once in the life of a client's process; None takes any."""


class Desk:
    """The station behind one or more systems, and what waits for it."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.shelf = Shelf(station)
        self.copying = asyncio.Lock()
        """A derived copy is made in memory: one at a time."""
        self._sending: dict[str, asyncio.Lock] = {}
        self._loading: dict[DocumentKey, asyncio.Lock] = {}

    async def open(self) -> None:
        """Begin to receive."""
        await self.station.open()
        self.shelf.open()

    async def close(self) -> None:
        """Stop; what waits is offered again to whoever serves the station next."""
        await self.shelf.close()
        await self.station.close()

    @contextlib.asynccontextmanager
    async def sending(self, digest: str) -> AsyncIterator[None]:
        """One call at a time for the same bytes: the second finds the answer of the first."""
        async with _named_lock(self._sending, digest):
            yield

    async def open_content(self, document: Document, *, within: float) -> Content:
        """The verified bytes of a document on the shelf; `fetched` is said."""
        async with _named_lock(self._loading, document.key):
            try:
                async with asyncio.timeout(within):
                    await document.load()
            except TimeoutError as error:
                raise NotAnswered("the payload did not come in time") from error
            if not document.is_loaded:
                raise NotFound("http.not_found", en=f"{document.key} is ended")
            try:
                return await asyncio.to_thread(Content.open, document.path, body=lambda: document.body)
            finally:
                # What is open stays readable; thousands of documents on a shelf do not stay in memory.
                document.unload()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One call of a system that is known, with everything that is needed to serve it."""

    account: Account
    desk: Desk
    call: Call
    request: Request
    limits: GatewayLimits
    clock: Clock
    ids: Ids
    spool: Path | None
    agencies: Agencies | None

    async def small_body(self) -> bytes:
        """The body of a call that carries no file."""
        return await small_body(self.request, limits=self.limits.body)

    def kind(self, default: Kind | None = Kind.EDOC) -> Kind | None:
        """
        What `messagetype` says.

        Raises:
            Failed: neither document nor status.
        """
        found = self.call.get("messagetype").strip().lower()
        if not found:
            return default
        if found not in set(Kind):
            raise Failed(ErrorCode.REQUEST, "messagetype: edoc hoac status")
        return Kind(found)

    def page(self, *, default: int | None = None) -> tuple[int, int]:
        """Offset and length. Page 0 and page 1 are both the first: clients begin with either."""
        size, index = self.call.get("pageSize").strip(), self.call.get("pageIndex").strip()
        for name, text in (("pageSize", size), ("pageIndex", index)):
            if text and not (text.isdecimal() and len(text) <= 9):
                raise Failed(ErrorCode.REQUEST, f"{name}: can mot so")
        if not size or int(size) == 0:
            return 0, default if default is not None else 1 << 30
        limit = min(int(size), _MAX_PAGE)
        return max(int(index or 1) - 1, 0) * limit, limit

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """What is done here ends before the client gives up."""
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                yield
        except TimeoutError as error:
            raise Failed(ErrorCode.SYSTEM, "He thong dang ban, vui long gui lai") from error


def as_json(body: Mapping[str, Any]) -> Response:
    """An answer of this interface."""
    return Response(encoded(body), media_type="application/json")


@contextlib.asynccontextmanager
async def _named_lock(locks: dict[Any, asyncio.Lock], name: object) -> AsyncIterator[None]:
    lock = locks.setdefault(name, asyncio.Lock())
    try:
        async with lock:
            yield
    finally:
        if not lock.locked() and locks.get(name) is lock:
            del locks[name]
