"""
Time-ordered ids of 26 characters: 48 bits of milliseconds, 80 random bits, Crockford base 32 (the ULID layout).

The time inside gives the year partition of a row without a look-up. Ids are made by the `Ids` port only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from axis.core.model import VIETNAM, micros

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_TO_PYTHON = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""`int` reads base 32 as well, with another alphabet."""
_YEAR_MS = 31_556_952_000
"""A mean year of the calendar."""
_LATEST = micros(datetime(9998, 12, 31, tzinfo=UTC)) // 1000
_SHAPE = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")


def compose(*, at: datetime, randomness: int) -> str:
    """An id for the moment `at` with 80 bits of `randomness`."""
    number = (micros(at) // 1000) << 80 | randomness & ((1 << 80) - 1)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def is_id(text: str) -> bool:
    """Whether `text` has the shape of an id; says nothing of its existence."""
    return _SHAPE.match(text) is not None


def _milliseconds(identifier: str) -> int:
    # An id somebody made up has ten thousand years of room; a calendar has not.
    return min(int(identifier[:10].translate(_TO_PYTHON), 32), _LATEST)


def moment_of(identifier: str) -> datetime:
    """The moment inside an id, to the millisecond, in Vietnam time. One beyond 9998 counts as the end of 9998."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=_milliseconds(identifier))
    return moment.astimezone(VIETNAM)


def year_of(identifier: str) -> int:
    """
    The Vietnam calendar year inside an id: the partition its row lives in.

    Asked a hundred times for every document, so it does without a calendar where it can.
    """
    milliseconds = _milliseconds(identifier)
    year = 1970 + milliseconds // _YEAR_MS
    if milliseconds < _begin_of(year):
        return year - 1
    return year + 1 if milliseconds >= _begin_of(year + 1) else year


@lru_cache
def _begin_of(year: int) -> int:
    """The first millisecond of a year."""
    return micros(datetime(year, 1, 1, tzinfo=VIETNAM)) // 1000


def first_of(at: datetime) -> str:
    """The smallest id of the moment `at`: those before it are smaller, those from it on are not."""
    latest = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=_LATEST)
    return compose(at=min(max(at, datetime(1970, 1, 1, tzinfo=UTC)), latest), randomness=0)
