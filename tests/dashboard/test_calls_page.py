"""The list of calls: what it asks of the ledger, what it offers, and to whom."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest
from multidict import MultiDict

from callbridge.ledger.views import CallFilter
from callbridge.ops.dashboard.call_query import asked, pairs, searched
from callbridge.ops.who import Role
from support.callpages import PHONE, Browse, a_desk, a_row, a_story, dead, parked

HOSTILE = """"><img src=x onerror=alert(1)>'</script><script>alert(1)</script>{{7*7}}"""


async def test_a_row_says_what_is_wrong_what_is_next_and_offers_it(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1), parked(2), a_row(3))
    page = await (await (await browse(desk.console)).get("/calls")).text()
    assert "Refused by the CRM" in page
    assert "phone is invalid" in page
    assert "When the cause is gone, replay it" in page
    assert "/jobs/new?action=replay&amp;id=1k00001abcdefghj" in page
    assert "/jobs/new?action=retry&amp;id=1k00002abcdefghj" in page
    assert "https://example.amocrm.ru/contacts/detail/700" in page
    assert PHONE not in page
    assert "+7916***4567" in page


async def test_a_viewer_sees_buttons_that_are_not_his_and_why(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1))
    page = await (await (await browse(desk.console, Role.VIEWER)).get("/calls")).text()
    assert re.search(r'<button type="button"[^>]* disabled title="Only operators', page)
    assert "/jobs/new" not in page.replace('action="/jobs/new"', "")
    assert 'name="id"' not in page


async def test_every_part_of_a_filter_reaches_the_ledger(browse: Browse) -> None:
    desk = a_desk()
    client = await browse(desk.console)
    query = (
        "state=dead&state=parked&account=main&source=office&direction=inbound&reason=expired&cause=c0ffee&q=4567"
        "&since=1790000000&until=1790003600"
    )
    assert (await client.get(f"/calls?{query}")).status == 200
    assert desk.ledger.asked == [
        CallFilter(
            states=("parked", "dead"), account="main", source="office", direction="inbound", reason="expired",
            cause="c0ffee", phone="4567", since=1_790_000_000.0, until=1_790_003_600.0,
        )
    ]  # fmt: skip


async def test_filters_survive_paging_and_actions(browse: Browse) -> None:
    desk = a_desk()
    desk.know(*(dead(number) for number in range(1, 61)))
    client = await browse(desk.console)
    page = await (await client.get("/calls?state=dead&account=main&since=24h&q=4567")).text()
    following = _link(page, r'<a class="button" rel="next" href="([^"]+)"')
    assert dict(_query(following)) == {"state": "dead", "account": "main", "since": "24h", "q": "4567", "after": "50"}
    assert (await client.get(following)).status == 200
    assert desk.ledger.asked[0].phone == desk.ledger.asked[1].phone == "4567"
    every = [dict(_query(link)) for link in re.findall(r'href="(/jobs/new\?action=replay&amp;state=[^"]+)"', page)]
    assert len(every) == 1
    assert every[0]["phone"] == "4567"
    assert every[0]["account"] == "main"
    assert float(every[0]["since"]) == pytest.approx(desk.ledger.asked[0].since)
    assert "q=4567" in every[0]["back"]


async def test_a_job_over_all_calls_names_a_state(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1), parked(2))
    page = await (await (await browse(desk.console)).get("/calls")).text()
    for action, state in (("replay", "dead"), ("retry", "parked")):
        assert f"/jobs/new?action={action}&amp;state={state}&amp;back=" in page


async def test_counts_say_how_far_they_were_counted_and_a_cut_search_says_so(browse: Browse) -> None:
    desk = a_desk(lag=40.0, behind=1200)
    desk.know(a_row(1))
    desk.ledger.more = desk.ledger.partial = True
    page = await (await (await browse(desk.console)).get("/calls")).text()
    assert "more than 10,000 calls" in page
    assert "The search was cut short" in page
    assert "The history is 40 s behind the queue: 1,200 changes" in page


async def test_without_the_ledger_the_queue_is_listed_and_the_page_says_so(browse: Browse) -> None:
    desk = a_desk()
    desk.ledger.away = True
    desk.queue.listed = [a_story(dead(1)).listed]
    answer = await (await browse(desk.console)).get("/calls?state=dead&q=4567")
    page = await answer.text()
    assert answer.status == 200
    assert "The ledger does not answer" in page
    assert "1k00001abcdefghj" in page
    assert [(each.state, each.phone) for each in desk.queue.asked] == [("dead", "4567")]


async def test_what_the_queue_cannot_search_it_does_not_list_unsearched(browse: Browse) -> None:
    desk = a_desk()
    desk.ledger.away = True
    desk.queue.listed = [a_story(dead(1)).listed]
    page = await (await (await browse(desk.console)).get("/calls?cause=c0ffee")).text()
    assert "cannot be searched" in page
    assert "1k00001abcdefghj" not in page


async def test_what_a_form_leaves_empty_is_not_in_the_address(browse: Browse) -> None:
    client = await browse(a_desk().console)
    for page in ("/calls", "/batches"):
        answer = await client.get(f"{page}?state=dead&q=&account=&answer=", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, f"{page}?state=dead")


async def test_an_empty_list_teaches(browse: Browse) -> None:
    client = await browse(a_desk().console)
    assert "Enter the address of a source in the PBX" in await (await client.get("/calls")).text()
    searched_for = await (await client.get("/calls?q=79990000000")).text()
    assert "No call matches" in searched_for
    assert "/calls?text=79990000000" in searched_for


async def test_a_cursor_that_is_none_leads_to_the_first_page(browse: Browse) -> None:
    answer = await (await browse(a_desk().console)).get("/calls?state=dead&after=zzz", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/calls?state=dead")


@pytest.mark.parametrize(
    "field", ["detail", "result", "ref", "phone", "provider", "uniq", "extension", "reason", "source"]
)
async def test_hostile_values_of_a_call_stay_text(browse: Browse, field: str) -> None:
    desk = a_desk()
    desk.know(dead(1, **{field: HOSTILE}))
    client = await browse(desk.console)
    for path in ("/calls", "/calls/1k00001abcdefghj", "/calls/1k00001abcdefghj/edit"):
        page = await (await client.get(path)).text()
        assert "<img" not in page
        assert "<script>" not in page


async def test_hostile_queries_stay_text_and_harmless(browse: Browse) -> None:
    desk = a_desk()
    client = await browse(desk.console)
    for name in ("state", "account", "source", "direction", "reason", "cause", "phone", "text", "since", "until", "q"):
        answer = await client.get("/calls", params={name: HOSTILE})
        page = await answer.text()
        assert answer.status == 200, name
        assert "<img" not in page
        assert "onerror=alert(1)>" not in page


@pytest.mark.parametrize(
    ("typed", "phone", "text"),
    [
        ("4567", "4567", None),
        ("+7 (916) 123-45-67", "9161234567", None),
        ("89161234567", "9161234567", None),
        ("45", None, "45"),
        ("1234567890123456", None, "1234567890123456"),
        ("1k00001abcdefghj", None, "1k00001abcdefghj"),
        ("1726839552.1041", None, "1726839552.1041"),
        ("", None, None),
    ],
)
def test_the_search_box_knows_a_number_from_an_id(typed: str, phone: str | None, text: str | None) -> None:
    assert searched(typed) == (phone, text)


def test_a_filter_written_as_a_query_is_read_as_the_same_filter() -> None:
    wanted = CallFilter(
        ("dead",), "main", "office", "outbound", "expired", "c0ffee", "4567", "x y", 1.79e9 + 0.5, 1.8e9
    )
    assert asked(MultiDict(pairs(wanted)), now=0.0).filter == wanted


def test_what_cannot_be_read_is_named() -> None:
    read = asked(MultiDict([("state", "dead"), ("state", "none"), ("since", "soon"), ("account", "../")]), now=0.0)
    assert set(read.wrong) == {"state", "since", "account"}
    assert read.filter == CallFilter(states=("dead",))


def _link(page: str, pattern: str) -> str:
    found = re.search(pattern, page)
    assert found
    return unescape(found[1])


def _query(link: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(unescape(link)).query)
