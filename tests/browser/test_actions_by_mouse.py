"""What a person does with the mouse, to the end: what the button said is what happened, in the CRM and in the audit."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from browser.conftest import IN_ONE_LOOP, PEOPLE, Day, Open
from browser.stage import OFFICE, a_call
from browser.window import Window, log_in
from callbridge.ledger.views import CallFilter, CallRow
from callbridge.ops.who import Role

pytestmark = IN_ONE_LOOP

MANY = 105
REFUSED = "4343"
"""How the numbers end of which the CRM says that they are wrong."""


async def rows(day: Day, state: str, **wanted: str) -> tuple[CallRow, ...]:
    return (await day.calls.calls(CallFilter(states=(state,), **wanted), limit=200)).rows  # type: ignore[arg-type] # a state by its name


async def states(day: Day, ids: list[str]) -> Counter[str]:
    await day.stage.settled()
    told = [await day.calls.call(call_id) for call_id in ids]
    return Counter(each.row.state for each in told if each)


async def did(day: Day, action: str, actor: str) -> int:
    """How often it stands in the audit."""
    return len((await day.audit.entries(actor=actor, action=action)).rows)


async def noted(day: Day, ids: list[str]) -> Counter[int]:
    """How many calls there are with so many notes each."""
    written = Counter(note.uniq for note in day.stage.crm.notes)
    told = [await day.calls.call(call_id) for call_id in ids]
    return Counter(written[each.row.uniq] for each in told if each)


def number_in(label: str) -> int:
    [found] = re.findall(r"\d+", label.replace("\xa0", ""))
    return int(found)


async def confirm(mine: Window, typed: str | None = None, reason: str | None = None) -> int:
    """The dialog to its end; the number on its button. A job is waited for."""
    form = mine.page.locator("dialog[open] #confirm form, main #confirm form").last
    await mine.sees(form)
    if reason is not None:
        await form.locator("input[name=reason]").fill(reason)
    if typed is not None:
        await form.locator("input[name=typed]").fill(typed)
    go = form.locator("p.buttons button")
    label = await go.inner_text()
    await mine.click(go)
    await mine.page.locator("#job .chip.ok").wait_for()
    moved = await mine.page.locator("#job dl.facts dd strong").first.inner_text()
    assert number_in(moved) == number_in(label)
    return number_in(label)


async def test_a_cause_is_acknowledged_noted_and_marked_as_fixed(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open("/dead")
    group = mine.page.locator("article.group").first
    await mine.click(mine.button("Acknowledge", group))
    await mine.sees(".flash")
    await mine.sees(group.locator(".chip.warning"))
    await mine.click(group.locator("details.aside summary"))
    await group.locator("details input[maxlength]").fill("asked the people of the CRM")
    await mine.click(group.locator("details.aside button"))
    await mine.sees(group.locator("p.note"))
    await mine.click(mine.button("Mark as fixed", group))
    await mine.sees(group.locator(".chip.ok"))
    [fixed] = [each for each in await own_day.calls.groups() if each.status == "fixed"]
    assert (fixed.changed_by, fixed.note) == (PEOPLE[Role.OPERATOR], "asked the people of the CRM")
    assert await did(own_day, "group.marked", PEOPLE[Role.OPERATOR]) == 3


async def test_a_cause_of_a_hundred_calls_is_replayed_once_its_number_was_typed(
    own_day: Day, open_window: Open
) -> None:
    crm = own_day.stage.crm
    crm.arm("validation", REFUSED)
    phones = [f"+7{9160000 + number}{REFUSED}"[:13] for number in range(MANY)]
    for phone in phones:
        crm.add_contact(phone)
    sent = [a_call(f"refused-{number}", phone) for number, phone in enumerate(phones)]
    assert set(await own_day.stage.post("office", OFFICE, *sent)) <= {200, 202}
    await own_day.stage.settled()
    ids = [row.id for row in await rows(own_day, "dead") if row.ref and row.ref.startswith("refused-")]
    assert len(ids) == MANY
    crm.disarm("validation")
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open("/dead")
    group = mine.page.locator("article.group").filter(has_text=f"Replay these {MANY}")
    await mine.click(mine.button(f"Replay these {MANY}", group))
    form = mine.page.locator("dialog[open] form.stack")
    await mine.sees(form)
    await form.locator("input[name=typed]").fill("104")
    await form.locator("p.buttons button").click()
    await mine.sees("main #confirm .box")  # the wrong number: it says so, and nothing moved
    assert (await states(own_day, ids)) == {"dead": MANY}
    assert await confirm(mine, str(MANY), "they corrected the numbers") == MANY
    assert await states(own_day, ids) == {"delivered": MANY}
    assert await noted(own_day, ids) == {1: MANY}
    started = (await own_day.audit.entries(action="job.started")).rows[0]
    assert (started.actor, started.count, started.reason) == ("oleg", MANY, "they corrected the numbers")


async def test_a_call_is_discarded(own_day: Day, open_window: Open) -> None:
    [poisoned] = [row for row in await rows(own_day, "dead") if row.ref == "poisoned"]
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open(f"/calls/{poisoned.id}")
    await mine.click(mine.button("Discard"))
    assert await confirm(mine, reason="a wrong number") == 1
    assert await states(own_day, [poisoned.id]) == {"ignored": 1}


async def test_what_is_ticked_is_what_is_acted_on(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open("/calls?state=parked")
    boxes = mine.page.locator("tbody [data-select]")
    ids = [str(await boxes.nth(number).get_attribute("value")) for number in range(3)]
    for number in range(3):
        await boxes.nth(number).check()
    assert await mine.text("[data-selected]") == "3"
    await mine.click(mine.page.locator("#bulk button[value=give_up]"))
    assert await confirm(mine) == 3
    assert await states(own_day, ids) == {"unmatched": 3}


async def test_an_account_is_paused_and_goes_on(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day)
    await mine.open("/accounts")
    account = mine.page.locator("#main-account, article#main")
    await mine.click(mine.button("Pause", account))
    form = mine.page.locator("dialog[open] form")
    await form.locator("input[name=reason]").fill("they move the CRM")
    await mine.click(form.locator("p.buttons button"))
    await mine.sees(".flash")
    await mine.sees(account.get_by_text("they move the CRM"))
    phone = "+79162000000"
    await own_day.stage.post("office", OFFICE, a_call("while-paused", phone))
    [waiting] = await _told(own_day, "while-paused", "queued")
    await mine.click(mine.button("Resume", account))
    await mine.sees(".flash")
    assert await states(own_day, [waiting]) == {"delivered": 1}
    assert await noted(own_day, [waiting]) == {1: 1}
    assert [await did(own_day, f"account.{what}", "admin") for what in ("paused", "resumed")] == [1, 1]


async def _told(day: Day, ref: str, state: str) -> list[str]:
    """The calls of that id in the PBX, once the ledger has them in that state."""
    page = await day.open()
    try:
        for _ in range(100):
            found = [row.id for row in await rows(day, state) if row.ref == ref]
            if found:
                return found
            await page.page.wait_for_timeout(50)
    finally:
        await page.page.context.close()
    raise AssertionError(f"no call {ref} is {state}")


async def test_a_number_without_a_contact_is_retried_given_up_or_made_a_lead(own_day: Day, open_window: Open) -> None:
    mine, crm = await open_window(own_day, Role.OPERATOR), own_day.stage.crm
    for label, becomes in (("Retry now", "delivered"), ("Give up", "unmatched"), ("Incoming lead", "unmatched")):
        await mine.open("/parked")
        row = mine.page.locator("tbody tr").first
        newest = str(await row.locator("[data-select]").get_attribute("value"))
        told = await own_day.calls.call(newest)
        assert told is not None and told.row.phone is not None
        ids = [each.id for each in await rows(own_day, "parked", phone=told.row.phone[-10:])]
        if becomes == "delivered":
            crm.add_contact(told.row.phone)
        leads = [seen for seen in crm.requests if "unsorted" in seen.path]
        await mine.click(mine.button(label, row))
        assert await confirm(mine) == len(ids) == 2
        found = await states(own_day, ids)
        if label == "Incoming lead":
            assert len([seen for seen in crm.requests if "unsorted" in seen.path]) > len(leads)
            assert "parked" not in found
        else:
            assert found == {becomes: 2}


async def test_a_number_that_is_revealed_stands_in_the_audit(own_day: Day, open_window: Open) -> None:
    [call, *_] = await rows(own_day, "parked")
    assert call.phone is not None
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open(f"/calls/{call.id}")
    assert call.phone not in await mine.page.content()
    await mine.click(mine.button("Show the number"))
    await mine.sees(mine.page.get_by_text(call.phone).first)
    assert await did(own_day, "call.revealed", "oleg") == 1
    await mine.open("/parked")
    await mine.click(mine.button("Create the contact", mine.page.locator("tbody tr").first))
    await mine.sees(".big-code")
    assert await did(own_day, "call.revealed", "oleg") == 2


async def test_a_call_that_could_not_be_read_is_corrected_and_sent(own_day: Day, open_window: Open) -> None:
    [unread, *_] = [row for row in await rows(own_day, "dead") if row.direction is None]
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open(f"/calls/{unread.id}")
    await mine.click(mine.button("Edit and replay"))
    await mine.sees("form.stack")
    before = await mine.text(".grid.later section:nth-of-type(2)")
    await mine.page.select_option("select[name=direction]", "inbound")
    await mine.page.select_option("select[name=status]", index=1)
    for name, value in {"phone": "+79162000001", "duration": "61", "started_at": "2026-07-01T12:00:00"}.items():
        await mine.page.fill(f"input[name={name}]", value)
    await mine.page.fill("input[name=reason]", "told by telephone")
    await mine.click("form.stack p.buttons button")
    await mine.sees(".flash")
    assert await states(own_day, [unread.id]) == {"delivered": 1}
    assert await did(own_day, "call.edited", "oleg") == 1
    await mine.open(f"/calls/{unread.id}")
    assert before.splitlines()[-1] in await mine.text("main"), "what the PBX sent is kept"


async def test_a_source_is_tested(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day, Role.OPERATOR)
    await mine.open("/sources")
    await mine.click(mine.button("Test", mine.page.locator("article#office")))
    await mine.sees("p.flash")
    assert await mine.page.locator("ol.steps-list li").count() >= 2
    assert await did(own_day, "source.tested", "oleg") == 1


async def test_a_token_lets_in_until_it_is_revoked(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day)
    await mine.open("/access")
    form = mine.page.locator("form[action='/access/tokens']")
    await form.locator("input[name=name]").fill("the wall")
    await mine.click(form.locator("button"))
    secret = await mine.text(".big-code code")

    async def status() -> int:
        asked = await mine.page.request.get(f"{mine.base}/api/v1/status", headers={"Authorization": f"Bearer {secret}"})
        return asked.status

    assert await status() == 200
    await mine.open("/access")
    assert secret not in await mine.page.content()
    await mine.click(mine.page.locator("form[action='/access/tokens/revoke'] button").first)
    await mine.sees(".flash")
    assert await status() == 401


async def test_an_operator_is_added_and_disabled_which_ends_his_session(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day)
    await mine.open("/access")
    form = mine.page.locator("form[action='/access/operators']")
    await form.locator("input[name=name]").fill("nina")
    await form.locator("select[name=role]").select_option("viewer")
    await form.locator("input[name=password]").fill("nina feeds nine sparrows")
    await mine.click(form.locator("button"))
    await mine.sees(".flash")
    hers = await open_window(own_day, None)
    await hers.page.context.add_cookies(
        (await log_in(own_day.browser, own_day.stage.url, "nina", "nina feeds nine sparrows"))["cookies"]
    )
    assert await hers.open("/calls") == 200 and hers.path == "/calls"
    row = mine.page.locator("#operators tr").filter(has_text="nina")
    await mine.click(row.locator("summary"))
    await mine.click(mine.button("Disable", row))
    await mine.sees(row.locator(".chip.quiet"))
    await hers.open("/calls")
    assert hers.path.startswith("/login")


async def test_whoever_logs_out_is_out(own_day: Day, open_window: Open) -> None:
    mine = await open_window(own_day, None)
    await mine.page.context.add_cookies(
        (await log_in(own_day.browser, own_day.stage.url, PEOPLE[Role.VIEWER], "vera counts forty lanterns"))["cookies"]
    )
    await mine.open("/")
    cookies = await mine.page.context.cookies()
    await mine.click(mine.page.get_by_role("button", name="Log out"))
    await mine.sees("input[type=password]")
    await mine.page.context.add_cookies(cookies)
    await mine.open("/")
    assert mine.path.startswith("/login"), "the old cookie opens nothing"


@pytest.mark.parametrize("path", ["/dead", "/parked", "/accounts", "/sources", "/calls?state=dead"])
async def test_a_viewer_sees_the_buttons_and_why_they_are_not_his(own_day: Day, open_window: Open, path: str) -> None:
    mine = await open_window(own_day, Role.VIEWER)
    await mine.open(path)
    live = await mine.page.locator("main form[method=post] button:not(:disabled), main [data-ask]").count()
    assert live == 0
    assert "role" in await mine.text() or "operators" in await mine.text()


async def test_two_who_replay_at_the_same_moment_send_each_call_once(own_day: Day, open_window: Open) -> None:
    crm, count = own_day.stage.crm, 30
    crm.arm("validation", REFUSED)
    phones = [f"+7927{100 + number}{REFUSED}" for number in range(count)]
    for phone in phones:
        crm.add_contact(phone)
    await own_day.stage.post("office", OFFICE, *(a_call(f"both-{number}", each) for number, each in enumerate(phones)))
    await own_day.stage.settled()
    ids = [row.id for row in await rows(own_day, "dead") if row.ref and row.ref.startswith("both-")]
    crm.disarm("validation")
    both = [await open_window(own_day, role) for role in (Role.OPERATOR, Role.ADMIN)]
    for each in both:
        await each.open("/jobs/new?action=replay&state=dead&account=main&reason=refused_by_crm")
    assert len({await each.page.locator("input[name=job]").get_attribute("value") for each in both}) == 2
    await asyncio.gather(*(each.click("#confirm p.buttons button") for each in both))
    for each in both:
        await each.sees("#job .chip.ok, #confirm .box")
    assert await states(own_day, ids) == {"delivered": count}
    assert await noted(own_day, ids) == {1: count}
    moved = [
        await each.page.locator("#job dl.facts dd strong").first.inner_text() for each in both if "/jobs/" in each.path
    ]
    assert sum(map(number_in, moved)) == count
