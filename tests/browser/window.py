"""A browser's window on the console, which remembers everything that went wrong in it.

Apart from the fixtures because the screenshots open one, too. What a page complains of: errors on its console, exceptions,
violations of its content security policy, dialogs, and requests that leave its origin.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    async_playwright,
)

MISSING: Final = "no Chromium on PATH, and these tests are about a real browser: apt-get install chromium"
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP: Final = (1280, 800)
PHONE: Final = (390, 844)
WALL: Final = (1920, 1080)
PATIENCE: Final = 8_000.0
"""Milliseconds in which a click leads somewhere, or fails the test."""

_WATCH: Final = """
addEventListener("securitypolicyviolation", (event) => {
  const { effectiveDirective, blockedURI, sourceFile, lineNumber } = event;
  console.error(`policy violated: ${effectiveDirective} by ${blockedURI} in ${sourceFile}:${lineNumber}`);
});
"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's own. Raises where there is none: a test that did not look has not passed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise RuntimeError(MISSING)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        )
        yield browser
        await browser.close()


@dataclass
class Window:
    """`clicks` counts what a person did with the mouse. Without slots: the driver marks the object that listens."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    clicks: int = 0

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._asked)
        self.page.on("dialog", self._asked_back)

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.base)

    async def open(self, path: str, until: Literal["load", "domcontentloaded"] = "load") -> int:
        """The status of the page."""
        answer = await self.page.goto(self.base + path, wait_until=until)
        assert answer is not None
        return answer.status

    async def click(self, what: Locator | str) -> None:
        """Where it leads is waited for by whatever is expected there."""
        self.clicks += 1
        await (self.page.locator(what) if isinstance(what, str) else what).click()

    async def sees(self, what: str | Locator) -> None:
        """Waits until it is there to be seen."""
        found = self.page.locator(what) if isinstance(what, str) else what
        await found.first.wait_for(state="visible")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        """A button or a link that looks like one, by the beginning of what it says."""
        inside = within if within is not None else self.page.locator("main, dialog[open]")
        return inside.locator("button:visible, a.button:visible").filter(has_text=name).first

    async def text(self, selector: str = "main") -> str:
        return await self.page.locator(selector).first.inner_text()

    async def overflow(self) -> int:
        """Pixels that the document is wider than the window, once it has come to rest: a chart follows a little later."""
        for _ in range(20):
            over = int(await self.page.evaluate("document.scrollingElement.scrollWidth - innerWidth"))
            if over <= 0:
                break
            await self.page.wait_for_timeout(50)
        return over

    async def resize(self, size: tuple[int, int]) -> None:
        await self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def _heard(self, message: ConsoleMessage) -> None:
        # A page that is refused, or says that something is away, has a status: the browser tells that, too.
        own_status = message.text.startswith("Failed to load resource") and message.location.get("url") == self.page.url
        if message.type in {"error", "warning"} and not own_status:
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme != "data" and f"{target.scheme}://{target.netloc}" != self.base:
            self.complaints.append(f"request to another origin: {request.url}")

    async def _asked_back(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


async def window(
    browser: Browser,
    base: str,
    *,
    state: Any = None,
    size: tuple[int, int] = DESKTOP,
    theme: str = "light",
    language: str = "en-GB",
    scripts: bool = True,
) -> Window:
    """In a context of its own, as if it were somebody else's browser. `state` are the cookies to begin with."""
    context: BrowserContext = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        locale=language,
        timezone_id="Europe/Moscow",
        java_script_enabled=scripts,
        storage_state=state,
        reduced_motion="reduce",
    )
    await context.add_init_script(_WATCH)
    return Window(await context.new_page(), base)


async def log_in(browser: Browser, base: str, name: str, password: str) -> Any:
    """The cookies of one who came in by the login page."""
    way_in = await window(browser, base)
    await way_in.open("/login")
    await way_in.page.fill("input[name=name]", name)
    await way_in.page.fill("input[name=password]", password)
    await way_in.page.click("main button.primary")
    await way_in.page.locator("#nav").wait_for()
    state = await way_in.page.context.storage_state()
    await way_in.page.context.close()
    return state
