"""
Two agencies that speak through folders, and a real axis: what lies in the folders confirms the axis's statements.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from axis.core.exchange import dump, receipt_json
from axis.core.model import VIETNAM
from axis.demo.letters import Agency, status
from axis.edxml.message import Edoc, StatusCode
from axis.edxml.reader import read_package
from axis.ledger.queries import Queries
from axis.ledger.reconcile import Difference, compare, read_kept, read_statement
from axis.ledger.scope import Viewer
from axis.ledger.statement import statement_bytes
from tests.adapters.contract import until
from tests.adapters.real import RealAxis, real_axis
from tests.adapters.test_folder import names, served
from tests.adapters.test_real import RECEIVER, SENDER, letter


async def _reconciled(real: RealAxis, code: str, folder: Path) -> tuple[dict[str, Any], list[Difference]]:
    """The statement of this month and what its agency's folder says against it."""
    axis = real.axis
    queries = Queries(axis.ledger, viewer=Viewer(name="test"), clock=axis.clock, ids=axis.ids)
    await queries.settle_counts()
    month = axis.clock.now().astimezone(VIETNAM).strftime("%Y-%m")
    found = await queries.statement(await queries.organ(code), month, log=axis.settings.log_name)
    signed = dump(receipt_json(axis.seal.sign([statement_bytes(found)])[0])).decode()
    statement = read_statement(signed, keys=real.trusted)
    kept = await asyncio.to_thread(read_kept, folder, statement, keys=real.trusted)
    return dict(statement["counts"]), compare(statement, kept)


def _told_of(folder: Path) -> int:
    """How many deliveries the sender heard were taken."""
    kinds = [json.loads(path.read_bytes())["kind"] for path in (folder / "events").glob("*.json")]
    return kinds.count("delivery.acknowledged")


@pytest.mark.requirement("LR-45")
async def test_what_folders_keep_confirms_the_statements(tmp_path: Path) -> None:
    """Sent, refused, received and registered, on both sides to the unit; and a paper that is lost is missed."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    async with real_axis(tmp_path / "axis") as real:
        await real.import_organs(SENDER, RECEIVER)
        first = real.station(await real.add_station("bo-noi-vu", [SENDER]))
        second = real.station(await real.add_station("ben-nhan", [RECEIVER]))
        async with served(first, ours), served(second, theirs):
            for number in (1, 2):
                (ours / "out" / f"{number}.edxml").write_bytes(letter(number))
            (ours / "out" / "broken.edxml").write_bytes(letter(3)[:-200])
            await until(lambda: len(list((theirs / "in").glob("*.edxml"))) == 2)
            path, *_ = sorted((theirs / "in").glob("*.edxml"))
            answered = read_package(path.read_bytes()).message
            assert isinstance(answered, Edoc)
            said = status(
                StatusCode.REGISTERED,
                sender=Agency(code=RECEIVER, name="Bên nhận"),
                answered=answered,
                at=real.axis.clock.now(),
            )
            (theirs / "out" / "03.edxml").write_bytes(said)
            await until(lambda: "03.edxml" in names(theirs / "sent") and len(names(ours / "refused")) == 2)
            # What was taken is acknowledged behind its file: the sender is told of both.
            await until(lambda: _told_of(ours) >= 2)

            counts, differences = await _reconciled(real, SENDER, ours)
            assert (counts["sent"], differences) == (2, [])
            counts, differences = await _reconciled(real, RECEIVER, theirs)
            assert [counts[one] for one in ("addressed", "received", "registered")] == [2, 2, 1]
            assert differences == []

            lost = theirs / "sent" / "03.edxml.answer.json"
            assert json.loads(lost.read_bytes())["state"] == "accepted"
            lost.unlink()
            path.with_suffix(".report.json").unlink()
            _, differences = await _reconciled(real, RECEIVER, theirs)
            assert [one.where.partition(" ")[0] for one in differences] == ["received_from", "registered"]
