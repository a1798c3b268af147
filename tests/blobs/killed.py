"""
Kills a process that stores payloads, at random moments, again and again, and says what was found after each death.

Run as `python -m tests.blobs.killed ROOT ROUNDS SEED`: a process of its own, so that it may fork. A child stores
payloads made on the spot and files that are moved in, and names on a pipe what `put` has confirmed. Exit status 0:
after every death all blobs were whole, all confirmed ones were there, and every file was in exactly one place.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path

from axis.ledger.blobs import FileBlobs

_LONGEST_LIFE = 0.02
_LARGEST = 300_000


def _store_until_killed(root: Path, files: list[Path], seed: int, confirmed: int) -> None:
    chance = random.Random(seed)

    async def run() -> None:
        blobs = FileBlobs(root)
        os.write(confirmed, b"\n")
        while True:
            batch: list[bytes | Path] = [
                chance.randbytes(chance.randrange(1, _LARGEST)) for _ in range(chance.randrange(1, 4))
            ]
            if files:
                batch.append(files.pop())
            for digest in await blobs.put(batch):
                os.write(confirmed, f"{digest}\n".encode())

    asyncio.run(run())


def _judge(root: Path, confirmed: set[str], files: dict[Path, str]) -> list[str]:
    there: dict[str, str] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.glob("[0-9a-f][0-9a-f]/*")
    }
    problems = [f"{name} is not whole" for name, digest in there.items() if name != digest]
    problems += [f"{name} was confirmed and is not there" for name in confirmed - there.keys()]
    for file, digest in files.items():
        if file.exists() == (digest in there):
            problems.append(f"{file.name} is in both places or in none")
    return problems


def _one_round(root: Path, spool: Path, chance: random.Random) -> list[str]:
    files: dict[Path, str] = {}
    for number in range(3):
        content = chance.randbytes(chance.randrange(1, _LARGEST))
        file = spool / f"{number}"
        file.write_bytes(content)
        files[file] = hashlib.sha256(content).hexdigest()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _store_until_killed(root, list(files), chance.randrange(2**32), writing)
    os.close(writing)
    os.read(reading, 1)  # it is running
    time.sleep(chance.random() * _LONGEST_LIFE)  # the moment of death: nothing waits for it
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = b""
    while piece := os.read(reading, 65_536):
        said += piece
    os.close(reading)
    problems = _judge(root, {one for one in said.decode().split("\n") if len(one) == 64}, files)
    for file in files:
        file.unlink(missing_ok=True)
    return problems


def main() -> int:
    """Play the rounds; print what was wrong."""
    root, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    spool = root.with_name("spool")
    spool.mkdir()
    for number in range(rounds):
        problems = _one_round(root, spool, chance)
        if problems:
            print(f"round {number} of seed {seed}:", *problems, sep="\n  ")
            return 1
        if number % 10 == 9:
            for path in root.glob("[0-9a-f][0-9a-f]/*"):
                path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
