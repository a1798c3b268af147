"""How Alembic runs: on a connection given by `axis.ledger.migrate`, never by itself."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
