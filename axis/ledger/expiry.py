"""Which warnings about bound certificates were said; only reads."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from axis.core.model import Digest, OrganNumber
from axis.ledger import tables as t
from axis.ledger.store import SQLLedger


class SQLWarned:
    """Implements `axis.flow.expiry.Warned`."""

    def __init__(self, ledger: SQLLedger) -> None:
        self._ledger = ledger

    async def warned(self) -> Sequence[tuple[Digest, OrganNumber, int]]:
        """See the port."""
        table = t.certificate.c
        query = select(table.fingerprint, table.organ, table.warned).where(table.warned.is_not(None))
        async with self._ledger.reading() as connection:
            return [
                (Digest(row.fingerprint), OrganNumber(row.organ), row.warned)
                for row in await connection.execute(query)
            ]
