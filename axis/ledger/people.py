"""
Who people are to the axis: a small file of names and roles, until there is a sign-in.

    [people."an.nguyen"]
    role = "operator"

    [people."ha.tran"]
    role = "auditor"
    organ = "000.00.00.H26"

A person with an organ sees it and all below it, never another's; one without sees the whole axis. Where a file is
set, who does not stand in it may nothing. The name is the login name or `--as`: on a machine where somebody may read
the database's password, this file keeps honest people to their part and records them; it stops nobody else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axis.core.errors import NotAllowed, SettingsError
from axis.ledger.scope import RIGHTS, Right, Role

_MOST_BYTES = 1024 * 1024
_MEMBERS = frozenset({"role", "organ"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person of the file."""

    name: str
    role: Role
    organ: str | None = None
    """A code; None: the whole axis."""


def read_people(path: Path) -> Mapping[str, Person]:
    """
    Everybody in the file.

    Raises:
        SettingsError: it cannot be read, or says something that means nothing; every such place is listed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise SettingsError((f"AXIS_PEOPLE: {path.name} is larger than 1 MiB",))
        found = tomllib.loads(content.decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as problem:
        raise SettingsError((f"AXIS_PEOPLE: {path.name}: {str(problem)[:200]}",)) from problem
    problems = [f"AXIS_PEOPLE: {one[:40]!r}: only [people.NAME] is known" for one in found if one != "people"]
    people: dict[str, Person] = {}
    listed = found.get("people", {})
    if not isinstance(listed, dict) or not listed:
        problems.append("AXIS_PEOPLE: nobody stands in it")
        listed = {}
    for name, said in listed.items():
        person = _person(name, said)
        if isinstance(person, str):
            problems.append(f"AXIS_PEOPLE: {name[:40]!r}: {person}")
        else:
            people[name] = person
    if problems:
        raise SettingsError(tuple(problems))
    return people


def _person(name: str, said: Any) -> Person | str:
    """A person, or what is wrong with the entry."""
    if not name or len(name) > 80 or not name.isprintable():
        return "a name has 1 to 80 printable characters"
    if not isinstance(said, dict) or said.keys() - _MEMBERS:
        return f"only {' and '.join(sorted(_MEMBERS))} are known"
    if said.get("role") not in list(Role):
        return f"role is one of {', '.join(Role)}"
    organ = said.get("organ")
    if organ is not None and (not isinstance(organ, str) or not organ):
        return "organ is a code"
    return Person(name=name, role=Role(said["role"]), organ=organ)


def may_change(path: Path | None, name: str) -> None:
    """
    Make sure that this person may change what the axis does; without a file everybody may.

    Raises:
        NotAllowed: the person is not in the file, has no right to, or sees only one organ's tree.
        SettingsError: it cannot be read.
    """
    if path is None:
        return
    person = person_named(read_people(path), name)
    if Right.CHANGE not in RIGHTS[person.role] or person.organ is not None:
        raise NotAllowed(f"{name[:80]} is {person.role.value}: no right to change anything of the axis")


def person_named(people: Mapping[str, Person], name: str) -> Person:
    """
    The person with this name.

    Raises:
        NotAllowed: there is none.
    """
    if name not in people:
        raise NotAllowed(f"{name[:80]} does not stand in the file of people (AXIS_PEOPLE)")
    return people[name]
