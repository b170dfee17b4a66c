"""The audit: nothing can be changed or taken out unseen, and writers do not break the chain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, update

from callbridge.ledger.access import AuditBook
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.tables import AUDIT
from callbridge.ops.access.audit import Audit, hash_of
from callbridge.ops.who import Role, Who

ANNA = Who("anna", Role.OPERATOR, "session", "192.0.2.7")


@pytest.fixture
def chain(each_ledger: Ledger) -> Audit:
    return Audit(AuditBook(each_ledger), lambda: 1_790_000_000.5)


async def filled(chain: Audit, entries: int = 6) -> None:
    for number in range(1, entries + 1):
        seq = await chain.add(ANNA, "replay", {"call": f"c-{number}"}, reason="why", count=1, outcome={"moved": True})
        assert seq == number
    assert await chain.verify() is None


async def changed(ledger: Ledger, statement: Any) -> None:
    async with ledger.begin() as connection:
        await connection.execute(statement)


async def test_an_entry_is_read_back_as_it_was_told(chain: Audit):
    await chain.add(ANNA, "replay", {"filter": {"state": "dead"}, "ids": ("a", "b")}, reason="fixed", count=2)
    (entry,) = (await chain.entries()).rows
    assert (entry.seq, entry.at, entry.actor, entry.ip) == (1, 1_790_000_000.5, "anna", "192.0.2.7")
    assert (entry.action, entry.reason, entry.count, entry.outcome) == ("replay", "fixed", 2, {})
    assert entry.target == {"filter": {"state": "dead"}, "ids": ["a", "b"]}


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "boris"},
        {"action": "login"},
        {"target": '{"call":"c-9"}'},
        {"reason": None},
        {"count": 2},
        {"at": 1},
        {"ip": None},
        {"outcome": "{}"},
        {"previous": "0" * 64},
        {"hash": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_changed_entry_is_found(each_ledger: Ledger, chain: Audit, change: dict[str, Any]):
    await filled(chain)
    await changed(each_ledger, update(AUDIT).where(AUDIT.c.seq == 3).values(change))
    assert await chain.verify() == 3


async def test_a_changed_entry_with_a_fresh_hash_is_missed_by_the_next(each_ledger: Ledger, chain: Audit):
    await filled(chain)
    async with each_ledger.read() as connection:
        row = dict((await connection.execute(AUDIT.select().where(AUDIT.c.seq == 3))).mappings().one())
    forged = row | {"actor": "boris"}
    forged["hash"] = hash_of(forged)
    await changed(each_ledger, update(AUDIT).where(AUDIT.c.seq == 3).values(forged))
    assert await chain.verify() == 4


@pytest.mark.parametrize("gone", [1, 3, 6])
async def test_a_dropped_entry_is_missed_the_last_one_too(each_ledger: Ledger, chain: Audit, gone: int):
    await filled(chain)
    await changed(each_ledger, delete(AUDIT).where(AUDIT.c.seq == gone))
    assert await chain.verify() == gone


async def test_entries_that_all_went_are_missed(each_ledger: Ledger, chain: Audit):
    await filled(chain, 2)
    await changed(each_ledger, delete(AUDIT))
    assert await chain.verify() == 1


async def test_a_chain_forged_anew_does_not_end_as_the_true_one(each_ledger: Ledger, chain: Audit):
    await filled(chain, 3)
    async with each_ledger.read() as connection:
        rows = [dict(row) for row in (await connection.execute(AUDIT.select().order_by(AUDIT.c.seq))).mappings()]
    await changed(each_ledger, delete(AUDIT))
    previous = ""
    for row in rows:
        forged = row | {"actor": "boris", "previous": previous}
        forged["hash"] = previous = hash_of(forged)
        await changed(each_ledger, AUDIT.insert().values(**forged))
    assert await chain.verify() == 3


async def test_many_writers_of_two_processes_keep_one_chain(url: str, each_ledger: Ledger, chain: Audit):
    async with open_ledger(url) as other:
        writers = (chain, Audit(AuditBook(other), lambda: 1_790_000_001.0))
        numbers = await asyncio.gather(*(writers[number % 2].add(ANNA, "act", {"n": number}) for number in range(40)))
    assert sorted(numbers) == list(range(1, 41))
    assert await chain.verify() is None


async def test_pages_follow_each_other_and_filters_hold(chain: Audit):
    await filled(chain, 7)
    await chain.add(Who("ci", Role.ADMIN, "token"), "replay", {})
    await chain.add(Who("root", Role.ADMIN, "shell"), "erase", {})
    first = await chain.entries(limit=4)
    second = await chain.entries(limit=4, before=int(first.next or 0))
    third = await chain.entries(limit=4, before=int(second.next or 0))
    assert [entry.seq for page in (first, second, third) for entry in page.rows] == list(range(9, 0, -1))
    assert third.next is None
    assert [entry.seq for entry in (await chain.entries(actor="token:ci")).rows] == [8]
    assert [entry.seq for entry in (await chain.entries(action="erase")).rows] == [9]


async def test_nobody_passes_for_an_operator(chain: Audit):
    for by in ("token", "shell"):
        await chain.add(Who("anna", Role.ADMIN, by), "act", {})
    assert (await chain.entries(actor="anna")).rows == ()


async def test_hostile_values_are_kept_and_stay_verifiable(chain: Audit):
    hostile = "half \ud83d, nul \0, \u2028, <b>" + "x" * 5000
    nested: Any = []
    for _ in range(30):
        nested = [nested]
    await chain.add(
        Who(hostile, Role.ADMIN, "shell", hostile), hostile, {hostile: hostile, "deep": nested, "nan": float("nan")},
        reason=hostile, outcome={"n": 10**30, "items": list(range(5000))},
    )  # fmt: skip
    assert await chain.verify() is None
    (entry,) = (await chain.entries()).rows
    assert "\0" not in str(entry)
    str(entry).encode()
    assert len(entry.outcome["items"]) == 1000
