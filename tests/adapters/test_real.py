"""The station's client against a real axis: what the pretended one promises is what the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.errors import NotAllowed, NotFound
from adapters.station import Credentials
from axis.core.events import EventKind
from axis.core.model import DeliveryState, SubmissionState, Tier
from axis.edxml.message import OtherInfo, Status, StatusCode
from tests.adapters.contract import first, until
from tests.adapters.real import RealAxis, real_axis
from tests.edxml.builders import an_attachment, an_edoc_package, parties

SENDER, RECEIVER, OTHER = "000.00.00.G22", "000.00.00.H41", "000.00.00.H14"


@pytest.fixture(name="real")
async def _real(tmp_path: Path) -> AsyncIterator[RealAxis]:
    async with real_axis(tmp_path / "axis") as real:
        await real.import_organs(SENDER, RECEIVER, OTHER)
        yield real


@pytest.fixture(name="pair")
async def _pair(real: RealAxis) -> tuple[Credentials, Credentials]:
    """Who sends and who receives."""
    return (
        await real.add_station("bo-noi-vu", [SENDER]),
        await real.add_station("nghe-an", [RECEIVER, OTHER]),
    )


def letter(
    number: int, *, attached: int = 100, to: tuple[str, ...] = (RECEIVER,), priority: int = 0
) -> bytes:
    return an_edoc_package(
        document_id=f"{SENDER},2026/03/02,{number}/VPCP-TTĐT",
        subject=f"Văn bản số {number}",
        receivers=parties(*to),
        other=OtherInfo(priority=priority),
        attachments=[an_attachment(b"%PDF-1.7\n" + bytes(attached))],
    )


async def test_the_main_job(real: RealAxis, pair: tuple[Credentials, Credentials], tmp_path: Path) -> None:
    """Submitted, received, taken, answered; the sender is told of it all, and every receipt verifies."""
    body = letter(1, to=(RECEIVER, OTHER))

    async with (
        real.station(pair[0], state=tmp_path / "one") as sender,
        real.station(pair[1], state=tmp_path / "two") as receiver,
        receiver.receive() as inbox,
        sender.events() as events,
    ):
        answer = await sender.submit(body)
        again = await sender.submit(body)
        found = await first(inbox)
        taken, report = found.body, await found.report()
        await found.done()
        status = await receiver.answer(found, StatusCode.REGISTERED, organ=OTHER, description="Đã vào sổ")
        told: list[EventKind | None] = []
        while EventKind.DELIVERY_ANSWERED not in told:
            event = await first(events)
            told.append(event.event.kind if event.event is not None else None)
        async with sender.receive() as back:
            reply = await first(back)
            said = await reply.message()
            await reply.done()
        assert answer.document is not None
        where = await sender.where_is(answer.document)
        async with asyncio.timeout(20):
            while True:
                proven = await sender.answer_to(message_id=answer.message_id)
                if proven.receipt is not None and proven.receipt.proof is not None:
                    break
                await asyncio.sleep(0.05)
        checkpoint = await sender.witness()

    assert answer.state is SubmissionState.ACCEPTED
    assert (again.state, again.document) == (SubmissionState.DUPLICATE, answer.document)
    assert taken == body
    assert found.key == answer.document
    assert report.is_proven
    assert found.tier is Tier.UNSIGNED
    assert {one.code for one in found.deliveries} == {RECEIVER, OTHER}
    assert status.state is SubmissionState.ACCEPTED
    assert told.count(EventKind.DELIVERY_ACKNOWLEDGED) == 1
    assert isinstance(said, Status)
    assert said.status_code == "03"
    assert {one.state for one in where.deliveries} == {DeliveryState.ACKNOWLEDGED}
    assert {one.code: one.status for one in where.deliveries} == {RECEIVER: None, OTHER: "03"}
    assert sender.verify_receipt(proven.receipt).index is not None
    assert checkpoint is not None


async def test_large_documents_both_ways(
    real: RealAxis, pair: tuple[Credentials, Credentials], tmp_path: Path
) -> None:
    """Above 8 MiB: uploaded, named by its digest, fetched, the same bytes."""
    path = tmp_path / "large.edxml"
    path.write_bytes(letter(1, attached=9 * 1024 * 1024))

    async with (
        real.station(pair[0]) as sender,
        real.station(pair[1]) as receiver,
        receiver.receive() as inbox,
    ):
        answer = await sender.submit(path)
        found = await first(inbox)
        taken = found.body

    assert answer.state is SubmissionState.ACCEPTED
    assert taken == path.read_bytes()


async def test_what_was_handed_out_and_not_ended_comes_again(
    real: RealAxis, pair: tuple[Credentials, Credentials], tmp_path: Path
) -> None:
    """The next process asks for it and gets it; what failed comes again; what was ended does not."""
    async with real.station(pair[0]) as sender:
        sent = [(await sender.submit(letter(number))).document for number in range(4)]
    async with real.station(pair[1], state=tmp_path) as receiver, receiver.receive() as inbox:
        found = [await first(inbox) for _ in sent]
        await found[0].done()
        await found[1].fail("bảo trì")
        failed_again = await first(inbox)

    async with real.station(pair[1], state=tmp_path) as receiver, receiver.receive() as inbox:
        again = {(await first(inbox)).key for _ in range(3)}

    assert failed_again.key == found[1].key
    assert again == {one.key for one in found[1:]}


async def test_who_may_not_is_told(real: RealAxis, pair: tuple[Credentials, Credentials]) -> None:
    """A wrong key, another's document, a sender that is not ours."""
    wrong = Credentials(station=pair[0].station, key=f"{pair[0].station}.{'x' * 43}")
    async with real.station(wrong) as nobody:
        with pytest.raises(NotAllowed):
            await nobody.submit(letter(1))
    async with real.station(pair[0]) as sender, real.station(pair[1]) as receiver:
        answer = await sender.submit(letter(1))
        assert answer.document is not None
        with pytest.raises(NotFound):
            await receiver.where_is(answer.document)
        with pytest.raises(NotFound):
            await sender.fetch(answer.document)
        refused = await receiver.submit(letter(2))

    assert refused.state is SubmissionState.REFUSED
    assert refused.reason is not None
    assert refused.reason.value == "receive.not_your_organ"


async def test_urgent_documents_come_first(real: RealAxis, pair: tuple[Credentials, Credentials]) -> None:
    """By the document's own priority."""
    async with real.station(pair[0]) as sender:
        for number in range(4):
            await sender.submit(letter(number))
        urgent = await sender.submit(letter(9, priority=3))

    async with real.station(pair[1]) as receiver, receiver.receive(window=2) as inbox:
        found = await first(inbox)
        await until(lambda: found.is_loaded)

    assert found.key == urgent.document
