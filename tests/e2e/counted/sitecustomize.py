"""
Writes down every socket a process opens, and every name it asks for: put this folder on PYTHONPATH of the process.

Python tells of the calls it makes itself (PEP 578), so the process runs on Python's own event loop. One line of JSON
each, to the file SOCKETS_SEEN names.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import types

_FILE = os.environ["SOCKETS_SEEN"]


def _see(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.bind", "socket.sendto"}:
        address = arguments[1]
        host, port = address[:2] if isinstance(address, tuple) else (str(address), 0)
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host, port = arguments[0], arguments[1] if len(arguments) > 1 else 0
    else:
        return
    line = json.dumps([event.removeprefix("socket."), str(host), str(port)]) + "\n"
    descriptor = os.open(_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


_loops = types.ModuleType("uvloop")
_loops.new_event_loop = asyncio.new_event_loop  # type: ignore[attr-defined]  # what stands for uvloop's
_loops.Loop = asyncio.SelectorEventLoop  # type: ignore[attr-defined]  # as above
sys.modules["uvloop"] = _loops
sys.addaudithook(_see)
