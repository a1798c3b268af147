"""
What one file is, for a person who holds it and asks: kind, header, attachments, and everything odd about it.

The facts are those of the reader, the rules and the verifier; nothing is stored, sent or trusted. The tier is told as
found, without roots: a signature that holds is `indeterminate`, because nobody here says whose it is. Memory stays
bounded whatever the size of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NotRequired, TypedDict

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from axis.core.errors import NotAllowed, NotFound, ServiceUnavailable
from axis.core.model import BusinessType, Kind, Tier
from axis.core.reasons import REASONS, Detail, ReasonCode
from axis.edxml import findings as f
from axis.edxml import rules
from axis.edxml.message import Attachment, Edoc, Status
from axis.edxml.reader import Package, Unreadable, read_package
from signing.reasons import EXPLANATIONS
from signing.reasons import Tier as SignatureTier
from signing.skeleton import Limits
from signing.verify import Verdict, examine

UNREADABLE = "unreadable"
_BEFORE_ANY_END = datetime(2026, 1, 1, tzinfo=UTC)
"""No algorithm of the policy ends before; which have ended since is a question for `axis verify`."""


class AttachmentFacts(TypedDict):
    """One attached file."""

    content_id: str
    name: str
    declared_type: str
    detected_type: str | None
    """Told from the bytes; absent where there are none."""
    size: int
    sha256: str | None
    """Of the decoded bytes; absent where they could not be decoded."""


class Warned(TypedDict):
    """One oddity that the axis takes."""

    code: str
    path: str
    text: str


class Problem(TypedDict):
    """One place where the message is wrong."""

    path: str
    vi: str
    en: str


class Fault(TypedDict):
    """Why the axis would refuse the message, whoever sends it."""

    code: str
    vi: str
    en: str
    details: list[Problem]


_Header = TypedDict("_Header", {"from": str | None, "to": list[str]})


class Inspection(_Header):
    """
    One file. Names are those of `axis inspect --json` and never change; organ codes stand as written.

    For a status, `document_id`, `code` and `promulgation_date` are those of the document it answers, and `to` is the
    organ it goes to; only a status has the last three members.
    """

    file: str
    kind: str
    """`edoc`, `status` or `unreadable`."""
    business_type: int | None
    document_id: str | None
    code: str | None
    promulgation_date: str | None
    subject: str | None
    priority: int | None
    tier: str | None
    attachments: list[AttachmentFacts]
    warnings: list[Warned]
    error: Fault | None
    status_code: NotRequired[str | None]
    description: NotRequired[str | None]
    timestamp: NotRequired[str | None]


def inspect_file(
    path: Path | str, *, lang: str = f.Language.VI, at: datetime | None = None, limits: Limits | None = None
) -> Inspection:
    """
    Look at a file. `at` is the moment against which dates are called future; without it none is.

    Raises:
        NotFound, NotAllowed, ServiceUnavailable: there is no such file, or it cannot be read.
    """
    try:
        with Path(path).open("rb") as source:
            package = read_package(source, limits=limits)
    except Unreadable as unreadable:
        return _unreadable(path, unreadable)
    except PermissionError as error:
        raise NotAllowed(f"{path}: {error.strerror}") from error
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound("file", f"{path} ({error.strerror})") from error
    except OSError as error:
        raise ServiceUnavailable("disk", f"{path}: {error.strerror}") from error
    return _readable(path, package, language=f.Language(lang), at=at)


def _unreadable(path: Path | str, unreadable: Unreadable) -> Inspection:
    return {
        **_nothing(path),
        "kind": UNREADABLE,
        "error": _fault(unreadable.reason, unreadable.details),
    }


def _readable(path: Path | str, package: Package, *, language: f.Language, at: datetime | None) -> Inspection:
    message = package.message
    found = (*package.reading.oddities, *rules.check(message, at=at))
    verdict = examine(package.skeleton, at=at or _BEFORE_ANY_END)
    facts: Inspection = {
        **_nothing(path),
        "kind": message.kind.value,
        "from": message.sender.organ_id or None,
        "tier": verdict.tier.value,
        "warnings": [
            {"code": one.code, "path": one.path, "text": one.text(language)} for one in f.warnings(found)
        ],
        "error": _error(f.refusals(found), verdict),
    }
    return _of_status(facts, message) if isinstance(message, Status) else _of_edoc(facts, message)


def _nothing(path: Path | str) -> Inspection:
    return {
        "file": str(path),
        "kind": UNREADABLE,
        "business_type": None,
        "document_id": None,
        "from": None,
        "to": [],
        "code": None,
        "promulgation_date": None,
        "subject": None,
        "priority": None,
        "tier": None,
        "attachments": [],
        "warnings": [],
        "error": None,
    }


def _of_edoc(facts: Inspection, edoc: Edoc) -> Inspection:
    issued = edoc.promulgation.date
    return {
        **facts,
        "business_type": int(edoc.business_type),
        "document_id": edoc.document_id or None,
        "to": [receiver.organ_id for receiver in edoc.receivers],
        "code": edoc.code.written or None,
        "promulgation_date": None if issued is None else issued.iso,
        "subject": edoc.subject or None,
        "priority": edoc.other.priority,
        "attachments": [_attachment(one, edoc) for one in edoc.attachments],
    }


def _of_status(facts: Inspection, status: Status) -> Inspection:
    answered, at = status.response_for, status.timestamp
    about: Inspection = {
        **facts,
        # As wherever Bussiness is missing; a status never has one.
        "business_type": int(BusinessType.NEW),
        "status_code": status.status_code or None,
        "description": status.description or None,
        "timestamp": None if at is None or at.value is None else at.value.isoformat(),
    }
    if answered is None:
        return about
    issued = answered.promulgation_date
    return {
        **about,
        "document_id": answered.document_id or None,
        "to": [answered.organ_id] if answered.organ_id else [],
        "code": answered.code or None,
        "promulgation_date": None if issued is None else issued.iso,
    }


def _attachment(attachment: Attachment, edoc: Edoc) -> AttachmentFacts:
    line = next((one for one in edoc.manifest if one.key == attachment.key), None)
    whole = attachment.part is not None and not attachment.problem
    return {
        "content_id": attachment.content_id,
        # The manifest is what a signature covers, so its name is the one that counts.
        "name": (line.name if line else "") or attachment.name,
        "declared_type": attachment.content_type or (line.content_type if line else ""),
        "detected_type": attachment.detected_type or None,
        "size": attachment.size,
        "sha256": attachment.sha256 if whole else None,
    }


def _error(wrong: tuple[f.Finding, ...], verdict: Verdict) -> Fault | None:
    if wrong:
        reason = wrong[0].reason or ReasonCode.VALIDATE_SCHEMA
        return _fault(reason, tuple(one.detail for one in wrong))
    if verdict.tier is SignatureTier.FAILED:
        said = EXPLANATIONS[verdict.reason]
        place = Detail(path="/edXML/edXMLEnvelope/edXMLHeader/Signature", vi=said.vi, en=said.en)
        return _fault(ReasonCode.VERIFY_SIGNATURE, (place,))
    return None


def _fault(code: ReasonCode, details: tuple[Detail, ...]) -> Fault:
    reason = REASONS[code]
    return {
        "code": code.value,
        "vi": reason.vi,
        "en": reason.en,
        "details": [{"path": one.path, "vi": one.vi, "en": one.en} for one in details],
    }


# For a terminal.

_LONGEST_LINE = 500
_TIERS = {
    Tier.PASSED: ("đạt", "passed"),
    Tier.FAILED: ("KHÔNG ĐẠT: gói tin đã bị sửa hoặc ký sai", "FAILED: changed after signing, or wrongly signed"),
    Tier.INDETERMINATE: (
        "nguyên vẹn; chưa xét chứng thư (dùng `axis verify --trust`)",
        "whole; whose it is was not asked (use `axis verify --trust`)",
    ),
    Tier.LEGACY: ("có chữ ký kiểu cũ, không kiểm tra được", "signed in an old way that proves nothing"),
    Tier.UNSIGNED: ("không ký", "not signed"),
}  # fmt: skip
_BUSINESS = (
    ("văn bản mới", "new document"),
    ("thu hồi văn bản", "recall of a document"),
    ("cập nhật văn bản", "update of a document"),
    ("thay thế văn bản", "replacement of a document"),
)
_URGENCY = (
    ("thường", "normal"),
    ("khẩn", "urgent"),
    ("thượng khẩn", "very urgent"),
    ("hỏa tốc", "express"),
    ("hỏa tốc hẹn giờ", "express with a fixed hour"),
)
_STATUS = {
    "01": ("đã đến", "arrived"),
    "02": ("từ chối tiếp nhận (trả lại)", "returned"),
    "03": ("đã tiếp nhận, vào sổ", "registered"),
    "04": ("đã phân công xử lý", "assigned"),
    "05": ("đang xử lý", "in process"),
    "06": ("đã hoàn thành", "finished"),
    "13": ("yêu cầu lấy lại", "asks to take back"),
    "15": ("đồng ý lấy lại, cập nhật", "agrees to take-back or update"),
    "16": ("từ chối lấy lại, cập nhật", "refuses take-back or update"),
}


class _Words:
    """The words of one language."""

    def __init__(self, language: f.Language) -> None:
        self.language = language

    def __call__(self, vi: str, en: str) -> str:
        return vi if self.language is f.Language.VI else en

    def number(self, pairs: tuple[tuple[str, str], ...], number: int | None) -> str | None:
        if number is None:
            return None
        return f"{number} ({self(*pairs[number])})" if 0 <= number < len(pairs) else str(number)


def render_inspection(result: Inspection, *, lang: str = f.Language.VI) -> RenderableType:
    """The same for a person at a terminal. Nothing of the file can move the cursor or colour the screen."""
    say = _Words(f.Language(lang))
    parts: list[RenderableType] = []
    if result["error"] is not None:
        parts.append(_shown_error(result["error"], kind=result["kind"], say=say))
    if result["kind"] != UNREADABLE:
        parts.append(_shown_header(result, say=say))
    if result["attachments"]:
        parts.append(_shown_attachments(result["attachments"], say=say))
    if result["warnings"]:
        parts.append(_shown_warnings(result["warnings"], say=say))
    elif result["error"] is None:
        parts.append(Text(say("Không có gì bất thường.", "Nothing odd."), style="green"))
    style = "red" if result["error"] is not None else "yellow" if result["warnings"] else "green"
    return Panel(Group(*parts), title=_plain(result["file"]), title_align="left", border_style=style)


def _plain(text: str, *, style: str = "") -> Text:
    # `Text` takes no markup; `quoted` takes out what would move the cursor. Wrapped whatever the console's habit is.
    return Text(f.quoted(text, longest=_LONGEST_LINE), style=style, no_wrap=False, overflow="fold")


def _shown_error(error: Fault, *, kind: str, say: _Words) -> RenderableType:
    head = (
        say("Không đọc được", "Cannot be read")
        if kind == UNREADABLE
        else say("Trục sẽ không tiếp nhận", "The axis would refuse it")
    )
    lines = _points()
    lines.add_row("✗", _plain(f"[{error['code']}] {head}: {say(error['vi'], error['en'])}", style="bold red"))
    for one in error["details"]:
        lines.add_row("•", _plain(say(one["vi"], one["en"])))
        lines.add_row("", _plain(one["path"], style="dim"))
    return lines


def _shown_header(result: Inspection, *, say: _Words) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(result, say=say):
        if value:
            table.add_row(name, _plain(value))
    return table


def _rows(result: Inspection, *, say: _Words) -> Iterator[tuple[str, str | None]]:
    if result["kind"] == Kind.STATUS:
        code = result.get("status_code") or ""
        meaning = _STATUS.get(code.zfill(2))
        yield say("Loại", "Kind"), say("trạng thái xử lý", "status")
        yield say("Trạng thái", "Status"), f"{code} ({say(*meaning)})" if meaning else code
        yield say("Lý do, ghi chú", "Description"), result.get("description")
        yield say("Thời điểm", "Time"), result.get("timestamp")
        yield say("Từ", "From"), result["from"]
        yield say("Đến", "To"), ", ".join(result["to"])
        yield say("Về văn bản", "About document"), result["document_id"]
    else:
        yield say("Loại", "Kind"), say.number(_BUSINESS, result["business_type"])
        yield say("Trích yếu", "Subject"), result["subject"]
        yield say("Từ", "From"), result["from"]
        yield say("Đến", "To"), f"{len(result['to'])}: {', '.join(result['to'])}"
        yield say("Mã văn bản", "Document id"), result["document_id"]
        yield say("Độ khẩn", "Urgency"), say.number(_URGENCY, result["priority"])
    yield say("Số, ký hiệu", "Number"), result["code"]
    yield say("Ngày ban hành", "Issued"), result["promulgation_date"]
    yield say("Chữ ký", "Signature"), say(*_TIERS[Tier(result["tier"])]) if result["tier"] else None


def _shown_attachments(attachments: list[AttachmentFacts], *, say: _Words) -> RenderableType:
    table = Table(title=say("Tệp đính kèm", "Attachments"), title_justify="left", expand=False)
    for name in (
        say("Tên", "Name"),
        say("Khai là", "Declared as"),
        say("Nội dung là", "Content is"),
    ):
        table.add_column(name, overflow="fold")
    table.add_column(say("Byte", "Bytes"), justify="right", no_wrap=True)
    table.add_column("SHA-256", no_wrap=True)
    for one in attachments:
        digest = one["sha256"]
        table.add_row(
            _plain(one["name"]),
            _plain(one["declared_type"]),
            _plain(one["detected_type"] or "?"),
            str(one["size"]),
            f"{digest[:12]}…" if digest else "?",
        )
    return table


def _shown_warnings(warnings: list[Warned], *, say: _Words) -> RenderableType:
    # Lines rather than columns: a terminal of 80 characters has no room for text, place and code side by side.
    lines = _points()
    for one in warnings:
        place = one["path"].removeprefix("/edXML/edXMLEnvelope/edXMLHeader/")
        lines.add_row("•", _plain(one["text"]))
        lines.add_row("", _plain(f"{one['code']}  {place}", style="dim"))
    return Group(
        Text(say(f"Cảnh báo ({len(warnings)})", f"Warnings ({len(warnings)})"), style="italic"), lines
    )


def _points() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    return table


__all__ = [
    "AttachmentFacts",
    "Fault",
    "Inspection",
    "Problem",
    "Warned",
    "inspect_file",
    "render_inspection",
]
