"""
The first schema: events, the log over them, and everything derived from them.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = ("event", "leaf", "checkpoint")
_PARTITIONED = ("event", "submission", "document", "consignment", "delivery", "report")


def upgrade() -> None:
    """Make every table; evidence refuses UPDATE and DELETE from the first moment."""
    _tables()
    if op.get_bind().dialect.name == "postgresql":
        _postgresql()
    else:
        _sqlite()


def _postgresql() -> None:
    op.execute("CREATE INDEX document_words ON document USING gin (string_to_array(search_text, ' '))")
    op.execute("CREATE INDEX document_signer_words ON document USING gin (string_to_array(signer_text, ' '))")
    op.execute("CREATE INDEX document_business_type ON document (business_type, id) WHERE business_type <> 0")
    # A queue that fills and empties all day: dead rows at its head would make every look at it slower.
    op.execute(
        "ALTER TABLE pending_leaf SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)"
    )
    for table in _PARTITIONED:
        # A row of a year nobody prepared lands here instead of being refused.
        op.execute(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT")
    op.execute(
        "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION append_only()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
    # Unlike row triggers, this kind is not handed down to partitions.
    op.execute(
        "CREATE TRIGGER event_other_no_truncate BEFORE TRUNCATE ON event_other "
        "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )


def _sqlite() -> None:
    for table in _APPEND_ONLY:
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    # INSERT OR REPLACE removes the row in its way without asking a DELETE trigger.
    for table, found in (
        ("event", "FROM event WHERE year = NEW.year AND id = NEW.id"),
        ("leaf", "FROM leaf WHERE idx = NEW.idx OR event_id = NEW.event_id OR hash = NEW.hash"),
        ("checkpoint", "FROM checkpoint WHERE size = NEW.size"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 {found}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _partial(name: str, table: str, *columns: str, where: str) -> None:
    op.create_index(
        name, table, list(columns), unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def _tables() -> None:
    op.create_table(
        "answered_message",
        sa.Column("message_id", sa.String(length=255), nullable=False),
        sa.Column("station_id", sa.String(length=31), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("submission_id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "station_id", "digest"),
    )
    op.create_table(
        "buried",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("station_id", sa.String(length=31), nullable=True),
        sa.Column("message_id", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("submission_id", sa.String(length=26), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "certificate",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("organ", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spki", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("warned", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("fingerprint", "organ"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "payload_purge",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "legal_hold",
        sa.Column("document_key", sa.String(length=26), nullable=False),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("document_key"),
    )
    op.create_table(
        "certified_under",
        sa.Column("above", sa.String(length=64), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("above", "serial"),
    )
    op.create_table(
        "file_signer",
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("document_key", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("serial", "document_key"),
    )
    op.create_table(
        "pair",
        sa.Column("sender", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("receiver", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sender", "receiver"),
    )
    op.create_table(
        "claim",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("submission_id", sa.String(length=26), nullable=False),
        sa.Column("document_key", sa.String(length=26), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "consignment",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("document_key", sa.String(length=26), nullable=False),
        sa.Column("station_id", sa.String(length=31), nullable=False),
        sa.Column("lane", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("state_at", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("year", "id"),
        postgresql_partition_by="LIST (year)",
    )
    op.create_index("consignment_document", "consignment", ["document_key"], unique=False)
    op.create_index("consignment_due", "consignment", ["station_id", "state", "lane", "id"], unique=False)
    _partial(
        "consignment_out",
        "consignment",
        "station_id",
        "state_at",
        "id",
        where="state IN ('fetched', 'handed_over')",
    )
    op.create_index(
        "consignment_leased",
        "consignment",
        ["station_id", "lease_until"],
        unique=False,
        sqlite_where=sa.text("lease_until IS NOT NULL"),
        postgresql_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_table(
        "delegation",
        sa.Column("station_id", sa.String(length=31), nullable=False),
        sa.Column("organ", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("valid_from", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subtree", sa.Boolean(), nullable=False),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("station_id", "organ", "valid_from"),
    )
    op.create_table(
        "delivery",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("document_key", sa.String(length=26), nullable=False),
        sa.Column("consignment_id", sa.String(length=26), nullable=True),
        sa.Column("station_id", sa.String(length=31), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("sender", sa.Integer(), nullable=False),
        sa.Column("organ", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("state_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=2), nullable=True),
        sa.Column("registered", sa.Boolean(), nullable=False),
        sa.Column("returned", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("next_day", sa.Boolean(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("registered_at", sa.BigInteger(), nullable=True),
        sa.Column("not_taken_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("request", sa.String(length=12), nullable=False),
        sa.Column("request_kind", sa.String(length=12), nullable=True),
        sa.Column("requested_by", sa.String(length=26), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("year", "id"),
        postgresql_partition_by="LIST (year)",
    )
    op.create_index("delivery_consignment", "delivery", ["consignment_id"], unique=False)
    op.create_index("delivery_document", "delivery", ["document_key"], unique=False)
    _partial("delivery_not_received", "delivery", "accepted_at", "id", where="received_at IS NULL")
    _partial(
        "delivery_due",
        "delivery",
        "due_at",
        "id",
        where="due_at IS NOT NULL AND told_at IS NULL AND not_taken_at IS NULL",
    )
    _partial(
        "delivery_overdue",
        "delivery",
        "station_id",
        "id",
        where="not_taken_at IS NOT NULL AND told_at IS NULL",
    )
    _partial("delivery_request", "delivery", "requested_at", "id", where="request IN ('asked', 'rejected')")
    op.create_index("delivery_organ", "delivery", ["organ", "accepted_at", "id"], unique=False)
    op.create_index("delivery_sender", "delivery", ["sender", "accepted_at", "id"], unique=False)
    op.create_index("delivery_time", "delivery", ["accepted_at", "id"], unique=False)
    op.create_table(
        "delivery_key",
        sa.Column("root", sa.String(length=26), nullable=False),
        sa.Column("organ", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("delivery_id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("root", "organ"),
    )
    op.create_table(
        "directory_version",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "document",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("submission_id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("station_id", sa.String(length=31), nullable=False),
        sa.Column("sender", sa.Integer(), nullable=False),
        sa.Column("from_code", sa.String(length=64), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("business_type", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("notation", sa.Text(), nullable=False),
        sa.Column(
            "code_text",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("promulgation_date", sa.String(length=10), nullable=True),
        sa.Column("due_date", sa.String(length=10), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=True),
        sa.Column("paper", sa.Boolean(), nullable=False),
        sa.Column("type_name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("signatory", sa.Text(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=True),
        sa.Column("signer_text", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(length=8), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=12), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.String(length=26), nullable=False),
        sa.Column("target", sa.String(length=26), nullable=True),
        sa.Column("status_code", sa.String(length=2), nullable=True),
        sa.Column("report", sa.String(length=64), nullable=True),
        sa.Column("signer_serial", sa.String(length=64), nullable=True),
        sa.Column("attachments", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("year", "id"),
        postgresql_partition_by="LIST (year)",
    )
    op.create_index("document_code", "document", ["code_text"], unique=False)
    op.create_index(
        "document_document_id", "document", [sa.text("substr(document_id, 1, 200)")], unique=False
    )
    _partial("document_indeterminate", "document", "accepted_at", "id", where="tier = 'indeterminate'")
    _partial("document_due_date", "document", "due_date", "id", where="due_date IS NOT NULL")
    op.create_index("document_root", "document", ["root"], unique=False)
    op.create_index("document_sender", "document", ["sender", "accepted_at"], unique=False)
    op.create_index("document_signer_serial", "document", ["signer_serial"], unique=False)
    op.create_index("document_station", "document", ["station_id", "id"], unique=False)
    op.create_index("document_target", "document", ["target"], unique=False)
    op.create_table(
        "event",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("submission_id", sa.String(length=26), nullable=True),
        sa.Column("document_id", sa.String(length=26), nullable=True),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("year", "id"),
        postgresql_partition_by="LIST (year)",
    )
    op.create_index("event_document", "event", ["document_id"], unique=False)
    _partial(
        "event_act",
        "event",
        "at",
        "id",
        where="kind IN ('certificate.changed', 'delegation.changed', 'keys.changed', 'ledger.queried', "
        "'legal_hold.changed', 'log.epoch_begun', 'organs.changed', 'payload.purged', 'policy.changed', "
        "'replay.changed', 'secrecy.released', 'station.changed', 'trust.changed', 'vxp.changed')",
    )
    op.create_index("event_submission", "event", ["submission_id"], unique=False)
    op.create_table(
        "feed",
        sa.Column("station_id", sa.String(length=31), nullable=False),
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("station_id", "idx"),
    )
    op.create_table(
        "leaf",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(length=26), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("idx"),
        sa.UniqueConstraint("event_id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "log_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=80), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "node",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("level", "idx"),
    )
    op.create_table(
        "organ",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("valid_from", sa.BigInteger(), nullable=True),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.Column("successor", sa.Integer(), nullable=True),
        sa.Column("terminate_here", sa.Boolean(), nullable=False),
        sa.Column("confidence", sa.String(length=16), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("organ_parent", "organ", ["parent"], unique=False)
    op.create_index("organ_version", "organ", ["version"], unique=False)
    op.create_table(
        "organ_code",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("organ", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("written", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("code", "organ"),
    )
    op.create_table(
        "pending_leaf",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("event_id", sa.String(length=26), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "release",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "person"),
    )
    op.create_table(
        "replay_plan",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "replacement",
        sa.Column("document_key", sa.String(length=26), nullable=False),
        sa.Column("target", sa.String(length=26), nullable=False),
        sa.Column("organs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("document_key", "target"),
    )
    op.create_index("replacement_target", "replacement", ["target"], unique=False)
    op.create_table(
        "report",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document_key", sa.String(length=26), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("year", "document_key"),
        postgresql_partition_by="LIST (year)",
    )
    op.create_table(
        "revocation",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("next_update", sa.BigInteger(), nullable=True),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("revocation_issued", "revocation", ["issued_at"], unique=False)
    op.create_index("revocation_taken", "revocation", ["taken_at"], unique=False)
    op.create_table(
        "timestamp",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "vxp_system",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("station_id", sa.String(length=31), nullable=False),
        sa.Column("view", sa.String(length=8), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "station",
        sa.Column("id", sa.String(length=31), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("policy", sa.String(length=12), nullable=False),
        sa.Column("inline_bytes", sa.BigInteger(), nullable=False),
        sa.Column("window", sa.Integer(), nullable=False),
        sa.Column("refuses_unpassed", sa.Boolean(), nullable=False),
        sa.Column("is_platform", sa.Boolean(), nullable=False),
        sa.Column("priority_scale", sa.String(length=3), nullable=False),
        sa.Column("acts_for", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(length=16), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("feed_cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "submission",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("station_id", sa.String(length=31), nullable=True),
        sa.Column("message_id", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=True),
        sa.Column("business_type", sa.Integer(), nullable=True),
        sa.Column("document_key", sa.String(length=26), nullable=True),
        sa.Column("sender", sa.Integer(), nullable=True),
        sa.Column("from_code", sa.String(length=64), nullable=True),
        sa.Column("document_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column(
            "code_text",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("lane", sa.String(length=8), nullable=False),
        sa.Column("event_id", sa.String(length=26), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("year", "id"),
        postgresql_partition_by="LIST (year)",
    )
    op.create_index("submission_next_try", "submission", ["state", "next_try_at"], unique=False)
    _partial("submission_not_accepted", "submission", "recorded_at", "id", where="state <> 'accepted'")
    op.create_index("submission_digest", "submission", ["digest"], unique=False)
    op.create_index("submission_station", "submission", ["station_id", "received_at"], unique=False)
    op.create_table(
        "tally",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("sender", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("receiver", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("business_type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("urgency", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=16), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "sender", "receiver", "business_type", "urgency", "metric"),
    )
    op.create_index("tally_receiver", "tally", ["receiver", "day"], unique=False)
    op.create_index("tally_sender", "tally", ["sender", "day"], unique=False)
    op.create_table(
        "day_total",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("business_type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("urgency", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=16), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "business_type", "urgency", "metric"),
    )
    op.create_table(
        "organ_month",
        sa.Column("period", sa.String(length=7), nullable=False),
        sa.Column("organ", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("business_type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("urgency", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=16), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("period", "organ", "business_type", "urgency", "metric"),
    )
    op.create_index("organ_month_organ", "organ_month", ["organ", "period"], unique=False)
    op.create_table(
        "organ_year",
        sa.Column("period", sa.String(length=4), nullable=False),
        sa.Column("organ", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("business_type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("urgency", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=16), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("period", "organ", "business_type", "urgency", "metric"),
    )
    op.create_index("organ_year_organ", "organ_year", ["organ", "period"], unique=False)
    op.create_table(
        "valuation",
        sa.Column("document_key", sa.String(length=26), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("document_key"),
    )
    op.create_index("valuation_due", "valuation", ["due_at", "document_key"], unique=False)
    op.create_table(
        "upload",
        sa.Column("station_id", sa.String(length=31), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("station_id", "digest"),
    )
    op.create_table(
        "replay_item",
        sa.Column("plan_id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("item_id", sa.String(length=26), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("result", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(
            ["plan_id"],
            ["replay_plan.id"],
        ),
        sa.PrimaryKeyConstraint("plan_id", "kind", "item_id"),
    )
    op.create_index("replay_item_item", "replay_item", ["item_id", "kind"], unique=False)
    _partial("replay_item_planned", "replay_item", "plan_id", "kind", "item_id", where="state = 'planned'")


def downgrade() -> None:
    """A ledger is not taken back."""
    raise NotImplementedError("a ledger is not taken back")
