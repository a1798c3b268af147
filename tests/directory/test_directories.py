"""The directory is one snapshot of one version, read anew when an act changed it and never otherwise."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from sqlalchemy import event

from axis.core.errors import InvalidAct, ServiceUnavailable
from axis.core.model import Actor, Digest, OrganNumber, StationId
from axis.flow.acts import Acts, NewStation
from axis.flow.organ_import import OrganRow
from axis.ledger.directory import SQLDirectories
from axis.ledger.store import SQLLedger, open_engine
from tests.directory.acting import AN, BINH, Office
from tests.ledger.builders import NOON, Story


async def test_an_empty_ledger_has_an_empty_directory(ledger: SQLLedger) -> None:
    """Version 0, and nothing in it."""
    directory = await SQLDirectories(ledger).current()

    assert (directory.version, directory.organs, directory.codes) == (0, {}, {})
    assert (directory.stations, directory.delegations, directory.certificates) == ({}, {}, {})
    assert directory.released == frozenset()


async def test_everything_of_the_rows_is_in_the_snapshot(ledger: SQLLedger) -> None:
    """Organs with their codes, stations with their secret, delegations, certificates and releases."""
    story = Story(ledger)
    await story.organs({1: None, 2: 1})
    await story.station("tay-ninh")
    await story.delegation("tay-ninh", 1)
    await story.certificate(2)
    await story.released("a" * 64)
    await story.released("b" * 64)
    await story.released("b" * 64, person="binh.tran")
    async with ledger.transaction() as tx:
        await tx.keep_secrets(StationId("tay-ninh"), secret="s" * 16, key_hash="f" * 64)

    directory = await SQLDirectories(ledger).current()

    organ = directory.by_code("000.00.02.H01", at=NOON)
    assert organ is not None
    assert (organ.number, organ.parent, organ.name) == (2, 1, "Sở số 2")
    assert organ.aliases == ("000.00.02.H01",)
    assert organ.valid_from == NOON - timedelta(days=1000)
    station = directory.station_of(organ.number, at=NOON)
    assert station is not None
    assert (station.id, station.secret, station.window) == ("tay-ninh", "s" * 16, 1_000)
    assert directory.speaks_for(StationId("tay-ninh"), OrganNumber(2), at=NOON)
    assert not directory.speaks_for(StationId("tay-ninh"), OrganNumber(2), at=NOON + timedelta(days=301))
    [bound] = directory.bound(OrganNumber(2), at=NOON)
    assert (bound.serial, bound.subject) == ("1234", "CN=Sở số 2")
    assert directory.bound(OrganNumber(2), at=NOON + timedelta(days=200)) == ()
    assert directory.released == {"b" * 64}
    assert directory.releases == {"a" * 64: ("an.nguyen",), "b" * 64: ("an.nguyen", "binh.tran")}
    assert directory.version == 7


async def test_codes_that_several_organs_had_are_newest_first(ledger: SQLLedger) -> None:
    """The organ that began last comes first; while the older one is open, it is the one that is found."""
    office = Office(ledger)
    await office.acts.import_organs(
        [OrganRow(code="H37", name="Cũ", valid_to=NOON + timedelta(days=10))], by=AN
    )
    office.clock.move(days=20)
    await office.acts.import_organs(
        [OrganRow(code="H37", name="Mới", valid_from=NOON + timedelta(days=15))], by=AN
    )

    directory = await office.directories.current()

    def name(days: int) -> str | None:
        found = directory.by_code("H37", at=NOON + timedelta(days=days))
        return found.name if found else None

    assert [name(0), name(12), name(16)] == ["Cũ", "Mới", "Mới"]
    assert directory.codes["H37"] == (2, 1)


async def test_the_same_object_as_long_as_nothing_changed(ledger: SQLLedger) -> None:
    """One cheap statement tells that the snapshot still stands; events of documents do not change it."""
    story = Story(ledger)
    await story.organs({1: None})
    directories = SQLDirectories(ledger)
    first = await directories.current()
    await story.accepted()
    statements: list[str] = []

    @event.listens_for(ledger.engine.sync_engine, "before_cursor_execute")
    def _count(*args: object) -> None:
        statements.append(str(args[2]))

    second = await directories.current()

    assert first is second
    assert [one for one in statements if "SELECT" in one and "FROM" in one] == statements[-1:]
    assert "directory_version" in statements[-1]

    await story.station("tay-ninh")
    third = await directories.current()
    assert (second.version, third.version) == (1, 2)
    assert "tay-ninh" in third.stations
    assert "tay-ninh" not in second.stations


async def test_an_act_on_a_station_does_not_read_the_organs_again(ledger: SQLLedger) -> None:
    """120,000 organs stay the same objects until one of them changes."""
    story = Story(ledger)
    await story.organs({1: None})
    directories = SQLDirectories(ledger)
    first = await directories.current()

    await story.station("tay-ninh")
    second = await directories.current()
    await story.organs({2: None})
    third = await directories.current()

    assert (first.version, second.version, third.version) == (1, 2, 3)
    assert second.organs is first.organs
    assert second.codes is first.codes
    assert sorted(third.organs) == [1, 2]
    assert "tay-ninh" in third.stations


async def test_another_process_sees_a_change_at_once(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """What one process commits is in the next snapshot of every other."""
    directories = SQLDirectories(other_ledger)
    await directories.current()

    await Office(ledger).acts.add_station(NewStation(id=StationId("tay-ninh"), name="Tây Ninh"), by=AN)

    assert "tay-ninh" in (await directories.current()).stations


async def test_many_who_ask_at_once_share_one_reading(ledger: SQLLedger) -> None:
    """A changed directory is read once, however many wait for it."""
    await Story(ledger).organs({1: None})
    directories = SQLDirectories(ledger)
    readings: list[str] = []

    @event.listens_for(ledger.engine.sync_engine, "before_cursor_execute")
    def _count(*args: object) -> None:
        readings.extend([str(args[2])] if "FROM organ_code" in str(args[2]).replace("\n", " ") else [])

    found = await asyncio.gather(*(directories.current() for _ in range(20)))

    assert len({id(one) for one in found}) == 1
    assert len(readings) == 1


async def test_a_snapshot_never_mixes_two_versions(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """While acts go on, every snapshot holds exactly as many organs as its version says."""
    office = Office(ledger)
    acts = 12

    async def act() -> None:
        for number in range(1, acts + 1):
            await office.acts.import_organs([OrganRow(code=f"H{number:02d}", name=f"Tỉnh {number}")], by=AN)

    acting = asyncio.create_task(act())
    seen = set()
    while not acting.done():
        directory = await SQLDirectories(other_ledger).current()
        assert len(directory.organs) == len(directory.codes) == directory.version
        seen.add(directory.version)
    await acting

    assert (await SQLDirectories(other_ledger).current()).version == acts
    assert seen


async def test_a_silent_database_is_a_service_that_is_not_available() -> None:
    """Nobody is told of an old directory as if it were the present one."""
    ledger = SQLLedger(open_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none"))

    with pytest.raises(ServiceUnavailable, match="database"):
        await SQLDirectories(ledger).current()
    await ledger.engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_and_twenty_thousand_organs(ledger: SQLLedger) -> None:
    """The whole country is loaded in seconds, and an organ is found by its code within 50 microseconds."""
    office = Office(ledger)
    rows = [OrganRow(code=f"H{root:02d}", name=f"Tỉnh {root}") for root in range(1, 61)]
    for root in range(1, 61):
        for unit in range(1, 41):
            rows.append(OrganRow(code=f"H{root:02d}.{unit:02d}", name=f"Sở {unit} tỉnh {root}"))
            rows += [
                OrganRow(
                    code=f"H{root:02d}.{unit:02d}.{place:02d}",
                    code_102=f"000.{place:02d}.{unit:02d}.H{root:02d}",
                    name=f"Xã {place}, huyện {unit}, tỉnh {root}",
                )
                for place in range(1, 49)
            ]
    # Seconds of this process: how much else the machine does is not the directory's doing.
    began = time.process_time()
    report = await office.acts.import_organs(rows, by=AN)
    imported = time.process_time()

    directory = await SQLDirectories(ledger).current()

    read = time.process_time()
    assert (report.added, report.version, len(directory.organs)) == (117_660, 1, 117_660)
    codes = [f"000.{n % 48 + 1:02d}.{n % 40 + 1:02d}.H{n % 60 + 1:02d}" for n in range(10_000)]
    looking = time.process_time()
    found = [directory.by_code(code, at=NOON) for code in codes]
    looked = time.process_time()
    print(
        f"\n{ledger.engine.dialect.name}: CPU: import {imported - began:.1f} s, read {read - imported:.1f} s, "
        f"by_code {(looked - looking) / len(codes) * 1e6:.1f} us"
    )
    assert all(found)
    assert read - imported < 10
    assert (looked - looking) / len(codes) < 50e-6
    # One act, in records of a size that can be read: 118 events under one version.
    parts = [one.facts for one in await office.events()]
    assert {one["directory_version"] for one in parts} == {1}
    assert {one["part"] for one in parts} == set(range(1, 119))
    assert {one["parts"] for one in parts} == {118}


@pytest.mark.threat(
    "one person releases a document marked secret", control="a digest is released by two people"
)
async def test_two_people_release_a_digest(ledger: SQLLedger) -> None:
    """One person alone, or under two spellings of one name, releases nothing."""
    office = Office(ledger)
    digest = Digest("c" * 64)

    first = await office.acts.release_digest(digest, by=AN)
    assert not first.in_force
    assert (await office.directories.current()).released == frozenset()
    with pytest.raises(InvalidAct):
        await office.acts.release_digest(digest, by=Actor(person="An.Nguyen ", reason="một lần nữa"))
    second = await office.acts.release_digest(digest, by=BINH)

    assert second.in_force
    assert second.persons == ("an.nguyen", "binh.tran")
    assert (await office.directories.current()).released == {digest}


def test_acts_need_no_broker(ledger: SQLLedger) -> None:
    """An embedded axis has none."""
    office = Office(ledger)

    Acts(
        ledger=ledger,
        directories=office.directories,
        clock=office.clock,
        ids=office.ids,
        randomness=office.randomness,
    )
