"""Dead letters: by cause, with a button for exactly the calls of each."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from yarl import URL

from callbridge.ops.who import Role
from support.callpages import PHONE, Browse
from support.markup import PAYLOADS, links, shape
from support.mendpages import MendDesk, a_group, a_mend_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        yield desk


async def test_a_cause_says_what_is_wrong_and_offers_its_calls_and_no_others(desk: MendDesk, browse: Browse) -> None:
    desk.rows.dead = [a_group()]
    page = await (await (await browse(desk.console)).get("/dead")).text()
    assert "Refused by the CRM" in page
    assert "When the cause is gone, replay it" in page
    assert "Replay these 73" in page
    assert "Discard these 73" in page
    assert PHONE not in page
    queries = {urlsplit(link).query for link in links(page) if link.startswith(("/calls?", "/jobs/new?"))}
    wanted = {("state", "dead"), ("account", "main"), ("reason", "refused_by_crm"), ("cause", "c0ffee")}
    assert queries
    for query in queries:
        assert wanted <= set(parse_qsl(query))


async def test_what_is_fixed_is_offered_for_replay_as_what_was_fixed(desk: MendDesk, browse: Browse) -> None:
    desk.rows.dead = [a_group(status="fixed", changed_by="olga", changed_at=1.0, note="a new token")]
    page = await (await (await browse(desk.console)).get("/dead")).text()
    assert "Fixed, so replay these 73" in page
    assert "by olga" in page
    assert "a new token" in page
    assert "Mark as fixed" not in page


async def test_calls_of_which_nothing_can_be_read_are_not_offered_for_replay(desk: MendDesk, browse: Browse) -> None:
    desk.rows.dead = [a_group(reason="undecodable", cause="beef")]
    page = await (await (await browse(desk.console)).get("/dead")).text()
    assert "action=replay" not in page
    assert "action=discard" in page


async def test_the_button_for_all_counts_only_what_it_can_move(desk: MendDesk, browse: Browse) -> None:
    desk.rows.dead = [
        a_group(),
        a_group(reason="expired", cause="b", calls=7),
        a_group(reason="undecodable", cause="c"),
    ]
    client = await browse(desk.console)
    assert "Replay all 80" in await (await client.get("/dead")).text()
    assert "Replay all" not in await (await client.get("/dead?status=open")).text()


async def test_marking_a_cause_keeps_the_lists_own_filter(desk: MendDesk, browse: Browse) -> None:
    desk.rows.dead = [a_group()]
    form = {"account": "main", "reason": "refused_by_crm", "cause": "c0ffee", "status": "fixed", "note": "done"}
    more = {"list_account": "main", "list_status": "open"}
    answer = await (await browse(desk.console)).post("/dead/mark", data=form | more, allow_redirects=False)
    assert answer.status == 303
    assert URL(answer.headers["Location"]).query == {"account": "main", "status": "open", "done": "group_fixed"}
    assert desk.actions.done == [("mark", "main", "refused_by_crm", "c0ffee", "fixed", "done")]


@pytest.mark.parametrize("change", [{"status": "gone"}, {"cause": "<b>"}, {"reason": ""}, {"note": "x" * 501}])
async def test_what_cannot_be_meant_marks_nothing(desk: MendDesk, browse: Browse, change: dict[str, str]) -> None:
    form = {"account": "main", "reason": "refused_by_crm", "cause": "c0ffee", "status": "fixed"}
    answer = await (await browse(desk.console)).post("/dead/mark", data=form | change, allow_redirects=False)
    assert answer.status == 400
    assert not desk.actions.done


async def test_a_viewer_reads_and_is_told_why_he_cannot_act(desk: MendDesk, browse: Browse) -> None:
    desk.rows.dead = [a_group()]
    page = await (await (await browse(desk.console, Role.VIEWER)).get("/dead")).text()
    assert "needs the role operator" in page
    assert "/jobs/new" not in page
    assert 'action="/dead/mark"' not in page
    assert re.search(r"disabled[^>]*>[^<]*(<[^>]+>)*[^<]*Replay these 73", page)


async def test_an_empty_list_says_what_would_stand_there(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    assert "No dead calls" in await (await client.get("/dead")).text()
    desk.rows.dead = [a_group()]
    filtered = await (await client.get("/dead?status=fixed")).text()
    assert "No cause matches" in filtered
    assert 'href="/dead"' in filtered


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    shapes = set()
    for text in ("plain", *PAYLOADS):
        desk.rows.dead = [a_group(sample=text, note=text, changed_by=text, changed_at=1.0)]
        page = await (await client.get("/dead")).text()
        shapes.add(tuple(shape(page)))
        assert "__pwn" not in "".join(links(page))
    assert len(shapes) == 1
