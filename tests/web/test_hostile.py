"""What the API does with callers that are broken, slow, greedy or curious."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import httpx2
import pytest

from axis.core.model import Digest
from axis.web import shapes, wire
from axis.web.app import WebLimits
from tests.web.contract import Caller, calling, refused_with
from tests.web.memory import RECEIVER, SENDER, STRANGER, MemoryAxis, key_of
from tests.web.serving import Line, Reply, Running, eventually, running, until
from tests.web.test_contract import MemoryWorld

SMALL = WebLimits(
    body_bytes=4 * 1024 * 1024,
    memory_bytes=16 * 1024,
    requests=8,
    requests_per_station=3,
)
IMPATIENT = replace(
    SMALL, stall_seconds=0.5, least_bytes_per_second=64 * 1024, head_seconds=2, linger_seconds=1
)
impatient = pytest.mark.parametrize("limits", [IMPATIENT], indirect=True, ids=["impatient"])
"""For tests of those who are slow. All others have the time a busy machine needs."""
AUTHORIZED = f"Authorization: Bearer {key_of(SENDER)}\r\n"
NOTHING_KEPT = "a body that did not arrive in full leaves nothing behind"


@pytest.fixture
def limits(request: pytest.FixtureRequest) -> WebLimits:
    found: WebLimits = getattr(request, "param", SMALL)
    return found


@pytest.fixture
async def server(axis: MemoryAxis, limits: WebLimits) -> AsyncIterator[Running]:
    async with running(axis.services(limits=limits)) as server:
        yield server


@pytest.fixture
def world(server: Running, axis: MemoryAxis) -> MemoryWorld:
    return MemoryWorld(url=server.url, axis=axis)


@pytest.fixture
async def sender(world: MemoryWorld) -> AsyncIterator[Caller]:
    async with calling(world, world.sender) as caller:
        yield caller


@pytest.fixture
async def line(server: Running) -> AsyncIterator[Line]:
    made = await Line.to(server.url)
    yield made
    made.close()


def head(
    first: str = f"POST {wire.BASE}/submissions", *, length: int | None = None, more: str = AUTHORIZED
) -> bytes:
    """The head of a request as a station would write it."""
    size = f"Content-Length: {length}\r\n" if length is not None else ""
    return f"{first} HTTP/1.1\r\nHost: axis\r\nIdempotency-Key: m\r\n{more}{size}\r\n".encode()


def kept(axis: MemoryAxis) -> list[str]:
    """What lies in the folder where bodies arrive."""
    return [one.name for one in axis.folder.iterdir()]


def is_problem(reply: Reply, status: int, code: str) -> None:
    shapes.Problem.model_validate_json(reply.body)
    assert (reply.status, reply.problem["code"]) == (status, code)


# --- bodies


@pytest.mark.threat("a truncated document is taken for a whole one", control=NOTHING_KEPT)
@pytest.mark.parametrize("arrived", [0, 10, 100_000])
async def test_a_body_that_is_cut_off_is_never_admitted(
    axis: MemoryAxis, world: MemoryWorld, line: Line, sender: Caller, arrived: int
) -> None:
    """Whether it was in memory or in the spool: nothing is judged, and nothing stays."""
    body = world.document(size=200_000)

    await line.send(head(length=len(body)), body[:arrived])
    if arrived > SMALL.memory_bytes:
        await until(lambda: kept(axis), what="the body lies in the spool")
    line.writer.transport.abort()

    await until(lambda: not kept(axis), what="the spool is empty")
    # An answer that comes later shows that the server is past it.
    await sender.whoami()
    assert axis.admitted == []


@pytest.mark.threat("a truncated document is taken for a whole one", control=NOTHING_KEPT)
async def test_a_chunked_body_without_its_end_is_never_admitted(
    axis: MemoryAxis, world: MemoryWorld, line: Line, sender: Caller
) -> None:
    """Without a length only the last chunk says that it is whole."""
    body = world.document()
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"

    await line.send(head(more=f"{AUTHORIZED}Transfer-Encoding: chunked\r\n"), chunk)
    line.writer.write_eof()
    await line.closed()

    await sender.whoami()
    assert axis.admitted == []


async def test_a_chunked_body_with_its_end_is_admitted(
    axis: MemoryAxis, world: MemoryWorld, line: Line
) -> None:
    """In as many pieces as its sender likes."""
    body = world.document(size=100_000)

    await line.send(head(more=f"{AUTHORIZED}Transfer-Encoding: chunked\r\n"))
    for start in range(0, len(body), 9_999):
        piece = body[start : start + 9_999]
        await line.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    await line.send(b"0\r\n\r\n")

    assert (await line.reply()).status == 202
    assert axis.bodies == [body]
    assert kept(axis) == []


@pytest.mark.threat("slow senders use up every connection", control="a body has a pace to keep")
@impatient
async def test_a_body_that_stops_coming_is_given_up(axis: MemoryAxis, line: Line) -> None:
    """408 after the silence that is allowed."""
    await line.send(head(length=100_000), b"x" * 50_000)

    is_problem(await line.reply(), 408, "http.too_slow")

    assert axis.admitted == []
    assert kept(axis) == []


@pytest.mark.threat("slow senders use up every connection", control="a body has a pace to keep")
@impatient
async def test_a_body_that_trickles_is_given_up(axis: MemoryAxis, line: Line) -> None:
    """Never silent for long, and still too slow to be worth a connection."""
    await line.send(head(length=100_000))

    async def trickle() -> None:
        while True:
            await line.send(b"x")
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    reply = await line.reply()
    trickling.cancel()

    is_problem(reply, 408, "http.too_slow")
    assert axis.admitted == []


@pytest.mark.threat("a body without end fills disk or memory", control="bodies are bounded while they arrive")
@pytest.mark.parametrize("path", [wire.SUBMISSIONS, wire.STATUSES, wire.path(wire.UPLOADS, "0" * 64)])
async def test_a_hundred_megabytes_are_refused_before_they_are_read(
    axis: MemoryAxis, sender: Caller, path: str
) -> None:
    """The caller sends everything, and can still read why it was for nothing."""
    body = b"x" * 100_000_000

    response = await sender.client.request(
        "PUT" if "uploads" in path else "POST",
        path if path.startswith(wire.BASE) else wire.BASE + path,
        content=body,
        headers={wire.IDEMPOTENCY_KEY: "m"},
    )

    problem = refused_with(response, 413, "receive.too_large")
    assert str(SMALL.body_bytes) in problem["causes"][0]["details"][0]["en"]
    assert axis.admitted == []
    assert kept(axis) == []


@pytest.mark.threat("a body without end fills disk or memory", control="bodies are bounded while they arrive")
@impatient
async def test_a_body_that_hides_its_size_is_cut_at_the_limit(
    axis: MemoryAxis, line: Line, sender: Caller
) -> None:
    """Chunked, without end: 413 when it is too much, and the connection does not take any amount afterwards."""
    await line.send(head(more=f"{AUTHORIZED}Transfer-Encoding: chunked\r\n"))
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"

    async def pour() -> None:
        try:
            while True:
                await line.send(chunk)
        except ConnectionError:
            pass

    pouring = asyncio.create_task(pour())
    is_problem(await line.reply(), 413, "receive.too_large")
    await pouring

    await sender.whoami()
    assert axis.admitted == []
    assert kept(axis) == []


async def test_what_a_dead_process_left_is_swept(axis: MemoryAxis) -> None:
    """A body nobody owns any more is removed at the next start; one that is arriving elsewhere is not."""
    async with (
        running(axis.services(limits=SMALL)) as first,
        calling(MemoryWorld(url=first.url, axis=axis), key_of(SENDER)) as caller,
    ):
        line = await Line.to(first.url)
        await line.send(head(length=100_000), b"x" * 50_000)
        await until(lambda: kept(axis), what="a body is arriving")
        arriving = kept(axis)
        (axis.folder / "body-left").write_bytes(b"<edXML>")

        async with running(axis.services(limits=SMALL)):
            after_start = kept(axis)
        await line.send(b"x" * 50_000)
        reply = await line.reply()
        line.close()
        await caller.whoami()

    assert after_start == arriving
    assert reply.status == 202


@pytest.mark.threat(
    "part of an upload is replaced on its way",
    control="uploads are hashed from their first byte to their last",
)
async def test_an_upload_that_was_cut_off_goes_on(
    axis: MemoryAxis, world: MemoryWorld, line: Line, sender: Caller
) -> None:
    """What had arrived counts; what is whole in the end is hashed from its first byte."""
    body = world.document(size=200_000)
    digest = hashlib.sha256(body).hexdigest()
    path = wire.path(wire.UPLOADS, digest)

    await line.send(head(f"PUT {path}", length=len(body)), body[:150_000])
    line.writer.transport.abort()
    # It may lie in a buffer until the connection is known to be dead.
    state = await eventually(lambda: sender.get(path), lambda one: one.json()["offset"] > 0)
    offset = state.json()["offset"]
    piece = wire.Piece(start=offset, end=len(body) - 1, total=len(body))
    done = await sender.put(body[offset:], digest=digest, piece=piece)

    assert 0 < offset <= 150_000
    assert done.status_code == 201
    assert await axis.blobs.read(done.json()["digest"]) == body


async def test_an_upload_that_somebody_still_adds_to_is_tried_again_later(
    axis: MemoryAxis, world: MemoryWorld, line: Line, sender: Caller
) -> None:
    """The line of an earlier attempt is dead, and nobody knows yet: 429, not a "no" for ever."""
    body = world.document(size=200_000)
    digest = hashlib.sha256(body).hexdigest()
    path = wire.path(wire.UPLOADS, digest)
    piece = wire.Piece(start=0, end=len(body) - 1, total=len(body))
    await line.send(head(f"PUT {path}", length=len(body)))
    begun = axis.folder.parent / "uploads" / SENDER / digest
    await until(begun.exists, what="the upload has begun")

    busy = await sender.put(body, digest=digest, piece=piece)
    whole = await sender.put(body, digest=digest)
    line.writer.transport.abort()
    done = await eventually(
        lambda: sender.put(body, digest=digest, piece=piece), lambda one: one.status_code != 429
    )

    refused_with(busy, 429, "http.too_many")
    assert whole.status_code in {201, 429}
    assert done.status_code in {200, 201}
    assert done.json()["complete"] is True


# --- heads


@pytest.mark.threat("slow senders use up every connection", control="the head of a request has a time limit")
@pytest.mark.parametrize("first", [b"", b"GET /api/v1/whoami HTTP/1.1\r\nX: "])
@impatient
async def test_a_head_that_does_not_come_is_not_waited_for(line: Line, first: bytes) -> None:
    """The connection is closed, however many single bytes come."""

    async def trickle() -> None:
        try:
            while first:
                await line.send(b"x")
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass

    await line.send(first)
    trickling = asyncio.create_task(trickle())

    await line.closed()
    await trickling


async def test_garbage_inside_a_body_ends_the_request(axis: MemoryAxis, line: Line, sender: Caller) -> None:
    """A chunk that is none: nothing is admitted."""
    await line.send(head(more=f"{AUTHORIZED}Transfer-Encoding: chunked\r\n"), b"5\r\n<edXM\r\nZZZ\r\n")

    is_problem(await line.reply(), 400, "http.not_http")

    await sender.whoami()
    assert axis.admitted == []


async def test_a_connection_may_be_used_again_after_a_no(
    axis: MemoryAxis, world: MemoryWorld, line: Line
) -> None:
    """Also after one whose body was not read; what follows is not taken for a part of it."""
    body = world.document()

    await line.send(head(length=len(body), more=""), body)
    first = await line.reply()
    await line.send(head(length=len(body)), body)
    second = await line.reply()

    is_problem(first, 401, "http.not_identified")
    assert second.status == 202
    assert len(axis.admitted) == 1


# --- addresses and parameters


# --- too much at once


@pytest.mark.threat(
    "one station uses up the axis", control="requests under way are counted, per station and altogether"
)
async def test_a_station_has_only_so_many_requests_under_way(world: MemoryWorld, sender: Caller) -> None:
    """429 for more; other stations are served, and so is this one when it is done."""
    polls = [asyncio.create_task(sender.inbox(wait=30)) for _ in range(SMALL.requests_per_station)]
    async with calling(world, world.receiver) as receiver:
        answer = await eventually(lambda: sender.get(wire.WHOAMI), lambda one: one.status_code != 200)
        await receiver.whoami()
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)

    refused_with(answer, 429, "http.too_many")
    assert int(answer.headers["Retry-After"]) > 0
    await eventually(lambda: sender.get(wire.WHOAMI), lambda one: one.status_code == 200)


async def test_the_process_has_only_so_many_requests_under_way(
    axis: MemoryAxis, server: Running, world: MemoryWorld
) -> None:
    """503 for more, whoever asks; afterwards it serves again."""
    lines = [await Line.to(server.url) for _ in range(SMALL.requests)]
    axis.admission.clear()
    for number, line in enumerate(lines):
        more = f"Authorization: Bearer {key_of([SENDER, RECEIVER, STRANGER][number % 3])}\r\n"
        await line.send(head(length=1, more=more), b"x")
    async with calling(world, None) as caller:
        answer = await eventually(lambda: caller.client.get(wire.HEALTHZ), lambda one: one.status_code != 200)
        axis.admission.set()
        replies = [await line.reply() for line in lines]

        refused_with(answer, 503, "http.unavailable")
        assert {one.status for one in replies} <= {202, 429}
        assert (await caller.client.get(wire.HEALTHZ)).status_code == 200
    for line in lines:
        line.close()


@pytest.mark.threat(
    "readers that do not read hold payloads open", control="an answer has to be taken in time"
)
@impatient
async def test_a_reader_that_does_not_read_is_cut_off(
    axis: MemoryAxis, server: Running, world: MemoryWorld, sender: Caller
) -> None:
    """Its connection ends, and what it held is free."""
    document = await sender.accepted(world.document(size=4_000_000))
    parts = urlsplit(server.url)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, (parts.hostname, parts.port))

    await loop.sock_sendall(plain, head(f"GET {wire.path(wire.PAYLOAD, document)}"))
    async with calling(world, None) as caller:
        await eventually(
            lambda: caller.client.get(wire.METRICS),
            lambda one: any("/payloads/" in line for line in one.text.splitlines()),
        )
    received = 0
    try:
        while piece := await loop.sock_recv(plain, 65_536):
            received += len(piece)
    except ConnectionError:
        pass
    plain.close()

    assert received < 4_000_000


def _shows(figure: str, response: httpx2.Response) -> bool:
    return figure in response.text.splitlines()


async def test_a_poll_of_a_caller_that_is_gone_takes_nothing(
    axis: MemoryAxis, world: MemoryWorld, server: Running, sender: Caller
) -> None:
    """What would have been handed to it waits for its next question."""
    line = await Line.to(server.url)
    await line.send(
        head(f"GET {wire.BASE}{wire.INBOX}?wait=30", more=f"Authorization: Bearer {key_of(RECEIVER)}\r\n")
    )
    async with calling(world, None) as caller:
        for number in (2, 1):
            await eventually(
                lambda: caller.client.get(wire.METRICS),
                partial(_shows, f"axis_http_requests_under_way {number}"),
            )
            line.writer.transport.abort()

    document = await sender.accepted(world.document())

    async with calling(world, world.receiver) as receiver:
        assert [one.document for one in await receiver.inbox()] == [document]


# --- faults of ours


@pytest.mark.threat(
    "an error shows what is inside", control="every error has one shape, and no trace of its cause"
)
async def test_a_bug_shows_nothing_of_itself(axis: MemoryAxis, world: MemoryWorld, sender: Caller) -> None:
    """500 with the id under which the operator finds it; no type, message, path or content."""
    axis.has_bug = True

    response = await sender.client.post(
        wire.BASE + wire.SUBMISSIONS, content=world.document(), headers={wire.IDEMPOTENCY_KEY: "m"}
    )

    problem = refused_with(response, 500, "http.fault")
    assert problem["instance"] == f"urn:axis:request:{response.headers[wire.REQUEST]}"
    for trace in ("Zero", "Traceback", ".py", "bug", "<document>"):
        assert trace not in response.text


async def test_a_silent_ledger_is_told_with_a_time_to_come_back(
    axis: MemoryAxis, world: MemoryWorld, sender: Caller
) -> None:
    """503 with Retry-After, for who calls and for who is called."""
    document = await sender.accepted(world.document())
    axis.is_silent = True

    answers = [
        await sender.get(wire.WHOAMI),
        await sender.get(wire.INBOX),
        await sender.get(wire.path(wire.PAYLOAD, document)),
        await sender.get(wire.CHECKPOINT),
        await sender.client.get(wire.READYZ),
        await sender.client.post(
            wire.BASE + wire.SUBMISSIONS, content=world.document(), headers={wire.IDEMPOTENCY_KEY: "m"}
        ),
    ]

    for one in answers:
        refused_with(one, 503, "http.unavailable")
        assert int(one.headers["Retry-After"]) > 0
    assert (await sender.client.get(wire.HEALTHZ)).status_code == 200


async def test_a_payload_that_shrank_breaks_off(axis: MemoryAxis, world: MemoryWorld, sender: Caller) -> None:
    """Bytes that are missing on the disk are never made up for: the reader sees that it did not get all."""
    body = world.document(size=3_000_000)
    document = await sender.accepted(body)
    blob = axis.blobs.path(Digest(hashlib.sha256(body).hexdigest()))
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.truncate(2_000_000)

    with pytest.raises(httpx2.RemoteProtocolError):
        await sender.get(wire.path(wire.PAYLOAD, document))


async def test_a_payload_that_is_gone_is_not_found(
    axis: MemoryAxis, world: MemoryWorld, sender: Caller
) -> None:
    """Purged: a proper answer, not a broken one."""
    body = world.document()
    document = await sender.accepted(body)
    axis.blobs.path(Digest(hashlib.sha256(body).hexdigest())).unlink()

    refused_with(await sender.get(wire.path(wire.PAYLOAD, document)), 404, "http.not_found")


async def test_a_full_disk_is_told_and_passes(axis: MemoryAxis, world: MemoryWorld, sender: Caller) -> None:
    """What cannot be written to the spool is not taken; small bodies still are."""
    axis.folder.rmdir()

    large = await sender.client.post(
        wire.BASE + wire.SUBMISSIONS,
        content=world.document(size=100_000),
        headers={wire.IDEMPOTENCY_KEY: "m"},
    )
    small = await sender.submit(world.document())

    refused_with(large, 503, "http.unavailable")
    assert small.document is not None
