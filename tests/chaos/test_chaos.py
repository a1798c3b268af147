"""The schedule of `make chaos`, which is run by itself: it takes some minutes, and nothing else should run."""

from __future__ import annotations

from tests.chaos.plan import KILLS, OTHERS, Fate, Plan, task_of


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
