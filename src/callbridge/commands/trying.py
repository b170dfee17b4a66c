"""`callbridge providers try`: one request that was written down, and what would be made of it, step by step.

Phones and texts are shown in full: it is the user's own file on the user's own terminal. Nothing is stored or sent.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import typer
from rich.console import Console
from rich.text import Text

from callbridge.amocrm.translate import by_extension, translate
from callbridge.call import Call
from callbridge.commands import options, providers
from callbridge.commands.frame import Found, WrongUsage, settings_of
from callbridge.commands.output import coloured, console, plain, table, write_json
from callbridge.commands.recorded import Heads, build_request, read_heads
from callbridge.commands.trial import MADE_UP, Fate, Stage, Translate, Trial, trial
from callbridge.intake.providers.base import Provider, Source
from callbridge.ops.filters import moment
from callbridge.outcome import NotForCrm, Translation
from callbridge.settings import Settings
from callbridge.wiring import selection, sources

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes read of a file; what is larger than a source may send is refused as the receiver would refuse it."""

STDIN: Final = "-"


def try_request(
    context: typer.Context,
    *,
    name: providers.Name,
    body: Annotated[
        str | None, typer.Option(metavar="FILE", help="The body, byte by byte as it came; - reads stdin.")
    ] = None,
    headers: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its headers: lines of `Name: value`, or JSON.")
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="The source's secret; without it the credential is not checked.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="What the PBX calls its key or user.")] = None,
    path_token: Annotated[str | None, typer.Option(help="The source's path token.")] = None,
    method: Annotated[str | None, typer.Option(help="The HTTP method.  [default: POST; GET without a body]")] = None,
    query: Annotated[str | None, typer.Option(help="The query, as it stands behind the ? of the address.")] = None,
    path: Annotated[str | None, typer.Option(help="What follows the source's address, such as events/summary.")] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The address that the PBX was given, where it signs it.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="IANA zone of the PBX's wall clock.")] = None,
    own_number: Annotated[
        list[str] | None, typer.Option(metavar="NUMBER", help="A number of the company's own; may be repeated.")
    ] = None,
    now: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it came: 2h (ago), 2026-03-01T08:30, Unix seconds.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take everything else from this source of the configuration.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show step by step what is made of a request, to the item that the CRM would get. Stores and sends nothing.

    Exit code 1 where the request would be refused or cannot be read.
    """
    provider = providers.named(name)
    if body is None and query is None:
        raise WrongUsage("say what came: --body FILE, or --query for a request without a body")
    if body == headers == STDIN:
        raise WrongUsage("only one of --body and --headers reads stdin")
    heads = _heads(headers)
    if source is None:
        settings, taken = Settings(), _made_up(provider, heads)
    else:
        settings = settings_of(context)
        taken = _configured(settings, source, provider)
    tried = _overridden(
        taken, secret=secret, key=key, path_token=path_token, timezone=timezone, own_numbers=own_number, url=url
    )
    usual = "GET" if body is None or "POST" not in provider.methods else "POST"
    request = build_request(
        tried,
        heads,
        b"" if body is None else _read("--body", body),
        method=(method or heads.method or usual).upper(),
        below=heads.below if path is None else path,
        query=heads.query if query is None else query.removeprefix("?"),
        url=url,
    )
    found = trial(provider, tried, request, _now(now), translator(settings, tried))
    if as_json:
        write_json({"provider": provider.name, "source": tried.name} | found.as_json())
    else:
        _show(found)
    if not found.ok:
        raise Found


def _heads(file: str | None) -> Heads:
    if file is None:
        return Heads()
    try:
        return read_heads(_read("--headers", file).decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise WrongUsage(f"--headers {file}: {error}") from None


def _read(option: str, file: str) -> bytes:
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(MAX_FILE)
        with Path(file).open("rb") as stream:
            return stream.read(MAX_FILE)
    except OSError as error:
        raise WrongUsage(f"{option} {file}: cannot be read: {error.strerror}") from None


def _now(written: str | None) -> float:
    now = time.time()
    try:
        return now if written is None else moment(written, now=now)
    except ValueError as error:
        raise WrongUsage(f"--now {written!r}: {error}") from None


def _made_up(provider: Provider, heads: Heads) -> Source:
    """Every setting at its default. Which of the two credentials of `generic` is meant the request shows."""
    return Source(
        name=MADE_UP,
        account=MADE_UP,
        provider=provider.name,
        auth="signature" if "webhook-signature" in heads.headers or "authorization" not in heads.headers else "bearer",
        secrets=(),
        key=None,
        path_token=None,
        timezone="UTC",
        hold=0.0,
        own_numbers=(),
        status_overrides={},
        max_body=Settings().receiver.max_body,
    )


def _configured(settings: Settings, name: str, provider: Provider) -> Source:
    """The source with this provider, whatever it is configured with: so a new preset is tried beside a running one."""
    found = sources(settings).get(name)
    if found is None:
        raise WrongUsage(f"--source {name!r}: there are {', '.join(settings.sources) or 'none'}")
    return replace(found, provider=provider.name)


def _overridden(
    source: Source,
    *,
    secret: str | None,
    key: str | None,
    path_token: str | None,
    timezone: str | None,
    own_numbers: list[str] | None,
    url: str | None,
) -> Source:
    if timezone is not None and timezone not in available_timezones():
        raise WrongUsage(f"--timezone {timezone!r}: is an IANA time zone such as Europe/Moscow")
    if url is not None and urlsplit(url).scheme not in {"http", "https"}:
        raise WrongUsage(f"--url {url!r}: is an address like https://hooks.example.com/hooks/office")
    return replace(
        source,
        secrets=(secret,) if secret else source.secrets,
        key=key or source.key,
        path_token=path_token or source.path_token,
        timezone=timezone or source.timezone,
        own_numbers=tuple(own_numbers) if own_numbers else source.own_numbers,
        public_url=None if url else source.public_url,
    )


def translator(settings: Settings, source: Source) -> Translate:
    """What a worker with these settings makes of a call."""
    select = selection(settings)
    held = settings.sources.get(source.name)
    users = by_extension(held.extensions) if held else {}

    def translated(call: Call) -> Translation:
        wanted = select(call)
        return wanted if isinstance(wanted, NotForCrm) else translate(wanted, users)

    return translated


def _show(found: Trial) -> None:
    out = console()
    rows = table("", "step", "")
    rows.show_header = False
    for stage in found.stages:
        rows.add_row(_mark(stage), plain(stage.name), plain(stage.detail))
    out.print(rows)
    for fate in found.fates:
        _show_fate(fate, out)
    answer = found.answer
    body = answer.body.decode("utf-8", "replace")
    out.print("\nWhat the sender hears", style="bold")
    out.print(plain(f"{answer.status} {answer.content_type} {body}"), soft_wrap=True)
    for name, value in answer.headers.items():
        out.print(plain(f"{name}: {value}"), soft_wrap=True)


def _mark(stage: Stage) -> Text:
    return plain("-") if stage.ok is None else coloured("ok" if stage.ok else "problem")


def _show_fate(fate: Fate, out: Console) -> None:
    out.print(plain(f"\n{fate.kind.capitalize()} ({fate.event})"), style="bold")
    rows = table("", "")
    rows.show_header = False
    for name, value in fate.facts.items():
        if value is not None and value != "":
            shown = ", ".join("" if part is None else str(part) for part in value) if isinstance(value, list) else value
            rows.add_row(name, plain(shown))
    rows.add_row("intake", plain(fate.intake))
    if fate.problem:
        rows.add_row("problem", plain(fate.problem), style="red")
    out.print(rows)
    if fate.item is not None:
        out.print("\nWhat the CRM would get", style="bold")
        out.print(plain(json.dumps(fate.item, indent=2, ensure_ascii=False)), soft_wrap=True)
