"""
The HTTP contract: paths, headers and error bodies. docs/connect.md describes it for programmers of other languages.

Imports only `axis.core`, so that the agency's side can use it without the hub.
"""

from __future__ import annotations

from typing import Final

from axis.core.events import JSON
from axis.core.exchange import cause_json
from axis.core.reasons import REASONS, Cause

BASE: Final = "/api/v1"
SUBMISSIONS: Final = "/submissions"
"""POST the edXML bytes (or a digest, `BY_DIGEST`); `Idempotency-Key` is the message id; 202 with the answer."""
UPLOADS: Final = "/uploads/{digest}"
"""PUT, resumable with `Content-Range`."""
INBOX: Final = "/inbox"
"""GET `limit`, `wait` (seconds): consignments, urgent first, leased to the caller."""
CONSIGNMENT: Final = "/consignments/{document}"
PAYLOAD: Final = "/payloads/{document}"
REPORT: Final = "/reports/{document}"
ACKS: Final = "/acks"
STATUSES: Final = "/statuses"
RECEIPTS: Final = "/receipts"
EVENTS: Final = "/events"
"""GET `after` (leaf index), `limit`, `wait`."""
WHERE_IS: Final = "/documents/{document}"
"""GET: where a document of the caller stands, per receiver."""
WHOAMI: Final = "/whoami"
CHECKPOINT: Final = "/checkpoint"
CONSISTENCY: Final = "/consistency"
PROOF: Final = "/proof/{leaf}"

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
LANE: Final = "X-Axis-Lane"
"""`urgent` or `normal`; only chooses the queue, the document's own priority decides."""
DIGEST: Final = "X-Axis-Digest"

EDXML: Final = "application/edxml+xml"
BY_DIGEST: Final = "application/vnd.axis.digest"
PROBLEM: Final = "application/problem+json"

MAX_WAIT_SECONDS: Final = 60
MAX_PAGE: Final = 500


def problem_json(cause: Cause, *, status: int) -> dict[str, JSON]:
    """RFC 9457 body with the axis's reason code, in both languages; the one error shape of every endpoint."""
    reason = REASONS[cause.code]
    return {
        "type": f"urn:axis:reason:{cause.code.value}",
        "title": reason.en,
        "status": status,
        "detail": reason.next_en,
        "code": cause.code.value,
        "vi": reason.vi,
        "en": reason.en,
        "causes": [cause_json(cause)],
    }
