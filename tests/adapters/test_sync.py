"""The blocking face: the same calls from ordinary threads, and Ctrl-C ends a call and not the station."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from adapters.errors import Closed, MemoryUnusable, NotFound, NotPossible
from adapters.station import Credentials
from adapters.sync import SyncStation
from axis.core.events import EventKind
from axis.core.model import DeliveryState, Kind, StationId, SubmissionState
from axis.edxml.message import StatusCode
from tests.adapters.contract import package, until
from tests.adapters.worlds import HTTP_LIMITS, HTTPWorld, http_world
from tests.services.proxy import TCPProxy


@pytest.fixture(name="world")
async def _world(tmp_path: Path, tcp_proxy: Callable[[str], TCPProxy]) -> AsyncIterator[HTTPWorld]:
    async with http_world(tmp_path / "axis", tcp_proxy) as world:
        yield world


def station_of(world: HTTPWorld, **settings: object) -> SyncStation:
    return SyncStation(
        world.network.url(world.url),
        world.credentials,
        http_limits=HTTP_LIMITS,
        trusted=world.trusted,
        **settings,
    )


async def test_a_simple_script(world: HTTPWorld, tmp_path: Path) -> None:
    """Submit, receive, save, answer, done, ask: without a loop in sight."""
    documents = [await world.offer(package(number)) for number in range(3)]
    told = await world.tell(EventKind.DELIVERY_FETCHED)

    def script() -> tuple[list[str], list[str]]:
        taken: list[str] = []
        with station_of(world, state=tmp_path / "state") as station:
            sent = station.submit(package(9))
            assert sent.state is SubmissionState.ACCEPTED
            assert sent.receipt is not None
            station.verify_receipt(sent.receipt)
            assert sent.document is not None
            assert len(station.where_is(sent.document).deliveries) == 2
            assert station.answer_to(message_id=sent.message_id).submission == sent.submission
            assert station.whoami().station == world.credentials.station
            assert station.witness() is not None
            station.resync()
            with pytest.raises(NotFound):
                station.where_is("nothing")
            for document in station.receive(within=2):
                document.save(tmp_path / document.key)
                assert document.report().is_proven
                assert document.message().kind is Kind.EDOC
                station.answer(document, StatusCode.ARRIVED)
                document.done()
                taken.append(document.key)
                if len(taken) == len(documents):
                    break
            events = [one.record for one in station.events(within=0.5)]
            assert list(station.receipts(within=0.1)) == []
        return taken, events

    taken, events = await asyncio.to_thread(script)

    assert sorted(documents) == sorted(taken)
    assert [told] == events
    assert {DeliveryState.ACKNOWLEDGED} == {world.states(one)[0] for one in documents}
    assert package(0) in {(tmp_path / one).read_bytes() for one in taken}


async def test_an_interrupted_wait_leaves_the_station_usable(world: HTTPWorld) -> None:
    """The signal of Ctrl-C arrives while the caller waits for a document."""
    outcome: list[str] = []

    def script(station: SyncStation) -> None:
        waiting = iter(station.receive())
        # `signal` works in the main thread only; elsewhere this is what its handler does.
        interrupter = threading.Timer(0.3, station._both()[0]._loop.call_soon_threadsafe, (cancel_all,))
        interrupter.start()
        with pytest.raises(Closed):
            next(waiting)
        outcome.append(station.submit(package()).state.value)

    def cancel_all() -> None:
        for task in asyncio.all_tasks():
            if "_next" in repr(task.get_coro()):
                task.cancel()

    with station_of(world) as station:
        await asyncio.to_thread(script, station)

    assert outcome == ["accepted"]


def test_ctrl_c_reaches_the_caller() -> None:
    """KeyboardInterrupt ends the call at once, and closing still works."""
    credentials = Credentials(station=StationId("bo-noi-vu"), key="bo-noi-vu.k")
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    begun = time.monotonic()

    with SyncStation("http://127.0.0.1:1", credentials) as station, pytest.raises(KeyboardInterrupt):
        station.submit(package())

    assert time.monotonic() - begun < 10


def test_wrong_settings_and_a_closed_station_say_so(tmp_path: Path) -> None:
    """At once, with this package's errors, and no thread is left behind."""
    credentials = Credentials(station=StationId("bo-noi-vu"), key="bo-noi-vu.k")
    threads = threading.active_count()
    with pytest.raises(NotPossible):
        SyncStation("ftp://axis.example", credentials)
    (tmp_path / "memory.jsonl").write_text('{"v":1,"station":"somebody-else"}\n')
    with pytest.raises(MemoryUnusable):
        SyncStation("http://127.0.0.1:1", credentials, state=tmp_path).open()
    station = SyncStation("http://127.0.0.1:1", credentials)
    with station:
        pass
    with pytest.raises(Closed):
        station.submit(b"<x/>")

    assert threads == threading.active_count()


async def test_closing_from_another_thread_ends_the_wait(world: HTTPWorld) -> None:
    """A script that waits for documents ends when the station is closed."""
    station = station_of(world)
    await asyncio.to_thread(station.open)
    waiting = asyncio.ensure_future(asyncio.to_thread(lambda: list(station.receive())))
    await until(lambda: world.axis.resyncs > 0)

    await asyncio.to_thread(station.close)
    async with asyncio.timeout(10):
        taken = await waiting

    assert taken == []
