"""
Bring a database to the schema this version needs. Safe to run by several processes at once: PostgreSQL takes an
advisory lock, SQLite its write lock.
"""

from __future__ import annotations

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axis.ledger.tables import PARTITIONED

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


def _partitions(connection: Connection, year: int) -> None:
    for table in PARTITIONED:
        for one in (year, year + 1):
            connection.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {table}_{one} PARTITION OF {table} FOR VALUES IN ({int(one)})"
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
