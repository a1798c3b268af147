"""A replay plan is rows in the ledger: cut off, started twice, too fast or in vain, it does each item once and no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from axis.core.errors import NotAllowed
from axis.core.model import Actor
from axis.flow import replay
from axis.flow.replay import Item, Tally
from axis.ledger import tables as t
from tests.flow.office import Office
from tests.flow.town import a_letter, signed

LAN = Actor(person="lan", reason="đã sửa nguyên nhân")


async def nowhere(office: Office, number: int) -> str:
    """A plan of deliveries that do not exist: what happens to the plan itself is the same."""
    return await office.replayer.plan([("delivery", f"D{one:025}") for one in range(number)], by=LAN)


async def results(office: Office) -> Counter[tuple[str, str]]:
    """How often each item of each plan was marked."""
    facts: list[Any] = [event.facts for event in await office.events("replay.changed")]
    return Counter((one["plan"], one["item"][1]) for one in facts if one["change"] == "item")


class Killed(Exception):
    """The process ended here."""


async def test_cut_off_at_any_piece_the_next_run_does_the_rest(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "MOST_AT_ONCE", 10)
    plan = await nowhere(office, 35)

    def killed(tally: Tally) -> None:
        if tally.done >= 20:
            raise Killed

    with pytest.raises(Killed):
        await office.replayer.run(plan, by=LAN, progress=killed)
    rest = await office.replayer.run(plan, by=LAN)

    assert rest.done == 15
    assert Counter((await results(office)).values()) == {1: 35}
    assert await office.replayer.run(plan, by=LAN) == Tally(done=0, failed_again=0)


async def test_started_twice_at_the_same_time_each_item_is_done_once(office: Office) -> None:
    plan = await nowhere(office, 120)

    tallies = await asyncio.gather(*(office.replayer.run(plan, by=LAN) for _ in range(2)))

    assert sum(one.done for one in tallies) == 120
    assert Counter((await results(office)).values()) == {1: 120}


async def test_it_keeps_to_the_rate_and_can_be_paused_within_it(office: Office) -> None:
    plan = await nowhere(office, 12)
    began = monotonic()

    done = await office.replayer.run(plan, by=LAN, per_second=20)

    assert done.done == 12
    assert monotonic() - began >= 12 / 20

    paused = await nowhere(office, 12)
    begun = asyncio.Event()
    running = asyncio.ensure_future(
        office.replayer.run(paused, by=LAN, per_second=2, progress=lambda _: begun.set())
    )
    await begun.wait()
    await office.replayer.change(paused, "paused", by=LAN)
    assert 0 < (await running).done < 12
    await office.replayer.change(paused, "cancelled", by=LAN)
    with pytest.raises(NotAllowed):
        await office.replayer.run(paused, by=LAN)


async def test_it_stops_by_itself_when_most_of_it_fails_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause was not mended: 20 of 24 are tried, the plan is paused and says so; mended, the rest is done."""
    monkeypatch.setattr(replay, "MOST_AT_ONCE", 10)
    roots, office.country.trust = office.country.trust, None
    held = [await office.admit(signed(a_letter(number))) for number in range(1, 25)]
    plan = await office.replayer.plan([("held", one.submission) for one in held], by=LAN)

    vain = await office.replayer.run(plan, by=LAN)

    assert vain == Tally(done=20, failed_again=20, has_stopped=True)
    assert (await state_of(office, plan)) == "paused"
    assert [
        event.facts["cause"] for event in await office.events("replay.changed") if "cause" in event.facts
    ] == ["most_fail_again"]

    office.country.trust = roots
    assert await office.replayer.run(plan, by=LAN) == Tally(done=4, failed_again=0)
    assert (await state_of(office, plan)) == "done"


async def state_of(office: Office, plan: str) -> str:
    return next(str(row["state"]) for row in await office.rows(t.replay_plan) if row["id"] == plan)


async def test_nothing_is_replayed_without_a_person_and_a_reason(office: Office) -> None:
    items: list[Item] = [("delivery", "D" * 26)]
    for by, wanted in ((replace(LAN, reason=None), items), (replace(LAN, person=None), items), (LAN, [])):
        with pytest.raises(NotAllowed):
            await office.replayer.plan(wanted, by=by)
