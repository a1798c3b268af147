"""Step 6 on a real ledger: what occupies a key, what is a duplicate, what a status does."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from axis.core.exchange import Outcome
from axis.core.model import BusinessType, DeliveryState, Digest, SubmissionState
from axis.core.reasons import ReasonCode
from axis.demo.letters import corrected, status
from axis.edxml.message import StatusCode
from axis.ledger import tables as t
from signing.receipts import verify_receipt
from tests.flow.office import KEYS, Office
from tests.flow.town import (
    AT,
    HANOI,
    HANOI_1,
    NOWHERE,
    QP,
    TQ,
    TTTT,
    VPCP,
    a_letter,
    a_message,
    signed,
    unsigned,
)

A, R, H, D = (
    SubmissionState.ACCEPTED,
    SubmissionState.REFUSED,
    SubmissionState.HELD,
    SubmissionState.DUPLICATE,
)


async def test_an_accepted_letter_has_deliveries_and_a_receipt(office: Office) -> None:
    """One consignment per station, one delivery per organ; the receipt verifies offline and names the digest."""
    body = signed(a_letter(receivers=(HANOI, HANOI_1, TTTT, TQ)))

    answer = await office.admit(body)

    assert answer.receipt is not None
    record = json.loads(verify_receipt(answer.receipt, keys=KEYS).record)
    assert (A, answer.digest) == (answer.state, record["facts"]["digest"])
    assert len(await office.rows(t.consignment)) == 2
    expected = {
        "000.00.00.H26": DeliveryState.WAITING,
        "000.00.01.H26": DeliveryState.WAITING,
        "000.00.00.G14": DeliveryState.WAITING,
        "000.00.00.H60": DeliveryState.NOT_CONNECTED,
    }
    assert expected == await office.states()
    assert answer.headline_vi.startswith("GỬI BẢN GIẤY")
    assert body == await office.blobs.read(answer.digest)


async def test_the_same_message_gets_the_same_answer(office: Office) -> None:
    """The broker redelivers; nothing happens twice."""
    body = signed(a_letter())
    first = await office.admit(body, message_id="m-1")

    second = await office.admit(body, message_id="m-1")

    assert (first.submission, first.document) == (second.submission, second.document)
    assert len(await office.rows(t.submission)) == 1


async def test_the_same_bytes_under_another_message_id_are_a_duplicate(office: Office) -> None:
    body = signed(a_letter())
    first = await office.admit(body)

    second = await office.admit(body)

    assert (D, first.document) == (second.state, second.document)
    assert len(await office.rows(t.document)) == 1


async def test_signed_anew_it_is_still_the_same_document(office: Office) -> None:
    """Content is compared, not envelope or signing time."""
    first = await office.admit(signed(a_letter()))

    second = await office.admit(signed(a_letter(), at=AT + timedelta(seconds=90)))

    assert (first.state, second.state) == (A, D)


async def test_corrected_after_a_refusal_it_is_accepted(office: Office) -> None:
    """A refused submission leaves its key free."""
    wrong = a_letter(receivers=(NOWHERE, HANOI))

    refused = await office.admit(signed(wrong))
    accepted = await office.admit(signed(corrected(wrong, (HANOI, TTTT))))

    assert (refused.state, accepted.state) == (R, A)
    assert ReasonCode.ROUTE_UNKNOWN_RECEIVER is refused.reason


async def test_new_receivers_are_a_supplementary_sending(office: Office) -> None:
    """Only they get deliveries; the document counts once."""
    edoc = a_letter(receivers=(HANOI,))
    first = await office.admit(signed(edoc))

    second = await office.admit(signed(corrected(edoc, (HANOI, TTTT))))

    assert (second.state, [one.code for one in second.deliveries]) == (A, ["000.00.00.G14"])
    documents = {row["id"]: row["root"] for row in await office.rows(t.document)}
    assert {first.document: first.document, second.document: first.document} == documents
    assert "record.supplementary" in [one.code for one in second.notices]


async def test_other_content_under_the_same_id_is_a_conflict(office: Office) -> None:
    """Refused, with the fields that differ and not their values."""
    await office.admit(signed(a_letter()))

    answer = await office.admit(signed(a_letter(subject="V/v việc khác")))

    assert (answer.state, answer.reason) == (R, ReasonCode.RECEIVE_CONFLICT)
    assert [one.path for one in answer.causes[0].details] == ["Subject"]


async def test_a_recall_carries_the_id_of_the_original(office: Office) -> None:
    """Types 1-3 may repeat it: no conflict, and the target is found."""
    original = a_letter()
    first = await office.admit(signed(original))

    recall = await office.admit(signed(a_letter(9, kind=BusinessType.RECALL, target=original.document_id)))

    assert A is recall.state
    targets = {row["id"]: row["target"] for row in await office.rows(t.document)}
    assert first.document == targets[str(recall.document)]


async def test_a_recall_withdraws_what_nobody_has_yet(office: Office) -> None:
    """Hà Nội has it and gets the recall; the ministry never will have had it. The sender is told."""
    original = a_letter(receivers=(HANOI, TTTT))
    first = await office.admit(signed(original))
    [listed] = await office.inbox("ha-noi")
    await office.say("ha-noi", Outcome.FETCHED, listed.deliveries[0].delivery)

    recall = await office.admit(
        signed(a_letter(9, receivers=(HANOI, TTTT), kind=BusinessType.RECALL, target=original.document_id))
    )

    rows = {
        row["code"]: row for row in await office.rows(t.delivery) if row["document_key"] == first.document
    }
    assert rows[HANOI.code]["state"] == "fetched"
    assert (rows[TTTT.code]["state"], rows[TTTT.code]["reason"]) == (
        "withdrawn",
        ReasonCode.DELIVER_RECALLED.value,
    )
    assert [one.code for one in recall.deliveries] == [HANOI.code]
    assert not await office.inbox("bo-tttt")
    assert (await office.events("delivery.withdrawn"))[0].stations == ("vpcp",)


async def test_only_the_sender_may_recall(office: Office) -> None:
    """LR-22."""
    original = a_letter()
    await office.admit(signed(original))

    recall = await office.admit(
        signed(
            a_letter(
                9, sender=HANOI, receivers=(TTTT,), kind=BusinessType.RECALL, target=original.document_id
            )
        ),
        station="ha-noi",
    )

    assert (recall.state, recall.reason) == (R, ReasonCode.ROUTE_NOT_YOUR_DOCUMENT)


async def test_twins_in_one_batch_become_one_document(office: Office) -> None:
    """The later one of a batch sees what became of the earlier one."""
    body = signed(a_letter())

    answers = await office.admit_all([a_message(body, message_id=f"m-{n}") for n in range(3)])

    assert [one.state for one in answers] == [A, D, D]


async def test_two_processes_that_get_the_same_document_make_one(office: Office, tmp_path: Path) -> None:
    """The key is claimed in the database; the loser gets the winner's answer."""
    body = signed(a_letter())
    other = Office.open(office.ledger, tmp_path, first_id=1_000_000)

    answers = await asyncio.gather(office.admit(body, message_id="m-1"), other.admit(body, message_id="m-2"))

    assert sorted([A, D]) == sorted(one.state for one in answers)
    assert len(await office.rows(t.document)) == 1


async def test_a_batch_with_a_bad_message_records_the_rest(office: Office) -> None:
    """One poison message never stops its neighbours."""
    answers = await office.admit_all(
        [
            a_message(b"%PDF-1.7", message_id="m-1"),
            a_message(signed(a_letter(1)), message_id="m-2"),
            a_message(signed(a_letter(2)), station=None, message_id="m-3"),
        ]
    )

    assert [one.state for one in answers] == [R, A, R]
    assert [one.reason for one in answers] == [ReasonCode.PARSE_NOT_XML, None, ReasonCode.RECEIVE_NO_STATION]


async def test_a_message_id_no_database_takes_is_refused_and_recorded(office: Office) -> None:
    """NUL and controls: one poison message never stops its neighbours."""
    answers = await office.admit_all(
        [
            a_message(signed(a_letter(1)), message_id="a\x00b"),
            a_message(signed(a_letter(2)), message_id="m-2"),
        ]
    )

    assert [one.state for one in answers] == [R, A]
    assert answers[0].reason is ReasonCode.RECEIVE_NO_MESSAGE_ID


async def test_of_a_secret_no_word_is_kept(office: Office, tmp_path: Path) -> None:
    """LR-02: organ, time, digest and pattern; not in rows, not in blobs."""
    answer = await office.admit(signed(a_letter(subject="V/v bố phòng khu vực X (TUYỆT MẬT)")))

    assert ReasonCode.VALIDATE_SECRECY is answer.reason
    rows = [str(row) for table in t.metadata.sorted_tables for row in await office.rows(table)]
    assert not [row for row in rows if "bố phòng" in row or "bo phong" in row]
    assert await office.blobs.size(answer.digest) is None


# --- statuses -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def sent(office: Office) -> Office:
    """A letter of VPCP to Hà Nội and one of its departments lies with both."""
    await office.admit(signed(a_letter(receivers=(HANOI, HANOI_1, TTTT))))
    return office


def _status(code: StatusCode, *, sender: object = HANOI, words: str = "") -> bytes:
    return status(code, sender=sender, answered=a_letter(), at=AT, words=words)  # type: ignore[arg-type]


async def test_a_status_reaches_the_sender_and_takes_the_delivery(sent: Office) -> None:
    """Status 01 = received (counting rules), and a consignment for the sender's station."""
    answer = await sent.admit(_status(StatusCode.ARRIVED), station="ha-noi")

    assert A is answer.state
    delivery = next(row for row in await sent.rows(t.delivery) if row["code"] == HANOI.code)
    assert (delivery["state"], delivery["status"]) == ("acknowledged", "01")
    waiting = await sent.inbox("vpcp")
    assert [_status(StatusCode.ARRIVED)] == [await sent.blobs.read(one.digest) for one in waiting]


async def test_the_shown_state_never_goes_back(sent: Office) -> None:
    """03, then a late 01, then 05; 02 after 03 is kept and changes nothing."""
    for code in (StatusCode.REGISTERED, StatusCode.ARRIVED, StatusCode.IN_PROCESS, StatusCode.RETURNED):
        await sent.admit(_status(code), station="ha-noi")

    delivery = next(row for row in await sent.rows(t.delivery) if row["code"] == HANOI.code)
    assert (delivery["status"], delivery["registered"], delivery["returned"]) == ("05", True, False)


async def test_a_repeated_status_is_a_duplicate(sent: Office) -> None:
    """Four times the same, one per minute, is normal on the wire."""
    answers = [await sent.admit(_status(StatusCode.ARRIVED), station="ha-noi") for _ in range(3)]

    assert [one.state for one in answers] == [A, D, D]
    assert len(await sent.events("delivery.answered")) == 1


async def test_only_a_receiver_may_answer(sent: Office) -> None:
    answer = await sent.admit(_status(StatusCode.ARRIVED, sender=QP), station="bo-qp")

    assert (answer.state, answer.reason) == (R, ReasonCode.ROUTE_NOT_YOUR_DOCUMENT)


async def test_a_status_about_nothing_is_refused(office: Office) -> None:
    """Unknown target = refusal with explanation, not silence."""
    answer = await office.admit(_status(StatusCode.ARRIVED), station="ha-noi")

    assert (answer.state, answer.reason) == (R, ReasonCode.ROUTE_UNKNOWN_DOCUMENT)


# --- holds --------------------------------------------------------------------------------------------------------


async def test_a_hold_keeps_its_place_and_its_time(office: Office) -> None:
    """Held without roots; accepted when they are there, with the time of receipt unchanged."""
    roots, office.country.trust = office.country.trust, None
    body = signed(a_letter())
    held = await office.admit(body)
    again = await office.admit(body)
    office.country.trust = roots
    office.clock.jump(timedelta(seconds=20))

    tried = await office.holds.turn()

    assert (held.state, again.state, tried) == (H, D, 1)
    assert held.next_try is not None
    states = {row["id"]: row["state"] for row in await office.rows(t.submission)}
    assert states[held.submission] == "accepted"
    assert {DeliveryState.WAITING} == set((await office.states()).values())


async def test_what_names_a_held_document_waits_behind_it(office: Office) -> None:
    """Other content under its id, and its recall: neither is judged before it is."""
    roots, office.country.trust = office.country.trust, None
    original = a_letter()
    await office.admit(signed(original))
    office.country.trust = roots

    other = await office.admit(signed(a_letter(subject="V/v việc khác")))
    recall = await office.admit(signed(a_letter(9, kind=BusinessType.RECALL, target=original.document_id)))

    waits = (H, ReasonCode.ROUTE_WAITS_FOR_HELD)
    assert [waits, waits] == [(other.state, other.reason), (recall.state, recall.reason)]


async def test_a_hold_that_is_too_old_waits_for_a_person(office: Office) -> None:
    office.country.trust = None
    await office.admit(signed(a_letter()))
    office.clock.jump(timedelta(hours=25))

    await office.holds.turn()
    office.clock.jump(timedelta(hours=25))

    assert await office.holds.turn() == 0
    row = (await office.rows(t.submission))[0]
    assert (row["state"], row["reason"]) == ("held", "axis.held_too_long")


async def test_a_hold_whose_bytes_are_gone_is_ours_to_mend(office: Office) -> None:
    """Never a refusal: the disk is the axis's."""
    office.country.trust = None
    held = await office.admit(signed(a_letter()))
    await office.blobs.remove([held.digest])
    office.clock.jump(timedelta(seconds=20))

    await office.holds.turn()

    row = (await office.rows(t.submission))[0]
    assert (row["state"], row["reason"]) == ("held", ReasonCode.AXIS_STORAGE.value)


async def test_an_unsigned_letter_of_a_labelled_station_says_why(office: Office) -> None:
    """It travels as reference; the receiver's listing tells tier and value."""
    await office.admit(unsigned(a_letter(sender=TTTT, receivers=(VPCP,))), station="bo-tttt")

    listed = await office.inbox("vpcp")

    assert [(one.tier.value, one.value.value) for one in listed] == [("unsigned", "reference")]


async def test_acknowledged_means_the_receiver_has_it(sent: Office) -> None:
    """fetched, then done; the sender's events tell of done."""
    listed = await sent.inbox("ha-noi")
    deliveries = [ref.delivery for ref in listed[0].deliveries]

    await sent.say("ha-noi", Outcome.FETCHED, *deliveries)
    await sent.say("ha-noi", Outcome.DONE, *deliveries)

    states = await sent.states()
    assert {DeliveryState.ACKNOWLEDGED} == {states[HANOI.code], states[HANOI_1.code]}
    assert DeliveryState.WAITING is states[TTTT.code]
    assert Digest(listed[0].digest) == listed[0].digest


async def test_deliveries_between_two_organs_are_numbered_without_gaps(office: Office) -> None:
    """
    In the record the sender has a receipt for, and in the signed report the receivers get (LR-44).

    What is refused or a duplicate takes no number; a supplementary sending takes one for its new receiver only.
    """
    first = signed(a_letter(receivers=(HANOI, TTTT)))
    answers = [
        await office.admit(first),
        await office.admit(signed(a_letter(2, receivers=(TTTT,)))),
        await office.admit(unsigned(a_letter(3, receivers=(TTTT,)))),
        await office.admit(signed(a_letter(receivers=(HANOI, TTTT, HANOI_1)))),
        await office.admit(signed(a_letter(4, receivers=(HANOI, TTTT)))),
    ]

    numbers = []
    for answer in answers:
        assert answer.receipt is not None
        lines = json.loads(answer.receipt.record)["facts"].get("deliveries", [])
        numbers.append({line["code"]: line["number"] for line in lines})
    reports = [json.loads(row["body"]) for row in await office.rows(t.report)]

    assert [answer.state for answer in answers] == [A, A, R, A, A]
    hanoi, hanoi_1, tttt = "000.00.00.H26", "000.00.01.H26", "000.00.00.G14"
    assert [{hanoi: 1, tttt: 1}, {tttt: 2}, {}, {hanoi_1: 1}, {hanoi: 2, tttt: 3}] == numbers
    told = [{one["code"]: one["number"] for one in report["receivers"]} for report in reports]
    assert sorted(map(str, told)) == sorted(str(one) for one in numbers if one)
