"""`callbridge demo`: the whole product on parts of its own, with simulated PBXs and a simulated CRM, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from callbridge import observe
from callbridge.commands import options
from callbridge.commands.frame import Found, run
from callbridge.commands.output import coloured, console, plain, table, write_json
from callbridge.commands.posting import post_all, told
from callbridge.commands.rehearsal import (
    PBXS,
    Account,
    Script,
    account,
    made_up_keys,
    made_up_settings,
    script,
    under_way,
)
from callbridge.commands.roles import Product, product, tell_hooks, tell_link
from callbridge.commands.senders import hook_at
from callbridge.commands.stopping import stop_signals
from callbridge.embedded import embedded_redis
from callbridge.guide import secret_values
from callbridge.inspecting import inspector
from callbridge.ops.filters import Filter
from callbridge.ops.health import states
from callbridge.settings import Settings
from callbridge.sim.crm import CrmSim, SimConfig
from callbridge.sim.entities import seeded_number
from callbridge.store.connect import shut_down
from callbridge.store.tally import Tally
from callbridge.wiring import Store, open_store

CONTACTS: Final = 50
RATE: Final = 7
"""Requests a second that the vendor allows."""

LOOK_EVERY: Final = 0.25
GIVE_UP_AFTER: Final = 120.0
"""Seconds without any call moving after which --exit does not wait any longer."""


@dataclass(slots=True)
class Stage:
    """Everything that the demo has set up, and what it has seen so far."""

    settings: Settings
    redis: str
    crm: CrmSim
    store: Store
    product: Product
    played: Script
    began: float
    answers: Counter[int] = field(default_factory=Counter)


def demo(
    context: typer.Context,
    calls: Annotated[int, typer.Option("--calls", min=1, metavar="N", help="Calls to send.")] = 200,
    leave: Annotated[bool, typer.Option("--exit", help="End when all calls are settled, and print the tally.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show the whole product at work on simulated parts.

    Sample calls of several PBXs go to a simulated CRM over real HTTP. Nothing outside is touched.
    """
    del context
    found = run(_demo(calls, leave=leave, out=None if as_json else console()))
    if as_json:
        write_json(found.as_json())
    else:
        _tell(found, console())
    if leave and not found.ok:
        raise Found


async def _demo(calls: int, *, leave: bool, out: Console | None) -> Account:
    stopping = asyncio.Event()
    async with _staged(calls, stopping, tell_link if out else None) as stage:
        if out:
            _announce(stage, out, leave=leave)
        playing = asyncio.create_task(_play(stage))
        try:
            with _watching(stage, out) as shown:
                await _until_settled(stage, playing, stopping, shown, leave=leave)
        finally:
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing
        return await _judge(stage)


@asynccontextmanager
async def _staged(calls: int, stopping: asyncio.Event, tell_link: Callable[[str], None] | None) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callbridge-demo-"))
        crm = CrmSim(SimConfig(rate=RATE, contacts=CONTACTS))
        await crm.start()
        stack.push_async_callback(crm.stop)
        keys = made_up_keys()
        settings = made_up_settings(keys, crm=crm.url, data_dir=Path(folder))
        observe.configure(settings.log, role="demo", secrets=secret_values(settings))
        redis = await stack.enter_async_context(embedded_redis(settings.data_dir))
        stack.enter_context(stop_signals(stopping, put_away=lambda: shut_down(redis)))
        store = await stack.enter_async_context(open_store(settings, redis))
        running = await stack.enter_async_context(product(settings, redis, tell_link=tell_link))
        numbers = [seeded_number(index) for index in range(CONTACTS)]
        played = script(calls, keys, numbers, time.time, running.url)
        yield Stage(settings, redis, crm, store, running, played, began=time.monotonic())


async def _play(stage: Stage) -> None:
    """All PBXs send at once, each its own calls in order."""

    def answered(status: int) -> None:
        stage.answers[status] += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(
            *(
                post_all(session, hook_at(stage.product.url, source), webhooks, answered)
                for source, webhooks in stage.played.webhooks.items()
            )
        )


async def _until_settled(
    stage: Stage, playing: asyncio.Task[None], stopping: asyncio.Event, shown: Callable[[Tally], None], *, leave: bool
) -> None:
    """Until somebody stops it; with `leave` until every call has come to rest, or none moves any more.

    A reading is not one moment for all figures, so only the second of two equal ones counts.
    """
    before: dict[str, int] = {}
    moved = time.monotonic()
    while not stopping.is_set():
        tally = await stage.store.tally.read()
        shown(tally)
        if playing.done():
            await playing
            rests = states(tally) == before and not under_way(tally)
            if leave and rests and tally.total >= stage.played.calls:
                return
        now = time.monotonic()
        if states(tally) != before:
            before, moved = states(tally), now
        if leave and now - moved > GIVE_UP_AFTER:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stage.product.until(stopping), LOOK_EVERY)


async def _judge(stage: Stage) -> Account:
    seconds = time.monotonic() - stage.began
    delivered: dict[str, int | None] = {}
    async with aclosing(inspector(stage.store, stage.settings).calls(Filter(state="delivered"))) as calls:
        async for call in calls:
            delivered[call.uniq or call.id] = call.note_id
    notes = [(note.id, note.uniq) for note in stage.crm.notes]
    return account(stage.played, stage.answers, await stage.store.tally.read(), delivered, notes, seconds)


def _announce(stage: Stage, out: Console, *, leave: bool) -> None:
    out.print(plain(f"CRM        {stage.crm.url}/_sim   simulated, {CONTACTS} contacts, {RATE} requests a second"))
    tell_hooks(stage.settings, stage.product.url)
    out.print(plain(f"Look       CALLBRIDGE_REDIS__URL={stage.redis} callbridge calls list"))
    end = "Ends when all are settled." if leave else "Ctrl-C ends it."
    out.print(plain(f"\n{stage.played.calls} calls of {len(PBXS)} PBXs are on their way to the CRM. {end}\n"))


@contextlib.contextmanager
def _watching(stage: Stage, out: Console | None) -> Iterator[Callable[[Tally], None]]:
    """A table that is kept up to date; nothing where there is no terminal."""
    if out is None or not out.is_terminal:
        yield lambda _: None
        return
    with Live(console=out, auto_refresh=False, transient=True) as live:
        yield lambda tally: live.update(_counts(stage, tally), refresh=True)


def _counts(stage: Stage, tally: Tally) -> Table:
    made = table("state", "calls", right=("calls",))
    for state, count in states(tally).items():
        made.add_row(coloured(state), str(count))
    made.add_row("total", f"{tally.total} of {stage.played.calls}")
    made.caption = f"webhooks answered {told(stage.answers)}; notes in the CRM {len(stage.crm.notes)}"
    made.caption_justify = "left"
    return made


def _tell(found: Account, out: Console) -> None:
    made = table("", "", right=("",))
    made.show_header = False
    made.add_row("sent", str(found.sent))
    for state, count in found.by_state.items():
        if count:
            made.add_row(coloured(state), str(count))
    out.print(made)
    out.print(plain(f"\n{found.webhooks} webhooks, {found.refused} refused, in {found.seconds:.1f} s"))
    out.print(plain(f"CRM notes by uniq: {found.notes}, duplicates {found.duplicates}"))
    for problem in found.problems:
        out.print(plain(problem), style="bold red")
    if found.ok:
        out.print("Every call is accounted for.", style="bold green")
