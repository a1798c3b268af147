"""
The servers one test run shares among its worker processes.

Started by the first who asks, under a file lock; every other finds their addresses in a file. Their owner is
the process that leads the run: when it ends they end, in good order or not.
"""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.services.postgres import DRIVER, Database, PostgresNode
from tests.services.processes import lives, make_folder, remove_folder, wait_until
from tests.services.rabbitmq import Broker, RabbitMQNode

AMQP_URL = "AXIS_TEST_AMQP_URL"
MANAGEMENT_URL = "AXIS_TEST_AMQP_MANAGEMENT_URL"
DATABASE_URL = "AXIS_TEST_DATABASE_URL"

TEMPLATE = "template"
"""
The database the tests' own databases are copied from, as a thing made once a run.
"""


def broker_at(url: str, *, management_url: str | None = None) -> Broker:
    """Return the RabbitMQ server these addresses name; the management interface is on port 15672 if not said."""
    parts = urlsplit(url)
    tls = parts.scheme == "amqps"
    user, password = parts.username or "guest", parts.password or "guest"
    host = parts.hostname or "127.0.0.1"
    return Broker(
        host=host,
        port=parts.port or (5671 if tls else 5672),
        user=unquote(user),
        password=unquote(password),
        management_url=management_url or f"http://{user}:{password}@{host}:15672",
        tls=tls,
    )


def database_at(url: str) -> Database:
    """Return the PostgreSQL server this address names, with or without a driver in its scheme."""
    _, separator, rest = url.partition("://")
    if not separator:
        raise ValueError(f"{DATABASE_URL} is not an address")
    return Database(url=f"{DRIVER}://{rest}")


class SharedServices:
    """
    RabbitMQ and PostgreSQL for one run, each started when first asked for.

    Where the environment names servers, those are used and nothing is started.
    """

    def __init__(self, folder: Path, *, owner_pid: int, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._owner_pid = owner_pid
        self._environment = environment

    @classmethod
    def make(cls, *, environment: Mapping[str, str]) -> "SharedServices":
        """Make them for a run this process leads."""
        return cls(make_folder("axis-services"), owner_pid=os.getpid(), environment=environment)

    @property
    def broker_is_elsewhere(self) -> bool:
        return bool(self._environment.get(AMQP_URL))

    @property
    def database_is_elsewhere(self) -> bool:
        return bool(self._environment.get(DATABASE_URL))

    def remote_hosts(self) -> list[str]:
        """Return the hosts the environment names, which tests may then talk to."""
        addresses = [self._environment.get(name) for name in (AMQP_URL, MANAGEMENT_URL, DATABASE_URL)]
        return sorted({host for address in addresses if address and (host := urlsplit(address).hostname)})

    def broker(self) -> Broker:
        address = self._environment.get(AMQP_URL)
        if address:
            return broker_at(address, management_url=self._environment.get(MANAGEMENT_URL))

        def start() -> dict[str, object]:
            node = RabbitMQNode(self.folder / "rabbitmq", owner_pid=self._owner_pid)
            node.start()
            _keep(node)
            return {
                "url": node.broker.url(),
                "management_url": node.broker.management_url,
                "leashes": node.leash_pids,
                "is": f"RabbitMQ {node.broker.version}, a private node",
            }

        found = self.once("rabbitmq", start)
        return broker_at(str(found["url"]), management_url=str(found["management_url"]))

    def database(self) -> Database:
        address = self._environment.get(DATABASE_URL)
        if address:
            return database_at(address)

        def start() -> dict[str, object]:
            node = PostgresNode(self.folder / "postgres", owner_pid=self._owner_pid)
            node.start()
            _keep(node)
            return {
                "url": node.database.url,
                "leashes": node.leash_pids,
                "is": f"PostgreSQL {node.database.version}, a private server",
            }

        return database_at(str(self.once("postgres", start)["url"]))

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def once(self, name: str, start: Callable[[], dict[str, object]]) -> dict[str, object]:
        """Do something once a run, whichever worker comes first, and return its result to all."""
        record = self.folder / f"{name}.json"
        with self._locked(name):
            if not record.exists():
                result = start()
                temporary = record.with_suffix(".new")
                temporary.write_text(json.dumps(result))
                temporary.chmod(0o600)
                temporary.replace(record)
            found: dict[str, object] = json.loads(record.read_text())
            return found

    def in_use(self) -> list[str]:
        """Say in words which servers this run used."""
        found = []
        if self.broker_is_elsewhere:
            found.append(f"RabbitMQ at {AMQP_URL}")
        if self.database_is_elsewhere:
            found.append(f"PostgreSQL at {DATABASE_URL}")
        for name in ("rabbitmq", "postgres"):
            record = self.folder / f"{name}.json"
            if record.exists():
                found.append(str(json.loads(record.read_text())["is"]))
        return found

    def stop(self) -> None:
        """End the servers that were started and remove their folder. The owner calls it last."""
        template = self.folder / f"{TEMPLATE}.json"
        if self.database_is_elsewhere and template.exists():
            self.database().drop(str(json.loads(template.read_text())["name"]))
        leashes: list[int] = []
        for record in self.folder.glob("*.json"):
            leashes += json.loads(record.read_text()).get("leashes", [])
        for pid in leashes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in leashes:
            wait_until(lambda pid=pid: not lives(pid), within_s=20, what=f"server {pid} has ended")  # type: ignore[misc]
        remove_folder(self.folder)


_kept: list[object] = []


def _keep(node: object) -> None:
    # The process that started a shared server is not the one that ends it: forgetting the object would make
    # the interpreter complain about a child that still runs.
    _kept.append(node)
