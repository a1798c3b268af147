"""The guard: what the client library cannot read is made readable, and nothing else is touched."""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import encode, header
from pamqp.commands import Basic

from axis.broker.envelope import MAX_HEADERS_BYTES, UNREADABLE, GuardedReader, readable

TEXT = st.text(max_size=60)
VALUE = st.one_of(TEXT, st.booleans(), st.integers(-(2**31), 2**31 - 1), st.none())
TABLES = st.dictionaries(
    st.text(st.characters(codec="ascii"), min_size=1, max_size=20),
    st.recursive(VALUE, lambda inner: st.lists(inner, max_size=3), max_leaves=8),
    max_size=6,
)


def marshal(properties: Basic.Properties) -> bytes:
    return header.ContentHeader(body_size=5, properties=properties).marshal()


def read(payload: bytes) -> Basic.Properties:
    found = header.ContentHeader()
    found.unmarshal(payload)
    return found.properties


@given(headers=TABLES, message_id=TEXT, user_id=TEXT, content_type=TEXT)
def test_what_is_readable_stays_as_it_is(
    headers: dict[str, object], message_id: str, user_id: str, content_type: str
) -> None:
    """All properties but the time stamp come through unchanged."""
    properties = Basic.Properties(
        headers=headers,  # type: ignore[arg-type] # the library's own type is narrower than its encoder
        message_id=message_id,
        user_id=user_id,
        content_type=content_type,
        delivery_mode=2,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    )

    found = read(readable(marshal(properties)))

    assert found.timestamp is None
    properties.timestamp = None
    assert dict(found) == dict(read(marshal(properties)))


@given(message_id=st.binary(max_size=255), table=st.binary(max_size=300))
def test_whatever_bytes_a_sender_writes_can_be_read_afterwards(message_id: bytes, table: bytes) -> None:
    flags = 1 << 13 | 1 << 7
    payload = (
        struct.pack(">HHQH", 60, 0, 5, flags)
        + struct.pack(">I", len(table))
        + table
        + bytes((len(message_id),))
        + message_id
    )

    found = read(readable(payload))

    assert found.message_id == message_id.decode(errors="replace").encode()[:255].decode(errors="ignore")


def test_a_time_in_a_year_nobody_can_say_is_left_out() -> None:
    payload = struct.pack(">HHQHQ", 60, 0, 5, 1 << 6, 2**63 - 1)

    assert read(readable(payload)).timestamp is None


def nested(depth: int) -> bytes:
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return struct.pack(">I", len(table)) + table


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (nested(4_000), "not a table of this protocol"),
        (nested(9_000), "too long"),
        (struct.pack(">I", MAX_HEADERS_BYTES) + b"\xff" * MAX_HEADERS_BYTES, "too long"),
        (struct.pack(">I", 4) + b"\x01aQ!", "not a table of this protocol"),
    ],
    ids=["nested four thousand deep", "nested nine thousand deep", "too large", "unknown type"],
)
def test_headers_nobody_can_read_are_replaced_and_marked(table: bytes, says: str) -> None:
    payload = struct.pack(">HHQH", 60, 0, 5, 1 << 13) + table

    assert read(readable(payload)).headers == {UNREADABLE: says}


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


async def test_only_content_headers_are_looked_at() -> None:
    """Bodies and methods pass byte for byte, however the client cuts its reads."""
    source = asyncio.StreamReader()
    guarded = GuardedReader(source)
    body = frame(3, b"\xff" * 100)
    hostile = struct.pack(">HHQH", 60, 0, 100, 1 << 7) + b"\x02\xff\xfe"
    source.feed_data(frame(2, hostile) + body)
    source.feed_eof()

    head = await guarded.readexactly(7)
    size = struct.unpack(">BHI", head)[2]
    payload = await guarded.readexactly(size + 1)
    passed = await guarded.readexactly(1) + await guarded.readexactly(6) + await guarded.readexactly(101)

    assert read(payload[:-1]).message_id == "\ufffd\ufffd"
    assert passed == body
    assert guarded.at_eof()


def test_the_mark_fits_into_a_table() -> None:
    assert len(encode.field_table({UNREADABLE: "not a table of this protocol"})) < 100
