"""A real embedded axis (`axis up`) in this process, with organs and stations a test asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from adapters.over_http import HTTPLimits
from adapters.station import Credentials, Station
from axis import worker
from axis.bootstrap.parts import Axis, open_axis
from axis.core.model import Actor, Channel, SignaturePolicy, StationId
from axis.core.retry import Backoff
from axis.demo.pki import PKI, KeyShelf
from axis.flow.acts import NewStation
from axis.flow.organ_import import OrganRow
from axis.settings import Settings, read_settings
from signing.receipts import TrustedKeys

OPERATOR = Actor(person="test", reason="kiểm thử")
FAILURES = Backoff(first=timedelta(milliseconds=100), longest=timedelta(milliseconds=200), tries=5)
"""The schedule of deliveries a receiver fails to take, as quick as a test needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealAxis:
    """What a test needs of it."""

    url: str
    axis: Axis

    @property
    def trusted(self) -> TrustedKeys:
        return self.axis.keys.trusted

    async def import_organs(self, *codes: str) -> None:
        """Organs of these codes, each on its own."""
        rows = [OrganRow(code=code, name=f"Đơn vị {code}", kind="unit") for code in codes]
        await self.axis.acts().import_organs(rows, by=OPERATOR, with_assumed=True, source="test")

    async def add_station(
        self,
        name: str,
        codes: Sequence[str],
        *,
        policy: SignaturePolicy = SignaturePolicy.LABELLED,
    ) -> Credentials:
        """A station that speaks for these organs."""
        made = await self.axis.acts().add_station(
            NewStation(
                id=StationId(name), name=name, organs=tuple(codes), channel=Channel.PULL, policy=policy
            ),
            by=OPERATOR,
        )
        return Credentials(station=made.station, key=made.key, queue_secret=made.queue_secret)

    def station(self, credentials: Credentials, *, state: Path | None = None) -> Station:
        """Its client, not open yet."""
        return Station(
            self.url,
            credentials,
            state=state,
            trusted=self.trusted,
            http_limits=HTTPLimits(connect_seconds=2, answer_seconds=10, wait_seconds=1),
        )


def _settings(home: Path, trust: bytes | None) -> Settings:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "trust.pem").write_bytes(trust or _trust_pem())
    return read_settings(
        {"AXIS_HOME": str(home), "AXIS_HTTP_PORT": "0", "AXIS_TRUST": str(home / "trust.pem")}
    )


@cache
def _trust_pem() -> bytes:
    """Roots nobody here signs under: without any the axis cannot tell what a signature is worth, and holds."""
    now = datetime.now(UTC)
    pki = PKI.build(
        not_before=now - timedelta(days=30), not_after=now + timedelta(days=365), shelf=KeyShelf(distinct=2)
    )
    return pki.trust_pem


@asynccontextmanager
async def real_axis(home: Path, *, trust: bytes | None = None) -> AsyncIterator[RealAxis]:
    """An axis of its own in `home`, which trusts the roots `trust` (PEM)."""
    settings = _settings(home, trust)
    stop = asyncio.Event()
    addresses: asyncio.Queue[str] = asyncio.Queue()
    async with open_axis(settings, may_create=True, failures=FAILURES) as axis:
        running = asyncio.ensure_future(
            worker.up(settings, stop=stop, ready=addresses.put_nowait, failures=FAILURES)
        )
        try:
            address = asyncio.ensure_future(addresses.get())
            await asyncio.wait({running, address}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            yield RealAxis(url=await address, axis=axis)
        finally:
            stop.set()
            await running
