"""The counts: the rules, the balance of every row, and the same numbers from the records, on both databases."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.errors import InvalidQuestion
from axis.core.lifecycle import DELIVERY, DeliveryStep
from axis.core.model import PENDING, BusinessType, Kind, OrganNumber, Urgency, vietnam_day
from axis.ledger.check import check
from axis.ledger.count import COLUMNS, By, CountFilter, Counts, pieces
from axis.ledger.queries import Queries
from axis.ledger.scope import Viewer
from axis.ledger.store import SQLLedger
from tests.ledger.builders import LOG_KEY, NOON, Clock, Ids, Sent, Story
from tests.ledger.test_queries import ORGANS, asking, numbered

_IDS = Ids("counting")


def rows(counts: Counts, *names: str) -> dict[Any, dict[str, Any]]:
    """Rows by what names them, without the columns that are 0."""
    return {
        (row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)): {
            column: row[column] for column in COLUMNS if column != "rule_version" and row[column]
        }
        for row in counts.rows
    }


async def counted(ledger: SQLLedger, by: By, *, tree: int | None = None, **asked: Any) -> Counts:
    """The counts, after making sure that the records say the same and that every row balances."""
    viewer = Viewer(name="bao.cao", tree=OrganNumber(tree) if tree is not None else None)
    queries = Queries(ledger, viewer=viewer, clock=Clock(NOON + timedelta(days=90)), ids=_IDS)
    counts = await queries.count(CountFilter(**asked), by=by)
    again = await queries.recount(CountFilter(**asked), by=by)
    assert list(counts.rows) == list(again.rows)
    assert counts.numbered_up_to == again.numbered_up_to
    for row in counts.rows:
        numbers: dict[str, Any] = dict(row)
        if not asked.get("received_as_addressed"):
            assert numbers["pending_start"] + numbers["addressed"] == (
                numbers["received"] + numbers["withdrawn"] + numbers["failed"] + numbers["pending"]
            )
        assert numbers["rule_version"] == 1
    return counts


async def test_what_counts_where(ledger: SQLLedger) -> None:
    """Sending columns at the sender, delivery columns at the receiver; statuses and duplicates nowhere."""
    story = Story(ledger)
    await story.organs({1: None, 2: None, 3: None, 4: None})
    sent = await story.accepted(sender=1, to=(2, 3, 4), not_connected={4})
    await story.accepted(sender=1, to=(5,), root=sent)
    await story.accepted(sender=2, to=(1,), kind=Kind.STATUS)
    await story.duplicate(sent)
    await story.taken(sent, organs=[2])
    await story.answered(sent, 2, "03")
    await story.answered(sent, 2, "02")
    await story.stepped(sent, DeliveryStep.WITHDRAW, organs=[3])
    await story.refused(sender=2)
    await story.refused(sender=None)
    await story.accepted(sender=3, to=(1,), tier="unsigned", more={"late": True})
    await story.accepted(sender=1, to=(3,), business_type=1, target=sent, more={"recalls": sent.root})
    await numbered(ledger)

    found = rows(await counted(ledger, By.ORGAN), "organ_number")

    assert found == {
        1: {"sent": 2, "recalled": 1, "addressed": 1, "pending": 1},
        2: {"refused": 1, "addressed": 1, "received": 1, "registered": 1, "returned": 1},
        3: {"sent": 1, "late": 1, "unsigned": 1, "addressed": 2, "withdrawn": 1, "pending": 1},
        4: {"not_connected": 1},
        5: {"addressed": 1, "pending": 1},
        None: {"refused": 1},
    }


async def test_a_day_begins_at_midnight_in_vietnam(ledger: SQLLedger) -> None:
    """A document of 23:59 is of that day; taken at 00:00 it is received on the next, and was pending in between."""
    clock = Clock(NOON.replace(hour=16, minute=59, second=59, microsecond=900_000))
    story = Story(ledger, clock=clock)
    sent = await story.accepted(to=(2,))
    assert vietnam_day(sent.acceptance.at) == "2026-11-22"
    clock.move(seconds=1)
    await story.stepped(sent, DeliveryStep.ACKNOWLEDGE)
    await numbered(ledger)

    days = rows(await counted(ledger, By.DAY), "day")
    second = rows(await counted(ledger, By.DAY, since="2026-11-23"), "day")
    first = rows(await counted(ledger, By.ORGAN, until="2026-11-22"), "organ_number")

    assert days == {
        "2026-11-22": {"sent": 1, "addressed": 1, "pending": 1},
        "2026-11-23": {"received": 1, "pending_start": 1},
    }
    assert second == {"2026-11-23": days["2026-11-23"]}
    assert first == {1: {"sent": 1}, 2: {"addressed": 1, "pending": 1}}


async def test_what_was_pending_before_stands_in_every_later_period(ledger: SQLLedger) -> None:
    """Also for an organ nothing happened to in the period."""
    story = Story(ledger)
    await story.accepted(to=(2,))
    story.clock.move(days=40)
    await story.accepted(to=(3,))
    await numbered(ledger)

    by_organ = rows(await counted(ledger, By.ORGAN, since="2027-01-01"), "organ_number")
    by_month = rows(await counted(ledger, By.MONTH, since="2027-01-01"), "month")

    assert by_organ[2] == {"pending_start": 1, "pending": 1}
    assert by_month == {"2027-01": {"pending_start": 1, "sent": 1, "addressed": 1, "pending": 2}}


async def test_a_failure_that_is_sent_again_leaves_its_column(ledger: SQLLedger) -> None:
    """On the day of the replay; a late done of a failed delivery as well."""
    story = Story(ledger)
    sent = await story.accepted(to=(2, 3))
    await story.stepped(sent, DeliveryStep.FAIL)
    story.clock.move(days=1)
    await story.stepped(sent, DeliveryStep.REPLAY, organs=[2])
    await story.stepped(sent, DeliveryStep.ACKNOWLEDGE, organs=[3])
    await numbered(ledger)

    assert rows(await counted(ledger, By.DAY), "day") == {
        "2026-11-22": {"sent": 1, "addressed": 2, "failed": 2},
        "2026-11-23": {"received": 1, "failed": -2, "pending": 1},
    }


async def test_periods_types_and_pairs(ledger: SQLLedger) -> None:
    """Quarters and years of Vietnam, business types, and who sent to whom."""
    story = Story(ledger)
    await story.organs({1: None, 2: None})
    first = await story.accepted(sender=1, to=(2, 3))
    story.clock.move(days=60)
    await story.accepted(sender=2, to=(1,), business_type=1, target=first, urgency=2)
    await numbered(ledger)

    assert list(rows(await counted(ledger, By.QUARTER), "quarter")) == ["2026-Q4", "2027-Q1"]
    assert list(rows(await counted(ledger, By.YEAR), "year")) == ["2026", "2027"]
    assert rows(await counted(ledger, By.TYPE), "business_type") == {
        0: {"sent": 1, "addressed": 2, "pending": 2},
        1: {"sent": 1, "addressed": 1, "pending": 1},
    }
    assert rows(await counted(ledger, By.PAIR), "from_number", "to_number") == {
        (1, 2): {"addressed": 1, "pending": 1},
        (1, 3): {"addressed": 1, "pending": 1},
        (1, None): {"sent": 1},
        (2, 1): {"addressed": 1, "pending": 1},
        (2, None): {"sent": 1},
    }
    urgent = await counted(ledger, By.ORGAN, urgency=Urgency.VERY_URGENT, business_type=BusinessType.RECALL)
    assert rows(urgent, "organ") == {
        "000.00.01.H01": {"addressed": 1, "pending": 1},
        "000.00.02.H01": {"sent": 1},
    }


async def test_a_tree_counts_its_own(ledger: SQLLedger) -> None:
    """What its organs sent and what they received; another's columns of a shared pair are not theirs."""
    story = Story(ledger)
    await story.organs(ORGANS)
    await story.accepted(sender=1, to=(11, 12, 21))
    await story.accepted(sender=11, to=(20,))
    await numbered(ledger)

    theirs = rows(await counted(ledger, By.ORGAN, tree=10), "organ_number")
    asked = rows(await counted(ledger, By.ORGAN, organ=OrganNumber(10)), "organ_number")
    days = rows(await counted(ledger, By.DAY, tree=10), "day")
    pairs = rows(await counted(ledger, By.PAIR, tree=10), "from_number", "to_number")

    assert (
        theirs == asked == {11: {"sent": 1, "addressed": 1, "pending": 1}, 12: {"addressed": 1, "pending": 1}}
    )
    assert days == {"2026-11-22": {"sent": 1, "addressed": 2, "pending": 2}}
    assert set(pairs) == {(1, 11), (1, 12), (11, 20), (11, None)}
    nothing = await counted(ledger, By.ORGAN, tree=10, organ=OrganNumber(20))
    assert nothing.rows == []


async def test_the_other_reading(ledger: SQLLedger) -> None:
    """Received as addressed: what was sent to an organ counts as received."""
    story = Story(ledger)
    await story.accepted(to=(2,))
    await numbered(ledger)

    found = rows(await counted(ledger, By.ORGAN, received_as_addressed=True), "organ_number")

    assert found[2] == {"addressed": 1, "received": 1, "pending": 1}


async def test_what_has_no_number_is_in_no_row_and_is_not_hidden(ledger: SQLLedger) -> None:
    """The counts say how far they go."""
    story = Story(ledger)
    await story.accepted()
    await numbered(ledger)
    await story.accepted()

    counts = await asking(ledger).count(CountFilter(), by=By.ORGAN)

    assert (counts.numbered_up_to, counts.not_numbered) == (1, 1)
    assert rows(counts, "organ_number")[1] == {"sent": 1}


@pytest.mark.parametrize(
    "day", ["", "2026-13-01", "20261122", "2026-11-22 ", "x", "\x00", "2026-W01-1", "٢٠٢٦-11-22"]
)
def test_a_day_that_is_none_is_refused(day: str) -> None:
    """Before it is compared with days as text."""
    with pytest.raises(InvalidQuestion):
        CountFilter(since=day)
    with pytest.raises(InvalidQuestion):
        CountFilter(until=day)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    """Whoever mistook the days is told so, and gets no table without rows."""
    with pytest.raises(InvalidQuestion, match="before it begins"):
        CountFilter(since="2026-12-01", until="2026-11-30")
    assert CountFilter(since="2026-12-01", until="2026-12-01").said()


async def _live(story: Story, random_: random.Random, *, hours: int = 4) -> list[Sent]:
    """Documents that go random ways, up to so many `hours` between two steps, every step of them allowed."""
    organs = [number for number in ORGANS if number != 1]
    sent: list[Sent] = []
    for _ in range(60):
        story.clock.move(hours=random_.randint(1, hours))
        if len(sent) < 3 or random_.random() < 0.3:
            to = random_.sample(organs, random_.randrange(1, 4))
            sent.append(
                await story.accepted(
                    sender=random_.choice(list(ORGANS)),
                    to=to,
                    not_connected=set(random_.sample(to, random_.randrange(0, 2))),
                    urgency=random_.randrange(4),
                    business_type=random_.choice((0, 0, 3)),
                )
            )
            continue
        one = random_.choice(sent)
        possible = [
            (step, organ)
            for organ in one.consignment_of
            for step in DeliveryStep
            # Asking back changes no state and no count.
            if (one.states[organ], step) in DELIVERY and step is not DeliveryStep.ASK_BACK
        ]
        if possible:
            step, organ = random_.choice(possible)
            await story.stepped(one, step, organs=[organ])
    return sent


@pytest.mark.parametrize("seed", range(4))
async def test_counts_and_states_tell_the_same_story(ledger: SQLLedger, seed: int) -> None:
    """Whatever happened: every way of counting balances, equals the recount, and ends with what is pending now."""
    story = Story(ledger, ids=Ids(f"random {seed}"))
    await story.organs(ORGANS)
    sent = await _live(story, random.Random(seed))
    await numbered(ledger)

    for by in By:
        await counted(ledger, by, since="2026-11-25")
        await counted(ledger, by, tree=10, until="2026-11-26")
    counts = await counted(ledger, By.ORGAN)

    pending = dict.fromkeys(ORGANS, 0)
    for one in sent:
        for organ, state in one.states.items():
            pending[organ] += state in PENDING
    assert {organ: n for organ, n in pending.items() if n} == {
        row["organ_number"]: row["pending"] for row in counts.rows if row["pending"]
    }
    assert sum(int(str(row["sent"])) for row in counts.rows) == len(sent)
    result = await check(ledger, keys=[LOG_KEY.verifier])
    assert result.ok, result.problems


_PERIODS: tuple[dict[str, Any], ...] = (
    {"since": "2027-01-01"},
    {"since": "2027-02-01", "until": "2028-10-31"},
    {"since": "2026-12-15", "until": "2028-02-29"},
    {"since": "2027-04-02", "until": "2027-04-30"},
    {"until": "2027-12-31"},
    {"since": "2028-12-31", "until": "2028-12-31"},
)


async def test_a_period_of_years_is_what_its_days_are(ledger: SQLLedger) -> None:
    """Whole years and months come from their own totals, and every row is that of a recount."""
    story = Story(ledger)
    await story.organs(ORGANS)
    await _live(story, random.Random(5), hours=40 * 24)
    await numbered(ledger)
    assert story.clock.now().year > 2028

    for by in By:
        for period in _PERIODS:
            await counted(ledger, by, **period)
        await counted(ledger, by, tree=10, since="2027-03-05", until="2028-06-30")
        await counted(ledger, by, urgency=Urgency.NORMAL, since="2027-01-31")


def _days(since: date, until: date) -> list[str]:
    return [(since + timedelta(days=n)).isoformat() for n in range((until - since).days + 1)]


_ANY_DAY = st.dates(min_value=date(2023, 11, 20), max_value=date(2027, 2, 10))


@given(since=st.none() | _ANY_DAY, until=st.none() | _ANY_DAY, by=st.sampled_from(By), before=st.booleans())
def test_every_day_of_a_period_is_read_once(
    since: date | None, until: date | None, by: By, *, before: bool
) -> None:
    """In whole years, in whole months, or by itself; and none that was not asked for."""
    if (before and since is None) or (since is not None and until is not None and since > until):
        return
    days = [one.isoformat() if one is not None else None for one in (since, until)]
    asked = CountFilter(since=days[0], until=days[1])
    read: Counter[str] = Counter()
    for table, begin, end in pieces(asked, by=by, is_whole=False, before=before):
        length = {"tally": 10, "organ_month": 7, "organ_year": 4}[table.name]
        read.update(
            day
            for day in _days(date(2023, 1, 1), date(2027, 12, 31))
            if (begin is None or day[:length] >= begin) and (end is None or day[:length] < end)
        )

    first, last = (date(2023, 1, 1), date(2027, 12, 31))
    wanted = _days(since or first, until or last)
    if before and since is not None:
        wanted = _days(first, since - timedelta(days=1))
    assert read == Counter(wanted)
