"""`callbridge uncertain ...`: calls that may or may not be in the CRM, and a person's word about them."""

from __future__ import annotations

import sys
import time
from contextlib import aclosing
from itertools import islice
from typing import Annotated, Any, Final, assert_never

import typer
from rich.console import Console

from callbridge.call import CallId
from callbridge.commands import options
from callbridge.commands.books import note_down, user
from callbridge.commands.frame import Found, WrongUsage, opened, run, settings_of
from callbridge.commands.output import calls_table, coloured, console, local, notes, plain, table, write_json
from callbridge.ops.doubts import NOT_UNCERTAIN, TOO_EARLY, Decision, Doubtful, consider, decide, doubtful
from callbridge.ops.filters import Filter
from callbridge.ops.replay import NO_SUCH_CALL
from callbridge.settings import Settings
from callbridge.store.doubts import RedisDoubts, Verdict

app = typer.Typer(no_args_is_help=True, help="Calls that may or may not be in the CRM: look, and decide.")

SAMPLE: Final = 5


@app.command("list")
def list_uncertain(
    context: typer.Context,
    *,
    account: options.Account = None,
    source: options.Source = None,
    phone: options.Phone = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = None,
    as_json: options.Json = False,
) -> None:
    """List calls whose request got no readable answer: those being looked for, then those that a person decides."""
    wanted = options.wanted(account=account, source=source, phone=phone, since=since, until=until)
    run(_list(settings_of(context), wanted, limit, as_json=as_json))


@app.command("resolve")
def resolve(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Calls by id, from the list.")],
    *,
    delivered: Annotated[bool, typer.Option("--delivered", help="They are in the CRM.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="Send them again: they may end up there twice.")] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in their stories.")] = "",
    who: Annotated[
        str | None, typer.Option("--as", metavar="WHO", help="Who decides.  [default: the user here]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also calls that are still being looked for.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: options.Json = False,
) -> None:
    """Decide what nobody could find out: mark calls as delivered, or send them again.

    For dead calls of unknown outcome, and uncertain ones that were looked for in vain for long enough.
    """
    if delivered == resend:
        raise WrongUsage("say what you decide: --delivered or --resend (one of the two)")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise WrongUsage("there is nobody to ask here: give --yes to decide, or --dry-run to look")
    verdict = Verdict.DELIVERED if delivered else Verdict.RESEND
    by, why = who or user(), " ".join(reason.split())
    work = _resolve(
        settings_of(context),
        verdict,
        ids,
        by,
        why,
        force=force,
        dry_run=dry_run,
        asks=not (dry_run or yes),
        quiet=as_json and yes,
        out=notes() if as_json else console(),
    )
    answer = run(work)
    if as_json:
        write_json(answer)
    if {NO_SUCH_CALL, TOO_EARLY} & answer["skipped"].keys():
        raise Found


async def _list(settings: Settings, wanted: Filter, limit: int | None, *, as_json: bool) -> None:
    shown = limit or (None if as_json else options.TABLE_LIMIT)
    found: list[Doubtful] = []
    async with opened(settings) as (store, _):
        accounts = [row.account for row in (await store.tally.read()).accounts]
        doubts = RedisDoubts(store.scripts)
        calls = doubtful(store.records, doubts, accounts, wanted, settings.delivery.unknown_after)
        async with aclosing(calls):
            async for call in calls:
                if as_json:
                    write_json(call.as_json())
                found.append(call)
                if shown is not None and len(found) > shown - as_json:
                    break
    if as_json:
        return
    out = console()
    out.print(_table(found[:shown]) if found else "No uncertain calls.")
    if shown is not None and len(found) > shown:
        notes().print(f"The first {shown}; there are more. --limit N shows N, --json shows all.")


def _table(calls: list[Doubtful]) -> Any:
    made = table(
        *(
            "id",
            "state",
            "since",
            "looks",
            "next look",
            "to decide from",
            "phone",
            "sent",
            "in batch",
            "account",
            "why",
        ),
        right=("looks",),
    )
    for call in calls:
        one, doubt = call.listed, call.doubt
        batch = f"{doubt.batch} of {doubt.batch_size}" if doubt.batch and doubt.batch_size else doubt.batch
        made.add_row(
            one.id,
            coloured(one.state),
            local(doubt.since),
            str(doubt.looks),
            local(doubt.next_look_at),
            local(call.decidable_at),
            plain(one.phone or ""),
            local(doubt.sent_at),
            plain(batch or ""),
            plain(one.account),
            plain(one.detail or one.reason or ""),
        )
    return made


async def _resolve(
    settings: Settings,
    verdict: Verdict,
    ids: list[str],
    by: str,
    why: str,
    *,
    force: bool,
    dry_run: bool,
    asks: bool,
    quiet: bool,
    out: Console,
) -> dict[str, Any]:
    unknown_after = settings.delivery.unknown_after
    async with opened(settings) as (store, _):
        doubts = RedisDoubts(store.scripts)
        decision = await consider(
            verdict,
            map(CallId, ids),
            store.records,
            doubts,
            unknown_after=unknown_after,
            now=time.time(),
            force=force,
        )
        if not quiet:
            _tell(decision, out)
        moved, skipped = 0, decision.skipped
        wanted = decision.ids and not dry_run
        if wanted and (not asks or typer.confirm(f"{_asked(verdict)} {_calls(len(decision.ids))}?", err=True)):
            moved, skipped = await decide(decision, doubts, by=by, why=why, unknown_after=unknown_after, force=force)
            told = {"ids": ids[:100], "verdict": verdict.value}
            await note_down(settings, "calls.resolve", told, by=by, reason=why or None, count=moved)
            if not quiet:
                out.print(f"{_calls(moved).capitalize()} {_did(verdict)}.")
    return {
        "verdict": verdict.value,
        "matched": len(decision.ids) + sum(decision.skipped.values()),
        "moved": moved,
        "skipped": dict(skipped),
        "decidable_at": dict(decision.early),
        "dry_run": dry_run,
    }


def _tell(decision: Decision, out: Console) -> None:
    match decision.verdict:
        case Verdict.DELIVERED:
            out.print(f"{_calls(len(decision.ids)).capitalize()} would be marked as delivered, without a note's id:")
        case Verdict.RESEND:
            out.print(f"{_calls(len(decision.ids)).capitalize()} would be sent again, and may then be there twice:")
        case _:
            assert_never(decision.verdict)
    for call_id, at in islice(decision.early.items(), SAMPLE):
        out.print(plain(f"  {call_id} is still being looked for: to decide from {local(at)} on, or with --force"))
    for why, count in decision.skipped.items():
        words = "decided already, or never uncertain" if why == NOT_UNCERTAIN else why
        out.print(plain(f"  {count} {words}: stay as they are"))
    if decision.sample:
        out.print(calls_table(decision.sample[:SAMPLE]))
        if (more := len(decision.ids) - SAMPLE) > 0:
            out.print(f"... and {more} more")


def _asked(verdict: Verdict) -> str:
    return "Mark as delivered" if verdict is Verdict.DELIVERED else "Send again, perhaps for the second time,"


def _did(verdict: Verdict) -> str:
    return "marked as delivered" if verdict is Verdict.DELIVERED else "sent again"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
