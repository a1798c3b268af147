"""SIGKILL at every step of receiving: nothing is lost, and nothing is handed out twice once `done` was begun."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from axis.core.model import DeliveryState
from tests.adapters import victim
from tests.adapters.contract import package, until
from tests.adapters.worlds import AMQPWorld, HTTPWorld, amqp_world, http_world
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import Vhost


@pytest.fixture(name="world", params=["amqp", "http"])
async def _world(
    request: pytest.FixtureRequest, tmp_path: Path, tcp_proxy: Callable[[str], TCPProxy], vhost: Vhost
) -> AsyncIterator[AMQPWorld | HTTPWorld]:
    async with AsyncExitStack() as stack:
        world: AMQPWorld | HTTPWorld
        if request.param == "amqp":
            world = await stack.enter_async_context(
                amqp_world(tmp_path / "axis", vhost, tcp_proxy, name="killed")
            )
        else:
            world = await stack.enter_async_context(http_world(tmp_path / "axis", tcp_proxy))
        yield world


async def begin(world: AMQPWorld | HTTPWorld, folder: Path, *, step: str) -> asyncio.subprocess.Process:
    """A receiving process."""
    address = world.door.vhost.url if isinstance(world, AMQPWorld) else world.url
    settings = {
        "url": world.network.url(address),
        "station": world.credentials.station,
        "key": world.credentials.key,
        "queue_secret": world.credentials.queue_secret or "",
        "state": str(folder / "state"),
        "out": str(folder / "taken"),
        "step": step,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", victim.__name__, json.dumps(settings), cwd=Path(__file__).parents[2]
    )


@pytest.mark.parametrize("step", victim.STEPS)
async def test_a_process_killed_while_receiving_loses_nothing(
    world: AMQPWorld | HTTPWorld, tmp_path: Path, step: str
) -> None:
    """The next process gets what was not ended, and finishes what was."""
    documents = [await world.offer(package(number)) for number in range(3)]

    killed = await begin(world, tmp_path, step=step)
    async with asyncio.timeout(30):
        ended = await killed.wait()
    surviving = await begin(world, tmp_path, step="never")
    try:
        await until(lambda: {DeliveryState.ACKNOWLEDGED} == {world.states(one)[0] for one in documents})
    finally:
        surviving.kill()
        await surviving.wait()

    assert ended == -signal.SIGKILL
    taken = Counter((tmp_path / "taken").read_text().split())
    assert set(documents) == set(taken)
    # Committed by the system, and `done` not begun: only then does it see a document twice, as it must.
    twice = 2 if step in {"committed", "before remembering"} else 1
    assert max(taken.values()) == twice
