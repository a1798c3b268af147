"""
Reading one thing after the other, where a thing counts as read when the next one is asked for.

A class and not a generator: a generator that is cancelled while it waits has ended, and a caller that waits with a
time limit would silently read nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, Self, TypeVar

_Raw = TypeVar("_Raw")
_Item = TypeVar("_Item")
_Letter_co = TypeVar("_Letter_co", covariant=True)


class Source(Protocol[_Letter_co]):
    """Where the things come from, one reader at a time."""

    async def first(self) -> _Letter_co:
        """The oldest one that was not read, whenever it comes."""
        ...

    async def forget_first(self) -> None:
        """It was read."""
        ...


class Reader(Generic[_Item]):
    """An endless iterator; `async with` or `aclose` lets somebody else read."""

    def __init__(
        self,
        source: Source[_Raw],
        *,
        read: Callable[[_Raw], Awaitable[_Item | None]],
        release: Callable[[], object],
    ) -> None:
        async def take() -> _Item | None:
            return await read(await source.first())

        self._take = take
        self._forget_first = source.forget_first
        self._release = release
        self._is_given = False
        self._closing = asyncio.Event()
        self._forgetting: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Read nothing more. What was given last was not read to its end: it comes again to the next reader."""
        if not self._closing.is_set():
            self._closing.set()
            try:
                await self._settle()
            finally:
                self._release()

    async def __anext__(self) -> _Item:
        await self._settle()
        if self._closing.is_set():
            raise StopAsyncIteration
        if self._is_given:
            self._is_given = False
            await self._forget()
        while (item := await self._take_or_end()) is None:
            await self._forget()
        self._is_given = True
        return item

    async def _take_or_end(self) -> _Item | None:
        taking = asyncio.ensure_future(self._take())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({taking, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                raise StopAsyncIteration
            return taking.result()
        finally:
            for task in (taking, closing):
                task.cancel()
            await asyncio.gather(taking, closing, return_exceptions=True)

    async def _forget(self) -> None:
        self._forgetting = asyncio.ensure_future(self._forget_first())
        await self._settle()

    async def _settle(self) -> None:
        # Whoever gives up waiting in the middle of it must not make us forget another one later.
        if self._forgetting is not None:
            await asyncio.wait({self._forgetting})
            forgetting, self._forgetting = self._forgetting, None
            forgetting.result()
