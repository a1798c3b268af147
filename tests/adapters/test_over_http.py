"""The station's client over HTTP: the whole contract, and what is HTTP's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.errors import NotFound, NotPossible, Recalled, StationError
from adapters.station import Credentials, Station
from axis.core.exchange import Outcome, load, read_answer
from axis.core.model import DeliveryState, DocumentKey, StationId
from signing.note import VerifierKey
from tests.adapters.contract import StationContract, first, package, until
from tests.adapters.worlds import HTTP_LIMITS, HTTPWorld, http_world
from tests.services.proxy import TCPProxy


@pytest.fixture(name="world")
async def _world(tmp_path: Path, tcp_proxy: Callable[[str], TCPProxy]) -> AsyncIterator[HTTPWorld]:
    async with http_world(tmp_path / "axis", tcp_proxy) as world:
        yield world


class TestContract(StationContract):
    """Everything a station may rely on."""


async def test_whoami_tells_what_to_pin(world: HTTPWorld) -> None:
    """Name, policy and the axis's keys."""
    async with world.connect() as station:
        who = await station.whoami()

    assert world.credentials.station == who.station
    keys = tuple(VerifierKey.read(one) for one in who.log_keys)
    assert {*world.trusted.receipts, *world.trusted.log} == set(keys)


async def test_an_earlier_answer_with_its_proof_in_the_log(world: HTTPWorld, tmp_path: Path) -> None:
    """Asked for later, by message id or submission, the receipt shows where it stands in the log."""
    async with world.connect(trusted=world.trusted, receipts=tmp_path) as station:
        first_answer = await station.submit(package(), message_id="earlier")
        later = await station.answer_to(message_id="earlier")
        same = await station.answer_to(submission=first_answer.submission)
        assert later.receipt is not None
        proven = station.verify_receipt(later.receipt)
        with pytest.raises(NotFound):
            await station.answer_to(message_id="never")

    assert first_answer.submission == later.submission == same.submission
    assert proven.index == 0
    kept = read_answer(load((tmp_path / f"{later.submission}.json").read_bytes()))
    assert kept.receipt is not None
    assert kept.receipt.proof is not None


async def test_a_listing_that_was_lost_is_asked_back(world: HTTPWorld) -> None:
    """Cut while the inbox is answered: what it listed counts as handed over, and still comes."""
    async with world.connect() as station, station.receive() as inbox:
        one = await world.offer(package(1))
        await (await first(inbox)).done()
        waiting = asyncio.ensure_future(anext(inbox))
        await asyncio.sleep(0.1)
        world.axis.lose_listings = world.network.cut
        two = await world.offer(package(2))
        async with asyncio.timeout(20):
            found = await waiting

    assert (two, one) == (found.key, next(iter(world.offered)))
    assert world.axis.resyncs >= 2


async def test_the_window_holds_back_what_the_caller_cannot_take(world: HTTPWorld) -> None:
    """With two documents in hand nothing more is listed; it stays for others to see as waiting."""
    documents = [await world.offer(package(number)) for number in range(5)]

    async with world.connect() as station, station.receive(window=2) as inbox:
        found = [await first(inbox) for _ in range(2)]
        waiting = asyncio.ensure_future(anext(inbox))
        await asyncio.sleep(0.2)
        states = [world.states(one)[0] for one in documents]
        await found[0].done()
        async with asyncio.timeout(10):
            third = await waiting

    assert states.count(DeliveryState.WAITING) == 3
    assert third.key not in {one.key for one in found}


# --- answers that are wrong ---------------------------------------------------------------------------------------

JSON = "Content-Type: application/json\r\n"
ANSWERS = {
    "html": f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n{'<html>busy</html>  '}",
    "list": f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: 2\r\n\r\n[]",
    "null members": f'HTTP/1.1 200 OK\r\n{JSON}Content-Length: 24\r\n\r\n{{"consignments":[null]}} ',
    "wrong types": f'HTTP/1.1 200 OK\r\n{JSON}Content-Length: 23\r\n\r\n{{"state":5,"events":7}} ',
    "deep": f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: 100000\r\n\r\n{'[' * 100000}",
    "not utf-8": f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: 2\r\n\r\n\udcff\udcfe",
    "empty": f"HTTP/1.1 200 OK\r\n{JSON}Content-Length: 0\r\n\r\n",
    "cut": f'HTTP/1.1 200 OK\r\n{JSON}Content-Length: 500\r\n\r\n{{"type":',
    "redirect": "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "proxy error": "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\n<html",
    "teapot": "HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n",
    "not http": "SSH-2.0-OpenSSH_9\r\n",
    "nothing": "",
    "long header": f"HTTP/1.1 200 OK\r\nX: {'x' * 300_000}\r\n\r\n",
    "bad chunks": f"HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "compressed": f"HTTP/1.1 200 OK\r\n{JSON}Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx",
}


@asynccontextmanager
async def impostor(answer: str) -> AsyncIterator[str]:
    """Something that answers every request with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(65_536)
            writer.write(answer.encode(errors="surrogateescape"))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.parametrize("name", sorted(ANSWERS))
async def test_whatever_answers_only_station_errors_are_raised(name: str, tmp_path: Path) -> None:
    """Pages of proxies, garbage, half answers: every call ends in time with an error of this package."""
    credentials = Credentials(station=StationId("bo-noi-vu"), key="bo-noi-vu." + "k" * 43)
    (tmp_path / "large").write_bytes(b"<" * (9 * 1024 * 1024))

    async with (
        impostor(ANSWERS[name]) as url,
        Station(url, credentials, http_limits=HTTP_LIMITS) as station,
    ):
        for attempt in (
            station.submit(package(), within=0.5),
            station.submit(tmp_path / "large", within=0.5),
            station.where_is("x", within=0.5),
            station.whoami(within=0.5),
            station.answer_to(message_id="x", within=0.5),
            station.resync(within=0.5),
            station.witness(within=0.5),
        ):
            async with asyncio.timeout(10):
                with contextlib.suppress(StationError):
                    await attempt
        async with station.receive() as inbox:
            waiting = asyncio.ensure_future(anext(inbox))
            done, _ = await asyncio.wait({waiting}, timeout=0.5)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert not done, "nothing was handed out, and receiving goes on"


@pytest.mark.parametrize(
    ("url", "http"),
    [
        ("http://axis.example", None),
        ("amqp://axis.example/axis", None),
        ("https://axis.example", "http://axis.example"),
        ("ftp://axis.example", None),
        ("axis.example", None),
        ("https://", None),
        ("https://axis.example:port", None),
        ("amqps://axis.example", "amqps://axis.example"),
    ],
)
def test_addresses_that_cannot_work_are_refused_before_a_key_is_sent(url: str, http: str | None) -> None:
    """No TLS beyond this machine, no scheme, no host: said at once, without the key."""
    credentials = Credentials(station=StationId("bo-noi-vu"), key="bo-noi-vu.secret")

    with pytest.raises(NotPossible) as error:
        Station(url, credentials, http=http)

    assert "secret" not in str(error.value) + repr(credentials)
    if url.startswith("http://"):
        Station(url, credentials, http=http, unsafe_without_tls=True)


# --- a lazy inbox -------------------------------------------------------------------------------------------------


async def test_a_lazy_inbox_hands_out_headers(world: HTTPWorld) -> None:
    """`fetched` is said when the bytes were loaded, once; `done` also without them."""
    one, two = [await world.offer(package(number)) for number in range(2)]

    async with world.connect() as station, station.receive(lazy=True) as inbox:
        found = {document.key: document for document in [await first(inbox), await first(inbox)]}
        assert not found[one].is_loaded
        assert world.outcomes(one) == []
        await asyncio.gather(found[one].load(), found[one].load())
        taken = found[one].body
        found[one].unload()
        await found[one].load()
        await found[one].done()
        await found[two].done()

    assert taken == package(0)
    assert world.outcomes(two) == [Outcome.DONE]
    assert world.outcomes(one)[-1] is Outcome.DONE
    assert world.states(one) == world.states(two) == [DeliveryState.ACKNOWLEDGED]


async def test_a_lazy_document_that_was_recalled_has_no_bytes(world: HTTPWorld) -> None:
    """The axis hears `withdrawn`, the caller `Recalled`; nothing more is to be done."""
    document = await world.offer(package())

    async with world.connect() as station, station.receive(lazy=True) as inbox:
        found = await first(inbox)
        await world.recall(document)
        with pytest.raises(Recalled):
            await found.load()
        await found.done()

    assert found.outcome is Outcome.WITHDRAWN
    assert world.outcomes(document) == [Outcome.WITHDRAWN]


async def test_what_is_held_long_is_recognised_however_often_it_is_offered(world: HTTPWorld) -> None:
    """Offered again and again while it is in hand, it takes no more room and is not handed out twice."""
    document = await world.offer(package(1))

    async with world.connect() as station, station.receive(lazy=True, window=3) as inbox:
        found = await first(inbox)
        for _ in range(10):
            await station.resync()
            waiting = asyncio.ensure_future(anext(inbox))
            await until(lambda: world.states(document) == [DeliveryState.HANDED_OVER])
            waiting.cancel()
            await asyncio.wait({waiting})
        two = await world.offer(package(2))
        assert (await first(inbox)).key == two
        await found.done()

    assert world.states(document) == [DeliveryState.ACKNOWLEDGED]


async def test_the_bytes_of_a_document_once_more(world: HTTPWorld) -> None:
    """By its id, without saying anything of it; another's is not found."""
    document = await world.offer(package())

    async with world.connect() as station:
        body = await station.fetch(document)
        with pytest.raises(NotFound):
            await station.fetch(DocumentKey("01KJN0VQ8R4N6P2T3V5W7X9Y1Z"))

    assert body == package()
    assert world.outcomes(document) == []
