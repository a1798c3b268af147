"""Three nodes, and the one that leads a queue is killed while documents flow."""

from __future__ import annotations

import asyncio
import contextlib

import aiormq
import pytest

from axis.broker import wire
from axis.broker.connection import BrokerAddress
from axis.broker.publisher import PublishLimits
from axis.core.errors import ServiceUnavailable
from axis.core.model import StationId
from axis.core.ports import Published
from tests.broker.desk import a_station, outgoing, until
from tests.broker.intake import PASSWORD, Intake, an_intake, receipts_of
from tests.broker.wiretap import wiretap
from tests.services.processes import wait_until
from tests.services.rabbitmq import RabbitMQCluster, RabbitMQNode, Vhost


async def submit_for_ever(cluster: RabbitMQCluster, station: StationId, stop: asyncio.Event) -> set[str]:
    """As a station's client does: to whichever node answers; what was confirmed."""
    confirmed: set[str] = set()
    number = 0
    while not stop.is_set():
        url = cluster.nodes[number % 3].broker.url(user=station, password=PASSWORD)
        try:
            async with asyncio.timeout(10), wiretap(url) as client:
                while not stop.is_set():
                    number += 1
                    await client.publish(
                        wire.SUBMIT, f"edoc.normal.{station}", message_id=f"m-{number}", user_id=station
                    )
                    confirmed.add(f"m-{number}")
        except (aiormq.AMQPError, OSError, RuntimeError, TimeoutError, asyncio.CancelledError):
            # The library cancels what waits on a connection that breaks.
            number += 1
            await _pause(stop)
    return confirmed


async def publish_for_ever(intake: Intake, station: StationId, stop: asyncio.Event) -> set[str]:
    """As the dispatcher does: again under a new id what was not confirmed; what was."""
    confirmed: set[str] = set()
    number = 0
    while not stop.is_set():
        batch = [outgoing(a_station(station), number + n) for n in range(10)]
        number += 10
        try:
            results = await intake.publisher.publish(batch)
        except ServiceUnavailable:
            await _pause(stop)
            continue
        for one, result in zip(batch, results, strict=True):
            if result is Published.CONFIRMED:
                confirmed.add(one.message_id)
    return confirmed


async def _pause(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await stop.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_after_sigkill_of_the_leader_everything_confirmed_is_answered(
    rabbitmq_cluster: RabbitMQCluster,
) -> None:
    """Submissions, receipts and consignments under way; each of the nodes dies once, whoever leads first."""
    vhost = Vhost(broker=rabbitmq_cluster.brokers[0], name="/")
    address = BrokerAddress(
        urls=tuple(broker.url() for broker in rabbitmq_cluster.brokers),
        heartbeat_seconds=2,
        connect_seconds=5,
    )
    limits = PublishLimits(timeout_seconds=5)
    async with an_intake(vhost, address=address, publish_limits=limits) as intake:
        # On a busy machine a new leader may take longer than the intake of all others should wait for one station.
        intake.be(answer_seconds=60)
        station = await intake.add_station("clustered")
        queues = wire.station_queues(station=station.id, secret=station.secret)
        stop = asyncio.Event()
        async with intake.consuming():
            submitting = asyncio.create_task(submit_for_ever(rabbitmq_cluster, station.id, stop))
            publishing = asyncio.create_task(publish_for_ever(intake, station.id, stop))
            await until(lambda: len(intake.desk.admitted) > 50)
            for queue in (wire.INTAKE_NORMAL, queues.inbox, queues.receipts):
                leader = await asyncio.to_thread(rabbitmq_cluster.leader_of, "/", queue)
                assert leader is not None
                await _kill_and_restart(rabbitmq_cluster, leader, intake)
            stop.set()
            submitted, published = await submitting, await publishing
            await until(
                lambda: submitted <= {one.message_id for one in intake.desk.admitted},
                within_s=60,
                what="everything confirmed is admitted",
            )

    async with wiretap(rabbitmq_cluster.brokers[0].url()) as tap:
        answered = {one.header.properties.correlation_id for one in await tap.drain(receipts_of(station))}
        delivered = [one.header.properties.message_id for one in await tap.drain(queues.inbox)]
        assert await tap.length(wire.DEAD) == 0
    assert len(submitted) > 100
    assert len(published) > 100
    assert submitted <= answered
    assert published <= set(delivered)
    assert len(delivered) == len(set(delivered))


async def _kill_and_restart(cluster: RabbitMQCluster, leader: RabbitMQNode, intake: Intake) -> None:
    await asyncio.to_thread(leader.kill)
    before = len(intake.desk.admitted)
    await until(lambda: len(intake.desk.admitted) > before + 50, within_s=60, what="work goes on without it")
    await asyncio.to_thread(leader.start)
    await asyncio.to_thread(_until_complete, cluster)


def _until_complete(cluster: RabbitMQCluster) -> None:
    wait_until(
        lambda: all(cluster.members_seen_by(node) == len(cluster.nodes) for node in cluster.nodes),
        within_s=60,
        what="the cluster is complete again",
    )
