"""
Two hundred messages signed by us verify under xmlsec1 and signxml; two hundred signed by xmlsec1 verify under ours.

Random content, the same each run: texts with marks, entities and white space, no to eight attachments, optional
parts missing, statuses. xmlsec1 signs templates written here by hand, with other prefixes, Ids and line breaks than
our own signer uses, so that nothing but the profile is common to both.
"""

import subprocess
from base64 import b64decode, b64encode, encodebytes
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing.reasons import Tier
from tests.signing.builders import (
    DS,
    XADES,
    AnAttachment,
    a_document,
    a_status,
    ministry,
    pki,
    signed,
    verdict,
)
from tests.signing.test_oracles import ID_ATTRIBUTES, signxml, xmlsec1_verifies

COUNT = 200
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
LETTERS = "aăâbcdđeêghiklmnoôơpqrstuưvxyáàảãạ ẤẦĐ0123456789/-–“”"

pytestmark = pytest.mark.timeout(240)


def a_text(random: Random) -> str:
    """Words with marks, references and odd white space, as XML."""
    pieces = [
        "".join(random.choice(LETTERS) for _ in range(random.randrange(1, 30))),
        random.choice(["&amp;", "&lt;", "&#x1EA4;", "&#13;", "\t", "\n", " ", "&quot;", "<![CDATA[<&]]>"]),
        random.choice(["Quyết định", "V/v báo cáo", "𝒶stral", ""]),
    ]
    random.shuffle(pieces)
    return "".join(pieces)


def a_message(random: Random) -> tuple[bytes, int]:
    """An unsigned message and the number of references that its signature must have."""
    if random.random() < 0.15:
        return a_status().replace(b"12/Q", f"{random.randrange(10**6)}/Q".encode()), 2
    count = random.choice([0, 1, 1, 2, 2, 3, 8])
    attachments = [
        AnAttachment(
            content_id=f"f{n}.{random.randrange(1000)}",
            name=f"tệp {n}.pdf",
            content=random.randbytes(random.randrange(1, 3000)),
        )
        for n in range(count)
    ]
    trace, bussiness = random.random() < 0.8, random.random() < 0.7
    message = a_document(
        attachments=attachments,
        trace=trace,
        bussiness=bussiness,
        subject=a_text(random),
        kind=str(random.randrange(4)),
    )
    if random.random() < 0.3:
        message = message.replace(b"<edXML:Code>", b"\r\n  <edXML:Code>\n")
    return message, 3 + (trace and bussiness) + count


@cache
def ours() -> tuple[tuple[bytes, int], ...]:
    """Messages signed by us."""
    random = Random(20260302)
    return tuple(
        (signed(message), references) for message, references in (a_message(random) for _ in range(COUNT))
    )


def test_what_we_sign_verifies_under_ours() -> None:
    """To begin with."""
    assert {verdict(message).reason for message, _ in ours()} == {"signature.passed"}


def test_what_we_sign_verifies_under_xmlsec1(tmp_path: Path) -> None:
    """All two hundred, by its command-line tool; and the tool would notice one that does not."""
    files = []
    for n, (message, _) in enumerate(ours()):
        files.append(tmp_path / f"{n}.edxml")
        files[-1].write_bytes(message)
    changed = tmp_path / "changed.edxml"
    changed.write_bytes(ours()[0][0].replace(b"000.00.00", b"000.00.01", 1))

    assert xmlsec1_verifies(*files, folder=tmp_path)
    assert not xmlsec1_verifies(*files[:3], changed, *files[3:6], folder=tmp_path)


def test_what_we_sign_verifies_under_signxml() -> None:
    """All two hundred, and with the number of references that it expects."""
    refused = [n for n, (message, count) in enumerate(ours()) if not signxml(message, references=count)]

    assert refused == []


def a_template(message: bytes, random: Random) -> bytes:
    """`message` with Ids and an unsigned signature, as somebody else would write it."""
    names = {
        "mh": f"h{random.randrange(100)}",
        "body": f"b-{random.randrange(100)}",
        "bu": "_bu",
        "sp": "props",
    }
    prefix = random.choice(["", "dsig:", "ds:"])
    text = message.decode()
    references = []
    for element, name in (("MessageHeader", "mh"), ("edXMLBody", "body"), ("Bussiness", "bu")):
        for tag in (f"<edXML:{element}>", f"<{element}>"):
            if tag in text:
                text = text.replace(tag, f'{tag[:-1]} Id="{names[name]}">', 1)
                references.append((names[name], EXC, ""))
    head, *contents = text.split("<edXML:ContentTransferEncoded xmlns:edXML=")
    for n, content in enumerate(contents):
        before = head if n == 0 else contents[n - 1]
        content_id = before.rpartition("<ContentId>cid:")[2].partition("<")[0]
        opening, _, rest = content.partition(">")
        encoded, _, tail = rest.partition("<")
        wrapped = encodebytes(b64decode(encoded)).decode() if random.random() < 0.5 else encoded
        contents[n] = f'{opening} Id="att-{content_id}">{wrapped}<{tail}'
        references.append((f"att-{content_id}", f"{DS}base64", ""))
    text = "<edXML:ContentTransferEncoded xmlns:edXML=".join([head, *contents])
    references.append((names["sp"], EXC, ' Type="http://uri.etsi.org/01903#SignedProperties"'))
    random.shuffle(references)
    signature = _signature(prefix, references, properties=names["sp"], random=random)
    closing = "</edXML:edXMLHeader>" if "</edXML:edXMLHeader>" in text else "</edXMLHeader>"
    return text.replace(closing, f"\n  {signature}\n{closing}", 1).encode()


def _signature(
    prefix: str, references: list[tuple[str, str, str]], *, properties: str, random: Random
) -> str:
    p, break_ = prefix, random.choice(["", "\n", "\n      "])
    digest = random.choice(
        [
            "http://www.w3.org/2001/04/xmlenc#sha256",
            "http://www.w3.org/2001/04/xmldsig-more#sha384",
            "http://www.w3.org/2001/04/xmlenc#sha512",
        ]
    )
    method = f"http://www.w3.org/2001/04/xmldsig-more#rsa-{random.choice(['sha256', 'sha384', 'sha512'])}"
    der = ministry().certificate.public_bytes(Encoding.DER)
    chain = [der, pki().issuing.certificate.public_bytes(Encoding.DER)]
    declared = f'xmlns:{p[:-1]}="{DS}"' if p else f'xmlns="{DS}"'
    listed = break_.join(
        f'<{p}Reference URI="#{name}"{kind}><{p}Transforms><{p}Transform Algorithm="{transform}"/></{p}Transforms>'
        f'<{p}DigestMethod Algorithm="{digest}"/><{p}DigestValue></{p}DigestValue></{p}Reference>'
        for name, transform, kind in references
    )
    certificates = break_.join(
        f"<{p}X509Certificate>{encodebytes(one).decode()}</{p}X509Certificate>" for one in chain
    )
    return (
        f'<{p}Signature {declared} Id="s1"><{p}SignedInfo>{break_}'
        f'<{p}CanonicalizationMethod Algorithm="{EXC}"/>{break_}<{p}SignatureMethod Algorithm="{method}"/>'
        f"{break_}{listed}{break_}</{p}SignedInfo><{p}SignatureValue></{p}SignatureValue>{break_}"
        f"<{p}KeyInfo><{p}X509Data>{certificates}</{p}X509Data></{p}KeyInfo>"
        f'<{p}Object><x:QualifyingProperties xmlns:x="{XADES}" Target="#s1"><x:SignedProperties Id="{properties}">'
        f"<x:SignedSignatureProperties><x:SigningTime>2026-03-02T15:30:00+07:00</x:SigningTime>"
        f"<x:SigningCertificateV2><x:Cert><x:CertDigest>"
        f'<{p}DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f"<{p}DigestValue>{b64encode(sha256(der).digest()).decode()}</{p}DigestValue>"
        f"</x:CertDigest></x:Cert></x:SigningCertificateV2></x:SignedSignatureProperties></x:SignedProperties>"
        f"</x:QualifyingProperties></{p}Object></{p}Signature>"
    )


def signed_by_xmlsec1(template: bytes, folder: Path) -> bytes:
    source, key, target = folder / "template.xml", folder / "key.pem", folder / "signed.xml"
    source.write_bytes(template)
    key.write_bytes(ministry().key_pem)
    ids = [option for name in ID_ATTRIBUTES for option in ("--id-attr:Id", name)]
    command = ["xmlsec1", "--sign", *ids, "--privkey-pem", str(key), "--output", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, (done.stderr.decode(), template.decode())
    return target.read_bytes()


@pytest.mark.slow
def test_what_xmlsec1_signs_verifies_under_ours(tmp_path: Path) -> None:
    """All two hundred, with every digest and method of the profile."""
    random = Random(1896)
    refused = []

    for n in range(COUNT):
        message, _ = a_message(random)
        judged = verdict(signed_by_xmlsec1(a_template(message, random), tmp_path))
        if judged.tier is not Tier.PASSED:
            refused.append((n, judged.reason, judged.detail))

    assert refused == []
