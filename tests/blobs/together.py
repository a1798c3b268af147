"""
Stores the same payloads as another process that runs at the same time: `python -m tests.blobs.together ROOT SEED`.

Prints a line and waits for one before it begins, so that both begin together; every process has an order of its own.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from axis.ledger.blobs import FileBlobs


def payloads() -> list[bytes]:
    """What all processes store."""
    return [bytes([number]) * (1_000 + 700 * number) for number in range(60)]


def main() -> int:
    """Store everything in an order of its own."""
    mine = payloads()
    random.Random(int(sys.argv[2])).shuffle(mine)
    print("ready", flush=True)
    sys.stdin.readline()

    async def run() -> None:
        blobs = FileBlobs(Path(sys.argv[1]))
        for start in range(0, len(mine), 3):
            await blobs.put(mine[start : start + 3])

    asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
