"""Many rows in one statement: the same on both databases, whatever the values, in the order that locks need."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from axis.ledger import tables as t
from axis.ledger.bulk import Key, among, change_rows, insert_missing, insert_rows, put_rows, remove_rows
from axis.ledger.store import SQLLedger

ODD = (
    "a",
    "'",
    '"',
    "{1,2}",
    "\\",
    "NULL",
    "",
    " x ",
    "tiếng Việt",
    "𝔸",
    "null",
    "a,b",
    "%s",
    "$1",
    "\u00e9",
    "e\u0301",
)
"""Texts that a list written by hand would get wrong."""


def claims(*keys: str, submission: str = "0" * 26) -> list[dict[str, Any]]:
    return [{"key": key, "submission_id": submission, "document_key": None} for key in keys]


async def held(ledger: SQLLedger) -> dict[str, str]:
    async with ledger.reading() as connection:
        return {row.key: row.submission_id for row in await connection.execute(select(t.claim))}


async def test_every_text_comes_back_and_is_found(ledger: SQLLedger) -> None:
    async with ledger.transaction() as tx:
        await insert_rows(tx.connection, t.claim, claims(*ODD))

    async with ledger.reading() as connection:
        found = [
            set((await connection.execute(select(t.claim.c.key).where(among(t.claim.c.key, some)))).scalars())
            for some in (ODD, ODD[:3], (), ("absent",), ODD * 200)
        ]

    assert found == [set(ODD), set(ODD[:3]), set(), set(), set(ODD)]


@pytest.mark.service
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_a_text_too_long_for_its_column_is_refused_and_not_cut(ledger: SQLLedger) -> None:
    """A cast to the column's own type would cut it off without a word. SQLite knows no lengths."""
    with pytest.raises(DBAPIError):
        async with ledger.transaction() as tx:
            await insert_rows(tx.connection, t.claim, claims("k", submission="1" * 27))
    assert await held(ledger) == {}


async def test_what_the_database_numbers_is_numbered_in_the_order_given(ledger: SQLLedger) -> None:
    rows = [{"event_id": f"{number:026}", "year": 2026} for number in range(500)]
    random.Random(7).shuffle(rows)
    async with ledger.transaction() as tx:
        await insert_rows(tx.connection, t.pending_leaf, rows)

    async with ledger.reading() as connection:
        query = select(t.pending_leaf.c.event_id).order_by(t.pending_leaf.c.seq)
        found = (await connection.execute(query)).scalars().all()

    assert found == [row["event_id"] for row in rows]


async def test_a_column_that_is_not_given_has_its_default(ledger: SQLLedger) -> None:
    async with ledger.transaction() as tx:
        await insert_rows(tx.connection, t.valuation, [{"document_key": "0" * 26}])

    async with ledger.reading() as connection:
        [row] = await connection.execute(select(t.valuation))

    assert (row.due_at, row.tries) == (0, 0)


async def test_who_comes_first_has_the_key(ledger: SQLLedger) -> None:
    async with ledger.transaction() as tx:
        first = await insert_missing(tx.connection, t.claim, claims("b", "a", submission="1" * 26))
    async with ledger.transaction() as tx:
        second = await insert_missing(tx.connection, t.claim, claims("c", "a", submission="2" * 26))

    assert (first, second) == ({"a", "b"}, {"c"})
    assert await held(ledger) == {"a": "1" * 26, "b": "1" * 26, "c": "2" * 26}


async def test_rows_are_changed_put_added_to_and_removed(ledger: SQLLedger) -> None:
    async with ledger.transaction() as tx:
        await insert_rows(tx.connection, t.claim, claims("a", "b", "c"))
        changes: dict[Key, dict[str, Any]] = {
            (("key", "a"),): {"submission_id": "1" * 26},
            (("key", "b"),): {"submission_id": "2" * 26, "document_key": "3" * 26},
            (("key", "absent"),): {"submission_id": "4" * 26},
        }
        await change_rows(tx.connection, t.claim, changes)
        await put_rows(tx.connection, t.claim, claims("c", "d", submission="5" * 26))
        await remove_rows(tx.connection, t.claim, {(("key", "a"),), (("key", "none"),)})
        counted = [
            {
                (row.sender, row.receiver): row.n
                for row in await put_rows(tx.connection, t.pair, rows, adds="n", returns=True)
            }
            for rows in (
                [{"sender": 1, "receiver": 2, "n": 3}, {"sender": 1, "receiver": 1, "n": 1}],
                [{"sender": 1, "receiver": 2, "n": 4}],
            )
        ]

    assert await held(ledger) == {"b": "2" * 26, "c": "5" * 26, "d": "5" * 26}
    assert counted == [{(1, 1): 1, (1, 2): 3}, {(1, 2): 7}]


async def test_two_that_change_the_same_rows_never_wait_for_each_other(
    ledger: SQLLedger, other_ledger: SQLLedger
) -> None:
    """Each names the rows in an order of its own; the locks are taken in the order of the keys."""
    keys = [f"k{number:03}" for number in range(200)]
    async with ledger.transaction() as tx:
        await insert_rows(tx.connection, t.claim, claims(*keys))

    async def change(one: SQLLedger, *, seed: int) -> None:
        shuffled = keys.copy()
        random.Random(seed).shuffle(shuffled)
        async with one.transaction() as tx:
            await change_rows(
                tx.connection,
                t.claim,
                {(("key", key),): {"submission_id": f"{seed:026}"} for key in shuffled},
            )
            await put_rows(tx.connection, t.claim, claims(*shuffled, submission=f"{seed:026}"))

    for seed in range(20):
        await asyncio.gather(change(ledger, seed=seed), change(other_ledger, seed=seed + 100))

    assert set((await held(ledger)).values()) <= {f"{19:026}", f"{119:026}"}
