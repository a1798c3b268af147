"""
Lets a process of the axis live so many days later: put this folder on PYTHONPATH, and the number into DAYS_LATER.

Only the axis's own clock is moved, which is the one place that reads time; files and certificates keep theirs.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from axis.bootstrap.system import SystemClock

_LATER = timedelta(days=int(os.environ["DAYS_LATER"]))


def _now(_: SystemClock) -> datetime:
    return datetime.now(UTC) + _LATER


setattr(SystemClock, "now", _now)  # noqa: B010 - an assignment is what the types forbid
