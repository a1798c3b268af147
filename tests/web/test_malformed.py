"""
Requests that make no sense, one after the other at one server that stays up for all of them.

Nothing here gets as far as the desk: the last test of the module is that it heard of nothing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from axis.core.model import DocumentKey
from axis.ledger.blobs import FileBlobs
from axis.web import shapes, wire
from tests.web.contract import Caller, calling, refused_with
from tests.web.memory import MemoryAxis
from tests.web.serving import Line, running
from tests.web.test_contract import MemoryWorld
from tests.web.test_hostile import AUTHORIZED, SMALL, head, is_problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, blobs: FileBlobs) -> AsyncIterator[MemoryWorld]:
    axis = MemoryAxis(tmp_path_factory.mktemp("malformed"), blobs=blobs)
    async with running(axis.services(limits=replace(SMALL, linger_seconds=1))) as server:
        yield MemoryWorld(url=server.url, axis=axis)
        assert axis.said == []
        assert all(one.message_id == "fine" for one in axis.admitted)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sender(world: MemoryWorld) -> AsyncIterator[Caller]:
    async with calling(world, world.sender) as caller:
        yield caller


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(world: MemoryWorld, sender: Caller) -> tuple[DocumentKey, bytes]:
    body = world.document()
    answer = await sender.submit(body, message_id="fine")
    assert answer.document is not None
    return answer.document, body


@pytest_asyncio.fixture(loop_scope="module")
async def line(world: MemoryWorld) -> AsyncIterator[Line]:
    made = await Line.to(world.url)
    yield made
    made.close()


async def test_who_waits_for_100_continue_sends_nothing_in_vain(line: Line) -> None:
    """The "no" comes instead of the invitation to send."""
    await line.send(head(length=10**9, more=f"{AUTHORIZED}Expect: 100-continue\r\n"))

    is_problem(await line.reply(), 413, "receive.too_large")


async def test_compressed_bodies_are_not_taken(sender: Caller) -> None:
    """What is hashed and kept is what was signed, and no small body becomes a large one."""
    for path, method in ((wire.SUBMISSIONS, "POST"), (wire.ACKS, "POST"), ("/uploads/" + "0" * 64, "PUT")):
        response = await sender.client.request(
            method,
            wire.BASE + path,
            content=b"\x1f\x8b",
            headers={
                wire.IDEMPOTENCY_KEY: "m",
                "Content-Encoding": "gzip",
                "Content-Type": wire.JSON_TYPE,
            },
        )

        refused_with(response, 415, "http.content_type")


@pytest.mark.parametrize(
    "header",
    [
        "bytes 0-9",
        "bytes 5-2/10",
        "bytes 0-10/10",
        "bytes -1-2/10",
        "bytes a-b/c",
        "lines 0-9/10",
        f"bytes 0-9/{10**20}",
        "bytes 0-3/10",
        "",
    ],
)
async def test_a_piece_that_makes_no_sense_is_refused(sender: Caller, header: str) -> None:
    """Form, order, and agreement with the length of the body."""
    response = await sender.client.put(
        wire.path(wire.UPLOADS, "0" * 64), content=b"x" * 10, headers={"Content-Range": header}
    )

    refused_with(response, 400, "http.header")


async def test_a_piece_of_something_too_large_is_refused_at_once(sender: Caller) -> None:
    """Not after gigabytes of it have come."""
    piece = wire.Piece(start=0, end=9, total=SMALL.body_bytes + 1)

    refused_with(await sender.put(b"x" * 10, digest="0" * 64, piece=piece), 413, "receive.too_large")


async def test_a_piece_longer_than_it_says_is_refused(line: Line) -> None:
    """A body without length cannot bring more than its header announces."""
    more = f"{AUTHORIZED}Transfer-Encoding: chunked\r\nContent-Range: bytes 0-3/10\r\n"

    await line.send(head(f"PUT {wire.BASE}/uploads/{'0' * 64}", more=more), b"5\r\nxxxxx\r\n0\r\n\r\n")

    is_problem(await line.reply(), 413, "receive.too_large")


@pytest.mark.threat("oversized headers fill memory", control="address and headers are bounded")
@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ("X-Large: " + "x" * 17_000 + "\r\n", 431, "http.headers_too_large"),
        ("X-Large: " + "x" * 1_000_000 + "\r\n", 431, "http.headers_too_large"),
        ("".join(f"X-{number}: x\r\n" for number in range(200)), 431, "http.headers_too_large"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, "http.not_http"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400, "http.not_http"),
        ("Content-Length: -5\r\n", 400, "http.not_http"),
        ("Transfer-Encoding: gzip\r\n", 400, "http.not_http"),
        ("No colon\r\n", 400, "http.not_http"),
        ("X-Null: \x00\r\n", 400, "http.not_http"),
    ],
)
async def test_absurd_headers_are_refused(line: Line, more: str, status: int, code: str) -> None:
    """In the one shape of every error, also where the HTTP parser gives up."""
    await line.send(head("GET /api/v1/whoami", more=AUTHORIZED + more))

    is_problem(await line.reply(), status, code)


async def test_an_absurd_address_is_refused(line: Line) -> None:
    """Path and query together."""
    await line.send(head("GET /api/v1/receipts?message_id=" + "x" * 10_000))

    is_problem(await line.reply(), 414, "http.target_too_long")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"\x00" * 100,
        b"<edXML/>\r\n\r\n",
        b"GET\r\n\r\n",
        b"AMQP\x00\x00\x09\x01\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_or_cut(line: Line, garbage: bytes) -> None:
    """TLS on the plain port, another protocol, or noise."""
    await line.send(garbage)

    is_problem(await line.reply(), 400, "http.not_http")
    await line.closed()


@pytest.mark.threat("an address leads out of the API", control="paths are templates; ids have one form")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/inbox/",
        "/api/v1//inbox",
        "/api/v2/inbox",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/favicon.ico",
        "/../../etc/passwd",
        "/api/v1/../../etc/passwd",
        "/api/v1/payloads/../whoami",
        "/api/v1/payloads/..%2F..%2Fetc%2Fpasswd",
        "/api/v1/payloads/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/payloads/" + "A" * 26,
        "/api/v1/payloads/%00",
        "/api/v1/payloads/01JD8J%0d%0aX-Injected:%20yes",
        "/api/v1/consignments/..",
        "/api/v1/reports/..%5c..%5cwindows",
        "/api/v1/uploads/..%2F..%2F..%2Fetc%2Fpasswd",
        "/api/v1/uploads/" + "g" * 64,
        "/api/v1/uploads/" + "A" * 64,
        "/api/v1/documents/",
        "/api/v1/documents/%00",
        "/api/v1/documents/..%2F..%2Fetc%2Fpasswd",
        "/api/v1/documents/" + "x" * 600,
        "/api/v1/documents/%ff%fe",
        "/api/v1/documents/%ed%a0%80",
        "/api/v1/receipts?message_id=%00",
        "/api/v1/receipts?submission=1%27%20OR%201=1",
        "/api/v1/proof/-1",
        "/api/v1/proof/1e9",
        "/api/v1/proof/" + "9" * 30,
        "/api/v1/proof/../checkpoint",
    ],
)
async def test_a_curious_address_is_not_found(line: Line, path: str) -> None:
    """Nothing behind it, whatever it looks like; as the bytes stand on the line."""
    await line.send(head(f"GET {path}"))

    reply = await line.reply()

    shapes.Problem.model_validate_json(reply.body)
    assert reply.status == 404
    assert reply.problem["code"] in {"http.not_found", "http.no_such_path"}
    assert b"passwd" not in reply.body
    assert "x-injected" not in reply.headers


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/inbox?limit=0", "limit"),
        ("/inbox?limit=501", "limit"),
        ("/inbox?limit=ten", "limit"),
        ("/inbox?wait=61", "wait"),
        ("/inbox?wait=-1", "wait"),
        ("/inbox?wait=1.5", "wait"),
        ("/inbox?wait=NaN", "wait"),
        ("/events?after=-2", "after"),
        ("/events?after=99999999999999999999", "after"),
        ("/receipts", "submission"),
        ("/receipts?submission=a&message_id=b", "submission"),
        ("/consistency?old=1", "new"),
        ("/consistency?old=-1&new=5", "old"),
        ("/consistency?old=5&new=1", "old"),
    ],
)
async def test_a_wrong_parameter_is_named(sender: Caller, path: str, name: str) -> None:
    """400, and which one."""
    problem = refused_with(await sender.client.get(wire.BASE + path), 400, "http.query")

    assert name in [one["path"] for one in problem["causes"][0]["details"]]


async def test_a_lane_that_does_not_exist_is_named(sender: Caller) -> None:
    """The only header with a closed set of values."""
    response = await sender.client.post(
        wire.BASE + wire.SUBMISSIONS, content=b"x", headers={wire.IDEMPOTENCY_KEY: "m", wire.LANE: "express"}
    )

    refused_with(response, 400, "http.header")


@pytest.mark.parametrize("range_", ["bytes={size}-", "bytes=5000-6000", "bytes=-0", f"bytes={10**14}-"])
async def test_a_range_out_of_bounds_is_refused(
    document: tuple[DocumentKey, bytes], sender: Caller, range_: str
) -> None:
    """416 with the size that would have been possible."""
    key, body = document
    range_ = range_.replace("{size}", str(len(body)))

    response = await sender.client.get(wire.path(wire.PAYLOAD, key), headers={"Range": range_})

    refused_with(response, 416, "http.range")
    assert response.headers["Content-Range"] == f"bytes */{len(body)}"


@pytest.mark.parametrize(
    "range_",
    ["bytes=5-2", "bytes=a-b", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=" + "9" * 400 + "-", "x"],
)
async def test_a_range_that_is_none_gives_the_whole(
    document: tuple[DocumentKey, bytes], sender: Caller, range_: str
) -> None:
    """RFC 9110 section 14.2: a malformed one, and several at once, may be ignored."""
    key, body = document

    response = await sender.client.get(wire.path(wire.PAYLOAD, key), headers={"Range": range_})

    assert (response.status_code, response.content) == (200, body)


async def test_a_range_of_another_version_gives_the_whole(
    document: tuple[DocumentKey, bytes], sender: Caller
) -> None:
    """If-Range: parts of two payloads never become one."""
    path = wire.path(wire.PAYLOAD, document[0])
    tag = (await sender.get(path)).headers["ETag"]

    same = await sender.client.get(path, headers={"Range": "bytes=0-3", "If-Range": tag})
    other = await sender.client.get(path, headers={"Range": "bytes=0-3", "If-Range": '"other"'})

    assert (same.status_code, other.status_code) == (206, 200)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"acks": {}}',
        b'{"acks": [1]}',
        b'{"acks": [{"delivery": 1, "outcome": "done"}]}',
        b'{"acks": [{"delivery": "x", "outcome": "eaten"}]}',
        b'{"acks": [{"delivery": "x"}]}',
        b'{"acks": [{"delivery": "\\ud800", "outcome": "done"}]}',
        b'{"acks": [{"delivery": "\\u0000", "outcome": "fail", "reason": "\\u0000"}]}',
        b'{"ask": "resync!"}',
        b'{"ask": "where_is", "document": "x"}',
        b"[" * 200_000,
        b'{"acks":' * 50_000,
        b'{"acks": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe{\x00}\x00",
        json.dumps({"acks": [{"delivery": "x", "outcome": "done"}] * 1_001}).encode(),
    ],
)
async def test_garbage_for_json_is_refused(sender: Caller, body: bytes) -> None:
    """400, with the member that is wrong, and nothing is said to the desk."""
    response = await sender.client.post(
        wire.BASE + wire.ACKS, content=body, headers={"Content-Type": wire.JSON_TYPE}
    )

    refused_with(response, 400, "http.message")


async def test_a_web_page_cannot_acknowledge(sender: Caller) -> None:
    """Forms and plain text are what a page may send with somebody's certificate."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        response = await sender.client.post(
            wire.BASE + wire.ACKS,
            content=b'{"acks": [{"delivery": "x", "outcome": "done"}]}',
            headers={"Content-Type": kind},
        )
        refused_with(response, 415, "http.content_type")


async def test_acknowledgements_are_bounded(sender: Caller) -> None:
    """One message has at most a thousand of them, which needs no megabytes."""
    response = await sender.client.post(
        wire.BASE + wire.ACKS,
        content=b" " * (wire.MAX_ACKS_BYTES + 1),
        headers={"Content-Type": wire.JSON_TYPE},
    )

    refused_with(response, 413, "receive.too_large")


async def test_a_digest_is_no_document(sender: Caller) -> None:
    """A body that should be a digest is not read on for megabytes."""
    response = await sender.client.post(
        wire.BASE + wire.SUBMISSIONS,
        content=b"0" * 2_000,
        headers={wire.IDEMPOTENCY_KEY: "m", "Content-Type": wire.BY_DIGEST},
    )

    refused_with(response, 413, "receive.too_large")
