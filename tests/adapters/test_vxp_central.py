"""A central gateway: systems and secrets in the ledger, a credential of its own, and what stations may register."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from adapters.errors import NotAllowed
from adapters.machine import SystemClock, SystemIds
from adapters.station import Credentials, Station
from adapters.vxp import Gateway
from adapters.vxp_words import ascii_text
from axis.bootstrap.system import SystemRandomness
from axis.core.directory import View
from axis.core.errors import InvalidAct, NotFound, ServiceUnavailable, SettingsError
from axis.core.events import EventKind, read_record
from axis.core.model import Channel, StationId
from axis.core.ports import NotOurs
from axis.flow.acts import NewStation
from axis.flow.station_acts import NotForStations
from axis.flow.vxp_acts import HandedOut
from axis.ledger import tables as t
from axis.ledger.vault import open_vault
from axis.vxp import DirectoryAgencies, LedgerAccounts
from tests.adapters.real import OPERATOR, RealAxis, real_axis
from tests.adapters.test_vxp import SENDER, listening
from tests.adapters.vxp_client import VXPClient

GATEWAY = StationId("cong-vxp")


@pytest.fixture(name="real")
async def _real(tmp_path: Path) -> AsyncIterator[RealAxis]:
    async with real_axis(tmp_path / "axis") as real:
        await real.import_organs(SENDER, "000.00.00.H41")
        for name, code in (("one", SENDER), ("two", "000.00.00.H41")):
            await real.add_station(name, [code])
        yield real


async def a_system(real: RealAxis, name: str) -> HandedOut:
    return await real.axis.vxp_acts().add(f"vxp.{name}", station=StationId(name), by=OPERATOR)


@asynccontextmanager
async def central(real: RealAxis, key: str) -> AsyncIterator[str]:
    """A gateway beside the ledger that comes with this key; its address."""
    gateway = Gateway(
        LedgerAccounts(real.axis, url=real.url, key=key),
        agencies=DirectoryAgencies(real.axis),
        clock=SystemClock(),
        ids=SystemIds(),
    )
    async with listening(gateway) as url:
        yield url


async def the_gateway(real: RealAxis, *acts_for: str) -> str:
    made = await real.axis.acts().add_station(
        NewStation(
            id=GATEWAY,
            name="Cổng VXP",
            channel=Channel.PULL,
            acts_for=frozenset(StationId(one) for one in acts_for),
        ),
        by=OPERATOR,
    )
    return made.key


def client(url: str, given: HandedOut, **more: Any) -> VXPClient:
    known = {"system_id": given.system.id, "secret": given.secret, "now": datetime.now(UTC)}
    return VXPClient(url, **{**known, **more})


async def records(real: RealAxis, kind: EventKind) -> list[Any]:
    async with real.axis.ledger.reading() as connection:
        query = select(t.event.c.record).where(t.event.c.kind == kind.value).order_by(t.event.c.id)
        return [read_record(bytes(one)) for one in (await connection.execute(query)).scalars()]


# --- acting for others --------------------------------------------------------------------------------------------


async def test_a_gateway_acts_for_its_recorded_list_and_nobody_else(real: RealAxis) -> None:
    """Its own credential, the station named beside it: let in for those of the list, as long as they stand there."""
    key = await the_gateway(real, "one")
    one, two = await a_system(real, "one"), await a_system(real, "two")
    async with central(real, key) as url:
        listed = await client(url, one).ask("getSentEdocList")
        unlisted = await client(url, two).ask("getSentEdocList")
        await real.axis.acts().set_station(GATEWAY, acts_for=frozenset(), by=OPERATOR)
        taken_away = await client(url, one).ask("getSentEdocList")

    assert listed["status"] == "OK"
    assert (unlisted["ErrorCode"], taken_away["ErrorCode"]) == ("19", "19")


async def test_nobody_acts_for_others_without_a_list(real: RealAxis) -> None:
    """A station that names another is told no, and one that is suspended speaks for nobody."""
    key = await the_gateway(real, "one")
    stranger = await real.add_station("three", [])
    await real.axis.acts().suspend_station(GATEWAY, by=OPERATOR)

    for shown in (stranger.key, key):
        async with Station(real.url, Credentials(station=StationId("one"), key=shown)) as station:
            with pytest.raises(NotAllowed):
                await station.whoami(within=5)


# --- systems and secrets ------------------------------------------------------------------------------------------


async def test_a_system_is_let_in_as_long_as_it_is_open_and_with_its_newest_secret(real: RealAxis) -> None:
    """Rotated, closed, opened again: what holds is what the ledger says at the call."""
    key = await the_gateway(real, "one")
    given = await a_system(real, "one")
    acts = real.axis.vxp_acts()
    async with central(real, key) as url:
        rotated = await acts.rotate("vxp.one", by=OPERATOR)
        old = await client(url, given).ask("countReceiveEdoc")
        new = await client(url, rotated).ask("countReceiveEdoc")
        await acts.change("vxp.one", is_open=False, by=OPERATOR)
        closed = await client(url, rotated).ask("countReceiveEdoc")
        await acts.change("vxp.one", is_open=True, view=View.NORMAL, by=OPERATOR)
        opened = await client(url, rotated).ask("countReceiveEdoc")

    assert (old["ErrorCode"], closed["ErrorCode"]) == ("15", "15")
    assert (new["status"], opened["status"]) == ("OK", "OK")


async def test_no_record_and_no_row_says_a_secret(real: RealAxis) -> None:
    """Recorded is who gave what to whom; the row holds it sealed, and bound to system and station."""
    one, two = await a_system(real, "one"), await a_system(real, "two")
    async with real.axis.ledger.reading() as connection:
        rows = {row.id: row.secret for row in await connection.execute(select(t.vxp_system))}
    async with real.axis.ledger.transaction() as tx:
        await tx.connection.execute(
            update(t.vxp_system).where(t.vxp_system.c.id == "vxp.two").values(secret=rows["vxp.one"])
        )

    kept = await real.axis.vxp_secret(one.system)
    moved = await real.axis.vxp_secret(two.system)
    said = await records(real, EventKind.VXP_CHANGED)

    assert kept == one.secret.encode()
    assert moved is None
    assert [(event.by.person, event.facts["after"]["id"]) for event in said] == [
        ("test", "vxp.one"),
        ("test", "vxp.two"),
    ]
    everything = b"".join(event.record for event in said) + "".join(rows.values()).encode()
    for given in (one, two):
        assert given.secret.encode() not in everything
        assert base64.b64encode(given.secret.encode()) not in everything


async def test_what_makes_no_sense_is_not_recorded(real: RealAxis) -> None:
    """A taken name, one that cannot stand in a header, no such station, no such system."""
    await a_system(real, "one")
    acts = real.axis.vxp_acts()

    for name in ("vxp.one", "", "a name", "x" * 65, "số"):
        with pytest.raises(InvalidAct):
            await acts.add(name, station=StationId("one"), by=OPERATOR)
    with pytest.raises(NotFound):
        await acts.add("vxp.new", station=StationId("nobody"), by=OPERATOR)
    with pytest.raises(NotFound):
        await acts.rotate("vxp.new", by=OPERATOR)
    assert len(await records(real, EventKind.VXP_CHANGED)) == 1


def test_the_vault_opens_only_what_it_sealed(tmp_path: Path) -> None:
    """Another key, another owner, a changed byte: nothing. Its file is the owner's alone."""
    path = tmp_path / "keys" / "secrets.key"
    vault = open_vault(path, randomness=SystemRandomness(), may_create=True)
    same = open_vault(path, randomness=SystemRandomness(), may_create=False)
    sealed = vault.seal(b"secret", bound_to="one")

    assert path.stat().st_mode & 0o777 == 0o600
    assert same.unseal(sealed, bound_to="one") == b"secret"
    assert vault.seal(b"secret", bound_to="one") != sealed
    other = open_vault(tmp_path / "other.key", randomness=SystemRandomness(), may_create=True)
    for judge, text, owner in (
        (vault, sealed, "two"),
        (other, sealed, "one"),
        (vault, sealed[:-4] + "AAAA", "one"),
        (vault, "", "one"),
        (vault, "no base64", "one"),
    ):
        with pytest.raises(NotOurs):
            judge.unseal(text, bound_to=owner)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        open_vault(path, randomness=SystemRandomness(), may_create=False)
    path.chmod(0o600)
    path.write_text("too short")
    with pytest.raises(SettingsError):
        open_vault(path, randomness=SystemRandomness(), may_create=False)


async def test_the_key_of_the_seal_is_changed_and_no_system_notices(real: RealAxis) -> None:
    """Calls before, during and after with the secret that was handed out; the old key opens nothing any more."""
    key = await the_gateway(real, "one")
    given = await a_system(real, "one")
    lost = await a_system(real, "two")
    path = real.axis.settings.keys / "secrets.key"
    old = path.read_text()
    async with real.axis.ledger.transaction() as tx:
        await tx.keep_vxp_secret(lost.system.id, sealed="AAAA")
    vault = open_vault(path, randomness=SystemRandomness(), may_create=False)

    async with central(real, key) as url:
        caller = client(url, given)
        with vault.renewed():
            both = path.read_text()
            during = await caller.ask("countReceiveEdoc")
            with pytest.raises(ServiceUnavailable):
                await real.axis.vxp_acts().rekey(by=OPERATOR)
            path.write_text(both)
        path.write_text(both)  # as it lies when the one before was killed in its middle
        done = await real.axis.vxp_acts().rekey(by=OPERATOR)
        after = await caller.ask("countReceiveEdoc")

    assert (during["status"], after["status"]) == ("OK", "OK")
    assert (done.systems, done.lost) == (("vxp.one",), ("vxp.two",))
    assert both == path.read_text() + old
    async with real.axis.ledger.reading() as connection:
        (sealed,) = (
            await connection.execute(select(t.vxp_system.c.secret).where(t.vxp_system.c.id == "vxp.one"))
        ).scalars()
    path.write_text(old)
    with pytest.raises(NotOurs):
        vault.unseal(sealed, bound_to="vxp one vxp.one")
    said = (await records(real, EventKind.VXP_CHANGED))[-1]
    assert (said.by.person, said.facts["rotated"]) == ("test", ["seal"])


@pytest.mark.slow
async def test_killed_anywhere_in_the_change_every_secret_is_still_read(
    real: RealAxis, tmp_path: Path
) -> None:
    """Between any two steps: what was handed out before stays good, and the next attempt ends what was begun."""
    given = [await a_system(real, "one"), await a_system(real, "two")]
    home = real.axis.settings.home
    path = real.axis.settings.keys / "secrets.key"

    deaths, both = 0, 0
    while (ended := await asyncio.to_thread(_die, home, deaths + 1)) is None:
        deaths += 1
        both += len(path.read_text().split()) == 2
        assert [await real.axis.vxp_secret(one.system) for one in given] == [
            one.secret.encode() for one in given
        ], f"death {deaths}"
        if deaths % 4 == 0:
            before = path.read_text()
            await real.axis.vxp_acts().rekey(by=OPERATOR)
            assert path.read_text() != before
            assert len(path.read_text().split()) == 1

    assert deaths >= ended >= 10
    assert both > 3
    assert [one.name for one in path.parent.glob(".secrets.key*")] == []
    assert [await real.axis.vxp_secret(one.system) for one in given] == [one.secret.encode() for one in given]


def _die(home: Path, at: int) -> int | None:
    """How many touches a change takes; None when the process died at one."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.adapters.rekey_victim", str(home), str(at)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if ran.returncode == -signal.SIGKILL:
        return None
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


# --- what a station registers -------------------------------------------------------------------------------------

FORM = {"id": "", "pcode": SENDER, "code": "000.00.01.G22", "name": "Vụ Một", "mail": "a@b.example"}


async def test_a_system_registers_and_closes_what_stands_below_its_own(real: RealAxis) -> None:
    """New, once more, another name, closed, closed again: recorded as the station's acts, and only what changed."""
    key = await the_gateway(real, "one", "two")
    given = await a_system(real, "one")
    async with central(real, key) as url:
        caller = client(url, given)

        async def register(**more: str) -> Any:
            return await caller.ask("registerAgency", body=json.dumps({**FORM, **more}).encode())

        answers = [await register(), await register(), await register(name="Vụ Hai", pcode="")]
        listed = await caller.ask("getAgenciesList")
        answers += [await caller.ask("deleteAgency", AgencyCode=FORM["code"]) for _ in range(2)]
        units = await caller.ask("getSynchronizeUnit")

    acts = [one for one in await records(real, EventKind.ORGANS_CHANGED) if one.by.station is not None]
    assert {one["status"] for one in answers} == {"OK"}
    assert [one["name"] for one in listed["data"] if one["code"] == FORM["code"]] == ["Vụ Hai"]
    assert [one["deleted"] for one in units["data"] if one["code"] == FORM["code"]] == [True]
    assert [(one.by.station, one.by.reason) for one in acts] == [
        ("one", "VXP registerAgency"),
        ("one", "VXP registerAgency"),
        ("one", "VXP deleteAgency"),
    ]


FORBIDDEN: list[tuple[dict[str, str], str]] = [
    ({"pcode": "000.00.00.H41", "code": "000.00.01.H41"}, "khong duoc uy quyen"),
    ({"pcode": "000.00.77.H77"}, "khong co co quan cap tren"),
    ({"pcode": ""}, "khong co co quan cap tren"),
    ({"code": SENDER, "name": "Tên khác"}, "khong duoc sua"),
    ({"code": "000.00.00.H41", "name": "Tên khác"}, "khong duoc sua"),
    ({"code": "không phải mã"}, "ma khong dung dang nao da biet"),
    ({"name": "x" * 2_000}, "qua dai"),
]


async def test_what_a_station_may_not_register(real: RealAxis) -> None:
    """Outside its own, its own root, no such parent, no code: a sentence for its people, and nothing is recorded."""
    acts = real.axis.station_acts()
    before = (await real.axis.directories.current()).version

    for change, words in FORBIDDEN:
        form = {**FORM, **change}
        with pytest.raises(NotForStations) as no:
            await acts.register(
                StationId("one"), code=form["code"], name=form["name"], parent=form["pcode"], reason="VXP"
            )
        assert words in ascii_text(no.value.vi), no.value.vi

    assert (await real.axis.directories.current()).version == before


async def test_an_organ_with_others_below_it_or_of_another_is_not_closed(real: RealAxis) -> None:
    """The lowest first; the one the delegation names, and what is another's, never."""
    acts = real.axis.station_acts()
    one = StationId("one")
    await acts.register(one, code=FORM["code"], name="Vụ Một", parent=SENDER, reason="VXP")
    await acts.register(one, code="000.01.01.G22", name="Phòng Một", parent=FORM["code"], reason="VXP")

    for code in (FORM["code"], SENDER, "000.00.00.H41", "000.00.99.H99"):
        with pytest.raises(NotForStations):
            await acts.close(one, code=code, reason="VXP")
    closed = [await acts.close(one, code=code, reason="VXP") for code in ("000.01.01.G22", FORM["code"])]

    assert all(not organ.is_open(datetime.now(UTC)) for organ in closed)
    assert replace(closed[0], valid_to=None).is_open(datetime.now(UTC))
