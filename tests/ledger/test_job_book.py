"""The book of jobs and the marks of groups say the same on both databases, and only to the one who has the job."""

from __future__ import annotations

from dataclasses import replace

from callbridge.ledger.database import Ledger
from callbridge.ledger.jobs import JobBook, JobRow
from callbridge.ledger.marking import Marking

NOW = 1_790_000_000.0
ASKED = {"filter": {"states": ["dead"]}, "digest": "d"}
ROW = JobRow("job-00001", "replay", ASKED, "why", "eve", "preparing", 3, 0, 0, {}, None, NOW, NOW)


async def a_running_job(book: JobBook) -> JobRow:
    row, added = await book.add(ROW, "one", NOW + 30)
    assert added and row == ROW
    assert await book.fill(ROW.id, "one", 0, ["a", "b", "c"], held_until=NOW + 30)
    assert await book.ready(ROW.id, "one", ASKED | {"chosen": True}, now=NOW)
    found = await book.hold(ROW.id, "one", now=NOW, seconds=30)
    assert found
    return found


async def test_an_id_is_one_jobs(ledger: Ledger) -> None:
    book = JobBook(ledger)
    await a_running_job(book)
    row, added = await book.add(replace(ROW, action="discard"), "two", NOW + 30)
    assert not added and row.action == "replay" and row.filter["chosen"] is True


async def test_a_job_is_anothers_only_once_its_lease_is_over(ledger: Ledger) -> None:
    book = JobBook(ledger)
    await a_running_job(book)
    assert await book.hold(ROW.id, "two", now=NOW + 29, seconds=30) is None
    taken = await book.hold(ROW.id, "two", now=NOW + 31, seconds=30)
    assert taken and await book.hold(ROW.id, "one", now=NOW + 32, seconds=30) is None
    assert await book.begin_slice(taken, "one", 200) is None
    await book.let_go("two")
    assert await book.hold(ROW.id, "one", now=NOW + 33, seconds=30)


async def test_a_slice_is_written_down_once_and_the_last_one_ends_the_job(ledger: Ledger) -> None:
    book = JobBook(ledger)
    row = await a_running_job(book)
    first = await book.begin_slice(row, "one", 2)
    assert first and (first.ids, first.again) == (("a", "b"), False)
    again = await book.begin_slice(row, "one", 200)
    assert again and (again.ids, again.again) == (("a", "b"), True)  # and not one that nobody was at
    assert await book.end_slice(row, "one", ["moved", "not_dead"], now=NOW)
    assert not await book.end_slice(row, "one", ["moved", "not_dead"], now=NOW)
    row = await book.get(ROW.id) or row
    assert (row.done, row.moved, row.skipped, row.state) == (2, 1, {"not_dead": 1}, "running")
    last = await book.begin_slice(row, "one", 200)
    assert last and (last.ids, last.again) == (("c",), False)
    assert await book.end_slice(row, "one", ["moved"], now=NOW)
    row = await book.get(ROW.id) or row
    assert (row.done, row.moved, row.state) == (3, 2, "done")
    assert await book.open_ones() == []


async def test_a_paused_job_takes_what_was_under_way_and_nothing_more(ledger: Ledger) -> None:
    book = JobBook(ledger)
    row = await a_running_job(book)
    assert await book.begin_slice(row, "one", 2)
    assert await book.move(ROW.id, ("running",), "paused", now=NOW)
    assert not await book.move(ROW.id, ("running",), "paused", now=NOW)
    assert await book.end_slice(row, "one", ["moved", "moved"], now=NOW)
    row = await book.get(ROW.id) or row
    assert (row.done, row.state) == (2, "paused")
    assert await book.begin_slice(row, "one", 2) is None


async def test_an_interrupted_preparation_is_cleared_by_the_one_who_has_it(ledger: Ledger) -> None:
    book = JobBook(ledger)
    await book.add(ROW, "one", NOW + 30)
    assert await book.fill(ROW.id, "one", 0, ["a"], held_until=NOW + 30)
    assert not await book.clear(ROW.id, "two") and not await book.fill(ROW.id, "two", 1, ["b"], held_until=NOW)
    assert await book.hold(ROW.id, "two", now=NOW + 60, seconds=30) and await book.clear(ROW.id, "two")
    assert await book.fill(ROW.id, "two", 0, ["b"], held_until=NOW + 90)
    assert not await book.ready(ROW.id, "one", ASKED, now=NOW)


async def test_jobs_of_one_moment_are_paged_without_a_gap(ledger: Ledger) -> None:
    book = JobBook(ledger)
    for number in range(5):
        await book.add(replace(ROW, id=f"job-{number:05}"), "one", NOW)
    seen, after = list[str](), None
    while True:
        page = await book.page(2, after)
        seen += [row.id for row in page.rows]
        if (after := page.next) is None:
            break
    assert seen == [f"job-{number:05}" for number in (4, 3, 2, 1, 0)]


async def test_a_mark_takes_the_place_of_the_one_before(ledger: Ledger) -> None:
    marks = Marking(ledger)
    assert await marks.status("main", "expired", "abc") == ("open", None)
    await marks.mark("main", "expired", "abc", "acknowledged", by="eve", note="known", now=NOW)
    await marks.mark("main", "expired", "abc", "fixed", by="ada", note=None, now=NOW + 1)
    assert await marks.status("main", "expired", "abc") == ("fixed", None)
