"""
AX-1, the signature profile of the axis: how a signed message must look, to the last element.

`read_claim` turns the tree of a message into a `Claim`: what is said to be signed, by which certificate, with
which algorithms, and where. It enforces the strict rules 1 to 14, 16, 18, 21 and 22 of docs/signing.md and
computes no digest and no signature; `signing.verify` does, and only from the claim.

The order is "place first, then reference": the elements that must be signed are found by their fixed places, and
the references must name exactly those. No element is ever looked up by the Id that a reference asks for; that is
what signature wrapping lives on.
"""

import re
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from functools import lru_cache
from typing import NamedTuple

import pybase64
from lxml import etree

from signing.algorithms import (
    BASE64_TRANSFORM,
    DIGEST_METHODS,
    DS,
    EXCLUSIVE_C14N,
    HASHES,
    SIGNATURE_METHODS,
    SIGNED_PROPERTIES_TYPE,
    XADES,
)
from signing.certificates import ReadCertificate, read_certificate
from signing.errors import MaterialError, SigningError
from signing.policy import Policy
from signing.reasons import Reason
from signing.skeleton import CONTENT_TAG, EDXML_NAMESPACE, Part, Skeleton

MAX_REFERENCES = 30
"""JDK and Santuario in secure validation refuse more."""
MAX_ATTACHMENTS = 26
MAX_CERTIFICATES = 4


def _edxml(name: str) -> str:
    return f"{{{EDXML_NAMESPACE}}}{name}"


_HAS_STRAY_TEXT = etree.XPath(
    "boolean((. | ds:SignedInfo | ds:SignedInfo/ds:Reference | ds:SignedInfo/ds:Reference/ds:Transforms"
    " | ds:KeyInfo | ds:KeyInfo/ds:X509Data | ds:Object)/text()[normalize-space()])",
    namespaces={"ds": DS},
)
"""Whether anything but white space stands between the parts of a signature."""


def _ds(name: str) -> str:
    return f"{{{DS}}}{name}"


def _xades(name: str) -> str:
    return f"{{{XADES}}}{name}"


ROOT, ENVELOPE, HEADER, BODY = map(_edxml, ("edXML", "edXMLEnvelope", "edXMLHeader", "edXMLBody"))
MESSAGE_HEADER, TRACE_LIST, TRACE = map(_edxml, ("MessageHeader", "TraceHeaderList", "TraceHeader"))
BUSSINESS = _edxml("Bussiness")
MANIFEST, ENTRY = map(_edxml, ("edXMLManifest", "Reference"))
ATTACHMENTS, ATTACHMENT = map(_edxml, ("AttachmentEncoded", "Attachment"))
CONTENT_ID = _edxml("ContentId")
_NAME_TAG, _DESCRIPTION_TAG, _TYPE_TAG = map(_edxml, ("AttachmentName", "Description", "ContentType"))

SIGNATURE = _ds("Signature")
SIGNED_INFO, SIGNATURE_VALUE, KEY_INFO, OBJECT = map(
    _ds, ("SignedInfo", "SignatureValue", "KeyInfo", "Object")
)
C14N_METHOD, SIGNATURE_METHOD, REFERENCE = map(
    _ds, ("CanonicalizationMethod", "SignatureMethod", "Reference")
)
TRANSFORMS, TRANSFORM, DIGEST_METHOD, DIGEST_VALUE = map(
    _ds, ("Transforms", "Transform", "DigestMethod", "DigestValue")
)
X509_DATA, X509_CERTIFICATE = map(_ds, ("X509Data", "X509Certificate"))
QUALIFYING, SIGNED_PROPERTIES, SIGNATURE_PROPERTIES, OBJECT_PROPERTIES = map(
    _xades,
    ("QualifyingProperties", "SignedProperties", "SignedSignatureProperties", "SignedDataObjectProperties"),
)
SIGNING_TIME, SIGNING_CERTIFICATE, CERT, CERT_DIGEST = map(
    _xades, ("SigningTime", "SigningCertificateV2", "Cert", "CertDigest")
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)")
_ID_ENDINGS = frozenset({"id", "Id", "iD", "ID"})
_SPACE = " \t\r\n"


class RefusedError(SigningError):
    """A strict rule is broken. Stays inside this package: the verifier makes it a verdict."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@unique
class SignedPart(StrEnum):
    """What a reference of AX-1 can cover."""

    HEADER = "header"
    BODY = "body"
    BUSSINESS = "bussiness"
    ATTACHMENT = "attachment"
    PROPERTIES = "properties"


class ClaimedPart(NamedTuple):
    """One reference: this part is said to have this digest."""

    kind: SignedPart
    element: etree._Element
    part: Part | None
    """The decoded content, for attachments."""
    digest_method: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One attachment as the signed manifest lists it."""

    content_id: str
    """Without a leading `cid:`."""
    name: str
    description: str
    content_type: str
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claim:
    """A message that has the shape of AX-1. Nothing in it is proven yet."""

    signed_info: etree._Element
    signature_method: str
    signature_value: bytes
    certificates: tuple[ReadCertificate, ...]
    """The signer first, as the message gives them."""
    parts: tuple[ClaimedPart, ...]
    manifest: tuple[ManifestEntry, ...]
    signing_time: datetime

    @property
    def signer(self) -> ReadCertificate:
        return self.certificates[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What one walk over the tree found: elements by name, and everything that calls itself an id."""

    by_tag: dict[str, list[etree._Element]]
    by_name: dict[str, list[str]]
    """The tags that there are, by local name in small letters."""
    ids: tuple[tuple[etree._Element, str], ...]
    """Element and value of each attribute whose local name is `id` in any case and namespace."""

    def named(self, tag: str) -> list[etree._Element]:
        return self.by_tag.get(tag, [])


@lru_cache(maxsize=1024)
def local_name(name: str) -> str:
    """A tag or attribute name without its namespace, in small letters."""
    return name.rpartition("}")[2].lower()


def survey(root: etree._Element) -> Survey:
    """Walk the tree once."""
    by_tag: dict[str, list[etree._Element]] = {}
    by_name: dict[str, list[str]] = {}
    ids: list[tuple[etree._Element, str]] = []
    for element in root.iter("*"):
        tag = element.tag
        found = by_tag.get(tag)
        if found is None:
            by_tag[tag] = [element]
            by_name.setdefault(local_name(tag), []).append(tag)
        else:
            found.append(element)
        for name, value in element.items():
            # Few attributes end so: the others need no closer look.
            if name[-2:] in _ID_ENDINGS and local_name(name) == "id":
                ids.append((element, str(value)))
    return Survey(by_tag=by_tag, by_name=by_name, ids=tuple(ids))


def canonical(element: etree._Element) -> bytes:
    """Exclusive C14N 1.0 without comments and without a prefix list."""
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


def strict_base64(text: str | None, *, limit: int) -> bytes:
    """
    Decode base64 as XML Schema allows it: white space anywhere, otherwise alphabet, padding and zero spare bits.

    Raises:
        RefusedError: `signature.base64`.
    """
    try:
        squeezed = (text or "").encode("ascii").translate(None, b"\t\n\r ")
        decoded = pybase64.b64decode(squeezed, validate=True) if len(squeezed) <= limit else b""
    except (UnicodeEncodeError, Base64Error, ValueError) as error:
        raise RefusedError(Reason.SIGNATURE_BASE64) from error
    if not decoded or pybase64.b64encode(decoded) != squeezed:
        raise RefusedError(Reason.SIGNATURE_BASE64)
    return decoded


def bare_content_id(text: str | None) -> str:
    """A ContentId as it is compared and as it stands in an Id: no white space around, no leading `cid:`."""
    name = (text or "").strip(_SPACE)
    while name[:4].lower() == "cid:":
        name = name[4:]
    return name


def read_claim(
    skeleton: Skeleton, root: etree._Element, found: Survey, *, policy: Policy, at: datetime
) -> Claim:
    """
    Read what a message with the shape of AX-1 claims.

    Promises that every part that must be signed has exactly one reference, which names that very element, and that
    nothing else is referenced. Does not promise that any digest or signature holds.

    Raises:
        RefusedError: the first strict rule that is broken.
    """
    _check_bytes(skeleton)
    _check_ids(found)
    signature = _signature(found)
    header, body, attachments = _envelope(root)
    message_header, bussiness = _header(header, found)
    _refuse_twins(found)
    manifest = _manifest(skeleton, root, body, attachments)
    signed_info, signature_value, key_info, properties = _signature_parts(signature)

    method, references = _signed_info(signed_info)
    if method not in SIGNATURE_METHODS:
        raise RefusedError(Reason.ALGORITHM_SIGNATURE)
    if not policy.allows_signature(method, at=at):
        raise RefusedError(Reason.ALGORITHM_EXPIRED)

    must: list[tuple[SignedPart, etree._Element, Part | None]] = [(SignedPart.HEADER, message_header, None)]
    if body is not None:
        must.append((SignedPart.BODY, body, None))
    if bussiness is not None:
        must.append((SignedPart.BUSSINESS, bussiness, None))
    must.extend((SignedPart.ATTACHMENT, element, entry.part) for entry, element in manifest)
    must.append((SignedPart.PROPERTIES, properties, None))
    parts = _match(references, must, policy=policy, at=at)

    certificates = _certificates(key_info)
    signing_time, named = _properties(properties, policy=policy, at=at)
    if named.digest(certificates[0].der) != named.value:
        raise RefusedError(Reason.KEY_NOT_THE_NAMED)
    return Claim(
        signed_info=signed_info,
        signature_method=method,
        signature_value=strict_base64(signature_value.text, limit=2048),
        certificates=certificates,
        parts=parts,
        manifest=tuple(entry for entry, _ in manifest),
        signing_time=signing_time,
    )


# 1 to 6: what a lenient reader lets through and a signature may not have.


def _check_bytes(skeleton: Skeleton) -> None:
    oddities = skeleton.oddities
    if oddities.comments:
        raise RefusedError(Reason.XML_COMMENT)
    if oddities.instructions:
        raise RefusedError(Reason.XML_INSTRUCTION)
    if not oddities.plain_prolog:
        raise RefusedError(Reason.XML_PROLOG)
    if len(skeleton.parts) > MAX_ATTACHMENTS:
        raise RefusedError(Reason.XML_TOO_MANY_ATTACHMENTS)


def _check_ids(found: Survey) -> None:
    seen: set[str] = set()
    for _, value in found.ids:
        if not _NAME.fullmatch(value):
            raise RefusedError(Reason.XML_BAD_ID)
        if value in seen:
            raise RefusedError(Reason.XML_DUPLICATE_ID)
        seen.add(value)


# 7, 8: every element that matters stands at its one place.


def _tags(element: etree._Element) -> tuple[str, ...]:
    return tuple([str(child.tag) for child in element])


def _refuse_text(element: etree._Element, reason: Reason) -> None:
    """No text but white space between the children of `element`."""
    if (text := element.text) and text.strip(_SPACE):
        raise RefusedError(reason, "text between elements")
    for child in element:
        if (text := child.tail) and text.strip(_SPACE):
            raise RefusedError(reason, "text between elements")


def _envelope(
    root: etree._Element,
) -> tuple[etree._Element, etree._Element | None, etree._Element | None]:
    if root.tag != ROOT or _tags(root) not in {(ENVELOPE,), (ENVELOPE, ATTACHMENTS)}:
        raise RefusedError(Reason.SHAPE_ENVELOPE, "edXML")
    envelope = root[0]
    if _tags(envelope) not in {(HEADER,), (HEADER, BODY)}:
        raise RefusedError(Reason.SHAPE_ENVELOPE, "edXMLEnvelope")
    _refuse_text(root, Reason.SHAPE_ENVELOPE)
    _refuse_text(envelope, Reason.SHAPE_ENVELOPE)
    _refuse_text(envelope[0], Reason.SHAPE_ENVELOPE)
    return envelope[0], envelope[1] if len(envelope) > 1 else None, root[1] if len(root) > 1 else None


def _signature(found: Survey) -> etree._Element:
    signatures = found.named(SIGNATURE)
    if len(signatures) != 1:
        raise RefusedError(Reason.SHAPE_SIGNATURE_COUNT, str(len(signatures)))
    parent = signatures[0].getparent()
    if parent is None or parent.tag != HEADER or parent[-1] is not signatures[0]:
        raise RefusedError(Reason.SHAPE_SIGNATURE_PLACE)
    return signatures[0]


def _header(header: etree._Element, found: Survey) -> tuple[etree._Element, etree._Element | None]:
    if _tags(header) not in {(MESSAGE_HEADER, SIGNATURE), (MESSAGE_HEADER, TRACE_LIST, SIGNATURE)}:
        raise RefusedError(Reason.SHAPE_ENVELOPE, "edXMLHeader")
    bussiness = found.named(BUSSINESS)
    # `Business` is a spelling that lenient readers take for `Bussiness`: a hop could add it unsigned.
    if "business" in found.by_name or found.by_name.get("bussiness", [BUSSINESS]) != [BUSSINESS]:
        raise RefusedError(Reason.SHAPE_TWIN, "Bussiness")
    if not bussiness:
        return header[0], None
    parent = bussiness[0].getparent()
    if len(bussiness) > 1 or len(header) < 3 or parent is not header[1]:
        raise RefusedError(Reason.SHAPE_TWIN, "Bussiness")
    return header[0], bussiness[0]


def _refuse_twins(found: Survey) -> None:
    """A second MessageHeader anywhere would not be covered, and some reader would find it first."""
    for tag in (ROOT, ENVELOPE, HEADER, MESSAGE_HEADER, TRACE_LIST, BODY, MANIFEST, ATTACHMENTS):
        if len(found.named(tag)) > 1:
            raise RefusedError(Reason.SHAPE_TWIN, tag.rpartition("}")[2])


def _signature_parts(
    signature: etree._Element,
) -> tuple[etree._Element, etree._Element, etree._Element, etree._Element]:
    if _tags(signature) != (SIGNED_INFO, SIGNATURE_VALUE, KEY_INFO, OBJECT):
        raise RefusedError(Reason.SHAPE_SIGNATURE, "Signature")
    signed_info, value, key_info, holder = signature
    if _HAS_STRAY_TEXT(signature):
        raise RefusedError(Reason.SHAPE_SIGNATURE, "text between elements")
    if len(value):
        raise RefusedError(Reason.SHAPE_SIGNATURE, "SignatureValue")
    if _tags(holder) != (QUALIFYING,) or _tags(holder[0]) != (SIGNED_PROPERTIES,):
        raise RefusedError(Reason.SHAPE_PROPERTIES)
    if holder[0].get("Target") != f"#{signature.get('Id', '')}":
        raise RefusedError(Reason.SHAPE_PROPERTIES, "Target")
    return signed_info, value, key_info, holder[0][0]


# 9 to 13: the references.


class _Reference(NamedTuple):
    name: str
    kind: str | None
    transform: str
    method: str
    digest: bytes


def _signed_info(signed_info: etree._Element) -> tuple[str, list[_Reference]]:
    tags = _tags(signed_info)
    if tags[:2] != (C14N_METHOD, SIGNATURE_METHOD) or any(tag != REFERENCE for tag in tags[2:]):
        raise RefusedError(Reason.SHAPE_SIGNATURE, "SignedInfo")
    c14n, method = signed_info[0], signed_info[1]
    if c14n.get("Algorithm") != EXCLUSIVE_C14N or len(c14n):
        raise RefusedError(Reason.ALGORITHM_C14N)
    if len(method):
        raise RefusedError(Reason.ALGORITHM_SIGNATURE, "parameters")
    if not 2 <= len(tags) - 2 <= MAX_REFERENCES:
        raise RefusedError(Reason.REFERENCE_COUNT, str(len(tags) - 2))
    return method.get("Algorithm", ""), [_reference(element) for element in list(signed_info)[2:]]


def _reference(element: etree._Element) -> _Reference:
    if _tags(element) != (TRANSFORMS, DIGEST_METHOD, DIGEST_VALUE):
        raise RefusedError(Reason.REFERENCE_TRANSFORM, "Reference")
    transforms, method, value = element
    uri = element.get("URI")
    if uri is None or uri[:1] != "#" or not _NAME.fullmatch(uri, 1):
        raise RefusedError(Reason.REFERENCE_TARGET)
    if _tags(transforms) != (TRANSFORM,):
        raise RefusedError(Reason.REFERENCE_TRANSFORM)
    transform = transforms[0]
    if len(transform) or ((text := transform.text) and text.strip(_SPACE)):
        raise RefusedError(Reason.REFERENCE_TRANSFORM)
    if len(method) or len(value):
        raise RefusedError(Reason.ALGORITHM_DIGEST)
    return _Reference(
        uri[1:],
        element.get("Type"),
        transform.get("Algorithm", ""),
        method.get("Algorithm", ""),
        strict_base64(value.text, limit=128),
    )


def _match(
    references: Sequence[_Reference],
    must: Sequence[tuple[SignedPart, etree._Element, Part | None]],
    *,
    policy: Policy,
    at: datetime,
) -> tuple[ClaimedPart, ...]:
    by_name = {reference.name: reference for reference in references}
    if len(by_name) != len(references) or len(references) != len(must):
        raise RefusedError(Reason.REFERENCE_SET)
    parts = []
    for kind, element, part in must:
        reference = by_name.get(element.get("Id", ""))
        if reference is None:
            raise RefusedError(Reason.REFERENCE_SET, kind)
        if reference.kind != (SIGNED_PROPERTIES_TYPE if kind is SignedPart.PROPERTIES else None):
            raise RefusedError(Reason.REFERENCE_TYPE, kind)
        if reference.transform != (BASE64_TRANSFORM if kind is SignedPart.ATTACHMENT else EXCLUSIVE_C14N):
            raise RefusedError(Reason.REFERENCE_TRANSFORM, kind)
        parts.append(ClaimedPart(kind, element, part, reference.method, reference.digest))
    for method in {reference.method for reference in references}:
        _check_digest_method(method, policy=policy, at=at)
    return tuple(parts)


def _check_digest_method(method: str, *, policy: Policy, at: datetime) -> None:
    if method not in DIGEST_METHODS:
        raise RefusedError(Reason.ALGORITHM_DIGEST)
    if not policy.allows_digest(method, at=at):
        raise RefusedError(Reason.ALGORITHM_EXPIRED)


# 14, 16: who says so, and when.


def _certificates(key_info: etree._Element) -> tuple[ReadCertificate, ...]:
    if _tags(key_info) != (X509_DATA,):
        raise RefusedError(Reason.KEY_INFO)
    tags = _tags(key_info[0])
    if not 1 <= len(tags) <= MAX_CERTIFICATES or any(tag != X509_CERTIFICATE for tag in tags):
        raise RefusedError(Reason.KEY_INFO)
    if any(len(element) for element in key_info[0]):
        raise RefusedError(Reason.KEY_INFO)
    return tuple(_certificate(element.text or "") for element in key_info[0])


@lru_cache(maxsize=512)
def _certificate(text: str) -> ReadCertificate:
    """Signers send the same certificates each time. (Refusals are not cached.)"""
    try:
        return read_certificate(strict_base64(text, limit=16_384))
    except MaterialError as error:
        raise RefusedError(Reason.KEY_CERTIFICATE) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamedCertificate:
    method: str
    value: bytes

    def digest(self, der: bytes) -> bytes:
        return digest_of(self.method, der)


def digest_of(method: str, content: bytes) -> bytes:
    """Hash `content` with a digest method of the table."""
    return HASHES[DIGEST_METHODS[method]](content).digest()


def _properties(
    properties: etree._Element, *, policy: Policy, at: datetime
) -> tuple[datetime, _NamedCertificate]:
    if _tags(properties) not in {(SIGNATURE_PROPERTIES,), (SIGNATURE_PROPERTIES, OBJECT_PROPERTIES)}:
        raise RefusedError(Reason.SHAPE_PROPERTIES)
    times = list(_children(properties[0], SIGNING_TIME))
    certificates = list(_children(properties[0], SIGNING_CERTIFICATE))
    if len(times) != 1 or len(certificates) != 1 or len(times[0]):
        raise RefusedError(Reason.SHAPE_PROPERTIES)
    named = list(certificates[0])
    if len(named) != 1 or named[0].tag != CERT or not len(named[0]) or named[0][0].tag != CERT_DIGEST:
        raise RefusedError(Reason.SHAPE_PROPERTIES)
    digest = named[0][0]
    if _tags(digest) != (DIGEST_METHOD, DIGEST_VALUE):
        raise RefusedError(Reason.SHAPE_PROPERTIES)
    method = digest[0].get("Algorithm", "")
    _check_digest_method(method, policy=policy, at=at)
    value = strict_base64(digest[1].text, limit=128)
    return _instant(times[0].text), _NamedCertificate(method=method, value=value)


def _children(element: etree._Element, tag: str) -> Iterator[etree._Element]:
    return (child for child in element if child.tag == tag)


def _instant(text: str | None) -> datetime:
    written = (text or "").strip(_SPACE)
    if not _INSTANT.fullmatch(written):
        raise RefusedError(Reason.TIME_FORMAT)
    try:
        return datetime.fromisoformat(written)
    except ValueError as error:
        raise RefusedError(Reason.TIME_FORMAT) from error


# 21: the signed manifest is the list of attachments.


def _manifest(
    skeleton: Skeleton,
    root: etree._Element,
    body: etree._Element | None,
    attachments: etree._Element | None,
) -> list[tuple[ManifestEntry, etree._Element]]:
    listed = _listed(body)
    contents = dict(skeleton.contents(root))
    carried: dict[str, etree._Element] = {}
    for attachment in attachments if attachments is not None else ():
        names = list(_children(attachment, CONTENT_ID))
        elements = list(_children(attachment, CONTENT_TAG))
        if attachment.tag != ATTACHMENT or len(names) != 1 or len(elements) != 1 or len(names[0]):
            raise RefusedError(Reason.ATTACHMENT_SET, "AttachmentEncoded")
        name = bare_content_id(names[0].text)
        if name in carried:
            raise RefusedError(Reason.ATTACHMENT_SET, "twice")
        carried[name] = elements[0]
    if carried.keys() != listed.keys() or len(contents) != len(carried):
        raise RefusedError(Reason.ATTACHMENT_SET)
    found = []
    for name, entry in listed.items():
        element = carried[name]
        part = contents[element]
        texts = _texts(entry)
        if element.get("Id") != f"att-{name}":
            raise RefusedError(Reason.ATTACHMENT_ID)
        if part.problem is not None:
            raise RefusedError(Reason.ATTACHMENT_BASE64, part.problem)
        found.append(
            (
                ManifestEntry(
                    content_id=name,
                    name=texts.get(_NAME_TAG, ""),
                    description=texts.get(_DESCRIPTION_TAG, ""),
                    content_type=texts.get(_TYPE_TAG, ""),
                    part=part,
                ),
                element,
            )
        )
    return found


def _listed(body: etree._Element | None) -> dict[str, etree._Element]:
    if body is None:
        return {}
    if _tags(body) not in {(), (MANIFEST,)}:
        raise RefusedError(Reason.ATTACHMENT_MANIFEST)
    listed: dict[str, etree._Element] = {}
    for entry in body[0] if len(body) else ():
        names = list(_children(entry, CONTENT_ID))
        if entry.tag != ENTRY or len(names) != 1 or len(names[0]):
            raise RefusedError(Reason.ATTACHMENT_MANIFEST)
        name = bare_content_id(names[0].text)
        if not name or name in listed:
            raise RefusedError(Reason.ATTACHMENT_MANIFEST)
        listed[name] = entry
    return listed


def _texts(entry: etree._Element) -> dict[str, str]:
    """The texts of an entry of the manifest by tag; of two with one tag the first."""
    texts: dict[str, str] = {}
    for child in entry:
        texts.setdefault(child.tag, (child.text or "").strip(_SPACE))
    return texts
