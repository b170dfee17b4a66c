"""Pages of others cannot make the console do anything, read it, or lay it beneath their own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest_asyncio
from aiohttp import web

from browser.conftest import IN_ONE_LOOP, Day
from callbridge.console import ROUTES
from callbridge.ops.who import Role

pytestmark = IN_ONE_LOOP

PART: Final = re.compile(r"\{\w+(:[a-z|_]+)?(?::.*?)?\}")
"""A part of a route's path that is no fixed word; where only some words fit, the first of them is taken."""


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def elsewhere() -> AsyncIterator[str]:
    """An empty page on another port: another origin, and for cookies still the same site."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>elsewhere</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def standing(day: Day) -> tuple[Any, ...]:
    """What an intruder would want to change."""
    tally = await day.stage.store.tally.read()
    paused = [(each.account, each.pause is not None) for each in tally.accounts]
    entries = [entry for entry in (await day.audit.entries()).rows if entry.action not in {"login", "logout"}]
    groups = [(each.cause, each.status) for each in await day.calls.groups()]
    return paused, entries, groups


async def test_a_form_or_a_script_of_another_origin_is_refused_and_changes_nothing(day: Day, elsewhere: str) -> None:
    """He is logged in as an admin in the same browser, and his cookie goes with the request."""
    before = await standing(day)
    admin = await day.open()
    seen: list[tuple[str, int]] = []
    admin.page.on("response", lambda answer: seen.append((answer.url.removeprefix(admin.base), answer.status)))
    for path, fields in {
        "/accounts/main/pause": {"reason": "mine now", "seconds": ""},
        "/accounts/north/resume": {},
        "/jobs": {"job": "forged-job-1", "action": "replay", "calls": "state=dead", "expected": "3", "reason": "x"},
        "/access/tokens": {"name": "mine", "role": "admin", "days": ""},
        "/logout": {},
        "/preferences": {"theme": "dark"},
    }.items():
        await admin.page.goto(elsewhere)
        await admin.page.evaluate(
            """([action, fields]) => {
              const form = document.createElement("form");
              form.method = "post"; form.action = action;
              for (const [name, value] of Object.entries(fields)) {
                const input = document.createElement("input");
                input.name = name; input.value = value; form.append(input);
              }
              document.body.append(form); form.submit();
            }""",
            [admin.base + path, fields],
        )
        await admin.page.wait_for_url(f"{admin.base}/**")
        assert (path, 403) in seen, seen
        await admin.page.goto(elsewhere)
        await admin.page.evaluate(
            """([url, body]) => fetch(url, { method: "POST", mode: "no-cors", credentials: "include",
                 headers: { "Content-Type": "application/x-www-form-urlencoded" }, body }).catch(() => null)""",
            [admin.base + path, "reason=mine"],
        )
    assert {status for path, status in seen if path.startswith("/") and not path.startswith("/static/")} == {403}
    assert await standing(day) == before
    assert await admin.open("/access") == 200, "nor is he logged out"
    await admin.page.context.close()


async def test_another_origin_reads_nothing(day: Day, elsewhere: str) -> None:
    admin = await day.open()
    await admin.page.goto(elsewhere)
    for path in ("/", "/api/v1/status", "/api/v1/calls", "/live", "/metrics"):
        told = await admin.page.evaluate(
            "(url) => fetch(url, { credentials: 'include' }).then((r) => r.text(), (error) => `refused: ${error.name}`)",
            admin.base + path,
        )
        assert told == "refused: TypeError", path
    await admin.page.context.close()


async def test_the_console_cannot_be_framed(day: Day, elsewhere: str) -> None:
    admin = await day.open()
    answer = await admin.page.goto(f"{admin.base}/accounts")
    assert answer is not None
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    await admin.page.goto(elsewhere)
    await admin.page.evaluate(
        """(url) => new Promise((done) => {
          const frame = document.createElement("iframe");
          frame.onload = done; frame.src = url; document.body.append(frame);
        })""",
        f"{admin.base}/accounts",
    )
    framed = admin.page.frames[1]
    assert "north" not in await framed.content()
    await admin.page.context.close()


async def test_a_viewer_can_do_nothing_that_the_table_keeps_for_others(day: Day) -> None:
    """By cookie from a page of ours, so that nothing but his role is in the way; and by token."""
    before = await standing(day)
    vera = await day.open(Role.VIEWER)
    admin = await day.open()
    await admin.open("/access")
    await admin.page.fill("form[action='/access/tokens'] input[name=name]", "of a viewer")
    await admin.page.click("form[action='/access/tokens'] button")
    token = await admin.text(".big-code code")
    done: dict[tuple[str, str], int] = {}
    for route in ROUTES:
        if route.role is None or Role.VIEWER.covers(route.role):
            continue
        path = PART.sub(lambda part: (part[1] or ":main").removeprefix(":").split("|")[0], route.path)
        if route.kind == "page":
            answer = await vera.page.request.fetch(vera.base + path, method=route.method, headers={"Origin": vera.base})
            done[route.method, route.path] = answer.status
        else:
            answer = await vera.page.request.fetch(
                vera.base + path, method=route.method, headers={"Authorization": f"Bearer {token}"}
            )
            done[route.method, route.path] = answer.status
    assert len(done) > 30
    assert set(done.values()) == {403}, done
    after = await standing(day)
    assert after[0] == before[0] and after[2] == before[2]
    for each in (vera, admin):
        await each.page.context.close()
