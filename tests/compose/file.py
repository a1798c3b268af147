"""
Reads docker-compose.yml: the services of a profile, in the order in which they may start.

Understands the part of the format this project uses and refuses the rest: a key that is silently ignored would make
a test pass that tests something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class Unsupported(Exception):
    """The file says something this reader does not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file a service sees at `target`; a named volume has no `source` path of its own."""

    source: str
    target: str
    is_volume: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """The command that says whether a service is of use, and how long it may take to be."""

    test: tuple[str, ...]
    interval_s: float
    timeout_s: float
    retries: int
    start_period_s: float

    @property
    def patience_s(self) -> float:
        """After this a container engine calls the service unhealthy."""
        return self.start_period_s + self.retries * (self.interval_s + self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service."""

    name: str
    image: str
    is_built: bool
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[int, ...]
    """Ports it listens on inside its container, published or not."""
    mounts: tuple[Mount, ...]
    health: HealthCheck | None
    after: Mapping[str, str]
    """Service -> condition."""
    stop_signal: str
    stop_grace_s: float


_MEANT_FOR_CONTAINERS = frozenset(
    {
        "restart",
        "read_only",
        "tmpfs",
        "cap_drop",
        "cap_add",
        "security_opt",
        "network_mode",
        "hostname",
        "user",
    }
)
"""Keys that restrict or name a container and say nothing about how the services work together."""

_UNDERSTOOD = frozenset(
    {
        "image",
        "build",
        "command",
        "environment",
        "expose",
        "ports",
        "volumes",
        "healthcheck",
        "depends_on",
        "profiles",
        "stop_signal",
        "stop_grace_period",
    }
)
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*))?\})")


def read_compose(
    path: Path, *, profiles: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> tuple[Service, ...]:
    """
    The services that run under these profiles, each after those it waits for.

    Raises:
        Unsupported: naming what is not understood.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    unknown = {key for key in document if key not in {"services", "volumes"} and not key.startswith("x-")}
    if unknown:
        raise Unsupported(f"top level: {', '.join(sorted(unknown))}")
    volumes = set(document.get("volumes") or ())
    services = {
        name: _service(name, _filled(said, environ or {}), volumes=volumes)
        for name, said in document["services"].items()
        if not said.get("profiles") or set(said["profiles"]) & set(profiles)
    }
    return tuple(services[name] for name in _order(services))


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with its `${NAME:-default}` filled in."""
    match value:
        case dict():
            return {key: _filled(member, environ) for key, member in value.items()}
        case list():
            return [_filled(member, environ) for member in value]
        case str():
            return _VARIABLE.sub(lambda found: _variable(found, environ), value)
        case _:
            return value


def _variable(found: re.Match[str], environ: Mapping[str, str]) -> str:
    name, default = found["name"], found["default"]
    if name is None:
        return "$"
    given = environ.get(name) or default
    if given is None:
        raise Unsupported(f"${{{name}}} is required and not set")
    return given


def _service(name: str, said: Mapping[str, Any], *, volumes: set[str]) -> Service:
    unknown = set(said) - _UNDERSTOOD - _MEANT_FOR_CONTAINERS
    if unknown:
        raise Unsupported(f"{name}: {', '.join(sorted(unknown))}")
    command = said.get("command", [])
    if not isinstance(command, list):
        raise Unsupported(f"{name}: write the command as a list")
    environment = said.get("environment", {})
    if not isinstance(environment, dict) or not all(isinstance(one, str) for one in environment.values()):
        raise Unsupported(f"{name}: write the environment as a map of texts")
    return Service(
        name=name,
        image=said["image"],
        is_built="build" in said,
        command=tuple(str(part) for part in command),
        environment=environment,
        ports=tuple(
            dict.fromkeys(_port(name, one) for one in [*said.get("expose", []), *said.get("ports", [])])
        ),
        mounts=tuple(_mount(name, one, volumes=volumes) for one in said.get("volumes", [])),
        health=_health(name, said["healthcheck"]) if "healthcheck" in said else None,
        after={other: str(how["condition"]) for other, how in said.get("depends_on", {}).items()},
        stop_signal=said.get("stop_signal", "SIGTERM"),
        stop_grace_s=_seconds(said.get("stop_grace_period", "10s")),
    )


def _port(service: str, written: object) -> int:
    found = re.fullmatch(r"(?:(?:[0-9.]+:)?[0-9]+:)?([0-9]+)", str(written))
    if found is None:
        raise Unsupported(f"{service}: port {written}")
    return int(found[1])


def _mount(service: str, written: object, *, volumes: set[str]) -> Mount:
    parts = str(written).split(":")
    if len(parts) not in {2, 3} or (len(parts) == 3 and parts[2] != "ro"):
        raise Unsupported(f"{service}: volume {written}")
    is_volume = not parts[0].startswith((".", "/"))
    if is_volume and parts[0] not in volumes:
        raise Unsupported(f"{service}: no volume {parts[0]}")
    return Mount(source=parts[0], target=parts[1], is_volume=is_volume)


def _health(service: str, said: Mapping[str, Any]) -> HealthCheck:
    test = said["test"]
    if (
        not isinstance(test, list)
        or test[0] != "CMD"
        or set(said)
        - {
            "test",
            "interval",
            "timeout",
            "retries",
            "start_period",
        }
    ):
        raise Unsupported(f"{service}: health check")
    return HealthCheck(
        test=tuple(str(part) for part in test[1:]),
        interval_s=_seconds(said["interval"]),
        timeout_s=_seconds(said["timeout"]),
        retries=int(said["retries"]),
        start_period_s=_seconds(said["start_period"]),
    )


def _seconds(written: str) -> float:
    found = re.fullmatch(r"([0-9]+)(s|m)", written)
    if found is None:
        raise Unsupported(f"time {written}")
    return int(found[1]) * (60 if found[2] == "m" else 1)


def _order(services: Mapping[str, Service]) -> list[str]:
    ordered: list[str] = []
    left = dict(services)
    while left:
        ready = [name for name, one in left.items() if set(one.after) <= set(ordered)]
        if not ready:
            raise Unsupported(f"these wait for each other or for what is not there: {', '.join(left)}")
        for name in ready:
            ordered.append(name)
            del left[name]
    return ordered
