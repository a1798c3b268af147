"""
What everybody may ask: the log, which holds hashes only; and for those who run the axis, health and numbers.

Nothing here knows a station.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from axis.core.errors import NotFound, ServiceUnavailable
from axis.core.exchange import FeedEntry, dump
from axis.web import shapes, wire
from axis.web.edge import Occupancy
from axis.web.identity import services_of
from axis.web.problems import about, no
from axis.web.services import Figure, Measured, WebServices
from axis.web.wire import HTTPReason

log_router = APIRouter(prefix=wire.BASE, tags=["log"])
health_router = APIRouter(tags=["operation"])

_TEXT = "text/plain; charset=utf-8"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_READY_SECONDS = 2
_MOST_LEAVES = 2**53

Size = Annotated[int, Query(ge=0, le=_MOST_LEAVES, description="Leaves in the log at that checkpoint.")]


# --- the log ------------------------------------------------------------------------------------------------------


@log_router.get(
    wire.CHECKPOINT,
    summary="The newest checkpoint",
    responses=shapes.bytes_of(200, "text/plain", "C2SP tlog-checkpoint: a signed note."),
)
async def checkpoint(request: Request) -> Response:
    """The newest signed checkpoint of the log; 404 before the first."""
    note = await services_of(request).log.checkpoint()
    if note is None:
        raise NotFound("checkpoint", "newest")
    return Response(content=note, media_type=_TEXT)


@log_router.get(
    wire.CONSISTENCY,
    summary="Proof that the log only grew",
    responses=shapes.answers(200, shapes.Consistency, "RFC 9162 section 2.1.4."),
)
async def consistency(request: Request, old: Size, new: Size) -> Response:
    """Hashes that show that the log of size `new` continues the log of size `old`."""
    if old > new:
        raise no(HTTPReason.QUERY, about("old", vi="lớn hơn new", en="larger than new"))
    hashes = await services_of(request).log.consistency(old=old, new=new)
    body = wire.consistency_json(old=old, new=new, hashes=hashes)
    return Response(content=dump(body), media_type=wire.JSON_TYPE)


@log_router.get(
    wire.PROOF,
    summary="Proof that a record is in the log",
    responses=shapes.bytes_of(200, "text/plain", "C2SP tlog-proof against the newest checkpoint."),
)
async def proof(request: Request, leaf: Annotated[int, Path(ge=0, le=_MOST_LEAVES)]) -> Response:
    """The inclusion proof of a leaf; 404 until a checkpoint covers it."""
    return Response(content=await services_of(request).log.proof(leaf), media_type=_TEXT)


@log_router.get(
    wire.EPOCHS,
    summary="Every break of the log that was said in public",
    responses=shapes.answers(200, shapes.Epochs, "Empty for a log that was never restored from a backup."),
)
async def epochs(request: Request) -> Response:
    """The records of `axis ledger new-epoch`, each with its proof: signed statements of what was lost."""
    view = services_of(request).log
    found: list[tuple[FeedEntry, str | None]] = []
    for entry in await view.epochs():
        try:
            found.append((entry, await view.proof(entry.index)))
        except NotFound:
            found.append((entry, None))
    return Response(content=dump(wire.epochs_json(found)), media_type=wire.JSON_TYPE)


# --- operation ----------------------------------------------------------------------------------------------------


@health_router.get(
    wire.HEALTHZ,
    summary="Whether the process lives",
    responses=shapes.answers(200, shapes.Health, "It does."),
)
async def healthz() -> Response:
    """Liveness: asks nobody, so that a silent database does not make anyone restart this process."""
    return _ok()


@health_router.get(
    wire.READYZ,
    summary="Whether the process can serve",
    responses=shapes.answers(200, shapes.Health, "The ledger answers."),
)
async def readyz(request: Request) -> Response:
    """Readiness: the ledger answers in time, and the process is not about to end."""
    if request.app.state.stopping.is_set():
        raise ServiceUnavailable("process", "ending")
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await services_of(request).log.checkpoint()
    except TimeoutError as slow:
        raise ServiceUnavailable("ledger", "no answer in time") from slow
    return _ok()


def _ok() -> Response:
    return Response(content=dump({"status": "ok"}), media_type=wire.JSON_TYPE)


@health_router.get(
    wire.METRICS,
    summary="Numbers for operators",
    responses=shapes.bytes_of(200, "text/plain", "Prometheus text."),
)
async def metrics(request: Request) -> Response:
    """Prometheus text. For this machine, or with `Authorization: Bearer <metrics token>`."""
    services = services_of(request)
    if not _may_read_metrics(request, services):
        raise no(HTTPReason.NOT_ALLOWED)
    found: list[Measured] = _own(request.app.state.occupancy)
    is_up = True
    if services.figures is not None:
        try:
            found += await services.figures.figures(at=services.clock.now())
        except ServiceUnavailable:
            is_up = False
    found.append(Figure(name="axis_ledger_up", help="Whether the ledger answers.", value=is_up))
    return Response(content=exposition(found), media_type=_PROMETHEUS)


def _may_read_metrics(request: Request, services: WebServices) -> bool:
    if services.metrics_token is not None:
        _, _, shown = request.headers.get("authorization", "").partition(" ")
        if hmac.compare_digest(shown.encode(), services.metrics_token.encode()):
            return True
    # Behind a proxy on this machine everybody comes from this machine.
    forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "via", "x-real-ip"))
    return not forwarded and request.client is not None and _is_loopback(request.client.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _own(occupancy: Occupancy) -> list[Measured]:
    return [
        Figure(
            name="axis_http_requests_under_way",
            help="Requests this process is serving.",
            value=occupancy.requests,
        ),
        Figure(
            name="axis_http_seconds_total",
            kind="counter",
            help="Time this process has spent on requests.",
            value=occupancy.seconds,
        ),
        *(
            Figure(
                name="axis_http_requests_total",
                kind="counter",
                help="Requests this process has served.",
                value=count,
                labels=(("method", method), ("route", route), ("status", str(status))),
            )
            for (method, route, status), count in sorted(occupancy.served.items())
        ),
    ]


def exposition(figures: Iterable[Measured]) -> str:
    """Prometheus text, version 0.0.4; figures of one name stand together under one help line."""
    together: dict[str, list[Measured]] = defaultdict(list)
    for one in figures:
        together[one.name].append(one)
    lines: list[str] = []
    for name, group in together.items():
        lines += [f"# HELP {name} {_escaped(group[0].help)}", f"# TYPE {name} {group[0].kind}"]
        lines += [f"{name}{_labels(one.labels)} {float(one.value):g}" for one in group]
    return "\n".join(lines) + "\n"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
