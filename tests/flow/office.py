"""
The parts of an axis between its transports, wired for tests: real ledger, real files, a clock that is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select

from axis.bootstrap.system import SystemClock
from axis.core.directory import Directory
from axis.core.events import Event, EventKind, read_record
from axis.core.exchange import Ack, Answer, Consignment, Outcome, StationMessage
from axis.core.model import Actor, DeliveryId, DeliveryState, EventId, StationId
from axis.core.ports import InboundMessage
from axis.core.retry import Backoff
from axis.flow.bells import Bells
from axis.flow.bury import Gravedigger
from axis.flow.desk import Desk, DeskLimits
from axis.flow.hold import HoldKeeper
from axis.flow.pipeline import Pipeline
from axis.flow.receive import World
from axis.flow.replay import Replayer
from axis.flow.revocation import Revocations
from axis.flow.seal import Seal
from axis.ledger import tables as t
from axis.ledger.blobs import FileBlobs
from axis.ledger.log import SQLLogView
from axis.ledger.outbox import SQLOutbox
from axis.ledger.sequencer import Sequencer
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger
from axis.ledger.uploads import SQLUploads
from signing.certificates import TrustStore
from signing.note import SigningKey
from signing.receipts import BatchReceiptSigner, TrustedKeys
from signing.skeleton import Limits
from tests.flow.town import AT, Counting, Ticking, a_message, directory
from tests.signing.builders import trust

RECEIPTS = SigningKey.from_seed("test.example/receipts", seed=b"r" * 32)
LOG = SigningKey.from_seed("test.example/log", seed=b"l" * 32)
KEYS = TrustedKeys(receipts=(RECEIPTS.verifier,), log=(LOG.verifier,))


@dataclass
class Country:
    """The directory and the roots as a test wants them; implements `Directories`."""

    directory: Directory = field(default_factory=directory)
    trust: TrustStore | None = field(default_factory=trust)
    revocations: Revocations | None = None

    async def current(self) -> Directory:
        return self.directory

    async def world(self) -> World:
        source = await self.revocations.current() if self.revocations is not None else None
        return World(directory=self.directory, trust=self.trust, revocation=source, limits=Limits())


@dataclass
class Office:
    """Everything a test of the flow talks to."""

    ledger: SQLLedger
    blobs: FileBlobs
    clock: Ticking
    ids: Counting
    country: Country
    outbox: SQLOutbox
    pipeline: Pipeline
    holds: HoldKeeper
    desk: Desk
    gravedigger: Gravedigger
    replayer: Replayer
    sequencer: Sequencer

    @classmethod
    def open(
        cls,
        ledger: SQLLedger,
        folder: Path,
        *,
        first_id: int = 0,
        blobs: Callable[[FileBlobs], FileBlobs] = lambda one: one,
        outbox: Callable[[SQLOutbox], SQLOutbox] = lambda one: one,
        sequencer_ledger: SQLLedger | None = None,
        is_clock_real: bool = False,
    ) -> Office:
        """
        Wire an office on a ledger; several on one ledger are several processes of one axis.

        `blobs` and `outbox` may wrap those ports, to watch or to break them.
        """
        clock = Ticking(SystemClock().now() if is_clock_real else AT, is_real=is_clock_real)
        ids, country, bells = Counting(first_id), Country(), Bells()
        kept, waiting = blobs(FileBlobs(folder / "blobs")), outbox(SQLOutbox(ledger))
        seal = Seal(BatchReceiptSigner(RECEIPTS))
        pipeline = Pipeline(
            ledger=ledger,
            blobs=kept,
            uploads=SQLUploads(ledger, clock=clock),
            signer=seal,
            clock=clock,
            ids=ids,
            bells=bells,
            world=country.world,
        )
        holds = HoldKeeper(
            pipeline=pipeline,
            ledger=ledger,
            outbox=waiting,
            blobs=kept,
            directories=country,
            clock=clock,
            bells=bells,
        )
        desk = Desk(
            pipeline=pipeline,
            ledger=ledger,
            view=SQLStationView(ledger),
            log=SQLLogView(ledger),
            outbox=waiting,
            blobs=kept,
            directories=country,
            signer=seal,
            clock=clock,
            ids=ids,
            bells=bells,
            limits=DeskLimits(
                failures=Backoff(first=timedelta(seconds=30), longest=timedelta(minutes=8), tries=3)
            ),
        )
        return cls(
            ledger=ledger,
            blobs=kept,
            clock=clock,
            ids=ids,
            country=country,
            outbox=waiting,
            pipeline=pipeline,
            holds=holds,
            desk=desk,
            gravedigger=Gravedigger(
                ledger=ledger, blobs=kept, directories=country, clock=clock, ids=ids, bells=bells
            ),
            replayer=Replayer(
                pipeline=pipeline,
                holds=holds,
                ledger=ledger,
                blobs=kept,
                directories=country,
                clock=clock,
                ids=ids,
                bells=bells,
            ),
            sequencer=Sequencer(
                sequencer_ledger or ledger, clock=clock, signer=LOG, log="test.example/log", holder="test"
            ),
        )

    async def enrol_once(self) -> None:
        """The same, unless another process has done it."""
        if not await self.rows(t.station):
            await self.enrol()

    async def enrol(self) -> None:
        """Put the stations of the country into the ledger, as acts of persons would."""
        async with self.ledger.transaction() as tx:
            await tx.append(
                [
                    Event(
                        id=EventId(self.ids.new(AT)),
                        kind=EventKind.STATION_CHANGED,
                        at=AT,
                        by=Actor(person="test", reason="test"),
                        facts={
                            "after": {
                                "id": one.id,
                                "name": one.name,
                                "state": one.state.value,
                                "channel": one.channel.value,
                                "policy": one.policy.value,
                                "inline_bytes": one.inline_bytes,
                                "window": one.window,
                                "refuses_unpassed": one.refuses_unpassed,
                            },
                            "directory_version": self.country.directory.version,
                        },
                    )
                    for one in self.country.directory.stations.values()
                ]
            )

    async def admit(self, body: bytes, *, message_id: str | None = None, station: str = "vpcp") -> Answer:
        """Hand in one message; its id is new unless said otherwise."""
        name = message_id or f"m-{self.ids.new(AT)}"
        return (await self.admit_all([a_message(body, station=station, message_id=name)]))[0]

    async def admit_all(self, messages: Sequence[InboundMessage]) -> Sequence[Answer]:
        return await self.pipeline.admit(messages)

    async def inbox(self, station: str, *, limit: int = 100) -> Sequence[Consignment]:
        """List, and so hand over, what waits for a station."""
        return await self.desk.inbox(
            self.country.directory.stations[StationId(station)], limit=limit, at=self.clock.now()
        )

    async def say(self, station: str, outcome: Outcome, *deliveries: str, reason: str = "") -> None:
        """Say one thing of some deliveries."""
        await self.desk.say(
            self.country.directory.stations[StationId(station)],
            StationMessage(
                acks=tuple(
                    Ack(delivery=DeliveryId(one), outcome=outcome, reason=reason) for one in deliveries
                )
            ),
            message_id=f"a-{self.ids.new(AT)}",
            at=self.clock.now(),
        )

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        """All rows of a table."""
        async with self.ledger.reading() as connection:
            return [dict(row._mapping) for row in await connection.execute(select(table))]

    async def events(self, kind: str = "") -> list[Event]:
        """All events of a kind, in the order of their ids."""
        rows = await self.rows(t.event)
        found = [read_record(row["record"]) for row in sorted(rows, key=lambda row: row["id"])]
        return [one for one in found if one.kind.value.startswith(kind)]

    async def states(self) -> dict[str, DeliveryState]:
        """Where every delivery stands: code -> state."""
        return {row["code"]: DeliveryState(row["state"]) for row in await self.rows(t.delivery)}
