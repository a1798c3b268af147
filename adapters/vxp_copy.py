"""
The directory at a gateway beside an agency: a copy in memory, brought up to date by what changed since its version.

The axis tells its stations the directory page by page (`Station.organs`); every list asks what changed first, which is
one short request. Only in memory: a new process reads the whole list once, 120,000 organs in two dozen pages. Whether
some station receives for an organ changes without the organ, so that the whole list is also read anew once a day.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Final

from adapters.errors import Refused
from adapters.station import Station
from adapters.vxp_agencies import Agency, AgencyForm, AgencyRefused
from axis.core.ports import Clock
from axis.web.wire import MAX_ORGANS, HTTPReason, ListedOrgan

_ANEW: Final = timedelta(days=1)
_STEEPEST: Final = 20
"""More organs above an organ than this are a ring, which a directory does not have."""


class CopiedAgencies:
    """Implements `adapters.vxp_agencies.Agencies`: read from the copy, changed at the axis."""

    def __init__(self, *, clock: Clock, page: int = MAX_ORGANS) -> None:
        self._clock = clock
        self._page = page
        self._organs: dict[int, ListedOrgan] = {}
        self._version = 0
        self._read_at: datetime | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def every(
        self, asker: Station, *, level: int | None, include_deleted: bool
    ) -> AsyncIterator[Agency]:
        """Organs in the order of their numbers; closed ones only when asked for."""
        await self._refresh(asker)
        organs, at = self._organs, self._clock.now()
        for number in sorted(organs):
            organ = organs[number]
            depth = _depth(organ, organs)
            is_open = _is_open(organ, at)
            if (level is None or depth == level) and (is_open or include_deleted):
                yield Agency.of(
                    number=organ.number,
                    parent=organ.parent,
                    main_code=organ.code,
                    codes=organ.codes,
                    name=organ.name,
                    level=depth,
                    version=organ.version,
                    is_open=is_open,
                    is_connected=organ.connected,
                )

    async def register(self, asker: Station, form: AgencyForm) -> None:
        """See the port. The axis keeps no mail and no telephone; the next list has the organ."""
        with _said_to_people():
            await asker.register_organ(form.code, name=form.name, parent=form.parent_code)

    async def remove(self, asker: Station, code: str) -> None:
        """See the port."""
        with _said_to_people():
            await asker.close_organ(code)

    async def _refresh(self, asker: Station) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.ensure_future(self._read(asker))
            self._refreshing.add_done_callback(_look_at)
        # A client that gives up does not stop what the next one would have to begin again.
        await asyncio.shield(self._refreshing)

    async def _read(self, asker: Station) -> None:
        now = self._clock.now()
        is_whole = self._read_at is None or now - self._read_at >= _ANEW
        if is_whole or not await self._read_since(asker, self._version):
            await self._read_since(asker, 0)
            self._read_at = now

    async def _read_since(self, asker: Station, since: int) -> bool:
        """Read what changed; False when the axis is at an older version than this copy, which then says nothing."""
        page = await asker.organs(since=since, limit=self._page)
        version = page.version
        if version < since:
            return False
        if version == since and not page.organs:
            return True
        # A new table: who is going through the old one sees the directory as it was.
        organs = dict(self._organs) if since else {}
        organs.update((one.number, one) for one in page.organs)
        while page.next is not None:
            page = await asker.organs(since=since, after=page.next, limit=self._page)
            organs.update((one.number, one) for one in page.organs)
        self._organs, self._version = organs, version
        return True


@contextlib.contextmanager
def _said_to_people() -> Iterator[None]:
    try:
        yield
    except Refused as no:
        if no.code != HTTPReason.NOT_YOUR_ORGAN:
            raise
        raise AgencyRefused("; ".join(one.vi for one in no.details) or no.vi) from no


def _look_at(done: asyncio.Task[None]) -> None:
    # Whoever waited has it; when nobody waits any more, the next one tries again.
    if not done.cancelled():
        done.exception()


def _is_open(organ: ListedOrgan, at: datetime) -> bool:
    return (organ.valid_from is None or organ.valid_from <= at) and (
        organ.valid_to is None or at < organ.valid_to
    )


def _depth(organ: ListedOrgan, organs: dict[int, ListedOrgan]) -> int:
    depth = 1
    above = organs.get(organ.parent) if organ.parent is not None else None
    while above is not None and depth < _STEEPEST:
        depth += 1
        above = organs.get(above.parent) if above.parent is not None else None
    return depth
