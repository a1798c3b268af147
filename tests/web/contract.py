"""
What a station may rely on over HTTP, whichever axis is behind the API.

A test module inherits `StationContract` and provides the fixture `served`. Everything is done and seen over HTTP; what
differs between axes (how a package is made, when the log is numbered) is asked of the `World`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx2
import pytest
from pydantic import BaseModel

from axis.core.exchange import (
    Ack,
    Answer,
    Ask,
    Consignment,
    FeedEntry,
    Outcome,
    OwedList,
    StationMessage,
    dump,
    load,
    read_answer,
    read_consignment,
    read_events,
    read_owed_list,
    read_submitted,
    read_whereabouts,
    station_message_json,
)
from axis.core.model import DeliveryId, DeliveryState, Digest, DocumentKey, StationId, SubmissionState
from axis.core.reasons import ReasonCode
from axis.web import shapes, wire
from signing.merkle import verify_consistency
from signing.note import VerifierKey, verify_checkpoint, verify_proof
from signing.receipts import TrustedKeys, verify_receipt


class World(Protocol):
    """An axis that is served, with stations that exist in it."""

    @property
    def url(self) -> str: ...
    @property
    def sender(self) -> str:
        """API key of the station that sends."""
        ...

    @property
    def receiver(self) -> str:
        """API key of the station every document goes to."""
        ...

    @property
    def stranger(self) -> str:
        """API key of a station that has to do with none of it."""
        ...

    @property
    def suspended(self) -> str:
        """API key of a suspended station."""
        ...

    def document(self, *, is_urgent: bool = False, size: int = 0) -> bytes:
        """A package of the sender for the receiver that will be accepted; another one each time, `size` or larger."""
        ...

    def unacceptable(self) -> bytes:
        """Bytes that will be refused."""
        ...

    def status(self, document: bytes, code: str) -> bytes:
        """An edXML status of the receiver that answers the document."""
        ...

    def name(self, document: bytes) -> str:
        """Its `DocumentId`."""
        ...

    async def number(self) -> None:
        """Number everything recorded so far, and sign a checkpoint over it."""
        ...

    async def pass_deadlines(self) -> None:
        """Let the time go by until which what was sent so far had to be answered, and record that it did."""
        ...


class Caller:
    """A station at the API, with the contract's readers."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self._submissions = 0
        self._listed: dict[DocumentKey, Consignment] = {}

    async def get(self, path: str, **query: str | int) -> httpx2.Response:
        return await self.client.get(path if path.startswith(wire.BASE) else wire.BASE + path, params=query)

    async def submit(
        self, body: bytes, *, message_id: str | None = None, path: str = wire.SUBMISSIONS, **headers: str
    ) -> Answer:
        if message_id is None:
            # By content: the same station may hand in the same bytes under another id.
            self._submissions += 1
            message_id = f"{hashlib.sha256(body).hexdigest()[:16]}-{self._submissions}"
        response = await self.client.post(
            wire.BASE + path,
            content=body,
            headers={
                wire.IDEMPOTENCY_KEY: message_id,
                "Content-Type": wire.EDXML,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        assert response.status_code == 202, response.text
        return read_answer(load(shaped(response, shapes.Answer)))

    async def accepted(self, body: bytes, **headers: str) -> DocumentKey:
        """The key of a document that must be accepted."""
        answer = await self.submit(body, **headers)
        assert answer.state is SubmissionState.ACCEPTED, answer
        assert answer.document is not None
        return answer.document

    async def inbox(self, **query: int) -> tuple[Consignment, ...]:
        response = await self.get(wire.INBOX, **query)
        assert response.status_code == 200, response.text
        return wire.read_inbox(load(shaped(response, shapes.Inbox)))

    async def one(self, document: DocumentKey) -> Consignment:
        """List the inbox until the document has come; what came with it is kept for later."""
        async with asyncio.timeout(30):
            while document not in self._listed:
                self._listed |= {found.document: found for found in await self.inbox(wait=5)}
        return self._listed.pop(document)

    async def delivery(self, document: DocumentKey) -> DeliveryId:
        """The station's one delivery of a document, listed if it was not."""
        return (await self.one(document)).deliveries[0].delivery

    async def events(self, **query: int) -> tuple[FeedEntry, ...]:
        response = await self.get(wire.EVENTS, **query)
        assert response.status_code == 200, response.text
        return read_events(load(shaped(response, shapes.Events)))

    async def owed(self, **query: str | int) -> OwedList:
        response = await self.get(wire.OWED, **query)
        assert response.status_code == 200, response.text
        return read_owed_list(load(shaped(response, shapes.Owed)))

    async def say(self, *acks: Ack, ask: Ask | None = None) -> None:
        response = await self.client.post(
            wire.BASE + wire.ACKS,
            content=dump(station_message_json(StationMessage(acks=acks, ask=ask))),
            headers={"Content-Type": wire.JSON_TYPE},
        )
        assert response.status_code == 204, response.text

    async def state(self, document: DocumentKey) -> list[DeliveryState]:
        response = await self.get(wire.path(wire.WHERE_IS, document))
        assert response.status_code == 200, response.text
        where = read_whereabouts(load(shaped(response, shapes.Whereabouts)))
        return [line.state for line in where.deliveries]

    async def put(
        self, body: bytes, *, digest: str | None = None, piece: wire.Piece | None = None
    ) -> httpx2.Response:
        return await self.client.put(
            wire.path(wire.UPLOADS, digest or hashlib.sha256(body).hexdigest()),
            content=body,
            headers={"Content-Range": piece.header} if piece is not None else {},
        )

    async def whoami(self) -> wire.Whoami:
        response = await self.get(wire.WHOAMI)
        assert response.status_code == 200, response.text
        return wire.read_whoami(load(shaped(response, shapes.Whoami)))

    async def keys(self) -> TrustedKeys:
        who = await self.whoami()
        keys = [VerifierKey.read(one) for one in who.log_keys]
        return TrustedKeys(
            receipts=tuple(one for one in keys if one.name != who.log_origin),
            log=tuple(one for one in keys if one.name == who.log_origin),
        )


def shaped(response: httpx2.Response, shape: type[BaseModel]) -> bytes:
    """The body, after a check that it is what the OpenAPI document says."""
    assert response.headers["Content-Type"] == wire.JSON_TYPE
    assert response.headers["Cache-Control"] == "no-store"
    shape.model_validate_json(response.content)
    return response.content


def refused_with(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that this is a problem of that kind; its body."""
    assert (response.status_code, response.headers["Content-Type"]) == (status, wire.PROBLEM), response.text
    shapes.Problem.model_validate_json(response.content)
    body: dict[str, Any] = json.loads(response.content)
    assert body["code"] == code
    assert body["status"] == status
    assert wire.read_problem(status, response.content).code == code
    return body


@asynccontextmanager
async def calling(world: World, key: str | None) -> AsyncIterator[Caller]:
    """The API as the owner of a key sees it."""
    headers = {"Authorization": wire.bearer(key)} if key is not None else {}
    async with httpx2.AsyncClient(base_url=world.url, headers=headers, timeout=30, trust_env=False) as client:
        yield Caller(client)


class StationContract:
    """Inherit it, and give `served`."""

    @pytest.fixture
    async def sender(self, served: World) -> AsyncIterator[Caller]:
        async with calling(served, served.sender) as caller:
            yield caller

    @pytest.fixture
    async def receiver(self, served: World) -> AsyncIterator[Caller]:
        async with calling(served, served.receiver) as caller:
            yield caller

    @pytest.fixture
    async def stranger(self, served: World) -> AsyncIterator[Caller]:
        async with calling(served, served.stranger) as caller:
            yield caller

    # --- handing in

    async def test_an_accepted_document_is_answered_with_a_receipt_that_verifies(
        self, served: World, sender: Caller
    ) -> None:
        """202, the key of the document, a line per receiver, and evidence."""
        body = served.document()

        answer = await sender.submit(body, message_id="first")

        assert answer.state is SubmissionState.ACCEPTED
        assert answer.message_id == "first"
        assert answer.digest == hashlib.sha256(body).hexdigest()
        assert [line.state for line in answer.deliveries] == [DeliveryState.WAITING]
        assert answer.receipt is not None
        verify_receipt(answer.receipt, keys=await sender.keys())
        assert answer.submission in answer.receipt.record

    async def test_the_same_submission_again_gets_the_same_answer(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """A caller that lost the answer asks by sending again; nothing travels twice."""
        body = served.document()

        first = await sender.submit(body, message_id="again")
        second = await sender.submit(body, message_id="again")

        assert (second.submission, second.document) == (first.submission, first.document)
        assert first.document is not None
        assert (await receiver.one(first.document)).attempt == 1
        assert await receiver.inbox() == ()

    async def test_a_refusal_is_an_answer_with_every_cause_in_both_languages(
        self, served: World, sender: Caller
    ) -> None:
        """202 `refused`: judged and recorded, with its reason and what to do."""
        response = await sender.client.post(
            wire.BASE + wire.SUBMISSIONS,
            content=served.unacceptable(),
            headers={wire.IDEMPOTENCY_KEY: "bad", "Content-Type": wire.EDXML},
        )

        assert response.status_code == 202
        answer = read_answer(load(shaped(response, shapes.Answer)))
        assert answer.state is SubmissionState.REFUSED
        assert answer.document is None
        for cause in response.json()["causes"]:
            assert cause["vi"]
            assert cause["en"]
            assert cause["next"]["vi"]
        assert answer.receipt is not None
        verify_receipt(answer.receipt, keys=await sender.keys())

    async def test_bytes_with_another_digest_than_declared_are_refused(
        self, served: World, sender: Caller
    ) -> None:
        """X-Axis-Digest catches what was damaged on the way."""
        answer = await sender.submit(served.document(), **{wire.DIGEST: "0" * 64})

        assert answer.reason is ReasonCode.RECEIVE_DIGEST

    async def test_an_empty_body_is_refused(self, sender: Caller) -> None:
        """Nothing is something that was handed in, and is answered."""
        assert (await sender.submit(b"")).reason is ReasonCode.RECEIVE_EMPTY

    async def test_a_submission_needs_one_message_id(self, served: World, sender: Caller) -> None:
        """Without it a lost answer could not be asked for; nothing is recorded."""
        for given in ([], ["a", "b"], [""], ["a b"], ["x" * 256], ["ồ"]):
            response = await sender.client.post(
                wire.BASE + wire.SUBMISSIONS,
                content=served.document(),
                headers=[(wire.IDEMPOTENCY_KEY.encode(), one.encode()) for one in given],
            )

            refused_with(response, 400, "receive.no_message_id")

    async def test_a_large_document_arrives_byte_for_byte(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """Through the spool and out again, whole and in parts."""
        body = served.document(size=1_500_000)
        document = await sender.accepted(body)
        header = await receiver.one(document)
        path = wire.path(wire.PAYLOAD, document)

        whole = await receiver.get(path)
        parts = [
            await receiver.client.get(path, headers={"Range": one})
            for one in ("bytes=0-999999", "bytes=1000000-", "bytes=-10", f"bytes=5-{10**14}")
        ]

        assert whole.status_code == 200
        assert whole.content == body
        assert whole.headers["Content-Type"] == wire.EDXML
        assert whole.headers["Content-Length"] == str(header.size)
        assert whole.headers[wire.DIGEST] == header.digest == hashlib.sha256(body).hexdigest()
        assert {one.status_code for one in parts} == {206}
        assert parts[0].content + parts[1].content == body
        assert parts[2].content == body[-10:]
        assert parts[3].content == body[5:]
        assert parts[0].headers["Content-Range"] == f"bytes 0-999999/{len(body)}"

    async def test_a_sender_may_fetch_what_it_sent(self, served: World, sender: Caller) -> None:
        """To compare what travels with what was signed."""
        body = served.document()
        document = await sender.accepted(body)

        assert (await sender.get(wire.path(wire.PAYLOAD, document))).content == body

    # --- uploads

    async def test_an_upload_may_be_submitted_by_its_digest(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """First the bytes, then a submission that names them."""
        body = served.document(size=300_000)
        digest = hashlib.sha256(body).hexdigest()

        uploaded = await sender.put(body)
        answer = await sender.submit(digest.encode(), Content_Type=wire.BY_DIGEST)

        assert uploaded.status_code == 201
        state = wire.read_upload(load(shaped(uploaded, shapes.Upload)))
        assert state == wire.Upload(digest=Digest(digest), offset=len(body), complete=True)
        assert answer.state is SubmissionState.ACCEPTED
        assert answer.digest == digest
        assert answer.document is not None
        assert (await receiver.get(wire.path(wire.PAYLOAD, answer.document))).content == body

    async def test_an_upload_comes_in_pieces_and_goes_on_where_it_was(
        self, served: World, sender: Caller
    ) -> None:
        """Every answer says where to go on."""
        body = served.document(size=250_000)
        digest, total = Digest(hashlib.sha256(body).hexdigest()), len(body)
        path = wire.path(wire.UPLOADS, digest)
        first = wire.Piece(start=0, end=99_999, total=total)
        rest = wire.Piece(start=100_000, end=total - 1, total=total)

        before = await sender.get(path)
        partial = await sender.put(body[:100_000], digest=digest, piece=first)
        between = await sender.get(path)
        wrong = await sender.put(body[:100_000], digest=digest, piece=first)
        done = await sender.put(body[100_000:], digest=digest, piece=rest)
        repeated = await sender.put(body[100_000:], digest=digest, piece=rest)
        after = await sender.get(path)

        assert [one.status_code for one in (before, partial, between, done, repeated, after)] == [
            200, 202, 200, 201, 200, 200,
        ]  # fmt: skip
        assert [one.json()["offset"] for one in (before, partial, between, done, repeated, after)] == [
            0, 100_000, 100_000, total, total, total,
        ]  # fmt: skip
        refused_with(wrong, 409, "http.upload_offset")
        assert wrong.headers[wire.UPLOAD_OFFSET] == "100000"
        assert after.json()["complete"] is True

    async def test_an_upload_whose_last_answer_was_lost_is_finished_by_an_empty_piece(
        self, served: World, sender: Caller
    ) -> None:
        """All bytes are there, and a process died before it said so."""
        body = served.document(size=10_000)
        digest, total = hashlib.sha256(body).hexdigest(), len(body)
        # More than the body, so that all of it arrives and is not the end.
        await sender.put(body, digest=digest, piece=wire.Piece(start=0, end=total - 1, total=total + 1))

        done = await sender.put(b"", digest=digest, piece=wire.Piece(start=total, end=total - 1, total=total))

        assert done.status_code == 201
        assert done.json()["complete"] is True

    async def test_an_upload_with_other_bytes_than_its_digest_is_gone(
        self, served: World, sender: Caller
    ) -> None:
        """Verified from the first byte to the last; the next attempt begins at 0."""
        digest = hashlib.sha256(b"another").hexdigest()

        wrong = await sender.put(served.document(), digest=digest)

        refused_with(wrong, 422, "receive.digest_mismatch")
        assert (await sender.get(wire.path(wire.UPLOADS, digest))).json()["offset"] == 0

    async def test_nobody_submits_what_somebody_else_uploaded(
        self, served: World, sender: Caller, stranger: Caller
    ) -> None:
        """To know a digest is not to have the bytes."""
        body = served.document()
        digest = hashlib.sha256(body).hexdigest()
        await sender.put(body)

        answer = await stranger.submit(digest.encode(), Content_Type=wire.BY_DIGEST)

        assert answer.reason is ReasonCode.RECEIVE_NOT_UPLOADED
        assert (await stranger.get(wire.path(wire.UPLOADS, digest))).json()["offset"] == 0

    # --- taking

    async def test_the_inbox_lists_urgent_documents_first_and_each_once(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """What was listed is leased: the next listing brings what is next."""
        normal = await sender.accepted(served.document())
        urgent = await sender.accepted(served.document(is_urgent=True))

        first = await receiver.inbox(limit=1)
        second = await receiver.inbox()
        third = await receiver.inbox()

        assert [one.document for one in first] == [urgent]
        assert [one.document for one in second] == [normal]
        assert third == ()

    async def test_a_poll_waits_until_there_is_something(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """A receiver that is there gets a document when it comes."""
        poll = asyncio.create_task(receiver.inbox(wait=30))
        # An answer to somebody else's question shows that the poll is on its way, too.
        await receiver.whoami()

        document = await sender.accepted(served.document())

        assert [one.document for one in await poll] == [document]

    async def test_a_poll_without_anything_ends_empty(self, stranger: Caller) -> None:
        """After the time it asked for."""
        assert await stranger.inbox(wait=1) == ()

    async def test_done_is_seen_by_the_sender(self, served: World, sender: Caller, receiver: Caller) -> None:
        """Waiting, handed over, fetched, acknowledged: the sender sees each."""
        document = await sender.accepted(served.document())
        seen = [await sender.state(document)]
        header = await receiver.one(document)
        seen.append(await sender.state(document))
        delivery = header.deliveries[0].delivery
        await receiver.say(Ack(delivery=delivery, outcome=Outcome.FETCHED))
        seen.append(await sender.state(document))
        await receiver.say(Ack(delivery=delivery, outcome=Outcome.DONE))
        await receiver.say(Ack(delivery=delivery, outcome=Outcome.DONE))
        seen.append(await sender.state(document))

        assert seen == [
            [DeliveryState.WAITING],
            [DeliveryState.HANDED_OVER],
            [DeliveryState.FETCHED],
            [DeliveryState.ACKNOWLEDGED],
        ]

    async def test_an_acknowledgement_of_somebody_else_changes_nothing(
        self, served: World, sender: Caller, receiver: Caller, stranger: Caller
    ) -> None:
        """Whoever knows the id of a delivery is not its receiver."""
        document = await sender.accepted(served.document())
        delivery = (await receiver.one(document)).deliveries[0].delivery

        await stranger.say(Ack(delivery=delivery, outcome=Outcome.DONE))

        assert await sender.state(document) == [DeliveryState.HANDED_OVER]

    async def test_resync_offers_again_what_was_not_acknowledged(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """A station that lost its memory asks for everything again: same delivery."""
        document = await sender.accepted(served.document())
        before = await receiver.one(document)

        await receiver.say(ask=Ask.RESYNC)

        after = await receiver.one(document)
        assert after.deliveries == before.deliveries
        assert after.attempt > before.attempt

    async def test_a_consignment_and_its_report_can_be_asked_for(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """By document; the report has the digest the consignment names, and a signature."""
        document = await sender.accepted(served.document())
        listed = await receiver.one(document)

        asked = await receiver.get(wire.path(wire.CONSIGNMENT, document))
        report = await receiver.get(wire.path(wire.REPORT, document))

        found = read_consignment(load(shaped(asked, shapes.Consignment)))
        assert (found.consignment, found.deliveries) == (listed.consignment, listed.deliveries)
        signed = wire.read_report(load(shaped(report, shapes.Report)))
        assert hashlib.sha256(signed.report).hexdigest() == listed.report
        assert signed.receipt.record.encode() == signed.report
        verify_receipt(signed.receipt, keys=await receiver.keys())

    # --- asking

    async def test_a_status_of_the_receiver_reaches_the_sender(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """It comes as a message, and as the state of the document."""
        body = served.document()
        document = await sender.accepted(body)
        header = await receiver.one(document)
        await receiver.say(Ack(delivery=header.deliveries[0].delivery, outcome=Outcome.DONE))
        status = served.status(body, "03")

        answer = await receiver.submit(status, path=wire.STATUSES)

        assert answer.state is SubmissionState.ACCEPTED
        assert answer.document is not None
        assert (await sender.get(wire.path(wire.PAYLOAD, answer.document))).content == status
        where = (await sender.get(wire.path(wire.WHERE_IS, document))).json()
        assert [line["status"] for line in where["deliveries"]] == ["03"]

    async def test_a_document_is_found_by_its_own_name(self, served: World, sender: Caller) -> None:
        """DocumentId is free text, and may hold a slash."""
        body = served.document()
        document = await sender.accepted(body)

        response = await sender.get(wire.path(wire.WHERE_IS, served.name(body)))

        assert read_whereabouts(load(shaped(response, shapes.Whereabouts))).document == document

    async def test_a_station_finds_what_it_handed_in(
        self, served: World, sender: Caller, stranger: Caller
    ) -> None:
        """Newest first, once however often it came, and only its own; one of them by any of its names."""
        bodies = [served.document() for _ in range(3)]
        made = [
            await sender.submit(body, message_id=f"listed-{number}") for number, body in enumerate(bodies)
        ]
        await sender.submit(bodies[1], message_id="listed-1")

        listed = shaped(await sender.get(wire.SUBMISSIONS), shapes.Submissions)
        page = (await sender.get(wire.SUBMISSIONS, offset="1", limit="1")).json()["submissions"]
        named = [
            (await sender.get(wire.SUBMISSIONS, named=str(name))).json()["submissions"]
            for name in (made[1].submission, made[1].document, "nothing", "01KJN0VQ8R4N6P2T3V5W7X9Y1Z")
        ]
        late = await sender.get(wire.SUBMISSIONS, since="2999-01-01T00:00:00+07:00")
        others = await stranger.get(wire.SUBMISSIONS, named=made[0].submission)

        lines = [read_submitted(one) for one in load(listed)["submissions"]]
        assert [one.submission for one in lines[:3]] == [one.submission for one in reversed(made)]
        assert [one.document for one in lines[:3]] == [one.document for one in reversed(made)]
        assert [one["submission"] for one in page] == [made[1].submission]
        assert [[one["submission"] for one in found] for found in named] == [
            [made[1].submission],
            [made[1].submission],
            [],
            [],
        ]
        assert late.json()["submissions"] == others.json()["submissions"] == []
        refused_with(await sender.get(wire.SUBMISSIONS, since="yesterday"), 400, "http.query")
        refused_with(await sender.get(wire.SUBMISSIONS, offset="-1"), 400, "http.query")

    @pytest.mark.requirement("LR-17")
    async def test_both_sides_see_what_is_owed_and_nobody_else(
        self, served: World, sender: Caller, receiver: Caller, stranger: Caller
    ) -> None:
        """Nothing before the deadline; then what nobody answered, page by page, as the duty of the receiver."""
        documents = [await sender.accepted(served.document()) for _ in range(3)]
        before = await receiver.owed(duty="receipt")
        await served.pass_deadlines()

        owed = await receiver.owed(duty="receipt")
        page = await sender.owed(duty="receipt", by="others", limit=2)
        rest = await sender.owed(duty="receipt", by="others", limit=2, after=str(page.next))

        assert (before.owed, before.next) == ((), None)
        assert [one.document for one in owed.owed] == documents
        assert all(one.is_late and one.due is not None for one in owed.owed)
        assert ((*page.owed, *rest.owed), rest.next) == (owed.owed, None)
        nothing = [await sender.owed(duty="receipt"), await receiver.owed(duty="receipt", by="others")]
        nothing += [await receiver.owed(duty=duty) for duty in ("reply", "request")]
        nothing += [await stranger.owed(duty="receipt", by=by) for by in ("me", "others")]
        assert [one.owed for one in nothing] == [()] * 6
        for wrong in ({}, {"duty": "all"}, {"duty": "reply", "by": "them"}, {"duty": "reply", "after": "0"}):
            refused_with(await sender.get(wire.OWED, **wrong), 400, "http.query")

    async def test_a_receipt_gets_its_proof(self, served: World, sender: Caller) -> None:
        """As soon as a checkpoint covers it; by submission or by message id."""
        answer = await sender.submit(served.document(), message_id="proved")
        await served.number()

        by_submission = await sender.get(wire.RECEIPTS, submission=answer.submission)
        by_message = await sender.get(wire.RECEIPTS, message_id="proved")

        found = read_answer(load(shaped(by_submission, shapes.Answer)))
        assert by_message.json()["submission"] == answer.submission
        assert found.receipt is not None
        assert found.receipt.proof is not None
        verified = verify_receipt(found.receipt, keys=await sender.keys(), proof=found.receipt.proof)
        assert verified.index is not None

    async def test_events_come_in_the_order_of_the_log(
        self, served: World, sender: Caller, receiver: Caller
    ) -> None:
        """Page by page, each once; a poll waits for the next."""
        documents = [await sender.accepted(served.document()) for _ in range(3)]
        for document in documents[:2]:
            await receiver.say(Ack(delivery=await receiver.delivery(document), outcome=Outcome.DONE))
        await served.number()

        seen: list[FeedEntry] = []
        after = -1
        while page := await sender.events(after=after, limit=1):
            seen += page
            after = page[-1].index
        poll = asyncio.create_task(sender.events(after=after, wait=30))
        await receiver.say(Ack(delivery=await receiver.delivery(documents[2]), outcome=Outcome.DONE))
        await served.number()
        later = await poll

        told = [json.loads(one.record) for one in seen]
        taken = [one["document"] for one in told if one["kind"] == "delivery.acknowledged"]
        assert taken == documents[:2]
        assert [one.index for one in seen] == sorted({one.index for one in seen})
        assert {json.loads(one.record).get("document") for one in later} == {documents[2]}
        assert await receiver.events() == ()

    async def test_whoami_tells_a_station_who_it_is(self, served: World, sender: Caller) -> None:
        """Its organs, and the keys to pin."""
        who = await sender.whoami()

        assert who.station == served.sender.partition(".")[0]
        assert who.organs
        assert who.log_origin
        assert (await sender.keys()).log

    async def test_the_log_is_open_to_everybody(self, served: World, sender: Caller) -> None:
        """Checkpoint, growth and membership can be verified without a credential."""
        await sender.submit(served.document())
        await served.number()
        keys = await sender.keys()
        async with calling(served, None) as anybody:
            early = verify_checkpoint((await anybody.get(wire.CHECKPOINT)).text, keys=keys.log)
            answer = await sender.submit(served.document())
            await served.number()
            late = verify_checkpoint((await anybody.get(wire.CHECKPOINT)).text, keys=keys.log)
            grown = await anybody.get(wire.CONSISTENCY, old=early.size, new=late.size)
            found = (await sender.get(wire.RECEIPTS, submission=answer.submission)).json()["receipt"]
            leaf = hashlib.sha256(b"\x00" + found["record"].encode()).digest()
            index, _ = verify_proof(found["proof"], leaf=leaf, keys=keys.log)
            proof = await anybody.get(wire.path(wire.PROOF, index))

        shaped(grown, shapes.Consistency)
        verify_consistency(
            old=early.size,
            old_root=early.root,
            new=late.size,
            new_root=late.root,
            proof=[bytes.fromhex(one) for one in grown.json()["hashes"]],
        )
        assert proof.headers["Content-Type"].startswith("text/plain")
        assert verify_proof(proof.text, leaf=leaf, keys=keys.log)[0] == index

    async def test_a_proof_that_does_not_exist_is_not_found(self, served: World) -> None:
        """Leaves and sizes that are not there yet."""
        async with calling(served, None) as anybody:
            refused_with(await anybody.get(wire.path(wire.PROOF, 10**9)), 404, "http.not_found")
            refused_with(await anybody.get(wire.CONSISTENCY, old=1, new=10**9), 404, "http.not_found")

    # --- who may

    async def test_a_station_sees_nothing_of_others(
        self, served: World, sender: Caller, receiver: Caller, stranger: Caller
    ) -> None:
        """What is not there and what is not yours look the same."""
        body = served.document()
        answer = await sender.submit(body, message_id="private")
        assert answer.document is not None
        await receiver.one(answer.document)
        absent = f"{answer.document[:-4]}0000"

        for template in (wire.CONSIGNMENT, wire.PAYLOAD, wire.REPORT, wire.WHERE_IS):
            hidden = await stranger.get(wire.path(template, answer.document))
            nothing = await stranger.get(wire.path(template, absent))
            first, second = (refused_with(one, 404, "http.not_found") for one in (hidden, nothing))
            assert {**first, "instance": ""} == {**second, "instance": ""}
        refused_with(await stranger.get(wire.path(wire.WHERE_IS, served.name(body))), 404, "http.not_found")
        refused_with(await stranger.get(wire.RECEIPTS, submission=answer.submission), 404, "http.not_found")
        refused_with(await stranger.get(wire.RECEIPTS, message_id="private"), 404, "http.not_found")
        assert await stranger.inbox() == ()
        # A receiver is none of the sender's business beyond what it receives.
        refused_with(await receiver.get(wire.RECEIPTS, submission=answer.submission), 404, "http.not_found")

    async def test_unknown_stations_and_wrong_keys_look_the_same(self, served: World) -> None:
        """Nobody learns from the answer which stations exist."""
        station, _, secret = served.sender.partition(".")
        wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
        answers = []
        for shown in (
            f"Bearer {station}.{wrong}",
            f"Bearer {StationId('khong-co')}.{secret}",
            f"Bearer {station}",
            f"Basic {served.sender}",
            f"Bearer  {served.sender}",
            f"Bearer {served.sender} ",
            f"Bearer {served.sender}".upper(),
            "Bearer",
            "Bearer " + "x" * 5_000,
            f"Bearer {served.sender}\x00",
        ):
            async with calling(served, None) as caller:
                try:
                    response = await caller.client.get(
                        wire.BASE + wire.WHOAMI, headers=[(b"Authorization", shown.encode("latin-1"))]
                    )
                except httpx2.LocalProtocolError:
                    continue
            if shown.endswith(" ") and response.status_code == 200:
                # HTTP itself takes white space at the end away.
                continue
            body = refused_with(response, 401, "http.not_identified")
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            answers.append({**body, "instance": ""})
        async with calling(served, None) as nobody:
            refused_with(await nobody.get(wire.WHOAMI), 401, "http.not_identified")

        assert len(answers) >= 7
        assert all(one == answers[0] for one in answers)

    async def test_a_suspended_station_is_told_so(self, served: World) -> None:
        """It has shown its key, so it may know; and nothing it sends is taken."""
        async with calling(served, served.suspended) as caller:
            response = await caller.client.post(
                wire.BASE + wire.SUBMISSIONS, content=b"<x/>", headers={wire.IDEMPOTENCY_KEY: "1"}
            )

        refused_with(response, 403, "receive.suspended")
