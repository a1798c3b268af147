"""
A hub process that a message can kill: as a program of its own, so that a test can let it die and start it again.

    python -m tests.broker.victim AMQP-URL STATION

SIGKILLs itself when the body `<poison/>` is handed to its desk, as a parser that segfaults would. Everything else is
answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from axis.broker.connection import BrokerAddress
from axis.broker.consumer import Consumer, IntakeLimits
from axis.broker.publisher import BrokerPublisher
from axis.core.exchange import Answer
from axis.core.ports import InboundMessage
from tests.broker.desk import Clock, Desk, Ids, a_station
from tests.broker.intake import QUICK

POISON = b"<poison/>"


@dataclass
class MortalDesk(Desk):
    """A desk whose parser kills the process."""

    async def admit(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        if any(one.body == POISON for one in messages):
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().admit(messages)


async def main(url: str, name: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    station = a_station(name)
    address = BrokerAddress(urls=(url,))
    clock = Clock()
    desk = MortalDesk(stations={station.id: station})
    async with BrokerPublisher(address, clock=clock) as publisher:
        consumer = Consumer(
            address,
            desk=desk,
            publisher=publisher,
            clock=clock,
            ids=Ids(),
            ignore=desk.ignore,
            limits=IntakeLimits(patience=QUICK),
        )
        await consumer.run(stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
