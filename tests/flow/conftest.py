"""
The flow on a real ledger: `office` is the pipeline and the desk of the small country, on SQLite and PostgreSQL.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from axis.ledger.store import SQLLedger
from tests.flow.office import Office
from tests.ledger.conftest import _sqlite_template, ledger, ledger_url

__all__ = ["_sqlite_template", "ledger", "ledger_url"]


@pytest.fixture
async def office(ledger: SQLLedger, tmp_path: Path) -> Office:
    """An axis without transports."""
    opened = Office.open(ledger, tmp_path)
    await opened.enrol()
    return opened
