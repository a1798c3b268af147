"""
A process that has everything imported and forks a child for each run: starting Python anew would cost a second each.

Line by line on standard input: `{"run": "<function of tests.faults.runs>", "arguments": {...}}`. Answers `{"pid": n}`
at once and `{"exit": status}` when the child has ended; a negative status is the signal that ended it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from tests.faults import runs


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        request: Mapping[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be(request)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"exit": os.waitstatus_to_exitcode(status)}), flush=True)


def _be(request: Mapping[str, Any]) -> None:
    status = 1
    try:
        sys.stdin.close()
        log = os.open(request["arguments"]["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        asyncio.run(getattr(runs, request["run"])(**request["arguments"]))
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
