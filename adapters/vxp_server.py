"""
The listener of the VXP gateway: uvicorn, with answers its clients can show also where a request is no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from adapters.errors import NotPossible
from adapters.vxp import Gateway
from adapters.vxp_words import ErrorCode, encoded, failed

_log = structlog.get_logger(__name__)

MAX_HEAD_BYTES: Final = 64 * 1024
DRAIN_SECONDS: Final = 50
IDLE_SECONDS: Final = 75


async def serve(
    gateway: Gateway,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    tls: ssl.SSLContext | None = None,
    allow_plain: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """
    Serve until `stop` is set and calls under way are answered. `ready` is told the address.

    Raises:
        NotPossible: the address cannot be had, or lies beyond this machine without TLS (unless `allow_plain` says that
            something in front adds it).
    """
    if tls is None and not allow_plain and not _is_loopback(host):
        raise NotPossible(
            f"{host}: beyond this machine needs TLS; give a certificate, or listen on 127.0.0.1"
        )
    config = uvicorn.Config(
        gateway,
        host=host,
        port=port,
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
    )
    try:
        listener = config.bind_socket()
    except (OSError, SystemExit) as error:
        raise NotPossible(f"cannot listen on {host}:{port}") from error
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    listening = asyncio.create_task(server.listening.wait())
    ending = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
        if server.listening.is_set() and ready is not None:
            scheme = "https" if tls is not None else "http"
            ready(f"{scheme}://{host}:{listener.getsockname()[1]}")
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (listening, ending):
            task.cancel()
        server.should_exit = True
        await running
        listener.close()
        await gateway.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    """
    uvicorn, told by `serve` when to end: signals belong to the process, not to one of its parts.

    `axis.web.server` has the same few lines: neither side may import the other, and what both import has no server.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(H11Protocol):
    """A connection whose last words are JSON."""

    def send_400_response(self, msg: str) -> None:
        """For bytes that are no HTTP, or a head that is too long."""
        del msg
        _log.info("vxp.not_http")
        body = encoded(failed(ErrorCode.REQUEST, "Yeu cau khong dung HTTP hoac header qua dai"))
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = h11.Response(status_code=200, headers=headers, reason=b"OK")
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
