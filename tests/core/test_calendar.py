"""Working days are data with a source; deadlines run over Tết, swapped days and years nobody knows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.bootstrap.files import open_calendar
from axis.checkup import calendar_finding
from axis.core.calendar import LONGEST_REST, Calendar, UnknownYear, read_calendar, receipt_due, sending_of
from axis.core.errors import SettingsError
from axis.core.model import VIETNAM
from axis.data import working_days_toml
from axis.settings import read_settings

_CALENDAR = read_calendar(working_days_toml())


def _at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=VIETNAM)


@pytest.mark.parametrize(
    ("day", "following"),
    [
        (date(2019, 12, 31), date(2020, 1, 2)),
        (date(2020, 1, 22), date(2020, 1, 30)),  # Tết Canh Tý: 23 to 29 January 2020
        (date(2020, 1, 25), date(2020, 1, 30)),
        (date(2020, 4, 29), date(2020, 5, 4)),
        (date(2019, 5, 3), date(2019, 5, 4)),  # a Saturday that was swapped for Monday 29 April
        (date(2019, 4, 26), date(2019, 5, 2)),
        (date(2025, 4, 25), date(2025, 4, 26)),
        (date(2025, 4, 26), date(2025, 4, 28)),
        (date(2026, 1, 9), date(2026, 1, 10)),
        (date(2017, 12, 31), date(2018, 1, 2)),  # the day asked about may lie in a year nobody knows
    ],
)
def test_the_next_working_day(day: date, following: date) -> None:
    """Over Tết, over holidays in lieu and onto swapped Saturdays."""
    assert _CALENDAR.next_working_day(day) == following


def test_a_year_without_data_is_said() -> None:
    """Nothing is guessed from a rule: Tết and swapped days are decided anew each year."""
    with pytest.raises(UnknownYear) as caught:
        _CALENDAR.next_working_day(date(2026, 12, 31))

    assert caught.value.year == 2027


def test_every_year_says_its_source_and_has_the_days_the_law_gives() -> None:
    """Ten days off until 2020, eleven from 2021, twelve with 24 November; in lieu where they fall on a weekend."""
    for number, year in _CALENDAR.years.items():
        holidays = 10 if number <= 2020 else 11
        assert year.source
        swapped = {2018: 1, 2019: 1, 2024: 1, 2025: 1, 2026: 2}.get(number, 0)
        of_2026 = 1 if number == 2026 else 0
        assert len(year.off) == holidays + swapped + of_2026, number


@pytest.mark.requirement("LR-13")
@pytest.mark.parametrize(
    ("issued", "sent", "late", "late_nd30"),
    [
        (date(2020, 1, 22), _at(2020, 1, 22, 23, 59), False, False),
        (date(2020, 1, 22), _at(2020, 1, 30, 12, 0), False, False),
        (date(2020, 1, 22), _at(2020, 1, 30, 12, 0, 1), True, False),
        (date(2020, 1, 22), _at(2020, 1, 30, 23, 59, 59), True, False),
        (date(2020, 1, 22), _at(2020, 1, 31), True, True),
        (date(2019, 5, 3), _at(2019, 5, 4, 12, 30), True, False),
        (date(2020, 1, 23), _at(2020, 1, 22, 8), None, None),
    ],
)
def test_a_sending_across_tet_is_judged_by_both_rules(
    issued: date, sent: datetime, *, late: bool | None, late_nd30: bool | None
) -> None:
    """Noon of the next working day is in time; a date in the future says nothing."""
    found = sending_of(issued, sent=sent, calendar=_CALENDAR)

    assert (found.is_late, found.is_late_nd30) == (late, late_nd30)


@pytest.mark.requirement("LR-13")
def test_vietnam_time_decides() -> None:
    """17:00 UTC is midnight in Vietnam: the same instant is another day."""
    issued = date(2020, 3, 2)

    found = sending_of(issued, sent=datetime(2020, 3, 3, 5, 0, 1, tzinfo=UTC), calendar=_CALENDAR)

    assert found.is_late
    assert found.due == _at(2020, 3, 3, 12)


def test_in_a_year_nobody_knows_only_what_is_late_by_any_calendar_is_late() -> None:
    """And what is sent the same day is in time by any."""
    issued = date(2027, 2, 1)
    told = {
        days: sending_of(issued, sent=_at(2027, 2, 1) + timedelta(days=days), calendar=_CALENDAR).is_late
        for days in (0, 1, LONGEST_REST, LONGEST_REST + 1)
    }

    assert told == {0: False, 1: None, LONGEST_REST: None, LONGEST_REST + 1: True}


def test_a_document_without_a_date_is_not_judged() -> None:
    """A missing or impossible date is no fault of timing."""
    found = sending_of(None, sent=_at(2020, 3, 3), calendar=_CALENDAR)

    assert (found.due, found.is_late, found.is_late_nd30) == (None, None, None)


@pytest.mark.requirement("LR-17")
@pytest.mark.parametrize(
    ("arrived", "due", "next_day"),
    [
        (_at(2020, 3, 2, 8), _at(2020, 3, 3), False),
        (_at(2020, 3, 2, 16, 30), _at(2020, 3, 3), False),
        (_at(2020, 3, 2, 16, 30, 1), _at(2020, 3, 4), True),
        (_at(2020, 3, 6, 17), _at(2020, 3, 10), True),
        (_at(2020, 3, 7, 9), _at(2020, 3, 10), True),
        (_at(2020, 1, 24, 9), _at(2020, 1, 31), True),
        (_at(2019, 5, 4, 9), _at(2019, 5, 5), False),
    ],
)
def test_an_arrival_is_receipted_the_same_day(arrived: datetime, due: datetime, *, next_day: bool) -> None:
    """By midnight; after 16:30 and on days off by the end of the next working day."""
    found = receipt_due(arrived, calendar=_CALENDAR)

    assert (found.due, found.is_next_day) == (due, next_day)


def test_an_arrival_in_a_year_nobody_knows_has_no_deadline() -> None:
    """It is said, not guessed."""
    assert receipt_due(_at(2027, 3, 2, 8), calendar=_CALENDAR).due is None


@given(st.dates(date(1, 1, 1), date(9999, 12, 31)))
def test_no_day_breaks_it(issued: date) -> None:
    """Dates are written by other people's software: the year 1 and the year 9999 occur."""
    found = sending_of(issued, sent=_at(2026, 5, 5, 9), calendar=_CALENDAR)

    assert found.is_late in {True, False, None}


def test_a_year_can_be_added() -> None:
    """An operator's file adds and replaces years; the others stay."""
    own = '[2027]\nsource = "thông báo"\noff = [2027-01-01]\nwork = []\n'

    calendar = read_calendar(own, base=_CALENDAR)

    assert calendar.next_working_day(date(2026, 12, 31)) == date(2027, 1, 4)
    assert calendar.years[2020] == _CALENDAR.years[2020]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[2027", "not TOML"),
        ("[27]\n", "is no year"),
        ("x = 1\n", "is no year"),
        ("2027 = 1\n", "is no table"),
        ("[2027]\noff = []\nwork = []\n", "source"),
        ('[2027]\nsource = "x"\noff = [2028-01-03]\nwork = []\n', "no day of the year"),
        ('[2027]\nsource = "x"\noff = [2027-01-02]\nwork = []\n', "Saturday"),
        ('[2027]\nsource = "x"\noff = []\nwork = [2027-01-01]\n', "Friday"),
        ('[2027]\nsource = "x"\noff = [2027-01-01T00:00:00]\nwork = []\n', "no day of the year"),
        ('[2027]\nsource = "x"\noff = [2027-01-01, 2027-01-01]\nwork = []\n', "twice"),
        ('[2027]\nsource = "x"\noff = 3\nwork = []\n', "no list"),
        ('[2027]\nsource = "x"\noff = []\nwork = []\nholidays = []\n', "not read"),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(text: str, says: str) -> None:
    """With the place: a wrong day off moves everybody's deadline."""
    with pytest.raises(ValueError, match=says):
        read_calendar(text)


@pytest.mark.parametrize(
    ("today", "missing"),
    [
        (date(2026, 11, 1), False),
        (date(2026, 11, 2), True),
        (date(2027, 3, 1), True),
        (date(2020, 3, 1), False),
    ],
)
def test_the_doctor_says_in_time_that_a_year_is_missing(today: date, *, missing: bool) -> None:
    """Two months before it begins, with what to do about it."""
    found = calendar_finding(_CALENDAR, today=today)

    assert (found.good, found.harmless) == (not missing, True)
    assert ("2027" in found.en) is missing
    assert "AXIS_CALENDAR" in found.remedy_vi


def test_an_operator_adds_a_year_by_a_file(tmp_path: Path) -> None:
    """A file that makes no sense stops the start, with the place."""
    own = tmp_path / "2027.toml"
    own.write_text('[2027]\nsource = "thông báo"\noff = [2027-01-01]\nwork = []\n', "utf-8")
    bad = tmp_path / "bad.toml"
    bad.write_text("[2027]\noff = [2027-01-02]\n", "utf-8")

    def opened(path: Path) -> Calendar:
        return open_calendar(read_settings({"AXIS_CALENDAR": str(path)}))

    assert opened(own).next_working_day(date(2026, 12, 31)) == date(2027, 1, 4)
    for path in (bad, tmp_path / "none.toml"):
        with pytest.raises(SettingsError, match="AXIS_CALENDAR"):
            opened(path)
