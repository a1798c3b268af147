"""The private RabbitMQ nodes do what the tests that rely on them believe."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

import aio_pika
import aiormq
import pytest

from tests.services.processes import is_listening, lives
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import Broker, ManagementError, RabbitMQCluster, RabbitMQNode, Vhost
from tests.services.tls import Authority


async def _declare_quorum(url: str, name: str) -> None:
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})


async def _publish(url: str, queue: str, body: bytes) -> None:
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        message = aio_pika.Message(
            body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, message_id=body.hex()
        )
        await channel.default_exchange.publish(message, routing_key=queue, mandatory=True, timeout=10)


async def _take(url: str, queue: str) -> bytes:
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        channel = await connection.channel()
        found = await (await channel.get_queue(queue)).get(timeout=20, no_ack=True)
        assert found is not None
        return found.body


async def test_a_virtual_host_takes_and_gives_back_a_message(vhost: Vhost) -> None:
    """A module's virtual host is a working broker."""
    await _declare_quorum(vhost.url, "inbox")
    await _publish(vhost.url, "inbox", b"one")

    taken = await _take(vhost.url, "inbox")

    assert taken == b"one"
    assert vhost.queue_names() == ["inbox"]


async def test_a_user_has_only_the_rights_it_was_given(vhost: Vhost) -> None:
    """A user without the right to configure cannot declare a queue."""
    url = vhost.add_user("reader", "word", read="^inbox$")

    with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
        await _declare_quorum(url, "other")


def test_virtual_hosts_do_not_see_each_other(broker: Broker, vhost: Vhost) -> None:
    """A second virtual host is empty, and is gone once removed."""
    second = broker.make_vhost()
    names = second.queue_names()

    second.remove()

    assert names == []
    with pytest.raises(ManagementError):
        second.queue_names()


async def test_a_killed_node_comes_back_with_its_messages(rabbitmq_node: RabbitMQNode) -> None:
    """A confirmed persistent message in a quorum queue outlives SIGKILL of the broker."""
    url = rabbitmq_node.broker.url()
    await _declare_quorum(url, "inbox")
    await _publish(url, "inbox", b"survivor")
    rabbitmq_node.await_queue_on_disk("inbox")

    rabbitmq_node.kill()
    down = is_listening(rabbitmq_node.port)
    await asyncio.to_thread(rabbitmq_node.start)

    assert not down
    assert await _take(url, "inbox") == b"survivor"


async def test_a_frozen_node_answers_again_when_thawed(
    rabbitmq_node: RabbitMQNode, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """SIGSTOP makes a node silent without closing anything; SIGCONT undoes it."""
    url = rabbitmq_node.broker.url()
    await _declare_quorum(url, "inbox")
    rabbitmq_node.freeze()
    with pytest.raises((TimeoutError, ConnectionError)):
        async with asyncio.timeout(0.5):
            await _publish(url, "inbox", b"early")

    rabbitmq_node.thaw()

    await _publish(url, "inbox", b"late")
    assert await _take(url, "inbox") == b"late"


def test_nothing_of_a_removed_node_is_left(services_folder: object, rabbitmq_node: RabbitMQNode) -> None:
    """Server, port mapper and folder are gone once a node is removed."""
    leashes = [rabbitmq_node.pid, *rabbitmq_node.leash_pids]

    rabbitmq_node.remove()

    assert [lives(pid) for pid in leashes] == [False, False, False]
    assert not rabbitmq_node.folder.exists()


async def test_a_tls_node_knows_a_client_by_its_certificate(
    rabbitmq_tls_node: RabbitMQNode, tls_authority: Authority
) -> None:
    """EXTERNAL login: the common name of the certificate is the user, no password is sent."""
    broker = rabbitmq_tls_node.broker
    broker.api("PUT", "users/station-one", {"password_hash": "", "tags": ""})
    broker.make_vhost("tls")
    broker.api("PUT", "permissions/tls/station-one", {"configure": ".*", "write": ".*", "read": ".*"})
    certificate = tls_authority.issue("station-one")
    context = ssl.create_default_context(cafile=str(tls_authority.ca_file))
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    url = f"amqps://localhost:{broker.port}/tls?auth=external"

    connection = await aio_pika.connect(url, ssl_context=context, timeout=10)

    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("of-station-one", exclusive=True)
        assert queue.name == "of-station-one"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_cluster_loses_its_leader_and_no_message(rabbitmq_cluster: RabbitMQCluster) -> None:
    """A confirmed message can be taken from another node after the queue's leader was killed; it then rejoins."""
    vhost = rabbitmq_cluster.brokers[0].make_vhost()
    await _declare_quorum(vhost.url, "inbox")
    leader = rabbitmq_cluster.leader_of(vhost.name, "inbox")
    assert leader is not None
    other = next(node for node in rabbitmq_cluster.nodes if node is not leader)
    await _publish(vhost.url, "inbox", b"survivor")

    leader.kill()
    taken = await _eventually(lambda: _take(other.broker.url(vhost=vhost.name), "inbox"))
    await asyncio.to_thread(leader.start)

    assert taken == b"survivor"
    assert rabbitmq_cluster.members_seen_by(leader) == 3


async def _eventually(ask: Callable[[], Awaitable[bytes]]) -> bytes:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(
                aio_pika.exceptions.AMQPError, aio_pika.exceptions.QueueEmpty, ConnectionError, TimeoutError
            ):
                return await ask()
            await asyncio.sleep(0.2)
