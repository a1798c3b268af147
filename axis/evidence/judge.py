"""
`axis evidence verify`: is this bundle what the log says? Offline; no database, no settings, no network, no clock.

    1 archive     the one zip its members make
    2 contents    every file is one of a bundle, in its one form, with its sum
    3 checkpoint  signed by a log key that is trusted here
    4 inclusion   every record stands in the log of that checkpoint
    5 records     one life: each is about the document, and stands behind the one it names
    6 payload     the received bytes and every attachment have the recorded digests
    7 report      the verification report is the one the record names, and signed
    8 signature   the message, judged again at the moment it was received, comes out as recorded
    9 timestamp   an authority that is trusted here saw the checkpoint
    10 page       cover and guide are those that the records make

The first step that does not hold ends it. A step that could not be judged with what is trusted here says so, and the
whole is then indeterminate, never passed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from types import SimpleNamespace
from typing import Any, Final, NoReturn, Self

from axis.core.events import Event, EventKind
from axis.core.model import Digest, Tier, iso
from axis.evidence.archive import ArchiveError, read_archive
from axis.evidence.bundle import (
    COVER,
    GUIDE,
    SUMS,
    Bundle,
    BundleError,
    Entry,
    revocation_names,
    sums_of,
)
from axis.evidence.pages import pages_of
from axis.evidence.words import Words
from signing.certificates import ReadCertificate, TrustStore, certificates_from_pem, read_certificate
from signing.errors import MaterialError, MessageError, SigningError
from signing.merkle import ProofError, leaf_hash, verify_inclusion
from signing.note import Checkpoint, NoteError, verify_checkpoint
from signing.policy import CURRENT_POLICY, Policy
from signing.receipts import ReceiptError, TrustedKeys, verify_receipt
from signing.revocation import RevocationIndex
from signing.skeleton import Skeleton, read_skeleton
from signing.timestamp import TimestampError, verify_timestamp
from signing.verify import examine, verify

_PEM: Final = b"-----BEGIN CERTIFICATE-----"
_CERTIFICATE: Final = "{http://www.w3.org/2000/09/xmldsig#}X509Certificate"


@unique
class Step(StrEnum):
    """What is looked at, in this order."""

    ARCHIVE = "archive"
    CONTENTS = "contents"
    CHECKPOINT = "checkpoint"
    INCLUSION = "inclusion"
    RECORDS = "records"
    PAYLOAD = "payload"
    REPORT = "report"
    SIGNATURE = "signature"
    TIMESTAMP = "timestamp"
    PAGE = "page"


@unique
class Result(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    FAILED = "failed"
    ABSENT = "absent"
    """There is nothing of that kind in the bundle, and the bundle says so."""
    NOT_CHECKED = "not_checked"
    """It is there, and nothing that is trusted here can judge it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One step."""

    step: Step
    result: Result
    words: Words
    """What was found, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All steps up to the first that does not hold."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """`passed`, `failed` or `indeterminate`."""
        results = {one.result for one in self.findings}
        if Result.FAILED in results:
            return "failed"
        return "indeterminate" if Result.NOT_CHECKED in results else "passed"

    @property
    def failed(self) -> Finding | None:
        """The step that does not hold."""
        return next((one for one in self.findings if one.result is Result.FAILED), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTrust:
    """What somebody trusts: keys of the axis, and roots of the authorities for certificates and timestamps."""

    keys: TrustedKeys
    roots: tuple[ReadCertificate, ...] = ()

    @classmethod
    def read(cls, texts: Iterable[tuple[str, bytes]]) -> Self:
        """
        From the contents of files: lines `log <key>` and `receipts <key>`, PEM certificates, or both in one file.

        Raises:
            MaterialError: a file has neither, something in it cannot be read, or there is no log key at all.
        """
        lines: list[str] = []
        roots: list[ReadCertificate] = []
        for name, text in texts:
            named = [
                one
                for one in text.decode("utf-8", errors="replace").splitlines()
                if one.startswith(("log ", "receipts "))
            ]
            if _PEM in text:
                roots += certificates_from_pem(text)
            elif not named:
                raise MaterialError("trust.empty", f"{name} has neither keys of an axis nor certificates")
            lines += named
        keys = TrustedKeys.read("\n".join(dict.fromkeys(lines)))
        if not keys.log:
            raise MaterialError("trust.empty", "no line 'log <key>': which axis is trusted must be said")
        return cls(keys=keys, roots=tuple(roots))


class _NotSo(Exception):
    """The step does not hold."""

    def __init__(self, en: str, vi: str = "") -> None:
        super().__init__(en)
        self.words = Words(vi or en, en)


def judge_bundle(archive: bytes, *, trust: EvidenceTrust) -> Judgement:
    """Every step, until one does not hold."""
    findings: list[Finding] = []
    work = _Work(archive, trust)
    for step in Step:
        try:
            result, words = work.take(step)
        except _NotSo as problem:
            findings.append(Finding(step=step, result=Result.FAILED, words=problem.words))
            break
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as problem:
            # Whoever signed the log signed a record that says what no axis of ours records.
            words = Words(
                "Một bản ghi không đúng dạng", f"a record says what none says: {type(problem).__name__}"
            )
            findings.append(Finding(step=step, result=Result.FAILED, words=words))
            break
        findings.append(Finding(step=step, result=result, words=words))
    return Judgement(findings=tuple(findings))


def _not_so(en: str, vi: str = "") -> NoReturn:
    raise _NotSo(en, vi)


class _Work:
    """What the steps hand on to each other."""

    def __init__(self, archive: bytes, trust: EvidenceTrust) -> None:
        self._archive = archive
        self._trust = trust
        self._members: dict[str, bytes] = {}
        self._bundle: Bundle
        self._head: Checkpoint
        self._skeletons: dict[Digest, Skeleton] = {}

    def take(self, step: Step) -> tuple[Result, Words]:
        """One step, after all before it held."""
        match step:
            case Step.ARCHIVE:
                return self._unpack()
            case Step.CONTENTS:
                return self._contents()
            case Step.CHECKPOINT:
                return self._checkpoint()
            case Step.INCLUSION:
                return self._inclusion()
            case Step.RECORDS:
                return self._records()
            case Step.PAYLOAD:
                return self._payload()
            case Step.REPORT:
                return self._reports()
            case Step.SIGNATURE:
                return self._signatures()
            case Step.TIMESTAMP:
                return self._timestamp()
            case Step.PAGE:
                return self._page()

    # --- 1, 2 -----------------------------------------------------------------------------------------------------

    def _unpack(self) -> tuple[Result, Words]:
        try:
            self._members = read_archive(self._archive)
        except ArchiveError as problem:
            raise _NotSo(str(problem), f"Tệp zip không đúng dạng chuẩn: {problem}") from problem
        return Result.PASSED, Words("Tệp zip đúng dạng chuẩn", "The archive is the one its members make")

    def _contents(self) -> tuple[Result, Words]:
        if self._members.get(SUMS) != sums_of(self._members):
            _not_so(f"{SUMS} is not that of the other files", f"{SUMS} không đúng với các tệp")
        try:
            self._bundle = Bundle.read(self._members)
        except BundleError as problem:
            raise _NotSo(str(problem), f"Nội dung gói không đúng: {problem}") from problem
        missing = {COVER, GUIDE} - set(self._members)
        if missing:
            _not_so(f"{', '.join(sorted(missing))} is missing", f"Thiếu {', '.join(sorted(missing))}")
        count = len(self._members)
        return Result.PASSED, Words(
            f"{count} tệp, đúng tên, đúng mã băm", f"{count} files, each with its name and sum"
        )

    # --- 3, 4, 5 --------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> tuple[Result, Words]:
        try:
            self._head = verify_checkpoint(self._bundle.checkpoint, keys=self._trust.keys.log)
        except NoteError as problem:
            raise _NotSo(str(problem), f"Điểm kiểm tra không tin được: {problem}") from problem
        return Result.PASSED, Words(
            f"{self._head.origin}, {self._head.size} bản ghi",
            f"{self._head.origin}, {self._head.size} records",
        )

    def _inclusion(self) -> tuple[Result, Words]:
        for one in self._bundle.entries:
            try:
                verify_inclusion(
                    leaf_hash(one.event.record),
                    index=one.index,
                    size=self._head.size,
                    proof=one.path,
                    root=self._head.root,
                )
            except ProofError as problem:
                raise _NotSo(
                    f"record {one.index} does not stand in that log: {problem.detail}",
                    f"Bản ghi {one.index} không có trong nhật ký: {problem.detail}",
                ) from problem
        count = len(self._bundle.entries)
        return Result.PASSED, Words(
            f"{count} bản ghi đều có trong nhật ký", f"all {count} records stand in it"
        )

    def _records(self) -> tuple[Result, Words]:
        problem = _one_life(self._bundle)
        if problem is not None:
            _not_so(problem.en, problem.vi)
        return Result.PASSED, Words(
            "Một văn bản, đủ chuỗi bản ghi", "One document, each record behind the one it names"
        )

    # --- 6, 7, 8 --------------------------------------------------------------------------------------------------

    def _payload(self) -> tuple[Result, Words]:
        recorded = {Digest(str(one.facts["digest"])): one for one in _outcomes(self._bundle)}
        for digest, message in self._bundle.messages.items():
            event = recorded.get(digest)
            if (
                event is None
                or hashlib.sha256(message).hexdigest() != digest
                or len(message) != event.facts["size"]
            ):
                _not_so(
                    f"message {digest} is not what a record names", f"Gói tin {digest} không đúng bản ghi"
                )
            self._attachments(digest, message, event)
        held = {one for message in self._bundle.messages.values() for one in certificates_in(message)}
        if held != set(self._bundle.certificates):
            _not_so("certificates/ has not what the messages carry", "certificates/ không đúng với gói tin")
        absent = len(recorded) - len(self._bundle.messages)
        if not self._bundle.messages:
            return Result.ABSENT, Words(
                "Gói chỉ có mã băm của văn bản", "Digests only: the received bytes are not in it"
            )
        more = (
            Words(f"; {absent} gói tin chỉ có mã băm", f"; of {absent} the digest only")
            if absent
            else Words("", "")
        )
        return Result.PASSED, Words(f"Đúng mã băm đã ghi{more.vi}", f"The recorded digests{more.en}")

    def _attachments(self, digest: Digest, message: bytes, event: Event) -> None:
        attachments: Any = event.facts.get("attachments")
        if attachments is None:
            return  # Nothing of what was refused is recorded but its digest.
        try:
            skeleton = read_skeleton(io.BytesIO(message))
        except MessageError as problem:
            raise _NotSo(f"message {digest} cannot be read: {problem}") from problem
        self._skeletons[digest] = skeleton
        said = sorted((str(one["sha256"]), one["size"]) for one in attachments)
        if said != sorted((one.sha256, one.size) for one in skeleton.parts):
            _not_so(
                f"the attachments of {digest} are not those recorded",
                f"Tệp đính kèm của {digest} không đúng bản ghi",
            )

    def _reports(self) -> tuple[Result, Words]:
        named = {one.document: one.facts.get("report") for one in self._bundle.acceptances}
        for document, (body, receipt) in self._bundle.reports.items():
            if hashlib.sha256(body).hexdigest() != named.get(document):
                _not_so(
                    f"report of {document} is not the one its record names",
                    "Báo cáo kiểm tra không đúng bản ghi",
                )
            if self._trust.keys.receipts:
                self._check_receipt(body, receipt)
        if not self._bundle.reports:
            return Result.ABSENT, Words("Không có báo cáo kiểm tra", "No verification report")
        if not self._trust.keys.receipts:
            return Result.NOT_CHECKED, Words(
                "Chưa có khóa `receipts` để kiểm tra chữ ký",
                "No 'receipts <key>' is trusted to judge its signature",
            )
        return Result.PASSED, Words(
            "Đúng báo cáo đã ghi, đúng chữ ký", "The one the record names, and signed"
        )

    def _check_receipt(self, body: bytes, receipt: bytes) -> None:
        try:
            read = json.loads(receipt)
            batch = SimpleNamespace(**{**read["batch"], "path": tuple(read["batch"]["path"])})
            signed = verify_receipt(
                SimpleNamespace(record=read["record"], batch=batch, proof=read["proof"]),
                keys=self._trust.keys,
            )
        except ReceiptError as problem:
            raise _NotSo(f"nobody trusted signed the report: {problem}") from problem
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise _NotSo("the signature of the report cannot be read") from problem
        if signed.record != body:
            _not_so("the signature is over another report", "Chữ ký là của báo cáo khác")

    def _signatures(self) -> tuple[Result, Words]:
        accepted = [one for one in self._bundle.acceptances if str(one.facts["digest"]) in self._skeletons]
        if not accepted:
            return Result.ABSENT, Words(
                "Không có gói tin để xét chữ ký", "No message whose signature could be judged"
            )
        if not self._trust.roots:
            return Result.NOT_CHECKED, Words(
                "Chưa có chứng thư gốc để xét chữ ký", "No root certificate is trusted to judge the signature"
            )
        policy = self._policy()
        revocation = self._revocation(policy or CURRENT_POLICY)
        if policy is None:
            return Result.NOT_CHECKED, Words(
                "policy.toml là của phiên bản khác", "policy.toml is of another version than the records say"
            )
        said = [self._signature(event, policy=policy, revocation=revocation) for event in accepted]
        return Result.PASSED, said[0]

    def _policy(self) -> Policy | None:
        try:
            policy = Policy.from_toml(self._bundle.policy.decode("utf-8"))
        except (MaterialError, UnicodeDecodeError) as problem:
            raise _NotSo(f"policy.toml is no policy: {problem}") from problem
        recorded = {str(one.facts["policy"]) for one in self._bundle.acceptances}
        if recorded != {policy.version}:
            return None
        if policy.version == CURRENT_POLICY.version and policy_bytes() != self._bundle.policy:
            _not_so(
                f"policy.toml is not version {policy.version}", "policy.toml không đúng phiên bản đã công bố"
            )
        return policy

    def _revocation(self, policy: Policy) -> RevocationIndex | None:
        named = {name for one in self._bundle.entries for name in revocation_names(one.event)}
        index = RevocationIndex(policy=policy) if self._bundle.revocations else None
        for name, der in self._bundle.revocations.items():
            digest, _, kind = name.partition(".")
            if name not in named or hashlib.sha256(der).hexdigest() != digest:
                _not_so(f"{name} is not what a record names", f"{name} không đúng bản ghi")
            assert index is not None, "there is one to add"
            try:
                if kind == "crl":
                    index.add_list(der)
                else:
                    index.add_response(der)
            except MaterialError as problem:
                raise _NotSo(f"{name} cannot be read: {problem}") from problem
        return index

    def _signature(self, event: Event, *, policy: Policy, revocation: RevocationIndex | None) -> Words:
        skeleton = self._skeletons[Digest(str(event.facts["digest"]))]
        at = datetime.fromisoformat(str(event.facts["received_at"]))
        recorded = Tier(str(event.facts["tier"]))
        if recorded in {Tier.LEGACY, Tier.UNSIGNED}:
            found = examine(skeleton, at=at, policy=policy)
        else:
            trust = TrustStore(self._trust.roots)
            found = verify(skeleton, trust=trust, at=at, policy=policy, revocation=revocation)
        fits = {recorded.value} | ({Tier.PASSED.value} if recorded is Tier.INDETERMINATE else set())
        if found.tier.value not in fits:
            _not_so(
                f"the message comes out as {found.tier} ({found.reason}), the record says {recorded}",
                f"Xét lại được {found.tier} ({found.reason}), bản ghi là {recorded}",
            )
        signer = f", {found.signer.subject}" if found.signer is not None else ""
        return Words(
            f"Xét lại lúc {iso(at)}: {found.tier}{signer}",
            f"Judged again for {iso(at)}: {found.tier}{signer}",
        )

    # --- 9, 10 ----------------------------------------------------------------------------------------------------

    def _timestamp(self) -> tuple[Result, Words]:
        token = self._bundle.timestamp
        if token is None:
            return Result.ABSENT, Words("Chưa có dấu thời gian", "Not timestamped yet")
        if not self._trust.roots:
            return Result.NOT_CHECKED, Words(
                "Chưa có chứng thư gốc của dịch vụ cấp dấu thời gian",
                "No root of a timestamp authority is trusted",
            )
        try:
            found = verify_timestamp(
                token, self._bundle.checkpoint.encode(), trust=TrustStore(self._trust.roots)
            )
        except TimestampError as problem:
            raise _NotSo(str(problem), f"Dấu thời gian không tin được: {problem}") from problem
        return Result.PASSED, Words(
            f"Nhật ký đã như vậy trước {iso(found.at)}", f"The log was so before {iso(found.at)}"
        )

    def _page(self) -> tuple[Result, Words]:
        try:
            made = pages_of(self._bundle)
        except NoteError as problem:
            raise _NotSo(str(problem)) from problem
        for name, page in made.items():
            if self._members[name] != page:
                _not_so(f"{name} says something else than the records", f"{name} nói khác với các bản ghi")
        return Result.PASSED, Words(
            "Trang bìa đúng với các bản ghi", "Cover and guide are those the records make"
        )


def certificates_in(message: bytes) -> tuple[bytes, ...]:
    """DER of every certificate in the signature of a message, whatever it is worth; none where there is no reading it."""
    try:
        root = read_skeleton(io.BytesIO(message)).tree()
        found = [
            base64.b64decode("".join((one.text or "").split()), validate=True)
            for one in root.iter(_CERTIFICATE)
        ]
        return tuple(read_certificate(one).der for one in found)
    except (SigningError, binascii.Error, ValueError):
        return ()


def policy_bytes() -> bytes:
    """The policy this release was built with, as its file."""
    from importlib.resources import files

    return files("signing").joinpath("policy.toml").read_bytes()


def _outcomes(bundle: Bundle) -> Sequence[Event]:
    """Records of a submission that name received bytes."""
    return [
        one.event
        for one in bundle.entries
        if one.event.kind.value.startswith("submission.")
        and one.event.kind is not EventKind.SUBMISSION_DUPLICATE
    ]


def _one_life(bundle: Bundle) -> Words | None:
    """What is wrong with the records as one life; None when nothing is."""
    documents, submissions, deliveries = _named(bundle)
    if bundle.subject not in documents | submissions:
        return Words(
            "Không có bản ghi tiếp nhận của văn bản này", "no record of the acceptance of this document"
        )
    if bundle.organ is not None and not deliveries:
        return Words(f"Văn bản không gửi cho {bundle.organ}", f"the document was not sent to {bundle.organ}")
    before: set[str] = set()
    seen: set[str] = set()
    for entry in bundle.entries:
        event = entry.event
        problem = _stray(
            entry, documents=documents, submissions=submissions, deliveries=deliveries, bundle=bundle
        )
        if problem is not None:
            return problem
        if event.id in seen:
            return Words(f"Sự kiện {event.id} có hai lần", f"event {event.id} is there twice")
        if event.previous is not None and event.previous not in before:
            return Words(
                f"Thiếu bản ghi đứng trước bản ghi {entry.index}",
                f"the record that record {entry.index} names as its previous is not there before it",
            )
        seen.add(event.id)
        before.add(event.hash.hex())
    return None


def _named(bundle: Bundle) -> tuple[set[str], set[str], set[str]]:
    """Documents, submissions and deliveries that the bundle is about."""
    documents: set[str] = set()
    submissions: set[str] = set()
    deliveries: set[str] = set()
    for event in bundle.acceptances:
        if event.facts.get("root") != bundle.subject or event.document is None:
            continue
        documents.add(event.document)
        submissions.add(str(event.submission))
    for event in bundle.beginnings:
        lines: Any = event.facts["deliveries"] if event.document in documents else ()
        deliveries |= {one["id"] for one in lines if bundle.organ is None or one["code"] == bundle.organ}
    submissions |= {
        str(one.event.submission)
        for one in bundle.entries
        if one.event.document in documents and one.event.submission
    }
    if not documents:
        submissions = {bundle.subject} & {str(one.event.submission) for one in bundle.entries}
    return documents, submissions, deliveries


def _stray(
    entry: Entry, *, documents: set[str], submissions: set[str], deliveries: set[str], bundle: Bundle
) -> Words | None:
    event = entry.event
    if str(event.document) not in documents and str(event.submission) not in submissions:
        return Words(
            f"Bản ghi {entry.index} là của văn bản khác", f"record {entry.index} is about another document"
        )
    is_step = bool(event.deliveries) and not event.kind.value.startswith("submission.")
    if bundle.organ is not None and is_step and not carries(event, deliveries, bundle.beginnings):
        return Words(
            f"Bản ghi {entry.index} không phải của {bundle.organ}",
            f"record {entry.index} is not about {bundle.organ}",
        )
    return None


def carries(event: Event, deliveries: set[str], beginnings: Iterable[Event]) -> bool:
    """Whether a step is of one of these deliveries, or of a consignment that one of them travels in."""
    if deliveries & set(event.deliveries):
        return True
    consignment = event.facts.get("consignment")
    if consignment is None:
        return False
    lines: Any = (one for begun in beginnings for one in begun.facts["deliveries"])  # type: ignore[union-attr]
    return any(one.get("consignment") == consignment and one["id"] in deliveries for one in lines)
