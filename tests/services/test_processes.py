"""A server ends when its owner does, whichever way that happens."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import packages
from tests.services.processes import (
    LeashedProcess,
    ServiceUnavailable,
    free_port,
    lives,
    ports_of_worker,
    wait_until,
)

_ENV = {"PATH": os.environ["PATH"]}


def _sleeper(folder: Path) -> LeashedProcess:
    return LeashedProcess(["sleep", "600"], name="sleeper", folder=folder, env=_ENV)


def test_a_process_runs_until_stopped(tmp_path: Path) -> None:
    """`stop` ends it with the signal an operator would send."""
    process = _sleeper(tmp_path)
    process.start()
    pid = process.pid

    status = process.stop(within_s=10)

    assert status == 128 + signal.SIGTERM
    assert not lives(pid)
    assert not process.running


def test_a_process_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """`stop` says so and leaves nothing running."""
    stubborn = LeashedProcess(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
        name="stubborn",
        folder=tmp_path,
        env=_ENV,
    )
    stubborn.start()
    wait_until(lambda: "ready" in stubborn.last_words(), within_s=10, what="it ignores the signal")
    pid = stubborn.pid

    with pytest.raises(TimeoutError, match="ready"):
        stubborn.stop(within_s=0.3)

    assert not lives(pid)


def test_a_process_can_be_started_again_after_a_kill(tmp_path: Path) -> None:
    """The second life is another process with the same command."""
    process = _sleeper(tmp_path)
    process.start()
    first = process.pid

    process.kill()
    process.start()

    assert first != process.pid
    assert [lives(first), lives(process.pid)] == [False, True]
    process.kill()


def test_a_command_that_cannot_run_says_why(tmp_path: Path) -> None:
    """Its exit status and last words are there for the message."""
    process = LeashedProcess(
        ["sh", "-c", "echo no room >&2; exit 7"], name="failing", folder=tmp_path, env=_ENV
    )
    process.start()

    status = process.wait(within_s=10)

    assert status == 7
    assert "no room" in process.last_words()


# A shell's background job ignores SIGINT and hands that down to whatever it starts, this owner too.
_OWNER = """
import os, signal, sys
from pathlib import Path
from tests.services.processes import LeashedProcess
signal.signal(signal.SIGINT, signal.default_int_handler)
process = LeashedProcess(["sleep", "600"], name="sleeper", folder=Path(sys.argv[1]), env=dict(os.environ))
process.start()
print(process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_server_does_not_outlive_its_owner(tmp_path: Path, end: signal.Signals) -> None:
    """Killed, interrupted or asked to end: the owner takes its servers along."""
    root = Path(__file__).parents[2]
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with owner:
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        alive_before = lives(server)

        owner.send_signal(end)
        owner.wait(10)

        wait_until(lambda: not lives(server), within_s=10, what="the server has ended")
    assert alive_before


def test_without_any_server_one_message_lists_the_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address, no binaries, no right to install: the failure says what to do."""
    monkeypatch.setattr(packages, "_RABBITMQ_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(ServiceUnavailable) as refused:
        packages.rabbitmq_folder()

    message = str(refused.value)
    assert [
        part in message
        for part in (
            "AXIS_TEST_AMQP_URL",
            "apt-get install rabbitmq-server",
            "run as root",
            "Three ways",
            "Now:",
        )
    ] == [True] * 5


def test_no_port_is_given_twice_nor_to_two_workers() -> None:
    """A server binds its port seconds after it was chosen; what else listens there by then is taken for the server."""
    given = [free_port() for _ in range(500)]
    first, second = (
        ports_of_worker({"PYTEST_XDIST_WORKER": name, "PYTEST_XDIST_WORKER_COUNT": "2"})
        for name in ("gw0", "gw1")
    )

    assert len(set(given)) == 500
    assert set(first).isdisjoint(second)
    assert set(given) <= set(ports_of_worker(os.environ))
