"""
The floor: what the broker and this client take for the same bytes without any axis.

One process consumes each document from a quorum queue and publishes it, with confirms, to the quorum queues of its
receivers; another consumes and acknowledges every copy. No checks, no ledger, bodies inside the messages; the same
client library and event loop as the hub's, prefetch 200, a window of 200 confirms. Queues have fresh names each time.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldValue

from axis.bench.figures import Figure
from axis.bench.machine import busy_ms, busy_ms_of, pids_named
from axis.bench.processes import Child, tell

PREFETCH: Final = 200
WINDOW: Final = 200
_QUORUM: Final[dict[str, FieldValue]] = {"x-queue-type": "quorum"}
_PERSISTENT: Final = Basic.Properties(delivery_mode=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What to carry, and between which queues."""

    broker_url: str
    source: str
    targets: tuple[str, ...]
    documents: int


async def measure_hop(broker_url: str, bodies: Sequence[bytes], *, profile: str, fanout: int) -> Figure:
    """
    The floor of one profile: from the first document taken to the last copy acknowledged.

    The source queue is filled beforehand, which is not measured.
    """
    mark = secrets.token_hex(4)
    hop = Hop(
        broker_url=broker_url,
        source=f"bench.{mark}.source",
        targets=tuple(f"bench.{mark}.target.{number}" for number in range(fanout)),
        documents=len(bodies),
    )
    connection = await aiormq.connect(broker_url)
    try:
        channel = await connection.channel(publisher_confirms=True)
        for name in (hop.source, *hop.targets):
            await channel.queue_declare(name, durable=True, arguments=_QUORUM)
        await _publish(channel, [(hop.source, body) for body in bodies])
        async with AsyncExitStack() as stack:
            taker = await stack.enter_async_context(Child.of("axis.bench.hop", _spec("take", hop)))
            await taker.line()
            mover = await stack.enter_async_context(Child.of("axis.bench.hop", _spec("move", hop)))
            servers = pids_named("beam.smp")
            before = busy_ms(), busy_ms_of([mover.pid]), busy_ms_of([taker.pid]), busy_ms_of(servers)
            began = perf_counter()
            await mover.say("go")
            await taker.line()
            seconds = perf_counter() - began
            after = busy_ms(), busy_ms_of([mover.pid]), busy_ms_of([taker.pid]), busy_ms_of(servers)
        each = [(late - early) / len(bodies) for early, late in zip(before, after, strict=True)]
        return Figure(
            name="hop",
            profile=profile,
            fanout=fanout,
            documents=len(bodies),
            documents_per_s=len(bodies) / seconds,
            cpu_ms_per_document=each[0],
            cpu_ms={"mover": each[1], "takers": each[2], "broker": each[3]},
        )
    finally:
        for name in (hop.source, *hop.targets):
            await channel.queue_delete(name)
        await connection.close()


def _spec(role: str, hop: Hop) -> dict[str, object]:
    return {
        "role": role,
        "broker_url": hop.broker_url,
        "source": hop.source,
        "targets": list(hop.targets),
        "documents": hop.documents,
    }


async def _publish(channel: aiormq.abc.AbstractChannel, messages: Sequence[tuple[str, bytes]]) -> None:
    turns = asyncio.Semaphore(WINDOW)

    async def send(queue: str, body: bytes) -> None:
        async with turns:
            await channel.basic_publish(body, routing_key=queue, properties=_PERSISTENT, mandatory=True)

    async with asyncio.TaskGroup() as group:
        for queue, body in messages:
            group.create_task(send(queue, body))


# --- the two processes --------------------------------------------------------------------------------------------


async def _move(hop: Hop) -> None:
    """Take each document once and publish it to every target; acknowledge it when all are confirmed."""
    connection = await aiormq.connect(hop.broker_url)
    out = await connection.channel(publisher_confirms=True)
    inward = await connection.channel(publisher_confirms=False)
    await inward.basic_qos(prefetch_count=PREFETCH)
    turns = asyncio.Semaphore(WINDOW)
    moved, all_moved = 0, asyncio.Event()

    async def publish(target: str, body: bytes) -> None:
        async with turns:
            await out.basic_publish(body, routing_key=target, properties=_PERSISTENT, mandatory=True)

    async def move(message: DeliveredMessage) -> None:
        nonlocal moved
        await asyncio.gather(*(publish(target, message.body) for target in hop.targets))
        assert message.delivery_tag is not None
        await inward.basic_ack(message.delivery_tag)
        moved += 1
        if moved == hop.documents:
            all_moved.set()

    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await inward.basic_consume(hop.source, move)
    await all_moved.wait()
    await connection.close()


async def _take(hop: Hop) -> None:
    """Take and acknowledge every copy; say when the last is acknowledged."""
    connection = await aiormq.connect(hop.broker_url)
    channel = await connection.channel(publisher_confirms=False)
    await channel.basic_qos(prefetch_count=PREFETCH)
    taken, all_taken = 0, asyncio.Event()

    async def take(message: DeliveredMessage) -> None:
        nonlocal taken
        assert message.delivery_tag is not None
        await channel.basic_ack(message.delivery_tag)
        taken += 1
        if taken == hop.documents * len(hop.targets):
            all_taken.set()

    for target in hop.targets:
        await channel.basic_consume(target, take)
    tell("ready")
    await all_taken.wait()
    tell("done")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await connection.close()


def _main() -> None:
    import uvloop

    spec = json.loads(sys.stdin.readline())
    hop = Hop(
        broker_url=spec["broker_url"],
        source=spec["source"],
        targets=tuple(spec["targets"]),
        documents=spec["documents"],
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_move(hop) if spec["role"] == "move" else _take(hop))


if __name__ == "__main__":
    _main()
