"""Recall, take-back, update and replacement on a real ledger; after each story the whole ledger is recomputed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from axis.core.errors import Withdrawn
from axis.core.exchange import Answer, Outcome
from axis.core.model import (
    Actor,
    BusinessType,
    DocumentKey,
    OrganNumber,
    StationId,
    SubmissionState,
)
from axis.core.reasons import ReasonCode
from axis.demo.letters import Agency, pdf, status
from axis.edxml.message import (
    BussinessDocumentInfo,
    Code,
    Edoc,
    Party,
    ReceiverChange,
    Replacement,
    ResponseFor,
    StatusCode,
)
from axis.edxml.writer import AttachmentSource, edoc_bytes
from axis.flow.acknowledge import offer_again
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.delivery_log import LogFilter
from axis.ledger.life import life_of
from axis.ledger.queries import Queries
from axis.ledger.scope import Scope, Viewer
from axis.ledger.trouble import groups
from signing.sign import sign
from tests.flow.office import LOG, Office
from tests.flow.town import (
    AT,
    HANOI,
    HANOI_1,
    HANOI_1_1,
    NV,
    QP,
    TTTT,
    VPCP,
    a_letter,
    a_message,
    pen,
    signed,
    unsigned,
)

A, R, D = SubmissionState.ACCEPTED, SubmissionState.REFUSED, SubmissionState.DUPLICATE


@pytest.fixture
async def axis(office: Office) -> AsyncIterator[Office]:
    """An axis whose ledger must agree with its records when the test is over."""
    yield office
    while await office.sequencer.turn():
        pass
    result = await check(office.ledger, keys=[LOG.verifier])
    assert result.ok, result.first


EVERYTHING = Scope()
ONE_DATABASE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
"""What says nothing about locks."""


def acting(kind: BusinessType, original: Edoc, *, number: int = 9, **more: Any) -> Edoc:
    """A letter of the same sender that acts on another one under an id of its own."""
    edoc = a_letter(number, receivers=more.pop("receivers", (HANOI, TTTT)), kind=kind, **more)
    assert edoc.bussiness is not None
    return replace(edoc, bussiness=replace(edoc.bussiness, document_id=original.document_id))


def recall_of(original: Edoc, **more: Any) -> Edoc:
    return acting(BusinessType.RECALL, original, **more)


def take_back(original: Edoc, *, receiver: Agency, words: str = "Gửi nhầm") -> bytes:
    """Status 13: From is the sender of the document, ResponseFor names the receiver."""
    named = replace(original, sender=Party(organ_id=receiver.code))
    return status(StatusCode.TAKE_BACK, sender=VPCP, answered=named, at=AT, words=words)


def answering(
    code: StatusCode, answered: Edoc, *, sender: Agency = HANOI, words: str = "Đã hủy", minute: int = 0
) -> bytes:
    return status(code, sender=sender, answered=answered, at=AT + timedelta(minutes=minute), words=words)


async def rows_of(axis: Office, answer: Answer) -> dict[str, dict[str, Any]]:
    """The deliveries of a document by code."""
    rows = await axis.rows(t.delivery)
    return {row["code"]: row for row in rows if row["document_key"] == answer.document}


async def state_of(axis: Office, answer: Answer) -> str:
    [row] = [row for row in await axis.rows(t.document) if row["id"] == answer.document]
    return str(row["state"])


async def fetch(axis: Office, station: str, *, done: bool = False) -> list[str]:
    """The station takes all that waits for it, and has the bytes; the documents, in order."""
    listed = await axis.inbox(station)
    for one in listed:
        names = [ref.delivery for ref in one.deliveries]
        await axis.say(station, Outcome.DONE if done else Outcome.FETCHED, *names)
    return [one.document for one in listed]


async def payload(axis: Office, station: str, answer: Answer) -> str:
    try:
        digest, _ = await axis.desk.payload(
            axis.country.directory.stations[StationId(station)], DocumentKey(str(answer.document))
        )
    except Withdrawn:
        return "recalled"
    return digest


async def troubles(axis: Office) -> list[dict[str, Any]]:
    """What `axis failed` lists."""
    async with axis.ledger.reading() as connection:
        return list(await groups(connection, scope=EVERYTHING))


async def life(axis: Office, answer: Answer) -> dict[str, Any]:
    """What `axis show` says."""
    async with axis.ledger.reading() as connection:
        return dict(await life_of(connection, str(answer.document), scope=EVERYTHING))


# --- recall -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("LR-22", "LR-23", "LR-25")
async def test_a_recall_from_the_first_delivery_to_the_last_answer(axis: Office) -> None:
    """Taken, in the queue and waiting: each is treated by what its receiver's system has seen."""
    original = a_letter(receivers=(HANOI, TTTT, QP))
    first = await axis.admit(signed(original))
    await fetch(axis, "ha-noi", done=True)
    [in_queue] = await axis.inbox("bo-tttt")

    recall = await axis.admit(signed(recall_of(original, receivers=(HANOI, TTTT, QP))))

    rows = await rows_of(axis, first)
    assert [rows[one.code]["state"] for one in (HANOI, TTTT, QP)] == ["acknowledged", "waiting", "withdrawn"]
    assert [rows[one.code]["request"] for one in (HANOI, TTTT, QP)] == ["asked", "withdrawing", "none"]
    assert [HANOI.code] == [one.code for one in recall.deliveries]
    assert {"record.recall_not_needed"} == {one.code for one in recall.notices}
    assert await state_of(axis, first) == "recalling"
    assert [await payload(axis, one, first) for one in ("ha-noi", "bo-tttt", "bo-qp")] == ["recalled"] * 3
    # The ministry never gave it to its DMS: it is withdrawn, told to the sender, and no recall goes there.
    await axis.say("bo-tttt", Outcome.WITHDRAWN, in_queue.deliveries[0].delivery)
    assert (await rows_of(axis, first))[TTTT.code]["state"] == "withdrawn"
    assert not await axis.inbox("bo-tttt")
    assert [one.stations for one in await axis.events("delivery.withdrawn")] == [("vpcp",)] * 2
    # Hà Nội rejects, which stays open; then it agrees.
    await fetch(axis, "ha-noi", done=True)
    refused = await axis.admit(
        answering(StatusCode.REJECTED, recall_of(original), words="Đang xử lý"), station="ha-noi"
    )
    assert A is refused.state
    assert (
        (await rows_of(axis, first))[HANOI.code]["request"],
        await state_of(axis, first),
    ) == ("rejected", "recalling")
    listed = [(one["kind"], one["reason"]) for one in await troubles(axis)]
    assert listed == [("recall", ReasonCode.DELIVER_RECALL_REJECTED)]
    await axis.admit(answering(StatusCode.AGREED, recall_of(original), minute=1), station="ha-noi")
    assert await troubles(axis) == []
    assert (
        (await rows_of(axis, first))[HANOI.code]["request"],
        await state_of(axis, first),
    ) == ("agreed", "recalled")
    [closed] = await axis.events("document.recall_closed")
    assert closed.stations == ("vpcp",)
    # Recalls are a column of their own, and what was recalled is over.
    again = await axis.admit(signed(replace(original, receivers=(Party(organ_id=NV.code),))))
    assert (again.state, again.reason) == (R, ReasonCode.ROUTE_RECALLED)
    while await axis.sequencer.turn():
        pass
    tally = {(row["metric"], row["sender"]): row["n"] for row in await axis.rows(t.tally)}
    assert tally["recalled", 1] == 1


@pytest.mark.requirement("LR-22")
async def test_a_station_that_has_it_after_all_gets_the_recall_then(axis: Office) -> None:
    """Asked back, it says `fetched`: only now is it a holder, and owes an answer. 03 on the recall closes it, too."""
    original = a_letter(receivers=(TTTT,))
    first = await axis.admit(signed(original))
    [listed] = await axis.inbox("bo-tttt")
    recall = await axis.admit(signed(recall_of(original, receivers=(TTTT,))))
    assert recall.deliveries == ()

    await axis.say("bo-tttt", Outcome.FETCHED, listed.deliveries[0].delivery)

    row = (await rows_of(axis, first))[TTTT.code]
    assert (row["state"], row["request"]) == ("fetched", "asked")
    [added] = await axis.events("delivery.added")
    assert (recall.document, ("vpcp",)) == (added.document, added.stations)
    assert [recall.document] == await fetch(axis, "bo-tttt")
    await axis.admit(answering(StatusCode.REGISTERED, recall_of(original), sender=TTTT), station="bo-tttt")
    assert await state_of(axis, first) == "recalled"


@ONE_DATABASE
async def test_a_recall_that_reaches_somebody_in_the_new_year(axis: Office) -> None:
    """Asked back on the last day of a year, `fetched` on the first of the next: every list knows the recall's delivery."""
    axis.clock.jump(datetime(2026, 12, 31, 16, 0, tzinfo=UTC) - axis.clock.now())
    original = a_letter(receivers=(TTTT,))
    await axis.admit(signed(original))
    [listed] = await axis.inbox("bo-tttt")
    recall = await axis.admit(signed(recall_of(original, receivers=(TTTT,))))
    axis.clock.jump(timedelta(days=1))
    await axis.say("bo-tttt", Outcome.FETCHED, listed.deliveries[0].delivery)

    queries = Queries(axis.ledger, viewer=Viewer(name="test"), clock=axis.clock, ids=axis.ids)
    rows = (await queries.log(LogFilter())).rows

    assert [row["to"] for row in rows if row["document"] == recall.document] == [TTTT.code]


@pytest.mark.requirement("LR-22")
@ONE_DATABASE
async def test_a_recall_between_lease_and_record_asks_back(axis: Office, tmp_path: Path) -> None:
    """A publisher had it: nobody may say "withdrawn" of what may lie in a queue."""
    original = a_letter(receivers=(TTTT,))
    first = await axis.admit(signed(original))
    station = axis.country.directory.stations[StationId("bo-tttt")]
    at = axis.clock.now()
    await axis.outbox.lease([station], at=at, until=at + timedelta(seconds=60), per_station=10, most=10)

    await axis.admit(signed(recall_of(original, receivers=(TTTT,))))

    row = (await rows_of(axis, first))[TTTT.code]
    assert (row["state"], row["request"]) == ("waiting", "withdrawing")


@ONE_DATABASE
async def test_who_lost_what_it_fetched_does_not_get_it_again(axis: Office) -> None:
    """Recalled meanwhile: it is not offered any more, and the answer is still owed."""
    original = a_letter(receivers=(TTTT,))
    first = await axis.admit(signed(original))
    await fetch(axis, "bo-tttt")
    await axis.admit(signed(recall_of(original, receivers=(TTTT,))))
    [consignment] = [
        one["id"] for one in await axis.rows(t.consignment) if one["document_key"] == first.document
    ]

    await offer_again(
        [consignment],
        cause="resync",
        ledger=axis.ledger,
        clock=axis.clock,
        ids=axis.ids,
        by=Actor(station=StationId("bo-tttt")),
    )

    row = (await rows_of(axis, first))[TTTT.code]
    assert (row["state"], row["request"], await state_of(axis, first)) == ("withdrawn", "asked", "recalling")
    await axis.admit(answering(StatusCode.AGREED, recall_of(original), sender=TTTT), station="bo-tttt")
    assert await state_of(axis, first) == "recalled"


@ONE_DATABASE
async def test_holders_that_the_recall_does_not_name_get_it_too(axis: Office) -> None:
    """It is a duty of everybody who has the document (QĐ28 Art. 9.2)."""
    original = a_letter(receivers=(HANOI, TTTT))
    await axis.admit(signed(original))
    await fetch(axis, "ha-noi")
    await fetch(axis, "bo-tttt")

    recall = await axis.admit(signed(recall_of(original, receivers=(HANOI,))))

    assert {HANOI.code, TTTT.code} == {one.code for one in recall.deliveries}
    assert "record.recall_added" in {one.code for one in recall.notices}


@ONE_DATABASE
@pytest.mark.parametrize("kind", [BusinessType.RECALL, BusinessType.UPDATE])
async def test_what_acts_on_nothing_known_is_refused(axis: Office, kind: BusinessType) -> None:
    answer = await axis.admit(signed(acting(kind, a_letter())))

    assert (answer.state, answer.reason) == (R, ReasonCode.ROUTE_UNKNOWN_DOCUMENT)


@ONE_DATABASE
async def test_the_successor_of_the_sender_may_recall(axis: Office) -> None:
    """The ministry was merged into Hà Nội after it had sent; nobody else stands in its place."""
    original = a_letter(3, sender=TTTT, receivers=(QP,))
    first = await axis.admit(unsigned(original), station="bo-tttt")
    before = axis.country.directory
    organs = {
        number: replace(organ, valid_to=AT, successor=OrganNumber(2)) if organ.code == TTTT.code else organ
        for number, organ in before.organs.items()
    }
    axis.country.directory = replace(before, organs=organs)

    stranger = await axis.admit(signed(recall_of(original, receivers=(QP,))))
    heir = await axis.admit(signed(recall_of(original, sender=HANOI, receivers=(QP,))), station="ha-noi")

    assert (first.state, stranger.state, heir.state) == (A, R, A)
    assert stranger.reason is ReasonCode.ROUTE_NOT_YOUR_DOCUMENT
    assert await state_of(axis, first) == "recalled"


_TRACES = re.compile(rb"<(?:edXML:)?Bussiness\b.*?</(?:edXML:)?Bussiness>", re.DOTALL)


def _altered(body: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The message with its one Bussiness changed after it was signed."""
    [found] = list(_TRACES.finditer(body))
    return body[: found.start()] + change(found[0]) + body[found.end() :]


def _swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(part: bytes) -> bytes:
        assert part.count(old) == 1, part
        return part.replace(old, new)

    return change


_AFTER_SIGNING: dict[str, tuple[BusinessType, Callable[[bytes], bytes]]] = {
    "another target": (BusinessType.RECALL, _swap(b"harmless", b"wanted")),
    "a new document made a recall": (BusinessType.NEW, _swap(b"DocType>0<", b"DocType>1<")),
    "an update made a recall": (BusinessType.UPDATE, _swap(b"DocType>2<", b"DocType>1<")),
    "a recall made a new document": (BusinessType.RECALL, _swap(b"DocType>1<", b"DocType>0<")),
    "another reason": (BusinessType.RECALL, _swap("Reason>Gửi".encode(), "Reason>Không gửi".encode())),
    "no Bussiness": (BusinessType.RECALL, lambda _: b""),
    "another target, and spelt otherwise": (
        BusinessType.RECALL,
        lambda part: part.replace(b"harmless", b"wanted").replace(b"Bussiness", b"Business"),
    ),
    "one more behind it": (
        BusinessType.RECALL,
        lambda part: part + part.replace(b"harmless", b"wanted").replace(b' Id="bu"', b""),
    ),
    "one more before it, spelt otherwise": (
        BusinessType.RECALL,
        lambda part: part.replace(b"harmless", b"wanted").replace(b"Bussiness", b"Business") + part,
    ),
}


@ONE_DATABASE
@pytest.mark.threat(
    "a signed message is made to recall another document on its way",
    control="profile AX-1 signs Bussiness, and with the policy `required` it acts as signed or not at all",
)
@pytest.mark.requirement("LR-22")
@pytest.mark.parametrize("name", list(_AFTER_SIGNING))
async def test_a_bussiness_altered_after_signing_is_refused(axis: Office, name: str) -> None:
    """Nothing is withdrawn or asked for, of the document it named and of the one it was made to name."""
    kind, change = _AFTER_SIGNING[name]
    letters = [
        replace(a_letter(n, receivers=(HANOI,)), document_id=id_)
        for n, id_ in enumerate(("wanted", "harmless"))
    ]
    sent = [await axis.admit(signed(one)) for one in letters]
    await fetch(axis, "ha-noi", done=True)
    acting_on = acting(kind, letters[1], receivers=(HANOI,))
    assert acting_on.bussiness is not None
    body = signed(replace(acting_on, bussiness=replace(acting_on.bussiness, reason="Gửi nhầm")))

    answer = await axis.admit(_altered(body, change))

    assert answer.state is R, answer
    expected = ReasonCode.PARSE_NOT_EDXML if name.startswith("one more") else ReasonCode.VERIFY_SIGNATURE
    assert answer.reason is expected, answer.causes
    assert [await state_of(axis, one) for one in sent] == ["in_force"] * 2
    assert [row["request"] for one in sent for row in (await rows_of(axis, one)).values()] == ["none"] * 2
    assert (await axis.admit(body)).state is A, "as it was signed"


@ONE_DATABASE
@pytest.mark.requirement("LR-22")
async def test_a_bussiness_nobody_signed_is_refused(axis: Office) -> None:
    """Put into a message that was signed without one, or with the signature taken away."""
    letter = replace(a_letter(1, receivers=(HANOI,)), document_id="wanted")
    first = await axis.admit(signed(letter))
    recall = recall_of(letter, receivers=(HANOI,))
    [wanted] = _TRACES.finditer(unsigned(recall))
    bare = signed(replace(a_letter(3, receivers=(HANOI,)), bussiness=None))
    assert not _TRACES.search(bare)
    added = re.sub(rb"(</(?:edXML:)?TraceHeaderList>)", wanted[0] + rb"\1", bare, count=1)
    assert added != bare

    answers = [await axis.admit(added), await axis.admit(unsigned(recall))]

    assert [one.state for one in answers] == [R, R]
    assert [one.reason for one in answers] == [ReasonCode.VERIFY_SIGNATURE, ReasonCode.VERIFY_UNSIGNED]
    assert await state_of(axis, first) == "in_force"
    assert (await axis.admit(bare)).state is A, "as it was signed"


# --- take-back ----------------------------------------------------------------------------------------------------


async def test_a_take_back_of_what_nobody_took_is_the_axis_s_own_word(axis: Office) -> None:
    """Withdrawn, told to the sender, and no 15 is invented; the other receiver at the same station keeps its own."""
    original = a_letter(receivers=(HANOI, HANOI_1))
    first = await axis.admit(signed(original))

    answer = await axis.admit(take_back(original, receiver=HANOI_1))

    rows = await rows_of(axis, first)
    assert [rows[one.code]["state"] for one in (HANOI, HANOI_1)] == ["waiting", "withdrawn"]
    assert (answer.deliveries, "record.taken_back") == ((), answer.notices[0].code)
    [told] = await axis.events("delivery.withdrawn")
    assert (told.stations, told.facts["by_document"]) == (("vpcp",), answer.document)
    [listed] = await axis.inbox("ha-noi")
    assert [one.code for one in listed.deliveries] == [HANOI.code]


@ONE_DATABASE
@pytest.mark.requirement("LR-25")
async def test_what_was_taken_is_readable_until_15(axis: Office) -> None:
    """The 13 goes to the receiver; its yes ends the reading, and nothing else of the delivery changes."""
    original = a_letter(receivers=(HANOI, TTTT))
    first = await axis.admit(signed(original))
    await fetch(axis, "ha-noi", done=True)
    await axis.admit(answering(StatusCode.REGISTERED, original), station="ha-noi")

    answer = await axis.admit(take_back(original, receiver=HANOI))

    assert [one.code for one in answer.deliveries] == [HANOI.code]
    assert await payload(axis, "ha-noi", first) == first.digest
    assert (await fetch(axis, "ha-noi"))[-1] == answer.document
    await axis.admit(answering(StatusCode.AGREED, original), station="ha-noi")
    row = (await rows_of(axis, first))[HANOI.code]
    assert (row["state"], row["status"], row["request"]) == ("acknowledged", "03", "agreed")
    assert await payload(axis, "ha-noi", first) == "recalled"
    assert await payload(axis, "bo-tttt", first) == first.digest


@ONE_DATABASE
@pytest.mark.requirement("LR-25")
async def test_16_restores_the_former_state_with_a_mark(axis: Office) -> None:
    """Its reason is mandatory and recorded."""
    original = a_letter(receivers=(HANOI,))
    first = await axis.admit(signed(original))
    await fetch(axis, "ha-noi", done=True)
    await axis.admit(take_back(original, receiver=HANOI))

    silent = await axis.admit(
        answering(StatusCode.REJECTED, original, words=" ").replace(
            "Phần mềm quản lý văn bản đã nhận".encode(), b""
        ),
        station="ha-noi",
    )
    spoken = await axis.admit(
        answering(StatusCode.REJECTED, original, words="Đã xử lý xong"), station="ha-noi"
    )

    assert (silent.state, silent.reason, spoken.state) == (R, ReasonCode.VALIDATE_STATUS_REASON, A)
    row = (await rows_of(axis, first))[HANOI.code]
    assert (row["state"], row["request"]) == ("acknowledged", "rejected")
    assert await payload(axis, "ha-noi", first) == first.digest
    told = await axis.events("delivery.answered")
    assert [one.facts["settles"]["said"] for one in told if "settles" in one.facts] == ["Đã xử lý xong"]  # type: ignore[index,call-overload]  # JSON


@ONE_DATABASE
async def test_only_the_sender_takes_back(axis: Office) -> None:
    original = a_letter(receivers=(HANOI,))
    await axis.admit(signed(original))
    named = replace(original, sender=Party(organ_id=HANOI.code))

    answer = await axis.admit(
        status(StatusCode.TAKE_BACK, sender=TTTT, answered=named, at=AT, words="Nhầm"), station="bo-tttt"
    )

    assert (answer.state, answer.reason) == (R, ReasonCode.ROUTE_NOT_YOUR_DOCUMENT)


# --- update and replacement ---------------------------------------------------------------------------------------


@pytest.mark.requirement("LR-24")
async def test_an_update_removes_adds_and_asks(axis: Office) -> None:
    """Removed: withdrawn unseen, or told and asked. Added: gets the update. The others answer it."""
    original = a_letter(receivers=(HANOI, TTTT, NV))
    first = await axis.admit(signed(original))
    await fetch(axis, "ha-noi", done=True)
    await fetch(axis, "bo-tttt", done=True)
    changes = BussinessDocumentInfo(
        document_receiver=True,
        receivers=(
            ReceiverChange(organ_id=TTTT.code, receiver_type=0),
            ReceiverChange(organ_id=NV.code, receiver_type=0),
            ReceiverChange(organ_id=QP.code, receiver_type=1),
        ),
    )
    update = acting(BusinessType.UPDATE, original, receivers=(HANOI,))
    assert update.bussiness is not None
    update = replace(update, bussiness=replace(update.bussiness, changes=changes))

    answer = await axis.admit(signed(update))

    assert {one.code for one in answer.deliveries} == {HANOI.code, TTTT.code, QP.code}
    rows = await rows_of(axis, first)
    wanted = [(rows[one.code]["request"], rows[one.code]["request_kind"]) for one in (HANOI, TTTT)]
    assert wanted == [("asked", "update"), ("asked", "take_back")]
    assert rows[NV.code]["state"] == "withdrawn"
    await axis.admit(answering(StatusCode.AGREED, update), station="ha-noi")
    await axis.admit(answering(StatusCode.AGREED, update, sender=TTTT), station="bo-tttt")
    rows = await rows_of(axis, first)
    assert [rows[one.code]["request"] for one in (HANOI, TTTT)] == ["agreed", "agreed"]
    # An update is no recall: whoever stays a receiver may read the original as before.
    assert await payload(axis, "ha-noi", first) == first.digest
    assert await payload(axis, "bo-tttt", first) == "recalled"
    # A recall is about what the update brought as well.
    recall = await axis.admit(signed(recall_of(original, number=11, receivers=(HANOI,))))
    assert [one.code for one in recall.deliveries] == [HANOI.code, TTTT.code]
    assert await payload(axis, "bo-qp", answer) == "recalled"


@ONE_DATABASE
@pytest.mark.requirement("LR-24")
async def test_a_replacement_links_the_chain(axis: Office) -> None:
    """For all receivers, for some, and of something from before the axis."""
    one, two = a_letter(1), a_letter(2)
    first, second = [await axis.admit(signed(each)) for each in (one, two)]
    edoc = a_letter(9, kind=BusinessType.REPLACE)
    assert edoc.bussiness is not None
    replacements = (
        Replacement(document_id=one.document_id),
        Replacement(document_id=two.document_id, organ_ids=(HANOI.code,)),
        Replacement(document_id="000.00.00.G22,2017/01/05,1/CV"),
    )
    edoc = replace(edoc, bussiness=replace(edoc.bussiness, replacements=replacements))

    answer = await axis.admit(signed(edoc))

    assert (await state_of(axis, first), await state_of(axis, second)) == ("replaced", "in_force")
    links = {row["target"]: row["organs"] for row in await axis.rows(t.replacement)}
    assert links == {first.document: "[]", second.document: f'["{HANOI.code}"]'}
    assert "record.replaces_unknown" in {each.code for each in answer.notices}
    shown = await life(axis, second)
    assert [(each["document"], each["organs"]) for each in shown["replaced_by"]] == [
        (answer.document, [HANOI.code])
    ]
    assert {each["document_id"] for each in (await life(axis, answer))["replaces"]} == {
        one.document_id,
        two.document_id,
    }


# --- one document, several messages -------------------------------------------------------------------------------


@pytest.mark.requirement("LR-27")
async def test_a_split_per_receiver_is_one_document(axis: Office) -> None:
    """The receiver's code behind `#`, with ids that follow it or have nothing in common; sent counts once."""
    whole = a_letter(5, receivers=(HANOI,))

    def part(receiver: Agency, document_id: str) -> bytes:
        code = Code(number=whole.code.number, notation=f"{whole.code.notation}#{receiver.code}")
        party = Party(organ_id=receiver.code, organ_name=receiver.name)
        edoc = replace(whole, receivers=(party,), code=code, document_id=document_id)
        file = AttachmentSource(
            content_id="c0", name="5.pdf", content_type="application/pdf", source=pdf("The same for all")
        )
        hand = pen(VPCP)
        return sign(
            edoc_bytes(edoc, attachments=(file,)), signer=hand.signer, chain=hand.chain, signing_time=AT
        )

    answers = [
        await axis.admit(part(HANOI, f"{whole.document_id}#{HANOI.code}")),
        await axis.admit(part(TTTT, f"{whole.document_id}#{TTTT.code}")),
        await axis.admit(part(QP, "7b1e51a3-6f4f-4b8c-9d0a-000000000001")),
        await axis.admit(part(QP, "7b1e51a3-6f4f-4b8c-9d0a-000000000002")),
    ]

    assert [one.state for one in answers] == [A, A, A, D]
    roots = {row["root"] for row in await axis.rows(t.document)}
    assert roots == {answers[0].document}
    while await axis.sequencer.turn():
        pass
    assert [row["n"] for row in await axis.rows(t.tally) if row["metric"] == "sent"] == [1]


@ONE_DATABASE
@pytest.mark.requirement("LR-27")
async def test_the_same_number_under_another_id_is_a_warning_to_the_receiver(axis: Office) -> None:
    await axis.admit(signed(a_letter(1, receivers=(HANOI,), subject="Một việc")))
    other = replace(a_letter(1, receivers=(TTTT,), subject="Việc khác"), document_id="khac-1")

    answer = await axis.admit(signed(other))

    assert answer.state is A
    [listed] = await axis.inbox("bo-tttt")
    assert "record.same_number" in {one.code for one in listed.notices}


@ONE_DATABASE
@pytest.mark.requirement("LR-27")
async def test_the_same_number_in_one_batch_is_the_same_warning(axis: Office) -> None:
    """However the number is written; the same number of another sender is none."""
    other = replace(a_letter(1, receivers=(TTTT,), subject="Việc khác"), document_id="khac-1")
    written = replace(other.code, notation=f" {other.code.notation.lower()}")
    bodies = [
        ("vpcp", signed(a_letter(1, receivers=(TTTT,), subject="Một việc"))),
        ("vpcp", signed(replace(other, code=written))),
        ("ha-noi", signed(replace(a_letter(1, sender=HANOI, receivers=(TTTT,)), code=other.code))),
    ]

    answers = await axis.admit_all(
        [a_message(body, station=who, message_id=f"b-{n}") for n, (who, body) in enumerate(bodies)]
    )

    warned = ["record.same_number" in {notice.code for notice in one.notices} for one in answers]
    assert ([one.state for one in answers], warned) == ([A] * 3, [False, True, False])
    listed = {one.document: {notice.code for notice in one.notices} for one in await axis.inbox("bo-tttt")}
    assert [answers[1].document] == [key for key, codes in listed.items() if "record.same_number" in codes]


@ONE_DATABASE
async def test_what_names_a_document_of_its_own_batch_by_code_finds_it(axis: Office) -> None:
    """Its recall, and a status, in the same batch behind it."""
    original = a_letter(1, receivers=(HANOI, TTTT))
    recall = acting(BusinessType.RECALL, replace(original, document_id=""))
    named = ResponseFor(
        organ_id=VPCP.code, code=original.code.written, promulgation_date=original.promulgation.date
    )
    bodies = [
        ("vpcp", signed(replace(original, document_id="id-of-its-own"))),
        ("ha-noi", answering(StatusCode.ARRIVED, replace(original, document_id=""))),
        ("vpcp", signed(replace(recall, responses=(named,)))),
    ]

    answers = await axis.admit_all(
        [a_message(body, station=who, message_id=f"b-{n}") for n, (who, body) in enumerate(bodies)]
    )

    assert [one.state for one in answers] == [A] * 3, answers
    assert await state_of(axis, answers[0]) == "recalling"


# --- statuses -----------------------------------------------------------------------------------------------------


@ONE_DATABASE
@pytest.mark.requirement("LR-21")
async def test_a_return_after_registration_is_kept_marked_and_answered(axis: Office) -> None:
    """It counts for nothing, it is sent on, and its sender hears what to do instead."""
    original = a_letter(receivers=(HANOI,))
    await axis.admit(signed(original))
    await axis.admit(answering(StatusCode.REGISTERED, original), station="ha-noi")

    answer = await axis.admit(answering(StatusCode.RETURNED, original, words="Nhầm"), station="ha-noi")

    assert (answer.state, answer.notices[0].code) == (A, "record.return_too_late")
    assert [one.code for one in answer.deliveries] == [VPCP.code]
    assert (await axis.events("delivery.answered"))[-1].facts["mark"] == "too_late"


@ONE_DATABASE
@pytest.mark.requirement("LR-26")
async def test_who_stands_below_the_receiver_answers_as_its_branch(axis: Office) -> None:
    """Its 04 shows at the delivery; its return returns nothing for the whole organ."""
    original = a_letter(receivers=(HANOI,))
    first = await axis.admit(signed(original))
    await axis.admit(answering(StatusCode.ASSIGNED, original, sender=HANOI_1_1), station="ha-noi")

    await axis.admit(answering(StatusCode.RETURNED, original, sender=HANOI_1, words="Nhầm"), station="ha-noi")

    row = (await rows_of(axis, first))[HANOI.code]
    assert (row["status"], row["returned"]) == ("04", False)
    assert [one.facts.get("branch") for one in await axis.events("delivery.answered")] == [True, True]
    [shown] = (await life(axis, first))["deliveries"]
    assert [one["status"] for one in shown["branches"]] == ["04", "02"]


@ONE_DATABASE
@pytest.mark.requirement("LR-26")
async def test_a_status_finds_its_document_by_organ_code_and_date(axis: Office) -> None:
    """Without `DocumentId`, or with one that the receiver made up; and the number as people write it."""
    original = a_letter(receivers=(HANOI,))
    first = await axis.admit(signed(original))
    made_up = replace(
        original,
        document_id="000.00.00.G22,2026/03/09,01/BC-G22",
        code=Code(number=original.code.number, notation=original.code.notation.lower()),
    )

    answers = [
        await axis.admit(answering(StatusCode.ARRIVED, replace(made_up, document_id="")), station="ha-noi"),
        await axis.admit(answering(StatusCode.REGISTERED, made_up), station="ha-noi"),
    ]

    assert [one.state for one in answers] == [A, A]
    assert (await rows_of(axis, first))[HANOI.code]["status"] == "03"
