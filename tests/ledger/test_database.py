"""One database by two dialects: addresses, time limits, transactions, errors, and the schema's versions."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from callbridge.errors import LedgerUnavailable, Misconfigured
from callbridge.ledger import migrating
from callbridge.ledger.database import WANTED_REVISION, Clash, Ledger, TooSlow, Unwritable, open_ledger
from callbridge.ledger.tables import MARKS, METADATA, TOMBSTONES
from support.postgres_server import PostgresServer
from support.redis_server import free_port

ENDLESS = """
    WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless) SELECT count(*) FROM endless
"""


def differences(connection: Connection) -> list[object]:
    """What autogenerate would change. Comments are for the readers of `tables`, and no revision carries them."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return [
        change
        for group in compare_metadata(context, METADATA)
        for change in (group if isinstance(group, list) else [group])
        if change[0] != "modify_comment"
    ]


async def test_the_revisions_make_exactly_the_tables(ledger: Ledger):
    async with ledger.read(10) as connection:
        assert await connection.run_sync(differences) == []


def test_the_wanted_revision_is_the_last_one():
    assert ScriptDirectory.from_config(migrating.config_for()).get_heads() == [WANTED_REVISION]


async def test_going_back_leaves_nothing(ledger: Ledger):
    from alembic import command  # noqa: PLC0415 - nothing else ever goes back

    async with ledger.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(migrating.config_for(sync), "base"))
    async with ledger.read() as connection:
        tables = await connection.run_sync(lambda sync: sync.dialect.get_table_names(sync))
    assert set(tables) <= {"alembic_version"}
    assert await ledger.revision() is None
    assert await ledger.migrate()


async def test_several_processes_may_start_at_once(url: str):
    async with open_ledger(url, migrate=False) as first:
        if first.dialect == "postgresql":
            async with first.begin() as connection:
                for name in (*METADATA.tables, "alembic_version"):
                    await connection.execute(text(f'DROP TABLE IF EXISTS "{name}"'))
        async with open_ledger(url, migrate=False) as second, open_ledger(url, migrate=False) as third:
            did = await asyncio.gather(first.migrate(), second.migrate(), third.migrate())
            assert sorted(did) == [False, False, True]
            assert await third.revision() == WANTED_REVISION


async def test_a_database_of_a_newer_version_is_left_alone(ledger: Ledger, url: str):
    async with ledger.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misconfigured, match="9999"):
        async with open_ledger(url):
            raise AssertionError
    async with ledger.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :wanted"), {"wanted": WANTED_REVISION})


async def test_a_statement_is_ended_at_its_time_limit(ledger: Ledger):
    with pytest.raises(TooSlow):
        async with ledger.read(0.05) as connection:
            await connection.execute(text(ENDLESS))
    async with ledger.read(5) as connection:  # and the connection is as good as before
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_the_limit_is_a_statement_s_and_not_the_block_s(ledger: Ledger):
    async with ledger.read(0.2) as connection:
        await asyncio.sleep(0.3)
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_a_read_sees_one_state_and_writes_nothing(ledger: Ledger):
    async with ledger.read(5) as reading:
        assert (await reading.execute(TOMBSTONES.select())).all() == []
        async with ledger.begin() as writing:
            await writing.execute(TOMBSTONES.insert().values(call_id="a", erased_at=1))
        assert (await reading.execute(TOMBSTONES.select())).all() == []
    with pytest.raises(LedgerUnavailable):
        async with ledger.read() as reading:
            await reading.execute(TOMBSTONES.delete())
    async with ledger.read() as reading:
        assert len((await reading.execute(TOMBSTONES.select())).all()) == 1


async def test_a_block_that_raises_leaves_no_trace(ledger: Ledger):
    with pytest.raises(RuntimeError, match="of the caller"):  # noqa: PT012 - the block is what is tested
        async with ledger.begin() as connection:
            await connection.execute(TOMBSTONES.insert().values(call_id="a", erased_at=1))
            raise RuntimeError("of the caller")
    async with ledger.read() as connection:
        assert (await connection.execute(TOMBSTONES.select())).all() == []


async def test_a_row_that_is_there_already_is_a_clash(ledger: Ledger):
    async with ledger.begin() as connection:
        await connection.execute(TOMBSTONES.insert().values(call_id="a", erased_at=1))
    with pytest.raises(Clash):
        async with ledger.begin() as connection:
            await connection.execute(TOMBSTONES.insert().values(call_id="a", erased_at=2))


@pytest.mark.parametrize("how", ["no Unicode", "there already", "no such table"])
async def test_values_are_not_quoted(how: str, ledger: Ledger):
    """They are phone numbers; an error's text and its chain go into logs."""
    name = "79161234567\udc80" if how == "no Unicode" else "79161234567"
    row = {"name": name, "value": name, "changed_at": 1}
    with pytest.raises(LedgerUnavailable) as caught:  # noqa: PT012 - which of them is refused depends
        async with ledger.begin() as connection:
            if how == "no such table":
                await connection.execute(text("INSERT INTO nowhere VALUES (:name)"), {"name": name})
            await connection.execute(MARKS.insert().values(row))
            await connection.execute(MARKS.insert().values(row))
    error: BaseException | None = caught.value
    while error is not None:
        assert "79161234567" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


async def test_what_no_database_would_take_is_told_apart_from_one_that_is_away(ledger: Ledger):
    with pytest.raises(Unwritable):
        async with ledger.begin() as connection:
            await connection.execute(MARKS.insert().values(name="a", value="b", changed_at=1 << 70))


async def test_sqlite_files_are_the_owner_s_alone(tmp_path: Path):
    before = os.umask(0)
    try:
        async with open_ledger(f"sqlite:///{tmp_path}/var/deep/ledger.db") as ledger:
            async with ledger.begin() as connection:
                await connection.execute(TOMBSTONES.insert().values(call_id="a", erased_at=1))
            files = sorted((tmp_path / "var/deep").iterdir())
            assert [file.name for file in files] == ["ledger.db", "ledger.db-shm", "ledger.db-wal"]
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(before)


async def test_a_relative_path_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    async with open_ledger("sqlite:///var/ledger.db") as ledger:
        assert await ledger.size() > 0
    assert (tmp_path / "var/ledger.db").is_file()


@pytest.mark.parametrize(
    "url",
    [
        "", "ledger.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a.db?mode=ro",
        "mysql://me:hush@host/db", "postgresql+psycopg://me:hush@host/db", "postgresql://me:hush@host/db?hush=1",
        "postgresql://me:hush@host:port/db",
    ],
)  # fmt: skip
async def test_other_addresses_are_refused_without_repeating_them(url: str):
    with pytest.raises(Misconfigured, match=r"ledger\.url") as caught:
        async with open_ledger(url, migrate=False):
            raise AssertionError
    assert "hush@" not in str(caught.value)


@pytest.mark.parametrize("kind", ["away", "password", "directory"])
async def test_a_database_that_is_away_stops_nobody_s_start(kind: str, tmp_path: Path, postgres_server: PostgresServer):
    (tmp_path / "file").touch()
    url = {
        "away": f"postgresql://me:hush@127.0.0.1:{free_port()}/db",
        "password": postgres_server.url.replace("ledger:", "ledger:hush"),
        "directory": f"sqlite:///{tmp_path}/file/ledger.db",
    }[kind]
    async with open_ledger(url, migrate=False) as ledger:
        for using in (ledger.migrate, ledger.revision, ledger.size):
            with pytest.raises(LedgerUnavailable) as caught:
                await using()
            assert "hush" not in str(caught.value)


async def test_a_restarted_server_costs_no_error(postgres_server: PostgresServer):
    async with open_ledger(postgres_server.url) as ledger:
        postgres_server.kill()
        with pytest.raises(LedgerUnavailable):
            await ledger.revision()
        postgres_server.start()
        assert await ledger.revision() == WANTED_REVISION
        postgres_server.kill()
        postgres_server.start()
        assert await ledger.revision() == WANTED_REVISION


async def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "asyncpg", None)
    with pytest.raises(Misconfigured, match=r"callbridge\[postgresql\]"):
        async with open_ledger("postgresql://me@host/db", migrate=False):
            raise AssertionError
