"""
Pages that are looked for stretch by stretch, newest first, against the same rows oldest first, which are not.

Each stretch here holds two documents, then three, so that every page crosses several.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from axis.core.model import BusinessType, OrganNumber, Urgency
from axis.ledger import delivery_log
from axis.ledger.delivery_log import LogFilter, states_named
from axis.ledger.queries import Queries
from axis.ledger.store import SQLLedger
from tests.ledger.builders import Story
from tests.ledger.test_queries import ORGANS, asking

NEW_YEAR = datetime(2026, 12, 31, 17, 0, tzinfo=UTC)
"""In Vietnam; the history lies on both sides."""

QUESTIONS = {
    "organ": LogFilter(organ=OrganNumber(10)),
    "words": LogFilter(subject="bao cao"),
    "words of a tree": LogFilter(organ=OrganNumber(10), subject="bao cao"),
    "words nobody wrote": LogFilter(subject="khongcotunay"),
    "recalls": LogFilter(business_type=BusinessType.RECALL),
    "recalls of a tree": LogFilter(organ=OrganNumber(20), business_type=BusinessType.RECALL),
    "urgent": LogFilter(urgency=Urgency.URGENT),
    "recalls that wait": LogFilter(business_type=BusinessType.RECALL, states=states_named("waiting")),
    "refused words": LogFilter(subject="bao cao", states=states_named("refused")),
    "words since": LogFilter(subject="bao cao", since=NEW_YEAR - timedelta(hours=30)),
    "words until": LogFilter(subject="bao cao", until=NEW_YEAR + timedelta(hours=30)),
    "recalls in between": LogFilter(
        business_type=BusinessType.RECALL,
        since=NEW_YEAR - timedelta(hours=30),
        until=NEW_YEAR + timedelta(hours=50),
    ),
}


@pytest.fixture(name="told")
async def _told(ledger: SQLLedger) -> SQLLedger:
    """Sixteen documents in eight days; recalls of the first days reach somebody late, in the new year too."""
    story = Story(ledger)
    await story.organs(ORGANS)
    story.clock.set(NEW_YEAR - timedelta(days=4))
    recalls = []
    for day in range(8):
        sender, others = ((11, (12, 20, 1)), (20, (11, 21)), (1, (10, 12)))[day % 3]
        await story.accepted(
            sender=sender, to=others, subject="Báo cáo" if day % 2 else "Thông báo", urgency=day % 3
        )
        recalls.append(await story.accepted(sender=sender, to=others[:1], business_type=1, subject="Báo cáo"))
        for late in recalls[: day - 2]:
            # Somebody takes what was recalled days ago: a delivery in the middle of newer documents.
            if 21 not in late.deliveries:
                await story.added(late, organ=21)
            elif 12 not in late.deliveries:
                await story.added(late, organ=12)
        await story.refused(sender=11, subject="Báo cáo sai")
        story.clock.move(days=1)
    return ledger


async def all_pages(queries: Queries, asked: LogFilter, *, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = await queries.log(asked, limit=limit, after=after)
        found += [dict(row) for row in page.rows]
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize("latecomers", [1_000, 0], ids=["named", "too many to name"])
async def test_no_row_is_lost_between_stretches(
    told: SQLLedger, monkeypatch: pytest.MonkeyPatch, latecomers: int
) -> None:
    """None twice and each in its place, whoever asks and however long a page is."""
    monkeypatch.setattr(delivery_log, "STEPS", (2, 3))
    monkeypatch.setattr(delivery_log, "MOST_LATECOMERS", latecomers)
    for name, asked in QUESTIONS.items():
        for tree in (None, 20):
            queries = asking(told, tree=tree)
            whole = (await queries.log(asked, limit=1_000, oldest_first=True)).rows
            for limit in (4, 1_000):
                found = await all_pages(queries, asked, limit=limit)
                assert [dict(row) for row in reversed(whole)] == found, (name, tree, limit)


async def test_the_history_has_what_makes_it_hard(told: SQLLedger) -> None:
    """Or the test above would show little: recalls reach somebody days later, some of them in the next year."""
    rows = (await asking(told).log(QUESTIONS["recalls"], limit=1_000)).rows
    whole = {
        name: len((await asking(told).log(asked, limit=1_000)).rows) for name, asked in QUESTIONS.items()
    }

    recorded: dict[Any, list[str]] = {}
    for row in rows:
        recorded.setdefault(row["document"], []).append(str(row["recorded_at"]))
    late = [times for times in recorded.values() if min(times)[:10] != max(times)[:10]]
    assert len(late) >= 3
    assert any((min(times)[:4], max(times)[:4]) == ("2026", "2027") for times in late)
    assert {name for name, n in whole.items() if n == 0} == {"words nobody wrote"}
