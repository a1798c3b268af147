"""The lists of agencies at a gateway beside an agency: from a real axis over HTTP, kept up to date by what changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from adapters.errors import NotAllowed
from adapters.machine import SystemClock, SystemIds
from adapters.station import Credentials
from adapters.vxp import Gateway
from adapters.vxp_accounts import ListedAccounts
from adapters.vxp_copy import CopiedAgencies
from axis.core.events import EventKind, read_record
from axis.ledger import tables as t
from axis.vxp import read_accounts
from axis.web import wire
from tests.adapters.real import OPERATOR, RealAxis, real_axis
from tests.adapters.test_vxp import SECRET, listening
from tests.adapters.vxp_client import VXPClient

_FIRST, _SECOND, _LATER = "000.00.00.G22", "000.00.00.H41", "000.00.00.H14"


def _file(folder: Path, credentials: Credentials) -> Path:
    for name, text in (("h26.secret", SECRET), ("h26.key", credentials.key)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)
    found = folder / "systems.toml"
    found.write_text(
        '[[system]]\nid = "vxp.sender"\nsecret_file = "h26.secret"\nkey_file = "h26.key"\n', encoding="utf-8"
    )
    return found


async def _asked(real: RealAxis, key: str | None, query: str) -> httpx2.Response:
    headers = {"Authorization": wire.bearer(key)} if key is not None else {}
    async with httpx2.AsyncClient(base_url=real.url, headers=headers, trust_env=False) as client:
        return await client.get(wire.BASE + wire.ORGANS + query)


@pytest.mark.requirement("LR-62")
async def test_a_gateway_beside_an_agency_lists_the_directory(tmp_path: Path) -> None:
    """All three lists, page by page; what is imported later is in the next list."""
    async with real_axis(tmp_path / "axis") as real:
        await real.import_organs(_FIRST, _SECOND)
        credentials = await real.add_station("vxp-sender", [_FIRST])
        gateway = Gateway(
            ListedAccounts(read_accounts(_file(tmp_path, credentials), url=real.url)),
            agencies=CopiedAgencies(clock=SystemClock(), page=1),
            clock=SystemClock(),
            ids=SystemIds(),
        )
        async with listening(gateway) as url:
            client = VXPClient(url, system_id="vxp.sender", secret=SECRET, now=datetime.now(UTC))
            plain = await client.ask("getAgenciesList")
            qd20 = await client.ask("getAgenciesListQD20", level="1")
            await real.import_organs(_LATER)
            units = await client.ask("getSynchronizeUnit")

        assert [one["code"] for one in plain["data"]] == [_FIRST, _SECOND]
        assert len(qd20["data"]) == 2
        assert [(one["code"], one["isAgency"]) for one in units["data"]] == [
            (_FIRST, True),
            (_SECOND, False),
            (_LATER, False),
        ]


@pytest.mark.requirement("LR-62")
async def test_a_gateway_beside_an_agency_registers_and_closes_what_is_the_agencys(tmp_path: Path) -> None:
    """With the key of the agency's own station; the axis says what it may not, in words for its people."""
    async with real_axis(tmp_path / "axis") as real:
        await real.import_organs(_FIRST, _SECOND)
        credentials = await real.add_station("vxp-sender", [_FIRST])
        gateway = Gateway(
            ListedAccounts(read_accounts(_file(tmp_path, credentials), url=real.url)),
            agencies=CopiedAgencies(clock=SystemClock()),
            clock=SystemClock(),
            ids=SystemIds(),
        )
        async with listening(gateway) as url:
            client = VXPClient(url, system_id="vxp.sender", secret=SECRET, now=datetime.now(UTC))

            async def register(**form: str) -> dict[str, Any]:
                return await client.ask("registerAgency", body=json.dumps(form).encode())

            mine = {"pcode": _FIRST, "code": "000.00.01.G22", "name": "Vụ Một"}
            before = await client.ask("getAgenciesList")
            added = [await register(**mine), await register(**mine)]
            renamed = await register(**{**mine, "pcode": "", "name": "Vụ Hai"})
            listed = await client.ask("getAgenciesList")
            anothers = await register(**{**mine, "pcode": _SECOND, "code": "000.00.01.H41"})
            own_root = await client.ask("deleteAgency", AgencyCode=_FIRST)
            closed = [await client.ask("deleteAgency", AgencyCode=mine["code"]) for _ in range(2)]
            units = await client.ask("getSynchronizeUnit")
            await real.axis.acts().suspend_station(credentials.station, by=OPERATOR)
            suspended = await register(**{**mine, "code": "000.00.02.G22"})
        async with real.axis.ledger.reading() as connection:
            query = select(t.event.c.record).where(t.event.c.kind == EventKind.ORGANS_CHANGED.value)
            said = [read_record(bytes(one)) for one in (await connection.execute(query)).scalars()]

    assert len(before["data"]) == 2
    assert {one["status"] for one in (*added, renamed, *closed)} == {"OK"}
    assert [one["name"] for one in listed["data"] if one["code"] == mine["code"]] == ["Vụ Hai"]
    assert [one["deleted"] for one in units["data"] if one["code"] == mine["code"]] == [True]
    assert (anothers["ErrorCode"], own_root["ErrorCode"], suspended["ErrorCode"]) == ("19", "19", "19")
    assert "khong duoc uy quyen" in anothers["ErrorDesc"]
    assert "khong duoc sua" in own_root["ErrorDesc"]
    acts = [one.by for one in said if one.by.station is not None]
    assert [(one.station, one.reason) for one in acts] == [("vxp-sender", "POST /organs")] * 3


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not JSON", 400, "http.message"),
        (b"[]", 400, "http.message"),
        (b'{"act":"move","code":"H1"}', 400, "http.message"),
        (b'{"act":"register","code":"H1"}', 400, "http.message"),
        (b'{"act":"close","code":" "}', 400, "http.message"),
        (b'{"act":"close","code":7}', 400, "http.message"),
        (b'{"act":"close","code":"' + b"H" * 20_000 + b'"}', 413, "receive.too_large"),
        (b'{"act":"close","code":"' + b"H" * 9_000 + b'"}', 409, "http.not_your_organ"),
        (
            b'{"act":"register","code":"\\ud800","name":"x","parent":"000.00.00.G22"}',
            409,
            "http.not_your_organ",
        ),
        (
            b'{"act":"register","code":"000.00.01.G22","name":"\\u0000","parent":"000.00.00.G22"}',
            409,
            "http.not_your_organ",
        ),
    ],
)
async def test_a_change_of_the_directory_that_cannot_be_is_a_reason(
    tmp_path: Path, body: bytes, status: int, code: str
) -> None:
    """A body of any shape: a status and a code, nothing recorded, no fault."""
    async with real_axis(tmp_path / "axis") as real:
        await real.import_organs(_FIRST)
        credentials = await real.add_station("so-mot", [_FIRST])
        before = (await real.axis.directories.current()).version
        headers = {"Authorization": wire.bearer(credentials.key), "Content-Type": wire.JSON_TYPE}
        async with httpx2.AsyncClient(base_url=real.url, headers=headers, trust_env=False) as client:
            answer = await client.post(wire.BASE + wire.ORGANS, content=body)
            plain = await client.post(
                wire.BASE + wire.ORGANS, content=b"{}", headers={"Content-Type": "text/plain"}
            )
            nobody = await client.post(wire.BASE + wire.ORGANS, content=body, headers={"Authorization": ""})
        after = (await real.axis.directories.current()).version

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert plain.json()["code"] == "http.content_type"
    assert nobody.json()["code"] == "http.not_identified"
    assert after == before


@pytest.mark.requirement("LR-62")
async def test_the_directory_is_for_active_stations_and_in_bounds(tmp_path: Path) -> None:
    """A delta by version, pages that lead on, and a reason code for what cannot be asked."""
    async with real_axis(tmp_path / "axis") as real:
        await real.import_organs(_FIRST, _SECOND)
        credentials = await real.add_station("so-mot", [_FIRST])
        async with real.station(credentials) as station:
            first = await station.organs(limit=1)
            rest = await station.organs(after=first.next or 0)
            await real.import_organs(_LATER)
            delta = await station.organs(since=first.version)
        bad = [
            await _asked(real, credentials.key, query)
            for query in ("?since=-1", "?since=x", "?after=2147483648", "?limit=0", "?limit=5001")
        ]
        nobody = await _asked(real, None, "")
        forged = Credentials(station=credentials.station, key=credentials.key[:-4] + "AAAA")
        async with real.station(forged) as other:
            with pytest.raises(NotAllowed):
                await other.organs(within=5)

    assert [one.code for one in (*first.organs, *rest.organs)] == [_FIRST, _SECOND]
    assert (first.next, rest.next) == (first.organs[0].number, None)
    assert [one.code for one in delta.organs] == [_LATER]
    assert delta.version > first.version
    assert {(one.status_code, one.json()["code"]) for one in bad} == {(400, "http.query")}
    assert nobody.json()["code"] == "http.not_identified"
