"""
Two systems of the old interface talk to each other through `axis up`, and through a central gateway beside it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select

from axis.bootstrap.parts import open_axis
from axis.bootstrap.system import SystemClock
from axis.core.model import Actor, Channel, SignaturePolicy, StationId
from axis.data import organs_csv
from axis.demo.letters import status
from axis.edxml.message import StatusCode
from axis.flow.acts import NewStation
from axis.flow.organ_import import read_organs
from axis.ledger.tables import event
from axis.settings import read_settings
from tests.adapters.vxp_client import VXPClient
from tests.e2e.command import ROOT
from tests.e2e.command import axis as command
from tests.flow.town import HANOI, VPCP, a_letter, unsigned

pytestmark = pytest.mark.slow

_BY = Actor(person="test", reason="test")
AXIS = re.compile(r"http://127\.0\.0\.1:[0-9]+")
GATEWAY = re.compile(r"http://127\.0\.0\.1:[0-9]+/XrdAdapter/adapter")
_FORM = {
    "id": "",
    "pcode": "H26",
    "code": "H26.199",
    "name": "Trung tâm mới",
    "mail": "",
    "mobile": "",
    "fax": "",
}


@contextmanager
def _running(
    *arguments: str | Path, environ: dict[str, str], log: Path, until: re.Pattern[str] = AXIS
) -> Iterator[str]:
    """A process of `axis`; yields the address it says it listens on."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AXIS_")}
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-u", "-m", "axis", *map(str, arguments)],
            cwd=ROOT,
            env={**clean, "AXIS_LANG": "en", **environ},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if (found := until.search(line)) is not None:
                break
        else:
            raise AssertionError(said)
        # What it says from now on must go somewhere: a full pipe would stop it.
        rest = Thread(target=process.stderr.read)
        rest.start()
        try:
            yield found.group(0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            rest.join()


async def _people(home: Path) -> None:
    """An operator loads the directory and adds two labelled stations."""
    settings = read_settings({"AXIS_HOME": str(home)})
    async with open_axis(settings, may_create=True) as axis:
        rows, defects = read_organs(organs_csv())
        acts = axis.acts()
        await acts.import_organs(rows, by=_BY, defects=defects)
        for code in ("G22", "H26"):
            await acts.add_station(
                NewStation(
                    id=StationId(code.lower()),
                    name=code,
                    organs=(code,),
                    channel=Channel.PULL,
                    policy=SignaturePolicy.LABELLED,
                ),
                by=_BY,
            )


async def _polled(client: VXPClient, kind: str) -> list[dict[str, Any]]:
    """What such a client sees that asks again and again."""
    async with asyncio.timeout(30):
        while not (listed := await client.received(kind)):  # noqa: ASYNC110 - polling is the interface
            await asyncio.sleep(0.2)
    return listed


async def _system(home: Path, station: str, system: str) -> tuple[str, str]:
    """What an operator hands over."""
    async with open_axis(read_settings({"AXIS_HOME": str(home)})) as axis:
        made = await axis.vxp_acts().add(system, station=StationId(station), by=_BY)
    return made.system.id, made.secret


async def _printed(home: Path, station: str, system: str) -> tuple[str, str]:
    """The same from the command line: systemid and secret, once."""
    ran = await asyncio.to_thread(
        command,
        *("station", "vxp", "add", station, system, "--reason", "test", "--json"),
        environ={"AXIS_HOME": str(home)},
    )
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    return found["systemid"], found["secret"]


async def test_the_whole_loop_through_axis_up(tmp_path: Path) -> None:
    """
    Agencies, send, list, get, done, status; the sender lists and gets the status, and its sent list shows it all. The
    gateway begins with the first system there is, lets the next one in at once, and a restart loses nothing.
    """
    home = tmp_path / "home"
    await _people(home)
    now = SystemClock().now()
    body = unsigned(a_letter(receivers=(HANOI,)))
    environ = {"AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0", "AXIS_VXP_PORT": "0"}
    given = await _printed(home, "g22", "vxp.G22")

    with _running("up", environ=environ, log=tmp_path / "up.log", until=GATEWAY) as gateway:
        vpcp = VXPClient(gateway, system_id=given[0], secret=given[1], now=now)
        other = await _system(home, "h26", "vxp.H26")
        hanoi = VXPClient(gateway, system_id=other[0], secret=other[1], now=now)
        agencies = await vpcp.ask("getAgenciesList")
        registered = await hanoi.ask("registerAgency", body=json.dumps(_FORM).encode())
        units = await vpcp.ask("getAgenciesListQD20")
        forbidden = await vpcp.ask("deleteAgency", AgencyCode=str(_FORM["code"]))
        closed = await hanoi.ask("deleteAgency", AgencyCode=str(_FORM["code"]))
        sent = await vpcp.send_edoc(body, sender=VPCP.code)
        again = await vpcp.send_edoc(body, sender=VPCP.code)
        listed = await _polled(hanoi, "edoc")
        fetched = await hanoi.get_edoc(listed[0]["docId"])
        done = await hanoi.update(listed[0]["docId"], "done")

    with _running("up", environ=environ, log=tmp_path / "again.log", until=GATEWAY) as gateway:
        vpcp.url = hanoi.url = gateway
        repeated = await hanoi.update(listed[0]["docId"], "done")
        answer = status(StatusCode.REGISTERED, sender=HANOI, answered=a_letter(receivers=(HANOI,)), at=now)
        answered = await hanoi.send_edoc(answer, sender=HANOI.code, kind="status")
        (told,) = await _polled(vpcp, "status")
        status_back = await vpcp.get_edoc(told["docId"])
        (row,) = await vpcp.sent()
        nobody = VXPClient(gateway, system_id="vxp.G22", secret=other[1], now=now)
        refused = await nobody.ask("countReceiveEdoc")

    async with open_axis(read_settings({"AXIS_HOME": str(home)})) as axis:
        checked = await axis.check_ledger()
        async with axis.ledger.reading() as connection:
            kinds = set((await connection.execute(select(event.c.kind))).scalars())
    assert HANOI.code in {one["code"] for one in agencies["data"]}
    assert (registered["status"], closed["status"], forbidden["ErrorCode"]) == ("OK", "OK", "19")
    assert _FORM["name"] in {one["name"] for one in units["data"]}
    assert (sent["status"], sent["ErrorCode"]) == ("OK", "0"), sent
    assert sent["DocId"] == again["DocId"]
    assert base64.b64decode(fetched["data"]) == body
    assert (done["status"], repeated["status"], answered["status"]) == ("OK", "OK", "OK")
    assert base64.b64decode(status_back["data"]) == answer
    assert (row["senderDocId"], row["receiveStatus"]) == (sent["DocId"], "done")
    assert "trang thai 03" in row["receiveStatusDesc"]
    assert refused["ErrorCode"] == "15"
    assert checked.ok, checked.first
    assert {"vxp.changed", "organs.changed"} <= kinds
