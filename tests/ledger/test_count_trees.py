"""Counts of trees, of the first level, of pairs of it and by urgency: equal to a recount, and to the counts below."""

from __future__ import annotations

import pytest
from sqlalchemy import case, func, literal_column, select

from axis.core.lifecycle import DeliveryStep
from axis.core.model import OrganNumber
from axis.ledger import tables as t
from axis.ledger.count import By, Counts
from axis.ledger.counts import AT_THE_SENDER
from axis.ledger.store import SQLLedger
from tests.ledger.builders import Story
from tests.ledger.test_count import counted
from tests.ledger.test_queries import ORGANS, numbered


def column(counts: Counts, name: str, *keys: str) -> dict[object, object]:
    """One column, by what names a row; rows without it are left out."""
    return {
        row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys): row[name]
        for row in counts.rows
        if row[name]
    }


@pytest.fixture
async def told(ledger: SQLLedger) -> SQLLedger:
    story = Story(ledger)
    await story.organs(ORGANS)
    first = await story.accepted(sender=12, to=(11, 21), urgency=3)
    await story.taken(first)
    await story.accepted(sender=11, to=(10, 20))
    failed = await story.accepted(sender=20, to=(12,), urgency=1)
    await story.stepped(failed, DeliveryStep.FAIL)
    await story.refused(sender=12)
    await numbered(ledger)
    return ledger


@pytest.mark.requirement("LR-45")
async def test_an_organ_counts_in_every_row_above_it(told: SQLLedger) -> None:
    """12 stands below 11, and that below 10: three rows have its documents."""
    counts = await counted(told, By.TREE)

    assert column(counts, "sent", "organ_number") == {10: 2, 11: 2, 12: 1, 20: 1}
    assert column(counts, "addressed", "organ_number") == {10: 3, 11: 2, 12: 1, 20: 2, 21: 1}
    assert column(counts, "refused", "organ_number") == {10: 1, 11: 1, 12: 1}


async def test_rows_of_the_first_level_add_up_to_the_whole(told: SQLLedger) -> None:
    """Nothing twice and nothing left out; the same for pairs of them."""
    tops = await counted(told, By.TOP)
    pairs = await counted(told, By.MATRIX)

    assert column(tops, "sent", "organ_number") == {10: 2, 20: 1}
    assert column(tops, "addressed", "organ_number") == {10: 3, 20: 2}
    assert column(pairs, "addressed", "from_number", "to_number") == {(10, 10): 2, (10, 20): 2, (20, 10): 1}
    assert column(pairs, "failed", "from_number", "to_number") == {(20, 10): 1}


async def test_a_viewer_of_a_tree_sees_no_row_above_it(told: SQLLedger) -> None:
    """The tree's own top is the first level there."""
    for by in (By.TREE, By.TOP):
        counts = await counted(told, by, tree=11)
        assert set(column(counts, "addressed", "organ_number")) <= {11, 12}
    assert column(await counted(told, By.TOP, tree=11), "sent", "organ_number") == {11: 2}


async def test_by_urgency(told: SQLLedger) -> None:
    """Refusals were never routed, so they count under normal."""
    counts = await counted(told, By.URGENCY)

    assert column(counts, "sent", "urgency") == {0: 1, 1: 1, 3: 1}
    assert column(counts, "addressed", "urgency") == {0: 2, 1: 1, 3: 2}
    assert column(counts, "refused", "urgency") == {0: 1}
    assert column(await counted(told, By.URGENCY, organ=OrganNumber(20)), "sent", "urgency") == {1: 1}


async def test_totals_of_a_day_are_the_sum_of_its_cells(told: SQLLedger) -> None:
    """They are written in the same transaction from the same events."""
    cells, totals = t.tally, t.day_total
    names = ("day", "business_type", "urgency", "metric")
    grouped = [cells.c[name] for name in names]
    async with told.reading() as connection:
        summed = await connection.execute(select(*grouped, func.sum(cells.c.n)).group_by(*grouped))
        kept = await connection.execute(select(*(totals.c[name] for name in names), totals.c.n))
        assert sorted(map(tuple, summed)) == sorted(map(tuple, kept))


async def test_totals_of_an_organ_are_the_sum_of_its_cells(told: SQLLedger) -> None:
    """Each column at the organ it counts at; by month and by year."""
    cells = t.tally.c
    is_sent = cells.metric.in_([one.value for one in AT_THE_SENDER])
    async with told.reading() as connection:
        for table, length in ((t.organ_month, 7), (t.organ_year, 4)):
            names = [
                func.substr(cells.day, literal_column("1"), literal_column(str(length))),
                case((is_sent, cells.sender), else_=cells.receiver),
                cells.business_type,
                cells.urgency,
                cells.metric,
            ]
            shown = [one.label(f"name_{number}") for number, one in enumerate(names)]
            summed = await connection.execute(select(*shown, func.sum(cells.n)).group_by(*shown))
            kept = list(await connection.execute(select(table)))
            assert sorted(map(tuple, summed)) == sorted(map(tuple, kept))
            assert kept
