"""
`axis broker apply` as a program of its own, so that a test can kill it at any step.

    python -m tests.broker.mover AMQP-URL MANAGEMENT-URL VHOST DIES-AT

Dies by SIGKILL when it has said that many lines of progress; with 0 it lives, and prints how many lines there were.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from axis.broker.connection import BrokerAddress
from axis.broker.management import Management
from axis.broker.migration import Migration, MovePace
from axis.broker.topology import hub_topology

BRISK = MovePace(settle_seconds=0.05, quiet_seconds=1.5, silent_seconds=20, blocked_seconds=30, window=20)
"""For a server that tells its statistics often (`tests.broker.surgery.hurry_statistics`)."""


class Dice:
    """Randomness of the system."""

    def take(self, size: int) -> bytes:
        return os.urandom(size)


def english(_: str, en: str) -> str:
    return en


async def main(url: str, management_url: str, vhost: str, dies_at: str) -> None:
    lines = 0

    def progress(_: str) -> None:
        nonlocal lines
        lines += 1
        if lines == int(dies_at):
            os.kill(os.getpid(), signal.SIGKILL)

    async with Management(management_url, vhost=vhost) as management:
        migration = Migration(
            management,
            BrokerAddress(urls=(url,)),
            topology=hub_topology(),
            randomness=Dice(),
            pace=BRISK,
        )
        await migration.apply(progress=progress, say=english)
    print(lines)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
