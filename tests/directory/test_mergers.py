"""
The mergers of 2025 as a migration: 63 provinces become 34, old codes lead to their successors, history stays.

What of the list is verified, and what is not, stands in PROVENANCE.md beside it; that the namesake keeps its code and the
others are closed is the rule of QĐ 09/2025 (requirements LR-33).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from axis.core.directory import Directory
from axis.core.model import VIETNAM, OrganNumber
from axis.core.reasons import ReasonCode
from axis.data import organs_csv
from axis.demo.letters import Agency
from axis.flow.acts import NewStation
from axis.flow.organ_import import read_organs
from axis.flow.outcomes import Refusal
from axis.flow.pipeline import judge
from axis.flow.route import Routed
from axis.ledger.directory import SQLDirectories
from axis.ledger.organ_changes import organs_since
from axis.ledger.store import SQLLedger
from tests.directory.acting import AN, Office
from tests.flow.town import AT, VPCP, a_letter, an_inbound, signed, world
from tests.flow.town import directory as town

_MERGERS = Path(__file__).with_name("mergers-2025-07-01.csv")
_HA_GIANG = Agency(code="000.00.00.H22", name="Hà Giang")
LATER = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
BEFORE = datetime(2025, 6, 30, 16, 59, tzinfo=UTC)


async def _migrated(ledger: SQLLedger) -> Directory:
    office = Office(ledger)
    rows, defects = read_organs(organs_csv())
    await office.acts.import_organs(rows, defects=defects, by=AN, with_assumed=True)
    await office.acts.add_station(NewStation(id="tuyen-quang", name="LGSP", organs=("H60",)), by=AN)  # type: ignore[arg-type]
    mergers, defects = read_organs(_MERGERS.read_bytes())
    report = await office.acts.import_organs(mergers, defects=defects, by=AN)
    assert (report.changed, report.added, report.defects) == (29, 0, ())
    return await SQLDirectories(ledger).current()


def _provinces(directory: Directory, at: datetime) -> list[str]:
    return [one.name for one in directory.organs.values() if one.kind == "province" and one.is_open(at)]


def test_the_list_is_about_provinces_of_the_directory() -> None:
    """Name by name as they stood in 2020; nobody succeeds who is closed. Who went to whom is not verified by this."""
    provinces = {row.code: row.name for row in read_organs(organs_csv())[0] if row.kind == "province"}
    mergers, defects = read_organs(_MERGERS.read_bytes())

    closed = {row.code for row in mergers}
    assert (defects, len(closed)) == ([], 29)
    assert {row.code: row.name for row in mergers}.items() <= {
        code: name.removeprefix("UBND tỉnh ") for code, name in provinces.items()
    }.items()
    assert {row.successor for row in mergers} <= provinces.keys() - closed


@pytest.mark.requirement("LR-33")
async def test_sixty_three_provinces_become_thirty_four(ledger: SQLLedger) -> None:
    """At midnight of 1 July 2025; each closed code leads to an open province that existed before."""
    directory = await _migrated(ledger)
    midnight = datetime(2025, 7, 1, tzinfo=VIETNAM)

    assert [len(_provinces(directory, at)) for at in (BEFORE, midnight)] == [63, 34]
    closed = [
        one for one in directory.organs.values() if one.kind == "province" and not one.is_open(midnight)
    ]
    assert len(closed) == 29
    for one in closed:
        successor = directory.successor(one, at=midnight)
        assert successor is not None
        assert successor.name in _provinces(directory, midnight)
    # Both forms of an old code still find the organ that had it, and what was sent to it then.
    for code in ("H22", "000.00.00.H22"):
        found = directory.by_code(code, at=midnight)
        assert found is not None
        assert (found.name, found.shown_code) == ("Hà Giang", "H22")


@pytest.mark.requirement("LR-33")
@pytest.mark.parametrize("forwards", [True, False])
async def test_a_document_to_a_closed_province(ledger: SQLLedger, *, forwards: bool) -> None:
    """By policy it goes to the successor under the code it was addressed to, or is answered with the successor."""
    migrated = await _migrated(ledger)
    vpcp = migrated.by_code("G22", at=AT)
    assert vpcp is not None
    country = replace(
        migrated,
        stations={**town().stations, **migrated.stations},
        delegations={
            **migrated.delegations,
            vpcp.number: tuple(replace(one, organ=vpcp.number) for one in town().delegations[OrganNumber(1)]),
        },
        certificates={
            vpcp.number: tuple(replace(one, organ=vpcp.number) for one in town().certificates[OrganNumber(1)])
        },
    )
    body = signed(a_letter(sender=VPCP, receivers=(_HA_GIANG,)))

    judged = judge(an_inbound(body, at=LATER), world=world(directory=country, forwards_closed=forwards))

    if forwards:
        assert isinstance(judged, Routed)
        (line,) = judged.lines
        assert (line.code, line.name, line.station.id if line.station else None) == (
            "000.00.00.H22",
            "Tuyên Quang",
            "tuyen-quang",
        )
        assert any("Tuyên Quang" in notice.vi for notice in judged.notices)
    else:
        assert isinstance(judged, Refusal)
        (cause,) = judged.causes
        assert cause.code is ReasonCode.ROUTE_CLOSED_RECEIVER
        assert "H60" in cause.details[0].vi
        assert "Tuyên Quang" in cause.details[0].en


@pytest.mark.requirement("LR-62")
async def test_a_copy_is_kept_by_what_changed_since_its_version(ledger: SQLLedger) -> None:
    """Whoever has version n and takes what changed since has what is there now; asked again there is nothing."""
    office = Office(ledger)
    rows, _ = read_organs(organs_csv())
    await office.acts.import_organs(rows, by=AN, with_assumed=True)
    first = await organs_since(ledger, 0)
    await office.acts.import_organs(read_organs(_MERGERS.read_bytes())[0], by=AN)

    delta = await organs_since(ledger, first.version)

    whole = await organs_since(ledger, 0)
    copy = {row["number"]: row for row in [*first.rows, *delta.rows]}
    assert (len(first.rows), len(delta.rows), len(whole.rows)) == (95, 29, 95)
    assert copy == {row["number"]: row for row in whole.rows}
    assert (await organs_since(ledger, delta.version)).rows == []
    assert all(row["valid_to"] for row in delta.rows)
    assert delta.version > first.version
