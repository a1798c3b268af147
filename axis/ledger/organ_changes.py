"""
Which organs changed since a version of the directory: what a connected system asks for to keep its own copy (LR-62).

Every act on organs raises the version in its transaction and stamps the organs it changed with it, so that a copy of
version n and everything changed since n make a copy of now. Nothing is ever deleted: a closed organ has an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.events import JSON
from axis.core.model import from_micros, iso
from axis.ledger import tables as t
from axis.ledger.projections import ORGANS_VERSION
from axis.ledger.store import SQLLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganChanges:
    """Organs as they are now, and the version that makes the asker's copy."""

    version: int
    rows: Sequence[dict[str, JSON]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganPage:
    """A part of the organs that changed, in the order of their numbers."""

    version: int
    """Of the directory when this page was read. A copy is of the version of its first page."""
    rows: Sequence[dict[str, JSON]]
    next: int | None
    """The number behind which the next page begins; None: this is the last one."""


async def organs_since(ledger: SQLLedger, version: int) -> OrganChanges:
    """Organs that changed after `version`; 0: all of them."""
    changed = t.organ.c.version > version
    async with ledger.reading(snapshot=True) as connection:
        now = await _version(connection)
        found = (await connection.execute(select(t.organ).where(changed))).all()
        codes = await _codes(connection, changed)
    in_order = sorted(found, key=lambda one: (one.version, one.number))
    return OrganChanges(version=now, rows=_rows(in_order, codes))


class SQLOrganPages:
    """Implements `axis.web.services.Organs`: the same piece by piece, so that the length of a page bounds the memory."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def page(self, *, since: int, after: int, limit: int) -> OrganPage:
        """
        At most `limit` organs that changed after version `since`, with numbers above `after`.

        An organ that changes while somebody turns pages keeps its number: it is in exactly one of them, as it is when
        that page is read, and comes again with the next changes.
        """
        number = t.organ.c.number
        changed = and_(t.organ.c.version > since, number > after)
        query = select(t.organ).where(changed).order_by(number).limit(limit + 1)
        async with self._ledger.reading(snapshot=True) as connection:
            now = await _version(connection)
            found = (await connection.execute(query)).all()
            shown = found[:limit]
            last = shown[-1].number if shown else after
            codes = await _codes(connection, and_(changed, number <= last)) if shown else {}
        return OrganPage(version=now, rows=_rows(shown, codes), next=last if len(found) > limit else None)


async def _version(connection: AsyncConnection) -> int:
    table = t.directory_version.c
    return int((await connection.execute(select(table.n).where(table.id == ORGANS_VERSION))).scalar() or 0)


async def _codes(connection: AsyncConnection, wanted: ColumnElement[bool]) -> dict[int, list[str]]:
    code = t.organ_code.c
    query = select(code.organ, code.written).join_from(t.organ_code, t.organ, t.organ.c.number == code.organ)
    found: dict[int, list[str]] = {}
    for row in await connection.execute(query.where(wanted)):
        found.setdefault(row.organ, []).append(row.written)
    return found


def _rows(organs: Iterable[Row[Any]], codes: dict[int, list[str]]) -> list[dict[str, JSON]]:
    return [
        {
            "number": row.number,
            "code": row.code,
            "codes": sorted(codes.get(row.number, ())),
            "name": row.name,
            "kind": row.kind,
            "parent": row.parent,
            "valid_from": _time(row.valid_from),
            "valid_to": _time(row.valid_to),
            "successor": row.successor,
            "confidence": row.confidence,
            "version": row.version,
        }
        for row in organs
    ]


def _time(value: int | None) -> str | None:
    return None if value is None else iso(from_micros(value))
