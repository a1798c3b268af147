"""
Making an AX-1 signature: at the agency, before a message is handed to the axis.

The message is written anew by the XML writer (the sender owns its bytes until it has signed), comments and
processing instructions are dropped because a signed message may have none, and the content of attachments is
carried over as base64 without line breaks. What comes out is read back and checked against the strict rules before
it is returned, so that nobody sends a signature that will be refused.

`sign_file` does the same from file to file: what `axis sign` runs. Neither reads a clock: the signing time is an
argument.
"""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pybase64
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from signing import ax1
from signing.algorithms import (
    BASE64_TRANSFORM,
    DS,
    EXCLUSIVE_C14N,
    SHA256,
    SIGNATURE_METHODS,
    SIGNED_PROPERTIES_TYPE,
    XADES,
)
from signing.certificates import CertificateFacts, ReadCertificate, certificates_from_pem
from signing.errors import CannotSignError, MessageError
from signing.files import read_file, write_file
from signing.keys import Signer, open_signer
from signing.policy import CURRENT_POLICY
from signing.skeleton import Limits, MemorySink, Part, read_skeleton
from signing.verify import check_own_signature

_HEADER_ID, _BODY_ID, _BUSSINESS_ID, _PROPERTIES_ID, _SIGNATURE_ID = "mh", "body", "bu", "sp", "sig"


def sign(
    message: bytes,
    *,
    signer: Signer,
    chain: Sequence[ReadCertificate],
    signing_time: datetime,
    limits: Limits | None = None,
) -> bytes:
    """
    Sign a document or a status and return the bytes to send.

    `chain` holds the signer's certificate first, then its issuers without the root: one to four.

    Raises:
        MessageError: `message` is no acceptable XML.
        CannotSignError: it has a signature already, has not the shape of an edXML message, or `chain` and `signer`
            do not belong together.
    """
    if signing_time.tzinfo is None:
        raise CannotSignError("sign.time", "the signing time needs a time zone")
    if not 1 <= len(chain) <= ax1.MAX_CERTIFICATES:
        raise CannotSignError("sign.chain", "one to four certificates, the signer's first")
    sink = MemorySink()
    skeleton = read_skeleton(message, limits=limits, sink=sink)
    root = skeleton.tree()
    contents = skeleton.contents(root)
    _drop_comments(root)
    header, body = _places(root)
    targets = _mark(header, body, contents)
    _append_signature(header, targets, signer=signer, chain=chain, signing_time=signing_time)
    # No message can hold its own SHA-256, so this stands nowhere else in it.
    signed = _write(root, contents, sink.contents, placeholder=f"content-{skeleton.sha256}")
    _check(signed, at=signing_time, limits=limits)
    return signed


def sign_file(
    path: Path,
    *,
    key: str | Path | Signer,
    certificate: Path,
    out: Path,
    signing_time: datetime,
    passphrase: bytes | None = None,
    limits: Limits | None = None,
) -> CertificateFacts:
    """
    Sign the message in `path` and write it to `out`, whole or not at all; returns whose signature it is.

    `key` is a PEM file that only its owner can read, the `pkcs11:` URI of a key on a token, or a signer.
    `certificate` is a PEM file with the certificate of that key and, in any order, the authorities above it. A root
    in it is left out: the receiver has its own.

    Raises:
        MaterialError: a file cannot be read or written, or holds no usable key or certificate.
        MessageError: the message is no acceptable XML.
        CannotSignError: no certificate in the file belongs to the key, or the message cannot be signed.
    """
    if isinstance(key, str | Path):
        with closing(open_signer(key, passphrase=passphrase)) as opened:
            return sign_file(
                path, key=opened, certificate=certificate, out=out, signing_time=signing_time, limits=limits
            )
    chain = _chain(key, certificates_from_pem(read_file(certificate)))
    signed = sign(read_file(path), signer=key, chain=chain, signing_time=signing_time, limits=limits)
    write_file(out, signed)
    return chain[0].facts


def _chain(signer: Signer, certificates: Sequence[ReadCertificate]) -> tuple[ReadCertificate, ...]:
    """The signer's certificate, then its issuers in order, as far as they are there and are not roots."""
    own = next((one for one in certificates if _belong_together(signer, one)), None)
    if own is None:
        raise CannotSignError("sign.chain", "no certificate in the file belongs to the key")
    chain = [own]
    while (issuer := next((one for one in certificates if _is_above(one, chain)), None)) is not None:
        chain.append(issuer)
    return tuple(chain[: ax1.MAX_CERTIFICATES])


def _belong_together(signer: Signer, certificate: ReadCertificate) -> bool:
    """Whether what the key signs verifies with the certificate: the only question that an HSM answers too."""
    key, challenge = certificate.rsa_key, b"Does this key belong to this certificate?"
    if key is None:
        return False
    try:
        key.verify(
            signer.sign(challenge), challenge, padding.PKCS1v15(), SIGNATURE_METHODS[signer.method.value]
        )
    except InvalidSignature:
        return False
    return True


def _is_above(one: ReadCertificate, chain: Sequence[ReadCertificate]) -> bool:
    is_root = one.certificate.issuer == one.certificate.subject
    return not is_root and one not in chain and one.certificate.subject == chain[-1].certificate.issuer


def _drop_comments(root: etree._Element) -> None:
    for node in [*root.iter(etree.Comment), *root.iter(etree.PI)]:
        parent = node.getparent()
        if parent is None:
            continue
        tail, before = node.tail or "", node.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + tail
        else:
            parent.text = (parent.text or "") + tail
        parent.remove(node)


def _places(root: etree._Element) -> tuple[etree._Element, etree._Element | None]:
    header = root.find(f"{ax1.ENVELOPE}/{ax1.HEADER}")
    if root.tag != ax1.ROOT or header is None or header.find(ax1.MESSAGE_HEADER) is None:
        raise CannotSignError("sign.not_edxml", "no edXML/edXMLEnvelope/edXMLHeader/MessageHeader")
    for element in root.iter(etree.Element):
        if str(element.tag).rpartition("}")[2] in {"Signature", "DigitalSignature"}:
            raise CannotSignError("sign.already_signed", "remove the signature that is there first")
    return header, root.find(f"{ax1.ENVELOPE}/{ax1.BODY}")


def _mark(
    header: etree._Element,
    body: etree._Element | None,
    contents: Sequence[tuple[etree._Element, Part]],
) -> list[tuple[str, etree._Element | Part]]:
    """Give every part that must be signed its Id."""
    targets: list[tuple[str, etree._Element | Part]] = []
    message_header = header.find(ax1.MESSAGE_HEADER)
    bussiness = header.find(f"{ax1.TRACE_LIST}/{ax1.BUSSINESS}")
    for name, element in ((_HEADER_ID, message_header), (_BODY_ID, body), (_BUSSINESS_ID, bussiness)):
        if element is not None:
            element.set("Id", name)
            targets.append((name, element))
    for element, part in contents:
        if part.problem is not None:
            raise CannotSignError("sign.attachment", f"attachment {part.index + 1} is not base64")
        attachment = element.getparent()
        content_id = attachment.findtext(ax1.CONTENT_ID) if attachment is not None else None
        name = f"att-{ax1.bare_content_id(content_id)}"
        element.set("Id", name)
        targets.append((name, part))
    return targets


def _append_signature(
    header: etree._Element,
    targets: Sequence[tuple[str, etree._Element | Part]],
    *,
    signer: Signer,
    chain: Sequence[ReadCertificate],
    signing_time: datetime,
) -> None:
    signature = etree.SubElement(header, f"{{{DS}}}Signature", {"Id": _SIGNATURE_ID}, nsmap={"ds": DS})
    signed_info = _add(signature, "SignedInfo")
    value = _add(signature, "SignatureValue")
    key_info = _add(_add(signature, "KeyInfo"), "X509Data")
    properties = _properties(_add(signature, "Object"), chain[0], signing_time)
    for certificate in chain:
        _add(key_info, "X509Certificate").text = _base64(certificate.der)
    _add(signed_info, "CanonicalizationMethod", Algorithm=EXCLUSIVE_C14N)
    _add(signed_info, "SignatureMethod", Algorithm=signer.method.value)
    for name, target in targets:
        if isinstance(target, Part):
            _reference(signed_info, name, BASE64_TRANSFORM, bytes.fromhex(target.sha256))
        else:
            _reference(signed_info, name, EXCLUSIVE_C14N, _sha256(ax1.canonical(target)))
    digest = _sha256(ax1.canonical(properties))
    _reference(signed_info, _PROPERTIES_ID, EXCLUSIVE_C14N, digest).set("Type", SIGNED_PROPERTIES_TYPE)
    canonical = ax1.canonical(signed_info)
    value.text = _base64(signer.sign(canonical))


def _properties(
    holder: etree._Element, certificate: ReadCertificate, signing_time: datetime
) -> etree._Element:
    qualifying = etree.SubElement(
        holder, ax1.QUALIFYING, {"Target": f"#{_SIGNATURE_ID}"}, nsmap={"xades": XADES}
    )
    properties = etree.SubElement(qualifying, ax1.SIGNED_PROPERTIES, {"Id": _PROPERTIES_ID})
    own = etree.SubElement(properties, ax1.SIGNATURE_PROPERTIES)
    etree.SubElement(own, ax1.SIGNING_TIME).text = signing_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = etree.SubElement(
        etree.SubElement(etree.SubElement(own, ax1.SIGNING_CERTIFICATE), ax1.CERT), ax1.CERT_DIGEST
    )
    _add(digest, "DigestMethod", Algorithm=SHA256)
    _add(digest, "DigestValue").text = _base64(_sha256(certificate.der))
    return properties


def _add(parent: etree._Element, name: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{DS}}}{name}", attributes)


def _reference(signed_info: etree._Element, name: str, transform: str, digest: bytes) -> etree._Element:
    reference = _add(signed_info, "Reference", URI=f"#{name}")
    _add(_add(reference, "Transforms"), "Transform", Algorithm=transform)
    _add(reference, "DigestMethod", Algorithm=SHA256)
    _add(reference, "DigestValue").text = _base64(digest)
    return reference


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _base64(content: bytes) -> str:
    return pybase64.b64encode(content).decode("ascii")


def _write(
    root: etree._Element,
    contents: Sequence[tuple[etree._Element, Part]],
    decoded: Sequence[bytes],
    *,
    placeholder: str,
) -> bytes:
    """Write the tree, with each content at its place but never as text of the tree (libxml2 stops at 10 MB)."""
    for element, _ in contents:
        element.text = placeholder
    xml = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    pieces = xml.split(placeholder.encode("ascii"))
    message = [pieces[0]]
    for (_, part), piece in zip(contents, pieces[1:], strict=True):
        message += (pybase64.b64encode(decoded[part.index]), piece)
    return b"".join(message)


def _check(signed: bytes, *, at: datetime, limits: Limits | None) -> None:
    """Read back what was written, with the eyes of the one who will verify it."""
    try:
        check_own_signature(read_skeleton(signed, limits=limits), at=at, policy=CURRENT_POLICY)
    except MessageError as error:
        raise CannotSignError(error.reason, error.detail) from error
    except ax1.RefusedError as error:
        raise CannotSignError(error.reason, error.detail) from error
