"""The made-up history is one the axis could have had: `axis ledger check` finds nothing wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from axis.bench.history import History
from axis.bench.ledger import NOW, bench_ledger
from axis.core.errors import InvalidQuestion
from axis.core.model import OrganNumber
from axis.ledger.check import check
from axis.ledger.count import By, CountFilter
from axis.ledger.store import SQLLedger, open_engine
from tests.ledger.builders import LOG_KEY, Story
from tests.ledger.test_queries import asking


def test_the_same_seed_makes_the_same_history() -> None:
    """Two runs measure the same thing."""

    def made(seed: int) -> list[bytes]:
        history = History(since=datetime(2026, 1, 1, tzinfo=UTC), until=NOW, deliveries=60, seed=seed)
        events = [*history.beginning(), *(event for batch in history.batches() for event in batch)]
        assert history.made >= 60
        return [event.hash for event in events]

    assert made(1) == made(1)
    assert made(1) != made(2)


@pytest.mark.service
async def test_a_benchmark_measures_a_whole_ledger(database_url: str) -> None:
    """Loaded by COPY, asked, appended to: every row as the records say, and the counts as a recount."""
    seen: dict[str, int] = {}

    found = await bench_ledger(
        database_url, deliveries=150, times=1, progress=lambda what, done, _of: seen.update({what: done})
    )

    assert set(seen) == {"load", "index", "ask", "append"}
    assert found.deliveries >= 150
    assert {one.name: one.rows for one in found.timings}["log, newest"] == 100
    assert {one.limit_ms for one in found.timings} == {100.0, 200.0, 500.0}
    ledger = SQLLedger(open_engine(database_url))
    result = await check(ledger, keys=[LOG_KEY.verifier])
    assert result.problems == ()
    asked = CountFilter(organ=OrganNumber(31))
    counted = await asking(ledger).count(asked, by=By.TREE)
    assert list(counted.rows) == list((await asking(ledger).recount(asked, by=By.TREE)).rows)
    await ledger.engine.dispose()


@pytest.mark.service
async def test_a_real_ledger_is_left_alone(database_url: str) -> None:
    """A made-up history would stand in it for ever."""
    ledger = SQLLedger(open_engine(database_url))
    await Story(ledger).organs({1: None})
    await ledger.engine.dispose()

    with pytest.raises(InvalidQuestion, match="not empty"):
        await bench_ledger(database_url, deliveries=100)


async def test_sqlite_is_not_measured(tmp_path: Path) -> None:
    """The embedded axis has no years of history."""
    with pytest.raises(InvalidQuestion, match="PostgreSQL"):
        await bench_ledger(f"sqlite+aiosqlite:///{tmp_path}/ledger.db", deliveries=100)
