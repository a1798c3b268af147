"""
When something that could not be done is tried again: one schedule for deliveries, one for holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubling pauses from `first` up to `longest`, at most `tries` tries."""

    first: timedelta
    longest: timedelta
    tries: int

    def pause(self, attempt: int) -> timedelta | None:
        """The pause after the `attempt`-th failed try (1 is the first), or None when it was the last."""
        if attempt >= self.tries:
            return None
        # Bounded before it is multiplied: a hold is tried a hundred times, and no time span holds 2**100 of anything.
        return min(self.first * (1 << min(attempt - 1, 20)), self.longest)


DELIVERIES = Backoff(first=timedelta(seconds=30), longest=timedelta(minutes=8), tries=6)
"""
A receiver that says "fail": offered again five times, after 30 s, 1, 2, 4 and 8 minutes, then failed (what DMS vendors
do themselves).
"""

HOLDS = Backoff(first=timedelta(seconds=15), longest=timedelta(minutes=15), tries=1_000_000)
"""Holds end by their age limit, not by a number of tries."""
