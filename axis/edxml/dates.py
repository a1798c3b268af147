"""
Dates and times as people's software writes them.

The format says `yyyy/MM/dd` and `yyyy/MM/dd HH:mm:ss`, without a zone, in Vietnam time (QĐ28 Art. 14.4). Day-first and
ISO forms are understood as well; month-first is not, because nobody could tell 03/04 from 04/03. A text that names an
instant with a zone (`…T17:00:00Z`) is read as the day it then was in Vietnam.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

from axis.core.model import VIETNAM
from axis.edxml.findings import (
    DATE_FORM,
    DATE_IMPOSSIBLE,
    DATE_UNLIKELY,
    DATE_UNREADABLE,
    TIME_FORM,
    TIME_UNREADABLE,
    FindingKind,
)
from axis.edxml.message import WrittenDate, WrittenTime

_EXACT_DATE = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}")
_EXACT_TIME = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_CLOCK = (
    r"(?:[ T]+(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.[0-9]{1,9})?)?"
    r"\s?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_YEAR_FIRST = re.compile(r"(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{1,2})[-/.](?P<day>[0-9]{1,2})" + _CLOCK)
_DAY_FIRST = re.compile(r"(?P<day>[0-9]{1,2})[-/.](?P<month>[0-9]{1,2})[-/.](?P<year>[0-9]{4})" + _CLOCK)
_LONGEST = 40
_FIRST_YEAR = 1945
"""No document of the State is older; software that has no date writes the year 1, 1900 or 1970 instead."""
_EPOCH_DAYS = frozenset({date(1970, 1, 1)})


def read_date(text: str) -> tuple[WrittenDate, FindingKind | None]:
    """Read a date; the kind says what is odd about it."""
    match = _match(text)
    if match is None:
        return WrittenDate(written=text, value=None), DATE_UNREADABLE
    at = _moment(match)
    if at is None:
        return WrittenDate(written=text, value=None), DATE_IMPOSSIBLE
    written = WrittenDate(written=text, value=at.date())
    if at.year < _FIRST_YEAR or at.date() in _EPOCH_DAYS:
        return written, DATE_UNLIKELY
    return written, None if _EXACT_DATE.fullmatch(text) else DATE_FORM


def read_time(text: str) -> tuple[WrittenTime, FindingKind | None]:
    """Read a moment; a date alone is its midnight."""
    match = _match(text)
    at = None if match is None else _moment(match)
    if at is None:
        return WrittenTime(written=text, value=None), TIME_UNREADABLE
    return WrittenTime(written=text, value=at), None if _EXACT_TIME.fullmatch(text) else TIME_FORM


def _match(text: str) -> re.Match[str] | None:
    if len(text) > _LONGEST:
        return None
    return _YEAR_FIRST.fullmatch(text) or _DAY_FIRST.fullmatch(text)


def _moment(match: re.Match[str]) -> datetime | None:
    """The moment in Vietnam time, or nothing if there is no such day or hour."""
    try:
        at = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            int(match["hour"] or 0),
            int(match["minute"] or 0),
            int(match["second"] or 0),
            tzinfo=_zone(match["zone"]),
        )
        return at.astimezone(VIETNAM)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None:
        return VIETNAM
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:])))
