"""
Stores payloads where the disk takes 64 KiB of a file and no more: `python -m tests.blobs.full ROOT`.

The operating system's own limit on the size of a file stands for the full disk: a write is cut short, the next fails.
Exit status 0: the small payload was stored, the large one was refused as `ServiceUnavailable` and left nothing.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from axis.core.errors import ServiceUnavailable
from axis.ledger.blobs import FileBlobs


def _stored(root: Path) -> list[str]:
    return [path.name for path in root.glob("[0-9a-f][0-9a-f]/*")]


async def _run(root: Path) -> list[str]:
    blobs = FileBlobs(root)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
    problems = []
    [small] = await blobs.put([b"s" * 1_000])
    try:
        await blobs.put([b"fits", b"L" * 200_000])
        problems.append("the large payload was taken")
    except ServiceUnavailable as unavailable:
        if unavailable.service != "disk":
            problems.append(f"not the disk's fault: {unavailable.service}")
    if await blobs.size(small) != 1_000:
        problems.append("the small payload is gone")
    if list((root / "tmp").iterdir()):
        problems.append("an unfinished file was left")
    if len(_stored(root)) != 2:
        problems.append(f"{len(_stored(root))} blobs instead of 2")
    return problems


def main() -> int:
    """Try both, print what was wrong."""
    problems = asyncio.run(_run(Path(sys.argv[1])))
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
