"""
Callers that come at the same time share one call: group commit for whatever is slow once and cheap per item.

A caller gets the result of its own item, or the error of the batch it was in. Nothing waits on purpose: while one
batch is under way the next one gathers, so batches grow with the load and a lone caller is served at once.

What waits is served in turns: the most urgent rank first, with an eighth of a batch left for the others, and within a
rank one item of each party after the other, so that a party that brings very many waits for itself and not the others
for it. The items of one party keep their order.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Turn = tuple[int, Hashable]
"""Rank (the lowest first) and party."""


class Together(Generic[Item, Result]):
    """Runs `work` over what its callers bring, at most `most` items at a time, `parallel` batches at once."""

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        most: int,
        parallel: int = 1,
        turn_of: Callable[[Item], Turn] = lambda _: (0, None),
    ) -> None:
        self._work = work
        self._most = most
        self._free = parallel
        self._turn_of = turn_of
        self._ranks: dict[int, OrderedDict[Hashable, deque[tuple[Item, asyncio.Future[Result]]]]] = {}
        """Of each rank the parties that wait, who is next first."""
        self._running: set[asyncio.Task[None]] = set()

    async def bring(self, items: Sequence[Item]) -> Sequence[Result]:
        """
        The results of `items`, in order.

        A caller that is cancelled leaves its items in the batch: they are done or not like those of all others.
        """
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = []
        for item in items:
            future: asyncio.Future[Result] = loop.create_future()
            futures.append(future)
            rank, party = self._turn_of(item)
            self._ranks.setdefault(rank, OrderedDict()).setdefault(party, deque()).append((item, future))
        self._start()
        # Every outcome is collected before the first error is raised: none may be left unread.
        results = await asyncio.gather(*futures, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    def _start(self) -> None:
        while self._free and (batch := self._next_batch()):
            self._free -= 1
            task = asyncio.ensure_future(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        waiting = sorted(rank for rank, parties in self._ranks.items() if parties)
        for rank in waiting:
            parties = self._ranks[rank]
            # A flood of urgent ones leaves a little for the rest.
            most = self._most if rank == waiting[-1] else self._most - self._most // 8
            while parties and len(batch) < most:
                party, items = parties.popitem(last=False)
                batch.append(items.popleft())
                if items:
                    # To the end of the line.
                    parties[party] = items
        return batch

    async def _run(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        finally:
            self._free += 1
            self._start()
