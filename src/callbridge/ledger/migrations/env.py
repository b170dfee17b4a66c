"""What Alembic runs a revision in: the connection and the transaction that `migrating` was given, and nothing else."""

from __future__ import annotations

from alembic import context

from callbridge.ledger.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
