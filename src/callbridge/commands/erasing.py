"""`callbridge erase`: takes everything about one phone number out of Redis and the ledger, for good."""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated, Any, Final

import typer

from callbridge.commands import options
from callbridge.commands.books import audit_of, opened_ledger, shell
from callbridge.commands.frame import WrongUsage, redis_in_use, run, settings_of
from callbridge.commands.output import console, write_json
from callbridge.errors import Misconfigured
from callbridge.ledger import keeping
from callbridge.ledger.database import Ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.views import CallFilter
from callbridge.ledger.writer import Writer
from callbridge.ops.filters import digits
from callbridge.ops.masking import masked
from callbridge.settings import Settings
from callbridge.store.changes import RedisChanges
from callbridge.store.forgetting import RedisForgetting
from callbridge.wiring import Store, open_store

FEWEST_DIGITS: Final = 5
"""Fewer would be an extension, which many share."""

CATCH_UP: Final = 120.0
"""Seconds for which the ledger may take to know what Redis has."""


def erase(
    context: typer.Context,
    phone: Annotated[str, typer.Argument(metavar="PHONE", help="The whole number, in any spelling.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is audited.")] = "asked for by the person",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.Json = False,
) -> None:
    """Erase every call with a phone number: what is left is that there was one, so that nothing brings it back."""
    if len(digits(phone)) < FEWEST_DIGITS:
        raise WrongUsage(f"PHONE: is a whole number with {FEWEST_DIGITS} digits or more")
    settings = settings_of(context)
    if not yes:
        if not sys.stdin.isatty():
            raise WrongUsage("--yes is needed where nobody can be asked")
        count = run(_count(settings, phone))
        if not typer.confirm(f"Erase {count} calls with {masked(phone)}? There is no way back", err=True):
            raise typer.Exit(1)
    told = run(_erase(settings, phone, reason))
    if as_json:
        write_json(told)
    else:
        console().print(f"Erased {told['erased']} calls.")


async def _count(settings: Settings, phone: str) -> int:
    async with opened_ledger(settings) as ledger, open_store(settings, await redis_in_use(settings)) as store:
        await _catch_up(ledger, store)
        return (await Queries(ledger).count(CallFilter(phone=digits(phone)[-10:]))).calls


async def _erase(settings: Settings, phone: str, reason: str) -> dict[str, Any]:
    async with opened_ledger(settings) as ledger, open_store(settings, await redis_in_use(settings)) as store:
        await _catch_up(ledger, store)
        erased = await keeping.erase(ledger, phone, time.time(), RedisForgetting(store.scripts))
        await _catch_up(ledger, store)
        # Not the number itself: the audit outlives it.
        await audit_of(ledger).add(shell(), "erase", {}, reason=reason, count=len(erased))
        return {"erased": len(erased)}


async def _catch_up(ledger: Ledger, store: Store) -> None:
    """A call that the ledger has not heard of could not be found by its number. Raises `Misconfigured`."""
    forgetting = RedisForgetting(store.scripts)

    async def bury(ids: Any) -> None:
        await forgetting.erase(ids)

    changes = RedisChanges(store.scripts, f"erase-{os.getpid()}")
    writer = Writer(ledger, changes, store.records, time.time, bury)
    deadline = time.monotonic() + CATCH_UP
    while (await changes.behind()).entries:
        await writer.step()
        if time.monotonic() > deadline:
            raise Misconfigured(
                "the ledger does not catch up with Redis: see `callbridge ledger status`, then try again"
            )
