"""
A process that receives documents like a document-management system, and kills itself at a step it is told.

Every document that is handed out is appended to a file and synced, as the system's own commit, before `done`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from adapters.memory import Memory
from adapters.over_amqp import OverAMQP
from adapters.over_http import OverHTTP
from adapters.station import Credentials, Station
from axis.core.exchange import Outcome, StationMessage
from axis.core.model import StationId

STEPS = (
    "before fetched",
    "after fetched",
    "handed out",
    "committed",
    "before remembering",
    "after remembering",
    "before done",
    "after done",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    """Die at the first passing of this step."""
    moment, _, what = step.partition(" ")
    remember = Memory.remember_done

    def remembering(self: Memory, deliveries: list[str]) -> None:
        if step == "before remembering":
            die()
        remember(self, deliveries)
        if step == "after remembering":
            die()

    Memory.remember_done = remembering  # type: ignore[method-assign, assignment]  # the crash is the test
    for line in (OverAMQP, OverHTTP):
        _arm_saying(line, moment, what)


def _arm_saying(line: type[OverAMQP | OverHTTP], moment: str, what: str) -> None:
    say: Callable[[OverAMQP | OverHTTP, StationMessage], Awaitable[None]] = line.say  # type: ignore[assignment]

    async def saying(self: OverAMQP | OverHTTP, message: StationMessage) -> None:
        hit = any(one.outcome is Outcome(what) for one in message.acks if what in set(Outcome))
        if hit and moment == "before":
            die()
        await say(self, message)
        if hit and moment == "after":
            die()

    line.say = saying  # type: ignore[method-assign]  # as above


def commit(path: Path, key: str) -> None:
    with path.open("a") as out:
        out.write(f"{key}\n")
        out.flush()
        os.fsync(out.fileno())


async def receive(settings: dict[str, str]) -> None:
    step = settings["step"]
    credentials = Credentials(
        station=StationId(settings["station"]),
        key=settings["key"],
        queue_secret=settings["queue_secret"] or None,
    )
    station = Station(settings["url"], credentials, state=Path(settings["state"]))
    async with station, station.receive() as inbox:
        async for document in inbox:
            if step == "handed out":
                die()
            commit(Path(settings["out"]), document.key)
            if step == "committed":
                die()
            await document.done()


if __name__ == "__main__":
    arguments: dict[str, str] = json.loads(sys.argv[1])
    arm(arguments["step"])
    asyncio.run(receive(arguments))
