"""What the ledger knows now: rows derived from events, as the flow reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from axis.core.model import (
    Attachment,
    BusinessType,
    ConsignmentId,
    DeliveryId,
    DeliveryState,
    Digest,
    DocumentKey,
    DocumentState,
    EventId,
    Kind,
    Lane,
    LegalValue,
    OrganNumber,
    RequestKind,
    RequestState,
    StationId,
    SubmissionId,
    SubmissionState,
    Tier,
    Urgency,
)
from axis.core.reasons import ReasonCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One key that only one accepted or held submission can occupy."""

    key: str
    submission: SubmissionId
    document: DocumentKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRow:
    """One act of handing in, and where it stands."""

    id: SubmissionId
    station: StationId | None
    message_id: str
    digest: Digest
    size: int
    received_at: datetime
    state: SubmissionState
    reason: ReasonCode | None
    document: DocumentKey | None
    lane: Lane
    event: EventId
    head: str
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """An accepted edXML message: a document, or a status that answers one."""

    id: DocumentKey
    submission: SubmissionId
    kind: Kind
    station: StationId
    sender: OrganNumber
    from_code: str
    document_id: str
    business_type: BusinessType
    number: str
    notation: str
    promulgation_date: str | None
    type_name: str
    subject: str
    urgency: Urgency
    lane: Lane
    digest: Digest
    size: int
    content: str
    tier: Tier
    value: LegalValue
    received_at: datetime
    accepted_at: datetime
    root: DocumentKey
    target: DocumentKey | None
    status_code: str | None
    report: Digest | None
    attachments: tuple[Attachment, ...]
    head: str
    state: DocumentState = DocumentState.IN_FORCE


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One document for one organ."""

    id: DeliveryId
    document: DocumentKey
    consignment: ConsignmentId | None
    station: StationId | None
    kind: Kind
    sender: OrganNumber
    organ: OrganNumber
    code: str
    name: str
    state: DeliveryState
    reason: ReasonCode | None
    state_at: datetime
    accepted_at: datetime
    received_at: datetime | None
    status: str | None
    registered: bool
    returned: bool
    due_at: datetime | None = None
    """When it is too late to tell the sender that it arrived (LR-17); None: nothing is due, or nobody can tell."""
    told_at: datetime | None = None
    """When the first status of the receiver (01 to 06) came."""
    not_taken_at: datetime | None = None
    """When it was recorded that the deadline had passed in silence."""
    failures: int = 0
    request: RequestState = RequestState.NONE
    """Whether its sender wants it back or updated, and what the receiver says to that."""
    request_kind: RequestKind | None = None
    requested_by: DocumentKey | None = None
    """The recall, update or status 13."""
    """How often its station failed to take it, since it was accepted or replayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsignmentRow:
    """One document for one station."""

    id: ConsignmentId
    document: DocumentKey
    station: StationId
    lane: Lane
    state: str
    """`waiting`, `handed_over`, `fetched` or `closed`."""
    attempt: int
    head: str
    is_leased: bool = False
    """A publisher has it: it may lie in the station's queue without being recorded as handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuriedRow:
    """A message that died before anyone judged it."""

    id: SubmissionId
    station: StationId | None
    message_id: str
    digest: Digest
    size: int
    reason: ReasonCode
    at: datetime
    admitted_as: SubmissionId | None
