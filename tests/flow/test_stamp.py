"""Timestamps of the log, from a real authority over HTTP: openssl answers, goes away, lies, and returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from axis.demo.pki import Issued
from axis.flow.stamp import Timekeeper
from axis.ledger import tables as t
from axis.ledger.check import check
from axis.ledger.timestamps import SQLTimestamps
from axis.outside import Outside
from signing.timestamp import verify_timestamp
from tests.flow.office import LOG, Office
from tests.flow.places import Answering, Place
from tests.flow.town import a_letter, signed
from tests.signing.builders import own_key, pki, trust
from tests.signing.test_timestamp import authority, reply

MINUTE = timedelta(minutes=1)


def an_authority(folder: Path, *, by: Issued | None = None) -> Answering:
    """A timestamp authority."""

    async def answer(request: bytes) -> bytes:
        return await asyncio.to_thread(reply, request, folder, by=by)

    return answer


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with Place(an_authority(tmp_path)) as one:
        yield one


def a_timekeeper(office: Office, place: Place) -> Timekeeper:
    return Timekeeper(
        url=place.url,
        trust=trust(),
        every=MINUTE,
        checkpoints=SQLTimestamps(office.ledger, office.blobs),
        authority=Outside(),
        ledger=office.ledger,
        blobs=office.blobs,
        clock=office.clock,
        ids=office.ids,
    )


async def _number_and_sign(office: Office) -> int:
    while await office.sequencer.turn():
        pass
    head = await office.sequencer.sign_head()
    return head.size if head is not None else -1


async def test_a_token_covers_every_record_before_it(office: Office, place: Place) -> None:
    """It is found by the number of any of them; an idle log is not stamped again and again."""
    keeper, stamps = a_timekeeper(office, place), SQLTimestamps(office.ledger, office.blobs)
    await office.admit(signed(a_letter()))
    size = await _number_and_sign(office)

    taken = await keeper.turn()
    after = await _number_and_sign(office)
    office.clock.jump(2 * MINUTE)

    found = await stamps.covering(0)
    assert taken is not None
    assert found is not None
    assert (found.size, found.at, found.serial) == (size, taken.at, taken.serial)
    assert abs(found.at - datetime.now(UTC)) < 5 * MINUTE
    assert verify_timestamp(found.token, found.note.encode(), trust=trust()).at == found.at
    assert (await stamps.covering(size - 1), await stamps.covering(size)) == (found, None)
    assert (after, await keeper.turn(), place.asked) == (size + 1, None, 1)
    assert (await check(office.ledger, keys=[LOG.verifier])).ok


async def test_while_the_authority_is_away_traffic_goes_on(
    office: Office, place: Place, tmp_path: Path
) -> None:
    """Hours without an answer: documents are accepted and signed for; one token completes them all."""
    keeper, stamps = a_timekeeper(office, place), SQLTimestamps(office.ledger, office.blobs)
    place.answer = None
    began = office.clock.now()
    for number in range(1, 5):
        answer = await office.admit(signed(a_letter(number)))
        await _number_and_sign(office)
        assert answer.receipt is not None
        assert await keeper.turn() is None
        office.clock.jump(timedelta(hours=1))
    newest = await _number_and_sign(office)
    assert await keeper.turn() is None
    assert (await stamps.covering(0), await office.rows(t.timestamp)) == (None, [])
    assert keeper.waiting_since is not None
    assert began <= keeper.waiting_since < began + MINUTE

    place.answer = an_authority(tmp_path)
    office.clock.jump(MINUTE)
    taken = await keeper.turn()

    covering = await stamps.covering(0)
    assert taken is not None
    assert covering is not None
    assert covering.size >= newest
    assert keeper.waiting_since is None


async def test_an_answer_that_proves_nothing_is_not_kept(
    office: Office, place: Place, tmp_path: Path
) -> None:
    """A page, a token of somebody not ours, an old token: refused, said, and asked for again."""
    keeper = a_timekeeper(office, place)
    await office.admit(signed(a_letter()))
    await _number_and_sign(office)
    stranger = pki().issue("stranger", ca=True, key=own_key("stranger"), by=None)
    forger = authority(by=Issued(certificate=stranger.certificate, key=own_key("forger"), chain=()))
    old: list[bytes] = []

    async def first_then_old(request: bytes) -> bytes:
        old.append(await asyncio.to_thread(partial(reply, request, tmp_path)))
        return old[0]

    answers: list[bytes | Answering] = [
        b"<html></html>",
        b"",
        bytes(70_000),
        an_authority(tmp_path, by=forger),
    ]
    for answer in answers:
        place.answer = answer
        assert await keeper.turn() is None
        office.clock.jump(2 * MINUTE)
    place.answer = first_then_old
    assert await keeper.turn() is not None
    await office.admit(signed(a_letter(2)))
    await _number_and_sign(office)
    office.clock.jump(2 * MINUTE)
    assert await keeper.turn() is None

    assert len(await office.rows(t.timestamp)) == 1
