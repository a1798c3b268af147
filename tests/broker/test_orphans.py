"""A consumer that the broker keeps although nobody is there, and the messages in its hands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiormq
import pytest

from axis.broker import wire
from axis.broker.management import Management
from axis.broker.orphans import Orphaned, orphaned
from axis.broker.topology import declare, hub_topology
from axis.checkup import examine
from axis.settings import read_settings
from tests.broker.desk import until
from tests.broker.surgery import haunt_queue
from tests.broker.wiretap import wiretap
from tests.services.rabbitmq import RabbitMQCluster, RabbitMQNode

_AHEAD, _ALL = 32, 40
"""What the dead consumer takes for itself, and how many messages there are."""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_dead_consumer_is_told_and_another_leader_gives_out_what_it_had(
    rabbitmq_cluster: RabbitMQCluster, tmp_path: Path
) -> None:
    """What `axis doctor` says of it, and that what it advises helps: the leader is started again."""
    cluster = rabbitmq_cluster
    settings = read_settings(
        {
            "AXIS_HOME": str(tmp_path),
            "AXIS_BROKER_URL": ",".join(one.url() for one in cluster.brokers),
            "AXIS_BROKER_MANAGEMENT_URL": cluster.brokers[0].management_url,
        }
    )
    leader = await _leader_of_empty_acks(cluster)
    other = next(one for one in cluster.nodes if one is not leader)
    async with (
        Management(other.broker.management_url, vhost="/") as management,
        wiretap(other.broker.url()) as client,
    ):
        assert await orphaned(management) == []

        haunt_queue(leader, wire.INTAKE_ACK, prefetch=_AHEAD)
        for number in range(_ALL):
            await client.publish(wire.ACK, "a01", message_id=f"m-{number}")
        seen = len(await client.drain(wire.INTAKE_ACK))
        told: list[Orphaned] = []
        for _ in range(60):
            # The broker's numbers come late, and its two lists not together.
            if told := await orphaned(management, again_seconds=1):
                break
            await asyncio.sleep(0.5)
        (finding,) = [one for one in await examine(settings) if one.name == "queues"]

        leader.kill()
        leader.start()
        await client.grown_to(wire.INTAKE_ACK, _AHEAD, within_s=60)
        after = len(await client.drain(wire.INTAKE_ACK))

    assert (seen, after) == (_ALL - _AHEAD, _AHEAD)
    assert [(one.queue, one.leader, one.consumers) for one in told] == [(wire.INTAKE_ACK, leader.name, 1)]
    assert not finding.good
    assert finding.harmless
    assert wire.INTAKE_ACK in finding.what("vi")
    assert leader.name in finding.remedy("en")


async def _leader_of_empty_acks(cluster: RabbitMQCluster) -> RabbitMQNode:
    async with wiretap(cluster.brokers[0].url()) as client:
        assert isinstance(client.channel, aiormq.Channel)
        await declare(client.channel, hub_topology())
        await client.channel.queue_purge(wire.INTAKE_ACK)
    leader = await until(lambda: cluster.leader_of("/", wire.INTAKE_ACK), within_s=60, what="a leader")
    assert leader is not None
    return leader
