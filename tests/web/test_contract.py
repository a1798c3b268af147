"""The contract of the HTTP API, on an axis in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from axis.core.model import DeliveryState
from axis.web import wire
from tests.web.contract import StationContract, calling, refused_with
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

    async def pass_deadlines(self) -> None:
        self.axis.is_over = True


class TestOverMemory(StationContract):
    @pytest.fixture
    async def served(self, axis: MemoryAxis) -> AsyncIterator[MemoryWorld]:
        async with running(axis.services()) as server:
            yield MemoryWorld(url=server.url, axis=axis)

    async def test_a_recalled_document_is_not_given_out(self, served: MemoryWorld) -> None:
        """410, with a code of its own: it was there, and its sender took it back."""
        async with calling(served, served.sender) as sender, calling(served, served.receiver) as receiver:
            body = served.document()
            document = await sender.accepted(body)
            await sender.accepted(served.recall(body))

            refused_with(await receiver.get(wire.path(wire.PAYLOAD, document)), 410, "deliver.recalled")
            assert await sender.state(document) == [DeliveryState.WITHDRAWN]
