"""
Runs docker-compose.yml without containers: `python -m tests.compose.launcher [--profile NAME]`.

Services, commands, variables, volumes, ports, order and health checks are read from the file. A service that is built
from this project runs its command from here; RabbitMQ and PostgreSQL are private servers from installed binaries,
configured by what the file gives their images. What is different, and all of it:

    a service's name and `localhost`    this machine, with a free port for each port inside a container
    a path inside a container           a folder of this run for a volume, the project's own file for a bind
    user ids of the images              those of the users the servers run as here
    versions                            whatever is installed
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from tests.compose.file import Mount, Service, read_compose
from tests.services.packages import postgres_folder, rabbitmq_folder
from tests.services.postgres import PostgresNode
from tests.services.processes import (
    LOOPBACK,
    LeashedProcess,
    free_port,
    make_folder,
    remove_folder,
    wait_until,
)
from tests.services.rabbitmq import BrokerTLS, RabbitMQNode

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"

_EVERYWHERE = "0.0.0.0"


class NotHealthy(Exception):
    """A service did not become what its health check or its order asks for; the message holds its last words."""


class Running(Protocol):
    """A service that was started."""

    def start(self) -> None:
        """Start it; returns before it is of use."""

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What a command inside its container would see."""

    def stop(self) -> None:
        """End it in good order, within its grace period."""

    def kill(self) -> None:
        """End it now."""

    def last_words(self) -> str:
        """The end of what it wrote."""


class Place:
    """Where things of the containers are on this machine: paths, names with ports, user ids."""

    def __init__(self, folder: Path, services: Sequence[Service], *, owners: Mapping[str, int]) -> None:
        self.folder = folder
        self.owners = owners
        self._ports = {(one.name, port): free_port() for one in services for port in one.ports}

    def port(self, service: str, port: int) -> int:
        """The port of this machine that stands for a port inside a container."""
        return self._ports[service, port]

    def path(self, mount: Mount) -> Path:
        """The folder or file that stands for a mount."""
        if mount.is_volume:
            found = self.folder / "volumes" / mount.source
            found.mkdir(parents=True, exist_ok=True)
            return found
        return (ROOT / mount.source).resolve()

    def translate(self, text: str, *, inside: Service) -> str:
        """The text as it must read on this machine."""
        for mount in sorted(inside.mounts, key=lambda one: len(one.target), reverse=True):
            end = r"(?![\w.-])"
            text = re.sub(re.escape(mount.target) + end, lambda _, to=mount: str(self.path(to)), text)  # type: ignore[misc]
        for (service, port), here in self._ports.items():
            names = f"{re.escape(service)}|localhost" if service == inside.name else re.escape(service)
            text = re.sub(rf"(?<![\w.-])(?:{names}):{port}(?!\d)", f"localhost:{here}", text)
        return text

    def environment(self, service: Service) -> dict[str, str]:
        """The service's variables as they must be on this machine."""
        return {
            name: self.translate(self._here(name, value, service), inside=service)
            for name, value in service.environment.items()
        }

    def _here(self, name: str, value: str, service: Service) -> str:
        if name.endswith("_UID"):
            return str(self.owners[name.removesuffix("_UID").lower()])
        if name.endswith("_PORT") and value.isdigit() and int(value) in service.ports:
            return str(self.port(service.name, int(value)))
        if name.endswith("_HOST") and value == _EVERYWHERE:
            return LOOPBACK
        return value

    def around(self) -> dict[str, str]:
        """What every process of a container has besides: a path to its programs, a home, a language."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        programs = [Path(sys.executable).parent, postgres_folder(), rabbitmq_folder()]
        return {
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "HOME": str(home),
            "LANG": "C.UTF-8",
        }


class Program:
    """A service built from this project: its command, run from here."""

    def __init__(self, service: Service, place: Place) -> None:
        self._service = service
        self.environment: Mapping[str, str] = {**place.around(), **place.environment(service)}
        command = [place.translate(part, inside=service) for part in service.command]
        program = shutil.which(command[0], path=self.environment["PATH"])
        if program is None:
            raise NotHealthy(f"{service.name}: there is no {command[0]} here; `make setup` makes it")
        folder = place.folder / "services"
        folder.mkdir(exist_ok=True)
        self._process = LeashedProcess(
            [program, *command[1:]], name=service.name, folder=folder, env=self.environment
        )

    def start(self) -> None:
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        number = signal.Signals[self._service.stop_signal]
        self._process.stop(within_s=self._service.stop_grace_s, number=number)

    def kill(self) -> None:
        self._process.kill()

    def last_words(self) -> str:
        return self._process.last_words(lines=40)


class Postgres:
    """Stands in for PostgreSQL's image: its variables, `-c` settings and scripts of the first start."""

    def __init__(self, service: Service, place: Place) -> None:
        variables = place.environment(service)
        command = [place.translate(part, inside=service) for part in service.command]
        if command[0] != "postgres" or any(flag != "-c" for flag in command[1::2]):
            raise NotHealthy(f"{service.name}: only `postgres -c name=value …` is understood")
        self._user = variables["POSTGRES_USER"]
        self._password = Path(variables["POSTGRES_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
        self._scripts = [
            script
            for mount in service.mounts
            if mount.target == "/docker-entrypoint-initdb.d"
            for script in sorted(place.path(mount).glob("*.sh"))
        ]
        self.node = PostgresNode(
            place.folder / "postgres",
            # As in production, and as `axis doctor` asks: what was committed survives a power cut.
            durable=True,
            settings=dict(part.split("=", 1) for part in command[2::2]),
            user=self._user,
            password=self._password,
            port=place.port(service.name, service.ports[0]),
        )
        self.environment: Mapping[str, str] = {
            **place.around(),
            **variables,
            "PGHOST": LOOPBACK,
            "PGPORT": str(self.node.port),
            "PGPASSWORD": self._password,
        }

    def start(self) -> None:
        is_first = not (self.node.folder / "data").exists()
        self.node.start()
        if is_first:
            for script in self._scripts:
                done = subprocess.run(
                    ["bash", str(script)], env=self.environment, capture_output=True, text=True, check=False
                )
                if done.returncode != 0:
                    raise NotHealthy(f"{script.name} ended with {done.returncode}: {done.stderr[-2000:]}")

    @property
    def exit_code(self) -> int | None:
        return None if self.node.is_ready() else 1

    def stop(self) -> None:
        self.node.stop()

    def kill(self) -> None:
        self.node.kill()

    def last_words(self) -> str:
        return (self.node.folder / "postgres.log").read_text(errors="replace")[-4000:]


class RabbitMQ:
    """Stands in for RabbitMQ's image: the configuration file its variable names."""

    def __init__(self, service: Service, place: Place) -> None:
        variables = place.environment(service)
        said = _settings(Path(variables["RABBITMQ_CONFIG_FILE"]).read_text(encoding="utf-8"))
        port = int(said.pop("listeners.ssl.default"))
        management = int(said.pop("management.ssl.port"))
        # The private node has a plain listener on loopback of its own, for the launcher's questions.
        if said.pop("listeners.tcp") != "none":
            raise NotHealthy(f"{service.name}: a listener without TLS")
        self.node = RabbitMQNode(
            place.folder / "rabbitmq",
            user=said.pop("default_user"),
            password=said.pop("default_pass"),
            tls=BrokerTLS(
                ca_file=Path(said["ssl_options.cacertfile"]),
                cert_file=Path(said["ssl_options.certfile"]),
                key_file=Path(said["ssl_options.keyfile"]),
            ),
            settings={
                **said,
                "listeners.ssl.default": f"{LOOPBACK}:{place.port(service.name, port)}",
                "management.ssl.ip": LOOPBACK,
                "management.ssl.port": str(place.port(service.name, management)),
            },
        )
        self.node.tls_port = place.port(service.name, port)
        self._around = {**place.around(), **variables}

    def start(self) -> None:
        self.node.start()

    @property
    def environment(self) -> Mapping[str, str]:
        process = self.node._process
        assert process is not None
        return {**self._around, **process.env, "PATH": self._around["PATH"]}

    @property
    def exit_code(self) -> int | None:
        process = self.node._process
        return None if process is None else process.exit_code

    def stop(self) -> None:
        self.node.stop()
        self.node.remove()

    def kill(self) -> None:
        self.node.kill()

    def last_words(self) -> str:
        process = self.node._process
        return "" if process is None else process.last_words(lines=40)


def _settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def _stand_in(service: Service, place: Place) -> Running:
    if service.is_built:
        return Program(service, place)
    kind = service.image.partition(":")[0]
    if kind == "postgres":
        return Postgres(service, place)
    if kind == "rabbitmq":
        return RabbitMQ(service, place)
    raise NotHealthy(f"{service.name}: nothing here stands in for the image {service.image}")


class Topology:
    """
    The services of the compose file, running on this machine.

    As a context manager it starts them in their order, each once those it waits for are as it wants them, waits
    until every health check passes, and at the end stops all and removes what they wrote.
    """

    def __init__(self, *, profiles: Sequence[str] = (), compose: Path = COMPOSE) -> None:
        self.services = {one.name: one for one in read_compose(compose, profiles=profiles, environ={})}
        self.folder = make_folder("axis-compose")
        own = os.geteuid()
        owners = {"axis": own, "postgres": _uid("postgres", own), "rabbitmq": own}
        self.place = Place(self.folder, tuple(self.services.values()), owners=owners)
        self.running: dict[str, Running] = {}

    def start(self) -> None:
        """Start everything and wait until all of it is healthy."""
        for service in self.services.values():
            for other, condition in service.after.items():
                self._await(self.services[other], condition)
            self.running[service.name] = _stand_in(service, self.place)
            self.running[service.name].start()
        for service in self.services.values():
            if service.health is not None:
                self._await(service, "service_healthy")

    def _await(self, service: Service, condition: str) -> None:
        running = self.running[service.name]
        try:
            if condition == "service_completed_successfully":
                wait_until(lambda: running.exit_code is not None, within_s=120, what=f"{service.name} ends")
                if running.exit_code != 0:
                    raise NotHealthy(f"{service.name} ended with {running.exit_code}: {running.last_words()}")
            elif condition == "service_healthy" and service.health is not None:
                wait_until(
                    lambda: running.exit_code is not None or self.is_healthy(service.name),
                    within_s=service.health.patience_s,
                    what=f"{service.name} is healthy",
                    every_s=0.5,
                )
                if running.exit_code is not None:
                    raise NotHealthy(f"{service.name} ended with {running.exit_code}: {running.last_words()}")
            else:
                raise NotHealthy(f"{service.name}: nothing here waits for {condition}")
        except TimeoutError as error:
            raise NotHealthy(f"{error}: {running.last_words()}") from error

    def is_healthy(self, name: str) -> bool:
        """Run the service's health check once, as the file has it."""
        service, running = self.services[name], self.running[name]
        assert service.health is not None
        command = [self.place.translate(part, inside=service) for part in service.health.test]
        try:
            done = subprocess.run(
                command,
                env=running.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=service.health.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def environment_of(self, name: str) -> dict[str, str]:
        """The variables of a service as it runs here: what `docker compose exec` would see."""
        return dict(self.running[name].environment)

    def addresses(self) -> Iterator[tuple[str, str]]:
        """What listens where."""
        for service in self.services.values():
            for port in service.ports:
                yield f"{service.name}:{port}", f"localhost:{self.place.port(service.name, port)}"

    def stop(self) -> None:
        """Stop the services in reverse order and remove what they wrote."""
        try:
            for running in reversed(self.running.values()):
                if running.exit_code is None:
                    running.stop()
        finally:
            for running in self.running.values():
                running.kill()
            remove_folder(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _uid(user: str, otherwise: int) -> int:
    if os.geteuid() != 0:
        return otherwise
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return otherwise


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Run docker-compose.yml without containers, until Ctrl-C.")
    parser.add_argument("--profile", action="append", default=[])
    asked = parser.parse_args(arguments)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        with Topology(profiles=asked.profile) as topology:
            for inside, here in topology.addresses():
                print(f"{inside:<18} {here}")
            print("All of it is healthy. Ctrl-C stops it.", flush=True)
            over.wait()
    except NotHealthy as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
