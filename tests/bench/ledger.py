"""The ledger of a big office: each list, chart and group that the console shows, with calls from three months.

`BENCH_CALLS` lowers how many (2,000,000). Asked for is what people ask for, and what matches nothing: that is what costs a
database most when an index is missing.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from bench.report import Figure
from callbridge.ledger import cursor
from callbridge.ledger.database import open_ledger
from callbridge.ledger.figures import bucket_of, cause_of, tail_of
from callbridge.ledger.queries import Queries
from callbridge.ledger.tables import ATTEMPTS, BATCHES, CALLS, EVENTS, LATENCIES, MINUTES, TALLIES
from callbridge.ledger.views import CallFilter as Want

CALLS_HELD = int(os.environ.get("BENCH_CALLS", "2000000"))
TARGET = 200.0
ROUNDS = 7
DAYS = 90
DAY = 86_400_000
NOW = int(time.time() * 1000)
BATCH = 20

SOURCES = {
    "office": ("main", 40), "sales": ("main", 20), "support": ("main", 10), "night": ("main", 5), "shop": ("shop", 15),
    "depot": ("shop", 5), "branch": ("branch", 4), "old": ("branch", 1),
}  # fmt: skip
LIVE = [
    ("queued", None, 70),
    ("parked", "no_matching_entity", 25),
    ("retrying", None, 4),
    ("uncertain", "no_answer", 1),
]
DEAD = [
    ("refused_by_crm", [f"invalid value of field {name}" for name in "abcdefghijklmnopqrstuvwxyz"]),
    ("expired", ["too old"]), ("untranslatable", ["no such user", "no such status"]), ("unknown_outcome", ["no answer"]),
]  # fmt: skip

Ask = Callable[[Queries], Awaitable[Any]]


def ledger(directory: Path) -> list[Figure]:
    directory.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_measured(directory / "ledger.db"))


async def _measured(path: Path) -> list[Figure]:
    async with open_ledger(f"sqlite:///{path}") as opened:
        if (await Queries(opened).standing()).calls < CALLS_HELD:
            began = time.monotonic()
            fill(path, CALLS_HELD)
            print(f"  {CALLS_HELD:,} calls laid down in {time.monotonic() - began:.0f} s")
        queries = Queries(opened)
        worst: dict[str, tuple[float, float, str]] = {}
        for name, ask in asked(path):
            taken = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                answer = await ask(queries)
                taken.append((time.perf_counter() - began) * 1000)
            median, slowest = statistics.median(taken), max(taken)
            cut = " PARTIAL" if getattr(answer, "partial", False) else ""
            print(f"  {name:<58} {median:8.1f} ms, slowest {slowest:8.1f} ms, {_size(answer):>6}{cut}")
            kind = name.split(":", 1)[0]
            worst[kind] = max(worst.get(kind, (0.0, 0.0, "")), (median, slowest, name))
    return [
        Figure(f"ledger, slowest of {kind} ({name.split(':', 1)[1].strip()})", median, TARGET, "below", "ms")
        for kind, (median, _, name) in worst.items()
    ]


def _size(answer: Any) -> str:
    match answer:
        case tuple() | list():
            return str(len(answer))
        case _ if hasattr(answer, "rows"):
            return str(len(answer.rows))
        case _ if hasattr(answer, "calls") and isinstance(answer.calls, int):
            return str(answer.calls)
        case _:
            return "-"


def asked(path: Path) -> Iterator[tuple[str, Ask]]:
    wants = {
        "all": Want(),
        "one state": Want(states=("delivered",)),
        "dead": Want(states=("dead",)),
        "live states": Want(states=("queued", "retrying", "sending", "uncertain", "parked")),
        "an account": Want(account="branch"),
        "a source": Want(source="old"),
        "a direction": Want(direction="outbound"),
        "a direction, nothing": Want(direction="internal"),
        "account and source": Want(account="main", source="night"),
        "account and source of another, nothing": Want(account="main", source="shop"),
        "account and direction, nothing": Want(account="main", direction="internal"),
        "source and state": Want(source="old", states=("dead",)),
        "account, states, direction": Want(account="main", states=("dead", "ignored"), direction="inbound"),
        "no such account, nothing": Want(account="nobody"),
        "a state that no call has, nothing": Want(states=("sending",)),
        "a source's dead, direction, nothing": Want(source="old", states=("dead",), direction="internal"),
        "a reason": Want(reason="refused_by_crm"),
        "a reason, a small source": Want(reason="no_matching_entity", source="old"),
        "a reason and a state, nothing": Want(reason="no_matching_entity", states=("dead",)),
        "a reason, account, direction, nothing": Want(
            reason="no_matching_entity", account="main", direction="internal"
        ),
        "a cause": Want(cause=cause_of("expired", "too old"), states=("dead",)),
        "a cause, another account, nothing": Want(cause=cause_of("expired", "too old"), account="nobody"),
        "one digit": Want(phone="7"),
        "two digits": Want(phone="17"),
        "four digits": Want(phone="0117"),
        "ten digits": Want(phone=_one(path, "SELECT phone FROM calls LIMIT 1 OFFSET 5000")[-10:]),
        "digits, nothing": Want(phone="00000000000"),
        "one digit, account, source, nothing": Want(phone="7", account="main", source="shop"),
        "one digit, a small source": Want(phone="7", source="old", states=("dead",)),
        "one digit, direction, nothing": Want(phone="7", direction="internal"),
        "one digit and a reason": Want(phone="7", reason="no_matching_entity"),
        "one digit and a cause": Want(phone="7", cause=cause_of("expired", "too old")),
        "an id": Want(text=_one(path, "SELECT id FROM calls LIMIT 1 OFFSET 7000")),
        "a uniq": Want(text=_one(path, "SELECT uniq FROM calls LIMIT 1 OFFSET 7000")),
        "a text, nothing": Want(text="nothing-like-it"),
        "an hour long ago": Want(since=(NOW - 40 * DAY) / 1000, until=(NOW - 40 * DAY) / 1000 + 3600),
        "a state and an hour": Want(
            states=("dead",), since=(NOW - 40 * DAY) / 1000, until=(NOW - 40 * DAY) / 1000 + 3600
        ),
        "before all, nothing": Want(states=("delivered",), until=(NOW - 400 * DAY) / 1000),
        "one digit before all, nothing": Want(phone="7", until=(NOW - 400 * DAY) / 1000),
        "a month, source, direction": Want(
            source="office", direction="internal", since=(NOW - 60 * DAY) / 1000, until=(NOW - 30 * DAY) / 1000
        ),
    }
    for name, want in wants.items():
        yield f"list: {name}", partial(Queries.calls, wanted=want)
        yield f"list by end: {name}", partial(Queries.calls, wanted=want, order="settled")
        yield f"count: {name}", partial(Queries.count, wanted=want)
    yield "list: page 200 of all", _deep(path)
    yield "list: rows of 200 ids", _rows(path)
    yield "facets: all", lambda queries: queries.facets()
    yield "groups: all", lambda queries: queries.groups()
    yield "groups: one account, fixed", lambda queries: queries.groups(account="main", status="fixed")
    yield "groups: parked numbers", lambda queries: queries.parked_numbers(200)
    yield "batches: all", lambda queries: queries.batches()
    yield "batches: an answer", lambda queries: queries.batches(answer="WholeRefused")
    yield "batches: account and answer, nothing", lambda queries: queries.batches(account="nobody", answer="PerCall")
    name = _one(path, "SELECT id FROM batches LIMIT 1 OFFSET 500")
    yield "one: a batch", lambda queries: queries.batch(name)
    call = _one(path, "SELECT id FROM calls LIMIT 1 OFFSET 9000")
    yield "one: a call", lambda queries: queries.call(call)
    yield "one: standing", lambda queries: queries.standing()
    for label, days, step in (
        ("an hour", 1 / 24, 60), ("a day", 1, 300), ("a week", 7, 3600), ("a month", 30, 7200),
    ):  # fmt: skip
        yield f"chart: {label}", _chart(days, step, None)
        yield f"chart: {label}, one account", _chart(days, step, "branch")
        yield f"speed: {label}", _speed(days)


def _chart(days: float, step: int, account: str | None) -> Ask:
    until = NOW / 1000
    return lambda queries: queries.chart(since=until - days * 86_400, until=until - 60, step=step, account=account)


def _speed(days: float) -> Ask:
    return lambda queries: queries.speed(since=NOW / 1000 - days * 86_400, until=NOW / 1000)


def _deep(path: Path) -> Ask:
    at, name = _row(path, "SELECT received_at, id FROM calls ORDER BY received_at DESC LIMIT 1 OFFSET 10000")
    after = cursor.write("received", cursor.Key(at, name))
    return lambda queries: queries.calls(Want(), after=after)


def _rows(path: Path) -> Ask:
    with sqlite3.connect(path) as connection:
        ids = [
            name
            for (name,) in connection.execute("SELECT id FROM calls WHERE uniq > 'office-m' ORDER BY uniq LIMIT 200")
        ]
    connection.close()
    return lambda queries: queries.rows(ids)


def _row(path: Path, question: str) -> Any:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(question).fetchone()
    finally:
        connection.close()


def _one(path: Path, question: str) -> str:
    return str((_row(path, question) or ["none"])[0])


# --- a ledger that looks like one ------------------------------------------------------------------------------------


def fill(path: Path, calls: int) -> None:
    """Past the writer, which takes in some thousands a second; indexes are made once the rows lie there."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    connection.execute("BEGIN")
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    kept = Counters()
    rows: list[dict[str, Any]] = []
    for row in call_rows(calls):
        kept.count(row)
        rows.append(row)
        if len(rows) == BATCH * 1000:
            _lay(connection, rows)
            rows.clear()
    _lay(connection, rows)
    kept.lay(connection)
    connection.execute("COMMIT")
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _insert(connection: sqlite3.Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        columns = list(rows[0])
        marks = ", ".join(f":{column}" for column in columns)
        connection.executemany(f'INSERT INTO "{table.name}" ({", ".join(columns)}) VALUES ({marks})', rows)  # noqa: S608 - our own names


def _lay(connection: sqlite3.Connection, rows: Sequence[dict[str, Any]]) -> None:
    batches, attempts, events = [], [], []
    for start in range(0, len(rows), BATCH):
        group = [row for row in rows[start : start + BATCH] if row["attempts"]]
        if not group:
            continue
        first = group[0]
        at, name = first["received_at"] + 500, f"b-{first['id']}"
        batches.append(
            {
                "id": name, "account": first["account"], "at": at, "kind": "calls", "size": len(group), "why": "due",
                "parent": None, "seconds": 0.3, "answer": "PerCall" if start % 1000 else "WholeRefused", "status": 200,
                "request_id": name, "request": b"\0" * 1500, "response": b"\0" * 1500,
            }
        )  # fmt: skip
        for row in group:
            attempts.append({"batch_id": name, "call_id": row["id"], "at": at, "became": row["state"]})
            facts = f'{{"batch":"{name}","size":{len(group)}}}'
            events.append({"call_id": row["id"], "at": at, "n": 0, "what": row["state"], "facts": facts})
    for table, made in ((CALLS, rows), (BATCHES, batches), (ATTEMPTS, attempts), (EVENTS, events)):
        _insert(connection, table, made)


def call_rows(calls: int) -> Iterator[dict[str, Any]]:
    """The oldest first. What is live is the latest twentieth; of the others 5 in 100 are dead: 100,000 of two million."""
    dice = random.Random(7)
    names, weights = list(SOURCES), [weight for _, weight in SOURCES.values()]
    for number in range(calls):
        received = NOW - DAYS * DAY + number * (DAYS * DAY) // calls
        source = dice.choices(names, weights)[0]
        phone = f"+79{dice.randrange(10**9):09d}"
        state, reason, detail = _end(dice) if number < calls * 0.95 else _live(dice)
        ended = state in {"delivered", "unmatched", "dead", "ignored"}
        settled = received + round(dice.lognormvariate(7, 1.2)) if ended else None
        yield {
            "id": f"{number:016d}", "state": state, "account": SOURCES[source][0], "source": source,
            "provider": "generic", "uniq": f"{source}-{dice.getrandbits(75):019x}", "ref": f"pbx-{received // 1000}.{number}",
            "direction": "inbound" if dice.random() < 0.6 else "outbound", "phone": phone, "tail": tail_of(phone),
            "extension": "101", "duration": dice.randrange(600), "started_at": received // 1000 - 60,
            "status": "answered", "result": None, "link": f"https://records.example.com/{number}.mp3",
            "event": "call.finished", "received_at": received, "updated_at": settled or received, "settled_at": settled,
            "attempts": 1 if ended or state == "parked" else 0, "reason": reason, "detail": detail,
            "cause": cause_of(reason, detail) if reason else None, "note_id": number if state == "delivered" else None,
            "entity_type": "contact" if state == "delivered" else None,
            "entity_id": number // 5 if state == "delivered" else None, "duplicates": 0, "variants": 0,
            "replayed": False, "forgotten_at": settled,
        }  # fmt: skip


def _end(dice: random.Random) -> tuple[str, str | None, str | None]:
    chance = dice.random()
    if chance < 0.05:
        reason, details = dice.choice(DEAD)
        return "dead", reason, dice.choice(details)
    if chance < 0.08:
        return "unmatched", "no_matching_entity", None
    if chance < 0.1:
        return "ignored", "internal_call", None
    return "delivered", None, None


def _live(dice: random.Random) -> tuple[str, str | None, str | None]:
    state, reason, _ = dice.choices(LIVE, [weight for *_, weight in LIVE])[0]
    return state, reason, None


class Counters:
    """What the writer would have counted."""

    def __init__(self) -> None:
        self.tallies: Counter[tuple[str, str, str]] = Counter()
        self.minutes: Counter[tuple[int, str, str]] = Counter()
        self.latencies: Counter[tuple[int, int]] = Counter()

    def count(self, row: dict[str, Any]) -> None:
        account, state, received, settled = row["account"], row["state"], row["received_at"], row["settled_at"]
        self.tallies[account, row["source"], state] += 1
        self.minutes[received // 60_000, account, "received"] += 1
        if settled is not None:
            self.minutes[settled // 60_000, account, state] += 1
        if state == "delivered":
            self.latencies[settled // 60_000, bucket_of(settled - received)] += 1
            if settled - received <= 60_000:
                self.minutes[settled // 60_000, account, "in_time"] += 1

    def lay(self, connection: sqlite3.Connection) -> None:
        for table, counter in ((TALLIES, self.tallies), (MINUTES, self.minutes), (LATENCIES, self.latencies)):
            names = [column.name for column in table.columns]
            rows = [dict(zip(names, (*key, calls), strict=True)) for key, calls in sorted(counter.items())]
            _insert(connection, table, rows)
