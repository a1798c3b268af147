"""
What the derived tables must hold: the events replayed into memory, through the same pure functions that wrote them.

Nothing here reads a database or decides what a difference means, see `axis.ledger.check`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from axis.core.events import Event
from axis.core.model import PENDING, Kind, vietnam_day
from axis.ledger import tables as t
from axis.ledger.projections import Change, Insert, Op, Put, Remove, project

Key: TypeAlias = tuple[Any, ...]
"""Values of a primary key, in the order of its columns."""

_PENDING = frozenset(state.value for state in PENDING)


class Mirror:
    """Tables in memory, as far as they follow from the events shown to it, in order."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, dict[str, Any]]] = {}
        self.moves: Counter[tuple[int, str]] = Counter()
        """Organ and day -> by how much the deliveries it has not taken yet became more: told by states, not counts."""

    def apply(self, event: Event) -> Iterator[str]:
        """Let the event happen; what it could not have meant is said in words."""
        day = vietnam_day(event.at)
        for op in project(event):
            key = self._key(op)
            rows = self.rows.setdefault(op.table, {})
            before = dict(rows[key]) if op.table in {"delivery", "pair"} and key in rows else None
            complaint = self._do(op, key, rows)
            if op.table == "pair":
                last = before["n"] if before is not None else 0
                if rows[key]["n"] != last + 1:
                    yield f"has number {rows[key]['n']} from organ {key[0]} to organ {key[1]} behind {last}"
            if complaint is not None:
                yield complaint
            elif op.table == "delivery":
                self._move(before, rows[key], day)

    @staticmethod
    def _key(op: Op) -> Key:
        named: Mapping[str, Any] = op.values if isinstance(op, Insert) else dict(op.key)
        return tuple(named[column.name] for column in t.metadata.tables[op.table].primary_key.columns)

    @staticmethod
    def _do(op: Op, key: Key, rows: dict[Key, dict[str, Any]]) -> str | None:
        match op:
            case Insert():
                if key in rows:
                    return f"makes a row of {op.table} that is there already: {key}"
                rows[key] = dict(op.values)
            case Change():
                if key not in rows:
                    return f"changes a row of {op.table} that is not there: {key}"
                rows[key].update(op.values)
            case Put():
                rows[key] = {**dict(op.key), **op.values}
            case Remove():
                rows.pop(key, None)
        return None

    def _move(self, before: Mapping[str, Any] | None, after: Mapping[str, Any], day: str) -> None:
        if after["kind"] == Kind.EDOC.value:
            was = before is not None and before["state"] in _PENDING
            self.moves[after["organ"], day] += (after["state"] in _PENDING) - was
