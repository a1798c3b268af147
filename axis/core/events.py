"""
Events: what the ledger is made of.

An event is a record: canonical JSON bytes (RFC 8785 restricted to strings, integers, booleans, null, lists and
objects with ASCII names) that are made once, kept as made and hashed as a leaf of the log (RFC 9162 section 2.1.1:
SHA-256 over 0x00 and the bytes). A hub inserts it without a number; the sequencer numbers it later.

Every table that says who, what, when or how many is derived from these bytes and can be recomputed from them.
The shape is append-only: members may be added to `facts`, none is ever renamed, retyped or removed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from functools import cached_property
from typing import Any, TypeAlias

from axis.core.ids import is_id, year_of
from axis.core.model import (
    Actor,
    DeliveryId,
    DocumentKey,
    EventId,
    StationId,
    SubmissionId,
    iso,
)

JSON: TypeAlias = "str | int | bool | Sequence[JSON] | Mapping[str, JSON] | None"

RECORD_VERSION = 1


@unique
class EventKind(StrEnum):
    """
    `subject.what_happened`, in the past tense. Names follow the event families of ETSI EN 319 522-1 clause 6
    where one fits (given in brackets).
    """

    SUBMISSION_ACCEPTED = "submission.accepted"  # A.1 SubmissionAcceptance
    SUBMISSION_REFUSED = "submission.refused"  # A.2 SubmissionRejection
    SUBMISSION_HELD = "submission.held"
    SUBMISSION_DUPLICATE = "submission.duplicate"
    SUBMISSION_BURIED = "submission.buried"  # died before anyone judged it

    DELIVERY_HANDED_OVER = "delivery.handed_over"  # D.1 ContentConsignment
    DELIVERY_OFFERED_AGAIN = "delivery.offered_again"
    DELIVERY_FETCHED = "delivery.fetched"  # E.1 ContentHandover
    DELIVERY_ACKNOWLEDGED = "delivery.acknowledged"
    DELIVERY_FAILED = "delivery.failed"  # D.2 ContentConsignmentFailure
    DELIVERY_ADDED = "delivery.added"  # of a recall, to who took the original late
    DELIVERY_ASKED_BACK = "delivery.asked_back"  # the station must say whether its DMS has seen it
    DELIVERY_WITHDRAWN = "delivery.withdrawn"
    DELIVERY_REPLAYED = "delivery.replayed"
    DELIVERY_ANSWERED = "delivery.answered"  # an edXML status of the receiver
    DELIVERY_NOT_TAKEN = "delivery.not_taken"  # not fetched or not answered by its deadline

    DOCUMENT_VERIFIED = "document.verified"  # a verdict that came, or changed, after it had travelled
    DOCUMENT_VALUED = "document.valued"  # legal value judged
    DOCUMENT_RECALL_CLOSED = "document.recall_closed"  # every holder has agreed
    ACK_IGNORED = "ack.ignored"  # an acknowledgement that changes nothing, with the reason

    ORGANS_CHANGED = "organs.changed"
    STATION_CHANGED = "station.changed"
    DELEGATION_CHANGED = "delegation.changed"
    CERTIFICATE_CHANGED = "certificate.changed"
    VXP_CHANGED = "vxp.changed"  # a system of the VXP interface and its station
    TRUST_CHANGED = "trust.changed"
    POLICY_CHANGED = "policy.changed"
    KEYS_CHANGED = "keys.changed"
    SECRECY_RELEASED = "secrecy.released"
    REPLAY_CHANGED = "replay.changed"
    LEGAL_HOLD_CHANGED = "legal_hold.changed"
    PAYLOAD_PURGED = "payload.purged"
    LEDGER_QUERIED = "ledger.queried"
    CERTIFICATE_ENDING = "certificate.ending"  # a bound certificate ends soon, and nothing follows it
    REVOCATION_TAKEN = "revocation.taken"  # a revocation list or response, kept and asked from now on
    LOG_TIMESTAMPED = "log.timestamped"  # a token of a timestamp authority over a checkpoint
    LOG_EPOCH_BEGUN = "log.epoch_begun"


ACTS = frozenset(
    {
        EventKind.ORGANS_CHANGED,
        EventKind.STATION_CHANGED,
        EventKind.DELEGATION_CHANGED,
        EventKind.CERTIFICATE_CHANGED,
        EventKind.VXP_CHANGED,
        EventKind.TRUST_CHANGED,
        EventKind.POLICY_CHANGED,
        EventKind.KEYS_CHANGED,
        EventKind.SECRECY_RELEASED,
        EventKind.REPLAY_CHANGED,
        EventKind.LEGAL_HOLD_CHANGED,
        EventKind.PAYLOAD_PURGED,
        EventKind.LOG_EPOCH_BEGUN,
    }
)
"""Acts of persons: what `axis log --acts` lists."""


def canonical(value: JSON) -> bytes:
    """
    RFC 8785 bytes of `value`. Names must be ASCII, so that sorting by code point and by UTF-16 unit agree.

    Raises:
        ValueError: a float, a lone surrogate or a non-ASCII name.
    """
    _check(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def _check(value: object) -> None:
    # Exact types: a float or an enum would be written in a form that another reader writes differently.
    kind = type(value)
    if kind is dict:
        for name, member in value.items():  # type: ignore[attr-defined]  # kind is dict
            if type(name) is not str or not name.isascii():
                raise ValueError(f"{name!r} cannot name a member of a record")
            if type(member) is not str:
                _check(member)
    elif kind is list or kind is tuple:
        for member in value:  # type: ignore[attr-defined]  # kind is list or tuple
            if type(member) is not str:
                _check(member)
    elif kind is int:
        if not -(2**53) < value < 2**53:  # type: ignore[operator]  # kind is int
            raise ValueError("an integer beyond 2**53 cannot stand in a record")
    elif value is not None and kind is not str and kind is not bool and not isinstance(value, str):
        raise ValueError(f"{kind.__name__} cannot stand in a record")


def leaf_hash(record: bytes) -> bytes:
    """RFC 9162 section 2.1.1: the hash of a leaf."""
    return hashlib.sha256(b"\x00" + record).digest()


@dataclass(frozen=True, kw_only=True)
class Event:
    """
    One event before and after it is written. `record` is what counts; the other fields are its parts.
    """

    id: EventId
    kind: EventKind
    at: datetime
    by: Actor
    submission: SubmissionId | None = None
    document: DocumentKey | None = None
    deliveries: tuple[DeliveryId, ...] = ()
    stations: tuple[StationId, ...] = ()
    """Stations that are told of it, by receipt or event feed; sender's first. Part of the record."""
    facts: Mapping[str, JSON] = field(default_factory=dict)
    previous: str | None = None
    """
    Leaf hash, in hexadecimal, of the event before it in the same life: of the submission or document, then of the
    consignment. The lives of a document's receivers branch from its acceptance; the log gives the total order.
    """

    @cached_property
    def record(self) -> bytes:
        """The canonical bytes: made once, never again from the database."""
        by: dict[str, JSON] = {
            name: value
            for name, value in (
                ("station", self.by.station),
                ("person", self.by.person),
                ("axis", self.by.axis),
                ("reason", self.by.reason),
            )
            if value is not None
        }
        members: dict[str, JSON] = {
            "v": RECORD_VERSION,
            "id": self.id,
            "kind": self.kind.value,
            "at": iso(self.at),
            "by": by,
            "facts": dict(self.facts),
        }
        if self.submission is not None:
            members["submission"] = self.submission
        if self.document is not None:
            members["document"] = self.document
        if self.deliveries:
            members["deliveries"] = list(self.deliveries)
        if self.stations:
            members["stations"] = list(self.stations)
        if self.previous is not None:
            members["previous"] = self.previous
        return canonical(members)

    @cached_property
    def hash(self) -> bytes:
        """The leaf hash of `record`, 32 bytes."""
        return leaf_hash(self.record)

    @property
    def year(self) -> int:
        """The partition of the event."""
        return year_of(self.id)


def read_record(record: bytes) -> Event:
    """
    The event a record says; `read_record(e.record) == e` in all parts.

    Raises:
        ValueError: not the canonical bytes of an event of a known version.
    """
    try:
        event = _event(json.loads(record))
        is_same = event.record == record
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise ValueError("not a record of version 1") from problem
    if not is_same:
        raise ValueError("not canonical")
    return event


def _event(members: Mapping[str, Any]) -> Event:
    by, facts = members["by"], members["facts"]
    texts = [members["id"], *by.values(), *members.get("deliveries", ()), *members.get("stations", ())]
    texts += [members[name] for name in ("submission", "document", "previous") if name in members]
    if (
        members["v"] != RECORD_VERSION
        or type(facts) is not dict
        or not all(type(one) is str for one in texts)
    ):
        raise TypeError("members of another kind")
    if not is_id(members["id"]):
        raise TypeError("the id has no time in it")
    return Event(
        id=EventId(members["id"]),
        kind=EventKind(members["kind"]),
        at=datetime.fromisoformat(members["at"]),
        by=Actor(
            station=by.get("station"), person=by.get("person"), axis=by.get("axis"), reason=by.get("reason")
        ),
        submission=members.get("submission"),
        document=members.get("document"),
        deliveries=tuple(members.get("deliveries", ())),
        stations=tuple(members.get("stations", ())),
        facts=facts,
        previous=members.get("previous"),
    )
