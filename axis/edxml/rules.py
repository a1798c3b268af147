"""
What the format and the law ask of a message beyond its structure: pure functions from a message to findings.

A finding with a reason refuses the message; the others are warnings that travel with it. What refuses is what makes a
document impossible to route, answer or complete: no sender or receiver, a file listed and missing. What is merely
against a form (a date, a length, a type) warns, because the law lets a receiver judge it (QĐ28 Art. 5.4, 9.1) and
because real traffic is full of it.

Judges one message by itself. Whether the organs exist, whether the id was used before, whether the signature holds:
that is asked later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime
from types import MappingProxyType

from axis.core.model import VIETNAM, BusinessType
from axis.edxml import findings as f
from axis.edxml.dates import read_date
from axis.edxml.detect import EMPTY, UNKNOWN, ZIP, Detected, extension_of, fits_declared, fits_extension
from axis.edxml.message import (
    Attachment,
    Bussiness,
    Edoc,
    Message,
    PriorityScale,
    Reference,
    Status,
    StatusCode,
    WrittenDate,
)
from axis.edxml.organ_code import OrganCodeForm, normal, parse_organ_code, same_organ_code
from axis.edxml.text import nfc, same_text
from signing.skeleton import Base64Problem

HEADER = "/edXML/edXMLEnvelope/edXMLHeader/MessageHeader"
TRACES = "/edXML/edXMLEnvelope/edXMLHeader/TraceHeaderList"
_BUSSINESS = f"{TRACES}/Bussiness"
MANIFEST = "/edXML/edXMLEnvelope/edXMLBody/edXMLManifest"
_ENCODED = "/edXML/AttachmentEncoded"
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CANONICAL_ID = re.compile(
    r"(?P<organ>[^,]+),(?P<date>[0-9]{4}/[0-9]{2}/[0-9]{2}),(?P<code>[^,]+)", re.DOTALL
)
_DIGITS = re.compile(r"[0-9]+")
_MOST_OF_A_NUMBER = 65_535
_LEVELS = MappingProxyType({PriorityScale.ZERO_TO_FOUR: range(5), PriorityScale.ONE_TO_FIVE: range(1, 6)})
_NEEDS_REASON = MappingProxyType(
    {
        StatusCode.RETURNED: f.STATUS_REASON,
        StatusCode.REJECTED: f.STATUS_REASON,
        StatusCode.TAKE_BACK: f.STATUS_WITHOUT_REASON,
    }
)
"""A receiver's no without a reason is refused (LR-21, LR-25); a take-back without one is taken with a warning."""

_BASE64_CAUSES = MappingProxyType(
    {
        Base64Problem.ALPHABET.value: (
            "có ký tự không thuộc base64",
            "it has a character that is not of base64",
        ),
        Base64Problem.LENGTH.value: ("nội dung bị cắt cụt", "it is cut off"),
    }
)

Findings = Iterator[f.Finding]


def check(
    message: Message, *, at: datetime | None = None, scale: PriorityScale = PriorityScale.ZERO_TO_FOUR
) -> tuple[f.Finding, ...]:
    """
    Every finding about a message, refusals first.

    `at` is when it was received: without it nothing is said about future dates. `scale` is how the sending station
    numbers urgency.
    """
    if isinstance(message, Edoc):
        today = None if at is None else at.astimezone(VIETNAM).date()
        found = tuple(check_edoc(message, today=today, scale=scale))
    else:
        found = tuple(check_status(message))
    return f.bounded((*f.refusals(found), *f.warnings(found)))


def check_edoc(edoc: Edoc, *, today: date | None, scale: PriorityScale) -> Findings:
    """Everything there is to say about a document."""
    yield from _sender(edoc.sender.organ_id)
    yield from _receivers(edoc)
    yield from _document_id(edoc)
    yield from _bussiness(edoc)
    yield from _manifest_and_attachments(edoc)
    for number, attachment in enumerate(edoc.attachments, 1):
        yield from _attachment(attachment, path=attachment_path(number, edoc.attachments))
    yield from _fields(edoc)
    yield from _code(edoc)
    yield from _numbers(edoc, scale=scale)
    yield from _lengths(edoc)
    if today is not None:
        yield from _future(edoc.promulgation.date, today=today)


def check_status(status: Status) -> Findings:
    """Everything there is to say about a status."""
    yield from _sender(status.sender.organ_id)
    path = f"{HEADER}/StatusCode"
    if status.code is None:
        yield f.finding(f.STATUS_CODE, path, found=status.status_code)
    elif status.status_code != status.code.written:
        yield f.finding(f.STATUS_CODE_SHORT, path, found=status.status_code, read=status.code.written)
    needed = _NEEDS_REASON.get(status.code) if status.code is not None else None
    if needed is not None and not status.description:
        yield f.finding(needed, f"{HEADER}/Description", code=status.status_code)
    answer = status.response_for
    if answer is None or not _is_code(answer.organ_id) or not (answer.document_id or answer.code):
        yield f.finding(f.STATUS_TARGET, f"{HEADER}/ResponseFor")
    elif not answer.document_id:
        yield f.finding(f.STATUS_WITHOUT_ID, f"{HEADER}/ResponseFor")


def numbered(path: str, number: int, among: tuple[object, ...]) -> str:
    """The path of one of several elements of a name, numbered only where there are several."""
    return f"{path}[{number}]" if len(among) > 1 else path


def attachment_path(number: int, among: tuple[Attachment, ...]) -> str:
    """The path of one attachment."""
    return numbered(f"{_ENCODED}/Attachment", number, among)


# Who, to whom.


def _sender(organ_id: str) -> Findings:
    if not _is_code(organ_id):
        yield f.finding(f.NO_SENDER, f"{HEADER}/From")


def _receivers(edoc: Edoc) -> Findings:
    if not edoc.receivers:
        yield f.finding(f.NO_RECEIVER, HEADER)
    first: dict[str, int] = {}
    for number, receiver in enumerate(edoc.receivers, 1):
        path = f"{numbered(f'{HEADER}/To', number, edoc.receivers)}/OrganId"
        if not _is_code(receiver.organ_id):
            yield f.finding(f.RECEIVER_WITHOUT_CODE, path, number=number)
            continue
        code = normal(receiver.organ_id)
        if code in first:
            yield f.finding(f.DUPLICATE_RECEIVER, path, code=code, first=first[code])
        first.setdefault(code, number)


# Which document.


def _document_id(edoc: Edoc) -> Findings:
    path = f"{HEADER}/DocumentId"
    if not edoc.document_id:
        yield f.finding(f.NO_DOCUMENT_ID, HEADER)
        return
    yield from _id_text(edoc.document_id, path=path)
    parts = _CANONICAL_ID.fullmatch(edoc.document_id)
    # A recall, update or replacement may carry the id of the document it acts on.
    if parts is None or edoc.business_type is not BusinessType.NEW:
        return
    named, _ = read_date(parts["date"])
    issued = edoc.promulgation.date
    for what, differs in (
        (
            "OrganId",
            _is_code(edoc.sender.organ_id) and not same_organ_code(parts["organ"], edoc.sender.organ_id),
        ),
        ("PromulgationDate", issued is not None and issued.value is not None and issued.value != named.value),
        (
            "Code",
            bool(edoc.code.written) and _folded(parts["code"]) != _folded(edoc.code.without_suffix.written),
        ),
    ):
        if differs:
            yield f.finding(f.DOCUMENT_ID_DISAGREES, path, what=what)


def _id_text(document_id: str, *, path: str) -> Findings:
    """What the text of an id says: an impossible day inside, or a form that may be taken twice."""
    parts = _CANONICAL_ID.fullmatch(document_id)
    if parts is not None:
        day, oddity = read_date(parts["date"])
        if oddity is not None:
            yield f.finding(oddity, path, found=parts["date"], read=day.iso)
    elif not _UUID.fullmatch(document_id):
        yield f.finding(f.DOCUMENT_ID_FORM, path)


def _bussiness(edoc: Edoc) -> Findings:
    bussiness = edoc.bussiness
    if bussiness is None:
        yield f.finding(f.BUSSINESS_MISSING, TRACES)
        return
    if bussiness.document_id:
        yield from _id_text(bussiness.document_id, path=f"{_BUSSINESS}/DocumentId")
    if bussiness.type is BusinessType.UPDATE:
        yield from _update(bussiness)
    if bussiness.type is BusinessType.REPLACE and not edoc.target_ids:
        yield f.finding(f.REPLACEMENT_MISSING, _BUSSINESS)
    seen: set[str] = set()
    for number, replacement in enumerate(bussiness.replacements, 1):
        path = numbered(f"{_BUSSINESS}/ReplacementInfoList/ReplacementInfo", number, bussiness.replacements)
        if replacement.document_id in seen:
            yield f.finding(f.REPLACEMENT_REPEATED, path)
        seen.add(replacement.document_id)


def _update(bussiness: Bussiness) -> Findings:
    changes = bussiness.changes
    if changes is None or not (changes.document_info or changes.document_receiver or changes.receivers):
        yield f.finding(f.UPDATE_SAYS_NOTHING, _BUSSINESS)
        return
    seen: set[str] = set()
    for number, change in enumerate(changes.receivers, 1):
        path = numbered(
            f"{_BUSSINESS}/BussinessDocumentInfo/ReceiverList/Receiver", number, changes.receivers
        )
        if not _is_code(change.organ_id) or change.receiver_type not in {0, 1}:
            yield f.finding(f.RECEIVER_CHANGE, path)
            continue
        code = normal(change.organ_id)
        if code in seen:
            yield f.finding(f.RECEIVER_CHANGE_REPEATED, path, code=code)
        seen.add(code)


# Attachments.


def _manifest_and_attachments(edoc: Edoc) -> Findings:
    listed = {line.key: line for line in reversed(edoc.manifest)}
    held = {attachment.key: attachment for attachment in reversed(edoc.attachments)}
    yield from _repeated(edoc.manifest, path=f"{MANIFEST}/Reference")
    yield from _repeated(edoc.attachments, path=f"{_ENCODED}/Attachment")
    for number, line in enumerate(edoc.manifest, 1):
        path = numbered(f"{MANIFEST}/Reference", number, edoc.manifest)
        found = held.get(line.key)
        if found is None or not line.key:
            yield f.finding(f.ATTACHMENT_MISSING, path, content_id=line.content_id)
            continue
        if (
            line.content_type
            and found.content_type
            and _folded(line.content_type) != _folded(found.content_type)
        ):
            yield f.finding(f.TYPE_DIFFERS, path, listed=line.content_type, declared=found.content_type)
        if line.name and found.name and same_text(line.name) != same_text(found.name):
            yield f.finding(f.NAME_DIFFERS, path)
        if not line.name and not found.name:
            yield f.finding(f.NAME_MISSING, path, content_id=line.content_id)
    for number, attachment in enumerate(edoc.attachments, 1):
        if attachment.key not in listed or not attachment.key:
            path = attachment_path(number, edoc.attachments)
            yield f.finding(f.ATTACHMENT_UNLISTED, path, content_id=attachment.content_id)
    if not edoc.manifest and not edoc.attachments:
        yield f.finding(f.NO_ATTACHMENT, MANIFEST)


def _repeated(lines: tuple[Reference, ...] | tuple[Attachment, ...], *, path: str) -> Findings:
    counts = Counter(line.key for line in lines if line.key)
    for key, count in counts.items():
        if count > 1:
            yield f.finding(f.ATTACHMENT_TWICE, path, content_id=key, count=count)


def _attachment(attachment: Attachment, *, path: str) -> Findings:
    if attachment.problem:
        vi, en = _BASE64_CAUSES.get(attachment.problem, (attachment.problem, attachment.problem))
        yield f.finding(f.BASE64, path, content_id=attachment.content_id, cause=en, cause_vi=vi)
        return
    if attachment.part is None or attachment.detected_type == EMPTY:
        yield f.finding(f.ATTACHMENT_WITHOUT_CONTENT, path, content_id=attachment.content_id)
        return
    seen = Detected(media_type=attachment.detected_type, first_entry=attachment.zip_entry)
    outer = extension_of(attachment.name)
    if seen.ruined:
        yield f.finding(f.RUINED, path)
        return
    if seen.media_type == UNKNOWN:
        yield f.finding(f.TYPE_UNKNOWN, path)
        return
    if seen.media_type == ZIP and outer != "zip":
        # The Java SDK wraps what it does not know (txt, xls, png …) in a ZIP and keeps the original name.
        yield f.finding(f.ZIPPED, path)
        inner = extension_of(attachment.zip_entry)
        if inner != outer and attachment.zip_entry:
            yield f.finding(f.ZIP_ENTRY, path, inner=inner, outer=outer)
    elif not fits_extension(seen, outer):
        yield f.finding(f.NAME_CLAIM, path, extension=outer, detected=seen.media_type)
    if not fits_declared(seen, attachment.content_type):
        yield f.finding(f.TYPE_CLAIM, path, declared=attachment.content_type, detected=seen.media_type)


# Fields.


LR30_GROUPS: MappingProxyType[str, tuple[str, Callable[[Edoc], bool]]] = MappingProxyType(
    {
        "a": ("From/OrganId", lambda edoc: bool(edoc.sender.organ_id)),
        "b": ("DocumentId", lambda edoc: bool(edoc.document_id)),
        "c": ("Code", lambda edoc: bool(edoc.code.number and edoc.code.notation)),
        "d": ("PromulgationInfo/PromulgationDate", lambda edoc: edoc.promulgation.date is not None),
        "đ": ("DocumentType/TypeName", lambda edoc: bool(edoc.document_type.type_name)),
        "e": ("Subject", lambda edoc: bool(edoc.subject)),
        "g": ("edXMLManifest/Reference", lambda edoc: bool(edoc.manifest)),
        "i": ("SignerInfo", lambda edoc: bool(edoc.signer.full_name or edoc.signer.position)),
        "k": ("OtherInfo/Priority", lambda edoc: edoc.other.priority is not None),
        "l": ("From", lambda edoc: bool(edoc.sender.organ_id or edoc.sender.organ_name)),
        "m": ("To", lambda edoc: bool(edoc.receivers)),
        "n": ("TraceHeaderList/TraceHeader", lambda edoc: bool(edoc.traces)),
        "o": ("DueDate", lambda edoc: edoc.due_date is not None),
        "p": ("TraceHeaderList", lambda edoc: bool(edoc.traces)),
        "q": ("OtherInfo", lambda _edoc: True),
    }
)
"""
QĐ28 Art. 10.2, the groups of information that a document carries (LR-30), each with its field.

The letters are those of the Vietnamese alphabet as laws use them. `h`, the state of processing, comes as status
messages; `n` and `p` are completed by the axis, which records every time and hop.
"""

_EXPECTED = ("c", "d", "đ", "e", "i")
"""Groups whose absence is worth a warning; the others refuse, are optional by nature, or have findings of their own."""


def _fields(edoc: Edoc) -> Findings:
    for letter in _EXPECTED:
        name, is_present = LR30_GROUPS[letter]
        if not is_present(edoc):
            yield f.finding(f.FIELD_MISSING, f"{HEADER}/{name}", name=name, letter=letter)


def _code(edoc: Edoc) -> Findings:
    path = f"{HEADER}/Code"
    suffix = edoc.code.split_suffix
    if suffix:
        yield f.finding(f.CODE_SUFFIX, path, found=suffix)
    number = edoc.code.without_suffix.number
    if number and not _DIGITS.fullmatch(number):
        yield f.finding(f.CODE_NUMBER, f"{path}/CodeNumber", found=number)


def _numbers(edoc: Edoc, *, scale: PriorityScale) -> Findings:
    priority, levels = edoc.other.priority, _LEVELS[scale]
    if priority is not None and priority not in levels:
        known = f"{levels[0]}-{levels[-1]}"
        yield f.finding(f.PRIORITY, f"{HEADER}/OtherInfo/Priority", found=priority, known=known)
    for name, amount in (
        ("PromulgationAmount", edoc.other.promulgation_amount),
        ("PageAmount", edoc.other.page_amount),
    ):
        if amount is not None and not 0 <= amount <= _MOST_OF_A_NUMBER:
            yield f.finding(f.AMOUNT, f"{HEADER}/OtherInfo/{name}", name=name, found=amount)


def _future(day: WrittenDate | None, *, today: date) -> Findings:
    if day is not None and day.value is not None and day.value > today:
        yield f.finding(f.DATE_FUTURE, f"{HEADER}/PromulgationInfo/PromulgationDate", found=day.iso)


def _lengths(edoc: Edoc) -> Findings:
    for path, limit, text in _limited(edoc):
        length = len(nfc(text))
        if length > limit:
            yield f.finding(
                f.TOO_LONG, f"{HEADER}/{path}", name=path.rpartition("/")[2], length=length, limit=limit
            )


def _limited(edoc: Edoc) -> Iterator[tuple[str, int, str]]:
    """
    Texts with the lengths of NĐ30 Annex VI Part II and QCVN 102 (LR-38), in characters after NFC.

    OrganId is 35 since QĐ 20/2020. Numbers of digits become numbers of characters.
    """
    yield "From/OrganId", 35, edoc.sender.organ_id
    yield "From/OrganName", 200, edoc.sender.organ_name
    for number, receiver in enumerate(edoc.receivers, 1):
        path = numbered("To", number, edoc.receivers)
        yield f"{path}/OrganId", 35, receiver.organ_id
        yield f"{path}/OrganName", 200, receiver.organ_name
    yield "Code/CodeNumber", 11, edoc.code.number
    yield "Code/CodeNotation", 30, edoc.code.notation
    yield "PromulgationInfo/Place", 50, edoc.promulgation.place
    yield "DocumentType/TypeName", 100, edoc.document_type.type_name
    yield "Subject", 500, edoc.subject
    yield "Content", 500, edoc.content
    yield "SignerInfo/Competence", 100, edoc.signer.competence
    yield "SignerInfo/Position", 100, edoc.signer.position
    yield "SignerInfo/FullName", 50, edoc.signer.full_name
    yield "OtherInfo/SphereOfPromulgation", 100, edoc.other.sphere_of_promulgation
    yield "OtherInfo/TyperNotation", 10, edoc.other.typer_notation
    yield "OtherInfo/PromulgationAmount", 3, _digits(edoc.other.promulgation_amount)
    yield "OtherInfo/PageAmount", 3, _digits(edoc.other.page_amount)
    for number, appendix in enumerate(edoc.other.appendixes, 1):
        yield numbered("OtherInfo/Appendixes/Appendix", number, edoc.other.appendixes), 250, appendix
    yield "ToPlaces", 1000, "".join(edoc.to_places)


def _digits(number: int | None) -> str:
    return "" if number is None else str(number)


def _is_code(text: str) -> bool:
    return parse_organ_code(text).form is not OrganCodeForm.MISSING


def _folded(text: str) -> str:
    return same_text(text).casefold()
