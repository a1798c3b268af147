"""
The outermost layer of the API: bounds for every request, one answer for every fault, one line of log.

    1 open      an id for the request, bound to every line of log below it
    2 bound     address, headers, how many requests at once
    3 serve     the API itself
    4 answer    whatever escaped becomes a problem, or, when the answer has begun, a cut connection
    5 close     one canonical line and the counts for /metrics

Below it nobody need fear a body without end, a reader that does not read, or a stack trace that reaches a caller.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from axis.core.model import StationId
from axis.core.ports import Clock, Ids
from axis.web import wire
from axis.web.problems import NotServed, about, no
from axis.web.services import WebLimits
from axis.web.visit import Visit, open_visit, peer_of
from axis.web.wire import HTTPReason

log = structlog.get_logger(__name__)

_ALWAYS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_QUIET = frozenset({wire.HEALTHZ, wire.READYZ, wire.METRICS})
"""Asked every few seconds by machines: logged for those who debug."""


class SlowReader(Exception):
    """The caller does not take the answer it asked for."""


class Occupancy:
    """How many requests are under way, altogether and per station, and how many there have been."""

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._stations: Counter[StationId] = Counter()
        self.requests = 0
        self.served: Counter[tuple[str, str, int]] = Counter()
        """Method, route, status: how many."""
        self.seconds = 0.0
        """Time spent on all of them."""

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Room for one request; raises `NotServed` when there is none."""
        if self.requests >= self._limits.requests:
            raise no(HTTPReason.UNAVAILABLE)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    def arrive(self, station: StationId) -> None:
        """The request turned out to be this station's. Raises `NotServed` when it has too many under way."""
        if self._stations[station] >= self._limits.requests_per_station:
            raise no(HTTPReason.TOO_MANY)
        self._stations[station] += 1

    def leave(self, station: StationId) -> None:
        """Undo `arrive`."""
        self._stations[station] -= 1
        if not self._stations[station]:
            del self._stations[station]


class Edge:
    """ASGI middleware; see the steps above."""

    def __init__(
        self, app: ASGIApp, *, occupancy: Occupancy, limits: WebLimits, clock: Clock, ids: Ids
    ) -> None:
        self._app = app
        self._occupancy = occupancy
        self._limits = limits
        self._clock = clock
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit(id=self._ids.new(self._clock.now()))  # 1
        open_visit(scope, visit)
        began = asyncio.get_running_loop().time()
        with structlog.contextvars.bound_contextvars(request=visit.id):
            try:
                with self._occupancy.one_more():
                    await self._serve(scope, receive, send, visit)
            except NotServed as problem:
                await self._answer(problem, scope, receive, send, visit)
            finally:
                if visit.station is not None:
                    self._occupancy.leave(visit.station)
                self._close(scope, visit, seconds=asyncio.get_running_loop().time() - began)  # 5

    async def _serve(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        """Steps 2 to 4."""
        check_head(scope)  # 2
        outwards = self._watch(send, visit)
        try:
            await self._app(scope, _counting(receive, visit), outwards)  # 3
        except asyncio.CancelledError:
            # The process ends and will not wait any longer: the caller hears it instead of a broken line.
            await self._answer(no(HTTPReason.UNAVAILABLE), scope, receive, send, visit)
            raise
        except NotServed:
            raise
        except SlowReader:
            visit.facts["cut"] = "slow reader"
            self._hang_up(scope, visit)
        except Exception:
            log.exception("http.fault", route=_route(scope))
            await self._answer(no(HTTPReason.FAULT), scope, receive, send, visit)  # 4

    def _watch(self, send: Send, visit: Visit) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                message = {**message, "headers": _with_headers(message.get("headers", ()), visit)}
            elif message["type"] == "http.response.body":
                visit.bytes_out += len(message.get("body", b""))
                visit.is_answered = not message.get("more_body", False)
            # A caller that does not take its answer holds a payload open and a task alive.
            try:
                async with asyncio.timeout(self._limits.stall_seconds):
                    await send(message)
            except TimeoutError as slow:
                raise SlowReader from slow

        return watched

    async def _answer(
        self, problem: NotServed, scope: Scope, receive: Receive, send: Send, visit: Visit
    ) -> None:
        visit.code = problem.cause.code.value
        if visit.status is not None:
            self._hang_up(scope, visit)
            return
        await problem.response(request=visit.id)(scope, receive, self._watch(send, visit))

    def _hang_up(self, scope: Scope, visit: Visit) -> None:
        """End an answer that has begun and cannot be finished: its length was promised, so its reader notices."""
        visit.facts.setdefault("cut", "fault")
        peer = peer_of(scope)
        if peer is not None and not visit.is_answered:
            peer.hang_up()

    def _close(self, scope: Scope, visit: Visit, *, seconds: float) -> None:
        route = _route(scope)
        status = visit.status or 0
        self._occupancy.served[scope["method"] if route else "", route or "", status] += 1
        self._occupancy.seconds += seconds
        facts: dict[str, Any] = {
            "method": scope["method"][:16],
            "route": route,
            "station": visit.station,
            "status": status,
            "ms": round(seconds * 1000),
            "bytes_in": visit.bytes_in or None,
            "bytes_out": visit.bytes_out,
            "code": visit.code,
            **visit.facts,
        }
        line = {name: value for name, value in facts.items() if value is not None}
        if status >= 500 or status == 0:
            log.warning("http.request", **line)
        elif route in _QUIET:
            log.debug("http.request", **line)
        else:
            log.info("http.request", **line)


def check_head(scope: Scope) -> None:
    """
    Bounds on what stands before the body.

    Raises:
        NotServed: too long, too much, or two lengths for one body (request smuggling, RFC 9112 section 6.3).
    """
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > wire.MAX_TARGET_BYTES:
        raise no(HTTPReason.TARGET_TOO_LONG)
    headers = scope["headers"]
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > wire.MAX_HEADERS or size > wire.MAX_HEADER_BYTES:
        raise no(HTTPReason.HEADERS_TOO_LARGE)
    names = Counter(name for name, _ in headers)
    if names[b"content-length"] and names[b"transfer-encoding"]:
        raise no(
            HTTPReason.NOT_HTTP,
            about("Content-Length", vi="đi cùng Transfer-Encoding", en="together with Transfer-Encoding"),
        )


def _counting(receive: Receive, visit: Visit) -> Receive:
    async def counted() -> Message:
        message = await receive()
        visit.bytes_in += len(message.get("body", b""))
        return message

    return counted


def _with_headers(headers: Any, visit: Visit) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return [
        *given,
        *((name, value) for name, value in _ALWAYS if name not in names),
        (wire.REQUEST.lower().encode(), visit.id.encode()),
    ]


def _route(scope: Scope) -> str | None:
    """The template of the path, never the path: what a caller writes there is not for the log."""
    found = getattr(scope.get("route"), "path", None)
    return found if isinstance(found, str) else None
