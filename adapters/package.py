"""
What a station hands in: the bytes of one edXML message, and the little the client must know of them.

The client looks inside only to choose a lane; whether the message is right is judged by the axis and nobody else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from adapters.errors import NotPossible
from axis.broker.wire import MAX_SUBMIT_BYTES
from axis.core.model import Digest, Kind, Lane, Urgency
from axis.edxml.message import PriorityScale, Status
from axis.edxml.reader import Unreadable, read_package


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One message on its way to the axis."""

    source: bytes | Path
    """Its bytes; or, where they are too many for one message, the file that holds them."""
    size: int
    digest: Digest
    kind: Kind
    lane: Lane
    by_digest: bool
    """It is uploaded first and then named by its digest."""

    @property
    def body(self) -> bytes:
        """The bytes of a package that travels inside a message."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def read_source(source: bytes | Path, *, lane: Lane | None, by_digest: bool, scale: PriorityScale) -> Package:
    """
    Take the measure of a message. Blocks while it reads; a message nobody can read travels on the normal lane.

    Raises:
        NotPossible: the file cannot be read.
    """
    try:
        if isinstance(source, Path) and source.stat().st_size <= MAX_SUBMIT_BYTES:
            # Read once, so that what is hashed is what is sent even if the file changes.
            source = source.read_bytes()
        size, digest = _measure(source)
        kind, found = _look(source, scale=scale)
    except OSError as error:
        raise NotPossible(
            f"{source if isinstance(source, Path) else 'the message'}: {error.strerror}"
        ) from error
    return Package(
        source=source,
        size=size,
        digest=digest,
        kind=kind,
        lane=lane or found,
        by_digest=by_digest or size > MAX_SUBMIT_BYTES,
    )


def _measure(source: bytes | Path) -> tuple[int, Digest]:
    if isinstance(source, bytes):
        return len(source), Digest(hashlib.sha256(source).hexdigest())
    with source.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256")
        return stream.tell(), Digest(found.hexdigest())


def _look(source: bytes | Path, *, scale: PriorityScale) -> tuple[Kind, Lane]:
    try:
        if isinstance(source, bytes):
            message = read_package(source).message
        else:
            with source.open("rb") as stream:
                message = read_package(stream).message
    except Unreadable:
        return Kind.EDOC, Lane.NORMAL
    if isinstance(message, Status):
        return Kind.STATUS, Lane.NORMAL
    return Kind.EDOC, Lane.NORMAL if message.urgency(scale=scale) is Urgency.NORMAL else Lane.URGENT
