"""Exports of the ledger as files: read back, whole or not there at all, and told to the audit; on PostgreSQL as well."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from callbridge.commands import sheet
from callbridge.configuration import load
from callbridge.inspecting import ledger_url
from callbridge.ledger.database import open_ledger
from callbridge.ledger.views import CallRow
from callbridge.ledger.writer import Writer
from callbridge.ops import exporting
from callbridge.outcome import State
from callbridge.store.changes import RedisChanges
from cli.conftest import Office
from support.postgres_server import PostgresServer
from support.store import Bench

PHONE, REFUSED = "+74955550199", "+74955550123"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:  # a path that another user may enter
        server = PostgresServer(Path(directory))
        yield server
        server.stop()


def filled(office: Office, more: int = 0) -> None:
    """Calls in the ledger of the settings: three delivered, two refused by the CRM, and perhaps more that wait."""
    url = ledger_url(load(office.env, office.directory))

    async def fill(bench: Bench) -> None:
        await bench.bring_to(State.DELIVERED, 3, phone=PHONE, extension="=1+1")
        await bench.bring_to(State.DEAD, 2, ref="dead", reason="refused_by_crm", phone=REFUSED)
        for start in range(0, more, 100):
            await bench.store(100, ref=f"more-{start}-", phone=PHONE)
        async with open_ledger(url) as ledger:
            writer = Writer(ledger, RedisChanges(bench.scripts, "test"), bench.records, time.time)
            while await writer.step():
                pass

    office.seed(fill)


def exported(office: Office) -> list[dict[str, object]]:
    return [entry for entry in office.run("audit", "list", "--json").lines if entry["action"] == "ledger.export"]


def test_the_three_forms_hold_the_same_calls(office: Office) -> None:
    filled(office)
    files = {form: office.directory / f"calls.{form}" for form in ("csv", "jsonl", "parquet")}
    for form, file in files.items():
        assert office.run("ledger", "export", "--format", form, "--output", str(file)).code == 0
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert [list(line) for line in lines] == [list(exporting.COLUMNS)] * 5
    assert parquet.read_table(files["parquet"]).to_pylist() == lines
    with files["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert {row["duration"] for row in rows} == {str(line["duration"]) for line in lines}
    assert {row["extension"] for row in rows} == {"", "'=1+1"}
    assert not any(number in text for text in map(str, (rows, lines)) for number in (PHONE[1:], REFUSED[1:]))
    assert [entry["count"] for entry in exported(office)] == [5, 5, 5]
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}


def test_an_export_without_calls_is_a_whole_file(office: Office) -> None:
    filled(office)
    for form in ("csv", "jsonl", "parquet"):
        file = office.directory / f"none.{form}"
        assert office.run("ledger", "export", "--state", "ignored", "--format", form, "--output", str(file)).code == 0
    assert (office.directory / "none.csv").read_bytes() == (",".join(exporting.COLUMNS) + "\r\n").encode()
    assert (office.directory / "none.jsonl").read_bytes() == b""
    table = parquet.read_table(office.directory / "none.parquet")
    assert (table.num_rows, table.column_names) == (0, list(exporting.COLUMNS))
    assert table.schema.field("duration").type == pa.int64()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_file_that_was_there_stays_until_the_new_one_is_whole(
    office: Office, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    filled(office)
    file = office.directory / "calls"
    file.write_text("of yesterday")
    monkeypatch.setattr("callbridge.commands.ledger.CHUNK", 2)
    written = sheet.Sheet.write
    chunks = 0

    def full(self: sheet.Sheet, rows: list[CallRow]) -> None:
        nonlocal chunks
        chunks += 1
        if chunks > 1:
            with self._in_words():
                raise OSError(28, "No space left on device")
        written(self, rows)

    monkeypatch.setattr(sheet.Sheet, "write", full)
    ended = office.run("ledger", "export", "--format", form, "--output", str(file))
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "No space left" in ended.err
    assert file.read_text() == "of yesterday"
    assert list(office.directory.glob(".*")) == []
    assert exported(office) == []


def test_what_cannot_be_replaced_is_told_before_anything_is_read(office: Office) -> None:
    filled(office)
    (office.directory / "folder").mkdir()
    for where in (str(office.directory / "folder"), "/", ".", str(office.directory / "no" / "where.csv")):
        ended = office.run("ledger", "export", "--output", where)
        assert (ended.code, len(ended.err.splitlines())) == (1, 1), where
        assert "cannot write" in ended.err
    assert exported(office) == []


def test_a_device_is_written_to_and_not_replaced(office: Office) -> None:
    filled(office)
    link = office.directory / "nothing"
    link.symlink_to("/dev/null")
    assert office.run("ledger", "export", "--output", str(link)).code == 0
    assert link.is_symlink()
    assert link.is_char_device()


def test_whole_numbers_are_told_to_the_audit_even_if_only_the_first_line_is_read(office: Office) -> None:
    filled(office, more=900)
    process = office.start("ledger", "export", "--phones")
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline().startswith("id,")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0
    assert [entry["target"] for entry in exported(office)] == [{"format": "csv", "phones": True}]


def test_wrong_usage_is_told_as_such(office: Office) -> None:
    for wrong in (["--format", "parquet"], ["--format", "xlsx"], ["--state", "lost"], ["--since", "the other day"]):
        assert office.run("ledger", "export", *wrong).code == 2, wrong


def test_a_ledger_in_postgresql_does_the_same(office: Office, postgres: PostgresServer) -> None:
    office.env["CALLBRIDGE_LEDGER__URL"] = postgres.url
    assert office.run("ledger", "status", "--json").json["revision"] is None
    assert office.run("ledger", "migrate", "--json").json["changed"] is True
    assert office.run("ledger", "migrate", "--json").json["changed"] is False
    filled(office)
    told = office.run("ledger", "status", "--json").json
    assert (told["states"], told["behind"]) == ({"dead": 2, "delivered": 3}, 0)
    rows = list(csv.DictReader(io.StringIO(office.run("ledger", "export", "--phones").out, newline="")))
    assert sorted(row["phone"] for row in rows) == [f"'{REFUSED}"] * 2 + [f"'{PHONE}"] * 3
    assert office.run("ledger", "prune", "--json").json == {"calls": 0, "bodies": 0, "batches": 0}
    assert office.run("erase", REFUSED, "--yes", "--json").json == {"erased": 2}
    assert office.run("audit", "verify", "--json").json["ok"]
    assert {entry["action"] for entry in office.run("audit", "list", "--json").lines} == {
        "erase",
        "ledger.export",
        "ledger.prune",
    }
    postgres.stop()
    ended = office.run("ledger", "export")
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "p@ss" not in ended.err
    assert office.run("ledger", "status").code == 1
