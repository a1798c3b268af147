"""The contract's own readers and writers: what is written is read, and hostile input is named."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.exchange import BadMessage, BatchSignature, Receipt, dump, load, read_events
from axis.core.model import Digest, DocumentKey, StationId
from axis.core.reasons import Cause, Detail, ReasonCode
from axis.web import wire
from axis.web.ranges import OutOfBounds, read_range
from axis.web.wire import HTTPCause, HTTPReason, Piece

_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
_RECEIPT = Receipt(
    record="{}",
    batch=BatchSignature(index=0, size=1, path=("0" * 64,), root="1" * 64, key="k", signature="s"),
)


@given(st.text())
def test_a_path_stays_one_segment(value: str) -> None:
    """Whatever a DocumentId holds, it is neither a separator, a query nor a step upwards."""
    try:
        path = wire.path(wire.WHERE_IS, value)
    except UnicodeEncodeError:
        # Lone surrogates are no text that could be sent.
        return

    prefix = wire.BASE + "/documents/"
    assert path.startswith(prefix)
    segment = path.removeprefix(prefix)
    assert unquote(segment) == value
    assert not set(segment) & set("/?#")
    assert segment not in {".", ".."}
    assert urlsplit("http://axis" + path).path == path


@given(st.integers(0, 10**12), st.integers(1, 10**9), st.integers(0, 10**9))
def test_a_piece_is_read_as_it_was_written(start: int, size: int, more: int) -> None:
    """And says how long it is."""
    piece = Piece(start=start, end=start + size - 1, total=start + size + more)

    assert wire.read_piece(piece.header) == piece
    assert piece.size == size


def test_an_empty_piece_is_read_as_it_was_written() -> None:
    """The one at the end."""
    piece = Piece(start=10, end=9, total=10)

    assert piece.header == "bytes */10"
    assert wire.read_piece(piece.header) == piece


@given(st.text().filter(lambda text: not set(text) <= set("0123456789-/*")))
def test_no_other_text_is_a_piece(text: str) -> None:
    """Anything else is refused with the header's name."""
    with pytest.raises(BadMessage, match=r"Content-Range"):
        wire.read_piece(f"bytes {text}")


@given(st.text(alphabet="bytes=-0123456789, ", max_size=20) | st.text(), st.integers(0, 50))
def test_a_range_lies_in_the_payload_or_is_refused(header: str, size: int) -> None:
    """Never an empty part, never a byte that is not there."""
    try:
        found = read_range(header, size=size)
    except OutOfBounds:
        return

    if found is not None:
        start, end = found
        assert 0 <= start < end <= size


def test_ranges_are_read_as_the_specification_says() -> None:
    """RFC 9110 section 14.1.2, its examples for 10,000 bytes."""
    assert read_range("bytes=0-499", size=10_000) == (0, 500)
    assert read_range("bytes=500-999", size=10_000) == (500, 1_000)
    assert read_range("bytes=-500", size=10_000) == (9_500, 10_000)
    assert read_range("bytes=9500-", size=10_000) == (9_500, 10_000)
    assert read_range("bytes=-20000", size=10_000) == (0, 10_000)
    assert read_range("bytes=0-0,-1", size=10_000) is None
    assert read_range(None, size=10_000) is None


def test_every_shape_is_read_as_it_was_written() -> None:
    """Through the bytes of the wire."""
    upload = wire.Upload(digest=Digest("0" * 64), offset=5, complete=False)
    report = wire.SignedReport(document=DocumentKey("d"), report="đã kiểm tra".encode(), receipt=_RECEIPT)
    who = wire.Whoami(
        station=StationId("bo-noi-vu"),
        name="Bộ Nội vụ",
        state="active",
        channel="amqp",
        policy="required",
        organs=(wire.Speaks(code="000.00.00.G06", name="Bộ Nội vụ", subtree=True),),
        queues=wire.Queues(urgent="u", inbox="i", receipts="r"),
        log_origin="axis.example/log",
        log_keys=("a", "b"),
        max_body_bytes=5,
    )

    assert wire.read_upload(load(dump(wire.upload_json(upload)))) == upload
    valued = replace(report, valued=_RECEIPT)
    assert wire.read_report(load(dump(wire.report_json(report)))) == report
    assert wire.read_report(load(dump(wire.report_json(valued)))) == valued
    assert wire.read_whoami(load(dump(wire.whoami_json(who)))) == who
    for asked in (
        wire.OrganRequest(act=wire.OrganAct.REGISTER, code="H26.1", name="Sở Một", parent="H26"),
        wire.OrganRequest(act=wire.OrganAct.CLOSE, code="H26.1"),
    ):
        assert wire.read_organ_request(load(dump(wire.organ_request_json(asked)))) == asked


@given(st.dictionaries(st.sampled_from(
    ["consignments", "events", "digest", "offset", "complete", "document", "report", "receipt", "station", "name",
     "state", "channel", "policy", "organs", "queues", "log", "limits", "act", "code", "parent"]), _ANYTHING))  # fmt: skip
def test_readers_say_what_is_wrong_and_nothing_else(value: dict[str, Any]) -> None:
    """An axis that was broken into, or something between, may answer anything."""
    for reader in (
        wire.read_inbox,
        read_events,
        wire.read_upload,
        wire.read_report,
        wire.read_whoami,
        wire.read_organ_request,
    ):
        with contextlib.suppress(BadMessage):
            reader(value)


@given(st.integers(100, 599), st.binary() | _ANYTHING.map(lambda one: repr(one).encode()))
def test_any_answer_can_be_read_as_a_problem(status: int, body: bytes) -> None:
    """A proxy's page of HTML is an error without a code of ours."""
    assert wire.read_problem(status, body).status == status


def test_a_problem_is_read_as_it_was_written() -> None:
    """Code, texts, places and the id of the request; the station knows whether trying again can help."""
    detail = Detail(path="limit", vi="sai", en="wrong")
    body = dump(wire.problem_json(HTTPCause(code=HTTPReason.QUERY, details=(detail,)), request="r1"))
    refusal = dump(wire.problem_json(Cause(code=ReasonCode.RECEIVE_SUSPENDED), status=403))

    found = wire.read_problem(400, body)

    assert (found.code, found.request, found.details) == ("http.query", "r1", (detail,))
    assert not found.may_pass
    assert wire.read_problem(403, refusal).code == "receive.suspended"
    assert wire.read_problem(503, b"<html>").may_pass


@pytest.mark.parametrize(
    ("key", "station"),
    [
        ("bo-noi-vu." + "x" * 43, "bo-noi-vu"),
        ("bo-noi-vu." + "x" * 10, None),
        ("bo-noi-vu", None),
        ("." + "x" * 43, None),
        ("-bo." + "x" * 43, None),
        ("bo.noi." + "x" * 43, None),
        ("BO-NOI-VU." + "x" * 43, None),
        ("bo-noi-vu." + "x" * 43 + "\n", None),
        ("bo-noi-vu." + "ồ" * 43, None),
        ("", None),
    ],
)
def test_a_key_says_whose_it_is(key: str, station: str | None) -> None:
    """Only in the one form keys are made in."""
    assert wire.station_of_key(key) == station
