"""`callbridge check`: looks at everything that has to be right before calls can be trusted to this, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sized
from typing import Annotated, Final

import typer

from callbridge.amocrm.client import build_session
from callbridge.commands import options
from callbridge.commands.frame import Found, redis_in_use, run, settings_of
from callbridge.commands.output import coloured, console, plain, table, write_json
from callbridge.embedded import find_server, url_of
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.intake.providers import check_source
from callbridge.ops.health import Check, Level, account_checks, clock_check, durability_checks
from callbridge.settings import Settings
from callbridge.store.clock import clock_ahead
from callbridge.store.connect import ping
from callbridge.store.durability import stands
from callbridge.wiring import Store, account_client, open_store, sources

GUESSABLE: Final = 16
"""Characters below which a secret can be found by trying; a PBX that makes its own may leave no choice, so only a warning."""

_WORST: Final = (Level.PROBLEM, Level.WARNING, Level.OK)


def check(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Look at the configuration only; use no network.")] = False,
    as_json: options.Json = False,
) -> None:
    """Check settings, sources, Redis, clocks and CRM tokens.

    Changes nothing. Exit code 1 on a problem.
    """
    found: list[Check] = []
    try:
        settings = settings_of(context)
    except Misconfigured as error:
        found += [Check("configuration", Level.PROBLEM, line) for line in str(error).splitlines()]
    else:
        found += _configured(settings)
        if not offline:
            found += run(_reached(settings))
    worst = next((level for level in _WORST if any(one.level is level for one in found)), Level.OK)
    if as_json:
        write_json({"ok": worst is not Level.PROBLEM, "checks": [one.as_json() for one in found]})
    else:
        rows = table("", "check", "")
        rows.show_header = False
        for one in found:
            rows.add_row(coloured(one.level), one.name, plain(one.detail))
        console().print(rows)
    if worst is Level.PROBLEM:
        raise Found


def _configured(settings: Settings) -> Iterator[Check]:
    yield Check(
        "configuration", Level.OK, f"{_many(settings.accounts, 'account')}, {_many(settings.sources, 'source')}"
    )
    for name, value in (("account", settings.accounts), ("source", settings.sources)):
        if not value:
            yield Check(f"{name}s", Level.WARNING, f"no {name} is configured")
    for name, source in sources(settings).items():
        try:
            check_source(source)
        except Misconfigured as error:
            yield Check(f"source {name}", Level.PROBLEM, str(error))
        else:
            yield Check(f"source {name}", Level.OK, f"{source.provider}, account {source.account}")
        if any(len(secret) < GUESSABLE for secret in (*source.secrets, source.path_token or "-" * GUESSABLE)):
            yield Check(f"secrets of {name}", Level.WARNING, f"shorter than {GUESSABLE} characters: easy to guess")


async def _reached(settings: Settings) -> list[Check]:
    found: list[Check] = []
    if settings.redis.url is None and not await ping(url_of(settings.data_dir)):
        found.append(_embedded_to_be())
    else:
        try:
            async with open_store(settings, await redis_in_use(settings)) as store:
                found += await _redis(settings, store)
        except (Misconfigured, StoreUnavailable) as error:
            found.append(Check("redis", Level.PROBLEM, str(error)))
    async with build_session() as session:
        for name in settings.accounts:
            try:
                client = account_client(name, settings, session)
            except Misconfigured as error:
                found.append(Check(f"account {name}", Level.PROBLEM, str(error)))
            else:
                found += account_checks(name, await client.check())
    return found


def _embedded_to_be() -> Check:
    """None is configured and none runs here: what `callbridge up` would start."""
    try:
        return Check("redis", Level.OK, f"none is configured: `callbridge up` will start {find_server()}")
    except Misconfigured as error:
        return Check("redis", Level.PROBLEM, str(error))


async def _redis(settings: Settings, store: Store) -> list[Check]:
    standing = await stands(store.scripts.redis, settings.redis.durability)
    return [
        Check("redis", Level.OK, "answers"),
        *durability_checks(standing),
        clock_check("clock of redis", await clock_ahead(store.scripts, time.time)),
    ]


def _many(things: Sized, word: str) -> str:
    count = len(things)
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
