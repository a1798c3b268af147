"""The contract of the HTTP API, on an axis in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.web.contract import StationContract, World
from tests.web.memory import CODES, RECEIVER, SENDER, STRANGER, SUSPENDED, MemoryAxis, key_of
from tests.web.serving import running


@dataclass
class MemoryWorld:
    """Implements `World`."""

    url: str
    axis: MemoryAxis
    made: int = 0

    sender = key_of(SENDER)
    receiver = key_of(RECEIVER)
    stranger = key_of(STRANGER)
    suspended = key_of(SUSPENDED)

    def document(self, *, is_urgent: bool = False, size: int = 0) -> bytes:
        self.made += 1
        urgent = " urgent" if is_urgent else ""
        tag = f'<document id="{self.made}/QĐ" from="{CODES[SENDER]}" to="{CODES[RECEIVER]}"{urgent}>'
        return tag.encode().ljust(size, b".")

    def unacceptable(self) -> bytes:
        self.made += 1
        return f"no document at all, number {self.made}".encode()

    def recall(self, document: bytes) -> bytes:
        return document.replace(b"<document", b"<recall")

    def status(self, document: bytes, code: str) -> bytes:
        tag = (
            f'<status id="{self.name(document)}" from="{CODES[RECEIVER]}" to="{CODES[SENDER]}" code="{code}">'
        )
        return tag.encode()

    def name(self, document: bytes) -> str:
        return document.split(b'"')[1].decode()

    async def number(self) -> None:
        await self.axis.number()


class TestOverMemory(StationContract):
    @pytest.fixture
    async def served(self, axis: MemoryAxis) -> AsyncIterator[World]:
        async with running(axis.services()) as server:
            yield MemoryWorld(url=server.url, axis=axis)
