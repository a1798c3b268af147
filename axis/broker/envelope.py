"""
A guard between the broker's bytes and the client library: a message nobody could read must not end the connection.

RabbitMQ stores the properties and headers of a message as the sender's client wrote them. The library decodes them
while it reads the connection, so a message id that is not UTF-8, a time stamp in the year 292277026596 or a table
nested ten thousand deep would end the connection, with everything else on it, once for every redelivery. The guard
looks only at content header frames: what cannot be decoded is replaced by something that can, and marked, so that
the message arrives, is refused with a reason, and its neighbours never notice. Bodies pass untouched.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final

import aiormq
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from pamqp import decode, encode
from yarl import URL

UNREADABLE: Final = "x-axis-unreadable"
"""Header the guard puts in place of headers it could not read; its value says what was wrong."""

MAX_HEADERS_BYTES: Final = 32 * 1024
"""Largest header table that is decoded: the contract allows 8 KiB, dead-lettering adds a few hundred bytes a time."""

_FRAME_HEAD: Final = struct.Struct(">BHI")
_CONTENT_HEADER: Final = 2
_FIXED: Final = 12
"""Class id, weight and body size in front of the property flags (AMQP 0-9-1 section 4.2.6.1)."""

_SHORT_STRING, _TABLE, _OCTET, _TIMESTAMP = range(4)
_PROPERTIES: Final = (
    # In the order of the specification; the flag of the first is bit 15.
    _SHORT_STRING,  # content-type
    _SHORT_STRING,  # content-encoding
    _TABLE,  # headers
    _OCTET,  # delivery-mode
    _OCTET,  # priority
    _SHORT_STRING,  # correlation-id
    _SHORT_STRING,  # reply-to
    _SHORT_STRING,  # expiration
    _SHORT_STRING,  # message-id
    _TIMESTAMP,  # timestamp
    _SHORT_STRING,  # type
    _SHORT_STRING,  # user-id
    _SHORT_STRING,  # app-id
    _SHORT_STRING,  # cluster-id
)


def readable(payload: bytes) -> bytes:
    """
    The payload of a content header frame, changed only where the client library could not read it.

    The sender's time stamp is always left out: nothing here reads it, and the axis keeps its own time.
    """
    flags = int.from_bytes(payload[_FIXED : _FIXED + 2])
    position = _FIXED + 2
    kept = 0
    before: list[bytes] = []
    table: bytes | None = None
    after: list[bytes] = []
    for index, kind in enumerate(_PROPERTIES):
        bit = 1 << (15 - index)
        if not flags & bit:
            continue
        size = _size(payload, position, kind)
        value = payload[position : position + size]
        position += size
        if kind == _TIMESTAMP:
            continue
        kept |= bit
        if kind == _TABLE:
            table = value
            continue
        if kind == _SHORT_STRING:
            value = _readable_text(value)
        (before if table is None else after).append(value)
    rest = b"".join(after)
    if table is not None:
        rest = _readable_table(table, rest) + rest
    return payload[:_FIXED] + kept.to_bytes(2) + b"".join(before) + rest


def _size(payload: bytes, position: int, kind: int) -> int:
    if kind == _SHORT_STRING:
        return 1 + payload[position]
    if kind == _TABLE:
        return 4 + int.from_bytes(payload[position : position + 4])
    return 8 if kind == _TIMESTAMP else 1


def _readable_text(value: bytes) -> bytes:
    if value.isascii():
        return value
    try:
        value[1:].decode()
    except UnicodeDecodeError:
        # A replacement character takes three bytes: what no longer fits is cut at a character.
        text = value[1:].decode(errors="replace").encode()[:255].decode(errors="ignore").encode()
        return bytes((len(text),)) + text
    return value


def _readable_table(value: bytes, rest: bytes) -> bytes:
    if len(value) > MAX_HEADERS_BYTES:
        return encode.field_table({UNREADABLE: "too long"})
    try:
        # With what follows, as the library will have it: a damaged table is read beyond its end.
        decode.field_table(value + rest)
    # Whatever a decoder of another project raises on hostile bytes, the answer is the same.
    except Exception:  # noqa: BLE001 - see above
        return encode.field_table({UNREADABLE: "not a table of this protocol"})
    return value


class GuardedReader(asyncio.StreamReader):
    """The bytes of a connection, frame by frame, with content headers made readable."""

    def __init__(self, source: asyncio.StreamReader) -> None:
        super().__init__()
        self._source = source
        self._ready = b""
        self._position = 0

    def at_eof(self) -> bool:
        """Whether nothing is left."""
        return self._position == len(self._ready) and self._source.at_eof()

    async def read(self, n: int = -1) -> bytes:
        """What is left of the frame at hand; the client asks only to show what it could not understand."""
        rest = self._ready[self._position :]
        self._ready, self._position = b"", 0
        return rest or await self._source.read(n)

    async def readexactly(self, n: int) -> bytes:
        """The next `n` bytes; the client never reads beyond the frame it has begun."""
        if self._position == len(self._ready):
            self._ready, self._position = await self._frame(), 0
        start, self._position = self._position, self._position + n
        return self._ready[start : self._position]

    async def _frame(self) -> bytes:
        head = await self._source.readexactly(_FRAME_HEAD.size)
        kind, channel, size = _FRAME_HEAD.unpack(head)
        if head.startswith(b"AMQP"):
            # Not a frame: the broker names the protocol version it wants and closes.
            return head + await self._source.read()
        rest = await self._source.readexactly(size + 1)
        if kind != _CONTENT_HEADER:
            return bytes(head + rest)
        payload = readable(rest[:-1])
        return _FRAME_HEAD.pack(kind, channel, len(payload)) + payload + rest[-1:]


class GuardedTransport(aiormq.TransportFactory):
    """Opens one guarded connection, and can end it without asking anybody."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    # The base class is loosely typed there.
    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open it, over TLS for `amqps`."""
        inner = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await inner.create(url, **kwargs)
        return GuardedReader(reader), self._writer

    def abort(self) -> None:
        """End the connection at once: what is still to be sent is dropped."""
        if self._writer is not None:
            self._writer.transport.abort()
