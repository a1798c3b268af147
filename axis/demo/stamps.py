"""
PDFs signed inside, as a minister and an office seal them: what makes a document of the demonstration an original.

pyHanko does the signing; nothing here judges. Blocks while it computes, and starts an event loop of its own, so it is
called in a thread.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from asn1crypto import keys, x509  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko_certvalidator.registry import SimpleCertificateStore

from axis.demo.pki import Issued


def stamped(content: bytes, *, by: Sequence[Issued]) -> bytes:
    """The PDF with one signature of each, in their order, every one as an update behind what stood there."""
    for place, issued in enumerate(by, start=1):
        signer = signers.SimpleSigner(
            signing_cert=_asn1(issued.certificate.public_bytes(Encoding.DER)),
            signing_key=keys.PrivateKeyInfo.load(
                issued.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            ),
            cert_registry=SimpleCertificateStore.from_certs(  # type: ignore[no-untyped-call]
                [_asn1(one.public_bytes(Encoding.DER)) for one in issued.chain[1:]]
            ),
        )
        metadata = signers.PdfSignatureMetadata(field_name=f"Signature{place}", md_algorithm="sha256")
        writer = IncrementalPdfFileWriter(io.BytesIO(content))
        content = signers.sign_pdf(writer, metadata, signer=signer).getvalue()
    return content


def _asn1(der: bytes) -> x509.Certificate:
    return x509.Certificate.load(der)
