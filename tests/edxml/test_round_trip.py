"""What the writer writes, the reader reads back without a word of complaint."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from axis.core.model import BusinessType
from axis.edxml.message import (
    Bussiness,
    BussinessDocumentInfo,
    DocumentType,
    Edoc,
    OtherInfo,
    Party,
    PromulgationInfo,
    ResponseFor,
    StaffInfo,
    Status,
    WrittenDate,
)
from axis.edxml.reader import read_package
from axis.edxml.writer import AttachmentSource, Unwritable, edoc_bytes, status_bytes, write_edoc
from tests.edxml.builders import a_bussiness, a_pdf, a_status, an_attachment, an_edoc


@pytest.mark.parametrize("kind", list(BusinessType))
def test_a_document_of_each_kind_comes_back_as_written(kind: BusinessType) -> None:
    """Every field survives, nothing is reported, the attachment has its true digest."""
    edoc = an_edoc(bussiness=a_bussiness(kind, target="G22-1"))

    package = read_package(edoc_bytes(edoc, attachments=(an_attachment(),)))

    read = package.message
    assert isinstance(read, Edoc)
    assert package.reading.oddities == ()
    assert edoc == replace(read, manifest=(), attachments=())
    assert hashlib.sha256(a_pdf()).hexdigest() == read.attachments[0].sha256
    assert "cid:c0" == read.manifest[0].content_id == read.attachments[0].content_id
    assert read.attachments[0].detected_type == "application/pdf"


@pytest.mark.parametrize("code", ["01", "02", "03", "04", "05", "06", "13", "15", "16"])
def test_a_status_comes_back_as_written(code: str) -> None:
    """Every code of the format can be written and read."""
    status = a_status(code)

    package = read_package(status_bytes(status))

    assert isinstance(package.message, Status)
    assert package.reading.oddities == ()
    assert status == package.message


def test_attachments_stream_from_files(tmp_path: Path) -> None:
    """A file larger than a chunk gives the same base64 as in memory."""
    content = a_pdf() + bytes(range(256)) * 4000
    path = tmp_path / "van-ban.pdf"
    path.write_bytes(content)
    from_file = AttachmentSource(content_id="c0", name="a.pdf", content_type="application/pdf", source=path)
    out = io.BytesIO()

    write_edoc(an_edoc(), attachments=(from_file,), out=out)

    assert edoc_bytes(an_edoc(), attachments=(replace(from_file, source=content),)) == out.getvalue()
    read = read_package(out.getvalue()).message
    assert isinstance(read, Edoc)
    assert hashlib.sha256(content).hexdigest() == read.attachments[0].sha256


def test_an_incomplete_document_is_never_written() -> None:
    """All that is missing is listed at once, and not a byte is written."""
    out = io.BytesIO()
    edoc = an_edoc(
        sender=Party(organ_id="null"),
        receivers=(),
        document_id="",
        due_date=WrittenDate(written="30/02/2026", value=None),
    )

    with pytest.raises(Unwritable) as caught:
        write_edoc(edoc, out=out)

    assert caught.value.problems == (
        "From/OrganId: required, missing",
        "To: required, missing",
        "DocumentId: required, missing",
        "DueDate: no day or time",
    )
    assert out.getvalue() == b""


def test_control_characters_are_not_written() -> None:
    """XML cannot carry them, so the writer says where they are instead of breaking the message."""
    with pytest.raises(Unwritable) as caught:
        edoc_bytes(an_edoc(subject="Công văn\x00"))

    assert caught.value.problems == ("Subject: holds a character that XML cannot carry",)


def test_markup_in_texts_is_text() -> None:
    """Ampersands, angle brackets and quotes in a subject come back as they were."""
    subject = "Về <việc> \"A & B\" ]]> 'C'"

    read = read_package(edoc_bytes(an_edoc(subject=subject))).message

    assert isinstance(read, Edoc)
    assert subject == read.subject


def test_every_field_there_is_comes_back() -> None:
    """Also those that hardly anybody fills in."""
    edoc = an_edoc(
        sender=Party(
            organ_id="G22",
            organization_in_charge="Chính phủ",
            organ_name="VPCP",
            organ_add="Số 1",
            email="a@b.example",
            telephone="1",
            fax="2",
            website="vpcp.example",
        ),
        other=OtherInfo(
            priority=4,
            sphere_of_promulgation="Lưu hành nội bộ",
            typer_notation="TVC",
            promulgation_amount=65535,
            page_amount=0,
            direction=True,
            appendixes=("Phụ lục I", "Phụ lục II"),
        ),
        responses=(
            ResponseFor(
                organ_id="H41",
                code="267/UBND",
                promulgation_date=WrittenDate.of(date(2026, 2, 1)),
                document_id="H41,2026/02/01,267/UBND",
            ),
            ResponseFor(document_id="only-an-id"),
        ),
        bussiness=Bussiness(
            type=BusinessType.UPDATE,
            paper=True,
            changes=BussinessDocumentInfo(document_info=True, document_receiver=None),
            staff=StaffInfo(department_id="1", staff_id="2"),
        ),
    )
    edoc = replace(edoc, task_codes=("NV-1", "NV-2"), application_type="x", steering_type=None)

    read = read_package(edoc_bytes(edoc)).message

    assert isinstance(read, Edoc)
    assert edoc == read


def test_what_is_not_said_is_not_written() -> None:
    """The format has no use for empty elements."""
    bare = Edoc(
        sender=Party(organ_id="G22"),
        receivers=(Party(organ_id="H41"),),
        document_id="x",
        code=an_edoc().code,
        promulgation=PromulgationInfo(date=WrittenDate.of(date(2026, 3, 2))),
        document_type=DocumentType(type=2),
        subject="V/v",
        traces=an_edoc().traces,
    )

    read = read_package(edoc_bytes(bare))

    assert read.reading.oddities == ()
    assert read.message == bare


@pytest.mark.parametrize(
    ("attachment", "problem"),
    [
        (an_attachment(content_id="có dấu"), "content id must be letters, digits, '.', '_' or '-'"),
        (an_attachment(content_id=""), "content id must be letters, digits, '.', '_' or '-'"),
        (an_attachment(name=""), "name and content type are required"),
        (an_attachment(content_type=""), "name and content type are required"),
        (an_attachment(name="a\ufffe.pdf"), "holds a character that XML cannot carry"),
    ],
)
def test_an_attachment_that_cannot_be_written(attachment: AttachmentSource, problem: str) -> None:
    """Its ContentId becomes part of an XML Id, its name a text of XML."""
    with pytest.raises(Unwritable) as caught:
        edoc_bytes(an_edoc(), attachments=(attachment,))

    assert caught.value.problems == (f"attachment 1: {problem}",)


def test_a_content_id_is_used_once() -> None:
    """With or without its `cid:`, it is the same."""
    with pytest.raises(Unwritable) as caught:
        edoc_bytes(an_edoc(), attachments=(an_attachment(), an_attachment(content_id="cid:c0")))

    assert caught.value.problems == ("attachment 2: content id c0 is used twice",)


def test_an_incomplete_status_is_never_written() -> None:
    """All that is missing is listed at once."""
    with pytest.raises(Unwritable) as caught:
        status_bytes(Status(status_code="14"))

    assert caught.value.problems == (
        "From/OrganId: required, missing",
        "ResponseFor/OrganId: required, missing",
        "ResponseFor/Code or DocumentId: required, missing",
        "StatusCode: required, missing",
        "Timestamp: required, missing",
    )
