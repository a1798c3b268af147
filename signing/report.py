"""
`axis verify`: judge files, and say what was found, to a program or to a clerk.

`judge_files` returns everything that is known about each file; `verify_files` returns the shape that scripts rely
on; `render` prints a page in Vietnamese or English that needs no other document. The verdict is about the message's
signature; signatures inside attached PDFs are judged apart (signing.pdf) and shown at their file, because they say
what a document is worth, not who sent it.

What a stranger wrote (names of files, of people) is shown without control characters and never as markup.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final, Literal

from cryptography import x509
from cryptography.x509.oid import NameOID
from lxml import etree
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from signing.certificates import CertificateFacts, TrustStore
from signing.errors import MessageError
from signing.pdf import (
    DocumentJudgement,
    PdfJudge,
    PdfReason,
    PdfReport,
    PdfSignature,
    document_value,
    explain,
)
from signing.policy import CURRENT_POLICY, Policy
from signing.reasons import EXPLANATIONS, Reason, Tier
from signing.revocation import DeferredSlowPath, RevocationIndex, RevocationSource
from signing.skeleton import Limits, Part, Skeleton, read_skeleton
from signing.verify import CheckName, CheckResult, Verdict, unreadable, verify

Language = Literal["vi", "en"]

EXIT_PASSED: Final = 0
EXIT_FAILED: Final = 1
EXIT_UNREADABLE: Final = 2
EXIT_INDETERMINATE: Final = 3
EXIT_NO_SIGNATURE: Final = 4
WORST_FIRST: Final = (EXIT_UNREADABLE, EXIT_FAILED, EXIT_INDETERMINATE, EXIT_NO_SIGNATURE, EXIT_PASSED)

FILE_UNREADABLE: Final = "file.unreadable"
"""The one reason that is no verdict: the file could not be opened."""

_VIETNAM: Final = timezone(timedelta(hours=7))
_SHOWN_CHARACTERS: Final = 200
_EXITS: Final = {
    Tier.PASSED: EXIT_PASSED,
    Tier.FAILED: EXIT_FAILED,
    Tier.INDETERMINATE: EXIT_INDETERMINATE,
    Tier.LEGACY: EXIT_NO_SIGNATURE,
    Tier.UNSIGNED: EXIT_NO_SIGNATURE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentReport:
    """One attachment of a message."""

    content_id: str
    name: str
    size: int
    """Decoded bytes."""
    sha256: str
    is_signed: bool
    """Whether the message's signature covers it, under this name."""
    inside: PdfReport | None = None
    """The signatures in the file itself; nothing where they were not looked for."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "content_id": self.content_id,
            "name": self.name,
            "size": self.size,
            "sha256": self.sha256,
            "signed": self.is_signed,
            "inside": None if self.inside is None else self.inside.as_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """Everything that was found in one file."""

    file: str
    verdict: Verdict | None
    """Nothing when the file could not be opened."""
    problem: str
    """Why it could not be opened; empty otherwise."""
    attachments: tuple[AttachmentReport, ...] = ()

    @property
    def value(self) -> DocumentJudgement | None:
        """What the signatures inside the attachments make of the document; nothing where there are none to judge."""
        files = [(one.name or one.content_id, one.inside) for one in self.attachments]
        judged = [(name, inside) for name, inside in files if inside is not None]
        return document_value(judged) if judged and len(judged) == len(files) else None

    def as_json(self) -> dict[str, Any]:
        """The shape that scripts rely on."""
        verdict = self.verdict
        if verdict is None:
            return {
                "file": self.file,
                "verdict": Tier.FAILED.value,
                "reason": FILE_UNREADABLE,
                "signer": None,
                "signed_at": None,
                "checks": [],
                "attachments": [],
                "policy": None,
            }
        return {
            "file": self.file,
            "verdict": verdict.tier.value,
            "reason": verdict.reason.value,
            "signer": None if verdict.signer is None else verdict.signer.subject,
            "signed_at": None if verdict.signed_at is None else verdict.signed_at.isoformat(),
            "checks": [{"name": c.name.value, "result": c.result.value} for c in verdict.checks],
            "attachments": [attachment.as_json() for attachment in self.attachments],
            "policy": verdict.policy_version,
        }


def verify_files(
    paths: Sequence[Path],
    *,
    trust: TrustStore,
    at: datetime,
    crls: Sequence[Path] = (),
    policy: Policy = CURRENT_POLICY,
    limits: Limits | None = None,
    pdfs: bool = True,
) -> list[dict[str, Any]]:
    """
    Judge each file as of `at`, in the shape that `axis verify --json` prints.

    Each has exactly `file, verdict, reason, signer, signed_at, checks, attachments`. Without `crls` the revocation
    check is reported as not made.

    Raises:
        MaterialError: a revocation list cannot be read. Bad files under judgement never raise.
    """
    reports = judge_files(paths, trust=trust, at=at, crls=crls, policy=policy, limits=limits, pdfs=pdfs)
    return [report.as_json() for report in reports]


def judge_files(
    paths: Sequence[Path],
    *,
    trust: TrustStore,
    at: datetime,
    crls: Sequence[Path] = (),
    policy: Policy = CURRENT_POLICY,
    limits: Limits | None = None,
    pdfs: bool = True,
) -> list[FileReport]:
    """
    Judge each file as of `at`; with `pdfs`, the signatures inside its attachments too.

    Raises:
        MaterialError: a revocation list cannot be read.
    """
    slow = DeferredSlowPath(trust, policy=policy)
    revocation = RevocationIndex.from_files(*crls, policy=policy, slow=slow) if crls else None
    with ExitStack() as stack:
        judge = stack.enter_context(PdfJudge(trust=trust, lists=crls, policy=policy)) if pdfs else None
        return [
            _judge_file(
                path, trust=trust, at=at, revocation=revocation, policy=policy, limits=limits, judge=judge
            )
            for path in paths
        ]


def exit_status(results: Iterable[Mapping[str, Any] | FileReport]) -> int:
    """The exit status of the worst of these results: 2, then 1, 3, 4, 0."""
    found = {_exit_of(result) for result in results}
    return next((status for status in WORST_FIRST if status in found), EXIT_PASSED)


def _exit_of(result: Mapping[str, Any] | FileReport) -> int:
    row = result.as_json() if isinstance(result, FileReport) else result
    return EXIT_UNREADABLE if row["reason"] == FILE_UNREADABLE else _EXITS[Tier(row["verdict"])]


def _judge_file(
    path: Path,
    *,
    trust: TrustStore,
    at: datetime,
    revocation: RevocationSource | None,
    policy: Policy,
    limits: Limits | None,
    judge: PdfJudge | None,
) -> FileReport:
    with TemporaryDirectory(prefix="axis-verify-") as folder:
        spool = Spool(Path(folder)) if judge is not None else None
        try:
            with path.open("rb") as source:
                skeleton = read_skeleton(source, limits=limits, sink=spool)
        except OSError as error:
            return FileReport(file=str(path), verdict=None, problem=error.strerror or type(error).__name__)
        except MessageError as error:
            return FileReport(file=str(path), verdict=unreadable(error, at=at, policy=policy), problem="")
        verdict = verify(skeleton, trust=trust, at=at, policy=policy, revocation=revocation)
        found = _attachments(skeleton, verdict)
        if judge is not None and spool is not None:
            found = [(replace(one, inside=spool.judge(index, judge, at=at)), index) for one, index in found]
        return FileReport(
            file=str(path), verdict=verdict, problem="", attachments=tuple(one for one, _ in found)
        )


class Spool:
    """Decoded attachments that may carry signatures, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._kept: dict[int, bool] = {}
        """By part: whether it holds what every signed PDF holds, or is a zip file."""
        self._tail = b""

    def begin(self, index: int) -> None:
        self._tail = b""
        self._file = self._path(index).open("wb")

    def write(self, index: int, chunk: bytes) -> None:
        assert self._file is not None, "between begin and end"
        seen = self._tail + chunk
        is_zip = index not in self._kept and chunk.startswith(b"PK\x03\x04")
        self._kept[index] = self._kept.get(index, False) or is_zip or BYTE_RANGE in seen
        self._tail = seen[-len(BYTE_RANGE) :]
        self._file.write(chunk)

    def end(self, part: Part) -> None:  # noqa: ARG002 - as whoever hands on decoded bytes calls it
        assert self._file is not None, "after begin"
        self._file.close()
        self._file = None

    def judge(self, index: int, judge: PdfJudge, *, at: datetime) -> PdfReport:
        """What is inside; a worker is started only for a file in which there may be a signature."""
        path = self._path(index)
        if self._kept.get(index, False):
            return judge.judge(path, at=at)
        with path.open("rb") as file:
            is_pdf = b"%PDF-" in file.read(1024)
        return PdfReport(reason=PdfReason.UNSIGNED if is_pdf else PdfReason.NOT_PDF)

    def _path(self, index: int) -> Path:
        return self._folder / str(index)


BYTE_RANGE: Final = b"/ByteRange"
"""Stands in the clear in every signed PDF: it says which bytes are signed (ISO 32000-1, 12.8.1)."""


def _attachments(skeleton: Skeleton, verdict: Verdict) -> list[tuple[AttachmentReport, int]]:
    """Each with the number of its part."""
    if verdict.signed is not None:
        return [
            (
                AttachmentReport(
                    content_id=one.content_id,
                    name=one.name,
                    size=one.size,
                    sha256=one.sha256,
                    is_signed=True,
                ),
                one.part_index,
            )
            for one in verdict.attachments
        ]
    try:
        contents = skeleton.contents(skeleton.tree())
    except MessageError:
        return []
    return [(_as_found(element, part), part.index) for element, part in contents]


def _as_found(element: etree._Element, part: Part) -> AttachmentReport:
    """An attachment under the names that stand beside it, which nobody vouches for."""
    holder = element.getparent()
    beside = {
        str(child.tag).rpartition("}")[2]: (child.text or "").strip()
        for child in (holder if holder is not None else ())
    }
    return AttachmentReport(
        content_id=beside.get("ContentId", ""),
        name=beside.get("AttachmentName", ""),
        size=part.size,
        sha256=part.sha256,
        is_signed=False,
    )


# For a clerk.

_WORDS: Final[dict[str, dict[Language, str]]] = {
    "passed": {"vi": "HỢP LỆ", "en": "VALID"},
    "failed": {"vi": "KHÔNG HỢP LỆ", "en": "NOT VALID"},
    "indeterminate": {"vi": "CHƯA XÁC ĐỊNH", "en": "CANNOT TELL YET"},
    "legacy": {"vi": "CHỮ KÝ KIỂU KHÁC", "en": "ANOTHER KIND OF SIGNATURE"},
    "unsigned": {"vi": "KHÔNG CÓ CHỮ KÝ", "en": "NOT SIGNED"},
    "unreadable": {"vi": "KHÔNG MỞ ĐƯỢC TỆP", "en": "CANNOT BE OPENED"},
    "means.passed": {
        "vi": "Chủ chứng thư nêu dưới đây đã ký gói tin; từ khi ký không có gì bị sửa.",
        "en": "The holder of the certificate below signed the message; nothing in it was changed since.",
    },
    "revocation_open": {
        "vi": "Chưa kiểm tra chứng thư có bị thu hồi hay không (cần danh sách thu hồi: --crl).",
        "en": "Whether the certificate was revoked was not checked (it takes revocation lists: --crl).",
    },
    "means.failed": {
        "vi": "Không được dùng gói tin này như văn bản đã ký. Hãy đề nghị bên gửi ký và gửi lại.",
        "en": "Do not treat this message as signed. Ask the sender to sign and send it again.",
    },
    "means.indeterminate": {
        "vi": "Chữ ký đúng, nhưng chưa biết chứng thư có bị thu hồi hay không. "
        "Hãy kiểm tra lại với danh sách thu hồi mới hơn.",
        "en": "The signature holds, but whether its certificate was revoked is not known. "
        "Check again with a newer revocation list.",
    },
    "means.legacy": {
        "vi": "Chữ ký này không chứng minh được ai gửi; chỉ dùng để tham khảo.",
        "en": "This signature does not prove who sent it; for reference only.",
    },
    "means.unsigned": {
        "vi": "Không có gì chứng minh ai gửi; chỉ dùng để tham khảo.",
        "en": "Nothing proves who sent it; for reference only.",
    },
    "signer": {"vi": "Người ký", "en": "Signer"},
    "certificate": {"vi": "Chứng thư", "en": "Certificate"},
    "signed_at": {"vi": "Ký lúc", "en": "Signed at"},
    "by_signer": {"vi": "theo đồng hồ của người ký", "en": "by the signer's clock"},
    "judged_for": {"vi": "Xét tại thời điểm", "en": "Judged as of"},
    "policy": {"vi": "Chính sách", "en": "Policy"},
    "checks": {"vi": "Các bước kiểm tra", "en": "Checks"},
    "attachments": {"vi": "Tệp đính kèm", "en": "Attachments"},
    "size": {"vi": "Dung lượng", "en": "Size"},
    "covered": {"vi": "Được ký", "en": "Signed"},
    "yes": {"vi": "có", "en": "yes"},
    "no": {"vi": "không", "en": "no"},
    "issued_by": {"vi": "do {issuer} cấp, số {serial}", "en": "issued by {issuer}, number {serial}"},
    "where": {"vi": "chi tiết: {detail}", "en": "detail: {detail}"},
    "nameless": {"vi": "(không tên)", "en": "(no name)"},
    "inside": {"vi": "Chữ ký trong tệp", "en": "Signatures in the file"},
    "value": {"vi": "Giá trị văn bản", "en": "Value of the document"},
    "value.original": {"vi": "có giá trị như bản gốc", "en": "as the original"},
    "value.copy": {"vi": "bản sao (chỉ có chữ ký của cơ quan)", "en": "a copy (signed by the body alone)"},
    "value.reference": {"vi": "chỉ để tham khảo", "en": "for reference only"},
    "value.checking": {"vi": "đang kiểm tra", "en": "being checked"},
    "role.person": {"vi": "người ký", "en": "person"},
    "role.organ": {"vi": "cơ quan", "en": "body"},
    "role.unknown": {"vi": "không rõ tư cách", "en": "capacity not known"},
    "check.structure": {"vi": "cấu trúc", "en": "structure"},
    "check.key": {"vi": "khóa", "en": "key"},
    "check.signature": {"vi": "chữ ký", "en": "signature"},
    "check.digests": {"vi": "nội dung nguyên vẹn", "en": "contents unchanged"},
    "check.chain": {"vi": "chứng thư được tin cậy", "en": "certificate trusted"},
    "check.time": {"vi": "thời điểm ký", "en": "signing time"},
    "check.revocation": {"vi": "thu hồi", "en": "revocation"},
}
_STYLES: Final = {
    "passed": "bold green",
    "failed": "bold red",
    "indeterminate": "bold yellow",
    "legacy": "bold yellow",
    "unsigned": "bold yellow",
    "unreadable": "bold red",
}
_SIGNS: Final = {
    CheckResult.PASSED: ("✓", "green"),
    CheckResult.FAILED: ("✗", "red"),
    CheckResult.INDETERMINATE: ("?", "yellow"),
    CheckResult.NOT_CHECKED: ("–", "dim"),
}


def render(reports: Iterable[FileReport], *, language: Language = "vi") -> RenderableType:
    """A page for people, to be printed on a rich `Console`."""
    return Group(*(_page(report, language) for report in reports))


def render_text(reports: Iterable[FileReport], *, language: Language = "vi", width: int = 100) -> str:
    """The same page as plain text."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(reports, language=language))
    return capture.get()


def _page(report: FileReport, language: Language) -> RenderableType:
    verdict = report.verdict
    kind = "unreadable" if verdict is None else verdict.tier.value
    title = Text()
    title.append(shown(report.file), style="bold")
    title.append(": ")
    title.append(_WORDS[kind][language], style=_STYLES[kind])
    if verdict is None:
        return Group(title, Text(f"  {report.problem}"), Text())
    explanation = EXPLANATIONS[verdict.reason]
    lines: list[RenderableType] = [title, Text(f"  {explanation.vi if language == 'vi' else explanation.en}")]
    if verdict.detail:
        where = _WORDS["where"][language].format(detail=shown(verdict.detail))
        lines.append(Text(f"  {verdict.reason.value}; {where}", style="dim"))
    elif verdict.tier is not Tier.PASSED:
        lines.append(Text(f"  {verdict.reason.value}", style="dim"))
    lines.append(Text(f"  {_WORDS[f'means.{kind}'][language]}"))
    if verdict.tier is Tier.PASSED and verdict.result_of(CheckName.REVOCATION) is CheckResult.NOT_CHECKED:
        lines.append(Text(f"  {_WORDS['revocation_open'][language]}", style="yellow"))
    lines.append(_facts(verdict, language))
    if verdict.tier not in {Tier.UNSIGNED, Tier.LEGACY}:
        lines.append(_checks(verdict, language))
    if report.attachments:
        lines += [_files(report.attachments, language), *_value(report, language)]
    return Group(*lines, Text())


def _facts(verdict: Verdict, language: Language) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")

    def row(name: str, value: str) -> None:
        grid.add_row(Text(f"  {_WORDS[name][language]}"), Text(value))

    if verdict.signer is not None:
        row("signer", person(verdict.signer))
        issuer = _common_name(verdict.signer.issuer)
        row("certificate", _WORDS["issued_by"][language].format(issuer=issuer, serial=verdict.signer.serial))
    if verdict.signed_at is not None:
        row("signed_at", f"{_moment(verdict.signed_at)} ({_WORDS['by_signer'][language]})")
    row("judged_for", _moment(verdict.judged_for))
    row("policy", verdict.policy_version)
    return grid


def _checks(verdict: Verdict, language: Language) -> Text:
    line = Text(f"  {_WORDS['checks'][language]}: ", style="dim")
    for place, check in enumerate(verdict.checks):
        sign, style = _SIGNS[check.result]
        line.append("  " if place else "")
        line.append(f"{sign} {_WORDS[f'check.{check.name.value}'][language]}", style=style)
    return line


def _files(attachments: Sequence[AttachmentReport], language: Language) -> RenderableType:
    table = Table(show_edge=False, pad_edge=True, box=None, header_style="dim")
    table.add_column(f" {_WORDS['attachments'][language]}", overflow="fold")
    table.add_column(_WORDS["size"][language], justify="right")
    table.add_column("SHA-256")
    table.add_column(_WORDS["covered"][language])
    table.add_column(_WORDS["inside"][language], overflow="fold")
    for one in attachments:
        table.add_row(
            Text(f" {shown(one.name or one.content_id) or _WORDS['nameless'][language]}"),
            Text(f"{one.size:,}"),
            Text(f"{one.sha256[:16]}…"),
            Text(_WORDS["yes" if one.is_signed else "no"][language]),
            _inside(one.inside, language),
        )
    return table


def _inside(inside: PdfReport | None, language: Language) -> Text:
    if inside is None:
        return Text("–", style="dim")
    if not inside.signatures:
        return Text(_say(inside.reason, language), style="dim")
    return Text("\n").join(_signature(one, language) for one in inside.signatures)


def _signature(one: PdfSignature, language: Language) -> Text:
    sign, style = _SIGNS[CheckResult.PASSED if one.reason is PdfReason.PASSED else CheckResult.FAILED]
    who = _WORDS["nameless"][language] if one.signer is None else person(one.signer)
    text = Text(f"{sign} {who} ({_WORDS[f'role.{one.role.value}'][language]})", style=style)
    if one.reason is not PdfReason.PASSED:
        text.append(f": {_say(one.reason, language)}")
    return text


def _value(report: FileReport, language: Language) -> list[RenderableType]:
    judgement = report.value
    if judgement is None:
        return []
    words = _WORDS[f"value.{judgement.value.value}"][language]
    return [Text(f"  {_WORDS['value'][language]}: {words}")]


def _say(code: PdfReason | Reason, language: Language) -> str:
    explanation = explain(code)
    return explanation.vi if language == "vi" else explanation.en


def shown(text: str) -> str:
    """Text of a stranger, safe on a terminal: no control or direction characters, one line, not too long."""
    clean = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)
    return clean if len(clean) <= _SHOWN_CHARACTERS else f"{clean[:_SHOWN_CHARACTERS]}…"


def person(facts: CertificateFacts) -> str:
    """Whose certificate it is, as people say it."""
    return _common_name(facts.subject)


def _common_name(rfc4514: str) -> str:
    try:
        names = x509.Name.from_rfc4514_string(rfc4514).get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        names = []
    return shown(str(names[0].value) if names else rfc4514)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(_VIETNAM):%d/%m/%Y %H:%M:%S} (UTC+7)"
