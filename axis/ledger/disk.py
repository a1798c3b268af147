"""
Work on the disk: in a thread, always to its end, and what the disk does not take or give is `ServiceUnavailable`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from axis.core.errors import ServiceUnavailable

_P = ParamSpec("_P")
_R = TypeVar("_R")


async def on_disk(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """
    Run blocking work and return what it returns.

    A caller that is cancelled waits for the end of it: the thread cannot be stopped, and must not go on with a file
    that is closed in the meantime.

    Raises:
        ServiceUnavailable: an `OSError`, which is its cause.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        work.exception()  # it is known: the cancellation is what the caller hears of
        raise
    except OSError as problem:
        raise unavailable(problem) from problem


def unavailable(problem: OSError) -> ServiceUnavailable:
    """What the rest of the axis is told of an `OSError`: its kind, not the path."""
    return ServiceUnavailable("disk", problem.strerror or type(problem).__name__)


def opened(path: Path, flags: int, files: contextlib.ExitStack) -> int:
    """A descriptor that `files` closes, also when whoever asked for it has gone away meanwhile."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    files.callback(os.close, descriptor)
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
