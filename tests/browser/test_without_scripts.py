"""Without JavaScript every page reads, and what is wrong can be put right by plain forms."""

from __future__ import annotations

import pytest

from browser.conftest import IN_ONE_LOOP, Day, Open
from callbridge.console import ROUTES
from callbridge.ledger.views import CallFilter
from callbridge.ops.who import Role

pytestmark = IN_ONE_LOOP

PLAIN = sorted(
    {
        route.path
        for route in ROUTES
        if route.method == "GET" and route.kind == "page" and route.role and "{" not in route.path
        and route.path not in {"/jobs/new", "/parked/job", "/api/", "/api/docs"}
    }
)  # fmt: skip


@pytest.mark.parametrize("path", PLAIN)
async def test_a_page_reads(day: Day, open_window: Open, path: str) -> None:
    mine = await open_window(day, scripts=False)
    assert await mine.open(path) == 200
    assert await mine.page.locator("h1").count() == 1
    assert await mine.page.locator(".needs-js:visible").count() == 0, "a button that does nothing is not shown"
    assert len(await mine.text()) > 60


async def test_the_first_screen_says_the_same_as_with_scripts(day: Day, open_window: Open) -> None:
    told = []
    for scripts in (True, False):
        mine = await open_window(day, Role.VIEWER, scripts=scripts)
        await mine.open("/")
        told.append([await mine.text(".sentence"), await mine.page.locator("#live-figures .value").all_inner_texts()])
        told[-1][1].pop(2)  # how long the oldest has waited goes on
    assert told[0] == told[1]
    mine = await open_window(day, Role.VIEWER, scripts=False)
    await mine.open("/")
    await mine.click("#chart-table summary")
    assert await mine.page.locator("#chart-table tbody tr").count() >= 1, "the chart is a table, too"


async def test_a_call_is_replayed_by_plain_forms(own_day: Day, open_window: Open) -> None:
    own_day.stage.crm.disarm("validation-unnamed")
    mine = await open_window(own_day, Role.OPERATOR, scripts=False)
    await mine.open("/dead")
    await mine.click(mine.button("Replay this call"))
    await mine.page.wait_for_url("**/jobs/new?**")
    await mine.page.fill("input[name=reason]", "they mended it")
    await mine.click("#confirm p.buttons button")
    await mine.page.wait_for_url("**/jobs/*")
    await mine.page.locator("#job .chip.ok").wait_for()  # the page asks again by itself
    await own_day.stage.settled()
    [call] = [row for row in (await own_day.calls.calls(CallFilter(text="poisoned"))).rows if row.ref == "poisoned"]
    assert call.state == "delivered"


async def test_a_cause_is_marked_and_a_list_is_filtered_by_plain_forms(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day, Role.OPERATOR, scripts=False)
    await mine.open("/dead")
    await mine.click(mine.button("Acknowledge"))
    await mine.sees(".flash")
    await mine.open("/calls")
    await mine.page.select_option("select[name=account]", "north")
    await mine.click("#filters button.button")
    await mine.page.wait_for_url("**account=north**")
    assert await mine.page.locator("tbody tr").count() == 12
    await mine.page.locator("tbody [data-select]").first.check()
