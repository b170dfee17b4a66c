"""`callbridge accounts ...`: the accounts of the CRM, pausing and resuming them by hand, and letting us into them anew."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated

import typer

from callbridge.amocrm.consent import Application, Consent, NoConsent, consent_url, read_consent
from callbridge.amocrm.exchange import build_session
from callbridge.amocrm.tokens import TokenPair
from callbridge.commands import options
from callbridge.commands.books import note_down, user
from callbridge.commands.frame import WrongUsage, opened, run, settings_of
from callbridge.commands.output import coloured, console, local, plain, span, table, write_json
from callbridge.credentials import application, token_endpoint, token_vault
from callbridge.errors import AccountSlowed, Misconfigured
from callbridge.ops import accounts as desk
from callbridge.ops.accounts import Authorised, NotAuthorised, Row
from callbridge.ops.advice import of_pause
from callbridge.ops.authorised import authorisation
from callbridge.outcome import PauseReason
from callbridge.settings import Settings
from callbridge.store.pace import RedisPace
from callbridge.values import parse_duration
from callbridge.wiring import Store

app = typer.Typer(no_args_is_help=True, help="The accounts of the CRM: look, pause, resume, authorise.")

LONGEST_PAUSE = 366 * 86_400.0

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name in the settings.")]
As = Annotated[str | None, typer.Option("--as", metavar="WHO", help="Who does it.  [default: the user here]")]


@app.command("list")
def list_accounts(context: typer.Context, as_json: options.Json = False) -> None:
    """List accounts: whether they are sent to, why not, what waits, and what opens them until when."""
    found = run(_rows(settings_of(context)))
    if as_json:
        for row in found:
            write_json(row.as_json())
        return
    if not found:
        console().print("No account is configured.")
        return
    shown = table(
        "account", "state", "address", "waiting", "uncertain", "parked", "a second", "opened by", "good until"
    )
    for row in found:
        shown.add_row(
            plain(row.account),
            coloured(row.state),
            plain(row.url or ""),
            *(str(count) for count in (row.waiting, row.uncertain, row.parked)),
            f"{row.requests_per_second:g}" if row.requests_per_second else "",
            row.authorised_by or "",
            local(row.renewable_until or row.token_expires_at),
        )
    out = console()
    out.print(shown)
    for line in (line for row in found for line in _lines(row)):
        out.print(plain(line))


@app.command("pause")
def pause(
    context: typer.Context,
    name: Name,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; everybody who looks will see it.")],
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="End by itself after 30m, 2h, 1d.")
    ] = None,
    who: As = None,
    as_json: options.Json = False,
) -> None:
    """Send nothing to an account until it is resumed. Its calls are taken in and wait."""
    settings = settings_of(context)
    seconds = parse_duration(lasting) if lasting else None
    if lasting and (not isinstance(seconds, float) or not 0 < seconds <= LONGEST_PAUSE):
        raise WrongUsage(f"--for {lasting!r}: is a duration such as 30m, 2h or 1d")
    if not reason.strip():
        raise WrongUsage("--reason is empty: say why, for whoever looks next")
    row = run(_pause(settings, name, " ".join(reason.split()), who or user(), seconds))
    if as_json:
        write_json(row.as_json())
    else:
        until = f"until {local(row.until)}" if row.until else f"until `callbridge accounts resume {name}`"
        console().print(plain(f"Account {name} is paused {until}."))


@app.command("resume")
def resume(context: typer.Context, name: Name, *, who: As = None, as_json: options.Json = False) -> None:
    """Let a paused account go on at once, whatever it was paused for."""
    lasted, row = run(_resume(settings_of(context), name, who or user()))
    if as_json:
        write_json(row.as_json())
    else:
        told = "was not paused" if lasted is None else f"goes on after {span(lasted)}"
        console().print(plain(f"Account {name} {told}."))


@app.command("authorise")
def authorise(
    context: typer.Context,
    name: Name,
    *,
    code: Annotated[
        str | None,
        typer.Option("--code", metavar="CODE", help="The code, or the whole address to which the browser was sent."),
    ] = None,
    who: As = None,
    as_json: options.Json = False,
) -> None:
    """Let callbridge into an account by OAuth: shows the page to open, takes the code that comes back, goes on at once."""
    settings = settings_of(context)
    app_ = _application(settings, name)
    home = settings.accounts[name].url
    if code is None:
        page = consent_url(home, app_, name, time.time())
        if as_json:
            write_json({"account": name, "authorised": False, "consent_url": page})
            return
        console().print("Open this page as an administrator of the account, and allow it:\n")
        console().print(plain(f"{page}\n"), soft_wrap=True)
        if not sys.stdin.isatty():
            console().print(
                plain(f"Then: callbridge accounts authorise {name} --code 'ADDRESS THE BROWSER WAS SENT TO'")
            )
            return
        code = typer.prompt("Address to which the browser was sent", err=True)
    consent = read_consent(code or "", home, app_, name, time.time())
    if isinstance(consent, NoConsent):
        raise WrongUsage(f"that does not authorise account {name}: {consent.problem}")
    done = run(_authorise(settings, name, app_, consent, who or user()))
    if isinstance(done, NotAuthorised):
        raise Misconfigured(f"account {name} is not authorised: {done.problem}")
    run(note_down(settings, "account.authorised", {"account": name}, by=who))
    if as_json:
        pair = done.pair
        told = {"url": pair.url, "generation": pair.generation, "token_expires_at": pair.expires_at}
        write_json({"account": name, "authorised": True, "resumed": done.resumed} | told)
    else:
        console().print(plain(f"Account {name} is authorised{' and goes on' if done.resumed else ''}."))


# --- what they do ----------------------------------------------------------------------------------------------------


async def _rows(settings: Settings) -> list[Row]:
    async with opened(settings) as (store, _):
        known = {tally.account for tally in (await store.tally.read()).accounts}
        return [await _row(settings, store, name) for name in sorted(known | settings.accounts.keys())]


async def _row(settings: Settings, store: Store, name: str) -> Row:
    account = settings.accounts.get(name)
    tally = await store.tally.account(name)
    if account is None:
        return desk.row(tally, None, None)
    pair: TokenPair | str | None = None
    if account.uses_oauth:
        try:
            pair = await token_vault(name, settings, store.scripts).load()
        except Misconfigured as error:
            pair = str(error)
    return desk.row(tally, account, authorisation(name, account, pair, time.time()))


async def _pause(settings: Settings, name: str, reason: str, who: str, seconds: float | None) -> Row:
    async with opened(settings) as (store, _):
        await _known(settings, store, name)
        await desk.pause(store.queue, name, reason, who, seconds)
        await note_down(settings, "account.paused", {"account": name}, by=who, reason=reason)
        return await _row(settings, store, name)


async def _resume(settings: Settings, name: str, who: str) -> tuple[float | None, Row]:
    async with opened(settings) as (store, _):
        await _known(settings, store, name)
        lasted = await desk.resume(store.queue, name, who)
        await note_down(settings, "account.resumed", {"account": name}, by=who)
        return lasted, await _row(settings, store, name)


async def _authorise(
    settings: Settings, name: str, app_: Application, consent: Consent, who: str
) -> Authorised | NotAuthorised:
    async with opened(settings) as (store, _), build_session() as session:
        pace = RedisPace(store.scripts, name, settings.accounts[name].requests_per_second)

        async def permit() -> None:
            with contextlib.suppress(AccountSlowed):  # nobody else sends then, and the person waits
                await pace.take()

        return await desk.authorise(
            name,
            consent,
            endpoint=token_endpoint(app_, settings, session),
            vault=token_vault(name, settings, store.scripts),
            queue=store.queue,
            pause=await store.tally.pause_of(name),
            owner=who,
            now=time.time,
            permit=permit,
        )


async def _known(settings: Settings, store: Store, name: str) -> None:
    """An account of the settings, or one that has calls."""
    if name not in settings.accounts and name not in {t.account for t in (await store.tally.read()).accounts}:
        raise WrongUsage(f"there is no account {name!r}; there are {', '.join(settings.accounts) or 'none'}")


def _application(settings: Settings, name: str) -> Application:
    if name not in settings.accounts:
        raise WrongUsage(f"there is no account {name!r}; there are {', '.join(settings.accounts) or 'none'}")
    found = application(settings.accounts[name])
    if found is None:
        raise WrongUsage(f"account {name} has a long-lived token, which is set in the settings, and no OAuth")
    return found


def _lines(row: Row) -> list[str]:
    """What is to be said about an account beside its figures."""
    told = [f"{row.account}: {line}" for line in (row.problem, row.warning) if line]
    if row.reason and row.owner:
        ends = f", until {local(row.until)}" if row.until else ""
        told.insert(0, f"{row.account}: paused by {row.owner} since {local(row.since)}{ends}: {row.detail}")
    elif row.reason:
        next_ = f"next try in {span(row.next_probe_in)}"
        told.insert(0, f"{row.account}: {of_pause(PauseReason(row.reason))} ({row.detail}; {next_})")
    elif row.slowed_by:
        told.insert(0, f"{row.account}: waits a little: {row.slowed_by}")
    return told
