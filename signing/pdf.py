"""
What the signatures inside an attachment are worth: who signed it, as what, and whether anything changed since.

A message's signature says who sent a document; the signatures inside its PDFs say what the document is worth (an
original, a copy, for reference only). They are judged after the document has travelled, file by file. A PDF is a
program that strangers write for a reader with thirty years of oddities, so each file is judged in a process of its
own that is killed when it takes too long or too much memory (signing.pdf_worker); a bad file costs its own verdict.

pyHanko reads the file, checks the arithmetic and finds changes; chain, key usage, algorithms and revocation are judged
by the same rules as those of messages. One rule is stricter than pyHanko's: after the last signature nothing may
change but what long-term archiving adds, and between signatures nothing but the next signature; filling in a form
is a change.
"""

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum, unique
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self

from signing.certificates import SPKI, CertificateFacts, TrustStore, read_certificate
from signing.errors import MaterialError
from signing.policy import CURRENT_POLICY, Policy
from signing.reasons import EXPLANATIONS, Explanation, Reason

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_GRACE_SECONDS: Final = 5.0
"""How much longer than a file may take the worker may need to say that it took too long."""
_MAX_REPLY_BYTES: Final = 1024 * 1024


@unique
class SignerRole(StrEnum):
    """As what somebody signed (NĐ30: the person who may sign, and the body itself)."""

    PERSON = "person"
    ORGAN = "organ"
    UNKNOWN = "unknown"
    """The certificate does not show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleKeys:
    """Keys whose holders are known from the directory."""

    organ: frozenset[SPKI] = frozenset()
    """Bound to the sending organ: whoever signs with one signs as the organ."""
    person: frozenset[SPKI] = frozenset()
    """Bound to persons who may sign for it."""


@unique
class PdfReason(StrEnum):
    """What was found in a file, or in one of its signatures; codes of chain and revocation come from `Reason`."""

    PASSED = "pdf.passed"
    UNSIGNED = "pdf.unsigned"
    NOT_PDF = "pdf.not_pdf"
    UNREADABLE = "pdf.unreadable"
    ENCRYPTED = "pdf.encrypted"
    TOO_LARGE = "pdf.too_large"
    ZIP = "pdf.zip"
    TIME = "pdf.time"
    MEMORY = "pdf.memory"
    CRASH = "pdf.crash"
    GIVEN_UP = "pdf.given_up"
    BROKEN = "pdf.broken"
    KIND = "pdf.kind"
    ALGORITHM = "pdf.algorithm"
    PARTIAL = "pdf.partial"
    CHANGED = "pdf.changed"


_PDF_EXPLANATIONS: Final[dict[PdfReason, tuple[str, str]]] = {
    PdfReason.PASSED: ("The signature is valid.", "Chữ ký hợp lệ."),
    PdfReason.UNSIGNED: ("The file carries no signature.", "Tệp không có chữ ký số."),
    PdfReason.NOT_PDF: (
        "The file is no PDF; signatures in other kinds of files are not judged.",
        "Tệp không phải PDF; không xét chữ ký trong loại tệp khác.",
    ),
    PdfReason.UNREADABLE: ("The PDF cannot be read.", "Không đọc được tệp PDF."),
    PdfReason.ENCRYPTED: ("The PDF is encrypted.", "Tệp PDF bị mã hóa."),
    PdfReason.TOO_LARGE: ("The file is too large to be judged.", "Tệp quá lớn, không xét được."),
    PdfReason.ZIP: (
        "The zip file does not hold exactly one file of acceptable size.",
        "Tệp nén không chứa đúng một tệp có dung lượng cho phép.",
    ),
    PdfReason.TIME: (
        "Judging the file took too long; it was given up.",
        "Xét tệp mất quá nhiều thời gian nên đã dừng.",
    ),
    PdfReason.MEMORY: (
        "Judging the file took too much memory; it was given up.",
        "Xét tệp tốn quá nhiều bộ nhớ nên đã dừng.",
    ),
    PdfReason.CRASH: (
        "Judging the file failed by a fault of ours; it is tried again.",
        "Xét tệp bị lỗi từ phía hệ thống; sẽ được xét lại.",
    ),
    PdfReason.GIVEN_UP: (
        "The file could not be judged: judging it failed again and again.",
        "Không xét được tệp: xét nhiều lần đều bị lỗi.",
    ),
    PdfReason.BROKEN: (
        "The signature is wrong, or what it covers was changed.",
        "Chữ ký sai, hoặc nội dung được ký đã bị sửa.",
    ),
    PdfReason.KIND: ("The signature is of a kind that is not judged.", "Loại chữ ký không được xét."),
    PdfReason.ALGORITHM: (
        "The signature uses an algorithm that is no longer allowed.",
        "Chữ ký dùng thuật toán không còn được phép.",
    ),
    PdfReason.PARTIAL: (
        "The signature does not cover everything that stood in the file when it was signed.",
        "Chữ ký không bao phủ toàn bộ nội dung của tệp khi ký.",
    ),
    PdfReason.CHANGED: ("The file was changed after signing.", "Tệp đã bị sửa sau khi ký."),
}

OURS: Final = frozenset({PdfReason.TIME, PdfReason.MEMORY, PdfReason.CRASH})
"""Faults of the judging, not of the file: tried again before they count."""
_OPEN: Final = frozenset({Reason.REVOCATION_STALE, Reason.REVOCATION_UNKNOWN, PdfReason.CRASH})
"""Nobody can tell yet."""


HEADER_WITHIN: Final = 1024
"""Readers look for `%PDF-` in the first kilobyte (ISO 32000-1, annex H)."""
ZIP_MAGIC: Final = b"PK\x03\x04"


def is_worth_judging(head: bytes) -> bool:
    """Whether a file that begins like this can be a PDF or hold one; for every other the answer is `pdf.not_pdf`."""
    return b"%PDF-" in head[:HEADER_WITHIN] or head.startswith(ZIP_MAGIC)


def explain(code: PdfReason | Reason) -> Explanation:
    """The words for a code of this module."""
    if isinstance(code, Reason):
        return EXPLANATIONS[code]
    en, vi = _PDF_EXPLANATIONS[code]
    return Explanation(rule=0, en=en, vi=vi)


def read_code(value: str) -> PdfReason | Reason:
    """The code of this text; a ValueError if there is none."""
    return PdfReason(value) if value.startswith("pdf.") else Reason(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfSignature:
    """One signature in a file."""

    field: str
    """The name of its form field."""
    reason: PdfReason | Reason
    """`pdf.passed`, or the first thing that is wrong."""
    role: SignerRole
    signer: CertificateFacts | None
    claimed_at: datetime | None
    """By the clock of whoever signed."""
    timestamp: datetime | None
    """By a timestamp authority that leads to our roots; the certificate was judged for this moment."""
    is_intact: bool
    """The arithmetic holds: digest and signature."""
    is_trusted: bool
    """The chain leads to our roots, and nobody on it was revoked."""
    covers_whole_file: bool
    """Up to its last byte."""
    changes_after: str
    """none, archiving, signing, other: the gravest kind of change after this signature."""
    above: tuple[str, ...] = ()
    """Serial numbers (hex) of the authorities between the signer and our root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfReport:
    """What was found in one file."""

    reason: PdfReason | Reason
    """`pdf.passed` if there are signatures and every one passed; else the first thing that is wrong."""
    signatures: tuple[PdfSignature, ...] = ()
    """In the order in which they were made."""
    inside_zip: str | None = None
    """The name of the file in the zip file that was judged in its place."""

    def passed(self, role: SignerRole) -> bool:
        """
        Whether somebody in that role signed, nothing is wrong with it, and whoever signed after that is known too.

        A later signature brings its own picture, which can cover the page: a stranger's takes the value away.
        """
        return any(
            one.role is role
            and one.reason is PdfReason.PASSED
            and all(
                later.reason is PdfReason.PASSED and later.role is not SignerRole.UNKNOWN
                for later in self.signatures[place + 1 :]
            )
            for place, one in enumerate(self.signatures)
        )

    @property
    def is_open(self) -> bool:
        """Whether the answer may still change: revocation not known, or a fault of ours."""
        return self.reason in _OPEN or any(s.reason in _OPEN for s in self.signatures)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "reason": self.reason.value,
            "inside_zip": self.inside_zip,
            "signatures": [
                {
                    "field": s.field,
                    "reason": s.reason.value,
                    "role": s.role.value,
                    "signer": None if s.signer is None else s.signer.subject,
                    "claimed_at": None if s.claimed_at is None else s.claimed_at.isoformat(),
                    "timestamp": None if s.timestamp is None else s.timestamp.isoformat(),
                    "intact": s.is_intact,
                    "trusted": s.is_trusted,
                    "covers_whole_file": s.covers_whole_file,
                    "changes_after": s.changes_after,
                }
                for s in self.signatures
            ],
        }


# From and to the worker.


def report_to_line(report: PdfReport, certificates: Sequence[bytes | None]) -> bytes:
    """One line for the worker's parent; `certificates` are those of the signers, DER, in order."""
    signatures = []
    for one, der in zip(report.signatures, certificates, strict=True):
        row = asdict(one)
        row["signer"] = None if der is None else base64.b64encode(der).decode("ascii")
        signatures.append(row)
    row = {"reason": report.reason, "inside_zip": report.inside_zip, "signatures": signatures}
    return json.dumps(row, default=_isoformat).encode("ascii") + b"\n"


def _isoformat(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def report_from_line(line: bytes) -> PdfReport:
    """
    Read the worker's answer.

    Raises:
        ValueError: it is none (a KeyError or TypeError is made one).
    """
    try:
        row = json.loads(line)
        return PdfReport(
            reason=read_code(row["reason"]),
            inside_zip=row["inside_zip"],
            signatures=tuple(_signature(one) for one in row["signatures"]),
        )
    except (KeyError, TypeError, AttributeError, MaterialError) as error:
        raise ValueError("no report") from error


def _signature(row: dict[str, Any]) -> PdfSignature:
    signer = None if row["signer"] is None else read_certificate(base64.b64decode(row["signer"])).facts
    return PdfSignature(
        field=str(row["field"]),
        reason=read_code(row["reason"]),
        role=SignerRole(row["role"]),
        signer=signer,
        claimed_at=_moment(row["claimed_at"]),
        timestamp=_moment(row["timestamp"]),
        is_intact=bool(row["is_intact"]),
        is_trusted=bool(row["is_trusted"]),
        covers_whole_file=bool(row["covers_whole_file"]),
        changes_after=str(row["changes_after"]),
        above=tuple(str(one) for one in row["above"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfLimits:
    """What one file may cost."""

    seconds: float = 20.0
    """Of the clock, and of the processor."""
    memory_mb: int = 512
    """Beyond what the worker holds anyway."""
    file_bytes: int = MAX_FILE_BYTES
    """Of a file, packed or unpacked."""


class PdfJudge:
    """
    One worker process; judges one file after the other, from any thread. Use several for several at a time.

    The worker is started when first needed, and again whenever it died. It sees the files it is given, the roots, the
    lists, and nothing of the settings of the process that started it.
    """

    def __init__(
        self,
        *,
        trust: TrustStore,
        lists: Iterable[Path] = (),
        checks_revocation: bool | None = None,
        limits: PdfLimits | None = None,
        policy: Policy = CURRENT_POLICY,
    ) -> None:
        """
        With `checks_revocation` nobody counts as not revoked for want of lists; without a word it is checked if there
        are any.
        """
        self._trust = trust
        self._lists = [str(path) for path in lists]
        self._checks_revocation = bool(self._lists) if checks_revocation is None else checks_revocation
        self._limits = limits or PdfLimits()
        self._policy = policy
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def judge(self, file: Path | bytes, *, at: datetime, keys: RoleKeys | None = None) -> PdfReport:
        """
        Judge one file as of `at`, the moment it was received.

        Never raises for a bad file, nor for a worker that dies: that is `pdf.crash`.
        """
        if isinstance(file, Path):
            return self._judge(file, at=at, keys=keys or RoleKeys())
        with tempfile.NamedTemporaryFile(prefix="axis-pdf-") as temporary:
            temporary.write(file)
            temporary.flush()
            return self._judge(Path(temporary.name), at=at, keys=keys or RoleKeys())

    def interrupt(self) -> None:
        """Kill the worker at once, from any thread: what is judged now, or after this, ends as `pdf.crash`."""
        self._is_interrupted = True
        process = self._process
        if process is not None:
            _kill(process)

    def close(self) -> None:
        """Stop the worker, when it has judged what it is judging."""
        with self._lock:
            self._stop()

    def _judge(self, path: Path, *, at: datetime, keys: RoleKeys) -> PdfReport:
        job = {
            "path": str(path.resolve()),
            "at": at.isoformat(),
            "organ_keys": sorted(keys.organ),
            "person_keys": sorted(keys.person),
            "limits": asdict(self._limits),
        }
        with self._lock:
            try:
                return report_from_line(self._ask(json.dumps(job).encode("ascii") + b"\n"))
            except (OSError, ValueError):
                self._stop()
                return PdfReport(reason=PdfReason.CRASH)

    def _ask(self, line: bytes) -> bytes:
        process = self._started()
        assert process.stdin is not None, "it was asked for"
        process.stdin.write(line)
        process.stdin.flush()
        return self._read_line(process, seconds=self._limits.seconds + _GRACE_SECONDS)

    def _read_line(self, process: subprocess.Popen[bytes], *, seconds: float) -> bytes:
        assert process.stdout is not None, "it was asked for"
        descriptor, line = process.stdout.fileno(), b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], seconds)
            piece = os.read(descriptor, 65536) if ready else b""
            line += piece
            if not piece or len(line) > _MAX_REPLY_BYTES:
                raise OSError("the worker does not answer")
        return line

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "signing.pdf_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
            env=kept,
            start_new_session=True,
        )
        self._process = process
        if self._is_interrupted:
            # Looked at after the worker can be seen: whoever interrupts has killed it, or is seen here.
            raise OSError("interrupted")
        setup = {
            "roots": [base64.b64encode(one.der).decode() for one in self._trust.roots],
            "intermediates": [base64.b64encode(one.der).decode() for one in self._trust.intermediates],
            "lists": self._lists,
            "checks_revocation": self._checks_revocation,
            "policy": self._policy.text,
        }
        assert process.stdin is not None, "it was asked for"
        process.stdin.write(json.dumps(setup).encode("ascii") + b"\n")
        process.stdin.flush()
        # It answers with an empty line once its libraries are loaded.
        self._read_line(process, seconds=60)
        return process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The worker, and what it has forked to judge a file."""
    # One that was waited for has given its number back: it may be somebody else's by now.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def judge_pdf(
    file: Path | bytes,
    *,
    trust: TrustStore,
    at: datetime,
    keys: RoleKeys | None = None,
    lists: Iterable[Path] = (),
    limits: PdfLimits | None = None,
) -> PdfReport:
    """Judge one file in a worker of its own; for more than one, keep a `PdfJudge`."""
    with PdfJudge(trust=trust, lists=lists, limits=limits) as judge:
        return judge.judge(file, at=at, keys=keys)


# What follows for the document.


@unique
class DocumentValue(StrEnum):
    """The legal value of a document, from all its files."""

    ORIGINAL = "original"
    """Like the original: signed by the person who may sign and by the organ (NĐ30 Art. 5.1)."""
    COPY = "copy"
    """Signed by the organ alone (NĐ30 Art. 25, 26)."""
    REFERENCE = "reference"
    """Anything else (QĐ28 Art. 4.2)."""
    CHECKING = "checking"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFinding:
    """Why a file keeps a document from a higher value."""

    file: str
    reason: PdfReason | Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentJudgement:
    """The value of a document and what stands in the way of a higher one."""

    value: DocumentValue
    findings: tuple[FileFinding, ...]


def document_value(files: Sequence[tuple[str, PdfReport]]) -> DocumentJudgement:
    """
    What the signatures in all files of a document make of it.

    The organ must have signed every file (LR-07); the person who may sign, at least one of them, the document itself
    (LR-06). While a file is open and nothing else is wrong, the value is still being checked.
    """
    findings = [
        FileFinding(file=name, reason=report.reason)
        for name, report in files
        if report.reason is not PdfReason.PASSED
    ]
    lacking = [report for _, report in files if not report.passed(SignerRole.ORGAN)]
    if lacking or not files:
        still_open = bool(lacking) and all(report.is_open for report in lacking)
        value = DocumentValue.CHECKING if still_open else DocumentValue.REFERENCE
    elif any(report.passed(SignerRole.PERSON) for _, report in files):
        value = DocumentValue.ORIGINAL
    elif any(report.is_open for _, report in files):
        value = DocumentValue.CHECKING
    else:
        value = DocumentValue.COPY
    return DocumentJudgement(value=value, findings=tuple(findings))
