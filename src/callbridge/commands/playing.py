"""`callbridge sim pbx`: the PBXs of all configured sources, simulated at once, with the bad habits that real ones have."""

from __future__ import annotations

import asyncio
import secrets
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import aiohttp
import typer
from rich.progress import Progress

from callbridge.commands import options
from callbridge.commands.frame import Found, WrongUsage, run, settings_of
from callbridge.commands.output import console, notes, plain, table, write_json
from callbridge.commands.posting import Rate, all_accepted, post_all, told
from callbridge.commands.senders import credentials_of, hook_at, known_as, receiver_url, speaker_for
from callbridge.errors import Unavailable
from callbridge.settings import Settings
from callbridge.sim.entities import seeded_number
from callbridge.sim.speakers import SIGN_WITH_A_PRIVATE_KEY
from callbridge.sim.speakers.base import Credentials, SignedWebhook, Speaker
from callbridge.sim.traffic import Mix, traffic

CONTACTS: Final = 50
"""As many as the simulated CRM begins with."""

UNKNOWN, INTERNAL = 0.06, 0.05
SOONER, NEVER = 0.15, 0.1
"""Shares of the recordings that are not late: told before their call, or never."""


@dataclass(slots=True)
class Pbx:
    """One simulated PBX, what it is to send, and how it has been answered so far."""

    source: str
    provider: str
    speaker: Speaker
    credentials: Credentials
    hook: str
    calls: int
    answers: Counter[int] = field(default_factory=Counter)
    problem: str | None = None

    def webhooks(self, seed: int, mix: Mix, skew: float, numbers: list[str]) -> Iterator[SignedWebhook]:
        return traffic(
            self.speaker, self.credentials, self.calls, now=time.time, seed=seed, numbers=numbers, mix=mix, skew=skew
        )

    @property
    def ok(self) -> bool:
        return self.problem is None and all_accepted(self.answers)


def pbx(
    context: typer.Context,
    *,
    url: Annotated[str | None, typer.Option(help="The receiver.  [default: the one of the configuration]")] = None,
    provider: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only sources of this provider; may be repeated.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this source; may be repeated.")] = None,
    calls: Annotated[int, typer.Option(min=1, metavar="N", help="Calls to play, over all sources.")] = 100,
    rate: Annotated[
        float, typer.Option(min=0, metavar="R", help="Webhooks a second, over all sources; 0: no limit.")
    ] = 20.0,
    duplicates: Annotated[
        float, typer.Option(min=0, max=1, metavar="X", help="Share of the webhooks that come twice.")
    ] = 0.1,
    late: Annotated[
        float, typer.Option(min=0, max=1, metavar="X", help="Share of the recordings that come some calls later.")
    ] = 0.3,
    legs: Annotated[
        float, typer.Option(min=0, max=1, metavar="X", help="Share of the answered calls with a second leg.")
    ] = 0.2,
    skew: Annotated[
        float, typer.Option(metavar="S", help="Seconds by which the PBXs' clocks are ahead; -20: behind.")
    ] = 0.0,
    seed: Annotated[int | None, typer.Option(help="The same seed plays the same calls.  [default: any]")] = None,
    phone: Annotated[
        list[str] | None, typer.Option(metavar="PHONE", help="Numbers of the callers; may be repeated.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=KEY", help="Private key of a telnyx source; may be repeated."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Play the traffic of the configured PBXs: every source in the words of its provider, all at once.

    Webhooks come twice, recordings too early, late or never, calls in legs; some callers are strangers, some are colleagues.
    Ends by itself, with exit code 1 if anything was refused.
    """
    settings = settings_of(context)
    seed = secrets.randbits(32) if seed is None else seed
    rest = 1 - late
    mix = Mix(
        duplicates=duplicates, late=late, transferred=legs, unknown=UNKNOWN, internal=INTERNAL,
        sooner=SOONER * rest, never=NEVER * rest,
    )  # fmt: skip
    names = _chosen(settings, source or [], provider or [])
    playing = _made(settings, names, url or receiver_url(settings), calls, _private_keys(secret or []))
    numbers = phone or [seeded_number(index) for index in range(CONTACTS)]
    webhooks = [one.webhooks(_seed_of(seed, one.source), mix, skew, numbers) for one in playing]
    began = time.monotonic()
    run(_play(list(zip(playing, webhooks, strict=True)), Rate(rate)))
    _tell(playing, seed, time.monotonic() - began, as_json=as_json)
    if not all(one.ok for one in playing):
        raise Found


def _seed_of(seed: int, source: str) -> int:
    """A seed of its own for each source, whichever others are played beside it."""
    return seed << 16 | zlib.crc32(source.encode()) & 0xFFFF


def _chosen(settings: Settings, named: list[str], providers: list[str]) -> list[str]:
    """The sources to play. Raises `WrongUsage` for names that are not configured."""
    for provider in providers:
        speaker_for(provider)
    for name in named:
        if name not in settings.sources:
            raise WrongUsage(f"no source {name!r} is configured")
    configured = {one.provider for one in settings.sources.values()}
    if missing := [provider for provider in providers if provider not in configured]:
        raise WrongUsage(f"no source of provider {', '.join(missing)} is configured")
    names = [
        name
        for name, one in settings.sources.items()
        if (not named or name in named) and (not providers or one.provider in providers)
    ]
    if not names:
        raise WrongUsage("no such source is configured: set CALLBRIDGE_SOURCES__OFFICE__PROVIDER and its secret")
    return names


def _private_keys(written: list[str]) -> dict[str, str]:
    keys = dict(one.partition("=")[::2] for one in written)
    if not all(keys.values()):
        raise WrongUsage("--secret: is SOURCE=KEY")
    return keys


def _made(settings: Settings, names: list[str], url: str, calls: int, private_keys: Mapping[str, str]) -> list[Pbx]:
    """One PBX a source, the calls spread evenly. Raises `WrongUsage` where one could not sign anything."""
    playable = []
    for name in names:
        if settings.sources[name].provider in SIGN_WITH_A_PRIVATE_KEY and name not in private_keys:
            notes().print(plain(f"Source {name} is left out: it is signed with a private key, --secret {name}=KEY."))
        else:
            playable.append(name)
    if not playable:
        raise WrongUsage("no source is left that can be signed for")
    made = []
    for place, name in enumerate(playable):
        one = settings.sources[name]
        held = credentials_of(one, private_keys.get(name, ""))
        hook = hook_at(url, name, held.path_token)
        if urlsplit(hook).path.split("/")[-1] != name:
            raise WrongUsage(f"--url {url!r}: is the receiver's address, without the source")
        share = calls // len(playable) + (place < calls % len(playable))
        held = known_as(held, hook, name, settings.receiver.public_url)
        made.append(Pbx(name, one.provider, speaker_for(one.provider), held, hook, share))
    for pbx in made:
        try:
            next(traffic(pbx.speaker, pbx.credentials, 1, now=time.time, seed=0, numbers=[]))
        except ValueError as error:
            raise WrongUsage(f"source {pbx.source}: {error}") from None
    return [pbx for pbx in made if pbx.calls]


async def _play(parts: Iterable[tuple[Pbx, Iterator[SignedWebhook]]], rate: Rate) -> None:
    """All PBXs at once, each its own calls in order. One that gets no answer stops; the others go on."""
    out = notes()
    with Progress(console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("Playing", total=None)

        async def play(pbx: Pbx, webhooks: Iterator[SignedWebhook]) -> None:
            def answered(status: int) -> None:
                pbx.answers[status] += 1
                progress.update(task, advance=1, description=f"Sent {int(progress.tasks[0].completed)} webhooks")

            try:
                await post_all(session, pbx.hook, webhooks, answered, rate)
            except Unavailable as error:
                pbx.problem = str(error)

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(play(pbx, webhooks) for pbx, webhooks in parts))


def _tell(playing: list[Pbx], seed: int, seconds: float, *, as_json: bool) -> None:
    total = sum((pbx.answers for pbx in playing), Counter[int]())
    if as_json:
        write_json(_as_json(playing, total, seed))
        return
    made = table("source", "provider", "calls", "webhooks", "answers", right=("calls", "webhooks"))
    for pbx in playing:
        webhooks = str(pbx.answers.total())
        made.add_row(plain(pbx.source), plain(pbx.provider), str(pbx.calls), webhooks, told(pbx.answers))
    made.add_row("all", "", str(sum(pbx.calls for pbx in playing)), str(total.total()), told(total))
    out = console()
    out.print(made)
    for problem in dict.fromkeys(pbx.problem for pbx in playing if pbx.problem):
        notes().print(plain(problem), style="red")
    out.print(plain(f"\nPlayed in {seconds:.1f} s with --seed {seed}."))


def _as_json(playing: list[Pbx], total: Counter[int], seed: int) -> dict[str, Any]:
    return {
        "ok": all(pbx.ok for pbx in playing),
        "seed": seed,
        "calls": sum(pbx.calls for pbx in playing),
        "webhooks": total.total(),
        "answers": {str(status): count for status, count in sorted(total.items())},
        "sources": [
            {
                "source": pbx.source,
                "provider": pbx.provider,
                "calls": pbx.calls,
                "answers": {str(status): count for status, count in sorted(pbx.answers.items())},
                "problem": pbx.problem,
            }
            for pbx in playing
        ],
    }
