"""
What a station may rely on, whichever channel it has: one suite for AMQP and HTTP.

A test module makes a class of `StationContract` and a fixture `world`: an axis with one station, reached through a
connection that breaks on request. `tests.adapters.worlds` has them for the pretended axis; a real one fits as well.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from adapters.document import Document
from adapters.errors import (
    Ambiguous,
    Closed,
    NotAllowed,
    NotAnswered,
    NotFound,
    NotPossible,
    NotProven,
)
from adapters.station import Credentials, Station
from axis.core.events import EventKind
from axis.core.exchange import Ack, Duty, Outcome, Owed, OwedBy, load, read_answer
from axis.core.model import DeliveryState, Digest, DocumentKey, Kind, Lane, LegalValue, SubmissionState, Tier
from axis.edxml.message import Edoc, OtherInfo, Status, StatusCode
from signing.note import SigningKey
from signing.receipts import TrustedKeys, verify_receipt
from tests.edxml.builders import a_status, an_attachment, an_edoc_package
from tests.services.proxy import TCPProxy

_Item = TypeVar("_Item")


OTHER_KEYS = TrustedKeys(
    receipts=(SigningKey.from_seed("other.example/receipts", seed=b"o" * 32).verifier,),
    log=(SigningKey.from_seed("other.example", seed=b"p" * 32).verifier,),
)


class World(Protocol):
    """An axis with one station under test."""

    network: TCPProxy
    """What the station's connections go through."""
    web: TCPProxy
    """What those of HTTP go through: the same, where that is the channel."""
    trusted: TrustedKeys

    @property
    def credentials(self) -> Credentials: ...

    def connect(
        self,
        *,
        state: Path | None = None,
        trusted: TrustedKeys | None = None,
        receipts: Path | None = None,
        credentials: Credentials | None = None,
    ) -> Station:
        """The station; not open yet."""
        ...

    def connect_with_http(self, *, state: Path | None = None, trusted: TrustedKeys | None = None) -> Station:
        """The same with an HTTP address beside its channel."""
        ...

    async def offer(
        self,
        body: bytes,
        *,
        lane: Lane = Lane.NORMAL,
        codes: Sequence[str] = ("000.00.00.H41",),
        claim: Digest | None = None,
    ) -> DocumentKey:
        """A document for the station; `claim` is a digest its header names though it is not the bytes'."""
        ...

    async def offer_again(self, document: DocumentKey) -> None:
        """The same deliveries once more, as after a lost `done`."""
        ...

    async def recall(self, document: DocumentKey) -> None: ...

    def let_go(self, document: DocumentKey) -> None:
        """The axis keeps its bytes no longer."""
        ...

    def states(self, document: DocumentKey) -> Sequence[DeliveryState]:
        """Where its deliveries stand."""
        ...

    def outcomes(self, document: DocumentKey) -> Sequence[Outcome]:
        """What the station said of its first delivery, in order."""
        ...

    def sayings(self) -> Sequence[Sequence[Ack]]:
        """What was said in each message of the station's, in order."""
        ...

    def reason(self, document: DocumentKey) -> str:
        """What the station last said to be wrong with its first delivery."""
        ...

    def submissions(self, message_id: str) -> int:
        """How many submissions with this message id were recorded."""
        ...

    def lane_of(self, message_id: str) -> Lane: ...

    def owe(self, duty: Duty, *, by: OwedBy) -> Owed:
        """An answer that the station owes, or is owed."""
        ...

    def list_by(self, number: int) -> None:
        """Pages of what is owed have so many entries from now on."""
        ...

    async def tell(self, kind: EventKind) -> str:
        """A later event of one of the station's documents; its record."""
        ...

    async def suspend(self, *, suspended: bool) -> None: ...


def package(number: int = 1, *, priority: int = 0, attached: int = 100) -> bytes:
    """A document that differs from others by its number, with an attachment of so many bytes."""
    return an_edoc_package(
        document_id=f"000.00.00.G22,2026/03/02,{number}/VPCP-TTĐT",
        subject=f"Văn bản số {number}",
        other=OtherInfo(priority=priority),
        attachments=[an_attachment(b"%PDF-1.7\n" + bytes(attached))],
    )


async def first(items: AsyncIterator[_Item], *, within_s: float = 20) -> _Item:
    """The next item, in time."""
    async with asyncio.timeout(within_s):
        return await anext(items)


async def until(fact: Callable[[], bool], *, within_s: float = 20) -> None:
    """Wait until `fact()` holds."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not fact():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"not within {within_s:g} s")
        await asyncio.sleep(0.01)


async def nothing(items: AsyncIterator[Document], *, for_s: float = 0.5) -> None:
    """
    Make sure that nothing more is handed out.

    An absence has no fact to wait for: what would show it had its time to come, as what was said before has arrived.
    """
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(for_s):
            await anext(items)


class StationContract:
    """The suite."""

    # --- handing in -----------------------------------------------------------------------------------------------

    async def test_a_submission_is_answered_with_a_verified_receipt(self, world: World) -> None:
        """Accepted, about these bytes and this message id, signed by the pinned key."""
        body = package()

        async with world.connect(trusted=world.trusted) as station:
            answer = await station.submit(body, message_id="m-1")
            assert answer.receipt is not None
            proven = station.verify_receipt(answer.receipt)

        assert SubmissionState.ACCEPTED is answer.state
        assert ("m-1", hashlib.sha256(body).hexdigest()) == (answer.message_id, answer.digest)
        assert [one.code for one in answer.deliveries] == ["000.00.00.H41", "000.00.00.H14"]
        assert answer.receipt.record.encode() == proven.record

    async def test_a_refusal_is_an_answer(self, world: World) -> None:
        """What cannot be read is refused with a reason in both languages; nothing is raised."""
        async with world.connect(trusted=world.trusted) as station:
            answer = await station.submit(b"this is no XML")

        assert SubmissionState.REFUSED is answer.state
        assert answer.reason is not None
        assert answer.causes[0].reason.vi

    async def test_the_same_message_id_counts_once(self, world: World) -> None:
        """Repeated with the same id, a submission gets the answer it was given."""
        body = package()

        async with world.connect() as station:
            answers = [await station.submit(body, message_id="again") for _ in range(3)]

        assert [answers[0]] * 3 == answers

    async def test_many_submissions_at_once_get_their_own_answers(self, world: World) -> None:
        """Answers are told apart by message id, in whatever order they come."""
        bodies = {f"many-{number}": package(number) for number in range(30)}

        async with world.connect() as station:
            answers = await asyncio.gather(
                *(station.submit(body, message_id=name) for name, body in bodies.items())
            )

        assert {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()} == {
            one.message_id: one.digest for one in answers
        }

    async def test_the_lane_follows_the_documents_own_priority(self, world: World) -> None:
        """Normal and urgent by `Priority`; the caller may say otherwise; a status is normal."""
        async with world.connect() as station:
            await station.submit(package(1), message_id="normal")
            await station.submit(package(2, priority=2), message_id="urgent")
            await station.submit(package(3, priority=3), lane=Lane.NORMAL, message_id="told")
            await station.send_status(a_status(), message_id="status")

        assert (world.lane_of("normal"), world.lane_of("urgent")) == (Lane.NORMAL, Lane.URGENT)
        assert (world.lane_of("told"), world.lane_of("status")) == (Lane.NORMAL, Lane.NORMAL)

    async def test_a_submission_survives_cut_connections(self, world: World) -> None:
        """Cut while documents are handed in: all are answered, each is recorded once."""
        async with world.connect() as station:
            await station.submit(package(0), message_id="warm")
            work = [
                asyncio.ensure_future(station.submit(package(number), message_id=f"cut-{number}"))
                for number in range(1, 25)
            ]
            for _ in range(3):
                await until(lambda: any(one.done() for one in work))
                world.network.cut()
            async with asyncio.timeout(60):
                answers = await asyncio.gather(*work)

        assert {SubmissionState.ACCEPTED} == {one.state for one in answers}
        assert {1} == {world.submissions(one.message_id) for one in answers}

    async def test_a_submission_nobody_answers_can_be_repeated(self, world: World) -> None:
        """`NotAnswered` carries the message id; repeated with it, the document counts once."""
        async with world.connect() as station:
            await station.submit(package(0))
            world.network.refuse()
            with pytest.raises(NotAnswered) as silence:
                await station.submit(package(1), within=1)
            world.network.accept()
            assert silence.value.message_id is not None
            answer = await station.submit(package(1), message_id=silence.value.message_id)

        assert SubmissionState.ACCEPTED is answer.state
        assert world.submissions(answer.message_id) == 1

    async def test_an_answer_nobody_waits_for_comes_out_of_the_receipts(
        self, world: World, tmp_path: Path
    ) -> None:
        """`wait=False` returns when the document is safe; its answer is read later, also by the next process."""
        async with world.connect(state=tmp_path / "state") as station:
            handed = await station.submit(package(), wait=False)
            async with station.receipts() as receipts:
                answer = await first(receipts)
        async with (
            world.connect(state=tmp_path / "state", trusted=world.trusted) as station,
            station.receipts() as receipts,
        ):
            again = await first(receipts)

        assert (handed.message_id, handed.digest) == (answer.message_id, answer.digest)
        assert answer == again, "nobody asked for the next one, so it was not read to its end"

    async def test_nobody_submits_under_an_id_that_cannot_travel(self, world: World) -> None:
        """A message id of spaces, line ends or 300 characters is refused before anything is sent."""
        async with world.connect() as station:
            for wrong in ("a b", "a\nb", "x" * 300, "số"):
                with pytest.raises(NotPossible):
                    await station.submit(package(), message_id=wrong)

    # --- receiving ------------------------------------------------------------------------------------------------

    async def test_a_document_comes_with_all_that_is_said_of_it(self, world: World) -> None:
        """Verified bytes, tier, legal value, receivers, the signed report; `done` is known to the axis."""
        body = package()
        document = await world.offer(body)

        async with world.connect(trusted=world.trusted) as station, station.receive() as inbox:
            found = await first(inbox)
            taken = found.body
            report = await found.report()
            message = await found.message()
            await found.done()
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

        assert (body, document) == (taken, found.key)
        assert (found.kind, found.tier, found.value) == (Kind.EDOC, Tier.PASSED, LegalValue.CHECKING)
        assert [one.code for one in found.deliveries] == ["000.00.00.H41"]
        assert isinstance(message, Edoc)
        assert report.is_proven
        assert document == report.facts["document"]
        assert world.outcomes(document) == [Outcome.FETCHED, Outcome.DONE]

    async def test_a_document_for_hundreds_of_organs_is_one_document(self, world: World) -> None:
        """All its deliveries are acknowledged, also those the message itself does not name."""
        codes = [f"000.{number:02d}.{other:02d}.H26" for number in range(16) for other in range(40)]
        document = await world.offer(package(), codes=codes)

        async with world.connect() as station, station.receive() as inbox:
            found = await first(inbox)
            await found.done()
            await until(lambda: set(world.states(document)) == {DeliveryState.ACKNOWLEDGED})

        assert len(codes) == len(found.deliveries) == len(world.states(document))

    async def test_urgent_documents_come_first(self, world: World) -> None:
        """However many normal ones wait."""
        for number in range(5):
            await world.offer(package(number))
        urgent = await world.offer(package(99, priority=3), lane=Lane.URGENT)

        async with world.connect() as station, station.receive() as inbox:
            found = [await first(inbox) for _ in range(6)]

        assert urgent in [one.key for one in found[:2]], "the first may be on its way already"
        assert len({one.key for one in found}) == 6

    async def test_a_failure_is_offered_again_and_then_taken(self, world: World) -> None:
        """`fail` brings the same document back; its reason reaches the axis."""
        document = await world.offer(package())

        async with world.connect() as station, station.receive() as inbox:
            one = await first(inbox)
            await one.fail("cơ sở dữ liệu đang bảo trì")
            two = await first(inbox)
            await two.done()
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

        assert one.key == two.key == document
        assert two.header.attempt > one.header.attempt
        assert world.outcomes(document)[:2] == [Outcome.FETCHED, Outcome.FAIL]

    async def test_a_lost_done_is_said_again_and_nothing_is_handed_out_twice(
        self, world: World, tmp_path: Path
    ) -> None:
        """Offered again after `done`, in this process or the next, it is recognised by its deliveries."""
        document = await world.offer(package(1))

        async with world.connect(state=tmp_path) as station, station.receive() as inbox:
            await (await first(inbox)).done()
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])
            await world.offer_again(document)
            later = await world.offer(package(2))
            assert (await first(inbox)).key == later
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])
        await world.offer_again(document)
        async with world.connect(state=tmp_path) as station, station.receive() as inbox:
            assert (await first(inbox)).key == later, "it was handed out and never ended"
            await nothing(inbox)
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    async def test_what_was_not_ended_comes_again_to_the_next_process(
        self, world: World, tmp_path: Path
    ) -> None:
        """Closed between hand-out and `done`: nothing is lost."""
        documents = {await world.offer(package(number)) for number in range(3)}

        async with world.connect(state=tmp_path) as station, station.receive() as inbox:
            for _ in documents:
                await first(inbox)
        async with world.connect(state=tmp_path) as station, station.receive() as inbox:
            again = {(await first(inbox)).key for _ in documents}

        assert documents == again

    async def test_done_after_a_break_counts_and_nothing_is_handed_out_twice(self, world: World) -> None:
        """The connection is cut while the caller has documents: they are not given to it a second time."""
        documents = [await world.offer(package(number)) for number in range(4)]

        async with world.connect() as station, station.receive() as inbox:
            found = [await first(inbox) for _ in documents]
            world.network.cut()
            later = await world.offer(package(99))
            assert (await first(inbox)).key == later
            for one in found:
                await one.done()
            await until(
                lambda: {DeliveryState.ACKNOWLEDGED} == {world.states(document)[0] for document in documents}
            )
            await nothing(inbox)

        assert sorted(documents) == sorted(one.key for one in found)

    async def test_nothing_is_lost_or_doubled_over_many_cuts(self, world: World, tmp_path: Path) -> None:
        """Sixty documents, the connection cut every few of them: each is handed out once and ends acknowledged."""
        documents = [await world.offer(package(number)) for number in range(60)]
        handed: list[DocumentKey] = []

        async with world.connect(state=tmp_path) as station, station.receive() as inbox:
            async with asyncio.timeout(90):
                while len(handed) < len(documents):
                    document = await anext(inbox)
                    handed.append(document.key)
                    if len(handed) % 7 == 3:
                        world.network.cut()
                    await document.done()
            await until(
                lambda: {DeliveryState.ACKNOWLEDGED} == {world.states(one)[0] for one in documents},
                within_s=40,
            )
            await nothing(inbox)

        assert sorted(documents) == sorted(handed)

    async def test_a_frozen_connection_is_given_up(self, world: World) -> None:
        """Nothing moves, nothing is closed: the client finds out by itself and goes on over a new connection."""
        async with world.connect() as station, station.receive() as inbox:
            one = await world.offer(package(1))
            found = await first(inbox)
            world.network.freeze()
            ending = asyncio.ensure_future(found.done())
            # Long enough for it to notice: its patience in these tests is one second.
            await asyncio.sleep(2.5)
            world.network.thaw()
            async with asyncio.timeout(40):
                await ending
            two = await world.offer(package(2))
            later = await first(inbox, within_s=40)
            await later.done()
            await until(lambda: world.states(one) == world.states(two) == [DeliveryState.ACKNOWLEDGED])

        assert (one, two) == (found.key, later.key)

    async def test_several_tasks_share_an_inbox(self, world: World) -> None:
        """Each document goes to one of them."""
        documents = {await world.offer(package(number)) for number in range(20)}
        handed: list[DocumentKey] = []

        async with world.connect() as station, station.receive() as inbox:

            async def work() -> None:
                async for document in inbox:
                    handed.append(document.key)
                    await document.done()

            tasks = [asyncio.ensure_future(work()) for _ in range(4)]
            await until(lambda: len(handed) == len(documents))
            await inbox.aclose()
            async with asyncio.timeout(10):
                await asyncio.gather(*tasks)

        assert sorted(documents) == sorted(handed)

    async def test_what_is_said_at_the_same_time_goes_in_one_message(self, world: World) -> None:
        """A caller that ends thirty documents at once costs the axis a few messages; each is said once."""
        documents = [await world.offer(package(number)) for number in range(30)]

        async with world.connect() as station, station.receive(window=60) as inbox:
            found = [await first(inbox) for _ in documents]
            # A message is under way long enough for the others to come together behind it.
            world.network.slow(delay_s=0.2)
            async with asyncio.timeout(40):
                await asyncio.gather(*(one.done() for one in found))
            await until(lambda: all(world.states(one) == [DeliveryState.ACKNOWLEDGED] for one in documents))

        done = [[one for one in said if one.outcome is Outcome.DONE] for said in world.sayings()]
        assert sum(map(len, done)) == len(documents)
        assert len([said for said in done if said]) <= 5

    async def test_words_that_are_not_taken_spoil_nobody_elses(self, world: World) -> None:
        """A reason with a character that cannot be recorded is refused alone, whatever is said beside it."""
        busy, good, bad = documents = [await world.offer(package(number)) for number in range(3)]

        async with world.connect() as station, station.receive() as inbox:
            found = {document.key: document for document in [await first(inbox) for _ in documents]}
            world.network.slow(delay_s=0.3)
            # While this one is under way, the others come together behind it.
            ahead = asyncio.ensure_future(found[busy].done())
            await asyncio.sleep(0.1)
            failing = asyncio.ensure_future(found[bad].fail("disk full\0"))
            async with asyncio.timeout(40):
                await asyncio.gather(ahead, found[good].done())
            await until(lambda: world.states(good) == [DeliveryState.ACKNOWLEDGED])
            await asyncio.wait({failing}, timeout=20)

        # On a line this slow a confirm may come too late, and the same is said again.
        assert list(dict.fromkeys(world.outcomes(good))) == [Outcome.FETCHED, Outcome.DONE]
        assert set(world.outcomes(bad)) == {Outcome.FETCHED}

    async def test_giving_up_waiting_loses_nothing(self, world: World) -> None:
        """A caller that stops waiting for the next document at the wrong moment gets it the next time."""
        documents = {await world.offer(package(number)) for number in range(12)}
        handed: set[DocumentKey] = set()

        async with world.connect() as station, station.receive() as inbox:
            pause = 0.001
            async with asyncio.timeout(60):
                while handed != documents:
                    waiting = asyncio.ensure_future(anext(inbox))
                    await asyncio.wait({waiting}, timeout=pause)
                    pause *= 1.3
                    waiting.cancel()
                    await asyncio.wait({waiting})
                    if not waiting.cancelled() and waiting.exception() is None:
                        handed.add(waiting.result().key)
                        await waiting.result().done()

        assert documents == handed

    async def test_only_one_inbox_at_a_time(self, world: World) -> None:
        """A second `receive` is refused, after the first was closed it is not."""
        async with world.connect() as station:
            async with station.receive():
                with pytest.raises(NotPossible):
                    station.receive()
            async with station.receive():
                pass

    async def test_done_twice_is_said_once_and_fail_after_done_changes_nothing(self, world: World) -> None:
        """The first word counts."""
        document = await world.offer(package())

        async with world.connect() as station, station.receive() as inbox:
            found = await first(inbox)
            await asyncio.gather(found.done(), found.done(), found.fail("too late"))
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

        assert found.outcome is Outcome.DONE
        assert world.outcomes(document) == [Outcome.FETCHED, Outcome.DONE]

    async def test_deliveries_can_be_ended_by_their_ids(self, world: World, tmp_path: Path) -> None:
        """By a program that only kept the ids, after the one that received the document had died."""
        document = await world.offer(package())

        async with world.connect() as station, station.receive() as inbox:
            found = await first(inbox)
        async with world.connect(state=tmp_path) as station:
            await station.say([Ack(delivery=one.delivery, outcome=Outcome.DONE) for one in found.deliveries])
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])
            await world.offer_again(document)
            later = await world.offer(package(2))
            async with station.receive() as inbox:
                assert (await first(inbox)).key == later

    async def test_resync_brings_back_what_was_handed_over(self, world: World) -> None:
        """What the caller has is recognised, and still comes to its end."""
        document = await world.offer(package())

        async with world.connect() as station, station.receive() as inbox:
            found = await first(inbox)
            await station.resync()
            later = await world.offer(package(2))
            assert (await first(inbox)).key == later
            await found.done()
            await until(lambda: world.states(document) == [DeliveryState.ACKNOWLEDGED])

    async def test_what_was_taken_back_is_not_handed_out(self, world: World) -> None:
        """Recalled before the caller saw it: never handed out, and the axis is told so."""
        documents = [await world.offer(package(number)) for number in range(3)]

        async with world.connect() as station, station.receive(window=1) as inbox:
            one = await first(inbox)
            (two, three) = [document for document in documents if document != one.key]
            await world.recall(two)
            await one.done()
            found = await first(inbox)
            await found.done()
            await until(lambda: world.states(two) == [DeliveryState.WITHDRAWN])
            await until(lambda: world.states(three) == [DeliveryState.ACKNOWLEDGED])

        assert three == found.key
        assert Outcome.FETCHED not in world.outcomes(two)

    async def test_what_the_axis_keeps_no_longer_is_failed_with_who_has_it(self, world: World) -> None:
        """Its bytes cannot be had any more: the axis hears why, and the next document is not kept waiting."""
        document = await world.offer(package(1, attached=1024 * 1024))
        world.let_go(document)
        later = await world.offer(package(2))

        async with world.connect() as station, station.receive() as inbox:
            assert (await first(inbox)).key == later
            await until(lambda: Outcome.FAIL in world.outcomes(document))

        assert "000.00.00.G22" in world.reason(document)

    async def test_a_large_document_lies_in_a_file(self, world: World, tmp_path: Path) -> None:
        """Above 8 MiB it is fetched into the spool, verified, saved whole, and gone after `done`."""
        body = package(1, attached=7 * 1024 * 1024)
        await world.offer(body)

        async with world.connect_with_http(state=tmp_path / "state") as station, station.receive() as inbox:
            found = await first(inbox)
            assert found.path is not None
            await found.save(tmp_path / "kept.edxml")
            taken = found.body
            await found.done()
            left = list((tmp_path / "state" / "spool").iterdir())
            await station.answer(found, StatusCode.ARRIVED)

        assert body == taken == (tmp_path / "kept.edxml").read_bytes()
        assert left == []

    async def test_a_large_download_goes_on_after_a_cut(self, world: World) -> None:
        """Cut again and again, it continues where it was: what has arrived is not fetched twice."""
        body = package(1, attached=7 * 1024 * 1024)
        await world.offer(body)

        async with world.connect_with_http() as station, station.receive() as inbox:
            waiting = asyncio.ensure_future(anext(inbox))
            for megabytes in (2, 4, 6):
                await until(lambda megabytes=megabytes: world.web.bytes_forwarded > megabytes << 20)  # type: ignore[misc]
                world.web.cut()
            async with asyncio.timeout(40):
                found = await waiting
            taken = found.body

        assert body == taken
        assert world.web.bytes_forwarded < 2 * len(body)

    async def test_a_large_submission_is_uploaded_and_goes_on_after_a_cut(
        self, world: World, tmp_path: Path
    ) -> None:
        """Above 8 MiB it travels in pieces; a cut connection costs one piece at most."""
        body = package(1, attached=15 * 1024 * 1024)
        path = tmp_path / "large.edxml"
        path.write_bytes(body)

        async with world.connect_with_http(trusted=world.trusted) as station:
            sending = asyncio.ensure_future(station.submit(path, message_id="large"))
            for megabytes in (5, 11):
                await until(lambda megabytes=megabytes: world.web.bytes_forwarded > megabytes << 20)  # type: ignore[misc]
                world.web.cut()
            async with asyncio.timeout(60):
                answer = await sending

        assert SubmissionState.ACCEPTED is answer.state
        assert hashlib.sha256(body).hexdigest() == answer.digest
        assert world.web.bytes_forwarded < 2 * len(body)

    async def test_a_small_submission_by_digest(self, world: World) -> None:
        """Uploaded first when the caller wants it so; the receipt is about the bytes all the same."""
        body = package()

        async with world.connect_with_http(trusted=world.trusted) as station:
            answer = await station.submit(body, by_digest=True)

        assert hashlib.sha256(body).hexdigest() == answer.digest

    async def test_bytes_that_are_not_the_headers_are_never_handed_out(self, world: World) -> None:
        """The axis is told why, the document behind it comes."""
        wrong = await world.offer(package(1), claim=Digest("0" * 64))
        right = await world.offer(package(2))

        async with world.connect() as station, station.receive() as inbox:
            found = await first(inbox)
            await until(lambda: Outcome.FAIL in world.outcomes(wrong))

        assert right == found.key
        assert Outcome.FETCHED not in world.outcomes(wrong)

    # --- proof ----------------------------------------------------------------------------------------------------

    async def test_a_receipt_by_another_key_is_not_believed(self, world: World) -> None:
        """With pinned keys the answer is raised as not proven; it stands in the error."""
        async with world.connect(trusted=OTHER_KEYS) as station:
            with pytest.raises(NotProven) as error:
                await station.submit(package())

        assert error.value.step == "key"
        assert error.value.answer is not None
        assert SubmissionState.ACCEPTED is error.value.answer.state

    async def test_a_report_by_another_key_is_not_believed(self, world: World) -> None:
        """Also when it is the very report the header names."""
        await world.offer(package())

        async with world.connect(trusted=OTHER_KEYS) as station, station.receive() as inbox:
            found = await first(inbox)
            with pytest.raises(NotProven):
                await found.report()

    async def test_every_answer_is_kept_as_a_file(self, world: World, tmp_path: Path) -> None:
        """A folder of receipts, one file each, that anybody can verify later."""
        async with world.connect(receipts=tmp_path / "receipts") as station:
            answers = [await station.submit(package(number)) for number in range(3)]

        kept = [read_answer(load(path.read_bytes())) for path in (tmp_path / "receipts").iterdir()]
        assert sorted(one.submission for one in answers) == sorted(one.submission for one in kept)
        for one in kept:
            assert one.receipt is not None
            verify_receipt(one.receipt, keys=world.trusted)

    # --- statuses -------------------------------------------------------------------------------------------------

    async def test_a_document_is_answered_with_a_status(self, world: World) -> None:
        """03 from the receiving organ to the sender, naming the document as its sender did."""
        await world.offer(package(7))

        async with world.connect(trusted=world.trusted) as station, station.receive() as inbox:
            found = await first(inbox)
            status = await station.status_for(
                found, StatusCode.REGISTERED, at=found.header.sent_at, description="Đã vào sổ"
            )
            answer = await station.answer(found, StatusCode.REGISTERED, description="Đã vào sổ")

        assert SubmissionState.ACCEPTED is answer.state
        assert isinstance(status, Status)
        assert status.response_for is not None
        assert (status.status_code, status.sender.organ_id) == ("03", "000.00.00.H41")
        assert status.response_for.document_id == "000.00.00.G22,2026/03/02,7/VPCP-TTĐT"
        assert status.sender.organ_name, "as the document names its receiver"

    async def test_it_must_be_clear_which_organ_answers(self, world: World) -> None:
        """A document for two organs of the station is answered by the one that is named."""
        await world.offer(package(), codes=("000.00.00.H41", "000.00.00.H14"))

        async with world.connect() as station, station.receive() as inbox:
            found = await first(inbox)
            with pytest.raises(NotPossible):
                await station.answer(found, StatusCode.ARRIVED)
            answer = await station.answer(found, StatusCode.ARRIVED, organ="000.00.00.H14")

        assert SubmissionState.ACCEPTED is answer.state

    # --- asking ---------------------------------------------------------------------------------------------------

    async def test_where_a_document_is(self, world: World) -> None:
        """By the axis's id and by the sender's own, with a line for each receiver."""
        async with world.connect() as station:
            answer = await station.submit(package(5))
            assert answer.document is not None
            by_key = await station.where_is(answer.document)
            by_name = await station.where_is("000.00.00.G22,2026/03/02,5/VPCP-TTĐT")

        assert by_key == by_name
        assert [one.code for one in by_key.deliveries] == ["000.00.00.H41", "000.00.00.H14"]

    async def test_what_does_not_exist_is_not_found(self, world: World) -> None:
        """And a name that fits two documents names them both."""
        async with world.connect() as station:
            with pytest.raises(NotFound):
                await station.where_is("nothing/at all?")
            answers = [await station.submit(package(6, attached=size)) for size in (0, 1)]
            with pytest.raises(Ambiguous) as several:
                await station.where_is("000.00.00.G22,2026/03/02,6/VPCP-TTĐT")

        assert {one.document for one in answers} == set(several.value.candidates)

    @pytest.mark.requirement("LR-17", "LR-22")
    async def test_what_is_owed(self, world: World) -> None:
        """By this station and to it, each duty on its own, page by page, member for member."""
        mine = [world.owe(duty, by=OwedBy.ME) for duty in Duty for _ in range(3)]
        to_me = [world.owe(duty, by=OwedBy.OTHERS) for duty in Duty]
        world.list_by(2)

        async with world.connect() as station:
            pages = [await station.owed(duty) for duty in Duty]
            rest = [await station.owed(duty, after=page.next) for duty, page in zip(Duty, pages, strict=True)]
            theirs = [(await station.owed(duty, by=OwedBy.OTHERS)).owed for duty in Duty]

        assert [one for page in zip(pages, rest, strict=True) for part in page for one in part.owed] == mine
        assert [page.next for page in pages] == [mine[1].delivery, mine[4].delivery, mine[7].delivery]
        assert {page.next for page in rest} == {None}
        assert [one for page in theirs for one in page] == to_me

    async def test_events_go_on_where_the_last_reading_ended(self, world: World, tmp_path: Path) -> None:
        """In order; read to the end of each; the one under way comes again."""
        records = [await world.tell(EventKind.DELIVERY_FETCHED) for _ in range(4)]

        async with world.connect(state=tmp_path) as station, station.events() as events:
            begun = [(await first(events)).record for _ in range(2)]
        async with world.connect(state=tmp_path) as station, station.events() as events:
            rest = [(await first(events)).record for _ in range(3)]
            later = await world.tell(EventKind.DOCUMENT_VALUED)
            told = await first(events)

        assert records[:2] == begun
        assert records[1:] == rest
        assert (later, EventKind.DOCUMENT_VALUED) == (told.record, told.event and told.event.kind)

    async def test_giving_up_waiting_for_an_event_loses_none(self, world: World) -> None:
        """A reader with a time limit goes on reading afterwards, and each event comes once."""
        records = [await world.tell(EventKind.DELIVERY_FETCHED) for _ in range(10)]
        read: list[str] = []

        async with world.connect() as station, station.events() as events:
            pause = 0.001
            async with asyncio.timeout(60):
                while len(read) < len(records):
                    waiting = asyncio.ensure_future(anext(events))
                    await asyncio.wait({waiting}, timeout=pause)
                    pause *= 1.3
                    waiting.cancel()
                    await asyncio.wait({waiting})
                    if not waiting.cancelled() and waiting.exception() is None:
                        read.append(waiting.result().record)
            with pytest.raises(NotPossible):
                station.events()

        assert records == read

    async def test_events_do_not_wait_behind_submissions_nor_these_behind_events(self, world: World) -> None:
        """A caller that submits while it reads events is answered, however many events wait."""
        for _ in range(150):
            await world.tell(EventKind.DELIVERY_FETCHED)

        async with world.connect() as station, station.events() as events:
            await first(events)
            answer = await station.submit(package(), within=20)

        assert SubmissionState.ACCEPTED is answer.state

    # --- who may, and the end -------------------------------------------------------------------------------------

    async def test_a_wrong_key_is_said_at_once(self, world: World) -> None:
        """Also by `receive` and `events`, which otherwise wait for ever."""
        wrong = Credentials(
            station=world.credentials.station,
            key=f"{world.credentials.station}.{'x' * 43}",
            queue_secret=world.credentials.queue_secret,
        )

        async with world.connect(credentials=wrong) as station:
            async with asyncio.timeout(20):
                with pytest.raises(NotAllowed):
                    await station.submit(package())
                with pytest.raises(NotAllowed):
                    await anext(station.receive())
                async with station.events() as events:
                    with pytest.raises(NotAllowed):
                        await anext(events)

    async def test_a_suspended_station_waits_until_it_is_resumed(self, world: World) -> None:
        """Once it was connected, it goes on by itself when the operator says so."""
        async with world.connect() as station, station.receive() as inbox:
            one = await world.offer(package(1))
            await (await first(inbox)).done()
            await until(lambda: world.states(one) == [DeliveryState.ACKNOWLEDGED])
            await world.suspend(suspended=True)
            waiting = asyncio.ensure_future(anext(inbox))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await world.suspend(suspended=False)
            two = await world.offer(package(2))
            async with asyncio.timeout(30):
                found = await waiting

        assert two == found.key

    async def test_closing_ends_everything_that_waits(self, world: World) -> None:
        """An inbox ends, other calls say that the station was closed."""
        station = world.connect()
        await station.open()
        await station.submit(package())
        inbox = station.receive()
        events, receipts = station.events(), station.receipts()
        waiting = [asyncio.ensure_future(anext(one, None)) for one in (inbox, events, receipts)]
        await asyncio.sleep(0.2)

        async with asyncio.timeout(10):
            await station.close()
            last = await asyncio.gather(*waiting)

        assert last == [None] * 3
        with pytest.raises(Closed):
            await station.submit(package())
