"""
How long to wait before trying again: doubling pauses, for ever, spread so that stations do not come back in step.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

_FIRST_SECONDS: Final = 0.2
_LONGEST_SECONDS: Final = 30.0


class Pauses:
    """The pauses of one thing that is tried again and again."""

    def __init__(
        self, *, station: str, first: float = _FIRST_SECONDS, longest: float = _LONGEST_SECONDS
    ) -> None:
        self._first = first
        self._longest = longest
        self._next = first
        # The same station always waits the same: between 75 % and 125 % of what all others would.
        self._spread = 0.75 + zlib.crc32(station.encode()) % 1_000 / 2_000

    def reset(self) -> None:
        """It worked: the next pause is a short one again."""
        self._next = self._first

    def take(self, *, at_least: float | None = None) -> float:
        """The next pause in seconds; `at_least` is what the other side asked for, up to the longest pause."""
        pause = max(self._next * self._spread, min(at_least or 0.0, self._longest))
        self._next = min(self._next * 2, self._longest)
        return pause

    async def wait(self, *, at_least: float | None = None) -> None:
        """Wait for the next pause."""
        await asyncio.sleep(self.take(at_least=at_least))
