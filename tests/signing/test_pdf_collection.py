"""The PDFs of pyHanko's own tests, malformed and forged ones among them: no crash, no accept, no long thought."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from signing.pdf import OURS, PdfJudge, PdfReason, PdfReport
from tests.signing.builders import AT, trust
from tests.signing.collections import collection

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

SLOWEST_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    name: str
    report: PdfReport
    seconds: float


@pytest.fixture(scope="module")
def judge() -> Iterator[PdfJudge]:
    with PdfJudge(trust=trust()) as judge:
        judge.judge(b"warm up", at=AT)
        yield judge


@pytest.fixture(scope="module")
def swept(judge: PdfJudge) -> list[Swept]:
    files = sorted(p for p in collection("pyHanko").rglob("*.pdf"))
    return [judge_one(judge, path) for path in files]


def judge_one(judge: PdfJudge, path: Path) -> Swept:
    """The best of three tries where others keep the machine busy."""
    seconds, report = 1e9, PdfReport(reason=PdfReason.CRASH)
    for _ in range(3):
        started = time.monotonic()
        report = judge.judge(path, at=AT)
        seconds = min(seconds, time.monotonic() - started)
        if seconds < SLOWEST_SECONDS:
            break
    return Swept(name=path.name, report=report, seconds=seconds)


def test_no_file_crashes_its_judge(swept: list[Swept]) -> None:
    """Not one of a hundred and thirty is a fault of ours."""
    assert len(swept) > 120
    assert [one.name for one in swept if one.report.reason in OURS] == []


def test_no_file_is_accepted(swept: list[Swept]) -> None:
    """Nobody there is certified under our root; many of the signatures are intact."""
    signatures = [signature for one in swept for signature in one.report.signatures]

    assert [one.name for one in swept if one.report.reason is PdfReason.PASSED] == []
    assert [s.field for s in signatures if s.is_trusted] == []
    assert Counter(s.is_intact for s in signatures)[True] > 40


def test_no_file_takes_long(swept: list[Swept]) -> None:
    """Five seconds at most, the fork included."""
    assert [(one.name, one.seconds) for one in swept if one.seconds > SLOWEST_SECONDS] == []
