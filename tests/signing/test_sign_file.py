"""`axis sign`: from file to file, and what it refuses to do."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing.errors import CannotSignError, MaterialError, MessageError
from signing.reasons import Tier
from signing.sign import sign_file
from tests.signing.builders import SIGNED_AT, a_document, good, ministry, own_key, pki, verdict


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
