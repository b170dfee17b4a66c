"""Each list goes along the index that was made for it, whatever SQLite would take by itself."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from callbridge.ledger import search
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.views import CallFilter
from support.callrows import T0, a_row, lay

S0 = T0 / 1000
PLACED = {"account": "main", "source": "office"}


async def ways(ledger: Ledger, ask: Any) -> list[str]:
    """How SQLite goes about each statement in which calls are looked for, not only read by their ids."""
    told: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        told.append((statement, parameters))

    engine = ledger._reading.sync_engine
    event.listen(engine, "before_cursor_execute", heard)
    await ask
    event.remove(engine, "before_cursor_execute", heard)
    found: list[str] = []
    async with ledger.read() as connection:
        for statement, parameters in told:
            if "FROM calls" in statement:
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                found += [line[3] for line in plan]
    return [line for line in found if "sqlite_autoindex_calls_1 (id=?)" not in line]


def indexes(lines: list[str]) -> set[str]:
    looks = [line for line in lines if re.search(r"\bcalls\b", line)]
    assert all("INDEX" in line for line in looks), looks
    return {match[1] for line in looks if (match := re.search(r"INDEX (\w+)", line))}


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(
    ("wanted", "order", "index"),
    [
        (CallFilter(), "received", "receipt"),
        (CallFilter(), "settled", "end"),
        (CallFilter(since=S0, until=S0 + 60), "received", "receipt"),
        (CallFilter(since=S0, until=S0 + 60), "settled", "state"),
        (CallFilter(states=("dead", "ignored")), "received", "state"),
        (CallFilter(states=("delivered",)), "settled", "end"),
        (CallFilter(account="main"), "received", "account"),
        (CallFilter(source="office"), "received", "source"),
        (CallFilter(account="main", since=S0), "received", "account"),
        (CallFilter(**PLACED), "received", "direction"),
        (CallFilter(direction="inbound"), "received", "direction"),
        (CallFilter(**PLACED, states=("dead",), since=S0), "received", "place"),
        (CallFilter(account="main", states=("dead",), direction="outbound"), "received", "place"),
        (CallFilter(account="main", states=("dead",), direction="outbound"), "settled", "place"),
        (CallFilter(**PLACED), "settled", "end"),
        (CallFilter(**PLACED, states=("dead",), reason="expired", since=S0), "received", "reason"),
        (CallFilter(**PLACED, states=("dead",), reason="expired", since=S0), "settled", "reason"),
        (
            CallFilter(**PLACED, states=("dead",), reason="expired", cause="c-1", direction="inbound"),
            "received",
            "cause",
        ),
        (CallFilter(**PLACED, states=("dead",), reason="expired", cause="c-1", phone="0071118"), "received", "tail"),
        (CallFilter(**PLACED, states=("dead",), phone="0071118", since=S0, until=S0 + 9999), "settled", "tail"),
        (CallFilter(phone="7"), "received", "receipt"),
        (CallFilter(**PLACED, states=("dead",), phone="7"), "received", "place"),
        (CallFilter(phone="7", reason="expired", account="main"), "received", "reason"),
    ],
)
async def test_a_list_goes_along_its_index(
    wanted: CallFilter, order: Any, index: str, analysed: bool, held: Ledger, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(search, "FEW", 50)
    if analysed:
        async with held.begin() as connection:
            await connection.execute(text("ANALYZE"))
    lines = await ways(held, Queries(held).calls(wanted, order=order, limit=2))
    plain = {"calls_by_tail"} if wanted.phone and index != "tail" else set()  # how many there are was looked at
    used = indexes(lines)
    assert f"calls_by_{index}" in used and used - plain <= {f"calls_by_{index}", *_counted(wanted, order)}


def _counted(wanted: CallFilter, order: str) -> set[str]:
    """The index along which it was counted first whether there are few."""
    if order == "received" or wanted.phone or wanted.reason:
        return set()
    return {"calls_by_place", "calls_by_state"}


async def test_a_text_is_looked_for_by_all_of_its_names(held: Ledger):
    lines = await ways(held, Queries(held).calls(CallFilter(text="u-1", **PLACED, states=("dead",), since=S0)))
    assert {"calls_by_uniq", "calls_by_ref"} <= indexes(lines) <= {"calls_by_uniq", "calls_by_ref"}


async def test_a_later_page_begins_where_the_one_before_it_ended(held: Ledger):
    """The index is entered at the cursor, and not walked from the top."""
    dead = CallFilter(**PLACED, states=("dead",))
    for some in (CallFilter(), CallFilter(account="main"), dead, CallFilter(reason="expired")):
        for wanted in (some, replace(some, until=S0 + 99_999)):
            page = await Queries(held).calls(wanted, limit=2)
            assert page.next
            lines = await ways(held, Queries(held).calls(wanted, after=page.next, limit=2))
            assert lines and all("(received_at,id)<" in line for line in lines if re.search(r"\bcalls\b", line)), lines


@pytest.mark.parametrize("account", [None, "main"])
async def test_groups_have_indexes_of_their_own(held: Ledger, account: str | None):
    assert indexes(await ways(held, Queries(held).groups(account=account))) == {"calls_dead"}
    assert indexes(await ways(held, Queries(held).parked_numbers(account=account))) == {"calls_parked"}
    assert indexes(await ways(held, Queries(held).facets())) <= {"calls_by_reason"}


@pytest.fixture
async def held(tmp_path: Path) -> Any:
    dice = random.Random(2)
    rows = []
    for number in range(400):
        state = dice.choice(("delivered", "delivered", "dead", "ignored", "parked"))
        reason = "expired" if state in {"dead", "parked"} else None
        place = dice.choice((("main", "office"), ("main", "night"), ("shop", "till")))
        rows.append(
            a_row(
                f"c{number}", state=state, account=place[0], source=place[1], reason=reason,
                cause=f"c-{dice.randrange(3)}" if reason else None, direction=dice.choice(("inbound", "outbound")),
                phone=f"+7916{number:03d}111{dice.choice('789')}", uniq=f"u-{number}", received_at=T0 + number * 1000,
            )
        )  # fmt: skip
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        await lay(ledger, rows)
        yield ledger
