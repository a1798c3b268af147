"""Who may see what: the file of people, and the rights of their roles."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from axis.core.errors import NotAllowed, SettingsError
from axis.core.model import OrganNumber
from axis.ledger.count import By, CountFilter
from axis.ledger.delivery_log import LogFilter
from axis.ledger.people import Person, may_change, person_named, read_people
from axis.ledger.queries import ActFilter, Queries
from axis.ledger.register import Direction
from axis.ledger.scope import RIGHTS, Right, Role, Viewer
from axis.ledger.store import SQLLedger
from axis.ledger.trouble import ReplayFilter
from tests.ledger.builders import NOON, Clock, Ids
from tests.ledger.test_queries import World, looks, rows_of

_IDS = Ids("people")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "people.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def asking_as(ledger: SQLLedger, role: Role, *, tree: int | None = None) -> Queries:
    viewer = Viewer(name="ai.do", tree=OrganNumber(tree) if tree is not None else None, role=role)
    return Queries(ledger, viewer=viewer, clock=Clock(NOON + timedelta(days=20)), ids=_IDS)


def test_the_file_names_people_roles_and_organs(tmp_path: Path) -> None:
    """Somebody without an organ sees the whole axis."""
    path = written(
        tmp_path,
        '[people."an.nguyen"]\nrole = "operator"\n[people."ha.tran"]\nrole = "auditor"\norgan = "000.00.00.H26"\n',
    )

    people = read_people(path)

    assert person_named(people, "an.nguyen") == Person(name="an.nguyen", role=Role.OPERATOR)
    assert person_named(people, "ha.tran").organ == "000.00.00.H26"
    with pytest.raises(NotAllowed, match="does not stand in the file"):
        person_named(people, "nobody")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "people = 3",
        "[people]\nan = 3",
        '[people.an]\nrole = "king"',
        '[people.an]\nrole = ["operator"]',
        '[people.an]\nrole = "auditor"\norgan = 7',
        '[people.an]\nrole = "auditor"\norgan = ""',
        '[people.an]\nrole = "auditor"\norgans = "000.00.00.H26"',
        '[people."a\\u0000b"]\nrole = "auditor"',
        '[other.an]\nrole = "auditor"\n[people.an]\nrole = "auditor"',
        b"\xff\xfe",
        b"[" * 2_000_000,
        "a = " + "[" * 5_000,
    ],
)
def test_a_file_that_means_nothing_is_refused(tmp_path: Path, text: str | bytes) -> None:
    """A person who is half described must not end up with more rights than meant."""
    with pytest.raises(SettingsError) as refused:
        read_people(written(tmp_path, text))

    assert all(one.startswith("AXIS_PEOPLE: ") for one in refused.value.problems)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """It was asked for by name."""
    with pytest.raises(SettingsError):
        read_people(tmp_path / "people.toml")


def test_who_may_change_the_axis(tmp_path: Path) -> None:
    """Operators of the whole axis; everybody where there is no file."""
    path = written(
        tmp_path,
        '[people.an]\nrole = "operator"\n[people.ha]\nrole = "auditor"\n'
        '[people.tinh]\nrole = "operator"\norgan = "000.00.00.H26"\n',
    )

    may_change(path, "an")
    may_change(None, "nobody")
    for name in ("ha", "tinh", "nobody"):
        with pytest.raises(NotAllowed):
            may_change(path, name)


def test_only_operators_change_anything() -> None:
    """Auditors read everything, reporting officers what counts are made of (LR-55)."""
    assert [role for role in Role if Right.CHANGE in RIGHTS[role]] == [Role.OPERATOR]
    assert RIGHTS[Role.AUDITOR] == set(Right) - {Right.CHANGE}
    assert RIGHTS[Role.REPORTER] == {Right.COUNTS, Right.LOG}


@pytest.mark.requirement("LR-55", "LR-57")
async def test_a_role_without_the_right_gets_nothing_and_the_no_is_recorded(ledger: SQLLedger) -> None:
    """Every question asks for its right before it reads."""
    await World(ledger).tell()
    reporter = asking_as(ledger, Role.REPORTER)

    for question in (
        reporter.acts(ActFilter()),
        reporter.failed_groups(),
        reporter.replay_candidates(ReplayFilter()),
        reporter.plans(),
        reporter.plan("01M7HRRV63TR8MFZMY6GV1BYDV"),
        reporter.require(Right.CHANGE),
    ):
        with pytest.raises(NotAllowed):
            await question

    refused = [look for look in await looks(ledger) if look["question"] == "refused"]
    assert [(look["viewer"], look["role"], look["rows"]) for look in refused] == [
        ("ai.do", "reporter", None)
    ] * 6
    assert (await reporter.log(LogFilter())).rows
    await reporter.count(CountFilter(), by=By.ORGAN)


@pytest.mark.requirement("LR-45")
async def test_a_province_sees_its_tree_in_every_question(ledger: SQLLedger) -> None:
    """Registers, statements and the log: never another's."""
    await World(ledger).tell()
    auditor = asking_as(ledger, Role.AUDITOR, tree=20)
    time = {"since": NOON - timedelta(days=1), "until": NOON + timedelta(days=9)}

    incoming = [row async for row in auditor.register(Direction.IN, organ=None, lang="vi", **time)]
    outgoing = [row async for row in auditor.register(Direction.OUT, organ=None, lang="vi", **time)]

    assert {row["organ"] for row in incoming} == {"000.00.20.H01", "000.00.21.H01"}
    assert {row["organ"] for row in outgoing} == {"000.00.20.H01"}
    assert all(
        "20.H01" in f"{row['from']}{row['to']}" or "21.H01" in f"{row['from']}{row['to']}"
        for row in await rows_of(auditor)
        if row["from"] is not None
    )
    with pytest.raises(NotAllowed):
        await auditor.statement(OrganNumber(10), "2026-11", log="log.example/axis")
    with pytest.raises(NotAllowed):
        await auditor.acts(ActFilter())
    assert (await auditor.statement(OrganNumber(21), "2026-11", log="log.example/axis"))["organ"]
