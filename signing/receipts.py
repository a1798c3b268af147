"""
Receipts: signed evidence that a record was made, for whoever handed the document in or took it.

A receipt comes in two parts. At once: the record and one signature over the Merkle root of all records of its batch,
with the path from the record to that root. After the next checkpoint: the proof that the record stands in the log.

What is signed, exactly (UTF-8, every line ended by U+000A)::

    axis receipt batch v1
    <key name>+<8 hex digits of the key's id>
    <number of records in the batch, decimal>
    <root of the batch's tree (RFC 9162), 64 hex digits>

The first line separates this from everything else an Ed25519 key of ours signs: the first line of a checkpoint is an
origin, which never holds a space. Keys for receipts and for checkpoints are different keys with different names all
the same. A leaf of a batch is hashed as a leaf of the log is, so one hash names a record in both.

Nothing here reads what a record says, nor asks the network.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final, Protocol, Self, final

from signing.errors import MaterialError, SigningError
from signing.merkle import MAX_PROOF, ProofError, Tree, leaf_hash, root_from_inclusion, verify_inclusion
from signing.note import (
    Checkpoint,
    NoteError,
    NoteSigner,
    VerifierKey,
    read_proof,
    verify_checkpoint,
)

DOMAIN: Final = "axis receipt batch v1"
MAX_BATCH: Final = 1 << 16
MAX_RECORD_BYTES: Final = 64 * 1024 * 1024

_HEX: Final = re.compile(r"[0-9a-f]{64}")


@unique
class Step(StrEnum):
    """What was being checked when a receipt was refused, in this order."""

    FORM = "form"
    KEY = "key"
    BATCH = "batch"
    SIGNATURE = "signature"
    CHECKPOINT = "checkpoint"
    INCLUSION = "inclusion"


@final
class ReceiptError(SigningError):
    """A receipt proves nothing; `step` says which check it did not pass."""

    def __init__(self, step: Step, detail: str) -> None:
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail


class BatchPath(Protocol):
    """One signature over a batch, and the way of one record to its root."""

    @property
    def index(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def root(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def signature(self) -> str: ...


class ReceiptLike(Protocol):
    """What `verify_receipt` needs to see of a receipt, whoever read it from wherever."""

    @property
    def record(self) -> str: ...
    @property
    def batch(self) -> BatchPath: ...
    @property
    def proof(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBatchPath:
    """`BatchPath`, as made here. Hashes in lower-case hexadecimal, leaf's sibling first; signature in base64."""

    index: int
    size: int
    path: tuple[str, ...]
    root: str
    key: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceipt:
    """`ReceiptLike`, as made here; without the proof, which nobody has before the next checkpoint."""

    record: str
    batch: SignedBatchPath
    proof: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReceipt:
    """What a receipt proves."""

    record: bytes
    leaf: bytes
    key: VerifierKey
    """The key that signed the batch."""
    index: int | None
    """The record's number in the log, or None when the receipt has no proof yet."""
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """
    The public keys somebody pins: those that sign receipts and those that sign checkpoints, old ones included.

    The text form has one key per line, `receipts <key>` or `log <key>`; lines that begin with `#` are remarks.
    """

    receipts: tuple[VerifierKey, ...] = field(default=())
    log: tuple[VerifierKey, ...] = field(default=())

    @classmethod
    def read(cls, text: str) -> Self:
        """
        The keys in a key list.

        Raises:
            MaterialError: naming the first wrong line.
        """
        found: dict[str, list[VerifierKey]] = {"receipts": [], "log": []}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            use, _, key = line.strip().partition(" ")
            if use not in found:
                raise MaterialError("bad key list", f"line {number}: 'receipts' or 'log' expected")
            try:
                found[use].append(VerifierKey.read(key))
            except NoteError as problem:
                raise MaterialError("bad key list", f"line {number}: {problem}") from problem
        keys = cls(tuple(found["receipts"]), tuple(found["log"]))
        keys.check()
        return keys

    @property
    def text(self) -> str:
        """The key list."""
        return "".join(
            f"{use} {key.text}\n"
            for use, keys in (("receipts", self.receipts), ("log", self.log))
            for key in keys
        )

    def check(self) -> None:
        """
        Make sure that no key serves both ends.

        Raises:
            MaterialError: one does.
        """
        if {one.public for one in self.receipts} & {one.public for one in self.log}:
            raise MaterialError("one key for two ends", "receipts and checkpoints have separate keys")


class BatchReceiptSigner:
    """Signs records in batches: one signature, however many records."""

    def __init__(self, signer: NoteSigner) -> None:
        self._signer = signer
        self._label = signer.verifier.label

    @property
    def verifier(self) -> VerifierKey:
        return self._signer.verifier

    def sign(self, records: Sequence[bytes]) -> tuple[SignedReceipt, ...]:
        """
        One receipt per record, in order. All batches but the empty one are signed, also those with one record.

        Raises:
            ValueError: more than `MAX_BATCH` records, or one that is not UTF-8.
        """
        if not records:
            return ()
        if len(records) > MAX_BATCH:
            raise ValueError(f"a batch has at most {MAX_BATCH} records")
        tree = Tree.over([leaf_hash(record) for record in records])
        root = tree.root.hex()
        signature = base64.b64encode(
            self._signer.sign(batch_message(label=self._label, size=tree.size, root=root))
        ).decode()
        return tuple(
            SignedReceipt(
                record=record.decode("utf-8"),
                batch=SignedBatchPath(
                    index=index,
                    size=tree.size,
                    path=tuple(one.hex() for one in tree.inclusion(index)),
                    root=root,
                    key=self._label,
                    signature=signature,
                ),
            )
            for index, record in enumerate(records)
        )


def batch_message(*, label: str, size: int, root: str) -> bytes:
    """The bytes that are signed for a batch, as the head of this module defines them."""
    return f"{DOMAIN}\n{label}\n{size}\n{root}\n".encode()


def verify_receipt(receipt: ReceiptLike, *, keys: TrustedKeys, proof: str | None = None) -> VerifiedReceipt:
    """
    Make sure that a trusted key signed this record, and that the log holds it where the receipt has a proof.

    `proof` stands in for the receipt's own when it arrived later as a file.

    Raises:
        ReceiptError: naming the step at which the receipt was refused.
    """
    keys.check()
    record, leaf = _read_record(receipt.record)
    batch = receipt.batch
    key = _verify_batch(batch, leaf=leaf, keys=keys.receipts)
    proof = receipt.proof if proof is None else proof
    if proof is None:
        return VerifiedReceipt(record=record, leaf=leaf, key=key, index=None, checkpoint=None)
    try:
        found = read_proof(proof)
        checkpoint = verify_checkpoint(found.checkpoint, keys=keys.log)
    except NoteError as problem:
        raise ReceiptError(Step.CHECKPOINT, str(problem)) from problem
    try:
        verify_inclusion(
            leaf, index=found.index, size=checkpoint.size, proof=found.path, root=checkpoint.root
        )
    except ProofError as problem:
        raise ReceiptError(Step.INCLUSION, problem.detail) from problem
    return VerifiedReceipt(record=record, leaf=leaf, key=key, index=found.index, checkpoint=checkpoint)


def _read_record(text: str) -> tuple[bytes, bytes]:
    if len(text) > MAX_RECORD_BYTES:
        raise ReceiptError(Step.FORM, "the record is too long")
    try:
        record = text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise ReceiptError(Step.FORM, "the record is not text") from problem
    return record, leaf_hash(record)


def _verify_batch(batch: BatchPath, *, leaf: bytes, keys: Iterable[VerifierKey]) -> VerifierKey:
    if len(batch.path) > MAX_PROOF or not all(_HEX.fullmatch(one) for one in (batch.root, *batch.path)):
        raise ReceiptError(Step.FORM, "a hash of the batch is not 64 hexadecimal digits")
    if not 0 <= batch.index < batch.size <= MAX_BATCH:
        raise ReceiptError(Step.FORM, f"no record {batch.index} in a batch of {batch.size}")
    try:
        signature = base64.b64decode(batch.signature.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as problem:
        raise ReceiptError(Step.FORM, "the signature is not base64") from problem
    if base64.b64encode(signature).decode() != batch.signature:
        raise ReceiptError(Step.FORM, "the signature is not base64 as an encoder writes it")
    key = next((one for one in keys if one.label == batch.key), None)
    if key is None:
        raise ReceiptError(Step.KEY, f"{batch.key[:120]!r} is no receipt key that is trusted here")
    try:
        root = root_from_inclusion(
            leaf, index=batch.index, size=batch.size, proof=[bytes.fromhex(one) for one in batch.path]
        )
    except ProofError as problem:
        raise ReceiptError(Step.BATCH, problem.detail) from problem
    if root.hex() != batch.root:
        raise ReceiptError(Step.BATCH, "the record is not in the batch that was signed")
    if not key.verifies(batch_message(label=key.label, size=batch.size, root=batch.root), signature):
        raise ReceiptError(Step.SIGNATURE, f"{key.label} did not sign this batch")
    return key
