"""What every benchmark stands on: an axis on the servers it was given, a town of stations, and one shape of report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from axis.bench.figures import Figure
from axis.bench.machine import machine, versions
from axis.bench.town import Servers, Town, build_town, settings_for
from axis.bootstrap.broker import apply_topology
from axis.bootstrap.looks import look_at_broker
from axis.bootstrap.parts import Axis, open_axis

Say = Callable[[str], None]
"""Told what is going on, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """An axis under test, with everybody on it."""

    axis: Axis
    town: Town
    environ: dict[str, str]
    """What its processes are told."""
    is_embedded: bool
    servers: dict[str, str]
    """Versions of the servers it was given."""

    def report(self, figures: Sequence[Figure]) -> dict[str, Any]:
        """The object a benchmark prints with `--json`."""
        return {
            "machine": machine(),
            "versions": versions(self.servers),
            "keys": "RSA-2048, one signature a document (AX-1); receipts Ed25519, one signature a batch",
            "results": [one.as_json() for one in figures],
        }


@asynccontextmanager
async def open_ground(given: Servers, *, receivers: int, say: Say) -> AsyncIterator[Ground]:
    """An axis with its topology and so many receiving stations; closed at the end."""
    settings, environ = settings_for(given)
    servers: dict[str, str] = {}
    async with open_axis(settings, may_create=True) as axis:
        if not settings.is_embedded:
            servers["rabbitmq"] = await look_at_broker(settings)
            await apply_topology(settings, progress=say, say=lambda _, english: english)
        say("stations and keys")
        town = await build_town(axis, settings, receivers=receivers, advance=lambda: None)
        yield Ground(axis=axis, town=town, environ=environ, is_embedded=settings.is_embedded, servers=servers)
