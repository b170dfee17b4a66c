"""Replay jobs: what was shown is what is done, once, by whoever asked; and nothing is done that was not shown."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from callbridge.ops.who import Role
from support.callpages import PHONE, Browse
from support.markup import PAYLOADS, links, shape
from support.mendpages import MendDesk, a_mend_desk, some

DEAD = "/jobs/new?action=replay&state=dead&account=main"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        yield desk


def fields_of(page: str) -> list[tuple[str, str]]:
    """What the preview's form would send."""
    [form] = re.findall(r'<form method="post" action="/jobs" .*?</form>', page, re.DOTALL)
    found = re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', form)
    return [(name, unescape(value)) for name, value in found]


async def previewed(client: Any, path: str = DEAD) -> tuple[str, list[tuple[str, str]]]:
    answer = await client.get(path)
    page = await answer.text()
    assert answer.status == 200, page
    return page, fields_of(page)


async def test_a_preview_says_how_many_why_and_what_would_happen(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(3, "dead", "refused_by_crm"), *some(2, "dead", "unknown_outcome", first=10))
    desk.know(*some(1, "dead", "undecodable", first=20))
    page, fields = await previewed(await browse(desk.console))
    assert "Replay 5 calls?" in page
    assert "3 calls: sent to the CRM again" in page
    assert "2 calls: searched in the CRM" in page
    assert "1 call: nothing can be read from their webhook" in page
    assert "3 calls: Refused by the CRM" in page
    assert ("expected", "5") in fields
    assert PHONE not in page
    assert not desk.moved.ids


async def test_what_was_shown_is_started_and_leads_to_the_job(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(3, "dead", "refused_by_crm"), *some(2, "dead", "refused_by_crm", first=9, account="other"))
    client = await browse(desk.console)
    _, fields = await previewed(client)
    answer = await client.post("/jobs", data=fields, allow_redirects=False)
    job_id = dict(fields)["job"]
    assert (answer.status, answer.headers["Location"]) == (303, f"/jobs/{job_id}")
    job = await desk.console.jobs.get(job_id)
    assert job is not None
    assert (job.total, job.actor, job.action) == (3, "anna", "replay")
    page = await (await client.get(f"/jobs/{job_id}")).text()
    assert "0 of 3 done" in page
    assert "the cause is fixed" in page


async def test_pressing_twice_at_once_and_reloading_is_pressing_once(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(3, "dead", "refused_by_crm"))
    client = await browse(desk.console)
    _, fields = await previewed(client)
    answers = await asyncio.gather(*(client.post("/jobs", data=fields, allow_redirects=False) for _ in range(4)))
    assert {(answer.status, answer.headers["Location"]) for answer in answers} == {
        (303, f"/jobs/{dict(fields)['job']}")
    }
    assert len((await desk.console.jobs.list()).rows) == 1


async def test_two_previews_are_two_jobs(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(1, "dead", "refused_by_crm"))
    client = await browse(desk.console)
    first, second = [dict((await previewed(client))[1])["job"] for _ in range(2)]
    assert first != second


async def test_above_a_hundred_the_number_has_to_be_typed(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(101, "dead", "refused_by_crm"))
    client = await browse(desk.console)
    page, fields = await previewed(client)
    assert "Type 101 to confirm" in page
    untyped = await client.post("/jobs", data=fields, allow_redirects=False)
    assert untyped.status == 409
    assert "Type the number of calls, 101" in await untyped.text()
    wrong = await client.post("/jobs", data=[*fields, ("typed", "100")], allow_redirects=False)
    assert wrong.status == 409
    assert await desk.console.jobs.get(dict(fields)["job"]) is None
    right = await client.post("/jobs", data=[*fields, ("typed", "101")], allow_redirects=False)
    assert right.status == 303


async def test_a_hundred_go_without_typing(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(100, "dead", "refused_by_crm"))
    page, _ = await previewed(await browse(desk.console))
    assert 'name="typed"' not in page


async def test_other_calls_than_were_shown_are_shown_again_instead(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(2, "dead", "refused_by_crm"))
    client = await browse(desk.console)
    _, fields = await previewed(client)
    desk.know(*some(1, "dead", "refused_by_crm", first=50))
    answer = await client.post("/jobs", data=fields, allow_redirects=False)
    page = await answer.text()
    assert answer.status == 409
    assert "It is 3 calls now" in page
    again = fields_of(page)
    assert ("expected", "3") in again
    assert (await client.post("/jobs", data=again, allow_redirects=False)).status == 303


async def test_ticked_calls_are_previewed_as_they_were_ticked(desk: MendDesk, browse: Browse) -> None:
    calls = some(4, "dead", "refused_by_crm")
    desk.know(*calls)
    client = await browse(desk.console)
    data = [("action", "discard"), ("id", calls[0].id), ("id", calls[2].id), ("back", "/calls?state=dead")]
    page = await (await client.post("/jobs/new", data=data)).text()
    fields = fields_of(page)
    assert [value for name, value in fields if name == "id"] == [calls[0].id, calls[2].id]
    assert 'href="/calls?state=dead"' in page
    await client.post("/jobs", data=fields, allow_redirects=False)
    job = await desk.console.jobs.get(dict(fields)["job"])
    assert job is not None
    assert job.total == 2


@pytest.mark.parametrize(
    "query",
    [
        "action=replay",
        "state=dead",
        "action=explode&state=dead",
        "action=replay&state=gone",
        "action=replay&state=dead&account=NOT%20A%20NAME",
        "action=replay&state=dead&since=yesterdayish",
        "action=replay&state=dead&id=1k00001abcdefghj",
        "action=replay&id=%3Cscript%3E",
    ],
)
async def test_a_filter_that_cannot_be_read_is_no_wider_one(desk: MendDesk, browse: Browse, query: str) -> None:
    desk.know(*some(3, "dead", "refused_by_crm"))
    client = await browse(desk.console)
    assert (await client.get(f"/jobs/new?{query}")).status == 400
    told = dict(parse_qsl(query))
    rest = {name: told.pop(name) for name in ("action", "id") if name in told}
    form = rest | {"calls": urlencode(told), "job": "a" * 20, "expected": "3", "reason": "r"}
    assert (await client.post("/jobs", data=form, allow_redirects=False)).status == 400
    assert not (await desk.console.jobs.list()).rows


async def test_nothing_to_do_offers_nothing_to_press(desk: MendDesk, browse: Browse) -> None:
    page = await (await (await browse(desk.console)).get(DEAD)).text()
    assert "No call is left" in page
    assert 'action="/jobs"' not in page


async def test_a_job_is_asked_for_again_while_it_goes_on_and_not_afterwards(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(3, "dead", "refused_by_crm"))
    client = await browse(desk.console)
    _, fields = await previewed(client)
    job_id = dict(fields)["job"]
    await client.post("/jobs", data=fields, allow_redirects=False)
    part = await (await client.get(f"/jobs/{job_id}?part=1")).text()
    assert f'hx-get="/jobs/{job_id}?part=1"' in part
    assert "<html" not in part
    paused = await client.post(f"/jobs/{job_id}/pause", allow_redirects=False)
    assert paused.headers["Location"] == f"/jobs/{job_id}?done=job_pause"
    await client.post(f"/jobs/{job_id}/cancel", allow_redirects=False)
    part = await (await client.get(f"/jobs/{job_id}?part=1")).text()
    assert "hx-get" not in part
    assert "ended by hand" in part
    assert "/resume" not in part


async def test_a_job_runs_to_its_end_and_the_list_says_so(desk: MendDesk, browse: Browse) -> None:
    calls = some(3, "dead", "refused_by_crm")
    desk.know(*calls)
    client = await browse(desk.console)
    _, fields = await previewed(client)
    job_id = dict(fields)["job"]
    await client.post("/jobs", data=fields, allow_redirects=False)
    stopping = asyncio.Event()
    running = asyncio.create_task(desk.console.jobs.run(stopping))
    async with asyncio.timeout(10):
        while "3 of 3 done" not in await (await client.get(f"/jobs/{job_id}?part=1")).text():  # noqa: ASYNC110 - as a browser asks
            await asyncio.sleep(0.02)
    stopping.set()
    await running
    assert sorted(desk.moved.ids) == sorted(call.id for call in calls)
    page = await (await client.get("/jobs")).text()
    assert "3 of 3" in page
    assert f"/jobs/{job_id}" in page


@pytest.mark.parametrize("path", ["/jobs/nothing-of-that-name", "/jobs/x", "/jobs/%3Cscript%3E"])
async def test_no_job_is_no_page(desk: MendDesk, browse: Browse, path: str) -> None:
    client = await browse(desk.console)
    assert (await client.get(path)).status == 404
    assert (await client.post(f"{path}/cancel", allow_redirects=False)).status == 404


async def test_the_way_back_stays_here(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(1, "dead", "refused_by_crm"))
    page, _ = await previewed(await browse(desk.console), f"{DEAD}&back=https://evil.example/")
    assert not [link for link in links(page) if "evil" in link]


async def test_a_viewer_watches_a_job_without_its_buttons(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(1, "dead", "refused_by_crm"))
    client = await browse(desk.console)
    _, fields = await previewed(client)
    await client.post("/jobs", data=fields, allow_redirects=False)
    page = await (await (await browse(desk.console, Role.VIEWER)).get(f"/jobs/{dict(fields)['job']}")).text()
    assert "/cancel" not in page
    assert "needs the role operator" in page


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    shapes = set()
    for text in ("plain", *PAYLOADS):
        desk.rows.known = some(1, "dead", "refused_by_crm", detail=text, phone=text)
        page, fields = await previewed(client)
        shapes.add(tuple(shape(page)))
        said = [
            (name, "".join(filter(str.isprintable, text))) if name == "reason" else (name, value)
            for name, value in fields
        ]
        answer = await client.post("/jobs", data=said, allow_redirects=False)
        shown = await (await client.get(answer.headers["Location"])).text()
        assert "<script>window" not in shown
        assert "<img src=x" not in shown
        assert "__pwn" not in "".join(links(shown))
    assert len(shapes) == 1
