"""`callbridge check`: looks at everything that has to be right before calls can be trusted to this, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sized
from typing import Annotated, Final

import typer

from callbridge.account_settings import NoMatchPolicy
from callbridge.amocrm.credential import Fixed, long_lived
from callbridge.amocrm.exchange import build_session
from callbridge.amocrm.tokens import TokenPair
from callbridge.commands import options
from callbridge.commands.frame import Found, redis_in_use, run, settings_of
from callbridge.commands.output import coloured, console, plain, table, write_json
from callbridge.credentials import token_vault
from callbridge.embedded import find_server, url_of
from callbridge.errors import LedgerUnavailable, Misconfigured, StoreUnavailable
from callbridge.inspecting import LEDGER_FILE, has_ledger, ledger_url, spool_here, standing
from callbridge.intake.providers import check_source, provider_named
from callbridge.intake.providers.base import Source, Traits
from callbridge.ledger.database import WANTED_REVISION, open_ledger
from callbridge.ops.access import passwords
from callbridge.ops.access.origins import is_loopback
from callbridge.ops.authorised import authorisation
from callbridge.ops.health import (
    Check,
    Level,
    account_checks,
    authorisation_checks,
    clock_check,
    durability_checks,
    spool_checks,
)
from callbridge.settings import Settings
from callbridge.store.clock import clock_ahead
from callbridge.store.connect import ping
from callbridge.store.powers import remarks
from callbridge.store.trouble import trouble_of, words_for
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
    yield from _console(settings)
    for name, account in settings.accounts.items():
        if not account.uses_oauth:
            yield from authorisation_checks(name, authorisation(name, account, None, time.time()))
    for name, source in sources(settings).items():
        try:
            check_source(source)
            provider = provider_named(source.provider)
        except Misconfigured as error:
            yield Check(f"source {name}", Level.PROBLEM, str(error))
        else:
            yield Check(f"source {name}", Level.OK, f"{provider.title} ({source.provider}), account {source.account}")
            has_zone = "timezone" in settings.sources[name].model_fields_set
            yield from (
                Check(f"settings of {name}", Level.WARNING, line) for line in _gaps(source, provider.traits, has_zone)
            )
        if any(len(secret) < GUESSABLE for secret in (*source.secrets, source.path_token or "-" * GUESSABLE)):
            yield Check(f"secrets of {name}", Level.WARNING, f"shorter than {GUESSABLE} characters: easy to guess")


def _console(settings: Settings) -> Iterator[Check]:
    """Whether the console could start: its password, and the address of the ledger."""
    host, password = settings.console.host, settings.console.password
    where = f"{host}:{settings.console.port}"
    if password is None:
        if is_loopback(host):
            yield Check("console", Level.OK, f"{where}, a one-time link opens it")
        else:
            yield Check(
                "console", Level.PROBLEM, "console.password is needed where console.host is no loopback address"
            )
        return
    try:
        passwords.check(password.get_secret_value(), "admin")
    except passwords.WeakPassword as weak:
        yield Check("console", Level.PROBLEM, f"console.password: {weak}")
    else:
        yield Check("console", Level.OK, f"{where}, a password opens it")


async def _ledger(settings: Settings) -> Check:
    if not has_ledger(settings):
        return Check("ledger", Level.OK, f"none yet: the console will make {LEDGER_FILE} in {settings.data_dir}")
    try:
        async with open_ledger(ledger_url(settings), migrate=False) as ledger:
            revision = await ledger.revision()
    except Misconfigured as error:
        return Check("ledger", Level.PROBLEM, str(error))
    except LedgerUnavailable as error:
        return Check("ledger", Level.PROBLEM, f"does not answer: {error}")
    if revision not in {None, WANTED_REVISION}:
        return Check("ledger", Level.PROBLEM, f"revision {revision}, this version wants {WANTED_REVISION}")
    return Check("ledger", Level.OK, "answers" if revision else "answers, and is empty: the console will set it up")


def _gaps(source: Source, traits: Traits, has_zone: bool) -> Iterator[str]:
    """What this PBX needs to be told right, and this source lacks."""
    if traits.signs_url and source.public_url is None:
        yield "signs the address it was given: behind a proxy its webhooks hold only with receiver.public_url"
    if traits.has_legs and not source.hold:
        yield "tells of one call in several webhooks: without hold (10s) a transferred call may be posted by its first part"
    if traits.wall_clock and not has_zone:
        yield "tells times without an offset, and timezone is not set: they are taken for UTC"


async def _reached(settings: Settings) -> list[Check]:
    found: list[Check] = []
    pairs: dict[str, TokenPair | str] = {}
    if settings.redis.url is None and not await ping(url_of(settings.data_dir)):
        found.append(_embedded_to_be())
    else:
        try:
            async with open_store(settings, await redis_in_use(settings)) as store:
                found += await _redis(settings, store)
                pairs = await _pairs(settings, store)
        except StoreUnavailable as error:
            found.append(Check("redis", Level.PROBLEM, f"{words_for(trouble_of(error))}: {error}"))
        except Misconfigured as error:
            found.append(Check("redis", Level.PROBLEM, str(error)))
    found.append(await _ledger(settings))
    if here := spool_here(settings):
        found += spool_checks(here, time.time())
    async with build_session() as session:
        for name, account in settings.accounts.items():
            pair = pairs.get(name)
            if account.uses_oauth:
                found += authorisation_checks(name, authorisation(name, account, pair, time.time()))
            if account.token is not None:
                opens = long_lived(name, account.url, account.token.get_secret_value())
            elif isinstance(pair, TokenPair) and pair.is_for(account.url) and time.time() < pair.expires_at:
                opens = Fixed(pair.in_use)  # looked at, and not replaced: nothing here changes anything
            else:
                continue
            seen = await account_client(name, settings, session, opens).check()
            found += account_checks(name, seen, wants_leads=account.no_match.policy is NoMatchPolicy.UNSORTED)
    return found


async def _pairs(settings: Settings, store: Store) -> dict[str, TokenPair | str]:
    """The stored pair of each account that uses OAuth and has one, or why it cannot be read."""
    pairs: dict[str, TokenPair | str] = {}
    for name in (name for name, account in settings.accounts.items() if account.uses_oauth):
        try:
            if (pair := await token_vault(name, settings, store.scripts).load()) is not None:
                pairs[name] = pair
        except Misconfigured as error:
            pairs[name] = str(error)
    return pairs


def _embedded_to_be() -> Check:
    """None is configured and none runs here: what `callbridge up` would start."""
    try:
        return Check("redis", Level.OK, f"none is configured: `callbridge up` will start {find_server()}")
    except Misconfigured as error:
        return Check("redis", Level.PROBLEM, str(error))


async def _redis(settings: Settings, store: Store) -> list[Check]:
    found = await standing(store, settings)
    clock = clock_check("clock of redis", await clock_ahead(store.scripts, time.time))
    return [
        Check("redis", Level.OK, "answers"),
        *durability_checks(found),
        *(Check("redis", Level.WARNING, line) for line in await remarks(store.scripts.redis)),
        clock,
    ]


def _many(things: Sized, word: str) -> str:
    count = len(things)
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
