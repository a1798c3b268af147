"""
Working days and what is due when: the calendar of Vietnam's public bodies as data, and the deadlines of the two rules.

QĐ28 Art. 6.2 counts to the morning of the next working day, NĐ30 Art. 18 and 21 to the end of a day. Saturdays and
Sundays are off, holidays too; a swapped Saturday is a working day. All of it is said by data, year by year, with its
source. A year without data is `UnknownYear`, never guessed from a rule: Tết and swapped days are decided every year.

The end of a day is the 00:00 after it, which is too late; noon is still in the morning.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from types import MappingProxyType

from axis.core.model import VIETNAM

_DAY = timedelta(days=1)
NOON = time(12, 0)
"""Where a working morning ends (QĐ28 Art. 6.2: at the latest in the morning of the next working day)."""
LAST_CALL = time(16, 30)
"""What arrives later cannot be receipted the same day by an office that closes; such arrivals are due the day after."""
LONGEST_REST = 31
"""No Vietnamese holiday is that long: within so many days there is a working day, whatever the calendar says."""


class UnknownYear(Exception):
    """The calendar says nothing of this year, so nobody may say what is due in it."""

    def __init__(self, year: int) -> None:
        super().__init__(f"no working days are known for {year}")
        self.year = year


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarYear:
    """What makes the days of one year different from the week."""

    source: str
    """Where it is from, for people."""
    off: frozenset[date]
    """Mondays to Fridays without work."""
    work: frozenset[date]
    """Saturdays and Sundays with work, as other days were swapped for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Working days of the years it knows."""

    years: Mapping[int, CalendarYear]

    def is_working_day(self, day: date) -> bool:
        """
        Whether public bodies work on that day.

        Raises:
            UnknownYear: the data does not say.
        """
        year = self.years.get(day.year)
        if year is None:
            raise UnknownYear(day.year)
        if day.weekday() >= 5:
            return day in year.work
        return day not in year.off

    def next_working_day(self, day: date) -> date:
        """
        The first working day after `day`, which itself may be in a year nobody knows.

        Raises:
            UnknownYear: the days after it are not known.
        """
        if day > date.max - LONGEST_REST * _DAY:
            raise UnknownYear(day.year)
        day += _DAY
        while not self.is_working_day(day):
            day += _DAY
        return day

    def working_days_after(self, day: date, count: int) -> date:
        """The `count`-th working day after `day`. Raises `UnknownYear`."""
        for _ in range(count):
            day = self.next_working_day(day)
        return day

    def end_of_next_working_day(self, at: datetime) -> datetime:
        """24:00 Vietnam time of the first working day after the day of `at`. Raises `UnknownYear`."""
        return end_of_day(self.next_working_day(at.astimezone(VIETNAM).date()))

    def sending_due(self, issued: date, *, morning_ends: time = NOON) -> datetime:
        """
        Until when a document issued that day is to be sent (QĐ28 Art. 6.2): the last moment in time.

        Raises:
            UnknownYear: the days after it are not known.
        """
        return datetime.combine(self.next_working_day(issued), morning_ends, tzinfo=VIETNAM)

    def sending_due_nd30(self, issued: date) -> datetime:
        """The laxer limit: within the next working day (NĐ30 Art. 18.1). Raises `UnknownYear`."""
        return end_of_day(self.next_working_day(issued))


def end_of_day(day: date) -> datetime:
    """24:00 Vietnam time of that day."""
    return datetime.combine(day + _DAY, time(), tzinfo=VIETNAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Whether a document was sent in time (LR-13), and by the laxer rule (LR-14). None: nobody can tell."""

    due: datetime | None
    """The last moment in time; None where the calendar does not know the year."""
    is_late: bool | None
    is_late_nd30: bool | None


def sending_of(
    issued: date | None, *, sent: datetime, calendar: Calendar, morning_ends: time = NOON
) -> Sending:
    """
    Judge the sending of a document at `sent` by the day it was issued.

    A date that is missing, impossible or in the future says nothing. Where the year is not in the calendar, only what
    is late by any calendar is late: more than `LONGEST_REST` days hold a working day for certain.
    """
    day = sent.astimezone(VIETNAM).date()
    if issued is None or issued > day:
        return Sending(due=None, is_late=None, is_late_nd30=None)
    try:
        due = calendar.sending_due(issued, morning_ends=morning_ends)
        wider = calendar.sending_due_nd30(issued)
    except UnknownYear:
        late = None if 0 < (day - issued).days <= LONGEST_REST else day > issued
        return Sending(due=None, is_late=late, is_late_nd30=late)
    return Sending(due=due, is_late=sent > due, is_late_nd30=sent >= wider)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptDue:
    """By when the receiver tells the sender that a document has arrived (LR-17)."""

    due: datetime | None
    """None where the calendar does not know."""
    is_next_day: bool
    """It came after 16:30 or on a day off: a list of its own, due at the end of the next working day."""


def receipt_due(arrived: datetime, *, calendar: Calendar, last_call: time = LAST_CALL) -> ReceiptDue:
    """By when an arrival is to be answered by 01 or 03: 24:00 of its day, or of the next working day."""
    local = arrived.astimezone(VIETNAM)
    try:
        if local.time() <= last_call and calendar.is_working_day(local.date()):
            return ReceiptDue(due=end_of_day(local.date()), is_next_day=False)
        return ReceiptDue(due=calendar.end_of_next_working_day(local), is_next_day=True)
    except UnknownYear:
        return ReceiptDue(due=None, is_next_day=local.time() > last_call or local.weekday() >= 5)


def read_calendar(text: str, *, base: Calendar | None = None) -> Calendar:
    """
    The calendar a TOML text says: one table per year with `source`, `off` and `work`; years of `base` are kept.

    Raises:
        ValueError: naming everything that is wrong with it.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ValueError(f"not TOML: {problem}") from problem
    years = dict(base.years) if base is not None else {}
    problems: list[str] = []
    for name, table in tables.items():
        if len(name) != 4 or not (name.isascii() and name.isdigit()) or name == "0000":
            problems.append(f"[{name[:40]}] is no year")
        elif not isinstance(table, dict):
            problems.append(f"[{name}] is no table")
        else:
            years[int(name)] = _year(int(name), table, problems)
    if problems:
        raise ValueError("; ".join(problems))
    return Calendar(years=MappingProxyType(years))


def _year(number: int, table: Mapping[str, object], problems: list[str]) -> CalendarYear:
    source = table.get("source")
    if not isinstance(source, str) or not source.strip():
        problems.append(f"[{number}] does not say its source")
    problems.extend(
        f"[{number}] {name[:40]} is not read" for name in sorted(table.keys() - {"source", "off", "work"})
    )
    return CalendarYear(
        source=source if isinstance(source, str) else "",
        off=_days(number, "off", table.get("off"), problems),
        work=_days(number, "work", table.get("work"), problems),
    )


def _days(number: int, name: str, said: object, problems: list[str]) -> frozenset[date]:
    if not isinstance(said, list):
        problems.append(f"[{number}] {name} is no list of days")
        return frozenset()
    days = []
    for one in said:
        # A moment is a day to Python; here it would be a day nobody meant.
        if type(one) is not date or one.year != number:
            problems.append(f"[{number}] {name}: {str(one)[:40]} is no day of the year")
        elif (one.weekday() >= 5) != (name == "work"):
            problems.append(f"[{number}] {name}: {one.isoformat()} is {one:%A}, which says nothing new")
        else:
            days.append(one)
    if len(set(days)) != len(days):
        problems.append(f"[{number}] {name} names a day twice")
    return frozenset(days)
