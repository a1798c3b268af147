"""A broker that goes away in the middle of the greeting is a broker that is not there, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

import adapters.amqp_link
import axis.broker.connection
from adapters.errors import NotAnswered
from axis.broker.connection import BrokerAddress, Link
from axis.broker.envelope import GuardedTransport
from axis.core.errors import ServiceUnavailable


class Late(GuardedTransport):
    """Begins to read when the other end has hung up: what the library then raises is no error of a connection."""

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await super().create(url, **kwargs)
        async with asyncio.timeout(5):
            while not reader.at_eof():  # noqa: ASYNC110 - a stream has no event for it
                await asyncio.sleep(0)
        return reader, writer


@pytest.fixture
async def leaving() -> AsyncIterator[str]:
    """The address of a server that hangs up before it says anything, as a node does that is just being killed."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        yield f"amqp://one:word@127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_a_hub_tries_again(leaving: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axis.broker.connection, "GuardedTransport", Late)
    link = Link(BrokerAddress(urls=(leaving,), connect_seconds=5), name="test")

    with pytest.raises(ServiceUnavailable):
        await link.open_channel(confirms=True)

    await link.close()


async def test_a_station_tries_again(leaving: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters.amqp_link, "_Transport", Late)
    link = adapters.amqp_link.Link(leaving, tls=None, connect_seconds=5)

    with pytest.raises(NotAnswered):
        await link.open_channel(confirms=True)
