"""
Letters for the demonstration: signed edXML of real agencies with a PDF each, and the same spoilt on purpose.

The texts are made up, and so are the numbers; only names and codes of agencies are real (snapshot of 4 February 2020).
Pure functions of their arguments, so that a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Final

from fpdf import FPDF

from axis.core.model import VIETNAM, BusinessType
from axis.edxml.message import (
    Bussiness,
    Code,
    DocumentType,
    Edoc,
    OtherInfo,
    Party,
    PromulgationInfo,
    ResponseFor,
    SignerInfo,
    StaffInfo,
    Status,
    StatusCode,
    TraceHeader,
    WrittenDate,
    WrittenTime,
)
from axis.edxml.writer import AttachmentSource, edoc_bytes, status_bytes
from signing.certificates import ReadCertificate
from signing.keys import Signer
from signing.sign import sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """A body that sends and receives in the demonstration."""

    code: str
    """The 13-character form."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """What an agency signs with."""

    signer: Signer
    chain: tuple[ReadCertificate, ...]


_SUBJECTS: Final = (
    ("Công văn", "V/v triển khai kết nối, liên thông phần mềm quản lý văn bản", "VP"),
    ("Báo cáo", "Kết quả gửi, nhận văn bản điện tử quý I", "BC"),
    ("Quyết định", "Ban hành Quy chế quản lý, vận hành Trục liên thông văn bản", "QĐ"),
    ("Thông báo", "Kết luận cuộc họp giao ban về xây dựng Chính phủ điện tử", "TB"),
    ("Kế hoạch", "Chuyển đổi mã định danh cơ quan, đơn vị", "KH"),
    ("Tờ trình", "Phê duyệt danh mục dịch vụ công trực tuyến", "TTr"),
    ("Công văn", "V/v góp ý dự thảo Nghị định về công tác văn thư", "PC"),
    ("Giấy mời", "Họp trực tuyến về phòng, chống thiên tai", "GM"),
)
_STAFF: Final = StaffInfo(
    department="Văn thư", staff="Lê Thị Cúc", email="vanthu@coquan.example", mobile="0900000001"
)


def letter(
    number: int,
    *,
    sender: Agency,
    receivers: Sequence[Agency],
    at: datetime,
    priority: int = 0,
    kind: BusinessType = BusinessType.NEW,
    target: str = "",
    subject: str | None = None,
) -> Edoc:
    """Document number `number` of an agency; the same arguments give the same document."""
    type_name, about, mark = _SUBJECTS[number % len(_SUBJECTS)]
    issued = at.astimezone(VIETNAM).date()
    code = Code(number=f"{number:02d}", notation=f"{mark}-{sender.code.rpartition('.')[2]}")
    reason = "Văn bản điện tử mới" if kind is BusinessType.NEW else "Ban hành nhầm phụ lục"
    return Edoc(
        sender=_party(sender),
        receivers=tuple(_party(one) for one in receivers),
        document_id=target or document_id(sender, issued=issued, code=code),
        code=code,
        promulgation=PromulgationInfo(place="Hà Nội", date=WrittenDate.of(issued)),
        document_type=DocumentType(type=2, type_detail=0, type_name=type_name),
        subject=subject or about,
        content=subject or about,
        signer=SignerInfo(competence="TL.", position="Chánh Văn phòng", full_name="Phạm Văn Dũng"),
        to_places=("Như trên;", "Lưu: VT."),
        other=OtherInfo(priority=priority, page_amount=1, promulgation_amount=1, direction=False),
        steering_type=1,
        traces=(TraceHeader(organ_id=sender.code, timestamp=WrittenTime.of(at)),),
        bussiness=Bussiness(type=kind, reason=reason, document_id=target, paper=False, staff=_STAFF),
    )


def document_id(sender: Agency, *, issued: date, code: Code) -> str:
    """The form the national guide uses: organ, date of issue, number and notation."""
    return f"{sender.code},{issued:%Y/%m/%d},{code.written}"


def package(
    edoc: Edoc,
    *,
    pen: Pen | None,
    at: datetime,
    pages: int = 1,
    files: Sequence[AttachmentSource] | None = None,
) -> bytes:
    """The bytes of a letter with its PDF, or with these files, signed unless there is no pen."""
    if files is None:
        files = (attachment(edoc, content=pdf(words_of(edoc), pages=pages)),)
    unsigned = edoc_bytes(edoc, attachments=files)
    return unsigned if pen is None else sign(unsigned, signer=pen.signer, chain=pen.chain, signing_time=at)


def words_of(edoc: Edoc) -> str:
    """What the page of a letter's PDF says."""
    return f"{edoc.code.written} {edoc.sender.organ_id}"


def attachment(edoc: Edoc, *, content: bytes) -> AttachmentSource:
    """The letter itself, as a file."""
    return AttachmentSource(
        content_id="c0",
        name=f"{edoc.code.number}_{edoc.code.notation.replace('Đ', 'D')}.pdf",
        content_type="application/pdf",
        source=content,
    )


def status(code: StatusCode, *, sender: Agency, answered: Edoc, at: datetime, words: str = "") -> bytes:
    """The bytes of a status that answers a letter; unsigned, as the national format has it."""
    return status_bytes(
        Status(
            sender=_party(sender),
            response_for=ResponseFor(
                organ_id=answered.sender.organ_id,
                code=answered.code.written,
                promulgation_date=answered.promulgation.date,
                document_id=answered.document_id,
            ),
            staff=_STAFF,
            status_code=code.written,
            description=words or "Phần mềm quản lý văn bản đã nhận",
            timestamp=WrittenTime.of(at),
        )
    )


@lru_cache(maxsize=256)
def pdf(words: str, *, pages: int = 1) -> bytes:
    """A real PDF. The fonts every reader has know no Vietnamese, so the page speaks without marks."""
    made = FPDF(format="A4")
    made.set_title("Van ban thu nghiem")
    made.set_creation_date(datetime(2020, 2, 4, tzinfo=VIETNAM))
    for page in range(1, pages + 1):
        made.add_page()
        made.set_font("Helvetica", size=12)
        made.cell(text=f"Van ban thu nghiem {_ascii(words)}")
        made.ln(10)
        made.set_font("Helvetica", size=9)
        made.multi_cell(w=0, text=f"Trang {page}. Noi dung chi dung de minh hoa, khong co gia tri phap ly.")
    return bytes(made.output())


def spoilt(signed: bytes) -> bytes:
    """The same with one character of the signed subject changed on its way."""
    text = signed.decode()
    position = text.index("<edXML:Subject>") + len("<edXML:Subject>")
    return (text[:position] + "X" + text[position + 1 :]).encode()


def with_doctype(signed: bytes) -> bytes:
    """The same with a document type in front of the root."""
    position = signed.index(b"?>") + 2
    return signed[:position] + b'<!DOCTYPE edXML [<!ENTITY a "b">]>' + signed[position:]


def corrected(edoc: Edoc, receivers: Sequence[Agency]) -> Edoc:
    """The same letter with other receivers."""
    return replace(edoc, receivers=tuple(_party(one) for one in receivers))


def _party(agency: Agency) -> Party:
    return Party(organ_id=agency.code, organ_name=agency.name)


def _ascii(words: str) -> str:
    return words.replace("Đ", "D").encode("ascii", "ignore").decode()
