"""
Processes a test can start, stop, kill, freeze and thaw; ports and folders for them.

Everything here blocks; an asynchronous test calls the slow parts (`start`, `stop`) through `asyncio.to_thread`.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"

_LEASH = Path(__file__).with_name("leash.py")

_PORTS = range(20_000, 32_000)
"""
Below the range the kernel takes outgoing ports from (32768 and up on Linux), so that a server that is down for
a moment finds its port free when it comes back.
"""


class ServiceUnavailable(Exception):
    """A server a test needs could not be started; the message says what to do about it."""


def ports_of_worker(environment: Mapping[str, str]) -> range:
    """The ports a process of the test run may take: of two that run side by side none takes the other's."""
    number = int(environment.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(environment.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return _PORTS[number % count :: count]


_given: set[int] = set()


def free_port() -> int:
    """
    Return a TCP port on loopback that nobody listens on now, and that was not given before.

    A server takes seconds to bind it, and its readiness is asked by connecting: whoever else listens there would be
    taken for it.
    """
    mine = ports_of_worker(os.environ)
    if len(_given) >= len(mine) // 2:
        _given.clear()
    while True:
        port = random.SystemRandom().choice(mine)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            _given.add(port)
            return port


def is_listening(port: int, *, host: str = LOOPBACK) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def wait_until(fact: Callable[[], bool], *, within_s: float, what: str, every_s: float = 0.05) -> None:
    """
    Return as soon as the fact holds; raise `TimeoutError` naming it when it does not in time.

    The tests' only way to wait in blocking code: a deadline and a question, never a pause for luck.
    """
    deadline = time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)


def _others_may_enter(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in [folder, *folder.parents])


def make_folder(name: str) -> Path:
    """
    Make a folder of our own for servers.

    PostgreSQL refuses to run as root and runs as another user, who must be able to reach its folder; pytest's
    own temporary folders are closed to others.
    """
    for root in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/dev/shm")):
        if root.is_dir() and os.access(root, os.W_OK) and _others_may_enter(root.resolve()):
            break
    else:
        root = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    folder.chmod(0o711)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder whose servers have just been killed: the last writes may still be landing."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether the process runs; one that has ended and is not yet collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


class LeashedProcess:
    """
    One server process in a session of its own, that cannot outlive its owner.

    `start` again after `stop` or `kill` restarts it with the same command, folder and environment.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        folder: Path,
        env: Mapping[str, str],
        owner_pid: int | None = None,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.env = dict(env)
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._folder = folder
        self._cwd = cwd or folder
        self._owner_pid = owner_pid or os.getpid()
        self._user = user
        self._leash: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; does not wait until it is of use."""
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        self._pid_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._leash = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(_LEASH),
                    str(self._owner_pid),
                    str(self._pid_file),
                    self._user or "-",
                    *self.command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self._cwd,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: self._pid_file.exists() or self.exit_code is not None,
                within_s=20,
                what=f"{self.name} starts",
                every_s=0.01,
            )
        except TimeoutError:
            self.kill()
            raise

    @property
    def leash_pid(self) -> int:
        if self._leash is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._leash.pid

    @property
    def pid(self) -> int:
        """The server's own process id."""
        return int(self._pid_file.read_text())

    @property
    def running(self) -> bool:
        return self._leash is not None and self._leash.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._leash is None else self._leash.poll()

    def send(self, number: int) -> None:
        """Send a signal to the server and the processes it started."""
        if not self.running:
            raise RuntimeError(f"{self.name} is not running: {self.last_words()}")
        os.killpg(self.pid, number)

    def stop(self, *, within_s: float = 30, number: int = signal.SIGTERM) -> int:
        """Ask it to end and wait; return its exit status. One that does not obey is killed and it raises."""
        if self.running:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended by itself
                self.send(number)
        try:
            return self.wait(within_s=within_s)
        except TimeoutError:
            self.kill()
            raise

    def wait(self, *, within_s: float) -> int:
        """Wait until it ends by itself; return its exit status (128 + n when signal n ended it)."""
        if self._leash is None:
            raise RuntimeError(f"{self.name} was not started")
        try:
            return self._leash.wait(within_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(
                f"{self.name} has not ended within {within_s:g} s: {self.last_words()}"
            ) from error

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, closed or said goodbye to. Returns when the process is gone."""
        if self._leash is None or self._leash.poll() is not None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.killpg(self.pid, signal.SIGKILL)
        try:
            self._leash.wait(10)
        except subprocess.TimeoutExpired:
            self._leash.kill()
            self._leash.wait(10)

    def freeze(self) -> None:
        """SIGSTOP: the process is there, its sockets are open, and nothing answers."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def last_words(self, *, lines: int = 15) -> str:
        """Return the end of what it wrote, for the message of a failure."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return "(it wrote nothing)"
        return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"
