"""What a bundle of evidence proves, and that nothing else passes for one: each refusal names its step."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from axis.core.events import EventKind
from axis.core.model import Digest
from axis.evidence.archive import read_archive, write_archive
from axis.evidence.bundle import COVER, GUIDE, SUMS, Bundle, seal
from axis.evidence.judge import EvidenceTrust, Judgement, Result, Step, judge_bundle
from axis.evidence.pages import archive_of
from signing.note import LogProof, SigningKey, sign_note, split_note
from tests.evidence.making import TRUST, TRUST_FILE, Made
from tests.flow.office import KEYS


def judge(archive: bytes, *, trust: EvidenceTrust = TRUST) -> Judgement:
    return judge_bundle(archive, trust=trust)


def refused_at(archive: bytes, *, trust: EvidenceTrust = TRUST) -> Step | None:
    """The step that does not hold."""
    failed = judge(archive, trust=trust).failed
    return failed.step if failed is not None else None


def test_a_bundle_holds_in_every_step(made: Made) -> None:
    """Message, report, signature and timestamp included; the records are those of the document's life."""
    judgement = judge(made.whole.archive)

    assert [Result.PASSED] * len(Step) == [one.result for one in judgement.findings]
    assert judgement.verdict == "passed"
    assert [one.event.kind for one in made.bundle.entries] == [
        EventKind.SUBMISSION_ACCEPTED,
        EventKind.DELIVERY_HANDED_OVER,
        EventKind.DELIVERY_FETCHED,
        EventKind.DELIVERY_ACKNOWLEDGED,
        EventKind.DELIVERY_HANDED_OVER,
    ]
    assert (made.whole.later, made.whole.has_message, made.whole.has_timestamp) == (0, True, True)


def test_a_bundle_for_one_receiver_tells_its_part(made: Made) -> None:
    """No step of anybody else; judged by the same rules."""
    bundle = Bundle.read(read_archive(made.for_hanoi.archive))

    assert (judge(made.for_hanoi.archive).verdict, bundle.organ) == ("passed", "000.00.00.H26")
    lines: Any = bundle.acceptances[0].facts["deliveries"]
    mine = {one["id"] for one in lines if one["code"] == bundle.organ}
    assert [mine] * 3 == [set(one.event.deliveries) for one in bundle.entries[1:]]


def test_a_refusal_is_evidence_too(made: Made) -> None:
    """The record of the axis's no, and the bytes it was said to."""
    judgement = judge(made.refused.archive)

    assert judgement.verdict == "passed"
    results = {one.step: one.result for one in judgement.findings}
    assert (results[Step.PAYLOAD], results[Step.SIGNATURE]) == (Result.PASSED, Result.ABSENT)


def test_what_is_not_trusted_is_not_passed(made: Made) -> None:
    """Keys alone judge no signature and no timestamp: indeterminate, and said which."""
    keys = EvidenceTrust.read([("keys", KEYS.text.encode())])

    judgement = judge(made.whole.archive, trust=keys)

    assert judgement.verdict == "indeterminate"
    assert {Step.SIGNATURE, Step.TIMESTAMP} == {
        one.step for one in judgement.findings if one.result is Result.NOT_CHECKED
    }
    assert judge(made.whole.archive, trust=EvidenceTrust.read([("all", TRUST_FILE)])).verdict == "passed"


# --- one byte ---------------------------------------------------------------------------------------------------------


def test_one_byte_changed_anywhere_is_refused(made: Made) -> None:
    """Every byte of the smallest bundle, in turn; the step is one of the first two, which need no trust."""
    archive = made.refused.archive
    passed = [at for at in range(len(archive)) if refused_at(_flipped(archive, at)) is None]

    assert passed == []


def test_one_byte_changed_in_the_whole_bundle_is_refused(made: Made) -> None:
    """Messages, proofs, certificates, timestamp: every 41st byte, so that each kind of member is hit often."""
    archive = made.whole.archive
    steps = {refused_at(_flipped(archive, at)) for at in range(0, len(archive), 41)}

    assert steps <= {Step.ARCHIVE, Step.CONTENTS}


def test_one_byte_changed_in_a_member_whose_sums_were_rebuilt_is_refused(made: Made) -> None:
    """A forger can make sums and the zip anew; what the members say must still be true, in every one of them."""
    members = read_archive(made.whole.archive)
    passed = []
    for name, content in members.items():
        if name == SUMS:
            continue
        for at in range(0, len(content), max(1, len(content) // 12)):
            forged = {**members, name: _flipped(content, at)}
            if refused_at(seal(forged)) is None:
                passed.append((name, at))

    assert passed == []


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("kept", [0, 1, 21, 22, 1000, -1, -22, -23, -5000])
def test_a_truncated_bundle_is_refused(made: Made, kept: int) -> None:
    """Wherever it ends."""
    assert refused_at(made.whole.archive[:kept]) is Step.ARCHIVE


@pytest.mark.parametrize("more", [b"\0", b"PK\5\6" + bytes(18), b"PK\3\4"])
def test_a_byte_more_is_refused(made: Made, more: bytes) -> None:
    """In front or behind."""
    assert refused_at(made.whole.archive + more) is Step.ARCHIVE
    assert refused_at(more + made.whole.archive) is Step.ARCHIVE


# --- a forger who makes everything anew that can be made ----------------------------------------------------------------


def test_swapped_records_are_refused(made: Made) -> None:
    """Each is in the log, at another place."""
    one, two = made.bundle.entries[1:3]
    swapped = [replace(one, event=two.event), replace(two, event=one.event)]
    entries = (made.bundle.entries[0], *swapped, *made.bundle.entries[3:])

    assert refused_at(archive_of(replace(made.bundle, entries=entries))) is Step.INCLUSION


def test_a_record_left_out_in_front_of_another_is_refused(made: Made) -> None:
    """Its successor names it."""
    first, _, *rest = made.bundle.entries

    assert refused_at(archive_of(replace(made.bundle, entries=(first, *rest)))) is Step.RECORDS


def test_a_record_of_another_document_is_refused(made: Made) -> None:
    """It is in the log, and has nothing to do with this one."""
    other = Bundle.read(read_archive(made.other.archive))
    assert other.checkpoint == made.bundle.checkpoint
    both = sorted((*made.bundle.entries, *other.entries), key=lambda one: one.index)

    assert refused_at(archive_of(replace(made.bundle, entries=tuple(both)))) is Step.RECORDS


def test_a_bundle_from_another_log_is_refused(made: Made) -> None:
    """Signed by a key of the same name that is not trusted here, or by a trusted key for another log's name."""
    stranger = SigningKey.from_seed("test.example/log", seed=bytes(32))
    text = split_note(made.bundle.checkpoint)[0]
    foreign = sign_note(text, signers=[stranger])
    elsewhere = SigningKey.from_seed("test.example/log", seed=b"l" * 32)
    renamed = sign_note(text.replace("test.example/log", "other.example/log"), signers=[elsewhere])

    for note in (foreign, renamed):
        assert refused_at(archive_of(replace(made.bundle, checkpoint=note))) is Step.CHECKPOINT


def test_an_older_checkpoint_is_refused(made: Made) -> None:
    """It was signed, and does not cover what the bundle says happened later."""
    assert refused_at(archive_of(replace(made.bundle, checkpoint=made.before))) is Step.INCLUSION


def test_a_forged_timestamp_is_refused(made: Made) -> None:
    """A token over something else, one that was changed, and one that is none."""
    token = made.bundle.timestamp
    assert token is not None
    other = replace(made.bundle, checkpoint=_signed_again(made.bundle.checkpoint))

    assert refused_at(archive_of(other)) is Step.TIMESTAMP
    for forged in (_flipped(token, len(token) - 40), b"", b"\x30\x03\x02\x01\x00", token[:-1]):
        assert refused_at(archive_of(replace(made.bundle, timestamp=forged))) is Step.TIMESTAMP


def _signed_again(note: str) -> str:
    """The same head with another signature line in front: what was stamped are other bytes."""
    text, signatures = split_note(note)
    witness = SigningKey.from_seed("witness.example", seed=bytes(32))
    line = split_note(sign_note(text, signers=[witness]))[1][0].line
    return f"{text}\n{line}" + "".join(one.line for one in signatures)


@pytest.mark.parametrize("page", [COVER, GUIDE])
def test_a_page_that_says_something_else_is_refused(made: Made, page: str) -> None:
    """Also when every sum and the zip were made anew."""
    members = read_archive(made.whole.archive)
    lying = (
        members[page].replace("đã nhận".encode(), "đã rút".encode()).replace(b"checkpoint.txt", b"other.txt")
    )
    assert lying != members[page]

    assert refused_at(seal({**members, page: lying})) is Step.PAGE


def test_another_message_is_refused(made: Made) -> None:
    """Other bytes under the recorded digest, or under a digest of their own."""
    (digest, message), *_ = made.bundle.messages.items()
    longer = message + b"\n"

    for messages in ({digest: longer}, {Digest("0" * 64): message}):
        assert refused_at(archive_of(replace(made.bundle, messages=messages))) is Step.PAYLOAD


def test_another_report_is_refused(made: Made) -> None:
    """One the record does not name, or the right one with a signature over something else."""
    (document, (body, receipt)), *_ = made.bundle.reports.items()

    for report in ((body + b" ", receipt), (body, receipt.replace(b"passed", b"failed")), (body, b"{}")):
        assert refused_at(archive_of(replace(made.bundle, reports={document: report}))) is Step.REPORT


def test_a_loosened_policy_is_refused(made: Made) -> None:
    """This version is published: it says what it says. One of another version judges nothing."""
    policy = made.bundle.policy
    loosened = replace(made.bundle, policy=policy.replace(b"rsa_bits_max = ", b"rsa_bits_max = 1"))
    renamed = replace(made.bundle, policy=policy.replace(b'version = "', b'version = "other-'))

    assert refused_at(archive_of(loosened)) is Step.SIGNATURE
    assert judge(archive_of(renamed)).verdict == "indeterminate"


def test_without_what_was_erased_the_rest_still_holds(made: Made) -> None:
    """A message that is not kept any more: its digest stands in the record, and every proof is as good as before."""
    erased = replace(made.bundle, messages={}, certificates=())

    judgement = judge(archive_of(erased))

    assert judgement.verdict == "passed"
    assert {Step.PAYLOAD, Step.SIGNATURE} == {
        one.step for one in judgement.findings if one.result is Result.ABSENT
    }


# --- hostile bytes ----------------------------------------------------------------------------------------------------


def _zipped(*, method: int, names: tuple[str, ...] = ("a",)) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name in names:
            archive.writestr(name, b"\0" * 10_000)
    return out.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"PK",
        b"PK\5\6" + bytes(18),
        b"PK\5\6" + b"\xff" * 18,
        b"<html>",
        bytes(100_000),
        _zipped(method=zipfile.ZIP_STORED),
        _zipped(method=zipfile.ZIP_DEFLATED),
        write_archive({}),
        write_archive({"a": b"b"}),
        write_archive({"bundle.json": b"[" * 100_000, "checkpoint.txt": b"", "policy.toml": b""}),
    ],
)
def test_what_is_no_bundle_is_refused(archive: bytes) -> None:
    """By name of the step, never by an exception."""
    assert refused_at(archive) in {Step.ARCHIVE, Step.CONTENTS}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("records/000000000009.json", b"{}"),
        ("records/1.json", b"{}"),
        ("notes.txt", b"hello"),
        ("messages/x.edxml", b""),
        ("revocation/00.crl", b""),
        ("proofs/000000000099.tlog-proof", b""),
    ],
)
def test_a_file_more_is_refused(made: Made, name: str, content: bytes) -> None:
    """Nothing travels along."""
    members = read_archive(made.whole.archive)

    assert refused_at(seal({**members, name: content})) is Step.CONTENTS


def test_every_file_that_is_missing_is_missed(made: Made) -> None:
    """Whichever it is, except what a bundle can be without, which the pages tell."""
    members = read_archive(made.whole.archive)
    for name in members:
        if name == SUMS:
            continue
        without = {key: value for key, value in members.items() if key != name}
        assert refused_at(seal(without)) is not None, name


def test_a_proof_for_another_place_is_refused(made: Made) -> None:
    """The index in the proof and in the name are one."""
    members = read_archive(made.whole.archive)
    entry = made.bundle.entries[0]
    proof = LogProof(index=entry.index + 1, path=entry.path, checkpoint=made.bundle.checkpoint)

    assert (
        refused_at(seal({**members, f"proofs/{entry.name}.tlog-proof": proof.text.encode()})) is Step.CONTENTS
    )
