"""
Messages that must be refused: one story each, at least one for every strict rule and every reason.

They are built, not stored, so that the attack can be read. `close_resigned` signs anew with the right key: such a
vector is refused for its shape alone, by a verifier that would otherwise be content.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256, sha384

import pybase64
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA224, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from axis.demo.pki import CA_USAGE, PKI, SIGNING_USAGE, Issued, KeyShelf
from signing.certificates import read_certificate
from signing.keys import KeySigner
from signing.reasons import Reason
from signing.sign import sign
from tests.signing.builders import (
    AT,
    DS,
    FROM,
    NS,
    SIGNED_AT,
    TWO_FILES,
    UNTIL,
    XADES,
    Surgery,
    a_document,
    a_status,
    good,
    ministry,
    own_key,
    pki,
    signed,
)

EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One message that must be refused, why, and the code that says so."""

    name: str
    rule: int
    reason: Reason
    story: str
    build: Callable[[], bytes]
    at: datetime = AT
    lists: Callable[[], Sequence[x509.CertificateRevocationList]] | None = None
    """The revocation lists held when it is judged; without, revocation is not asked."""


VECTORS: list[Vector] = []


def _vector(
    rule: int,
    reason: Reason,
    *,
    at: datetime = AT,
    lists: Callable[[], Sequence[x509.CertificateRevocationList]] | None = None,
) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """The docstring of the builder is the story."""

    def add(build: Callable[[], bytes]) -> Callable[[], bytes]:
        VECTORS.append(
            Vector(
                name=build.__name__,
                rule=rule,
                reason=reason,
                story=build.__doc__ or "",
                build=build,
                at=at,
                lists=lists,
            )
        )
        return build

    return add


def _swap(old: bytes, new: bytes, message: bytes | None = None, count: int = 1) -> bytes:
    message = good() if message is None else message
    assert old in message, old
    return message.replace(old, new, count)


def _digest_of(surgery: Surgery, name: str, digest: bytes, method: str | None = None) -> None:
    reference = next(r for r in surgery.root.iter(f"{{{DS}}}Reference") if r.get("URI") == name)
    value = reference.find(f"{{{DS}}}DigestValue")
    assert value is not None
    value.text = pybase64.b64encode(digest).decode()
    if method is not None:
        found = reference.find(f"{{{DS}}}DigestMethod")
        assert found is not None
        found.set("Algorithm", method)


def _redigest(surgery: Surgery, name: str, element: etree._Element) -> None:
    canonical = etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    _digest_of(surgery, name, sha256(canonical).digest())


def _reference(surgery: Surgery, uri: str) -> etree._Element:
    return next(r for r in surgery.root.iter(f"{{{DS}}}Reference") if r.get("URI") == uri)


# Rules 1 to 6: the bytes.


@_vector(1, Reason.XML_EMPTY)
def nothing() -> bytes:
    """An empty upload."""
    return b""


@_vector(1, Reason.XML_NOT_WELL_FORMED)
def cut_short() -> bytes:
    """The connection broke and half of the message was stored."""
    return good()[: len(good()) // 2]


@_vector(1, Reason.XML_NOT_WELL_FORMED)
def a_pdf() -> bytes:
    """The clerk chose the PDF instead of the edXML."""
    return b"%PDF-1.7\n"


@_vector(1, Reason.XML_NOT_WELL_FORMED)
def bytes_after_the_root() -> bytes:
    """A second document hangs on the first; some readers take the last one."""
    return good() + good()


@_vector(1, Reason.XML_ENCODING)
def sixteen_bits() -> bytes:
    """UTF-16 hides markup from whoever searches bytes."""
    return good().decode().encode("utf-16")


@_vector(1, Reason.XML_ENCODING)
def another_declared_encoding() -> bytes:
    """Two readers may take different encodings for true."""
    return _swap(b"UTF-8", b"windows-1258")


@_vector(1, Reason.XML_ENCODING)
def bytes_of_another_encoding() -> bytes:
    """Declared as UTF-8, written as windows-1258: some readers guess, others stop."""
    return _swap("kiểm".encode(), b"ki\xea\xd2m")


@_vector(1, Reason.XML_NOT_WELL_FORMED)
def a_sign_that_is_no_name() -> bytes:
    """Good UTF-8 in a place where XML has no use for it."""
    return _swap(b"<edXML:Subject>", "<×>".encode())


@_vector(1, Reason.XML_VERSION)
def xml_eleven() -> bytes:
    """XML 1.1 has other line ends and other allowed characters."""
    return _swap(b"version='1.0'", b"version='1.1'")


@_vector(2, Reason.XML_DOCTYPE)
def a_doctype() -> bytes:
    """An ATTLIST default can give elements an Id that no byte of them shows."""
    return _swap(b"<edXML xmlns", b'<!DOCTYPE edXML [<!ATTLIST MessageHeader Id CDATA "mh">]><edXML xmlns')


@_vector(2, Reason.XML_DOCTYPE)
def an_entity_bomb() -> bytes:
    """Ten entities, each ten times the one before."""
    bomb = b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(9)
    )
    return bomb + b"]><edXML>&j;</edXML>"


@_vector(2, Reason.XML_PROLOG)
def root_name_outside_ascii() -> bytes:
    """A root whose name begins outside ASCII: whoever searches the bytes for the first element finds another."""
    return b"\xef\xbb\xbf" + _swap(b"<edXML xmlns", "<ệ:edXML xmlns:ệ".encode()).replace(
        b"</edXML>", "</ệ:edXML>".encode()
    ).replace(b"<AttachmentEncoded", f'<AttachmentEncoded xmlns="{NS}"'.encode())


@_vector(3, Reason.XML_ENTITY)
def an_undefined_entity() -> bytes:
    """What it stands for is decided by whoever reads it."""
    return _swap(b"<edXML:Subject>", b"<edXML:Subject>&content;")


@_vector(4, Reason.XML_TOO_DEEP)
def too_deep() -> bytes:
    """Recursion is how readers are made to crash."""
    return b"<a>" * 33 + b"</a>" * 33


@_vector(4, Reason.XML_TOO_MANY_ELEMENTS)
def too_many_elements() -> bytes:
    """Every element costs a hundred times its bytes."""
    return b"<a>" + b"<b/>" * 20_001 + b"</a>"


@_vector(4, Reason.XML_TOO_MANY_ATTRIBUTES)
def too_many_attributes() -> bytes:
    """Looking for doubles among n attributes costs more than n."""
    return b"<a " + b" ".join(b'a%d=""' % n for n in range(65)) + b"/>"


@_vector(4, Reason.XML_TOO_MANY_ATTRIBUTES)
def too_many_namespaces() -> bytes:
    """Declarations are no attributes to most readers, and cost the same."""
    return b"<a " + b" ".join(b'xmlns:a%d="urn:%d"' % (n, n) for n in range(65)) + b"/>"


@_vector(4, Reason.XML_TOO_MANY_ATTACHMENTS)
def too_many_attachments() -> bytes:
    """With 27 attachments there may be 31 references, which Java refuses."""
    return a_document(attachments=[type(TWO_FILES[0])(content_id=f"f{n}", content=b"x") for n in range(27)])


@_vector(4, Reason.XML_MARKUP_TOO_LARGE)
def too_much_markup() -> bytes:
    """Megabytes that are no attachment are no message."""
    return b"<a>" + b"x" * (4 * 1024 * 1024 + 1) + b"</a>"


@_vector(4, Reason.XML_TOO_LARGE)
def too_large() -> bytes:
    """Larger than any message may be; refused while it is still being read."""
    space = b" " * (150 * 1024 * 1024)
    return b'<edXML xmlns="' + NS.encode() + b'"><ContentTransferEncoded>A' + space


@_vector(4, Reason.XML_ATTACHMENT_MARKUP)
def element_inside_content() -> bytes:
    """Base64 has no markup; two readers would join the text differently."""
    return _swap(b"JVBERi0x", b"JVBE<x/>Ri0x")


@_vector(4, Reason.XML_ATTACHMENT_MARKUP)
def comment_inside_content() -> bytes:
    """The class of CVE-2017-11427: text on this side of the comment, or on both."""
    return _swap(b"JVBERi0x", b"JVBE<!---->Ri0x")


@_vector(4, Reason.XML_ATTACHMENT_MARKUP)
def character_reference_inside_content() -> bytes:
    """`&#74;` is a letter to one reader and six bytes to another."""
    return _swap(b"JVBERi0x", b"&#74;VBERi0x")


@_vector(4, Reason.XML_ATTACHMENT_MARKUP)
def cdata_inside_content() -> bytes:
    """The same with a CDATA section."""
    return _swap(b"JVBERi0x", b"<![CDATA[JVBE]]>Ri0x")


@_vector(5, Reason.XML_COMMENT)
def comment_in_a_signed_text() -> bytes:
    """C14N strips the comment, so the digest holds; `.text` stops at it, so the receiver's code is cut in two."""
    return _swap(b"000.00.00.H26", b"000.00.00<!---->.H26")


@_vector(5, Reason.XML_COMMENT)
def comment_before_the_root() -> bytes:
    """Nothing may stand ahead of the root."""
    return _swap(b"<edXML xmlns", b"<!-- x --><edXML xmlns")


@_vector(5, Reason.XML_INSTRUCTION)
def processing_instruction() -> bytes:
    """An instruction to whom?"""
    return _swap(b"<edXML xmlns", b'<?xml-stylesheet href="http://example.test/x"?><edXML xmlns')


@_vector(6, Reason.XML_DUPLICATE_ID)
def decoy_with_another_spelling() -> bytes:
    """`id` beside `Id`: some libraries try four attribute names in turn and take the first hit."""
    return _swap(b"<edXML:TraceHeader>", b'<edXML:TraceHeader id="mh">')


@_vector(6, Reason.XML_DUPLICATE_ID)
def decoy_with_xml_id() -> bytes:
    """The same with `xml:id`, which validating parsers treat as an ID without being asked."""
    return _swap(b"<edXML:TraceHeader>", b'<edXML:TraceHeader xml:id="body">')


@_vector(6, Reason.XML_BAD_ID)
def id_with_quotes() -> bytes:
    """Libraries paste Ids into XPath."""
    return _swap(b"<edXML:TraceHeader>", b"<edXML:TraceHeader Id=\"x'] | //*['\">")


# Rules 7 and 8: the shape.


@_vector(7, Reason.SHAPE_SIGNATURE_COUNT)
def two_signatures() -> bytes:
    """Which one was checked?"""
    surgery = Surgery(good())
    header = surgery.find("edXMLHeader")
    second = deepcopy(surgery.find("Signature"))
    for element in second.iter():
        element.attrib.pop("Id", "")
    header.append(second)
    return surgery.close()


@_vector(7, Reason.SHAPE_SIGNATURE_PLACE)
def signature_elsewhere() -> bytes:
    """A signature that is moved proves nothing about its new surroundings."""
    surgery = Surgery(good())
    surgery.root.append(surgery.find("Signature"))
    return surgery.close()


@_vector(7, Reason.SHAPE_SIGNATURE_PLACE)
def signature_first() -> bytes:
    """It stands last in the header, so that readers of the header need not skip it."""
    surgery = Surgery(good())
    surgery.find("edXMLHeader").insert(0, surgery.find("Signature"))
    return surgery.close()


@_vector(7, Reason.SHAPE_SIGNATURE_COUNT)
def signature_renamed() -> bytes:
    """The signature hidden from a verifier, its marks left behind: not unsigned, not legacy."""
    return good().replace(b"ds:Signature ", b"ds:Sign ").replace(b"</ds:Signature>", b"</ds:Sign>")


@_vector(7, Reason.SHAPE_SIGNATURE_COUNT)
def signature_in_the_national_namespace() -> bytes:
    """What the national SDK's writer does to a signature; over AX-1 it is damage."""
    return good().replace(b'xmlns:ds="' + DS.encode(), b'xmlns:ds="' + NS.encode())


@_vector(8, Reason.SHAPE_ENVELOPE)
def wrapped_whole() -> bytes:
    """The classic wrapping: the signed message inside a forged one of the same kind."""
    inner, outer = Surgery(good()), Surgery(a_document(subject="forged"))
    holder = etree.SubElement(outer.root, f"{{{NS}}}Original")
    holder.append(inner.root)
    outer.find("edXMLHeader").append(inner.find("Signature"))
    return outer.close()


@_vector(8, Reason.SHAPE_ENVELOPE)
def forged_header_in_front() -> bytes:
    """The signed header pushed back, a forged one put first, where readers look."""
    surgery = Surgery(good())
    forged = deepcopy(surgery.find("MessageHeader"))
    forged.attrib.pop("Id")
    surgery.find("edXMLHeader").insert(0, forged)
    return surgery.close()


@_vector(8, Reason.SHAPE_ENVELOPE)
def signed_header_kept_in_the_trace_list() -> bytes:
    """The place of the header taken by a forged one, the signed one parked where hops write."""
    surgery = Surgery(good())
    real = surgery.find("MessageHeader")
    forged = deepcopy(real)
    forged.attrib.pop("Id")
    surgery.find("edXMLHeader").replace(real, forged)
    surgery.find("edXMLEnvelope").insert(0, real)
    return surgery.close()


@_vector(8, Reason.SHAPE_TWIN)
def evil_twin_in_the_trace_list() -> bytes:
    """A second header without an Id, in the unsigned part: `//MessageHeader[last()]` finds it."""
    surgery = Surgery(good())
    twin = deepcopy(surgery.find("MessageHeader"))
    twin.attrib.pop("Id")
    surgery.find("TraceHeaderList").append(twin)
    return surgery.close()


@_vector(8, Reason.SHAPE_TWIN)
def a_recall_slipped_in() -> bytes:
    """A hop adds `Bussiness` to a message that has none: a new document becomes a recall."""
    return _swap(
        b"</edXML:TraceHeaderList>",
        b"<edXML:Bussiness><edXML:BussinessDocType>1</edXML:BussinessDocType></edXML:Bussiness>"
        b"</edXML:TraceHeaderList>",
        signed(a_document(bussiness=False)),
    ).replace(b"<edXML:TraceHeader>", b"<edXML:TraceHeader><edXML:Bussiness/>", 1)


@_vector(9, Reason.REFERENCE_SET)
def one_recall_slipped_in() -> bytes:
    """The same with a single, well-placed element: it must be signed and is not."""
    return _swap(
        b"</edXML:TraceHeaderList>",
        b"<edXML:Bussiness><edXML:BussinessDocType>1</edXML:BussinessDocType></edXML:Bussiness>"
        b"</edXML:TraceHeaderList>",
        signed(a_document(bussiness=False)),
    )


@_vector(8, Reason.SHAPE_TWIN)
def a_recall_in_the_other_spelling() -> bytes:
    """`Business`, as some write it; lenient readers take it for `Bussiness`."""
    return _swap(
        b"</edXML:TraceHeaderList>",
        b"<edXML:Business><edXML:BusinessDocType>1</edXML:BusinessDocType></edXML:Business>"
        b"</edXML:TraceHeaderList>",
    )


@_vector(9, Reason.REFERENCE_SET)
def business_taken_away() -> bytes:
    """A recall becomes a new document."""
    surgery = Surgery(signed(a_document(kind="1")))
    surgery.find("TraceHeaderList").remove(surgery.find("Bussiness"))
    return surgery.close()


@_vector(8, Reason.SHAPE_ENVELOPE)
def text_between_parts() -> bytes:
    """Unsigned words that a careless renderer would show."""
    return _swap(b"</edXML:MessageHeader>", b"</edXML:MessageHeader>HOA TOC")


@_vector(8, Reason.SHAPE_ENVELOPE)
def wrong_root() -> bytes:
    """The right parts under another name."""
    return good().replace(b"<edXML xmlns", b"<EdXML xmlns").replace(b"</edXML>", b"</EdXML>")


@_vector(8, Reason.SHAPE_SIGNATURE)
def two_signed_infos() -> bytes:
    """The class of CVE-2025-29774: one SignedInfo is checked, the other believed."""
    surgery = Surgery(good())
    surgery.find("Signature").insert(0, deepcopy(surgery.find("SignedInfo")))
    return surgery.close()


@_vector(8, Reason.SHAPE_SIGNATURE)
def a_second_object() -> bytes:
    """Room for smuggled elements."""
    surgery = Surgery(good())
    etree.SubElement(surgery.find("Signature"), f"{{{DS}}}Object")
    return surgery.close()


@_vector(8, Reason.SHAPE_SIGNATURE)
def text_inside_the_signature() -> bytes:
    """Between the parts of a reference; a report that prints the signature would show it."""
    surgery = Surgery(good())
    surgery.find("SignedInfo/Reference/Transforms").tail = "HOA TOC"
    return surgery.close_resigned()


@_vector(8, Reason.SHAPE_SIGNATURE)
def text_beside_the_certificate() -> bytes:
    """Where no digest looks."""
    surgery = Surgery(good())
    surgery.find("X509Data").text = "HOA TOC"
    return surgery.close()


# Rules 9 to 13: the references.


@_vector(9, Reason.REFERENCE_TARGET)
def whole_document_reference() -> bytes:
    """`URI=""` covers whatever the transforms leave of it."""
    surgery = Surgery(good())
    _reference(surgery, "#bu").set("URI", "")
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_TARGET)
def xpointer_reference() -> bytes:
    """An expression instead of a name."""
    surgery = Surgery(good())
    _reference(surgery, "#mh").set("URI", "#xpointer(id('mh'))")
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_TARGET)
def external_reference() -> bytes:
    """The verifier is sent to fetch something."""
    surgery = Surgery(good())
    _reference(surgery, "#mh").set("URI", "http://example.test/header.xml")
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_SET)
def header_not_signed() -> bytes:
    """All but the header is covered, by the right key."""
    surgery = Surgery(good())
    reference = _reference(surgery, "#mh")
    surgery.find("SignedInfo").remove(reference)
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_SET)
def attachment_not_signed() -> bytes:
    """One file is listed and carried, and not covered."""
    surgery = Surgery(good())
    surgery.find("SignedInfo").remove(_reference(surgery, "#att-c1"))
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_SET)
def reference_twice() -> bytes:
    """The number is right, the set is not."""
    surgery = Surgery(good())
    _reference(surgery, "#att-c1").set("URI", "#att-c0")
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_SET)
def reference_to_something_else() -> bytes:
    """A trace header is covered in place of the body."""
    surgery = Surgery(_swap(b"<edXML:TraceHeader>", b'<edXML:TraceHeader Id="th">'))
    _reference(surgery, "#body").set("URI", "#th")
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_TYPE)
def properties_without_type() -> bytes:
    """XAdES asks for the Type, so that a verifier knows what it has before it."""
    surgery = Surgery(good())
    _reference(surgery, "#sp").attrib.pop("Type")
    return surgery.close_resigned()


@_vector(9, Reason.REFERENCE_TYPE)
def header_as_manifest() -> bytes:
    """Type="Manifest" lets a verifier report success without looking at what the manifest lists."""
    surgery = Surgery(good())
    _reference(surgery, "#mh").set("Type", f"{DS}Manifest")
    return surgery.close_resigned()


@_vector(10, Reason.REFERENCE_TRANSFORM)
def xpath_transform() -> bytes:
    """A filter can select nothing of what it stands on; and it costs minutes before the signature is checked."""
    surgery = Surgery(good())
    transform = surgery.find("Transforms/Transform")
    transform.set("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
    etree.SubElement(transform, f"{{{DS}}}XPath").text = "false()"
    return surgery.close_resigned()


@_vector(10, Reason.REFERENCE_TRANSFORM)
def prefix_list() -> bytes:
    """An InclusiveNamespaces list changes what is hashed; AX-1 has none."""
    surgery = Surgery(good())
    transform = surgery.find("Transforms/Transform")
    etree.SubElement(transform, f"{{{EXC}}}InclusiveNamespaces", PrefixList="edXML")
    return surgery.close_resigned()


@_vector(10, Reason.REFERENCE_TRANSFORM)
def two_transforms() -> bytes:
    """The second hides what the first does."""
    surgery = Surgery(good())
    transforms = surgery.find("Transforms")
    transforms.append(deepcopy(transforms[0]))
    return surgery.close_resigned()


@_vector(10, Reason.REFERENCE_TRANSFORM)
def no_transforms() -> bytes:
    """Without one, inclusive C14N is implied."""
    surgery = Surgery(good())
    transforms = surgery.find("Transforms")
    parent = transforms.getparent()
    assert parent is not None
    parent.remove(transforms)
    return surgery.close_resigned()


@_vector(10, Reason.REFERENCE_TRANSFORM)
def enveloped_transform() -> bytes:
    """Takes the signature out of something it is not in."""
    surgery = Surgery(good())
    surgery.find("Transforms/Transform").set("Algorithm", f"{DS}enveloped-signature")
    return surgery.close_resigned()


@_vector(10, Reason.REFERENCE_TRANSFORM)
def canonical_attachment() -> bytes:
    """An attachment signed as XML text: re-wrapping its base64 would break it, and streaming would end."""
    surgery = Surgery(good())
    transform = _reference(surgery, "#att-c0").find(f"{{{DS}}}Transforms/{{{DS}}}Transform")
    assert transform is not None
    transform.set("Algorithm", EXC)
    return surgery.close_resigned()


@_vector(11, Reason.ALGORITHM_C14N)
def with_comments() -> bytes:
    """exc-C14N#WithComments."""
    surgery = Surgery(good())
    surgery.find("CanonicalizationMethod").set("Algorithm", f"{EXC}WithComments")
    return surgery.close_resigned()


@_vector(11, Reason.ALGORITHM_C14N)
def inclusive() -> bytes:
    """Inclusive C14N pulls in whatever namespaces surround the signature today."""
    surgery = Surgery(good())
    surgery.find("CanonicalizationMethod").set("Algorithm", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")
    return surgery.close_resigned()


@_vector(12, Reason.ALGORITHM_SIGNATURE)
def sha1_signature() -> bytes:
    """Collisions can be bought."""
    surgery = Surgery(good())
    surgery.find("SignatureMethod").set("Algorithm", f"{DS}rsa-sha1")
    return surgery.close_resigned()


@_vector(12, Reason.ALGORITHM_SIGNATURE)
def hmac_signature() -> bytes:
    """CVE-2025-48994: the public key used as the shared secret of an HMAC."""
    surgery = Surgery(good())
    surgery.find("SignatureMethod").set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
    return surgery.close_resigned()


@_vector(12, Reason.ALGORITHM_SIGNATURE)
def signature_parameters() -> bytes:
    """HMACOutputLength of 0 made any signature right once."""
    surgery = Surgery(good())
    etree.SubElement(surgery.find("SignatureMethod"), f"{{{DS}}}HMACOutputLength").text = "0"
    return surgery.close_resigned()


@_vector(12, Reason.ALGORITHM_DIGEST)
def sha1_digest() -> bytes:
    """A weak digest under a strong signature."""
    surgery = Surgery(good())
    _digest_of(surgery, "#mh", b"\0" * 20, f"{DS}sha1")
    return surgery.close_resigned()


@_vector(13, Reason.REFERENCE_COUNT)
def one_reference() -> bytes:
    """Too few to cover a message and the properties."""
    surgery = Surgery(good())
    info = surgery.find("SignedInfo")
    for reference in info.findall(f"{{{DS}}}Reference")[1:]:
        info.remove(reference)
    return surgery.close_resigned()


@_vector(13, Reason.REFERENCE_COUNT)
def many_references() -> bytes:
    """Thirty-one: what Java refuses, we refuse."""
    surgery = Surgery(good())
    info = surgery.find("SignedInfo")
    for _ in range(25):
        info.append(deepcopy(info[-1]))
    return surgery.close_resigned()


# Rules 14 to 16: the key.


@_vector(14, Reason.KEY_INFO)
def bare_key() -> bytes:
    """A KeyValue beside the certificate: some verifiers use it instead."""
    surgery = Surgery(good())
    surgery.find("KeyInfo").insert(0, etree.Element(f"{{{DS}}}KeyValue"))
    return surgery.close()


@_vector(14, Reason.KEY_INFO)
def key_by_address() -> bytes:
    """RetrievalMethod sends the verifier to fetch the key."""
    surgery = Surgery(good())
    key_info = surgery.find("KeyInfo")
    key_info.clear()
    etree.SubElement(key_info, f"{{{DS}}}RetrievalMethod", URI="http://example.test/key")
    return surgery.close()


@_vector(14, Reason.KEY_INFO)
def five_certificates() -> bytes:
    """A chain of four is long enough."""
    surgery = Surgery(good())
    holder = surgery.find("X509Data")
    for _ in range(3):
        holder.append(deepcopy(holder[0]))
    return surgery.close()


@_vector(14, Reason.KEY_CERTIFICATE)
def not_a_certificate() -> bytes:
    """Base64 of something else."""
    surgery = Surgery(good())
    surgery.find("X509Certificate").text = pybase64.b64encode(b"hello").decode()
    return surgery.close()


@_vector(15, Reason.KEY_WEAK)
def elliptic_key() -> bytes:
    """The method says RSA, the certificate holds another kind of key."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = pki().issuing
    certificate = (
        x509.CertificateBuilder()
        .subject_name(ministry().certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .add_extension(SIGNING_USAGE, critical=True)
        .sign(issuer.key, SHA256())
    )
    return _with_certificate(certificate)


@_vector(15, Reason.KEY_WEAK)
def rsa_1024() -> bytes:
    """Issued by the right authority; `cryptography`'s path verifier lets such a leaf pass."""
    weak = pki().issue("weak", key=rsa.generate_private_key(public_exponent=65537, key_size=1024))
    return _signed_unchecked(weak)


def _with_certificate(certificate: x509.Certificate, message: bytes | None = None) -> bytes:
    """Put `certificate` in the signer's place, with the digest that the properties must then name."""
    der = certificate.public_bytes(Encoding.DER)
    surgery = Surgery(good() if message is None else message)
    surgery.find("X509Certificate").text = pybase64.b64encode(der).decode()
    surgery.find("CertDigest/DigestValue").text = pybase64.b64encode(sha256(der).digest()).decode()
    _redigest(surgery, "#sp", surgery.find("SignedProperties"))
    return surgery.close_resigned()


def _signed_unchecked(by: Issued) -> bytes:
    """A signature of a key that `sign` itself would not work with."""
    surgery = Surgery(_with_certificate(by.certificate))
    return surgery.close_resigned(by)


@_vector(16, Reason.KEY_NOT_THE_NAMED)
def certificate_swapped() -> bytes:
    """The same key certified for another name: the properties say which one was meant."""
    other = pki().issue("Cơ quan khác", key=ministry().key)
    surgery = Surgery(good())
    der = other.certificate.public_bytes(Encoding.DER)
    surgery.find("X509Certificate").text = pybase64.b64encode(der).decode()
    return surgery.close()


@_vector(16, Reason.KEY_NOT_THE_NAMED)
def chain_reversed() -> bytes:
    """The first certificate is the signer's; there is no second try."""
    surgery = Surgery(good())
    holder = surgery.find("X509Data")
    holder.append(holder[0])
    return surgery.close()


@_vector(16, Reason.SHAPE_PROPERTIES)
def no_signing_time() -> bytes:
    """XAdES B-B has it."""
    surgery = Surgery(good())
    own = surgery.find("SignedSignatureProperties")
    own.remove(surgery.find("SigningTime"))
    _redigest(surgery, "#sp", surgery.find("SignedProperties"))
    return surgery.close_resigned()


@_vector(16, Reason.SHAPE_PROPERTIES)
def two_properties() -> bytes:
    """Which of them was signed?"""
    surgery = Surgery(good())
    second = deepcopy(surgery.find("SignedProperties"))
    second.attrib.pop("Id")
    surgery.find("QualifyingProperties").append(second)
    return surgery.close()


@_vector(16, Reason.SHAPE_PROPERTIES)
def properties_of_another_signature() -> bytes:
    """Target names the signature that the properties belong to."""
    return _swap(b'Target="#sig"', b'Target="#other"')


@_vector(16, Reason.SHAPE_PROPERTIES)
def unsigned_properties() -> bytes:
    """Whatever is in there, nobody signed it."""
    surgery = Surgery(good())
    etree.SubElement(surgery.find("QualifyingProperties"), f"{{{XADES}}}UnsignedProperties")
    return surgery.close()


# Rule 17: the arithmetic.


@_vector(17, Reason.SIGNATURE_VALUE)
def another_key() -> bytes:
    """Signed by someone who does not hold the ministry's key."""
    return Surgery(good()).close_resigned(pki().issue("thief", key=own_key("thief")))


@_vector(17, Reason.SIGNATURE_VALUE)
def digest_changed_to_fit() -> bytes:
    """The header is changed and its digest too, as far as one can without the key."""
    surgery = Surgery(good())
    surgery.find("Subject").text = "forged"
    _redigest(surgery, "#mh", surgery.find("MessageHeader"))
    return surgery.close()


@_vector(17, Reason.DIGEST_HEADER)
def receiver_changed() -> bytes:
    """One digit of the receiver's code."""
    return _swap(b"000.00.00.H26", b"000.00.00.H27")


@_vector(17, Reason.DIGEST_BODY)
def file_name_changed() -> bytes:
    """A name in the manifest."""
    return _swap(b"phu_luc.pdf", b"phu_lac.pdf")


@_vector(17, Reason.DIGEST_BUSSINESS)
def business_type_changed() -> bytes:
    """New becomes recall."""
    return _swap(b"BussinessDocType>0<", b"BussinessDocType>1<")


@_vector(17, Reason.DIGEST_PROPERTIES)
def signing_time_changed() -> bytes:
    """Signed a year earlier than it was."""
    return _swap(b"2026-03-02T08:30:00Z", b"2025-03-02T08:30:00Z")


@_vector(17, Reason.DIGEST_ATTACHMENT)
def attachment_changed() -> bytes:
    """One letter of base64."""
    return _swap(b"JVBERi0x", b"JVBERi0y")


@_vector(17, Reason.DIGEST_ATTACHMENT)
def contents_exchanged() -> bytes:
    """The two files under each other's Id."""
    return (
        good()
        .replace(b'Id="att-c0"', b'Id="att-cX"')
        .replace(b'Id="att-c1"', b'Id="att-c0"')
        .replace(b'Id="att-cX"', b'Id="att-c1"')
        .replace(b"<Attachment><ContentId>cid:c0<", b"<Attachment><ContentId>cid:cX<")
        .replace(b"<Attachment><ContentId>cid:c1<", b"<Attachment><ContentId>cid:c0<")
        .replace(b"<Attachment><ContentId>cid:cX<", b"<Attachment><ContentId>cid:c1<")
    )


# Rule 18: base64.


@_vector(18, Reason.SIGNATURE_BASE64)
def lenient_signature_value() -> bytes:
    """A dot in the middle, which lenient decoders skip."""
    surgery = Surgery(good())
    value = surgery.find("SignatureValue")
    value.text = (value.text or "")[:40] + "." + (value.text or "")[40:]
    return surgery.close()


@_vector(18, Reason.SIGNATURE_BASE64)
def spare_bits() -> bytes:
    """The last letter changed in bits that are thrown away: another text for the same bytes."""
    surgery = Surgery(good())
    value = surgery.find("CertDigest/DigestValue")
    text = value.text or ""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    value.text = text[:-2] + alphabet[alphabet.index(text[-2]) ^ 1] + "="
    return surgery.close()


@_vector(18, Reason.ATTACHMENT_BASE64)
def padding_in_the_middle() -> bytes:
    """Two encoded texts in a row: decoders stop at the first, or read both."""
    return _swap(b"JVBERi0x", b"QQ==JVBERi0x")


@_vector(18, Reason.ATTACHMENT_BASE64)
def group_incomplete() -> bytes:
    """The last letter lost."""
    surgery = Surgery(good())
    content = surgery.find("ContentTransferEncoded")
    content.text = (content.text or "").rstrip("=")[:-2]
    return surgery.close()


@_vector(18, Reason.ATTACHMENT_BASE64)
def url_alphabet() -> bytes:
    """`-` and `_` are another alphabet."""
    return _swap(b"JVBERi0x", b"JVBE-i_x")


# Rules 21 and 22: attachments, trace.


@_vector(21, Reason.ATTACHMENT_ID)
def content_ids_exchanged() -> bytes:
    """The unsigned ContentIds of two files swapped: signxml and xmlsec1 are content with it."""
    return (
        good()
        .replace(b"<Attachment><ContentId>cid:c0<", b"<Attachment><ContentId>cid:cX<")
        .replace(b"<Attachment><ContentId>cid:c1<", b"<Attachment><ContentId>cid:c0<")
        .replace(b"<Attachment><ContentId>cid:cX<", b"<Attachment><ContentId>cid:c1<")
    )


@_vector(21, Reason.ATTACHMENT_SET)
def a_file_more() -> bytes:
    """An attachment nobody listed; libraries that check references are content with it."""
    return _swap(
        b"</AttachmentEncoded>",
        b"<Attachment><ContentId>cid:c2</ContentId><ContentTransferEncoded>QQ==</ContentTransferEncoded>"
        b"</Attachment></AttachmentEncoded>",
    )


@_vector(21, Reason.ATTACHMENT_SET)
def a_file_less() -> bytes:
    """Listed, signed, and not there."""
    surgery = Surgery(good())
    surgery.find("AttachmentEncoded").remove(surgery.find("Attachment"))
    return surgery.close()


@_vector(21, Reason.ATTACHMENT_SET)
def the_same_file_twice() -> bytes:
    """Two attachments of one ContentId."""
    surgery = Surgery(good())
    second = deepcopy(surgery.find("Attachment"))
    for element in second.iter():
        element.attrib.pop("Id", "")
    surgery.find("AttachmentEncoded").append(second)
    return surgery.close()


@_vector(21, Reason.ATTACHMENT_SET)
def content_in_the_header() -> bytes:
    """
    An empty content element inside the signed header, later filled: we cut contents out before hashing, so a
    content anywhere but in an attachment would be text that no digest sees.
    """
    surgery = Surgery(good())
    header = surgery.find("MessageHeader")
    content = etree.SubElement(header, f"{{{NS}}}ContentTransferEncoded")
    _redigest(surgery, "#mh", header)
    content.text = "QQ=="
    return surgery.close_resigned()


@_vector(21, Reason.ATTACHMENT_MANIFEST)
def listed_twice() -> bytes:
    """Two entries of the manifest with one ContentId, properly signed."""
    surgery = Surgery(good())
    manifest = surgery.find("edXMLManifest")
    manifest.append(deepcopy(manifest[0]))
    _redigest(surgery, "#body", surgery.find("edXMLBody"))
    return surgery.close_resigned()


@_vector(22, Reason.DIGEST_BUSSINESS)
def business_reason_changed() -> bytes:
    """The trace list is free for hops; the business inside it is not."""
    return _swap(b"<edXML:Paper>0<", b"<edXML:Paper>1<")


# Rules 23 to 26: the chain and the time.


@cache
def _strangers() -> PKI:
    return PKI.build(not_before=FROM, not_after=UNTIL, shelf=KeyShelf(distinct=3), name="Test")


@_vector(23, Reason.CHAIN_UNTRUSTED)
def foreign_authority() -> bytes:
    """Everything right, under a root of the same name that is not ours."""
    return signed(by=_strangers().issue("Bộ Thử nghiệm"))


@_vector(23, Reason.CHAIN_UNTRUSTED)
def intermediate_missing() -> bytes:
    """The issuing authority's certificate is not sent along."""
    lonely = ministry()
    return sign(
        a_document(),
        signer=KeySigner(lonely.key),
        chain=[read_certificate(lonely.certificate.public_bytes(Encoding.DER))],
        signing_time=SIGNED_AT,
    )


@_vector(23, Reason.CHAIN_EXPIRED)
def expired() -> bytes:
    """Signed and received the day after the certificate ended."""
    return signed(by=pki().issue("late", not_after=SIGNED_AT - timedelta(days=1)))


@_vector(23, Reason.CHAIN_NOT_YET_VALID)
def not_yet_valid() -> bytes:
    """A certificate for next month."""
    return signed(by=pki().issue("early", not_before=SIGNED_AT + timedelta(days=30)))


@_vector(23, Reason.CHAIN_CA_AS_SIGNER)
def authority_as_signer() -> bytes:
    """A certificate that may certify may not sign documents."""
    return signed(by=pki().issue("sub", ca=True, usage=SIGNING_USAGE))


@_vector(23, Reason.CHAIN_ISSUER_NOT_CA)
def leaf_as_issuer() -> bytes:
    """The ministry certifies someone else with its signing certificate (the oldest hole of X.509)."""
    return signed(by=pki().issue("child", by=ministry()))


@_vector(23, Reason.CHAIN_PATH_LENGTH)
def path_too_long() -> bytes:
    """The issuing authority may certify no further authority, and did."""
    below = pki().issue("below", ca=True, usage=CA_USAGE)
    return signed(by=pki().issue("under below", by=below))


@_vector(24, Reason.CHAIN_KEY_USAGE)
def encryption_certificate() -> bytes:
    """A certificate for key encipherment only."""
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return signed(by=pki().issue("cipher", usage=usage))


@_vector(24, Reason.CHAIN_KEY_USAGE)
def no_key_usage() -> bytes:
    """A certificate that does not say what it is for."""
    return signed(by=pki().issue("vague", usage=None))


@_vector(24, Reason.CHAIN_EXTENDED_KEY_USAGE)
def web_server_certificate() -> bytes:
    """The key of a web server signs no documents."""
    return signed(by=pki().issue("www", extended_usage=[x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]))


@_vector(24, Reason.CHAIN_EXTENDED_KEY_USAGE)
def timestamp_certificate() -> bytes:
    """Nor does that of a timestamp authority."""
    return signed(by=pki().issue("tsa", extended_usage=[x509.oid.ExtendedKeyUsageOID.TIME_STAMPING]))


@_vector(25, Reason.CHAIN_WEAK_HASH)
def weak_hash_in_the_chain() -> bytes:
    """SHA-224 stands here for SHA-1 and MD5, which `cryptography` no longer signs with: not on the list."""
    return signed(by=pki().issue("sha224", hash_algorithm=SHA224()))


@_vector(15, Reason.CHAIN_WEAK_KEY)
def weak_authority() -> bytes:
    """A strong leaf under an authority of 1024 bits."""
    weak = pki().issue(
        "weak ca",
        ca=True,
        usage=CA_USAGE,
        by=pki().root,
        key=rsa.generate_private_key(public_exponent=65537, key_size=1024),
    )
    return signed(by=pki().issue("under weak", by=weak))


@_vector(26, Reason.TIME_FUTURE)
def signed_tomorrow() -> bytes:
    """The signing clock is a day ahead."""
    return signed(signing_time=AT + timedelta(days=1))


@_vector(26, Reason.TIME_BEFORE_CERTIFICATE)
def signed_before_the_certificate() -> bytes:
    """A time at which the key had no certificate."""
    return signed(signing_time=FROM - timedelta(days=1))


@_vector(26, Reason.TIME_FORMAT)
def time_without_zone() -> bytes:
    """Seven hours of doubt."""
    surgery = Surgery(good())
    surgery.find("SigningTime").text = "2026-03-02T08:30:00"
    _redigest(surgery, "#sp", surgery.find("SignedProperties"))
    return surgery.close_resigned()


# Rule 27: revocation.


def _root_list() -> x509.CertificateRevocationList:
    return pki().revocation_list(issued_at=AT - timedelta(hours=1), by=pki().root)


def _revoked() -> Sequence[x509.CertificateRevocationList]:
    leaf = [(ministry().certificate, AT - timedelta(days=1))]
    return pki().revocation_list(issued_at=AT - timedelta(hours=1), revoked=leaf), _root_list()


def _authority_revoked() -> Sequence[x509.CertificateRevocationList]:
    authority = [(pki().issuing.certificate, AT - timedelta(days=1))]
    return pki().revocation_list(issued_at=AT), pki().revocation_list(
        issued_at=AT, revoked=authority, by=pki().root
    )


def _of_last_week() -> Sequence[x509.CertificateRevocationList]:
    return pki().revocation_list(issued_at=AT - timedelta(days=7)), _root_list()


@_vector(27, Reason.REVOCATION_REVOKED, lists=_revoked)
def revoked_yesterday() -> bytes:
    """The key was reported lost the day before the message came."""
    return good()


@_vector(27, Reason.REVOCATION_REVOKED, lists=_authority_revoked)
def authority_revoked() -> bytes:
    """Not the signer but the authority that vouches for it."""
    return good()


@_vector(27, Reason.REVOCATION_STALE, lists=_of_last_week)
def list_of_last_week() -> bytes:
    """Whoever keeps the new lists away from us would hide a revocation."""
    return good()


@_vector(27, Reason.REVOCATION_UNKNOWN, lists=lambda: [_root_list()])
def no_list_of_its_authority() -> bytes:
    """Nothing known is not the same as nothing wrong."""
    return good()


@_vector(30, Reason.ALGORITHM_EXPIRED, at=datetime(2036, 1, 1, tzinfo=UTC))
def after_the_last_day() -> bytes:
    """Received after the policy's last day for SHA-256."""
    return good()


# Statuses.


@_vector(17, Reason.DIGEST_HEADER)
def status_code_changed() -> bytes:
    """Accepted becomes refused."""
    return _swap(b"StatusCode>03<", b"StatusCode>02<", signed(a_status()))


@_vector(9, Reason.REFERENCE_SET)
def document_cut_down_to_a_status() -> bytes:
    """Body and attachments taken away, so that only the header is left to be covered."""
    surgery = Surgery(good())
    surgery.root.remove(surgery.find("AttachmentEncoded"))
    surgery.find("edXMLEnvelope").remove(surgery.find("edXMLBody"))
    return surgery.close()


@_vector(17, Reason.DIGEST_ATTACHMENT)
def wider_digest_of_other_bytes() -> bytes:
    """SHA-384 is allowed; it is computed, not believed."""
    surgery = Surgery(good())
    _digest_of(surgery, "#att-c0", sha384(b"other").digest(), "http://www.w3.org/2001/04/xmldsig-more#sha384")
    return surgery.close_resigned()
