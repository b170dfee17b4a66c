"""`callbridge erase`: takes everything about one phone number out of Redis and the ledger, for good."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import typer

from callbridge.commands import options
from callbridge.commands.books import audit_of, opened_ledger, shell
from callbridge.commands.frame import WrongUsage, redis_in_use, run, settings_of
from callbridge.commands.output import console, notes, write_json
from callbridge.ledger.database import Ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.views import CallFilter
from callbridge.ops.filters import digits
from callbridge.ops.masking import masked
from callbridge.ops.wiping import Wiping
from callbridge.settings import Settings
from callbridge.wiring import open_store

FEWEST_DIGITS: Final = 5
"""Fewer would be an extension, which many share."""


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
    async with _opened(settings) as (ledger, wiping):
        await wiping.catch_up()
        return (await Queries(ledger).count(CallFilter(phone=digits(phone)[-10:]))).calls


async def _erase(settings: Settings, phone: str, reason: str) -> dict[str, Any]:
    async with _opened(settings) as (ledger, wiping):
        erased = await wiping.wipe(phone)
        # Not the number itself: the audit outlives it.
        await audit_of(ledger).add(shell(), "erase", {}, reason=reason, count=len(erased))
        if erased and not await wiping.rewrite_log():
            notes().print("Redis's append-only file holds it until BGREWRITEAOF, which this Redis did not do for us.")
        return {"erased": len(erased)}


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Ledger, Wiping]]:
    async with opened_ledger(settings) as ledger, open_store(settings, await redis_in_use(settings)) as store:
        yield ledger, Wiping(ledger, store.scripts, f"erase-{os.getpid()}")
