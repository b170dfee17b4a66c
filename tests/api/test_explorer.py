"""The API's page in a real browser: it lists, it tries, what comes back is text, and the content policy holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from playwright.async_api import Page, async_playwright

from callbridge.ops.access.headers import PLAIN_COOKIE
from callbridge.ops.api.routes import ROUTES
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.dashboard.pages import FRAME
from callbridge.ops.who import Role
from support.apidesk import Desk, bearer, call_row, make_app, session, token_of

HOSTILE = "</pre><img src=x onerror=window.__pwn=1><script>window.__pwn=1</script>"


@pytest.fixture
async def served(desk: Desk) -> AsyncIterator[TestServer]:
    async with TestServer(make_app(desk, (*ROUTES, *FRAME)), host="127.0.0.1") as server:
        yield server


@pytest.fixture
async def browse(served: TestServer) -> AsyncIterator[Any]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])

        async def opened(role: Role, **more: Any) -> tuple[Page, list[str]]:
            context = await browser.new_context(**more)
            home = str(served.make_url("/"))
            await context.add_cookies([{"name": PLAIN_COOKIE, "value": token_of(role), "url": home}])
            page = await context.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            await page.goto(str(served.make_url("/api/docs")))
            await page.wait_for_selector("details.operation")
            return page, said

        yield opened
        await browser.close()


async def test_every_endpoint_is_listed_and_can_be_opened_and_tried(browse: Any, desk: Desk) -> None:
    desk.ledger.rows[0] = call_row(1, result=HOSTILE, detail=HOSTILE)
    page, said = await browse(Role.OPERATOR)
    assert await page.locator("details.operation").count() == len(ENDPOINTS)
    await page.click("#op-list_calls summary")
    await page.select_option("#list_calls-state", ["delivered"])
    await page.fill("#list_calls-limit", "2")
    await page.click("#op-list_calls button")
    await page.wait_for_selector('#op-list_calls .answer:has-text("items")')
    assert "200" in await page.inner_text("#op-list_calls .said")
    assert HOSTILE in await page.inner_text("#op-list_calls .answer")
    assert await page.evaluate("window.__pwn") is None
    assert said == []


async def test_a_body_is_prepared_from_its_schema_and_a_refusal_is_shown(browse: Any) -> None:
    page, said = await browse(Role.OPERATOR)
    await page.click("#op-start_job summary")
    assert '"action": "replay"' in await page.input_value("#start_job-body")
    await page.click("#op-start_job button")
    await page.wait_for_selector('#op-start_job .answer:has-text("bad_request")')
    assert "400" in await page.inner_text("#op-start_job .said")
    assert [line for line in said if "400" not in line] == []


async def test_what_a_role_may_not_do_is_shown_and_not_offered(browse: Any) -> None:
    page, _ = await browse(Role.VIEWER)
    await page.click("#op-start_job summary")
    assert await page.is_disabled("#op-start_job button")
    assert "Needs the role operator." in await page.inner_text("#op-start_job .said")


async def test_the_page_fits_a_phone(browse: Any) -> None:
    page, _ = await browse(Role.VIEWER, viewport={"width": 360, "height": 740})
    await page.click("#op-list_calls summary")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_the_codes_are_explained_where_problems_point_to(client: TestClient) -> None:
    async with client.get("/api/docs", headers=session(Role.VIEWER)) as answer:
        text = await answer.text()
        assert "nonce" not in answer.headers["Content-Security-Policy"]  # it has no script of its own to allow
    async with client.get("/api/v1/calls?limit=x", headers=bearer(Role.VIEWER)) as answer:
        kind = (await answer.json(content_type=None))["type"]
    assert kind.startswith("/api/docs#") and f'id="{kind.partition("#")[2]}"' in text
    assert "<script>" not in text and "style=" not in text and "onclick" not in text
