"""After a signature has passed, only what it covers is read: everything beside it might as well not be there."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from axis.core.model import BusinessType
from axis.edxml.message import Edoc, Status
from axis.edxml.reader import HeadSink, Reading, Unreadable, read_package, read_signed_header
from signing.skeleton import MemorySink, read_skeleton
from signing.verify import SignedContent
from tests.edxml.builders import (
    a_bussiness,
    a_pdf,
    a_status,
    a_status_package,
    altered,
    an_attachment,
    an_edoc,
    an_edoc_package,
)
from tests.signing.builders import signed, verdict


def _covered(package: bytes) -> SignedContent:
    judged = verdict(package)
    assert judged.signed is not None, judged.reason
    return judged.signed


def _read(package: bytes) -> Reading:
    content, received = _covered(package), read_package(package).message
    return read_signed_header(
        content.header,
        bussiness_c14n=content.bussiness,
        body_c14n=content.body,
        attachments=received.attachments if isinstance(received, Edoc) else (),
    )


def _edoc(package: bytes) -> Edoc:
    message = _read(package).message
    assert isinstance(message, Edoc)
    return message


@pytest.mark.parametrize("kind", list(BusinessType))
def test_what_is_signed_is_what_was_written(kind: BusinessType) -> None:
    """Header, business and attachments come back; the trace, which nobody signs, does not."""
    edoc = an_edoc(bussiness=a_bussiness(kind, target="x-1"))
    files = (an_attachment(), an_attachment(b"%PDF-1.4\nphu luc", name="pl.pdf", content_id="c1"))

    reading = _read(signed(an_edoc_package(attachments=files, bussiness=a_bussiness(kind, target="x-1"))))

    assert reading.oddities == ()
    assert isinstance(reading.message, Edoc)
    assert replace(edoc, traces=()) == replace(reading.message, manifest=(), attachments=())
    assert [(one.name, one.sha256, one.part) for one in reading.message.attachments] == [
        ("7816_VPCP-TTDT.pdf", hashlib.sha256(a_pdf()).hexdigest(), 0),
        ("pl.pdf", hashlib.sha256(b"%PDF-1.4\nphu luc").hexdigest(), 1),
    ]


@pytest.mark.threat(
    "something is added to a signed message on its way",
    control="after verification a message is read again from the signed bytes alone",
)
def test_what_was_added_beside_the_signed_parts_is_not_seen() -> None:
    """Names and types beside the content, and hops of the trace, are not signed: the manifest's count."""
    package = signed(an_edoc_package())
    changed = altered(package, "<AttachmentName>7816_VPCP-TTDT.pdf", "<AttachmentName>khac.exe", count=1)
    changed = altered(
        changed,
        "<edXML:TraceHeader>",
        "<edXML:TraceHeader><edXML:OrganId>G99</edXML:OrganId></edXML:TraceHeader><edXML:TraceHeader>",
        count=1,
    )
    received = read_package(changed).message
    assert isinstance(received, Edoc)

    read = _edoc(changed)

    assert [one.name for one in received.attachments] == ["khac.exe"]
    assert [one.name for one in read.attachments] == ["7816_VPCP-TTDT.pdf"]
    assert (len(received.traces), read.traces) == (2, ())


def test_without_a_signed_business_a_document_is_new() -> None:
    """Whatever stands in its place: a recall counts only when it was signed."""
    content = _covered(signed(an_edoc_package(bussiness=a_bussiness(BusinessType.RECALL, target="x-1"))))

    reading = read_signed_header(content.header, body_c14n=content.body)

    assert isinstance(reading.message, Edoc)
    assert reading.message.business_type is BusinessType.NEW
    assert [one.sha256 for one in reading.message.attachments] == [""]


def test_a_signed_status() -> None:
    """A status has a header and nothing else."""
    reading = _read(signed(a_status_package("03")))

    assert isinstance(reading.message, Status)
    assert a_status("03") == reading.message


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"", "read.not_xml"),
        (b"<MessageHeader/>", "read.element_missing"),
        (b'<Other xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016"/>', "read.element_missing"),
        (b'<MessageHeader xmlns="http://www.mic.gov.vn/TBT/QCVN_102_2016"/>', "read.kind_unknown"),
    ],
)
def test_signed_parts_that_make_no_message(header: bytes, code: str) -> None:
    """A signature over nonsense is valid and the message is unreadable all the same."""
    with pytest.raises(Unreadable) as caught:
        read_signed_header(header)

    assert [one.code for one in caught.value.problems] == [code]


def test_contents_are_handed_on_while_the_first_bytes_are_kept() -> None:
    """Whoever stores attachments gets every byte; the reader keeps what tells their kind."""
    content = a_pdf() + bytes(50_000)
    package = an_edoc_package(attachments=(an_attachment(content), an_attachment(b"", content_id="c1")))
    inner = MemorySink()
    heads = HeadSink(inner)

    read_skeleton(package, sink=heads)

    assert inner.contents == (content, b"")
    assert [len(heads.heads[index]) for index in (0, 1)] == [8192, 0]
    assert inner.contents[0].startswith(heads.heads[0])
