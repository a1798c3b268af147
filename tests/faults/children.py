"""
The test's side of the zygote: start it once, run children, learn how each ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self


class Zygote:
    """One process that forks children for us, one at a time."""

    def __enter__(self) -> Self:
        self._child: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        if self._child is not None:
            os.kill(self._child, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait(timeout=30)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def start(self, run: str, **arguments: Any) -> int:
        """Start a child and return its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"run": run, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        self._child = int(self._answer()["pid"])
        return self._child

    def wait(self) -> int:
        """How the child ended: an exit status, or minus the signal."""
        ended = int(self._answer()["exit"])
        self._child = None
        return ended

    def run(self, run: str, **arguments: Any) -> int:
        """Start a child and wait for its end."""
        self.start(run, **arguments)
        return self.wait()

    def stop(self, pid: int) -> int:
        """End a child in good order."""
        os.kill(pid, signal.SIGTERM)
        return self.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the zygote has died")
        answer: dict[str, Any] = json.loads(line)
        return answer


EVERY_MOMENT = "AXIS_TEST_EVERY_MOMENT"


def stride(usual: int) -> tuple[int, int]:
    """
    How many moments to go on each time, and where to begin, drawn anew: together the runs of a few days kill at all of
    them. With AXIS_TEST_EVERY_MOMENT set one run does (`make crash`).
    """
    if os.environ.get(EVERY_MOMENT):
        return 1, 0
    return usual, random.randrange(usual)
