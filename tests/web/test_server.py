"""The listener: who may connect, how certificates name stations, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from axis.core.errors import SettingsError
from axis.core.model import StationId
from axis.web import wire
from axis.web.app import create_app
from axis.web.server import TLS, serve, station_of_certificate
from tests.services.tls import Authority, Certificate
from tests.web.contract import Caller, calling, refused_with
from tests.web.memory import RECEIVER, SENDER, SUSPENDED, MemoryAxis, key_of
from tests.web.serving import Line, Running, eventually, running, until
from tests.web.test_contract import MemoryWorld


async def _refused(axis: MemoryAxis, *, host: str, port: int = 0, tls: TLS | None = None) -> str:
    """What `serve` says when it does not start."""
    with pytest.raises(SettingsError) as refused:
        await serve(create_app(axis.services()), host=host, port=port, tls=tls, stop=asyncio.Event())
    return str(refused.value)


# --- where it listens


@pytest.mark.threat("eavesdropping", control="no listener beyond loopback without TLS")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_beyond_this_machine_needs_tls(axis: MemoryAxis, host: str) -> None:
    """Said at the start, before the first byte of anybody's key."""
    assert "TLS" in await _refused(axis, host=host)


async def test_something_in_front_may_add_tls(axis: MemoryAxis) -> None:
    """Only when that is said on purpose."""
    stop = asyncio.Event()
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    serving = asyncio.create_task(
        serve(
            create_app(axis.services()),
            host="0.0.0.0",
            port=0,
            stop=stop,
            allow_plain=True,
            ready=listening.set_result,
        )
    )
    address = await listening
    stop.set()
    await serving

    assert address.startswith("http://0.0.0.0:")


async def test_a_port_in_use_is_said_with_its_number(axis: MemoryAxis) -> None:
    """What to mend, not a trace."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        said = await _refused(axis, host="127.0.0.1", port=port)

    assert f"127.0.0.1:{port}" in said
    assert "in use" in said


async def test_a_name_that_is_none_is_said(axis: MemoryAxis) -> None:
    """A name that leads nowhere."""
    assert "cannot listen" in await _refused(axis, host="no-such-host.invalid")


async def test_tls_files_that_are_none_are_said(axis: MemoryAxis, tmp_path: Path) -> None:
    """Missing or wrong."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for tls in (
        TLS(certificate=tmp_path / "missing.pem", key=tmp_path / "missing.key"),
        TLS(certificate=wrong, key=wrong),
    ):
        assert "TLS files" in await _refused(axis, host="127.0.0.1", tls=tls)


async def test_a_spool_that_cannot_be_made_is_said(axis: MemoryAxis) -> None:
    """Before the first large body is lost in it."""
    axis.folder.write_text("a file, not a folder")

    assert "cannot be used" in await _refused(axis, host="127.0.0.1")


# --- certificates


@pytest.fixture
async def secured(axis: MemoryAxis, tls_authority: Authority) -> AsyncIterator[Running]:
    own = tls_authority.issue("localhost", server=True)
    tls = TLS(certificate=own.cert_file, key=own.key_file, client_roots=tls_authority.ca_file)
    async with running(axis.services(), tls=tls) as server:
        yield server


@asynccontextmanager
async def shown(
    server: Running, authority: Authority, certificate: Certificate | None, **headers: str
) -> AsyncIterator[Caller]:
    """The API as the holder of a certificate sees it."""
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    if certificate is not None:
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
    async with httpx2.AsyncClient(
        base_url=server.url, verify=context, headers=headers, timeout=30, trust_env=False
    ) as client:
        yield Caller(client)


async def test_a_certificate_names_its_station(
    axis: MemoryAxis, secured: Running, tls_authority: Authority
) -> None:
    """No key is needed; everything works as with one."""
    world = MemoryWorld(url=secured.url, axis=axis)
    async with (
        shown(secured, tls_authority, tls_authority.issue(SENDER)) as sender,
        shown(secured, tls_authority, tls_authority.issue(RECEIVER)) as receiver,
    ):
        body = world.document(size=300_000)
        document = await sender.accepted(body)
        payload = await receiver.get(wire.path(wire.PAYLOAD, document))

        assert (await sender.whoami()).station == SENDER
        assert payload.content == body


async def test_a_key_works_over_tls_without_a_certificate(secured: Running, tls_authority: Authority) -> None:
    """A certificate is a choice."""
    async with shown(secured, tls_authority, None, Authorization=wire.bearer(key_of(SENDER))) as caller:
        assert (await caller.whoami()).station == SENDER
    async with shown(secured, tls_authority, None) as nobody:
        refused_with(await nobody.get(wire.WHOAMI), 401, "http.not_identified")


@pytest.mark.threat("one station acts as another", control="certificate and key must name the same station")
async def test_key_and_certificate_must_agree(secured: Running, tls_authority: Authority) -> None:
    """The key of one with the certificate of another is nobody."""
    certificate = tls_authority.issue(RECEIVER)
    async with shown(
        secured, tls_authority, certificate, Authorization=wire.bearer(key_of(SENDER))
    ) as caller:
        refused_with(await caller.get(wire.WHOAMI), 401, "http.not_identified")
    async with shown(
        secured, tls_authority, certificate, Authorization=wire.bearer(key_of(RECEIVER))
    ) as caller:
        assert (await caller.whoami()).station == RECEIVER
    async with shown(secured, tls_authority, certificate, Authorization="Bearer x") as caller:
        refused_with(await caller.get(wire.WHOAMI), 401, "http.not_identified")


async def test_a_certificate_of_no_station_may_not(secured: Running, tls_authority: Authority) -> None:
    """Suspended, not registered, and a name no station can have."""
    for name, status, code in (
        (SUSPENDED, 403, "receive.suspended"),
        ("khong-co", 403, "http.not_allowed"),
        ("Bộ Nội vụ", 401, "http.not_identified"),
    ):
        async with shown(secured, tls_authority, tls_authority.issue(name)) as caller:
            refused_with(await caller.get(wire.WHOAMI), status, code)


@pytest.mark.threat("one station acts as another", control="client certificates lead to the configured roots")
async def test_a_certificate_of_another_authority_is_no_connection(
    secured: Running, tls_authority: Authority, tmp_path: Path
) -> None:
    """Nor one that has expired, nor one made for servers."""
    other = Authority(tmp_path / "other", name="Another root")
    for certificate in (
        other.issue(SENDER),
        tls_authority.issue(SENDER, days=-1),
        tls_authority.issue(SENDER, server=True),
    ):
        async with shown(secured, tls_authority, certificate) as caller:
            with pytest.raises((httpx2.ReadError, httpx2.ConnectError, httpx2.RemoteProtocolError)):
                await caller.get(wire.WHOAMI)


async def test_old_tls_is_not_spoken(secured: Running, tls_authority: Authority) -> None:
    """1.2 is the least."""
    context = ssl.create_default_context(cafile=str(tls_authority.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", int(secured.url.rpartition(":")[2]), ssl=context)


@pytest.mark.parametrize(
    ("subject", "station"),
    [
        (((("commonName", "bo-noi-vu"),),), "bo-noi-vu"),
        (((("organizationName", "bo-noi-vu"),),), None),
        (((("commonName", "bo-noi-vu"),), (("commonName", "ha-noi"),)), None),
        (((("commonName", "bo-noi-vu\x00.evil"),),), None),
        (((("commonName", "bo-noi-vu\n"),),), None),
        (((("commonName", "BO-NOI-VU"),),), None),
        ((), None),
    ],
)
def test_only_one_plain_common_name_is_a_station(subject: object, station: str | None) -> None:
    """What could be read in two ways names nobody."""
    assert station_of_certificate({"subject": subject}) == (StationId(station) if station else None)
    assert station_of_certificate(None) is None


# --- the end


async def test_a_poll_is_answered_when_the_process_ends(axis: MemoryAxis) -> None:
    """At once and empty, so that the station can ask another process."""
    async with running(axis.services()) as server:
        world = MemoryWorld(url=server.url, axis=axis)
        async with calling(world, world.receiver) as receiver, calling(world, None) as anybody:
            poll = asyncio.create_task(receiver.inbox(wait=60))
            await eventually(
                lambda: anybody.client.get(wire.METRICS),
                lambda one: "axis_http_requests_under_way 2" in one.text,
            )
            async with asyncio.timeout(10):
                server.stop.set()

                assert await poll == ()
                await server.done


@pytest.mark.threat("a document is lost when a process ends", control="requests under way are done first")
async def test_a_submission_under_way_is_done_before_the_end(axis: MemoryAxis) -> None:
    """New connections are refused, readiness says no, and what was begun gets its answer."""
    async with running(axis.services()) as server:
        world = MemoryWorld(url=server.url, axis=axis)
        axis.admission.clear()
        kept_open = await Line.to(server.url)
        await kept_open.send(b"GET /readyz HTTP/1.1\r\nHost: axis\r\n\r\n")
        assert (await kept_open.reply()).status == 200
        async with calling(world, world.sender) as sender:
            submission = asyncio.create_task(sender.submit(world.document(size=300_000)))
            await until(lambda: list(axis.folder.iterdir()), what="the body has arrived")

            server.stop.set()
            await kept_open.closed()
            kept_open.close()
            with pytest.raises(ConnectionRefusedError):
                await _connect_until_refused(server.url)
            axis.admission.set()

            assert (await submission).document is not None
            await server.done
    assert list(axis.folder.iterdir()) == []


async def _connect_until_refused(url: str) -> None:
    async with asyncio.timeout(10):
        while True:
            (await Line.to(url)).close()
            await asyncio.sleep(0.01)


async def test_what_does_not_end_is_told_so(
    axis: MemoryAxis, monkeypatch: pytest.MonkeyPatch, lines: list[MutableMapping[str, Any]]
) -> None:
    """After the time to drain: 503 instead of a broken line; a body the desk still has stays until it is done."""
    monkeypatch.setattr("axis.web.server.DRAIN_SECONDS", 1)
    async with running(axis.services()) as server:
        world = MemoryWorld(url=server.url, axis=axis)
        axis.admission.clear()
        async with calling(world, world.sender) as sender:
            request = asyncio.create_task(
                sender.client.post(
                    wire.BASE + wire.SUBMISSIONS,
                    content=world.document(size=300_000),
                    headers={wire.IDEMPOTENCY_KEY: "m"},
                )
            )
            await until(lambda: list(axis.folder.iterdir()), what="the body has arrived")

            server.stop.set()
            answer = await request
            await server.done
    kept = list(axis.folder.iterdir())
    axis.admission.set()
    await until(lambda: axis.bodies, what="the desk is done")
    await until(lambda: not list(axis.folder.iterdir()), what="the body is gone")

    refused_with(answer, 503, "http.unavailable")
    assert len(kept) == 1
    assert any(one["event"] == "http.request" and one["status"] == 503 for one in lines)
