"""A bundle for one receiver: what it proves, and what of the others it must not tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from axis.core.errors import NotFound
from axis.core.events import EventKind
from axis.core.exchange import Answer, Outcome
from axis.demo.letters import corrected
from axis.evidence import verify as standalone
from axis.evidence.archive import read_archive
from axis.evidence.bundle import Bundle
from axis.evidence.cover import cover_page
from axis.evidence.judge import judge_bundle
from axis.ledger.store import SQLLedger, open_engine
from tests.evidence.making import TRUST, export, number_and_sign
from tests.flow.office import KEYS, Office
from tests.flow.test_recall import recall_of
from tests.flow.town import HANOI, NV, TTTT, VPCP, a_letter, signed
from tests.services.template import migrate


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    url = f"sqlite+aiosqlite:///{tmp_path}/ledger.db"
    migrate(url)
    ledger = SQLLedger(open_engine(url))
    found = Office.open(ledger, tmp_path)
    await found.enrol()
    yield found
    await ledger.engine.dispose()


async def take(office: Office, station: str) -> None:
    """Everything that lies in its inbox."""
    for consignment in await office.inbox(station):
        mine = [one.delivery for one in consignment.deliveries]
        await office.say(station, Outcome.FETCHED, *mine)
        await office.say(station, Outcome.DONE, *mine)


async def bundle_for(office: Office, answer: Answer, organ: str | None) -> Bundle:
    """It holds, for us and for the one file, before anybody reads it."""
    await number_and_sign(office)
    assert answer.document is not None
    archive = (await export(office, answer.document, organ=organ)).archive
    judgement = judge_bundle(archive, trust=TRUST)
    assert judgement.failed is None, judgement.failed
    standalone.verify(archive, standalone.read_keys(KEYS.text), None)
    return Bundle.read(read_archive(archive))


def ids_of(bundle: Bundle) -> set[str]:
    """Deliveries of the receiver the bundle is for."""
    lines: Any = [one for event in bundle.beginnings for one in event.facts["deliveries"]]  # type: ignore[union-attr]
    return {one["id"] for one in lines if one["code"] == bundle.organ}


def told_of(bundle: Bundle, secret: str) -> list[str]:
    """Members in which the text stands."""
    return [name for name, content in bundle.members().items() if secret.encode() in content]


async def test_what_became_of_the_others_is_not_told(office: Office) -> None:
    """The acceptance names them, as the message does; no step of theirs, no time, no reason, no word of the page."""
    answer = await office.admit(signed(a_letter(receivers=(HANOI, TTTT))))
    await take(office, "ha-noi")
    (listed, *_) = await office.inbox("bo-tttt")
    await office.say(
        "bo-tttt", Outcome.FAIL, *(one.delivery for one in listed.deliveries), reason="the disk is full"
    )

    mine = await bundle_for(office, answer, HANOI.code)
    theirs = await bundle_for(office, answer, TTTT.code)
    whole = await bundle_for(office, answer, None)

    assert [one.event.kind for one in mine.entries] == [
        EventKind.SUBMISSION_ACCEPTED,
        EventKind.DELIVERY_HANDED_OVER,
        EventKind.DELIVERY_FETCHED,
        EventKind.DELIVERY_ACKNOWLEDGED,
    ]
    assert all(set(one.event.deliveries) == ids_of(mine) for one in mine.entries[1:])
    assert told_of(mine, "the disk is full") == []
    assert told_of(theirs, "the disk is full") != []
    assert len(whole.entries) == len({one.index for one in (*mine.entries, *theirs.entries)})
    (other,) = ids_of(theirs)
    accepted = f"records/{mine.entries[0].name}.json"
    assert told_of(mine, other) == [accepted]
    page = cover_page(mine).decode()
    assert (HANOI.code in page, TTTT.code in page) == (True, False)
    assert f"{VPCP.name}<br><code>{VPCP.code}</code>" in page


async def test_a_supplementary_sending_to_others_is_not_told(office: Office) -> None:
    """Neither that it was, nor to whom; who got it that way is told of both."""
    letter = a_letter(receivers=(HANOI,))
    first = await office.admit(signed(letter))
    second = await office.admit(signed(corrected(letter, (HANOI, TTTT))), message_id="m-more")
    await take(office, "ha-noi")
    await take(office, "bo-tttt")

    mine = await bundle_for(office, first, HANOI.code)
    theirs = await bundle_for(office, first, TTTT.code)

    assert told_of(mine, TTTT.code) == []
    assert told_of(mine, str(second.document)) == []
    assert [one.document for one in theirs.acceptances] == [first.document, second.document]
    assert len(theirs.entries) == 5


async def test_who_gets_a_recall_later_has_evidence_of_it(office: Office) -> None:
    """The record that begins its delivery is no acceptance."""
    letter = a_letter(receivers=(TTTT,))
    await office.admit(signed(letter))
    [listed] = await office.inbox("bo-tttt")
    recall = await office.admit(signed(recall_of(letter, receivers=(TTTT,))))
    await office.say("bo-tttt", Outcome.FETCHED, *(one.delivery for one in listed.deliveries))
    await take(office, "bo-tttt")

    bundle = await bundle_for(office, recall, TTTT.code)

    assert [one.event.kind for one in bundle.entries][1:3] == [
        EventKind.DELIVERY_ADDED,
        EventKind.DELIVERY_HANDED_OVER,
    ]
    assert bundle.entries[-1].event.kind is EventKind.DELIVERY_ACKNOWLEDGED
    assert TTTT.code in cover_page(bundle).decode()


async def test_who_did_not_get_it_has_no_part(office: Office) -> None:
    """Said as what is not there, whether or not such an organ exists."""
    answer = await office.admit(signed(a_letter(receivers=(HANOI,))))
    await number_and_sign(office)
    for organ in (NV.code, "000.00.00.X99"):
        with pytest.raises(NotFound, match="receiver of this document"):
            await export(office, str(answer.document), organ=organ)
