"""
The command line. Names and exit statuses are a contract (docs/cli.md); scripts call them.

Exit status: 0 done, 1 the answer is no, 2 wrong usage or settings. Commands that judge files have more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import typer

from axis.cli import bench, counting, deadlines, directory, documents, evidence, ledger, run, station_side
from axis.core.errors import (
    Ambiguous,
    AxisError,
    InTwoLanguages,
    InvalidAct,
    InvalidQuestion,
    NotFound,
    ServiceUnavailable,
    SettingsError,
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
    except (AxisError, ExceptionGroup) as problem:
        found = list(_each(problem))
        if not all(isinstance(one, AxisError) for one in found):
            raise
        sys.exit(max(_complain_of(one) for one in found))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _each(problem: Exception) -> Iterator[Exception]:
    """What ended it: the parts of a service live and die together, and what they died of comes in groups."""
    if isinstance(problem, ExceptionGroup):
        for one in problem.exceptions:
            yield from _each(one)
    else:
        yield problem


def _complain_of(problem: Exception) -> int:
    """Say what is wrong and return the exit status."""
    match problem:
        case SettingsError() | InvalidAct():
            for one in problem.problems:
                complain(one)
            return 2
        case Ambiguous():
            complain(
                say(f"{problem.name} ứng với nhiều văn bản", f"{problem.name} fits several documents"),
                then=", ".join(problem.candidates[:20]),
            )
            return 2
        case InvalidQuestion():
            complain(say(problem.vi, problem.en))
            return 2
        case InTwoLanguages():
            complain(say(problem.vi, problem.en))
            return 1
        case NotFound():
            complain(say(f"Không có: {problem.name}", str(problem)))
            return 1
        case ServiceUnavailable():
            complain(
                say(f"{problem.service} không trả lời: {problem.cause}", str(problem)),
                then=say("Chạy `axis doctor` để biết phải làm gì.", "Run `axis doctor` to see what to do."),
            )
            return 1
        case _:
            complain(str(problem))
            return 1
