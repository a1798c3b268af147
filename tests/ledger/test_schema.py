"""The schema: what the migrations make is what `tables.py` says, and evidence stays as it was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from axis.ledger import migrate, tables
from axis.ledger.store import SQLLedger, open_engine
from tests.ledger.builders import LOG, LOG_KEY, Clock, Story

_PG_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, coll.collname,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_collation coll ON coll.oid = a.attcollation
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT c.relispartition
"""
_PG_CONSTRAINTS = """
    SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND NOT c.relispartition
"""
_PG_INDEXES = """
    SELECT c.relname, i.relname, pg_get_indexdef(i.oid)
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND NOT c.relispartition
"""


def _schema(connection: Connection) -> set[tuple[object, ...]]:
    """Everything a database says of its tables, except triggers and partitions, which `tables.py` does not declare."""
    if connection.dialect.name == "postgresql":
        found = {
            tuple(row)
            for query in (_PG_COLUMNS, _PG_CONSTRAINTS, _PG_INDEXES)
            for row in connection.execute(text(query))
        }
        return {row for row in found if row[0] != "alembic_version"}
    shape: set[tuple[object, ...]] = set()
    for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).all():
        if name == "alembic_version":
            continue
        for pragma in ("table_xinfo", "foreign_key_list"):
            # The first member is the place of a column in the table, which may differ.
            rows = connection.execute(text(f"PRAGMA {pragma}({name})"))
            shape |= {(name, pragma, *row[1:]) for row in rows}
        for index in connection.execute(text(f"PRAGMA index_list({name})")).all():
            parts = [tuple(row) for row in connection.execute(text(f"PRAGMA index_info({index[1]})"))]
            columns = tuple(part[2] for part in parts)
            named = index[1] if index[3] == "c" else None
            shape.add((name, "index", named, *index[2:], *columns))
    written = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > ''"
    return shape | {("index", *row) for row in connection.execute(text(written))}


async def test_the_migrations_make_what_the_tables_declare(
    ledger: SQLLedger, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Column for column, constraint for constraint, index for index, on both databases."""
    url = f"sqlite+aiosqlite:///{tmp_path}/declared.db"
    if ledger.engine.dialect.name == "postgresql":
        url = request.getfixturevalue("empty_database_url")
    declared = open_engine(url)
    try:
        async with declared.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
            expected = await connection.run_sync(_schema)
    finally:
        await declared.dispose()

    async with ledger.engine.connect() as connection:
        found = await connection.run_sync(_schema)

    assert len(expected) > 250
    assert expected == found


async def test_a_migrated_database_is_current(ledger: SQLLedger) -> None:
    """The revision in the database is the one this version needs; migrating again changes nothing."""
    has, needs = await migrate.current(ledger.engine)

    await migrate.upgrade(ledger.engine, year=2026)

    assert has == needs
    assert (has, needs) == await migrate.current(ledger.engine)


async def test_every_column_is_declared() -> None:
    """Evidence, derived or operational; and an operational one says why nothing hangs on it."""
    for table, column, kind, reason in tables.declared():
        assert kind in {"evidence", "derived", "operational"}, (table, column)
        assert (kind == "operational") == bool(reason), (table, column)


async def _every_evidence_table_filled(ledger: SQLLedger) -> None:
    from axis.ledger.sequencer import Sequencer

    await Story(ledger).accepted()
    sequencer = Sequencer(ledger, clock=Clock(), signer=LOG_KEY, log=LOG, holder="test")
    assert await sequencer.turn() == 1
    assert await sequencer.sign_head() is not None


def _attempts(dialect: str, table: str) -> Sequence[str]:
    columns = [column.name for column in tables.metadata.tables[table].columns]
    first = columns[0]
    rewritten = [f"UPDATE {table} SET {column} = {column}" for column in columns]
    removed = [f"DELETE FROM {table}"]
    if dialect == "postgresql":
        years = [f"{table}_other", f"{table}_2026"] if table in tables.PARTITIONED else []
        removed += [f"TRUNCATE {one}" for one in (table, *years)]
        rewritten += [f"UPDATE {one} SET {first} = {first}" for one in years if one.endswith("2026")]
        rewritten += [f"DELETE FROM {one}" for one in years if one.endswith("2026")]
    else:
        removed += [f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"]
    return [*rewritten, *removed]


@pytest.mark.parametrize("table", tables.APPEND_ONLY)
async def test_evidence_refuses_update_and_delete(ledger: SQLLedger, table: str) -> None:
    """Also on a partition, by TRUNCATE and by INSERT OR REPLACE; the rows are there afterwards."""
    await _every_evidence_table_filled(ledger)
    everything = text(f"SELECT * FROM {table}")
    async with ledger.reading() as connection:
        before = (await connection.execute(everything)).all()
    assert before

    for attempt in _attempts(ledger.engine.dialect.name, table):
        with pytest.raises(DBAPIError, match="append-only"):
            async with ledger.engine.begin() as connection:
                await connection.execute(text(attempt))

    async with ledger.reading() as connection:
        assert before == (await connection.execute(everything)).all()


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_row_of_any_year_is_taken(database_url: str, prepared: bool) -> None:
    """A year without its partition goes into the default one, and preparing it later leaves what is there."""
    ledger = SQLLedger(open_engine(database_url))
    clock = Clock()
    clock.move(days=3650)
    if prepared:
        await migrate.upgrade(ledger.engine, year=2036)

    await Story(ledger, clock=clock).accepted()
    await migrate.upgrade(ledger.engine, year=2036)

    async with ledger.reading() as connection:
        where = (await connection.execute(text("SELECT tableoid::regclass::text FROM event"))).scalars().all()
    await ledger.engine.dispose()
    assert ["event_2036" if prepared else "event_other"] == where
