"""
Ports that count their calls and can kill the process before or after any of them.

Nothing in the axis knows of this: the ports it is given are wrapped. Killing is SIGKILL to itself, so that no handler,
no `finally` and no buffer gets a last word.
"""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any


class Crasher:
    """Counts moments, and ends the process at the chosen one."""

    def __init__(self, *, kill_at: int | None, told: Callable[[str], None] = lambda _: None) -> None:
        self._kill_at = kill_at
        self._told = told
        self.moments: list[str] = []

    def moment(self, name: str) -> None:
        """One moment at which a process may die."""
        self.moments.append(name)
        if len(self.moments) == self._kill_at:
            self._told(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def port(self, port: Any, *, name: str, methods: tuple[str, ...]) -> Any:
        """The port with these methods counted; everything else as it is."""
        return _Counted(port, self, name, methods)

    def ledger(self, ledger: Any) -> Any:
        """A ledger whose transactions, their calls and their commits are counted."""
        return _CountedLedger(ledger, self)


class _Counted:
    def __init__(self, port: Any, crasher: Crasher, name: str, methods: tuple[str, ...]) -> None:
        self._port, self._crasher, self._name, self._methods = port, crasher, name, methods

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._port, attribute)
        if attribute not in self._methods:
            return found
        label = f"{self._name}.{attribute}"
        if not inspect.iscoroutinefunction(found):

            def called(*args: Any, **named: Any) -> Any:
                self._crasher.moment(f"before {label}")
                result = found(*args, **named)
                self._crasher.moment(f"after {label}")
                return result

            return called

        async def awaited(*args: Any, **named: Any) -> Any:
            self._crasher.moment(f"before {label}")
            result = await found(*args, **named)
            self._crasher.moment(f"after {label}")
            return result

        return awaited


_IN_A_TRANSACTION = (
    "answered", "claim", "codes_in_use", "submissions", "documents", "documents_named", "documents_coded", "family",
    "receivers", "deliveries", "deliveries_of", "deliveries_in", "consignments", "consignments_of", "number_pairs",
    "append", "keep_reports", "pace", "pace_hold",
)  # fmt: skip


class _CountedLedger:
    def __init__(self, ledger: Any, crasher: Crasher) -> None:
        self._ledger, self._crasher = ledger, crasher

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._ledger, attribute)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        self._crasher.moment("before begin")
        async with self._ledger.transaction() as tx:
            yield _Counted(tx, self._crasher, "tx", _IN_A_TRANSACTION)
            self._crasher.moment("before commit")
        self._crasher.moment("after commit")
