"""
Everything a run of `make chaos` breaks: three nodes of RabbitMQ, PostgreSQL, hubs, the HTTP interface, stations, and
the connections between them; all of it private and on loopback.

    stations ──▶ proxy ──▶ node n ◀── proxy ◀── hubs ──▶ proxy ──▶ PostgreSQL
        └──────▶ proxy ──▶ web                    └──▶ one folder of payloads

Whatever ends by itself is started again, as whoever runs an axis does, and is part of the account.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from axis.bootstrap.broker import apply_topology, open_accounts
from axis.bootstrap.parts import Axis, open_axis
from axis.broker import wire
from axis.core.credentials import Credential
from axis.core.errors import ServiceUnavailable
from axis.core.model import Actor, Channel, StationId
from axis.data import organs_csv
from axis.demo.letters import Agency
from axis.demo.pki import PKI, KeyShelf
from axis.flow.acts import NewStation
from axis.flow.organ_import import read_organs
from axis.settings import Settings, read_settings
from tests.broker.surgery import haunt_queue
from tests.chaos.agency import Role
from tests.chaos.journal import Journal
from tests.chaos.plan import Deed, Plan
from tests.services.postgres import PostgresNode
from tests.services.processes import LeashedProcess, free_port, make_folder, remove_folder, wait_until
from tests.services.proxy import TCPProxy
from tests.services.rabbitmq import RabbitMQCluster

_BY = Actor(person="chaos", reason="thử nghiệm phá hoại")
_ROOT = Path(__file__).parents[2]
_DRAIN_SECONDS = 120
"""A process that is asked to end has 30 s to finish what it has in hand; four times that where others work as well."""
_QUOTA = 4_096
"""Bytes of a file when the disk is full: no payload fits."""


@dataclass(slots=True, kw_only=True)
class Troupe:
    """A process that is kept running, and the proxies it speaks through."""

    name: str
    process: LeashedProcess
    is_wanted: bool = True
    ended_by_itself: int = 0
    _said_before: int = 0
    """Bytes of its log that an earlier start wrote."""

    def start(self) -> None:
        self.is_wanted = True
        self._start()

    def _start(self) -> None:
        self._said_before = self.process.log.stat().st_size if self.process.log.exists() else 0
        self.process.start()

    @property
    def works(self) -> bool:
        """Whether this start has come so far that it says it runs; before that it has nothing in hand."""
        with contextlib.suppress(FileNotFoundError), self.process.log.open("rb") as log:
            log.seek(self._said_before)
            return b"is running" in log.read()
        return False

    def kill(self) -> None:
        self.is_wanted = False
        self.process.kill()

    def keep(self) -> str | None:
        """Start it again when it has ended unasked, and return its last words."""
        if not self.is_wanted or self.process.running:
            return None
        self.ended_by_itself += 1
        words = self.process.last_words(lines=30)
        self._start()
        return words


@dataclass(slots=True, kw_only=True)
class Stage:
    """What is running, and how to break it."""

    plan: Plan
    folder: Path
    cluster: RabbitMQCluster
    postgres: PostgresNode
    settings: Settings
    """Of this process itself, past the proxies."""
    hubs: list[Troupe] = field(default_factory=list)
    web: list[Troupe] = field(default_factory=list)
    stations: list[Troupe] = field(default_factory=list)
    journals: list[Journal] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    """Code of each station's agency."""
    credentials: list[Credential] = field(default_factory=list)
    to_nodes: list[TCPProxy] = field(default_factory=list)
    """The hubs' way to each node."""
    to_postgres: list[TCPProxy] = field(default_factory=list)
    from_stations: list[TCPProxy] = field(default_factory=list)
    done: Counter[Deed] = field(default_factory=Counter)
    last_words: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def troupes(self) -> list[Troupe]:
        return [*self.hubs, *self.web, *self.stations]

    def end(self) -> None:
        for one in self.troupes:
            one.kill()

    def keep_running(self) -> None:
        """Start again what has ended by itself."""
        for one in self.troupes:
            words = one.keep()
            if words is not None:
                self.last_words.append(f"{one.name}: {words}")

    async def commit(self, deed: Deed, die: int) -> str:
        """Break something, mend it, and say what it was. Returns when it is mended, not when all are well again."""
        self.done[deed] += 1
        downtime = 0.5 + die % 2_000 / 1_000
        return await asyncio.to_thread(_DEEDS[deed], self, die, downtime)


class _Deed(Protocol):
    """A way to break something: blocking, for a thread."""

    def __call__(self, stage: Stage, die: int, downtime: float, /) -> str: ...


def _one(of: Sequence[Troupe], die: int) -> Troupe:
    return of[die % len(of)]


def _pause(seconds: float) -> None:
    # The length of an outage is part of the plan, not a wait for something.
    time.sleep(seconds)


def _kill(of: str) -> _Deed:
    def deed(stage: Stage, die: int, downtime: float, /) -> str:
        victim = _one(getattr(stage, of), die)
        victim.kill()
        _pause(downtime)
        victim.start()
        return victim.name

    return deed


def _stop_hub(stage: Stage, die: int, downtime: float) -> str:
    """As in a rolling restart: it finishes what it has and ends well, while the other one works on."""
    victim = _one(stage.hubs, die)

    def works() -> bool:
        stage.keep_running()
        return victim.works

    # It may have been killed a moment ago: one that is still beginning has nothing to finish.
    wait_until(works, within_s=120, what=f"{victim.name} works", every_s=0.1)
    victim.is_wanted = False
    began = time.monotonic()
    try:
        code = victim.process.stop(within_s=_DRAIN_SECONDS)
    except TimeoutError:
        code = -1
    took = time.monotonic() - began
    if code:
        stage.problems.append(f"{victim.name} ended with {code} {took:.1f} s after SIGTERM")
    victim.start()
    return f"{victim.name}, which took {took:.1f} s"


def _kill_leader(stage: Stage, die: int, downtime: float) -> str:
    # The last station pulls: nothing lies in its queues.
    one = stage.credentials[die % (len(stage.credentials) - 1)]
    names = wire.station_queues(station=one.station, secret=one.queue_secret)
    queues = [wire.INTAKE_NORMAL, wire.INTAKE_ACK, wire.INTAKE_URGENT, names.inbox, names.receipts]
    queue = queues[die // 7 % len(queues)]
    leader = stage.cluster.leader_of("/", queue)
    node = leader or stage.cluster.nodes[0]
    _restart(stage, stage.cluster.nodes.index(node), downtime)
    return f"{node.name}, which led {queue if leader else 'nothing that could be asked'}"


def _kill_node(stage: Stage, die: int, downtime: float) -> str:
    _restart(stage, die % len(stage.cluster.nodes), downtime)
    return stage.cluster.nodes[die % len(stage.cluster.nodes)].name


def _restart(stage: Stage, number: int, downtime: float) -> None:
    node = stage.cluster.nodes[number]
    node.kill()
    _pause(downtime)
    node.start()
    wait_until(
        lambda: all(
            stage.cluster.members_seen_by(one) == len(stage.cluster.nodes) for one in stage.cluster.nodes
        ),
        within_s=90,
        what="the cluster is complete again",
        every_s=0.3,
    )


def _kill_database(stage: Stage, die: int, downtime: float) -> str:
    stage.postgres.kill()
    _pause(downtime)
    stage.postgres.start()
    return "PostgreSQL"


def _freeze_hub(stage: Stage, die: int, downtime: float) -> str:
    victim = _one(stage.hubs, die)
    victim.process.freeze()
    _pause(3 * downtime)
    victim.process.thaw()
    return f"{victim.name} for {3 * downtime:.1f} s"


def _freeze_node(stage: Stage, die: int, downtime: float) -> str:
    node = stage.cluster.nodes[die % len(stage.cluster.nodes)]
    node.freeze()
    _pause(3 * downtime)
    node.thaw()
    return f"{node.name} for {3 * downtime:.1f} s"


def _freeze_database(stage: Stage, die: int, downtime: float) -> str:
    stage.postgres.freeze()
    _pause(2 * downtime)
    stage.postgres.thaw()
    return f"PostgreSQL for {2 * downtime:.1f} s"


def _cut(of: str) -> _Deed:
    def deed(stage: Stage, die: int, downtime: float, /) -> str:
        proxies: list[TCPProxy] = getattr(stage, of)
        for one in proxies:
            one.refuse()
        _pause(downtime)
        for one in proxies:
            one.accept()
        return f"{len(proxies)} doors for {downtime:.1f} s"

    return deed


def _freeze_connections(stage: Stage, die: int, downtime: float) -> str:
    for one in stage.to_nodes:
        one.freeze()
    _pause(3 * downtime)
    for one in stage.to_nodes:
        one.thaw()
    return f"for {3 * downtime:.1f} s"


def _delay_confirms(stage: Stage, die: int, downtime: float) -> str:
    for one in stage.to_nodes:
        one.slow(delay_s=0.3)
    _pause(2 * downtime)
    for one in stage.to_nodes:
        one.slow(delay_s=0)
    return f"by 0.3 s a piece for {2 * downtime:.1f} s"


def _fill_disk(stage: Stage, die: int, downtime: float) -> str:
    pids = [one.process.pid for one in (*stage.hubs, *stage.web) if one.process.running]
    for pid, limit in [
        *((one, _QUOTA) for one in pids),
        (0, 0),
        *((one, resource.RLIM_INFINITY) for one in pids),
    ]:
        if not pid:
            _pause(downtime)
            continue
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    return f"for {downtime:.1f} s"


def _unroute(stage: Stage, die: int, downtime: float) -> str:
    """Unbind as long as it takes for somebody to bind them again: the axis does, when a publish comes back."""
    victim = stage.credentials[die % (len(stage.credentials) - 1)]
    names = wire.station_queues(station=victim.station, secret=victim.queue_secret)
    broker = next(one.broker for one in stage.cluster.nodes if one.is_ready())
    for queue in (names.inbox, names.urgent, names.receipts):
        source, target = quote(wire.INBOX, safe=""), quote(queue, safe="")
        broker.api("DELETE", f"bindings/%2F/e/{source}/q/{target}/{quote(queue, safe='')}")
    return victim.station


def _haunt(stage: Stage, die: int, downtime: float) -> str:
    """Stay so until the queue has another leader: what is said a second time must be enough."""
    queue = (wire.INTAKE_ACK, wire.INTAKE_NORMAL, wire.INTAKE_STATUS, wire.INTAKE_URGENT)[die % 4]
    haunt_queue(next(one for one in stage.cluster.nodes if one.is_ready()), queue)
    return queue


_DEEDS: Mapping[Deed, _Deed] = {
    Deed.KILL_HUB: _kill("hubs"),
    Deed.KILL_LEADER: _kill_leader,
    Deed.KILL_STATION: _kill("stations"),
    Deed.KILL_DATABASE: _kill_database,
    Deed.KILL_WEB: _kill("web"),
    Deed.KILL_NODE: _kill_node,
    Deed.STOP_HUB: _stop_hub,
    Deed.FREEZE_HUB: _freeze_hub,
    Deed.FREEZE_NODE: _freeze_node,
    Deed.FREEZE_DATABASE: _freeze_database,
    Deed.CUT_HUBS: _cut("to_nodes"),
    Deed.CUT_DATABASE: _cut("to_postgres"),
    Deed.CUT_STATIONS: _cut("from_stations"),
    Deed.FREEZE_CONNECTIONS: _freeze_connections,
    Deed.DELAY_CONFIRMS: _delay_confirms,
    Deed.FILL_DISK: _fill_disk,
    Deed.UNROUTE: _unroute,
    Deed.HAUNT: _haunt,
}


# --- setting it up ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def set_up(plan: Plan) -> AsyncIterator[tuple[Stage, Axis]]:
    """Start everything; at the end all of it is killed and removed."""
    folder = make_folder("axis-chaos")
    async with AsyncExitStack() as stack:
        stack.callback(remove_folder, folder)
        cluster = RabbitMQCluster(folder / "cluster")
        stack.callback(cluster.remove)
        postgres = PostgresNode(folder / "postgres")
        stack.callback(postgres.remove)
        await asyncio.gather(asyncio.to_thread(cluster.start), asyncio.to_thread(postgres.start))
        home = folder / "axis"
        home.mkdir(mode=0o700)
        name = await asyncio.to_thread(postgres.database.create)
        environ = {
            "AXIS_HOME": str(home),
            "AXIS_DATABASE_URL": postgres.database.url_of(name).replace("+asyncpg", ""),
            "AXIS_BROKER_URL": ",".join(one.url() for one in cluster.brokers),
            "AXIS_BROKER_MANAGEMENT_URL": cluster.brokers[0].management_url,
            "AXIS_HTTP_PORT": str(free_port()),
        }
        settings = read_settings(environ)
        axis = await stack.enter_async_context(open_axis(settings, may_create=True))
        stage = Stage(plan=plan, folder=folder, cluster=cluster, postgres=postgres, settings=settings)
        await _declare(settings)
        agencies, pki = await _enrol(stage, axis)
        _open_proxies(stage, stack)
        _employ_hubs(stage, environ)
        _employ_stations(stage, axis, agencies=agencies, pki=pki)
        stack.callback(stage.end)
        for one in stage.troupes:
            await asyncio.to_thread(one.start)
        yield stage, axis


async def _declare(settings: Settings) -> None:
    """A node that has just joined opens its management interface once more: for a moment nobody answers."""
    for attempt in range(1, 11):
        try:
            await apply_topology(settings, progress=lambda _: None, say=lambda _, en: en)
        except ServiceUnavailable:
            if attempt == 10:
                raise
            await asyncio.sleep(1)
        else:
            return


async def _enrol(stage: Stage, axis: Axis) -> tuple[list[Agency], PKI]:
    now = axis.clock.now()
    rows, _ = read_organs(organs_csv())
    chosen = rows[: stage.plan.stations]
    pki = await asyncio.to_thread(
        PKI.build,
        not_before=now - timedelta(days=30),
        not_after=now + timedelta(days=30),
        shelf=KeyShelf(distinct=4),
    )
    (stage.settings.home / "trust.pem").write_bytes(pki.trust_pem)
    async with open_accounts(stage.settings) as accounts:
        acts = axis.acts(accounts=accounts)
        await acts.import_organs(rows, by=_BY, with_assumed=True, source="chaos")
        for row in chosen:
            # The last one pulls over HTTP, the others take what comes over AMQP.
            channel = Channel.PULL if row is chosen[-1] else Channel.AMQP
            station = NewStation(
                id=StationId(row.code.lower()), name=row.name, organs=(row.code,), channel=channel
            )
            stage.credentials.append(await acts.add_station(station, by=_BY))
            issued = await asyncio.to_thread(pki.issue, row.name)
            issued.write(stage.folder / "stations" / row.code.lower(), "pen")
            await acts.bind_certificate(row.code, issued.certificate_pem, by=_BY)
    agencies = [Agency(code=row.code_102 or row.code, name=row.name) for row in chosen]
    stage.codes = [one.code for one in agencies]
    return agencies, pki


def _open_proxies(stage: Stage, stack: AsyncExitStack) -> None:
    def proxy(url: str) -> TCPProxy:
        return stack.enter_context(TCPProxy.before(url))

    brokers = stage.cluster.brokers
    stage.to_nodes = [proxy(one.url()) for one in brokers]
    stage.to_postgres = [proxy(stage.settings.database_url.reveal())]
    stage.from_stations = [
        *(proxy(one.url()) for one in brokers),
        proxy(f"http://127.0.0.1:{stage.settings.http_port}"),
    ]


def _employ_hubs(stage: Stage, environ: dict[str, str]) -> None:
    through = environ | {
        "AXIS_DATABASE_URL": stage.to_postgres[0].url(environ["AXIS_DATABASE_URL"]),
        "AXIS_BROKER_URL": ",".join(
            proxy.url(url)
            for proxy, url in zip(stage.to_nodes, environ["AXIS_BROKER_URL"].split(","), strict=True)
        ),
        "AXIS_REOFFER_SECONDS": str(stage.plan.reoffer_seconds),
        "AXIS_LOG_LEVEL": "warning",
        "AXIS_LANG": "en",
        "PATH": os.environ["PATH"],
    }
    for number in range(stage.plan.hubs):
        stage.hubs.append(_troupe(stage, f"hub{number}", [sys.executable, "-m", "axis", "hub"], through))
    stage.web.append(_troupe(stage, "web", [sys.executable, "-m", "axis", "web"], through))


def _troupe(stage: Stage, name: str, command: list[str], environ: dict[str, str]) -> Troupe:
    # What a process says goes through a pipe: a quota of the disk is meant for what it stores.
    log = stage.folder / f"{name}.said"
    spoken = 'exec "$@" 2> >(trap "" TERM INT; exec cat >>"$0")'
    process = LeashedProcess(
        ["bash", "-c", spoken, str(log), *command], name=name, folder=stage.folder, env=environ, cwd=_ROOT
    )
    process.log = log
    return Troupe(name=name, process=process)


def _employ_stations(stage: Stage, axis: Axis, *, agencies: Sequence[Agency], pki: PKI) -> None:
    plan = stage.plan
    *nodes, web = stage.from_stations
    http = web.url(f"http://127.0.0.1:{stage.settings.http_port}")
    for position, credential in enumerate(stage.credentials):
        folder = stage.folder / "stations" / credential.station
        broker, proxy = stage.cluster.brokers[position % len(nodes)], nodes[position % len(nodes)]
        pulls = position == len(stage.credentials) - 1
        role = Role(
            seed=plan.seed,
            documents=plan.documents,
            position=position,
            agencies=tuple((one.code, one.name) for one in agencies),
            per_second=plan.per_second / plan.stations,
            at=datetime.now(UTC).isoformat(),
            station=credential.station,
            key=credential.key,
            queue_secret="" if pulls else credential.queue_secret,
            url=http if pulls else proxy.url(broker.url()),
            http=http,
            answer_seconds=60,
            trusted=axis.keys.trusted.text,
            folder=str(folder),
        )
        path = folder / "role.json"
        path.write_text(json.dumps(asdict(role)))
        stage.journals.append(Journal(folder / "journal"))
        command = [sys.executable, "-m", "tests.chaos.agency", str(path)]
        stage.stations.append(_troupe(stage, credential.station, command, {"PATH": os.environ["PATH"]}))
