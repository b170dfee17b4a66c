"""How one viewer wants to see things: language, zone and theme, from cookies that say nothing else; and where they are set.

Not a secret and not part of a session: the login page uses them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast
from zoneinfo import ZoneInfo

from aiohttp import hdrs, web

from callbridge.ops.access.headers import SECURE
from callbridge.ops.dashboard.times import zone_of
from callbridge.ops.dashboard.words import LANGUAGES, Words, chosen, words_of

LANGUAGE, ZONE, THEME = "cb_language", "cb_zone", "cb_theme"
THEMES: Final = ("auto", "light", "dark")
_YEAR: Final = 31_536_000

Theme = Literal["auto", "light", "dark"]


@dataclass(frozen=True, slots=True)
class View:
    language: str
    zone: ZoneInfo
    theme: Theme = "auto"

    @property
    def words(self) -> Words:
        return words_of(self.language)


def view_of(request: web.Request) -> View:
    theme = request.cookies.get(THEME, "auto")
    return View(
        chosen(request.cookies.get(LANGUAGE), request.headers.get(hdrs.ACCEPT_LANGUAGE, "")),
        zone_of(request.cookies.get(ZONE)),
        cast("Theme", theme) if theme in THEMES else "auto",
    )


def words(request: web.Request) -> Words:
    """The texts in the language of whoever asks."""
    return view_of(request).words


def local_path(wanted: str) -> str:
    """`wanted` when it is a path of this console, else the first page: nobody is sent elsewhere."""
    plain = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if plain and wanted.isascii() and wanted.isprintable() and "\\" not in wanted else "/"


async def set_preferences(request: web.Request) -> web.StreamResponse:
    """Fields `language`, `theme` and `back`, the page to return to; what is not one of ours is left out."""
    form = await request.post()
    response = web.HTTPSeeOther(local_path(str(form.get("back", "/"))))
    for field, cookie, known in (("language", LANGUAGE, LANGUAGES), ("theme", THEME, THEMES)):
        value = form.get(field)
        if isinstance(value, str) and value in known:
            secure = request.get(SECURE, request.secure)
            response.set_cookie(cookie, value, max_age=_YEAR, path="/", secure=secure, httponly=True, samesite="Strict")
    raise response
