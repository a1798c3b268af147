"""
Child processes of a benchmark: told what to do on standard input, never on their command line, where secrets show.

`python -m axis.bench.processes NAME` is `axis NAME` that ends with whoever started it, however that one ends. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from axis.core.errors import AxisError

_LINE_LIMIT: Final = 64 * 1024 * 1024
_LEAVE_SECONDS: Final = 5.0
"""Until one that waits for a word has noticed that nobody will say it."""
_END_SECONDS: Final = 30.0


def tell(line: str) -> None:
    """Say one line to the process that started this one."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class BenchFailed(AxisError):
    """A part of the benchmark ended before its time; the message holds its last words."""


class Child:
    """A Python module in a process of its own; ends with its owner."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self._name = name

    @classmethod
    @asynccontextmanager
    async def of(cls, module: str, spec: Mapping[str, object]) -> AsyncIterator[Self]:
        """A module that reads `spec` as its first line."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_little(),
            limit=_LINE_LIMIT,
        )
        child = cls(process, module)
        try:
            await child.say(json.dumps(spec))
            yield child
        finally:
            await child.end()

    @classmethod
    @asynccontextmanager
    async def command(cls, name: str, *, environ: Mapping[str, str], log: Path) -> AsyncIterator[Self]:
        """`axis NAME` with these variables; what it says goes to a file, as in earnest."""
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                name,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=_little() | dict(environ),
            )
        child = cls(process, f"axis {name} ({log.name})")
        try:
            yield child
        finally:
            await child.end()

    @property
    def name(self) -> str:
        """For messages."""
        return self._name

    @property
    def pid(self) -> int:
        return self._process.pid

    async def say(self, words: str) -> None:
        """Write one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(words.encode() + b"\n")
        await self._process.stdin.drain()

    async def line(self) -> str:
        """
        Its next line.

        Raises:
            BenchFailed: it ended instead.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise BenchFailed(f"{self._name} ended with status {await self._process.wait()}")
        return line.decode().rstrip("\n")

    async def json(self) -> Any:
        """Its next line, read."""
        return json.loads(await self.line())

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def end(self) -> None:
        """Let it end, tell it to, kill it: whichever works first. One that ends by itself leaves nothing behind."""
        if self._process.stdin is not None:
            self._process.stdin.close()
            if await self._ends(within=_LEAVE_SECONDS):
                return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            if not await self._ends(within=_END_SECONDS):
                self._process.kill()
                await self._process.wait()

    async def _ends(self, *, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                # Whatever it still says must not fill the pipe.
                await self._process.communicate()
        except TimeoutError:
            return False
        return True


def _little() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


_PR_SET_PDEATHSIG: Final = 1


def _main() -> None:
    """`axis` on a leash."""
    import ctypes
    import runpy

    owner = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        sys.exit(1)
    runpy.run_module("axis", run_name="__main__")


if __name__ == "__main__":
    _main()
