"""
Messages for tests, made by code: plain functions with defaults that are right, so that a test says only what is odd.

`an_edoc()` and `a_status()` are clean: reading what they write reports nothing. Import as `tests.edxml.builders`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TypedDict, Unpack

from axis.core.model import VIETNAM, BusinessType
from axis.edxml.message import (
    Bussiness,
    BussinessDocumentInfo,
    Code,
    DocumentType,
    Edoc,
    OtherInfo,
    Party,
    PromulgationInfo,
    ReceiverChange,
    Replacement,
    ResponseFor,
    SignerInfo,
    StaffInfo,
    Status,
    TraceHeader,
    WrittenDate,
    WrittenTime,
)
from axis.edxml.writer import AttachmentSource, edoc_bytes, status_bytes

SENDER = "000.00.00.G22"
RECEIVER = "000.00.00.H41"
OTHER_RECEIVER = "000.00.00.H14"
ISSUED = date(2026, 3, 2)
SENT_AT = datetime(2026, 3, 2, 9, 30, 0, tzinfo=VIETNAM)


class EdocParts(TypedDict, total=False):
    """What a test may say about a document."""

    sender: Party
    receivers: tuple[Party, ...]
    document_id: str
    code: Code
    promulgation: PromulgationInfo
    document_type: DocumentType
    subject: str
    content: str
    signer: SignerInfo
    due_date: WrittenDate | None
    to_places: tuple[str, ...]
    other: OtherInfo
    responses: tuple[ResponseFor, ...]
    traces: tuple[TraceHeader, ...]
    bussiness: Bussiness | None


class StatusParts(TypedDict, total=False):
    """What a test may say about a status."""

    sender: Party
    response_for: ResponseFor | None
    staff: StaffInfo | None
    status_code: str
    description: str
    timestamp: WrittenTime | None


def a_party(code: str = SENDER, *, name: str = "Văn phòng Chính phủ") -> Party:
    """An organ with a name."""
    return Party(organ_id=code, organ_name=name)


def parties(*codes: str) -> tuple[Party, ...]:
    """Receivers with these codes."""
    return tuple(a_party(code, name=f"Đơn vị {code}") for code in codes)


def a_document_id(*, sender: str = SENDER, issued: date = ISSUED, code: str = "7816/VPCP-TTĐT") -> str:
    """An id of the canonical form."""
    return f"{sender},{issued:%Y/%m/%d},{code}"


def a_staff() -> StaffInfo:
    """A clerk."""
    return StaffInfo(
        department="Văn thư", staff="Lê Thị Cúc", email="vanthu@vpcp.example", mobile="0900000001"
    )


def an_edoc(**parts: Unpack[EdocParts]) -> Edoc:
    """A clean new document."""
    edoc = Edoc(
        sender=a_party(),
        receivers=parties(RECEIVER, OTHER_RECEIVER),
        document_id=a_document_id(),
        code=Code(number="7816", notation="VPCP-TTĐT"),
        promulgation=PromulgationInfo(place="Hà Nội", date=WrittenDate.of(ISSUED)),
        document_type=DocumentType(type=2, type_detail=0, type_name="Công văn"),
        subject="V/v triển khai kết nối phần mềm quản lý văn bản",
        content="V/v triển khai kết nối phần mềm quản lý văn bản",
        signer=SignerInfo(competence="TL.", position="Chánh Văn phòng", full_name="Phạm Văn Dũng"),
        due_date=WrittenDate.of(date(2026, 3, 20)),
        to_places=("Như trên;", "Lưu: VT."),
        other=OtherInfo(priority=0, page_amount=2, promulgation_amount=1, direction=False),
        steering_type=1,
        traces=(TraceHeader(organ_id=SENDER, timestamp=WrittenTime.of(SENT_AT)),),
        bussiness=a_bussiness(),
    )
    return replace(edoc, **parts)


def a_bussiness(kind: BusinessType = BusinessType.NEW, *, target: str = "") -> Bussiness:
    """What the sender does; each kind with what it needs."""
    reasons = {
        BusinessType.NEW: "Văn bản điện tử mới",
        BusinessType.RECALL: "Ban hành nhầm phụ lục",
        BusinessType.UPDATE: "Bổ sung nơi nhận",
        BusinessType.REPLACE: "Thay thế văn bản đã ban hành",
    }
    changes = BussinessDocumentInfo(
        document_info=False,
        document_receiver=True,
        receivers=(
            ReceiverChange(organ_id=OTHER_RECEIVER, receiver_type=0),
            ReceiverChange(organ_id="000.00.00.H26", receiver_type=1),
        ),
    )
    replaced = Replacement(document_id=target or a_document_id(code="7000/VPCP-TTĐT"), organ_ids=(RECEIVER,))
    return Bussiness(
        type=kind,
        reason=reasons[kind],
        document_id=target,
        paper=False,
        changes=changes if kind is BusinessType.UPDATE else None,
        replacements=(replaced,) if kind is BusinessType.REPLACE else (),
        staff=a_staff(),
    )


def a_status(code: str = "01", **parts: Unpack[StatusParts]) -> Status:
    """A clean status of the first receiver about `an_edoc()`."""
    status = Status(
        sender=a_party(RECEIVER, name="UBND tỉnh Nghệ An"),
        response_for=ResponseFor(
            organ_id=SENDER,
            code="7816/VPCP-TTĐT",
            promulgation_date=WrittenDate.of(ISSUED),
            document_id=a_document_id(),
        ),
        staff=a_staff(),
        status_code=code,
        description="Phần mềm đã nhận văn bản",
        timestamp=WrittenTime.of(SENT_AT),
    )
    return replace(status, **parts)


def a_pdf(words: str = "Kinh gui") -> bytes:
    """A very small PDF with a binary second line, as real ones have."""
    stream = f"BT /F1 12 Tf 40 800 Td ({words}) Tj ET".encode("ascii", "replace")
    return b"".join(
        (
            b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
            b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n",
            b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n",
            b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R>>endobj\n",
            b"4 0 obj<</Length %d>>stream\n%b\nendstream endobj\n" % (len(stream), stream),
            b"trailer<</Root 1 0 R>>\n%%EOF\n",
        )
    )


def a_zip(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of these files, the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries:
            entry = zipfile.ZipInfo(name, (2026, 3, 2, 9, 30, 0))
            archive.writestr(entry, content, compress_type=compression)
    return out.getvalue()


def an_attachment(
    content: bytes | None = None,
    *,
    name: str = "7816_VPCP-TTDT.pdf",
    content_type: str = "application/pdf",
    content_id: str = "c0",
) -> AttachmentSource:
    """A file to send along; a PDF unless said otherwise."""
    return AttachmentSource(
        content_id=content_id,
        name=name,
        content_type=content_type,
        source=a_pdf() if content is None else content,
    )


def an_edoc_package(
    *, attachments: Sequence[AttachmentSource] | None = None, **parts: Unpack[EdocParts]
) -> bytes:
    """The bytes of `an_edoc(...)`, unsigned, with one PDF unless said otherwise."""
    files = (an_attachment(),) if attachments is None else attachments
    return edoc_bytes(an_edoc(**parts), attachments=files)


def a_status_package(code: str = "01", **parts: Unpack[StatusParts]) -> bytes:
    """The bytes of `a_status(...)`."""
    return status_bytes(a_status(code, **parts))


def altered(package: bytes, old: str, new: str, *, count: int = -1) -> bytes:
    """The bytes with a piece of text replaced; fails if it is not there, so that no test alters nothing."""
    text = package.decode("utf-8")
    if old not in text:
        raise AssertionError(f"nothing to alter: {old!r}")
    return text.replace(old, new, count).encode("utf-8")


def without(package: bytes, element: str) -> bytes:
    """The bytes without the first element of that qualified name, such as `edXML:Code`."""
    text = package.decode("utf-8")
    start = text.index(f"<{element}>") if f"<{element}>" in text else text.index(f"<{element} ")
    end = text.index(f"</{element}>", start) + len(f"</{element}>")
    return (text[:start] + text[end:]).encode("utf-8")
