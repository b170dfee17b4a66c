"""Every page that there is, from the console's own table: for each role, in both themes, from a phone to a wall."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from browser.conftest import IN_ONE_LOOP, Day, Open
from browser.window import DESKTOP, PHONE, WALL
from callbridge.console import ROUTES
from callbridge.ledger.views import CallFilter
from callbridge.ops.who import Role

pytestmark = IN_ONE_LOOP

PAGES: Final = {
    route.path: route.role
    for route in ROUTES
    if route.method == "GET" and route.kind == "page" and route.role is not None
}
AXE: Final = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
LOOK: Final = """async () => {
  const told = await axe.run(document, { resultTypes: ["violations"] });
  const name = (node) => `${node.html} ${node.any[0]?.message || ""}`;
  return told.violations.filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes.slice(0, 3).map(name).join(" | ")}`);
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def addresses(day: Day) -> dict[str, list[str]]:
    """The addresses of those pages that are about something; each with whatever it shows differently."""
    dead = (await day.calls.calls(CallFilter(states=("dead",)))).rows
    [parked, *_] = (await day.calls.calls(CallFilter(states=("parked",)))).rows
    [delivered, *_] = (await day.calls.calls(CallFilter(states=("delivered",)))).rows
    batches = {row.answer: row for row in (await day.calls.batches(limit=200)).rows}
    refused = next(row for row in dead if row.direction is not None)
    unread = next(row for row in dead if row.direction is None)
    job = "every-page-has-a-job"
    await _retry_one(day, job, parked.id)
    calls = [f"/calls/{row.id}" for row in (refused, unread, parked, delivered)]
    return {
        "/calls": ["/calls", "/calls?state=dead", "/calls?q=nothing-has-this", "/calls?since=1h&source=office"],
        "/calls/{id}": [*calls, "/calls/0000000000000000"],
        "/calls/{id}/edit": [f"/calls/{refused.id}/edit"],
        "/batches/{id}": [f"/batches/{row.id}" for row in batches.values()],
        "/dead": ["/dead", "/dead?status=fixed"],
        "/jobs/new": ["/jobs/new?action=replay&state=dead", "/jobs/new?action=retry&state=parked"],
        "/jobs/{id}": [f"/jobs/{job}"],
        "/parked/job": [f"/parked/job?action=lead&id={parked.id}"],
        "/accounts/{account}/pause": ["/accounts/main/pause"],
        "/accounts/{account}/dossier": ["/accounts/north/dossier"],
        "/oauth": ["/oauth", "/oauth?code=abc&state=def", "/oauth?error=access_denied"],
        "/audit": ["/audit", "/audit?check=1"],
    }


async def _retry_one(day: Day, job: str, call_id: str) -> None:
    admin = await day.open(Role.ADMIN)
    answer = await admin.page.request.post(
        f"{day.stage.url}/jobs",
        form={"job": job, "expected": "1", "action": "retry", "id": call_id, "reason": "to see", "back": "/parked"},
        headers={"Origin": day.stage.url},
    )
    assert answer.ok
    await admin.page.context.close()


def addressed(addresses: dict[str, list[str]], path: str) -> list[str]:
    assert path in addresses or "{" not in path, f"{path} is new: say here what it is to be opened with"
    return addresses.get(path, [path])


def expected(address: str) -> int:
    return 404 if address == "/calls/0000000000000000" else 200


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_sound_in_both_themes_and_at_every_width(
    day: Day, open_window: Open, addresses: dict[str, list[str]], path: str
) -> None:
    admin = await open_window(day)
    for address in addressed(addresses, path):
        await admin.page.emulate_media(color_scheme="light")
        await admin.resize(DESKTOP)
        assert await admin.open(address) == expected(address)
        await admin.page.evaluate(AXE)
        assert await admin.page.evaluate(LOOK) == [], f"{address}, light"
        assert await admin.overflow() <= 0, f"{address}, desktop"
        await admin.page.emulate_media(color_scheme="dark")
        assert await admin.page.evaluate(LOOK) == [], f"{address}, dark"
        await admin.resize(PHONE)
        assert await admin.overflow() <= 0, f"{address}, phone"
        await admin.resize(WALL)
        assert await admin.overflow() <= 0, f"{address}, wall"
        assert await admin.page.evaluate("document.querySelectorAll('h1').length") == 1, address


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, None])
async def test_a_page_opens_for_those_whom_the_table_names_and_for_nobody_else(
    day: Day, open_window: Open, addresses: dict[str, list[str]], role: Role | None
) -> None:
    """In Russian and on a phone: its words are the longest and its window the narrowest."""
    found: dict[str, Any] = {}
    wanted: dict[str, Any] = {}
    mine = await open_window(day, role, language="ru-RU", size=PHONE)
    for path, needed in PAGES.items():
        for address in addressed(addresses, path):
            status = await mine.open(address)
            overflow = await mine.overflow()
            found[address] = "login" if mine.path.startswith("/login") else (status, max(0, overflow))
            may = role is not None and role.covers(needed)
            wanted[address] = "login" if role is None else (expected(address) if may else 403, 0)
    assert found == wanted
