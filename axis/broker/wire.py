"""
The AMQP contract: names of exchanges, queues, keys and headers. Stations in other languages read docs/connect.md.

Imports only `axis.core`, so that the agency's side can use it without the hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from axis.core.exchange import BadMessage, Consignment, DeliveryRef, Notice
from axis.core.model import (
    ConsignmentId,
    DeliveryId,
    Digest,
    DocumentKey,
    Kind,
    Lane,
    LegalValue,
    StationId,
    Tier,
    iso,
)

SUBMIT: Final = "axis.submit"
"""Topic exchange; key `edoc.<urgent|normal>.<station>` or `status.normal.<station>`."""
ACK: Final = "axis.ack"
"""Topic exchange; key `<station>`."""
UNROUTED: Final = "axis.unrouted"
"""Alternate exchange (fanout) and queue of the same name."""
DEAD: Final = "axis.dead"
"""Dead-letter exchange (fanout) and queue of the same name."""
INBOX: Final = "axis.inbox"
"""Direct exchange to station queues; only the hub may write to it. Keys are the queues' names."""

INTAKE_URGENT: Final = "axis.intake.urgent"
INTAKE_NORMAL: Final = "axis.intake.normal"
INTAKE_STATUS: Final = "axis.intake.status"
INTAKE_ACK: Final = "axis.intake.ack"
INTAKES: Final = (INTAKE_URGENT, INTAKE_NORMAL, INTAKE_STATUS, INTAKE_ACK)

DELIVERY_LIMIT: Final = 10
"""Deliveries of one message before it counts as poison and is buried."""
MAX_SUBMIT_BYTES: Final = 8 * 1024 * 1024
"""Largest package inside a message; larger ones are uploaded and named by digest."""
MAX_REFS: Final = 50
"""Most deliveries in a header; the rest is fetched with `GET /consignments/<document>` or the ask `consignment`."""

MAX_NOTICES_BYTES: Final = 2 * 1024
"""Warnings beyond this are read in the verification report."""

STATION_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,30}\Z")
SECRET: Final = re.compile(r"[a-z0-9]{16}\Z")

H_DOCUMENT: Final = "x-axis-document"
H_CONSIGNMENT: Final = "x-axis-consignment"
H_KIND: Final = "x-axis-kind"
H_DIGEST: Final = "x-axis-digest"
H_SIZE: Final = "x-axis-size"
H_TIER: Final = "x-axis-tier"
H_VALUE: Final = "x-axis-value"
H_REPORT: Final = "x-axis-report"
H_ATTEMPT: Final = "x-axis-attempt"
H_DELIVERIES: Final = "x-axis-deliveries"
"""JSON text: list of `[delivery, code]`."""
H_TOTAL: Final = "x-axis-deliveries-total"
H_SENT_AT: Final = "x-axis-sent-at"
H_NOTICES: Final = "x-axis-notices"
"""JSON text: list of `[code, path, vi, en]`, at most `MAX_NOTICES_BYTES`; the report holds all of them."""
H_BY_DIGEST: Final = "x-axis-by-digest"
"""`true`: the body is empty, fetch the payload by its document."""

TYPE_CONSIGNMENT: Final = "consignment"
TYPE_WITHDRAW: Final = "withdraw"
TYPE_RECEIPT: Final = "receipt"
TYPE_EVENTS: Final = "events"
TYPE_REPLY: Final = "reply"
"""Values of the AMQP property `type` of messages the axis sends."""

H_VERSION: Final = "x-axis-version"
"""Version of this contract a message is written to. Whoever leaves it out means the first."""
VERSIONS: Final = frozenset({"1"})

EDXML: Final = "application/edxml+xml"
JSON_TYPE: Final = "application/json"
BY_DIGEST: Final = "application/vnd.axis.digest"
"""`content_type` of a submission that only names an uploaded payload: the body is the digest in ASCII."""
SUBMITTED: Final = frozenset(
    {"", EDXML, BY_DIGEST, "application/xml", "text/xml", "application/octet-stream"}
)
"""What a submission may call itself; a body that says it is something else is not looked at."""


@dataclass(frozen=True, slots=True)
class StationQueues:
    """The queue names of one station. Whoever knows a name can see that it exists and how long it is, so each ends in
    16 random characters that only the axis and the station know.
    """

    urgent: str
    inbox: str
    receipts: str


def station_queues(*, station: StationId, secret: str) -> StationQueues:
    """
    Names of a station's three queues.

    Raises:
        ValueError: an id or secret that could not be escaped safely in a permission.
    """
    if STATION_ID.match(station) is None or SECRET.match(secret) is None:
        raise ValueError("not a station id or secret")
    stem = f"station.{station}.{secret}"
    return StationQueues(urgent=f"{stem}.urgent", inbox=f"{stem}.inbox", receipts=f"{stem}.receipts")


def submit_key(*, kind: Kind, lane: Lane, station: StationId) -> str:
    """Routing key of a submission. It chooses a lane and proves nothing."""
    if kind is Kind.STATUS:
        return f"status.normal.{station}"
    return f"edoc.{lane.value}.{station}"


def consignment_headers(one: Consignment, *, inline: bool) -> dict[str, str | int | bool]:
    """Headers of a consignment message, under 8 KiB by construction."""
    headers: dict[str, str | int | bool] = {
        H_DOCUMENT: one.document,
        H_CONSIGNMENT: one.consignment,
        H_KIND: one.kind.value,
        H_DIGEST: one.digest,
        H_SIZE: one.size,
        H_TIER: one.tier.value,
        H_VALUE: one.value.value,
        H_ATTEMPT: one.attempt,
        H_DELIVERIES: json.dumps(
            [[ref.delivery, ref.code[:64]] for ref in one.deliveries[:MAX_REFS]], separators=(",", ":")
        ),
        H_TOTAL: one.deliveries_total,
        H_SENT_AT: iso(one.sent_at),
        H_BY_DIGEST: not inline,
    }
    if one.report is not None:
        headers[H_REPORT] = one.report
    if one.notices:
        headers[H_NOTICES] = _notices(one.notices)
    return headers


def _notices(notices: Sequence[Notice]) -> str:
    kept = [[one.code, one.path[:120], one.vi[:200], one.en[:200]] for one in notices]
    while len(text := json.dumps(kept, separators=(",", ":"))) > MAX_NOTICES_BYTES:
        kept.pop()
    return text


def read_consignment_headers(headers: Mapping[str, object], *, lane: Lane) -> Consignment:
    """
    The station's reading of a consignment message.

    Raises:
        BadMessage: naming the header that is missing or wrong.
    """

    def text(name: str) -> str:
        value = headers.get(name)
        if isinstance(value, bytes | bytearray):
            value = bytes(value).decode("utf-8", errors="replace")
        if not isinstance(value, str):
            raise BadMessage(name, "text expected")
        return value

    def number(name: str) -> int:
        value = headers.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadMessage(name, "number expected")
        return value

    def moment(name: str) -> datetime:
        value = datetime.fromisoformat(text(name))
        if value.tzinfo is None:
            raise BadMessage(name, "a time without zone")
        return value

    try:
        refs = json.loads(text(H_DELIVERIES))
        return Consignment(
            consignment=ConsignmentId(text(H_CONSIGNMENT)),
            document=DocumentKey(text(H_DOCUMENT)),
            kind=Kind(text(H_KIND)),
            lane=lane,
            digest=Digest(text(H_DIGEST)),
            size=number(H_SIZE),
            tier=Tier(text(H_TIER)),
            value=LegalValue(text(H_VALUE)),
            report=Digest(text(H_REPORT)) if H_REPORT in headers else None,
            attempt=number(H_ATTEMPT),
            deliveries=tuple(
                DeliveryRef(delivery=DeliveryId(str(one)), code=str(code)) for one, code in refs
            ),
            deliveries_total=number(H_TOTAL),
            notices=tuple(
                Notice(code=str(code), path=str(path), vi=str(vi), en=str(en))
                for code, path, vi, en in json.loads(text(H_NOTICES) if H_NOTICES in headers else "[]")
            ),
            sent_at=moment(H_SENT_AT),
        )
    except BadMessage:
        raise
    except (ValueError, TypeError, RecursionError) as problem:
        raise BadMessage("headers", str(problem)) from problem
