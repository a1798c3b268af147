"""
Time-ordered ids of 26 characters: 48 bits of milliseconds, 80 random bits, Crockford base 32 (the ULID layout).

The time inside gives the year partition of a row without a look-up. Ids are made by the `Ids` port only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from axis.core.model import VIETNAM, micros

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_LATEST = micros(datetime(9998, 12, 31, tzinfo=UTC)) // 1000
_SHAPE = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")


def compose(*, at: datetime, randomness: int) -> str:
    """An id for the moment `at` with 80 bits of `randomness`."""
    number = (micros(at) // 1000) << 80 | randomness & ((1 << 80) - 1)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_id(text: str) -> bool:
    """Whether `text` has the shape of an id; says nothing of its existence."""
    return _SHAPE.match(text) is not None


def moment_of(identifier: str) -> datetime:
    """The moment inside an id, to the millisecond, in Vietnam time. One beyond 9998 counts as the end of 9998."""
    milliseconds = 0
    for letter in identifier[:10]:
        milliseconds = milliseconds << 5 | _VALUE[letter]
    # An id somebody made up has ten thousand years of room; a calendar has not.
    milliseconds = min(milliseconds, _LATEST)
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)).astimezone(VIETNAM)


def year_of(identifier: str) -> int:
    """The Vietnam calendar year inside an id: the partition its row lives in."""
    return moment_of(identifier).year


def first_of(at: datetime) -> str:
    """The smallest id of the moment `at`: those before it are smaller, those from it on are not."""
    latest = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=_LATEST)
    return compose(at=min(max(at, datetime(1970, 1, 1, tzinfo=UTC)), latest), randomness=0)
