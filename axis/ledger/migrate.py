"""
Bring a database to the schema this version needs. Safe to run by several processes at once: PostgreSQL takes an
advisory lock, SQLite its write lock.
"""

from __future__ import annotations

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, exists, inspect, select, text
from sqlalchemy import table as table_clause
from sqlalchemy.ext.asyncio import AsyncEngine

from axis.ledger.tables import APPEND_ONLY, PARTITIONED

_LOCK = 0x6178_6973  # "axis"


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("axis.ledger") / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def upgrade(engine: AsyncEngine, *, year: int) -> None:
    """Migrate to the newest schema and make sure partitions for `year` and the next one exist."""
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))
        if engine.dialect.name == "postgresql":
            await connection.run_sync(lambda sync: _partitions(sync, year))


_CHANGING = ("consignment", "delivery")
"""Tables whose rows change a few times: room in each page lets PostgreSQL do it without touching an index."""


def _partitions(connection: Connection, year: int) -> None:
    for table in PARTITIONED:
        for one in (year, year + 1):
            _partition(connection, table, int(one))


def _partition(connection: Connection, table: str, year: int) -> None:
    name = f"{table}_{year}"
    if inspect(connection).has_table(name):
        return
    # Rows of the year that came before its partition stay in the default one: PostgreSQL would refuse to make it.
    other = table_clause(f"{table}_other", column("year"))
    if connection.execute(select(exists().where(other.c.year == year))).scalar():
        return
    room = "WITH (fillfactor = 85)" if table in _CHANGING else ""
    connection.execute(text(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES IN ({year}) {room}"))
    if table in APPEND_ONLY:
        connection.execute(
            text(
                f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
                "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
            )
        )


async def current(engine: AsyncEngine) -> tuple[str | None, str | None]:
    """The revision the database has, and the one this version needs."""
    needed = ScriptDirectory.from_config(_config(None)).get_current_head()
    async with engine.connect() as connection:
        exists = await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version"))
        if not exists:
            return None, needed
        return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar(), needed
