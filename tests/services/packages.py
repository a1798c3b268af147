"""
Finds the servers' binaries, and installs Debian's packages for them when it may.

It may when it runs as root on a machine with apt-get. Installing never starts a server of the system: a
freshly installed broker would listen on every address.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.services.processes import ServiceUnavailable

RABBITMQ_SERVER = "rabbitmq-server"
INITDB = "initdb"

_RABBITMQ_FOLDERS = (
    # Debian's /usr/sbin/rabbitmq-server is a wrapper that changes user and reads the system's configuration:
    # the server's own scripts come first.
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)
_POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)

_THREE_WAYS = """\
{service} is needed and there is none. Three ways to provide it:
  1. an address: set {variables} to a server these tests may fill
     ({rights});
  2. the binaries: install {service} on this machine (Debian, Ubuntu: apt-get install {package});
     the tests start a private server on loopback from them;
  3. nothing: run as root on Debian or Ubuntu, and the package is installed from its repositories.
{why}"""


def _find(binary: str, *, folders: tuple[str, ...]) -> Path | None:
    for pattern in folders:
        # The highest version last, by number and not by letter: 9.6 < 15 < 17.
        found = sorted(
            Path("/").glob(pattern.lstrip("/")),
            key=lambda folder: [int(part) for part in _numbers(str(folder))],
        )
        for folder in reversed(found):
            if (folder / binary).exists():
                return folder
    on_path = shutil.which(binary)
    return Path(on_path).resolve().parent if on_path else None


def _numbers(text: str) -> list[str]:
    return "".join(character if character.isdigit() else " " for character in text).split()


@contextlib.contextmanager
def _nothing_starts_by_itself() -> Iterator[None]:
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


def install(package: str) -> str:
    """Install a Debian package when that is allowed; return why not, or nothing."""
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        return "Now: there is no apt-get here."
    if os.geteuid() != 0:
        return "Now: not running as root, so nothing was installed."
    with (Path(tempfile.gettempdir()) / "axis-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _nothing_starts_by_itself():
            for command in (
                [apt_get, "-q", "-o", "DPkg::Lock::Timeout=300", "update"],
                [
                    apt_get,
                    "-q",
                    "-y",
                    "-o",
                    "DPkg::Lock::Timeout=300",
                    "--no-install-recommends",
                    "install",
                    package,
                ],
            ):
                done = subprocess.run(
                    command,
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                )
    if done.returncode != 0:
        return f"Now: apt-get ended with {done.returncode}:\n{done.stdout[-1500:]}"
    return ""


def _find_or_install(find: Callable[[], Path | None], *, package: str, refusal: str) -> Path:
    found = find()
    if found is not None:
        return found
    why = install(package)
    found = find()
    if found is None:
        raise ServiceUnavailable(refusal.format(why=why))
    return found


def rabbitmq_folder() -> Path:
    """Return the folder of RabbitMQ's scripts, installing the package when there is none and that is allowed."""
    refusal = _THREE_WAYS.format(
        service="RabbitMQ",
        variables="AXIS_TEST_AMQP_URL and AXIS_TEST_AMQP_MANAGEMENT_URL",
        rights="an administrator's user name and password in both; the tests make and remove virtual hosts",
        package="rabbitmq-server",
        why="{why}",
    )
    return _find_or_install(
        lambda: _find(RABBITMQ_SERVER, folders=_RABBITMQ_FOLDERS), package="rabbitmq-server", refusal=refusal
    )


def postgres_folder() -> Path:
    """Return the folder of PostgreSQL's binaries, installing the package when there is none and that is allowed."""
    refusal = _THREE_WAYS.format(
        service="PostgreSQL",
        variables="AXIS_TEST_DATABASE_URL",
        rights="a role that may create databases; the tests make and remove their own",
        package="postgresql",
        why="{why}",
    )
    return _find_or_install(
        lambda: _find(INITDB, folders=_POSTGRES_FOLDERS), package="postgresql", refusal=refusal
    )


_TOOLS = {"openssl": "openssl", "xmlsec1": "xmlsec1", "softhsm2-util": "softhsm2"}
"""Independent verifiers and a software token the tests of signatures call, and Debian's packages for them."""


def tools() -> None:
    """
    Make sure that the other programs the tests call are there, installing them when that is allowed.

    Raises:
        ServiceUnavailable: one is missing and cannot be installed.
    """
    for command, package in _TOOLS.items():
        if shutil.which(command) is None:
            why = install(package)
            if shutil.which(command) is None:
                raise ServiceUnavailable(
                    f"{command} is needed to check signatures independently: install {package}.\n{why}"
                )
