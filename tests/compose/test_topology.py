"""The compose file, running: two hubs and a web interface on RabbitMQ and PostgreSQL, all of it over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.document import Document
from adapters.station import Credentials, Station
from axis.core.model import Kind, StationId, SubmissionState, Tier
from axis.demo.letters import Agency, Pen, letter, package
from axis.demo.pki import PKI, KeyShelf
from signing.certificates import certificates_from_pem
from signing.keys import KeySigner
from tests.compose.launcher import Program, Topology
from tests.services.processes import wait_until

pytestmark = [
    pytest.mark.service,
    pytest.mark.private_node,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

VPCP = Agency(code="000.00.00.G22", name="Văn phòng Chính phủ")
HANOI = Agency(code="000.00.00.H26", name="UBND Thành phố Hà Nội")


@pytest.fixture(scope="module", name="topology")
def _topology() -> Iterator[Topology]:
    with Topology(profiles=["demo"]) as topology:
        yield topology


def _until_the_demo_ends(topology: Topology) -> None:
    demo = topology.running["demo"]
    wait_until(lambda: demo.exit_code is not None, within_s=450, what="the demonstration ends", every_s=0.5)


@pytest.fixture(scope="module", name="town")
def _town(topology: Topology, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two agencies that are connected, one of which signs: made with the commands an operator types."""
    # The broker's users are common to its virtual hosts, and both worlds have an H26.
    _until_the_demo_ends(topology)
    now = datetime.now(UTC)
    pki = PKI.build(
        not_before=now - timedelta(days=1), not_after=now + timedelta(days=30), shelf=KeyShelf(distinct=3)
    )
    issued = pki.issue(VPCP.name)
    folder = tmp_path_factory.mktemp("town")
    certificate = folder / "vpcp.pem"
    certificate.write_bytes(issued.certificate_pem)
    trust = Path(topology.environment_of("hub-1")["AXIS_HOME"]) / "trust.pem"
    trust.write_bytes(pki.trust_pem)
    why = ["--as", "tester", "--reason", "the topology's test"]
    _axis(topology, "organ", "import", "--with-assumed", *why)
    keys = {
        code: json.loads(_axis(topology, "station", "add", code.lower(), "--organs", code, *why, "--json"))
        for code in ("G22", "H26")
    }
    _axis(topology, "station", "cert", "add", "G22", str(certificate), *why)
    return {
        "pen": Pen(signer=KeySigner(issued.key), chain=certificates_from_pem(issued.chain_pem)),
        "keys": keys,
        "folder": folder,
    }


def _axis(topology: Topology, *arguments: str) -> str:
    """What `docker compose exec hub-1 axis …` prints."""
    environment = topology.environment_of("hub-1")
    done = subprocess.run(
        ["axis", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"axis {' '.join(arguments)}: {done.stderr[-2000:]}{done.stdout[-2000:]}"
    return done.stdout


def _station(topology: Topology, town: dict[str, Any], code: str, *, amqp: bool) -> Station:
    made = town["keys"][code]
    secrets = Path(topology.place.folder) / "volumes" / "secrets-axis"
    web = f"https://localhost:{topology.place.port('web', 8443)}"
    broker = f"amqps://localhost:{topology.place.port('rabbitmq', 5671)}/"
    return Station(
        broker if amqp else web,
        Credentials(station=StationId(code.lower()), key=made["key"], queue_secret=made["queue_secret"]),
        http=web if amqp else None,
        tls=ssl.create_default_context(cafile=str(secrets / "servers.pem")),
        state=town["folder"] / f"{code}-{'amqp' if amqp else 'http'}",
    )


async def _next(station: Station, *, kind: Kind) -> Document:
    async with asyncio.timeout(60):
        async for document in station.receive():
            if document.kind is kind:
                return document
            await document.done()
    raise AssertionError("the inbox ended")


def test_every_service_is_healthy(topology: Topology) -> None:
    """By the health checks of the file, and nothing of it has ended."""
    assert {
        name: topology.is_healthy(name) for name, one in topology.services.items() if one.health is not None
    } == dict.fromkeys(("postgres", "rabbitmq", "hub-1", "hub-2", "web"), True)


@pytest.mark.threat(
    "a hub that was broken into owns the database server", control="a role that owns one database"
)
def test_the_axis_owns_its_database_and_nothing_else(topology: Topology) -> None:
    """No superuser, no right to make databases or roles; and nobody but it connects to its own."""
    database = topology.running["postgres"].node.database  # type: ignore[attr-defined] # a stand-in

    [role] = database.query(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = 'axis'"
    )
    [rights] = database.query("SELECT datacl::text AS acl FROM pg_database WHERE datname = 'axis'")
    [tables] = database.query(
        "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public' AND tableowner = 'axis'",
        database="axis",
    )

    assert set(role.values()) == {False}
    assert rights["acl"] == "{axis=CTc/axis}"
    assert isinstance(tables["n"], int)
    assert tables["n"] > 0


async def test_the_demonstration_reconciles(topology: Topology) -> None:
    """The demo profile runs on the same servers, beside the real axis, and ends with 0."""
    demo = topology.running["demo"]

    await asyncio.to_thread(_until_the_demo_ends, topology)

    assert demo.exit_code == 0, demo.last_words()


def test_the_demonstration_leaves_real_stations_alone(topology: Topology, town: dict[str, Any]) -> None:
    """Users are common to a broker's virtual hosts: its H26 would get the demonstration's password."""
    assert town["keys"]

    done = subprocess.run(
        [sys.executable, "deploy/demo.py", "--documents", "8", "--stations", "6"],
        env=topology.environment_of("demo"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "already serves stations (g22, h26)" in done.stderr.lower()


@pytest.mark.requirement("LR-53")
@pytest.mark.parametrize("amqp", [True, False], ids=["AMQP", "HTTP"])
async def test_a_document_goes_through(topology: Topology, town: dict[str, Any], amqp: bool) -> None:
    """Handed in over either channel, accepted with a receipt, delivered over AMQP byte for byte, acknowledged."""
    at = datetime.now(UTC)
    edoc = letter(10 + amqp, sender=VPCP, receivers=[HANOI], at=at)
    signed = package(edoc, pen=town["pen"], at=at)

    async with (
        _station(topology, town, "G22", amqp=amqp) as sender,
        _station(topology, town, "H26", amqp=True) as receiver,
    ):
        answer = await sender.submit(signed, within=60)
        document = await _next(receiver, kind=Kind.EDOC)
        await document.done()

    assert (answer.state, answer.reason) == (SubmissionState.ACCEPTED, None)
    assert answer.receipt is not None
    assert document.key == answer.document
    assert document.tier is Tier.PASSED
    assert document.digest == answer.digest


async def test_the_other_hub_goes_on_when_one_is_killed(topology: Topology, town: dict[str, Any]) -> None:
    """SIGKILL of a hub: what is handed in then is delivered all the same, and the rest stays healthy."""
    victim = topology.running["hub-1"]
    assert isinstance(victim, Program)
    await asyncio.to_thread(victim.kill)
    at = datetime.now(UTC)
    signed = package(letter(20, sender=VPCP, receivers=[HANOI], at=at), pen=town["pen"], at=at)

    async with (
        _station(topology, town, "G22", amqp=True) as sender,
        _station(topology, town, "H26", amqp=True) as receiver,
    ):
        answer = await sender.submit(signed, within=60)
        document = await _next(receiver, kind=Kind.EDOC)
        await document.done()

    assert answer.state is SubmissionState.ACCEPTED
    assert document.key == answer.document
    await asyncio.to_thread(victim.start)
    assert await asyncio.to_thread(topology.is_healthy, "web")
