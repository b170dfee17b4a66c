"""The schema's versions, brought about from within the program: no alembic.ini, nothing to run by hand.

Synchronous, because Alembic is; `database` runs it on its own connection, under a lock that keeps two starts apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from callbridge.errors import Misconfigured

WANTED_REVISION: Final = "0001"
"""What this version of the program reads and writes; the last file in `migrations/versions`."""


def config_for(connection: Connection | None = None) -> Config:
    config = Config()
    where = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", where.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def revision_of(connection: Connection) -> str | None:
    """None for a database without our tables."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection) -> bool:
    """Brings the schema to the wanted version, in the transaction that the connection is in; says whether it had to.

    A database of a later version is left alone: what it holds would be misread.
    """
    current = revision_of(connection)
    if current == WANTED_REVISION:
        return False
    config = config_for(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise Misconfigured(
            f"ledger.url: the database is of revision {current[:40]}, this version knows no later one than"
            f" {WANTED_REVISION}: run the version that wrote it, or a newer one"
        )
    command.upgrade(config, WANTED_REVISION)
    return True
