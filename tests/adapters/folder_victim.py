"""A process that serves a station's folders and kills itself at a step it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.document import Document
from adapters.folder import Folder
from adapters.machine import SystemClock, SystemIds
from adapters.station import Credentials, Station
from axis.core.model import StationId
from tests.adapters.worlds import HTTP_LIMITS

STEPS = (
    "before _claim",
    "after _claim",
    "before _put_away",
    "after _put_away",
    "before rename",
    "before save",
    "after save",
    "before _appear",
    "after _appear",
    "before done",
    "after done",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    """Die before or after the first call of this method."""
    moment, _, name = step.partition(" ")
    if name == "rename":
        renaming = Path.rename

        def rename(self: Path, target: Path) -> Path:
            if self.parent.parent.name == "sending":
                die()
            return renaming(self, target)

        Path.rename = rename  # type: ignore[method-assign, assignment]  # the crash is the test
    for owner in (Folder, Document):
        if hasattr(owner, name):
            setattr(owner, name, _armed(getattr(owner, name), moment))


def _armed(method: Callable[..., Any], moment: str) -> Callable[..., Any]:
    if asyncio.iscoroutinefunction(method):

        async def acting(*args: Any, **kwargs: Any) -> Any:
            if moment == "before":
                die()
            result = await method(*args, **kwargs)
            die()
            return result

        return acting

    def calling(*args: Any, **kwargs: Any) -> Any:
        if moment == "before":
            die()
        result = method(*args, **kwargs)
        die()
        return result

    return calling


async def serve(settings: dict[str, str]) -> None:
    credentials = Credentials(station=StationId(settings["station"]), key=settings["key"])
    station = Station(settings["url"], credentials, state=Path(settings["state"]), http_limits=HTTP_LIMITS)
    async with station:
        folder = Folder(
            station,
            Path(settings["root"]),
            clock=SystemClock(),
            ids=SystemIds(),
            poll_seconds=0.02,
            settle_seconds=0,
        )
        await folder.run(asyncio.Event())


if __name__ == "__main__":
    arguments: dict[str, str] = json.loads(sys.argv[1])
    arm(arguments["step"])
    asyncio.run(serve(arguments))
