"""The largest documents through a VXP gateway beside an agency: what they cost in memory and time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from axis.bootstrap.parts import open_axis
from axis.bootstrap.system import SystemClock
from axis.core.model import StationId
from axis.demo.letters import package
from axis.edxml.writer import AttachmentSource
from axis.settings import read_settings
from tests.adapters.vxp_client import VXPClient
from tests.e2e.test_vxp import _BY, AXIS, GATEWAY, _people, _polled, _running
from tests.flow.town import AT, HANOI, VPCP, a_letter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MiB = 1024 * 1024
SECRET = "a secret of the agency"
_LISTENER = re.compile(r"gateway at (http://127\.0\.0\.1:[0-9]+/XrdAdapter/adapter)")


def _peak(pid: int) -> int:
    """Most memory a process has had, in bytes."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


def _listener(url: str) -> int:
    """The process that listens at an address."""
    port = urlsplit(url).port
    assert port is not None
    wanted = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            links = {str(one.readlink()) for one in (folder / "fd").iterdir()}
        except OSError:
            continue
        if links & {f"socket:[{inode}]" for inode in wanted}:
            return int(folder.name)
    raise AssertionError(f"nobody listens at {url}")


def _fetched(client: VXPClient, operation: str, doc_id: str, *, into: Path) -> int:
    """An answer of a hundred megabytes and more, into a file: not in the memory of the test."""
    client.headers |= {"docId": doc_id, "Content-Type": "application/json"}
    parts = urlsplit(client.url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
    connection.putrequest("POST", f"{parts.path}/{operation}")
    for name, value in client.signed():
        connection.putheader(name, value.encode("latin-1", errors="replace"))
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    answer = connection.getresponse()
    with into.open("wb") as out:
        while piece := answer.read(MiB):
            out.write(piece)
    connection.close()
    return into.stat().st_size


async def credentials(home: Path, folder: Path) -> Path:
    """The file of a gateway beside an agency, for both stations of the town."""
    lines = []
    async with open_axis(read_settings({"AXIS_HOME": str(home)})) as axis:
        for name in ("g22", "h26"):
            given = await axis.acts().rotate_station(StationId(name), by=_BY)
            for suffix, text in (("secret", SECRET), ("key", given.key)):
                (folder / f"{name}.{suffix}").write_text(text)
                (folder / f"{name}.{suffix}").chmod(0o600)
            lines.append(
                f'[[system]]\nid = "vxp.{name}"\nsecret_file = "{name}.secret"\nkey_file = "{name}.key"\n'
            )
    path = folder / "systems.toml"
    path.write_text("\n".join(lines))
    return path


async def test_a_hundred_megabytes_pass_through_and_are_held_by_nobody(tmp_path: Path) -> None:
    """
    Sent, sent again, fetched raw, as base64 and once more after its end; one byte too many is refused. Neither the
    gateway nor the axis ever has the document in memory.
    """
    home = tmp_path / "home"
    await _people(home)
    systems = await credentials(home, tmp_path)
    now = SystemClock().now()
    attached = AttachmentSource(
        content_id="c0", name="ban-do.bin", content_type="application/octet-stream", source=bytes(74 * MiB)
    )
    body = package(a_letter(receivers=(HANOI,)), pen=None, at=AT, files=[attached])
    assert 98 * MiB < len(body) <= 100 * MiB
    digest = hashlib.sha256(body).hexdigest()
    times: dict[str, float] = {}

    with ExitStack() as stack:
        url = stack.enter_context(
            _running(
                "up",
                environ={"AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0", "AXIS_VXP": "false"},
                log=tmp_path / "up.log",
                until=AXIS,
            )
        )
        gateway = stack.enter_context(
            _running(
                *("adapter", "vxp", systems, "--port", "0", "--station", url),
                environ={"AXIS_HOME": str(tmp_path / "none")},
                log=tmp_path / "gateway.log",
                until=GATEWAY,
            )
        )
        vpcp = VXPClient(gateway, system_id="vxp.g22", secret=SECRET, now=now)
        hanoi = VXPClient(gateway, system_id="vxp.h26", secret=SECRET, now=now)
        await vpcp.ask("countReceiveEdoc")
        await hanoi.ask("countReceiveEdoc")
        processes = {"axis": _listener(url), "gateway": _listener(gateway)}
        before = {name: _peak(pid) for name, pid in processes.items()}

        begun = time.monotonic()
        sent = await vpcp.send_edoc(body, sender=VPCP.code)
        times["send"], begun = time.monotonic() - begun, time.monotonic()
        again = await vpcp.send_edoc(body, sender=VPCP.code)
        times["send again"] = time.monotonic() - begun
        too_much = await vpcp.send_edoc(body + bytes(100 * MiB - len(body)), sender=VPCP.code)
        (row,) = await _polled(hanoi, "edoc")
        got = {}
        for name, operation in (("raw", "downloadEdoc"), ("base64", "getEdoc")):
            begun = time.monotonic()
            await asyncio.to_thread(_fetched, hanoi, operation, row["docId"], into=tmp_path / name)
            times[name] = time.monotonic() - begun
        await hanoi.update(row["docId"], "done")
        begun = time.monotonic()
        await asyncio.to_thread(_fetched, hanoi, "downloadEdoc", row["docId"], into=tmp_path / "once more")
        times["once more"] = time.monotonic() - begun
        after = {name: _peak(pid) for name, pid in processes.items()}

    for name in ("raw", "once more"):
        got[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    answer = json.loads((tmp_path / "base64").read_bytes())
    got["base64"] = hashlib.sha256(base64.b64decode(answer["data"])).hexdigest()
    grown = {name: (after[name] - before[name]) // MiB for name in processes}
    figures = {"grown MiB": grown, "peak MiB": {k: v // MiB for k, v in after.items()}, "seconds": times}
    assert (sent["status"], again["DocId"]) == ("OK", sent["DocId"])
    assert (too_much["status"], too_much["ErrorCode"]) == ("FAIL", "10")
    assert set(got.values()) == {digest}
    assert max(times.values()) < 50, figures
    assert max(grown.values()) < 48, figures
