"""`callbridge send`: sample webhooks for a receiver, signed as the PBX would sign them."""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import aiohttp
import typer
from rich.progress import Progress

from callbridge.commands.frame import Found, WrongUsage, run, settings_of
from callbridge.commands.output import console, notes, plain
from callbridge.commands.posting import all_accepted, post_all, told
from callbridge.commands.selfcheck import problem_of
from callbridge.commands.senders import HOOKS, credentials_of, hook_at, known_as, speaker_for
from callbridge.settings import Settings
from callbridge.sim.entities import seeded_number
from callbridge.sim.speakers import SPEAKERS
from callbridge.sim.speakers.base import Auth, Credentials, SignedWebhook, Speaker, Told
from callbridge.sim.traffic import traffic


class AuthName(StrEnum):
    SIGNATURE = "signature"
    BEARER = "bearer"


def send(
    context: typer.Context,
    *,
    provider: Annotated[
        str,
        typer.Argument(
            metavar="PROVIDER",
            help=f"Whose webhooks to send: {', '.join(SPEAKERS)}, preset:NAME, or a preset file of your own.",
            autocompletion=lambda: list(SPEAKERS),
        ),
    ],
    url: Annotated[
        str, typer.Option(help="The receiver, such as http://127.0.0.1:8080, or a full /hooks/... address.")
    ],
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Source to send as; its credentials come from the configuration.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Calls to send; recorded ones bring more than one webhook.")] = 1,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, allow_dash=True, help="Send this body instead; - reads stdin."),
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="NAME", help="The event that --file holds; a wrong one shows the list.")
    ] = None,
    phone: Annotated[
        list[str] | None, typer.Option(metavar="PHONE", help="Numbers of the callers; may be repeated.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(help="Secret, where the configuration does not have the source; telnyx: the private key."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="What the PBX calls its key or user, likewise.")] = None,
    path_token: Annotated[str | None, typer.Option(help="Path token, likewise.")] = None,
    auth: Annotated[AuthName, typer.Option(help="generic: how the --secret proves the sender.")] = AuthName.SIGNATURE,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="IANA zone of the PBX's wall clock.  [default: the source's]")
    ] = None,
) -> None:
    """Send correctly signed sample webhooks. Exit code 1 if any of them is not accepted."""
    speaker = speaker_for(provider)
    event = _event(speaker, event)
    zone = _zone(timezone)
    named = source or _named_in(url)
    try:
        if secret or key or path_token:
            if named is None:
                raise WrongUsage("say which source: --source NAME")
            kind = Auth(auth.value) if secret else Auth.PATH
            given = Credentials(secret or "", key or "", path_token or "", kind, timezone=zone or "UTC")
            hook = hook_at(url, named, given.path_token)
            credentials = known_as(given, hook, named)
        else:
            settings = settings_of(context)
            named = _configured(settings, provider, named)
            held = credentials_of(settings.sources[named], timezone=zone)
            hook = hook_at(url, named, held.path_token)
            credentials = known_as(held, hook, named, settings.receiver.public_url)
        if file is None:
            if problem := problem_of(provider, speaker, credentials, time.time()):
                raise WrongUsage(problem)
            numbers = phone or [seeded_number(index) for index in range(50)]
            samples = traffic(speaker, credentials, count, now=time.time, seed=secrets.randbits(40), numbers=numbers)
        else:
            samples = _repeated(speaker, credentials, Told(event, _body(file)), count)
        statuses = run(_send(hook, samples))
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    host = urlsplit(hook).hostname
    console().print(plain(f"Sent to source {named} at {host}: {_webhooks(statuses.total())}; answers {told(statuses)}"))
    if not all_accepted(statuses):
        raise Found


async def _send(hook: str, samples: Iterable[SignedWebhook]) -> Counter[int]:
    statuses: Counter[int] = Counter()
    out = notes()
    with Progress(console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("Sending", total=None)

        def answered(status: int) -> None:
            statuses[status] += 1
            progress.update(task, completed=statuses.total(), description=f"Sent {statuses.total()}")

        async with aiohttp.ClientSession() as session:
            await post_all(session, hook, samples, answered)
    return statuses


def _webhooks(count: int) -> str:
    return "1 webhook" if count == 1 else f"{count} webhooks"


def _repeated(speaker: Speaker, credentials: Credentials, told: Told, count: int) -> Iterator[SignedWebhook]:
    for _ in range(count):
        yield speaker.sign(told, credentials, now=time.time(), message_id=f"msg_{secrets.token_hex(8)}")


def _body(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def _event(speaker: Speaker, written: str | None) -> str:
    if written is None:
        return speaker.events[0]
    fitting = [event for event in speaker.events if event.strip("/") == written.strip("/")]
    if not fitting:
        raise WrongUsage(f"--event {written!r}: {speaker.name} has {', '.join(speaker.events)}")
    return fitting[0]


def _zone(written: str | None) -> str | None:
    if written is not None and written not in available_timezones():
        raise WrongUsage(f"--timezone {written!r}: is an IANA time zone such as Europe/Moscow")
    return written


def _named_in(url: str) -> str | None:
    _, found, rest = urlsplit(url).path.partition(HOOKS)
    return rest.split("/")[0] or None if found else None


def _configured(settings: Settings, provider: str, named: str | None) -> str:
    """The source to send as: the one that was named, or the only one of the provider."""
    sources = settings.sources
    if named is None:
        fitting = [name for name, source in sources.items() if _same(source.provider, provider)]
        if len(fitting) != 1:
            has = f"there are {len(fitting)} {provider} sources" if fitting else f"no {provider} source is configured"
            raise WrongUsage(f"say which source: --source NAME ({has}), or give its --secret")
        return fitting[0]
    if named not in sources:
        raise WrongUsage(f"no source {named!r} is configured: give its --secret, or name one of {', '.join(sources)}")
    if not _same(sources[named].provider, provider):
        raise WrongUsage(f"source {named} is of provider {sources[named].provider}, not {provider}")
    return named


def _same(one: str, other: str) -> bool:
    """Whether two providers are one; a preset's file may be written in several ways."""
    return Path(one).absolute() == Path(other).absolute()
