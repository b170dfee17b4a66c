"""`callbridge send`: sample webhooks for a receiver, signed as the PBX would sign them."""

from __future__ import annotations

import base64
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
import typer
from rich.progress import Progress

from callbridge.commands.frame import Found, WrongUsage, run, settings_of
from callbridge.commands.output import console, notes, plain
from callbridge.commands.posting import all_accepted, post_all, told
from callbridge.sim.entities import seeded_number
from callbridge.sim.pbx import Auth, Credentials, MangoEvent, SignedWebhook, sign
from callbridge.sim.traffic import traffic
from callbridge.source_settings import SourceSettings

HOOKS = "/hooks/"


class ProviderName(StrEnum):
    GENERIC = "generic"
    MANGO = "mango"


class AuthName(StrEnum):
    SIGNATURE = "signature"
    BEARER = "bearer"


def send(
    context: typer.Context,
    *,
    provider: Annotated[ProviderName, typer.Argument(help="Whose webhooks to send.")],
    url: Annotated[
        str, typer.Option(help="The receiver, such as http://127.0.0.1:8080, or a full /hooks/... address.")
    ],
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Source to send as; its credentials come from the configuration.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Calls to send; recorded ones bring more than one webhook.")] = 1,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, allow_dash=True, help="Send this JSON body instead; - reads stdin."),
    ] = None,
    event: Annotated[MangoEvent, typer.Option(help="mango: the event that --file holds.")] = MangoEvent.SUMMARY,
    phone: Annotated[
        list[str] | None, typer.Option(metavar="PHONE", help="Numbers of the callers; may be repeated.")
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="Secret, where the configuration does not have the source.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="mango: API key, likewise.")] = None,
    path_token: Annotated[str | None, typer.Option(help="Path token, likewise.")] = None,
    auth: Annotated[AuthName, typer.Option(help="generic: how the --secret proves the sender.")] = AuthName.SIGNATURE,
) -> None:
    """Send correctly signed sample webhooks. Exit code 1 if any of them is not accepted."""
    named = source or _named_in(url)
    if secret or key or path_token:
        if named is None:
            raise WrongUsage("say which source: --source NAME")
        kind = Auth(auth.value) if secret else Auth.PATH
        credentials = Credentials(_signing(secret or "", provider, kind), key or "", path_token or "", kind)
    else:
        named, configured = _configured(settings_of(context).sources, provider, named)
        credentials = _credentials(configured)
    hook = _hook(url, named, credentials)
    try:
        if file is None:
            numbers = phone or [seeded_number(index) for index in range(50)]
            seed = secrets.randbits(40)
            samples = traffic(provider, credentials, count, now=time.time, seed=seed, numbers=numbers)
        else:
            samples = _repeated(provider, credentials, _body(file), count, event)
        statuses = run(_send(hook, samples))
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    console().print(
        plain(
            f"Sent to source {named} at {urlsplit(hook).hostname}: {_webhooks(statuses.total())}; answers {told(statuses)}"
        )
    )
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


def _repeated(
    provider: str, credentials: Credentials, body: bytes, count: int, event: MangoEvent
) -> Iterator[SignedWebhook]:
    for _ in range(count):
        message_id = f"msg_{secrets.token_hex(8)}"
        yield sign(provider, credentials, body, now=time.time(), message_id=message_id, event=event)


def _body(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


def _named_in(url: str) -> str | None:
    _, found, rest = urlsplit(url).path.partition(HOOKS)
    return rest.split("/")[0] or None if found else None


def _hook(url: str, source: str, credentials: Credentials) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise WrongUsage(f"--url {url!r}: is an address like http://127.0.0.1:8080")
    hook = url.rstrip("/")
    if HOOKS not in f"{parts.path}/":
        return f"{hook}{HOOKS}{source}"
    if credentials.path_token:
        return hook.removesuffix(f"/{credentials.path_token}")
    return hook


def _configured(sources: dict[str, SourceSettings], provider: str, named: str | None) -> tuple[str, SourceSettings]:
    if named is None:
        fitting = [name for name, source in sources.items() if source.provider == provider]
        if len(fitting) != 1:
            has = f"there are {len(fitting)} {provider} sources" if fitting else f"no {provider} source is configured"
            raise WrongUsage(f"say which source: --source NAME ({has}), or give its --secret")
        named = fitting[0]
    if (source := sources.get(named)) is None:
        raise WrongUsage(f"no source {named!r} is configured: give its --secret, or name one of {', '.join(sources)}")
    if source.provider != provider:
        raise WrongUsage(f"source {named} is of provider {source.provider}, not {provider}")
    return named, source


def _credentials(source: SourceSettings) -> Credentials:
    secret, key, token = (
        value.get_secret_value() if value else "" for value in (source.secret, source.key, source.path_token)
    )
    kind = Auth(source.auth) if secret else Auth.PATH
    return Credentials(_signing(secret, source.provider, kind), key, token, kind)


def _signing(secret: str, provider: str, auth: Auth) -> str:
    """A Standard Webhooks secret may be configured without its prefix; then its own bytes are the key."""
    if provider != "generic" or auth is not Auth.SIGNATURE or not secret or secret.startswith("whsec_"):
        return secret
    return f"whsec_{base64.b64encode(secret.encode()).decode()}"
