"""
How much one station may hand in: a measure of messages and one of bytes, both filled up again as time goes by.

Step 1 asks here before anything dear is done with a message. What does not fit is refused with `receive.quota`, unread
and unkept, so that a flood costs the others as little as possible. Counted in this process: a hub that is started
again begins anew, and of two hubs each allows the whole measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from axis.core.model import StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a station may hand in within `period`, at once or little by little; 0 is no limit."""

    messages: int
    octets: int
    period: timedelta


@dataclass(slots=True)
class _Used:
    """What a station has used, as of a moment; it becomes less by itself."""

    at: datetime
    messages: float = 0
    octets: float = 0


class Meter:
    """Counts what stations hand in."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._used: dict[StationId, _Used] = {}

    def take(self, station: StationId, *, octets: int, at: datetime) -> timedelta | None:
        """
        None: it fits and is counted. Else how long it takes until it would; nothing is counted then.

        A message that is larger than the whole measure fits when nothing else was handed in.
        """
        used = self._now(station, at)
        wait = max(
            self._wait(used.messages, 1, self._quota.messages),
            self._wait(used.octets, octets, self._quota.octets),
        )
        if wait:
            return wait
        used.messages += 1
        used.octets += octets
        return None

    def give_back(self, station: StationId, *, octets: int) -> None:
        """It was counted and could not be recorded: it will come again."""
        used = self._used.get(station)
        if used is not None:
            used.messages = max(0, used.messages - 1)
            used.octets = max(0, used.octets - octets)

    def _now(self, station: StationId, at: datetime) -> _Used:
        used = self._used.setdefault(station, _Used(at))
        passed = max(0.0, (at - used.at) / self._quota.period)
        used.at = max(at, used.at)
        used.messages = max(0.0, used.messages - passed * self._quota.messages)
        used.octets = max(0.0, used.octets - passed * self._quota.octets)
        return used

    def _wait(self, used: float, more: int, most: int) -> timedelta:
        over = used + more - max(most, more)
        return self._quota.period * (over / most) if most and over > 0 else timedelta()
