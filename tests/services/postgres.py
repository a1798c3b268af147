"""
Private PostgreSQL servers, and what a test asks of any PostgreSQL server: a database of its own.

Written for 15 and later. Runs as the user `postgres` when started by root, because the server refuses root.
"""

import asyncio
import os
import pwd
import secrets
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from tests.services.packages import postgres_folder
from tests.services.processes import (
    LOOPBACK,
    LeashedProcess,
    ServiceUnavailable,
    free_port,
    remove_folder,
    wait_until,
)

DRIVER = "postgresql+asyncpg"

_Result = TypeVar("_Result")


def _outside_any_loop(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """Run asynchronous work from blocking code, whether or not this thread has an event loop of its own."""

    async def run() -> _Result:
        return await work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A PostgreSQL server and a role on it that may create databases."""

    url: str = field(repr=False)
    """
    `postgresql+asyncpg://user:password@host:port/database`; this database is connected to, never filled.
    """

    def url_of(self, name: str) -> str:
        """Return the address of another database of the same server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{quote(name, safe='')}"))

    def query(self, statement: str, *, database: str | None = None) -> list[dict[str, object]]:
        """Run one statement outside a transaction, wait for it, return its rows."""
        url = self.url if database is None else self.url_of(database)
        plain = urlunsplit(urlsplit(url)._replace(scheme="postgresql"))

        async def run() -> list[dict[str, object]]:
            connection = await asyncpg.connect(plain, timeout=10)
            try:
                return [dict(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close(timeout=10)

        return _outside_any_loop(run)

    @property
    def version(self) -> str:
        return str(self.query("SHOW server_version")[0]["server_version"]).split()[0]

    def create(self, *, template: str | None = None, name: str | None = None) -> str:
        """Make a database, empty or a copy of another one, and return its name."""
        name = name or f"test_{secrets.token_hex(6)}"
        # Copying files is quicker than logging every page for the few megabytes of an empty schema.
        how = (
            f'TEMPLATE "{template}" STRATEGY file_copy' if template else "TEMPLATE template0 ENCODING 'UTF8'"
        )
        self.query(f'CREATE DATABASE "{name}" {how}')
        return name

    def drop(self, name: str) -> None:
        """Remove a database; connections still open to it are closed by the server."""
        self.query(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class PostgresNode:
    """
    One private PostgreSQL server.

    `start`, `stop`, `kill` (SIGKILL of every process of it), `freeze`, `thaw`; `start` after `stop` or `kill`
    is a restart on the same data, with crash recovery. As a context manager it starts, and at the end is
    killed and removed.

    `durable=False` (the default) leaves out fsync: what was committed survives SIGKILL, for the kernel holds
    it, but not a power cut. Benchmarks ask for `durable=True`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        owner_pid: int | None = None,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        user: str = "axis",
        password: str | None = None,
        database: str = "postgres",
        port: int | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self._owner_pid = owner_pid
        self._user = user
        self._password = password or secrets.token_hex(16)
        self._database = database
        self._data = folder / "data"
        self._settings = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "shared_buffers": "128MB",
            "max_connections": "200",
            "fsync": "on" if durable else "off",
            "logging_collector": "off",
            **(settings or {}),
        }
        self._system_user = _user_for_postgres()
        self._process: LeashedProcess | None = None

    @property
    def database(self) -> Database:
        return Database(
            url=f"{DRIVER}://{self._user}:{self._password}@{LOOPBACK}:{self.port}/{self._database}"
        )

    @property
    def leash_pids(self) -> list[int]:
        return [] if self._process is None else [self._process.leash_pid]

    def _initialise(self) -> None:
        self._data.mkdir(mode=0o700)
        password_file = self.folder / "password"
        password_file.write_text(self._password + "\n")
        password_file.chmod(0o600)
        if self._system_user is not None:
            account = pwd.getpwnam(self._system_user)
            os.chown(self._data, account.pw_uid, account.pw_gid)
            os.chown(password_file, account.pw_uid, account.pw_gid)
        done = subprocess.run(
            [
                str(postgres_folder() / "initdb"),
                f"--pgdata={self._data}",
                f"--username={self._user}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=False,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            user=self._system_user,
            group=self._system_user,
            extra_groups=None if self._system_user is None else [],
        )
        password_file.unlink()
        if done.returncode != 0:
            raise ServiceUnavailable(f"initdb ended with {done.returncode}:\n{done.stdout[-2000:]}")

    def is_ready(self) -> bool:
        try:
            self.database.query("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    def start(self, *, within_s: float = 60) -> None:
        """Start or restart, and wait until clients can use it. About 2 s the first time, less than 1 s again."""
        binaries = postgres_folder()
        first = not self._data.exists()
        if first:
            self._initialise()
        if self._process is None:
            options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
            self._process = LeashedProcess(
                [str(binaries / "postgres"), "-D", str(self._data), "-p", str(self.port), *options],
                name="postgres",
                folder=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
                owner_pid=self._owner_pid,
                user=self._system_user,
            )
        process = self._process

        def ready_or_started_again() -> bool:
            if not process.running:
                # After a kill the old server's children linger for a moment and hold its shared memory.
                if "still in use" not in process.last_words():
                    return True
                process.start()
            return self.is_ready()

        process.start()
        try:
            wait_until(ready_or_started_again, within_s=within_s, what="PostgreSQL is ready", every_s=0.05)
        except TimeoutError as error:
            words = process.last_words()
            self.kill()
            raise ServiceUnavailable(f"{error}\n{words}") from error
        if not process.running:
            raise ServiceUnavailable(f"PostgreSQL ended with {process.exit_code}:\n{process.last_words()}")
        if first and self._database != "postgres":
            administration = Database(url=self.database.url_of("postgres"))
            administration.create(name=self._database)

    def _running_process(self) -> LeashedProcess:
        if self._process is None:
            raise RuntimeError("PostgreSQL was not started")
        return self._process

    @property
    def pid(self) -> int:
        return self._running_process().pid

    def stop(self) -> None:
        """Ask it to end at once but in order (a "fast" shutdown), and wait."""
        self._running_process().stop(within_s=60, number=signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL; its children notice and end too."""
        if self._process is not None:
            self._process.kill()

    def freeze(self) -> None:
        """
        SIGSTOP every process of it: open connections are silent, new ones are not answered.

        Each backend is in a session of its own, so that one signal to the server's group does not reach them.
        """
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        server = self._running_process().pid
        found = [server]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except (OSError, IndexError):
                    continue
                if parent == server:
                    found.append(int(entry.name))
        return found

    def remove(self) -> None:
        """Kill it and delete its folder."""
        self.kill()
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


def _user_for_postgres() -> str | None:
    """Return the user the server must run as, or none for our own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise ServiceUnavailable(
        "PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' here"
    )
