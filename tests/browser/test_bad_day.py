"""The bad day in clicks: from the first screen to knowing what is wrong, and to having it put right.

Everything on it happened at once. Each test fixes one thing the way an operator would who has never seen the manual, and
counts how often he clicks.
"""

from __future__ import annotations

from playwright.async_api import expect

from browser.conftest import IN_ONE_LOOP, Day, Open
from browser.stage import BRANCH, FORGED, HELD, POISON, UNKNOWN, a_call
from callbridge.ledger.views import CallFilter
from callbridge.ops.who import Role

pytestmark = IN_ONE_LOOP


async def how_many(day: Day, state: str, account: str) -> int:
    return (await day.calls.count(CallFilter(states=(state,), account=account))).calls  # type: ignore[arg-type] # a state by its name


async def test_the_first_screen_names_all_that_is_wrong(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day)
    await mine.open("/")
    banner = await mine.text("#live-banner")
    assert "north" in banner and f"{HELD} calls wait" in banner.replace("\xa0", " ")
    assert "could not be delivered" in banner
    # Refusals are looked at every few seconds: the page that is open hears of them by itself.
    await expect(mine.page.locator("#live-banner")).to_contain_text("source branch are turned away", timeout=30_000)
    assert await mine.page.locator("#live-figures a.figure", has_text="No match").inner_text() != ""
    branch = mine.page.locator("#live-sources tr").filter(has_text="branch")
    assert str(FORGED) in await branch.inner_text()


async def test_a_banned_account_goes_on_with_two_clicks(own_day: Day, open_window: Open) -> None:
    assert await how_many(own_day, "queued", "north") == HELD
    for number in range(HELD):
        own_day.stage.banned.add_contact(f"+7812{3_000_000 + number}")
    mine = await open_window(own_day)
    await mine.open("/")
    stands = mine.page.locator("#live-banner :is(.todo, li, .sentence)").filter(has=mine.page.locator("a.button"))
    await mine.click(stands.locator("a[href*='north'], a[href*='accounts']").first)
    account = mine.page.locator("article#north")
    await mine.sees(account)
    assert "403" in await account.inner_text() or "banned" in (await account.inner_text()).lower()
    own_day.stage.banned.disarm("ban")  # the vendor's support has answered
    await mine.click(mine.button("Resume", account))
    await mine.sees(".flash")
    await own_day.stage.settled()
    assert await how_many(own_day, "delivered", "north") == HELD
    assert mine.clicks == 2


async def test_the_culprit_of_a_refused_batch_is_found_and_replayed_with_four_clicks(
    own_day: Day, open_window: Open
) -> None:
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open("/")
    groups = mine.page.locator("#live-groups tbody tr").filter(has_text="Refused by the CRM")
    await mine.click(groups.locator("a.button"))
    group = mine.page.locator("article.group").filter(has_text="Refused by the CRM")
    await mine.sees(group)
    assert mine.clicks == 1

    aside = await open_window(own_day, Role.OPERATOR)  # whoever wants to know more looks at how it was found
    await aside.open(mine.path)
    await aside.click(aside.page.locator("article.group").filter(has_text="Refused by the CRM").locator("[data-open]"))
    await aside.click(aside.page.locator("tbody [data-open]").first)
    await aside.click(aside.page.get_by_role("link", name="The whole request"))
    await aside.sees(".tree")
    assert "halves" in (await aside.text("#tree-title")).lower() or await aside.page.locator(".tree li").count() > 2
    assert f"***{POISON}" in await aside.text() and aside.clicks == 3

    own_day.stage.crm.disarm("validation-unnamed")
    await mine.click(mine.button("Replay this call", group))
    await mine.sees("dialog[open] form")
    await mine.click("dialog[open] p.buttons button")
    await mine.page.locator("#job .chip.ok").wait_for()
    await own_day.stage.settled()
    [poisoned] = [row for row in (await own_day.calls.calls(CallFilter(text="poisoned"))).rows if row.ref == "poisoned"]
    assert poisoned.state == "delivered"
    assert mine.clicks <= 4


async def test_a_hundred_unknown_numbers_go_to_their_new_contacts_with_three_clicks(
    own_day: Day, open_window: Open
) -> None:
    for number in range(UNKNOWN // 2):
        own_day.stage.crm.add_contact(f"+7988{5_000_000 + number}")
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open("/")
    await mine.click(mine.page.locator("#live-figures a.figure", has_text="No match"))
    await mine.sees(mine.button(f"Retry all {UNKNOWN}"))
    assert "No contact has this number" in await mine.text()
    await mine.click(mine.button(f"Retry all {UNKNOWN}"))
    await mine.sees("dialog[open] form")
    await mine.click("dialog[open] p.buttons button")
    await mine.page.locator("#job .chip.ok").wait_for()
    await own_day.stage.settled()
    assert await how_many(own_day, "parked", "main") == 0
    strangers = await own_day.calls.count(CallFilter(states=("delivered",), phone="79885000007"))
    assert strangers.calls == 2
    assert mine.clicks == 3


async def test_a_rotated_secret_is_known_with_one_click(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day, Role.VIEWER)
    await mine.open("/")
    await mine.click(
        mine.page.locator("#live-sources tr").filter(has_text="branch").get_by_role("link", name=str(FORGED))
    )
    source = mine.page.locator("article#branch")
    await mine.sees(source)
    told = await source.inner_text()
    assert f"Turned away: {FORGED} requests" in told
    assert "The signature does not fit" in told and "PREVIOUS_SECRET" in told, "open, and says what to do"
    assert mine.clicks == 1
    assert await own_day.stage.post("branch", BRANCH, a_call("as-before", "+79162000003")) == [200]
    await own_day.stage.settled()


async def test_all_is_well_once_all_is_put_right(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open("/dead")
    for _ in range(await mine.page.locator("article.group").count()):
        acknowledge = mine.button("Acknowledge")
        if await acknowledge.count():
            await mine.click(acknowledge)
            await mine.sees(".flash")
    await mine.open("/")
    await mine.page.locator("#live-banner.ok").wait_for()
    assert "All is well" in await mine.text("#live-banner")
