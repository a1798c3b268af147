"""One look at each thing an axis stands on, for `axis doctor`. Nothing is changed."""

from __future__ import annotations

from sqlalchemy import text

from axis.bootstrap.broker import broker_address, open_management
from axis.broker.connection import Link
from axis.broker.orphans import Orphaned, orphaned
from axis.ledger.migrate import current
from axis.ledger.store import as_unavailable, open_engine
from axis.settings import Settings


async def look_at_database(settings: Settings) -> tuple[str | None, str | None]:
    """
    The revision the database has, and the one this version needs.

    Raises:
        ServiceUnavailable: it does not answer.
    """
    if not settings.is_postgresql and not settings.home.is_dir():
        return None, "?"
    engine = open_engine(settings.database_url.reveal(), pool_size=1)
    try:
        with as_unavailable():
            return await current(engine)
    finally:
        await engine.dispose()


async def look_at_durability(settings: Settings) -> str | None:
    """
    Why a commit of this database could be lost, or None when it cannot.

    Raises:
        ServiceUnavailable: it does not answer.
    """
    if not settings.is_postgresql:
        return None
    engine = open_engine(settings.database_url.reveal(), pool_size=1)
    try:
        with as_unavailable():
            async with engine.connect() as connection:
                values = {
                    name: str((await connection.execute(text(f"SHOW {name}"))).scalar())
                    for name in (
                        "fsync",
                        "full_page_writes",
                        "synchronous_commit",
                        "synchronous_standby_names",
                    )
                }
                replicas = await connection.execute(text("SELECT count(*) FROM pg_stat_replication"))
                has_replicas = bool(replicas.scalar())
    finally:
        await engine.dispose()
    for name in ("fsync", "full_page_writes"):
        if values[name] != "on":
            return f"{name} = {values[name]}"
    if values["synchronous_commit"] not in {"on", "remote_apply", "remote_write"}:
        return f"synchronous_commit = {values['synchronous_commit']}"
    if has_replicas and not values["synchronous_standby_names"]:
        return "replicas, and synchronous_standby_names is empty"
    return None


async def look_at_broker(settings: Settings) -> str:
    """
    Log in and tell the broker's version.

    Raises:
        ServiceUnavailable: it does not answer.
    """
    link = Link(broker_address(settings), name="axis doctor")
    try:
        await (await link.open_channel()).close()
        return link.version
    finally:
        await link.close()


async def look_for_orphans(settings: Settings) -> list[Orphaned]:
    """
    Queues whose messages lie with a consumer that is gone.

    Raises:
        SettingsError: broker or management interface is not configured.
        ServiceUnavailable: it does not answer.
        ManagementRefused: its user may not look.
    """
    async with open_management(settings) as management:
        return await orphaned(management)
