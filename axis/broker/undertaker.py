"""
The way of what nobody judged: messages that reached their delivery limit, and messages to addresses that are none.

Reads the queues `axis.dead` and `axis.unrouted` and hands every message over as it is, bytes and identity, to be
recorded (`axis.flow.bury`); acknowledged only after that. Never looks into a body: it may be what brought others down.

A dead consignment, receipt or notice out of a station's own queue is no submission. Its deliveries and answers are in
the ledger, which offers them again by its own schedule; the message is acknowledged and said in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import structlog

from axis.broker import wire
from axis.broker.connection import BrokerAddress, Link
from axis.broker.serving import Arrival, Attempt, Floor, Patience, QueueLimits, QueueServer, Serve
from axis.core.ports import BuriedMessage, Clock
from axis.core.reasons import ReasonCode

_log = structlog.get_logger(__name__)

Bury: TypeAlias = "Callable[[Sequence[BuriedMessage]], Awaitable[None]]"
"""Records all of them. Raises `ServiceUnavailable`: nothing is certain, they are handed over again."""

GRAVES: Final = QueueLimits(
    batch=50,
    batch_bytes=32 << 20,
    linger_seconds=0.05,
    parallel=1,
    prefetch=100,
    prefetch_bytes=64 << 20,
)
_STATION_QUEUE: Final = "station."


class Undertaker:
    """
    Serves the two queues until told to stop.

    A message that cannot be recorded stays in its queue: neither of them has a limit at which anything is dropped.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        bury: Bury,
        clock: Clock,
        limits: QueueLimits = GRAVES,
        patience: Patience | None = None,
        name: str = "axis dead",
    ) -> None:
        self._bury = bury
        self._clock = clock
        self._limits = limits
        self._patience = patience or Patience()
        self._link = Link(address, name=name)

    async def run(self, stop: asyncio.Event) -> None:
        """Bury what there is until `stop`, then finish what was taken, within the time for draining."""
        floor = Floor()
        try:
            async with asyncio.TaskGroup() as group:
                for queue, reason in (
                    (wire.DEAD, ReasonCode.BURY_DELIVERY_LIMIT),
                    (wire.UNROUTED, ReasonCode.BURY_UNROUTED),
                ):
                    server = QueueServer(
                        self._link,
                        queue=queue,
                        limits=self._limits,
                        patience=self._patience,
                        clock=self._clock,
                        serve=self._serve(reason),
                        floor=floor,
                    )
                    group.create_task(server.run(stop))
        finally:
            await self._link.close()

    def _serve(self, reason: ReasonCode) -> Serve:
        async def serve(arrivals: Sequence[Arrival], attempt: Attempt) -> Mapping[int, Exception]:
            messages = []
            for arrival in arrivals:
                queue = _died_in(arrival) if reason is ReasonCode.BURY_DELIVERY_LIMIT else ""
                if queue.startswith(_STATION_QUEUE):
                    _log.error("station.message_dead", queue=queue, message_id=arrival.message_id)
                    continue
                messages.append(
                    BuriedMessage(
                        station=arrival.station,
                        message_id=arrival.message_id,
                        body=arrival.body,
                        reason=reason,
                        at=arrival.at,
                    )
                )
            if messages:
                await attempt.insist(lambda: self._bury(messages))
            return {}

        return serve


def _died_in(arrival: Arrival) -> str:
    """
    The queue a message died in last, empty if that cannot be told.

    The broker puts its own entry in front of those a sender may have written. Headers of messages in station queues
    are the axis's own, so that what cannot be read was not in one.
    """
    deaths = arrival.headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths else None
    queue = newest.get("queue") if isinstance(newest, dict) else None
    return queue if isinstance(queue, str) else ""
