"""
Every table of the ledger, and for every column whether it is evidence, derived or operational.

Evidence is inside a leaf of the log and refuses UPDATE and DELETE. Derived columns are recomputed from the records by
`axis ledger check` and compared. Operational ones carry the reason why nothing of who, what, when or how many hangs
on them. `axis ledger tables` prints this; an undeclared column fails the build.

Times are integers: microseconds since 1970 UTC, the same in SQLite and PostgreSQL. Wide tables have the calendar year
of their id in the key and are partitioned by it in PostgreSQL; what must be unique for ever has a narrow table.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    func,
    literal_column,
    text,
)
from sqlalchemy.types import TypeEngine

from axis.core.events import ACTS, EventKind
from axis.ledger.search import INDEXED

metadata = MetaData()

ColumnClass = Literal["evidence", "derived", "operational"]

_BY_YEAR = "LIST (year)"
PARTITIONED = ("event", "submission", "document", "consignment", "delivery", "report")
APPEND_ONLY = ("event", "leaf", "checkpoint")


def _evidence(name: str, kind: TypeEngine[Any], **more: Any) -> Column[Any]:
    return Column(name, kind, info={"class": "evidence", "reason": ""}, **{"nullable": False, **more})


def _derived(name: str, kind: TypeEngine[Any], *constraints: ForeignKey, **more: Any) -> Column[Any]:
    return Column(
        name, kind, *constraints, info={"class": "derived", "reason": ""}, **{"nullable": False, **more}
    )


def _operational(name: str, kind: TypeEngine[Any], reason: str, **more: Any) -> Column[Any]:
    return Column(name, kind, info={"class": "operational", "reason": reason}, **{"nullable": False, **more})


_ID = String(26)
_BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared byte by byte whatever the database's language, as SQLite does: a range of it is a prefix."""


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of the rows that are asked for; a query says the same condition in the same words."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


LISTED_KINDS = tuple(sorted(kind.value for kind in {*ACTS, EventKind.LEDGER_QUERIED}))
IS_ACT = f"kind IN ({', '.join(repr(kind) for kind in LISTED_KINDS)})"
NOT_ACCEPTED = "state <> 'accepted'"
NOT_RECEIVED = "received_at IS NULL"
IS_OUT = "state IN ('fetched', 'handed_over')"
NOT_TOLD = "due_at IS NOT NULL AND told_at IS NULL AND not_taken_at IS NULL"
IS_PLANNED = "state = 'planned'"
IS_INDETERMINATE = "tier = 'indeterminate'"
IS_OVERDUE = "not_taken_at IS NOT NULL AND told_at IS NULL"
HAS_DUE_DATE = "due_date IS NOT NULL"
IS_REQUEST_OPEN = "request IN ('asked', 'rejected')"
"""Conditions of the partial indexes."""

event = Table(
    "event",
    metadata,
    _evidence("year", Integer(), primary_key=True, autoincrement=False),
    _evidence("id", _ID, primary_key=True),
    _evidence("kind", String(40)),
    _evidence("at", BigInteger()),
    _evidence("submission_id", _ID, nullable=True),
    _evidence("document_id", _ID, nullable=True),
    _evidence("record", LargeBinary()),
    _evidence("hash", LargeBinary(32)),
    Index("event_document", "document_id"),
    Index("event_submission", "submission_id"),
    _partial("event_act", "at", "id", where=IS_ACT),
    postgresql_partition_by=_BY_YEAR,
)

pending_leaf = Table(
    "pending_leaf",
    metadata,
    _operational(
        "seq",
        BigInteger().with_variant(Integer(), "sqlite"),
        "a queue: the row goes when the sequencer has numbered the event; the order is in the log then",
        primary_key=True,
        autoincrement=True,
    ),
    _operational("event_id", _ID, "see seq"),
    _operational("year", Integer(), "where the event's row is"),
    sqlite_autoincrement=True,
)
"""
Events without a number, in the order they were written: an event stands behind every event whose rows it changed or
whose hash it names, because that one's transaction had to end before this one's row could be written.
"""

leaf = Table(
    "leaf",
    metadata,
    _evidence("idx", BigInteger(), primary_key=True, autoincrement=False),
    _evidence("year", Integer()),
    _evidence("event_id", _ID, unique=True),
    _evidence("hash", LargeBinary(32), unique=True),
)

node = Table(
    "node",
    metadata,
    _derived("level", Integer(), primary_key=True, autoincrement=False),
    _derived("idx", BigInteger(), primary_key=True, autoincrement=False),
    _derived("hash", LargeBinary(32)),
)
"""Roots of complete subtrees of 2**level leaves, level >= 1: an inclusion proof reads O(log n) rows."""

log_head = Table(
    "log_head",
    metadata,
    _derived("id", Integer(), primary_key=True, autoincrement=False),
    _derived("size", BigInteger()),
    _derived("root", LargeBinary(32)),
    _derived("epoch", Integer()),
    _operational("holder", String(80), "which process numbers events now", nullable=True),
    _operational(
        "lease_until",
        BigInteger(),
        "until when it may; the compare-and-swap decides, not the lease",
        nullable=True,
    ),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    _evidence("size", BigInteger(), primary_key=True, autoincrement=False),
    _evidence("epoch", Integer()),
    _evidence("root", LargeBinary(32)),
    _evidence("note", Text()),
)
"""Signed heads. No time stands here: nothing in a note says when, so a column could say anything."""

feed = Table(
    "feed",
    metadata,
    _derived("station_id", String(31), primary_key=True),
    _derived("idx", BigInteger(), primary_key=True, autoincrement=False),
    _derived("year", Integer()),
    _derived("event_id", _ID),
)
"""Which events a station is told of, in the order of the log."""

tally = Table(
    "tally",
    metadata,
    _derived("day", String(10), primary_key=True),
    _derived("sender", Integer(), primary_key=True, autoincrement=False),
    _derived("receiver", Integer(), primary_key=True, autoincrement=False),
    _derived("business_type", Integer(), primary_key=True, autoincrement=False),
    _derived("urgency", Integer(), primary_key=True, autoincrement=False),
    _derived("metric", String(16), primary_key=True),
    _derived("n", BigInteger()),
    Index("tally_sender", "sender", "day"),
    Index("tally_receiver", "receiver", "day"),
)
"""Counts, folded from events in the transaction that numbers them; organ 0 = none."""

day_total = Table(
    "day_total",
    metadata,
    _derived("day", String(10), primary_key=True),
    _derived("business_type", Integer(), primary_key=True, autoincrement=False),
    _derived("urgency", Integer(), primary_key=True, autoincrement=False),
    _derived("metric", String(16), primary_key=True),
    _derived("n", BigInteger()),
)
"""The same over all organs: a year of the whole axis is some thousand rows, where `tally` has a million."""

organ_month = Table(
    "organ_month",
    metadata,
    _derived("period", String(7), primary_key=True),
    _derived("organ", Integer(), primary_key=True, autoincrement=False),
    _derived("business_type", Integer(), primary_key=True, autoincrement=False),
    _derived("urgency", Integer(), primary_key=True, autoincrement=False),
    _derived("metric", String(16), primary_key=True),
    _derived("n", BigInteger()),
    Index("organ_month_organ", "organ", "period"),
)
"""The same for the organ a column counts at and a month, `yyyy-mm`: whole months are read here, not day by day."""

organ_year = Table(
    "organ_year",
    metadata,
    _derived("period", String(4), primary_key=True),
    _derived("organ", Integer(), primary_key=True, autoincrement=False),
    _derived("business_type", Integer(), primary_key=True, autoincrement=False),
    _derived("urgency", Integer(), primary_key=True, autoincrement=False),
    _derived("metric", String(16), primary_key=True),
    _derived("n", BigInteger()),
    Index("organ_year_organ", "organ", "period"),
)
"""The same for a year, `yyyy`: what was pending when a period began hangs on everything before it."""

submission = Table(
    "submission",
    metadata,
    _derived("year", Integer(), primary_key=True, autoincrement=False),
    _derived("id", _ID, primary_key=True),
    _derived("station_id", String(31), nullable=True),
    _derived("message_id", String(255)),
    _derived("digest", String(64)),
    _derived("size", BigInteger()),
    _derived("received_at", BigInteger()),
    _derived("recorded_at", BigInteger()),
    _derived("state", String(12)),
    _derived("reason", String(40), nullable=True),
    _derived("kind", String(8), nullable=True),
    _derived("business_type", Integer(), nullable=True),
    _derived("document_key", _ID, nullable=True),
    _derived("sender", Integer(), nullable=True),
    _derived("from_code", String(64), nullable=True),
    _derived("document_id", Text(), nullable=True),
    _derived("code", Text(), nullable=True),
    _derived("code_text", _BYTEWISE),
    _derived("subject", Text(), nullable=True),
    _derived("search_text", Text()),
    _derived("lane", String(8)),
    _derived("event_id", _ID),
    _derived("head", String(64)),
    _operational(
        "next_try_at",
        BigInteger(),
        "when a hold is tried again; moving it changes nothing that is recorded",
        nullable=True,
    ),
    _operational("tries", Integer(), "how often a hold was tried; only paces the next try", default=0),
    Index("submission_station", "station_id", "received_at"),
    Index("submission_digest", "digest"),
    _partial("submission_not_accepted", "recorded_at", "id", where=NOT_ACCEPTED),
    Index("submission_next_try", "state", "next_try_at"),
    postgresql_partition_by=_BY_YEAR,
)

answered_message = Table(
    "answered_message",
    metadata,
    # First, as a batch of messages is looked for by it: behind the station, all that was ever answered would be read.
    _derived("message_id", String(255), primary_key=True),
    _derived("station_id", String(31), primary_key=True),
    _derived("digest", String(64), primary_key=True),
    _derived("submission_id", _ID),
)
"""A message that is delivered again gets the answer it was given."""

claim = Table(
    "claim",
    metadata,
    _derived("key", String(64), primary_key=True),
    _derived("submission_id", _ID),
    _derived("document_key", _ID, nullable=True),
)
"""What only one accepted or held submission can occupy, see `axis.flow.record.claim_key`."""

document = Table(
    "document",
    metadata,
    _derived("year", Integer(), primary_key=True, autoincrement=False),
    _derived("id", _ID, primary_key=True),
    _derived("submission_id", _ID),
    _derived("kind", String(8)),
    _derived("station_id", String(31)),
    _derived("sender", Integer()),
    _derived("from_code", String(64)),
    _derived("document_id", Text()),
    _derived("business_type", Integer()),
    _derived("number", Text()),
    _derived("notation", Text()),
    _derived("code_text", _BYTEWISE),
    _derived("promulgation_date", String(10), nullable=True),
    _derived("due_date", String(10), nullable=True),
    _derived("late", Boolean(), nullable=True),
    _derived("paper", Boolean()),
    _derived("type_name", Text()),
    _derived("subject", Text()),
    _derived("search_text", Text()),
    _derived("signatory", Text()),
    _derived("signer", Text(), nullable=True),
    _derived("signer_text", Text()),
    _derived("urgency", Integer()),
    _derived("lane", String(8)),
    _derived("digest", String(64)),
    _derived("size", BigInteger()),
    _derived("content", String(64)),
    _derived("tier", String(16)),
    _derived("value", String(12)),
    _derived("received_at", BigInteger()),
    _derived("accepted_at", BigInteger()),
    _derived("root", _ID),
    _derived("target", _ID, nullable=True),
    _derived("status_code", String(2), nullable=True),
    _derived("report", String(64), nullable=True),
    _derived("signer_serial", String(64), nullable=True),
    _derived("attachments", Text()),
    _derived("state", String(12)),
    _derived("head", String(64)),
    Index("document_sender", "sender", "accepted_at"),
    Index("document_station", "station_id", "id"),
    Index("document_root", "root"),
    Index("document_target", "target"),
    _partial("document_due_date", "due_date", "id", where=HAS_DUE_DATE),
    Index("document_code", "code_text"),
    Index("document_signer_serial", "signer_serial"),
    _partial("document_indeterminate", "accepted_at", "id", where=IS_INDETERMINATE),
    postgresql_partition_by=_BY_YEAR,
)
document_id_head = func.substr(document.c.document_id, literal_column("1"), literal_column(str(INDEXED)))
document_words = func.string_to_array(document.c.search_text, literal_column("' '"))
signer_words = func.string_to_array(document.c.signer_text, literal_column("' '"))
"""What is in the indexes: a query says the same expression, constants included, or it reads the whole table."""

Index("document_document_id", document_id_head)
Index("document_words", document_words, postgresql_using="gin").ddl_if(dialect="postgresql")
Index("document_signer_words", signer_words, postgresql_using="gin").ddl_if(dialect="postgresql")
# Recalls, updates and replacements are few, and looked for in years. SQLite does not see that `= 1` is not 0.
Index(
    "document_business_type",
    document.c.business_type,
    document.c.id,
    postgresql_where=text("business_type <> 0"),
).ddl_if(dialect="postgresql")

consignment = Table(
    "consignment",
    metadata,
    _derived("year", Integer(), primary_key=True, autoincrement=False),
    _derived("id", _ID, primary_key=True),
    _derived("document_key", _ID),
    _derived("station_id", String(31)),
    _derived("lane", String(8)),
    _derived("state", String(12)),
    _derived("state_at", BigInteger()),
    _derived("attempt", Integer()),
    _derived("head", String(64)),
    _operational("due_at", BigInteger(), "not offered before; only paces the next offer", default=0),
    _operational(
        "lease_until",
        BigInteger(),
        "a publisher works on it until then; when it dies another one does",
        nullable=True,
    ),
    Index("consignment_due", "station_id", "state", "lane", "id"),
    Index(
        "consignment_leased",
        "station_id",
        "lease_until",
        sqlite_where=text("lease_until IS NOT NULL"),
        postgresql_where=text("lease_until IS NOT NULL"),
    ),
    _partial("consignment_out", "station_id", "state_at", "id", where=IS_OUT),
    Index("consignment_document", "document_key"),
    postgresql_partition_by=_BY_YEAR,
)
"""The outbox: what is `waiting` here is published, and nothing else ever is."""

delivery = Table(
    "delivery",
    metadata,
    _derived("year", Integer(), primary_key=True, autoincrement=False),
    _derived("id", _ID, primary_key=True),
    _derived("document_key", _ID),
    _derived("consignment_id", _ID, nullable=True),
    _derived("station_id", String(31), nullable=True),
    _derived("kind", String(8)),
    _derived("sender", Integer()),
    _derived("organ", Integer()),
    _derived("code", String(64)),
    _derived("name", Text()),
    _derived("state", String(16)),
    _derived("reason", String(40), nullable=True),
    _derived("state_at", BigInteger()),
    _derived("accepted_at", BigInteger()),
    _derived("received_at", BigInteger(), nullable=True),
    _derived("status", String(2), nullable=True),
    _derived("registered", Boolean()),
    _derived("returned", Boolean()),
    _derived("due_at", BigInteger(), nullable=True),
    _derived("next_day", Boolean(), nullable=True),
    _derived("told_at", BigInteger(), nullable=True),
    _derived("registered_at", BigInteger(), nullable=True),
    _derived("not_taken_at", BigInteger(), nullable=True),
    _derived("failures", Integer()),
    _derived("request", String(12)),
    _derived("request_kind", String(12), nullable=True),
    _derived("requested_by", _ID, nullable=True),
    _derived("requested_at", BigInteger(), nullable=True),
    Index("delivery_document", "document_key"),
    Index("delivery_consignment", "consignment_id"),
    Index("delivery_organ", "organ", "accepted_at", "id"),
    Index("delivery_sender", "sender", "accepted_at", "id"),
    Index("delivery_time", "accepted_at", "id"),
    # No index on state: a delivery changes it four times, and PostgreSQL then rewrites none of the others.
    _partial("delivery_not_received", "accepted_at", "id", where=NOT_RECEIVED),
    _partial("delivery_due", "due_at", "id", where=NOT_TOLD),
    _partial("delivery_overdue", "station_id", "id", where=IS_OVERDUE),
    _partial("delivery_request", "requested_at", "id", where=IS_REQUEST_OPEN),
    postgresql_partition_by=_BY_YEAR,
)

delivery_key = Table(
    "delivery_key",
    metadata,
    _derived("root", _ID, primary_key=True),
    _derived("organ", Integer(), primary_key=True, autoincrement=False),
    _derived("delivery_id", _ID),
)
"""One document reaches one organ once, however often and in however many parts it is sent."""

pair = Table(
    "pair",
    metadata,
    _derived("sender", Integer(), primary_key=True, autoincrement=False),
    _derived("receiver", Integer(), primary_key=True, autoincrement=False),
    _derived("n", BigInteger()),
)
"""
How many deliveries of documents one organ has had for another. Each has its number in the record of its acceptance,
without gaps and in the order of the log, so that either side finds by itself what it was not shown.
"""

replacement = Table(
    "replacement",
    metadata,
    _derived("document_key", _ID, primary_key=True),
    _derived("target", _ID, primary_key=True),
    _derived("organs", Text()),
    Index("replacement_target", "target"),
)
"""Which document (type 3) stands in the place of which, and for whom: codes as written, none for all its receivers."""

payload_purge = Table(
    "payload_purge",
    metadata,
    _derived("digest", String(64), primary_key=True),
    _derived("at", BigInteger()),
    _operational(
        "removed",
        Boolean(),
        "whether the file is gone, too; whoever finds it not so removes it, and removing it twice is no error",
        default=False,
        server_default=text("false"),
    ),
)
"""Payloads that were let go, and when last; their digests stay in every record that names them."""

legal_hold = Table(
    "legal_hold",
    metadata,
    _derived("document_key", _ID, primary_key=True),
    _derived("person", String(80)),
    _derived("reason", Text()),
    _derived("at", BigInteger()),
)
"""Documents whose payloads stay, whatever their age."""

report = Table(
    "report",
    metadata,
    _derived("year", Integer(), primary_key=True, autoincrement=False),
    _derived("document_key", _ID, primary_key=True),
    _derived("body", LargeBinary()),
    _operational(
        "signature",
        Text(),
        "verified against the key list; its loss loses no fact, the record names the digest",
    ),
    postgresql_partition_by=_BY_YEAR,
)

certified_under = Table(
    "certified_under",
    metadata,
    _derived("above", String(64), primary_key=True),
    _derived("serial", String(64), primary_key=True),
)
"""
Serial numbers (hex): what stood above whose certificate in a chain that was judged. Few rows, as signers are few; a list
that revokes an authority finds through them the documents signed under it.
"""

file_signer = Table(
    "file_signer",
    metadata,
    _derived("serial", String(64), primary_key=True),
    _derived("document_key", _ID, primary_key=True),
)
"""Whose signatures inside its files made a document more than a reference: what their revocation is about."""

valuation = Table(
    "valuation",
    metadata,
    _derived("document_key", _ID, primary_key=True),
    _operational(
        "due_at",
        BigInteger(),
        "not judged before; whoever judges it moves it ahead, so that it is another's when that one dies",
        default=0,
    ),
    _operational(
        "tries", Integer(), "how often it was taken to be judged; only paces the next time", default=0
    ),
    _operational(
        "round",
        Integer(),
        "grows when a list revokes something; what was found in an earlier round is judged again",
        default=0,
    ),
    Index("valuation_due", "due_at", "document_key"),
)
"""Documents whose legal value is being checked: the work of `axis.flow.value`. A row goes when the value is recorded."""

organ = Table(
    "organ",
    metadata,
    _derived("number", Integer(), primary_key=True, autoincrement=False),
    _derived("code", String(64)),
    _derived("name", Text()),
    _derived("kind", String(32)),
    _derived("parent", Integer(), nullable=True),
    _derived("valid_from", BigInteger(), nullable=True),
    _derived("valid_to", BigInteger(), nullable=True),
    _derived("successor", Integer(), nullable=True),
    _derived("terminate_here", Boolean()),
    _derived("confidence", String(16)),
    _derived("search_text", Text()),
    _derived("version", BigInteger()),
    Index("organ_parent", "parent"),
    Index("organ_version", "version"),
)

organ_code = Table(
    "organ_code",
    metadata,
    _derived("code", String(64), primary_key=True),
    _derived("organ", Integer(), primary_key=True, autoincrement=False),
    _derived("written", String(64)),
)

station = Table(
    "station",
    metadata,
    _derived("id", String(31), primary_key=True),
    _derived("name", Text()),
    _derived("state", String(12)),
    _derived("channel", String(8)),
    _derived("policy", String(12)),
    _derived("inline_bytes", BigInteger()),
    _derived("window", Integer()),
    _derived("refuses_unpassed", Boolean()),
    _derived("is_platform", Boolean()),
    _derived("priority_scale", String(3)),
    _derived("acts_for", Text()),
    _operational("secret", String(16), "queue-name suffix: a secret, so it is not in a record", default=""),
    _operational(
        "key_hash",
        String(64),
        "SHA-256 of the API key: a secret, so it is not in a record; changing it is an act that is",
        default="",
    ),
    _operational(
        "feed_cursor",
        BigInteger(),
        "how far the feed was pushed; behind it events are pushed again",
        default=-1,
    ),
)

delegation = Table(
    "delegation",
    metadata,
    _derived("station_id", String(31), primary_key=True),
    _derived("organ", Integer(), primary_key=True, autoincrement=False),
    _derived("valid_from", BigInteger(), primary_key=True, autoincrement=False),
    _derived("subtree", Boolean()),
    _derived("valid_to", BigInteger(), nullable=True),
)

certificate = Table(
    "certificate",
    metadata,
    _derived("fingerprint", String(64), primary_key=True),
    _derived("organ", Integer(), primary_key=True, autoincrement=False),
    _derived("spki", String(64)),
    _derived("issuer", Text()),
    _derived("serial", String(64)),
    _derived("subject", Text()),
    _derived("valid_from", BigInteger()),
    _derived("valid_to", BigInteger(), nullable=True),
    _derived("revoked_at", BigInteger(), nullable=True),
    _derived("warned", Integer(), nullable=True),
)

vxp_system = Table(
    "vxp_system",
    metadata,
    _derived("id", String(64), primary_key=True),
    _derived("station_id", String(31)),
    _derived("view", String(8)),
    _derived("is_open", Boolean()),
    _operational(
        "secret",
        Text(),
        "sealed under the key file and bound to system and station; changing it is an act that is recorded",
        default="",
    ),
)

directory_version = Table(
    "directory_version",
    metadata,
    _derived("id", Integer(), primary_key=True, autoincrement=False),
    _derived("n", BigInteger()),
)
"""
Row 1 counts the acts that changed the directory; a snapshot names the version it was made from. Row 2 has the version
at which organs changed last.
"""

release = Table(
    "release",
    metadata,
    _derived("digest", String(64), primary_key=True),
    _derived("person", String(80), primary_key=True),
    _derived("at", BigInteger()),
)

buried = Table(
    "buried",
    metadata,
    _derived("id", _ID, primary_key=True),
    _derived("station_id", String(31), nullable=True),
    _derived("message_id", String(255)),
    _derived("digest", String(64)),
    _derived("size", BigInteger()),
    _derived("reason", String(40)),
    _derived("at", BigInteger()),
    _derived("submission_id", _ID, nullable=True),
)
"""What died before anyone judged it; `submission_id` once it was admitted again."""

revocation = Table(
    "revocation",
    metadata,
    _derived("digest", String(64), primary_key=True),
    _derived("kind", String(8)),
    _derived("about", Text()),
    _derived("number", String(64)),
    _derived("issued_at", BigInteger()),
    _derived("next_update", BigInteger(), nullable=True),
    _derived("taken_at", BigInteger()),
    Index("revocation_issued", "issued_at"),
    Index("revocation_taken", "taken_at"),
)
"""Revocation lists and OCSP responses; their bytes lie among the payloads, by the same digest, and are never purged."""

timestamp = Table(
    "timestamp",
    metadata,
    _derived("size", BigInteger(), primary_key=True, autoincrement=False),
    _derived("digest", String(64)),
    _derived("at", BigInteger()),
    _derived("serial", String(64)),
    _derived("authority", Text()),
)
"""Tokens over checkpoints of that size; their bytes lie among the payloads, as those of `revocation`."""

upload = Table(
    "upload",
    metadata,
    _operational("station_id", String(31), "who may submit by digest for 24 hours", primary_key=True),
    _operational("digest", String(64), "see station_id", primary_key=True),
    _operational("size", BigInteger(), "see station_id"),
    _operational("at", BigInteger(), "see station_id"),
)

replay_plan = Table(
    "replay_plan",
    metadata,
    _derived("id", _ID, primary_key=True),
    _derived("person", String(80)),
    _derived("reason", Text()),
    _derived("at", BigInteger()),
    _derived("state", String(12)),
    _operational("rate", Integer(), "items a second; paces only", default=0),
)

replay_item = Table(
    "replay_item",
    metadata,
    _derived("plan_id", _ID, ForeignKey("replay_plan.id"), primary_key=True),
    _derived("kind", String(12), primary_key=True),
    _derived("item_id", _ID, primary_key=True),
    _derived("state", String(12)),
    _derived("result", String(40), nullable=True),
    Index("replay_item_item", "item_id", "kind"),
    # A run asks for the next ones a thousand times: without walking over all that is done.
    _partial("replay_item_planned", "plan_id", "kind", "item_id", where=IS_PLANNED),
)


is_act = event.c.kind.in_([literal_column(repr(kind)) for kind in LISTED_KINDS])
is_not_accepted = submission.c.state != literal_column("'accepted'")
is_not_received = delivery.c.received_at.is_(None)
is_request_open = delivery.c.request.in_([literal_column("'asked'"), literal_column("'rejected'")])
is_not_told = and_(
    delivery.c.due_at.is_not(None), delivery.c.told_at.is_(None), delivery.c.not_taken_at.is_(None)
)
is_overdue = and_(delivery.c.not_taken_at.is_not(None), delivery.c.told_at.is_(None))
is_indeterminate = document.c.tier == literal_column("'indeterminate'")
is_planned = replay_item.c.state == literal_column("'planned'")
"""The conditions of the partial indexes, for queries: with constants, as a parameter would hide the index."""


def has_document_id(name: str) -> ColumnElement[bool]:
    """
    The condition that a document has this DocumentId, in words that both databases find the index by.

    SQLite puts what a column equals into every other condition on it, also into the indexed one, which then is about
    no column any more; it does not look through the empty text behind the column.
    """
    whole = document.c.document_id.concat(literal_column("''"))
    return and_(document_id_head == name[:INDEXED], whole == name)


def declared() -> list[tuple[str, str, str, str]]:
    """Rows of `axis ledger tables`: table, column, class, reason."""
    return [
        (table.name, column.name, column.info["class"], column.info["reason"])
        for table in metadata.sorted_tables
        for column in table.columns
    ]
