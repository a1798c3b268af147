"""
Changes the key that seals VXP secrets in the axis at HOME, and dies at its Nth touch of a file in the folder of keys.

Run as `python -m tests.adapters.rekey_victim HOME N`. Every step touches such a file: the new key is written beside the
old one, each secret is opened and sealed (the file is read each time), and after the commit the old one goes. A process
that lives to its end prints how often it touched one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from axis.bootstrap.parts import open_axis
from axis.core.model import Actor
from axis.settings import read_settings


async def _rekey(home: Path, last: int) -> None:
    async with open_axis(read_settings({"AXIS_HOME": str(home)})) as axis:
        touched = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal touched
            if event in {"open", "os.rename", "os.chmod"} and str(home / "keys") in str(arguments[0]):
                touched += 1
                if touched == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        await axis.vxp_acts().rekey(by=Actor(person="test", reason="test"))
    sys.stdout.write(f"{touched}\n")


if __name__ == "__main__":
    asyncio.run(_rekey(Path(sys.argv[1]), int(sys.argv[2])))
