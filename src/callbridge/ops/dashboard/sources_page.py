"""Sources: each PBX with the address to paste into it, what it sent, what was turned away and why, and a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from callbridge.errors import StoreUnavailable
from callbridge.ops.actions import Refused
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.web import CONSOLE, WHO, Console, Route
from callbridge.ops.who import Role
from callbridge.source_settings import SourceSettings
from callbridge.store.refusals import SourceRefusals
from callbridge.store.tally import SourceTally

NOBODY: Final = "unknown"
"""Where webhooks are counted that name no source."""

_SAMPLES: Final = 5
_NOTHING: Final = SourceRefusals({})


@dataclass(frozen=True, slots=True)
class Shown:
    """`settings` is None for a source that sent something once and is in the settings no more."""

    name: str
    settings: SourceSettings | None
    account: str | None
    url: str | None
    seen: SourceTally | None
    refused: Mapping[str, int]
    samples: tuple[Mapping[str, Any], ...]
    last_refused_at: float | None


async def show_sources(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    overview = await console.overviews.latest()
    seen = {row.source: row for row in overview.status.tally.sources} if overview.status else {}
    try:
        refused: Mapping[str, SourceRefusals] = await console.refusals.read()
    except StoreUnavailable:
        refused = {}
    hooks = console.hooks()
    names = sorted({*console.settings.sources, *seen, *refused} - {NOBODY})
    shown = [_shown(console, name, hooks.get(name), seen.get(name), refused.get(name, _NOTHING)) for name in names]
    return render(request, "sources.html", shown=shown, nobody=_refusals(refused.get(NOBODY, _NOTHING)), o=overview)


def _shown(console: Console, name: str, url: str | None, seen: SourceTally | None, refused: SourceRefusals) -> Shown:
    settings = console.settings.sources.get(name)
    only = next(iter(console.settings.accounts), None) if len(console.settings.accounts) == 1 else None
    account = (settings.account or only) if settings else None
    return Shown(name, settings, account, url, seen, *_refusals(refused))


def _refusals(found: SourceRefusals) -> tuple[Mapping[str, int], tuple[Mapping[str, Any], ...], float | None]:
    """What is refused most comes first."""
    counts = dict(sorted(found.counts.items(), key=lambda item: -item[1]))
    return counts, found.samples[:_SAMPLES], found.last_at


async def try_source(request: web.Request) -> web.StreamResponse:
    """Says what came of each step on a page of its own: it is no change to come back from."""
    console, name = request.app[CONSOLE], request.match_info["source"]
    if name not in console.settings.sources:
        raise web.HTTPNotFound
    tested = await console.actions.test_source(request[WHO], name)
    if isinstance(tested, Refused):
        raise done("/sources", "refused")
    return render(request, "source_test.html", source=name, tested=tested)


ROUTES: Final = (
    Route("GET", "/sources", show_sources, Role.VIEWER),
    Route("POST", "/sources/{source}/test", try_source, Role.OPERATOR),
)
