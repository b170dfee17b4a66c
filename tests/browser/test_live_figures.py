"""Figures that go on by themselves, stop when told to, and say when they are old."""

from __future__ import annotations

import signal

from playwright.async_api import expect

from browser.conftest import IN_ONE_LOOP, Day, Open
from browser.stage import OFFICE, a_call
from callbridge.ops.who import Role

pytestmark = IN_ONE_LOOP

LONG = 30_000.0
"""Milliseconds after which what should have come by itself is not coming."""

DELIVERED = "#live-figures a.figure:has-text('Delivered') .value"


async def test_figures_change_without_a_reload_and_stop_where_they_are_paused(own_day: Day, open_window: Open) -> None:
    mine, paused = await open_window(own_day, Role.VIEWER), await open_window(own_day, Role.VIEWER)
    for each in (mine, paused):
        await each.open("/")
        await expect(each.page.locator("[data-live-control]")).to_have_attribute("data-state", "live")
        await each.page.evaluate("window.__same = 1")
    before = await mine.text(DELIVERED)
    await paused.click("[data-pause]")
    await expect(paused.page.locator("[data-live-control]")).to_have_attribute("data-state", "paused")
    sent = [a_call(f"live-{number}", f"+7916{2_000_000 + number}") for number in range(7)]
    await own_day.stage.post("office", OFFICE, *sent)
    after = str(int(before) + 7)
    await expect(mine.page.locator(DELIVERED)).to_have_text(after, timeout=LONG)
    assert await paused.text(DELIVERED) == before
    assert await paused.page.locator("[data-pause]").get_attribute("aria-pressed") == "true"
    await paused.click("[data-pause]")
    await expect(paused.page.locator(DELIVERED)).to_have_text(after, timeout=LONG)
    for each in (mine, paused):
        assert await each.page.evaluate("window.__same") == 1, "nothing was loaded anew"


async def test_without_redis_every_page_says_so_and_comes_back_by_itself(own_day: Day, open_window: Open) -> None:
    mine, other = await open_window(own_day, Role.OPERATOR), await own_day.open(Role.OPERATOR)
    await mine.open("/")
    await expect(mine.page.locator("[data-live-control]")).to_have_attribute("data-state", "live")
    own_day.redis.process.send_signal(signal.SIGSTOP)
    try:
        banner = mine.page.locator("#live-banner")
        await expect(banner).to_contain_text("Redis", timeout=LONG)
        await expect(mine.page.locator("#live-figures .old")).to_have_count(1)
        grey = await mine.page.evaluate("getComputedStyle(document.querySelector('#live-figures .old')).filter")
        assert grey == "grayscale(1)"
        other.page.set_default_timeout(LONG)
        for path in ("/", "/tv", "/accounts", "/sources", "/dead", "/calls", "/parked", "/jobs"):
            status = await other.open(path)
            assert status in {200, 503}, (path, status)
            if path in {"/", "/tv", "/accounts", "/sources"}:
                assert "Redis" in await other.text("main"), path
    finally:
        own_day.redis.process.send_signal(signal.SIGCONT)
    await expect(banner).not_to_contain_text("Redis", timeout=LONG)
    await expect(mine.page.locator("#live-figures .old")).to_have_count(0)
    await other.page.context.close()


async def test_a_page_whose_console_ends_says_that_its_figures_are_old(own_day: Day, open_window: Open) -> None:
    """The connection is cut instead of the console: what a page sees is the same."""
    mine = await own_day.open(Role.VIEWER)
    await mine.page.clock.install()
    await mine.open("/")
    await expect(mine.page.locator("[data-live-control]")).to_have_attribute("data-state", "live")
    await mine.page.context.set_offline(True)
    await mine.page.route("**/live*", lambda route: route.abort())
    await mine.page.evaluate("dispatchEvent(new Event('pagehide'))")
    await mine.page.clock.fast_forward(20_000)
    await expect(mine.page.locator("[data-live-control]")).to_have_attribute("data-state", "late")
    await expect(mine.page.locator("#live-figures.stale")).to_have_count(1)
    await expect(mine.page.locator(".when-late")).to_be_visible()
    await mine.page.context.close()
