"""
Reads one attachment and judges the signatures in it. Runs only inside signing.pdf_worker, which bounds what it costs.

    1. open       a PDF, or a zip file that holds exactly one file: what the national SDK makes of most attachments
    2. arithmetic digest and signature value, by pyHanko
    3. coverage   what each signature covers, and what changed after it, by pyHanko with a stricter policy
    4. time       of a timestamp inside the signature, if its authority leads to our roots; else of receipt
    5. chain      our own rules, for that time
    6. revocation our lists, and those that the file brings along

A fault of the libraries on a strange file is `pdf.unreadable`; memory and time are the worker's business.
"""

import asyncio
import io
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import (
    CatalogModificationRule,
    DocInfoRule,
    DSSCompareRule,
    FormUpdatingRule,
    MetadataUpdateRule,
    ModificationLevel,
    ObjectStreamRule,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
    XrefStreamRule,
)
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.general import find_unique_cms_attribute
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.errors import NoDSSFoundError, SignatureValidationError
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator.context import ValidationContext

from signing.certificates import (
    CertificatePath,
    PathRefusedError,
    ReadCertificate,
    TrustStore,
    read_certificate,
)
from signing.errors import MaterialError
from signing.pdf import (
    HEADER_WITHIN,
    ZIP_MAGIC,
    PdfReason,
    PdfReport,
    PdfSignature,
    RoleKeys,
    SignerRole,
)
from signing.policy import CURRENT_POLICY, Policy
from signing.reasons import Reason
from signing.revocation import RevocationAnswer, RevocationIndex, RevocationState

_T = TypeVar("_T")

# It warns with a traceback about each oddity; what that means stands in the report.
logging.getLogger("pyhanko").setLevel(logging.CRITICAL)

MAX_SIGNATURES: Final = 32
_MAX_REVOCATION_OBJECTS: Final = 64
_WHITESPACE: Final = b"\0\t\n\f\r "
_OFFICE_MARK: Final = "[Content_Types].xml"

# pyHanko's own policy but for the filling in of other form fields, which here is a change like any other.
_ARCHIVING: Final = ModificationLevel.LTA_UPDATES
_SIGNING_ONLY: Final = StandardDiffPolicy(
    global_rules=[
        CatalogModificationRule(),  # type: ignore[no-untyped-call]
        DocInfoRule().as_qualified(_ARCHIVING),
        XrefStreamRule().as_qualified(_ARCHIVING),
        ObjectStreamRule().as_qualified(_ARCHIVING),
        DSSCompareRule().as_qualified(_ARCHIVING),
        MetadataUpdateRule().as_qualified(_ARCHIVING),  # type: ignore[no-untyped-call]
    ],
    form_rule=FormUpdatingRule(
        field_rules=[
            SigFieldCreationRule(),  # type: ignore[no-untyped-call]
            SigFieldModificationRule(),
        ]
    ),
)
_CHANGES: Final = {
    ModificationLevel.NONE: "none",
    ModificationLevel.LTA_UPDATES: "archiving",
    ModificationLevel.FORM_FILLING: "signing",
    ModificationLevel.ANNOTATIONS: "other",
    ModificationLevel.OTHER: "other",
}


class _FileProblemError(Exception):
    def __init__(self, reason: PdfReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Reader:
    """Judges files against the same roots and lists."""

    def __init__(
        self, *, trust: TrustStore, revocation: RevocationIndex | None, policy: Policy = CURRENT_POLICY
    ) -> None:
        self._trust = trust
        self._revocation = revocation
        self._policy = policy

    def judge(
        self, path: Path, *, at: datetime, keys: RoleKeys, max_bytes: int
    ) -> tuple[PdfReport, Sequence[bytes | None]]:
        """The report, and the signers' certificates (DER) in the order of its signatures."""
        inside: str | None = None
        try:
            with path.open("rb") as file:
                opened, inside = _open(file, max_bytes=max_bytes)
                found = [self._judge(one, at=at, keys=keys) for one in self._signatures(opened)]
        except _FileProblemError as problem:
            return PdfReport(reason=problem.reason, inside_zip=inside), ()
        except OSError:
            return PdfReport(reason=PdfReason.CRASH, inside_zip=inside), ()
        signatures = _after_strangers([one for one, _ in found])
        wrong = next((one.reason for one in signatures if one.reason is not PdfReason.PASSED), None)
        reason = wrong or (PdfReason.PASSED if signatures else PdfReason.UNSIGNED)
        report = PdfReport(reason=reason, signatures=tuple(signatures), inside_zip=inside)
        return report, [der for _, der in found]

    def _signatures(self, file: BinaryIO) -> "Iterator[_Found | str]":
        """Each signature in the order of signing; of those of an unknown kind, which come first, the field's name."""
        reader = _foreign(lambda: PdfFileReader(file))
        if _foreign(lambda: reader.encrypted):
            raise _FileProblemError(PdfReason.ENCRYPTED)
        embedded = _foreign(lambda: list(reader.embedded_regular_signatures))
        if len(embedded) > MAX_SIGNATURES:
            raise _FileProblemError(PdfReason.UNREADABLE)
        # Whether one of these was made after another signature shows in what changed after that one.
        yield from _foreign(lambda: _of_unknown_kind(reader))
        brought = _brought_along(reader) if embedded else RevocationIndex()
        for place, one in enumerate(embedded):
            yield _Found(embedded=one, is_last=place == len(embedded) - 1, brought=brought)

    def _judge(
        self, found: "_Found | str", *, at: datetime, keys: RoleKeys
    ) -> tuple[PdfSignature, bytes | None]:
        if isinstance(found, str):
            return _bad(found, PdfReason.KIND), None
        embedded = found.embedded
        field = _foreign(lambda: str(embedded.field_name or "")[:200])
        try:
            der: bytes = _foreign(lambda: bytes(embedded.signer_cert.dump()))
            beside = _foreign(lambda: [one.dump() for one in embedded.other_embedded_certs[:8]])
            signer, others = read_certificate(der), [read_certificate(one) for one in beside]
            status = _foreign(lambda: self._ask_pyhanko(embedded, at=at))
        except SignatureValidationError:
            return _bad(field, PdfReason.KIND), None
        except MaterialError:
            return _bad(field, PdfReason.BROKEN), None
        is_intact = bool(status.intact and status.valid)
        timestamp = self._timestamp(status, embedded, at=at)
        chain_reason, above = self._chain(signer, others, at=timestamp or at, found=found)
        reason = self._first_wrong(status, found, is_intact=is_intact) or chain_reason or PdfReason.PASSED
        return (
            PdfSignature(
                field=field,
                reason=reason,
                role=role_of(signer, keys=keys),
                signer=signer.facts,
                claimed_at=status.signer_reported_dt,
                timestamp=timestamp,
                is_intact=is_intact,
                is_trusted=chain_reason is None,
                covers_whole_file=status.coverage == SignatureCoverageLevel.ENTIRE_FILE,
                changes_after=_CHANGES.get(status.modification_level or ModificationLevel.NONE, "other"),
                above=above,
            ),
            der,
        )

    def _ask_pyhanko(self, embedded: EmbeddedPdfSignature, *, at: datetime) -> PdfSignatureStatus:
        # Its opinion about the chain is not used; the context is there so that it asks no other.
        context = ValidationContext(trust_roots=[], moment=at, allow_fetching=False)
        return asyncio.run(
            async_validate_pdf_signature(
                embedded, signer_validation_context=context, diff_policy=_SIGNING_ONLY
            )
        )

    def _first_wrong(
        self, status: PdfSignatureStatus, found: "_Found", *, is_intact: bool
    ) -> PdfReason | None:
        if not is_intact:
            return PdfReason.BROKEN
        if str(status.md_algorithm).lower() not in self._policy.chain_hashes:
            return PdfReason.ALGORITHM
        if status.coverage is None or status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
            return PdfReason.PARTIAL
        level = status.modification_level
        if level is None:
            # Not looked at: allowed only where there is nothing to look at.
            level = (
                ModificationLevel.NONE
                if status.coverage == SignatureCoverageLevel.ENTIRE_FILE
                else ModificationLevel.OTHER
            )
        most = _ARCHIVING if found.is_last else ModificationLevel.FORM_FILLING
        if level > most or status.docmdp_ok is False:
            return PdfReason.CHANGED
        if found.is_last and _foreign(lambda: _has_loose_bytes(found.embedded)):
            return PdfReason.CHANGED
        return None

    def _timestamp(
        self, status: PdfSignatureStatus, embedded: EmbeddedPdfSignature, *, at: datetime
    ) -> datetime | None:
        """When a timestamp authority of ours saw the signature; None if none did, or not before `at`."""
        stamp = status.timestamp_validity
        if stamp is None or not (stamp.intact and stamp.valid) or stamp.timestamp > at:
            return None
        usage = frozenset({ExtendedKeyUsageOID.TIME_STAMPING.dotted_string})
        policy = replace(
            self._policy, version=f"{self._policy.version}#timestamping", extended_key_usages=usage
        )
        try:
            authority = read_certificate(stamp.signing_cert.dump())
            if authority.extended_key_usages != usage:
                return None
            others = _token_certificates(embedded)
            self._trust.path([authority, *others], at=stamp.timestamp, policy=policy)
        except (MaterialError, PathRefusedError):
            return None
        moment: datetime = stamp.timestamp
        return moment

    def _chain(
        self, signer: ReadCertificate, others: Sequence[ReadCertificate], *, at: datetime, found: "_Found"
    ) -> tuple[Reason | None, tuple[str, ...]]:
        """Why the signer is not trusted, None if it is; and who stands between it and the root."""
        try:
            path = self._trust.path([signer, *others], at=at, policy=self._policy)
        except PathRefusedError as refused:
            return refused.reason, ()
        above = tuple(one.facts.serial for one in path.certificates[1:-1])
        if self._revocation is None:
            return None, above
        return self._revoked(path, found.brought, at=at), above

    def _revoked(self, path: CertificatePath, brought: RevocationIndex, *, at: datetime) -> Reason | None:
        assert self._revocation is not None, "asked only with lists"
        doubt: Reason | None = None
        for one, issuer in zip(path.certificates, path.certificates[1:], strict=False):
            answers = [
                source.status(one.certificate, issuer=issuer.certificate, at=at)
                for source in (self._revocation, brought)
            ]
            state = _best_known(answers)
            if state is RevocationState.REVOKED:
                return Reason.REVOCATION_REVOKED
            if state is not RevocationState.GOOD:
                is_stale = state is RevocationState.STALE
                doubt = doubt or (Reason.REVOCATION_STALE if is_stale else Reason.REVOCATION_UNKNOWN)
        return doubt


def _has_loose_bytes(last: EmbeddedPdfSignature) -> bool:
    """
    Whether something stands after the last signature that belongs to no revision of the file.

    pyHanko reads what the tables of contents name. A reader that finds no table near the end, because enough was
    appended, searches the whole file for objects instead, and shows those that were appended.
    """
    reader = last.reader
    stream, covered = reader.stream, last.byte_range
    stream.seek(int(covered[2]) + int(covered[3]))
    tail: bytes = stream.read()
    revisions = reader.xrefs.total_revisions - 1 - last.signed_revision
    behind = tail.rpartition(b"%%EOF")[2] if revisions else tail
    return bool(behind.strip(_WHITESPACE)) or tail.count(b"startxref") != revisions


def _of_unknown_kind(reader: PdfFileReader) -> list[str]:
    """Names of filled signature fields that pyHanko passes over."""
    known = {one.fq_name for one in reader.embedded_signatures}
    filled = enumerate_sig_fields(reader, filled_status=True)
    return [str(name)[:200] for name, _, _ in filled if name not in known][:MAX_SIGNATURES]


def _after_strangers(signatures: Sequence[PdfSignature]) -> list[PdfSignature]:
    """
    A signature that is wrong, or of somebody unknown to our roots, is a change like any other to those before it.

    Only what is still open (revocation) is left open.
    """
    judged: list[PdfSignature] = []
    spoilt = False
    for one in reversed(signatures):
        is_changed = spoilt and one.reason is PdfReason.PASSED
        judged.insert(0, replace(one, reason=PdfReason.CHANGED) if is_changed else one)
        spoilt = spoilt or one.reason not in _HARMLESS
    return judged


_HARMLESS: Final = frozenset({PdfReason.PASSED, Reason.REVOCATION_STALE, Reason.REVOCATION_UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    embedded: EmbeddedPdfSignature
    is_last: bool
    brought: RevocationIndex
    """Lists and responses in the file itself: as good as any, since they are signed."""


def _best_known(answers: Sequence[RevocationAnswer]) -> RevocationState:
    states = {answer.state for answer in answers}
    order = (RevocationState.REVOKED, RevocationState.GOOD, RevocationState.STALE, RevocationState.UNKNOWN)
    return next(state for state in order if state in states)


def _token_certificates(embedded: EmbeddedPdfSignature) -> list[ReadCertificate]:
    """Those that the timestamp token of a signature brings along."""

    def dumped() -> list[bytes]:
        attributes = embedded.signer_info["unsigned_attrs"]
        token = find_unique_cms_attribute(attributes, "signature_time_stamp_token")
        choices = list(token["content"]["certificates"])[:8]
        return [one.chosen.dump() for one in choices if one.name == "certificate"]

    return [read_certificate(der) for der in _foreign(dumped)]


def _foreign(call: Callable[[], _T]) -> _T:
    """
    Run code of others on bytes of others.

    It raises a dozen kinds of errors for malformed files, not all its own. Only here is every error the file's: an
    error in our own code ends the process, and is a fault of ours.
    """
    try:
        return call()
    except (MemoryError, SignatureValidationError):
        raise
    except Exception as error:
        raise _FileProblemError(PdfReason.UNREADABLE) from error


def _bad(field: str, reason: PdfReason) -> PdfSignature:
    return PdfSignature(
        field=field,
        reason=reason,
        role=SignerRole.UNKNOWN,
        signer=None,
        claimed_at=None,
        timestamp=None,
        is_intact=False,
        is_trusted=False,
        covers_whole_file=False,
        changes_after="other",
    )


def _brought_along(reader: PdfFileReader) -> RevocationIndex:
    """The revocation material in the document security store of a PAdES-LT file."""
    index = RevocationIndex()
    try:
        store = DocumentSecurityStore.read_dss(reader)
        lists = [one.get_object().data for one in list(store.crls)[:_MAX_REVOCATION_OBJECTS]]
        responses = [one.get_object().data for one in list(store.ocsps)[:_MAX_REVOCATION_OBJECTS]]
    except (NoDSSFoundError, PdfError, AttributeError, TypeError, ValueError):
        return index
    for take, found in ((index.add_list, lists), (index.add_response, responses)):
        for der in found:
            with suppress(MaterialError):
                take(bytes(der))
    return index


def _open(file: BinaryIO, *, max_bytes: int) -> tuple[BinaryIO, str | None]:
    """The PDF to read, and its name if it was in a zip file."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > max_bytes:
        raise _FileProblemError(PdfReason.TOO_LARGE)
    head = file.read(HEADER_WITHIN)
    file.seek(0)
    if head.startswith(ZIP_MAGIC):
        content, name = _unzip(file, max_bytes=max_bytes)
        if b"%PDF-" not in content[:HEADER_WITHIN]:
            raise _FileProblemError(PdfReason.NOT_PDF)
        return io.BytesIO(content), name
    if b"%PDF-" not in head:
        raise _FileProblemError(PdfReason.NOT_PDF)
    return file, None


def _unzip(file: BinaryIO, *, max_bytes: int) -> tuple[bytes, str]:
    """
    The one file in a zip file. What it claims about sizes is not believed: no more than the bound is unpacked.

    A zip file inside is not opened.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if any(entry.filename == _OFFICE_MARK for entry in entries):
                # docx, xlsx, pptx: zip files by nature.
                raise _FileProblemError(PdfReason.NOT_PDF)
            if len(entries) != 1 or entries[0].flag_bits & 0x1:
                raise _FileProblemError(PdfReason.ZIP)
            with archive.open(entries[0]) as content:
                unpacked = content.read(max_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise _FileProblemError(PdfReason.ZIP) from error
    if len(unpacked) > max_bytes:
        raise _FileProblemError(PdfReason.ZIP)
    return unpacked, entries[0].filename[:200]


# As what somebody signed.

_USER_ID: Final = ObjectIdentifier("0.9.2342.19200300.100.1.1")
_PERSON_IDS: Final = ("CMND:", "CCCD:", "HC:")
"""How authorities in Viet Nam write the identity number of a person into the subject; MST is a tax number."""
_ORGAN_IDS: Final = ("MST:", "MNS:", "BHXH:")
_PERSON_MARKS: Final = (NameOID.SURNAME, NameOID.GIVEN_NAME, NameOID.TITLE)


def role_of(signer: ReadCertificate, *, keys: RoleKeys) -> SignerRole:
    """
    The bindings decide where there are any; a key that is bound to nobody never signs as the organ then.

    Otherwise the certificate's own fields say what kind of holder it was issued to. That is the word of its authority
    and enough to tell a person from a body; it is never taken for which body.
    """
    if signer.facts.spki_sha256 in keys.organ:
        return SignerRole.ORGAN
    if signer.facts.spki_sha256 in keys.person:
        return SignerRole.PERSON
    subject = signer.certificate.subject
    ids = [str(one.value).upper() for one in subject.get_attributes_for_oid(_USER_ID)]
    if any(subject.get_attributes_for_oid(mark) for mark in _PERSON_MARKS) or _starts(ids, _PERSON_IDS):
        return SignerRole.PERSON
    is_body = bool(subject.get_attributes_for_oid(NameOID.ORGANIZATION_IDENTIFIER)) or _starts(
        ids, _ORGAN_IDS
    )
    # With the organ's own keys known, another body's seal is not the organ's.
    return SignerRole.ORGAN if is_body and not keys.organ else SignerRole.UNKNOWN


def _starts(values: Sequence[str], prefixes: tuple[str, ...]) -> bool:
    return any(value.startswith(prefixes) for value in values)
