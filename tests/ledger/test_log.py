"""The log as anybody reads it: proofs that an offline reader believes, from few rows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from axis.core.errors import InvariantBroken, NotFound
from axis.core.model import EventId
from axis.ledger import tables as t
from axis.ledger.log import SQLLogView
from axis.ledger.sequencer import Sequencer
from axis.ledger.store import SQLLedger
from signing.merkle import verify_consistency
from signing.note import verify_checkpoint, verify_proof
from tests.ledger.builders import LOG, LOG_KEY, Clock, Story
from tests.ledger.test_sequencer import everything


async def _logged(ledger: SQLLedger, *sizes: int) -> list[dict[str, Any]]:
    """A log with a checkpoint at each of these sizes; its leaves."""
    story = Story(ledger)
    sequencer = Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one", batch=5)
    size = 0
    for wanted in sizes:
        while size < wanted:
            await story.tell(story.acceptance(to=(2,)).acceptance)
            size += 1
        while await sequencer.turn():
            pass
        await sequencer.sign_head()
    return await everything(ledger, t.leaf)


async def test_every_leaf_is_proved_against_the_newest_checkpoint(ledger: SQLLedger) -> None:
    """`tlog-proof@v1` for every leaf; the same one by one and all at once."""
    leaves = await _logged(ledger, 4, 11)
    view = SQLLogView(ledger)

    proofs = await view.proofs(range(len(leaves)))

    for leaf in leaves:
        index, checkpoint = verify_proof(proofs[leaf["idx"]], leaf=leaf["hash"], keys=[LOG_KEY.verifier])
        assert (leaf["idx"], 11) == (index, checkpoint.size)
        assert proofs[index] == await view.proof(index)


async def test_every_size_is_the_beginning_of_every_larger_one(ledger: SQLLedger) -> None:
    """Consistency proofs between all sizes, not only those of checkpoints."""
    leaves = await _logged(ledger, 9)
    view = SQLLogView(ledger)
    from signing.merkle import root_of

    roots = {size: root_of(leaf["hash"] for leaf in leaves[:size]) for size in range(1, 10)}
    for new in range(1, 10):
        for old in range(1, new + 1):
            proof = await view.consistency(old=old, new=new)
            verify_consistency(
                old=old,
                old_root=roots[old],
                new=new,
                new_root=roots[new],
                proof=[bytes.fromhex(one) for one in proof],
            )


@pytest.mark.parametrize(("old", "new"), [(0, 3), (-1, 3), (2, 1), (1, 4), (4, 4), (1, 1 << 70)])
async def test_there_is_no_proof_of_sizes_that_never_were(ledger: SQLLedger, old: int, new: int) -> None:
    """Neither of the empty log, nor backwards, nor beyond the end."""
    await _logged(ledger, 3)

    with pytest.raises(NotFound):
        await SQLLogView(ledger).consistency(old=old, new=new)


async def test_what_no_checkpoint_covers_has_no_proof_yet(ledger: SQLLedger) -> None:
    """Numbered is not signed."""
    story = Story(ledger)
    view = SQLLogView(ledger)
    assert await view.checkpoint() is None
    with pytest.raises(NotFound):
        await view.proof(0)
    await _logged(ledger, 2)
    await story.accepted()
    await Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one").turn()

    for index in (2, 3, -1, 1 << 70):
        with pytest.raises(NotFound):
            await view.proof(index)
    assert {0, 1} == set(await view.proofs([0, 1, 2, -1]))


async def test_the_newest_checkpoint_is_shown(ledger: SQLLedger) -> None:
    """A note anybody can verify."""
    await _logged(ledger, 2, 3)

    note = await SQLLogView(ledger).checkpoint()

    assert note is not None
    assert verify_checkpoint(note, keys=[LOG_KEY.verifier]).size == 3


async def test_an_event_has_an_index_once_it_is_numbered(ledger: SQLLedger) -> None:
    """None before; None for what is no event."""
    leaves = await _logged(ledger, 2)
    waiting = (await Story(ledger).accepted()).acceptance
    view = SQLLogView(ledger)

    assert [await view.index_of(EventId(leaf["event_id"])) for leaf in leaves] == [0, 1]
    assert await view.index_of(waiting.id) is None
    assert await view.index_of(EventId("\x00'; DROP TABLE leaf")) is None


async def test_a_proof_reads_few_rows(ledger: SQLLedger) -> None:
    """A constant number of statements, and no more rows than the tree is high, twice."""
    await _logged(ledger, 70)
    fetched: list[str] = []
    event.listen(ledger.engine.sync_engine, "before_cursor_execute", lambda *call: fetched.append(call[2]))

    await SQLLogView(ledger).proof(37)

    assert len([one for one in fetched if one.startswith("SELECT")]) <= 3


async def test_a_missing_hash_is_an_alarm_and_no_wrong_proof(ledger: SQLLedger) -> None:
    """The row that is gone is named."""
    await _logged(ledger, 8)
    async with ledger.engine.begin() as connection:
        await connection.execute(t.node.delete().where(t.node.c.level == 2, t.node.c.idx == 1))

    with pytest.raises(InvariantBroken, match="level 2, position 1"):
        await SQLLogView(ledger).proof(0)
