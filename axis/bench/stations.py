"""
The receiving stations of a benchmark, in a process of their own: real clients that check every digest.

Reads what to do as JSON on standard input. Says `ready`, then, when every expected copy is in hand and its
acknowledgement was taken, one JSON line: when each was in hand, by digest, on the clock all processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any, Final

from adapters.document import Document
from adapters.inbox import Inbox
from adapters.station import Credentials, Station
from axis.bench.processes import tell
from axis.core.model import StationId

_READERS: Final = 8
"""Documents one station works on at the same time."""


class _Stations:
    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._over = asyncio.Event()
        self.seen: list[tuple[str, float]] = []
        self._ended = 0

    async def read(self, inbox: Inbox) -> None:
        async for document in inbox:
            self.seen.append((document.digest, perf_counter()))
            await self._end(document)

    async def _end(self, document: Document) -> None:
        await document.done()
        self._ended += 1
        if self._ended == self._expected:
            self._over.set()

    async def until_over(self) -> None:
        await self._over.wait()


async def _serve(spec: dict[str, Any]) -> None:
    stations = _Stations(spec["expected"])
    async with AsyncExitStack() as stack:
        tasks = []
        for one in spec["stations"]:
            station = await stack.enter_async_context(
                Station(
                    spec["url"],
                    Credentials(
                        station=StationId(one["id"]), key=one["key"], queue_secret=one["queue_secret"]
                    ),
                    http=spec["http"],
                )
            )
            inbox = await stack.enter_async_context(station.receive(window=4 * _READERS))
            tasks += [asyncio.ensure_future(stations.read(inbox)) for _ in range(_READERS)]
        tell("ready")
        over = asyncio.ensure_future(stations.until_over())
        await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        tell(json.dumps(stations.seen))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    import uvloop

    spec = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(spec))


if __name__ == "__main__":
    main()
