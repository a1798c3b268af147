"""A station sees what it sent and what it receives, and of everything else not even whether it exists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import event

from axis.core.errors import Ambiguous, NotFound, ServiceUnavailable, Withdrawn
from axis.core.exchange import FeedEntry
from axis.core.ids import compose, is_id, year_of
from axis.core.lifecycle import DeliveryStep
from axis.core.model import DeliveryState, DocumentKey, Kind, StationId, SubmissionId, SubmissionState
from axis.ledger.sequencer import Sequencer
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger, open_engine
from tests.ledger.builders import LOG, LOG_KEY, NOON, Clock, Story

SENDER, RECEIVER, OTHER = StationId("station-1"), StationId("station-2"), StationId("station-9")
LAST_ID = "7" + "Z" * 25
"""The highest text that has the shape of an id: a moment of the year 10889."""
HOSTILE = (
    "",
    " ",
    "é",
    "\0",
    "\ud800",
    "'; DROP TABLE document; --",
    "%",
    "_" * 26,
    "x" * 100_000,
    LAST_ID,
    LAST_ID.lower(),
    LAST_ID + "\n",
)


@pytest.fixture(name="story")
async def _story(ledger: SQLLedger) -> Story:
    story = Story(ledger)
    for organ in (1, 2, 3, 9):
        await story.station(f"station-{organ}")
    return story


@pytest.fixture(name="view")
def _view(ledger: SQLLedger) -> SQLStationView:
    return SQLStationView(ledger)


async def number(story: Story) -> None:
    sequencer = Sequencer(story.ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="test")
    while await sequencer.turn():
        pass


def questions(
    view: SQLStationView, station: StationId, name: str
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Everything a station may ask about something it names."""
    return {
        "consignment": lambda: view.consignment(station, DocumentKey(name), refs=5),
        "payload_of": lambda: view.payload_of(station, DocumentKey(name)),
        "report": lambda: view.report(station, DocumentKey(name)),
        "where_is": lambda: view.where_is(station, name),
        "outcome of a submission": lambda: view.outcome(
            station, submission=SubmissionId(name), message_id=None
        ),
        "outcome of a message": lambda: view.outcome(station, submission=None, message_id=name),
    }


# --- isolation ----------------------------------------------------------------------------------------------------


@pytest.mark.threat(
    "a station learns of documents that are not its own",
    control="every reading names the station; what is another's and what does not exist look the same",
)
async def test_another_stations_things_look_like_nothing(story: Story, view: SQLStationView) -> None:
    """
    For a third station every id, DocumentId, submission and message id of others gets exactly the answer of one that
    was never given, in every state of the document.
    """
    sent = await story.accepted(to=[2, 3], document_id="D-1")
    held = await story.held()
    refused = await story.refused()
    message = str(sent.facts["message_id"])
    names = [sent.document, sent.submission, "D-1", message, str(held.submission), str(refused.submission)]
    names += [str(held.facts["message_id"]), "H-1", "R-1", *sent.deliveries.values()]
    names += list(sent.consignment_of.values())

    for step in (None, DeliveryStep.HAND_OVER, DeliveryStep.FETCH, DeliveryStep.ACKNOWLEDGE):
        if step is not None:
            await story.stepped(sent, step)
        await number(story)
        for name in names:
            for question, ask in questions(view, OTHER, name).items():
                with pytest.raises(NotFound) as not_found:
                    await ask()
                stranger = name[:-3] + "ZZZ"
                with pytest.raises(NotFound) as unknown:
                    await questions(view, OTHER, stranger)[question]()
                assert str(not_found.value) == str(unknown.value).replace(stranger, name), question
        assert await view.feed(OTHER, after=-1, limit=100) == []


async def test_a_receiver_does_not_see_the_senders_side(story: Story, view: SQLStationView) -> None:
    """Who gets a document may not ask who else does, nor what became of its submission; the sender may."""
    sent = await story.accepted(to=[2, 3], document_id="D-1")
    await story.taken(sent)
    await number(story)

    for name in (sent.document, "D-1"):
        with pytest.raises(NotFound):
            await view.where_is(RECEIVER, name)
    with pytest.raises(NotFound):
        await view.outcome(RECEIVER, submission=sent.submission, message_id=None)
    with pytest.raises(NotFound):
        await view.consignment(SENDER, sent.document, refs=5)
    assert await view.feed(RECEIVER, after=-1, limit=100) == []
    assert len(await view.feed(SENDER, after=-1, limit=100)) == 2
    ready = await view.consignment(RECEIVER, sent.document, refs=5)
    assert {ref.code for ref in ready.deliveries} <= {"000.00.02.H01"}


async def test_two_stations_with_the_same_document_id(story: Story, view: SQLStationView) -> None:
    """DocumentIds and message ids of others neither answer nor make one's own ambiguous."""
    mine = await story.accepted(sender=1, document_id="1", more={"message_id": "m-1"})
    theirs = await story.accepted(sender=9, document_id="1", more={"message_id": "m-1"})

    assert (await view.where_is(SENDER, "1")).document == mine.document
    assert (await view.where_is(OTHER, "1")).document == theirs.document
    for station, sent in ((SENDER, mine), (OTHER, theirs)):
        assert (await view.outcome(station, submission=None, message_id="m-1")).document == sent.document


@pytest.mark.parametrize("station", [SENDER, StationId(""), StationId("%")])
async def test_made_up_names_find_nothing(story: Story, view: SQLStationView, station: StationId) -> None:
    """Whatever is asked for, the answer is "no such", never a fault."""
    await story.accepted()

    for name in HOSTILE:
        for ask in questions(view, station, name).values():
            with pytest.raises(NotFound):
                await ask()


def test_the_last_id_has_a_year() -> None:
    """It has the shape of an id, so it must not break what looks for its row."""
    assert is_id(LAST_ID)
    assert year_of(LAST_ID) == 9998
    assert year_of(compose(at=NOON, randomness=1)) == 2026


# --- credentials --------------------------------------------------------------------------------------------------


async def test_key_hash(story: Story, view: SQLStationView) -> None:
    """Of a station with a key; a station without one and none at all have none."""
    async with story.ledger.transaction() as tx:
        await tx.keep_secrets(SENDER, secret=None, key_hash="a" * 64)

    assert await view.key_hash(SENDER) == "a" * 64
    assert await view.key_hash(RECEIVER) is None
    assert await view.key_hash(StationId("nobody")) is None


async def test_requests_that_come_together_share_a_look_at_the_keys(
    story: Story, view: SQLStationView
) -> None:
    """A look for every request would cost SQLite more than the requests do; each gets the key of its own station."""
    async with story.ledger.transaction() as tx:
        await tx.keep_secrets(SENDER, secret=None, key_hash="a" * 64)
        await tx.keep_secrets(RECEIVER, secret=None, key_hash="b" * 64)
    looks: list[str] = []
    event.listen(
        story.ledger.engine.sync_engine,
        "before_cursor_execute",
        lambda _, __, statement, *___: looks.append(statement) if "key_hash" in statement else None,
    )

    found = await asyncio.gather(
        *(view.key_hash(one) for one in [SENDER, RECEIVER, StationId("nobody")] * 20)
    )

    assert found == ["a" * 64, "b" * 64, None] * 20
    # The first looks alone; all others came while it did.
    assert len(looks) == 2


# --- what it receives ---------------------------------------------------------------------------------------------


async def test_its_consignment_with_its_deliveries_only(story: Story, view: SQLStationView) -> None:
    """The deliveries of the station's organs that are pending, as many as asked for, and their number."""
    story.stations = {2: "station-2", 3: "station-2", 4: "station-2"}
    sent = await story.accepted(to=[2, 3, 4, 9])
    await story.stepped(sent, DeliveryStep.HAND_OVER, more={"attempt": 1})
    await story.stepped(sent, DeliveryStep.ACKNOWLEDGE, organs=[3])

    ready = await view.consignment(RECEIVER, sent.document, refs=1)

    pending = sorted([sent.deliveries[2], sent.deliveries[4]])
    assert ready.row.id == sent.consignment_of[2]
    assert ([ref.delivery for ref in ready.deliveries], ready.deliveries_total) == (pending[:1], 2)
    assert (ready.document.id, ready.row.attempt) == (sent.document, 1)


async def test_payload_and_report_until_it_is_withdrawn(story: Story, view: SQLStationView) -> None:
    """As long as one delivery of the station stands; the sender keeps access to what it sent."""
    story.stations = {2: "station-2", 3: "station-2"}
    sent = await story.accepted(to=[2, 3])

    for step, organs in ((None, []), (DeliveryStep.HAND_OVER, [2, 3]), (DeliveryStep.WITHDRAW, [2])):
        if step is not None:
            await story.stepped(sent, step, organs=organs)
        for station in (SENDER, RECEIVER):
            assert (await view.payload_of(station, sent.document)).id == sent.document
            body, signature = await view.report(station, sent.document)
            assert (body, signature) == (f"report of {sent.document}".encode(), '{"record":""}')

    await story.stepped(sent, DeliveryStep.WITHDRAW, organs=[3])
    for ask in (view.payload_of, view.report):
        with pytest.raises(Withdrawn):
            await ask(RECEIVER, sent.document)
        with pytest.raises(NotFound):
            await ask(OTHER, sent.document)
        await ask(SENDER, sent.document)


async def test_what_the_files_are_worth_until_the_document_turns_bad(
    story: Story, view: SQLStationView
) -> None:
    """To those who may see the report; never beside a value that was taken back."""
    sent = await story.accepted()
    await story.stepped(sent, DeliveryStep.HAND_OVER)
    before = await view.valued(RECEIVER, sent.document)
    event = await story.valued(sent)

    shown = [await view.valued(station, sent.document) for station in (SENDER, RECEIVER)]
    with pytest.raises(NotFound):
        await view.valued(OTHER, sent.document)
    await story.verified(sent)

    assert (before, shown) == (None, [event.record, event.record])
    assert await view.valued(RECEIVER, sent.document) is None


async def test_a_failed_delivery_keeps_its_payload(story: Story, view: SQLStationView) -> None:
    """A receiver that takes it after all may still fetch it."""
    sent = await story.accepted()
    await story.stepped(sent, DeliveryStep.HAND_OVER)
    await story.stepped(sent, DeliveryStep.FAIL)

    assert (await view.payload_of(RECEIVER, sent.document)).id == sent.document


# --- what it sent -------------------------------------------------------------------------------------------------


async def test_where_a_document_is(story: Story, view: SQLStationView) -> None:
    """Every receiver with its state, its reason, when it was reached, and the status shown."""
    sent = await story.accepted(to=[2, 3, 4, 5], not_connected=[5], document_id="D-1")
    await story.taken(sent, organs=[2])
    await story.answered(sent, 2, "03")
    await story.stepped(sent, DeliveryStep.HAND_OVER, organs=[3])
    await story.stepped(sent, DeliveryStep.FAIL, organs=[3])

    by_id = await view.where_is(SENDER, sent.document)
    by_name = await view.where_is(SENDER, "D-1")

    assert by_id == by_name
    assert (by_id.document, by_id.document_id, by_id.state) == (
        sent.document,
        "D-1",
        SubmissionState.ACCEPTED,
    )
    lines = {line.code: line for line in by_id.deliveries}
    assert [lines[f"000.00.{organ:02d}.H01"].state for organ in (2, 3, 4, 5)] == [
        DeliveryState.ACKNOWLEDGED,
        DeliveryState.FAILED,
        DeliveryState.WAITING,
        DeliveryState.NOT_CONNECTED,
    ]
    assert lines["000.00.02.H01"].status == "03"
    assert lines["000.00.03.H01"].reason is not None
    assert all(line.at is not None and line.name.startswith("Sở số") for line in by_id.deliveries)


async def test_supplementary_sendings_belong_to_the_first(story: Story, view: SQLStationView) -> None:
    """One document, sent in two parts: asked for by any name, all receivers are told."""
    first = await story.accepted(to=[2], document_id="D-1")
    second = await story.accepted(to=[3], document_id="D-1", root=first)

    for name in (first.document, second.document, "D-1"):
        where = await view.where_is(SENDER, name)
        assert where.document == first.document
        assert sorted(line.delivery for line in where.deliveries) == sorted(
            [first.deliveries[2], second.deliveries[3]]
        )


async def test_a_recall_that_repeats_the_id_means_the_document(story: Story, view: SQLStationView) -> None:
    """Types 1 to 3 may bear the DocumentId of what they act on (design section 3 rule 5); by its own id each is found."""
    original = await story.accepted(document_id="D-1")
    recall = await story.accepted(document_id="D-1", business_type=1, target=original)
    status = await story.accepted(document_id="D-1", kind=Kind.STATUS)

    assert (await view.where_is(SENDER, "D-1")).document == original.document
    assert (await view.where_is(SENDER, recall.document)).document == recall.document
    assert status.document != original.document


async def test_a_document_id_of_several_documents_is_ambiguous(story: Story, view: SQLStationView) -> None:
    """A platform of several organs may give an id twice: the axis's ids are the way to tell."""
    story.stations = {1: "station-1", 5: "station-1"}
    documents = [(await story.accepted(sender=organ, document_id="D-1")).document for organ in (1, 5)]

    with pytest.raises(Ambiguous) as ambiguous:
        await view.where_is(SENDER, "D-1")

    assert set(ambiguous.value.candidates) == set(documents)


async def test_a_long_document_id_is_found_whole(story: Story, view: SQLStationView) -> None:
    """Only the beginning is in the index; the whole is compared."""
    one = await story.accepted(document_id="D" * 5_000 + "1")
    await story.accepted(document_id="D" * 5_000 + "2")

    assert (await view.where_is(SENDER, "D" * 5_000 + "1")).document == one.document


async def test_what_is_held_goes_by_its_submission(story: Story, view: SQLStationView) -> None:
    """It has no document yet; once it is accepted, its document answers to the same DocumentId."""
    held = await story.held()

    for name in ("H-1", str(held.submission)):
        where = await view.where_is(SENDER, name)
        assert (where.state, where.document, where.document_id) == (
            SubmissionState.HELD,
            DocumentKey(str(held.submission)),
            "H-1",
        )
        assert where.deliveries == ()
    accepted = await story.accepted(document_id="H-1", after_hold=held)
    assert (await view.where_is(SENDER, "H-1")).document == accepted.document


async def test_the_newest_outcome_of_a_submission(story: Story, view: SQLStationView) -> None:
    """Held, then refused: the refusal is the answer, by the id of the submission and of the message."""
    held = await story.held()
    submission, message = SubmissionId(str(held.submission)), str(held.facts["message_id"])
    assert (await view.outcome(SENDER, submission=submission, message_id=None)).id == held.id

    refused = await story.refused(after_hold=held)

    for found in (
        await view.outcome(SENDER, submission=submission, message_id=None),
        await view.outcome(SENDER, submission=None, message_id=message),
    ):
        assert found.id == refused.id
        assert found.record == refused.record
    with pytest.raises(NotFound):
        await view.outcome(SENDER, submission=None, message_id=None)


async def test_a_message_id_used_twice_gives_the_newest(story: Story, view: SQLStationView) -> None:
    """Other bytes under a message id that was used before are another submission."""
    await story.accepted(more={"message_id": "m-1"})
    second = await story.accepted(more={"message_id": "m-1"})

    assert (await view.outcome(SENDER, submission=None, message_id="m-1")).document == second.document


async def test_the_feed_is_read_in_pieces(story: Story, view: SQLStationView) -> None:
    """In the order of the log, from behind any leaf, nothing twice and nothing left out."""
    for sender in (1, 9, 1, 1):
        await story.taken(await story.accepted(sender=sender))
    await number(story)

    every = await view.feed(SENDER, after=-1, limit=100)
    pieces: list[FeedEntry] = []
    after = -1
    while piece := await view.feed(SENDER, after=after, limit=2):
        pieces += piece
        after = piece[-1].index

    assert len(every) == 3
    assert pieces == list(every)
    assert [entry.index for entry in every] == sorted(entry.index for entry in every)
    assert await view.feed(SENDER, after=2**62, limit=5) == []


async def test_a_silent_database_is_a_service_that_is_not_available() -> None:
    """Silence is told apart from "no such"."""
    ledger = SQLLedger(open_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none"))
    view = SQLStationView(ledger)

    for ask in questions(view, SENDER, compose(at=NOON, randomness=1)).values():
        with pytest.raises(ServiceUnavailable, match="database"):
            await ask()
    with pytest.raises(ServiceUnavailable):
        await view.key_hash(SENDER)
    with pytest.raises(ServiceUnavailable):
        await view.feed(SENDER, after=-1, limit=1)
    await ledger.engine.dispose()
