"""Fills the database every test's own database is copied from, with the ledger's migrations."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from axis.ledger.migrate import upgrade
from axis.ledger.store import open_engine


def migrate(url: str) -> None:
    """Bring an empty database to the newest schema, with partitions for this year and the next."""

    async def run() -> None:
        engine = open_engine(url, pool_size=1)
        try:
            await upgrade(engine, year=datetime.now(UTC).year)
        finally:
            await engine.dispose()

    # A fixture that asks for a database may run inside an event loop: this one runs in a thread of its own.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(run())).result()
