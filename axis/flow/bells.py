"""
Bells: tell waiting tasks of this process that there may be something for a station.

A bell carries no fact. Whoever hears it looks into the ledger; whoever misses one looks again after a while, so a
bell that was rung in another process costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable

from axis.core.model import StationId


class Bells:
    """One bell per station, and one for everybody who serves all of them."""

    def __init__(self) -> None:
        self._waiting: dict[StationId, set[asyncio.Event]] = defaultdict(set)
        self._rung: set[StationId] = set()
        self._anyone = asyncio.Event()

    def ring(self, stations: Iterable[StationId]) -> None:
        """There may be something for these stations."""
        for station in stations:
            self._rung.add(station)
            for event in self._waiting.get(station, ()):
                event.set()
        if self._rung:
            self._anyone.set()

    async def hear(self, station: StationId, *, seconds: float) -> None:
        """Return when the station's bell rings, at the latest after `seconds`."""
        event = asyncio.Event()
        self._waiting[station].add(event)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await event.wait()
        finally:
            self._waiting[station].discard(event)
            if not self._waiting[station]:
                del self._waiting[station]

    async def hear_any(self, *, seconds: float) -> frozenset[StationId]:
        """The stations rung for since the last call; none when `seconds` pass in silence."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._anyone.wait()
        rung = frozenset(self._rung)
        self._rung.clear()
        self._anyone.clear()
        return rung
