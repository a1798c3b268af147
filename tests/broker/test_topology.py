"""The topology: declared as often as one likes, and a difference is said and not papered over."""

from __future__ import annotations

import re

import pytest

from axis.broker import wire
from axis.broker.connection import BrokerAddress, Link
from axis.broker.topology import TopologyDiffers, declare, hub_topology, station_topology
from tests.broker.desk import a_station, until
from tests.broker.wiretap import wiretap
from tests.services.rabbitmq import Vhost


async def declare_hub(vhost: Vhost) -> None:
    link = Link(BrokerAddress(urls=(vhost.url,)), name="topology test")
    try:
        await declare(await link.open_channel(), hub_topology())
    finally:
        await link.close()


async def test_declaring_twice_changes_nothing(vhost: Vhost) -> None:
    await declare_hub(vhost)
    before = vhost.api("GET", "definitions/{vhost}")

    await declare_hub(vhost)

    assert vhost.api("GET", "definitions/{vhost}") == before


async def test_another_queue_of_the_same_name_is_said(vhost: Vhost) -> None:
    queues = wire.station_queues(station=a_station("differs").id, secret="0123456789abcdef")
    link = Link(BrokerAddress(urls=(vhost.url,)), name="topology test")
    async with wiretap(vhost.url) as tap:
        await tap.channel.queue_declare(queues.inbox, durable=True)
    try:
        await declare(await link.open_channel(), hub_topology())

        with pytest.raises(TopologyDiffers, match="axis broker plan") as raised:
            await declare(await link.open_channel(), station_topology(queues))
    finally:
        await link.close()

    assert raised.value.name == queues.inbox


@pytest.mark.parametrize(
    ("exchange", "key", "queue"),
    [
        (wire.SUBMIT, "edoc.urgent.so-y-te", wire.INTAKE_URGENT),
        (wire.SUBMIT, "edoc.normal.so-y-te", wire.INTAKE_NORMAL),
        (wire.SUBMIT, "status.normal.so-y-te", wire.INTAKE_STATUS),
        (wire.ACK, "so-y-te", wire.INTAKE_ACK),
        (wire.SUBMIT, "edoc.express.so-y-te", wire.UNROUTED),
        (wire.SUBMIT, "status.urgent.so-y-te", wire.UNROUTED),
        (wire.SUBMIT, "", wire.UNROUTED),
        (wire.ACK, "so.y.te", wire.UNROUTED),
    ],
)
async def test_every_key_leads_somewhere(vhost: Vhost, exchange: str, key: str, queue: str) -> None:
    await declare_hub(vhost)
    async with wiretap(vhost.url) as tap:
        await tap.publish(exchange, key, b"here", message_id="m")

        message = await tap.take(queue)

    assert message is not None
    assert message.body == b"here"


async def test_what_comes_back_too_often_is_moved_and_kept(vhost: Vhost) -> None:
    """Beyond the delivery limit a message lies in axis.dead, with the queue it died in as the newest entry."""
    await declare_hub(vhost)
    async with wiretap(vhost.url) as tap:
        await tap.publish(
            wire.SUBMIT,
            "edoc.normal.x",
            b"poison",
            headers={"x-death": [{"queue": "station.forged", "reason": "rejected", "count": 3}]},
        )
        tries = 0
        while (await tap.length(wire.INTAKE_NORMAL)) or tries <= wire.DELIVERY_LIMIT:
            message = await tap.channel.basic_get(wire.INTAKE_NORMAL, timeout=10)
            if message.delivery_tag is None:
                break
            tries += 1
            await tap.channel.basic_nack(message.delivery_tag, requeue=True)
        dead = await tap.expect(wire.DEAD)

    assert tries == wire.DELIVERY_LIMIT + 1
    assert dead.body == b"poison"
    headers = dead.header.properties.headers
    assert headers is not None
    deaths = headers["x-death"]
    assert isinstance(deaths, list)
    newest = deaths[0]
    assert isinstance(newest, dict)
    assert (newest["queue"], newest["reason"]) == (wire.INTAKE_NORMAL, "delivery_limit")


def test_station_queue_names_end_in_the_secret() -> None:
    """Whoever does not know the sixteen characters cannot guess a name."""
    station = a_station("so-y-te")
    topology = station_topology(wire.station_queues(station=station.id, secret=station.secret))

    names = [queue.name for queue in topology.queues]

    assert all(re.fullmatch(rf"station\.so-y-te\.{station.secret}\.\w+", name) for name in names)
    assert [binding.queue for binding in topology.bindings] == names


@pytest.mark.parametrize("name", ["", "a", "UPPER", "a.b", "a#", "x" * 32, "-a", "a\n", "đ-a"])
def test_a_name_that_needs_escaping_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="station id"):
        wire.station_queues(station=a_station(name).id, secret="0123456789abcdef")


async def test_all_quorum_queues_bury_and_never_expire(vhost: Vhost) -> None:
    """As the broker tells it: no TTL and no length limit that deletes; at-least-once dead-lettering in effect."""
    await declare_hub(vhost)

    def found() -> list[dict[str, object]]:
        queues = vhost.api("GET", "queues/{vhost}")
        assert isinstance(queues, list)
        return [queue for queue in queues if queue["name"] in wire.INTAKES]

    queues = await until(
        lambda: (q := found()) and len(q) == len(wire.INTAKES) and q, what="queues are listed"
    )
    assert queues
    for queue in queues:
        arguments = queue["arguments"]
        assert isinstance(arguments, dict)
        assert arguments["x-queue-type"] == "quorum"
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-overflow"] == "reject-publish"
        assert not {"x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes"} & set(arguments)
