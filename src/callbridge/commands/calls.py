"""`callbridge status`, `callbridge calls list`, `callbridge calls show`: how everything stands, and each call."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Annotated

import typer
from rich.console import Console

from callbridge.call import CallId
from callbridge.commands import options
from callbridge.commands.frame import Found, opened, run, settings_of
from callbridge.commands.output import calls_table, coloured, console, local, notes, plain, span, table, write_json
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.inspecting import spool_here
from callbridge.ops.filters import Filter
from callbridge.ops.health import Status, states
from callbridge.ops.inspect import Listed, Story
from callbridge.ops.kept import Away
from callbridge.settings import Settings
from callbridge.store.durability import Standing
from callbridge.store.presence import GONE_AFTER
from callbridge.store.tally import AccountTally, Pause
from callbridge.store.trouble import trouble_of

app = typer.Typer(no_args_is_help=True, help="Look at stored calls.")


@app.command("list")
def list_calls(
    context: typer.Context,
    *,
    state: options.State = None,
    account: options.Account = None,
    source: options.Source = None,
    phone: options.Phone = None,
    since: options.Since = None,
    until: options.Until = None,
    reason: options.Reason = None,
    limit: options.Limit = None,
    as_json: options.Json = False,
) -> None:
    """List calls: the latest received first, those of a final state by when they got there."""
    found = options.wanted(
        state=state, account=account, source=source, phone=phone, since=since, until=until, reason=reason
    )
    run(show_list(settings_of(context), found, limit, as_json=as_json))


async def show_list(settings: Settings, wanted: Filter, limit: int | None, *, as_json: bool) -> None:
    async with opened(settings) as (_, inspector):
        if as_json:
            async with aclosing(inspector.calls(wanted, limit)) as calls:
                async for call in calls:
                    write_json(call.as_json())
            return
        shown = limit or options.TABLE_LIMIT
        async with aclosing(inspector.calls(wanted, shown + 1)) as calls:
            rows = [call async for call in calls]
    console().print(calls_table(rows[:shown]) if rows else "No such calls.")
    if len(rows) > shown:
        notes().print(f"The first {shown}; there are more. --limit N shows N, --json shows all.")


@app.command("show")
def show_call(
    context: typer.Context,
    call_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a call, from a list or a log.")],
    as_json: options.Json = False,
) -> None:
    """Tell one call's story: the webhook, what happened since, and what is next."""
    show_story(run(read_story(settings_of(context), call_id)), as_json=as_json)


async def read_story(settings: Settings, call_id: str) -> Story:
    """Ends the command where there is no such call."""
    async with opened(settings) as (_, inspector):
        story = await inspector.call(CallId(call_id))
    if story is None:
        notes().print(plain(f"There is no call {call_id}."))
        raise Found
    return story


def show_story(story: Story, *, as_json: bool) -> None:
    if as_json:
        write_json(story.as_json())
        return
    out, call = console(), story.listed
    facts = table("", "")
    facts.show_header = False
    rows = {
        "call": call.id,
        "state": f"{call.state}{f' ({call.reason})' if call.reason else ''}",
        "detail": call.detail,
        "next": story.advice,
        "account, source": f"{call.account}, {call.source} ({call.provider or 'unknown provider'})",
        "id at the PBX": call.ref,
        "uniq in the CRM": call.uniq,
        "direction, phone": None if call.direction is None else f"{call.direction}, {call.phone or 'hidden number'}",
        "started": f"{local(call.started_at)}, talked {span(call.duration)}" if call.started_at else None,
        "ended as": call.call_status,
        "extension": story.extension,
        "result": story.result,
        "recording": call.link,
        "card in the CRM": _card(call),
        "received": local(call.received_at),
        "requests made": call.attempts,
        "came again": f"{call.duplicates} times the same, {call.variants} times different",
    }
    for name, value in rows.items():
        if value is not None:
            facts.add_row(name, plain(value))
    out.print(facts)
    happened = table("", "when", "what", "facts")
    happened.show_header = False
    for entry in story.happened:
        rest = ", ".join(f"{key} {value}" for key, value in entry.items() if key not in {"at", "what"})
        happened.add_row("", local(entry["at"]), plain(entry["what"]), plain(rest))
    out.print("\nWhat happened", style="bold")
    out.print(happened)
    out.print(f"\nThe webhook ({story.event or 'unknown event'}, {len(story.body)} bytes)", style="bold", markup=False)
    out.print(plain(story.body.decode("utf-8", "replace")), soft_wrap=True)


def _card(call: Listed) -> str | None:
    if not call.entity_type:
        return None
    card = f"{call.entity_type} {call.entity_id or 'unknown'}"
    return f"{card}, note {call.note_id}" if call.note_id else card


def status(context: typer.Context, as_json: options.Json = False) -> None:
    """Say in one sentence whether anything is wrong, then figures.

    Exit code 1 on a problem.
    """
    found = run(_status(settings_of(context)))
    if as_json:
        write_json(found.as_json())
    elif isinstance(found, Away):
        _show_away(found, console())
    else:
        _show_status(found, console())
    if isinstance(found, Away) or not found.ok:
        raise Found


def _stands_still(account: AccountTally) -> str:
    pause, slowed, breaker = account.pause, account.slowed, account.breaker
    if pause:
        return f"{pause.reason.value} since {local(pause.since)}, {_next(pause)}"
    told = f"next try in {span(slowed.ask_in)}: {slowed.why}" if slowed else ""
    return f"{breaker.state.value} since {local(breaker.since)}, {told}" if breaker.since else told


def _durability(standing: Standing) -> str:
    told = standing.kept_as
    if told != standing.level.value:
        told += f" (Redis itself: {standing.level.value})"
    if standing.replicas:
        told += f", {standing.replicas} replicas"
    if standing.memory is not None:
        told += f", {standing.memory:.0%} of its memory in use"
    return f"{told}, primary {standing.primary}" if standing.primary else told


def _next(pause: Pause) -> str:
    if pause.probe_in is not None:
        return f"next try in {span(pause.probe_in)}"
    ends = f"until {local(pause.until)}" if pause.until else "until it is resumed"
    return f"by {pause.owner}, {ends}: {pause.detail}"


async def _status(settings: Settings) -> Status | Away:
    """Without Redis there are no figures, but what this host's spool holds is known all the same."""
    try:
        async with opened(settings) as (_, inspector):
            return await inspector.status()
    except StoreUnavailable as error:
        return Away(str(error), trouble_of(error), spool_here(settings), time.time())
    except Misconfigured as error:
        if not spool_here(settings):
            raise
        return Away(str(error), None, spool_here(settings), time.time())


def _show_away(found: Away, out: Console) -> None:
    out.print(plain(found.sentence), style="bold red")
    for line in found.problems:
        out.print(coloured("problem"), plain(line))


def _show_status(found: Status, out: Console) -> None:
    out.print(plain(found.sentence), style="bold green" if found.ok else "bold red")
    for level, lines in (("problem", found.problems), ("warning", found.warnings)):
        for line in lines:
            out.print(coloured(level), plain(line))
    counts = table("state", "calls", right=("calls",))
    for state, count in states(found.tally).items():
        counts.add_row(coloured(state) if count else state, str(count))
    counts.add_row("total", str(found.tally.total))
    out.print(f"\nDurability: {_durability(found.standing)}\n")
    out.print(counts)
    accounts = table("account", "waiting", "oldest due", "uncertain", "parked", "stands still")
    for account in found.tally.accounts:
        told = _stands_still(account)
        figures = (str(account.waiting), span(account.oldest_waiting), str(account.uncertain), str(account.parked))
        accounts.add_row(plain(account.account), *figures, plain(told))
    sources = table("source", "last webhook", "webhooks")
    for source in found.tally.sources:
        told = ", ".join(f"{count} {what}" for what, count in sorted(source.counts.items()))
        sources.add_row(plain(source.source), f"{span(source.last_seen)} ago", plain(told))
    workers = table("worker", "last heartbeat", "")
    for worker, age in sorted(found.workers.items()):
        workers.add_row(plain(worker), f"{span(age)} ago", "running" if age <= GONE_AFTER else "gone")
    for made in (accounts, sources, workers):
        if made.row_count:
            out.print()
            out.print(made)
