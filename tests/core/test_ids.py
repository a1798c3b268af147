"""Ids carry their time, sort by it, and say which yearly partition their row lives in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.ids import compose, first_of, is_id, moment_of, year_of
from axis.core.model import VIETNAM

_MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(3000, 1, 1), timezones=st.just(UTC))
_RANDOM = st.integers(0, 2**80 - 1)


def test_the_layout_is_that_of_a_ulid() -> None:
    """The moment of the specification's own example: 1469922850259 ms is 01ARZ3NDEK."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1469922850259)

    assert compose(at=at, randomness=0) == "01ARZ3NDEK0000000000000000"
    assert compose(at=at, randomness=2**80 - 1) == "01ARZ3NDEKZZZZZZZZZZZZZZZZ"


@given(_MOMENTS, _RANDOM)
def test_an_id_has_the_shape_of_an_id_and_its_year(at: datetime, randomness: int) -> None:
    """The year is that of the Vietnam calendar at that moment."""
    made = compose(at=at, randomness=randomness)

    assert is_id(made)
    assert year_of(made) == at.astimezone(VIETNAM).year


@given(_MOMENTS, _MOMENTS, _RANDOM, _RANDOM)
def test_ids_sort_by_time(first: datetime, second: datetime, one: int, other: int) -> None:
    """To the millisecond; within one, by the random part."""
    earlier, later = sorted((first, second))
    if later - earlier >= timedelta(milliseconds=1):
        assert compose(at=earlier, randomness=one) < compose(at=later, randomness=other)


@given(_MOMENTS, _RANDOM)
def test_the_moment_inside_an_id(at: datetime, randomness: int) -> None:
    """To the millisecond; and no id of that moment or a later one is smaller than the first of it."""
    made = compose(at=at, randomness=randomness)

    assert timedelta() <= at - moment_of(made) < timedelta(milliseconds=1)
    assert first_of(moment_of(made)) == first_of(at) <= made
    assert first_of(at + timedelta(milliseconds=1)) > made


@pytest.mark.parametrize("at", [datetime.min, datetime.max])
def test_the_first_id_of_a_moment_that_no_id_has(at: datetime) -> None:
    """A period that somebody asks for may begin before all ids or end behind them."""
    assert is_id(first_of(at.replace(tzinfo=UTC)))


def test_the_year_turns_at_midnight_in_vietnam() -> None:
    """17:00 UTC on 31 December is the first moment of the new year."""
    midnight = datetime(2019, 12, 31, 17, tzinfo=UTC)

    assert year_of(compose(at=midnight, randomness=0)) == 2020
    assert year_of(compose(at=midnight - timedelta(milliseconds=1), randomness=0)) == 2019


@pytest.mark.parametrize("year", range(1971, 3000, 7))
def test_the_year_turns_on_time_in_every_year(year: int) -> None:
    """Leap years and centuries: the first millisecond of a year, and the one before."""
    first = datetime(year, 1, 1, tzinfo=VIETNAM)

    for at in (first, first - timedelta(milliseconds=1)):
        assert year_of(compose(at=at, randomness=7)) == at.year


@given(st.text(max_size=30))
def test_other_texts_are_no_ids(text: str) -> None:
    """Only 26 characters of the alphabet, the first at most 7; no lower case, no line break at the end."""
    alphabet = set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")

    assert is_id(text) == (len(text) == 26 and set(text) <= alphabet and text[0] in "01234567")


def test_a_line_break_does_not_hide_behind_an_id() -> None:
    """`$` would let it."""
    good = compose(at=datetime(2020, 1, 1, tzinfo=UTC), randomness=1)

    assert is_id(good)
    assert not is_id(good + "\n")
    assert not is_id(good.lower())
