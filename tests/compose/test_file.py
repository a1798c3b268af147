"""The compose file holds what production needs and nothing it must not; the reader refuses what it would ignore."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from axis.settings import SETTINGS
from tests.compose.file import Service, Unsupported, read_compose
from tests.compose.launcher import COMPOSE, Place
from tests.project.collect import ROOT


@pytest.fixture(name="composed")
def _composed() -> dict[str, Service]:
    return {one.name: one for one in read_compose(COMPOSE, profiles=["demo"], environ={})}


def _read(tmp_path: Path, service: str, *, rest: str = "") -> tuple[Service, ...]:
    path = tmp_path / "compose.yml"
    path.write_text(f"services:\n  one:\n    image: x:1.0\n{service}\n{rest}", encoding="utf-8")
    return read_compose(path, environ={})


def test_the_topology_is_the_one_promised(composed: dict[str, Service]) -> None:
    """RabbitMQ 4, PostgreSQL 17, two hubs, one web."""
    assert composed["rabbitmq"].image.startswith("rabbitmq:4.")
    assert composed["postgres"].image.startswith("postgres:17.")
    assert [composed[name].command for name in ("hub-1", "hub-2", "web")] == [
        ("axis", "hub"),
        ("axis", "hub"),
        ("axis", "web"),
    ]


def test_images_are_pinned(composed: dict[str, Service]) -> None:
    """An exact version, also of what the image is built from."""
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)

    for image in [*(one.image for one in composed.values()), *bases]:
        assert re.search(r":\d+\.\d+(\.\d+)?(-[a-z-]+)?(@sha256:[0-9a-f]{64})?$", image), image


def test_every_service_that_stays_has_a_health_check(composed: dict[str, Service]) -> None:
    """Only the one that ends by itself has none."""
    assert [name for name, one in composed.items() if one.health is None] in (
        ["first-start"],
        ["first-start", "demo"],
    )


@pytest.mark.threat(
    "a default password that survives", control="no password in the compose file or its defaults"
)
def test_no_password_stands_in_the_file(composed: dict[str, Service]) -> None:
    """Every password is a path to a file that the first start makes."""
    secret = re.compile(r"PASS|SECRET|TOKEN|_KEY")
    given = [
        (service.name, name, value)
        for service in composed.values()
        for name, value in service.environment.items()
        if secret.search(name) and not value.startswith("/secrets/")
    ]

    assert given == []
    assert not re.search(r"://[^\s/@]*:[^\s/@]+@", COMPOSE.read_text(encoding="utf-8"))


def test_only_two_ports_are_published() -> None:
    """Stations over AMQP and HTTP, both with TLS."""
    published = re.findall(r"^ {4}ports: (.*)$", COMPOSE.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(published) == ['["5671:5671"]', '["8443:8443"]']


def test_every_variable_is_a_setting(composed: dict[str, Service]) -> None:
    """The axis refuses unknown names, so the file must not hold one."""
    known = {one.name for one in SETTINGS} | {f"{one.name}_FILE" for one in SETTINGS if one.said.is_secret}
    ours = [one for one in composed.values() if one.is_built and one.command[0] == "axis"]

    assert ours
    assert {
        name for one in ours for name in one.environment if name.startswith("AXIS_") and name not in known
    } == set()


def test_the_image_runs_as_nobody_special() -> None:
    """Not as root, and dependencies come with their hashes."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in text


@pytest.mark.parametrize(
    ("service", "named"),
    [
        ("    deploy: {replicas: 3}", "deploy"),
        ("    command: axis hub", "list"),
        ("    environment: [A=b]", "map"),
        ("    environment: {A: 7}", "map"),
        ("    environment: {A: '${NOT_SET}'}", "NOT_SET"),
        ("    volumes: ['x:/x']", "no volume x"),
        ("    volumes: ['./x:/x:rw']", "volume"),
        ("    ports: ['8000-8010:80']", "port"),
        ("    healthcheck: {test: [CMD-SHELL, 'true']}", "health check"),
        ("    stop_grace_period: 1h", "time 1h"),
        ("    depends_on: {two: {condition: service_healthy}}", "wait for"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, service: str, named: str) -> None:
    """And named."""
    with pytest.raises(Unsupported, match=named):
        _read(tmp_path, service)


def test_services_come_after_those_they_wait_for(composed: dict[str, Service]) -> None:
    """Whatever their order in the file."""
    names = list(composed)

    assert all(
        names.index(other) < names.index(name) for name, one in composed.items() for other in one.after
    )


def test_names_ports_and_paths_become_those_of_this_machine(tmp_path: Path) -> None:
    """Whole names and whole paths only, the longest path first."""
    [one, two] = read_compose(_written(tmp_path), environ={})
    place = Place(tmp_path, (one, two), owners={"axis": 7})
    data = tmp_path / "volumes" / "data"
    there = place.port("one", 80)

    assert place.translate("http://one:80/ http://one:8080/ my-one:80 localhost:80", inside=two) == (
        f"http://localhost:{there}/ http://one:8080/ my-one:80 localhost:80"
    )
    assert place.translate("http://localhost:80", inside=one) == f"http://localhost:{there}"
    assert place.translate("/data/x /data2 /data/deep/y /data", inside=one) == (
        f"{data}/x /data2 {tmp_path / 'volumes' / 'deep'}/y {data}"
    )
    assert place.environment(one) == {"X_PORT": str(there), "X_HOST": "127.0.0.1", "AXIS_UID": "7", "Y": "80"}


def _written(tmp_path: Path) -> Path:
    path = tmp_path / "compose.yml"
    path.write_text(
        """
services:
  two: {image: "x:1.0", depends_on: {one: {condition: service_started}}}
  one:
    image: x:1.0
    ports: ["127.0.0.1:8000:80"]
    environment: {X_PORT: "80", X_HOST: 0.0.0.0, AXIS_UID: "999", Y: "80"}
    volumes: ["data:/data", "deep:/data/deep:ro"]
volumes: {data: , deep: }
""",
        encoding="utf-8",
    )
    return path
