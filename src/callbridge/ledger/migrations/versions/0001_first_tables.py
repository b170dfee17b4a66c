"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("cause", sa.String(128), primary_key=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("gone_since", sa.BigInteger()),
    )
    op.create_table(
        "attempts",
        sa.Column("batch_id", sa.String(40), primary_key=True),
        sa.Column("call_id", sa.String(40), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("became", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("detail", sa.Text()),
    )
    op.create_index("attempts_by_call", "attempts", ["call_id", "at"])
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("ip", sa.String(64)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("audit_by_actor", "audit", ["actor", "seq"])
    op.create_index("audit_by_time", "audit", ["at"])
    op.create_table(
        "batches",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("account", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("why", sa.String(16), nullable=False),
        sa.Column("parent", sa.String(40)),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("answer", sa.String(32), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("request_id", sa.String(255)),
        sa.Column("request", sa.LargeBinary()),
        sa.Column("response", sa.LargeBinary()),
    )
    op.create_index("batches_by_account", "batches", ["account", "at", "id"])
    op.create_index("batches_by_answer", "batches", ["answer", "at", "id", "account"])
    op.create_index("batches_by_parent", "batches", ["parent"])
    op.create_index("batches_by_time", "batches", ["at", "id"])
    op.create_index(
        "batches_with_body",
        "batches",
        ["at"],
        sqlite_where=sa.text("request IS NOT NULL OR response IS NOT NULL"),
        postgresql_where=sa.text("request IS NOT NULL OR response IS NOT NULL"),
    )
    op.create_table(
        "bodies",
        sa.Column("call_id", sa.String(40), primary_key=True),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("bodies_by_receipt", "bodies", ["received_at"])
    op.create_table(
        "calls",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("account", sa.String(32), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(64)),
        sa.Column("uniq", sa.String(255)),
        sa.Column("ref", sa.String(255)),
        sa.Column("direction", sa.String(16)),
        sa.Column("phone", sa.String(255)),
        sa.Column("tail", sa.String(255)),
        sa.Column("extension", sa.String(255)),
        sa.Column("duration", sa.Integer()),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("status", sa.String(16)),
        sa.Column("result", sa.Text()),
        sa.Column("link", sa.Text()),
        sa.Column("event", sa.String(255)),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("detail", sa.Text()),
        sa.Column("cause", sa.String(16)),
        sa.Column("note_id", sa.BigInteger()),
        sa.Column("entity_type", sa.String(16)),
        sa.Column("entity_id", sa.BigInteger()),
        sa.Column("duplicates", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("variants", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("replayed", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("forgotten_at", sa.BigInteger()),
    )
    op.create_index("calls_by_account", "calls", ["account", "received_at", "id"])
    op.create_index(
        "calls_by_cause",
        "calls",
        ["cause", "received_at", "id", "state", "account", "source", "direction", "settled_at", "tail", "reason"],
        sqlite_where=sa.text("cause IS NOT NULL"),
        postgresql_where=sa.text("cause IS NOT NULL"),
    )
    op.create_index(
        "calls_by_direction",
        "calls",
        ["direction", "account", "source", "received_at", "id", "tail"],
    )
    op.create_index(
        "calls_by_end", "calls", ["state", "settled_at", "id", "account", "source", "direction", "received_at", "tail"]
    )
    op.create_index(
        "calls_by_place",
        "calls",
        ["account", "source", "state", "direction", "received_at", "id", "settled_at", "tail"],
    )
    op.create_index(
        "calls_by_reason",
        "calls",
        ["reason", "received_at", "id", "state", "account", "source", "direction", "settled_at", "tail", "cause"],
        sqlite_where=sa.text("reason IS NOT NULL"),
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
    op.create_index("calls_by_receipt", "calls", ["received_at", "id"])
    op.create_index("calls_by_ref", "calls", ["ref", "received_at", "id"])
    op.create_index("calls_by_source", "calls", ["source", "received_at", "id"])
    op.create_index("calls_by_state", "calls", ["state", "received_at", "id"])
    op.create_index(
        "calls_by_tail",
        "calls",
        ["tail", "received_at", "id", "state", "account", "source", "direction", "settled_at", "reason", "cause"],
    )
    op.create_index("calls_by_uniq", "calls", ["uniq", "received_at", "id"])
    op.create_index(
        "calls_dead",
        "calls",
        ["state", "account", "reason", "cause", "settled_at", "id"],
        sqlite_where=sa.text("state = 'dead'"),
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.create_index(
        "calls_parked",
        "calls",
        ["state", "account", "phone", "received_at", "id"],
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_index(
        "calls_to_forget",
        "calls",
        ["settled_at"],
        sqlite_where=sa.text("forgotten_at IS NULL"),
        postgresql_where=sa.text("forgotten_at IS NULL"),
    )
    op.create_table(
        "events",
        sa.Column("call_id", sa.String(40), primary_key=True),
        sa.Column("at", sa.BigInteger(), primary_key=True),
        sa.Column("n", sa.Integer(), primary_key=True),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
    )
    op.create_table(
        "groups",
        sa.Column("account", sa.String(32), primary_key=True),
        sa.Column("reason", sa.String(64), primary_key=True),
        sa.Column("cause", sa.String(16), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(64)),
        sa.Column("note", sa.Text()),
    )
    op.create_table(
        "job_calls",
        sa.Column("job_id", sa.String(40), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True),
        sa.Column("call_id", sa.String(40), nullable=False),
        sa.Column("result", sa.String(32)),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("moved", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("runner", sa.String(64)),
        sa.Column("held_until", sa.BigInteger()),
    )
    op.create_index("jobs_by_time", "jobs", ["created_at"])
    op.create_table(
        "latencies",
        sa.Column("minute", sa.BigInteger(), primary_key=True),
        sa.Column("bucket", sa.Integer(), primary_key=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "minutes",
        sa.Column("minute", sa.BigInteger(), primary_key=True),
        sa.Column("account", sa.String(32), primary_key=True),
        sa.Column("what", sa.String(16), primary_key=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "operators",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.String(255)),
        sa.Column("totp", sa.String(255)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("operator", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("proved_at", sa.BigInteger(), nullable=False),
        sa.Column("ip", sa.String(64)),
        sa.Column("agent", sa.String(255)),
    )
    op.create_index("sessions_by_operator", "sessions", ["operator"])
    op.create_table(
        "tallies",
        sa.Column("account", sa.String(32), primary_key=True),
        sa.Column("source", sa.String(32), primary_key=True),
        sa.Column("state", sa.String(16), primary_key=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "throttles",
        sa.Column("who", sa.String(128), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.UniqueConstraint("digest", name="tokens_by_digest"),
    )
    op.create_table(
        "tombstones",
        sa.Column("call_id", sa.String(40), primary_key=True),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("tombstones")
    op.drop_table("tokens")
    op.drop_table("throttles")
    op.drop_table("tallies")
    op.drop_table("sessions")
    op.drop_table("operators")
    op.drop_table("minutes")
    op.drop_table("marks")
    op.drop_table("latencies")
    op.drop_table("jobs")
    op.drop_table("job_calls")
    op.drop_table("groups")
    op.drop_table("events")
    op.drop_table("calls")
    op.drop_table("bodies")
    op.drop_table("batches")
    op.drop_table("audit")
    op.drop_table("attempts")
    op.drop_table("alerts")
