"""
What an edXML message says, as frozen values: a document (`Edoc`) or a status (`Status`).

The reader fills these from bytes it leaves alone; the writer turns them into bytes. Every text stands as it was
written, without the white space around it; where a date or number could be understood, its value stands beside the
text. An element that is absent and one that is empty are the same thing: on the wire nobody tells them apart.
Nothing here judges a message: see `axis.edxml.rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum, StrEnum, unique

from axis.core.model import BusinessType, Digest, Kind, Urgency

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
"""The one namespace of the format; elements are matched by it and their local name, never by prefix."""


NO_DIGEST = Digest("")
"""Of an attachment whose bytes could not be had."""


@unique
class StatusCode(IntEnum):
    """The status codes of the national format (QĐ28 Art. 10.2.h); 07-12 and 14 were never given out."""

    ARRIVED = 1
    RETURNED = 2
    REGISTERED = 3
    ASSIGNED = 4
    IN_PROCESS = 5
    FINISHED = 6
    TAKE_BACK = 13
    AGREED = 15
    REJECTED = 16

    @property
    def written(self) -> str:
        """Two digits, as the format writes it."""
        return f"{self.value:02d}"


@unique
class PriorityScale(StrEnum):
    """How a station's software numbers urgency; a setting of the station."""

    ZERO_TO_FOUR = "0-4"
    """0 normal, 1 urgent, 2 very urgent, 3 express, 4 express with a fixed hour."""
    ONE_TO_FIVE = "1-5"
    """1 urgent, 2 very urgent, 3 express, 4 express with a fixed hour, 5 normal."""


def urgency_of(priority: int | None, *, scale: PriorityScale = PriorityScale.ZERO_TO_FOUR) -> Urgency:
    """Urgency of a `Priority`; absent or out of range is normal, 4 (hỏa tốc hẹn giờ) is express (NĐ30 Art. 4)."""
    if priority is None or (scale is PriorityScale.ONE_TO_FIVE and priority == 5):
        return Urgency.NORMAL
    if priority == 4:
        return Urgency.EXPRESS
    return Urgency(priority) if 0 <= priority <= 3 else Urgency.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenDate:
    """A date as written, and the day it means."""

    written: str
    value: date | None
    """Absent where the text names no day: `30/02/2014`, `hôm nay`."""

    @classmethod
    def of(cls, day: date) -> WrittenDate:
        """The day in the form the format prescribes, `yyyy/MM/dd`."""
        return cls(written=f"{day.year:04d}/{day.month:02d}/{day.day:02d}", value=day)

    @property
    def iso(self) -> str | None:
        """`yyyy-mm-dd`, if the text names a day."""
        return None if self.value is None else self.value.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenTime:
    """A moment as written, and what it means in Vietnam time (QĐ28 Art. 14.4)."""

    written: str
    value: datetime | None

    @classmethod
    def of(cls, at: datetime) -> WrittenTime:
        """The moment in the form the format prescribes, `yyyy/MM/dd HH:mm:ss`, without its fraction."""
        whole = at.replace(microsecond=0)
        clock = f"{whole.hour:02d}:{whole.minute:02d}:{whole.second:02d}"
        return cls(written=f"{whole.year:04d}/{whole.month:02d}/{whole.day:02d} {clock}", value=whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """`From` or one `To`."""

    organ_id: str = ""
    """The code as written; compare with `axis.edxml.organ_code`."""
    organization_in_charge: str = ""
    """The parent body: some write its name, some its code."""
    organ_name: str = ""
    organ_add: str = ""
    email: str = ""
    telephone: str = ""
    fax: str = ""
    website: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Number and notation: `7816` and `VPCP-TTĐT`."""

    number: str = ""
    notation: str = ""

    @property
    def written(self) -> str:
        """`number/notation`, as printed on the document; empty if both are."""
        return f"{self.number}/{self.notation}" if self.number or self.notation else ""

    @property
    def split_suffix(self) -> str:
        """
        What some senders append to send one document once per receiver: `…#000.00.00.G14`.

        Empty if nothing was appended.
        """
        return self.notation.partition("#")[2] or self.number.partition("#")[2]

    @property
    def without_suffix(self) -> Code:
        """The code of the document behind a per-receiver split."""
        return Code(number=self.number.partition("#")[0], notation=self.notation.partition("#")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PromulgationInfo:
    """Where and when the document was issued."""

    place: str = ""
    date: WrittenDate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentType:
    """Numbers that every vendor assigns differently, and the name: the one dependable part."""

    type: int | None = None
    type_detail: int | None = None
    type_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerInfo:
    """Who signed the paper form of the document."""

    competence: str = ""
    """`TL.`, `KT.`, `TM.`, `TUQ.` (NĐ30 Annex I II.7)."""
    position: str = ""
    full_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherInfo:
    """Urgency, circulation and counts."""

    priority: int | None = None
    sphere_of_promulgation: str = ""
    typer_notation: str = ""
    promulgation_amount: int | None = None
    page_amount: int | None = None
    direction: bool | None = None
    appendixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFor:
    """The document this message answers."""

    organ_id: str = ""
    code: str = ""
    """`number/notation` in one text."""
    promulgation_date: WrittenDate | None = None
    document_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffInfo:
    """Whom to ask."""

    department: str = ""
    department_id: str = ""
    staff: str = ""
    staff_id: str = ""
    email: str = ""
    mobile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverChange:
    """One receiver that an update adds or removes."""

    organ_id: str = ""
    receiver_type: int | None = None
    """0 removed, 1 added."""

    @property
    def added(self) -> bool:
        """Whether the receiver is new; only meaningful for the two defined types."""
        return self.receiver_type == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BussinessDocumentInfo:
    """What an update changes."""

    document_info: bool | None = None
    """The metadata or content changed."""
    document_receiver: bool | None = None
    """The list of receivers changed."""
    receivers: tuple[ReceiverChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """One document that is replaced, and for whom; no organs means for all its receivers."""

    document_id: str = ""
    organ_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bussiness:
    """What the sender does with the document (the format spells it so). Signed apart by profile AX-1."""

    type: BusinessType = BusinessType.NEW
    reason: str = ""
    document_id: str = ""
    """The document acted on; noise in a new document, where samples carry an unrelated id."""
    paper: bool | None = None
    """A paper copy is sent as well (LR-08)."""
    changes: BussinessDocumentInfo | None = None
    replacements: tuple[Replacement, ...] = ()
    staff: StaffInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceHeader:
    """One hop. Never signed and never used for a decision."""

    organ_id: str = ""
    timestamp: WrittenTime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One line of the manifest: the list of attachments that the signature covers."""

    content_id: str = ""
    content_type: str = ""
    name: str = ""
    description: str = ""

    @property
    def key(self) -> str:
        """What links it to its attachment."""
        return content_key(self.content_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """
    One attached file: what the message claims of it, and what its bytes are.

    The claims of `AttachmentEncoded` are unsigned even in a signed message. `size` and `sha256` are of the decoded
    bytes; `part` is their number among all contents of the message, in document order.
    """

    content_id: str = ""
    name: str = ""
    content_type: str = ""
    description: str = ""
    part: int | None = None
    """Absent if the attachment has no content at all."""
    size: int = 0
    sha256: Digest = NO_DIGEST
    problem: str = ""
    """Why the content could not be decoded, a code of `signing`; empty if it could."""
    detected_type: str = ""
    """Media type told by the first bytes, see `axis.edxml.detect`."""
    zip_entry: str = ""
    """Name of the only entry, if the file was wrapped in a ZIP by itself, as the Java SDK does."""

    @property
    def key(self) -> str:
        """What links it to its line of the manifest."""
        return content_key(self.content_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edoc:
    """A document message: new, recall, update or replace."""

    sender: Party = Party()
    receivers: tuple[Party, ...] = ()
    document_id: str = ""
    """The sender's id: free text, possibly repeated for other content. No key by itself."""
    code: Code = Code()
    promulgation: PromulgationInfo = PromulgationInfo()
    document_type: DocumentType = DocumentType()
    subject: str = ""
    content: str = ""
    signer: SignerInfo = SignerInfo()
    due_date: WrittenDate | None = None
    to_places: tuple[str, ...] = ()
    other: OtherInfo = OtherInfo()
    responses: tuple[ResponseFor, ...] = ()
    steering_type: int | None = None
    task_codes: tuple[str, ...] = ()
    application_type: str = ""
    traces: tuple[TraceHeader, ...] = ()
    bussiness: Bussiness | None = None
    manifest: tuple[Reference, ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def kind(self) -> Kind:
        """Always `edoc`."""
        return Kind.EDOC

    @property
    def business_type(self) -> BusinessType:
        """New where `Bussiness` is missing, and nothing else can be read from its absence."""
        return BusinessType.NEW if self.bussiness is None else self.bussiness.type

    @property
    def target_ids(self) -> tuple[str, ...]:
        """
        Ids of the documents this one acts on, best first; empty for a new document.

        A replacement names its targets in `ReplacementInfoList`. A recall or update names its own in
        `Bussiness/DocumentId`, else it carries the original's id as its own, else `ResponseFor` points there.
        """
        if self.bussiness is None or self.bussiness.type is BusinessType.NEW:
            return ()
        if self.bussiness.type is BusinessType.REPLACE:
            return _once(entry.document_id for entry in self.bussiness.replacements) or _once(
                (self.bussiness.document_id,)
            )
        return _once(
            (self.bussiness.document_id, self.document_id, *(answer.document_id for answer in self.responses))
        )

    def urgency(self, *, scale: PriorityScale = PriorityScale.ZERO_TO_FOUR) -> Urgency:
        """How fast it must travel, by the numbering of the sender's software."""
        return urgency_of(self.other.priority, scale=scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A status message: what a receiver did with a document, or (13) that its sender wants it back."""

    sender: Party = Party()
    response_for: ResponseFor | None = None
    staff: StaffInfo | None = None
    status_code: str = ""
    """As written: `01`, or `1` by some."""
    description: str = ""
    timestamp: WrittenTime | None = None

    @property
    def kind(self) -> Kind:
        """Always `status`."""
        return Kind.STATUS

    @property
    def code(self) -> StatusCode | None:
        """The code, if it is one of the format's."""
        if not re.fullmatch(r"[0-9]{1,3}", self.status_code):
            return None
        number = int(self.status_code)
        return next((code for code in StatusCode if code == number), None)


Message = Edoc | Status


def content_key(content_id: str) -> str:
    """A ContentId without any `cid:` before it: peers write none, one or two."""
    key = content_id.strip()
    while key[:4].lower() == "cid:":
        key = key[4:]
    return key


def _once(ids: Iterable[str]) -> tuple[str, ...]:
    """The non-empty ids in their order, each once."""
    return tuple(dict.fromkeys(found for found in ids if found))
