"""
One run: everything is started, documents flow, one thing after the other is broken, and the account is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from sqlalchemy import func, select

from axis.bootstrap.parts import Axis
from axis.core.model import PENDING
from axis.ledger import tables as t
from tests.chaos.account import Account
from tests.chaos.plan import KILLS, Plan
from tests.chaos.stage import Stage, set_up

Say = Callable[[str], None]


async def chaos(plan: Plan, *, say: Say) -> dict[str, object]:
    """The account of a run; nothing is wrong when its `problems` are empty."""
    began = monotonic()
    async with set_up(plan) as (stage, axis):
        say(f"seed {plan.seed}: everything runs after {monotonic() - began:.0f} s")
        account = Account(plan=plan, codes=stage.codes)
        for after, deed, die in plan.schedule():
            if not await _until(
                stage,
                account,
                lambda after=after: account.documents_answered >= after,  # type: ignore[misc]
                plan=plan,
            ):
                account.problems.append(f"nothing moved any more before: {deed.value}")
                break
            what = await stage.commit(deed, die)
            say(
                f"{monotonic() - began:6.1f} s  {account.documents_answered:>7} answered  {deed.value}: {what}"
            )
        expected = account.documents_expected
        await _until(
            stage,
            account,
            lambda: account.documents_answered >= expected and account.is_complete,
            plan=plan,
        )
        await _until_acknowledged(stage, axis, plan=plan)
        flowed = monotonic() - began
        account.problems += stage.problems
        result = await account.close(axis)
        if result["problems"]:
            result["said"] = {one.name: one.process.last_words(lines=60) for one in (*stage.hubs, *stage.web)}
        result["kills"] = sum(count for deed, count in stage.done.items() if deed in KILLS)
        result["deeds"] = {deed.value: count for deed, count in sorted(stage.done.items())}
        result["ended_by_themselves"] = {
            one.name: one.ended_by_itself for one in stage.troupes if one.ended_by_itself
        }
        result["last_words"] = stage.last_words[:5]
        result["seconds"] = round(flowed)
    return result


async def _until_acknowledged(stage: Stage, axis: Axis, *, plan: Plan) -> None:
    """What was taken is also recorded as taken: the last words of the stations are still on their way."""
    query = select(func.count()).where(t.delivery.c.state.in_([one.value for one in PENDING]))
    least, moved = None, monotonic()
    while monotonic() - moved < plan.settle_seconds:
        stage.keep_running()
        async with axis.ledger.reading() as connection:
            pending = (await connection.execute(query)).scalar_one()
        if not pending:
            return
        if least is None or pending < least:
            least, moved = pending, monotonic()
        await asyncio.sleep(0.2)


async def _until(stage: Stage, account: Account, fact: Callable[[], bool], *, plan: Plan) -> bool:
    """Until the fact holds, or nothing moves any more: what is missing then is in the account. Whether it holds."""
    moved = monotonic()
    while True:
        stage.keep_running()
        if await asyncio.to_thread(account.read, stage):
            moved = monotonic()
        if fact():
            return True
        if monotonic() - moved > plan.settle_seconds:
            return False
        await asyncio.sleep(0.1)
