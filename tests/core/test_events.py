"""A record is bytes made once: the same facts give the same bytes everywhere, and other bytes are no record."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.events import ACTS, JSON, Event, EventKind, canonical, leaf_hash, read_record
from axis.core.ids import compose
from axis.core.model import (
    Actor,
    DeliveryId,
    DocumentKey,
    EventId,
    StationId,
    SubmissionId,
    Tier,
)

_AT = datetime(2020, 2, 4, 8, 30, 0, 123456, tzinfo=UTC)


def _an_event(**changes: Any) -> Event:
    event = Event(
        id=EventId(compose(at=_AT, randomness=7)),
        kind=EventKind.SUBMISSION_ACCEPTED,
        at=_AT,
        by=Actor(station=StationId("g22")),
        submission=SubmissionId("S"),
        document=DocumentKey("D"),
        deliveries=(DeliveryId("L1"), DeliveryId("L2")),
        stations=(StationId("g22"),),
        facts={"number": "7816", "subject": "Về việc “đổi mới”", "deliveries": [{"organ": 7}]},
        previous="00" * 32,
    )
    return replace(event, **changes)


# --- RFC 8785 -----------------------------------------------------------------------------------------------------


def _jcs(value: object) -> str:
    """RFC 8785 section 3.2 written down once more, without the json module: a second opinion."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return '"' + "".join(_jcs_character(one) for one in value) + '"'
        case list() | tuple():
            return "[" + ",".join(_jcs(one) for one in value) + "]"
        case dict():
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return "{" + ",".join(f"{_jcs(name)}:{_jcs(value[name])}" for name in names) + "}"
        case _:
            raise AssertionError(value)


def _jcs_character(one: str) -> str:
    short = {"\b": "b", "\t": "t", "\n": "n", "\f": "f", "\r": "r", '"': '"', "\\": "\\"}
    if one in short:
        return "\\" + short[one]
    return f"\\u{ord(one):04x}" if ord(one) < 0x20 else one


_NAMES = st.text(st.characters(max_codepoint=127), max_size=8)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_FACTS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(_FACTS)
def test_canonical_bytes_are_those_of_rfc_8785(value: JSON) -> None:
    """A serialiser written from the text of the RFC gives the same bytes, and JSON reads them back."""
    assert canonical(value) == _jcs(value).encode()
    assert json.loads(canonical(value)) == value


def test_the_example_of_the_rfc() -> None:
    """RFC 8785 section 3.2.2 without its floats: order, escapes and no white space."""
    given_text = '{"string": "\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/", "literals": [null, true, false]}'

    written = canonical(json.loads(given_text))

    assert written == '{"literals":[null,true,false],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        {"tên": 1},
        {1: 1},
        {"a": {1.5}},
        b"x",
        "\ud800",
        [object()],
        Actor(),
    ],
)
def test_what_two_readers_could_read_differently_is_not_written(value: Any) -> None:
    """Floats, large integers, names beyond ASCII, lone surrogates and things that are not JSON."""
    with pytest.raises(ValueError):
        canonical(value)


def test_closed_values_are_written_as_their_text() -> None:
    """An id or a member of an enum of texts is a text like any other."""
    assert canonical({"tier": Tier.PASSED, "id": StationId("h26")}) == b'{"id":"h26","tier":"passed"}'


# --- hashes -------------------------------------------------------------------------------------------------------


def test_a_leaf_is_hashed_as_rfc_9162_says() -> None:
    """SHA-256 over a zero byte and the record: the published value for an empty leaf."""
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_the_shape_of_a_record_is_frozen() -> None:
    """Version 1 to the byte. If this fails, records already written could not be recomputed any more."""
    assert _an_event().record.decode() == (
        '{"at":"2020-02-04T15:30:00.123456+07:00","by":{"station":"g22"},"deliveries":["L1","L2"],"document":"D",'
        '"facts":{"deliveries":[{"organ":7}],"number":"7816","subject":"Về việc “đổi mới”"},'
        '"id":"01E07N42XV0000000000000007","kind":"submission.accepted","previous":"'
        + "00" * 32
        + '","stations":["g22"],"submission":"S","v":1}'
    )


@pytest.mark.threat("changed history", control="every member of an event is inside its hash")
@pytest.mark.parametrize(
    "changes",
    [
        {"id": EventId(compose(at=_AT, randomness=8))},
        {"kind": EventKind.SUBMISSION_REFUSED},
        {"at": _AT + timedelta(microseconds=1)},
        {"by": Actor(station=StationId("g23"))},
        {"by": Actor(person="an", reason="x")},
        {"submission": None},
        {"document": DocumentKey("E")},
        {"deliveries": (DeliveryId("L2"), DeliveryId("L1"))},
        {"stations": ()},
        {"facts": {}},
        {"previous": None},
    ],
    ids="+".join,
)
def test_no_part_of_an_event_can_change_unseen(changes: dict[str, Any]) -> None:
    """Whatever is changed, the leaf hash changes."""
    assert _an_event(**changes).hash != _an_event().hash


# --- reading back -------------------------------------------------------------------------------------------------

_MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))


@given(
    at=_MOMENTS,
    kind=st.sampled_from(EventKind),
    by=st.builds(
        Actor, station=st.none() | _TEXTS.map(StationId), person=st.none() | _TEXTS, reason=st.none() | _TEXTS
    ),
    submission=st.none() | _TEXTS.filter(bool).map(SubmissionId),
    deliveries=st.lists(_TEXTS.map(DeliveryId), max_size=3).map(tuple),
    facts=st.dictionaries(_NAMES, _FACTS, max_size=4),
)
def test_a_record_says_its_event(
    at: datetime,
    kind: EventKind,
    by: Actor,
    submission: SubmissionId | None,
    deliveries: tuple[DeliveryId, ...],
    facts: dict[str, JSON],
) -> None:
    """What is read from the bytes is what was written, and gives the same bytes again."""
    event = _an_event(at=at, kind=kind, by=by, submission=submission, deliveries=deliveries, facts=facts)

    read = read_record(event.record)

    assert read == event
    assert read.record == event.record
    assert read.hash == event.hash


_RECORD = _an_event().record
_HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"v":1}',
    b'{"v":2}',
    b"\xff",
    b"[" * 100_000,
    b'{"v":1,"x":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"v":' + b"1" * 5_000 + b"}",
    _RECORD + b" ",
    _RECORD.replace(b'"v":1', b'"v":1.0'),
    _RECORD.replace(b'"v":1', b'"v":true'),
    _RECORD.replace(b'"D"', b'"\\u0044"'),
    _RECORD.replace(b'"document":"D"', b'"document":"E","document":"D"'),
    _RECORD.replace(b"submission.accepted", b"submission.imagined"),
    _RECORD.replace(b"2020-02-04T15:30", b"2020-02-34T15:30"),
    _RECORD.replace(b"+07:00", b""),
    _RECORD.replace(b"+07:00", b"+00:00"),
    _RECORD.replace(b'{"station":"g22"}', b"[]"),
    _RECORD.replace(b'{"station":"g22"}', b'{"station":7}'),
    _RECORD.replace(b'["L1","L2"]', b'"L1"'),
    _RECORD.replace(b'["L1","L2"]', b"7"),
    _RECORD.replace(b'"document":"D"', b'"document":7'),
    _RECORD.replace(b'"id":"01E07N42XV0000000000000007"', b'"id":"7"'),
    _RECORD.replace(b'"stations"', b'"stationz"'),
]


@pytest.mark.threat("changed history", control="bytes that are not exactly a record are refused")
@pytest.mark.parametrize("record", _HOSTILE, ids=range(len(_HOSTILE)))
def test_other_bytes_are_no_record(record: bytes) -> None:
    """Not JSON, another version, another spelling of the same facts, missing or unknown members, wrong types."""
    assert record != _RECORD

    with pytest.raises(ValueError):
        read_record(record)


@given(st.binary(max_size=40) | _FACTS.map(lambda value: json.dumps(value).encode()))
def test_reading_raises_nothing_but_a_value_error(record: bytes) -> None:
    """Whatever the bytes are."""
    with pytest.raises(ValueError):
        read_record(record)


@given(st.sampled_from(sorted(json.loads(_RECORD))), _FACTS)
def test_a_record_with_one_member_of_another_kind_is_read_or_refused(name: str, value: JSON) -> None:
    """A record that is read gives its own bytes back, whatever stood in it."""
    record = canonical(json.loads(_RECORD) | {name: value})

    try:
        event = read_record(record)
    except ValueError:
        return
    assert event.record == record


def test_acts_of_persons_are_kinds_of_events() -> None:
    """What `axis log --acts` lists is a part of what can happen, and deliveries are no acts."""
    assert set(EventKind) >= ACTS
    assert [kind for kind in ACTS if kind.value.startswith(("delivery.", "submission."))] == []
