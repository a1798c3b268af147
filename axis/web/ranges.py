"""One byte range of a payload, RFC 9110 section 14. Several ranges at once are answered with the whole, as allowed."""

from __future__ import annotations

import re
from typing import Final

_ONE: Final = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})\Z")


class OutOfBounds(Exception):
    """A range that begins behind the payload."""


def read_range(header: str | None, *, size: int) -> tuple[int, int] | None:
    """
    First byte and the one behind the last, or None for the whole: no header, one that is malformed, several ranges.

    Raises:
        OutOfBounds: nothing of the payload lies in it.
    """
    found = _ONE.match((header or "").replace(" ", ""))
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start == end:
        raise OutOfBounds
    return start, end
