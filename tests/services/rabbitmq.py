"""
Private RabbitMQ nodes: one, or three that form a cluster; and what a test asks of any RabbitMQ server.

Written against 3.10 (Debian 12) and 4.x. A node gets its own name, cookie, home, folders, port mapper and
ports, all on loopback, so it neither finds nor disturbs another broker of the machine.
"""

import base64
import contextlib
import http.client
import json
import os
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

from tests.services.packages import RABBITMQ_SERVER, rabbitmq_folder
from tests.services.processes import (
    LOOPBACK,
    LeashedProcess,
    ServiceUnavailable,
    free_port,
    is_listening,
    remove_folder,
    wait_until,
)

_START_ATTEMPTS = 3
_VHOST_ATTEMPTS = 3


class ManagementError(Exception):
    """The management interface said no."""

    def __init__(self, *, method: str, path: str, status: int, answer: str) -> None:
        super().__init__(f"{method} {path}: {status} {answer[:300]}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """
    A RabbitMQ server as a test sees it: where it is, and its administrator.

    Works on a private node and on a server elsewhere alike.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    management_url: str = field(repr=False)
    """
    `http(s)://user:password@host:port`, the form the axis takes it in.
    """
    tls: bool = False

    def url(self, *, vhost: str = "/", user: str | None = None, password: str | None = None) -> str:
        """Return the AMQP address of a virtual host, for the administrator or for somebody else."""
        scheme = "amqps" if self.tls else "amqp"
        name = quote(self.user if user is None else user, safe="")
        word = quote(self.password if password is None else password, safe="")
        return f"{scheme}://{name}:{word}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def api(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, timeout_s: float = 30
    ) -> object:
        """Call the management interface; `path` starts after `/api/`. Raises `ManagementError`."""
        parts = urlsplit(self.management_url)
        host, port = parts.hostname or LOOPBACK, parts.port
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=timeout_s, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        with contextlib.closing(connection):
            connection.request(
                method,
                f"{parts.path.rstrip('/')}/api/{path}",
                body=None if body is None else json.dumps(body),
                headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read().decode()
        if answer.status >= 400:
            raise ManagementError(method=method, path=path, status=answer.status, answer=text)
        return json.loads(text) if text else None

    @property
    def version(self) -> str:
        overview = self.api("GET", "overview")
        assert isinstance(overview, dict)
        return str(overview["rabbitmq_version"])

    def make_vhost(self, name: str | None = None) -> "Vhost":
        """Make a virtual host in which the administrator may do everything."""
        name = name or f"test-{secrets.token_hex(6)}"
        for attempt in range(_VHOST_ATTEMPTS):
            try:
                self.api("PUT", f"vhosts/{quote(name, safe='')}", {}, timeout_s=15)
            except TimeoutError:
                # A cluster of 3.10 that has only just formed sometimes never answers the first one.
                if attempt == _VHOST_ATTEMPTS - 1:
                    raise
            else:
                break
        vhost = Vhost(broker=self, name=name)
        vhost.permit(self.user, configure=".*", write=".*", read=".*")
        return vhost


@dataclass(frozen=True, slots=True, kw_only=True)
class Vhost:
    """One virtual host: a test's own broker, as far as queues, exchanges and rights go. Users are not in it."""

    broker: Broker
    name: str

    @property
    def url(self) -> str:
        """The AMQP address, with the administrator's credentials."""
        return self.broker.url(vhost=self.name)

    @property
    def management_url(self) -> str:
        return self.broker.management_url

    def url_for(self, user: str, password: str) -> str:
        return self.broker.url(vhost=self.name, user=user, password=password)

    def api(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Call the management interface; `{vhost}` in the path stands for this one, escaped."""
        return self.broker.api(method, path.replace("{vhost}", quote(self.name, safe="")), body)

    def add_user(
        self,
        name: str,
        password: str,
        *,
        configure: str = "",
        write: str = "",
        read: str = "",
        tags: str = "",
    ) -> str:
        """Make a broker user with these rights here and return its AMQP address."""
        self.broker.api("PUT", f"users/{quote(name, safe='')}", {"password": password, "tags": tags})
        self.permit(name, configure=configure, write=write, read=read)
        return self.url_for(name, password)

    def permit(self, user: str, *, configure: str, write: str, read: str) -> None:
        self.api(
            "PUT",
            f"permissions/{{vhost}}/{quote(user, safe='')}",
            {"configure": configure, "write": write, "read": read},
        )

    def queue_names(self) -> list[str]:
        queues = self.api("GET", "queues/{vhost}?columns=name")
        assert isinstance(queues, list)
        return sorted(str(queue["name"]) for queue in queues)

    def remove(self) -> None:
        """Remove it with all it holds; open connections to it are closed by the server."""
        with contextlib.suppress(ManagementError):
            self.api("DELETE", "vhosts/{vhost}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTLS:
    """What a node needs to speak TLS: PEM files, and whether a client must show a certificate."""

    ca_file: Path
    cert_file: Path
    key_file: Path
    client_certificate_required: bool = False


class PortMapper:
    """
    Erlang's port mapper for private nodes.

    Run by us in the foreground: one that a node starts by itself stays behind after the node is gone.
    """

    def __init__(self, folder: Path, *, owner_pid: int | None = None) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        cookie = self.home / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        self._process = LeashedProcess(
            ["epmd", "-port", str(self.port), "-address", LOOPBACK],
            name="epmd",
            folder=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            owner_pid=owner_pid,
        )

    @property
    def leash_pid(self) -> int:
        return self._process.leash_pid

    def start(self) -> None:
        self._process.start()
        wait_until(lambda: is_listening(self.port), within_s=10, what="the Erlang port mapper listens")

    def kill(self) -> None:
        self._process.kill()


class RabbitMQNode:
    """
    One private RabbitMQ node.

    `start`, `stop`, `kill` (SIGKILL), `freeze`, `thaw`; `start` after `stop` or `kill` is a restart on the same
    data. `broker` says how to reach it. As a context manager it starts, and at the end is killed and removed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tls: BrokerTLS | None = None,
        owner_pid: int | None = None,
        settings: Mapping[str, str] | None = None,
        user: str | None = None,
        password: str | None = None,
        port: int | None = None,
        management_port: int | None = None,
        name: str | None = None,
        mapper: PortMapper | None = None,
        peers: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name or f"axis{secrets.token_hex(4)}@localhost"
        self._mapper = mapper or PortMapper(folder / "epmd", owner_pid=owner_pid)
        self._own_mapper = mapper is None
        self._owner_pid = owner_pid
        self._tls = tls
        self._settings = dict(settings or {})
        self._peers = peers
        self._user = user or "axis-admin"
        self._password = password or secrets.token_hex(16)
        self._wanted_port, self._wanted_management_port = port, management_port
        self._process: LeashedProcess | None = None
        self._started_once = False
        self._choose_ports()

    def _choose_ports(self) -> None:
        self.port = self._wanted_port or free_port()
        self.management_port = self._wanted_management_port or free_port()
        self.tls_port = free_port()
        self._distribution_port = free_port()

    @property
    def broker(self) -> Broker:
        """The node as its users see it; over TLS when it was given certificates."""
        return Broker(
            host="localhost" if self._tls else LOOPBACK,
            port=self.tls_port if self._tls else self.port,
            user=self._user,
            password=self._password,
            management_url=f"http://{self._user}:{self._password}@{LOOPBACK}:{self.management_port}",
            tls=self._tls is not None,
        )

    @property
    def leash_pids(self) -> list[int]:
        """The processes to send SIGTERM to so that this node and all that belongs to it end."""
        own = [] if self._process is None else [self._process.leash_pid]
        return own + ([self._mapper.leash_pid] if self._own_mapper else [])

    def _configuration(self) -> str:
        lines = {
            "listeners.tcp.default": f"{LOOPBACK}:{self.port}",
            "management.tcp.ip": LOOPBACK,
            "management.tcp.port": str(self.management_port),
            "default_user": self._user,
            "default_pass": self._password,
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            # A test machine is shared: a quorum queue's log is 512 MB by default, memory 40 % of the machine.
            "raft.wal_max_size_bytes": "67108864",
            "vm_memory_high_watermark.absolute": "1GB",
            "disk_free_limit.absolute": "50MB",
            "collect_statistics_interval": "1000",
        }
        if self._tls is not None:
            lines |= {
                "listeners.tcp.default": f"{LOOPBACK}:{self.port}",
                "listeners.ssl.default": f"{LOOPBACK}:{self.tls_port}",
                "ssl_options.cacertfile": str(self._tls.ca_file),
                "ssl_options.certfile": str(self._tls.cert_file),
                "ssl_options.keyfile": str(self._tls.key_file),
                "ssl_options.verify": "verify_peer",
                "ssl_options.fail_if_no_peer_cert": str(self._tls.client_certificate_required).lower(),
                "auth_mechanisms.1": "PLAIN",
                "auth_mechanisms.2": "AMQPLAIN",
                "auth_mechanisms.3": "EXTERNAL",
                "ssl_cert_login_from": "common_name",
            }
        if self._peers:
            lines |= {
                "cluster_formation.peer_discovery_backend": "classic_config",
                "cluster_partition_handling": "pause_minority",
            }
            lines |= {
                f"cluster_formation.classic_config.nodes.{n}": peer for n, peer in enumerate(self._peers, 1)
            }
        lines |= self._settings
        return "".join(f"{name} = {value}\n" for name, value in lines.items())

    def _write(self) -> dict[str, str]:
        configuration = self.folder / "rabbitmq.conf"
        configuration.write_text(self._configuration())
        plugins = ["rabbitmq_management"] + (["rabbitmq_auth_mechanism_ssl"] if self._tls else [])
        (self.folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        (self.folder / "advanced.config").write_text("[].\n")
        (self.folder / "rabbitmq-env.conf").write_text("")
        (self.folder / "conf.d").mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self._mapper.home),
            "ERL_EPMD_PORT": str(self._mapper.port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            # The server's script then becomes the Erlang machine instead of staying in front of it.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "rabbitmq.pid"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(self.folder / "schema"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(self.folder / "feature_flags"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_CONFIG_FILES": str(self.folder / "conf.d" / "*.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "rabbitmq-env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} -kernel net_ticktime 10 -start_epmd false "
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }

    def launch(self) -> None:
        """Start the processes without waiting; `await_ready` waits. For several nodes at a time."""
        if self._own_mapper and not self._started_once:
            self._mapper.start()
        command = [str(rabbitmq_folder() / RABBITMQ_SERVER)]
        environment = self._write()
        if self._process is None:
            self._process = LeashedProcess(
                command, name="rabbitmq", folder=self.folder, env=environment, owner_pid=self._owner_pid
            )
        self._process.env = environment
        self._process.start()

    def is_ready(self) -> bool:
        """Whether it takes AMQP connections and answers for its management interface."""
        if not is_listening(self.tls_port if self._tls else self.port):
            return False
        try:
            self.broker.api("GET", "overview", timeout_s=5)
        except (OSError, http.client.HTTPException, ManagementError, ValueError):
            return False
        return True

    def await_ready(self, *, within_s: float = 90) -> None:
        """Wait until clients can use it; raise `ServiceUnavailable` with its last words when it ends instead."""
        process = self._process
        assert process is not None
        try:
            wait_until(
                lambda: not process.running or self.is_ready(),
                within_s=within_s,
                what=f"RabbitMQ node {self.name} is ready",
                every_s=0.1,
            )
        except TimeoutError as error:
            words = process.last_words()
            self.kill()
            raise ServiceUnavailable(f"{error}\n{words}") from error
        if not process.running:
            raise ServiceUnavailable(f"RabbitMQ ended with {process.exit_code}:\n{process.last_words()}")
        self._started_once = True

    def start(self, *, within_s: float = 90) -> None:
        """Start or restart, and wait until clients can use it. About 4 s on an idle machine."""
        for attempt in range(_START_ATTEMPTS):
            self.launch()
            try:
                self.await_ready(within_s=within_s)
            except ServiceUnavailable as error:
                last = attempt == _START_ATTEMPTS - 1
                if last or self._started_once or "eaddrinuse" not in str(error):
                    raise
                # Somebody took one of the ports between our choosing it and RabbitMQ's binding it.
                self._mapper.kill()
                self._choose_ports()
            else:
                return

    def _running_process(self) -> LeashedProcess:
        if self._process is None:
            raise RuntimeError(f"RabbitMQ node {self.name} was not started")
        return self._process

    @property
    def pid(self) -> int:
        return self._running_process().pid

    def await_queue_on_disk(self, queue: str, *, within_s: float = 10) -> None:
        """
        Wait until a quorum queue just declared would survive SIGKILL.

        RabbitMQ 3.10 writes the register of its quorum queues half a second after a change. Killed before
        that, a lone node comes back with a queue that has no leader, now and for ever.
        """
        register = self.folder / "mnesia" / self.name / "quorum" / self.name / "names.dets"
        wait_until(
            lambda: register.exists() and queue.encode() in register.read_bytes(),
            within_s=within_s,
            what=f"queue {queue} is in the register on disk",
        )

    def stop(self) -> None:
        """Ask it to end as an operator would, and wait."""
        self._running_process().stop(within_s=60)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._running_process().freeze()

    def thaw(self) -> None:
        self._running_process().thaw()

    def remove(self) -> None:
        """Kill it and delete its folder."""
        self.kill()
        if self._own_mapper:
            self._mapper.kill()
        remove_folder(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class RabbitMQCluster:
    """
    Three private nodes that form one cluster (about 20 s to start, 400 MB).

    `nodes[0..2]` are `RabbitMQNode`s: any of them can be killed, frozen and started again. Quorum queues lie on
    all three. Administrator and password are the same everywhere.
    """

    def __init__(self, folder: Path, *, size: int = 3, owner_pid: int | None = None) -> None:
        self.folder = folder
        self._mapper = PortMapper(folder / "epmd", owner_pid=owner_pid)
        password = secrets.token_hex(16)
        mark = secrets.token_hex(3)
        names = tuple(f"axis{mark}n{number}@localhost" for number in range(1, size + 1))
        self.nodes = [
            RabbitMQNode(
                folder / f"node{number}",
                name=name,
                mapper=self._mapper,
                peers=names,
                password=password,
                owner_pid=owner_pid,
            )
            for number, name in enumerate(names, 1)
        ]

    @property
    def brokers(self) -> list[Broker]:
        return [node.broker for node in self.nodes]

    def start(self, *, within_s: float = 120) -> None:
        """Start all nodes and wait until every one sees all of them running."""
        self._mapper.start()
        deadline = time.monotonic() + within_s
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.await_ready(within_s=max(1, deadline - time.monotonic()))
        wait_until(
            lambda: all(self.members_seen_by(node) == len(self.nodes) for node in self.nodes),
            within_s=max(1, deadline - time.monotonic()),
            what="the RabbitMQ cluster is complete",
            every_s=0.2,
        )
        wait_until(
            lambda: all(self._serves(node) for node in self.nodes),
            within_s=max(1, deadline - time.monotonic()),
            what="the RabbitMQ cluster serves its virtual host",
            every_s=0.2,
        )

    def _serves(self, node: RabbitMQNode) -> bool:
        try:
            found = node.broker.api("GET", "vhosts/%2F", timeout_s=5)
        except (OSError, http.client.HTTPException, ManagementError, ValueError):
            return False
        assert isinstance(found, dict)
        states = found.get("cluster_state", {})
        return all(states.get(member.name) == "running" for member in self.nodes)

    @staticmethod
    def members_seen_by(node: RabbitMQNode) -> int:
        """Return how many running members a node knows; 0 when it does not answer."""
        try:
            members = node.broker.api("GET", "nodes?columns=name,running", timeout_s=5)
        except (OSError, http.client.HTTPException, ManagementError, ValueError):
            return 0
        assert isinstance(members, list)
        return sum(bool(member.get("running")) for member in members)

    def leader_of(self, vhost: str, queue: str) -> RabbitMQNode | None:
        """Return the node that leads a quorum queue now, asked of whichever member answers."""
        path = f"queues/{quote(vhost, safe='')}/{quote(queue, safe='')}"
        for node in self.nodes:
            with contextlib.suppress(OSError, http.client.HTTPException, ManagementError, ValueError):
                found = node.broker.api("GET", path, timeout_s=5)
                assert isinstance(found, dict)
                leader = found.get("leader") or found.get("node")
                return next((member for member in self.nodes if member.name == leader), None)
        return None

    def remove(self) -> None:
        for node in self.nodes:
            node.kill()
        self._mapper.kill()
        remove_folder(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
