"""
How fast one process judges and records, with nothing on the wire: batches of packages handed straight to the desk.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Final

from axis.bench.figures import Figure
from axis.bench.machine import busy_ms
from axis.bench.processes import BenchFailed
from axis.bench.town import Profile, Town
from axis.bootstrap.parts import Axis
from axis.core.model import Lane, SubmissionState
from axis.core.ports import InboundMessage

_BATCH: Final = 64


async def measure_admission(
    town: Town, axis: Axis, profile: Profile, *, batch: Sequence[tuple[str, bytes]]
) -> Figure:
    """Judge, record and receipt these; deliveries stay in the ledger."""
    at = axis.clock.now()
    messages = [
        InboundMessage(
            station=town.credentials[code].station,
            message_id=axis.ids.new(at),
            body=body,
            lane=Lane.NORMAL,
            received_at=at,
        )
        for code, body in batch
    ]
    began, everything = perf_counter(), busy_ms()
    for start in range(0, len(messages), _BATCH):
        for answer in await axis.desk.admit(messages[start : start + _BATCH]):
            if answer.state is not SubmissionState.ACCEPTED:
                raise BenchFailed(f"{answer.state}: {answer.headline_en}")
    seconds = perf_counter() - began
    return Figure(
        name="admission",
        profile=profile.name,
        fanout=profile.fanout,
        documents=len(messages),
        documents_per_s=len(messages) / seconds,
        cpu_ms_per_document=(busy_ms() - everything) / len(messages),
    )
