"""
Which organs changed since a version of the directory: what a connected system asks for to keep its own copy (LR-62).

Every act on organs raises the version in its transaction and stamps the organs it changed with it, so that a copy of
version n and everything changed since n make a copy of now. Nothing is ever deleted: a closed organ has an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

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


async def organs_since(ledger: SQLLedger, version: int) -> OrganChanges:
    """Organs that changed after `version`; 0: all of them."""
    organ, code = t.organ.c, t.organ_code.c
    async with ledger.reading(snapshot=True) as connection:
        number = t.directory_version.c
        now = (await connection.execute(select(number.n).where(number.id == ORGANS_VERSION))).scalar() or 0
        found = (await connection.execute(select(t.organ).where(organ.version > version))).all()
        codes: dict[int, list[str]] = {}
        query = select(code.organ, code.written).join_from(t.organ_code, t.organ, organ.number == code.organ)
        for row in await connection.execute(query.where(organ.version > version)):
            codes.setdefault(row.organ, []).append(row.written)
    rows: list[dict[str, JSON]] = [
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
        for row in sorted(found, key=lambda one: (one.version, one.number))
    ]
    return OrganChanges(version=int(now), rows=rows)


def _time(value: int | None) -> str | None:
    return None if value is None else iso(from_micros(value))
