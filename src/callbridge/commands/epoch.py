"""`callbridge epoch ...`: whether Redis is the one that this host knows, and going on with one that is not."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from callbridge.commands.frame import Found, WrongUsage, opened, run, settings_of
from callbridge.commands.output import console, notes, plain
from callbridge.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Whether Redis is the one that this host knows.")


@app.command("show")
def show(context: typer.Context) -> None:
    """Say whether Redis is the one that this host knows. Exit code 1 if it is not."""
    problem = run(_differs(settings_of(context)))
    console().print(plain(problem or "Redis is the one that this host knows."))
    if problem:
        raise Found


@app.command("accept")
def accept(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Go on with an emptied or another Redis: the calls that it does not know are gone.

    What a PBX sends again is then posted again. All hosts that knew the same Redis go on by themselves.
    """
    settings = settings_of(context)
    problem = run(_differs(settings))
    if problem is None:
        notes().print("Redis is the one that this host knows: there is nothing to accept.")
        raise Found
    if not (yes or sys.stdin.isatty()):
        raise WrongUsage("there is nobody to ask here: give --yes to go on with this Redis")
    if not yes:
        notes().print(plain(problem))
        if not typer.confirm("Go on with it?", err=True):
            raise Found
    run(_accept(settings))
    console().print("Accepted. Receivers and workers go on within seconds.")


async def _differs(settings: Settings) -> str | None:
    async with opened(settings) as (store, _):
        return await store.epoch.differs()


async def _accept(settings: Settings) -> None:
    async with opened(settings) as (store, _):
        await store.epoch.accept()
