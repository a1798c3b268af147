"""The store: transactions, claims, and rows that follow from events, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from axis.core.errors import InvariantBroken, ServiceUnavailable
from axis.core.events import Event, EventKind, read_record
from axis.core.lifecycle import DeliveryStep
from axis.core.model import (
    Actor,
    DeliveryState,
    EventId,
    Kind,
    LegalValue,
    OrganNumber,
    StationId,
    SubmissionId,
    SubmissionState,
)
from axis.core.reasons import ReasonCode
from axis.core.rows import Claim
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger, open_engine
from tests.ledger.builders import NOON, Ids, Story
from tests.services.proxy import TCPProxy


async def _everything(ledger: SQLLedger, table: Any) -> list[dict[str, Any]]:
    async with ledger.reading() as connection:
        rows = await connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in rows]


def _claim(key: str, submission: str) -> Claim:
    return Claim(key=key, submission=SubmissionId(submission), document=None)


# --- transactions and claims


async def test_nothing_of_a_transaction_that_fails_is_there(ledger: SQLLedger) -> None:
    """An error inside the block takes back events, rows and claims."""
    story = Story(ledger)
    sent = story.acceptance()

    async def fails() -> None:
        async with ledger.transaction() as tx:
            await tx.claim([_claim("k", sent.submission)])
            await tx.append([sent.acceptance])
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fails()
    for table in t.metadata.sorted_tables:
        assert await _everything(ledger, table) == [], table.name


async def test_of_two_claimers_one_gets_the_key(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """The second waits for the first to commit and is told who holds it."""
    story = Story(ledger)
    first = story.acceptance(claims=["key"])
    claimed, may_commit = asyncio.Event(), asyncio.Event()

    async def winner() -> None:
        async with ledger.transaction() as tx:
            assert await tx.claim([_claim("key", first.submission)]) == {}
            claimed.set()
            await may_commit.wait()
            await tx.append([first.acceptance])

    async def loser() -> Any:
        await claimed.wait()
        asyncio.get_running_loop().call_later(0.2, may_commit.set)
        async with other_ledger.transaction() as tx:
            taken = await tx.claim([_claim("key", story.new_id())])
            assert may_commit.is_set(), "it did not wait"
            return taken

    _, taken = await asyncio.gather(winner(), loser())

    assert {"key": Claim(key="key", submission=first.submission, document=first.document)} == taken


async def test_a_claim_that_is_rolled_back_is_free(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """The second claimer gets the key when the first one's transaction did not come to its end."""
    claimed, may_fail = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        async with ledger.transaction() as tx:
            await tx.claim([_claim("key", Ids().new(NOON))])
            claimed.set()
            await may_fail.wait()
            raise RuntimeError("on purpose")

    async def second() -> Any:
        await claimed.wait()
        asyncio.get_running_loop().call_later(0.2, may_fail.set)
        async with other_ledger.transaction() as tx:
            return await tx.claim([_claim("key", Ids().new(NOON))])

    results = await asyncio.gather(fails(), second(), return_exceptions=True)

    assert isinstance(results[0], RuntimeError)
    assert results[1] == {}


async def test_a_refused_submission_leaves_its_key_free(ledger: SQLLedger) -> None:
    """Claimed, then judged otherwise: already the next submission of the same transaction finds it free."""
    story = Story(ledger)
    sent = story.acceptance(claims=["key"])
    refused = SubmissionId(story.new_id())
    refusal = Event(
        id=EventId(story.new_id()),
        kind=EventKind.SUBMISSION_REFUSED,
        at=NOON,
        by=Actor(station=StationId("station-1")),
        submission=refused,
        facts={
            "message_id": "m",
            "digest": "d",
            "size": 1,
            "received_at": NOON.isoformat(),
            "lane": "normal",
            "causes": [],
        },
    )

    async with ledger.transaction() as tx:
        await tx.claim([_claim("key", refused)])
        await tx.append([refusal])
        taken = await tx.claim([_claim("key", sent.submission)])
        await tx.append([sent.acceptance])

    assert taken == {}
    assert [("key", sent.submission, sent.document)] == [
        tuple(row.values()) for row in await _everything(ledger, t.claim)
    ]


async def test_a_claim_no_event_names_is_given_back(ledger: SQLLedger) -> None:
    """What was only claimed is free after the commit."""
    async with ledger.transaction() as tx:
        await tx.claim([_claim("key", Ids().new(NOON))])

    assert await _everything(ledger, t.claim) == []


async def test_a_hold_keeps_its_key_until_it_ends(ledger: SQLLedger) -> None:
    """Held longer: kept. Accepted: it names the document. Refused: free."""
    story = Story(ledger)
    held = await story.held(claim="key")
    longer = await story.held(after_hold=held)
    assert [("key", held.submission, None)] == [
        tuple(row.values()) for row in await _everything(ledger, t.claim)
    ]

    sent = story.acceptance(after_hold=longer, claims=["key"])
    await story.tell(sent.acceptance)
    assert [("key", held.submission, sent.document)] == [
        tuple(row.values()) for row in await _everything(ledger, t.claim)
    ]

    other = await story.held(claim="other")
    await story.refused(after_hold=other)
    assert [row["key"] for row in await _everything(ledger, t.claim)] == ["key"]


async def test_two_hubs_with_one_message_record_it_once(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """The second one's transaction does not commit; tried again, it finds the answer of the first."""
    story = Story(ledger)
    first = story.acceptance()
    same_message = {name: first.facts[name] for name in ("message_id", "digest")}
    second = story.acceptance(more=same_message)
    key = (first.station, str(first.facts["message_id"]), first.facts["digest"])
    both_looked = asyncio.Barrier(2)

    async def hub(mine: SQLLedger, event: Event) -> None:
        async with mine.transaction() as tx:
            if mine.engine.dialect.name == "postgresql":
                assert await tx.answered([key]) == {}  # type: ignore[list-item] # texts of the facts
                await both_looked.wait()
            elif await tx.answered([key]):  # type: ignore[list-item] # as above
                raise ServiceUnavailable("database", "the one writer of SQLite sees it before it writes")
            await tx.append([event])

    results = await asyncio.gather(
        hub(ledger, first.acceptance), hub(other_ledger, second.acceptance), return_exceptions=True
    )

    assert [ServiceUnavailable] == [type(one) for one in results if one is not None]
    assert len(await _everything(ledger, t.document)) == 1
    async with ledger.transaction() as tx:
        assert len(await tx.answered([key])) == 1  # type: ignore[list-item] # as above


async def test_a_database_that_does_not_answer_is_unavailable(
    database_url: str, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """Also in the middle of a transaction, for writers and readers."""
    proxy = tcp_proxy(database_url)
    ledger = SQLLedger(open_engine(proxy.url(database_url)))

    async def writes() -> None:
        async with ledger.transaction() as tx:
            await tx.directory_version()
            proxy.refuse()
            await tx.directory_version()

    async def reads() -> None:
        async with ledger.reading() as connection:
            await connection.execute(text("SELECT 1"))

    try:
        with pytest.raises(ServiceUnavailable):
            await writes()
        with pytest.raises(ServiceUnavailable):
            await reads()
        proxy.accept()
        async with ledger.transaction() as tx:
            assert await tx.directory_version() == 0
    finally:
        await ledger.engine.dispose()


# --- events


async def test_an_event_is_kept_as_it_was_made(ledger: SQLLedger) -> None:
    """The same bytes, the same hash, the same event; and it waits for its number."""
    story = Story(ledger)
    sent = await story.accepted(subject="Về việc “thí điểm” — 𠀀 đ\u0301\u200b")

    async with ledger.transaction() as tx:
        found = (await tx.events([sent.acceptance.id]))[sent.acceptance.id]
    row = (await _everything(ledger, t.event))[0]

    assert sent.acceptance.record == row["record"] == found.record
    assert sent.acceptance.hash == row["hash"]
    assert read_record(row["record"]) == sent.acceptance
    assert [sent.acceptance.id] == [one["event_id"] for one in await _everything(ledger, t.pending_leaf)]


async def test_what_waits_is_in_the_order_in_which_it_was_written(ledger: SQLLedger) -> None:
    """Not in the order of the ids, which is random within a millisecond."""
    story = Story(ledger)
    sent = story.acceptance(to=range(2, 30))
    events = [sent.acceptance, *story.step(sent, DeliveryStep.HAND_OVER)]
    assert [one.id for one in events] != sorted(one.id for one in events)

    await story.tell(*events)
    await story.tell(*(more := story.step(sent, DeliveryStep.ACKNOWLEDGE)))

    assert [one.id for one in (*events, *more)] == [
        one["event_id"] for one in await _everything(ledger, t.pending_leaf)
    ]


async def test_the_order_is_that_of_the_rows(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """A transaction that had to wait for a row stands behind the one it waited for, though it began first."""
    story = Story(ledger)
    plan = await story.planned([])
    first, second = (
        Event(
            id=EventId(story.new_id()),
            kind=EventKind.REPLAY_CHANGED,
            at=NOON,
            by=Actor(person="an", reason="x"),
            facts={"plan": plan, "change": change},
        )
        for change in ("paused", "resumed")
    )
    locked, waits = asyncio.Event(), asyncio.Event()

    async def holds_the_row() -> None:
        async with other_ledger.transaction() as tx:
            await tx.append([first])
            locked.set()
            await waits.wait()

    async def waits_for_it() -> None:
        await locked.wait()
        asyncio.get_running_loop().call_later(0.2, waits.set)
        async with ledger.transaction() as tx:
            await tx.append([second])

    await asyncio.gather(holds_the_row(), waits_for_it())

    assert [first.id, second.id] == [row["event_id"] for row in await _everything(ledger, t.pending_leaf)][1:]
    assert [row["state"] for row in await _everything(ledger, t.replay_plan)] == ["resumed"]


# --- rows


async def test_an_accepted_document_has_all_its_rows(ledger: SQLLedger) -> None:
    """Submission, document, consignments per station, deliveries per organ, and the keys that are unique for ever."""
    story = Story(ledger)
    story.stations = {2: "platform", 3: "platform"}
    sent = await story.accepted(to=(2, 3, 4, 5), not_connected={5}, urgency=2, subject="Nghị định số 15")

    async with ledger.transaction() as tx:
        submission = (await tx.submissions([sent.submission]))[sent.submission]
        document = (await tx.documents([sent.document]))[sent.document]
        deliveries = await tx.deliveries_of([sent.document])
        consignments = await tx.consignments(list(sent.heads))
        receivers = await tx.receivers(sent.root)

    assert (SubmissionState.ACCEPTED, sent.document) == (submission.state, submission.document)
    assert (SubmissionId(sent.submission), Kind.EDOC, "15", "QĐ-TTg") == (
        document.submission,
        document.kind,
        document.number,
        document.notation,
    )
    assert document.attachments[0].name == "Quyết định.pdf"
    assert sent.acceptance.hash.hex() == document.head == submission.head
    assert len(consignments) == 2
    assert {"waiting"} == {one.state for one in consignments.values()}
    assert {row.organ: row.state.value for row in deliveries} == {
        2: "waiting",
        3: "waiting",
        4: "waiting",
        5: "not_connected",
    }
    assert [row.reason for row in deliveries if row.consignment is None] == [ReasonCode.ROUTE_NOT_CONNECTED]
    assert {OrganNumber(organ): delivery for organ, delivery in sent.deliveries.items()} == receivers


async def test_a_delivery_goes_its_way(ledger: SQLLedger) -> None:
    """State, time, reason, status and the flags of each step, for the organs it was about and no others."""
    story = Story(ledger)
    story.stations = {2: "platform", 3: "platform"}
    sent = await story.accepted(to=(2, 3))

    async def row(organ: int) -> Any:
        async with ledger.transaction() as tx:
            return (await tx.deliveries([sent.deliveries[organ]]))[sent.deliveries[organ]]

    await story.stepped(sent, DeliveryStep.HAND_OVER)
    await story.stepped(sent, DeliveryStep.FAIL, organs=[2])
    assert (
        (await row(2)).state,
        (await row(2)).reason,
    ) == (DeliveryState.FAILED, ReasonCode.DELIVER_NOT_TAKEN)
    assert (await row(3)).state == DeliveryState.HANDED_OVER

    await story.stepped(sent, DeliveryStep.REPLAY, organs=[2])
    assert ((await row(2)).state, (await row(2)).reason) == (DeliveryState.WAITING, None)

    (taken, *_) = await story.stepped(sent, DeliveryStep.ACKNOWLEDGE, organs=[2])
    assert (DeliveryState.ACKNOWLEDGED, taken.at) == ((await row(2)).state, (await row(2)).received_at)

    await story.answered(sent, 2, "03")
    await story.valued(sent, "copy")
    assert ((await row(2)).registered, (await row(2)).returned, (await row(2)).status) == (True, False, "03")
    assert ((await row(3)).registered, (await row(3)).received_at) == (False, None)
    async with ledger.transaction() as tx:
        document = (await tx.documents([sent.document]))[sent.document]
        consignment = (await tx.consignments(list(sent.heads)))[sent.consignment_of[2]]
    assert document.value == LegalValue.COPY
    assert ("handed_over", sent.heads[sent.consignment_of[2]]) == (consignment.state, consignment.head)


async def test_a_failure_has_a_reason(ledger: SQLLedger) -> None:
    """One without could be grouped by nothing: it is not recorded."""
    story = Story(ledger)
    sent = await story.accepted()
    (failure,) = story.step(sent, DeliveryStep.FAIL)
    nameless = Event(
        id=failure.id,
        kind=failure.kind,
        at=failure.at,
        by=failure.by,
        document=failure.document,
        deliveries=failure.deliveries,
        facts={name: value for name, value in failure.facts.items() if name != "reason"},
    )

    with pytest.raises(KeyError, match="reason"):
        await story.tell(nameless)


async def test_a_life_in_one_transaction_is_the_same_as_in_many(ledger: SQLLedger) -> None:
    """Changes of a row that is new in the batch join its insert, and the last one wins."""
    story = Story(ledger)
    sent = story.acceptance()
    events = [sent.acceptance]
    for step in (DeliveryStep.HAND_OVER, DeliveryStep.FAIL, DeliveryStep.REPLAY, DeliveryStep.ACKNOWLEDGE):
        events += story.step(sent, step)

    await story.tell(*events)

    (row,) = await _everything(ledger, t.delivery)
    assert (row["state"], row["reason"]) == ("acknowledged", None)
    (consignment,) = await _everything(ledger, t.consignment)
    assert ("closed", events[-1].hash.hex()) == (consignment["state"], consignment["head"])


async def test_two_rows_for_one_key_are_refused(ledger: SQLLedger) -> None:
    """One document reaches one organ once, also within one batch."""
    story = Story(ledger)
    first = story.acceptance(to=(2,))
    again = story.acceptance(to=(2,), root=first)

    with pytest.raises(InvariantBroken, match="delivery_key"):
        await story.tell(first.acceptance, again.acceptance)


async def test_documents_are_found_by_name(ledger: SQLLedger) -> None:
    """By DocumentId, else by number and notation of the sender; newest first; statuses apart."""
    story = Story(ledger)
    first = await story.accepted(sender=1, document_id="A-1", number="15", notation="QĐ-TTg")
    recall = await story.accepted(sender=1, document_id="A-1", business_type=1, target=first)
    await story.accepted(sender=2, document_id="A-1", number="15", notation="QĐ-TTg")
    await story.accepted(sender=1, document_id="A-1", kind=Kind.STATUS)

    async with ledger.transaction() as tx:
        by_id = await tx.documents_named(sender=OrganNumber(1), document_id="A-1", code="", kind=Kind.EDOC)
        by_code = await tx.documents_named(
            sender=OrganNumber(1), document_id="", code="15/QĐ-TTg", kind=Kind.EDOC
        )
        anybody = await tx.documents_named(sender=None, document_id="A-1", code="", kind=Kind.EDOC)
        nobody = await tx.documents_named(sender=None, document_id="A-2", code="", kind=Kind.EDOC)

    assert [recall.document, first.document] == [one.id for one in by_id]
    assert [recall.document, first.document] == [one.id for one in by_code]
    assert len(anybody) == 3
    assert list(nobody) == []


async def test_texts_of_any_length_are_taken(ledger: SQLLedger) -> None:
    """What others write may be longer than an index entry can be."""
    story = Story(ledger)
    ids = Ids("long")
    long = "".join(ids.new(NOON + timedelta(seconds=number)) for number in range(400))
    sent = await story.accepted(document_id=long, number=long, notation=long, subject=f"{long} và {long}")
    await story.refused(subject=long, code=long)

    async with ledger.transaction() as tx:
        found = await tx.documents_named(sender=None, document_id=long, code="", kind=Kind.EDOC)
        other = await tx.documents_named(sender=None, document_id=long[:-1], code="", kind=Kind.EDOC)

    assert [sent.document] == [one.id for one in found]
    assert list(other) == []


async def test_what_was_buried_and_admitted_again_says_so(ledger: SQLLedger) -> None:
    """The row of the dead letter names the submission it became."""
    story = Story(ledger)
    buried = await story.buried()
    sent = story.acceptance(more={"unburies": str(buried.submission)})

    await story.tell(sent.acceptance)

    async with ledger.transaction() as tx:
        row = (await tx.buried([SubmissionId(str(buried.submission))]))[SubmissionId(str(buried.submission))]
    assert sent.submission == row.admitted_as
