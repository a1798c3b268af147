"""
How a command asks the ledger: as somebody, about a time, with the answer recorded.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import typer

from axis.bootstrap.parts import Axis, open_axis
from axis.cli.run import settings
from axis.core.errors import InvalidQuestion
from axis.core.model import VIETNAM
from axis.ledger.queries import Queries
from axis.speech import say

_T = TypeVar("_T")

JSON = Annotated[bool, typer.Option("--json", help=say("In một tài liệu JSON.", "Print one JSON document."))]
AS = Annotated[str | None, typer.Option("--as", metavar="PERSON", help=say("Người xem; mặc định: tên đăng nhập.", "Who looks; default: the login name."))]  # fmt: skip
FROM = Annotated[str | None, typer.Option("--from", metavar="DAY", help=say("Từ ngày (2026-11-01).", "First day (2026-11-01)."))]  # fmt: skip
TO = Annotated[
    str | None, typer.Option("--to", metavar="DAY", help=say("Đến hết ngày.", "Last day, included."))
]


def ask(who: str | None, question: Callable[[Axis, Queries], Awaitable[_T]]) -> _T:
    """The answer to `question`, asked as this person or as whoever is logged in."""

    async def run() -> _T:
        async with open_axis(settings()) as axis:
            return await question(axis, await axis.queries_of(who or getpass.getuser()))

    return asyncio.run(run())


def begin(text: str | None) -> datetime | None:
    """The first moment of a day, or the moment itself."""
    return _moment(text) if text else None


def end(text: str | None) -> datetime | None:
    """The first moment behind a day, or the moment itself."""
    if not text:
        return None
    at = _moment(text)
    # A day is meant with all its hours.
    return at + timedelta(days=1) if len(text) == len("2026-11-24") else at


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as problem:
        raise InvalidQuestion(
            vi=f"{text[:40]!r} không phải là ngày; viết như 2026-11-24",
            en=f"{text[:40]!r} is no day; write it like 2026-11-24",
        ) from problem
    return at if at.tzinfo is not None else at.replace(tzinfo=VIETNAM)
