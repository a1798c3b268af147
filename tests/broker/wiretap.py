"""
A plain AMQP client for tests: publishes what it is told to, hostile or not, and looks into queues.

Uses the client library directly, so that nothing of the axis stands between a test and the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Mapping

import aiormq
from aiormq.abc import ChannelFrame, DeliveredMessage
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

PERSISTENT = 2


class Wiretap:
    """One connection with one channel, without confirms unless asked for."""

    def __init__(self, channel: aiormq.abc.AbstractChannel) -> None:
        self.channel = channel

    async def publish(
        self,
        exchange: str,
        key: str,
        body: bytes = b"<edXML/>",
        *,
        message_id: str | None = None,
        user_id: str | None = None,
        content_type: str | None = None,
        headers: Mapping[str, object] | None = None,
        mandatory: bool = False,
    ) -> None:
        """Publish; with confirms it returns when the broker has the message."""
        properties = Basic.Properties(
            message_id=message_id,
            user_id=user_id,
            content_type=content_type,
            # The library's type for headers is narrower than what a hostile sender may write.
            headers=dict(headers) if headers is not None else None,  # type: ignore[arg-type]
            delivery_mode=PERSISTENT,
        )
        if message_id is None:
            # The library would make an id of its own.
            await self.publish_raw(exchange, key, body, properties)
            return
        await self.channel.basic_publish(
            body, exchange=exchange, routing_key=key, properties=properties, mandatory=mandatory, timeout=15
        )

    async def publish_raw(
        self,
        exchange: str,
        key: str,
        body: bytes,
        properties: Basic.Properties,
        *changes: tuple[bytes, bytes],
    ) -> None:
        """
        Publish what no decent client would: in the bytes of the properties each first text becomes the second, of
        the same length.
        """
        payload = ContentHeader(body_size=len(body), properties=properties).marshal()
        for old, new in changes:
            assert len(old) == len(new)
            assert payload.count(old) == 1
            payload = payload.replace(old, new)
        number = self.channel.number
        frames = frame.marshal(Basic.Publish(exchange=exchange, routing_key=key), number)
        frames += struct.pack(">BHI", 2, number, len(payload)) + payload + b"\xce"
        frames += frame.marshal(ContentBody(body), number)
        confirmed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        assert isinstance(self.channel, aiormq.Channel)
        self.channel.delivery_tag += 1
        self.channel.confirmations[self.channel.delivery_tag] = confirmed
        await self.channel.write_queue.put(ChannelFrame(payload=frames, should_close=False))
        async with asyncio.timeout(15):
            await confirmed

    async def take(self, queue: str) -> DeliveredMessage | None:
        """The next message of a queue, taken for good; None when there is none."""
        message = await self.channel.basic_get(queue, no_ack=True, timeout=15)
        return None if isinstance(message.delivery, Basic.GetEmpty) else message

    async def expect(self, queue: str, *, within_s: float = 30) -> DeliveredMessage:
        """The next message of a queue, taken for good, as soon as there is one."""
        arrived: asyncio.Future[DeliveredMessage] = asyncio.get_running_loop().create_future()

        async def take_one(message: DeliveredMessage) -> None:
            if not arrived.done():
                arrived.set_result(message)

        await self.channel.basic_qos(prefetch_count=1)
        consumer = await self.channel.basic_consume(queue, take_one)
        async with asyncio.timeout(within_s):
            message = await arrived
        assert consumer.consumer_tag is not None
        assert message.delivery_tag is not None
        await self.channel.basic_cancel(consumer.consumer_tag)
        await self.channel.basic_ack(message.delivery_tag)
        return message

    async def drain(self, queue: str) -> list[DeliveredMessage]:
        """All messages of a queue, taken for good."""
        found = []
        while (message := await self.take(queue)) is not None:
            found.append(message)
        return found

    async def length(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        declared = await self.channel.queue_declare(queue, passive=True, timeout=15)
        return declared.message_count or 0

    async def grown_to(self, queue: str, least: int, *, within_s: float = 30) -> None:
        """Wait until a queue has at least so many ready messages; those given back are so after a moment."""
        async with asyncio.timeout(within_s):
            found = await self.length(queue)
            while found < least:
                await asyncio.sleep(0.02)
                found = await self.length(queue)


@contextlib.asynccontextmanager
async def wiretap(url: str, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Wiretap]:
    """A client with a connection of its own."""
    connection = aiormq.Connection(url, context=context)
    await connection.connect()
    try:
        yield Wiretap(await connection.channel(on_return_raises=True))
    finally:
        await connection.close()
