"""
The command line. Names and exit statuses are a contract (docs/cli.md); scripts call them.

Exit status: 0 done, 1 the answer is no, 2 wrong usage or settings. Commands that judge files have more.
"""

from __future__ import annotations

import os
import sys

import typer

from axis.cli import bench, counting, deadlines, directory, documents, evidence, ledger, run, station_side
from axis.core.errors import (
    Ambiguous,
    AxisError,
    InvalidAct,
    InvalidQuestion,
    NotAllowed,
    NotFound,
    ServiceUnavailable,
    SettingsError,
    Withdrawn,
)
from axis.speech import complain, say

app = typer.Typer(
    name="axis",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=say(
        "Trục liên thông văn bản: gửi, nhận, kiểm tra, thống kê và lấy chứng cứ.",
        "The electronic document interchange axis: send, receive, verify, count and take evidence.",
    ),
)
run.add_to(app)
documents.add_to(app)
station_side.add_to(app)
directory.add_to(app)
ledger.add_to(app)
counting.add_to(app)
deadlines.add_to(app)
evidence.add_to(app)
bench.add_to(app)


def main() -> None:
    """The `axis` command: no traceback for anything a person can mend."""
    try:
        app()
    except (SettingsError, InvalidAct) as problem:
        for one in problem.problems:
            complain(one)
        sys.exit(2)
    except Ambiguous as problem:
        complain(
            say(f"{problem.name} ứng với nhiều văn bản", f"{problem.name} fits several documents"),
            then=", ".join(problem.candidates[:20]),
        )
        sys.exit(2)
    except InvalidQuestion as problem:
        complain(str(problem))
        sys.exit(2)
    except NotFound as problem:
        complain(say(f"Không có: {problem.name}", str(problem)))
        sys.exit(1)
    except (NotAllowed, Withdrawn) as problem:
        complain(str(problem))
        sys.exit(1)
    except ServiceUnavailable as problem:
        complain(
            say(f"{problem.service} không trả lời: {problem.cause}", str(problem)),
            then=say("Chạy `axis doctor` để biết phải làm gì.", "Run `axis doctor` to see what to do."),
        )
        sys.exit(1)
    except AxisError as problem:
        complain(str(problem))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
