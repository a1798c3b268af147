"""
The same on RabbitMQ and PostgreSQL: hub after hub is killed, each one call later than the last, under live traffic.

The k-th hub kills itself at its k-th moment (before or after a call of a port, a commit, a publish) while it works on
the k-th letter; a whole one then finishes what it left behind, and the next begins. Stations send and receive all the
while and are never restarted. It ends when a hub has no moment left at which it could die.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from adapters.station import Credentials, Station
from axis.broker.admin import StationUsers
from axis.broker.connection import BrokerAddress
from axis.broker.management import Management
from axis.broker.publisher import BrokerPublisher
from axis.core.exchange import Answer
from axis.core.model import Kind, StationId, SubmissionState
from axis.demo.letters import status
from axis.edxml.message import StatusCode
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.store import SQLLedger, open_engine
from tests.faults.children import Zygote, stride
from tests.flow.office import KEYS, LOG, Office
from tests.flow.town import AT, HANOI, Ticking, a_letter, a_station
from tests.services.rabbitmq import Vhost

_MOST_HUBS = 300
_STATIONS = ("vpcp", "ha-noi", "bo-tttt")
_PASSWORD = "of-a-test-" + "x" * 33


class _Traffic:
    """Stations that go on whatever happens to the hubs, and what they saw."""

    def __init__(self, stations: dict[str, Station], letters: dict[int, bytes]) -> None:
        self._stations = stations
        self._letters = letters
        self.answers: dict[int, Answer] = {}
        self.taken: Counter[str] = Counter()
        self.statuses = 0
        self.answered = 0

    async def send(self, number: int) -> None:
        answer = await self._stations["vpcp"].submit(self._letters[number], message_id=f"m-{number}")
        self.answers[number] = answer

    async def receive(self, name: str) -> None:
        station = self._stations[name]
        async for document in station.receive():
            if document.kind is Kind.STATUS:
                self.statuses += 1
            else:
                self.taken.update(one.delivery for one in document.deliveries)
            await document.done()

    async def answer(self, number: int) -> None:
        body = status(StatusCode.REGISTERED, sender=HANOI, answered=a_letter(number), at=AT)
        answer = await self._stations["ha-noi"].submit(body, message_id=f"s-{number}")
        assert answer.state in {SubmissionState.ACCEPTED, SubmissionState.DUPLICATE}, answer.causes
        self.answered += 1


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_hubs_are_killed_one_call_later_each_time(
    vhost: Vhost, database_url: str, tmp_path: Path
) -> None:
    address = BrokerAddress(urls=(vhost.url,))
    ledger = SQLLedger(open_engine(database_url))
    office = Office.open(ledger, tmp_path, first_id=10_000_000)
    await office.enrol()
    async with BrokerPublisher(address, clock=Ticking()) as publisher:
        await publisher.declare_hub()
    async with Management(vhost.management_url, vhost=vhost.name) as management:
        users = StationUsers(management)
        for name in _STATIONS:
            await users.add(StationId(name), secret=a_station(name).secret, password=_PASSWORD)
    host = vhost.url.rpartition("@")[2]
    stations = {
        name: Station(
            f"amqp://{host}",
            Credentials(
                station=StationId(name), key=f"{name}.{_PASSWORD}", queue_secret=a_station(name).secret
            ),
            trusted=KEYS,
        )
        for name in _STATIONS
    }
    killed: list[str] = []
    with Zygote() as zygote:
        letters = _letters(zygote, tmp_path)
        traffic = _Traffic(stations, letters)
        for station in stations.values():
            await station.open()
        receivers = [asyncio.ensure_future(traffic.receive(name)) for name in _STATIONS]
        every, first = stride(4)
        for number in range(1, _MOST_HUBS + 1):
            sending = asyncio.create_task(traffic.send(number))
            kill_at = 1 + first + every * (number - 1)
            moment = await _one_hub(zygote, kill_at, number, vhost, database_url, tmp_path)
            pid = _start(zygote, None, number + 1_000, vhost, database_url, tmp_path)
            async with asyncio.timeout(60):
                await sending
                if not moment:
                    await asyncio.gather(*(traffic.answer(one) for one in range(1, 6)))
                while len(traffic.taken) < 2 * number or traffic.statuses < traffic.answered:
                    assert not any(one.done() for one in receivers)
                    await asyncio.sleep(0.02)
            ended = await asyncio.to_thread(zygote.stop, pid)
            # Where the killed one had finished everything, this one is told to stop before it has begun.
            assert ended in {0, -signal.SIGTERM}, (tmp_path / f"hub-{number + 1_000}.log").read_text()[-2000:]
            if not moment:
                break
            killed.append(moment)
        for one in receivers:
            one.cancel()
        await asyncio.gather(*receivers, return_exceptions=True)
        for station in stations.values():
            await station.close()

    sent = len(killed) + 1
    assert sent > 30, killed
    states = Counter(answer.state for answer in traffic.answers.values())
    documents = [row for row in await office.rows(t.document) if row["kind"] == "edoc"]
    deliveries = [row for row in await office.rows(t.delivery) if row["kind"] == "edoc"]
    checked = await check(ledger, keys=[LOG.verifier])
    await ledger.engine.dispose()
    assert states == {SubmissionState.ACCEPTED: sent}
    assert len(documents) == sent
    assert {row["state"] for row in deliveries} == {"acknowledged"}
    assert {row["id"] for row in deliveries} == set(traffic.taken)
    assert checked.ok, checked.problems
    print(
        f"{len(killed)} hubs killed, every {every} calls from {first + 1}: {Counter(killed)}; handed out twice: {traffic.taken.total() - 2 * sent}"
    )


def _letters(zygote: Zygote, folder: Path) -> dict[int, bytes]:
    """Signed by the zygote, whose children trust the keys it made."""
    assert (
        zygote.run("write_letters", folder=str(folder), count=_MOST_HUBS, log=str(folder / "letters.log"))
        == 0
    )
    return {number: (folder / f"letter-{number}").read_bytes() for number in range(1, _MOST_HUBS + 1)}


def _start(
    zygote: Zygote, kill_at: int | None, number: int, vhost: Vhost, database_url: str, folder: Path
) -> int:
    return zygote.start(
        "hub",
        url=database_url,
        broker=vhost.url,
        folder=str(folder),
        log=str(folder / f"hub-{number}.log"),
        first_id=number * 100_000,
        kill_at=kill_at,
        moments=str(folder / f"hub-{number}.moments"),
    )


async def _one_hub(
    zygote: Zygote, kill_at: int, number: int, vhost: Vhost, database_url: str, folder: Path
) -> str:
    """Run a hub that kills itself at its `kill_at`-th moment; returns the moment, empty when it ran out of work."""
    pid = _start(zygote, kill_at, number, vhost, database_url, folder)
    waiting = asyncio.create_task(asyncio.to_thread(zygote.wait))
    try:
        async with asyncio.timeout(6):
            ended = await asyncio.shield(waiting)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        ended = await waiting
    moments = folder / f"hub-{number}.moments"
    assert ended == -signal.SIGKILL, (folder / f"hub-{number}.log").read_text()[-2000:]
    return moments.read_text() if moments.exists() else ""
