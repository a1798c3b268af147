"""
Signed notes: the text form of checkpoints, of the keys that sign them, and of inclusion proofs.

C2SP signed-note, tlog-checkpoint and tlog-proof (https://c2sp.org). Signature type 0x01, Ed25519 (RFC 8032); the type
byte stands in every key, and a key of a type not listed in `_VERIFY` can be read, named and ignored, but never trusted:
another algorithm is one more entry. Key files hold one line and are refused when anybody but their owner may read
them. The text of a note is only given out after a signature over it was verified.

Nothing here reads a clock, makes randomness or knows what is in the log.
"""

import base64
import binascii
import os
import re
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol, Self, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signing.errors import MaterialError, SigningError
from signing.merkle import HASH_SIZE, MAX_PROOF, ProofError, verify_inclusion

ED25519: Final = 0x01
SEED_SIZE: Final = 32

MAX_NOTE_BYTES: Final = 256 * 1024
MAX_SIGNATURES: Final = 32
PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"

_DASH: Final = "\u2014 "
_PRIVATE: Final = "PRIVATE+KEY+"
_EPOCH: Final = "/epoch-"
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@final
class NoteError(SigningError):
    """A note, key or proof text cannot be believed; `cause` is stable, `detail` is for people."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail


# --- Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key and its name, as others pin it."""

    name: str
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        """Refuse a name or a key that could not stand in a note."""
        check_key_name(self.name)
        if not 0 <= self.algorithm <= 0xFF:
            raise NoteError("bad key", "the signature type is one byte")
        if self.algorithm == ED25519 and len(self.public) != 32:
            raise NoteError("bad key", "an Ed25519 key has 32 bytes")

    @classmethod
    def read(cls, text: str) -> Self:
        """
        The key that `<name>+<8 hex digits>+<base64 of type byte and key>` says.

        Raises:
            NoteError: it has another form, or its digits do not belong to it.
        """
        name, digits, encoded = _three(text.strip())
        raw = _base64(encoded, what="key")
        if len(raw) < 2:
            raise NoteError("bad key", "no key in it")
        key = cls(name=name, algorithm=raw[0], public=raw[1:])
        if digits != key.id.hex():
            raise NoteError("bad key", "the key and its id do not belong together")
        return key

    @property
    def id(self) -> bytes:
        """The four bytes that name the key in a signature line. A name, not a proof of anything."""
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    @property
    def label(self) -> str:
        """`<name>+<8 hex digits>`: how a receipt names the key."""
        return f"{self.name}+{self.id.hex()}"

    @property
    def text(self) -> str:
        """The form that is published and pinned."""
        return f"{self.label}+{base64.b64encode(bytes([self.algorithm]) + self.public).decode()}"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` over `message` is by this key; False for a signature type that is not known here."""
        verify = _VERIFY.get(self.algorithm)
        return verify is not None and verify(self.public, message, signature)


def _verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


_VERIFY: Final[dict[int, Callable[[bytes, bytes, bytes], bool]]] = {ED25519: _verify_ed25519}


class NoteSigner(Protocol):
    """Whatever holds a private key: a file here, a hardware module elsewhere."""

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The bare signature over `message`."""
        ...


@final
@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key in memory. Shows its name and never its secret, also in a traceback."""

    verifier: VerifierKey
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_seed(cls, name: str, *, seed: bytes) -> Self:
        """The key of this name with 32 bytes from a cryptographic random source."""
        if len(seed) != SEED_SIZE:
            raise MaterialError("bad key", f"a seed has {SEED_SIZE} bytes")
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes_raw()
        return cls(VerifierKey(name=name, algorithm=ED25519, public=public), private)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def _line(self) -> bytes:
        secret = base64.b64encode(bytes([ED25519]) + self._private.private_bytes_raw()).decode()
        return f"{_PRIVATE}{self.verifier.label}+{secret}\n".encode()


def create_key_file(path: Path, *, name: str, seed: bytes) -> SigningKey:
    """
    Make a key and its file, readable by its owner alone. An existing file is never overwritten.

    The file appears whole or not at all: another process may look for it, and this one may be killed, at any moment.

    Raises:
        MaterialError: the file exists or cannot be written.
    """
    key = SigningKey.from_seed(name, seed=seed)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(key._line())  # noqa: SLF001  # the one place that writes a secret
                out.flush()
                os.fsync(out.fileno())
            # Unlike a rename, a link never replaces what somebody else has put there meanwhile.
            os.link(temporary, path)
        finally:
            Path(temporary).unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as problem:
        raise MaterialError("key file exists", path.name) from problem
    except OSError as problem:
        raise MaterialError("cannot write key file", f"{path.name}: {problem.strerror}") from problem
    return key


def load_key_file(path: Path) -> SigningKey:
    """
    The key in a file that `create_key_file` made.

    Raises:
        MaterialError: no such file, somebody but its owner may read or change it, or it holds no key.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as source:
            found = os.fstat(source.fileno())
            # Judged on the open file, so that it cannot be exchanged between the look and the reading.
            if not stat.S_ISREG(found.st_mode):
                raise MaterialError("bad key file", f"{path.name} is no regular file")
            if found.st_mode & 0o077:
                raise MaterialError(
                    "key file is open", f"{path.name} has mode {found.st_mode & 0o777:03o}, needs 600"
                )
            if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
                raise MaterialError("key file is another's", path.name)
            text = source.read(4096).decode("utf-8")
    except OSError as problem:
        raise MaterialError("cannot read key file", f"{path.name}: {problem.strerror}") from problem
    except UnicodeDecodeError:
        # Without "from": that exception carries the bytes of the file.
        raise MaterialError("bad key file", path.name) from None
    return _read_private(text, where=path.name)


def _read_private(text: str, *, where: str) -> SigningKey:
    line = text.removesuffix("\n")
    if not line.startswith(_PRIVATE) or "\n" in line:
        raise MaterialError("bad key file", where)
    try:
        name, digits, encoded = _three(line.removeprefix(_PRIVATE))
        raw = _base64(encoded, what="key")
    except NoteError:
        # What was read may be most of a key: none of it goes into a message or a chain of causes.
        raise MaterialError("bad key file", where) from None
    if raw[:1] != bytes([ED25519]) or len(raw) != 1 + SEED_SIZE:
        raise MaterialError("bad key file", f"{where}: not an Ed25519 key")
    key = SigningKey.from_seed(name, seed=raw[1:])
    if digits != key.verifier.id.hex():
        raise MaterialError("bad key file", f"{where}: the key and its id do not belong together")
    return key


def check_key_name(name: str) -> None:
    """
    Refuse a key name that cannot stand in a signature line.

    Raises:
        NoteError: it is empty, too long, or holds a plus, a space or a control character.
    """
    if not name or len(name) > 255 or "+" in name:
        raise NoteError("bad key name", repr(name[:80]))
    if any(one.isspace() or unicodedata.category(one) in {"Cc", "Cs", "Zs", "Zl", "Zp"} for one in name):
        raise NoteError("bad key name", repr(name[:80]))


def _three(text: str) -> tuple[str, str, str]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteError("bad key", "name+id+key expected")
    return parts[0], parts[1], parts[2]


# --- Notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line: who says to have signed."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedNote:
    """The text of a note, and the keys whose signature over it was verified: one at least."""

    text: str
    keys: tuple[VerifierKey, ...]


def sign_note(text: str, *, signers: Sequence[NoteSigner]) -> str:
    """
    The note with `text`, signed by each of `signers`.

    Raises:
        NoteError: the text cannot be a note's.
    """
    _check_text(text)
    message = text.encode()
    lines = [
        Signature(name=one.verifier.name, key_id=one.verifier.id, signature=one.sign(message)).line
        for one in signers
    ]
    if not lines:
        raise NoteError("bad note", "a note has a signature")
    return text + "\n" + "".join(lines)


def split_note(note: str) -> tuple[str, tuple[Signature, ...]]:
    """
    The parts of a note, unverified: only for whoever verifies or carries it on.

    Raises:
        NoteError: it is no note.
    """
    if len(note) > MAX_NOTE_BYTES or len(note.encode("utf-8", "surrogatepass")) > MAX_NOTE_BYTES:
        raise NoteError("bad note", "too long")
    head, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise NoteError("bad note", "text, empty line and signature lines expected")
    text = head + "\n"
    _check_text(text)
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError("bad note", "too many signatures")
    return text, tuple(_read_signature(line) for line in lines)


def verify_note(note: str, *, keys: Iterable[VerifierKey]) -> VerifiedNote:
    """
    The text of a note that at least one of `keys` signed. Signatures by other keys are ignored, as C2SP demands.

    Raises:
        NoteError: it is no note; none of `keys` signed it; or one of them stands under it with a wrong signature.
    """
    text, signatures = split_note(note)
    known = {(one.name, one.id): one for one in keys}
    message = text.encode()
    verified: list[VerifierKey] = []
    for signature in signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if key in verified:
            raise NoteError("bad note", f"{key.name} signed twice")
        if not key.verifies(message, signature.signature):
            raise NoteError("wrong signature", f"{key.label} did not sign this")
        verified.append(key)
    if not verified:
        raise NoteError("not signed", "no signature by a key that is trusted here")
    return VerifiedNote(text=text, keys=tuple(verified))


def _check_text(text: str) -> None:
    if not text.endswith("\n") or text == "\n":
        raise NoteError("bad note", "the text ends with a line end")
    # U+FFFD and lone surrogates would not survive a reader that decodes in another way.
    if any((one < " " and one != "\n") or "\ud800" <= one <= "\udfff" for one in text):
        raise NoteError("bad note", "a control character")


def _read_signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise NoteError("bad note", "a signature line begins with a dash")
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not space:
        raise NoteError("bad note", "a signature line is a name and a signature")
    check_key_name(name)
    raw = _base64(encoded, what="signature")
    if len(raw) < 5:
        raise NoteError("bad note", "no signature in its line")
    return Signature(name=name, key_id=raw[:4], signature=raw[4:])


# --- Checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of a log at one size."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed. No extension lines: nobody could audit them."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def origin_of(log: str, *, epoch: int) -> str:
    """
    The origin line of the log's checkpoints in this epoch.

    A log never signs two histories under one origin (C2SP tlog-checkpoint). After a restored backup the log goes on
    under a new one, signed by the same key, and no old checkpoint can be mistaken for one of the new history.
    """
    check_key_name(log)
    if epoch < 1:
        raise ValueError("epochs begin with 1")
    return log if epoch == 1 else f"{log}{_EPOCH}{epoch}"


def epoch_of(origin: str, *, log: str) -> int:
    """
    The inverse of `origin_of`.

    Raises:
        NoteError: the origin is not one of this log.
    """
    if origin == log:
        return 1
    digits = origin.removeprefix(log + _EPOCH)
    if not origin.startswith(log + _EPOCH) or not _DECIMAL.fullmatch(digits) or int(digits) < 2:
        raise NoteError("another log", f"{origin[:80]!r} is not {log}")
    return int(digits)


def read_checkpoint(text: str) -> Checkpoint:
    """
    The checkpoint in the text of a note. Extension lines are refused: this log has none.

    Raises:
        NoteError: it says something else, or says it in another form than `Checkpoint.text`.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteError("bad checkpoint", "origin, size and root expected")
    check_key_name(lines[0])
    if not _DECIMAL.fullmatch(lines[1]):
        raise NoteError("bad checkpoint", "the size is not a plain number")
    root = _base64(lines[2], what="root")
    if len(root) != HASH_SIZE:
        raise NoteError("bad checkpoint", "a root has 32 bytes")
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=root)


def verify_checkpoint(note: str, *, keys: Iterable[VerifierKey]) -> Checkpoint:
    """
    The checkpoint in a note signed by one of `keys`, which also has that key's log as origin.

    Raises:
        NoteError: it is none, nobody trusted signed it, or it is of a log that the key does not stand for.
    """
    note_read = verify_note(note, keys=keys)
    found = read_checkpoint(note_read.text)
    problem: NoteError | None = None
    for key in note_read.keys:
        try:
            epoch_of(found.origin, log=key.name)
        except NoteError as other:
            problem = other
        else:
            return found
    raise NoteError("another log", f"{found.origin!r} is not the log of the key that signed") from problem


# --- Proofs


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """Where a leaf stands in the log, as the file a station keeps: nothing in it is verified yet."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str
    """The signed note, verbatim."""
    extra: bytes | None = None
    """Opaque, authenticated by nothing."""

    @property
    def text(self) -> str:
        """The `tlog-proof@v1` file."""
        lines = [PROOF_HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(one).decode() for one in self.path]
        return "\n".join(lines) + "\n\n" + self.checkpoint


def read_proof(text: str) -> LogProof:
    """
    The proof in a `tlog-proof@v1` file; nothing is verified.

    Raises:
        NoteError: it has another form.
    """
    if len(text) > MAX_NOTE_BYTES:
        raise NoteError("bad proof", "too long")
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines[0] != PROOF_HEADER:
        raise NoteError("bad proof", f"{PROOF_HEADER} expected")
    del lines[0]
    extra: bytes | None = None
    if lines and lines[0].startswith("extra "):
        extra = _base64(lines.pop(0).removeprefix("extra "), what="extra")
    if not lines or not lines[0].startswith("index "):
        raise NoteError("bad proof", "no index")
    digits = lines.pop(0).removeprefix("index ")
    if not _DECIMAL.fullmatch(digits):
        raise NoteError("bad proof", "the index is not a plain number")
    if len(lines) > MAX_PROOF:
        raise NoteError("bad proof", "too long")
    path = tuple(_base64(line, what="hash") for line in lines)
    split_note(checkpoint)
    return LogProof(index=int(digits), path=path, checkpoint=checkpoint, extra=extra)


def verify_proof(text: str, *, leaf: bytes, keys: Iterable[VerifierKey]) -> tuple[int, Checkpoint]:
    """
    Make sure that the log signed a tree that holds `leaf`; where, and in which tree.

    Raises:
        NoteError: the file or its checkpoint cannot be believed.
        ProofError: the checkpoint is good, but the leaf is not in its tree.
    """
    proof = read_proof(text)
    checkpoint = verify_checkpoint(proof.checkpoint, keys=keys)
    verify_inclusion(leaf, index=proof.index, size=checkpoint.size, proof=proof.path, root=checkpoint.root)
    return proof.index, checkpoint


def _base64(text: str, *, what: str) -> bytes:
    # One text for one value: padding, alphabet and unused bits must be as the encoder writes them.
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise NoteError("bad base64", what) from None
    if base64.b64encode(raw).decode() != text:
        raise NoteError("bad base64", what)
    return raw


__all__ = [
    "ED25519",
    "PROOF_HEADER",
    "Checkpoint",
    "LogProof",
    "NoteError",
    "NoteSigner",
    "ProofError",
    "Signature",
    "SigningKey",
    "VerifiedNote",
    "VerifierKey",
    "check_key_name",
    "create_key_file",
    "epoch_of",
    "load_key_file",
    "origin_of",
    "read_checkpoint",
    "read_proof",
    "sign_note",
    "split_note",
    "verify_checkpoint",
    "verify_note",
    "verify_proof",
]
