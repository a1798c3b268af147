"""
The JSON of the contract as OpenAPI describes it, for integrators and their generators.

Describes only: what is sent is made by `axis.core.exchange` and `axis.web.wire`, and a test holds every answer against
these shapes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from axis.core.exchange import MAX_ACKS, Duty, Outcome
from axis.core.model import (
    DeliveryState,
    Kind,
    Lane,
    LegalValue,
    Owner,
    RequestKind,
    SubmissionState,
    Tier,
)
from axis.web import wire

Id = Annotated[str, Field(pattern="^[0-9A-HJKMNP-TV-Z]{26}$", description="Time-ordered id of the axis.")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 in hexadecimal.")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Texts(_Shape):
    """One text in both languages."""

    vi: str
    en: str


class Detail(_Shape):
    """One place where a reason shows."""

    path: str
    vi: str
    en: str


class Cause(_Shape):
    """A reason, who can mend it, and what to do next."""

    code: str
    owner: Owner
    vi: str
    en: str
    next: Texts
    details: list[Detail]


class Notice(_Shape):
    """A warning on a message that travels."""

    code: str
    path: str
    vi: str
    en: str


class DeliveryLine(_Shape):
    """One receiver of a document."""

    delivery: Id
    code: Annotated[str, Field(description="The receiving organ as written in To.")]
    name: str
    state: DeliveryState
    reason: str | None
    at: datetime | None
    status: Annotated[str | None, Field(description="The receiver's last edXML status, such as 03.")]


class BatchSignature(_Shape):
    """One signature over the Merkle root of a batch of records."""

    index: int
    size: int
    path: list[Digest]
    root: Digest
    key: str
    signature: Annotated[str, Field(description="Base64.")]


class Receipt(_Shape):
    """Signed evidence of an event; `proof` (C2SP tlog-proof) is there once a checkpoint covers it."""

    record: Annotated[str, Field(description="The canonical record; its bytes are what is signed.")]
    batch: BatchSignature
    proof: str | None


class Answer(_Shape):
    """What became of a submission."""

    type: Literal["receipt"]
    submission: Id
    state: SubmissionState
    message_id: str
    digest: Digest
    at: Annotated[datetime, Field(description="When the axis received it: the legal time of sending.")]
    headline: Annotated[Texts, Field(description="What a clerk must know first.")]
    document: Id | None
    causes: Annotated[list[Cause], Field(description="Why it was refused or is held.")]
    notices: list[Notice]
    deliveries: list[DeliveryLine]
    next_try: Annotated[datetime | None, Field(description="For a hold: when the axis tries again.")]
    receipt: Receipt | None


class Upload(_Shape):
    """How far an upload has come."""

    type: Literal["upload"]
    digest: Digest
    offset: int
    complete: bool


class DeliveryRef(_Shape):
    """One delivery inside a consignment."""

    delivery: Id
    code: str


class Consignment(_Shape):
    """One document or status for this station; the bytes are fetched by `document`."""

    consignment: Id
    document: Id
    kind: Kind
    lane: Lane
    digest: Digest
    size: int
    tier: Tier
    value: LegalValue
    report: Digest | None
    attempt: int
    deliveries: list[DeliveryRef]
    deliveries_total: int
    notices: list[Notice]
    sent_at: datetime


class Inbox(_Shape):
    """What waits for the station."""

    type: Literal["inbox"]
    consignments: list[Consignment]


class Report(_Shape):
    """The verification report of a document, signed."""

    type: Literal["report"]
    document: Id
    report: Annotated[
        str, Field(description="Canonical JSON; SHA-256 of its bytes is the consignment's `report`.")
    ]
    receipt: Receipt
    valued: Annotated[
        Receipt | None,
        Field(
            description="Signed record `document.valued`: the legal value, with what was found in each file."
        ),
    ]


class Event(_Shape):
    """A later event of a document."""

    type: Literal["event"]
    index: Annotated[int, Field(description="Leaf index in the log; ask for what comes `after` it.")]
    record: str


class Events(_Shape):
    """Events in the order of the log."""

    type: Literal["events"]
    events: list[Event]


class Whereabouts(_Shape):
    """Where a document stands, per receiver."""

    type: Literal["where_is"]
    document: Id
    document_id: str
    state: SubmissionState
    value: Annotated[LegalValue | None, Field(description="Null while it is held.")]
    deliveries: list[DeliveryLine]


class Submitted(_Shape):
    """One submission of the caller."""

    submission: Id
    document: Id | None
    digest: str
    kind: Literal["edoc", "status"] | None
    sender: Annotated[str, Field(alias="from")]
    document_id: str
    code: str
    subject: str
    state: SubmissionState
    reason: str | None
    received_at: str


class Submissions(_Shape):
    """What the caller handed in, newest first."""

    type: Literal["submissions"]
    submissions: list[Submitted]


class OwedAnswer(_Shape):
    """One answer that somebody owes, for one delivery."""

    duty: Duty
    document: Id
    delivery: Id
    document_id: str
    code: Annotated[str, Field(description="Number and notation of the document.")]
    subject: str
    sender: Annotated[str, Field(alias="from", description="To whom it is owed.")]
    to: Annotated[str, Field(description="Who owes it.")]
    state: DeliveryState
    status: Annotated[str | None, Field(description="The receiver's last edXML status.")]
    due: Annotated[datetime | None, Field(description="Null where the calendar does not know the year.")]
    late: bool
    request: Annotated[RequestKind | None, Field(description="What is asked for; null for other duties.")]
    requested_by: Annotated[Id | None, Field(description="The recall, the update or the status 13.")]
    requested_at: datetime | None
    rejected: Annotated[bool, Field(description="The receiver said 16; 15 ends it all the same.")]


class Owed(_Shape):
    """What the caller owes, or is owed, oldest first."""

    type: Literal["owed"]
    owed: list[OwedAnswer]
    next: Annotated[Id | None, Field(description="`after` of the next page; null behind the last.")]


class Organ(_Shape):
    """An organ the station speaks for."""

    code: str
    name: str
    subtree: Annotated[bool, Field(description="And for every organ below it.")]


class Queues(_Shape):
    """AMQP queues of the station."""

    urgent: str
    inbox: str
    receipts: str


class Log(_Shape):
    """The log to pin."""

    origin: str
    keys: Annotated[
        list[str],
        Field(
            description="C2SP verifier keys: the one with the log's name signs checkpoints, the others receipts."
        ),
    ]


class Bounds(_Shape):
    """What this axis takes."""

    body_bytes: int


class Whoami(_Shape):
    """What the axis knows of the caller."""

    type: Literal["whoami"]
    station: str
    name: str
    state: str
    channel: str
    policy: str
    organs: list[Organ]
    queues: Queues | None
    log: Log
    limits: Bounds


class ListedOrgan(_Shape):
    """An organ of the directory."""

    number: int
    code: str
    codes: Annotated[list[str], Field(description="Every code it has or had.")]
    name: str
    kind: str
    parent: int | None
    valid_from: str | None
    valid_to: Annotated[str | None, Field(description="From then on it is closed.")]
    successor: int | None
    confidence: str
    version: Annotated[int, Field(description="Of the directory, when it last changed.")]
    connected: Annotated[bool, Field(description="Whether some station receives for it, as of this answer.")]


class OrganRequest(_Shape):
    """A change to an organ below those the station speaks for."""

    act: Literal["register", "close"]
    code: str
    name: Annotated[str, Field(description="For `register`.")] = ""
    parent: Annotated[str, Field(description="Code of the organ above, for `register` of a new one.")] = ""


class Organs(_Shape):
    """Organs that changed, in the order of their numbers."""

    type: Literal["organs"]
    version: Annotated[int, Field(description="Of the directory; keep that of the first page.")]
    organs: list[ListedOrgan]
    next: Annotated[int | None, Field(description="`after` of the next page; null behind the last.")]


class Consistency(_Shape):
    """Hashes that show that one checkpoint continues another (RFC 9162 section 2.1.4)."""

    type: Literal["consistency"]
    old: int
    new: int
    hashes: list[Digest]


class Epoch(_Shape):
    """The log went on from an older copy: the record says from where, and what was lost."""

    index: int
    record: str
    """Canonical bytes, as text."""
    proof: str | None
    """C2SP tlog-proof against the newest checkpoint; none until one covers it."""


class Epochs(_Shape):
    """Every break of the log that its operator said in public."""

    type: Literal["epochs"]
    epochs: list[Epoch]


class Health(_Shape):
    """Whether the process can be sent requests."""

    status: Literal["ok"]


class Problem(_Shape):
    """RFC 9457 with a reason code, in both languages: the one shape of every error."""

    type: str
    title: str
    status: int
    detail: str
    instance: Annotated[str | None, Field(description="Names the request in the axis's logs.")]
    code: str
    vi: str
    en: str
    causes: list[Cause]


class Ack(_Shape):
    """What a station says of one delivery."""

    delivery: Id
    outcome: Outcome
    reason: Annotated[str, Field(max_length=500, description="For `fail`.")] = ""


class StationMessage(_Shape):
    """Acknowledgements, or `resync`, or both."""

    acks: Annotated[list[Ack], Field(max_length=MAX_ACKS)] = []
    ask: Literal["resync"] | None = None


Responses = dict[int | str, dict[str, Any]]

_PROBLEM: dict[str, Any] = {
    "description": "Not served: see `code`.",
    "content": {wire.PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def answers(status: int, shape: type[_Shape], description: str) -> Responses:
    """Responses of an endpoint that answers with one shape."""
    return {status: {"model": shape, "description": description}, "default": _PROBLEM}


def bytes_of(status: int, media_type: str, description: str) -> Responses:
    """Responses of an endpoint that answers with something other than JSON."""
    return {
        status: {"description": description, "content": {media_type: {"schema": {"type": "string"}}}},
        "default": _PROBLEM,
    }


def nothing(status: int, description: str) -> Responses:
    """Responses of an endpoint that answers without a body."""
    return {status: {"description": description}, "default": _PROBLEM}


def _body(description: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "description": description, "content": content}}


def _header(name: str, description: str, *, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }


_BINARY = {"schema": {"type": "string", "format": "binary"}}

SUBMISSION_BODY = {
    **_body(
        "The edXML message as signed, or the SHA-256 of one that was uploaded.",
        {
            wire.EDXML: _BINARY,
            wire.BY_DIGEST: {"schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
        },
    ),
    "parameters": [
        _header(
            wire.IDEMPOTENCY_KEY,
            "The message id: new for each submission, the same when sent again.",
            required=True,
        ),
        _header(wire.DIGEST, "SHA-256 of the body; a body with another one is refused.", required=False),
    ],
}
UPLOAD_BODY = {
    **_body("The payload, or the piece `Content-Range` names.", {"application/octet-stream": _BINARY}),
    "parameters": [_header("Content-Range", "`bytes <first>-<last>/<total>` for a piece.", required=False)],
}
ACKS_BODY = {
    **_body(
        "What the station says.",
        {wire.JSON_TYPE: {"schema": {"$ref": "#/components/schemas/StationMessage"}}},
    ),
    "parameters": [_header(wire.IDEMPOTENCY_KEY, "The message id, for the record.", required=False)],
}

ORGAN_BODY = _body(
    "The organ, by its code.", {wire.JSON_TYPE: {"schema": {"$ref": "#/components/schemas/OrganRequest"}}}
)

UNREFERENCED: tuple[type[_Shape], ...] = (Problem, StationMessage, OrganRequest)
"""Shapes that only the constants above refer to; the document lists them as well."""
