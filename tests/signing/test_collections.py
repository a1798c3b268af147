"""Every XML document of signxml's own tests, fed to the verifier: no crash, no accept, no long thought."""

import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from signing.reasons import Tier
from signing.report import verify_files
from signing.verify import judge
from tests.signing.builders import AT, good, trust
from tests.signing.collections import collection

pytestmark = pytest.mark.timeout(240)

SLOWEST_MS = 100
"""Processor time that one file may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    name: str
    size: int
    tier: Tier
    milliseconds: float


@cache
def documents() -> tuple[Path, ...]:
    """XML of signers, of attackers, and certificates by the way; whatever a file is called, it is fed."""
    folder = collection("signxml") / "test"
    return tuple(sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"}))


@cache
def sweep() -> tuple[Swept, ...]:
    """Judge them all."""
    judge(good(), trust=trust(), at=AT)
    swept = []
    for path in documents():
        content = path.read_bytes()
        started = time.process_time()
        verdict = judge(content, trust=trust(), at=AT)
        elapsed = (time.process_time() - started) * 1000
        swept.append(Swept(name=path.name, size=len(content), tier=verdict.tier, milliseconds=elapsed))
    return tuple(swept)


def test_no_foreign_document_passes() -> None:
    """They are signed by others, badly, or by attackers; none is an edXML message of ours."""
    tiers = Counter(one.tier for one in sweep())

    assert len(sweep()) > 150
    assert tiers[Tier.PASSED] == tiers[Tier.INDETERMINATE] == 0


def test_no_foreign_document_takes_long() -> None:
    """Entity bombs, thousands of references, deep nesting among them."""
    assert [one for one in sweep() if one.milliseconds > SLOWEST_MS] == []


def test_no_foreign_document_costs_memory() -> None:
    """What Python allocates stays within a few times the largest file."""
    tracemalloc.start()
    try:
        for path in documents():
            judge(path.read_bytes(), trust=trust(), at=AT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 30 * 1024 * 1024


def test_the_report_takes_any_file() -> None:
    """`axis verify` on all of them at once."""
    rows = verify_files(documents(), trust=trust(), at=AT)

    assert {row["verdict"] for row in rows} <= {"failed", "legacy", "unsigned"}
