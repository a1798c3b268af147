"""The sequencer: every event gets one number, in an order that has its cause, whatever happens to whoever gives it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from axis.core.errors import InvariantBroken, ServiceUnavailable
from axis.core.events import EventKind, read_record
from axis.core.lifecycle import DeliveryStep
from axis.ledger import tables as t
from axis.ledger.counts import fold
from axis.ledger.log import root_at
from axis.ledger.seals import HistoryBroken, SealFile, begin_epoch
from axis.ledger.sequencer import Sequencer
from axis.ledger.store import SQLLedger
from signing.merkle import root_of
from signing.note import Checkpoint, SigningKey, sign_note, verify_checkpoint
from tests.ledger.builders import LOG, LOG_KEY, Clock, Ids, Story, until


def a_sequencer(ledger: SQLLedger, **how: Any) -> Sequencer:
    return Sequencer(ledger, **{"clock": Clock(), "signer": LOG_KEY, "log": LOG, "holder": "one", **how})


async def everything(ledger: SQLLedger, table: Any) -> list[dict[str, Any]]:
    async with ledger.reading() as connection:
        rows = await connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in rows]


async def assert_one_number_each(ledger: SQLLedger) -> list[bytes]:
    """Every event has exactly one number, without gaps, behind its previous; the head says so; nothing waits."""
    events = {row["id"]: row for row in await everything(ledger, t.event)}
    leaves = await everything(ledger, t.leaf)
    (head,) = await everything(ledger, t.log_head)
    assert list(range(len(events))) == [row["idx"] for row in leaves]
    assert sorted(events) == sorted(row["event_id"] for row in leaves)
    assert await everything(ledger, t.pending_leaf) == []
    hashes = [row["hash"] for row in leaves]
    assert hashes == [events[row["event_id"]]["hash"] for row in leaves]
    assert (len(events), root_of(hashes)) == (head["size"], head["root"])
    seen: set[str] = set()
    for row in leaves:
        previous = read_record(events[row["event_id"]]["record"]).previous
        assert previous is None or previous in seen
        seen.add(row["hash"].hex())
    counted: Counter[tuple[Any, ...]] = Counter()
    for row in events.values():
        for one in fold(read_record(row["record"])):
            counted[one.day, one.sender, one.receiver, one.business_type, one.urgency, one.metric.value] += (
                one.n
            )
    assert dict(counted) == {tuple(row.values())[:6]: row["n"] for row in await everything(ledger, t.tally)}
    return hashes


async def a_busy_day(story: Story) -> None:
    """All kinds of events, with lives that are told in one transaction and in many."""
    await story.organs({1: None, 2: 1, 3: 1})
    sent = await story.accepted(to=(2, 3), not_connected={9})
    await story.taken(sent)
    await story.answered(sent, 2)
    other = story.acceptance(to=(2, 3))
    await story.tell(other.acceptance, *story.step(other, DeliveryStep.HAND_OVER))
    await story.stepped(other, DeliveryStep.FAIL, organs=[2])
    await story.stepped(other, DeliveryStep.REPLAY, organs=[2])
    await story.refused()
    held = await story.held(claim="key")
    await story.refused(after_hold=held)
    await story.valued(sent)


# --- numbers


async def test_every_event_gets_one_number_in_the_order_it_was_written(ledger: SQLLedger) -> None:
    """Batches that end anywhere: the same log."""
    story = Story(ledger)
    await a_busy_day(story)
    waiting = [row["event_id"] for row in await everything(ledger, t.pending_leaf)]
    sequencer = a_sequencer(ledger, batch=3)

    numbered = [await sequencer.turn() for _ in range(len(waiting) // 3 + 2)]

    assert sum(numbered) == len(waiting)
    assert numbered[-1] == 0
    assert waiting == [row["event_id"] for row in await everything(ledger, t.leaf)]
    await assert_one_number_each(ledger)


async def test_the_hashes_of_every_complete_subtree_are_kept(ledger: SQLLedger) -> None:
    """So that the root of every size that ever was can be told from few rows."""
    story = Story(ledger)
    await a_busy_day(story)
    sequencer = a_sequencer(ledger, batch=2)
    while await sequencer.turn():
        pass

    hashes = await assert_one_number_each(ledger)

    async with ledger.reading() as connection:
        for size in range(1, len(hashes) + 1):
            assert await root_at(connection, size) == root_of(hashes[:size])


async def test_stations_are_told_in_the_order_of_the_log(ledger: SQLLedger) -> None:
    """A feed row for every station an event names, and none else."""
    story = Story(ledger)
    sent = await story.accepted(to=(2,))
    (taken,) = await story.stepped(sent, DeliveryStep.ACKNOWLEDGE)
    await a_sequencer(ledger).turn()

    assert [{"station_id": "station-1", "idx": 1, "year": 2026, "event_id": taken.id}] == (
        await everything(ledger, t.feed)
    )


async def test_a_late_transaction_is_numbered_late(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """It has a lower place in the queue than what committed before it: nothing is lost and nothing waits for it."""
    story = Story(ledger)
    # Of two pairs of organs: within one pair numbers have no gaps, so the later of two waits for the earlier.
    late, early = story.acceptance(to=(2,)), story.acceptance(to=(3,))
    sequencer = a_sequencer(other_ledger)
    if ledger.engine.dialect.name == "sqlite":
        # One writer at a time: who writes late is late.
        await story.tell(early.acceptance)
        assert await sequencer.turn() == 1
        await story.tell(late.acceptance)
    else:
        async with ledger.transaction() as tx:
            await tx.append([late.acceptance])
            await story.tell(early.acceptance)
            assert await sequencer.turn() == 1

    assert await sequencer.turn() == 1

    assert [early.acceptance.id, late.acceptance.id] == [
        row["event_id"] for row in await everything(ledger, t.leaf)
    ]
    await assert_one_number_each(ledger)


async def test_many_writers_and_two_sequencers(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """Two sequencers by mistake, without a lease, on connections of their own, while lives go on: no gap, no fork."""
    stories = [Story(ledger if number % 2 else other_ledger, ids=Ids(f"{number}")) for number in range(4)]
    written = asyncio.Event()
    sequencers = [
        a_sequencer(one, holder=name, batch=5, lease=timedelta(microseconds=1))
        for one, name in ((ledger, "one"), (other_ledger, "two"))
    ]

    async def number(sequencer: Sequencer) -> int:
        total = 0
        while True:
            is_last = written.is_set()
            numbered = await sequencer.turn()
            total += numbered
            if is_last and not numbered:
                return total

    async def write() -> None:
        await asyncio.gather(*(a_busy_day(story) for story in stories))
        written.set()

    writing = asyncio.create_task(write())
    numbered = await asyncio.gather(*(number(one) for one in sequencers))
    await writing

    assert sum(numbered) == len(await everything(ledger, t.leaf))
    await assert_one_number_each(ledger)


async def test_whoever_has_the_lease_works_alone(ledger: SQLLedger) -> None:
    """The other one leaves it to them until the lease is over."""
    story, clock = Story(ledger), Clock()
    one = a_sequencer(ledger, clock=clock, holder="one")
    two = a_sequencer(ledger, clock=clock, holder="two")
    await story.accepted()
    assert await one.turn() == 1
    await story.accepted()

    assert await two.turn() == 0
    assert await two.sign_head() is None
    clock.move(seconds=11)
    assert await two.turn() == 1
    assert await one.turn() == 0

    await assert_one_number_each(ledger)


# --- records that were changed


@pytest.mark.parametrize("column", ["record", "hash", "gone"])
async def test_a_record_changed_before_it_was_numbered_stops_the_log(ledger: SQLLedger, column: str) -> None:
    """Nothing is numbered over it."""
    story = Story(ledger)
    first = (await story.accepted()).acceptance
    await drop_triggers(ledger)
    change = {
        "record": f"UPDATE event SET record = record || :one WHERE id = '{first.id}'",
        "hash": f"UPDATE event SET hash = :one WHERE id = '{first.id}'",
        "gone": f"DELETE FROM event WHERE id = '{first.id}' AND hash <> :one",
    }[column]
    async with ledger.engine.begin() as connection:
        await connection.execute(text(change), {"one": b" " * (1 if column == "record" else 32)})

    with pytest.raises(InvariantBroken, match=first.id):
        await a_sequencer(ledger).turn()

    assert await everything(ledger, t.leaf) == []


async def drop_triggers(ledger: SQLLedger) -> None:
    """What an attacker with the rights of the database's owner does first."""
    async with ledger.engine.begin() as connection:
        if ledger.engine.dialect.name == "postgresql":
            for table in t.APPEND_ONLY:
                await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            for partition in ("event_2026", "event_other"):
                await connection.execute(text(f"ALTER TABLE {partition} DISABLE TRIGGER ALL"))
        else:
            names = await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            for name in names.scalars().all():
                await connection.execute(text(f"DROP TRIGGER {name}"))


# --- signing


async def test_a_head_is_signed_once(ledger: SQLLedger) -> None:
    """Under its size; the note says the committed root; another sequencer with the key finds it done."""
    story = Story(ledger)
    await a_busy_day(story)
    sequencer = a_sequencer(ledger)
    assert await sequencer.sign_head() is None
    await sequencer.turn()

    signed = await sequencer.sign_head()

    assert signed is not None
    assert await sequencer.sign_head() is None
    (row,) = await everything(ledger, t.checkpoint)
    assert verify_checkpoint(row["note"], keys=[LOG_KEY.verifier]) == signed
    hashes = await assert_one_number_each(ledger)
    assert signed == Checkpoint(origin=LOG, size=len(hashes), root=root_of(hashes))
    assert (row["size"], row["root"], row["epoch"]) == (signed.size, signed.root, 1)


async def test_two_that_sign_one_size_sign_the_same(ledger: SQLLedger, other_ledger: SQLLedger) -> None:
    """Both read the head before either stored the note: one note, and both know it."""
    story = Story(ledger)
    await story.accepted()
    one, two = a_sequencer(ledger), a_sequencer(other_ledger)
    await one.turn()

    signed = await asyncio.gather(one.sign_head(), two.sign_head())

    assert len([one for one in signed if one is not None]) >= 1
    assert len(await everything(ledger, t.checkpoint)) == 1


async def test_another_head_of_one_size_is_never_signed(ledger: SQLLedger) -> None:
    """A stored note of the same size with another root stops the sequencer instead of being replaced."""
    story = Story(ledger)
    await story.accepted()
    sequencer = a_sequencer(ledger)
    await sequencer.turn()
    other = Checkpoint(origin=LOG, size=1, root=bytes(32))
    async with ledger.engine.begin() as connection:
        row = {"size": 1, "epoch": 1, "root": other.root, "note": sign_note(other.text, signers=[LOG_KEY])}
        await connection.execute(t.checkpoint.insert(), row)

    with pytest.raises(HistoryBroken):
        await sequencer.examine()
    await story.accepted()
    await sequencer.turn()
    async with ledger.engine.begin() as connection:
        row = {"size": 2, "epoch": 1, "root": other.root, "note": row["note"]}
        await connection.execute(t.checkpoint.insert(), row)
    assert await sequencer.sign_head() is None


async def test_the_key_must_be_the_logs(ledger: SQLLedger) -> None:
    """What another key signs would be believed by nobody."""
    other = SigningKey.from_seed("another.example", seed=bytes(32))

    with pytest.raises(ValueError, match="another"):
        a_sequencer(ledger, signer=other)


# --- before the start


async def test_a_log_older_than_what_was_signed_does_not_start(ledger: SQLLedger, tmp_path: Path) -> None:
    """Restored from a backup: the head beside the database knows better, and the message says what to do."""
    story, seals = Story(ledger), SealFile(tmp_path / "head")
    await story.accepted()
    sequencer = a_sequencer(ledger, seals=seals)
    await sequencer.turn()
    await sequencer.sign_head()
    await sequencer.examine()
    longer = Checkpoint(origin=LOG, size=9, root=bytes(32))
    await seals.keep(sign_note(longer.text, signers=[LOG_KEY]))

    with pytest.raises(HistoryBroken, match="new-epoch") as caught:
        await a_sequencer(ledger, seals=seals).run(asyncio.Event())

    assert caught.value.signed == longer
    assert "bản sao cũ" in caught.value.vi
    assert "new-epoch" in caught.value.vi
    assert len(await everything(ledger, t.leaf)) == 1


async def test_a_log_that_is_shorter_than_its_own_checkpoint_does_not_start(ledger: SQLLedger) -> None:
    """Rows of the log were lost, its checkpoints not."""
    story = Story(ledger)
    await story.accepted()
    sequencer = a_sequencer(ledger)
    await sequencer.turn()
    longer = Checkpoint(origin=LOG, size=2, root=bytes(32))
    async with ledger.engine.begin() as connection:
        row = {"size": 2, "epoch": 1, "root": longer.root, "note": sign_note(longer.text, signers=[LOG_KEY])}
        await connection.execute(t.checkpoint.insert(), row)

    with pytest.raises(HistoryBroken, match="older"):
        await sequencer.examine()
    with pytest.raises(HistoryBroken):
        await sequencer.sign_head()


async def test_a_rewritten_log_does_not_start(ledger: SQLLedger, tmp_path: Path) -> None:
    """Same length, other records: the head that was kept outside does not fit."""
    story, seals = Story(ledger), SealFile(tmp_path / "head")
    await story.accepted()
    await a_sequencer(ledger).turn()
    other = Checkpoint(origin=LOG, size=1, root=bytes(32))
    await seals.keep(sign_note(other.text, signers=[LOG_KEY]))

    with pytest.raises(HistoryBroken, match="not those that were signed"):
        await a_sequencer(ledger, seals=seals).examine()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log_head SET size = 0",
        "UPDATE log_head SET size = size + 1",
        "UPDATE log_head SET root = :one",
        "UPDATE node SET hash = :one WHERE level = 1 AND idx = 0",
        "DELETE FROM node WHERE level = 1 AND idx = 0",
    ],
)
async def test_a_log_that_is_not_whole_at_its_end_does_not_start(ledger: SQLLedger, change: str) -> None:
    """Head, last leaf and the hashes of the edge must fit."""
    story = Story(ledger)
    for _ in range(3):
        await story.accepted()
    sequencer = a_sequencer(ledger)
    await sequencer.turn()
    await sequencer.examine()
    async with ledger.engine.begin() as connection:
        await connection.execute(text(change), {"one": bytes(32)} if ":one" in change else {})

    with pytest.raises(InvariantBroken):
        await a_sequencer(ledger).examine()
    await story.accepted()
    with pytest.raises((InvariantBroken, ServiceUnavailable)):
        await a_sequencer(ledger).turn()


async def test_a_head_that_somebody_else_signed_is_not_believed(ledger: SQLLedger, tmp_path: Path) -> None:
    """Neither is a file that holds no note: a person must look."""
    seals = SealFile(tmp_path / "head")
    stranger = SigningKey.from_seed(LOG, seed=bytes(range(1, 33)))
    for note in (
        sign_note(Checkpoint(origin=LOG, size=1, root=bytes(32)).text, signers=[stranger]),
        "\x00\xff",
    ):
        await seals.keep(note)
        with pytest.raises(HistoryBroken, match="cannot be believed"):
            await a_sequencer(ledger, seals=seals).examine()


async def test_a_new_key_goes_on_from_what_the_former_one_signed(ledger: SQLLedger, tmp_path: Path) -> None:
    """The former key is named as such; a key nobody names is a stranger's."""
    seals = SealFile(tmp_path / "head")
    await Story(ledger).accepted()
    former = SigningKey.from_seed(LOG, seed=bytes(range(1, 33)))
    before = a_sequencer(ledger, seals=seals, signer=former)
    await before.turn()
    await before.sign_head()

    with pytest.raises(HistoryBroken, match="cannot be believed"):
        await a_sequencer(ledger, seals=seals).examine()
    await a_sequencer(ledger, seals=seals, former=[former.verifier]).examine()


async def test_a_new_epoch_says_that_history_broke(ledger: SQLLedger, tmp_path: Path) -> None:
    """The log goes on under another origin; the head of the lost history no longer stands in the way."""
    story, seals = Story(ledger), SealFile(tmp_path / "head")
    await story.accepted()
    await a_sequencer(ledger).turn()
    await a_sequencer(ledger).sign_head()
    lost = Checkpoint(origin=LOG, size=9, root=bytes(32))
    await seals.keep(sign_note(lost.text, signers=[LOG_KEY]))

    event = await begin_epoch(
        ledger, person="an.nguyen", reason="máy chủ hỏng", lost=lost, clock=Clock(), ids=Ids("epoch")
    )
    sequencer = a_sequencer(ledger, seals=seals)
    assert await sequencer.turn() == 1
    await sequencer.examine()
    signed = await sequencer.sign_head()

    assert event.kind is EventKind.LOG_EPOCH_BEGUN
    assert {"size": 9, "root": bytes(32).hex()} == event.facts["lost"]
    assert signed is not None
    assert (f"{LOG}/epoch-2", 2) == (signed.origin, signed.size)
    await a_sequencer(ledger, seals=seals).examine()
    assert ["/epoch-2" in note for note in await seals.kept()] == [True]
    await story.accepted()
    assert await sequencer.turn() == 1


async def test_an_older_copy_than_the_epoch_does_not_start(ledger: SQLLedger, tmp_path: Path) -> None:
    """Restored once more, from before the epoch was begun."""
    story, seals = Story(ledger), SealFile(tmp_path / "head")
    await story.accepted()
    await a_sequencer(ledger).turn()
    later = Checkpoint(origin=f"{LOG}/epoch-2", size=1, root=bytes(32))
    await seals.keep(sign_note(later.text, signers=[LOG_KEY]))

    with pytest.raises(HistoryBroken, match="epoch 2"):
        await a_sequencer(ledger, seals=seals).examine()


# --- the loop


async def test_it_runs_until_it_is_told_to_stop(ledger: SQLLedger, tmp_path: Path) -> None:
    """Woken by what this process appends; at the end everything is numbered and signed."""
    story, seals = Story(ledger), SealFile(tmp_path / "head")
    stop = asyncio.Event()
    sequencer = a_sequencer(ledger, seals=seals)
    running = asyncio.create_task(sequencer.run(stop, wake=ledger.appended))
    await a_busy_day(story)

    async def is_signed() -> bool:
        (head,) = await everything(ledger, t.log_head) or [{"size": 0}]
        return bool(head["size"]) and head["size"] in {
            row["size"] for row in await everything(ledger, t.checkpoint)
        }

    await until(is_signed)
    await a_busy_day(story)
    stop.set()
    await running

    hashes = await assert_one_number_each(ledger)
    (note,) = await seals.kept()
    assert verify_checkpoint(note, keys=[LOG_KEY.verifier]).size == len(hashes)


async def test_it_waits_for_a_database_that_is_away(
    database_url: str, tcp_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is lost and the loop does not end: it numbers when the database is back."""
    from axis.ledger import sequencer as module
    from axis.ledger.store import open_engine

    monkeypatch.setattr(module, "_BACK_OFF_S", 0.05)
    proxy = tcp_proxy(database_url)
    near, far = SQLLedger(open_engine(database_url)), SQLLedger(open_engine(proxy.url(database_url)))
    stop = asyncio.Event()
    await Story(near).accepted()
    proxy.refuse()
    warnings: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda name, **_: warnings.append(name))

    async def has_warned() -> bool:
        return "sequencer.waits" in warnings

    async def is_signed() -> bool:
        return bool(await everything(near, t.checkpoint))

    running = asyncio.create_task(a_sequencer(far).run(stop))
    try:
        await until(has_warned)
        assert not running.done()
        proxy.accept()
        await until(is_signed)
        stop.set()
        await running
        await assert_one_number_each(near)
    finally:
        stop.set()
        await asyncio.gather(running, return_exceptions=True)
        await near.engine.dispose()
        await far.engine.dispose()


async def test_signing_waits_for_its_second(ledger: SQLLedger) -> None:
    """Under load not every batch is signed: at most about one head a second."""
    story = Story(ledger)
    stop = asyncio.Event()
    running = asyncio.create_task(a_sequencer(ledger, batch=2).run(stop, wake=ledger.appended))
    started = asyncio.get_running_loop().time()
    for _ in range(20):
        await story.accepted()
    stop.set()
    await running
    took = asyncio.get_running_loop().time() - started

    assert len(await everything(ledger, t.checkpoint)) <= took + 2


async def test_a_lost_commit_is_found_out(ledger: SQLLedger) -> None:
    """What the sequencer remembers of the tree is only used where the head says the same."""
    story = Story(ledger)
    one = a_sequencer(ledger)
    await story.accepted()
    await one.turn()
    await story.accepted()
    async with ledger.engine.begin() as connection:
        await connection.execute(update(t.log_head).values(lease_until=0))
    assert await a_sequencer(ledger, holder="two").turn() == 1
    await story.accepted()
    async with ledger.engine.begin() as connection:
        await connection.execute(update(t.log_head).values(lease_until=0))

    assert await one.turn() == 1

    await assert_one_number_each(ledger)
