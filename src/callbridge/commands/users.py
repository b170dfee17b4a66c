"""`callbridge users ...`: which employee of the PBX is which user of the CRM.

A call shows up under the right name only where its source's `extensions` say whose the extension is. `suggest` proposes that
map, `unmapped` tells what it lacks. Both only read; the settings are changed by a person.
"""

from __future__ import annotations

import json
import shlex
from contextlib import aclosing
from typing import Annotated

import typer

from callbridge import configuration
from callbridge.amocrm.exchange import build_session
from callbridge.amocrm.users import Users, UsersUnreadable
from callbridge.commands import options
from callbridge.commands.frame import Found, WrongUsage, opened, run, settings_of
from callbridge.commands.output import console, local, notes, plain, table, write_json
from callbridge.credentials import credential
from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Inspector
from callbridge.ops.users import Proposal, Seen, Sightings, propose
from callbridge.settings import Settings
from callbridge.wiring import account_client

app = typer.Typer(no_args_is_help=True, help="Which employee of the PBX is which user of the CRM.")


@app.command("suggest")
def suggest(
    context: typer.Context,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account whose users are read.")],
    *,
    source: options.Source = None,
    as_json: options.Json = False,
) -> None:
    """Propose the EXTENSIONS of each source: who was seen on stored calls, beside the users of the CRM.

    The token has to be an administrator's. Changes nothing.
    """
    settings = settings_of(context)
    if account not in settings.accounts:
        raise WrongUsage(f"there is no account {account!r}; there are {', '.join(settings.accounts) or 'none'}")
    sources = [name for name in settings.sources if settings.account_of(name) == account]
    if source is not None and source not in sources:
        raise WrongUsage(f"account {account} has no source {source!r}; it has {', '.join(sources) or 'none'}")
    users, seen = run(_read(settings, account, source))
    if isinstance(users, UsersUnreadable):
        notes().print(plain(f"The users of {account} cannot be read: {users.detail}."))
        raise Found
    proposals = [
        propose(name, settings.sources[name].extensions, seen.of(name), users.all)
        for name in sources
        if source in {None, name}
    ]
    if as_json:
        told = [proposal.as_json() | {"setting": setting(proposal)} for proposal in proposals]
        write_json({"account": account, "users": users.all, "sources": told})
        return
    for proposal in proposals:
        _show(proposal)
    _show_users(users)


@app.command("unmapped")
def unmapped(
    context: typer.Context,
    *,
    account: options.Account = None,
    source: options.Source = None,
    since: options.Since = None,
    as_json: options.Json = False,
) -> None:
    """List extensions, logins and e-mails on stored calls that no EXTENSIONS know, the most frequent first."""
    settings = settings_of(context)
    wanted = options.wanted(account=account, source=source, phone=None, since=since, until=None, reason=None)
    found = run(_seen(settings, wanted)).unmapped({name: s.extensions for name, s in settings.sources.items()})
    if as_json:
        for seen in found:
            write_json(seen)
        return
    if not found:
        console().print("Every extension that was seen has its user.")
        return
    console().print(_sightings(found))


async def _read(settings: Settings, account: str, source: str | None) -> tuple[Users | UsersUnreadable, Sightings]:
    async with opened(settings) as (store, inspector), build_session() as session:
        seen = await _sighted(inspector, Filter(account=account, source=source))
        opens = credential(account, settings, session, store.scripts)
        try:
            return await account_client(account, settings, session, opens).users(), seen
        finally:
            await opens.close()


async def _seen(settings: Settings, wanted: Filter) -> Sightings:
    async with opened(settings) as (_, inspector):
        return await _sighted(inspector, wanted)


async def _sighted(inspector: Inspector, wanted: Filter) -> Sightings:
    seen = Sightings()
    async with aclosing(inspector.records(wanted)) as records:
        async for record in records:
            seen.add(record)
    return seen


def setting(proposal: Proposal) -> str:
    """The line to paste into a file that a shell reads."""
    name = configuration.variable_of(("sources", proposal.source, "extensions"))
    return f"{name}={shlex.quote(json.dumps(proposal.extensions, ensure_ascii=False))}"


def _show(proposal: Proposal) -> None:
    out = console()
    out.print(plain(f"Source {proposal.source}"), style="bold")
    if proposal.extensions:
        out.print(plain(setting(proposal)), soft_wrap=True)
    rows = table("extension", "calls", "user", "", right=("calls",))
    for match in proposal.matches:
        rows.add_row(
            plain(match.seen.extension),
            str(match.seen.calls),
            plain(f"{match.user.id} {match.user.name}"),
            plain(f"by {match.by}"),
        )
    for doubt in proposal.doubts:
        who = " or ".join(f"{user.id} {user.name}" for user in doubt.users)
        rows.add_row(plain(doubt.seen.extension), str(doubt.seen.calls), plain(who), "nobody fits" if not who else "?")
    for extension, user in proposal.stale.items():
        rows.add_row(plain(extension), "", str(user), "is set, and the CRM has no such active user")
    out.print(rows if rows.row_count else "Nothing new was seen on its calls.")
    if proposal.free:
        out.print(plain(f"Without an extension: {', '.join(f'{user.id} {user.name}' for user in proposal.free)}"))
    out.print()


def _show_users(users: Users) -> None:
    rows = table("user id", "name", "e-mail", "")
    for user in users.all:
        rows.add_row(str(user.id), plain(user.name), plain(user.email), "" if user.active else "not active")
    console().print(rows)


def _sightings(found: list[Seen]) -> object:
    rows = table("source", "extension", "calls", "last seen", right=("calls",))
    for seen in found:
        rows.add_row(plain(seen.source), plain(seen.extension), str(seen.calls), local(seen.last_seen))
    return rows
