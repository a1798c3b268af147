"""
No room is left while something is appended: it is not recorded, whoever asked is told so, and what stands is whole.

SQLite answers here as it does on a full disk (SQLITE_FULL): its file may have so many pages and no more.
"""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, event, func, select

from axis.core.errors import ServiceUnavailable
from axis.core.events import Event
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.sequencer import Sequencer
from axis.ledger.store import SQLLedger
from tests.ledger.builders import LOG, LOG_KEY, Clock, Story

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)

_MANY = 300
"""More than fit into what is left of the pages that there are."""


class Disk:
    """How much room the ledger's file has."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger
        self._most = 2**30
        event.listen(ledger.engine.sync_engine, "begin", self._limit)

    def _limit(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {self._most}")

    async def fill(self) -> None:
        """Not one page more than there are."""
        async with self._ledger.reading() as connection:
            self._most = int((await connection.exec_driver_sql("PRAGMA page_count")).scalar_one())

    def free(self) -> None:
        self._most = 2**30


async def _recorded(ledger: SQLLedger) -> int:
    async with ledger.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(t.event))).scalar_one())


async def _is_whole(ledger: SQLLedger) -> bool:
    problems = (await check(ledger, keys=[LOG_KEY.verifier])).problems
    return [one for one in problems if one.table != "report"] == []


async def _is_full(story: Story, one: Event) -> bool:
    try:
        await story.tell(one)
    except ServiceUnavailable as problem:
        return "full" in problem.cause
    return False


async def test_an_event_without_room_is_not_recorded(ledger: SQLLedger) -> None:
    """Whole events fill the last pages; the one that does not fit leaves nothing of itself, and is taken later."""
    story, disk = Story(ledger), Disk(ledger)
    await disk.fill()
    events = [story.acceptance().acceptance for _ in range(_MANY)]
    recorded = 0
    while not await _is_full(story, events[recorded]):
        recorded += 1

    assert (await _recorded(ledger), await _is_whole(ledger)) == (recorded, True)
    disk.free()
    await story.tell(events[recorded])
    assert (await _recorded(ledger), await _is_whole(ledger)) == (recorded + 1, True)


async def test_what_finds_no_room_to_be_numbered_waits(ledger: SQLLedger) -> None:
    """The log stands still instead of going on with less; with room again every event has its number."""
    story, disk = Story(ledger), Disk(ledger)
    await story.tell(*(story.acceptance().acceptance for _ in range(_MANY)))
    sequencer = Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one")
    await disk.fill()
    with pytest.raises(ServiceUnavailable, match="full"):
        await sequencer.turn()

    assert (await _recorded(ledger), await _is_whole(ledger)) == (_MANY, True)
    disk.free()
    async with asyncio.timeout(60):
        while await sequencer.turn():
            pass
    async with ledger.reading() as connection:
        head = (await connection.execute(select(t.log_head.c.size))).scalar()
    assert (head, await _is_whole(ledger)) == (_MANY, True)
