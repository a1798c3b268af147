"""
The process in which PDFs are judged: `python -m signing.pdf_worker`, started by `signing.pdf.PdfJudge` and nobody else.

It loads its libraries once and then forks for every file, so that each file is judged by a process that no other file
has touched, with its own bounds on time and memory, and that can be killed. It reads one line of JSON for its setup,
answers with an empty line, then reads one line for each job and answers with one line. It ends when its standard input
does.
"""

import base64
import contextlib
import json
import os
import resource
import select
import signal
import sys
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

from signing.certificates import SPKI, TrustStore, read_certificate
from signing.pdf import PdfReason, PdfReport, RoleKeys, report_to_line
from signing.pdf_reader import Reader
from signing.policy import Policy
from signing.revocation import DeferredSlowPath, RevocationIndex

_MEMORY_EXIT: Final = 97
_NICENESS: Final = 5
"""Nobody waits for a verdict as one waits for a document: on a busy machine judging comes second."""


def main() -> None:
    """Serve until the parent goes away."""
    os.nice(_NICENESS)
    setup = json.loads(sys.stdin.buffer.readline())
    trust = TrustStore(
        [read_certificate(base64.b64decode(one)) for one in setup["roots"]],
        intermediates=[read_certificate(base64.b64decode(one)) for one in setup["intermediates"]],
    )
    policy = Policy.from_toml(setup["policy"])
    revocation = None
    if setup["checks_revocation"]:
        paths = [Path(one) for one in setup["lists"]]
        revocation = RevocationIndex.from_files(
            *paths, policy=policy, slow=DeferredSlowPath(trust, policy=policy)
        )
    reader = Reader(trust=trust, revocation=revocation, policy=policy)
    _answer(b"\n")
    for line in sys.stdin.buffer:
        _answer(judge_in_child(reader, json.loads(line)))


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def judge_in_child(reader: Reader, job: dict[str, Any]) -> bytes:
    """Fork, let the child judge, and kill it when it takes too long."""
    seconds = float(job["limits"]["seconds"])
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _judge_and_exit(reader, job, theirs)
    os.close(theirs)
    line, is_late = b"", False
    deadline = monotonic() + seconds
    while True:
        ready, _, _ = select.select([ours], [], [], max(0.0, deadline - monotonic()))
        if not ready:
            is_late = True
            break
        piece = os.read(ours, 65536)
        if not piece:
            break
        line += piece
    os.close(ours)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if line.endswith(b"\n") and not is_late:
        return line
    return report_to_line(PdfReport(reason=_fault(status, is_late=is_late)), ())


def _fault(status: int, *, is_late: bool) -> PdfReason:
    if is_late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return PdfReason.TIME
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _MEMORY_EXIT:
        return PdfReason.MEMORY
    return PdfReason.CRASH


def _judge_and_exit(reader: Reader, job: dict[str, Any], pipe: int) -> None:
    """In the child; never returns."""
    code = 1
    try:
        _bound(seconds=float(job["limits"]["seconds"]), memory_mb=int(job["limits"]["memory_mb"]))
        report, certificates = reader.judge(
            Path(job["path"]),
            at=datetime.fromisoformat(job["at"]),
            keys=RoleKeys(
                organ=frozenset(SPKI(one) for one in job["organ_keys"]),
                person=frozenset(SPKI(one) for one in job["person_keys"]),
            ),
            max_bytes=int(job["limits"]["file_bytes"]),
        )
        line = report_to_line(report, certificates)
        while line:
            line = line[os.write(pipe, line) :]
        code = 0
    except MemoryError:
        code = _MEMORY_EXIT
    finally:
        # Not sys.exit: what the parent would do at its end is none of the child's business.
        os._exit(code)


def _bound(*, seconds: float, memory_mb: int) -> None:
    whole = max(1, int(seconds + 0.999))
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))
    held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    most = held + memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # It writes to its pipe and to no file, not even when it crashes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
