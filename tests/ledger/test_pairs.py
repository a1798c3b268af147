"""Numbers of deliveries from one organ to another: none twice, none left out, in the order of the log."""

from __future__ import annotations

import asyncio

import pytest

from axis.core.errors import InvariantBroken
from axis.core.events import Event
from axis.core.model import OrganNumber
from axis.ledger.check import Fault, check
from axis.ledger.store import SQLLedger
from tests.ledger.builders import LOG_KEY, Story

_PAIR = OrganNumber(1), OrganNumber(2)


async def test_two_hubs_number_one_pair(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """The second waits for the first to commit; both write what they took, and the ledger is in order."""
    stories = Story(ledger), Story(other_ledger)

    async def accept(story: Story, times: int) -> list[int]:
        taken = []
        for _ in range(times):
            async with story.ledger.transaction() as tx:
                first = (await tx.number_pairs({_PAIR: 2}))[_PAIR]
                for number in (first, first + 1):
                    await tx.append([_numbered(story, number)])
                taken += [first, first + 1]
        return taken

    one, two = await asyncio.gather(accept(stories[0], 6), accept(stories[1], 6))

    assert list(range(1, 25)) == sorted(one + two)
    problems = (await check(ledger, keys=[LOG_KEY.verifier])).problems
    assert [one for one in problems if one.table != "report"] == []


async def test_a_number_that_no_event_names_does_not_commit(ledger: SQLLedger) -> None:
    """So the next one gets it, and there is no gap."""
    story = Story(ledger)
    with pytest.raises(InvariantBroken, match="not used"):
        async with ledger.transaction() as tx:
            await tx.number_pairs({_PAIR: 1})

    async with ledger.transaction() as tx:
        first = await tx.number_pairs({_PAIR: 1})
        await tx.append([_numbered(story, first[_PAIR])])

    assert first == {_PAIR: 1}


async def test_a_gap_is_named(ledger: SQLLedger) -> None:
    """A record that leaves a number out is a fault of the axis, and `axis ledger check` says which."""
    story = Story(ledger)
    await story.tell(_numbered(story, 1))
    leaping = _numbered(story, 3)
    await story.tell(leaping)

    first = (await check(ledger, keys=[LOG_KEY.verifier])).first

    assert first is not None
    assert (Fault.IMPOSSIBLE, "event", leaping.id) == (first.fault, first.table, first.key["id"])
    assert "number 3 from organ 1 to organ 2 behind 1" in first.en


def _numbered(story: Story, number: int) -> Event:
    story.pairs[_PAIR] = number - 1
    return story.acceptance(sender=_PAIR[0], to=(_PAIR[1],)).acceptance
