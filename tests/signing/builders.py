"""Messages, keys and signatures for the tests of `signing`: plain functions, every time an argument."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import pybase64
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree

from axis.demo.pki import PKI, Issued, KeyShelf
from signing.certificates import ReadCertificate, TrustStore, certificates_from_pem
from signing.keys import KeySigner
from signing.sign import sign
from signing.verify import Verdict, judge

FROM = datetime(2024, 1, 1, tzinfo=UTC)
UNTIL = datetime(2034, 1, 1, tzinfo=UTC)
SIGNED_AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
AT = datetime(2026, 3, 2, 8, 31, tzinfo=UTC)

NS = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@cache
def shelf() -> KeyShelf:
    return KeyShelf(distinct=5)


@cache
def own_key(name: str) -> rsa.RSAPrivateKey:
    """A key that nobody else has: those of the shelf are handed out more than once."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def pki() -> PKI:
    """One PKI for the whole run: keys are dear."""
    return PKI.build(not_before=FROM, not_after=UNTIL, shelf=shelf(), name="Test")


@cache
def ministry() -> Issued:
    return pki().issue("Bộ Thử nghiệm")


@cache
def trust() -> TrustStore:
    return TrustStore.from_pem(pki().trust_pem)


def chain_of(issued: Issued) -> tuple[ReadCertificate, ...]:
    return certificates_from_pem(issued.chain_pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnAttachment:
    content_id: str
    name: str = "quyet_dinh.pdf"
    content: bytes = PDF


TWO_FILES = (
    AnAttachment(content_id="c0"),
    AnAttachment(content_id="c1", name="phu_luc.pdf", content=PDF + b"%2"),
)


def a_document(
    *,
    attachments: Sequence[AnAttachment] = TWO_FILES,
    bussiness: bool = True,
    trace: bool = True,
    subject: str = "Về việc kiểm thử &lt;trục&gt; &amp; liên thông",
    kind: str = "0",
) -> bytes:
    """An unsigned document as a ministry's software writes it."""
    entries = "".join(
        f"<edXML:Reference><edXML:ContentId>cid:{a.content_id}</edXML:ContentId>"
        f"<edXML:ContentType>application/pdf</edXML:ContentType>"
        f"<edXML:AttachmentName>{a.name}</edXML:AttachmentName></edXML:Reference>"
        for a in attachments
    )
    contents = "".join(
        f"<Attachment><ContentId>cid:{a.content_id}</ContentId><AttachmentName>{a.name}</AttachmentName>"
        f"<ContentType>application/pdf</ContentType><edXML:ContentTransferEncoded xmlns:edXML='{NS}'>"
        f"{pybase64.b64encode(a.content).decode()}</edXML:ContentTransferEncoded></Attachment>"
        for a in attachments
    )
    business = (
        f"<edXML:Bussiness><edXML:BussinessDocType>{kind}</edXML:BussinessDocType><edXML:Paper>0</edXML:Paper>"
        "</edXML:Bussiness>"
        if bussiness
        else ""
    )
    hops = (
        "<edXML:TraceHeaderList><edXML:TraceHeader><edXML:OrganId>000.00.00.G22</edXML:OrganId>"
        f"<edXML:Timestamp>2026/03/02 15:30:00</edXML:Timestamp></edXML:TraceHeader>{business}"
        "</edXML:TraceHeaderList>"
        if trace
        else ""
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<edXML xmlns="{NS}"><edXML:edXMLEnvelope xmlns:edXML="{NS}">'
        "<edXML:edXMLHeader>"
        "<edXML:MessageHeader><edXML:From><edXML:OrganId>000.00.00.G22</edXML:OrganId></edXML:From>"
        "<edXML:To><edXML:OrganId>000.00.00.H26</edXML:OrganId></edXML:To>"
        "<edXML:Code><edXML:CodeNumber>12</edXML:CodeNumber><edXML:CodeNotation>QĐ-BTN</edXML:CodeNotation>"
        f"</edXML:Code><edXML:Subject>{subject}</edXML:Subject>"
        "<edXML:DocumentId>000.00.00.G22,2026/03/02,12/QĐ-BTN</edXML:DocumentId></edXML:MessageHeader>"
        f"{hops}</edXML:edXMLHeader>"
        f'<edXML:edXMLBody><edXML:edXMLManifest version="1.0">{entries}</edXML:edXMLManifest></edXML:edXMLBody>'
        f"</edXML:edXMLEnvelope><AttachmentEncoded>{contents}</AttachmentEncoded></edXML>"
    ).encode()


def a_status() -> bytes:
    """An unsigned status 03."""
    return (
        f'<edXML xmlns="{NS}"><edXMLEnvelope><edXMLHeader><MessageHeader>'
        "<From><OrganId>000.00.00.H26</OrganId></From><ResponseFor><OrganId>000.00.00.G22</OrganId>"
        "<Code>12/QĐ-BTN</Code></ResponseFor><StatusCode>03</StatusCode>"
        "<Timestamp>2026/03/02 16:00:00</Timestamp></MessageHeader></edXMLHeader></edXMLEnvelope></edXML>"
    ).encode()


def signed(
    message: bytes | None = None, *, by: Issued | None = None, signing_time: datetime = SIGNED_AT
) -> bytes:
    """Sign `message`, by default a document of the ministry."""
    by = by or ministry()
    return sign(
        a_document() if message is None else message,
        signer=KeySigner(by.key),
        chain=chain_of(by),
        signing_time=signing_time,
    )


@cache
def good() -> bytes:
    """The signed document that most tests start from."""
    return signed()


def verdict(message: bytes, *, at: datetime = AT) -> Verdict:
    return judge(message, trust=trust(), at=at)


@dataclass(slots=True)
class Surgery:
    """A message taken apart for a test: change `root`, `close()` it again, perhaps signed anew."""

    message: bytes
    root: etree._Element = field(init=False)

    def __post_init__(self) -> None:
        parser = etree.XMLParser(huge_tree=True, resolve_entities=False, no_network=True)
        self.root = etree.fromstring(self.message, parser)

    def find(self, path: str) -> etree._Element:
        """The first element of that local-name path, e.g. `edXMLHeader/Signature`, at any depth."""
        steps = "/".join(f"*[local-name()='{name}']" for name in path.split("/"))
        found = self.root.xpath(f"//{steps}")
        assert isinstance(found, list)
        assert found, path
        element = found[0]
        assert isinstance(element, etree._Element)
        return element

    def close(self) -> bytes:
        return etree.tostring(self.root, encoding="UTF-8", xml_declaration=True)

    def close_resigned(self, by: Issued | None = None) -> bytes:
        """Close with a new signature value over the SignedInfo as it is now."""
        key = (by or ministry()).key
        info = self.find("Signature/SignedInfo")
        canonical = etree.tostring(info, method="c14n", exclusive=True, with_comments=False)
        value = KeySigner(key).sign(canonical)
        self.find("Signature/SignatureValue").text = pybase64.b64encode(value).decode()
        return self.close()
