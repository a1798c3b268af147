"""
The pretended axis behind a real RabbitMQ: the axis's own topology and publisher, and a small hub that answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from axis.broker import wire
from axis.broker.connection import BrokerAddress, Link
from axis.broker.publisher import BrokerPublisher
from axis.core.directory import Station
from axis.core.exchange import NO_ANSWER, Ask, BadMessage, dump, no_answer_json, read_station_message
from axis.core.model import ConsignmentId, Digest, Lane, StationId
from axis.core.ports import (
    InboundMessage,
    Outgoing,
    OutgoingAnswer,
    OutgoingConsignment,
    OutgoingEvents,
    OutgoingReply,
    OutgoingWithdrawal,
    Published,
)
from tests.adapters.pretend import PretendAxis
from tests.services.rabbitmq import Vhost


class BrokerDoor:
    """Serves one pretended axis over AMQP until it is closed."""

    def __init__(self, axis: PretendAxis, vhost: Vhost) -> None:
        self.axis = axis
        self.vhost = vhost
        address = BrokerAddress(urls=(vhost.url,))
        self.publisher = BrokerPublisher(address, clock=axis.clock)
        self._link = Link(address, name="test hub")
        self._pushed: dict[StationId, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_paused = False
        """Nothing is offered: what is due waits."""

    async def open(self) -> None:
        await self.publisher.declare_hub()
        channel = await self._link.open_channel()
        for queue, lane in (
            (wire.INTAKE_URGENT, Lane.URGENT),
            (wire.INTAKE_NORMAL, Lane.NORMAL),
            (wire.INTAKE_STATUS, Lane.NORMAL),
        ):
            await channel.basic_consume(queue, self._submission(lane))
        await channel.basic_consume(wire.INTAKE_ACK, self._statement)
        self._start(self._offer())

    async def reopen(self) -> None:
        """After the broker was away: consume again."""
        await self.stop()
        await self.open()

    async def stop(self) -> None:
        """Take and offer nothing until it is opened again."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._link.break_off()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.close()
        await self.publisher.close()

    async def add_station(self, name: str) -> tuple[Station, str, str]:
        """A station with its queues and its rights; its key, and the broker's address for everybody."""
        station, key = self.axis.add_station(name)
        await self.publisher.declare_station(station=station.id, secret=station.secret)
        queues = rf"station\.{name}\.{station.secret}\.(urgent|inbox|receipts)"
        await asyncio.to_thread(
            self.vhost.add_user, name, key.partition(".")[2], write=r"axis\.(submit|ack)", read=f"^{queues}$"
        )
        return station, key, self.vhost.url

    async def drop(self, station: StationId, queue: str, *, kind: str | None, body: bytes) -> None:
        """Put any message into one of the station's queues."""
        known = self.axis.stations[station]
        channel = await self._link.open_channel(confirms=True)
        await channel.basic_publish(
            body,
            exchange=wire.INBOX,
            routing_key=f"station.{station}.{known.secret}.{queue}",
            properties=Basic.Properties(message_type=kind, message_id=self._new_id(), delivery_mode=2),
        )
        await channel.close()

    async def dead(self) -> list[bytes]:
        """What was buried, taken out."""
        channel = await self._link.open_channel()
        found = []
        while (message := await channel.basic_get(wire.DEAD, no_ack=True)).body or message.header.body_size:
            found.append(message.body)
        await channel.close()
        return found

    async def limit_intake(self, length: int | None) -> None:
        """Let the normal intake queue hold so many messages only."""
        path = "policies/{vhost}/full"
        if length is None:
            await asyncio.to_thread(self.vhost.api, "DELETE", path)
            return
        definition = {"max-length": length, "overflow": "reject-publish"}
        await asyncio.to_thread(
            self.vhost.api,
            "PUT",
            path,
            {"pattern": wire.INTAKE_NORMAL, "definition": definition, "apply-to": "queues"},
        )

    async def suspend(self, station: StationId, *, suspended: bool) -> None:
        """Take the station's rights away, or give them back; its connections are closed."""
        known = self.axis.stations[station]

        def work() -> None:
            self.vhost.permit(
                station,
                configure="",
                write="" if suspended else r"axis\.(submit|ack)",
                read="" if suspended else rf"^station\.{station}\.{known.secret}\.(urgent|inbox|receipts)$",
            )
            connections = self.vhost.api("GET", "vhosts/{vhost}/connections")
            assert isinstance(connections, list)
            for one in connections:
                if one.get("user") == station:
                    self.vhost.broker.api("DELETE", f"connections/{quote(one['name'], safe='')}")

        await asyncio.to_thread(work)

    async def withdraw(self, consignment: ConsignmentId) -> None:
        """Take a consignment back, and tell the station."""
        parcel = self.axis.recall(consignment)
        station = self.axis.stations[parcel.station]
        await self.publish(
            OutgoingWithdrawal(
                station=station.id,
                secret=station.secret,
                message_id=self._new_id(),
                consignment=parcel.id,
                document=parcel.document,
            )
        )

    async def publish(self, one: Outgoing) -> None:
        (result,) = await self.publisher.publish([one])
        assert result is Published.CONFIRMED

    async def hand_over(self, consignment: ConsignmentId, *, body: bytes | None = None) -> None:
        """One message for a consignment, whatever became of it before."""
        parcel = self.axis._parcels[consignment]
        station = self.axis.stations[parcel.station]
        inline = parcel.body if parcel.inline and len(parcel.body) <= station.inline_bytes else None
        await self.publish(
            OutgoingConsignment(
                station=station.id,
                secret=station.secret,
                message_id=self._new_id(),
                header=self.axis.header(parcel),
                body=inline if body is None else body,
            )
        )

    async def push(self, station: StationId, index: int) -> None:
        """One event, again or out of order."""
        known = self.axis.stations[station]
        entry = next(one for one in self.axis.told(station) if one.index == index)
        await self.publish(
            OutgoingEvents(
                station=station,
                secret=known.secret,
                message_id=self._new_id(),
                entries=[entry],
            )
        )

    def _new_id(self) -> str:
        return self.axis.ids.new(self.axis.clock.now())

    async def _offer(self) -> None:
        while True:
            await self.axis.stir.wait()
            self.axis.stir.clear()
            if self.is_paused:
                continue
            for station in list(self.axis.stations.values()):
                for parcel in self.axis.due(station.id):
                    await self.hand_over(parcel.id)
                for entry in self.axis.told(station.id)[self._pushed.get(station.id, 0) :]:
                    await self.push(station.id, entry.index)
                    self._pushed[station.id] = self._pushed.get(station.id, 0) + 1

    # --- what stations send ---------------------------------------------------------------------------------------

    def _submission(self, lane: Lane) -> Callable[[DeliveredMessage], Coroutine[Any, Any, None]]:
        async def serve(message: DeliveredMessage) -> None:
            station = self._sender(message)
            properties = message.header.properties
            if station is not None and properties.message_id:
                declared = (properties.headers or {}).get(wire.H_DIGEST)
                (answer,) = await self.axis.admit(
                    [
                        InboundMessage(
                            station=station.id,
                            message_id=properties.message_id,
                            body=message.body,
                            lane=lane,
                            received_at=self.axis.clock.now(),
                            declared_digest=Digest(str(declared)),
                            by_digest=properties.content_type == wire.BY_DIGEST,
                        )
                    ]
                )
                if self.axis.forget_answers:
                    self.axis.forget_answers -= 1
                    await _ack(message)
                    return
                await self.publish(
                    OutgoingAnswer(
                        station=station.id,
                        secret=station.secret,
                        message_id=self._new_id(),
                        answer=answer,
                    )
                )
            await _ack(message)

        return serve

    async def _statement(self, message: DeliveredMessage) -> None:
        station = self._sender(message)
        if station is not None:
            try:
                said = read_station_message(message.body)
            except BadMessage:
                await _ack(message)
                return
            message_id = message.header.properties.message_id or ""
            await self.axis.say(station, said, message_id=message_id, at=self.axis.clock.now())
            if said.ask is not None and said.ask is not Ask.RESYNC:
                try:
                    body = await self.axis.ask(station, said)
                except NO_ANSWER as error:
                    body = dump(no_answer_json(said, error))
                await self.publish(
                    OutgoingReply(
                        station=station.id,
                        secret=station.secret,
                        message_id=self._new_id(),
                        correlation_id=message_id,
                        body=body,
                    )
                )
        await _ack(message)

    def _sender(self, message: DeliveredMessage) -> Station | None:
        # Left over from another test of this module when it is nobody's.
        return self.axis.stations.get(StationId(message.header.properties.user_id or ""))


async def _ack(message: DeliveredMessage) -> None:
    with contextlib.suppress(aiormq.AMQPError, OSError, RuntimeError):
        assert message.delivery_tag is not None
        await message.channel.basic_ack(message.delivery_tag, wait=False)
