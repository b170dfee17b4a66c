"""`callbridge sim`: the simulated CRM on its own, to rehearse with; the simulated PBXs are in `playing`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from callbridge import observe
from callbridge.commands import playing
from callbridge.commands.frame import WrongUsage, run
from callbridge.commands.output import console, notes, plain, table
from callbridge.commands.stopping import stop_signals
from callbridge.errors import Misconfigured
from callbridge.settings import LogSettings
from callbridge.sim.crm import CrmSim, SimConfig
from callbridge.sim.faults import FAULTS
from callbridge.values import is_loopback, parse_duration

app = typer.Typer(no_args_is_help=True, help="Parts of the outside world, simulated.")
app.command("pbx")(playing.pbx)

PORT = 8100


@app.command("crm")
def crm(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = PORT,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=VALUE]", help="Misbehave like this; may be repeated.")
    ] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Show every fault there is, and end.")] = False,
    contacts: Annotated[int, typer.Option(min=0, help="Contacts at the start: +79005000000 and up.")] = 50,
    match_all: Annotated[bool, typer.Option("--match-all", help="Have a contact for every number.")] = False,
    token: Annotated[
        list[str] | None, typer.Option(metavar="TOKEN", help="Accept this token only; may be repeated.")
    ] = None,
    rate: Annotated[int, typer.Option(min=0, help="Requests a second for each token; 0: no limit.")] = 7,
    account_rate: Annotated[int | None, typer.Option(min=0, help="The same for all tokens together.")] = None,
    foreign_load: Annotated[int, typer.Option(min=0, help="Requests a second that others use up.")] = 0,
    limit_answer: Annotated[str, typer.Option(metavar="FAULT", help="How too many requests are answered.")] = "429",
    ban_after: Annotated[int, typer.Option(min=0, help="Ban after so many 429s in a minute; 0: never.")] = 0,
    ban_for: Annotated[str, typer.Option(metavar="DURATION", help="How long a ban lasts.")] = "1m",
    latency: Annotated[str, typer.Option(metavar="DURATION", help="Time between storing and answering.")] = "0s",
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="OAuth: accept tokens of this integration only, issued here.")
    ] = "",
    client_secret: Annotated[str, typer.Option(metavar="SECRET", help="OAuth: its secret; unset: any.")] = "",
    redirect_uri: Annotated[str, typer.Option(metavar="URL", help="OAuth: its redirect address; unset: any.")] = "",
    access_life: Annotated[
        str, typer.Option("--token-life", metavar="DURATION", help="OAuth: life of an access token.")
    ] = "1d",
    grace_refresh: Annotated[
        bool, typer.Option("--grace-refresh", help="OAuth: a used refresh token is good until the new pair is used.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the lots drawn for shares and shuffles.")] = 0,
) -> None:
    """Run a CRM that behaves like the real one, and misbehaves when asked to. For loopback: its controls take no password."""
    if list_faults:
        _show_faults()
        return
    try:
        config = SimConfig(
            contacts=contacts,
            match_all=match_all,
            tokens=tuple(token or ()),
            rate=rate,
            account_rate=account_rate,
            foreign_load=foreign_load,
            limit_answer=limit_answer,
            ban_after=ban_after,
            ban_for=_seconds("--ban-for", ban_for),
            latency=_seconds("--latency", latency),
            faults=tuple(fault or ()),
            client_id=client_id,
            client_secret=client_secret,
            redirect_uri=redirect_uri,
            token_life=_seconds("--token-life", access_life),
            grace_refresh=grace_refresh,
            seed=seed,
        )
    except ValueError as error:
        raise WrongUsage(f"{error}. `callbridge sim crm --list-faults` shows what there is.") from None
    observe.configure(LogSettings(), role="sim")
    run(_serve(config, host, port))


async def _serve(config: SimConfig, host: str, port: int) -> None:
    stopping = asyncio.Event()
    sim = CrmSim(config)
    with stop_signals(stopping):
        try:
            await sim.start(host, port)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise Misconfigured(f"cannot listen on {host}:{port}: {why}") from error
        if not is_loopback(host):
            notes().print("Anybody who reaches this address can change the simulator.", style="yellow")
        observe.event("sim.started", url=sim.url)
        out = console()
        out.print(plain(f"CRM        {sim.url}   set it as CALLBRIDGE_ACCOUNTS__MAIN__URL, with any token"))
        if config.client_id:
            out.print(plain("OAuth      authorise with `callbridge accounts authorise`; any other token is refused"))
        out.print(plain(f"Controls   {sim.url}/_sim   what it saw: /_sim/requests, /_sim/notes, /_sim/summary"))
        try:
            await stopping.wait()
        finally:
            await sim.stop()


def _show_faults() -> None:
    rows = table("fault", "value", "strikes", "what it does")
    for fault in FAULTS.values():
        rows.add_row(plain(fault.name), plain(fault.takes), fault.scope.value, plain(fault.description))
    out = console()
    out.print(rows)
    out.print(plain("\nWritten NAME[@SCOPE][=VALUE][*TIMES]: 502-after=3, slow=2s*3, 503-before@reads, 429*10%"))


def _seconds(option: str, written: str) -> float:
    seconds = parse_duration(written)
    if not isinstance(seconds, float):
        raise WrongUsage(f"{option} {written!r}: is a duration such as 500ms, 30s or 5m")
    return seconds
