"""Receipts verify offline, and only as they were made."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.exchange import BatchSignature, Receipt, read_receipt, receipt_json
from signing.errors import MaterialError
from signing.merkle import Tree, leaf_hash
from signing.note import Checkpoint, LogProof, SigningKey, sign_note
from signing.receipts import (
    BatchReceiptSigner,
    ReceiptError,
    SignedBatchPath,
    SignedReceipt,
    Step,
    TrustedKeys,
    batch_message,
    verify_receipt,
)

ORIGIN = "log.example/axis"
LOG_KEY = SigningKey.from_seed(ORIGIN, seed=bytes(range(32)))
RECEIPT_KEY = SigningKey.from_seed(f"{ORIGIN}/receipts", seed=bytes(range(1, 33)))
STRANGER = SigningKey.from_seed(f"{ORIGIN}/receipts", seed=bytes(range(2, 34)))
KEYS = TrustedKeys(receipts=(RECEIPT_KEY.verifier,), log=(LOG_KEY.verifier,))
RECORDS = [f'{{"event":{number},"tên":"văn bản"}}'.encode() for number in range(5)]
RECEIPTS = BatchReceiptSigner(RECEIPT_KEY).sign(RECORDS)

LOG = Tree.over([leaf_hash(b"earlier"), *map(leaf_hash, RECORDS), leaf_hash(b"later")])
CHECKPOINT = Checkpoint(origin=ORIGIN, size=LOG.size, root=LOG.root)
NOTE = sign_note(CHECKPOINT.text, signers=[LOG_KEY])


def proof_of(number: int) -> str:
    return LogProof(index=number + 1, path=LOG.inclusion(number + 1), checkpoint=NOTE).text


COMPLETE = replace(RECEIPTS[3], proof=proof_of(3))


@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.hex().encode()), min_size=1, max_size=40))
def test_every_receipt_of_a_batch_verifies(records: list[bytes]) -> None:
    """One signature, however many records, the same record twice included."""
    receipts = BatchReceiptSigner(RECEIPT_KEY).sign(records)

    verified = [verify_receipt(one, keys=KEYS) for one in receipts]

    assert [one.record for one in verified] == records
    assert {one.batch.signature for one in receipts} == {receipts[0].batch.signature}
    assert all(one.index is None for one in verified)


def test_the_signed_bytes_are_the_documented_ones() -> None:
    """Four lines; other languages sign and verify the same."""
    root = Tree.over([leaf_hash(one) for one in RECORDS]).root.hex()

    message = batch_message(label=RECEIPT_KEY.verifier.label, size=5, root=root)

    assert message.decode() == f"axis receipt batch v1\n{RECEIPT_KEY.verifier.label}\n5\n{root}\n"
    assert RECEIPTS[0].batch.root == root


def test_a_completed_receipt_says_where_it_stands() -> None:
    """With the proof: number in the log, and the checkpoint."""
    verified = verify_receipt(COMPLETE, keys=KEYS)
    later = verify_receipt(RECEIPTS[3], keys=KEYS, proof=proof_of(3))

    assert verified == later
    assert (verified.index, verified.checkpoint) == (4, CHECKPOINT)


def test_a_receipt_of_the_wire_verifies() -> None:
    """The axis's own shape, through its JSON."""
    batch = COMPLETE.batch
    wire = Receipt(
        record=COMPLETE.record,
        batch=BatchSignature(
            index=batch.index,
            size=batch.size,
            path=batch.path,
            root=batch.root,
            key=batch.key,
            signature=batch.signature,
        ),
        proof=COMPLETE.proof,
    )

    verified = verify_receipt(read_receipt(receipt_json(wire)), keys=KEYS)

    assert verified.record == RECORDS[3]


def _batch(**changes: object) -> Callable[[SignedReceipt], SignedReceipt]:
    return lambda receipt: replace(receipt, batch=replace(receipt.batch, **changes))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda one: replace(one, record=one.record + " "), Step.BATCH),
        (lambda one: replace(one, record=one.record.replace("3", "2")), Step.BATCH),
        (lambda one: replace(one, record="\ud800"), Step.FORM),
        (_batch(index=2), Step.BATCH),
        (_batch(index=-1), Step.FORM),
        (_batch(index=5), Step.FORM),
        (_batch(size=4), Step.BATCH),
        (_batch(size=6), Step.SIGNATURE),
        (_batch(size=10**12), Step.FORM),
        (_batch(path=()), Step.BATCH),
        (_batch(path=RECEIPTS[2].batch.path), Step.BATCH),
        (_batch(path=(*RECEIPTS[3].batch.path, "0" * 64)), Step.BATCH),
        (_batch(path=("0" * 63,)), Step.FORM),
        (_batch(path=("g" * 64,)), Step.FORM),
        (_batch(path=("0" * 64,) * 100), Step.FORM),
        (_batch(root="0" * 64), Step.BATCH),
        (_batch(root=RECEIPTS[3].batch.root.upper()), Step.FORM),
        (_batch(key=STRANGER.verifier.label), Step.KEY),
        (_batch(key=LOG_KEY.verifier.label), Step.KEY),
        (_batch(signature=""), Step.SIGNATURE),
        (_batch(signature="é"), Step.FORM),
        (_batch(signature=RECEIPTS[3].batch.signature.rstrip("=")), Step.FORM),
        (_batch(signature=BatchReceiptSigner(STRANGER).sign(RECORDS)[3].batch.signature), Step.SIGNATURE),
        (lambda one: replace(one, proof="no proof"), Step.CHECKPOINT),
        (lambda one: replace(one, proof=proof_of(2)), Step.INCLUSION),
        (
            lambda one: replace(
                one, proof=one.proof.replace(NOTE, sign_note(CHECKPOINT.text, signers=[STRANGER]))
            ),
            Step.CHECKPOINT,
        ),
        (
            lambda one: replace(
                one,
                proof=one.proof.replace(NOTE, sign_note(replace(CHECKPOINT, size=3).text, signers=[LOG_KEY])),
            ),
            Step.INCLUSION,
        ),
    ],
)
def test_a_changed_receipt_is_refused_at_its_step(
    change: Callable[[SignedReceipt], SignedReceipt], step: Step
) -> None:
    """Whatever was changed: refused, and the step says what it was."""
    with pytest.raises(ReceiptError) as refused:
        verify_receipt(change(COMPLETE), keys=KEYS)

    assert refused.value.step == step


def test_every_changed_character_is_refused() -> None:
    """Each character of record, hashes, signature and proof in turn."""
    texts: list[tuple[str, Callable[[str], SignedReceipt]]] = [
        (COMPLETE.record, lambda text: replace(COMPLETE, record=text)),
        (COMPLETE.batch.root, lambda text: _batch(root=text)(COMPLETE)),
        (COMPLETE.batch.signature, lambda text: _batch(signature=text)(COMPLETE)),
        (COMPLETE.batch.key, lambda text: _batch(key=text)(COMPLETE)),
        ("".join(COMPLETE.batch.path), lambda text: _batch(path=_cut(text))(COMPLETE)),
        (COMPLETE.proof or "", lambda text: replace(COMPLETE, proof=text)),
    ]

    for text, make in texts:
        for at, letter in enumerate(text):
            changed = text[:at] + chr(ord(letter) ^ 1) + text[at + 1 :]
            with pytest.raises(ReceiptError):
                verify_receipt(make(changed), keys=KEYS)


def _cut(text: str) -> tuple[str, ...]:
    return tuple(text[at : at + 64] for at in range(0, len(text), 64))


def test_a_key_for_both_ends_is_refused() -> None:
    """Whoever can sign receipts must not be able to sign a log, and the other way round."""
    both = SigningKey.from_seed(f"{ORIGIN}/receipts", seed=bytes(range(32)))

    with pytest.raises(MaterialError):
        TrustedKeys(receipts=(both.verifier,), log=(LOG_KEY.verifier,)).check()


def test_a_key_list_survives_its_text() -> None:
    """One key per line, remarks allowed."""
    assert TrustedKeys.read("# the axis\n\n" + KEYS.text) == KEYS


@pytest.mark.parametrize("text", ["log", "other " + LOG_KEY.verifier.text, "log x+y+z", "receipts"])
def test_a_wrong_key_list_names_its_line(text: str) -> None:
    """The first wrong line is named."""
    with pytest.raises(MaterialError) as refused:
        TrustedKeys.read("# head\n" + text)

    assert "line 2" in refused.value.detail


def test_no_records_no_receipts_and_too_many_are_refused() -> None:
    """An empty batch costs no signature; a batch has an upper bound."""
    assert BatchReceiptSigner(RECEIPT_KEY).sign([]) == ()
    with pytest.raises(ValueError, match="at most"):
        BatchReceiptSigner(RECEIPT_KEY).sign([b"x"] * 65_537)


def test_a_batch_signature_is_no_checkpoint() -> None:
    """The log's key does not make receipts valid, not even over the very same tree."""
    signed_by_log = BatchReceiptSigner(LOG_KEY).sign(RECORDS)[0]

    with pytest.raises(ReceiptError) as refused:
        verify_receipt(signed_by_log, keys=KEYS)

    assert refused.value.step == Step.KEY
    assert isinstance(signed_by_log.batch, SignedBatchPath)
