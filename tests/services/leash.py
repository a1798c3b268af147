"""
Runs one server, and ends it when the process that owns it is gone.

A test run that is killed (Ctrl-C, SIGKILL, a closed terminal) must not leave a broker behind. This small
process stands between the two: it watches both, kills the server when the owner has ended, and ends with the
server's exit status otherwise. It is run by path with `python -I`, so it uses the standard library alone.

    leash.py OWNER_PID PID_FILE USER|- COMMAND...
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_POLL_S = 0.3


def _ended(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _wait_for_either(child: subprocess.Popen[bytes], *, owner: int) -> None:
    """Return once the child or the owner has ended."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptors = [os.pidfd_open(owner), os.pidfd_open(child.pid)]
        except ProcessLookupError:
            return
        except OSError:
            descriptors = []  # an old kernel or a strict sandbox: look from time to time instead
        if descriptors:
            poll = select.poll()
            for descriptor in descriptors:
                poll.register(descriptor, select.POLLIN)
            poll.poll()
            return
    while child.poll() is None:
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass  # it lives, as another user
        time.sleep(_POLL_S)


def main(arguments: list[str]) -> int:
    owner, pid_file, user, *command = arguments
    signal.signal(signal.SIGTERM, _ended)
    child = subprocess.Popen(
        command,
        start_new_session=True,
        user=None if user == "-" else user,
        group=None if user == "-" else user,
        extra_groups=None if user == "-" else [],
    )
    try:
        temporary = Path(pid_file + ".new")
        temporary.write_text(str(child.pid))
        temporary.replace(pid_file)
        _wait_for_either(child, owner=int(owner))
    finally:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
        Path(pid_file).unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
