"""Push: signed, byte for byte, done only after 2xx, and nothing is failed because the endpoint is down."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters import webhook
from adapters.errors import NotPossible
from adapters.machine import SystemClock
from adapters.station import Credentials, Station
from adapters.webhook import Webhook, is_genuine, signed_headers
from axis.core.exchange import Outcome, read_consignment
from axis.core.model import DeliveryState, StationId
from tests.adapters.contract import package, until
from tests.adapters.worlds import HTTPWorld, http_world
from tests.services.processes import free_port
from tests.services.proxy import TCPProxy

SECRET = b"s" * 32
NOON = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


@pytest.fixture(name="world")
async def _world(tmp_path: Path, tcp_proxy: Callable[[str], TCPProxy]) -> AsyncIterator[HTTPWorld]:
    async with http_world(tmp_path / "axis", tcp_proxy) as world:
        yield world


@dataclass
class System:
    """An agency's own system with one endpoint."""

    url: str
    answers: list[tuple[int, str]] = field(default_factory=list)
    """What to answer next; 200 when nothing is said."""
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Requests that were answered 2xx."""
    calls: int = 0

    async def post(self, request: Request) -> Response:
        body = await request.body()
        self.calls += 1
        headers = dict(request.headers)
        if not is_genuine(headers, body, secret=SECRET, now=datetime.now(UTC)):
            return Response("who are you?", status_code=401)
        status, text = self.answers.pop(0) if self.answers else (200, "")
        if 200 <= status < 300:
            self.taken.append((headers, body))
        return Response(text, status_code=status, headers={"Retry-After": "0", "Location": self.url})

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        port = int(self.url.rpartition(":")[2].partition("/")[0])
        app = Starlette(routes=[Route("/dms/inbox", self.post, methods=["POST"])])
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_config=None)
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # the test's own
        serving = asyncio.ensure_future(server.serve())
        await until(lambda: server.started)
        try:
            yield
        finally:
            server.should_exit = True
            await serving


@pytest.fixture(name="system")
def _system() -> System:
    return System(url=f"http://127.0.0.1:{free_port()}/dms/inbox")


@asynccontextmanager
async def pushing(world: HTTPWorld, system: System, *, secret: bytes = SECRET) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with world.connect() as station:
        hook = Webhook(station, system.url, secret=secret, clock=SystemClock(), longest_pause_seconds=0.1)
        running = asyncio.ensure_future(hook.run(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await running


async def test_a_document_is_pushed_signed_and_then_done(world: HTTPWorld, system: System) -> None:
    """Byte for byte; the header says what the axis says of it."""
    document = await world.offer(package())

    async with system.up(), pushing(world, system):
        await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    ((headers, body),) = system.taken
    assert body == package()
    assert headers["idempotency-key"] == document
    said = read_consignment(json.loads(base64.urlsafe_b64decode(headers["x-axis-consignment"])))
    assert (said.document, said.tier) == (document, "passed")


async def test_a_system_that_is_down_is_waited_for(world: HTTPWorld, system: System) -> None:
    """Nothing is said to have failed; when it comes back everything is pushed, once each."""
    documents = [await world.offer(package(number)) for number in range(6)]

    async with pushing(world, system):
        await until(lambda: Outcome.FETCHED in world.outcomes(documents[3]))
        async with system.up():
            await until(lambda: {DeliveryState.ACKNOWLEDGED} == {world.states(one)[0] for one in documents})

    assert sorted(documents) == sorted(headers["idempotency-key"] for headers, _ in system.taken)
    assert not any(Outcome.FAIL in world.outcomes(one) for one in documents)


async def test_an_answer_that_may_pass_is_tried_again(world: HTTPWorld, system: System) -> None:
    """503 and 429, then 204: done, and no failure is told."""
    system.answers = [(503, "busy"), (429, ""), (500, "<html>"), (204, "")]
    document = await world.offer(package())

    async with system.up(), pushing(world, system):
        await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    assert system.calls == 4
    assert world.outcomes(document) == [Outcome.FETCHED, Outcome.DONE]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 302])
async def test_a_no_of_the_system_is_told_with_its_words(
    world: HTTPWorld, system: System, status: int
) -> None:
    """The axis hears why and offers it again; the next attempt is taken. A redirect is not followed."""
    system.answers = [(status, "thiếu số đến\nxin thử lại")]
    document = await world.offer(package())

    async with system.up(), pushing(world, system):
        await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    assert Outcome.FAIL in world.outcomes(document)
    (failure,) = [one for said in world.axis.sayings for one in said if one.outcome is Outcome.FAIL]
    assert failure.reason == f"HTTP {status} thiếu số đến xin thử lại"


async def test_a_document_the_system_chokes_on_does_not_stop_the_others(
    world: HTTPWorld, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered 500 every time, it is failed after a number of tries, and makes room."""
    monkeypatch.setattr(webhook, "TRIES", 3)
    system.answers = [(500, "bug")] * 3
    one = await world.offer(package(1))

    async with system.up(), pushing(world, system):
        await until(lambda: Outcome.FAIL in world.outcomes(one))
        two = await world.offer(package(2))
        await until(lambda: world.states(two) == [DeliveryState.ACKNOWLEDGED])

    assert world.outcomes(one)[:2] == [Outcome.FETCHED, Outcome.FAIL]


async def test_another_secret_is_refused_by_the_system(world: HTTPWorld, system: System) -> None:
    """The endpoint believes nobody who does not share the secret."""
    document = await world.offer(package())

    async with system.up(), pushing(world, system, secret=b"x" * 32):
        await until(lambda: Outcome.FAIL in world.outcomes(document))

    assert system.taken == []


def test_what_is_genuine() -> None:
    """Any change of header, body or time is noticed."""
    body = b"document"
    digest = hashlib.sha256(body).hexdigest()
    headers = signed_headers(consignment="e30=", digest=digest, document="01K", at=NOON, secret=SECRET)

    assert is_genuine(headers, body, secret=SECRET, now=NOON)
    assert is_genuine({one.upper(): two for one, two in headers.items()}, body, secret=SECRET, now=NOON)
    assert not is_genuine(headers, body + b" ", secret=SECRET, now=NOON)
    assert not is_genuine(headers, body, secret=b"y" * 32, now=NOON)
    assert not is_genuine(headers, body, secret=SECRET, now=NOON + timedelta(minutes=6))
    for name in (webhook.CONSIGNMENT, webhook.DIGEST, webhook.TIMESTAMP, webhook.IDEMPOTENCY_KEY):
        assert not is_genuine({**headers, name: "1"}, body, secret=SECRET, now=NOON)
        assert not is_genuine(
            {one: two for one, two in headers.items() if one != name}, body, secret=SECRET, now=NOON
        )
    assert not is_genuine({**headers, webhook.SIGNATURE: "v1=\udcff"}, body, secret=SECRET, now=NOON)


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://dms.example/x", SECRET),
        ("ftp://127.0.0.1", SECRET),
        ("https://", SECRET),
        ("https://dms.example", b"short"),
    ],
)
async def test_settings_that_cannot_work_are_refused(url: str, secret: bytes) -> None:
    """No TLS beyond this machine, no address, a secret that could be guessed."""
    credentials = Credentials(station=StationId("bo-noi-vu"), key="bo-noi-vu.k")

    with pytest.raises(NotPossible):
        Webhook(Station("http://127.0.0.1:1", credentials), url, secret=secret, clock=SystemClock())
