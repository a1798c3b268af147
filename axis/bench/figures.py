"""
What a benchmark found: one `Figure` a row, the same for a terminal, for JSON and for a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Of a hundred documents 50, 95 and 99 took no longer than this; milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement. What was not measured is None."""

    name: str
    """
    `hop`: the floor; `axis`: the whole way; `admission`: judged and recorded in one process, no wire; `value`:
    until the sender is told what the signed files are worth.
    """
    profile: str
    """Size of the attachments of one document, and what is special about it."""
    fanout: int
    """Receiving stations of one document."""
    documents: int
    documents_per_s: float | None = None
    cpu_ms_per_document: float | None = None
    """Processor time of everything on the machine, broker, database and stations too."""
    cpu_ms: Mapping[str, float] = field(default_factory=dict)
    """The same by part, in milliseconds a document."""
    times: Times | None = None
    """From handing in to the complete, checked bytes in a receiver's hands, or to the word of the legal value."""
    ratio_to_hop: float | None = None
    """Documents a second against the floor of the same bytes in the same run; None when the floor was too slow."""
    load: str = "full"
    """`full`: as much as it takes; else the rate it was offered."""
    hubs: int = 1
    note: str = ""

    @property
    def deliveries_per_s(self) -> float | None:
        """Copies in receivers' hands a second."""
        return None if self.documents_per_s is None else self.documents_per_s * self.fanout

    def as_json(self) -> dict[str, Any]:
        """With every member, in the order of the fields."""
        times = self.times
        return {
            "name": self.name,
            "profile": self.profile,
            "fanout": self.fanout,
            "load": self.load,
            "hubs": self.hubs,
            "documents": self.documents,
            "documents_per_s": _rounded(self.documents_per_s),
            "deliveries_per_s": _rounded(self.deliveries_per_s),
            "cpu_ms_per_document": _rounded(self.cpu_ms_per_document, 2),
            "cpu_ms": {part: round(value, 2) for part, value in self.cpu_ms.items()},
            "p50_ms": _rounded(times.p50_ms if times else None),
            "p95_ms": _rounded(times.p95_ms if times else None),
            "p99_ms": _rounded(times.p99_ms if times else None),
            "ratio_to_hop": _rounded(self.ratio_to_hop, 2),
            "note": self.note,
        }


def percentiles(seconds: Sequence[float]) -> Times | None:
    """By nearest rank; None for none."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    p50, p95, p99 = (
        ordered[min(len(ordered) - 1, len(ordered) * rank // 100)] * 1000 for rank in (50, 95, 99)
    )
    return Times(p50_ms=p50, p95_ms=p95, p99_ms=p99)


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
