"""
The listener: uvicorn run from inside the program, with TLS, bounds on connections, and an orderly end.

uvicorn bounds neither the time a connection takes to send the head of a request nor what it sends after a "no", and
says its own "no" in plain text; `_Connection` adds the three. The end of a process: no new connections, waiting polls
are answered at once, requests under way have `DRAIN_SECONDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from axis.core.credentials import STATION_ID
from axis.core.errors import SettingsError
from axis.core.exchange import dump
from axis.core.model import StationId
from axis.web import wire
from axis.web.bodies import sweep
from axis.web.services import WebLimits
from axis.web.visit import Peer, peer_state
from axis.web.wire import HTTPCause, HTTPReason

log = structlog.get_logger(__name__)

DRAIN_SECONDS: Final = 20
"""Requests under way may take this long after the stop; with what uvicorn adds, the end comes within 25 s."""
BACKLOG: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Files of the server's side, PEM."""

    certificate: Path
    """With its chain."""
    key: Path
    client_roots: Path | None = None
    """Roots that stations' client certificates must lead to; None: stations come with keys only."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The event loop to run the server in: `asyncio.Runner(loop_factory=loop_factory())`."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


async def serve(
    app: FastAPI,
    *,
    host: str,
    port: int,
    tls: TLS | None = None,
    stop: asyncio.Event,
    allow_plain: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """
    Serve until `stop` is set and requests under way are done. `ready` is told the address once it is listened on.

    Raises:
        SettingsError: the address cannot be had, lies beyond this machine without TLS (unless `allow_plain` says
            that something in front adds it), or the TLS files cannot be used.
    """
    context = _context(tls) if tls is not None else None
    await asyncio.to_thread(_open_spool, app.state.services.folder)
    sockets = _listen(host, port, is_plain_allowed=context is not None or allow_plain)
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        # What it says below that is said by `http.listening`, `http.request` and `http.stopped`.
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        # Whoever stands between is no evidence of who calls.
        proxy_headers=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=wire.MAX_HEADER_BYTES + wire.MAX_TARGET_BYTES,
        timeout_keep_alive=_limits(app).idle_seconds,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        # Ids bound for one request are not those of the next on its connection.
        reset_contextvars=True,
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=sockets))
    listening = asyncio.create_task(server.listening.wait())
    ending = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
        if server.listening.is_set():
            _announce(sockets[0], scheme="https" if tls is not None else "http", ready=ready)
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
        ending.cancel()
        # Polls that wait for something are answered now; everything else goes on to its end.
        app.state.stopping.set()
        server.should_exit = True
        await running
        log.info("http.stopped")


def _announce(listener: socket.socket, *, scheme: str, ready: Callable[[str], None] | None) -> None:
    name, port = listener.getsockname()[:2]
    address = f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"
    log.info("http.listening", address=address)
    if ready is not None:
        ready(address)


def _limits(app: FastAPI) -> WebLimits:
    found: WebLimits = app.state.services.limits
    return found


class _Server(uvicorn.Server):
    """uvicorn, told by `serve` when to end: signals belong to the process, not to one of its parts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _open_spool(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = sweep(folder)
    except OSError as problem:
        raise SettingsError((f"HTTP: {folder} cannot be used: {problem.strerror or problem}",)) from problem
    if left:
        log.info("http.spool_swept", bodies=left)


# --- addresses and TLS --------------------------------------------------------------------------------------------


def _listen(host: str, port: int, *, is_plain_allowed: bool) -> list[socket.socket]:
    where = f"{host}:{port}"
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        if not is_plain_allowed and not all(
            ipaddress.ip_address(address[0]).is_loopback for *_, address in found
        ):
            raise SettingsError(
                (f"HTTP {where}: beyond this machine needs TLS; give a certificate, or listen on 127.0.0.1",)
            )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # Port 0: whatever the first address got, the others get as well.
            chosen = port or (sockets[0].getsockname()[1] if len(sockets) > 1 else 0)
            one.bind((address[0], chosen, *address[2:]))
    except OSError as problem:
        for one in sockets:
            one.close()
        raise SettingsError(
            (f"HTTP {where}: cannot listen there: {problem.strerror or problem}",)
        ) from problem
    return sockets


def _context(tls: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_roots is not None:
            # Optional: a station without one has a key. One that is shown must be good, or there is no connection.
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(tls.client_roots)
    except (OSError, ssl.SSLError) as problem:
        raise SettingsError((f"HTTP: the TLS files cannot be used: {problem}",)) from problem
    return context


def station_of_certificate(certificate: Mapping[str, Any] | None) -> StationId | None:
    """The station a verified client certificate names: its one common name, when that can be a station's id."""
    names = [
        value
        for relative in (certificate or {}).get("subject", ())
        for key, value in relative
        if key == "commonName"
    ]
    if len(names) != 1 or STATION_ID.match(names[0]) is None:
        return None
    return StationId(names[0])


# --- one connection -----------------------------------------------------------------------------------------------


class _Connection(H11Protocol):
    """
    uvicorn's connection with three bounds more.

    The head of a request has `head_seconds` from the opening of the connection or its own first byte. What is sent
    after a "no" is read and thrown away for `linger_seconds`, so that the sender can finish and read it; closing at
    once would reset the connection and take the answer away (RFC 9112 section 9.6). Bytes that are no HTTP are
    answered like everything else: with a problem.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = _limits(config.app)  # type: ignore[arg-type]  # `serve` passes a FastAPI
        self._head: asyncio.TimerHandle | None = None
        self._tail: asyncio.TimerHandle | None = None
        self._is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        peer = Peer(
            station=station_of_certificate(transport.get_extra_info("peercert")), hang_up=transport.abort
        )
        self.app_state = {**self.app_state, **peer_state(peer)}
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        super().data_received(data)
        self._watch_head()
        self._watch_tail()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_tail()

    def shutdown(self) -> None:
        if self._is_over:
            self.transport.abort()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._tail):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        is_expected = self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE
        if is_expected and self._head is None:
            self._head = self.loop.call_later(self._limits.head_seconds, self.transport.abort)
        elif not is_expected and self._head is not None:
            self._head.cancel()
            self._head = None

    def _watch_tail(self) -> None:
        is_superfluous = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if is_superfluous and self._tail is None:
            self._tail = self.loop.call_later(self._limits.linger_seconds, self.transport.abort)
        elif not is_superfluous and self._tail is not None and not self._is_over:
            self._tail.cancel()
            self._tail = None

    def send_400_response(self, msg: str) -> None:
        # Called while h11's error is being handled, which says whether it was the size or the form.
        del msg
        error = sys.exception()
        is_size = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        self._refuse(HTTPReason.HEADERS_TOO_LARGE if is_size else HTTPReason.NOT_HTTP)

    def _refuse(self, reason: HTTPReason) -> None:
        if self.cycle is not None:
            # The request this happened in gets no further byte, and its own answer has nowhere to go.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()
            return
        cause = HTTPCause(code=reason)
        row = wire.HTTP_REASONS[reason]
        body = dump(wire.problem_json(cause))
        headers = [
            ("content-type", wire.PROBLEM),
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("connection", "close"),
        ]
        answer = h11.Response(status_code=row.status, headers=headers, reason=b"")
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        log.info("http.request", status=row.status, code=reason.value)
        self._is_over = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._tail = self.loop.call_later(self._limits.linger_seconds, self.transport.abort)
