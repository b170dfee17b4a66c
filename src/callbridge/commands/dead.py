"""`callbridge dead ...`: calls that only a person can move on.

A bulk action names what it would touch before it touches it, and then touches exactly that.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from callbridge.call import CallId
from callbridge.commands import options
from callbridge.commands.books import note_down, user
from callbridge.commands.calls import read_story, show_list, show_story
from callbridge.commands.frame import Found, WrongUsage, opened, run, settings_of
from callbridge.commands.output import calls_table, console, notes, plain, write_json
from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Inspector
from callbridge.ops.replay import NO_SUCH_CALL, Action, Done, Preview, carry_out, preview
from callbridge.outcome import Reason
from callbridge.settings import Settings
from callbridge.store.records import Record
from callbridge.store.repair import RedisRepair
from callbridge.wiring import Store

app = typer.Typer(no_args_is_help=True, help="Look at dead calls, send them again, or discard them.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Calls by id, instead of filters.")]
Everything = Annotated[bool, typer.Option("--all", help="All dead calls.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_dead(
    context: typer.Context,
    *,
    account: options.Account = None,
    source: options.Source = None,
    phone: options.Phone = None,
    since: options.Since = None,
    until: options.Until = None,
    reason: options.Reason = None,
    limit: options.Limit = None,
    as_json: options.Json = False,
) -> None:
    """List dead calls, the latest to die first."""
    found = options.wanted(
        state="dead", account=account, source=source, phone=phone, since=since, until=until, reason=reason
    )
    run(show_list(settings_of(context), found, limit, as_json=as_json))


@app.command("show")
def show_dead(
    context: typer.Context,
    call_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a dead call.")],
    as_json: options.Json = False,
) -> None:
    """Tell a dead call's story, and what can be done."""
    story = run(read_story(settings_of(context), call_id))
    if story.listed.state != "dead":
        notes().print(plain(f"Call {call_id} is not dead, it is {story.listed.state}: callbridge calls show {call_id}"))
        raise Found
    show_story(story, as_json=as_json)


@app.command("replay")
def replay(
    context: typer.Context,
    *,
    ids: Ids = None,
    account: options.Account = None,
    source: options.Source = None,
    phone: options.Phone = None,
    since: options.Since = None,
    until: options.Until = None,
    reason: options.Reason = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: options.Json = False,
) -> None:
    """Let dead calls be sent again, with a fresh budget of retries. Those that may be in the CRM are looked for first."""
    found = options.wanted(
        state="dead", account=account, source=source, phone=phone, since=since, until=until, reason=reason
    )
    _act(context, Action.REPLAY, ids or [], found, everything, dry_run=dry_run, yes=yes, as_json=as_json)


@app.command("discard")
def discard(
    context: typer.Context,
    *,
    ids: Ids = None,
    account: options.Account = None,
    source: options.Source = None,
    phone: options.Phone = None,
    since: options.Since = None,
    until: options.Until = None,
    reason: options.Reason = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: options.Json = False,
) -> None:
    """Close dead calls for good. They stay visible as ignored, with the reason discarded."""
    found = options.wanted(
        state="dead", account=account, source=source, phone=phone, since=since, until=until, reason=reason
    )
    _act(context, Action.DISCARD, ids or [], found, everything, dry_run=dry_run, yes=yes, as_json=as_json)


def _act(
    context: typer.Context,
    action: Action,
    ids: list[str],
    wanted: Filter,
    everything: bool,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    filtered = wanted != Filter(state="dead")
    if bool(ids) + filtered + everything != 1:
        raise WrongUsage(f"say which calls to {action}: ids, or filters such as --reason, or --all (one of the three)")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise WrongUsage(f"there is nobody to ask here: give --yes to {action}, or --dry-run to look")
    done = run(_look_and_act(settings_of(context), action, ids, wanted, dry_run=dry_run, yes=yes, as_json=as_json))
    if as_json:
        answer = {"matched": done.matched, "moved": done.moved, "skipped": dict(done.skipped), "dry_run": dry_run}
        write_json(answer)
    if NO_SUCH_CALL in done.skipped:
        raise Found


async def _look_and_act(
    settings: Settings, action: Action, ids: list[str], wanted: Filter, *, dry_run: bool, yes: bool, as_json: bool
) -> Done:
    out = notes() if as_json else console()
    async with opened(settings) as (store, inspector):
        planned = await preview(action, _chosen(store, inspector, ids, wanted))
        if not (as_json and yes):
            _tell(planned, out)
        undone = Done(planned.matched, 0, planned.skipped)
        if dry_run or not planned.ids:
            return undone
        if not yes and not typer.confirm(f"{action.capitalize()} {_calls(len(planned.ids))}?", err=True):
            return undone
        done = await _with_progress(planned, RedisRepair(store.scripts), out)
    if done.moved:
        told = {"ids": ids[:100]} if ids else {name: value for name, value in asdict(wanted).items() if value}
        await note_down(settings, f"calls.{action}", told | {"phone": None}, count=done.moved)
    if not as_json:
        out.print(f"{_calls(done.moved).capitalize()} {action}ed.")
    return done


async def _chosen(
    store: Store, inspector: Inspector, ids: list[str], wanted: Filter
) -> AsyncGenerator[tuple[CallId, Record | None], None]:
    if ids:
        for call_id in dict.fromkeys(ids):
            yield CallId(call_id), await store.records.get(CallId(call_id))
    else:
        async for record in inspector.records(wanted):
            yield record.id, record


async def _with_progress(planned: Preview, repair: RedisRepair, out: Console) -> Done:
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task(planned.action.capitalize(), total=len(planned.ids))
        return await carry_out(planned, repair, lambda count: progress.advance(task, count), user())


def _tell(planned: Preview, out: Console) -> None:
    """The preview: how many, why they are dead, a sample, and what will become of them."""
    if not planned.matched:
        out.print("No such dead calls.")
        return
    match planned.action:
        case Action.REPLAY:
            out.print(f"{_calls(len(planned.ids)).capitalize()} would be sent again:")
        case Action.DISCARD:
            out.print(f"{_calls(len(planned.ids)).capitalize()} would be closed as ignored:")
    for reason, count in planned.by_reason.items():
        first = " (looked for in the CRM first)" if _is_looked_for(planned.action, reason) else ""
        out.print(plain(f"  {count} {reason or 'without a reason'}{first}"))
    for why, count in planned.skipped.items():
        out.print(plain(f"  {count} {why}: stay as they are"))
    if planned.sample:
        out.print(calls_table(planned.sample))
        if (more := len(planned.ids) - len(planned.sample)) > 0:
            out.print(f"... and {more} more")


def _is_looked_for(action: Action, reason: str) -> bool:
    return action is Action.REPLAY and reason == Reason.UNKNOWN_OUTCOME


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
