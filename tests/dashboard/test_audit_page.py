"""Audit: who did what, found again by who and what; and a chain that says when it was broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callbridge.ops.who import Role, Who
from support.callpages import PHONE, Browse
from support.markup import PAYLOADS, links, shape
from support.mendpages import MendDesk, a_mend_desk

OLGA = Who("olga", Role.OPERATOR, "session", ip="198.51.100.7")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        yield desk


async def test_an_entry_says_who_what_about_what_and_why(desk: MendDesk, browse: Browse) -> None:
    target, why, outcome = {"job": "j1", "action": "replay"}, f"asked by {PHONE}", {"after": "running"}
    await desk.console.audit.add(OLGA, "job.started", target, reason=why, count=73, outcome=outcome)
    page = await (await (await browse(desk.console)).get("/audit")).text()
    for text in ("olga", "198.51.100.7", "started a job", "73 calls", "replay", "running", "asked by"):
        assert text in page
    assert PHONE not in page


async def test_entries_are_found_by_who_and_what_and_pages_go_on(desk: MendDesk, browse: Browse) -> None:
    for _ in range(60):
        await desk.console.audit.add(OLGA, "login", {})
    await desk.console.audit.add(Who("ivan", Role.ADMIN, "session"), "logout", {})
    client = await browse(desk.console)
    first = await (await client.get("/audit?actor=olga&action=login")).text()
    assert first.count("data-row") == 50
    assert "after=11" in first
    assert "ivan" not in first
    second = await (await client.get("/audit?actor=olga&action=login&after=11")).text()
    assert second.count("data-row") == 10
    assert "Nothing matches" in await (await client.get("/audit?actor=nobody")).text()


@pytest.mark.parametrize("query", ["after=x", "after=-1", "action=%3Cb%3E", "actor=%00", "after=" + "9" * 30])
async def test_a_query_that_says_nothing_is_refused(desk: MendDesk, browse: Browse, query: str) -> None:
    assert (await (await browse(desk.console)).get(f"/audit?{query}")).status == 400


async def test_a_whole_chain_is_called_whole_and_a_broken_one_broken(desk: MendDesk, browse: Browse) -> None:
    for _ in range(3):
        await desk.console.audit.add(OLGA, "login", {})
    client = await browse(desk.console)
    assert "The chain is whole" in await (await client.get("/audit?check=1")).text()
    assert "The chain" not in (await (await client.get("/audit")).text()).replace("Check the chain", "")

    async def broken() -> int:
        return 2

    desk.console.audit.verify = broken  # type: ignore[method-assign] # as if somebody had changed a row
    assert "breaks at entry 2" in await (await client.get("/audit?check=1")).text()


async def test_an_empty_audit_says_what_will_stand_there(desk: MendDesk, browse: Browse) -> None:
    assert "Nothing was done yet" in await (await (await browse(desk.console)).get("/audit")).text()


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse, tmp_path: Path) -> None:
    shapes = set()
    for number, text in enumerate(("plain text", *PAYLOADS)):
        where = tmp_path / str(number)
        where.mkdir()
        async with a_mend_desk(where) as other:
            who = Who(text[:60], Role.OPERATOR, "session", ip="198.51.100.7")
            await other.console.audit.add(who, "call.edited", {"call": text}, reason=text, outcome={"before": text})
            page = await (await (await browse(other.console)).get("/audit")).text()
        shapes.add(tuple(shape(page)))
        assert "javascript:" not in "".join(links(page)).split("actor=")[0]
    assert len(shapes) == 1


async def test_what_an_entry_is_about_leads_there_and_times_are_times(desk: MendDesk, browse: Browse) -> None:
    await desk.console.audit.add(
        OLGA,
        "token.issue",
        {"job": "job-00001", "call": "<b>"},
        outcome={"expires_at": 1_790_000_000.0, "before": None},
    )
    page = await (await (await browse(desk.console)).get("/audit")).text()
    assert 'href="/jobs/job-00001"' in page
    assert "/calls/&lt;" not in page
    assert "2026-09-21T" in page
