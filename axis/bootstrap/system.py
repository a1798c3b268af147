"""Clock, ids and randomness of the machine: nothing else in the axis asks it for them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from axis.core.ids import compose


class SystemClock:
    """Reads the machine's clock: the only thing in the axis that does."""

    def now(self) -> datetime:
        """The time, aware."""
        return datetime.now(UTC)  # noqa: TID251 - this is that one place


class SystemRandomness:
    """The operating system's random source."""

    def take(self, size: int) -> bytes:
        """So many random bytes."""
        return secrets.token_bytes(size)


class SystemIds:
    """Ids from the operating system's random source."""

    def new(self, at: datetime) -> str:
        """A fresh id for the moment `at`."""
        return compose(at=at, randomness=secrets.randbits(80))
