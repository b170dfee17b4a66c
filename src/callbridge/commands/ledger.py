"""`callbridge ledger`: how the call history does, its schema, what is pruned, and calls as files."""

from __future__ import annotations

import time
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from callbridge.commands import options
from callbridge.commands.books import audit_of, opened_ledger, shell
from callbridge.commands.frame import WrongUsage, redis_in_use, run, settings_of
from callbridge.commands.output import console, local, notes, plain, span, table, write_json
from callbridge.commands.sheet import Form, Sheet
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.inspecting import ledger_url
from callbridge.ledger import keeping
from callbridge.ledger.database import WANTED_REVISION, open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.views import CallFilter
from callbridge.ops.history import filter_of
from callbridge.settings import Settings
from callbridge.store.changes import Behind, RedisChanges
from callbridge.wiring import open_store

app = typer.Typer(no_args_is_help=True, help="The history of calls in SQL.")

CHUNK: Final = 1000


@app.command("status")
def status(context: typer.Context, as_json: options.Json = False) -> None:
    """Show the ledger's revision, how many calls it holds, and how far it is behind Redis."""
    told = run(_status(settings_of(context)))
    if as_json:
        write_json(told)
        return
    made = table("", "")
    made.show_header = False
    behind = told["behind"]
    shown = {
        "revision": f"{told['revision'] or 'none'}, this version wants {told['wanted']}",
        "calls": told["calls"],
        "written": local(told["written_at"]) or "never",
        "behind": "unknown: Redis does not answer" if behind is None else f"{behind} changes, {span(told['lag'])}",
        "size": f"{told['size'] / 1_000_000:.1f} MB" if told["size"] is not None else "",
    }
    for name, value in {**shown, **told["states"]}.items():
        made.add_row(name, plain(value))
    console().print(made)


async def _status(settings: Settings) -> dict[str, Any]:
    behind = await _behind(settings)  # first: what is behind by nothing then has all that was told
    async with open_ledger(ledger_url(settings), migrate=False) as ledger:
        revision = await ledger.revision()
        told: dict[str, Any] = {
            "revision": revision,
            "wanted": WANTED_REVISION,
            "calls": 0,
            "behind": behind.entries if behind else None,
            "lag": behind.oldest or 0.0 if behind else None,
            "written_at": None,
            "size": None,
            "states": {},
        }
        if revision == WANTED_REVISION:
            standing = await Queries(ledger).standing()
            told |= {"calls": standing.calls, "written_at": standing.written_at, "size": standing.size}
            told["states"] = dict(standing.by_state)
        return told


async def _behind(settings: Settings) -> Behind | None:
    try:
        async with open_store(settings, await redis_in_use(settings)) as store:
            return await RedisChanges(store.scripts, "status").behind()
    except (StoreUnavailable, Misconfigured):
        return None


@app.command("migrate")
def migrate(context: typer.Context, as_json: options.Json = False) -> None:
    """Bring the ledger's schema up to date; the console does it at its start, too."""
    changed = run(_migrate(settings_of(context)))
    if as_json:
        write_json({"revision": WANTED_REVISION, "changed": changed})
    else:
        console().print(f"The ledger {'is now' if changed else 'was already'} at revision {WANTED_REVISION}.")


async def _migrate(settings: Settings) -> bool:
    async with open_ledger(ledger_url(settings), migrate=False) as ledger:
        return await ledger.migrate()


@app.command("prune")
def prune(context: typer.Context, as_json: options.Json = False) -> None:
    """Take out what is older than the settings keep it; the console does it by itself, too. Dead calls always stay."""
    settings = settings_of(context)
    told = run(_prune(settings))
    if as_json:
        write_json(told)
    else:
        console().print(f"Pruned {told['calls']} calls, {told['bodies']} bodies, {told['batches']} batches.")


async def _prune(settings: Settings) -> dict[str, int]:
    keep = settings.ledger
    retention = keeping.Retention(
        body=keep.keep_bodies,
        delivered=keep.keep_delivered,
        unmatched=keep.keep_unmatched,
        ignored=keep.keep_ignored,
    )
    gone = {"calls": 0, "bodies": 0, "batches": 0}
    async with opened_ledger(settings) as ledger:
        while True:
            pruned = await keeping.prune(ledger, time.time(), retention)
            for kind in gone:
                gone[kind] += getattr(pruned, kind)
            if not pruned.more:
                break
        await audit_of(ledger).add(shell(), "ledger.prune", {}, outcome=gone)
    return gone


@app.command("export")
def export(
    context: typer.Context,
    *,
    form: Annotated[
        Form, typer.Option("--format", help="csv for spreadsheets, jsonl or parquet for programs.")
    ] = Form.CSV,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write; unset: standard output.")] = None,
    phones: Annotated[
        bool, typer.Option("--phones", help="Whole numbers instead of masked ones; it is audited.")
    ] = False,
    state: options.State = None,
    account: options.Account = None,
    source: options.Source = None,
    phone: options.Phone = None,
    since: options.Since = None,
    until: options.Until = None,
    reason: options.Reason = None,
) -> None:
    """Write calls to a file, the latest received first."""
    found = options.wanted(
        state=state, account=account, source=source, phone=phone, since=since, until=until, reason=reason
    )
    if form is Form.PARQUET and output is None:
        raise WrongUsage("--format parquet needs --output FILE")
    count = run(_export(settings_of(context), filter_of(found), form, output, whole_numbers=phones))
    if output is not None:
        notes().print(plain(f"{count} calls in {output}."))


async def _export(
    settings: Settings, wanted: CallFilter, form: Form, output: Path | None, *, whole_numbers: bool
) -> int:
    count = 0
    told = {"format": form.value, "phones": whole_numbers}
    async with opened_ledger(settings) as ledger:
        if output is None:  # first: who reads may have read enough, and end us, at any row
            await audit_of(ledger).add(shell(), "ledger.export", told)
        with Sheet(form, output, whole_numbers=whole_numbers) as sheet:
            async with aclosing(Queries(ledger).export(wanted, CHUNK)) as chunks:
                async for rows in chunks:
                    sheet.write(rows)
                    count += len(rows)
            if output is not None:  # and here before there is a file
                await audit_of(ledger).add(shell(), "ledger.export", told, count=count)
    return count
