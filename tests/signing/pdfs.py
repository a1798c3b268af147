"""PDF files for the tests, and signatures in them: plain functions, every time an argument."""

import io
import zipfile
from datetime import datetime
from functools import cache

from asn1crypto import keys, x509  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fpdf import FPDF
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.timestamps import TimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from axis.demo.pki import Issued


@cache
def a_pdf(text: str = "Quyet dinh ve viec kiem thu", pages: int = 1) -> bytes:
    """An unsigned PDF."""
    document = FPDF()
    document.set_creation_date(datetime.fromisoformat("2026-03-02T08:00:00+00:00"))
    for page in range(pages):
        document.add_page()
        document.set_font("Helvetica", size=12)
        document.cell(text=f"{text} {page}")
    return bytes(document.output())


def signed_pdf(
    pdf: bytes,
    *,
    by: Issued,
    field: str = "Signature1",
    visible: bool = False,
    certify: bool = False,
    permissions: fields.MDPPerm = fields.MDPPerm.NO_CHANGES,
    digest: str = "sha256",
    timestamper: TimeStamper | None = None,
) -> bytes:
    """`pdf` with one more signature, as an incremental update."""
    signer = signers.SimpleSigner(
        signing_cert=_asn1(by.certificate.public_bytes(Encoding.DER)),
        signing_key=keys.PrivateKeyInfo.load(
            by.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        ),
        cert_registry=SimpleCertificateStore.from_certs(  # type: ignore[no-untyped-call]
            [_asn1(c.public_bytes(Encoding.DER)) for c in by.chain[1:]]
        ),
    )
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    if visible:
        box = fields.SigFieldSpec(sig_field_name=field, box=(50, 50, 250, 120))
        fields.append_signature_field(writer, box)
    metadata = signers.PdfSignatureMetadata(
        field_name=field, md_algorithm=digest, certify=certify, docmdp_permissions=permissions
    )
    output = signers.sign_pdf(writer, metadata, signer=signer, timestamper=timestamper)
    content: bytes = output.getvalue()
    return content


def _asn1(der: bytes) -> x509.Certificate:
    return x509.Certificate.load(der)


def an_endless_pdf(*, megabytes: int = 60) -> bytes:
    """A zip file of a few kilobytes whose PDF is read for longer than anybody waits: white space in its trailer."""
    head = (
        b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    )
    trailer = b"xref\n0 1\n0000000000 65535 f \ntrailer<<" + b" " * megabytes * 1024 * 1024
    end = b"/Size 3/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(head)
    return zipped(("endless.pdf", head + trailer + end))


def zipped(*files: tuple[str, bytes]) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()
