"""
The ledger's tests run on both databases: `ledger` is an SQLite file and a PostgreSQL database in turn.

    ledger_url      the address of a migrated, empty database of this test alone
    ledger          the same, opened
    other_ledger    the same database, opened a second time: another process, as far as locks go
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from axis.ledger.store import SQLLedger, open_engine
from tests.services.template import migrate


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of this test alone."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("database_url"))
    path = tmp_path / "ledger.db"
    shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[SQLLedger]:
    """An empty ledger."""
    opened = SQLLedger(open_engine(ledger_url))
    yield opened
    await opened.engine.dispose()


@pytest.fixture
async def other_ledger(ledger_url: str) -> AsyncIterator[SQLLedger]:
    """The same ledger through connections of its own."""
    opened = SQLLedger(open_engine(ledger_url))
    yield opened
    await opened.engine.dispose()
