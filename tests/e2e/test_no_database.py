"""A database that does not answer when a process begins: said in one sentence, for whoever starts it again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import axis


@contextlib.contextmanager
def hangs_up() -> Iterator[int]:
    """The port of a server that takes a connection and ends it at once, as a proxy does whose database is away."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve() -> None:
            listener.settimeout(0.1)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    listener.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("part", ["hub", "web"])
def test_a_process_says_that_the_database_does_not_answer(part: str, tmp_path: Path) -> None:
    home = tmp_path / "axis"
    home.mkdir(mode=0o700)
    with hangs_up() as port:
        ended = axis(
            part,
            environ={
                "AXIS_HOME": str(home),
                "AXIS_DATABASE_URL": f"postgresql://axis:axis@127.0.0.1:{port}/axis",
                "AXIS_BROKER_URL": "amqp://axis:axis@127.0.0.1:9/",
                "AXIS_HTTP_PORT": "0",
            },
        )

    assert ended.status == 1
    assert "database is not available" in ended.err, ended.err
    assert "Traceback" not in ended.err
