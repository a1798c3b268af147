"""Time as the ledger stores it, and the day it counts on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.model import VIETNAM, from_micros, iso, micros, vietnam_day
from axis.core.retry import DELIVERIES, HOLDS, Backoff
from axis.core.text import searchable

_MOMENTS = st.datetimes(
    datetime(1900, 1, 1),
    datetime(3000, 1, 1),
    timezones=st.sampled_from([UTC, VIETNAM, timezone(timedelta(hours=-11))]),
)


@given(_MOMENTS)
def test_a_moment_survives_the_database(at: datetime) -> None:
    """Both databases store whole microseconds; nothing is rounded, whatever the zone."""
    assert from_micros(micros(at)) == at


@given(_MOMENTS)
def test_a_record_shows_vietnam_time(at: datetime) -> None:
    """One form only: six digits of a second and +07:00, and it is the same moment."""
    text = iso(at)

    assert text.endswith("+07:00")
    assert len(text) == len("2020-02-04T15:30:00.123456+07:00")
    assert datetime.fromisoformat(text) == at


def test_a_time_without_zone_is_refused() -> None:
    """Seven hours of doubt are worth an error."""
    with pytest.raises(ValueError, match="naive"):
        micros(datetime(2020, 2, 4))


def test_the_counting_day_begins_at_midnight_in_vietnam() -> None:
    """16:59:59.999999 UTC is still that day, 17:00 is the next."""
    midnight = datetime(2020, 2, 3, 17, tzinfo=UTC)

    assert vietnam_day(midnight) == "2020-02-04"
    assert vietnam_day(midnight - timedelta(microseconds=1)) == "2020-02-03"


def test_pauses_double_up_to_the_longest_and_end() -> None:
    """After the last try there is no pause; holds end by age instead."""
    backoff = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=5), tries=5)

    assert [backoff.pause(attempt) for attempt in range(1, 7)] == [
        timedelta(seconds=1),
        timedelta(seconds=2),
        timedelta(seconds=4),
        timedelta(seconds=5),
        None,
        None,
    ]
    assert [DELIVERIES.pause(attempt) for attempt in (1, 5, 6)] == [
        timedelta(seconds=30),
        timedelta(minutes=8),
        None,
    ]


@pytest.mark.parametrize("attempt", [7, 43, 44, 1_000])
def test_a_hold_that_was_tried_often_is_tried_again(attempt: int) -> None:
    """2**43 quarter minutes are more than a time span can hold: the pause must not be computed first."""
    assert HOLDS.pause(attempt) == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("written", "searched"),
    [
        ("Đường Đê", "duong de"),
        ("Về việc  tăng\ncường", "ve viec tang cuong"),
        ("VĂN BẢN", "van ban"),
        ("Ve\u0302\u0300 vie\u0323\u0302c", "ve viec"),
        ("ma\u200bt\ufeff", "mat"),
    ],
)
def test_people_find_texts_without_typing_marks(written: str, searched: str) -> None:
    """Composed or decomposed, with zero-width characters or without."""
    assert searchable(written) == searched


@given(st.text(max_size=40))
def test_searching_for_what_was_searched_changes_nothing(text: str) -> None:
    """The normal form is a fixed point, so that stored text and question meet."""
    assert searchable(searchable(text)) == searchable(text)
