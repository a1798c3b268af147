"""
Somebody who acts: `Acts` on a real ledger, with a broker's book of accounts that can be cut off at any moment.

Import as `tests.directory.acting`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text

from axis.core.errors import ServiceUnavailable
from axis.core.events import Event, read_record
from axis.core.model import Actor, StationId
from axis.flow.acts import Acts
from axis.ledger import tables as t
from axis.ledger.directory import SQLDirectories
from axis.ledger.store import SQLLedger, SQLTransaction
from tests.ledger.builders import Clock, Ids

AN = Actor(person="an.nguyen", reason="phiếu 12/VHT")
BINH = Actor(person="binh.tran", reason="phiếu 13/VHT")


class Randomness:
    """Bytes that differ every time and can be told in advance."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, size: int) -> bytes:
        self.taken += 1
        return hashlib.shake_256(f"randomness {self.taken}".encode()).digest(size)


@dataclass
class Accounts:
    """
    The broker's users, as `StationAccounts` promises them. `silent` makes the broker unavailable before a call takes
    effect, `cut_off` after it did.
    """

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    silent: bool = False
    cut_off: bool = False

    async def add(self, station: StationId, *, secret: str, password: str) -> None:
        self._take_effect(station, password=password, secret=secret, may=True)

    async def suspend(self, station: StationId, *, secret: str) -> None:
        self._take_effect(station, secret=secret, may=False)

    async def resume(self, station: StationId, *, secret: str) -> None:
        self._take_effect(station, secret=secret, may=True)

    async def rotate(self, station: StationId, *, secret: str, password: str) -> None:
        self._take_effect(station, password=password, secret=secret)

    def _take_effect(self, station: str, **what: Any) -> None:
        if self.silent:
            raise ServiceUnavailable("broker", "test")
        self.users.setdefault(station, {}).update(what)
        if self.cut_off:
            raise ServiceUnavailable("broker", "test")


class CutOff:
    """A ledger whose process dies before a commit: everything of the transaction is gone."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SQLTransaction]:
        async with self._ledger.transaction() as tx:
            yield tx
            raise ServiceUnavailable("database", "test")


class Office:
    """A ledger, its directory, and who acts on it."""

    def __init__(self, ledger: SQLLedger, *, accounts: Accounts | None = None) -> None:
        self.ledger = ledger
        self.clock = Clock()
        self.ids = Ids()
        self.randomness = Randomness()
        self.accounts = accounts or Accounts()
        self.directories = SQLDirectories(ledger)
        self.acts = self.acting(ledger)

    def acting(self, ledger: SQLLedger | CutOff) -> Acts:
        """The acts, on this ledger."""
        return Acts(
            ledger=ledger,
            directories=self.directories,
            clock=self.clock,
            ids=self.ids,
            randomness=self.randomness,
            accounts=self.accounts,
        )

    async def events(self) -> Sequence[Event]:
        """Every event, in the order of its making."""
        async with self.ledger.reading() as connection:
            rows = (await connection.execute(select(t.event.c.record, t.event.c.at))).all()
        return sorted((read_record(row.record) for row in rows), key=lambda one: (one.at, one.id))

    async def one(self, query: str) -> Any:
        """The only value of a query."""
        async with self.ledger.reading() as connection:
            return (await connection.execute(text(query))).scalar_one()
