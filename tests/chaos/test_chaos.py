"""The short form of `make chaos`: one of each fault while documents flow, and an exact account."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.chaos.plan import KILLS, OTHERS, Deed, Fate, Plan, task_of
from tests.chaos.run import chaos


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.private_node
@pytest.mark.timeout(900)
async def test_nothing_accepted_is_lost_or_doubled_whatever_breaks() -> None:
    """Hubs, stations, the leader of a queue, PostgreSQL, connections, the disk: every delivery comes exactly once."""
    # Another one each time: what fails is repeated with `make chaos SEED=...`, which the message names.
    plan = Plan(seed=secrets.randbelow(1_000_000), documents=240, kills=5, per_second=8)
    said: list[str] = []

    account = await chaos(plan, say=said.append)

    assert not account["problems"], "\n".join([*said, json.dumps(account, indent=1, ensure_ascii=False)])
    assert account["lost"] == 0
    assert {Deed.KILL_NODE.value} == {one.value for one in Deed} - set(account["deeds"])  # type: ignore[call-overload]


def test_a_run_follows_from_its_seed() -> None:
    """The same deeds at the same documents, the same documents for the same receivers."""
    plan = Plan(seed=5, documents=1_000, kills=12)

    assert plan.schedule() == Plan(seed=5, documents=1_000, kills=12).schedule()
    assert plan.schedule() != Plan(seed=6, documents=1_000, kills=12).schedule()
    assert [deed in KILLS for _, deed, _ in plan.schedule()].count(True) == 12
    assert set(OTHERS) <= {deed for _, deed, _ in plan.schedule()}
    tasks = [task_of(number, seed=5, agencies=6) for number in range(200)]
    assert {one.fate for one in tasks} == set(Fate)
    assert all(one.sender not in one.receivers for one in tasks)
