"""
The whole way: submitted by real stations, verified, recorded, receipted, delivered, taken and acknowledged.

It ends when every receiver has the complete bytes, checked against their digest, and its acknowledgement is recorded.
Hubs, web and receivers are processes of their own; the senders live in the one that measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

import httpx2

from adapters.station import Credentials, Station
from axis.bench.figures import Figure, percentiles
from axis.bench.machine import busy_ms, busy_ms_of, pids_named
from axis.bench.processes import BenchFailed, Child
from axis.bench.town import Profile, Servers, Town
from axis.bootstrap.parts import Axis
from axis.core.events import EventKind
from axis.core.model import SubmissionState

WINDOW: Final = 64
"""Submissions one sender has under way at full load."""
_READY_SECONDS: Final = 60.0
_END_SECONDS: Final = 600.0
_FLOOD_SECONDS: Final = 2.0
"""Until what is handed in all at once lies in the broker."""


@dataclass(slots=True, kw_only=True)
class Running:
    """An axis whose processes run."""

    axis: Axis
    servers: Servers
    town: Town
    http: str
    parts: Mapping[str, Sequence[Child]] = field(default_factory=dict)

    @property
    def station_url(self) -> str:
        return self.servers.broker_url or self.http

    @property
    def hubs(self) -> int:
        return len(self.parts.get("hub", ())) or 1


@asynccontextmanager
async def running(
    axis: Axis, servers: Servers, town: Town, environ: Mapping[str, str], *, hubs: int
) -> AsyncIterator[Running]:
    """`axis up`, or hubs and one web."""
    http = f"http://127.0.0.1:{environ['AXIS_HTTP_PORT']}"
    async with AsyncExitStack() as stack:

        async def start(name: str, number: int = 0) -> Child:
            log = servers.home / f"{name}-{number}.log"
            return await stack.enter_async_context(Child.command(name, environ=environ, log=log))

        parts: dict[str, list[Child]]
        if servers.broker_url is None:
            parts = {"axis": [await start("up")]}
        else:
            parts = {
                "hub": [await start("hub", number) for number in range(hubs)],
                "web": [await start("web")],
            }
        await _until_ready(http, [child for children in parts.values() for child in children])
        yield Running(axis=axis, servers=servers, town=town, http=http, parts=parts)


async def _until_ready(http: str, children: Sequence[Child]) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(_READY_SECONDS):
        while True:
            for child in children:
                if child.has_ended:
                    raise BenchFailed(f"{child.name} ended before it was ready")
            try:
                if (await client.get(f"{http}/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast letters are handed in: as fast as they are taken, or at a rate whatever happens."""

    name: str = "full"
    per_second: float | None = None


async def measure_road(
    run: Running,
    letters: Sequence[tuple[str, bytes]],
    *,
    profile: Profile,
    pace: Pace,
    behind: Sequence[tuple[str, bytes]] = (),
) -> Figure:
    """
    One profile at one pace.

    Args:
        run: The axis.
        letters: Sender's code and signed bytes of each document.
        profile: What they are.
        pace: How they are handed in.
        behind: A flood that was handed in all at once just before, and stands in their way; times are not of these.
    """
    carried = await _carry(run, letters, profile=profile, pace=pace, behind=behind)
    return carried.figure


async def measure_values(
    run: Running, letters: Sequence[tuple[str, bytes]], *, profile: Profile, pace: Pace
) -> list[Figure]:
    """The same of documents with signed files, and how long it takes until the sender is told what they are worth."""
    carried = await _carry(run, letters, profile=profile, pace=pace, with_values=True)
    handed_in = {one.document: one.at for one in carried.handed_in.values()}
    lags = [carried.valued[document] - at for document, at in handed_in.items()]
    # Processor time is that of both, and stands with the road.
    value = replace(
        carried.figure, name="value", times=percentiles(lags), cpu_ms_per_document=None, cpu_ms={}
    )
    return [carried.figure, value]


@dataclass(frozen=True, slots=True, kw_only=True)
class _HandedIn:
    at: float
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    figure: Figure
    handed_in: Mapping[str, _HandedIn]
    """By digest."""
    valued: Mapping[str, float]
    """When its sender was told what a document is worth."""


async def _carry(
    run: Running,
    letters: Sequence[tuple[str, bytes]],
    *,
    profile: Profile,
    pace: Pace,
    behind: Sequence[tuple[str, bytes]] = (),
    with_values: bool = False,
) -> _Carried:
    copies = (len(letters) + len(behind)) * profile.fanout
    spec = {
        "url": run.station_url,
        "http": None if run.servers.broker_url is None else run.http,
        "expected": copies,
        "stations": [login(run.town, agency.code) for agency in run.town.receivers],
    }
    valued: dict[str, float] = {}
    news = asyncio.Event()
    async with AsyncExitStack() as stack:
        takers = await stack.enter_async_context(Child.of("axis.bench.stations", spec))
        senders = {
            agency.code: await stack.enter_async_context(_sender(run, agency.code))
            for agency in run.town.senders
        }
        assert await takers.line() == "ready"
        parts = {name: [child.pid for child in children] for name, children in run.parts.items()}
        parts |= {
            "receivers": [takers.pid],
            "broker": pids_named("beam.smp"),
            "database": pids_named("postgres"),
        }
        before = {name: busy_ms_of(pids) for name, pids in parts.items()}
        own, everything = time.process_time(), busy_ms()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(_read_values(station, valued, news))
                for station in (senders.values() if with_values else ())
            ]
            if behind:
                group.create_task(_hand_in(senders, behind, pace=Pace(), window=len(behind)))
                await asyncio.sleep(_FLOOD_SECONDS)
            handed_in = await _hand_in(senders, letters, pace=pace)
            async with asyncio.timeout(_END_SECONDS):
                while with_values and not {one.document for one in handed_in.values()} <= valued.keys():
                    news.clear()
                    await news.wait()
            for reader in readers:
                reader.cancel()
        async with asyncio.timeout(_END_SECONDS):
            seen: list[tuple[str, float]] = await takers.json()
            await _until_recorded(run)
        for child in (child for children in run.parts.values() for child in children):
            if child.has_ended:
                raise BenchFailed(f"{child.name} ended while it was measured")
        seconds = time.perf_counter() - began
        spent = {name: busy_ms_of(pids) - before[name] for name, pids in parts.items()}
        spent["senders"] = (time.process_time() - own) * 1000
        everything = busy_ms() - everything
    figure = Figure(
        name="axis" if run.servers.broker_url is not None else "embedded",
        profile=profile.name,
        fanout=profile.fanout,
        documents=len(letters),
        # At a rate the figure is latency: how many went through is what was asked for.
        documents_per_s=len(letters) / seconds if pace.per_second is None else None,
        cpu_ms_per_document=everything / len(letters),
        cpu_ms={name: value / len(letters) for name, value in spent.items()},
        load=pace.name,
        hubs=run.hubs,
        times=percentiles([at - handed_in[digest].at for digest, at in seen if digest in handed_in]),
    )
    return _Carried(figure=figure, handed_in=handed_in, valued=valued)


async def _read_values(sender: Station, valued: dict[str, float], news: asyncio.Event) -> None:
    """Note when it is told what a document is worth, of earlier runs' documents too."""
    async with sender.events() as events:
        async for told in events:
            event = told.event
            if event is not None and event.kind is EventKind.DOCUMENT_VALUED:
                valued.setdefault(str(event.document), time.perf_counter())
                news.set()


def login(town: Town, code: str) -> dict[str, str | None]:
    """What the process of the receiving stations is told of one of them."""
    credential = town.credentials[code]
    return {"id": credential.station, "key": credential.key, "queue_secret": credential.queue_secret}


def _sender(run: Running, code: str) -> Station:
    credential = run.town.credentials[code]
    return Station(
        run.station_url,
        Credentials(station=credential.station, key=credential.key, queue_secret=credential.queue_secret),
        http=None if run.servers.broker_url is None else run.http,
    )


async def _hand_in(
    senders: Mapping[str, Station],
    letters: Sequence[tuple[str, bytes]],
    *,
    pace: Pace,
    window: int = WINDOW,
) -> dict[str, _HandedIn]:
    """When each letter was handed in, by digest; returns when the last has its receipt."""
    times: dict[str, _HandedIn] = {}
    turns = {code: asyncio.Semaphore(window) for code in senders}

    async def hand_in(code: str, body: bytes) -> None:
        async with turns[code]:
            at = time.perf_counter()
            answer = await senders[code].submit(body, within=_END_SECONDS)
        if answer.state is not SubmissionState.ACCEPTED:
            raise BenchFailed(f"{answer.state}: {answer.headline_en}")
        times[sha256(body).hexdigest()] = _HandedIn(at=at, document=str(answer.document))

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, (code, body) in enumerate(letters):
            if pace.per_second is not None:
                await asyncio.sleep(max(0.0, began + number / pace.per_second - time.monotonic()))
            group.create_task(hand_in(code, body))
    return times


async def _until_recorded(run: Running) -> None:
    """Until no consignment of the receivers is open: every acknowledgement stands in the ledger."""
    receivers = {run.town.credentials[agency.code].station for agency in run.town.receivers}
    while True:
        figures = await run.axis.figures.figures(at=run.axis.clock.now())
        if not any(
            one.name == "axis_consignments" and one.value and dict(one.labels)["station"] in receivers
            for one in figures
        ):
            return
        await asyncio.sleep(0.02)
