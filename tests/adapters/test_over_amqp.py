"""The station's client over AMQP, with a real RabbitMQ: the whole contract, and what is AMQP's own."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.adapters.contract import StationContract
from tests.adapters.worlds import AMQPWorld, amqp_world
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import Vhost


@pytest.fixture(name="world")
async def _world(
    tmp_path: Path, vhost: Vhost, tcp_proxy: Callable[[str], TCPProxy], request: pytest.FixtureRequest
) -> AsyncIterator[AMQPWorld]:
    name = "t" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    async with amqp_world(tmp_path / "axis", vhost, tcp_proxy, name=name) as world:
        yield world


class TestContract(StationContract):
    """Everything a station may rely on."""
