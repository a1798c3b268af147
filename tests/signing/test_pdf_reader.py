"""The reader of PDFs by itself, without its process: odd files, revocation they bring along, roles."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer
from pyhanko.sign.validation.dss import DocumentSecurityStore

from axis.demo.pki import Issued
from signing.certificates import read_certificate
from signing.pdf import PdfReason, PdfReport, RoleKeys, SignerRole, report_from_line, report_to_line
from signing.pdf_reader import MAX_SIGNATURES, Reader, role_of
from signing.reasons import Reason
from signing.revocation import RevocationIndex
from tests.signing.builders import AT, ministry, own_key, pki, trust
from tests.signing.pdfs import a_pdf, signed_pdf
from tests.signing.test_pdf import by_both, minister, organ_keys, spki

HOUR = timedelta(hours=1)


def read(content: bytes, folder: Path, *, revocation: RevocationIndex | None = None) -> PdfReport:
    path = folder / "file"
    path.write_bytes(content)
    reader = Reader(trust=trust(), revocation=revocation)
    report, certificates = reader.judge(path, at=AT, keys=organ_keys(), max_bytes=10_000_000)
    # What the process would hand on says the same.
    assert report_from_line(report_to_line(report, certificates)) == report
    return report


def test_the_reader_says_what_its_process_hands_on(tmp_path: Path) -> None:
    """The same judgement, without the fork."""
    report = read(by_both(), tmp_path)

    assert [one.role for one in report.signatures] == [SignerRole.PERSON, SignerRole.ORGAN]
    assert report.reason is PdfReason.PASSED


def encrypted(pdf: bytes) -> bytes:
    writer = copy_into_new_writer(PdfFileReader(io.BytesIO(pdf)))
    writer.encrypt(owner_pass="secret", user_pass="secret")  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    writer.write(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(lambda: encrypted(a_pdf()), PdfReason.ENCRYPTED, id="encrypted"),
        pytest.param(lambda: b"%PDF-1.7\n", PdfReason.UNREADABLE, id="nothing but a header"),
        pytest.param(lambda: a_pdf()[:-60], PdfReason.UNREADABLE, id="without its end"),
        pytest.param(
            lambda: (
                by_both()
                .replace(b"ETSI.CAdES.detached", b"ETSI.CAdES.detacked")
                .replace(b"adbe.pkcs7.detached", b"adbe.pkcs7.detacked")
            ),
            PdfReason.KIND,
            id="a kind nobody knows",
        ),
    ],
)
def test_odd_files_have_their_own_words(content: object, reason: PdfReason, tmp_path: Path) -> None:
    """Never an exception."""
    assert callable(content)

    assert read(content(), tmp_path).reason is reason


def test_a_file_of_many_signatures_is_not_looked_at(tmp_path: Path) -> None:
    """Each costs half a second."""
    pdf = a_pdf()
    for n in range(MAX_SIGNATURES + 1):
        pdf = signed_pdf(pdf, by=ministry(), field=f"S{n}")

    assert read(pdf, tmp_path).reason is PdfReason.UNREADABLE


def with_lists(pdf: bytes, *lists: x509.CertificateRevocationList) -> bytes:
    """As PAdES-LT does: the lists inside the file."""
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    store = DocumentSecurityStore(writer=writer)
    for one in lists:
        store.crls.append(
            store._cos_dict_entry(one) if hasattr(store, "_cos_dict_entry") else _stream(writer, one)
        )
    writer.root["/DSS"] = writer.add_object(store.as_pdf_object())  # type: ignore[no-untyped-call]
    writer.update_root()  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    writer.write(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _stream(writer: IncrementalPdfFileWriter, crl: x509.CertificateRevocationList) -> object:
    return writer.add_object(generic.StreamObject(stream_data=crl.public_bytes(Encoding.DER)))


def test_lists_inside_the_file_count_like_ours(tmp_path: Path) -> None:
    """They are signed by the same authorities; adding them is archiving, not a change."""
    signed = signed_pdf(a_pdf(), by=ministry())
    leaf = pki().revocation_list(issued_at=AT - HOUR)
    root = pki().revocation_list(issued_at=AT - HOUR, by=pki().root)
    gone = pki().revocation_list(
        issued_at=AT - HOUR, revoked=[(ministry().certificate, AT - 2 * HOUR)], number=2
    )

    reports = [
        read(content, tmp_path, revocation=RevocationIndex())
        for content in (signed, with_lists(signed, leaf, root), with_lists(signed, gone, root))
    ]

    assert [r.reason for r in reports] == [
        Reason.REVOCATION_UNKNOWN,
        PdfReason.PASSED,
        Reason.REVOCATION_REVOKED,
    ]
    assert reports[1].signatures[0].changes_after == "archiving"


def holder(*attributes: tuple[x509.ObjectIdentifier, str]) -> Issued:
    """A certificate with these fields in its subject."""
    key = own_key("holder")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes]))
        .issuer_name(pki().issuing.certificate.subject)
        .public_key(key.public_key())
        .serial_number(9)
        .not_valid_before(AT)
        .not_valid_after(AT + HOUR)
        .sign(pki().issuing.key, pki().issuing.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
    )
    return Issued(certificate=certificate, key=key, chain=(certificate,))


@pytest.mark.parametrize(
    ("attributes", "role"),
    [
        ([(NameOID.USER_ID, "CMND:012345678")], SignerRole.PERSON),
        ([(NameOID.USER_ID, "cccd:001080000001")], SignerRole.PERSON),
        ([(NameOID.SURNAME, "Nguyễn"), (NameOID.GIVEN_NAME, "An")], SignerRole.PERSON),
        ([(NameOID.TITLE, "Bộ trưởng")], SignerRole.PERSON),
        ([(NameOID.USER_ID, "MST:0100109106")], SignerRole.ORGAN),
        ([(NameOID.ORGANIZATION_IDENTIFIER, "VATVN-0100109106")], SignerRole.ORGAN),
        ([(NameOID.COMMON_NAME, "Bộ Thử nghiệm")], SignerRole.UNKNOWN),
    ],
)
def test_a_certificate_s_own_fields_tell_a_person_from_a_body(
    attributes: list[tuple[x509.ObjectIdentifier, str]], role: SignerRole
) -> None:
    """Where the directory does not; a name alone tells nothing."""
    certificate = read_certificate(holder(*attributes).certificate.public_bytes(Encoding.DER))

    assert role_of(certificate, keys=RoleKeys()) is role


def test_the_directory_comes_first() -> None:
    """Whatever the certificate says of itself."""
    person = read_certificate(minister().certificate.public_bytes(Encoding.DER))
    body = read_certificate(holder((NameOID.USER_ID, "MST:1")).certificate.public_bytes(Encoding.DER))

    assert role_of(person, keys=RoleKeys(organ=frozenset({spki(minister())}))) is SignerRole.ORGAN
    assert role_of(body, keys=organ_keys()) is SignerRole.UNKNOWN


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"reason": "x", "inside_zip": null, "signatures": []}', b"\xff"]
)
def test_what_is_no_report_is_none(line: bytes) -> None:
    """Whatever a broken process writes."""
    with pytest.raises(ValueError, match=r".*"):
        report_from_line(line)


def of_another_kind(pdf: bytes) -> bytes:
    """The last signature's kind made one that nobody knows."""
    head, mark, tail = pdf.rpartition(b"/adbe.pkcs7.detached")
    assert mark
    return head + b"/adbe.pkcs7.detacked" + tail


def test_a_signature_of_unknown_kind_put_on_top_is_a_change(tmp_path: Path) -> None:
    """PyHanko passes it over; its picture may cover the page all the same."""
    signed = signed_pdf(a_pdf(), by=ministry(), field="Organ")
    on_top = of_another_kind(signed_pdf(signed, by=minister(), field="X", visible=True))

    report = read(on_top, tmp_path)

    assert [(one.field, one.reason) for one in report.signatures] == [
        ("X", PdfReason.KIND),
        ("Organ", PdfReason.CHANGED),
    ]
    assert not report.passed(SignerRole.ORGAN)


def test_a_signature_of_unknown_kind_underneath_is_covered_by_the_next(tmp_path: Path) -> None:
    """Old software's: it proves nothing and harms nothing."""
    before = of_another_kind(signed_pdf(a_pdf(), by=minister(), field="Old"))
    report = read(signed_pdf(before, by=ministry(), field="Organ"), tmp_path)

    assert [(one.field, one.reason) for one in report.signatures] == [
        ("Old", PdfReason.KIND),
        ("Organ", PdfReason.PASSED),
    ]
    assert report.passed(SignerRole.ORGAN)
