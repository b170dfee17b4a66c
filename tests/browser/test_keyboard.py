"""Without a mouse: every key that the help names, and every control in order, with the focus in sight."""

from __future__ import annotations

from typing import Final

import pytest

from browser.conftest import IN_ONE_LOOP, Day, Open
from browser.window import Window
from callbridge.ops.who import Role

pytestmark = IN_ONE_LOOP

CONTROLS: Final = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
REACHABLE: Final = """(wanted) => [...document.querySelectorAll(wanted)]
  .filter((each) => !each.disabled && each.checkVisibility({ visibilityProperty: true }) && each.tabIndex >= 0)
  .map((each, number) => { each.dataset.order = number; return number; }).length"""
FOCUSED: Final = """() => {
  const at = document.activeElement;
  if (!at || at === document.body || at === document.documentElement) return null;
  const shown = [at, at.closest("label")].some((each) => {
    const style = each && getComputedStyle(each);
    return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  });
  return [Number(at.dataset.order ?? -1), shown, at.outerHTML.slice(0, 120)];
}"""


async def is_open(mine: Window, dialog: str) -> bool:
    return bool(await mine.page.evaluate("(id) => document.querySelector(id).open", dialog))


async def test_the_keys_move_tick_open_and_retry(day: Day, open_window: Open) -> None:
    mine = await open_window(day, Role.OPERATOR)
    keys = mine.page.keyboard
    await mine.open("/calls?state=dead")
    await keys.press("/")
    assert await mine.page.evaluate("document.activeElement.matches('[data-search]')")
    await keys.type("jkxr?")
    assert await mine.page.input_value("[data-search]") == "jkxr?", "whoever types only types"
    await mine.page.locator("[data-search]").blur()

    await keys.press("j")
    await keys.press("j")
    rows = mine.page.locator("tr[data-row]")
    assert "here" in str(await rows.nth(1).get_attribute("class"))
    await keys.press("k")
    assert "here" in str(await rows.nth(0).get_attribute("class"))
    await keys.press("x")
    assert await rows.nth(0).locator("[data-select]").is_checked()
    assert await mine.text("[data-selected]") == "1"
    await keys.press("x")
    assert not await rows.nth(0).locator("[data-select]").is_checked()

    await keys.press("?")
    assert await is_open(mine, "#keys")
    await keys.press("Escape")
    assert not await is_open(mine, "#keys")

    retried = mine.page.locator("tr[data-row]").filter(has=mine.page.locator("[data-retry][data-ask]")).first
    while "here" not in str(await retried.get_attribute("class")):
        await keys.press("j")
    await keys.press("r")
    await mine.sees("dialog[open] #confirm form")
    await keys.press("Escape")
    assert not await is_open(mine, "#ask")

    wanted = await rows.nth(0).locator("[data-open]").get_attribute("href")
    for _ in range(3):
        await keys.press("k")
    await keys.press("Enter")
    await mine.page.wait_for_url(f"**{wanted}")
    await keys.press("g")
    await keys.press("d")
    await mine.page.wait_for_url("**/dead")


@pytest.mark.parametrize(
    "path", ["/", "/dead", "/parked?account=north", "/accounts", "/sources", "/access", "/audit", "/login"]
)
async def test_tab_reaches_every_control_in_order_and_shows_where_it_is(day: Day, open_window: Open, path: str) -> None:
    mine = await open_window(day)
    await mine.open(path)
    live = mine.page.locator("[data-pause]")
    if await live.count():
        await live.click()  # what is renewed meanwhile would be counted anew
        await mine.page.evaluate("document.activeElement.blur()")
    await mine.page.evaluate("scrollTo(0, 0)")
    count = int(await mine.page.evaluate(REACHABLE, CONTROLS))
    met: list[int] = []
    for _ in range(count + 5):
        await mine.page.keyboard.press("Tab")
        found = await mine.page.evaluate(FOCUSED)
        if found is None:  # behind the last control comes the browser's own, then the first one
            continue
        order, shown, html = found
        assert shown, f"nothing shows that the focus is on {html}"
        if order >= 0:
            met.append(order)
        if len(set(met)) == count:
            break
    # A select or a date is one control with one stop; after a click the browser goes on from where that was.
    assert set(met) == set(range(count))
    turn = met.index(0)
    assert met[turn:] + met[:turn] == sorted(met), "in the order in which it is read"
