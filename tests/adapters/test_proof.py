"""With pinned keys an answer or a report counts only as far as the axis signed it; names from the axis are checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from adapters.errors import BadAnswer, NotProven
from adapters.line import check_names
from adapters.proof import prove_answer, prove_report
from axis.core.events import JSON, Event, EventKind
from axis.core.exchange import Answer, BadMessage, BatchSignature, Consignment, DeliveryRef, Receipt
from axis.core.model import (
    Actor,
    ConsignmentId,
    DeliveryId,
    Digest,
    DocumentKey,
    EventId,
    Kind,
    Lane,
    LegalValue,
    StationId,
    SubmissionId,
    SubmissionState,
    Tier,
)
from axis.web.wire import SignedReport
from signing.receipts import BatchReceiptSigner
from tests.adapters.contract import OTHER_KEYS
from tests.adapters.pretend import NOON, RECEIPT_KEY, TRUSTED

DIGEST = Digest(hashlib.sha256(b"document").hexdigest())
DOCUMENT = DocumentKey("01KJN0VQ8R4N6P2T3V5W7X9Y1Z")
SUBMISSION = SubmissionId("01KJN0VQ8M6TQX8D5RZ4S3N2P1")


def sealed(record: bytes) -> Receipt:
    signed = BatchReceiptSigner(RECEIPT_KEY).sign([record])[0]
    batch = signed.batch
    return Receipt(
        record=signed.record,
        batch=BatchSignature(
            index=batch.index,
            size=batch.size,
            path=batch.path,
            root=batch.root,
            key=batch.key,
            signature=batch.signature,
        ),
    )


def an_answer() -> Answer:
    event = Event(
        id=EventId("01KJN0VQ8M6TQX8D5RZ4S3N2P2"),
        kind=EventKind.SUBMISSION_ACCEPTED,
        at=NOON,
        by=Actor(station=StationId("bo-noi-vu")),
        submission=SUBMISSION,
        document=DOCUMENT,
        facts={"message_id": "m-1", "digest": DIGEST},
    )
    return Answer(
        submission=SUBMISSION,
        state=SubmissionState.ACCEPTED,
        message_id="m-1",
        digest=DIGEST,
        at=NOON,
        headline_vi="",
        headline_en="",
        document=DOCUMENT,
        receipt=sealed(event.record),
    )


def test_an_answer_is_what_was_signed() -> None:
    """The axis's own answer is proven."""
    prove_answer(an_answer(), keys=TRUSTED)


@pytest.mark.parametrize(
    "other",
    [
        {"submission": SubmissionId("01KJN0VQ8M6TQX8D5RZ4S3N2P9")},
        {"document": DocumentKey("01KJN0VQ8R4N6P2T3V5W7X9Y19")},
        {"document": None},
        {"message_id": "m-2"},
        {"digest": Digest("0" * 64)},
        {"state": SubmissionState.REFUSED},
        {"state": SubmissionState.DUPLICATE},
        {"receipt": None},
        {"receipt": sealed(b"no JSON")},
        {"receipt": sealed(b'{"kind":"station.changed","facts":{}}')},
        {"receipt": sealed(b"[1]")},
    ],
)
def test_an_answer_that_says_something_else_is_not_proven(other: dict[str, object]) -> None:
    """Any member changed on its way, or a receipt of something else: raised, with the answer in the error."""
    forged = replace(an_answer(), **other)  # type: ignore[arg-type]  # one member each

    with pytest.raises(NotProven) as error:
        prove_answer(forged, keys=TRUSTED)

    assert error.value.answer == forged


def test_another_key_proves_nothing() -> None:
    """The signature is right, and nobody pinned who made it."""
    with pytest.raises(NotProven) as error:
        prove_answer(an_answer(), keys=OTHER_KEYS)

    assert error.value.step == "key"


def a_header(report: bytes) -> Consignment:
    return Consignment(
        consignment=ConsignmentId("01KJN0VQ9C3T2M7QK5X6Y8Z9A1"),
        document=DOCUMENT,
        kind=Kind.EDOC,
        lane=Lane.NORMAL,
        digest=DIGEST,
        size=8,
        tier=Tier.PASSED,
        value=LegalValue.ORIGINAL,
        report=Digest(hashlib.sha256(report).hexdigest()),
        attempt=1,
        deliveries=(DeliveryRef(delivery=DeliveryId("01KJN0VQ9F7B5C3D1E8F6G4H2J"), code="000.00.00.H26"),),
        deliveries_total=1,
        sent_at=NOON,
    )


def a_report(**members: object) -> bytes:
    return json.dumps({"document": DOCUMENT, "digest": DIGEST, **members}).encode()


def test_a_report_is_the_one_the_header_names() -> None:
    """Its digest, its signature and what it is about."""
    body = a_report()
    found = prove_report(
        SignedReport(document=DOCUMENT, report=body, receipt=sealed(body)),
        header=a_header(body),
        keys=TRUSTED,
    )

    assert found.is_proven
    assert found.facts["digest"] == DIGEST


def a_value(document: str = DOCUMENT, kind: EventKind = EventKind.DOCUMENT_VALUED, **facts: JSON) -> bytes:
    """The record of what a document's files are worth."""
    event = Event(
        id=EventId("01KJN0VQ9C3T2M7QK5X6Y8Z9B2"),
        kind=kind,
        at=NOON,
        by=Actor(axis="value"),
        document=DocumentKey(document),
        facts={"value": "copy", "files": [{"name": "a.pdf", "reason": "pdf.passed"}], **facts},
    )
    return event.record


def test_a_report_says_what_the_files_are_worth() -> None:
    """Signed like the report, about the same document; without it the value is that of the start."""
    body = a_report(value="checking")
    bare = SignedReport(document=DOCUMENT, report=body, receipt=sealed(body))
    whole = replace(bare, valued=sealed(a_value()))

    before, after = (prove_report(one, header=a_header(body), keys=TRUSTED) for one in (bare, whole))

    assert (before.value, before.files) == (LegalValue.CHECKING, ())
    assert after.value is LegalValue.COPY
    assert [one["name"] for one in after.files] == ["a.pdf"]


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (a_value(document="01KJN0VQ9C3T2M7QK5X6Y8Z9C3"), NotProven),
        (a_value(kind=EventKind.DELIVERY_FETCHED), NotProven),
        (a_value(value="gold"), NotProven),
        (a_value(files="none"), NotProven),
        (b"{}", BadAnswer),
        (b"not JSON", BadAnswer),
    ],
)
def test_another_value_is_not_believed(record: bytes, error: type[Exception]) -> None:
    """Of another document, of another kind, or without sense, whoever signed it."""
    body = a_report()
    found = SignedReport(document=DOCUMENT, report=body, receipt=sealed(body), valued=sealed(record))

    with pytest.raises(error):
        prove_report(found, header=a_header(body), keys=TRUSTED)


@pytest.mark.parametrize(
    ("shown", "signed", "named", "error"),
    [
        (a_report(tier="x"), a_report(tier="x"), a_report(), NotProven),
        (a_report(), a_report(tier="x"), a_report(), NotProven),
        (a_report(document="another"), a_report(document="another"), a_report(document="another"), NotProven),
        (a_report(digest="0" * 64), a_report(digest="0" * 64), a_report(digest="0" * 64), NotProven),
        (b"no JSON", b"no JSON", b"no JSON", BadAnswer),
        (b"[]", b"[]", b"[]", BadAnswer),
    ],
)
def test_any_other_report_is_not_believed(
    shown: bytes, signed: bytes, named: bytes, error: type[Exception]
) -> None:
    """Another one, one signed for something else, one about another document, and none at all."""
    with pytest.raises(error):
        prove_report(
            SignedReport(document=DOCUMENT, report=shown, receipt=sealed(signed)),
            header=a_header(named),
            keys=TRUSTED,
        )


@pytest.mark.parametrize(
    "other",
    [
        {"document": DocumentKey("../../etc/passwd")},
        {"document": DocumentKey("")},
        {"consignment": ConsignmentId("consignment-1")},
        {"digest": Digest("../" + "0" * 61)},
        {"digest": Digest("0" * 63)},
        {"report": Digest("A" * 64)},
        {"size": -1},
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(other: dict[str, object]) -> None:
    """Documents are kept in files that are named by the axis: a name is an id, or there is no document."""
    check_names(a_header(a_report()))
    with pytest.raises(BadMessage):
        check_names(replace(a_header(a_report()), **other))  # type: ignore[arg-type]  # one member each
