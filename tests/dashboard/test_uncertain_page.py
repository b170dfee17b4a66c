"""Uncertain: what is still looked for, and what a person has to say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callbridge.ops.who import Role
from support.callpages import PHONE, Browse, an_attempt
from support.markup import PAYLOADS, links, shape
from support.mendpages import MendDesk, a_mend_desk, some
from support.overviews import NOW

DAY = 86_400


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        yield desk


async def test_a_call_that_is_looked_for_is_nobodys_to_decide(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(1, "uncertain", "no_answer", updated_at=NOW - 60))
    page = await (await (await browse(desk.console)).get("/uncertain")).text()
    assert "Being searched" in page
    assert "Nothing to do yet" in page
    assert "/jobs/new" not in page
    assert PHONE not in page


async def test_it_is_once_it_was_looked_for_long_enough_since_it_left_last(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(1, "uncertain", "no_answer", updated_at=NOW - 60))
    left = ({"what": "sending", "at": NOW - 2 * DAY - 5}, {"what": "uncertain", "at": NOW - 2 * DAY})
    desk.rows.story = (*left, {"what": "uncertain", "at": NOW - 60})
    client = await browse(desk.console)
    assert "action=mark_delivered&amp;id=1k00001abcdefghj" in await (await client.get("/uncertain")).text()
    desk.rows.story = (*left, {"what": "sending", "at": NOW - 70}, {"what": "uncertain", "at": NOW - 60})
    assert "/jobs/new" not in await (await client.get("/uncertain")).text()


async def test_what_nobody_found_out_is_decided_one_by_one_or_all_at_once(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(3, "dead", "unknown_outcome"), *some(1, "dead", "expired", first=9))
    desk.rows.attempts = (an_attempt("b-new", at=NOW - 5), an_attempt("b-old", at=NOW - 500))
    page = await (await (await browse(desk.console)).get("/uncertain")).text()
    assert "All 3 are in the CRM" in page
    assert "Send all 3 again (may duplicate)" in page
    assert page.count("It is in the CRM") == 3
    assert "/batches/b-new" in page
    assert "/batches/b-old" not in page


async def test_a_lane_goes_on_by_itself(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(30, "uncertain", "no_answer"), *some(1, "dead", "unknown_outcome", first=90))
    client = await browse(desk.console)
    assert "lane=uncertain&amp;after=25" in await (await client.get("/uncertain")).text()
    second = await (await client.get("/uncertain?lane=uncertain&after=25")).text()
    assert second.count("data-row") == 5
    assert (await client.get("/uncertain?lane=uncertain&after=x")).status == 400


async def test_a_viewer_decides_nothing(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(1, "dead", "unknown_outcome"))
    page = await (await (await browse(desk.console, Role.VIEWER)).get("/uncertain")).text()
    assert "needs the role operator" in page
    assert "/jobs/new" not in page


async def test_nothing_uncertain_says_what_would_be(desk: MendDesk, browse: Browse) -> None:
    assert "Nothing is uncertain" in await (await (await browse(desk.console)).get("/uncertain")).text()


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    shapes = set()
    for text in ("plain", *PAYLOADS):
        desk.rows.known = some(1, "dead", "unknown_outcome", detail=text, phone=text)
        page = await (await client.get("/uncertain")).text()
        shapes.add(tuple(shape(page)))
        assert "__pwn" not in "".join(links(page))
    assert len(shapes) == 1
