"""Lists, counts and figures tell what a plain look through all the rows would tell, whatever is asked for."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from callbridge.errors import LedgerUnavailable
from callbridge.ledger import cursor, search
from callbridge.ledger.database import Ledger, TooSlow
from callbridge.ledger.queries import Queries
from callbridge.ledger.views import CallFilter, CallRow, Counted
from support.callrows import ENDED, T0, a_row, lay

STATES = ("queued", "retrying", "sending", "uncertain", "parked", "delivered", "unmatched", "dead", "ignored", "erased")
REASONS = ("refused_by_crm", "expired", "no_matching_entity")
HOSTILE = (
    "%",
    "_",
    "100%_",
    "o'brien",
    '"; DROP TABLE calls; --',
    "\\",
    "*",
    "ünï\u2028",
    "",
    " ",
    "NULL",
    "\0",
    "\ud800",
)


def random_rows(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Few values of everything, so that many rows have the same, times too; one source has calls of two accounts."""
    rows = []
    for number in range(count):
        state = dice.choice(STATES)
        reason = dice.choice((*REASONS, None)) if state in {"dead", "ignored", "parked", "unmatched"} else None
        received = T0 + dice.randrange(12) * 3_600_000
        rows.append(
            a_row(
                f"c{number:04d}",
                state=state,
                account=dice.choice(("main", "main", "shop")),
                source=dice.choice(("office", "shop", "night")),
                direction=dice.choice(("inbound", "outbound", "internal", None)),
                phone=dice.choice(
                    (None, "anonymous", f"+7 916 {dice.randrange(1000):03d}-99", str(dice.randrange(40)))
                ),
                reason=reason,
                detail=dice.choice((None, "bad field", "no such user")) if reason else None,
                uniq=dice.choice((None, f"u-{number}", "u-same")),
                ref=dice.choice((None, f"u-{number}", "r-same", "u-same")),
                received_at=received,
                settled_at=received + dice.randrange(3) * 1_800_000 if state in ENDED else None,
            )
        )
    return rows


def random_filter(dice: random.Random, rows: Sequence[dict[str, Any]]) -> CallFilter:
    """Some parts set, from rows there are more often than not."""
    row = dice.choice(rows)

    def maybe(value: Any, *others: Any, odds: float = 0.3) -> Any:
        return dice.choice((value, value, *others)) if dice.random() < odds else None

    tail = row["tail"] or "9"
    states = (row["state"], *dice.sample(STATES, dice.randrange(3))) if dice.random() < 0.4 else ()
    return CallFilter(
        states=states,  # type: ignore[arg-type] # they are of the list above
        account=maybe(row["account"], "nobody"),
        source=maybe(row["source"], "nowhere"),
        direction=maybe(row["direction"] or "inbound", "internal", "sideways"),
        reason=maybe(row["reason"], "expired", odds=0.2),
        cause=maybe(row["cause"], "0" * 12, odds=0.15),
        phone=maybe(tail[: dice.randint(1, len(tail))][::-1], "999", odds=0.25),
        text=maybe(row["uniq"] or row["id"], row["id"], "u-same", "u-1", odds=0.15),
        since=maybe(row["received_at"] / 1000, T0 / 1000 + 9_000, odds=0.2),
        until=maybe(row["received_at"] / 1000, T0 / 1000 + 27_000, odds=0.2),
    )


def fits(row: dict[str, Any], wanted: CallFilter) -> bool:
    digits = (row["tail"] or "")[::-1]
    return (
        (not wanted.states or row["state"] in wanted.states)
        and all(
            getattr(wanted, name) in {None, row[name]} for name in ("account", "source", "direction", "reason", "cause")
        )
        and (wanted.phone is None or (digits.endswith(wanted.phone) and bool(digits)))
        and (wanted.text is None or wanted.text in {row["id"], row["uniq"], row["ref"]})
        and (wanted.since is None or row["received_at"] >= wanted.since * 1000)
        and (wanted.until is None or row["received_at"] < wanted.until * 1000)
    )


def expected(rows: Iterable[dict[str, Any]], wanted: CallFilter, order: str) -> list[str]:
    at = f"{order}_at"
    found = [row for row in rows if fits(row, wanted) and row[at] is not None]
    return [row["id"] for row in sorted(found, key=lambda row: (row[at], row["id"]), reverse=True)]


async def all_pages(queries: Queries, wanted: CallFilter, limit: int, order: Any = "received") -> list[str]:
    ids: list[str] = []
    after: str | None = None
    while True:
        page = await queries.calls(wanted, after=after, limit=limit, order=order)
        assert len(page.rows) <= limit and not page.partial
        ids += [row.id for row in page.rows]
        if page.next is None:
            return ids
        assert len(page.rows) == limit
        after = page.next


@pytest.mark.parametrize("seed", range(3))
async def test_pages_counts_and_ids_are_what_a_look_through_all_rows_finds(ledger: Ledger, seed: int):
    dice = random.Random(seed)
    rows = random_rows(dice, 300)
    await lay(ledger, rows)
    queries = Queries(ledger)
    matched = 0
    for number in range(120):
        wanted = random_filter(dice, rows)
        order = "settled" if number % 3 == 0 else "received"
        found = await all_pages(queries, wanted, dice.choice((1, 7, 50, 200)) if number % 10 else 3, order)
        assert found == expected(rows, wanted, order), wanted
        every = expected(rows, wanted, "received")
        assert await queries.count(wanted) == Counted(len(every), more=False), wanted
        assert await queries.count(wanted, 5) == Counted(min(len(every), 5), len(every) > 5), wanted
        assert await queries.ids(wanted, at_most=20) == (every[:20], len(every) > 20), wanted
        matched += bool(found)
    assert 30 < matched < 120  # both kinds were asked for


@pytest.mark.parametrize("limit", ["MOST_STREAMS", "FEW"])
async def test_the_way_of_looking_makes_no_difference(ledger: Ledger, limit: str, monkeypatch: pytest.MonkeyPatch):
    """Where there are too many places to merge, or too many calls to sort."""
    monkeypatch.setattr(search, limit, 1)
    dice = random.Random(11)
    rows = random_rows(dice, 250)
    await lay(ledger, rows)
    for number in range(120):
        wanted = random_filter(dice, rows)
        order = "settled" if number % 2 else "received"
        assert await all_pages(Queries(ledger), wanted, 9, order) == expected(rows, wanted, order), wanted


async def test_rows_that_come_while_pages_are_turned_make_none_skip_or_repeat(ledger: Ledger):
    dice = random.Random(5)
    first = random_rows(dice, 120)
    await lay(ledger, first)
    queries = Queries(ledger)
    for wanted in (
        CallFilter(),
        CallFilter(account="main"),
        CallFilter(account="main", source="office"),
        CallFilter(phone="9"),
    ):
        seen: list[str] = []
        after: str | None = None
        while True:
            page = await queries.calls(wanted, after=after, limit=4)
            seen += [row.id for row in page.rows]
            if (after := page.next) is None:
                break
            at = T0 + dice.randrange(13) * 3_600_000  # above, below, and beside where the page ended
            await lay(ledger, [a_row(f"n{dice.getrandbits(60):015x}", phone="99", received_at=at) for _ in range(2)])
        assert len(seen) == len(set(seen))
        assert [name for name in seen if name.startswith("c")] == expected(first, wanted, "received")


@pytest.mark.parametrize("text", HOSTILE)
async def test_text_is_found_as_it_is_and_not_otherwise(ledger: Ledger, text: str):
    kept = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    await lay(ledger, [a_row("plain", uniq="u-1", ref="r-1", phone="+7 916 555-01-17", reason="expired", state="dead")])
    queries = Queries(ledger)
    names = ("account", "source", "direction", "reason", "cause", "phone", "text")
    for wanted in [CallFilter(**{name: text}) for name in names]:
        assert (await queries.calls(wanted)).rows == ()
        assert await queries.count(wanted) == Counted(0, more=False)
        assert await queries.ids(wanted, at_most=5) == ([], False)
    assert await queries.call(text) is None and await queries.batch(text) is None
    assert await queries.rows([text]) == {}
    assert (await queries.batches(account=text, answer=text)).rows == ()
    assert await queries.groups(account=text, status=text) == ()
    assert await queries.parked_numbers(account=text) == ()
    if kept == text:
        await lay(ledger, [a_row("odd", uniq=text)])
        assert [row.id for row in (await queries.calls(CallFilter(text=text))).rows] == ["odd"]


@pytest.mark.parametrize("phone", ["0117", "+7 (916) 555-01-17", "79165550117"])
async def test_last_digits_are_found_however_they_are_written(ledger: Ledger, phone: str):
    await lay(ledger, [a_row("it", phone="+7 916 555-01-17"), a_row("other", phone="+7 916 555-01-18"), a_row("none")])
    assert [row.id for row in (await Queries(ledger).calls(CallFilter(phone=phone))).rows] == ["it"]


@pytest.mark.parametrize("bound", [float("inf"), float("-inf"), 1e300, -1.0])
async def test_times_that_no_database_knows_are_no_error(ledger: Ledger, bound: float):
    await lay(ledger, [a_row("it")])
    rows = (await Queries(ledger).calls(CallFilter(since=bound))).rows
    assert len(rows) == (bound < 0)
    rows = (await Queries(ledger).calls(CallFilter(until=bound))).rows
    assert len(rows) == (bound > 0)


async def test_no_page_is_longer_than_two_hundred(ledger: Ledger):
    await lay(ledger, [a_row(f"c{number}") for number in range(250)])
    assert len((await Queries(ledger).calls(CallFilter(), limit=10_000)).rows) == 200
    assert len((await Queries(ledger).calls(CallFilter(), limit=0)).rows) == 1


# --- cursors ---------------------------------------------------------------------------------------------------------


@given(
    at=st.integers(-(2**63) + 1, 2**63 - 1), name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
)
def test_a_cursor_comes_back_as_it_was(at: int, name: str):
    key = cursor.Key(at, name)
    written = cursor.write("received", key)
    assert cursor.read("received", written) == key and written.replace("-", "a").replace("_", "a").isalnum()
    with pytest.raises(ValueError):
        cursor.read("settled", written)


@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: cursor.base64.urlsafe_b64encode(raw).decode()))
@settings(max_examples=100)
def test_what_is_no_cursor_is_told_so(text: str):
    with pytest.raises(ValueError, match="not one of this list"):
        cursor.read("received", text)


@pytest.mark.parametrize(
    "told",
    [
        ["received", 1],
        ["received", "1", "x"],
        ["received", True, "x"],
        ["received", 2**63, "x"],
        ["received", 1, "\0"],
        7,
    ],
)
async def test_a_forged_cursor_never_gets_to_the_database(ledger: Ledger, told: Any):
    forged = cursor.base64.urlsafe_b64encode(orjson.dumps(told)).decode().rstrip("=")
    with pytest.raises(ValueError):
        await Queries(ledger).calls(CallFilter(), after=forged)
    with pytest.raises(ValueError):
        await Queries(ledger).batches(after=forged)


# --- when time is short ----------------------------------------------------------------------------------------------


class Slow:
    """A ledger whose statements about calls run out of time for as long as `too_slow` says so of their text."""

    def __init__(self, ledger: Ledger, too_slow: Callable[[int], bool]) -> None:
        self._ledger = ledger
        self._too_slow = too_slow
        self.reads = 0
        self.revision, self.size = ledger.revision, ledger.size

    @asynccontextmanager
    async def read(self, budget: float = 1.0) -> AsyncIterator[AsyncConnection]:
        self.reads += 1
        if self._too_slow(self.reads):
            raise TooSlow("read: ended at its time limit")
        async with self._ledger.read(30) as connection:
            yield connection


@pytest.mark.parametrize("order", ["received", "settled"])
async def test_a_list_that_takes_too_long_is_found_in_windows(ledger: Ledger, order: Any):
    rows = random_rows(random.Random(3), 200)
    await lay(ledger, rows)
    for wanted in (CallFilter(), CallFilter(account="main", direction="inbound"), CallFilter(since=T0 / 1000 + 20_000)):
        slow = Slow(ledger, lambda read: read == 1)
        page = await Queries(slow, 60).calls(wanted, limit=15, order=order)
        every = expected(rows, wanted, order)
        assert [row.id for row in page.rows] == every[:15] and not page.partial
        assert slow.reads > 2
        after = await Queries(Slow(ledger, lambda read: read == 1), 60).calls(
            wanted, after=page.next, limit=100, order=order
        )
        assert [row.id for row in after.rows] == every[15:115]


async def test_what_was_found_when_the_time_is_over_is_shown_and_the_rest_is_on_the_next_page(ledger: Ledger):
    rows = random_rows(random.Random(4), 200)
    await lay(ledger, rows)
    start = cursor.write("received", cursor.Key(T0 + 13 * 3_600_000, ""))
    slow = Slow(ledger, lambda read: read == 1 or read > 3)  # back by one hour, by two
    page = await Queries(slow, 60).calls(CallFilter(), after=start, limit=200)
    every = expected(rows, CallFilter(), "received")
    near = [row["id"] for row in rows if row["received_at"] >= T0 + 11 * 3_600_000]
    assert page.partial and page.next
    assert [row.id for row in page.rows] == every[: len(near)] and near
    rest = await Queries(ledger).calls(CallFilter(), after=page.next, limit=200)
    assert [row.id for row in (*page.rows, *rest.rows)] == every


@pytest.mark.parametrize("order", ["received", "settled"])
async def test_no_call_falls_between_two_windows(ledger: Ledger, order: Any):
    start = T0 + 90 * 3_600_000
    ends = [start - hours * 3_600_000 + more for hours in (1, 2, 4, 8) for more in (-1, 0, 1)]
    await lay(ledger, [a_row(f"c{at}", received_at=at, settled_at=at) for at in ends])
    slow = Slow(ledger, lambda read: read == 1)
    page = await Queries(slow, 60).calls(CallFilter(), after=cursor.write(order, cursor.Key(start, "")), order=order)
    assert [row.id for row in page.rows] == [f"c{at}" for at in sorted(ends, reverse=True)]


async def test_nothing_found_in_time_is_a_page_and_no_error(ledger: Ledger):
    await lay(ledger, [a_row("it")])
    queries = Queries(Slow(ledger, lambda _: True), 60)
    page = await queries.calls(CallFilter())
    assert page.rows == () and page.partial
    assert await queries.count(CallFilter(phone="1")) == Counted(0, more=True)
    with pytest.raises(LedgerUnavailable):  # a job and a file want all of it
        await queries.ids(CallFilter(), at_most=5)
    with pytest.raises(LedgerUnavailable):
        async with aclosing(queries.export(CallFilter())) as chunks:
            await anext(chunks)


async def test_an_export_goes_on_where_time_ran_out(ledger: Ledger):
    rows = random_rows(random.Random(6), 150)
    await lay(ledger, rows)
    wanted = CallFilter(account="main")
    exported: list[CallRow] = []
    # Every other statement is too slow: the first look of each chunk, and some window of it.
    async with aclosing(Queries(Slow(ledger, lambda read: read % 7 in {1, 4})).export(wanted, 20)) as chunks:
        async for chunk in chunks:
            assert 0 < len(chunk) <= 20
            exported += chunk
    assert [row.id for row in exported] == expected(rows, wanted, "received")


async def test_facets_go_without_reasons_where_those_take_too_long(ledger: Ledger):
    await lay(ledger, [a_row("c1"), a_row("c2", state="dead", reason="expired"), a_row("c3", account="shop")])
    whole = await Queries(ledger).facets()
    assert whole.states == {"delivered": 2, "dead": 1} and whole.reasons == {"expired": 1}
    assert whole.accounts == {"main": 2, "shop": 1} and whole.sources == {"office": 3}
    assert await Queries(Slow(ledger, lambda read: read == 2)).facets() == replace(whole, reasons={})
