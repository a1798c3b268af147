"""
From a message to bytes, strictly: one order, one prefix, one form of every date.

Elements stand in the order of the regulation, which readers generated from a schema (.NET XmlSerializer) need: they
skip what comes too early. The text is put together here rather than by an XML library, because libraries drop the
second prefix bound to one namespace and those readers then refuse the message. Attachments stream from their files,
so that memory does not grow with them.

The result is unsigned: `signing.sign` adds the Ids and the signature. Nothing incomplete is ever written; what a
received message says is never written again, its bytes are forwarded as they are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pybase64

from axis.core.errors import AxisError
from axis.edxml.message import (
    NAMESPACE,
    Bussiness,
    BussinessDocumentInfo,
    Edoc,
    OtherInfo,
    Party,
    Replacement,
    ResponseFor,
    StaffInfo,
    Status,
    TraceHeader,
    WrittenDate,
    WrittenTime,
    content_key,
)
from axis.edxml.organ_code import OrganCodeForm, parse_organ_code

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_CHUNK = 3 * 256 * 1024
"""A multiple of three, so that base64 of the chunks is base64 of the whole."""


class Unwritable(AxisError):
    """The message lacks something the format requires, or says something XML cannot carry. Lists every problem."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentSource:
    """A file to send along."""

    content_id: str
    """Short and plain (`c0`): it becomes part of an XML Id in the signature."""
    name: str
    content_type: str
    source: Path | bytes
    description: str = ""


def write_edoc(edoc: Edoc, *, attachments: Sequence[AttachmentSource] = (), out: BinaryIO) -> None:
    """
    Write a document. Its manifest and contents are `attachments`; those inside `edoc` are not looked at.

    Raises:
        Unwritable: before the first byte is written.
    """
    problems = (*_lacks_of_edoc(edoc), *_lacks_of_attachments(attachments))
    if problems:
        raise Unwritable(problems)
    text = _Text()
    with text.open("edXMLHeader"):
        with text.open("MessageHeader"):
            _message_header(text, edoc)
        with text.open("TraceHeaderList"):
            for hop in edoc.traces:
                _trace(text, hop)
            if edoc.bussiness is not None:
                _bussiness(text, edoc.bussiness)
    with text.open("edXMLBody"), text.open("edXMLManifest", version="1.0"):
        for attachment in attachments:
            with text.open("Reference"):
                text.leaf("ContentId", f"cid:{content_key(attachment.content_id)}")
                text.leaf("ContentType", attachment.content_type)
                text.leaf("Description", attachment.description or attachment.name)
                text.leaf("AttachmentName", attachment.name)
    text.raise_if_unwritable()
    _write(out, _envelope(text))
    if attachments:
        _write(out, "<AttachmentEncoded>")
        for attachment in attachments:
            _attachment(out, attachment)
        _write(out, "</AttachmentEncoded>")
    _write(out, "</edXML>")


def write_status(status: Status, *, out: BinaryIO) -> None:
    """
    Write a status.

    Raises:
        Unwritable: before the first byte is written.
    """
    problems = _lacks_of_status(status)
    if problems:
        raise Unwritable(problems)
    text = _Text()
    with text.open("edXMLHeader"), text.open("MessageHeader"):
        _party(text, "From", status.sender)
        if status.response_for is not None:
            _response_for(text, status.response_for)
        if status.staff is not None:
            _staff(text, status.staff)
        text.leaf("StatusCode", status.code.written if status.code else status.status_code)
        text.leaf("Description", status.description)
        text.leaf("Timestamp", _time(status.timestamp))
    text.raise_if_unwritable()
    _write(out, _envelope(text))
    _write(out, "</edXML>")


def edoc_bytes(edoc: Edoc, *, attachments: Sequence[AttachmentSource] = ()) -> bytes:
    """A document in memory: for small messages and tests."""
    out = io.BytesIO()
    write_edoc(edoc, attachments=attachments, out=out)
    return out.getvalue()


def status_bytes(status: Status) -> bytes:
    """A status in memory; statuses are always small."""
    out = io.BytesIO()
    write_status(status, out=out)
    return out.getvalue()


class _Element:
    """Closes what it opened."""

    def __init__(self, text: _Text, name: str) -> None:
        self._text = text
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_raised: object) -> None:
        self._text.raw(f"</edXML:{self._name}>")


class _Text:
    """Elements with the prefix `edXML:`, one after the other."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._unwritable: list[str] = []

    def open(self, name: str, **attributes: str) -> _Element:
        written = "".join(f' {key}="{_escaped(found)}"' for key, found in attributes.items())
        self.raw(f"<edXML:{name}{written}>")
        return _Element(self, name)

    def leaf(self, name: str, text: str | int | None) -> None:
        """An element with text, or nothing at all: the format has no use for empty elements."""
        if text is None or text == "":
            return
        written = str(text)
        if _ILLEGAL.search(written):
            self._unwritable.append(f"{name}: holds a character that XML cannot carry")
        self.raw(f"<edXML:{name}>{_escaped(written)}</edXML:{name}>")

    def raw(self, piece: str) -> None:
        self._pieces.append(piece)

    def raise_if_unwritable(self) -> None:
        if self._unwritable:
            raise Unwritable(tuple(self._unwritable))

    def __str__(self) -> str:
        return "".join(self._pieces)


def _envelope(text: _Text) -> str:
    return (
        f'{_DECLARATION}<edXML xmlns="{NAMESPACE}"><edXML:edXMLEnvelope xmlns:edXML="{NAMESPACE}">'
        f"{text}</edXML:edXMLEnvelope>"
    )


def _message_header(text: _Text, edoc: Edoc) -> None:
    _party(text, "From", edoc.sender)
    for receiver in edoc.receivers:
        _party(text, "To", receiver)
    with text.open("Code"):
        text.leaf("CodeNumber", edoc.code.number)
        text.leaf("CodeNotation", edoc.code.notation)
    with text.open("PromulgationInfo"):
        text.leaf("Place", edoc.promulgation.place)
        text.leaf("PromulgationDate", _date(edoc.promulgation.date))
    with text.open("DocumentType"):
        text.leaf("Type", edoc.document_type.type)
        text.leaf("TypeName", edoc.document_type.type_name)
        text.leaf("TypeDetail", edoc.document_type.type_detail)
    text.leaf("Subject", edoc.subject)
    text.leaf("Content", edoc.content)
    if edoc.signer.competence or edoc.signer.position or edoc.signer.full_name:
        with text.open("SignerInfo"):
            text.leaf("Competence", edoc.signer.competence)
            text.leaf("Position", edoc.signer.position)
            text.leaf("FullName", edoc.signer.full_name)
    text.leaf("DueDate", _date(edoc.due_date))
    if edoc.to_places:
        with text.open("ToPlaces"):
            for place in edoc.to_places:
                text.leaf("Place", place)
    if edoc.other != OtherInfo():
        _other(text, edoc.other)
    for answer in edoc.responses:
        _response_for(text, answer)
    text.leaf("SteeringType", edoc.steering_type)
    text.leaf("DocumentId", edoc.document_id)
    if edoc.task_codes:
        with text.open("ResponseForTask"):
            for code in edoc.task_codes:
                text.leaf("TaskCode", code)
    text.leaf("ApplicationType", edoc.application_type)


def _party(text: _Text, name: str, party: Party) -> None:
    with text.open(name):
        text.leaf("OrganId", party.organ_id)
        text.leaf("OrganizationInCharge", party.organization_in_charge)
        text.leaf("OrganName", party.organ_name)
        text.leaf("OrganAdd", party.organ_add)
        text.leaf("Email", party.email)
        text.leaf("Telephone", party.telephone)
        text.leaf("Fax", party.fax)
        text.leaf("Website", party.website)


def _other(text: _Text, other: OtherInfo) -> None:
    with text.open("OtherInfo"):
        text.leaf("Priority", other.priority)
        text.leaf("SphereOfPromulgation", other.sphere_of_promulgation)
        text.leaf("TyperNotation", other.typer_notation)
        text.leaf("PromulgationAmount", other.promulgation_amount)
        text.leaf("PageAmount", other.page_amount)
        text.leaf("Direction", None if other.direction is None else str(other.direction).lower())
        if other.appendixes:
            with text.open("Appendixes"):
                for appendix in other.appendixes:
                    text.leaf("Appendix", appendix)


def _response_for(text: _Text, answer: ResponseFor) -> None:
    with text.open("ResponseFor"):
        text.leaf("OrganId", answer.organ_id)
        text.leaf("Code", answer.code)
        text.leaf("PromulgationDate", _date(answer.promulgation_date))
        text.leaf("DocumentId", answer.document_id)


def _staff(text: _Text, staff: StaffInfo) -> None:
    with text.open("StaffInfo"):
        text.leaf("Department", staff.department)
        text.leaf("DepartmentId", staff.department_id)
        text.leaf("Staff", staff.staff)
        text.leaf("StaffId", staff.staff_id)
        text.leaf("Email", staff.email)
        text.leaf("Mobile", staff.mobile)


def _trace(text: _Text, hop: TraceHeader) -> None:
    with text.open("TraceHeader"):
        text.leaf("OrganId", hop.organ_id)
        text.leaf("Timestamp", _time(hop.timestamp))


def _bussiness(text: _Text, bussiness: Bussiness) -> None:
    with text.open("Bussiness"):
        text.leaf("DocumentId", bussiness.document_id)
        text.leaf("BussinessDocType", bussiness.type.value)
        text.leaf("BussinessDocReason", bussiness.reason)
        text.leaf("Paper", _bit(bussiness.paper))
        if bussiness.changes is not None:
            _changes(text, bussiness.changes)
        if bussiness.replacements:
            with text.open("ReplacementInfoList"):
                for replacement in bussiness.replacements:
                    _replacement(text, replacement)
        if bussiness.staff is not None:
            _staff(text, bussiness.staff)


def _changes(text: _Text, changes: BussinessDocumentInfo) -> None:
    with text.open("BussinessDocumentInfo"):
        text.leaf("DocumentInfo", _bit(changes.document_info))
        text.leaf("DocumentReceiver", _bit(changes.document_receiver))
        if changes.receivers:
            with text.open("ReceiverList"):
                for change in changes.receivers:
                    with text.open("Receiver"):
                        text.leaf("OrganId", change.organ_id)
                        text.leaf("ReceiverType", change.receiver_type)


def _replacement(text: _Text, replacement: Replacement) -> None:
    with text.open("ReplacementInfo"):
        text.leaf("DocumentId", replacement.document_id)
        if replacement.organ_ids:
            with text.open("OrganIdList"):
                for code in replacement.organ_ids:
                    text.leaf("OrganId", code)


def _attachment(out: BinaryIO, attachment: AttachmentSource) -> None:
    description = attachment.description or attachment.name
    _write(
        out,
        f"<Attachment><ContentId>cid:{content_key(attachment.content_id)}</ContentId>"
        f"<AttachmentName>{_escaped(attachment.name)}</AttachmentName>"
        f"<Description>{_escaped(description)}</Description>"
        f"<ContentType>{_escaped(attachment.content_type)}</ContentType>"
        f'<edXML:ContentTransferEncoded xmlns:edXML="{NAMESPACE}">',
    )
    out.writelines(pybase64.b64encode(chunk) for chunk in _chunks(attachment.source))
    _write(out, "</edXML:ContentTransferEncoded></Attachment>")


def _chunks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as stream:
        # A buffered file gives whole chunks until its end.
        while chunk := stream.read(_CHUNK):
            yield chunk


def _write(out: BinaryIO, text: str) -> None:
    out.write(text.encode("utf-8"))


def _escaped(text: str) -> str:
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("\r", "&#13;")
    )


def _date(day: WrittenDate | None) -> str | None:
    return None if day is None or day.value is None else WrittenDate.of(day.value).written


def _time(at: WrittenTime | None) -> str | None:
    return None if at is None or at.value is None else WrittenTime.of(at.value).written


def _bit(flag: bool | None) -> int | None:
    return None if flag is None else int(flag)


def _lacks_of_edoc(edoc: Edoc) -> tuple[str, ...]:
    lacks = [
        name
        for name, present in (
            ("From/OrganId", _is_code(edoc.sender.organ_id)),
            ("To", edoc.receivers),
            ("DocumentId", edoc.document_id),
            ("Code/CodeNumber", edoc.code.number),
            ("Code/CodeNotation", edoc.code.notation),
            ("PromulgationInfo/PromulgationDate", edoc.promulgation.date),
            ("DocumentType/Type", edoc.document_type.type is not None),
            ("Subject", edoc.subject),
            ("TraceHeaderList/TraceHeader", edoc.traces),
        )
        if not present
    ]
    lacks += [
        f"To[{number}]/OrganId"
        for number, receiver in enumerate(edoc.receivers, 1)
        if not _is_code(receiver.organ_id)
    ]
    days = (
        ("PromulgationInfo/PromulgationDate", edoc.promulgation.date),
        ("DueDate", edoc.due_date),
        *(("ResponseFor/PromulgationDate", answer.promulgation_date) for answer in edoc.responses),
    )
    times = tuple(("TraceHeader/Timestamp", hop.timestamp) for hop in edoc.traces)
    return (*(f"{name}: required, missing" for name in lacks), *_not_understood(*days, *times))


def _lacks_of_attachments(attachments: Sequence[AttachmentSource]) -> tuple[str, ...]:
    problems: list[str] = []
    seen: set[str] = set()
    for number, attachment in enumerate(attachments, 1):
        key = content_key(attachment.content_id)
        if not _KEY.fullmatch(key):
            problems.append(f"attachment {number}: content id must be letters, digits, '.', '_' or '-'")
        if key in seen:
            problems.append(f"attachment {number}: content id {key} is used twice")
        seen.add(key)
        if not attachment.name or not attachment.content_type:
            problems.append(f"attachment {number}: name and content type are required")
        if _ILLEGAL.search(attachment.name + attachment.content_type + attachment.description):
            problems.append(f"attachment {number}: holds a character that XML cannot carry")
    return tuple(problems)


def _lacks_of_status(status: Status) -> tuple[str, ...]:
    answer = status.response_for or ResponseFor()
    lacks = [
        name
        for name, present in (
            ("From/OrganId", _is_code(status.sender.organ_id)),
            ("ResponseFor/OrganId", _is_code(answer.organ_id)),
            ("ResponseFor/Code or DocumentId", answer.code or answer.document_id),
            ("StatusCode", status.code is not None),
            ("Timestamp", status.timestamp),
        )
        if not present
    ]
    understood = _not_understood(
        ("ResponseFor/PromulgationDate", answer.promulgation_date), ("Timestamp", status.timestamp)
    )
    return (*(f"{name}: required, missing" for name in lacks), *understood)


def _not_understood(*moments: tuple[str, WrittenDate | WrittenTime | None]) -> tuple[str, ...]:
    return tuple(
        f"{name}: no day or time" for name, moment in moments if moment is not None and moment.value is None
    )


def _is_code(text: str) -> bool:
    return parse_organ_code(text).form is not OrganCodeForm.MISSING
