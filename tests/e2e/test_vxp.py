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
from typing import Any

import pytest

from axis.bootstrap import SystemClock, open_axis
from axis.core.model import Actor, Channel, SignaturePolicy, StationId
from axis.data import organs_csv
from axis.demo.letters import status
from axis.edxml.message import StatusCode
from axis.flow.acts import NewStation
from axis.flow.organ_import import read_organs
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
        try:
            yield found.group(0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            process.wait(timeout=30)


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


async def _system(home: Path, station: str, system: str) -> dict[str, str]:
    """What an operator does and hands over: systemid and secret, printed once."""
    ran = await asyncio.to_thread(
        command,
        *("station", "vxp", "add", station, system, "--reason", "test", "--json"),
        environ={"AXIS_HOME": str(home)},
    )
    assert ran.status == 0, ran.err
    found: dict[str, str] = json.loads(ran.out)
    return found


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
    given = await _system(home, "g22", "vxp.G22")

    with _running("up", environ=environ, log=tmp_path / "up.log", until=GATEWAY) as gateway:
        vpcp = VXPClient(gateway, system_id=given["systemid"], secret=given["secret"], now=now)
        other = await _system(home, "h26", "vxp.H26")
        hanoi = VXPClient(gateway, system_id=other["systemid"], secret=other["secret"], now=now)
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
        nobody = VXPClient(gateway, system_id="vxp.G22", secret=other["secret"], now=now)
        refused = await nobody.ask("countReceiveEdoc")

    checked = await asyncio.to_thread(command, "ledger", "check", environ={"AXIS_HOME": str(home)})
    acts = json.loads(
        (
            await asyncio.to_thread(
                command, "log", "--acts", "--format", "json", environ={"AXIS_HOME": str(home)}
            )
        ).out
    )
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
    assert checked.status == 0, checked.out + checked.err
    assert {"vxp.changed", "organs.changed"} <= {one["kind"] for one in acts}


async def test_a_central_gateway_acts_for_its_list_only(tmp_path: Path) -> None:
    """Beside the ledger, with a credential of its own: it is let in as the stations of its recorded list."""
    home = tmp_path / "home"
    environ = {"AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0", "AXIS_VXP": "false"}
    await _people(home)
    given = [await _system(home, code, f"vxp.{code}") for code in ("g22", "h26")]
    made = await asyncio.to_thread(
        command,
        *("station", "add", "cong-vxp", "--acts-for", "g22", "--reason", "test", "--json"),
        environ={"AXIS_HOME": str(home)},
    )

    with (
        _running("up", environ=environ, log=tmp_path / "up.log") as axis,
        _running(
            *("adapter", "vxp", "--port", "0", "--station", axis),
            environ={"AXIS_HOME": str(home), "AXIS_STATION_KEY": json.loads(made.out)["key"]},
            log=tmp_path / "vxp.log",
            until=GATEWAY,
        ) as gateway,
    ):
        now = SystemClock().now()
        listed, unlisted = (
            VXPClient(gateway, system_id=one["systemid"], secret=one["secret"], now=now) for one in given
        )
        taken = await listed.send_edoc(unsigned(a_letter(receivers=(HANOI,))), sender=VPCP.code)
        refused = await unlisted.ask("getSentEdocList")

    assert taken["status"] == "OK", taken
    assert refused["ErrorCode"] == "19", refused
