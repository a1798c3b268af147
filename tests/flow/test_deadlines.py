"""Late sendings, answers that are owed, and the record that a deadline passed in silence."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from axis.core.exchange import Answer, Outcome
from axis.core.model import VIETNAM, BusinessType, OrganNumber, StationId
from axis.demo.letters import status
from axis.edxml.message import Edoc, PromulgationInfo, StatusCode, WrittenDate
from axis.flow.bells import Bells
from axis.flow.deadlines import SHIPPED_CALENDAR
from axis.flow.overdue import DeadlineKeeper
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.count import By, CountFilter
from axis.ledger.deadlines import Due, DueFilter, SQLDeadlines
from axis.ledger.queries import Queries
from axis.ledger.scope import Viewer
from axis.ledger.store import SQLLedger, open_engine
from tests.flow.office import LOG, Office
from tests.flow.town import AT, HANOI, HANOI_1, TQ, TTTT, Counting, a_letter, a_message, signed, unsigned

_FRIDAY = date(2026, 2, 27)


def _keeper(office: Office) -> DeadlineKeeper:
    return DeadlineKeeper(
        deadlines=SQLDeadlines(office.ledger),
        ledger=office.ledger,
        clock=office.clock,
        ids=office.ids,
        bells=Bells(),
    )


def _queries(office: Office, *, tree: int | None = None) -> Queries:
    viewer = Viewer(name="test", tree=OrganNumber(tree) if tree is not None else None)
    return Queries(office.ledger, viewer=viewer, clock=office.clock, ids=office.ids)


async def _due(office: Office, which: Due, *, tree: int | None = None) -> list[Any]:
    asked = DueFilter(which=which)
    return list(await _queries(office, tree=tree).due(asked, calendar=SHIPPED_CALENDAR))


def _issued(letter: Edoc, day: date) -> Edoc:
    return replace(letter, promulgation=PromulgationInfo(place="Hà Nội", date=WrittenDate.of(day)))


async def _admit(office: Office, letter: Edoc, *, at: datetime) -> Answer:
    message = replace(a_message(signed(letter), message_id=f"m-{office.ids.new(AT)}"), received_at=at)
    return (await office.admit_all([message]))[0]


def _vn(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=VIETNAM)


async def _counted(office: Office) -> dict[str, Any]:
    while await office.sequencer.turn():
        pass
    counts = await _queries(office).count(CountFilter(), by=By.YEAR)
    return dict(counts.rows[0])


@pytest.mark.requirement("LR-13", "LR-14")
async def test_a_document_sent_after_the_next_working_morning_is_late(office: Office) -> None:
    """Issued on Friday: Monday noon is in time, a minute later is late; the laxer rule ends at midnight."""
    office.clock.jump(timedelta(days=2))
    for number, at in enumerate((_vn(2, 12), _vn(2, 12, 1), _vn(2, 23, 59), _vn(3, 0)), start=1):
        await _admit(office, _issued(a_letter(number), _FRIDAY), at=at)

    assert [row["late"] for row in await office.rows(t.document)] == [False, True, True, True]
    counted = await _counted(office)
    assert (counted["sent"], counted["late"], counted["late_nd30"]) == (4, 3, 1)
    assert [row["issued"] for row in await _due(office, Due.SENDING)] == ["2026-02-27"] * 3
    facts: Any = (await office.events("submission.accepted"))[0].facts
    assert facts["sending_due"].startswith("2026-03-02T12:00:00")


@pytest.mark.requirement("LR-13")
async def test_only_the_first_sending_of_a_new_document_is_judged(office: Office) -> None:
    """Not a supplementary sending, a recall or an update; not what has an impossible date, or one to come."""
    office.clock.jump(timedelta(days=9))
    letter = _issued(a_letter(receivers=(HANOI,)), date(2026, 3, 2))
    await _admit(office, letter, at=_vn(2, 9))
    more = _issued(a_letter(receivers=(HANOI, TTTT)), date(2026, 3, 2))
    for one in (
        more,
        _issued(a_letter(2, kind=BusinessType.RECALL, target=letter.document_id), date(2026, 3, 2)),
        _issued(a_letter(4), date(2026, 9, 1)),
    ):
        answer = await _admit(office, one, at=_vn(10, 9))
        assert answer.state.value == "accepted", answer
    body = unsigned(a_letter(5, sender=TTTT)).replace(b"Date>2026/03/02<", b"Date>2026/02/30<")
    assert (await office.admit(body, station="bo-tttt")).state.value == "accepted"

    rows = sorted(await office.rows(t.document), key=lambda row: str(row["id"]))
    assert [row["late"] for row in rows] == [False, None, None, None, None]
    assert (await _counted(office))["late"] == 0


@pytest.mark.requirement("LR-13")
async def test_a_hold_is_judged_by_its_time_of_receipt(office: Office) -> None:
    """Held before noon because of our roots, accepted the next day: it was sent in time."""
    roots, office.country.trust = office.country.trust, None
    await _admit(office, _issued(a_letter(), _FRIDAY), at=_vn(2, 9))
    office.country.trust = roots
    office.clock.jump(timedelta(hours=20))
    await office.holds.turn()

    assert [row["late"] for row in await office.rows(t.document)] == [False]


@pytest.fixture
async def sent(office: Office) -> Office:
    """A letter at 9:00 on a Monday to Hà Nội, one of its departments, a ministry, and a province without station."""
    letter = replace(
        a_letter(receivers=(HANOI, HANOI_1, TTTT, TQ)), due_date=WrittenDate.of(date(2026, 3, 5))
    )
    await office.admit(signed(letter))
    return office


def _said(code: StatusCode) -> bytes:
    return status(code, sender=HANOI, answered=a_letter(), at=AT)


@pytest.mark.requirement("LR-17")
async def test_silence_after_midnight_is_recorded_once(sent: Office) -> None:
    """One has answered, one was fetched, one was not; paper owes nothing. Both sides' stations are told."""
    refs = [ref for one in await sent.inbox("ha-noi") for ref in one.deliveries]
    await sent.say("ha-noi", Outcome.FETCHED, *(one.delivery for one in refs))
    await sent.admit(_said(StatusCode.ARRIVED), station="ha-noi")
    before = await _keeper(sent).turn()
    sent.clock.jump(timedelta(hours=15))

    turns = [await _keeper(sent).turn() for _ in range(3)]

    assert (before, turns) == (0, [2, 0, 0])
    events = {one.stations: one for one in await sent.events("delivery.not_taken")}
    lines = {key: [line[2] for line in event.facts["lines"]] for key, event in events.items()}  # type: ignore[union-attr,index]
    assert lines == {("vpcp", "ha-noi"): ["not_answered"], ("vpcp", "bo-tttt"): ["not_fetched"]}
    listed = await _due(sent, Due.RECEIPT)
    assert [row["to"] for row in listed] == [HANOI_1.code, TTTT.code]
    assert all(row["due"].startswith("2026-03-03T00:00:00") for row in listed)
    # The receiver sees its own line, the sender both, and nobody else any.
    assert [len(await _due(sent, Due.RECEIPT, tree=tree)) for tree in (3, 1, 9)] == [1, 2, 0]


@pytest.mark.requirement("LR-17")
async def test_what_is_recorded_of_silence_can_be_recomputed(sent: Office) -> None:
    """Every column of a deadline follows from the records."""
    await sent.admit(_said(StatusCode.REGISTERED), station="ha-noi")
    sent.clock.jump(timedelta(hours=15))
    await _keeper(sent).turn()
    while await sent.sequencer.turn():
        pass

    assert (await check(sent.ledger, keys=[LOG.verifier])).ok


@pytest.mark.requirement("LR-17")
async def test_a_late_arrival_is_a_list_of_its_own(office: Office) -> None:
    """After 16:30 it is due at the end of the next working day."""
    office.clock.jump(timedelta(hours=8))
    await office.admit(signed(a_letter(receivers=(HANOI,))))
    office.clock.jump(timedelta(hours=20))
    tuesday = [await _due(office, Due.RECEIPT), await _due(office, Due.NEXT_DAY)]
    office.clock.jump(timedelta(hours=12))

    assert tuesday == [[], []]
    assert await _due(office, Due.RECEIPT) == []
    assert [row["due"] for row in await _due(office, Due.NEXT_DAY)] == ["2026-03-04T00:00:00.000000+07:00"]


async def test_two_keepers_record_it_once(sent: Office) -> None:
    """Any number of hubs run; each reads again under lock."""
    sent.clock.jump(timedelta(hours=15))

    done = await asyncio.gather(*(_keeper(sent).turn() for _ in range(4)))

    assert sum(done) == 3
    assert len(await sent.events("delivery.not_taken")) == 2


async def test_what_was_withdrawn_owes_nothing(sent: Office) -> None:
    """A recall before anybody fetched it: there is nothing to answer."""
    recall = a_letter(2, kind=BusinessType.RECALL, target=a_letter().document_id)
    await sent.admit(signed(recall))
    sent.clock.jump(timedelta(hours=15))

    assert await _keeper(sent).turn() == 0


@pytest.mark.requirement("LR-22", "LR-25")
async def test_an_unanswered_recall_is_listed_for_both_sides(office: Office) -> None:
    """From the end of the next working day until it is answered; Friday's is due on Monday."""
    office.clock.jump(timedelta(days=4))  # Friday 6 March, 9:00
    original = a_letter(receivers=(HANOI, TTTT))
    await office.admit(signed(original))
    for station in ("ha-noi", "bo-tttt"):
        await office.say(
            station,
            Outcome.DONE,
            *(ref.delivery for one in await office.inbox(station) for ref in one.deliveries),
        )
    recall = a_letter(2, receivers=(HANOI, TTTT), kind=BusinessType.RECALL, target=original.document_id)
    await office.admit(signed(recall))
    office.clock.jump(timedelta(days=3))  # Monday
    on_monday = await _due(office, Due.REQUEST)
    office.clock.jump(timedelta(days=1))
    answer = status(StatusCode.AGREED, sender=HANOI, answered=original, at=AT)
    before = await _due(office, Due.REQUEST)

    assert (await office.admit(answer, station="ha-noi")).state.value == "accepted"

    assert on_monday == []
    assert [(row["to"], row["request"]) for row in before] == [(HANOI.code, "recall"), (TTTT.code, "recall")]
    assert {row["due"] for row in before} == {"2026-03-10T00:00:00.000000+07:00"}
    assert [row["to"] for row in await _due(office, Due.REQUEST)] == [TTTT.code]
    # Organ 6 is the receiver that has not answered, 1 the sender; 2 owes nothing.
    assert [len(await _due(office, Due.REQUEST, tree=tree)) for tree in (6, 1, 2)] == [1, 1, 0]


@pytest.mark.requirement("LR-68")
async def test_a_reply_is_overdue_after_its_due_date(sent: Office) -> None:
    """DueDate travels with the document; finished (06) or returned (02) is an answer."""
    await sent.admit(_said(StatusCode.FINISHED), station="ha-noi")
    sent.clock.jump(timedelta(days=3))
    in_time = await _due(sent, Due.REPLY)
    sent.clock.jump(timedelta(days=1))

    late = await _due(sent, Due.REPLY)

    assert in_time == []
    assert [(row["to"], row["due"][:10]) for row in late] == [
        (HANOI_1.code, "2026-03-06"),
        (TTTT.code, "2026-03-06"),
    ]


@pytest.mark.requirement("LR-51")
async def test_how_long_it_takes_by_percentile(sent: Office) -> None:
    """From 00:00 of the day of issue to accepted, taken and registered."""
    sent.clock.jump(timedelta(hours=1))
    await sent.admit(_said(StatusCode.REGISTERED), station="ha-noi")

    rows = await _queries(sent).times(DueFilter(which=Due.SENDING))

    found = {row["stage"]: (row["n"], row["p50_minutes"], row["p99_minutes"]) for row in rows}
    assert found == {"accepted": (1, 540, 540), "taken": (1, 600, 600), "registered": (1, 600, 600)}


@pytest.mark.requirement("LR-16")
async def test_who_marks_everything_urgent_is_listed(office: Office) -> None:
    """Two of five in a day is over a fifth; another day with none is not listed."""
    for number in range(1, 6):
        await office.admit(signed(a_letter(number, priority=2 if number < 3 else 0)))
    office.clock.jump(timedelta(days=1))
    for number in range(6, 11):
        await office.admit(signed(a_letter(number)))

    assert await _due(office, Due.URGENT) == [
        {"station": "vpcp", "day": "2026-03-02", "sent": 5, "urgent": 2, "percent": 40}
    ]


@pytest.mark.requirement("LR-16")
async def test_urgency_is_numbered_by_the_senders_software(office: Office) -> None:
    """From 1 to 5 with 5 = normal; 4 is express with an hour, 9 is normal and said."""
    stations = dict(office.country.directory.stations)
    theirs = StationId("bo-tttt")
    stations[theirs] = replace(stations[theirs], priority_scale="1-5")
    office.country.directory = replace(office.country.directory, stations=stations)

    answers = []
    for number, priority in enumerate((1, 4, 5, 9), start=1):
        letter = a_letter(number, sender=TTTT, receivers=(HANOI,), priority=priority)
        body = unsigned(replace(letter, due_date=WrittenDate.of(date(2026, 3, 2))))
        # Our writer writes days; theirs writes the hour, too.
        body = body.replace(b"DueDate>2026/03/02<", b"DueDate>2026/03/02 17:00:00<")
        answers.append(await office.admit(body, station="bo-tttt"))

    assert [row["urgency"] for row in await office.rows(t.document)] == [1, 3, 0, 0]
    facts: list[Any] = [one.facts for one in await office.events("submission.accepted")]
    assert [(one.get("timed"), one.get("due_time")) for one in facts] == [
        (None, None),
        (True, "2026-03-02T17:00:00.000000+07:00"),
        (None, None),
        (None, None),
    ]
    noticed = [[one.code for one in answer.notices] for answer in answers]
    assert ["priority.out_of_range" in codes for codes in noticed] == [False, False, False, True], noticed


@pytest.mark.requirement("LR-08")
async def test_that_paper_follows_is_carried_and_counted(office: Office) -> None:
    """`Paper` travels with the bytes as they are, and stands in the counts."""
    letter = a_letter()
    assert letter.bussiness is not None
    body = signed(replace(letter, bussiness=replace(letter.bussiness, paper=True)))
    await office.admit(body)
    await office.admit(signed(a_letter(2)))

    waiting = await office.inbox("ha-noi")
    assert body in [await office.blobs.read(one.digest) for one in waiting]
    assert (await _counted(office))["paper"] == 1


@pytest.mark.requirement("LR-18")
async def test_nothing_waits_for_paper(office: Office) -> None:
    """With a paper copy to come or without, a document goes the same way, at once and to its end."""
    letters = [a_letter(number, receivers=(HANOI,)) for number in (1, 2)]
    assert letters[0].bussiness is not None
    letters[0] = replace(letters[0], bussiness=replace(letters[0].bussiness, paper=True))
    for one in letters:
        await office.admit(signed(one))
    refs = [ref.delivery for one in await office.inbox("ha-noi") for ref in one.deliveries]
    await office.say("ha-noi", Outcome.DONE, *refs)

    events: dict[str, list[str]] = {}
    for event in await office.events():
        if event.document is not None:
            events.setdefault(event.document, []).append(event.kind.value)
    assert len(refs) == 2
    with_paper, without = events.values()
    assert with_paper == without
    assert with_paper[-1] == "delivery.acknowledged"


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_keeper_killed_at_any_point_records_it_once(ledger_url: str, tmp_path: Path) -> None:
    """SIGKILL before and after every statement and at the commit; the next turn goes on where nothing was."""

    async def with_office(work: Callable[[Office], Awaitable[None]], at_point: Callable[[], None]) -> None:
        ledger = SQLLedger(open_engine(ledger_url, pool_size=1))
        for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
            sqlalchemy_event.listen(ledger.engine.sync_engine, moment, lambda *_: at_point())
        try:
            await work(Office.open(ledger, tmp_path))
        finally:
            await ledger.engine.dispose()

    async def send(office: Office) -> None:
        await office.enrol()
        await office.admit(signed(a_letter(receivers=(HANOI, HANOI_1, TTTT))))

    async def keep(office: Office) -> None:
        office.clock.jump(timedelta(hours=15))
        office.ids = Counting(1_000)
        await _keeper(office).turn()

    def killed_at(number: int) -> int:
        points = itertools.count(1)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.run(
                    with_office(
                        keep, lambda: os.kill(os.getpid(), SIGKILL) if next(points) == number else None
                    )
                )
                status = 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    asyncio.run(with_office(send, lambda: None))
    endings: list[int] = []
    while not endings or endings[-1] == -SIGKILL:
        endings.append(killed_at(len(endings) + 1))

    events: list[int] = []

    async def look(office: Office) -> None:
        events.extend(len(one.deliveries) for one in await office.events("delivery.not_taken"))
        assert await _keeper(office).turn() == 0

    asyncio.run(with_office(look, lambda: None))
    assert endings[-1] == 0
    assert len(endings) > 10
    assert sorted(events) == [1, 2]
