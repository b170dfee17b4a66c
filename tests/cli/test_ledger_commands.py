"""The ledger from the command line: what it holds, calls as files, a number that has to go, and who may come in."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from callbridge.ledger import keeping
from callbridge.ledger.database import open_ledger
from callbridge.ledger.writer import Writer
from callbridge.outcome import State
from callbridge.store.changes import RedisChanges
from callbridge.store.forgetting import RedisForgetting
from cli.conftest import Office
from support.store import Bench

PHONE = "+74955550199"


def ledger_of(office: Office) -> Path:
    return Path(office.env["CALLBRIDGE_DATA_DIR"], "ledger.db")


def written(office: Office, *, forget: bool = False) -> None:
    """What Redis has is in the ledger, as a console would have seen to; with `forget` what ended is there alone."""

    async def write(bench: Bench) -> None:
        async with open_ledger(f"sqlite:///{ledger_of(office)}") as ledger:
            writer = Writer(ledger, RedisChanges(bench.scripts, "test"), bench.records, time.time)
            while await writer.step():
                pass
            later = time.time() + 10 * 86_400
            while forget and await keeping.forget(
                ledger, RedisForgetting(bench.scripts), bench.records, before=later, now=later
            ):
                pass

    office.seed(write)


def filled(office: Office) -> None:
    office.seed(lambda bench: bench.bring_to(State.DELIVERED, 3, phone=PHONE))
    office.seed(lambda bench: bench.bring_to(State.DEAD, 2, ref="dead", reason="refused_by_crm", phone="+74955550123"))
    written(office)


def test_the_ledger_tells_how_it_does(office: Office) -> None:
    told = office.run("ledger", "status", "--json").json
    assert (told["revision"], told["calls"]) == (None, 0)
    filled(office)
    told = office.run("ledger", "status", "--json").json
    assert (told["calls"], told["behind"], told["states"]) == (5, 0, {"dead": 2, "delivered": 3})
    assert office.run("ledger", "migrate", "--json").json == {"revision": told["wanted"], "changed": False}
    assert office.run("ledger", "prune", "--json").json == {"calls": 0, "bodies": 0, "batches": 0}


def test_calls_leave_as_csv_with_their_numbers_masked(office: Office) -> None:
    filled(office)
    ended = office.run("ledger", "export", "--state", "delivered")
    rows = list(csv.DictReader(io.StringIO(ended.out, newline="")))
    assert [row["state"] for row in rows] == ["delivered"] * 3
    assert PHONE[1:] not in ended.out
    whole = office.run("ledger", "export", "--format", "jsonl", "--phones", "--state", "dead").lines
    assert [row["phone"] for row in whole] == ["+74955550123"] * 2
    audit = office.run("audit", "list", "--json").lines
    assert next(entry for entry in audit if entry["action"] == "ledger.export")["target"]["phones"]


def test_a_file_appears_only_when_it_is_whole(office: Office, tmp_path: Path) -> None:
    filled(office)
    assert office.run("ledger", "export", "--format", "parquet").code == 2
    to = tmp_path / "calls.parquet"
    assert office.run("ledger", "export", "--format", "parquet", "--output", str(to)).code == 0
    assert parquet.read_table(to).num_rows == 5
    assert list(tmp_path.glob(".*.part")) == []
    assert office.run("ledger", "export", "--output", str(tmp_path / "no" / "where.csv")).code == 1


def test_an_empty_export_has_its_head(office: Office) -> None:
    filled(office)
    assert office.run("ledger", "export", "--state", "parked").out.startswith("id,state,")


def test_what_redis_forgot_is_still_listed_shown_and_counted(office: Office) -> None:
    filled(office)
    before = office.run("calls", "list", "--json").lines
    written(office, forget=True)
    assert {row["id"] for row in office.run("calls", "list", "--json").lines} == {row["id"] for row in before}
    delivered = next(row for row in before if row["state"] == "delivered")
    shown = office.run("calls", "show", delivered["id"], "--json").json
    assert (shown["state"], shown["phone"]) == ("delivered", PHONE)
    assert shown["webhook"]["size"] > 0
    assert office.run("calls", "list", "--state", "delivered", "--limit", "2", "--json").lines != []
    assert office.run("status", "--json").json["states"]["delivered"] == 3


def test_an_erased_number_is_nowhere(office: Office) -> None:
    filled(office)
    written(office, forget=True)
    office.seed(lambda bench: bench.store(1, ref="still-waiting", phone="8 (495) 555-01-99"))
    assert office.run("erase", PHONE).code == 2  # nobody to ask
    assert office.run("erase", "12").code == 2
    assert office.run("erase", PHONE, "--yes", "--json").json == {"erased": 4}
    kept = office.seed(lambda bench: bench.everything())
    assert b"5550199" not in repr(kept).encode()
    assert b"555-01-99" not in repr(kept).encode()
    with sqlite3.connect(ledger_of(office)) as database:
        dump = "\n".join(database.iterdump())
    assert "5550199" not in dump
    assert "9910555" not in dump
    for file in ledger_of(office).parent.glob("ledger.db*"):
        assert b"5550199" not in file.read_bytes(), file.name
        assert b"9910555" not in file.read_bytes(), file.name
    states = [row["state"] for row in office.run("calls", "list", "--json").lines]
    assert sorted(states) == ["dead", "dead", "erased", "erased", "erased", "erased"]
    assert office.run("erase", PHONE, "--yes", "--json").json == {"erased": 0}


def test_an_operator_is_added_with_a_password_that_is_shown_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ended = office.run("operators", "add", "rita", "--role", "operator")
    assert ended.code == 0
    assert len(ended.out.strip()) > 20
    assert office.run("operators", "role", "rita", "admin").code == 0
    assert office.run("operators", "disable", "rita").code == 0
    (row,) = office.run("operators", "list", "--json").lines
    assert (row["name"], row["role"], row["disabled_at"] is None) == ("rita", "admin", False)
    assert "password" not in row


def test_a_weak_password_is_refused_in_words(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    ended = office.run("operators", "add", "rita")
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "short" not in ended.err


def test_a_token_is_shown_once_and_can_be_ended(office: Office) -> None:
    made = office.run("tokens", "create", "reporting", "--expires", "90d", "--json").json
    assert made["token"].startswith("cbt_")
    listed = office.run("tokens", "list", "--json")
    assert made["token"] not in listed.out
    assert listed.lines[0]["expires_at"] > time.time() + 89 * 86_400
    assert office.run("tokens", "revoke", made["id"]).code == 0
    assert office.run("tokens", "revoke", made["id"]).code == 1
    assert office.run("tokens", "create", "x", "--expires", "soon").code == 2


def test_a_changed_entry_of_the_audit_is_found(office: Office) -> None:
    for name in ("one", "two", "three"):
        office.run("tokens", "create", name)
    assert office.run("audit", "verify", "--json").json == {"ok": True, "first_wrong": None}
    with sqlite3.connect(ledger_of(office)) as database:
        database.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 2")
    ended = office.run("audit", "verify", "--json")
    assert (ended.code, ended.json) == (1, {"ok": False, "first_wrong": 2})


def test_what_is_done_on_the_command_line_is_in_the_audit(office: Office) -> None:
    filled(office)
    assert office.run("dead", "replay", "--all", "--yes", "--json").json["moved"] == 2
    assert office.run("accounts", "pause", "main", "--reason", "stocktaking", "--as", "olga").code == 0
    entries = {entry["action"]: entry for entry in office.run("audit", "list", "--json").lines}
    assert entries["calls.replay"]["count"] == 2
    assert entries["account.paused"]["actor"] == "shell:olga"
    replayed = office.run("calls", "list", "--state", "retrying", "--json").lines[0]["id"]
    story = office.run("calls", "show", replayed, "--json").json["story"]
    assert next(entry for entry in story if entry["what"] == "replayed")["by"]


def test_a_ledger_that_cannot_be_opened_is_one_line(office: Office) -> None:
    office.env["CALLBRIDGE_LEDGER__URL"] = "postgresql://nobody:secret-of-the-test@127.0.0.1:9/none"
    for command in (("ledger", "migrate"), ("ledger", "export"), ("tokens", "list")):
        ended = office.run(*command)
        assert ended.code == 1
        assert len(ended.err.splitlines()) == 1
        assert "secret-of-the-test" not in ended.err
    office.env["CALLBRIDGE_LEDGER__URL"] = "mysql://host/none"
    assert office.run("ledger", "status").code == 1


def test_calls_are_listed_without_their_history_while_sql_is_away(office: Office) -> None:
    office.seed(lambda bench: bench.store(2))
    office.env["CALLBRIDGE_LEDGER__URL"] = "postgresql://nobody@127.0.0.1:9/none"
    assert len(office.run("calls", "list", "--json").lines) == 2


def test_the_json_of_an_export_is_one_object_a_line(office: Office) -> None:
    filled(office)
    out = office.run("ledger", "export", "--format", "jsonl").out
    assert all(json.loads(line)["id"] for line in out.splitlines())


def checked(office: Office, *options: str) -> dict[str, str]:
    found = office.run("check", "--json", *options).json["checks"]
    return {one["name"]: one["level"] for one in found if one["name"] in {"ledger", "console"}}


def test_check_looks_at_the_ledger_and_the_console(office: Office) -> None:
    assert checked(office) == {"ledger": "ok", "console": "ok"}
    filled(office)
    assert checked(office) == {"ledger": "ok", "console": "ok"}
    office.env["CALLBRIDGE_LEDGER__URL"] = "postgresql://nobody@127.0.0.1:9/none"
    office.env["CALLBRIDGE_CONSOLE__HOST"] = "192.0.2.1"
    assert checked(office) == {"ledger": "problem", "console": "problem"}
    assert checked(office, "--offline") == {"console": "problem"}
    office.env["CALLBRIDGE_CONSOLE__PASSWORD"] = "password"
    assert checked(office, "--offline") == {"console": "problem"}
