"""
`axis web` is restarted one process after the other, behind one address: stations go on and no call is refused.

What stands in front does what any balancer does: it opens a connection to a process that takes it, the next one when
the first does not, and looks into no byte.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from adapters.inbox import Inbox
from adapters.station import Credentials, Station
from axis.bench.town import Profile, Town, build_town, letters
from axis.bootstrap.parts import Axis, open_axis
from axis.core.exchange import Answer
from axis.core.model import SubmissionState
from axis.settings import read_settings
from tests.services.processes import LeashedProcess, free_port

_AT_ONCE = 4
_LETTERS = Profile(name="small", attachment_bytes=2_000, fanout=1, documents=2_000)


@dataclass
class Front:
    """The one address."""

    ports: tuple[int, ...]
    connections: Counter[int] = field(default_factory=Counter)
    """By port of the process that took them."""
    nobody: int = 0
    """Connections no process took."""
    url: str = ""
    _turn: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Front]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        ports = self.ports[self._turn % len(self.ports) :] + self.ports[: self._turn % len(self.ports)]
        for port in ports:
            with suppress(ConnectionError):
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
                self.connections[port] += 1
                await asyncio.gather(_pass_on(reader, up_writer), _pass_on(up_reader, writer))
                return
        self.nobody += 1
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_call_is_refused_while_one_process_after_the_other_is_restarted(
    empty_database_url: str, tmp_path: Path
) -> None:
    environ = {
        "AXIS_HOME": str(tmp_path / "home"),
        "AXIS_DATABASE_URL": empty_database_url.replace("+asyncpg", ""),
        "AXIS_LOG_FORMAT": "json",
        "PATH": os.environ["PATH"],
    }
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "trust.pem").touch()
    settings = read_settings(environ | {"AXIS_TRUST": str(tmp_path / "home" / "trust.pem")})
    environ["AXIS_TRUST"] = str(settings.home / "trust.pem")
    async with AsyncExitStack() as stack:
        axis = await stack.enter_async_context(open_axis(settings, may_create=True))
        town = await build_town(axis, settings, receivers=1, advance=lambda: None)
        webs = [_web(tmp_path, environ, port=free_port(), number=number) for number in range(2)]
        for web in webs:
            stack.callback(web.process.kill)
            web.process.start()
            await web.until_ready()
        front = await stack.enter_async_context(Front(ports=tuple(web.port for web in webs)).open())
        sender = await stack.enter_async_context(_station(town, town.senders[0].code, url=front.url))
        receiver = await stack.enter_async_context(_station(town, town.receivers[0].code, url=front.url))
        inbox = await stack.enter_async_context(receiver.receive(window=8))
        traffic = _Traffic(axis, town, sender)
        async with asyncio.TaskGroup() as group:
            handing_in = group.create_task(traffic.hand_in())
            taking = group.create_task(traffic.take(inbox))

            for web in webs:
                await traffic.until_more()
                assert await asyncio.to_thread(web.process.stop, within_s=120) == 0
                await traffic.until_more()
                web.process.start()
                await web.until_ready()
            await traffic.until_more()
            traffic.over.set()
            await handing_in
            await traffic.until_everything_is_taken()
            taking.cancel()

    assert Counter(one.state for one in traffic.answers) == {SubmissionState.ACCEPTED: len(traffic.answers)}
    assert Counter(traffic.taken.values()) == {1: len(traffic.answers)}
    assert front.nobody == 0
    assert all(front.connections[web.port] > 1 for web in webs), front.connections
    calls = Counter(call["status"] for web in webs for call in web.calls())
    assert calls[202] >= len(traffic.answers)
    assert [status for status in calls if status >= 500] == [], calls


@dataclass
class _Web:
    process: LeashedProcess
    port: int

    async def until_ready(self) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(120):
            while True:
                assert self.process.running, self.process.last_words()
                with suppress(httpx2.TransportError):
                    if (await client.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    def calls(self) -> list[dict[str, int]]:
        """Every request it served, from its log."""
        lines = [line for line in self.process.log.read_text().splitlines() if line.startswith("{")]
        return [one for one in map(json.loads, lines) if one["event"] == "http.request"]


def _web(folder: Path, environ: dict[str, str], *, port: int, number: int) -> _Web:
    process = LeashedProcess(
        [sys.executable, "-m", "axis", "web"],
        name=f"web{number}",
        folder=folder,
        env=environ | {"AXIS_HTTP_PORT": str(port)},
    )
    return _Web(process, port)


def _station(town: Town, code: str, *, url: str) -> Station:
    credential = town.credentials[code]
    return Station(url, Credentials(station=credential.station, key=credential.key))


class _Traffic:
    """One station hands in, one takes, without a pause."""

    def __init__(self, axis: Axis, town: Town, sender: Station) -> None:
        self._axis = axis
        self._town = town
        self._sender = sender
        self.answers: list[Answer] = []
        self.taken: Counter[str] = Counter()
        self.over = asyncio.Event()
        self._moved = asyncio.Condition()

    async def hand_in(self) -> None:
        async with asyncio.TaskGroup() as group:
            for worker in range(_AT_ONCE):
                group.create_task(self._hand_in(first=worker * 10_000))

    async def _hand_in(self, *, first: int) -> None:
        number = first
        while not self.over.is_set():
            at = self._axis.clock.now() - timedelta(seconds=5)
            # Every fourth is of the one sender.
            ((_, body),) = await asyncio.to_thread(
                letters, self._town, _LETTERS, count=1, first=number, at=at
            )
            number += len(self._town.senders)
            self.answers.append(await self._sender.submit(body, within=None))
            async with self._moved:
                self._moved.notify_all()

    async def take(self, inbox: Inbox) -> None:
        async for document in inbox:
            self.taken[document.key] += 1
            await document.done()
            async with self._moved:
                self._moved.notify_all()

    async def until_more(self) -> None:
        """Until a few more were answered, and a few more taken."""
        answered, taken = len(self.answers) + 8, len(self.taken) + 8
        async with asyncio.timeout(120), self._moved:
            await self._moved.wait_for(lambda: len(self.answers) >= answered and len(self.taken) >= taken)

    async def until_everything_is_taken(self) -> None:
        async with asyncio.timeout(120), self._moved:
            await self._moved.wait_for(lambda: self.taken.keys() >= {one.document for one in self.answers})
