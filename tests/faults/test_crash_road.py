"""
Killed at every step of the road, restarted on the same stores: nothing lost, nothing doubled, counts conserved.

The road is walked once to count its moments (before and after every call of a port, before and after every commit).
Then it is walked once per moment and killed there, and walked again to its end, as stations and brokers do.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.store import SQLLedger, open_engine
from tests.faults.children import Zygote, stride
from tests.flow.office import LOG, Office
from tests.services.template import migrate

_LATER_MINUTES = 60


class _Stage:
    """One database file and one folder of payloads for each walk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._template = root / "template.db"
        migrate(f"sqlite+aiosqlite:///{self._template}")
        self._count = 0

    def fresh(self) -> tuple[str, Path]:
        self._count += 1
        folder = self._root / f"walk-{self._count}"
        folder.mkdir()
        shutil.copyfile(self._template, folder / "ledger.db")
        return f"sqlite+aiosqlite:///{folder / 'ledger.db'}", folder


def _walk(
    zygote: Zygote, url: str, folder: Path, *, kill_at: int | None, again: int = 0, run: str = "road"
) -> int:
    return zygote.run(
        run,
        url=url,
        folder=str(folder),
        log=str(folder / "log"),
        first_id=1_000_000 * again,
        kill_at=kill_at,
        moments=str(folder / "moments"),
        later_minutes=_LATER_MINUTES * again,
    )


async def _account(url: str, folder: Path, *, what: str) -> None:
    """The state every walk must end in, wherever it was killed."""
    ledger = SQLLedger(open_engine(url))
    office = Office.open(ledger, folder)
    submissions = Counter(row["state"] for row in await office.rows(t.submission))
    documents = Counter(row["kind"] for row in await office.rows(t.document))
    deliveries = await office.rows(t.delivery)
    checked = await check(ledger, keys=[LOG.verifier])
    await ledger.engine.dispose()

    assert submissions == {"accepted": 3, "refused": 1}, what
    assert documents == {"edoc": 2, "status": 1}, what
    assert {row["state"] for row in deliveries} == {"acknowledged"}, what
    assert len(deliveries) == 4, what
    seen = {
        line
        for station in ("ha-noi", "bo-tttt")
        for line in (folder / f"{station}.seen").read_text().splitlines()
    }
    assert seen == {row["id"] for row in deliveries if row["kind"] == "edoc"}, what
    assert checked.ok, (what, checked.problems)
    assert checked.numbered == checked.events, what


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_every_moment_of_the_road_on_sqlite(tmp_path: Path) -> None:
    stage = _Stage(tmp_path)
    with Zygote() as zygote:
        url, folder = stage.fresh()
        assert _walk(zygote, url, folder, kill_at=None) == 0, (folder / "log").read_text()
        moments = json.loads((folder / "moments").read_text())
        asyncio.run(_account(url, folder, what="not killed"))
        assert len(moments) > 60, "the road has become shorter than its own steps"
        every, first = stride(3)
        for number, moment in list(enumerate(moments, start=1))[first::every]:
            url, folder = stage.fresh()
            ended = _walk(zygote, url, folder, kill_at=number)
            assert ended == -signal.SIGKILL, (number, moment, (folder / "log").read_text())
            assert (folder / "moments").read_text() == moment
            # As everybody does after a crash: send again, list again, say again.
            for again in (1, 2) if number % 20 == 0 else (1,):
                assert _walk(zygote, url, folder, kill_at=None, again=again) == 0, (
                    folder / "log"
                ).read_text()
            asyncio.run(_account(url, folder, what=f"killed at {number}: {moment}"))
            shutil.rmtree(folder)
    print(f"{len(moments)} moments, every {every} from {first + 1}: {Counter(moments)}")
