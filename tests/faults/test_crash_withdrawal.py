"""
Killed at every step of a recall: nobody keeps what its sender was told is withdrawn, nobody is forgotten, nobody is asked
twice, and the sender is told once how it ended.

One receiver has the document registered, one has its bytes and has not said so, one lists it while the recall is judged,
and one has seen nothing. Walked as in `test_crash_road`: once to count, then once per moment with a kill there, and again
to its end.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from axis.core.events import EventKind
from axis.core.model import BusinessType, StationId
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.station_view import SQLStationView
from axis.ledger.store import SQLLedger, open_engine
from tests.faults.children import Zygote, stride
from tests.faults.test_crash_road import _Stage, _walk
from tests.flow.office import LOG, Office
from tests.flow.town import HANOI, NV, QP, TTTT


async def _account(url: str, folder: Path, *, what: str) -> None:
    """The state every walk must end in, wherever it was killed."""
    ledger = SQLLedger(open_engine(url))
    office = Office.open(ledger, folder)
    submissions = Counter(row["state"] for row in await office.rows(t.submission))
    documents = {row["business_type"]: row for row in await office.rows(t.document) if row["kind"] == "edoc"}
    rows = [row for row in await office.rows(t.delivery) if row["kind"] == "edoc"]
    events = await office.events()
    feed = await SQLStationView(ledger).feed(StationId("vpcp"), after=-1, limit=500)
    checked = await check(ledger, keys=[LOG.verifier])
    await ledger.engine.dispose()

    assert submissions == {"accepted": 4}, what
    letter, recall = documents[BusinessType.NEW], documents[BusinessType.RECALL]
    stands = {
        row["code"]: (row["state"], row["request"]) for row in rows if row["document_key"] == letter["id"]
    }
    # Killed before it said "done", it counts as lost at the station that fetched it; the answer is owed all the same.
    assert stands.pop(NV.code) in {("acknowledged", "agreed"), ("withdrawn", "agreed")}, what
    assert stands == {
        HANOI.code: ("acknowledged", "agreed"),
        TTTT.code: ("withdrawn", "none"),
        QP.code: ("withdrawn", "none"),
    }, what
    asked = sorted((row["code"], row["state"]) for row in rows if row["document_key"] == recall["id"])
    assert asked == [(NV.code, "acknowledged"), (HANOI.code, "acknowledged")], what
    assert (letter["state"], recall["state"]) == ("recalled", "in_force"), what
    closed = [event for event in events if event.kind is EventKind.DOCUMENT_RECALL_CLOSED]
    assert len(closed) == 1, what
    over = [row for row in rows if row["state"] == "withdrawn"]
    withdrawn = [
        one for event in events if event.kind is EventKind.DELIVERY_WITHDRAWN for one in event.deliveries
    ]
    assert sorted(withdrawn) == sorted(row["id"] for row in over), what
    # What a DMS has is what the axis says was taken or asks an answer for, never what it says nobody has.
    unseen = {row["id"] for row in over if row["request"] == "none"}
    seen = [(folder / f"{station}.seen").read_text().split() for station in ("ha-noi", "bo-nv")]
    assert {one for ids in seen for one in ids} == {row["id"] for row in rows} - unseen, what
    assert not (folder / "bo-tttt.seen").exists(), what
    assert not (folder / "bo-qp.seen").exists(), what
    kinds = Counter(json.loads(entry.record)["kind"] for entry in feed)
    assert (kinds["document.recall_closed"], kinds["delivery.withdrawn"]) == (1, len(over)), what
    assert checked.ok, (what, checked.problems)
    assert checked.numbered == checked.events, what


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.requirement("LR-22")
def test_killed_at_every_moment_of_a_recall(tmp_path: Path) -> None:
    stage = _Stage(tmp_path)
    with Zygote() as zygote:
        url, folder = stage.fresh()
        assert _walk(zygote, url, folder, kill_at=None, run="withdrawal") == 0, (folder / "log").read_text()
        moments = json.loads((folder / "moments").read_text())
        asyncio.run(_account(url, folder, what="not killed"))
        assert len(moments) > 150, "the recall has become shorter than its own steps"
        every, first = stride(16)
        for number, moment in list(enumerate(moments, start=1))[first::every]:
            url, folder = stage.fresh()
            ended = _walk(zygote, url, folder, kill_at=number, run="withdrawal")
            assert ended == -signal.SIGKILL, (number, moment, (folder / "log").read_text())
            assert (folder / "moments").read_text() == moment
            for again in (1, 2) if number % 20 == 0 else (1,):
                ended = _walk(zygote, url, folder, kill_at=None, again=again, run="withdrawal")
                assert ended == 0, (number, moment, (folder / "log").read_text())
            asyncio.run(_account(url, folder, what=f"killed at {number}: {moment}"))
            shutil.rmtree(folder)
    print(f"{len(moments)} moments, every {every} from {first + 1}: {Counter(moments)}")
