"""What a webhook or the CRM says is text and nothing else, wherever it is shown.

Forty values that have broken pages of others stand in every field that comes from outside. All pages are visited with them:
nothing of them runs, and nothing of them becomes an element, an attribute or an address.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import orjson
import pytest_asyncio

from browser.conftest import IN_ONE_LOOP, Day, Open
from browser.stage import NEW_SECRET, OFFICE, a_call
from browser.window import Window
from callbridge.ledger.views import CallFilter, CallRow
from callbridge.ops.who import Role
from callbridge.sim.answers import PROBLEM, Answer
from callbridge.sim.crm import CrmSim
from callbridge.sim.desk import Decision
from callbridge.sim.replies import Whole
from callbridge.sim.speakers import speaker_named
from callbridge.sim.speakers.base import Credentials, Told

pytestmark = IN_ONE_LOOP

P: Final = "window.__pwn=1"
PAYLOADS: Final = (
    f"<script>{P}</script>",
    f"<ScRiPt>{P}</sCrIpT>",
    f"</script><script>{P}</script>",
    f"<script src=data:text/javascript,{P}></script>",
    f"<img src=x onerror={P}>",
    f"<img src=x onerror='{P}'//",
    f'"><img src=x onerror={P}>',
    f"'><img src=x onerror={P}>",
    f"`><img src=x onerror={P}>",
    f"<svg onload={P}>",
    f"<svg/onload={P}//",
    f"<svg><script>{P}</script></svg>",
    f"<svg><animate onbegin={P} attributeName=x dur=1s>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={P}>",
    f"<iframe src=javascript:{P}></iframe>",
    f"<iframe srcdoc='<script>parent.{P[7:]}</script>'></iframe>",
    f"<object data=javascript:{P}></object>",
    f"<embed src=javascript:{P}>",
    f"<body onload={P}>",
    f"<details open ontoggle={P}>",
    f"<input autofocus onfocus={P}>",
    f"<video><source onerror={P}></video>",
    f"<marquee onstart={P}>",
    f"<a href=javascript:{P}>here</a>",
    f"<form action=javascript:{P}><button>go</button></form>",
    f"<meta http-equiv=refresh content='0;url=javascript:{P}'>",
    f"<base href=//elsewhere.example/><img src=x onerror={P}>",
    f"<link rel=stylesheet href=data:,*{{x:1}} onload={P}>",
    f"<template><img src=x onerror={P}></template>",
    f"<!--><img src=x onerror={P}>-->",
    f"]]><img src=x onerror={P}>",
    f'" autofocus onfocus={P} x="',
    f"' autofocus onfocus={P} x='",
    f"javascript:{P}",
    f"java\tscript:{P}",
    f"data:text/html,<script>{P}</script>",
    f"{{{{constructor.constructor('{P}')()}}}}",
    f"{{% import 'os' as x %}}${{{P}}}#{{{P}}}",
    f"&lt;img src=x onerror={P}&gt;&#60;script&#62;{P}",
    f"\u2028\u202e<img src=x hx-on:load='{P}' hx-get=/logout hx-trigger=load>\u0000\ufeff",
)
STRANGE: Final = """() => {
  const found = [], tell = (each) => found.push(each.outerHTML.slice(0, 120));
  const ours = (address) => String(address).startsWith(location.origin + "/");
  const never = "iframe, object, embed, img, video, audio, source, math, marquee, base, template, style, animate, applet";
  if (window.__pwn !== undefined) found.push("it ran");
  document.querySelectorAll(never).forEach(tell);
  for (const each of document.querySelectorAll("*")) {
    for (const { name, value } of each.attributes) {
      const leads = /^(href|src|action|formaction|data|xlink:href|hx-get)$/i.test(name);
      if (/^on|^hx-on|^srcdoc|^background/i.test(name)) tell(each);
      if (name === "style" && !each.closest(".uplot")) tell(each);
      if (leads && /^\\s*(javascript|data|vbscript):/i.test(value)) tell(each);
      if (/^hx-(get|post)$/.test(name) && !each.matches("[data-ask], #job")) tell(each);
    }
    if (each.localName === "script" && (!ours(each.src) || each.textContent)) tell(each);
    if (each.localName === "meta" && each.httpEquiv) tell(each);
    if (each.localName === "link" && !ours(each.href)) tell(each);
    if (each.localName === "svg" && !each.classList.contains("icon")) tell(each);
  }
  return found;
}"""


def webhooks() -> Iterator[bytes]:
    for number, bad in enumerate(PAYLOADS):
        phone = f"+7917{7_000_000 + number}"
        yield a_call(bad, phone, extension=bad[:254], result=bad, link=f"https://records.example/{quote(bad)}?{bad}")
        yield a_call(f"parked {bad}", f"+7919{7_000_000 + number}", extension=bad[:254], result=bad)
        yield a_call(f"phone-{number}", bad)
        yield a_call(f"link-{number}", phone, link=bad, direction=bad, status=bad)
        yield orjson.dumps({"event": bad, "id": bad, "link": f"https://x.example/{bad}"})
        yield f"{bad} is no JSON".encode()


def answer_like_an_enemy(crm: CrmSim) -> None:
    """The CRM refuses each known call by name, in words of its own; what it says of the whole is hostile, too."""
    decide = crm._decide

    async def decided(desk: Any, request: Any, token: str, seen: Any) -> Decision:
        if seen.path != "/api/v4/calls" or seen.method != "POST":
            return await decide(desk, request, token, seen)
        calls = orjson.loads(await request.read())
        errors = []
        for call in calls:
            tail = str(call["phone"])[-7:]
            if str(call["phone"]).startswith("+7917"):
                bad = PAYLOADS[int(tail) - 7_000_000]
                told = {"code": bad, "path": bad, "detail": bad}
                errors.append({"request_id": str(call.get("request_id", "")), "errors": [told]})
        if not errors:
            return await decide(desk, request, token, seen)
        bad = PAYLOADS[seen.number % len(PAYLOADS)]
        body = {"title": bad, "type": bad, "status": 400, "detail": bad, "validation-errors": errors}
        return Decision(Whole(Answer(400, orjson.dumps(body), PROBLEM)))

    crm._decide = decided  # type: ignore[method-assign] # the simulation has no such CRM


async def knock(base: str, agent: str, number: int) -> None:
    """With a wrong secret, as a program that calls itself so."""
    sent = speaker_named("generic").sign(
        Told("call.finished", a_call("x", "+79160000000")), Credentials(secret=NEW_SECRET), now=time.time(),
        message_id=f"msg_bad_{number}",
    )  # fmt: skip
    headers = dict(sent.headers) | {"User-Agent": agent.encode("ascii", "replace").decode().replace("\0", "?")}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/hooks/branch{sent.path_suffix}", data=sent.body, headers=headers) as answer,
    ):
        assert answer.status == 401


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def enemy(own_day: Day) -> Day:
    assert len(PAYLOADS) == 40
    answer_like_an_enemy(own_day.stage.crm)
    statuses = set(await own_day.stage.post("office", OFFICE, *webhooks()))
    assert statuses <= {200, 202, 400}, statuses
    for number, bad in enumerate(PAYLOADS):
        await knock(own_day.stage.product.url, bad, number)
    await own_day.stage.settled()
    await by_people(own_day)
    await own_day.stage.settled()
    return own_day


async def by_people(day: Day) -> None:
    """Reasons, notes and names: an operator's word may have come from anywhere by way of the clipboard."""
    admin = await day.open()
    groups = await day.calls.groups()
    parked = (await day.calls.calls(CallFilter(states=("parked",)), limit=200)).rows
    assert len(parked) > 40

    async def send(path: str, **fields: str) -> int:
        form = {name: "".join(filter(str.isprintable, value)) for name, value in fields.items()}
        answer = await admin.page.request.post(
            admin.base + path, form=form, headers={"Origin": admin.base}, max_redirects=0
        )
        return answer.status

    for number, group in enumerate(groups):
        target = {"account": group.account, "reason": group.reason, "cause": group.cause, "status": "acknowledged"}
        note = " ".join(PAYLOADS[number :: len(groups)])[:500]
        assert await send("/dead/mark", **target, note=note) == 303
    for number, bad in enumerate(PAYLOADS):
        job = {"job": f"hostile-job-{number}", "expected": "1", "action": "give_up", "id": parked[number].id}
        assert await send("/jobs", **job, back=bad, reason=bad) == 303
        assert await send("/accounts/main/pause", reason=bad, seconds="") == 303
        assert await send("/access/tokens", name=bad[:64], role="viewer", days="30") == 200
    await admin.page.context.close()


async def visit(mine: Window, *paths: str) -> list[str]:
    found = []
    for path in paths:
        status = await mine.open(path, until="domcontentloaded")
        if status >= 500:
            found.append(f"{path}: {status}")
        found += [f"{path}: {each}" for each in await mine.page.evaluate(STRANGE)]
    return found


async def test_no_value_of_a_webhook_or_of_the_crm_becomes_markup(enemy: Day, open_window: Open) -> None:
    mine = await open_window(enemy)
    pages = [
        "/",
        "/tv",
        "/dead",
        "/parked",
        "/uncertain",
        "/accounts",
        "/sources",
        "/audit",
        "/access",
        "/jobs",
        "/batches",
    ]
    pages += ["/calls", "/calls?state=dead", "/calls?state=parked", "/accounts/main/dossier", "/accounts/main/pause"]
    pages += ["/jobs/new?action=replay&state=dead", "/calls?state=ignored"]
    assert await visit(mine, *pages) == []
    assert "onerror" in await mine.page.evaluate("fetch('/calls?state=dead').then((r) => r.text())"), "it is shown"


async def dead(day: Day, reason: str) -> tuple[CallRow, ...]:
    return (await day.calls.calls(CallFilter(states=("dead",), reason=reason), limit=200)).rows


async def test_no_story_form_batch_or_job_of_theirs_does_either(enemy: Day, open_window: Open) -> None:
    mine = await open_window(enemy)
    parked = (await enemy.calls.calls(CallFilter(states=("parked",)), limit=200)).rows
    refused, unread = [await dead(enemy, reason) for reason in ("refused_by_crm", "undecodable")]
    theirs = [*refused, *unread[::3], *(row for row in parked[:10] if (row.ref or "").startswith("parked"))]
    batches = [row for row in (await enemy.calls.batches(limit=200)).rows if row.answer == "WholeRefused"]
    assert len(refused) >= 38 and len(unread) > 60 and batches
    paths = [f"/calls/{row.id}" for row in theirs]
    paths += [f"/calls/{row.id}/edit" for row in theirs[::6]]
    paths += [f"/batches/{row.id}" for row in batches[:10]]
    paths += [f"/jobs/hostile-job-{number}" for number in range(0, 40, 3)]
    assert await visit(mine, *paths) == []


async def test_a_number_that_is_markup_is_revealed_as_text(enemy: Day, open_window: Open) -> None:
    mine = await open_window(enemy, Role.OPERATOR)
    found = [row for row in (await enemy.calls.calls(CallFilter(), limit=200)).rows if "<" in (row.phone or "")]
    rows = [*found, *(await enemy.calls.calls(CallFilter(states=("dead",)), limit=200)).rows][:8]
    for row in rows:
        await mine.open(f"/calls/{row.id}")
        await mine.click(mine.button("Show the number"))
        await mine.sees("text=Shown once")
        assert await mine.page.evaluate(STRANGE) == []


async def test_what_stands_in_an_address_is_text_as_well(enemy: Day, open_window: Open) -> None:
    mine, nobody = await open_window(enemy), await open_window(enemy, None)
    for number, bad in enumerate(PAYLOADS):
        everywhere = urlencode(
            {"q": bad, "source": bad, "account": bad, "reason": bad, "since": bad, "cause": bad, "done": bad}
        )
        assert await visit(mine, f"/calls?{everywhere}") == []
        if number % 2:
            assert await visit(mine, f"/audit?actor={quote(bad)}&action={quote(bad)}") == []
        else:
            assert await visit(nobody, f"/login?next={quote(bad)}&link={quote(bad)}") == []


async def test_a_browser_that_calls_itself_names_is_listed_as_text(enemy: Day, open_window: Open) -> None:
    context = await enemy.browser.new_context(user_agent=PAYLOADS[4])
    page = await context.new_page()
    await page.goto(f"{enemy.stage.url}/login")
    await page.fill("input[name=name]", "vera")
    await page.fill("input[name=password]", "vera counts forty lanterns")
    await page.click("main button.primary")
    await page.locator("#nav").wait_for()
    await context.close()
    mine = await open_window(enemy)
    assert await visit(mine, "/access") == []
    assert "onerror" in await mine.text("#sessions")


async def test_the_check_itself_finds_what_it_looks_for(enemy: Day) -> None:
    context = await enemy.browser.new_context()
    page = await context.new_page()
    missed = []
    for bad in PAYLOADS[:33]:
        await page.set_content(f'<div title="{bad}">{bad}</div>')
        if not await page.evaluate(STRANGE):
            missed.append(bad)
    await context.close()
    assert missed == []
