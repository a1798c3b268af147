"""What stations say of their deliveries, what is ignored, and how often a failure is tried again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from axis.core.exchange import Ack, Answer, Ask, Outcome, StationMessage
from axis.core.model import Actor, BusinessType, DeliveryId, DeliveryState, StationId
from axis.core.ports import BuriedMessage
from axis.core.reasons import ReasonCode
from axis.demo.letters import status
from axis.edxml.message import StatusCode
from axis.flow.dispatch import PullKeeper, record_hand_over
from axis.ledger import tables as t
from tests.flow.office import Office
from tests.flow.town import AT, HANOI, HANOI_1, TTTT, a_letter, signed

WAITING, HANDED, TAKEN, FAILED = (
    DeliveryState.WAITING,
    DeliveryState.HANDED_OVER,
    DeliveryState.ACKNOWLEDGED,
    DeliveryState.FAILED,
)


@pytest.fixture
async def sent(office: Office) -> Answer:
    """A letter to Hà Nội, one of its departments, and a ministry."""
    return await office.admit(signed(a_letter(receivers=(HANOI, HANOI_1, TTTT))))


async def _mine(office: Office, station: str = "ha-noi") -> list[str]:
    return [ref.delivery for one in await office.inbox(station) for ref in one.deliveries]


async def test_listing_hands_over_and_nothing_is_listed_twice(office: Office, sent: Answer) -> None:
    assert sent.document is not None
    first, second = await _mine(office), await _mine(office)

    states = await office.states()
    assert (len(first), second) == (2, [])
    assert [states[one.code] for one in (HANOI, HANOI_1, TTTT)] == [HANDED, HANDED, WAITING]


@pytest.mark.usefixtures("sent")
async def test_one_delivery_may_be_done_and_the_other_not(office: Office) -> None:
    """The consignment stands where its least advanced delivery stands."""
    one, other = await _mine(office)

    await office.say("ha-noi", Outcome.DONE, one)

    rows = {row["id"]: row["state"] for row in await office.rows(t.delivery)}
    assert (TAKEN.value, HANDED.value) == (rows[one], rows[other])
    assert [row["state"] for row in await office.rows(t.consignment) if row["station_id"] == "ha-noi"] == [
        "handed_over"
    ]


@pytest.mark.usefixtures("sent")
async def test_done_twice_counts_once_and_is_on_record(office: Office) -> None:
    deliveries = await _mine(office)

    await office.say("ha-noi", Outcome.DONE, *deliveries)
    await office.say("ha-noi", Outcome.DONE, *deliveries)

    assert len(await office.events("delivery.acknowledged")) == 1
    ignored = (await office.events("ack.ignored"))[0].facts["ignored"]
    assert [[one, "done", "acknowledged"] for one in deliveries] == ignored


async def test_nothing_is_said_of_what_was_withdrawn(office: Office) -> None:
    """A recall took it back before anybody had it: whatever the station says of it is noted and changes nothing."""
    original = a_letter(receivers=(TTTT,))
    await office.admit(signed(original))
    recall = a_letter(2, receivers=(TTTT,), kind=BusinessType.RECALL, target=original.document_id)
    await office.admit(signed(replace(recall, code=original.code)))
    [withdrawn] = [str(row["id"]) for row in await office.rows(t.delivery) if row["state"] == "withdrawn"]

    for outcome in (Outcome.FETCHED, Outcome.DONE, Outcome.FAIL):
        await office.say("bo-tttt", outcome, withdrawn)

    facts: list[Any] = [event.facts for event in await office.events("ack.ignored")]
    assert [[withdrawn, one, "withdrawn"] for one in ("fetched", "done", "fail")] == [
        entry for one in facts for entry in one["ignored"]
    ]


@pytest.mark.usefixtures("sent")
async def test_nobody_speaks_for_anothers_delivery(office: Office) -> None:
    """Nor learns that it exists: unknown and foreign look the same."""
    deliveries = await _mine(office)

    await office.say("bo-tttt", Outcome.DONE, *deliveries)
    await office.say("bo-tttt", Outcome.DONE, "0" * 26)

    states = await office.states()
    assert [states[one.code] for one in (HANOI, HANOI_1)] == [HANDED, HANDED]
    facts: list[Any] = [event.facts for event in await office.events("ack.ignored")]
    whys = {why for one in facts for _, _, why in one["ignored"]}
    assert {"not_yours"} == whys


@pytest.mark.usefixtures("sent")
async def test_a_failure_is_offered_again_by_the_schedule_and_then_fails(office: Office) -> None:
    """30 s, 1 min, then failed, with a reason that names its owner; the station's own words are kept."""
    for pause in (30, 60):
        deliveries = await _mine(office)
        await office.say("ha-noi", Outcome.FAIL, *deliveries, reason="disk full")
        assert await _mine(office) == []
        office.clock.jump(timedelta(seconds=pause + 1))
    deliveries = await _mine(office)
    await office.say("ha-noi", Outcome.FAIL, *deliveries, reason="disk full")

    rows = [row for row in await office.rows(t.delivery) if row["station_id"] == "ha-noi"]
    assert {(FAILED.value, ReasonCode.DELIVER_NOT_TAKEN.value)} == {
        (row["state"], row["reason"]) for row in rows
    }
    assert (await office.events("delivery.failed"))[0].facts["said"] == "disk full"


@pytest.mark.usefixtures("sent")
async def test_fetched_that_is_overtaken_by_its_fail_stops_nothing(office: Office) -> None:
    """Two hubs read one queue, and the second word is recorded first: it is offered again by the schedule all the same."""
    deliveries = await _mine(office)
    await office.say("ha-noi", Outcome.FAIL, *deliveries, reason="disk full")

    await office.say("ha-noi", Outcome.FETCHED, *deliveries)
    office.clock.jump(timedelta(seconds=31))

    assert deliveries == await _mine(office)
    facts: list[Any] = [event.facts for event in await office.events("ack.ignored")]
    assert {"waiting"} == {why for one in facts for _, _, why in one["ignored"]}


@pytest.mark.usefixtures("sent")
async def test_only_failures_count_towards_the_last_try(office: Office) -> None:
    """A station that was offered it twenty times, for whatever cause, and fails once, has all its other tries left."""
    station = office.country.directory.stations[StationId("ha-noi")]
    for round_ in range(20):
        await _mine(office)
        message = StationMessage(ask=Ask.RESYNC)
        await office.desk.say(station, message, message_id=f"r-{round_}", at=office.clock.now())
    deliveries = await _mine(office)

    await office.say("ha-noi", Outcome.FAIL, *deliveries)

    rows = [row for row in await office.rows(t.delivery) if row["station_id"] == "ha-noi"]
    assert {("waiting", 1)} == {(row["state"], row["failures"]) for row in rows}


@pytest.mark.usefixtures("sent")
async def test_a_replay_begins_the_count_anew(office: Office) -> None:
    """What an operator sends round again has all its tries."""
    for _ in range(3):
        deliveries = await _mine(office)
        await office.say("ha-noi", Outcome.FAIL, *deliveries)
        office.clock.jump(timedelta(minutes=10))
    failed = [row["failures"] for row in await office.rows(t.delivery) if row["station_id"] == "ha-noi"]

    operator = Actor(person="lan", reason="the disk has room again")
    plan = await office.replayer.plan([("delivery", one) for one in deliveries], by=operator)
    await office.replayer.run(plan, by=operator)

    rows = [row for row in await office.rows(t.delivery) if row["station_id"] == "ha-noi"]
    assert {3} == set(failed)
    assert {("waiting", 0)} == {(row["state"], row["failures"]) for row in rows}


@pytest.mark.usefixtures("sent")
async def test_a_late_done_of_a_failed_delivery_tells_the_truth(office: Office) -> None:
    for _ in range(3):
        deliveries = await _mine(office)
        await office.say("ha-noi", Outcome.FAIL, *deliveries)
        office.clock.jump(timedelta(minutes=10))

    await office.say("ha-noi", Outcome.DONE, *deliveries)

    assert {TAKEN} == {state for code, state in (await office.states()).items() if code.endswith("H26")}


@pytest.mark.usefixtures("sent")
async def test_fail_after_done_changes_nothing(office: Office) -> None:
    deliveries = await _mine(office)
    await office.say("ha-noi", Outcome.DONE, *deliveries)

    await office.say("ha-noi", Outcome.FAIL, *deliveries)

    assert {TAKEN} == {state for code, state in (await office.states()).items() if code.endswith("H26")}


@pytest.mark.usefixtures("sent")
async def test_a_station_cannot_withdraw_by_itself(office: Office) -> None:
    """Only what the axis recalled can be withdrawn."""
    deliveries = await _mine(office)

    await office.say("ha-noi", Outcome.WITHDRAWN, *deliveries)

    states = await office.states()
    assert [states[one.code] for one in (HANOI, HANOI_1)] == [HANDED, HANDED]


@pytest.mark.usefixtures("sent")
async def test_resync_offers_everything_unsettled_again(office: Office) -> None:
    """Same deliveries, a further attempt."""
    first = await _mine(office)
    station = office.country.directory.stations[StationId("ha-noi")]

    await office.desk.say(station, StationMessage(ask=Ask.RESYNC), message_id="r-1", at=office.clock.now())
    again = await office.inbox("ha-noi")

    assert sorted(first) == sorted(ref.delivery for one in again for ref in one.deliveries)
    assert [one.attempt for one in again] == [2]


@pytest.mark.usefixtures("sent")
async def test_a_listing_that_was_lost_appears_again(office: Office) -> None:
    """The answer to the listing never arrived: after the time for unsettled ones it is offered again."""
    first = await _mine(office)
    keeper = PullKeeper(
        ledger=office.ledger,
        outbox=office.outbox,
        directories=office.country,
        clock=office.clock,
        ids=office.ids,
        bells=office.pipeline.bells,
        everybody_pulls=True,
    )
    assert await keeper.turn() == 0
    office.clock.jump(timedelta(minutes=11))

    assert await keeper.turn() == 1
    assert sorted(first) == sorted(await _mine(office))


@pytest.mark.usefixtures("sent")
async def test_what_was_acknowledged_before_it_was_recorded_as_handed_over_stays(office: Office) -> None:
    """A quick station: the lease is out, the acknowledgement comes, then the hand-over is written down."""
    station = office.country.directory.stations[StationId("ha-noi")]
    at = office.clock.now()
    leased = await office.outbox.lease(
        [station], at=at, until=at + timedelta(minutes=1), per_station=10, most=10
    )
    ready = await office.outbox.ready(leased.consignments, refs=50)
    await office.say("ha-noi", Outcome.DONE, *[ref.delivery for ref in ready[0].deliveries])
    await record_hand_over(
        [(one, "m-9") for one in ready], ledger=office.ledger, clock=office.clock, ids=office.ids
    )

    assert {TAKEN} == {state for code, state in (await office.states()).items() if code.endswith("H26")}


@pytest.mark.usefixtures("sent")
async def test_what_failed_before_it_was_recorded_as_handed_over_is_offered_again(office: Office) -> None:
    """A quick station with a full disk: nothing of it is in a queue any more, so nothing says that it was handed over."""
    station = office.country.directory.stations[StationId("ha-noi")]
    at = office.clock.now()
    leased = await office.outbox.lease(
        [station], at=at, until=at + timedelta(minutes=1), per_station=10, most=10
    )
    ready = await office.outbox.ready(leased.consignments, refs=50)
    deliveries = [ref.delivery for ref in ready[0].deliveries]
    await office.say("ha-noi", Outcome.FETCHED, *deliveries)
    await office.say("ha-noi", Outcome.FAIL, *deliveries, reason="disk full")
    await record_hand_over(
        [(one, "m-9") for one in ready], ledger=office.ledger, clock=office.clock, ids=office.ids
    )
    # The word of another hub that read the same queue.
    await office.say("ha-noi", Outcome.FETCHED, *deliveries)
    states = await office.states()
    office.clock.jump(timedelta(seconds=31))

    assert {WAITING} == {state for code, state in states.items() if code.endswith("H26")}
    assert deliveries == await _mine(office)


@pytest.mark.usefixtures("sent")
async def test_fail_that_overtakes_fetched_and_the_record_of_the_hand_over_counts(office: Office) -> None:
    """Two hubs read one queue: ignored, the late `fetched` would hold what the station has long let go of."""
    station = office.country.directory.stations[StationId("ha-noi")]
    at = office.clock.now()
    leased = await office.outbox.lease(
        [station], at=at, until=at + timedelta(minutes=1), per_station=10, most=10
    )
    ready = await office.outbox.ready(leased.consignments, refs=50)
    deliveries = [ref.delivery for ref in ready[0].deliveries]
    await office.say("ha-noi", Outcome.FAIL, *deliveries, reason="disk full")
    await office.say("ha-noi", Outcome.FETCHED, *deliveries)
    await record_hand_over(
        [(one, "m-9") for one in ready], ledger=office.ledger, clock=office.clock, ids=office.ids
    )
    states = await office.states()
    rows = await office.rows(t.delivery)
    kinds = [event.kind.value for event in await office.events("delivery.")]
    office.clock.jump(timedelta(seconds=31))

    assert {WAITING} == {state for code, state in states.items() if code.endswith("H26")}
    assert {1} == {row["failures"] for row in rows if row["id"] in deliveries}
    assert deliveries == await _mine(office)
    assert kinds == ["delivery.fetched", "delivery.offered_again"]


@pytest.mark.usefixtures("sent")
async def test_many_statements_share_a_transaction_in_order(office: Office) -> None:
    """Fetched and done of the same delivery in one batch: done counts."""
    deliveries = await _mine(office)
    station = office.country.directory.stations[StationId("ha-noi")]

    await asyncio.gather(
        *(
            office.desk.say(
                station,
                StationMessage(acks=(Ack(delivery=DeliveryId(one), outcome=outcome),)),
                message_id=f"{one}-{outcome}",
                at=AT,
            )
            for one in deliveries
            for outcome in (Outcome.FETCHED, Outcome.DONE)
        )
    )

    assert {TAKEN} == {state for code, state in (await office.states()).items() if code.endswith("H26")}
    assert len(deliveries) == len(await office.events("delivery.fetched"))


@pytest.mark.usefixtures("sent")
async def test_status_01_while_waiting_takes_the_delivery(office: Office) -> None:
    """A status from a DMS that never says done: it has the document."""
    await office.admit(status(StatusCode.ARRIVED, sender=HANOI, answered=a_letter(), at=AT), station="ha-noi")

    assert TAKEN is (await office.states())[HANOI.code]
    assert [HANOI_1.code] == [ref.code for one in await office.inbox("ha-noi") for ref in one.deliveries]


# --- buried and replayed ------------------------------------------------------------------------------------------


def _dead(body: bytes, *, reason: ReasonCode = ReasonCode.BURY_DELIVERY_LIMIT) -> BuriedMessage:
    return BuriedMessage(station=StationId("vpcp"), message_id="m-1", body=body, reason=reason, at=AT)


async def test_a_buried_message_is_kept_unread_and_once(office: Office) -> None:
    body = b"\x00 whatever it is"

    await office.gravedigger.bury([_dead(body)])
    await office.gravedigger.bury([_dead(body)])

    rows = await office.rows(t.buried)
    assert [(row["station_id"], row["reason"]) for row in rows] == [("vpcp", "bury.delivery_limit")]
    assert body == await office.blobs.read(rows[0]["digest"])


async def test_a_replayed_burial_is_admitted_with_its_time(office: Office) -> None:
    """Same submission, receipt time unchanged, and a second run finds it done."""
    await office.gravedigger.bury([_dead(signed(a_letter()), reason=ReasonCode.BURY_UNROUTED)])
    buried = (await office.rows(t.buried))[0]
    operator = Actor(person="lan", reason="đã sửa routing key")
    plan = await office.replayer.plan([("buried", buried["id"])], by=operator)

    tally = await office.replayer.run(plan, by=operator)
    again = await office.replayer.run(plan, by=operator)

    assert (tally.done, tally.failed_again, again.done) == (1, 0, 0)
    submission = (await office.rows(t.submission))[0]
    assert (buried["id"], "accepted", buried["at"]) == (
        submission["id"],
        submission["state"],
        submission["received_at"],
    )


@pytest.mark.usefixtures("sent")
async def test_a_failed_delivery_is_offered_again_by_replay(office: Office) -> None:
    """The same delivery, its schedule begun anew, the act on record with who and why; two plans give one delivery."""
    for _ in range(3):
        deliveries = await _mine(office)
        await office.say("ha-noi", Outcome.FAIL, *deliveries)
        office.clock.jump(timedelta(minutes=10))
    operator = Actor(person="lan", reason="DMS của Hà Nội đã chạy lại")
    items = [("delivery", one) for one in deliveries]
    plans = [await office.replayer.plan(items, by=operator) for _ in range(2)]

    for plan in plans:
        await office.replayer.run(plan, by=operator)

    assert sorted(deliveries) == sorted(await _mine(office))
    replayed = [one for event in await office.events("delivery.replayed") for one in event.deliveries]
    assert sorted(deliveries) == sorted(replayed)
    assert {"offered", "waiting"} == {row["result"] for row in await office.rows(t.replay_item)}


async def test_a_held_submission_is_tried_now_by_replay(office: Office) -> None:
    roots, office.country.trust = office.country.trust, None
    held = await office.admit(signed(a_letter()))
    office.country.trust = roots
    operator = Actor(person="lan", reason="đã cài chứng thư gốc")

    plan = await office.replayer.plan([("held", held.submission)], by=operator)
    tally = await office.replayer.run(plan, by=operator)

    assert (tally.done, tally.failed_again) == (1, 0)
    assert {WAITING} == set((await office.states()).values())
