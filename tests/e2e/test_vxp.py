"""
Two systems of the old interface talk to each other through `axis adapter vxp` and `axis up`, as processes.
"""

from __future__ import annotations

import asyncio
import base64
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
from axis.core.credentials import Credential
from axis.core.model import Actor, Channel, SignaturePolicy, StationId
from axis.data import organs_csv
from axis.demo.letters import status
from axis.edxml.message import StatusCode
from axis.flow.acts import NewStation
from axis.flow.organ_import import read_organs
from axis.settings import read_settings
from tests.adapters.vxp_client import VXPClient
from tests.e2e.command import ROOT
from tests.flow.town import HANOI, VPCP, a_letter, unsigned

pytestmark = pytest.mark.slow

_BY = Actor(person="test", reason="test")


@contextmanager
def _running(*arguments: str | Path, environ: dict[str, str], log: Path) -> Iterator[str]:
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
            if (found := re.search(r"http://127\.0\.0\.1:[0-9]+(?:/[A-Za-z/]+)?", line)) is not None:
                break
        else:
            raise AssertionError(said)
        try:
            yield found.group(0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            process.wait(timeout=30)


async def _people(home: Path) -> dict[str, Credential]:
    """An operator loads the directory and adds two labelled stations."""
    settings = read_settings({"AXIS_HOME": str(home)})
    async with open_axis(settings, may_create=True) as axis:
        rows, defects = read_organs(organs_csv())
        acts = axis.acts()
        await acts.import_organs(rows, by=_BY, defects=defects)
        return {
            code: await acts.add_station(
                NewStation(
                    id=StationId(code.lower()),
                    name=code,
                    organs=(code,),
                    channel=Channel.PULL,
                    policy=SignaturePolicy.LABELLED,
                ),
                by=_BY,
            )
            for code in ("G22", "H26")
        }


def _accounts(folder: Path, credentials: dict[str, Credential]) -> Path:
    lines = []
    for code, credential in credentials.items():
        for name, text in ((f"{code}.key", credential.key), (f"{code}.secret", f"shared with {code}")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        lines += [
            "[[system]]",
            f'id = "vxp.{code}"',
            f'secret_file = "{code}.secret"',
            f'key_file = "{code}.key"',
            f'folder = "{code}"',
        ]
    path = folder / "accounts.toml"
    path.write_text("\n".join(lines))
    return path


async def _polled(client: VXPClient, kind: str) -> list[dict[str, Any]]:
    """What such a client sees that asks again and again."""
    async with asyncio.timeout(30):
        while not (listed := await client.received(kind)):  # noqa: ASYNC110 - polling is the interface
            await asyncio.sleep(0.2)
    return listed


async def test_the_whole_loop_over_the_old_interface(tmp_path: Path) -> None:
    """Agencies, send, list, get, done, status; the sender gets the status. Unsigned, so it travels as reference."""
    home = tmp_path / "home"
    accounts = _accounts(tmp_path, await _people(home))
    environ = {"AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0"}
    with (
        _running("up", environ=environ, log=tmp_path / "up.log") as axis,
        _running(
            *("adapter", "vxp", accounts, "--port", "0", "--station", axis),
            environ={"AXIS_HOME": str(home)},
            log=tmp_path / "vxp.log",
        ) as gateway,
    ):
        now = SystemClock().now()
        vpcp, hanoi = (
            VXPClient(gateway, system_id=f"vxp.{code}", secret=f"shared with {code}", now=now)
            for code in ("G22", "H26")
        )
        body = unsigned(a_letter(receivers=(HANOI,)))

        agencies = await vpcp.ask("getAgenciesList")
        sent = await vpcp.send_edoc(body, sender=VPCP.code)
        again = await vpcp.send_edoc(body, sender=VPCP.code)
        listed = await _polled(hanoi, "edoc")
        fetched = await hanoi.get_edoc(listed[0]["docId"])
        done = await hanoi.update(listed[0]["docId"], "done")
        answer = status(StatusCode.ARRIVED, sender=HANOI, answered=a_letter(receivers=(HANOI,)), at=now)
        await hanoi.send_edoc(answer, sender=HANOI.code, kind="status")
        statuses = await _polled(vpcp, "status")

    assert HANOI.code in {row["code"] for row in agencies["data"]}
    assert (sent["status"], sent["ErrorCode"]) == ("OK", "0"), sent
    assert sent["DocId"] == again["DocId"]
    assert len(listed) == 1
    assert base64.b64decode(fetched["data"]) == body
    assert done["status"] == "OK"
    assert len(statuses) == 1
