"""
Who is connected, how, how deep, and ready for what: the register of organs, read from one snapshot of the directory.

Readiness is derived, never entered (LR-09): an organ nobody takes documents for is not connected; one whose station
must sign, and that has no certificate bound, can only receive; every other can do both. An organ is connected through
a platform when its station is one: said so, or serving organs below it (LR-61).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from axis.core.directory import Directory, Organ, Readiness, Station
from axis.core.model import OrganNumber, SignaturePolicy, StationId, StationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One organ of level 1."""

    organ: Organ
    readiness: Readiness
    station: Station | None
    through_platform: bool
    """Otherwise it is connected directly, or not at all."""
    levels: int
    """How many levels of organs can be reached: 1 is the organ itself, 0 not even that."""
    organs: int
    """How many organs of its tree can be reached."""
    signature_ready: bool
    """A certificate that may sign for it is bound and in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Level 1, whole."""

    rows: tuple[Registered, ...]

    @property
    def connected(self) -> int:
        """Organs of level 1 that can be reached."""
        return sum(row.readiness is not Readiness.NOT_CONNECTED for row in self.rows)

    @property
    def through_platforms(self) -> int:
        """Those reached through a shared platform."""
        return sum(row.through_platform for row in self.rows)

    @property
    def direct(self) -> int:
        """Those whose own system is connected."""
        return self.connected - self.through_platforms


def readiness_of(directory: Directory, number: OrganNumber, *, at: datetime) -> Readiness:
    """How far one organ can exchange electronically."""
    station = directory.station_of(number, at=at)
    if station is None or station.state is StationState.SUSPENDED:
        return Readiness.NOT_CONNECTED
    if station.policy is SignaturePolicy.LABELLED or directory.bound(number, at=at):
        return Readiness.FULL
    return Readiness.RECEIVE_ONLY


def register_of(directory: Directory, *, at: datetime) -> Register:
    """Every open organ of level 1, in the order of their codes, with what is below it."""
    trees: dict[OrganNumber, list[tuple[Organ, int]]] = {}
    for organ in directory.organs.values():
        if organ.is_open(at):
            line = list(directory.ancestry(organ.number))
            trees.setdefault(line[-1].number, []).append((organ, len(line)))
    busy = _platforms(directory, at=at)
    rows = [
        _row(directory, directory.organs[root], tree, busy, at=at)
        for root, tree in trees.items()
        if directory.organs[root].is_open(at)
    ]
    return Register(rows=tuple(sorted(rows, key=lambda row: row.organ.code)))


def _row(
    directory: Directory,
    organ: Organ,
    tree: list[tuple[Organ, int]],
    platforms: frozenset[StationId],
    *,
    at: datetime,
) -> Registered:
    readiness = readiness_of(directory, organ.number, at=at)
    station = directory.station_of(organ.number, at=at)
    is_connected = readiness is not Readiness.NOT_CONNECTED
    reached = [level for one, level in tree if directory.station_of(one.number, at=at) is not None]
    return Registered(
        organ=organ,
        readiness=readiness,
        station=station,
        through_platform=is_connected and station is not None and station.id in platforms,
        levels=max(reached, default=0),
        organs=len(reached),
        signature_ready=bool(directory.bound(organ.number, at=at)),
    )


def _platforms(directory: Directory, *, at: datetime) -> frozenset[StationId]:
    """Stations that are said to be platforms, and those that really serve organs below the one they stand for."""
    said = {one.id for one in directory.stations.values() if one.is_platform}
    parents = {
        organ.parent for organ in directory.organs.values() if organ.parent is not None and organ.is_open(at)
    }
    serving = {
        delegation.station
        for delegations in directory.delegations.values()
        for delegation in delegations
        if delegation.subtree
        and delegation.organ in parents
        and delegation.valid_from <= at
        and (delegation.valid_to is None or at < delegation.valid_to)
    }
    return frozenset(said | serving)
