"""Signed notes, key files, checkpoints and inclusion proofs as text."""

import base64
import errno
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.errors import MaterialError
from signing.merkle import ProofError, Tree, leaf_hash
from signing.note import (
    Checkpoint,
    LogProof,
    NoteError,
    SigningKey,
    VerifierKey,
    create_key_file,
    epoch_of,
    load_key_file,
    origin_of,
    read_checkpoint,
    read_proof,
    sign_note,
    split_note,
    verify_checkpoint,
    verify_note,
    verify_proof,
)

ORIGIN = "log.example/axis"
KEY = SigningKey.from_seed(ORIGIN, seed=bytes(range(32)))
OTHER = SigningKey.from_seed("witness.example", seed=bytes(range(1, 33)))
LEAVES = [leaf_hash(bytes([number])) for number in range(7)]
TREE = Tree.over(LEAVES)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=7, root=TREE.root)
NOTE = sign_note(CHECKPOINT.text, signers=[KEY])
PROOF = LogProof(index=4, path=TREE.inclusion(4), checkpoint=NOTE)


def test_the_key_id_is_the_one_of_the_standard() -> None:
    """SHA-256 of name, line end, type byte and key, first four bytes (C2SP signed-note)."""
    public = KEY.verifier.public
    encoded = base64.b64encode(b"\x01" + public).decode()

    assert KEY.verifier.id == sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4]
    assert KEY.verifier.text == f"{ORIGIN}+{KEY.verifier.id.hex()}+{encoded}"


def test_a_verifier_key_survives_its_text() -> None:
    """The pinned form is read back as the same key."""
    assert VerifierKey.read(KEY.verifier.text) == KEY.verifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        KEY.verifier.text.replace(KEY.verifier.id.hex(), "00000000"),
        KEY.verifier.text[:-4],
        KEY.verifier.text.replace("log.example", "log.examplf"),
        "+" + KEY.verifier.text,
        KEY.verifier.text + "=",
    ],
)
def test_a_wrong_verifier_key_is_refused(text: str) -> None:
    """The digits, the name and the key belong together, in one form only."""
    with pytest.raises(NoteError):
        VerifierKey.read(text)


def test_a_key_of_an_unknown_type_is_read_but_never_trusted() -> None:
    """The type byte is open: a later algorithm's key has a name, and its signatures count for nothing yet."""
    later = VerifierKey(name=ORIGIN, algorithm=0x06, public=bytes(40))

    again = VerifierKey.read(later.text)

    assert again == later
    assert again.verifies(b"anything", bytes(64)) is False


def test_signatures_by_others_are_ignored() -> None:
    """A note cosigned by a witness nobody pinned here verifies by the log's key alone."""
    note = sign_note(CHECKPOINT.text, signers=[OTHER, KEY])

    assert verify_note(note, keys=[KEY.verifier]).keys == (KEY.verifier,)
    assert verify_note(note, keys=[KEY.verifier, OTHER.verifier]).keys == (OTHER.verifier, KEY.verifier)


def test_a_known_key_with_a_wrong_signature_spoils_the_note() -> None:
    """Even if another known key signed rightly."""
    text, signatures = split_note(sign_note(CHECKPOINT.text, signers=[OTHER, KEY]))
    forged = replace(signatures[0], signature=bytes(64))

    with pytest.raises(NoteError) as refused:
        verify_note(text + "\n" + forged.line + signatures[1].line, keys=[KEY.verifier, OTHER.verifier])

    assert refused.value.cause == "wrong signature"


def test_a_note_by_nobody_known_is_refused() -> None:
    """No trusted signature, no text."""
    with pytest.raises(NoteError) as refused:
        verify_note(NOTE, keys=[OTHER.verifier])

    assert refused.value.cause == "not signed"


def test_every_changed_byte_of_a_checkpoint_is_refused() -> None:
    """Each byte in turn, each of three other values: never believed."""
    raw = NOTE.encode()
    for at in range(len(raw)):
        for other in {raw[at] ^ 1, raw[at] ^ 0x20, 0x0A} - {raw[at]}:
            changed = raw[:at] + bytes([other]) + raw[at + 1 :]
            try:
                text = changed.decode("utf-8")
            except UnicodeDecodeError:
                continue
            with pytest.raises(NoteError):
                verify_checkpoint(text, keys=[KEY.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "text\n",
        "text\n\n",
        "\n\n" + NOTE,
        NOTE.rstrip("\n"),
        NOTE.replace("\n", "\r\n"),
        NOTE + "\n",
        NOTE + "no dash\n",
        NOTE + "— nameonly\n",
        NOTE + "— name AAAA\n",
        NOTE + NOTE.split("\n\n")[1],
        NOTE + NOTE.split("\n\n")[1] * 40,
        "a" * 300_000,
        "\ud800" + NOTE,
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    """Bounded, with a clear error, whatever comes."""
    with pytest.raises(NoteError):
        verify_checkpoint(text, keys=[KEY.verifier])


@given(st.text(max_size=300))
def test_no_text_breaks_a_reader(text: str) -> None:
    """Readers raise their own error or nothing else."""
    for read in (split_note, read_checkpoint, read_proof, VerifierKey.read):
        try:
            read(text)
        except NoteError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n07\n{base64.b64encode(TREE.root).decode()}\n",
        f"{ORIGIN}\n-7\n{base64.b64encode(TREE.root).decode()}\n",
        f"{ORIGIN}\n٧\n{base64.b64encode(TREE.root).decode()}\n",
        f"{ORIGIN}\n7\n{base64.b64encode(TREE.root[:31]).decode()}\n",
        f"{ORIGIN}\n7\n{base64.b64encode(TREE.root).decode()}\nextension\n",
        f"{ORIGIN}\n7\n{base64.b64encode(TREE.root).decode().rstrip('=')}\n",
        f"two words\n7\n{base64.b64encode(TREE.root).decode()}\n",
    ],
)
def test_a_checkpoint_has_one_form(text: str) -> None:
    """What is signed but says it in another form is refused too."""
    with pytest.raises(NoteError):
        verify_checkpoint(sign_note(text, signers=[KEY]), keys=[KEY.verifier])


def test_a_key_speaks_for_its_own_log_only() -> None:
    """A trusted key under another log's origin proves nothing of that log."""
    with pytest.raises(NoteError) as refused:
        verify_checkpoint(
            sign_note(replace(CHECKPOINT, origin="log.example/other").text, signers=[KEY]),
            keys=[KEY.verifier],
        )

    assert refused.value.cause == "another log"


def test_epochs_have_origins_of_their_own() -> None:
    """The first keeps the log's name; no other text than the made one is an epoch."""
    assert origin_of(ORIGIN, epoch=1) == ORIGIN
    assert epoch_of(origin_of(ORIGIN, epoch=12), log=ORIGIN) == 12
    for wrong in (f"{ORIGIN}/epoch-1", f"{ORIGIN}/epoch-02", f"{ORIGIN}/epoch-", f"{ORIGIN}2", "x"):
        with pytest.raises(NoteError):
            epoch_of(wrong, log=ORIGIN)


def test_a_proof_survives_its_text_and_verifies() -> None:
    """`tlog-proof@v1`: written, read, verified."""
    with_extra = replace(PROOF, extra=b"a remark")

    assert read_proof(PROOF.text) == PROOF
    assert read_proof(with_extra.text) == with_extra
    assert verify_proof(PROOF.text, leaf=LEAVES[4], keys=[KEY.verifier]) == (4, CHECKPOINT)


def test_a_proof_has_the_lines_of_the_standard() -> None:
    """Header, index, hashes, an empty line, then the checkpoint verbatim."""
    lines = PROOF.text.split("\n")

    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 4"]
    assert [base64.b64decode(one) for one in lines[2:5]] == list(TREE.inclusion(4))
    assert lines[5] == ""
    assert "\n".join(lines[6:]) == NOTE


def test_a_proof_for_another_leaf_is_refused() -> None:
    """The checkpoint is good, the leaf is not in it."""
    with pytest.raises(ProofError):
        verify_proof(PROOF.text, leaf=LEAVES[3], keys=[KEY.verifier])


def test_every_changed_byte_of_a_proof_is_refused() -> None:
    """Nothing in the file can change without being noticed."""
    raw = PROOF.text.encode()
    for at in range(len(raw)):
        for other in (raw[at] ^ 1, raw[at] ^ 0x10):
            try:
                text = (raw[:at] + bytes([other]) + raw[at + 1 :]).decode("utf-8")
            except UnicodeDecodeError:
                continue
            with pytest.raises((NoteError, ProofError)):
                verify_proof(text, leaf=LEAVES[4], keys=[KEY.verifier])


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Made with mode 600, read back as the same key, never overwritten."""
    path = tmp_path / "log.key"

    made = create_key_file(path, name=ORIGIN, seed=bytes(range(32)))

    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key_file(path).verifier == made.verifier == KEY.verifier
    assert load_key_file(path).sign(b"x") == KEY.sign(b"x")
    with pytest.raises(MaterialError) as refused:
        create_key_file(path, name=ORIGIN, seed=bytes(32))
    assert refused.value.cause == "key file exists"


def test_nobody_ever_finds_half_a_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is whole and on the disk there is none: two hubs start at once, and each may be killed at any moment."""
    path = tmp_path / "log.key"

    def full(_: int) -> None:
        assert not path.exists()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(MaterialError) as refused:
            create_key_file(path, name=ORIGIN, seed=bytes(32))

    assert refused.value.cause == "cannot write key file"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_key_file_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """Whatever group or others may do with it."""
    path = tmp_path / "log.key"
    create_key_file(path, name=ORIGIN, seed=bytes(32))
    path.chmod(mode)

    with pytest.raises(MaterialError) as refused:
        load_key_file(path)

    assert refused.value.cause == "key file is open"


def test_a_link_or_folder_is_no_key_file(tmp_path: Path) -> None:
    """The name must be the file itself."""
    create_key_file(tmp_path / "real.key", name=ORIGIN, seed=bytes(32))
    (tmp_path / "link.key").symlink_to(tmp_path / "real.key")
    (tmp_path / "folder.key").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe.key", 0o600)
    writer = os.open(tmp_path / "pipe.key", os.O_RDWR)

    for name in ("link.key", "folder.key", "pipe.key", "missing.key"):
        with pytest.raises(MaterialError):
            load_key_file(tmp_path / name)
    os.close(writer)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        KEY.verifier.text.encode(),
        b"PRIVATE+KEY+a+00000000+AQ==\n",
        b"PRIVATE+KEY+" + KEY.verifier.label.encode() + b"+" + base64.b64encode(b"\x01" + bytes(32)) + b"\n",
        b"PRIVATE+KEY+" + KEY.verifier.label.encode() + b"+" + base64.b64encode(b"\x02" + bytes(32)) + b"\n",
    ],
)
def test_a_file_without_a_key_is_refused_without_being_shown(tmp_path: Path, content: bytes) -> None:
    """The error names the file and nothing that stood in it."""
    path = tmp_path / "log.key"
    path.touch(0o600)
    path.write_bytes(content)

    with pytest.raises(MaterialError) as refused:
        load_key_file(path)

    assert refused.value.__cause__ is None
    assert "PRIVATE" not in str(refused.value)


def test_a_key_shows_its_name_only(tmp_path: Path) -> None:
    """Neither `repr` nor `str` of a key holds a part of its secret."""
    seed = bytes(range(100, 132))
    key = create_key_file(tmp_path / "k", name=ORIGIN, seed=seed)
    secret = base64.b64encode(b"\x01" + seed).decode()

    for shown in (repr(key), str(key)):
        assert secret not in shown
        assert seed.hex() not in shown
    assert secret in (tmp_path / "k").read_text()


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u2028b", "a" * 300])
def test_a_key_name_can_stand_in_a_line(name: str) -> None:
    """No plus, no space of any kind, not empty."""
    with pytest.raises(NoteError):
        VerifierKey(name=name, algorithm=1, public=bytes(32))
