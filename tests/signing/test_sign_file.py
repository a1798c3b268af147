"""`axis sign`: from file to file, and what it refuses to do."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing.errors import CannotSignError, MaterialError, MessageError
from signing.keys import KeySigner
from signing.reasons import Tier
from signing.sign import sign, sign_file
from tests.signing.builders import (
    SIGNED_AT,
    Surgery,
    a_document,
    chain_of,
    good,
    ministry,
    own_key,
    pki,
    verdict,
)
from tests.signing.vectors import elliptic_key


def material(folder: Path, *, message: bytes | None = None) -> tuple[Path, Path, Path]:
    key, chain = ministry().write(folder, "ministry")
    path = folder / "document.edxml"
    path.write_bytes(a_document() if message is None else message)
    return path, key, chain


def test_a_signed_file_passes(tmp_path: Path) -> None:
    """With the key file and the certificates of the issuing authority and even of the root in one file."""
    path, key, chain = material(tmp_path)
    # In the wrong order, and with the root.
    chain.write_bytes(
        pki().trust_pem + pki().issuing.certificate.public_bytes(Encoding.PEM) + ministry().certificate_pem
    )

    signer = sign_file(
        path, key=key, certificate=chain, out=tmp_path / "signed.edxml", signing_time=SIGNED_AT
    )

    judged = verdict((tmp_path / "signed.edxml").read_bytes())
    assert (judged.tier, judged.signer) == (Tier.PASSED, signer)
    assert (tmp_path / "signed.edxml").read_bytes().count(b"<ds:X509Certificate>") == 2


def test_a_file_may_be_signed_in_place(tmp_path: Path) -> None:
    """What stands there is the old message or the whole new one."""
    path, key, chain = material(tmp_path)

    sign_file(path, key=key, certificate=chain, out=path, signing_time=SIGNED_AT)

    assert verdict(path.read_bytes()).tier is Tier.PASSED
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "document.edxml",
        "ministry.chain.pem",
        "ministry.key.pem",
    ]


def test_the_key_must_belong_to_the_certificate(tmp_path: Path) -> None:
    """Otherwise every receiver would refuse the message."""
    path, _, chain = material(tmp_path)
    key, _ = pki().issue("Bộ khác", key=own_key("another key")).write(tmp_path, "other")

    with pytest.raises(CannotSignError, match=r"sign\.chain"):
        sign_file(path, key=key, certificate=chain, out=tmp_path / "out", signing_time=SIGNED_AT)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"%PDF", MessageError),
        (b"<a/>", CannotSignError),
        (good(), CannotSignError),
    ],
)
def test_what_cannot_be_signed_leaves_no_file(message: bytes, error: type[Exception], tmp_path: Path) -> None:
    """Neither no XML, nor no edXML, nor what is signed already."""
    path, key, chain = material(tmp_path, message=message)

    with pytest.raises(error):
        sign_file(path, key=key, certificate=chain, out=tmp_path / "out", signing_time=SIGNED_AT)

    assert not (tmp_path / "out").exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """With the command that mends it."""
    path, key, chain = material(tmp_path)
    key.chmod(0o640)

    with pytest.raises(MaterialError, match=r"key\.permissions.*chmod 600"):
        sign_file(path, key=key, certificate=chain, out=tmp_path / "out", signing_time=SIGNED_AT)


@pytest.mark.parametrize("missing", ["document.edxml", "ministry.key.pem", "ministry.chain.pem"])
def test_a_missing_file_is_named(missing: str, tmp_path: Path) -> None:
    """By its own name, not by its folders."""
    path, key, chain = material(tmp_path)
    (tmp_path / missing).unlink()

    with pytest.raises(MaterialError) as raised:
        sign_file(path, key=key, certificate=chain, out=tmp_path / "out", signing_time=SIGNED_AT)

    assert raised.value.cause == "file.unreadable"
    assert missing in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


def test_a_folder_that_does_not_take_the_result_is_named(tmp_path: Path) -> None:
    """And nothing else is left behind."""
    path, key, chain = material(tmp_path)

    with pytest.raises(MaterialError, match=r"file\.unwritable: out"):
        sign_file(path, key=key, certificate=chain, out=tmp_path / "no" / "out", signing_time=SIGNED_AT)


def in_memory(message: bytes, *, signing_time: datetime = SIGNED_AT, chain_length: int = 2) -> bytes:
    chain = chain_of(ministry())
    certificates = (chain * 3)[:chain_length]
    return sign(message, signer=KeySigner(ministry().key), chain=certificates, signing_time=signing_time)


@pytest.mark.parametrize(
    ("cause", "call"),
    [
        ("sign.time", lambda: in_memory(a_document(), signing_time=SIGNED_AT.replace(tzinfo=None))),
        ("sign.chain", lambda: in_memory(a_document(), chain_length=0)),
        ("sign.chain", lambda: in_memory(a_document(), chain_length=5)),
        ("sign.attachment", lambda: in_memory(a_document().replace(b"JVBERi0x", b"JVB!Ri0x"))),
        ("xml.bad_id", lambda: in_memory(a_document().replace(b"<edXML:Code>", b'<edXML:Code Id="a b">'))),
        (
            "xml.duplicate_id",
            lambda: in_memory(a_document().replace(b"<ContentId>cid:c1", b"<ContentId>cid:c0", 1)),
        ),
    ],
)
def test_what_would_be_refused_is_not_signed(cause: str, call: Callable[[], bytes]) -> None:
    """The signer reads back what it wrote, with the eyes of the one who will verify it."""
    with pytest.raises(CannotSignError) as raised:
        call()

    assert raised.value.cause == cause


def test_comments_and_instructions_go_and_their_surroundings_stay() -> None:
    """A signed message may have none; the text around them joins."""
    message = (
        a_document()
        .replace(b"<edXML:Paper>0<", b"<edXML:Paper><!--a--> <?b c?>0<!--d--><")
        .replace(b"<?xml version", b"<?xml version", 1)
    )

    signed = in_memory(b"\n".join([message, b"<!-- after the root -->"]))

    judged = verdict(signed)
    assert judged.tier is Tier.PASSED
    assert judged.signed is not None
    assert b"<edXML:Paper> 0</edXML:Paper>" in (judged.signed.bussiness or b"")


def test_a_certificate_with_another_kind_of_key_belongs_to_no_signer(tmp_path: Path) -> None:
    """It is passed over when the file holds several."""
    path, key, chain = material(tmp_path)
    curve = Surgery(elliptic_key()).find("X509Certificate").text or ""
    pem = f"-----BEGIN CERTIFICATE-----\n{curve}\n-----END CERTIFICATE-----\n".encode()
    chain.write_bytes(pem + chain.read_bytes())

    sign_file(path, key=key, certificate=chain, out=path, signing_time=SIGNED_AT)

    assert verdict(path.read_bytes()).tier is Tier.PASSED
