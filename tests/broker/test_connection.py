"""A broker that goes away in the middle of the greeting is a broker that is not there, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pamqp import commands, frame

from adapters.errors import NotAnswered
from adapters.over_amqp import Link as StationLink
from axis.broker.connection import BrokerAddress, Link
from axis.core.errors import ServiceUnavailable


@pytest.fixture
async def leaving() -> AsyncIterator[str]:
    """The address of a server that says hello and hangs up, as a node does that is just being killed."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        hello = commands.Connection.Start(0, 9, {}, "PLAIN", "en_US")
        writer.write(frame.marshal(hello, 0))
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield f"amqp://one:word@127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_a_hub_tries_again(leaving: str) -> None:
    link = Link(BrokerAddress(urls=(leaving,), connect_seconds=5), name="test")

    with pytest.raises(ServiceUnavailable):
        await link.open_channel(confirms=True)

    await link.close()


async def test_a_station_tries_again(leaving: str) -> None:
    link = StationLink(leaving, tls=None, connect_seconds=5)

    with pytest.raises(NotAnswered):
        await link.open_channel(confirms=True)
