"""The ledger on both databases, as in tests/ledger."""

from tests.ledger.conftest import _sqlite_template, ledger, ledger_url, other_ledger

__all__ = ["_sqlite_template", "ledger", "ledger_url", "other_ledger"]
