"""
Second opinions: xmlsec1 and signxml, two implementations that share no code with ours.

Every message that we accept must verify under both; every message in which a signed byte was changed must fail
under both and under ours. The reverse does not hold: they accept wrapped messages that the strict rules refuse.
"""

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from lxml import etree
from signxml.exceptions import InvalidDigest, InvalidInput, InvalidSignature
from signxml.verifier import SignatureConfiguration, XMLVerifier

from signing.certificates import TrustStore
from signing.reasons import Tier
from signing.verify import judge
from tests.signing.builders import (
    AT,
    AnAttachment,
    a_document,
    a_status,
    good,
    ministry,
    pki,
    signed,
    trust,
    verdict,
)

ID_ATTRIBUTES = (
    "MessageHeader",
    "Bussiness",
    "edXMLBody",
    "ContentTransferEncoded",
    "http://uri.etsi.org/01903/v1.3.2#:SignedProperties",
)


def xmlsec1_verifies(*messages: bytes | Path, folder: Path) -> bool:
    """Whether the command-line tool of another project is content with all of them."""
    roots = folder / "trust.pem"
    roots.write_bytes(pki().trust_pem)
    files = []
    for n, message in enumerate(messages):
        if isinstance(message, bytes):
            files.append(folder / f"message{n}.edxml")
            files[-1].write_bytes(message)
        else:
            files.append(message)
    ids = [option for name in ID_ATTRIBUTES for option in ("--id-attr:Id", name)]
    moment = ["--verification-gmt-time", f"{AT:%Y-%m-%d %H:%M:%S}"]
    command = ["xmlsec1", "--verify", *ids, "--trusted-pem", str(roots), *moment, *map(str, files)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def signxml(message: bytes, *, references: int) -> bool:
    """Ask a Python library of another project."""
    parser = etree.XMLParser(huge_tree=True, resolve_entities=False)
    config = SignatureConfiguration(expect_references=references, location=".//")
    try:
        XMLVerifier().verify(
            message,
            x509_cert=ministry().certificate,
            parser=parser,
            expect_config=config,
            id_attribute="Id",
        )
    except (InvalidDigest, InvalidInput, InvalidSignature, etree.XMLSyntaxError, ValueError):
        return False
    return True


@pytest.mark.parametrize(
    ("message", "references"),
    [
        pytest.param(a_document(), 6, id="document"),
        pytest.param(a_document(bussiness=False), 5, id="without business"),
        pytest.param(a_document(attachments=()), 4, id="without files"),
        pytest.param(
            a_document(attachments=[AnAttachment(content_id=f"f{n}") for n in range(26)]), 30, id="26 files"
        ),
        pytest.param(a_status(), 2, id="status"),
    ],
)
def test_what_we_sign_verifies_elsewhere(message: bytes, references: int, tmp_path: Path) -> None:
    """Documents and statuses of every shape."""
    sent = signed(message)

    opinions = (
        verdict(sent).tier is Tier.PASSED,
        xmlsec1_verifies(sent, folder=tmp_path),
        signxml(sent, references=references),
    )

    assert opinions == (True, True, True)


def signed_spans(message: bytes) -> Iterator[tuple[int, int]]:
    """Where the signed texts lie: content of the signed elements, and SignedInfo with its value."""
    for begin, end in (
        (b"<edXML:MessageHeader", b"</edXML:MessageHeader>"),
        (b"<edXML:Bussiness", b"</edXML:Bussiness>"),
        (b"<ds:SignedInfo", b"</ds:SignedInfo>"),
        (b"<ds:SignatureValue>", b"</ds:SignatureValue>"),
        (b"<xades:SignedProperties", b"</xades:SignedProperties>"),
        (b"<edXML:edXMLBody", b"</edXML:edXMLBody>"),
        (b'Id="att-c0">', b"</edXML:ContentTransferEncoded>"),
    ):
        start = message.index(begin)
        yield start + len(begin), message.index(end, start)


def test_one_changed_byte_anywhere_signed_is_refused_by_ours() -> None:
    """Every byte of every signed span, one after the other."""
    message = good()
    accepted = []

    for start, end in signed_spans(message):
        for place in range(start, end):
            other = b"B" if message[place : place + 1] == b"A" else b"A"
            tampered = message[:place] + other + message[place + 1 :]
            if judge(tampered, trust=trust(), at=AT).tier is Tier.PASSED:
                accepted.append((place, message[place - 20 : place + 20]))

    assert accepted == []


def test_one_changed_byte_is_refused_by_the_others_too(tmp_path: Path) -> None:
    """A sample of the same places; it shows that the oracle can say no."""
    message, random = good(), Random(20260302)
    places = [random.randrange(start, end) for start, end in signed_spans(message) for _ in range(2)]

    opinions = set()
    for place in places:
        other = b"B" if message[place : place + 1] == b"A" else b"A"
        tampered = message[:place] + other + message[place + 1 :]
        opinions.add((xmlsec1_verifies(tampered, folder=tmp_path), signxml(tampered, references=6)))

    assert opinions == {(False, False)}


def test_an_independent_path_verifier_agrees_on_expiry(tmp_path: Path) -> None:
    """xmlsec1 refuses the expired certificate that ours refuses."""
    late = signed(by=pki().issue("late", not_after=AT - timedelta(days=1)))

    opinions = (
        judge(late, trust=TrustStore.from_pem(pki().trust_pem), at=AT).tier,
        xmlsec1_verifies(late, folder=tmp_path),
    )

    assert opinions == (Tier.FAILED, False)
