"""
The hub's processes: which parts run together, and how they stop.

    up    one process, nothing but Python: SQLite, stations come over HTTP
    hub   judges, records and publishes: RabbitMQ and the ledger; any number
    web   the HTTP interface beside hubs; any number

Every part is safe to be killed; stopping only saves the next process some work. A part that fails stops its process
with the error: whoever runs it starts it again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from axis.bootstrap.broker import open_broker
from axis.bootstrap.parts import Axis, open_axis
from axis.bootstrap.system import SystemRandomness
from axis.core.credentials import KEY_BYTES, hash_of_key
from axis.core.errors import ServiceUnavailable, SettingsError
from axis.core.retry import DELIVERIES, Backoff
from axis.settings import Settings
from axis.vxp import run_gateway
from axis.web.app import create_app
from axis.web.server import TLS, serve
from axis.web.services import WebLimits, WebServices

log = structlog.get_logger(__name__)

LOCK: Final = "lock"
_TIDY_SECONDS: Final = 600.0
_PURGE_SECONDS: Final = 6 * 3600.0
Ready = Callable[[str], None]


async def up(
    settings: Settings, *, stop: asyncio.Event, ready: Ready | None = None, failures: Backoff = DELIVERIES
) -> None:
    """
    The embedded axis. `failures` is the schedule for what a station failed to take.

    Raises:
        SettingsError: another process runs in this home, or something needed is missing.
    """
    if not settings.is_embedded:
        raise SettingsError(
            ("AXIS_BROKER_URL: `axis up` runs without a broker; use `axis hub` and `axis web`",)
        )
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone_in(settings.home):
        async with open_axis(settings, may_create=True, failures=failures) as axis, _together(stop) as group:
            door = _GatewayDoor()
            for part in (
                axis.sequencer(holder=_holder()).run(stop, wake=axis.ledger.appended),
                axis.holds.run(stop),
                axis.pull_keeper(everybody_pulls=True).run(stop),
                axis.revocation_keeper().run(stop),
                _stamp(axis, stop),
                axis.valuer().run(stop, is_alone=True),
                axis.deadline_keeper().run(stop),
                _tidy(axis, stop),
                axis.keeper().run(stop, every_seconds=_PURGE_SECONDS),
                axis.keeper().run(stop, every_seconds=_PURGE_SECONDS),
                _serve(
                    axis,
                    settings,
                    has_broker=False,
                    stop=stop,
                    ready=door.listening(ready),
                    gateway_hash=hash_of_key(door.key),
                ),
                _gateway(axis, door, stop=stop, ready=ready),
            ):
                group.create_task(part)


async def hub(
    settings: Settings, *, stop: asyncio.Event, ready: Ready | None = None, failures: Backoff = DELIVERIES
) -> None:
    """
    A hub beside others.

    Raises:
        SettingsError: no broker is configured, or something needed is missing.
    """
    async with (
        open_axis(settings, may_create=True, failures=failures) as axis,
        open_broker(axis) as broker,
        _together(stop) as group,
    ):
        for part in (
            axis.sequencer(holder=_holder()).run(stop, wake=axis.ledger.appended),
            axis.holds.run(stop),
            axis.pull_keeper(everybody_pulls=False).run(stop),
            axis.revocation_keeper().run(stop),
            _stamp(axis, stop),
            axis.valuer().run(stop),
            axis.deadline_keeper().run(stop),
            _tidy(axis, stop),
            broker.consumer.run(stop),
            broker.dispatcher.run(stop),
            broker.undertaker.run(stop),
        ):
            group.create_task(part)
        log.info("hub.ready")
        if ready is not None:
            ready("hub")


async def web(settings: Settings, *, stop: asyncio.Event, ready: Ready | None = None) -> None:
    """The HTTP interface beside hubs."""
    async with open_axis(settings, may_create=True) as axis, _together(stop) as group:
        group.create_task(_serve(axis, settings, has_broker=not settings.is_embedded, stop=stop, ready=ready))


async def _serve(
    axis: Axis,
    settings: Settings,
    *,
    has_broker: bool,
    stop: asyncio.Event,
    ready: Ready | None,
    gateway_hash: str | None = None,
) -> None:
    app = create_app(web_services(axis, has_broker=has_broker, gateway_hash=gateway_hash))
    tls = None
    if settings.http_cert is not None:
        tls = TLS(
            certificate=settings.http_cert,
            key=settings.http_key or settings.http_cert,
            client_roots=settings.http_client_ca,
        )
    await serve(
        app,
        host=settings.http_host,
        port=settings.http_port,
        tls=tls,
        stop=stop,
        allow_plain=settings.allow_plain,
        ready=ready,
    )


class _GatewayDoor:
    """Between the HTTP interface and the VXP gateway of one process: a key nobody else has, and an address."""

    def __init__(self) -> None:
        self.key = f"axis-vxp-gateway.{base64.urlsafe_b64encode(SystemRandomness().take(KEY_BYTES)).decode()}"
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def listening(self, ready: Ready | None) -> Ready:
        """`ready`, and the gateway hears the address, too."""

        def tell(address: str) -> None:
            self.address.set_result(address)
            if ready is not None:
                ready(address)

        return tell


async def _gateway(axis: Axis, door: _GatewayDoor, *, stop: asyncio.Event, ready: Ready | None) -> None:
    """The VXP gateway, which comes to the axis over HTTP like one on another machine."""
    settings = axis.settings
    if not settings.vxp:
        return
    stopped = asyncio.ensure_future(stop.wait())
    either: set[asyncio.Future[Any]] = {door.address, stopped}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not door.address.done():
        return
    to_axis, own = None, None
    if settings.http_cert is not None:
        # To itself under whatever name it listens on: what is believed is its own certificate and no other.
        to_axis = ssl.create_default_context(cafile=str(settings.http_cert))
        to_axis.check_hostname = False
        to_axis.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        own.load_cert_chain(settings.http_cert, settings.http_key)
    await run_gateway(
        axis, url=door.address.result(), key=door.key, stop=stop, tls=to_axis, own_tls=own, ready=ready
    )


def web_services(axis: Axis, *, has_broker: bool, gateway_hash: str | None = None) -> WebServices:
    """The parts of an axis the HTTP interface needs."""
    settings = axis.settings
    return WebServices(
        desk=axis.desk,
        keys=axis.view,
        log=axis.log,
        payloads=axis.blobs,
        uploads=axis.uploads,
        spool=axis.spool,
        directories=axis.directories,
        organs=axis.organ_pages,
        organ_acts=axis.station_acts(),
        clock=axis.clock,
        ids=axis.ids,
        folder=settings.blobs / "arriving",
        log_origin=settings.log_name,
        log_keys=(axis.keys.receipts.verifier.text, axis.keys.log.verifier.text),
        has_broker=has_broker,
        gateway_hash=gateway_hash,
        figures=axis.figures,
        metrics_token=settings.metrics_token.reveal() if settings.metrics_token is not None else None,
        limits=WebLimits(body_bytes=settings.max_message_bytes),
    )


async def _stamp(axis: Axis, stop: asyncio.Event) -> None:
    """Ask for timestamps of the log, where an authority is configured."""
    timekeeper = axis.timekeeper()
    if timekeeper is not None:
        await timekeeper.run(stop)


async def _tidy(axis: Axis, stop: asyncio.Event) -> None:
    """Announce keys and policy, then remove what was begun and left, every ten minutes."""
    has_announced = False
    while not stop.is_set():
        try:
            if not has_announced:
                await axis.announce_keys()
                await axis.announce_policy()
                has_announced = True
            await axis.tidy()
            await axis.expiry_keeper().turn()
        except ServiceUnavailable as trouble:
            log.warning("tidy.waiting", service=trouble.service, cause=trouble.cause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TIDY_SECONDS if has_announced else 1):
                await stop.wait()


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[:80]


@asynccontextmanager
async def _together(stop: asyncio.Event) -> AsyncIterator[asyncio.TaskGroup]:
    """Parts that live and die together; SIGTERM and SIGINT stop them in good order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    finally:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Hold the home's lock; the operating system gives it back however this process ends."""
    path = home / LOCK
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            file.seek(0)
            who = file.read(80).strip() or "?"
            raise SettingsError((f"AXIS_HOME: {home} is in use by process {who}",)) from problem
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
