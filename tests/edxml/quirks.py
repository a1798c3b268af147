"""
Every oddity that real edXML traffic is known for, as a message we wrote, with what the axis makes of it.

The list is data: `test_quirks.py` judges each message, and `quirks_table()` writes docs/edxml-quirks.md from the same
judgements, so that the page cannot go stale. `seen` is where the oddity was met; texts quote nothing of a document.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum, unique
from zipfile import ZIP_STORED

import pybase64

from axis.core.model import BusinessType
from axis.core.reasons import ReasonCode
from axis.edxml import findings as f
from axis.edxml import rules
from axis.edxml.message import (
    Bussiness,
    BussinessDocumentInfo,
    Code,
    DocumentType,
    Edoc,
    Message,
    OtherInfo,
    Party,
    PromulgationInfo,
    ReceiverChange,
    Replacement,
    ResponseFor,
    Status,
    WrittenDate,
)
from axis.edxml.reader import Unreadable, read_package
from tests.edxml.builders import (
    RECEIVER,
    SENDER,
    SENT_AT,
    a_bussiness,
    a_document_id,
    a_party,
    a_pdf,
    a_status_package,
    a_zip,
    altered,
    an_attachment,
    an_edoc,
    an_edoc_package,
    parties,
    without,
)


@unique
class Verdict(StrEnum):
    """What the axis does with a message."""

    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """One oddity."""

    name: str
    seen: str
    """Who writes so, as far as known."""
    message: bytes
    codes: tuple[str, ...] = ()
    """Every finding of the message and no other, sorted; none where the oddity is not worth a word."""
    reason: ReasonCode | None = None
    """Set where the message is refused."""
    understood: Callable[[Message], bool] | None = None
    """What the reader must have understood all the same."""

    @property
    def verdict(self) -> Verdict:
        """Taken or refused."""
        return Verdict.TAKEN if self.reason is None else Verdict.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What reader and rules say of a message."""

    message: Message | None
    findings: tuple[f.Finding, ...]
    reason: ReasonCode | None

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the findings, each once, sorted."""
        return tuple(sorted({one.code for one in self.findings}))


def judge(message: bytes) -> Judged:
    """Steps 2 and 3 of a document's way, as far as they need no directory."""
    try:
        package = read_package(message)
    except Unreadable as unreadable:
        return Judged(message=None, findings=unreadable.problems, reason=unreadable.reason)
    found = (*package.reading.oddities, *rules.check(package.message, at=SENT_AT))
    wrong = f.refusals(found)
    return Judged(message=package.message, findings=found, reason=wrong[0].reason if wrong else None)


_R = ReasonCode
_PLACE = re.compile(r"\{[a-z_]+\}")
_DOC = an_edoc_package()
_STATUS = a_status_package("03")
_NO_FILE = an_edoc_package(attachments=())
_NS = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
_B64 = pybase64.b64encode(a_pdf()).decode()

_SDK = "Java SDK"
_NET = ".NET software"
_BKAV = "a provincial axis"
_DUC = "a DMS vendor's first versions"
_GATEWAY = "a group's gateway"
_ANY = "several systems"
_OLD = "software from before 2016"
_GUARD = "nobody; two readers would read it differently"


def _edoc(message: Message) -> Edoc:
    assert isinstance(message, Edoc)
    return message


def _status(message: Message) -> Status:
    assert isinstance(message, Status)
    return message


def _issued(day: date) -> Callable[[Message], bool]:
    def read(message: Message) -> bool:
        written = _edoc(message).promulgation.date
        return written is not None and written.value == day

    return read


def _dated(text: str) -> bytes:
    return altered(_DOC, "PromulgationDate>2026/03/02", f"PromulgationDate>{text}", count=1)


def _moved(package: bytes, element: str, *, before: str) -> bytes:
    text = package.decode()
    start = text.index(f"<{element}>")
    end = text.index(f"</{element}>", start) + len(f"</{element}>")
    piece, rest = text[start:end], text[:start] + text[end:]
    at = rest.index(f"<{before}>")
    return (rest[:at] + piece + rest[at:]).encode()


def _file(content: bytes, name: str, content_type: str) -> bytes:
    return an_edoc_package(attachments=(an_attachment(content, name=name, content_type=content_type),))


def _in_header(piece: str) -> bytes:
    return altered(_DOC, "</edXML:edXMLHeader>", f"{piece}</edXML:edXMLHeader>", count=1)


def _ruined(content: bytes) -> bytes:
    """What is left after bytes went through a text of UTF-8."""
    return content.decode("utf-8", "replace").encode()


_FORM = (
    Quirk(
        name="no prefix edXML: anywhere, the right namespace by default",
        seen=_DUC,
        message=altered(
            altered(altered(_DOC, "<edXML:", "<"), "</edXML:", "</"), f' xmlns:edXML="{_NS}"', ""
        ),
        codes=("form.no_prefix",),
    ),
    Quirk(
        name="another prefix bound to the right namespace",
        seen=_ANY,
        message=altered(
            altered(altered(_DOC, "<edXML:", "<e:"), "</edXML:", "</e:"), "xmlns:edXML", "xmlns:e"
        ),
    ),
    Quirk(
        name="AttachmentEncoded and Attachment with the prefix edXML:",
        seen=_ANY,
        message=altered(
            altered(_DOC, "<AttachmentEncoded>", f'<edXML:AttachmentEncoded xmlns:edXML="{_NS}">'),
            "</AttachmentEncoded>",
            "</edXML:AttachmentEncoded>",
        ),
        codes=("form.attachment_prefix",),
    ),
    Quirk(
        name="no namespace at all",
        seen=_DUC,
        message=altered(
            altered(altered(_DOC, "<edXML:", "<"), "</edXML:", "</"), f' xmlns:edXML="{_NS}"', ""
        ).replace(f' xmlns="{_NS}"'.encode(), b""),
        codes=("read.wrong_namespace",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="a namespace of another year",
        seen=_DUC,
        message=altered(_DOC, "QCVN_102_2016", "QCVN_102_2022"),
        codes=("read.wrong_namespace",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="root element EdXML",
        seen=_DUC,
        message=altered(altered(_DOC, "<edXML xmlns", "<EdXML xmlns"), "</edXML>", "</EdXML>"),
        codes=("read.wrong_root",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="the flat form EdXMLEnvelope of http://www.go.vn/eDoc",
        seen=_DUC,
        message=(
            b'<EdXMLEnvelope xmlns="http://www.go.vn/eDoc"><MessageHeader><Subject>x</Subject></MessageHeader>'
            b"<Manifest><Attachment><FileName>a.pdf</FileName></Attachment></Manifest></EdXMLEnvelope>"
        ),
        codes=("read.invented_form",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="the SOAP form of letters 512 and 2803/BTTTT-THH",
        seen=_OLD,
        message=(
            b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Header>'
            b'<m:MessageHeader xmlns:m="http://www.e-doc.vn/Schema/"/></S:Header><S:Body/></S:Envelope>'
        ),
        codes=("read.soap_form",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="the same form without its SOAP envelope",
        seen=_OLD,
        message=b'<AllDocument xmlns="http://www.e-doc.vn/Schema/"><Document/></AllDocument>',
        codes=("read.soap_form",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="XML that is not well-formed",
        seen="the vendor's own sample",
        message=altered(_DOC, "</edXML:Subject>", "</Subject>"),
        codes=("read.not_xml",),
        reason=_R.PARSE_NOT_XML,
    ),
    Quirk(
        name="an entity of HTML in a text (&nbsp;)",
        seen=_ANY,
        message=altered(_DOC, "V/v triển khai", "V/v&nbsp;triển khai"),
        codes=("read.not_xml",),
        reason=_R.PARSE_NOT_XML,
    ),
    Quirk(
        name="a DOCTYPE",
        seen="nobody; attacks begin so",
        message=altered(_DOC, "<edXML xmlns", '<!DOCTYPE edXML SYSTEM "edxml.dtd"><edXML xmlns'),
        codes=("read.doctype",),
        reason=_R.PARSE_DOCTYPE,
    ),
    Quirk(
        name="bytes of windows-1258 under a declaration that says UTF-8",
        seen=_ANY,
        message=_DOC.replace("Công văn".encode(), b"C\xf4ng v\xe3n"),
        codes=("read.encoding",),
        reason=_R.PARSE_ENCODING,
    ),
    Quirk(
        name="UTF-16",
        seen=_ANY,
        message=altered(_DOC, 'encoding="UTF-8"', 'encoding="UTF-16"').decode().encode("utf-16"),
        codes=("read.encoding",),
        reason=_R.PARSE_ENCODING,
    ),
    Quirk(
        name="more elements than any message needs",
        seen="nobody; attacks look so",
        message=altered(
            _DOC, "<edXML:To>", "<edXML:To><edXML:Fax/></edXML:To>" * 10_000 + "<edXML:To>", count=1
        ),
        codes=("read.limits",),
        reason=_R.PARSE_LIMITS,
    ),
    Quirk(
        name="encoding written in small letters, or not at all",
        seen=_ANY,
        message=altered(_DOC, 'encoding="UTF-8"', 'encoding="utf-8"'),
    ),
    Quirk(
        name="a byte order mark",
        seen=_ANY,
        message=b"\xef\xbb\xbf" + _DOC,
        codes=("form.bom",),
    ),
    Quirk(
        name="CR LF after the last element",
        seen="every upload of the VXP SDK",
        message=_DOC + b"\r\n",
        codes=("form.trailing_space",),
    ),
    Quirk(name="one line feed after the last element", seen=_ANY, message=_DOC + b"\n"),
    Quirk(
        name="CR LF between all elements",
        seen=_SDK,
        message=altered(_DOC, "><edXML:", ">\r\n  <edXML:"),
    ),
    Quirk(
        name="comments",
        seen=_ANY,
        message=altered(_DOC, "<edXML:Subject>", "<!-- trích yếu --><edXML:Subject>V/v <!-- x -->", count=1),
        codes=("form.comment",),
        understood=lambda message: _edoc(message).subject.startswith("V/v V/v"),
    ),
    Quirk(
        name="attributes on TraceHeaderList (id, version, mustUnderstand, actor)",
        seen=_NET,
        message=altered(_DOC, "<edXML:TraceHeaderList>", '<edXML:TraceHeaderList id="x" version="1.0">'),
        codes=("form.attribute",),
    ),
    Quirk(
        name="a pointer to a schema of its own",
        seen=_NET,
        message=altered(
            _DOC,
            "<edXML xmlns",
            '<edXML xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x x.xsd" xmlns',
        ),
        codes=("form.schema_hint",),
    ),
    Quirk(
        name="empty elements instead of none",
        seen=_BKAV,
        message=altered(_DOC, "</edXML:From>", "<edXML:Fax/><edXML:Website></edXML:Website></edXML:From>"),
        codes=("form.empty",),
        understood=lambda message: _edoc(message).sender == a_party(),
    ),
    Quirk(
        name="the order in which the Java SDK writes the header",
        seen=_SDK,
        message=_moved(
            _moved(_DOC, "edXML:DocumentId", before="edXML:Code"),
            "edXML:ToPlaces",
            before="/edXML:MessageHeader",
        ),
    ),
    Quirk(
        name="an order of the header that nobody else writes",
        seen=_DUC,
        message=_moved(_DOC, "edXML:Subject", before="edXML:From"),
        codes=("form.order",),
        understood=lambda message: (
            _edoc(message)
            == replace(an_edoc(), manifest=_edoc(message).manifest, attachments=_edoc(message).attachments)
        ),
    ),
    Quirk(
        name="Bussiness before TraceHeader",
        seen=_SDK,
        message=_moved(_DOC, "edXML:Bussiness", before="edXML:TraceHeader"),
        codes=("form.bussiness_first",),
        understood=lambda message: _edoc(message).bussiness == a_bussiness(),
    ),
    Quirk(
        name="Business spelt correctly",
        seen=_BKAV,
        message=altered(
            an_edoc_package(bussiness=a_bussiness(BusinessType.RECALL, target="x,2026/03/01,1/A")),
            "edXML:Bussiness",
            "edXML:Business",
        ),
        codes=("form.business_spelling",),
        understood=lambda message: _edoc(message).business_type is BusinessType.RECALL,
    ),
    Quirk(
        name="elements the format does not have (Promulgator, Signer)",
        seen=_DUC,
        message=altered(
            _DOC,
            "</edXML:PromulgationInfo>",
            "<edXML:Promulgator>VPCP</edXML:Promulgator></edXML:PromulgationInfo>",
        ),
        codes=("form.unknown_element",),
    ),
    Quirk(
        name="elements of another namespace in the header",
        seen=_GATEWAY,
        message=altered(_DOC, "<edXML:Subject>", '<x:Trace xmlns:x="urn:x">1</x:Trace><edXML:Subject>'),
        codes=("form.foreign_element",),
    ),
    Quirk(
        name="text between the elements of the header",
        seen="nobody",
        message=altered(_DOC, "<edXML:Subject>", "abc<edXML:Subject>"),
        codes=("form.stray_text",),
    ),
    Quirk(
        name="an element inside a text",
        seen=_GUARD,
        message=altered(_DOC, "V/v triển khai", "V/v <edXML:b>triển</edXML:b> khai", count=1),
        codes=("read.element_in_text",),
        reason=_R.VALIDATE_SCHEMA,
    ),
    Quirk(
        name="an unknown element beside header and body",
        seen=_GUARD,
        message=altered(_DOC, "<edXML:edXMLBody>", "<edXML:edXMLExtra/><edXML:edXMLBody>"),
        codes=("form.unknown_element", "schema"),
        reason=_R.VALIDATE_SCHEMA,
    ),
    Quirk(
        name="two senders",
        seen=_GUARD,
        message=altered(
            _DOC, "</edXML:From>", "</edXML:From><edXML:From><edXML:OrganId>G01</edXML:OrganId></edXML:From>"
        ),
        codes=("read.repeated_element",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="no header",
        seen="test messages",
        message=f'<edXML xmlns="{_NS}"><edXMLEnvelope/></edXML>'.encode(),
        codes=("read.element_missing",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="a header that is neither a document's nor a status's",
        seen="test messages",
        message=(
            f'<edXML xmlns="{_NS}"><edXMLEnvelope><edXMLHeader><MessageHeader><From/></MessageHeader></edXMLHeader>'
            "</edXMLEnvelope></edXML>"
        ).encode(),
        codes=("read.kind_unknown",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="a status that carries files",
        seen=_GUARD,
        message=altered(
            _DOC, "</edXML:MessageHeader>", "<edXML:StatusCode>03</edXML:StatusCode></edXML:MessageHeader>"
        ),
        codes=("read.kind_ambiguous",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="the same oddity in hundreds of places",
        seen="test messages",
        message=an_edoc_package(
            receivers=tuple(
                Party(organ_id=f"000.00.0{number}.H{tens}0") for number in range(1, 6) for tens in range(1, 7)
            ),
            to_places=tuple(f"Nơi\u200bnhận {number}" for number in range(60)),
        ),
        codes=("more", "text.invisible"),
    ),
)

_SIGNATURES = (
    Quirk(
        name="a signature in the namespace of QCVN",
        seen=_SDK,
        message=_in_header("<Signature><SignedInfo/><SignatureValue>AA==</SignatureValue></Signature>"),
        codes=("signature.namespace",),
    ),
    Quirk(
        name="an empty DigitalSignature as a placeholder",
        seen=_NET,
        message=_in_header("<edXML:DigitalSignature/>"),
        codes=("signature.empty",),
    ),
    Quirk(
        name="a signature of another profile in its right namespace",
        seen=_ANY,
        message=_in_header('<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo/></Signature>'),
    ),
)

_TEXTS = (
    Quirk(
        name="zero-width and no-break spaces in names",
        seen=f"{_BKAV}: 44 of 100 names",
        message=an_edoc_package(sender=a_party(name="Văn\u200b phòng\u00a0Chính phủ")),
        codes=("text.invisible",),
    ),
    Quirk(
        name="decomposed Unicode",
        seen="copies from macOS",
        message=an_edoc_package(subject=unicodedata.normalize("NFD", "Về việc thực hiện")),
        codes=("text.not_nfc",),
    ),
    Quirk(
        name="a subject of 501 characters",
        seen=f"{_ANY}: limits were never enforced",
        message=an_edoc_package(subject="ệ" * 501),
        codes=("field.too_long",),
    ),
    Quirk(name="a subject of 500 characters in decomposed form", seen="copies from macOS",
        message=an_edoc_package(subject=unicodedata.normalize("NFD", "ệ" * 500)), codes=("text.not_nfc",)),
    Quirk(
        name="a file name of 137 characters with quotation marks and >",
        seen=_BKAV,
        message=an_edoc_package(attachments=(an_attachment(name="“Báo cáo” > " + "ô" * 121 + ".pdf"),)),
    ),
)  # fmt: skip

_ORGANS = (
    Quirk(
        name='sender\'s code "null"',
        seen=f"{_GATEWAY}: string concatenation",
        message=altered(_DOC, f"<edXML:From><edXML:OrganId>{SENDER}", "<edXML:From><edXML:OrganId>null"),
        codes=("organ.null", "sender.missing"),
        reason=_R.VALIDATE_NO_SENDER,
    ),
    Quirk(
        name="no sender's code",
        seen=_ANY,
        message=without(_DOC, "edXML:From"),
        codes=("sender.missing",),
        reason=_R.VALIDATE_NO_SENDER,
    ),
    Quirk(
        name='receiver\'s code "null"',
        seen=f"{_GATEWAY}: string concatenation",
        message=altered(_DOC, "000.00.00.H14", "null"),
        codes=("organ.null", "receiver.code_missing"),
        reason=_R.VALIDATE_NO_RECEIVER,
    ),
    Quirk(
        name="a receiver without a code",
        seen=_ANY,
        message=altered(_DOC, "<edXML:OrganId>000.00.00.H14</edXML:OrganId>", ""),
        codes=("organ.missing", "receiver.code_missing"),
        reason=_R.VALIDATE_NO_RECEIVER,
    ),
    Quirk(
        name="no receiver",
        seen=_ANY,
        message=without(without(_DOC, "edXML:To"), "edXML:To"),
        codes=("receiver.missing",),
        reason=_R.VALIDATE_NO_RECEIVER,
    ),
    Quirk(
        name="the same receiver twice, once in small letters",
        seen=_BKAV,
        message=an_edoc_package(receivers=parties("000.00.00.H41", "000.00.00.h41")),
        codes=("organ.cleaned", "receiver.duplicate"),
        reason=_R.VALIDATE_DUPLICATE_RECEIVER,
    ),
    Quirk(
        name="69 receivers",
        seen=_BKAV,
        message=an_edoc_package(receivers=parties(*(f"000.00.{number:02d}.H41" for number in range(1, 70)))),
        understood=lambda message: len(_edoc(message).receivers) == 69,
    ),
    Quirk(
        name="a code with invisible characters around it",
        seen=_BKAV,
        message=an_edoc_package(receivers=(Party(organ_id="\u200b000.00.00.H41\u00a0"),)),
        codes=("organ.cleaned",),
        understood=lambda message: _edoc(message).receivers[0].organ_id == "\u200b000.00.00.H41\u00a0",
    ),
    Quirk(
        name="a code of nine characters",
        seen="9 of 73 receivers in June 2020",
        message=an_edoc_package(receivers=parties("28.22.H17")),
        codes=("organ.nine_characters",),
    ),
    Quirk(
        name="a code of QĐ 20/2020",
        seen=_ANY,
        message=an_edoc_package(receivers=parties("H37.02.02", "H37.DN.001")),
    ),
    Quirk(
        name="a malformed code (000.1137.H53)",
        seen=_BKAV,
        message=an_edoc_package(receivers=parties("000.1137.H53")),
        codes=("organ.form",),
    ),
    Quirk(
        name="the code of a test system (vxp.saas.03)",
        seen=_GATEWAY,
        message=an_edoc_package(receivers=parties("vxp.saas.03")),
        codes=("organ.form",),
    ),
    Quirk(
        name="TraceHeader without OrganId",
        seen=_GATEWAY,
        message=altered(_DOC, f"<edXML:TraceHeader><edXML:OrganId>{SENDER}</edXML:OrganId>", "<edXML:TraceHeader>"),
        codes=("organ.missing",),
    ),
    Quirk(
        name='TraceHeader with the code "null"',
        seen=_GATEWAY,
        message=altered(_DOC, f"<edXML:TraceHeader><edXML:OrganId>{SENDER}", "<edXML:TraceHeader><edXML:OrganId>null"),
        codes=("organ.null",),
    ),
    Quirk(
        name="no TraceHeaderList at all",
        seen="the least the SDK's parser takes",
        message=without(_DOC, "edXML:TraceHeaderList"),
        codes=("bussiness.missing",),
    ),
)  # fmt: skip

_DATES = (
    Quirk(
        name="dd/MM/yyyy",
        seen=_BKAV,
        message=_dated("02/03/2026"),
        codes=("date.form",),
        understood=_issued(date(2026, 3, 2)),
    ),
    Quirk(
        name="yyyy-MM-dd",
        seen=_NET,
        message=_dated("2026-03-02"),
        codes=("date.form",),
        understood=_issued(date(2026, 3, 2)),
    ),
    Quirk(
        name="a time behind the date",
        seen=_ANY,
        message=_dated("2026/03/02 08:15:00"),
        codes=("date.form",),
        understood=_issued(date(2026, 3, 2)),
    ),
    Quirk(
        name="an instant of UTC: 17:30 the day before is half past midnight in Vietnam",
        seen="toISOString() of JavaScript",
        message=_dated("2026-03-01T17:30:00.000Z"),
        codes=("date.form",),
        understood=_issued(date(2026, 3, 2)),
    ),
    Quirk(
        name="a day that does not exist",
        seen="the vendor's own samples",
        message=altered(an_edoc_package(document_id="9fbfbad2-f1f8-4256-a2eb-50fb1061cddb"),
                        "PromulgationDate>2026/03/02", "PromulgationDate>2026/02/30"),
        codes=("date.impossible",),
    ),
    Quirk(
        name="a day that does not exist inside Bussiness/DocumentId",
        seen="the vendor's own samples",
        message=an_edoc_package(bussiness=replace(a_bussiness(), document_id=f"{SENDER},2014/02/30,7806/VPCP")),
        codes=("date.impossible",),
    ),
    Quirk(
        name='"N/A" as a date',
        seen=_DUC,
        message=altered(_DOC, "DueDate>2026/03/20", "DueDate>N/A"),
        codes=("date.unreadable",),
        understood=lambda message: (due := _edoc(message).due_date) is not None and due.value is None,
    ),
    Quirk(
        name="the first day of a computer's calendar",
        seen=_NET,
        message=altered(_DOC, "DueDate>2026/03/20", "DueDate>0001/01/01"),
        codes=("date.unlikely",),
    ),
    Quirk(
        name="issued tomorrow",
        seen=_ANY,
        message=an_edoc_package(
            promulgation=PromulgationInfo(date=WrittenDate.of(date(2026, 3, 3))),
            document_id=a_document_id(issued=date(2026, 3, 3)),
        ),
        codes=("date.future",),
    ),
    Quirk(
        name="due before it was issued",
        seen="the vendor's own samples",
        message=altered(_DOC, "DueDate>2026/03/20", "DueDate>2018/09/28"),
    ),
    Quirk(
        name="a trace time in another form",
        seen=_OLD,
        message=altered(_DOC, "Timestamp>2026/03/02 09:30:00", "Timestamp>02/03/2026 09:30:00"),
        codes=("time.form",),
    ),
    Quirk(
        name="a trace time that is none",
        seen=_ANY,
        message=altered(_DOC, "Timestamp>2026/03/02 09:30:00", "Timestamp>now"),
        codes=("time.unreadable",),
    ),
)  # fmt: skip

_NUMBERS = (
    Quirk(
        name="CodeNumber with letters",
        seen="the vendor's own samples",
        message=an_edoc_package(code=Code(number="74fass22", notation="VPCP"), document_id=a_document_id(code="74fass22/VPCP")),
        codes=("code.not_a_number",),
    ),
    Quirk(
        name="any DocumentType/Type (18 = công văn), TypeDetail -1",
        seen=f"{_NET}, {_BKAV}",
        message=an_edoc_package(document_type=DocumentType(type=18, type_detail=-1, type_name="Công văn")),
    ),
    Quirk(
        name="a DocumentType/Type in words",
        seen=_ANY,
        message=altered(_DOC, "<edXML:Type>2<", "<edXML:Type>công văn<"),
        codes=("number.unreadable",),
        understood=lambda message: _edoc(message).document_type.type is None,
    ),
    Quirk(
        name="any SteeringType (0, 1, 2, 3)",
        seen="each vendor counts differently",
        message=altered(_DOC, "SteeringType>1<", "SteeringType>0<"),
    ),
    Quirk(
        name="Priority 5",
        seen=f"{_BKAV}, where it means normal",
        message=an_edoc_package(other=OtherInfo(priority=5)),
        codes=("priority.out_of_range",),
        understood=lambda message: _edoc(message).urgency() == 0,
    ),
    Quirk(
        name="Direction neither true nor false",
        seen=_ANY,
        message=altered(_DOC, "Direction>false<", "Direction>không<"),
        codes=("flag.unreadable",),
    ),
    Quirk(
        name="a number of pages beyond 65535",
        seen=_ANY,
        message=an_edoc_package(other=OtherInfo(page_amount=70_000, priority=0)),
        codes=("field.too_long", "number.out_of_range"),
    ),
)  # fmt: skip

_MEANING = (
    Quirk(
        name="no Bussiness",
        seen="the Government Office's own messages",
        message=an_edoc_package(bussiness=None),
        codes=("bussiness.missing",),
        understood=lambda message: _edoc(message).business_type is BusinessType.NEW,
    ),
    Quirk(
        name="Bussiness without BussinessDocType",
        seen=_ANY,
        message=without(_DOC, "edXML:BussinessDocType"),
        codes=("bussiness.type_missing",),
        understood=lambda message: _edoc(message).business_type is BusinessType.NEW,
    ),
    Quirk(
        name="BussinessDocType 4",
        seen="nobody; one axis lost such documents",
        message=altered(_DOC, "BussinessDocType>0<", "BussinessDocType>4<"),
        codes=("read.business_type",),
        reason=_R.PARSE_BUSINESS_TYPE,
    ),
    Quirk(
        name="ResponseFor without any content, or with four empty children",
        seen=_ANY,
        message=altered(
            _DOC,
            "<edXML:SteeringType>",
            "<edXML:ResponseFor/><edXML:ResponseFor><edXML:OrganId/><edXML:Code/><edXML:PromulgationDate/>"
            "<edXML:DocumentId/></edXML:ResponseFor><edXML:SteeringType>",
        ),
        codes=("form.empty",),
        understood=lambda message: _edoc(message).responses == (),
    ),
    Quirk(
        name="an unrelated DocumentId in the Bussiness of a new document",
        seen="the vendor's own samples",
        message=an_edoc_package(bussiness=a_bussiness(target=f"{SENDER},2014/01/30,7806/VPCP")),
        understood=lambda message: _edoc(message).target_ids == (),
    ),
    Quirk(
        name="a recall that names its target only by its own DocumentId",
        seen="the vendor's own samples",
        message=an_edoc_package(bussiness=a_bussiness(BusinessType.RECALL)),
        understood=lambda message: _edoc(message).target_ids == (a_document_id(),),
    ),
    Quirk(
        name="an update that does not say what it changes",
        seen=_ANY,
        message=an_edoc_package(bussiness=Bussiness(type=BusinessType.UPDATE)),
        codes=("update.says_nothing",),
    ),
    Quirk(
        name="an update that names an organ twice",
        seen=_ANY,
        message=an_edoc_package(
            bussiness=Bussiness(
                type=BusinessType.UPDATE,
                changes=BussinessDocumentInfo(
                    receivers=(
                        ReceiverChange(organ_id=RECEIVER, receiver_type=0),
                        ReceiverChange(organ_id=RECEIVER, receiver_type=1),
                    )
                ),
            )
        ),
        codes=("update.receiver_repeated",),
    ),
    Quirk(
        name="an update with a ReceiverType that is neither 0 nor 1",
        seen=_ANY,
        message=an_edoc_package(
            bussiness=Bussiness(
                type=BusinessType.UPDATE,
                changes=BussinessDocumentInfo(receivers=(ReceiverChange(organ_id=RECEIVER, receiver_type=2),)),
            )
        ),
        codes=("update.receiver_type",),
        reason=_R.VALIDATE_SCHEMA,
    ),
    Quirk(
        name="the same ReplacementInfo twice",
        seen="the vendor's own samples",
        message=an_edoc_package(
            bussiness=Bussiness(
                type=BusinessType.REPLACE,
                replacements=(Replacement(document_id=a_document_id(code="1/A")),) * 2,
            )
        ),
        codes=("replacement.repeated",),
        understood=lambda message: _edoc(message).target_ids == (a_document_id(code="1/A"),),
    ),
    Quirk(
        name="a replacement that names nothing",
        seen=_ANY,
        message=an_edoc_package(bussiness=Bussiness(type=BusinessType.REPLACE)),
        codes=("replacement.missing",),
        reason=_R.VALIDATE_SCHEMA,
    ),
    Quirk(
        name="number, date, kind, and signer missing",
        seen="the least the SDK's parser takes",
        message=without(
            without(without(without(_DOC, "edXML:Code"), "edXML:PromulgationInfo"), "edXML:DocumentType"),
            "edXML:SignerInfo",
        ),
        codes=("field.missing",),
    ),
)  # fmt: skip

_IDS = (
    Quirk(
        name="no DocumentId",
        seen=_DUC,
        message=without(_DOC, "edXML:DocumentId"),
        codes=("document_id.missing",),
        reason=_R.VALIDATE_NO_DOCUMENT_ID,
    ),
    Quirk(
        name="DocumentId is a local number (18661)",
        seen=_BKAV,
        message=an_edoc_package(document_id="18661"),
        codes=("document_id.form",),
    ),
    Quirk(
        name="DocumentId is a UUID",
        seen=f"{_SDK}, {_GATEWAY}",
        message=an_edoc_package(document_id="9fbfbad2-f1f8-4256-a2eb-50fb1061cddb"),
    ),
    Quirk(
        name="DocumentId with dashes in its date",
        seen=_NET,
        message=an_edoc_package(document_id=f"{SENDER},2026-03-02,7816/VPCP-TTĐT"),
        codes=("document_id.form",),
    ),
    Quirk(
        name="DocumentId with the date of the status",
        seen=_BKAV,
        message=an_edoc_package(document_id=a_document_id(issued=date(2026, 3, 9))),
        codes=("document_id.disagrees",),
    ),
    Quirk(
        name="DocumentId that begins with the receiver's code",
        seen=_NET,
        message=an_edoc_package(document_id=a_document_id(sender=RECEIVER)),
        codes=("document_id.disagrees",),
    ),
    Quirk(
        name="#receiver appended to CodeNotation: one message per receiver",
        seen=_BKAV,
        message=an_edoc_package(
            code=Code(number="7816", notation="VPCP-TTĐT#000.00.00.G14"), receivers=parties("000.00.00.G14")
        ),
        codes=("code.receiver_suffix",),
        understood=lambda message: _edoc(message).code.without_suffix.written == "7816/VPCP-TTĐT",
    ),
)

_FILES = (
    Quirk(name="no attachment", seen=_ANY, message=_NO_FILE, codes=("attachment.none",)),
    Quirk(
        name="a file that the manifest lists and the message does not hold",
        seen=_GATEWAY,
        message=without(_DOC, "AttachmentEncoded"),
        codes=("attachment.missing",),
        reason=_R.VALIDATE_ATTACHMENT_MISSING,
    ),
    Quirk(
        name="a file that the manifest does not list",
        seen=_GATEWAY,
        message=without(_DOC, "edXML:Reference"),
        codes=("attachment.unlisted",),
        reason=_R.VALIDATE_ATTACHMENT_UNLISTED,
    ),
    Quirk(
        name="a file without content",
        seen=_GATEWAY,
        message=altered(_DOC, _B64, ""),
        codes=("attachment.no_content",),
        reason=_R.VALIDATE_ATTACHMENT_MISSING,
    ),
    Quirk(
        name="two files with the same ContentId",
        seen=_ANY,
        message=altered(
            an_edoc_package(attachments=(an_attachment(), an_attachment(content_id="c1"))), "cid:c1", "cid:c0"
        ),
        codes=("attachment.content_id_repeated",),
        reason=_R.VALIDATE_ATTACHMENT_TWICE,
    ),
    Quirk(
        name="cid: in the manifest only",
        seen=_NET,
        message=altered(_DOC, "<ContentId>cid:c0", "<ContentId>c0"),
        codes=("attachment.content_id_form",),
    ),
    Quirk(
        name="cid:cid: before a ContentId",
        seen=_BKAV,
        message=altered(_DOC, "ContentId>cid:c0", "ContentId>cid:cid:c0"),
        codes=("attachment.content_id_form",),
    ),
    Quirk(
        name="xlink:href in the manifest beside ContentId",
        seen=_NET,
        message=altered(
            _DOC,
            "<edXML:Reference>",
            '<edXML:Reference xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="cid:c0" xlink:type="simple">',
        ),
    ),
    Quirk(
        name="xlink:href that points elsewhere",
        seen=_NET,
        message=altered(
            _DOC,
            "<edXML:Reference>",
            '<edXML:Reference xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="cid:c7">',
        ),
        codes=("attachment.href",),
    ),
    Quirk(
        name="base64 in lines of 76 characters",
        seen=_ANY,
        message=altered(_DOC, _B64, "\r\n".join(_B64[at : at + 76] for at in range(0, len(_B64), 76))),
        understood=lambda message: _edoc(message).attachments[0].size == len(a_pdf()),
    ),
    Quirk(
        name="base64 with a character that is not of it",
        seen=_GATEWAY,
        message=altered(_DOC, _B64, _B64[:40] + "*" + _B64[41:]),
        codes=("attachment.base64",),
        reason=_R.VALIDATE_BASE64,
    ),
    Quirk(
        name="base64 of the alphabet for addresses (- and _)",
        seen=_ANY,
        message=altered(_DOC, _B64, _B64[:40] + "-_-_" + _B64[44:]),
        codes=("attachment.base64",),
        reason=_R.VALIDATE_BASE64,
    ),
    Quirk(
        name="base64 cut off in the middle",
        seen=_GATEWAY,
        message=altered(_DOC, _B64, _B64[:41]),
        codes=("attachment.base64",),
        reason=_R.VALIDATE_BASE64,
    ),
    Quirk(
        name="XML in the place of base64",
        seen=_DUC,
        message=altered(_DOC, _B64, "<data>x</data>"),
        codes=("read.content_markup",),
        reason=_R.VALIDATE_BASE64,
    ),
    Quirk(
        name="content outside AttachmentEncoded",
        seen=_GUARD,
        message=altered(
            _DOC,
            "<edXML:Subject>",
            "<edXML:ContentTransferEncoded>AAAA</edXML:ContentTransferEncoded><edXML:Subject>",
        ),
        codes=("read.stray_content",),
        reason=_R.PARSE_NOT_EDXML,
    ),
    Quirk(
        name="the manifest and the attachment declare different types",
        seen="the production axis, 2019",
        message=altered(_DOC, "<ContentType>application/pdf", "<ContentType>application/x-pdf"),
        codes=("attachment.type_differs",),
    ),
    Quirk(
        name="the manifest and the attachment give different names",
        seen=_ANY,
        message=altered(_DOC, "<AttachmentName>7816", "<AttachmentName>van-ban"),
        codes=("attachment.name_differs",),
    ),
    Quirk(
        name="a file without a name",
        seen=_DUC,
        message=without(without(_DOC, "edXML:AttachmentName"), "AttachmentName"),
        codes=("attachment.name_missing",),
    ),
    Quirk(
        name="a type made of the extension (application/docx), or just .PDF",
        seen="most of the traffic",
        message=_file(a_pdf(), "a.pdf", ".PDF"),
    ),
    Quirk(
        name="a text file wrapped in a ZIP by itself",
        seen=_SDK,
        message=_file(a_zip(("5ccbf32d-7944.txt", b"van ban")), "van-ban.txt", "application/zip"),
        codes=("attachment.zipped",),
    ),
    Quirk(
        name="a wrapped file under another extension than its name",
        seen="the vendor's own samples",
        message=_file(a_zip(("32da2890.edxml", b"van ban")), "1896.doc", "application/zip"),
        codes=("attachment.zip_entry", "attachment.zipped"),
    ),
    Quirk(
        name="a ZIP declared as PDF",
        seen=_GATEWAY,
        message=_file(
            a_zip(("5ccbf32d.pdf", a_pdf()), compression=ZIP_STORED), "van-ban.pdf", "application/pdf"
        ),
        codes=("attachment.type_claim", "attachment.zipped"),
    ),
    Quirk(
        name="a text named .pdf",
        seen="test messages",
        message=_file("Kính gửi".encode(), "van-ban.pdf", "text/plain"),
        codes=("attachment.extension",),
    ),
    Quirk(
        name="a PDF ruined by a round trip through UTF-8 text",
        seen=_GATEWAY,
        message=_file(_ruined(a_pdf()), "van-ban.pdf", "application/pdf"),
        codes=("attachment.ruined",),
    ),
    Quirk(
        name="any other binary file ruined in the same way",
        seen=_GATEWAY,
        message=_file(_ruined(b"\x89PNG\r\n\x1a\n" + bytes(64)), "anh.png", "image/png"),
        codes=("attachment.ruined",),
    ),
    Quirk(
        name="content of an unknown kind",
        seen=_ANY,
        message=_file(bytes(range(1, 200)), "van-ban.pdf", "application/pdf"),
        codes=("attachment.type_unknown",),
    ),
)

_STATUSES = (
    Quirk(
        name='StatusCode "3" for "03"',
        seen=_BKAV,
        message=altered(_STATUS, "StatusCode>03", "StatusCode>3"),
        codes=("status.code_form",),
        understood=lambda message: (code := _status(message).code) is not None and code.written == "03",
    ),
    Quirk(
        name="StatusCode 14, 07 or 103",
        seen=f"{_NET}; an X-Road adapter",
        message=altered(_STATUS, "StatusCode>03", "StatusCode>14"),
        codes=("status.code",),
        reason=_R.VALIDATE_STATUS_CODE,
    ),
    Quirk(
        name="no StatusCode",
        seen=_ANY,
        message=without(_STATUS, "edXML:StatusCode"),
        codes=("status.code",),
        reason=_R.VALIDATE_STATUS_CODE,
    ),
    Quirk(
        name="no ResponseFor",
        seen=_ANY,
        message=without(_STATUS, "edXML:ResponseFor"),
        codes=("status.target",),
        reason=_R.VALIDATE_STATUS_TARGET,
    ),
    Quirk(
        name="ResponseFor without DocumentId",
        seen=_DUC,
        message=without(_STATUS, "edXML:DocumentId"),
        codes=("status.document_id_missing",),
    ),
    Quirk(
        name="ResponseFor/Code in two elements, as in a document",
        seen=_DUC,
        message=altered(
            _STATUS,
            "<edXML:Code>7816/VPCP-TTĐT</edXML:Code>",
            "<edXML:Code><edXML:CodeNumber>7816</edXML:CodeNumber><edXML:CodeNotation>VPCP-TTĐT"
            "</edXML:CodeNotation></edXML:Code>",
        ),
        understood=lambda message: (_status(message).response_for or ResponseFor()).code == "7816/VPCP-TTĐT",
    ),
    Quirk(
        name="a return (02) without a reason",
        seen=_ANY,
        message=a_status_package("02", description=""),
        codes=("status.reason",),
        reason=_R.VALIDATE_STATUS_REASON,
    ),
    Quirk(
        name="a take-back (13) without a reason",
        seen=_ANY,
        message=a_status_package("13", description=""),
        codes=("status.reason_missing",),
    ),
    Quirk(
        name="Mobile before Email, OrganName before OrganizationInCharge",
        seen="the vendor's own samples",
        message=_moved(_STATUS, "edXML:Mobile", before="edXML:Email"),
    ),
    Quirk(
        name="a status earlier than the document it answers",
        seen="the vendor's own samples",
        message=altered(_STATUS, "Timestamp>2026", "Timestamp>2015"),
    ),
    Quirk(
        name="a status with a TraceHeaderList",
        seen=_ANY,
        message=altered(
            _STATUS, "</edXML:MessageHeader>", "</edXML:MessageHeader><edXML:TraceHeaderList/>", count=1
        ),
        codes=("form.unknown_element",),
    ),
)

GROUPS: tuple[tuple[str, tuple[Quirk, ...]], ...] = (
    ("Form of the XML", _FORM),
    ("Signatures of other kinds", _SIGNATURES),
    ("Texts", _TEXTS),
    ("Organs and their codes", _ORGANS),
    ("Dates and times", _DATES),
    ("Numbers and flags", _NUMBERS),
    ("Meaning", _MEANING),
    ("DocumentId and Code", _IDS),
    ("Attachments", _FILES),
    ("Statuses", _STATUSES),
)

QUIRKS: tuple[Quirk, ...] = tuple(quirk for _, group in GROUPS for quirk in group)

_HEAD = """\
<!-- Written by `make docs`; changes made here are overwritten. -->

# What is odd on the wire, and what the axis makes of it

From `tests/edxml/quirks.py`, where each line is a message; a test sends it through reader and rules.

**Taken** means: the bytes travel unchanged, and every warning travels with them to the receivers, with its code, its
place in the message, and a text in Vietnamese and English. **Refused** means: recorded, explained and answered; a
corrected message may carry the same DocumentId. A code never changes; programs may look for it. Texts show `…` where
the message fills something in. The signature is judged apart: see docs/signing.md.
"""


def quirks_table() -> str:
    """The page docs/edxml-quirks.md."""
    taken = sum(quirk.verdict is Verdict.TAKEN for quirk in QUIRKS)
    lines = [_HEAD, f"{len(QUIRKS)} oddities: {taken} taken, {len(QUIRKS) - taken} refused.", ""]
    for title, group in GROUPS:
        lines += [f"## {title}", "", "| What | Written by | Verdict | Code |", "|---|---|---|---|"]
        lines += [_row(quirk) for quirk in group]
        lines.append("")
    lines += ["## What the sender reads", "", "| Code | | Text |", "|---|---|---|"]
    lines += [_text_row(kind) for kind in f.KINDS]
    return "\n".join(lines) + "\n"


def _row(quirk: Quirk) -> str:
    verdict = quirk.verdict.value if quirk.reason is None else f"**refused** `{quirk.reason.value}`"
    return _cells(
        _plain(quirk.name), _plain(quirk.seen), verdict, ", ".join(f"`{code}`" for code in quirk.codes) or "–"
    )


def _text_row(kind: f.FindingKind) -> str:
    effect = "warns" if kind.reason is None else f"refuses: `{kind.reason.value}`"
    texts = (_PLACE.sub("…", text) for text in (kind.vi, kind.en))
    return _cells(f"`{kind.code}`", effect, "<br>".join(map(_plain, texts)))


def _plain(text: str) -> str:
    return html.escape(text, quote=False)


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
