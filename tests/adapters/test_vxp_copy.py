"""The lists of agencies at a gateway beside an agency: from a real axis over HTTP, kept up to date by what changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from adapters.errors import NotAllowed
from adapters.machine import SystemClock, SystemIds
from adapters.station import Credentials
from adapters.vxp import Gateway
from adapters.vxp_accounts import ListedAccounts
from adapters.vxp_copy import CopiedAgencies
from axis.vxp import read_accounts
from axis.web import wire
from tests.adapters.real import RealAxis, real_axis
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
