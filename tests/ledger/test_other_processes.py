"""SQLite's file among several processes: what one of them does with it takes nothing from the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from callbridge.ledger.database import open_ledger

LOOK = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM marks').fetchall(); c.close()"


def looked_at(file: Path) -> None:
    """By another process, which opens it and closes it again."""
    subprocess.run([sys.executable, "-c", LOOK, str(file)], check=True)


async def test_what_is_written_after_another_process_looked_is_not_lost(tmp_path: Path) -> None:
    """The last process to close the file throws away the log: none may be taken for the last while we have it open."""
    file = tmp_path / "ledger.db"
    async with open_ledger(f"sqlite:///{file}") as ledger:
        async with ledger.read() as connection:  # a second connection, made while the first is open
            await connection.execute(text("SELECT 1"))
        looked_at(file)
        async with ledger.begin() as connection:
            await connection.execute(text("INSERT INTO marks (name, value, changed_at) VALUES ('kept', '', 1)"))
        looked_at(file)
        async with open_ledger(f"sqlite:///{file}") as other, other.read() as connection:
            assert (await connection.execute(text("SELECT name FROM marks"))).scalars().all() == ["kept"]
        looked_at(file)
