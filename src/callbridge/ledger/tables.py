"""The ledger's tables: what each holds, and the indexes that the lists live on.

Times are whole milliseconds since 1970, UTC, but `started_at`, which a PBX tells in seconds. Codes (states, reasons, answers)
are the public ones. Texts from outside are stored as they came, bounded by who wrote them. Nothing here is the queue: what
is live is decided in Redis, and a row says what was last heard of it.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.schema import UniqueConstraint
from sqlalchemy.sql import text

METADATA: Final = MetaData()


def _only(condition: str) -> dict[str, Any]:
    """Makes an index one of the few rows of which that holds, so that looking for them costs no walk over all the others."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


_RECEIPT: Final = ("received_at", "id")
_ASKED: Final = ("state", "account", "source", "direction", "settled_at", "tail")

CALLS: Final = Table(
    "calls",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("account", String(32), nullable=False),
    Column("source", String(32), nullable=False),
    Column("provider", String(64)),
    Column("uniq", String(255)),
    Column("ref", String(255)),
    Column("direction", String(16)),
    Column("phone", String(255)),
    Column("tail", String(255), comment="the digits of phone, last one first: last digits are a prefix of it"),
    Column("extension", String(255)),
    Column("duration", Integer),
    Column("started_at", BigInteger),
    Column("status", String(16)),
    Column("result", Text),
    Column("link", Text),
    Column("event", String(255)),
    Column("received_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger, comment="when it got into the final state it is in"),
    Column("attempts", Integer, nullable=False),
    Column("reason", String(64)),
    Column("detail", Text),
    Column("cause", String(16), comment="digest of the reason and the detail without its numbers: the error's group"),
    Column("note_id", BigInteger),
    Column("entity_type", String(16)),
    Column("entity_id", BigInteger),
    Column("duplicates", Integer, nullable=False, server_default="0"),
    Column("variants", Integer, nullable=False, server_default="0"),
    Column("replayed", Boolean, nullable=False, server_default="0"),
    Column("forgotten_at", BigInteger, comment="since when Redis does not hold it any more"),
    Index("calls_by_receipt", *_RECEIPT),
    Index("calls_by_state", "state", *_RECEIPT),
    Index("calls_by_account", "account", *_RECEIPT),
    Index("calls_by_source", "source", *_RECEIPT),
    # Beyond its first columns an index holds what `search` asks besides, so that a row that does not fit is never read.
    Index("calls_by_place", "account", "source", "state", "direction", *_RECEIPT, "settled_at", "tail"),
    Index("calls_by_direction", "direction", "account", "source", *_RECEIPT, "tail"),
    Index("calls_by_end", "state", "settled_at", "id", "account", "source", "direction", "received_at", "tail"),
    Index("calls_by_reason", "reason", *_RECEIPT, *_ASKED, "cause", **_only("reason IS NOT NULL")),
    Index("calls_by_cause", "cause", *_RECEIPT, *_ASKED, "reason", **_only("cause IS NOT NULL")),
    Index("calls_by_tail", "tail", *_RECEIPT, *_ASKED[:-1], "reason", "cause"),
    Index("calls_by_uniq", "uniq", *_RECEIPT),
    Index("calls_by_ref", "ref", *_RECEIPT),
    Index("calls_dead", "state", "account", "reason", "cause", "settled_at", "id", **_only("state = 'dead'")),
    Index("calls_parked", "state", "account", "phone", "received_at", "id", **_only("state = 'parked'")),
    Index("calls_to_forget", "settled_at", **_only("forgotten_at IS NULL")),
)

BODIES: Final = Table(
    "bodies",
    METADATA,
    Column("call_id", String(40), primary_key=True),
    Column("envelope", LargeBinary, nullable=False, comment="as store.envelope seals it"),
    Column("received_at", BigInteger, nullable=False),
    Index("bodies_by_receipt", "received_at"),
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("call_id", String(40), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("n", Integer, primary_key=True, comment="its place among the entries of that call and millisecond"),
    Column("what", String(32), nullable=False),
    Column("facts", Text, nullable=False, comment="JSON object: what else the story tells"),
)

BATCHES: Final = Table(
    "batches",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("account", String(32), nullable=False),
    Column("at", BigInteger, nullable=False, comment="when its answer was written down"),
    Column("kind", String(8), nullable=False, comment="calls or leads"),
    Column("size", Integer, nullable=False),
    Column("why", String(16), nullable=False, comment="why it left then: full, due, half, probe, trial, strangers"),
    Column("parent", String(40), comment="the refused batch of which it is a half, or whose strangers it holds"),
    Column("seconds", Float, nullable=False),
    Column("answer", String(32), nullable=False),
    Column("status", Integer),
    Column("request_id", String(255), comment="the CRM's own name for the request"),
    Column("request", LargeBinary, comment="body as it was sent, deflated; absent once erased or too old"),
    Column("response", LargeBinary, comment="body as it came, bounded, deflated"),
    Index("batches_by_time", "at", "id"),
    Index("batches_by_account", "account", "at", "id"),
    Index("batches_by_answer", "answer", "at", "id", "account"),
    Index("batches_by_parent", "parent"),
    Index("batches_with_body", "at", **_only("request IS NOT NULL OR response IS NOT NULL")),
)

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("batch_id", String(40), primary_key=True),
    Column("call_id", String(40), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("became", String(16), nullable=False, comment="the state in which that request left the call"),
    Column("reason", String(64)),
    Column("detail", Text),
    Index("attempts_by_call", "call_id", "at"),
)

TALLIES: Final = Table(
    "tallies",
    METADATA,
    Column("account", String(32), primary_key=True),
    Column("source", String(32), primary_key=True),
    Column("state", String(16), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How many rows of `calls` stand where, moved in the transaction that moves the row."""

MINUTES: Final = Table(
    "minutes",
    METADATA,
    Column("minute", BigInteger, primary_key=True, comment="minutes since 1970"),
    Column("account", String(32), primary_key=True),
    Column("what", String(16), primary_key=True, comment="received, a final state, or in_time: delivered within 60 s"),
    Column("calls", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

LATENCIES: Final = Table(
    "latencies",
    METADATA,
    Column("minute", BigInteger, primary_key=True),
    Column("bucket", Integer, primary_key=True, comment="see figures.bucket_of"),
    Column("calls", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Webhook to CRM of calls that were never replayed or parked, by the minute in which they were delivered."""

GROUPS: Final = Table(
    "groups",
    METADATA,
    Column("account", String(32), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("cause", String(16), primary_key=True),
    Column("status", String(16), nullable=False, comment="open, acknowledged or fixed"),
    Column("changed_at", BigInteger, nullable=False),
    Column("changed_by", String(64)),
    Column("note", Text),
)

TOMBSTONES: Final = Table(
    "tombstones",
    METADATA,
    Column("call_id", String(40), primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("ip", String(64)),
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False, comment="JSON object: what it acted on, an id or a filter"),
    Column("count", BigInteger),
    Column("reason", Text),
    Column("outcome", Text, nullable=False, comment="JSON object: what came of it, before and after"),
    Column("previous", String(64), nullable=False, comment="hash of the entry before"),
    Column("hash", String(64), nullable=False),
    Index("audit_by_time", "at"),
    Index("audit_by_actor", "actor", "seq"),
)

JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("id", String(40), primary_key=True, comment="chosen by whoever asks: asking twice is asking once"),
    Column("action", String(16), nullable=False, comment="as ops.jobs names it"),
    Column("filter", Text, nullable=False, comment="JSON object, as the list had it; or the ids"),
    Column("reason", Text, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("state", String(16), nullable=False, comment="preparing, running, paused, cancelled, done, failed"),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False),
    Column("skipped", Text, nullable=False, comment="JSON object: reason to how many"),
    Column("problem", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("runner", String(64), comment="which process works on it"),
    Column("held_until", BigInteger, comment="until when that is so without another word from it"),
    Index("jobs_by_time", "created_at"),
)

JOB_CALLS: Final = Table(
    "job_calls",
    METADATA,
    Column("job_id", String(40), primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("call_id", String(40), nullable=False),
    Column("result", String(32), comment="moved, or why not; absent until tried"),
)

OPERATORS: Final = Table(
    "operators",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", String(255), comment="argon2id"),
    Column("totp", String(255), comment="secret of the second factor, sealed"),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("digest", String(64), primary_key=True, comment="SHA-256 of the cookie: a copy of the table opens nothing"),
    Column("operator", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("proved_at", BigInteger, nullable=False, comment="when the password was last given"),
    Column("ip", String(64)),
    Column("agent", String(255)),
    Index("sessions_by_operator", "operator"),
)

TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("used_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    UniqueConstraint("digest", name="tokens_by_digest"),
)

THROTTLES: Final = Table(
    "throttles",
    METADATA,
    Column("who", String(128), primary_key=True, comment="digest of a name or an address"),
    Column("failures", Integer, nullable=False),
    Column("blocked_until", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

ALERTS: Final = Table(
    "alerts",
    METADATA,
    Column("cause", String(128), primary_key=True),
    Column("detail", Text, nullable=False),
    Column("path", String(255), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("told_at", BigInteger),
    Column("gone_since", BigInteger),
)

MARKS: Final = Table(
    "marks",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""Single facts of the ledger itself: when it last caught up, which process tells alerts, the tip of the audit's chain."""
