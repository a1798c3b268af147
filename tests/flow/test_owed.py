"""What a station owes and is owed, each duty from its first day to the answer that ends it, on a real ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from axis.core.exchange import Ask, BadMessage, Duty, Outcome, OwedBy, OwedQuestion, StationMessage
from axis.core.model import BusinessType, StationId
from axis.demo.letters import Agency, status
from axis.edxml.message import Edoc, StatusCode, WrittenDate
from axis.flow.bells import Bells
from axis.flow.overdue import DeadlineKeeper
from axis.ledger.deadlines import SQLDeadlines
from tests.flow.office import Office
from tests.flow.town import AT, HANOI, HANOI_1, TTTT, a_letter, signed

_HOURS_TO_MIDNIGHT = timedelta(hours=15)


async def _owed(office: Office, station: str, duty: Duty, *, by: OwedBy = OwedBy.ME) -> list[str]:
    """Whose answers the station sees: codes of the receivers, by delivery."""
    asked = OwedQuestion(duty=duty, by=by)
    found = await office.desk.owed(office.country.directory.stations[StationId(station)], asked, limit=10)
    return [f"{one.receiver}{' late' if one.is_late else ''}" for one in found.owed]


async def _both(office: Office, duty: Duty) -> tuple[Sequence[str], Sequence[str]]:
    """What Hà Nội owes, and what its correspondent waits for."""
    return await _owed(office, "ha-noi", duty), await _owed(office, "vpcp", duty, by=OwedBy.OTHERS)


async def _passed(office: Office) -> None:
    keeper = DeadlineKeeper(
        deadlines=SQLDeadlines(office.ledger),
        ledger=office.ledger,
        clock=office.clock,
        ids=office.ids,
        bells=Bells(),
    )
    while await keeper.turn():
        pass


async def _say(office: Office, code: StatusCode, answered: Edoc, *, sender: Agency = HANOI) -> None:
    at = office.clock.now()
    body = status(code, sender=sender, answered=answered, at=at, words="Đã xử lý")
    answer = await office.admit(body, station="ha-noi")
    assert answer.state.value == "accepted", answer


@pytest.mark.requirement("LR-17")
async def test_a_receipt_is_owed_once_its_day_is_over_and_until_it_is_said(office: Office) -> None:
    """By the station of each receiver; the first answer ends it, late as it is; a year later nobody is told any more."""
    letter = a_letter(receivers=(HANOI, HANOI_1, TTTT))
    await office.admit(signed(letter))
    before = await _both(office, Duty.RECEIPT)
    office.clock.jump(_HOURS_TO_MIDNIGHT)
    await _passed(office)

    mine, theirs = await _both(office, Duty.RECEIPT)
    await _say(office, StatusCode.ARRIVED, letter)
    after = await _both(office, Duty.RECEIPT)
    office.clock.jump(timedelta(days=370))

    assert before == ([], [])
    assert mine == [f"{HANOI.code} late", f"{HANOI_1.code} late"]
    assert theirs == [*mine, f"{TTTT.code} late"]
    assert after == (mine[1:], theirs[1:])
    assert await _owed(office, "bo-nv", Duty.RECEIPT) == []
    assert await _owed(office, "vpcp", Duty.RECEIPT) == []
    assert await _both(office, Duty.RECEIPT) == ([], [])


async def test_a_reply_is_owed_once_its_due_date_is_over(office: Office) -> None:
    """03 does not end it; 06 does, or a return."""
    letter = replace(a_letter(receivers=(HANOI, HANOI_1)), due_date=WrittenDate.of(date(2026, 3, 2)))
    await office.admit(signed(letter))
    await _say(office, StatusCode.REGISTERED, letter)
    before = await _both(office, Duty.REPLY)
    office.clock.jump(_HOURS_TO_MIDNIGHT)

    both = await _both(office, Duty.REPLY)
    await _say(office, StatusCode.FINISHED, letter)
    await _say(office, StatusCode.RETURNED, letter, sender=HANOI_1)

    assert before == ([], [])
    assert both == ([f"{HANOI.code} late", f"{HANOI_1.code} late"],) * 2
    assert await _both(office, Duty.REPLY) == ([], [])


@pytest.mark.requirement("LR-22", "LR-25")
async def test_a_request_is_owed_from_its_first_day_until_15(office: Office) -> None:
    """Late once the next working day is over; 16 does not end a recall, and whoever never had it owes nothing."""
    letter = a_letter(receivers=(HANOI, HANOI_1, TTTT))
    await office.admit(signed(letter))
    for one in await office.inbox("ha-noi"):
        await office.say("ha-noi", Outcome.DONE, *(ref.delivery for ref in one.deliveries))
    recall = a_letter(9, receivers=(HANOI, HANOI_1, TTTT), kind=BusinessType.RECALL)
    assert recall.bussiness is not None
    recall = replace(recall, bussiness=replace(recall.bussiness, document_id=letter.document_id))
    sent = await office.admit(signed(recall))

    at_once = await _both(office, Duty.REQUEST)
    office.clock.jump(timedelta(hours=14) + timedelta(days=1))
    in_time = await _both(office, Duty.REQUEST)
    office.clock.jump(timedelta(hours=1))
    await _say(office, StatusCode.AGREED, recall, sender=HANOI_1)
    await _say(office, StatusCode.REJECTED, recall)
    station = office.country.directory.stations[StationId("vpcp")]
    asked = OwedQuestion(duty=Duty.REQUEST, by=OwedBy.OTHERS)
    [left] = (await office.desk.owed(station, asked, limit=10)).owed

    assert at_once == in_time == ([HANOI.code, HANOI_1.code],) * 2
    assert (left.receiver, left.is_late, left.is_rejected) == (HANOI.code, True, True)
    assert (left.request and left.request.value, left.requested_by) == ("recall", sent.document)
    assert left.due is not None
    assert left.due.isoformat() == "2026-03-04T00:00:00+07:00"
    await _say(office, StatusCode.AGREED, recall)
    assert await _both(office, Duty.REQUEST) == ([], [])


async def test_asked_over_amqp(office: Office) -> None:
    """The same list; a question that does not say what it wants to know has no answer."""
    await office.admit(signed(a_letter(receivers=(HANOI,))))
    office.clock.jump(_HOURS_TO_MIDNIGHT)
    await _passed(office)
    station = office.country.directory.stations[StationId("ha-noi")]
    question = StationMessage(ask=Ask.OWED, owed=OwedQuestion(duty=Duty.RECEIPT))

    reply: Any = await office.desk.ask(station, question, at=AT)

    assert b'"type":"owed"' in reply
    assert HANOI.code.encode() in reply
    with pytest.raises(BadMessage):
        await office.desk.ask(station, StationMessage(ask=Ask.OWED), at=AT)
