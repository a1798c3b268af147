"""The breakable connection breaks in exactly the way it says, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from tests.services.proxy import TCPProxy


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """A server that sends back what it gets; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"tcp://user:word@127.0.0.1:{server.sockets[0].getsockname()[1]}/path"
    server.close()


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, body: bytes) -> bytes:
        self._writer.write(body)
        await self._writer.drain()
        return await self._reader.readexactly(len(body))

    def close(self) -> None:
        self._writer.transport.abort()


async def _client(proxy: TCPProxy) -> _Client:
    return _Client(*await asyncio.open_connection(proxy.host, proxy.port))


async def test_bytes_pass_unchanged(echo: str, tcp_proxy: Callable[[str], TCPProxy]) -> None:
    """Both ways, also more than one piece; the address keeps everything but host and port."""
    proxy = tcp_proxy(echo)
    client = await _client(proxy)
    body = bytes(range(256)) * 2_000

    back = await client.ask(body)

    assert back == body
    assert proxy.url(echo) == f"tcp://user:word@127.0.0.1:{proxy.port}/path"
    assert proxy.connections == 1
    client.close()


async def test_a_cut_resets_open_connections_and_takes_new_ones(
    echo: str, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """What is open breaks at once; the next connection works."""
    proxy = tcp_proxy(echo)
    client = await _client(proxy)
    await client.ask(b"before")

    proxy.cut()

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"after")
    client.close()
    again = await _client(proxy)
    assert await again.ask(b"again") == b"again"
    again.close()


async def test_a_frozen_connection_is_silent_until_thawed(
    echo: str, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """Nothing moves and nothing is lost."""
    proxy = tcp_proxy(echo)
    client = await _client(proxy)
    await client.ask(b"before")
    proxy.freeze()
    question = asyncio.create_task(client.ask(b"held back"))
    answered, _ = await asyncio.wait([question], timeout=0.2)

    proxy.thaw()

    assert answered == set()
    assert await asyncio.wait_for(question, 10) == b"held back"
    client.close()


async def test_a_closed_door_refuses_until_it_accepts(
    echo: str, tcp_proxy: Callable[[str], TCPProxy]
) -> None:
    """New connections are refused, then taken again on the same port."""
    proxy = tcp_proxy(echo)
    proxy.refuse()
    with pytest.raises(ConnectionError):
        await _client(proxy)

    proxy.accept()

    client = await _client(proxy)
    assert await client.ask(b"open") == b"open"
    client.close()


async def test_a_slow_connection_takes_its_time(echo: str, tcp_proxy: Callable[[str], TCPProxy]) -> None:
    """Each piece is held back on its way there and on its way back."""
    proxy = tcp_proxy(echo)
    client = await _client(proxy)
    proxy.slow(delay_s=0.1)
    began = asyncio.get_running_loop().time()

    await client.ask(b"x")

    assert asyncio.get_running_loop().time() - began >= 0.2
    client.close()
