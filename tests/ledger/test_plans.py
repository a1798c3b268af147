"""No question reads a large table from end to end: both databases find an index for each."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from axis.core.exchange import Duty, OwedBy, OwedQuestion
from axis.core.ids import compose
from axis.core.model import DeliveryId, Digest, DocumentKey, Kind, OrganNumber, StationId
from axis.core.reasons import ReasonCode
from axis.flow.deadlines import SHIPPED_CALENDAR
from axis.ledger.count import By, CountFilter
from axis.ledger.deadlines import Due, DueFilter
from axis.ledger.delivery_log import LogFilter, states_named
from axis.ledger.log import SQLLogView
from axis.ledger.outbox import SQLOutbox
from axis.ledger.queries import ActFilter, Queries
from axis.ledger.sequencer import Sequencer
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger
from axis.ledger.trouble import ReplayFilter
from tests.ledger.builders import LOG, LOG_KEY, NOON, Clock, Story
from tests.ledger.test_queries import World, asking

LARGE = ("event", "leaf", "node", "submission", "document", "delivery", "consignment", "delivery_key", "feed")

_LOG = {
    "newest": LogFilter(),
    "organ": LogFilter(organ=OrganNumber(10)),
    "period": LogFilter(since=NOON, until=NOON + timedelta(days=1)),
    "failed": LogFilter(states=states_named("failed")),
    "refused": LogFilter(states=states_named("refused")),
    "reason": LogFilter(reason=ReasonCode.DELIVER_NOT_TAKEN),
    "subject": LogFilter(subject="thí điểm"),
    "code": LogFilter(number="15/NQ-CP"),
    "number": LogFilter(number="15"),
    "DocumentId": LogFilter(document="BNV-1"),
    "signer": LogFilter(signer="nguyen van an"),
    "late": LogFilter(late=True),
    "statuses": LogFilter(kind=Kind.STATUS),
}


async def _plans(ledger: SQLLedger, ask: Callable[[], Awaitable[object]]) -> list[tuple[str, str]]:
    """Every SELECT the question sends, and how the database would carry it out."""
    sent: list[tuple[str, Any]] = []

    def remember(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            sent.append((statement, parameters))

    event.listen(ledger.engine.sync_engine, "before_cursor_execute", remember)
    try:
        await ask()
    finally:
        event.remove(ledger.engine.sync_engine, "before_cursor_execute", remember)
    found = []
    async with ledger.reading() as connection:
        how = "EXPLAIN"
        if connection.dialect.name == "sqlite":
            how = "EXPLAIN QUERY PLAN"
        else:
            # A small table is read as a whole whatever its indexes: the question is whether one could be used.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, parameters in sent:
            if "set_config" not in statement:
                plan = await connection.exec_driver_sql(f"{how} {statement}", parameters)
                found.append((statement, "\n".join(str(row[-1]) for row in plan)))
    return found


def _read_whole(plan: str) -> list[str]:
    """Large tables this plan reads from end to end."""
    names = "|".join(LARGE)
    # PostgreSQL names partitions; SQLite says SCAN for every walk, and USING for one that follows an index.
    return re.findall(rf"Seq Scan on (?:{names})(?:_[a-z0-9]+)?\b.*|SCAN (?:{names})(?! USING)\b.*", plan)


_WALKED = {Due.RECEIPT, Due.NEXT_DAY, Due.SENDING, Due.URGENT}
"""The last two are reports of a period; of the first two SQLite does not see that each half has its index."""


def _due(which: Due) -> Callable[[Queries], Awaitable[object]]:
    return lambda queries: queries.due(DueFilter(which=which), calendar=SHIPPED_CALENDAR)


@pytest.fixture
async def queries(ledger: SQLLedger) -> Queries:
    await World(ledger).tell()
    sequencer = Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one")
    while await sequencer.turn():
        pass
    await sequencer.sign_head()
    return asking(ledger)


async def test_a_run_finds_what_is_still_planned_without_what_is_done(ledger: SQLLedger) -> None:
    """It asks after every piece: walking over the done ones would make a plan of twice the size cost four times."""
    story = Story(ledger)
    plan = await story.planned([("delivery", compose(at=NOON, randomness=number)) for number in range(20)])

    async def ask() -> None:
        async with ledger.transaction() as tx:
            await tx.replay_plan(plan)

    (found,) = [how for statement, how in await _plans(ledger, ask) if "replay_item" in statement]
    assert "replay_item_planned" in found, found


async def test_what_was_answered_is_found_by_its_message(ledger: SQLLedger) -> None:
    """Every batch of messages asks: it must not read all that was ever answered."""

    async def ask() -> None:
        async with ledger.transaction() as tx:
            await tx.answered([(StationId("station-1"), "m-1", Digest("0" * 64))])

    (plan,) = [how for statement, how in await _plans(ledger, ask) if "answered_message" in statement]
    assert re.search(r"Index Cond: .*message_id|SEARCH .*USING .*message_id=\?", plan), plan


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_rows_are_found_by_year_and_key(ledger: SQLLedger) -> None:
    """
    The commonest look of all, for every row a document touches: by the year alone, it would read all of that year.

    Of SQLite only: what PostgreSQL does depends on the rows there are, which the bench of the ledger has.
    """
    key = DocumentKey(compose(at=NOON, randomness=1))

    async def ask() -> None:
        async with ledger.transaction() as tx:
            await tx.documents([key])

    (plan,) = [how for statement, how in await _plans(ledger, ask) if "FROM document" in statement]
    assert re.search(r"SEARCH document USING .*year=\? AND id=\?", plan), plan


async def test_what_is_out_for_long_is_found_by_its_time(ledger: SQLLedger) -> None:
    """Looked for every second: it must not read all that lies in the queues of all stations."""
    outbox = SQLOutbox(ledger)

    async def ask() -> None:
        await outbox.stations_unfinished(before=NOON)
        await outbox.unfinished(StationId("station-1"), before=NOON, limit=500)

    plans = [how for statement, how in await _plans(ledger, ask) if "consignment" in statement]
    assert len(plans) == 2
    for plan in plans:
        assert re.search(
            r"Index Cond: .*station_id.*state_at|USING .*consignment_out \(station_id=\? AND state_at<\?\)",
            plan,
        ), plan
        assert _read_whole(plan) == [], plan


@pytest.mark.parametrize("name", list(_LOG))
async def test_the_delivery_log(ledger: SQLLedger, queries: Queries, name: str) -> None:
    """Whatever is asked for, the first page and the second, for everybody and for one province."""
    province = asking(ledger, tree=10)
    after = (await queries.log(LogFilter(), limit=1)).after

    async def ask() -> None:
        for viewer in (queries, province):
            await viewer.log(_LOG[name])
            await viewer.log(_LOG[name], after=after)

    for statement, plan in await _plans(ledger, ask):
        assert _read_whole(plan) == [], f"{statement}\n\n{plan}"


@pytest.mark.parametrize(
    "ask",
    [
        lambda queries: queries.show("BNV-1"),
        lambda queries: queries.acts(ActFilter()),
        lambda queries: queries.failed_groups(),
        lambda queries: queries.replay_candidates(ReplayFilter()),
        lambda queries: queries.count(CountFilter(since="2026-11-22"), by=By.ORGAN),
        lambda queries: queries.count(CountFilter(), by=By.MONTH),
        *(_due(which) for which in Due if which not in _WALKED),
    ],
    ids=[
        "show",
        "acts",
        "groups",
        "candidates",
        "organs",
        "months",
        *(one for one in Due if one not in _WALKED),
    ],
)
async def test_the_other_questions(
    ledger: SQLLedger, queries: Queries, ask: Callable[[Queries], Awaitable[object]]
) -> None:
    """One document, acts, troubles and counts."""
    for statement, plan in await _plans(ledger, lambda: ask(queries)):
        assert _read_whole(plan) == [], f"{statement}\n\n{plan}"


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("which", [Due.RECEIPT, Due.NEXT_DAY])
async def test_receipts_that_are_overdue(ledger: SQLLedger, queries: Queries, which: Due) -> None:
    """Years of deliveries, few of them overdue."""
    for statement, plan in await _plans(ledger, lambda: _due(which)(queries)):
        assert _read_whole(plan) == [], f"{statement}\n\n{plan}"


@pytest.mark.parametrize("by", list(OwedBy))
@pytest.mark.parametrize("duty", list(Duty))
async def test_what_a_station_owes(ledger: SQLLedger, queries: Queries, duty: Duty, by: OwedBy) -> None:
    """A station may ask every minute: it walks what is overdue or open, or its own documents."""
    view, calendar = SQLStationView(ledger), SHIPPED_CALENDAR

    async def ask() -> None:
        for after in (None, DeliveryId(compose(at=NOON, randomness=1))):
            asked = OwedQuestion(duty=duty, by=by, after=after)
            await view.owed(StationId("station-1"), asked, at=NOON, calendar=calendar, limit=50)

    for statement, plan in await _plans(ledger, ask):
        assert _read_whole(plan) == [], f"{statement}\n\n{plan}"


async def test_a_proof(ledger: SQLLedger, queries: Queries) -> None:
    """Leaves and subtrees by their place."""
    for statement, plan in await _plans(ledger, lambda: SQLLogView(ledger).proof(3)):
        assert _read_whole(plan) == [], f"{statement}\n\n{plan}"
