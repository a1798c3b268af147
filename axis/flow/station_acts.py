"""
What a station itself may change of the directory: organs below those it speaks for, as `registerAgency` and
`deleteAgency` of the VXP interface ask. Recorded like the acts of people, with the station in the place of the person.

    register   a new organ directly or further below an organ the station speaks for with everything under it;
               another name for one that stands there
    close      an organ that stands there and has no open organ below it

The organs a delegation names are the operator's: nobody renames or closes what gives him his rights. No code moves from
one organ to another, none is opened again, and no station is given anything by what it registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from axis.core.directory import Directory, Organ
from axis.core.errors import InvalidAct
from axis.core.events import JSON, EventKind
from axis.core.model import Actor, StationId
from axis.edxml.organ_code import normal
from axis.flow.acts import Acts, Decision, organs_facts
from axis.flow.organ_import import TEXTS, OrganRow, plan_import

MOST_OF_ONE_STATION = 50_000
"""Organs below one station's: the whole country has 120,000."""


class NotForStations(InvalidAct):
    """A station may not change this, or not so; said in both languages, as its own people read it."""

    def __init__(self, *, vi: str, en: str) -> None:
        super().__init__((en,))
        self.vi = vi


class StationActs:
    """Raises `NotForStations` beside what `Acts` raises."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts

    async def register(self, station: StationId, *, code: str, name: str, parent: str, reason: str) -> Organ:
        """
        Register an organ below `parent` (needed for a new one), or give a known one another name.

        Raises:
            NotForStations: the station may not, or the code or the name cannot be.
        """

        def decide(directory: Directory, at: datetime) -> Decision[Organ]:
            known = directory.by_code(normal(code), at=at)
            above = directory.by_code(normal(parent), at=at) if parent else None
            if known is not None:
                _may_change(directory, station, known, at=at)
                if above is not None and above.number != known.parent:
                    raise NotForStations(
                        vi=f"{code[:64]}: thuộc cơ quan cấp trên khác; đơn vị vận hành Trục mới được chuyển",
                        en=f"{code[:64]}: stands under another organ; the operator moves organs",
                    )
            elif above is None:
                raise NotForStations(
                    vi=f"pcode {parent[:64]}: không có cơ quan cấp trên này",
                    en=f"pcode {parent[:64]}: no such organ to register one under",
                )
            else:
                _may_add(directory, station, above, at=at)
            row = OrganRow(
                code=code, name=name, parent="" if above is None else above.code, kind="" if known else "unit"
            )
            return _planned(directory, [row], code=code, at=at)

        return await self._acts.act(Actor(station=station, reason=reason), decide, by_station=True)

    async def close(self, station: StationId, *, code: str, reason: str) -> Organ:
        """
        Close an organ from now on. What was accepted for it is delivered still.

        Raises:
            NotForStations: the station may not, there is no such organ, or open ones stand below it.
        """

        def decide(directory: Directory, at: datetime) -> Decision[Organ]:
            known = directory.by_code(normal(code), at=at)
            if known is None:
                raise NotForStations(vi=f"{code[:64]}: không có đơn vị này", en=f"{code[:64]}: no such organ")
            _may_change(directory, station, known, at=at)
            if not known.is_open(at):
                return Decision(facts=(), result=known)
            below = [
                one for one in directory.organs.values() if one.parent == known.number and one.is_open(at)
            ]
            if below:
                raise NotForStations(
                    vi=f"{known.code}: còn {len(below)} đơn vị trực thuộc; cần đóng các đơn vị đó trước",
                    en=f"{known.code}: {len(below)} organs stand below it; close them first",
                )
            row = OrganRow(code=known.code, name=known.name, valid_to=at)
            return _planned(directory, [row], code=code, at=at)

        return await self._acts.act(Actor(station=station, reason=reason), decide, by_station=True)


def _may_add(directory: Directory, station: StationId, above: Organ, *, at: datetime) -> None:
    if not above.is_open(at):
        raise NotForStations(vi=f"{above.code}: đã đóng", en=f"{above.code}: is closed")
    number = sum(1 for one in directory.organs.values() if one.parent == above.number)
    if number >= MOST_OF_ONE_STATION:
        raise NotForStations(
            vi=f"{above.code}: đã có {number} đơn vị trực thuộc, không thêm được nữa",
            en=f"{above.code}: has {number} organs; no more by this way",
        )
    receiver = directory.station_of(above.number, at=at)
    if (
        receiver is None
        or receiver.id != station
        or not _is_below(directory, station, above, at=at, itself=True)
    ):
        raise NotForStations(
            vi=f"{above.code}: hệ thống không được ủy quyền cho các đơn vị trực thuộc cơ quan này",
            en=f"{above.code}: {station} does not speak for what stands below it",
        )


def _may_change(directory: Directory, station: StationId, organ: Organ, *, at: datetime) -> None:
    receiver = directory.station_of(organ.number, at=at)
    if (
        receiver is None
        or receiver.id != station
        or not _is_below(directory, station, organ, at=at, itself=False)
    ):
        raise NotForStations(
            vi=f"{organ.code}: hệ thống không được sửa đơn vị này; đề nghị đơn vị vận hành Trục",
            en=f"{organ.code}: {station} may not change it; the operator does (axis organ import)",
        )


def _is_below(directory: Directory, station: StationId, organ: Organ, *, at: datetime, itself: bool) -> bool:
    """Whether a delegation of the station, with everything under it, stands above the organ, or at it."""
    line = list(directory.ancestry(organ.number))
    if not itself and any(_holds(directory, station, organ, at=at)):
        return False
    return any(
        subtree
        for one in (line if itself else line[1:])
        for subtree in _holds(directory, station, one, at=at)
    )


def _holds(directory: Directory, station: StationId, organ: Organ, *, at: datetime) -> Sequence[bool]:
    """For each delegation in force that names just this organ: whether what stands below goes with it."""
    return [
        one.subtree
        for one in directory.delegations.get(organ.number, ())
        if one.station == station and one.valid_from <= at and (one.valid_to is None or at < one.valid_to)
    ]


def _planned(directory: Directory, rows: Sequence[OrganRow], *, code: str, at: datetime) -> Decision[Organ]:
    plan = plan_import(rows, directory=directory, at=at)
    if plan.hindrances:
        raise NotForStations(
            vi="; ".join(TEXTS[one.kind][0] for one in plan.hindrances),
            en="; ".join(TEXTS[one.kind][1] for one in plan.hindrances),
        )
    if not plan.changes:
        known = directory.by_code(normal(code), at=at)
        assert known is not None, "nothing to change about an organ that is there"
        return Decision(facts=(), result=known)
    facts: list[tuple[EventKind, dict[str, JSON]]] = [
        (kind, dict(said)) for kind, said in organs_facts(plan.changes, source="VXP")
    ]
    return Decision(facts=facts, result=plan.changes[0].after)
