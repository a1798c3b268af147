"""The check names the first wrong place: every column, every row, on both databases, as an attacker would change them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

import pytest
from sqlalchemy import Boolean, Column, LargeBinary, String, Table, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from axis.core.events import JSON, Event, EventKind, leaf_hash
from axis.core.lifecycle import DeliveryStep
from axis.core.model import Actor, EventId
from axis.ledger import tables as t
from axis.ledger.check import CheckResult, Fault, check
from axis.ledger.sequencer import Sequencer
from axis.ledger.store import SQLLedger, open_engine
from signing.merkle import root_of
from signing.note import SigningKey
from tests.ledger.builders import LOG, LOG_KEY, Clock, Story, digest_of

KEYS = [LOG_KEY.verifier]


async def a_full_ledger(ledger: SQLLedger) -> None:
    """A row at least in every table, two checkpoints, and events that wait for their number."""
    story = Story(ledger)
    sequencer = Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one")
    await story.organs({1: None, 2: 1, 3: 1})
    await story.station("station-1")
    await story.delegation("station-1", 1)
    system: dict[str, JSON] = {"id": "00.01.W00", "station": "station-1", "view": "as_sent", "is_open": True}
    await story.act(
        EventKind.VXP_CHANGED, {"before": None, "after": system, "directory_version": story.next_directory()}
    )
    await story.ending(await story.certificate(1))
    await story.released(digest_of("secret"))
    owed: dict[str, JSON] = {"late": True, "paper": True, "due_date": "2026-12-01"}
    owed["receipt"] = {"due": "2026-11-23T00:00:00.000000+07:00", "next_day": False}
    sent = await story.accepted(to=(2, 3, 4), not_connected={4}, more=owed)
    await sequencer.turn()
    await sequencer.sign_head()
    await story.taken(sent, organs=[2])
    await story.answered(sent, 2, "03")
    await story.answered(sent, 2, "02")
    await story.valued(sent)
    await story.verified(sent)
    await story.revocations()
    await story.timestamped(3)
    await story.not_taken(sent, 3)
    await story.stepped(sent, DeliveryStep.FAIL, organs=[3])
    held = await story.held(claim="held")
    await story.refused()
    await story.refused(sender=None)
    await story.duplicate(sent)
    replaced: list[JSON] = [{"document": sent.document, "organs": []}]
    await story.accepted(more={"replaces": replaced})
    await story.let_go(digest_of("an old payload"))
    await story.legal_hold(sent)
    buried = await story.buried()
    await story.tell(story.acceptance(more={"unburies": str(buried.submission)}, target=sent).acceptance)
    plan = await story.planned([("delivery", sent.deliveries[3]), ("held", str(held.submission))])
    await story.replayed(plan, "delivery", sent.deliveries[3])
    await story.stepped(sent, DeliveryStep.REPLAY, organs=[3])
    while await sequencer.turn():
        pass
    await sequencer.sign_head()
    story.clock.move(days=1)
    await story.stepped(sent, DeliveryStep.ACKNOWLEDGE, organs=[3])
    await story.accepted()


class Attacker:
    """Somebody with the rights of the database's owner."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._url = ledger.engine.url.render_as_string(hide_password=False)
        self._engine = open_engine(self._url, pool_size=1)

    async def __aenter__(self) -> Self:
        async with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                for name in ("event", "event_2026", "event_2027", "event_other", "leaf", "checkpoint"):
                    await connection.execute(text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))
                await connection.execute(
                    text("ALTER TABLE replay_item DROP CONSTRAINT replay_item_plan_id_fkey")
                )
            else:
                found = await connection.execute(
                    text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                )
                for name in found.scalars().all():
                    await connection.execute(text(f"DROP TRIGGER {name}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.dispose()

    async def do(self, *statements: Any) -> None:
        """Carry out the statements, whatever the database thinks of foreign keys."""
        async with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                await connection.exec_driver_sql("COMMIT")
                await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                await connection.exec_driver_sql("BEGIN")
            for statement in statements:
                await connection.execute(statement)
            await connection.commit()


def _where(table: Table, row: Any) -> list[Any]:
    return [column == getattr(row, column.name) for column in table.primary_key.columns]


def _changed(column: Column[Any], value: Any) -> Any:
    """Another value that fits the column."""
    if isinstance(column.type, Boolean):
        return not value
    if isinstance(column.type, LargeBinary):
        return bytes([value[0] ^ 1, *value[1:]])
    if isinstance(column.type, String):
        if not value:
            return "x"
        return ("y" if value[0] == "x" else "x") + value[1:]
    return (value or 0) + 41


async def _a_row(connection: AsyncConnection, column: Column[Any]) -> Any:
    """A row of the column's table, with a value in it if there is one."""
    keys = column.table.primary_key.columns
    query = select(column.table).order_by(column.is_(None), *keys).limit(1)
    return (await connection.execute(query)).one()


def _declared() -> Sequence[Column[Any]]:
    return [
        column
        for table in t.metadata.sorted_tables
        for column in table.columns
        if column.info["class"] in {"evidence", "derived"}
    ]


async def test_a_ledger_as_it_was_written_is_in_order(ledger: SQLLedger) -> None:
    """Numbered or not; and the progress is told to the end."""
    await a_full_ledger(ledger)
    told: list[tuple[int, int]] = []

    result = await check(ledger, keys=KEYS, progress=lambda done, total: told.append((done, total)))

    assert result.ok, result.problems
    assert (result.events, result.events - 2, 2) == (told[-1][1], result.numbered, result.checkpoints)
    assert told[-1] == (result.events, result.events)


async def test_an_empty_ledger_is_in_order(ledger: SQLLedger) -> None:
    """There is nothing that could be wrong."""
    assert await check(ledger, keys=KEYS) == CheckResult(events=0, numbered=0, checkpoints=0, problems=())


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_one_changed_value_anywhere_is_named(ledger: SQLLedger) -> None:
    """Every evidence and derived column of every table, one by one: table and column of the first problem."""
    await a_full_ledger(ledger)
    named = {}
    async with Attacker(ledger) as attacker:
        for column in _declared():
            table = column.table
            assert isinstance(table, Table)
            async with ledger.reading() as connection:
                row = await _a_row(connection, column)
            before = getattr(row, column.name)
            after = _changed(column, before)
            place = {
                one.name: after if one is column else getattr(row, one.name) for one in table.primary_key
            }
            there = [table.c[name] == value for name, value in place.items()]

            await attacker.do(update(table).where(*_where(table, row)).values({column.name: after}))
            result = await check(ledger, keys=KEYS)
            await attacker.do(update(table).where(*there).values({column.name: before}))

            first = result.first
            named[table.name, column.name] = (first.table, first.column) if first else None

    assert {place: place for place in named} == named
    assert len(named) > 150
    assert (await check(ledger, keys=KEYS)).ok


_ALWAYS_ONE = {"log_head", "directory_version"}


async def test_a_row_that_is_gone_or_was_never_recorded_is_named(ledger: SQLLedger) -> None:
    """One row of every table removed, one row more: table and key of the first problem."""
    await a_full_ledger(ledger)
    wrong = []
    async with Attacker(ledger) as attacker:
        for table in t.metadata.sorted_tables:
            if not any(column.info["class"] != "operational" for column in table.columns):
                continue
            last = [column.desc() for column in table.primary_key.columns]
            async with ledger.reading() as connection:
                row = (await connection.execute(select(table).order_by(*last).limit(1))).one()
            key = {column.name: getattr(row, column.name) for column in table.primary_key}

            await attacker.do(delete(table).where(*_where(table, row)))
            gone = (await check(ledger, keys=KEYS)).first
            await attacker.do(insert(table).values(row._asdict()))
            if table.name == "checkpoint":
                assert gone is None, "only whoever kept it can miss it"
            elif gone is None or (gone.fault, gone.table, gone.key) != (Fault.MISSING, table.name, key):
                wrong.append((table.name, "gone", gone))

            more = {**row._asdict(), **{name: _other(value) for name, value in key.items()}}
            if table.name == "leaf":
                more["event_id"] = _other(row.event_id)
                more["hash"] = bytes(32)
            await attacker.do(insert(table).values(more))
            extra = (await check(ledger, keys=KEYS)).first
            there = [table.c[name] == more[name] for name in key]
            await attacker.do(delete(table).where(*there))
            if extra is None or extra.table not in {table.name, "event"}:
                wrong.append((table.name, "more", extra))

    assert wrong == []
    assert (await check(ledger, keys=KEYS)).ok


def _other(value: Any) -> Any:
    return value + 40 if isinstance(value, int) else value[:-2] + ("ZY" if value[-2:] == "YZ" else "YZ")


async def test_an_event_that_lost_its_place_in_the_queue_is_named(ledger: SQLLedger) -> None:
    """The queue is operational, and yet nothing can vanish through it."""
    story = Story(ledger)
    sent = await story.accepted()
    async with Attacker(ledger) as attacker:
        await attacker.do(delete(t.pending_leaf))

    first = (await check(ledger, keys=KEYS)).first

    assert first is not None
    assert ("event", {"year": 2026, "id": sent.acceptance.id}) == (first.table, dict(first.key))
    assert "no number" in first.en


async def _rewrite(ledger: SQLLedger, attacker: Attacker, *, how_far: str) -> str:
    """Change what a refusal says, and every hash up to `how_far`; the id of the event."""
    story = Story(ledger)
    sequencer = Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one")
    events = [await story.refused() for _ in range(4)]
    await sequencer.turn()
    await sequencer.sign_head()
    event = events[1]
    record = event.record.replace(b"route.unknown_receiver", b"validate.schema")
    hashes = [one.hash for one in events]
    hashes[1] = leaf_hash(record)
    await attacker.do(
        update(t.event).where(t.event.c.id == event.id).values(record=record, hash=hashes[1]),
        update(t.submission)
        .where(t.submission.c.event_id == event.id)
        .values(reason="validate.schema", head=hashes[1].hex()),
    )
    if how_far in {"leaf", "tree"}:
        await attacker.do(update(t.leaf).where(t.leaf.c.idx == 1).values(hash=hashes[1]))
    if how_far == "tree":
        left, right = root_of(hashes[:2]), root_of(hashes)
        await attacker.do(
            update(t.node).where(t.node.c.level == 1, t.node.c.idx == 0).values(hash=left),
            update(t.node).where(t.node.c.level == 2, t.node.c.idx == 0).values(hash=right),
            update(t.log_head).values(root=right),
        )
    return event.id


@pytest.mark.parametrize(
    ("how_far", "table", "column"),
    [("event", "event", "record"), ("leaf", "node", "hash"), ("tree", "checkpoint", "root")],
)
async def test_a_rewritten_record_is_found_however_far_its_hashes_were_rewritten(
    ledger: SQLLedger, how_far: str, table: str, column: str
) -> None:
    """What was signed is signed: without the key the last hash that can be changed is the head's."""
    async with Attacker(ledger) as attacker:
        event = await _rewrite(ledger, attacker, how_far=how_far)

    first = (await check(ledger, keys=KEYS)).first

    assert first is not None
    assert (table, column) == (first.table, first.column)
    if how_far == "event":
        assert first.key["id"] == event


async def test_records_that_changed_places_are_found(ledger: SQLLedger) -> None:
    """Two leaves swapped: their events are whole, the tree is not."""
    story = Story(ledger)
    for _ in range(4):
        await story.refused()
    await Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one").turn()
    async with Attacker(ledger) as attacker:
        await attacker.do(
            update(t.leaf).where(t.leaf.c.idx == 1).values(idx=100),
            update(t.leaf).where(t.leaf.c.idx == 2).values(idx=1),
            update(t.leaf).where(t.leaf.c.idx == 100).values(idx=2),
        )

    first = (await check(ledger, keys=KEYS)).first

    assert first is not None
    assert (first.table, dict(first.key)) == ("node", {"level": 1, "idx": 0})


async def test_a_checkpoint_nobody_known_signed_is_named(ledger: SQLLedger) -> None:
    """The keys are given by whoever checks, not found in the database."""
    await a_full_ledger(ledger)
    stranger = SigningKey.from_seed(LOG, seed=bytes(32))

    first = (await check(ledger, keys=[stranger.verifier])).first

    assert first is not None
    assert (first.table, first.column) == ("checkpoint", "note")


async def test_counts_that_do_not_follow_the_states_are_found(ledger: SQLLedger) -> None:
    """A record that claims another state before than there was: the counts believe it, the states do not."""
    story = Story(ledger)
    sent = await story.accepted(to=(2,))
    (taken,) = story.step(sent, DeliveryStep.ACKNOWLEDGE)
    lying = Event(
        id=EventId(story.new_id()),
        kind=EventKind.DELIVERY_ACKNOWLEDGED,
        at=taken.at,
        by=Actor(axis="test"),
        document=taken.document,
        deliveries=taken.deliveries,
        facts={**taken.facts, "lines": [[sent.deliveries[2], 2, "failed"]]},
    )
    await story.tell(lying)
    await Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one").turn()

    result = await check(ledger, keys=KEYS)

    assert [one.fault for one in result.problems] == [Fault.UNBALANCED]
    assert dict(result.problems[0].key) == {"receiver": 2, "day": "2026-11-22"}


async def test_the_balance_holds_across_midnight(ledger: SQLLedger) -> None:
    """Accepted on one day of Vietnam, taken, failed, replayed and taken on others."""
    story = Story(ledger)
    sent = await story.accepted(to=(2, 3))
    story.clock.set(sent.acceptance.at + timedelta(hours=12))
    await story.stepped(sent, DeliveryStep.FAIL, organs=[2])
    await story.stepped(sent, DeliveryStep.ACKNOWLEDGE, organs=[3])
    story.clock.move(days=1)
    await story.stepped(sent, DeliveryStep.REPLAY, organs=[2])
    story.clock.move(days=1)
    await story.stepped(sent, DeliveryStep.WITHDRAW, organs=[2])
    await Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="one").turn()

    result = await check(ledger, keys=KEYS)

    assert result.ok, result.problems


async def test_a_report_says_no_more_than_it_must(ledger: SQLLedger) -> None:
    """Texts of others are shown as digests, in both languages."""
    await a_full_ledger(ledger)
    async with Attacker(ledger) as attacker:
        await attacker.do(update(t.document).values(subject="bí mật"))

    first = (await check(ledger, keys=KEYS)).first

    assert first is not None
    assert "bí mật" not in first.en + first.vi
    assert first.actual == f"sha256:{digest_of('bí mật')}"
    assert first.place in first.en
    assert first.place in first.vi
