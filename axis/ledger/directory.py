"""
The directory as the flow sees it: one immutable snapshot, read from the ledger when its version has changed.

Every act of a person raises the version in its own transaction, so that one look at one row tells whether the snapshot
still stands. Callers that come while somebody looks share the next look: every caller's look begins after it came, and
hundreds of messages cost one. Only reads; who changes the directory is `axis.flow.acts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, Table, select

from axis.core.directory import (
    BoundCertificate,
    Delegation,
    Directory,
    Organ,
    Station,
    View,
    VXPSystem,
    are_two,
)
from axis.core.model import (
    Channel,
    Digest,
    OrganNumber,
    SignaturePolicy,
    StationId,
    StationState,
    from_micros,
)
from axis.core.together import Together
from axis.ledger import tables as t
from axis.ledger.projections import ORGANS_VERSION, WHOLE_VERSION
from axis.ledger.store import SQLLedger

_Rows = Sequence[Row[Any]]
_Dated = TypeVar("_Dated", Delegation, BoundCertificate)


class SQLDirectories:
    """Implements `axis.core.ports.Directories`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger
        self._snapshot: Directory | None = None
        self._organs: _Organs | None = None
        self._looks: Together[None, Directory] = Together(self._look, most=100_000)

    async def current(self) -> Directory:
        """See the port."""
        return (await self._looks.bring([None]))[0]

    async def _look(self, callers: Sequence[None]) -> Sequence[Directory]:
        snapshot = self._snapshot
        if snapshot is None or snapshot.version != await self._version():
            snapshot = await self._read()
        return [snapshot] * len(callers)

    async def _version(self) -> int:
        table = t.directory_version
        query = select(table.c.n).where(table.c.id == WHOLE_VERSION)
        async with self._ledger.looking() as connection:
            return int((await connection.execute(query)).scalar() or 0)

    async def _read(self) -> Directory:
        # All tables as of one moment, the versions too.
        async with self._ledger.reading(snapshot=True) as connection:

            async def every(table: Table) -> _Rows:
                # A sealed secret has no business in a snapshot.
                columns = [
                    one for one in table.c if one.name != "search_text" and one is not t.vxp_system.c.secret
                ]
                return (await connection.execute(select(*columns))).all()

            versions = {row.id: int(row.n) for row in await every(t.directory_version)}
            organs_version = versions.get(ORGANS_VERSION, 0)
            organs = self._organs
            if organs is None or organs.version != organs_version:
                rows, codes = await every(t.organ), await every(t.organ_code)
                # 120,000 organs take a second or two: other work goes on meanwhile.
                organs = await asyncio.to_thread(_read_organs, organs_version, rows, codes)
            tables = (t.station, t.delegation, t.certificate, t.release, t.vxp_system)
            rest = [await every(table) for table in tables]
        self._organs = organs
        self._snapshot = _snapshot(versions.get(WHOLE_VERSION, 0), organs, *rest)
        return self._snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class _Organs:
    """The organs as of the version at which they changed last: the same objects in every snapshot until then."""

    version: int
    organs: Mapping[OrganNumber, Organ]
    codes: Mapping[str, tuple[OrganNumber, ...]]


def _read_organs(version: int, rows: _Rows, codes: _Rows) -> _Organs:
    aliases: dict[int, list[str]] = {}
    for row in codes:
        aliases.setdefault(row.organ, []).append(row.written)
    organs = {OrganNumber(row.number): _organ(row, aliases.get(row.number, ())) for row in rows}
    return _Organs(version=version, organs=organs, codes=_codes(codes, organs))


def _snapshot(
    version: int,
    organs: _Organs,
    stations: _Rows,
    delegations: _Rows,
    certificates: _Rows,
    releases: _Rows,
    systems: _Rows,
) -> Directory:
    released = _releases(releases)
    return Directory(
        version=version,
        organs=organs.organs,
        codes=organs.codes,
        stations={StationId(row.id): _station(row) for row in stations},
        delegations=_newest_first(_delegation(row) for row in delegations),
        certificates=_newest_first(_certificate(row) for row in certificates),
        released=frozenset(digest for digest, persons in released.items() if are_two(persons)),
        releases=released,
        systems={row.id: _system(row) for row in systems},
    )


def _releases(rows: _Rows) -> Mapping[Digest, tuple[str, ...]]:
    found: dict[Digest, list[str]] = {}
    for row in sorted(rows, key=lambda one: (one.at, one.person)):
        found.setdefault(Digest(row.digest), []).append(row.person)
    return {digest: tuple(persons) for digest, persons in found.items()}


def _codes(rows: _Rows, organs: Mapping[OrganNumber, Organ]) -> Mapping[str, tuple[OrganNumber, ...]]:
    found: dict[str, tuple[OrganNumber, ...]] = {}
    for row in rows:
        number = OrganNumber(row.organ)
        # Nearly every code has one organ for ever; only what several had must be put in order.
        found[row.code] = (number,) if row.code not in found else (*found[row.code], number)

    def age(number: OrganNumber) -> tuple[float, int]:
        begun = organs[number].valid_from
        return (begun.timestamp() if begun is not None else float("-inf"), number)

    return {
        code: numbers if len(numbers) == 1 else tuple(sorted(numbers, key=age, reverse=True))
        for code, numbers in found.items()
    }


def _newest_first(rows: Iterable[_Dated]) -> Mapping[OrganNumber, tuple[_Dated, ...]]:
    found: dict[OrganNumber, list[_Dated]] = {}
    for one in sorted(rows, key=lambda one: one.valid_from, reverse=True):
        found.setdefault(one.organ, []).append(one)
    return {number: tuple(same) for number, same in found.items()}


def _time(value: int | None) -> datetime | None:
    return from_micros(value) if value is not None else None


def _organ(row: Row[Any], aliases: Iterable[str]) -> Organ:
    return Organ(
        number=OrganNumber(row.number),
        code=row.code,
        name=row.name,
        kind=row.kind,
        parent=OrganNumber(row.parent) if row.parent is not None else None,
        valid_from=_time(row.valid_from),
        valid_to=_time(row.valid_to),
        successor=OrganNumber(row.successor) if row.successor is not None else None,
        terminate_here=row.terminate_here,
        confidence=row.confidence,
        aliases=tuple(sorted(aliases, key=lambda one: (one != row.code, one))),
    )


def _station(row: Row[Any]) -> Station:
    return Station(
        id=StationId(row.id),
        name=row.name,
        state=StationState(row.state),
        channel=Channel(row.channel),
        policy=SignaturePolicy(row.policy),
        inline_bytes=row.inline_bytes,
        window=row.window,
        secret=row.secret,
        refuses_unpassed=row.refuses_unpassed,
        is_platform=row.is_platform,
        priority_scale=row.priority_scale,
        acts_for=frozenset(StationId(one) for one in row.acts_for.split()),
    )


def _system(row: Row[Any]) -> VXPSystem:
    return VXPSystem(
        id=row.id, station=StationId(row.station_id), view=View(row.view), is_open=bool(row.is_open)
    )


def _delegation(row: Row[Any]) -> Delegation:
    return Delegation(
        station=StationId(row.station_id),
        organ=OrganNumber(row.organ),
        subtree=row.subtree,
        valid_from=from_micros(row.valid_from),
        valid_to=_time(row.valid_to),
    )


def _certificate(row: Row[Any]) -> BoundCertificate:
    return BoundCertificate(
        organ=OrganNumber(row.organ),
        fingerprint=Digest(row.fingerprint),
        spki=Digest(row.spki),
        issuer=row.issuer,
        serial=row.serial,
        subject=row.subject,
        valid_from=from_micros(row.valid_from),
        valid_to=_time(row.valid_to),
        revoked_at=_time(row.revoked_at),
    )
