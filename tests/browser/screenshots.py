"""`make screenshots`: the pictures of the README, taken from the rehearsed bad day in the system's Chromium."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import Browser, Page, async_playwright

from browser.stage import PASSWORD, POISON, Stage, bad_day
from support.redis_server import RedisServer

TO: Final = Path(__file__).parents[2] / "deploy" / "screenshots"
DESKTOP, PHONE, WALL = (1280, 800), (390, 844), (1920, 1080)


@dataclass(frozen=True, slots=True)
class Picture:
    """`path` is of a page, or names what has to be looked up first."""

    name: str
    path: str
    size: tuple[int, int] = DESKTOP
    theme: Literal["light", "dark"] = "light"


PICTURES: Final = (
    Picture("overview", "/"),
    Picture("overview-dark", "/", theme="dark"),
    Picture("overview-phone", "/", PHONE),
    Picture("wall", "/tv", WALL, "dark"),
    Picture("calls", "/calls?state=dead&state=parked"),
    Picture("story", "first dead call"),
    Picture("batch", "refused batch"),
    Picture("dead", "/dead"),
    Picture("parked", "/parked"),
    Picture("accounts", "/accounts"),
    Picture("sources", "/sources"),
)


async def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is needed: apt-get install chromium")
    TO.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="callbridge-pictures-") as folder:
        redis = RedisServer(Path(folder))
        try:
            async with bad_day(Path(folder, "var"), redis.url) as stage, async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                for picture in PICTURES:
                    await _taken(browser, stage, picture)
                await browser.close()
        finally:
            redis.stop()


async def _taken(browser: Browser, stage: Stage, picture: Picture) -> None:
    width, height = picture.size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=picture.theme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="Europe/Moscow",
    )
    page = await context.new_page()
    await page.goto(f"{stage.url}/login")
    await page.fill("input[type=password]", PASSWORD)
    await page.press("input[type=password]", "Enter")
    await page.wait_for_url(f"{stage.url}/")
    await page.goto(f"{stage.url}{await _path_of(page, stage, picture.path)}", wait_until="domcontentloaded")
    await page.wait_for_timeout(1500)  # the first live figures
    await page.screenshot(path=TO / f"{picture.name}.png")
    await context.close()


async def _path_of(page: Page, stage: Stage, path: str) -> str:
    match path:
        case "first dead call":
            return await _first(page, f"{stage.url}/calls?phone={POISON}", "/calls/")
        case "refused batch":
            return await _first(page, f"{stage.url}/batches?answer=WholeRefused", "/batches/", last=True)
        case _:
            return path


async def _first(page: Page, url: str, below: str, *, last: bool = False) -> str:
    await page.goto(url)
    links = await page.eval_on_selector_all(
        f"main a[href^='{below}']", "all => all.map(each => each.getAttribute('href'))"
    )
    found = [str(link) for link in links if str(link).count("/") == 2]
    return found[-1 if last else 0]


if __name__ == "__main__":
    asyncio.run(main())
