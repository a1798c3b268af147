"""Signatures inside attachments: what they are worth, and what hostile files cost."""

import array
import fcntl
import io
import os
import signal
import termios
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from asn1crypto import keys as asn1_keys  # type: ignore[import-untyped]
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.signers import PdfSigner
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from axis.demo.pki import PKI, SIGNING_USAGE, Issued, KeyShelf
from signing.certificates import SPKI, read_certificate
from signing.pdf import (
    DocumentValue,
    PdfJudge,
    PdfLimits,
    PdfReason,
    PdfReport,
    PdfSignature,
    RoleKeys,
    SignerRole,
    document_value,
    explain,
    judge_pdf,
)
from signing.reasons import Reason
from tests.signing.builders import AT, FROM, UNTIL, ministry, own_key, pki, trust
from tests.signing.pdfs import a_pdf, signed_pdf, zipped
from tests.signing.test_timestamp import authority

pytestmark = pytest.mark.timeout(180)


@cache
def minister(*, not_after: datetime = UNTIL, by: Issued | None = None) -> Issued:
    """A person's certificate, with the marks by which one tells."""
    issuer, key = by or pki().issuing, own_key("minister")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.COMMON_NAME, "Nguyễn Văn Kiểm"),
                    x509.NameAttribute(NameOID.USER_ID, "CCCD:001080000001"),
                ]
            )
        )
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(2002)
        .not_valid_before(FROM)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNING_USAGE, critical=True)
        .sign(issuer.key, SHA256())
    )
    return Issued(certificate=certificate, key=key, chain=(certificate, *issuer.chain))


def organ_keys() -> RoleKeys:
    return RoleKeys(organ=frozenset({spki(ministry())}))


def spki(issued: Issued) -> SPKI:
    return read_certificate(issued.certificate.public_bytes(Encoding.DER)).facts.spki_sha256


@cache
def by_person() -> bytes:
    return signed_pdf(a_pdf(), by=minister(), field="Person", visible=True)


@cache
def by_both() -> bytes:
    return signed_pdf(by_person(), by=ministry(), field="Organ", visible=True)


@cache
def by_organ() -> bytes:
    return signed_pdf(a_pdf(), by=ministry(), field="Organ", visible=True)


@pytest.fixture(scope="module")
def judge() -> Iterator[PdfJudge]:
    with PdfJudge(trust=trust()) as judge:
        yield judge


def reasons(report: PdfReport) -> list[str]:
    return [one.reason.value for one in report.signatures]


# What signatures are worth.


def test_person_and_organ_make_an_original(judge: PdfJudge) -> None:
    """Both valid, the organ's over everything (LR-06)."""
    report = judge.judge(by_both(), at=AT, keys=organ_keys())

    person, organ = report.signatures
    assert (report.reason, reasons(report)) == (PdfReason.PASSED, ["pdf.passed"] * 2)
    assert (person.role, organ.role) == (SignerRole.PERSON, SignerRole.ORGAN)
    assert (person.covers_whole_file, person.changes_after) == (False, "signing")
    assert (organ.covers_whole_file, organ.changes_after) == (True, "none")
    assert (organ.is_intact, organ.is_trusted, organ.field) == (True, True, "Organ")
    assert organ.signer is not None
    assert organ.signer.spki_sha256 == spki(ministry())
    assert document_value([("a.pdf", report)]).value is DocumentValue.ORIGINAL


@pytest.mark.parametrize(
    ("file", "value"),
    [
        pytest.param(by_organ, DocumentValue.COPY, id="organ alone (LR-67)"),
        pytest.param(by_person, DocumentValue.REFERENCE, id="person alone"),
        pytest.param(a_pdf, DocumentValue.REFERENCE, id="nobody (LR-05)"),
    ],
)
def test_one_signature_is_worth_less(file: object, value: DocumentValue, judge: PdfJudge) -> None:
    """The organ's makes a copy; the person's alone makes nothing."""
    assert callable(file)

    report = judge.judge(file(), at=AT, keys=organ_keys())

    assert document_value([("a.pdf", report)]).value is value


def test_one_unsigned_annex_takes_the_value_away_and_is_named(judge: PdfJudge) -> None:
    """Every separate file must carry the organ's signature (LR-07)."""
    both = judge.judge(by_both(), at=AT, keys=organ_keys())
    annex = judge.judge(a_pdf(), at=AT, keys=organ_keys())
    sheet = judge.judge(zipped(("[Content_Types].xml", b"<Types/>")), at=AT)

    judgement = document_value([("vb.pdf", both), ("pl1.pdf", annex), ("pl2.xlsx", sheet)])

    assert judgement.value is DocumentValue.REFERENCE
    assert [(f.file, f.reason) for f in judgement.findings] == [
        ("pl1.pdf", PdfReason.UNSIGNED),
        ("pl2.xlsx", PdfReason.NOT_PDF),
    ]


def test_annexes_need_the_organ_alone(judge: PdfJudge) -> None:
    """The person signs the document, the organ every file."""
    files = [
        (name, judge.judge(content, at=AT, keys=organ_keys()))
        for name, content in (("vb.pdf", by_both()), ("pl.pdf", by_organ()))
    ]

    assert document_value(files).value is DocumentValue.ORIGINAL


def test_a_document_without_files_is_worth_nothing() -> None:
    """There is no signature to look at."""
    assert document_value([]).value is DocumentValue.REFERENCE


def test_another_body_s_seal_is_not_the_organ_s(judge: PdfJudge) -> None:
    """The directory says whose key it is; the certificate's own words do not."""
    report = judge.judge(by_organ(), at=AT, keys=RoleKeys(organ=frozenset({spki(minister())})))

    assert report.signatures[0].role is SignerRole.UNKNOWN
    assert document_value([("a.pdf", report)]).value is DocumentValue.REFERENCE


def test_a_person_known_to_the_directory_is_one(judge: PdfJudge) -> None:
    """Whatever the certificate says or does not say."""
    other = pki().issue("Không dấu hiệu", key=own_key("markless"))
    file = signed_pdf(signed_pdf(a_pdf(), by=other), by=ministry(), field="Organ")
    keys = RoleKeys(organ=frozenset({spki(ministry())}), person=frozenset({spki(other)}))

    known, unknown = judge.judge(file, at=AT, keys=keys), judge.judge(file, at=AT, keys=organ_keys())

    assert [document_value([("a", r)]).value for r in (known, unknown)] == [
        DocumentValue.ORIGINAL,
        DocumentValue.COPY,
    ]


# What is wrong with a signature.


def test_a_changed_byte_breaks_the_signature(judge: PdfJudge) -> None:
    """And it is said at the file."""
    report = judge.judge(by_organ().replace(b"Helvetica", b"Helvetiga"), at=AT, keys=organ_keys())

    assert reasons(report) == ["pdf.broken"]
    assert document_value([("a.pdf", report)]).value is DocumentValue.REFERENCE


def updated(pdf: bytes) -> bytes:
    """A text put over the page after signing, as an incremental update."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    stream = generic.StreamObject(stream_data=b"BT /F1 40 Tf 100 400 Td (100 000 000) Tj ET")
    writer.add_stream_to_page(0, writer.add_object(stream))  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    writer.write(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def test_content_added_after_the_last_signature_is_a_change(judge: PdfJudge) -> None:
    """The signed revision is intact; what the reader shows is not it."""
    report = judge.judge(updated(by_both()), at=AT, keys=organ_keys())

    assert reasons(report) == ["pdf.changed", "pdf.changed"]
    assert [one.is_intact for one in report.signatures] == [True, True]
    assert not report.signatures[1].covers_whole_file


def test_content_added_between_two_signatures_spoils_the_first_alone(judge: PdfJudge) -> None:
    """The organ vouches for what it signed, the person only for what was there before."""
    file = signed_pdf(updated(by_person()), by=ministry(), field="Organ")

    report = judge.judge(file, at=AT, keys=organ_keys())

    assert reasons(report) == ["pdf.changed", "pdf.passed"]
    assert document_value([("a.pdf", report)]).value is DocumentValue.COPY


def with_form(pdf: bytes) -> bytes:
    """A text field on the first page."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    page, _ = writer.find_page_for_modification(0)  # type: ignore[no-untyped-call]
    field = generic.DictionaryObject(  # type: ignore[no-untyped-call]
        {
            generic.pdf_name("/Type"): generic.pdf_name("/Annot"),
            generic.pdf_name("/Subtype"): generic.pdf_name("/Widget"),
            generic.pdf_name("/FT"): generic.pdf_name("/Tx"),
            generic.pdf_name("/T"): generic.pdf_string("amount"),
            generic.pdf_name("/V"): generic.pdf_string("1"),
            generic.pdf_name("/Rect"): generic.ArrayObject(map(generic.NumberObject, (10, 10, 90, 30))),
        }
    )
    reference = writer.add_object(field)
    listed = generic.ArrayObject([reference])
    form = generic.DictionaryObject({generic.pdf_name("/Fields"): listed})  # type: ignore[no-untyped-call]
    writer.root[generic.pdf_name("/AcroForm")] = writer.add_object(form)
    page.get_object()[generic.pdf_name("/Annots")] = generic.ArrayObject([reference])
    writer.update_root()  # type: ignore[no-untyped-call]
    writer.mark_update(page)
    buffer = io.BytesIO()
    writer.write(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def filled_in(pdf: bytes, value: str = "1000000") -> bytes:
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    field = writer.root["/AcroForm"]["/Fields"][0]
    field[generic.pdf_name("/V")] = generic.pdf_string(value)
    writer.mark_update(field.container_ref if hasattr(field, "container_ref") else field)
    buffer = io.BytesIO()
    writer.write(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def test_filling_in_a_form_after_signing_is_a_change(judge: PdfJudge) -> None:
    """PyHanko's own policy would call it form filling, and many readers allow it."""
    signed = signed_pdf(with_form(a_pdf()), by=ministry())

    before = judge.judge(signed, at=AT, keys=organ_keys())
    after = judge.judge(filled_in(signed), at=AT, keys=organ_keys())

    assert (reasons(before), reasons(after)) == (["pdf.passed"], ["pdf.changed"])


def test_a_certified_file_takes_no_further_signature(
    judge: PdfJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its author said: no changes. pyHanko would not sign it; others do."""
    monkeypatch.setattr(PdfSigner, "_enforce_certification_constraints", lambda *_: None)
    certified = signed_pdf(a_pdf(), by=minister(), certify=True)
    file = signed_pdf(certified, by=ministry(), field="Organ")

    assert reasons(judge.judge(file, at=AT, keys=organ_keys()))[0] == "pdf.changed"


@cache
def strangers() -> PKI:
    return PKI.build(not_before=FROM, not_after=UNTIL, shelf=KeyShelf(distinct=2), name="Test")


def test_a_stranger_s_signature_is_not_trusted_and_spoils_those_before(judge: PdfJudge) -> None:
    """Its picture may cover the page."""
    stranger = strangers().issue("Bộ Thử nghiệm")
    alone = judge.judge(signed_pdf(a_pdf(), by=stranger), at=AT)
    after = judge.judge(signed_pdf(by_both(), by=stranger, field="X", visible=True), at=AT, keys=organ_keys())

    assert (alone.reason, alone.signatures[0].is_intact) == (Reason.CHAIN_UNTRUSTED, True)
    assert reasons(after) == ["pdf.changed", "pdf.changed", "chain.untrusted"]
    assert document_value([("a.pdf", after)]).value is DocumentValue.REFERENCE


def test_a_trusted_signer_whom_nobody_knows_takes_the_value_too(judge: PdfJudge) -> None:
    """Certified by our authority, but neither the organ nor a person."""
    nobody = pki().issue("Ai đó", key=own_key("nobody"))

    report = judge.judge(signed_pdf(by_both(), by=nobody, field="X", visible=True), at=AT, keys=organ_keys())

    assert reasons(report) == ["pdf.passed"] * 3
    assert document_value([("a.pdf", report)]).value is DocumentValue.REFERENCE


@pytest.mark.parametrize(
    ("at", "reason"),
    [(FROM - timedelta(days=1), "chain.not_yet_valid"), (UNTIL + timedelta(days=1), "chain.expired")],
)
def test_certificates_are_judged_for_the_time_of_receipt(at: datetime, reason: str, judge: PdfJudge) -> None:
    """Where no timestamp says otherwise."""
    assert reasons(judge.judge(by_organ(), at=at, keys=organ_keys())) == [reason]


def test_a_weak_digest_is_refused(judge: PdfJudge) -> None:
    """SHA-1 stands in many old files."""
    file = signed_pdf(a_pdf(), by=ministry(), digest="sha1")

    assert reasons(judge.judge(file, at=AT, keys=organ_keys())) == ["pdf.algorithm"]


def stamped(moment: datetime, *, by: Issued) -> DummyTimeStamper:
    return DummyTimeStamper(
        asn1.Certificate.load(by.certificate.public_bytes(Encoding.DER)),
        asn1_keys.PrivateKeyInfo.load(
            by.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        ),
        certs_to_embed=SimpleCertificateStore.from_certs(  # type: ignore[no-untyped-call]
            [asn1.Certificate.load(c.public_bytes(Encoding.DER)) for c in by.chain[1:]]
        ),
        fixed_dt=moment,
    )


def test_a_timestamp_inside_moves_the_judgement_to_its_time(judge: PdfJudge) -> None:
    """Signed in time, received after the certificate had expired."""
    brief = minister(not_after=AT - timedelta(days=10))
    then = AT - timedelta(days=20)
    ours = signed_pdf(a_pdf(), by=brief, timestamper=stamped(then, by=authority()))
    theirs = signed_pdf(a_pdf(), by=brief, timestamper=stamped(then, by=authority(by=strangers().issuing)))
    late = signed_pdf(a_pdf(), by=brief, timestamper=stamped(AT - timedelta(days=5), by=authority()))

    reports = [judge.judge(file, at=AT) for file in (ours, theirs, late)]

    assert [reasons(r) for r in reports] == [["pdf.passed"], ["chain.expired"], ["chain.expired"]]
    assert [r.signatures[0].timestamp for r in reports] == [then, None, AT - timedelta(days=5)]


def test_revocation_is_asked_and_what_is_open_stays_open(tmp_path: Path) -> None:
    """Revoked: refused. Not known: still being checked."""

    def judged(*lists: x509.CertificateRevocationList) -> PdfReport:
        paths = []
        for n, one in enumerate(lists):
            paths.append(tmp_path / f"{n}.crl")
            paths[-1].write_bytes(one.public_bytes(Encoding.DER))
        return judge_pdf(by_organ(), trust=trust(), at=AT, keys=organ_keys(), lists=paths)

    root = pki().revocation_list(issued_at=AT - timedelta(hours=1), by=pki().root)
    clean = pki().revocation_list(issued_at=AT - timedelta(hours=1))
    revoked = pki().revocation_list(
        issued_at=AT - timedelta(hours=1), revoked=[(ministry().certificate, AT - timedelta(days=1))]
    )

    reports = [judged(root, clean), judged(root, revoked), judged(root)]

    assert [r.reason.value for r in reports] == ["pdf.passed", "revocation.revoked", "revocation.unknown"]
    assert [document_value([("a", r)]).value for r in reports] == [
        DocumentValue.COPY,
        DocumentValue.REFERENCE,
        DocumentValue.CHECKING,
    ]


# Zip files.


def test_a_file_alone_in_a_zip_file_is_judged(judge: PdfJudge) -> None:
    """What the national SDK does to most attachments."""
    report = judge.judge(zipped(("0b1c.pdf", by_both())), at=AT, keys=organ_keys())

    assert (report.inside_zip, reasons(report)) == ("0b1c.pdf", ["pdf.passed"] * 2)


def bomb(megabytes: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.pdf", "w") as file:
        for _ in range(megabytes):
            file.write(b"%PDF-" + b"\0" * (1024 * 1024 - 5))
    return buffer.getvalue()


def lying(content: bytes) -> bytes:
    """The sizes in the directory say that it is small."""
    whole = bytearray(content)
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = whole.index(mark) + offset
        whole[place : place + 4] = (1000).to_bytes(4, "little")
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(zipped(("a.pdf", b"%PDF-1"), ("b.pdf", b"%PDF-1")), PdfReason.ZIP, id="two files"),
        pytest.param(zipped(), PdfReason.NOT_PDF, id="no file"),
        pytest.param(b"PK\x03\x04" + b"\0" * 100, PdfReason.ZIP, id="no zip"),
        pytest.param(zipped(("a.zip", zipped(("b.pdf", b"%PDF-1")))), PdfReason.NOT_PDF, id="zip in a zip"),
        pytest.param(zipped(("[Content_Types].xml", b"x")), PdfReason.NOT_PDF, id="office file"),
        pytest.param(zipped(("a.txt", b"hello")), PdfReason.NOT_PDF, id="text"),
        pytest.param(bomb(70), PdfReason.ZIP, id="bomb"),
        pytest.param(lying(bomb(70)), PdfReason.ZIP, id="bomb that lies"),
    ],
)
def test_zip_files_are_opened_within_bounds(content: bytes, reason: PdfReason, judge: PdfJudge) -> None:
    """One file, of bounded size, whatever the zip file says about itself."""
    started = time.monotonic()

    assert judge.judge(content, at=AT).reason is reason
    assert time.monotonic() - started < 5


def test_a_file_beyond_the_bound_is_not_opened(judge: PdfJudge, tmp_path: Path) -> None:
    """A hole of a terabyte costs a look at its size."""
    path = tmp_path / "huge.pdf"
    with path.open("wb") as file:
        file.write(b"%PDF-1.7\n")
        file.truncate(1 << 40)

    assert judge.judge(path, at=AT).reason is PdfReason.TOO_LARGE


def test_without_lists_nobody_counts_as_not_revoked() -> None:
    """Where revocation is checked, and nothing has been fetched yet, nobody can tell."""
    with PdfJudge(trust=trust(), checks_revocation=True) as careful:
        report = careful.judge(by_organ(), at=AT, keys=organ_keys())

    assert (report.reason, report.is_open) == (Reason.REVOCATION_UNKNOWN, True)


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        pytest.param(b"\r\n", PdfReason.PASSED, id="white space"),
        pytest.param(b"\n%more", PdfReason.CHANGED, id="a comment"),
        pytest.param(
            b"\n4 0 obj<</Length 0>>stream\nendstream endobj\n" + by_both()[by_both().rfind(b"startxref") :],
            PdfReason.CHANGED,
            id="objects no table names",
        ),
    ],
)
def test_nothing_may_stand_behind_the_last_signature(
    behind: bytes, reason: PdfReason, judge: PdfJudge
) -> None:
    """Not even what belongs to no revision: readers that search for objects show it."""
    assert judge.judge(by_both() + behind, at=AT, keys=organ_keys()).reason is reason


# What hostile files cost.


def swollen(megabytes: int) -> bytes:
    """A PDF whose cross-reference stream unfolds to `megabytes`."""
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(b"\0" * 1024 * 1024) for _ in range(megabytes)) + packer.flush()
    head = (
        b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    )
    stream = (
        b"3 0 obj<</Type/XRef/Size 4/W[1 2 1]/Root 1 0 R/Filter/FlateDecode/Length %d>>stream\n" % len(data)
        + data
        + b"\nendstream endobj\n"
    )
    return head + stream + b"startxref\n%d\n%%%%EOF\n" % len(head)


def test_a_file_that_explodes_costs_its_own_verdict() -> None:
    """Memory is bounded; the next file is judged as if nothing had been."""
    with PdfJudge(trust=trust(), limits=PdfLimits(memory_mb=128)) as frugal:
        exploded = frugal.judge(swollen(400), at=AT)
        after = frugal.judge(by_organ(), at=AT, keys=organ_keys())

    assert exploded.reason in {PdfReason.MEMORY, PdfReason.UNREADABLE}
    assert after.reason is PdfReason.PASSED


def test_a_file_that_takes_too_long_is_given_up() -> None:
    """Nothing in the file decides how long it is looked at."""
    slow = signed_pdf(a_pdf(pages=60), by=ministry())
    with PdfJudge(trust=trust(), limits=PdfLimits(seconds=0.005)) as impatient:
        impatient.judge(b"warm up", at=AT)
        started = time.monotonic()

        report = impatient.judge(slow, at=AT)

        assert (report.reason, report.is_open) == (PdfReason.TIME, False)
        assert time.monotonic() - started < 4


def test_a_process_that_hangs_is_killed() -> None:
    """Stopped in the middle: the worst a file can do to its process."""
    file = signed_pdf(a_pdf(pages=60), by=ministry())
    with PdfJudge(trust=trust(), limits=PdfLimits(seconds=3)) as judge:
        judge.judge(b"warm up", at=AT)
        assert judge._process is not None
        worker = judge._process.pid
        found: list[int] = []
        judged = threading.Event()

        def stop_children() -> None:
            while not found and not judged.is_set():
                for child in Path(f"/proc/{worker}/task/{worker}/children").read_text().split():
                    os.kill(int(child), signal.SIGSTOP)
                    found.append(int(child))

        hunter = threading.Thread(target=stop_children)
        hunter.start()
        report = judge.judge(file, at=AT)
        judged.set()
        hunter.join()

        assert (len(found), report.reason) == (1, PdfReason.TIME)
        assert not Path(f"/proc/{found[0]}").exists()
        assert judge.judge(a_pdf(), at=AT).reason is PdfReason.UNSIGNED


def test_a_worker_that_dies_is_started_again() -> None:
    """The file it was at is open, the next one is judged."""
    file = by_organ()
    with PdfJudge(trust=trust()) as judge:
        judge.judge(a_pdf(), at=AT)
        process = judge._process
        assert process is not None
        assert process.stdin is not None
        pipe = process.stdin.fileno()
        os.kill(process.pid, signal.SIGSTOP)

        def kill_once_it_was_asked() -> None:
            deadline = time.monotonic() + 10
            while not waiting_in(pipe) and time.monotonic() < deadline:
                os.sched_yield()
            os.kill(process.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_once_it_was_asked)
        killer.start()
        died = judge.judge(file, at=AT)
        killer.join()
        again = judge.judge(file, at=AT, keys=organ_keys())

    assert (died.reason, died.is_open) == (PdfReason.CRASH, True)
    assert again.reason is PdfReason.PASSED
    assert document_value([("a", died)]).value is DocumentValue.CHECKING


def waiting_in(pipe: int) -> int:
    """How many bytes nobody has read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_a_file_that_is_gone_is_a_fault_of_ours(judge: PdfJudge, tmp_path: Path) -> None:
    """Not one of the document."""
    assert judge.judge(tmp_path / "gone.pdf", at=AT).reason is PdfReason.CRASH


def test_the_worker_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks out of a PDF finds no password in its environment."""
    monkeypatch.setenv("AXIS_BROKER_PASSWORD", "sesame")
    with PdfJudge(trust=trust()) as judge:
        judge.judge(b"x", at=AT)
        assert judge._process is not None
        environment = Path(f"/proc/{judge._process.pid}/environ").read_bytes()

    assert b"sesame" not in environment


def test_many_threads_may_ask_one_judge(judge: PdfJudge) -> None:
    """They wait for one another; each gets its own answer."""
    answers: dict[int, PdfReport] = {}
    files = [by_organ(), a_pdf(), b"x", by_both()]

    def ask(n: int) -> None:
        answers[n] = judge.judge(files[n], at=AT, keys=organ_keys())

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(answers[n].signatures) for n in range(4)] == [1, 0, 0, 2]


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_file_cut_anywhere_is_read_or_refused(place: int, judge: PdfJudge) -> None:
    """And never trusted."""
    whole = by_both()

    report = judge.judge(whole[: len(whole) * place // 100], at=AT, keys=organ_keys())

    assert report.reason is not PdfReason.PASSED or len(report.signatures) == 1


# Words and shapes.


def test_every_code_is_explained_in_both_languages() -> None:
    """Those of files and those of chains."""
    texts = [explain(code) for code in (*PdfReason, Reason.CHAIN_EXPIRED)]

    assert all(text.en.endswith(".") and text.vi.endswith(".") for text in texts)


def test_a_report_can_be_printed_for_programs(judge: PdfJudge) -> None:
    """With signer, time and coverage of each signature."""
    (signature,) = judge.judge(by_organ(), at=AT, keys=organ_keys()).as_json()["signatures"]

    assert (signature["reason"], signature["role"], signature["covers_whole_file"]) == (
        "pdf.passed",
        "organ",
        True,
    )


def test_one_bad_signature_does_not_hide_behind_the_order() -> None:
    """What counts is what stands after a signature, not before it."""
    one = PdfSignature(
        field="a",
        reason=PdfReason.PASSED,
        role=SignerRole.ORGAN,
        signer=None,
        claimed_at=None,
        timestamp=None,
        is_intact=True,
        is_trusted=True,
        covers_whole_file=True,
        changes_after="none",
    )
    bad = replace(one, reason=PdfReason.BROKEN, role=SignerRole.PERSON)

    before = PdfReport(reason=PdfReason.BROKEN, signatures=(bad, one))
    after = PdfReport(reason=PdfReason.BROKEN, signatures=(one, bad))

    assert (before.passed(SignerRole.ORGAN), after.passed(SignerRole.ORGAN)) == (True, False)
