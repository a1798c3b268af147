"""Dates and times as people's software writes them, read as the day they mean in Vietnam."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.model import VIETNAM
from axis.edxml import findings as f
from axis.edxml.dates import read_date, read_time
from axis.edxml.message import WrittenDate, WrittenTime

_DAY = date(2026, 3, 2)


@pytest.mark.parametrize(
    ("text", "day", "oddity"),
    [
        ("2026/03/02", _DAY, None),
        ("2026-03-02", _DAY, f.DATE_FORM),
        ("2026.3.2", _DAY, f.DATE_FORM),
        ("02/03/2026", _DAY, f.DATE_FORM),
        ("2-3-2026", _DAY, f.DATE_FORM),
        ("2026/03/02 08:15:00", _DAY, f.DATE_FORM),
        ("2026-03-02T08:15:00", _DAY, f.DATE_FORM),
        ("02/03/2026 08:15", _DAY, f.DATE_FORM),
        ("2026-03-01T16:59:59Z", date(2026, 3, 1), f.DATE_FORM),
        ("2026-03-01T17:00:00Z", _DAY, f.DATE_FORM),
        ("2026-03-01T17:00:00.123Z", _DAY, f.DATE_FORM),
        ("2026-03-02T00:00:00+07:00", _DAY, f.DATE_FORM),
        ("2026-03-02T00:00:00+0900", date(2026, 3, 1), f.DATE_FORM),
        ("2028/02/29", date(2028, 2, 29), None),
        ("2026/02/29", None, f.DATE_IMPOSSIBLE),
        ("2014/02/30", None, f.DATE_IMPOSSIBLE),
        ("30/02/2014", None, f.DATE_IMPOSSIBLE),
        ("2026/13/01", None, f.DATE_IMPOSSIBLE),
        ("03/13/2026", None, f.DATE_IMPOSSIBLE),
        ("2026/03/02 25:00:00", None, f.DATE_IMPOSSIBLE),
        ("0000/01/01", None, f.DATE_IMPOSSIBLE),
        ("9999-12-31T23:59:59-23:59", None, f.DATE_IMPOSSIBLE),
        ("2026-03-02T00:00:00+99:99", None, f.DATE_IMPOSSIBLE),
        ("0001/01/01", date(1, 1, 1), f.DATE_UNLIKELY),
        ("1970/01/01", date(1970, 1, 1), f.DATE_UNLIKELY),
        ("1945/09/02", date(1945, 9, 2), None),
        ("hôm nay", None, f.DATE_UNREADABLE),
        ("N/A", None, f.DATE_UNREADABLE),
        ("2026/03", None, f.DATE_UNREADABLE),
        ("20260302", None, f.DATE_UNREADABLE),
        ("٢٠٢٦/٠٣/٠٢", None, f.DATE_UNREADABLE),
        ("2026/03/02" + " " * 40 + "08:15:00", None, f.DATE_UNREADABLE),
    ],
)
def test_dates(text: str, day: date | None, oddity: f.FindingKind | None) -> None:
    """The day, or none, and what is odd about the text, which stays as written."""
    written, found = read_date(text)

    assert (WrittenDate(written=text, value=day), oddity) == (written, found)


@pytest.mark.parametrize(
    ("text", "at", "oddity"),
    [
        ("2026/03/02 09:30:05", datetime(2026, 3, 2, 9, 30, 5, tzinfo=VIETNAM), None),
        ("2026-03-02T09:30:05", datetime(2026, 3, 2, 9, 30, 5, tzinfo=VIETNAM), f.TIME_FORM),
        ("02/03/2026 09:30:05", datetime(2026, 3, 2, 9, 30, 5, tzinfo=VIETNAM), f.TIME_FORM),
        ("2026-03-02T02:30:05Z", datetime(2026, 3, 2, 9, 30, 5, tzinfo=VIETNAM), f.TIME_FORM),
        ("2026/03/02", datetime(2026, 3, 2, tzinfo=VIETNAM), f.TIME_FORM),
        ("2026/03/02 24:00:00", None, f.TIME_UNREADABLE),
        ("now", None, f.TIME_UNREADABLE),
    ],
)
def test_times(text: str, at: datetime | None, oddity: f.FindingKind | None) -> None:
    """The moment in Vietnam time, as the format has no zone (QĐ28 Art. 14.4)."""
    written, found = read_time(text)

    assert (WrittenTime(written=text, value=at), oddity) == (written, found)


@given(st.dates(min_value=date(1971, 1, 1)))
def test_what_we_write_we_read(day: date) -> None:
    """Every day comes back from the form that is prescribed, without a word."""
    assert (WrittenDate.of(day), None) == read_date(WrittenDate.of(day).written)


@given(st.text(alphabet="0123456789/-.:TZ+ abậ", max_size=45))
def test_any_text_is_a_date_or_none(text: str) -> None:
    """Reading never fails; a text that names no day says so."""
    written, oddity = read_date(text)
    at, _ = read_time(text)

    assert text == written.written == at.written
    assert written.value is not None or oddity is not None
