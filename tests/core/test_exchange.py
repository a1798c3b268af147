"""What the axis and a station say to each other: read back as written, and anything else is a `BadMessage`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.broker import wire
from axis.core.exchange import (
    MAX_ACKS,
    Ack,
    Answer,
    Ask,
    BadMessage,
    BatchSignature,
    Consignment,
    DeliveryLine,
    DeliveryRef,
    Duty,
    FeedEntry,
    Notice,
    Outcome,
    Owed,
    OwedBy,
    OwedList,
    OwedQuestion,
    Receipt,
    StationMessage,
    Whereabouts,
    answer_json,
    consignment_json,
    dump,
    feed_json,
    load,
    owed_list_json,
    read_answer,
    read_consignment,
    read_feed,
    read_owed_list,
    read_receipt,
    read_station_message,
    read_whereabouts,
    receipt_json,
    station_message_json,
    whereabouts_json,
)
from axis.core.ids import compose
from axis.core.model import (
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    Kind,
    Lane,
    LegalValue,
    RequestKind,
    StationId,
    SubmissionId,
    SubmissionState,
    Tier,
)
from axis.core.reasons import Cause, Detail, ReasonCode

_AT = datetime(2020, 2, 4, 8, 30, tzinfo=UTC)

# --- written and read back ----------------------------------------------------------------------------------------

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))
_COUNTS = st.integers(0, 2**53)
_NOTICES = st.builds(Notice, code=_TEXTS, path=_TEXTS, vi=_TEXTS, en=_TEXTS)
_LINES = st.builds(
    DeliveryLine,
    delivery=_TEXTS.map(DeliveryId),
    code=_TEXTS,
    name=_TEXTS,
    state=st.sampled_from(DeliveryState),
    reason=st.none() | st.sampled_from(ReasonCode),
    at=st.none() | _MOMENTS,
    status=st.none() | _TEXTS,
)
_CAUSES = st.builds(
    Cause,
    code=st.sampled_from(ReasonCode),
    details=st.lists(st.builds(Detail, path=_TEXTS, vi=_TEXTS, en=_TEXTS), max_size=2).map(tuple),
)
_RECEIPTS = st.builds(
    Receipt,
    record=_TEXTS,
    batch=st.builds(
        BatchSignature,
        index=_COUNTS,
        size=_COUNTS,
        path=st.lists(_TEXTS, max_size=3).map(tuple),
        root=_TEXTS,
        key=_TEXTS,
        signature=_TEXTS,
    ),
    proof=st.none() | _TEXTS,
)
_ANSWERS = st.builds(
    Answer,
    submission=_TEXTS.map(SubmissionId),
    state=st.sampled_from(SubmissionState),
    message_id=_TEXTS,
    digest=_TEXTS.map(Digest),
    at=_MOMENTS,
    headline_vi=_TEXTS,
    headline_en=_TEXTS,
    document=st.none() | _TEXTS.filter(bool).map(DocumentKey),
    causes=st.lists(_CAUSES, max_size=2).map(tuple),
    notices=st.lists(_NOTICES, max_size=2).map(tuple),
    deliveries=st.lists(_LINES, max_size=2).map(tuple),
    next_try=st.none() | _MOMENTS,
    receipt=st.none() | _RECEIPTS,
)
_CONSIGNMENTS = st.builds(
    Consignment,
    consignment=_TEXTS.map(ConsignmentId),
    document=_TEXTS.map(DocumentKey),
    kind=st.sampled_from(Kind),
    lane=st.sampled_from(Lane),
    digest=_TEXTS.map(Digest),
    size=_COUNTS,
    tier=st.sampled_from(Tier),
    value=st.sampled_from(LegalValue),
    report=st.none() | _TEXTS.filter(bool).map(Digest),
    attempt=st.integers(0, 1000),
    deliveries=st.lists(st.builds(DeliveryRef, delivery=_TEXTS.map(DeliveryId), code=_TEXTS), max_size=3).map(
        tuple
    ),
    deliveries_total=_COUNTS,
    notices=st.lists(_NOTICES, max_size=2).map(tuple),
    sent_at=_MOMENTS,
)
_WHEREABOUTS = st.builds(
    Whereabouts,
    document=_TEXTS.map(DocumentKey),
    document_id=_TEXTS,
    state=st.sampled_from(SubmissionState),
    deliveries=st.lists(_LINES, max_size=3).map(tuple),
)
_SAID = st.builds(
    StationMessage,
    acks=st.lists(
        st.builds(Ack, delivery=_TEXTS.map(DeliveryId), outcome=st.sampled_from(Outcome), reason=_TEXTS),
        min_size=1,
        max_size=3,
    ).map(tuple),
    ask=st.none() | st.sampled_from(Ask),
    document=st.none() | _TEXTS,
    owed=st.none()
    | st.builds(
        OwedQuestion,
        duty=st.sampled_from(Duty),
        by=st.sampled_from(OwedBy),
        after=st.none() | st.integers(0, 2**60).map(lambda one: DeliveryId(compose(at=_AT, randomness=one))),
    ),
)
_OWED = st.builds(
    Owed,
    duty=st.sampled_from(Duty),
    document=_TEXTS.map(DocumentKey),
    delivery=_TEXTS.map(DeliveryId),
    document_id=_TEXTS,
    code=_TEXTS,
    subject=_TEXTS,
    sender=_TEXTS,
    receiver=_TEXTS,
    state=st.sampled_from(DeliveryState),
    status=st.none() | _TEXTS,
    due=st.none() | _MOMENTS,
    is_late=st.booleans(),
    request=st.none() | st.sampled_from(RequestKind),
    requested_by=st.none() | _TEXTS.map(DocumentKey),
    requested_at=st.none() | _MOMENTS,
    is_rejected=st.booleans(),
)


@given(_ANSWERS)
def test_an_answer_comes_back_as_written(answer: Answer) -> None:
    """Over the wire and back."""
    assert read_answer(load(dump(answer_json(answer)))) == answer


@given(_CONSIGNMENTS)
def test_an_inbox_line_comes_back_as_written(consignment: Consignment) -> None:
    """Over the wire and back."""
    assert read_consignment(load(dump(consignment_json(consignment)))) == consignment


@given(_WHEREABOUTS)
def test_whereabouts_come_back_as_written(where: Whereabouts) -> None:
    """Over the wire and back."""
    assert read_whereabouts(load(dump(whereabouts_json(where)))) == where


@given(st.lists(_OWED, max_size=3).map(tuple), st.booleans())
def test_what_is_owed_comes_back_as_written(owed: tuple[Owed, ...], more: bool) -> None:
    """Over the wire and back; a page that leads anywhere but behind its last line is not believed."""
    page = OwedList(owed=owed, next=owed[-1].delivery if owed and more else None)

    assert read_owed_list(load(dump(owed_list_json(page)))) == page
    with pytest.raises(BadMessage):
        read_owed_list({**owed_list_json(page), "next": "elsewhere, and long enough"})


@given(_SAID)
def test_what_a_station_says_comes_back_as_written(said: StationMessage) -> None:
    """Over the wire and back."""
    assert read_station_message(dump(station_message_json(said))) == said


@given(_COUNTS, _TEXTS)
def test_an_event_comes_back_as_written(index: int, record: str) -> None:
    """Over the wire and back."""
    assert read_feed(load(dump(feed_json(FeedEntry(index=index, record=record))))) == FeedEntry(
        index=index, record=record
    )


@given(_CONSIGNMENTS, st.booleans())
def test_a_consignment_fits_into_headers(consignment: Consignment, inline: bool) -> None:
    """What the headers say of a consignment is what was put in, whoever reads them."""
    headers = wire.consignment_headers(consignment, inline=inline)

    assert wire.read_consignment_headers(headers, lane=consignment.lane) == consignment
    assert headers[wire.H_BY_DIGEST] is not inline


@pytest.mark.threat("a header that closes the connection", control="headers are bounded by construction")
def test_headers_stay_small_however_large_the_document() -> None:
    """636 receivers and the longest warnings: under 8 KiB, and the total says what is missing."""
    consignment = Consignment(
        consignment=ConsignmentId("C" * 26),
        document=DocumentKey("D" * 26),
        kind=Kind.EDOC,
        lane=Lane.URGENT,
        digest=Digest("f" * 64),
        size=2**40,
        tier=Tier.INDETERMINATE,
        value=LegalValue.REFERENCE,
        report=Digest("f" * 64),
        attempt=1_000,
        deliveries=tuple(DeliveryRef(delivery=DeliveryId("L" * 26), code="ế" * 500) for _ in range(636)),
        deliveries_total=636,
        notices=tuple(Notice(code="c" * 40, path="/p" * 200, vi="ế" * 900, en="e" * 900) for _ in range(40)),
        sent_at=_AT,
    )

    headers = wire.consignment_headers(consignment, inline=True)

    assert sum(len(name) + len(str(value).encode()) + 8 for name, value in headers.items()) < 32 * 1024
    read = wire.read_consignment_headers(headers, lane=Lane.URGENT)
    assert (len(read.deliveries), read.deliveries_total) == (wire.MAX_REFS, 636)


# --- hostile ------------------------------------------------------------------------------------------------------

_JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

_AN_ANSWER = answer_json(
    Answer(
        submission=SubmissionId("S"),
        state=SubmissionState.REFUSED,
        message_id="m",
        digest=Digest("d"),
        at=_AT,
        headline_vi="v",
        headline_en="e",
        document=DocumentKey("D"),
        causes=(Cause(code=ReasonCode.PARSE_NOT_XML, details=(Detail(path="$", vi="v", en="e"),)),),
        notices=(Notice(code="c", path="p", vi="v", en="e"),),
        deliveries=(
            DeliveryLine(
                delivery=DeliveryId("L"),
                code="H26",
                name="n",
                state=DeliveryState.FAILED,
                at=_AT,
                status="03",
            ),
        ),
        next_try=_AT,
        receipt=Receipt(
            record="r",
            batch=BatchSignature(index=0, size=1, path=("ab",), root="ab", key="k", signature="s"),
            proof="p",
        ),
    )
)
_A_CONSIGNMENT = consignment_json(
    Consignment(
        consignment=ConsignmentId("C"),
        document=DocumentKey("D"),
        kind=Kind.EDOC,
        lane=Lane.NORMAL,
        digest=Digest("d"),
        size=1,
        tier=Tier.PASSED,
        value=LegalValue.ORIGINAL,
        report=Digest("r"),
        attempt=1,
        deliveries=(DeliveryRef(delivery=DeliveryId("L"), code="H26"),),
        deliveries_total=1,
        notices=(Notice(code="c", path="p", vi="v", en="e"),),
        sent_at=_AT,
    )
)
_WHERE = whereabouts_json(
    Whereabouts(document=DocumentKey("D"), document_id="1", state=SubmissionState.ACCEPTED, deliveries=())
)
_OWED_LIST = owed_list_json(
    OwedList(
        owed=(
            Owed(
                duty=Duty.REQUEST,
                document=DocumentKey("D"),
                delivery=DeliveryId("L"),
                document_id="1",
                code="c",
                subject="s",
                sender="G22",
                receiver="H26",
                state=DeliveryState.ACKNOWLEDGED,
                status="03",
                due=_AT,
                is_late=True,
                request=RequestKind.RECALL,
                requested_by=DocumentKey("R"),
                requested_at=_AT,
            ),
        ),
        next=DeliveryId("L"),
    )
)
_ACKS = station_message_json(
    StationMessage(
        acks=(Ack(delivery=DeliveryId("L"), outcome=Outcome.FAIL, reason="x"),),
        ask=Ask.RESYNC,
        document="D",
        owed=OwedQuestion(duty=Duty.REPLY, after=DeliveryId(compose(at=_AT, randomness=1))),
    )
)
_READERS: list[tuple[str, Callable[[Any], object], dict[str, Any]]] = [
    ("answer", read_answer, dict(_AN_ANSWER)),
    ("consignment", read_consignment, dict(_A_CONSIGNMENT)),
    ("where_is", read_whereabouts, dict(_WHERE)),
    ("owed", read_owed_list, dict(_OWED_LIST)),
    ("event", read_feed, dict(feed_json(FeedEntry(index=1, record="r")))),
    ("receipt", read_receipt, dict(receipt_json(read_answer(_AN_ANSWER).receipt))),  # type: ignore[arg-type]
    ("acks", lambda value: read_station_message(json.dumps(value).encode()), dict(_ACKS)),
]


def _paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [at] if at else []
    members: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        found += _paths(member, (*at, name))
    return found


def _with(value: Any, path: tuple[str | int, ...], put: Callable[[Any], Any]) -> Any:
    copy = json.loads(json.dumps(value))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = put(inner[path[-1]])
    return copy


@pytest.mark.threat(
    "hostile JSON from a station or an axis", control="readers answer BadMessage and nothing else"
)
@pytest.mark.parametrize(("name", "read", "good"), _READERS, ids=[name for name, _, _ in _READERS])
@given(data=st.data())
def test_one_wrong_member_is_read_or_named(
    name: str, read: Callable[[Any], object], good: dict[str, Any], data: st.DataObject
) -> None:
    """Any member at any depth replaced by anything: the reader takes it or raises `BadMessage`."""
    path = data.draw(st.sampled_from(_paths(good)))
    junk = data.draw(_JUNK)
    try:
        read(_with(good, path, lambda _: junk))
    except BadMessage as bad:
        named = f"{bad.path}: {bad.problem}"
        assert str(bad) == named  # noqa: PT017 - most replacements are refused, some are taken


@pytest.mark.parametrize(("name", "read", "good"), _READERS, ids=[name for name, _, _ in _READERS])
@given(value=st.dictionaries(st.text(max_size=8), _JUNK, max_size=4))
def test_any_object_is_refused(
    name: str, read: Callable[[Any], object], good: dict[str, Any], value: dict[str, Any]
) -> None:
    """An object of somebody else's is not ours by accident."""
    with pytest.raises(BadMessage):
        read(value)


@given(st.binary(max_size=60) | _JUNK.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """What comes out of `load` is an object; everything else is a `BadMessage`."""
    try:
        loaded = load(body)
    except BadMessage:
        return
    assert isinstance(loaded, dict)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"1" * 100_000,
        b'{"acks":[{"delivery":"L","outcome":"done"}]}'.decode().encode("utf-16"),
        b'{"acks":NaN}',
        b'{"acks":{}}',
        b'{"acks":[]}',
        b'{"acks":[1]}',
        b'{"acks":[{"delivery":"L","outcome":"lost"}]}',
        b'{"acks":[{"delivery":7,"outcome":"done"}]}',
        b'{"acks":[{"delivery":"\\ud800","outcome":"done"}]}',
        b'{"acks":[{"delivery":"L","outcome":"fail","reason":"\\u0000"}]}',
        b'{"ask":"everything"}',
        b'{"ask":["resync"]}',
        b'{"ask":"report","document":7}',
        b'{"ask":"owed","owed":"request"}',
        b'{"ask":"owed","owed":{"duty":"all"}}',
        b'{"ask":"owed","owed":{"duty":"reply","by":"them"}}',
        b'{"ask":"owed","owed":{"duty":"reply","after":"x"}}',
        dump({"acks": [{"delivery": "L", "outcome": "done"}] * (MAX_ACKS + 1)}),
    ],
    ids=range(21),
)
def test_a_station_cannot_say_just_anything(body: bytes) -> None:
    """Depth, numbers, encodings, wrong kinds, unknown words, too many: `BadMessage`, at once."""
    with pytest.raises(BadMessage):
        read_station_message(body)


def test_a_long_reason_is_cut_and_a_long_id_is_no_id() -> None:
    """What a station says is bounded before it is recorded."""
    said = read_station_message(
        dump({"acks": [{"delivery": "L" * 10_000, "outcome": "fail", "reason": "x" * 10_000}]})
    )

    assert (len(said.acks[0].delivery), len(said.acks[0].reason)) == (40, 500)


@given(
    st.dictionaries(
        st.sampled_from([getattr(wire, name) for name in dir(wire) if name.startswith("H_")]),
        _JUNK | st.binary(max_size=8) | st.sampled_from(["[" * 5000, "[[]]", "[[1]]", "{}", "[[1,2,3]]"]),
    )
)
def test_any_headers_are_read_or_refused(headers: dict[str, object]) -> None:
    """A station must survive whatever lies in its queue."""
    good = wire.consignment_headers(read_consignment(_A_CONSIGNMENT), inline=True)
    try:
        read = wire.read_consignment_headers({**good, **headers}, lane=Lane.NORMAL)
    except BadMessage:
        return
    assert read.sent_at.tzinfo is not None


@pytest.mark.threat(
    "a station reads or writes another's queues", control="ids and queue names are escaped by shape"
)
@pytest.mark.parametrize(
    "station", ["", "A", "h26.*", "h26\n", "-h26", "h", "h" * 32, "đ26", "h26/..", "h26|h27"]
)
def test_a_queue_name_is_made_of_harmless_characters(station: str) -> None:
    """A name that could mean something in a permission or a routing key is no station."""
    with pytest.raises(ValueError, match="not a station id or secret"):
        wire.station_queues(station=StationId(station), secret="a" * 16)
    with pytest.raises(ValueError, match="not a station id or secret"):
        wire.station_queues(station=StationId("h26"), secret="a" * 15 + ".")
