"""What holds for every endpoint: one shape of error, one line of log, one document that describes them all."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx2
import pytest

from axis.core.ids import compose
from axis.core.model import Channel
from axis.web import wire
from axis.web.app import Figure, create_app
from axis.web.public import exposition
from axis.web.wire import HTTP_REASONS, HTTPReason
from tests.web.contract import Caller, calling, refused_with
from tests.web.memory import NOON, SENDER, MemoryAxis, key_of
from tests.web.serving import Running, running, until
from tests.web.test_contract import MemoryWorld

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
TOKEN = "metrics-token-of-this-test"


@pytest.fixture
async def server(axis: MemoryAxis) -> AsyncIterator[Running]:
    async with running(axis.services(metrics_token=TOKEN)) as server:
        yield server


@pytest.fixture
def world(server: Running, axis: MemoryAxis) -> MemoryWorld:
    return MemoryWorld(url=server.url, axis=axis)


@pytest.fixture
async def sender(world: MemoryWorld) -> AsyncIterator[Caller]:
    async with calling(world, world.sender) as caller:
        yield caller


@pytest.fixture
async def nobody(world: MemoryWorld) -> AsyncIterator[Caller]:
    async with calling(world, None) as caller:
        yield caller


@pytest.fixture
async def description(nobody: Caller) -> dict[str, Any]:
    response = await nobody.get(wire.OPENAPI)
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def _filled(path: str) -> str:
    values = {"document": compose(at=NOON, randomness=9), "digest": "0" * 64, "leaf": "7"}
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], path)


# --- errors


async def test_every_method_at_every_address_answers_in_one_shape(
    description: dict[str, Any], nobody: Caller
) -> None:
    """Without a credential: 401 where a station is expected, 405 where there is no such method, never anything else."""
    for path, operations in description["paths"].items():
        is_public = not any("security" in one for one in operations.values())
        for method in METHODS:
            response = await nobody.client.request(method, _filled(path), content=b"\xff\x00<x>")
            if method == "HEAD":
                assert (response.status_code, response.content) == (405, b"")
            elif method.lower() not in operations:
                refused_with(response, 405, "http.method")
                assert set(response.headers["Allow"].split(", ")) <= {one.upper() for one in operations}
            elif not is_public:
                refused_with(response, 401, "http.not_identified")
            elif response.status_code != 200:
                assert response.status_code in {400, 404}
                refused_with(response, response.status_code, response.json()["code"])


async def test_every_address_refuses_garbage_in_one_shape(
    description: dict[str, Any], sender: Caller
) -> None:
    """With a credential, and bytes that fit nowhere: a problem, or an answer that says refused."""
    for path, operations in description["paths"].items():
        for method in operations:
            response = await sender.client.request(
                method,
                _filled(path),
                content=b"\xff\x00<x>" if method != "get" else b"",
                headers={wire.IDEMPOTENCY_KEY: "m", "Content-Type": wire.JSON_TYPE},
            )
            assert wire.REQUEST in response.headers
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            if response.status_code == 202:
                assert response.json()["state"] == "refused"
            elif response.status_code >= 300:
                refused_with(response, response.status_code, response.json()["code"])


def test_every_reason_of_the_transport_is_said_in_both_languages() -> None:
    """Code, owner, what happened and what to do."""
    assert set(HTTP_REASONS) == set(HTTPReason)
    for row in HTTP_REASONS.values():
        assert row.code.value.startswith("http.")
        assert 400 <= row.status < 600
        for text in (row.vi, row.en, row.next_vi, row.next_en):
            assert text.endswith(".")
        assert row.vi != row.en


# --- OpenAPI


async def test_the_document_describes_every_endpoint(axis: MemoryAxis, description: dict[str, Any]) -> None:
    """Every route, with a summary, a success, the shape of errors, and who may."""
    routes = {
        (re.sub(r":path\}", "}", path), method.lower())
        for path, methods in _routes(create_app(axis.services()))
        for method in methods
    }
    described = {(path, method) for path, operations in description["paths"].items() for method in operations}

    assert described == routes
    assert description["openapi"].startswith("3.1")
    for operations in description["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            responses = operation["responses"]
            assert responses["default"]["content"][wire.PROBLEM]["schema"]["$ref"].endswith("/Problem")
            assert "422" not in responses
            assert any(status.startswith("2") for status in responses)
            assert ("security" in operation) == ("station" in operation["tags"])


def _routes(app: Any) -> list[tuple[str, set[str]]]:
    schema = app.openapi()
    return [(path, set(operations)) for path, operations in schema["paths"].items()]


async def test_the_document_names_everything_in_the_contract(description: dict[str, Any]) -> None:
    """The paths of `axis.web.wire`, and no reference that leads nowhere."""
    below = {wire.BASE + getattr(wire, name) for name in (
        "SUBMISSIONS", "UPLOADS", "INBOX", "CONSIGNMENT", "PAYLOAD", "REPORT", "ACKS", "STATUSES", "RECEIPTS",
        "EVENTS", "WHERE_IS", "WHOAMI", "CHECKPOINT", "CONSISTENCY", "PROOF", "EPOCHS", "ORGANS", "OWED",
    )}  # fmt: skip
    text = str(description)

    assert set(description["paths"]) == below | {wire.HEALTHZ, wire.READYZ, wire.METRICS}
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in description["components"]["schemas"]
    assert wire.IDEMPOTENCY_KEY in text
    assert wire.LANE in text


async def test_no_page_loads_anything_from_elsewhere(nobody: Caller) -> None:
    """There is no page."""
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect", "/"):
        response = await nobody.client.get(path)
        refused_with(response, 404, "http.no_such_path")
        assert b"<" not in response.content


# --- log


async def test_a_request_is_one_line_without_content_or_keys(
    world: MemoryWorld, sender: Caller, lines: list[MutableMapping[str, Any]]
) -> None:
    """Ids, status and time; the line of the desk below it bears the same request id."""
    lines.clear()
    answer = await sender.submit(world.document(), message_id="m-1")
    await sender.get(wire.path(wire.WHERE_IS, "a name/of somebody"))
    async with calling(world, key_of(SENDER) + "x") as wrong:
        await wrong.get(wire.WHOAMI)
    await until(lambda: len(lines) >= 3, what="three lines of log")

    first, second, third = lines
    assert [one["event"] for one in lines] == ["http.request"] * 3
    assert first["route"] == wire.BASE + wire.SUBMISSIONS
    assert (first["station"], first["status"], first["state"]) == (SENDER, 202, "accepted")
    assert (first["submission"], first["document"]) == (answer.submission, answer.document)
    assert first["request"]
    assert isinstance(first["ms"], int)
    assert (second["status"], second["code"]) == (404, "http.not_found")
    assert (third["status"], third["code"]) == (401, "http.not_identified")
    assert "station" not in third
    text = str(lines)
    for secret in (key_of(SENDER).partition(".")[2], "<document", "somebody", "Bearer"):
        assert secret not in text


async def test_a_fault_is_logged_with_its_request(
    axis: MemoryAxis, world: MemoryWorld, sender: Caller, lines: list[MutableMapping[str, Any]]
) -> None:
    """What the caller is not shown, the operator finds by the id the caller was given."""
    axis.has_bug = True

    response = await sender.client.post(
        wire.BASE + wire.SUBMISSIONS, content=world.document(), headers={wire.IDEMPOTENCY_KEY: "m"}
    )

    fault = next(one for one in lines if one["event"] == "http.fault")
    assert fault["request"] == response.headers[wire.REQUEST]
    assert fault["log_level"] == "error"


# --- whoami


async def test_whoami_names_queues_only_where_there_are_some(axis: MemoryAxis) -> None:
    """A broker, and a station that takes its documents from it."""
    world = MemoryWorld(url="", axis=axis)
    async with running(axis.services()) as server:
        world.url = server.url
        async with calling(world, world.sender) as amqp, calling(world, world.receiver) as pull:
            first, second = await amqp.whoami(), await pull.whoami()

    assert axis.stations[SENDER].channel is Channel.AMQP
    assert first.queues is not None
    assert first.queues.inbox == f"station.{SENDER}.{axis.stations[SENDER].secret}.inbox"
    assert second.queues is None
    assert [one.code for one in first.organs] == ["000.00.00.G06"]
    assert first.organs[0].subtree


# --- operation


async def test_metrics_show_states_and_requests(world: MemoryWorld, sender: Caller, nobody: Caller) -> None:
    """Counts by state from the ledger, counts by route and status from this process."""
    await sender.submit(world.document())

    text = (await nobody.client.get(wire.METRICS)).text

    assert 'axis_deliveries{state="waiting"} 1' in text
    assert 'axis_http_requests_total{method="POST",route="/api/v1/submissions",status="202"} 1' in text
    assert "axis_ledger_up 1" in text
    assert "# TYPE axis_http_requests_total counter" in text


@pytest.mark.threat(
    "numbers of the axis reach outsiders", control="metrics are for this machine or with a token"
)
@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_metrics_are_not_for_who_comes_through_a_proxy(nobody: Caller, name: str) -> None:
    """Behind one everybody seems to be on this machine; the token opens them."""
    through = {name: "127.0.0.1"}

    without = await nobody.client.get(wire.METRICS, headers=through)
    wrong = await nobody.client.get(wire.METRICS, headers={**through, "Authorization": "Bearer wrong"})
    right = await nobody.client.get(wire.METRICS, headers={**through, "Authorization": f"Bearer {TOKEN}"})

    refused_with(without, 403, "http.not_allowed")
    refused_with(wrong, 403, "http.not_allowed")
    assert right.status_code == 200


async def test_metrics_answer_without_the_ledger(axis: MemoryAxis, nobody: Caller) -> None:
    """They are needed most when something is down."""
    axis.is_silent = True

    text = (await nobody.client.get(wire.METRICS)).text

    assert "axis_ledger_up 0" in text
    assert "axis_deliveries" not in text


def test_labels_cannot_break_out_of_their_line() -> None:
    """Quotes, backslashes and ends of lines are escaped."""
    text = exposition([Figure(name="a", help="b\nc", value=1.5, labels=(("d", 'e"\\\nf'),))])

    assert text == '# HELP a b\\nc\n# TYPE a gauge\na{d="e\\"\\\\\\nf"} 1.5\n'


async def test_readiness_is_not_liveness(axis: MemoryAxis, nobody: Caller) -> None:
    """A silent ledger makes nobody restart the process."""
    before = [await nobody.client.get(path) for path in (wire.HEALTHZ, wire.READYZ)]
    axis.is_silent = True
    after = [await nobody.client.get(path) for path in (wire.HEALTHZ, wire.READYZ)]

    assert [one.status_code for one in before] == [200, 200]
    assert [one.status_code for one in after] == [200, 503]


async def test_a_checkpoint_before_the_first_is_not_found(nobody: Caller) -> None:
    """A log that has signed nothing yet."""
    refused_with(await nobody.get(wire.CHECKPOINT), 404, "http.not_found")


async def test_a_document_id_that_fits_several_lists_them(world: MemoryWorld, sender: Caller) -> None:
    """409, with the ids to choose from."""
    body = world.document()
    first = await sender.accepted(body)
    second = await sender.accepted(body + b" ")

    response: httpx2.Response = await sender.get(wire.path(wire.WHERE_IS, world.name(body)))

    refused_with(response, 409, "http.ambiguous")
    problem = wire.read_problem(409, response.content)
    assert {one.en for one in problem.details} == {first, second}
