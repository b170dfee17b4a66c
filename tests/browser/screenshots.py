"""The pictures of the README, from the rehearsed bad day: `cd tests && python -m browser.screenshots`.

It starts what it needs, ends by itself, and fails where a page complains or a picture grows too large.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser

from browser.stage import PASSWORD, Stage, bad_day
from browser.window import PHONE, WALL, Window, chromium, log_in, window
from callbridge.inspecting import ledger_url
from callbridge.ledger.database import open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.views import CallFilter
from support.redis_server import RedisServer

OUT: Final = Path(__file__).parents[2] / "deploy" / "screenshots"
LARGEST: Final = 250_000
"""Bytes of one picture."""

STILL: Final = 700.0
"""Milliseconds for a chart to be drawn."""


async def take(folder: Path) -> list[Path]:
    (folder / "redis").mkdir()
    redis = RedisServer(folder / "redis")
    try:
        async with (
            bad_day(folder / "data", redis.url) as stage,
            open_ledger(ledger_url(stage.settings), migrate=False) as ledger,
            chromium() as browser,
        ):
            return await pictures(browser, stage, await subjects(Queries(ledger)))
    finally:
        redis.stop()


async def subjects(calls: Queries) -> dict[str, str]:
    """What the pictures are about that has an id."""
    [poisoned] = [row for row in (await calls.calls(CallFilter(text="poisoned"))).rows if row.ref == "poisoned"]
    refused = [row for row in (await calls.batches(answer="WholeRefused", limit=200)).rows if row.parent is not None]
    return {"story": f"/calls/{poisoned.id}", "batch": f"/batches/{min(refused, key=lambda row: row.size).id}"}


async def pictures(browser: Browser, stage: Stage, about: dict[str, str]) -> list[Path]:
    state = await log_in(browser, stage.url, "admin", PASSWORD)

    async def opened(**wishes: Any) -> Window:
        return await window(browser, stage.url, state=state, **wishes)

    light, dark = await opened(), await opened(theme="dark")
    await light.open("/")
    await light.page.get_by_text("turned away").first.wait_for()  # refusals are looked at every few seconds
    phone, wall = await opened(size=PHONE), await opened(size=WALL, theme="dark")
    done = [
        await shot(light, "/", "overview"),
        await shot(dark, "/", "overview-dark"),
        await shot(light, "/calls", "calls"),
        await shot(light, about["story"], "story"),
        await shot(light, about["batch"], "batch"),
        await shot(light, "/dead", "dead"),
        await shot(light, "/parked", "parked"),
        await shot(light, "/accounts", "accounts"),
        await shot(light, "/sources#branch", "sources"),
        await shot(phone, "/", "overview-phone"),
        await shot(wall, "/tv", "wall"),
    ]
    complaints = [each.complaints for each in (light, dark, phone, wall) if each.complaints]
    if complaints:
        raise AssertionError(complaints)
    return done


async def shot(mine: Window, path: str, name: str) -> Path:
    if await mine.open(path) != 200:
        raise AssertionError(f"{path} does not open")
    await mine.page.wait_for_timeout(STILL)
    target = OUT / f"{name}.png"
    await mine.page.screenshot(path=target, animations="disabled", caret="hide")
    if target.stat().st_size > LARGEST:
        raise AssertionError(f"{target.name} has {target.stat().st_size} bytes")
    return target


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="callbridge-") as folder:
        for each in asyncio.run(take(Path(folder))):
            sys.stdout.write(f"{each.relative_to(OUT.parents[1])}  {each.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()
