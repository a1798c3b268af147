"""
What the machine is and how busy it was: read from /proc, so Linux only.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICK_MS: Final = 1000 / os.sysconf("SC_CLK_TCK")
_LIBRARIES: Final = ("lxml", "cryptography", "aio-pika", "aiormq", "sqlalchemy", "asyncpg", "uvloop")


def machine() -> dict[str, str | int]:
    """Hardware and system, as far as figures depend on them."""
    models = [
        line.partition(":")[2].strip()
        for line in (_PROC / "cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = (_PROC / "meminfo").read_text().split()
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mb": int(memory[1]) // 1024,
        "system": platform.platform(),
    }


def versions(servers: Mapping[str, str]) -> dict[str, str]:
    """Python, the libraries on the road, and the servers as they name themselves."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        **servers,
    }


def busy_ms() -> float:
    """Processor time everything on this machine has used since it was started."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, (_PROC / "stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) * _TICK_MS


def busy_ms_of(pids: Iterable[int]) -> float:
    """Processor time of these processes and all they started; one that has ended counts nothing."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(folder.name)
        children.setdefault(int(words[1]), []).append(pid)
        # utime, stime, and those of children it has waited for.
        used[pid] = sum(map(int, words[11:15])) * _TICK_MS
    total, waiting, seen = 0.0, list(pids), set[int]()
    while waiting:
        pid = waiting.pop()
        if pid in seen:
            continue
        seen.add(pid)
        total += used.get(pid, 0.0)
        waiting += children.get(pid, ())
    return total


def pids_named(*names: str) -> list[int]:
    """Processes whose program has one of these names, such as `beam.smp` and `postgres`."""
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                name = (folder / "comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if name in names:
                found.append(int(folder.name))
    return found
