"""
The one place of the agency's side that reads the machine's clock and its randomness.

Everything else takes a `Clock` and `Ids`, so that a test decides what time it is. Never used by the hub.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from axis.core.ids import compose


class SystemClock:
    """`axis.core.ports.Clock` of this machine."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the clock itself


class SystemIds:
    """`axis.core.ports.Ids` with the randomness of the operating system."""

    def new(self, at: datetime) -> str:
        """A fresh id for the moment `at`."""
        return compose(at=at, randomness=secrets.randbits(80))
