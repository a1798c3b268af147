"""
Who asks, and what of the ledger is theirs to see: an organ with everything below it, or everything.

A province sees its tree, never another's (LR-58). Every question takes a scope; there is no way around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Select, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.model import OrganNumber
from axis.ledger import tables as t

_LISTED = 1_000
"""Organs that stand in a statement one by one; a larger tree is walked by the database again."""


@unique
class Right(StrEnum):
    """What a person may do; every question belongs to one of the first four."""

    COUNTS = "counts"
    """Counts, statements, the quarterly report: no document is named."""
    LOG = "log"
    """The delivery log, registers, one document's life."""
    ACTS = "acts"
    """What people changed, and who looked at what; for those who see the whole axis."""
    TROUBLE = "trouble"
    """What waits for a person, and plans to replay it."""
    CHANGE = "change"
    """Acts: whatever changes what the axis will do."""


@unique
class Role(StrEnum):
    """What somebody is to the axis."""

    OPERATOR = "operator"
    AUDITOR = "auditor"
    """Reads everything of their tree and changes nothing (LR-55)."""
    REPORTER = "reporter"
    """A reporting officer: counts, and the log they are made of."""


RIGHTS = MappingProxyType(
    {
        Role.OPERATOR: frozenset(Right),
        Role.AUDITOR: frozenset({Right.COUNTS, Right.LOG, Right.ACTS, Right.TROUBLE}),
        Role.REPORTER: frozenset({Right.COUNTS, Right.LOG}),
    }
)
"""Who may do what. Which organs they see is said for each person, not for a role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who looks into the ledger. Every look is recorded with this name."""

    name: str
    """Login name, or the name given with `--as`."""
    tree: OrganNumber | None = None
    """Sees this organ and all below it; None: everything."""
    role: Role = Role.OPERATOR

    def has(self, right: Right) -> bool:
        """Whether this person may."""
        return right in RIGHTS[self.role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """An organ and all below it, as a condition of a query and as a set."""

    root: int
    organs: frozenset[int]

    def covers(self, column: Any) -> ColumnElement[bool]:
        """The condition that the organ in `column` is one of the tree."""
        if len(self.organs) <= _LISTED:
            return column.in_(sorted(self.organs))  # type: ignore[no-any-return] # a column of any table
        return column.in_(_below(self.root))  # type: ignore[no-any-return] # as above


def _below(root: int) -> Select[Any]:
    found = select(t.organ.c.number).where(t.organ.c.number == root).cte("below", recursive=True)
    # UNION, not UNION ALL: organs that stand below each other by mistake end the walk.
    found = found.union(select(t.organ.c.number).join(found, t.organ.c.parent == found.c.number))
    return select(found.c.number)


async def tree_of(connection: AsyncConnection, root: OrganNumber) -> Tree:
    """The tree below `root`, which belongs to it also when the directory has no such organ."""
    found = (await connection.execute(_below(root))).scalars()
    return Tree(root=root, organs=frozenset({int(root), *found}))


async def names_of(connection: AsyncConnection, organs: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Code and name of organs as the directory has them now."""
    found: dict[int, tuple[str, str]] = {}
    numbers = sorted(set(organs))
    for start in range(0, len(numbers), _LISTED):
        piece = numbers[start : start + _LISTED]
        query = select(t.organ.c.number, t.organ.c.code, t.organ.c.name).where(t.organ.c.number.in_(piece))
        found.update({row.number: (row.code, row.name) for row in await connection.execute(query)})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a question may find: the viewer's tree, and within it the one that was asked for."""

    seen: Tree | None = None
    asked: Tree | None = None

    @property
    def trees(self) -> tuple[Tree, ...]:
        """Those that restrict."""
        return tuple(one for one in (self.asked, self.seen) if one is not None)

    def covers(self, column: Any) -> ColumnElement[bool]:
        """The organ in `column` is in all of them."""
        condition: ColumnElement[bool] = true()
        for one in self.trees:
            condition &= one.covers(column)
        return condition

    def covers_either(self, one: Any, other: Any) -> ColumnElement[bool]:
        """Each of them has the one organ or the other: sender and receiver of a delivery."""
        condition: ColumnElement[bool] = true()
        for tree in self.trees:
            condition &= tree.covers(one) | tree.covers(other)
        return condition

    def has(self, organ: int) -> bool:
        """Whether the organ is in all of them."""
        return all(organ in one.organs for one in self.trees)

    def has_either(self, one: int, other: int) -> bool:
        """Whether each of them has one of the two."""
        return all(one in tree.organs or other in tree.organs for tree in self.trees)


async def scope_of(connection: AsyncConnection, viewer: Viewer, *, organ: OrganNumber | None = None) -> Scope:
    """The scope of a viewer's question about an organ with its tree, or about everything that is theirs."""
    return Scope(
        seen=await tree_of(connection, viewer.tree) if viewer.tree is not None else None,
        asked=await tree_of(connection, organ) if organ is not None else None,
    )
