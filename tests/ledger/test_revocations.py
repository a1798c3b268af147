"""Which documents rest on a certificate: by the signer, by an authority above it, by whoever signed a file."""

from __future__ import annotations

from datetime import timedelta

from axis.core.model import DocumentKey
from axis.ledger.revocations import SQLRevocations
from axis.ledger.store import SQLLedger
from tests.ledger.builders import Story


async def test_documents_are_found_page_by_page_by_who_signed_inside_them(ledger: SQLLedger) -> None:
    """Those worth more than a reference, received since the revocation, each once however many pages it takes."""
    story = Story(ledger)
    shelf = SQLRevocations(ledger)
    sent = [await story.accepted(number=str(number)) for number in range(9)]
    for number, one in enumerate(sent):
        await story.valued(one, value=("original", "copy", "reference")[number % 3])
    await story.verified(sent[0])

    async def found(serial: str, since: timedelta = timedelta(days=1)) -> list[DocumentKey]:
        all_of_them: list[DocumentKey] = []
        after: DocumentKey | None = None
        while True:
            rows = await shelf.valued_under([serial], since=story.clock.now() - since, after=after, limit=2)
            all_of_them += [row.id for row in rows]
            if len(rows) < 2:
                return all_of_them
            after = rows[-1].id

    wanted = [one.document for number, one in enumerate(sent) if number % 3 != 2 and number]
    assert await found("5e") == wanted
    assert await found("ca") == wanted
    assert await found("5f") == []
    assert await found("5e", since=timedelta(days=-1)) == []
