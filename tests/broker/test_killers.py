"""A message that kills the process that reads it, with real processes and a real broker."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from axis.broker import wire
from tests.broker.intake import an_intake, receipts_of
from tests.broker.victim import POISON
from tests.services.rabbitmq import Broker


async def keep_running(url: str, station: str, deaths: list[int]) -> None:
    """Start hub processes one after another, as a supervisor would, until cancelled."""
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.broker.victim", url, station
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            raise
        assert code == -signal.SIGKILL, f"it ended by itself with {code}"
        deaths.append(code)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.threat("a message that crashes its reader stops the exchange", control="buried at its limit")
async def test_a_message_that_kills_its_reader_is_buried_and_nobody_else(broker: Broker) -> None:
    """
    Two hub processes, a hundred documents, three that kill: exactly the three end in axis.dead, and every other
    document is answered, although each death takes along what the process had in hand.
    """
    vhost = await asyncio.to_thread(broker.make_vhost)
    deaths: list[int] = []
    try:
        async with an_intake(vhost) as intake:
            station = await intake.add_station("target")
            async with intake.speaking_as(station.id) as client:
                for number in range(100):
                    await client.publish(
                        wire.SUBMIT,
                        f"edoc.{('normal', 'urgent')[number % 2]}.{station.id}",
                        POISON if number in {11, 12, 77} else b"<edXML/>",
                        message_id=f"m-{number}",
                        user_id=station.id,
                    )
            async with asyncio.TaskGroup() as group:
                hubs = [group.create_task(keep_running(vhost.url, station.id, deaths)) for _ in range(2)]
                answered: set[str | None] = set()
                async with intake.speaking_as(station.id) as client:
                    while len(answered) < 97:
                        receipt = await client.expect(receipts_of(station), within_s=120)
                        answered.add(receipt.header.properties.correlation_id)
                    dead = [await client.expect(wire.DEAD, within_s=120) for _ in range(3)]
                for hub in hubs:
                    hub.cancel()

            assert {one.header.properties.message_id for one in dead} == {"m-11", "m-12", "m-77"}
            assert {one.body for one in dead} == {POISON}
            assert await intake.tap.length(wire.DEAD) == 0
            assert answered == {f"m-{number}" for number in range(100) if number not in {11, 12, 77}}
    finally:
        await asyncio.to_thread(vhost.remove)
    print(f"{len(deaths)} processes died")
