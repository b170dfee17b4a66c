"""The first page, on a good day and on bad ones: it says what is wrong and where that is mended, and never fails itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from callbridge.ops.dashboard.board import Setting, board_of
from callbridge.ops.dashboard.words import words_of
from callbridge.ops.overview import Overview
from callbridge.ops.who import Role
from conftest import Browse
from support.markup import PAYLOADS, links, shape
from support.overviews import NOTHING, NOW, a_bad_day, a_status, a_tally, an_overview
from support.pages import Overviews, Refusals, a_console

SETTING = Setting({"main": 7.0}, {"office": "https://pbx.example.com/hooks/office"}, {"office": "mango"})
AWAY = an_overview(store_problem="connection refused", stale_since=NOW - 95)
NEVER_SEEN = replace(
    an_overview(store_problem="connection refused", ledger_problem="no such host", speed=None, speed_1h=None, standing=None),
    status=None, chart=(),
)  # fmt: skip
NO_LEDGER = an_overview(ledger_problem="no such host", chart=(), speed=None, speed_1h=None, standing=None)
EMPTY = an_overview(a_status(a_tally(**NOTHING, accounts=(), sources=())), speed=None, speed_1h=None)
DAYS = {
    "good": an_overview(),
    "bad": a_bad_day(),
    "away": AWAY,
    "never": NEVER_SEEN,
    "no_ledger": NO_LEDGER,
    "empty": EMPTY,
}


async def page(
    browse: Browse, overview: Overview, path: str = "/", role: Role = Role.VIEWER, language: str = "en"
) -> str:
    client = await browse(a_console(overviews=Overviews(overview)), role)
    answer = await client.get(path, headers={"Accept-Language": language})
    assert answer.status == 200
    return await answer.text()


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("path", ["/", "/tv"])
@pytest.mark.parametrize("day", DAYS)
async def test_it_is_shown_whatever_the_day(browse: Browse, day: str, path: str, language: str) -> None:
    html = await page(browse, DAYS[day], path, language=language)
    assert f"{'tv' if path == '/tv' else 'banner'} {DAYS[day].verdict}" in html


async def test_a_good_day_is_one_green_sentence(browse: Browse) -> None:
    html = await page(browse, an_overview())
    assert "All is well: 35 calls on the way, 128,432 delivered." in text_of(html)
    assert 'class="banner ok"' in html
    assert "troubles" not in html


async def test_a_banned_account_is_said_first_with_what_to_do_and_where(browse: Browse) -> None:
    html = await page(browse, a_bad_day())
    banner = html[html.index('id="live-banner"') : html.index("data-live-control")]
    assert "Ask the CRM&#39;s support to lift the block" in banner
    assert 'href="/accounts#main"' in banner
    assert banner.index("stands still") < banner.index("could not be delivered")


async def test_what_is_old_says_so_and_since_when(browse: Browse) -> None:
    html = await page(browse, AWAY)
    assert "Redis is away" in text_of(html)
    assert "last figures that are known" in text_of(html)
    assert 'class="figures old"' in html
    assert "128,432" in html


async def test_what_is_not_known_is_no_number(browse: Browse) -> None:
    html = await page(browse, NEVER_SEEN)
    figures = html[html.index('id="live-figures"') : html.index('id="live-speed"')]
    assert re.findall(r'class="value">\s*([^<]*)<', figures) == ["—"] * 7


async def test_a_ledger_that_is_away_takes_no_figure_of_redis_along(browse: Browse) -> None:
    html = await page(browse, NO_LEDGER)
    assert "128,432" in html
    assert "The ledger is away" in text_of(html)
    assert "<data" not in html


async def test_where_nothing_has_come_it_teaches_how(browse: Browse) -> None:
    html = await page(browse, EMPTY)
    assert "https://pbx.example.com/hooks/office" in html
    assert "Send a sample call" in html


@pytest.mark.parametrize("day", DAYS)
async def test_every_figure_leads_to_its_list(browse: Browse, day: str) -> None:
    html = await page(browse, DAYS[day])
    assert len(re.findall(r'<a class="figure', html)) == 10
    assert not re.search(r'<div class="figure ', html)
    assert all(link.startswith(("/", "#")) for link in links(html))


async def test_the_dead_of_a_cause_are_one_link_away(browse: Browse) -> None:
    assert "/calls?state=dead&amp;account=main&amp;reason=refused_by_crm&amp;cause=a1b2c3d4e5f6" in await page(
        browse, a_bad_day()
    )


@pytest.mark.parametrize("path", ["/", "/tv"])
async def test_what_others_wrote_changes_no_page(browse: Browse, path: str) -> None:
    """In each place at once where outside text can be; and, for stores that others filled, in names."""
    plain = shape(await page(browse, a_bad_day("text", "name"), path))
    for payload in PAYLOADS:
        for overview in (a_bad_day(payload, "name", payload), a_bad_day("text", payload)):
            html = await page(browse, overview, path)
            assert shape(html) == plain, payload
            assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links(html))


async def test_no_phone_of_an_error_is_shown(browse: Browse) -> None:
    html = await page(browse, a_bad_day("no contact for +79161234567"))
    assert "9161234567" not in html
    assert "4567" in html


async def test_refused_webhooks_are_counted_for_their_source(browse: Browse) -> None:
    refusals = Refusals({"office": {"signature": 110, "stale": 2}, "unknown": {"unknown": 9}})
    client = await browse(a_console(overviews=Overviews(an_overview()), refusals=refusals))
    html = await (await client.get("/")).text()
    assert re.search(r'href="/sources#office"[^>]*>112<', html)
    assert "to no source of ours" in html


async def test_refusals_that_cannot_be_read_keep_nobody_from_the_page(browse: Browse) -> None:
    refusals = Refusals()
    refusals.away = True
    client = await browse(a_console(overviews=Overviews(an_overview()), refusals=refusals))
    assert (await client.get("/")).status == 200


async def test_a_viewer_sees_no_page_that_is_not_for_him(browse: Browse) -> None:
    assert 'href="/access"' not in await page(browse, an_overview(), role=Role.OPERATOR)
    assert 'href="/access"' in await page(browse, an_overview(), role=Role.ADMIN)


def test_what_waits_too_long_has_a_colour_before_there_are_many() -> None:
    words = words_of("en")
    for seconds, tone in ((30.0, ""), (90.0, "warning"), (900.0, "problem")):
        account = replace(a_tally().accounts[0], oldest_waiting=seconds)
        board = board_of(an_overview(a_status(a_tally(accounts=(account,)))), SETTING, {}, words)
        assert {figure.code: figure.tone for figure in board.figures}["oldest"] == tone


def test_age_stands_before_depth() -> None:
    codes = [figure.code for figure in board_of(an_overview(), SETTING, {}, words_of("en")).figures]
    assert codes == ["received", "delivered", "oldest", "waiting", "uncertain", "parked", "dead"]


def test_accounts_that_stand_still_come_first() -> None:
    board = board_of(a_bad_day(), SETTING, {}, words_of("en"))
    assert [line.standing for line in board.accounts] == ["paused", "open", "by_hand", "slowed"]


def test_an_account_that_had_no_call_yet_is_listed() -> None:
    board = board_of(EMPTY, SETTING, {}, words_of("en"))
    assert [(line.tally.account, line.standing) for line in board.accounts] == [("main", "going")]


def test_the_chart_is_the_hour_in_numbers() -> None:
    overview = an_overview()
    drawn = json.loads(board_of(overview, SETTING, {}, words_of("ru")).chart)
    assert drawn["at"] == [point.at for point in overview.chart]
    assert [series["label"] for series in drawn["series"]] == [
        "получено",
        "доставлено",
        "без контакта",
        "не доставлено",
    ]
    assert drawn["series"][1]["values"] == [28] * 60
