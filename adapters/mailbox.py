"""
Letters nobody waits for at the moment they come: kept in the memory until somebody reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from adapters.memory import Memory

_log = structlog.get_logger(__name__)


class Mailbox:
    """One sort of letters (`events`, `receipts`): any number of writers, one reader."""

    def __init__(self, name: str, *, memory: Memory) -> None:
        self._name = name
        self._unread = memory.unread(name)
        self._stirred = asyncio.Event()
        self._is_full = False

    async def put(self, letters: Sequence[bytes]) -> None:
        """
        Keep these letters; when this returns they survive a power cut.

        Letters nobody reads must not hold up what comes behind them. When there is no room they are let go, and the
        log says so once: what they told of stays in the ledger.
        """
        kept = await asyncio.to_thread(self._unread.add, letters)
        if not kept and not self._is_full:
            _log.error("station.letters_unread", name=self._name)
        self._is_full = not kept
        self._stirred.set()

    async def has_some(self) -> bool:
        """Whether there is one that was not read."""
        return await asyncio.to_thread(self._unread.first) is not None

    async def first(self) -> bytes:
        """The oldest letter that was not read, whenever it comes."""
        while (letter := await asyncio.to_thread(self._unread.first)) is None:
            await self._stirred.wait()
            self._stirred.clear()
        return letter

    async def forget_first(self) -> None:
        """It was read."""
        await asyncio.to_thread(self._unread.forget_first)
