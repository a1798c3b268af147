"""The schedule of `make chaos`. The run itself is a step of `.ci/run`: what it breaks is no neighbour for other tests."""

from __future__ import annotations

from tests.chaos.plan import KILLS, OTHERS, Deed, Fate, Plan, task_of


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


def test_the_short_form_has_every_kind_of_fault_whatever_its_seed() -> None:
    """What `.ci/run` runs leaves none of them to luck."""
    for seed in range(100):
        deeds = [deed for _, deed, _ in Plan(seed=seed).schedule()]

        assert sorted(deeds) == sorted(Deed), seed
