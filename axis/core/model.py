"""
The words every other module speaks: ids, closed sets of values, and the small shapes that cross borders.

GLOSSARY.md explains each word in Vietnamese and English. Nothing here does anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum, unique
from typing import NewType

StationId = NewType("StationId", str)
"""Name of a connected system, `[a-z0-9][a-z0-9-]{1,30}`; also its broker user and its HTTP key id."""

SubmissionId = NewType("SubmissionId", str)
"""One act of handing a package to the axis. Time-ordered text of 26 characters, see `axis.core.ids`."""

DocumentKey = NewType("DocumentKey", str)
"""The axis's own id of a document; the sender's `DocumentId` is free text and no key (edXML guide, QĐ28 Art. 10.2b)."""

DeliveryId = NewType("DeliveryId", str)
"""One document for one receiving organ."""

ConsignmentId = NewType("ConsignmentId", str)
"""One document for one station: one message on the wire."""

EventId = NewType("EventId", str)
"""One event of the ledger."""

OrganNumber = NewType("OrganNumber", int)
"""The axis's internal id of an organ. Codes are aliases with validity dates (QĐ 20/2020, mergers of 2025)."""

Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal, 64 characters."""

VIETNAM = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")
"""Vietnam has had one zone and no summer time since 1975 (QĐ28 Art. 14.4: uniform Vietnam time)."""


@unique
class Kind(StrEnum):
    """What an edXML message is."""

    EDOC = "edoc"
    STATUS = "status"


@unique
class BusinessType(IntEnum):
    """`BussinessDocType` of a document (sic); missing means 0."""

    NEW = 0
    RECALL = 1
    UPDATE = 2
    REPLACE = 3


@unique
class Urgency(IntEnum):
    """NĐ30 Art. 4.2.c knows three levels above normal: khẩn, thượng khẩn, hỏa tốc."""

    NORMAL = 0
    URGENT = 1
    VERY_URGENT = 2
    EXPRESS = 3


@unique
class Tier(StrEnum):
    """What the signature of the message is worth; decides whether the message travels."""

    PASSED = "passed"
    LEGACY = "legacy"
    UNSIGNED = "unsigned"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"


@unique
class LegalValue(StrEnum):
    """What the signatures inside the attachments make of the document (QĐ28 Art. 4, NĐ30 Art. 5)."""

    ORIGINAL = "original"
    COPY = "copy"
    REFERENCE = "reference"
    CHECKING = "checking"


@unique
class SignaturePolicy(StrEnum):
    """What a station's messages must carry."""

    REQUIRED = "required"
    LABELLED = "labelled"


@unique
class Channel(StrEnum):
    """How a station takes its documents."""

    AMQP = "amqp"
    PULL = "pull"
    WEBHOOK = "webhook"


@unique
class Lane(StrEnum):
    """Which queue a consignment or a submission waits in; urgent is always served first."""

    URGENT = "urgent"
    NORMAL = "normal"


@unique
class SubmissionState(StrEnum):
    """What became of one act of handing in."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    HELD = "held"
    DUPLICATE = "duplicate"


@unique
class DeliveryState(StrEnum):
    """Where one document for one organ stands. Pending = the first three."""

    WAITING = "waiting"
    HANDED_OVER = "handed_over"
    FETCHED = "fetched"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    NOT_CONNECTED = "not_connected"


PENDING = frozenset({DeliveryState.WAITING, DeliveryState.HANDED_OVER, DeliveryState.FETCHED})
"""Deliveries the receiver's system has not taken yet (chưa nhận)."""


@unique
class DocumentState(StrEnum):
    """Whether a document still stands, as far as its sender has said."""

    IN_FORCE = "in_force"
    REPLACED = "replaced"
    """Another document stands in its place (type 3), for all its receivers."""
    RECALLING = "recalling"
    """Recalled (type 1), and some holder has not agreed yet: given out to nobody."""
    RECALLED = "recalled"
    """Every holder has agreed, and nobody else ever had it."""


@unique
class RequestKind(StrEnum):
    """What a sender wants of a receiver that was sent a document."""

    RECALL = "recall"
    """Thu hồi (type 1): a duty of the receiver (QĐ28 Art. 9.2)."""
    TAKE_BACK = "take_back"
    """Lấy lại (status 13), or removed from the receivers by an update: asked of one receiver."""
    UPDATE = "update"
    """Cập nhật (type 2)."""


@unique
class RequestState(StrEnum):
    """Where a delivery stands that its sender wants back or updated."""

    NONE = "none"
    WITHDRAWING = "withdrawing"
    """The station is asked to drop it before its DMS sees it, and has not answered."""
    ASKED = "asked"
    """The receiver has it and owes an answer: status 15 or 16."""
    AGREED = "agreed"
    REJECTED = "rejected"
    """Status 16, or 02 on the recall; it stays open (LR-25)."""


@unique
class Owner(StrEnum):
    """Who can mend the cause of a refusal, hold or failure."""

    SENDER = "sender"
    RECEIVER = "receiver"
    AXIS = "axis"


@unique
class StationState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who caused an event: exactly one of the three is set."""

    station: StationId | None = None
    person: str | None = None
    """Login name, or the name given with `--as`."""
    axis: str | None = None
    """The part of the axis that acted by itself, such as `dispatch`."""
    reason: str | None = None
    """Why a person acted; required for acts of persons that change what the axis will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One attached file of an accepted document, as recorded."""

    content_id: str
    name: str
    declared_type: str
    detected_type: str
    size: int
    sha256: Digest


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC: how the ledger stores time in both databases."""
    if at.tzinfo is None:
        raise ValueError("naive datetime")
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(value: int) -> datetime:
    """The inverse of `micros`, in Vietnam time."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).astimezone(VIETNAM)


def iso(at: datetime) -> str:
    """ISO 8601 in Vietnam time with microseconds, the only form a record carries (QĐ28 Art. 14.4)."""
    return at.astimezone(VIETNAM).isoformat(timespec="microseconds")


def vietnam_day(at: datetime) -> str:
    """The counting day `yyyy-mm-dd`: it begins at 00:00 Asia/Ho_Chi_Minh."""
    return at.astimezone(VIETNAM).date().isoformat()
