"""`callbridge providers ...`: which PBXs are understood, how each is set up, and what is made of a request that it sent.

`try` is the tool with which a preset for a PBX of one's own is written; how it decides is in `trial`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from callbridge import configuration
from callbridge.commands import options
from callbridge.commands.frame import WrongUsage
from callbridge.commands.output import console, notes, plain, table, write_json
from callbridge.intake.providers import PROVIDERS, provider_named
from callbridge.intake.providers.base import Provider
from callbridge.presets.load import PREFIX, SUFFIX, shipped

app = typer.Typer(no_args_is_help=True, help="Which PBXs are understood, and how to set each up.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="One from the list, preset:NAME, or a preset file of your own.")
]


def named(name: str) -> Provider:
    """Raises `WrongUsage` where there is no such thing, and `Misconfigured` for a preset file that cannot be used."""
    if name in PROVIDERS or (name.startswith(PREFIX) and name.removeprefix(PREFIX) in shipped()):
        return provider_named(name)
    if name.endswith(SUFFIX):
        if not Path(name).is_file():
            raise WrongUsage(f"there is no file {name}")
        return provider_named(name)
    if name in shipped():
        return provider_named(PREFIX + name)
    raise WrongUsage(
        f"there is no provider {name}; there are {', '.join(PROVIDERS)}"
        f", {', '.join(PREFIX + preset for preset in shipped())}, or a file of your own that ends in {SUFFIX}"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of providers."""

    name: str
    title: str
    kind: str
    credential: str
    setup: str


def rows() -> Iterator[Row]:
    """Everything that is shipped. Raises `Misconfigured` for a shipped preset that cannot be used."""
    for provider in every_provider():
        kind = "preset" if provider.name.startswith(PREFIX) else "built in"
        yield Row(provider.name, provider.title, kind, provider.traits.credential, provider.setup)


def every_provider() -> Iterator[Provider]:
    yield from PROVIDERS.values()
    for preset in shipped():
        yield provider_named(PREFIX + preset)


def markdown() -> str:
    """The table of the README."""
    lines = ["| PBX | `provider` | what proves the sender | what to enter where |", "|---|---|---|---|"]
    for row in rows():
        cells = (row.title, f"`{row.name}`", row.credential, row.setup)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")


@app.command("list")
def list_providers(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As the table of the README.")] = False,
    as_json: options.Json = False,
) -> None:
    """List the PBXs that are understood: built in, and as presets."""
    if as_markdown:
        sys.stdout.write(markdown())
        return
    if as_json:
        for row in rows():
            write_json(row)
        return
    made = table("name", "title", "kind", "what proves the sender", "what to enter where")
    for row in rows():
        made.add_row(*(plain(cell) for cell in (row.name, row.title, row.kind, row.credential, row.setup)))
    console().print(made)
    notes().print(
        "`callbridge providers show NAME` tells more. Yours is not here? Write a preset: show --toml is a start."
    )


@app.command("show")
def show(
    name: Name,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print the preset's file, to start one of your own from it.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Tell how one PBX is set up, what it signs and what it does not, and which settings to write."""
    provider = named(name)
    if as_toml:
        sys.stdout.write(toml_of(provider))
        return
    if as_json:
        write_json(_described(provider))
        return
    out = console()
    out.print(plain(f"{provider.title} ({provider.name})"), style="bold")
    out.print(plain(f"\n{provider.setup}\n"), soft_wrap=True)
    for line in settings_of(provider):
        out.print(plain(line), soft_wrap=True)
    out.print(plain(f"\nWhat proves the sender: {provider.traits.credential}."), soft_wrap=True)
    out.print(plain(f"\n{provider.guide.strip()}"), soft_wrap=True)


def _described(provider: Provider) -> dict[str, Any]:
    traits = provider.traits
    return {
        "name": provider.name,
        "title": provider.title,
        "kind": "preset" if _is_file(provider) else "built in",
        "setup": provider.setup,
        "credential": traits.credential,
        "methods": sorted(provider.methods),
        "settings": settings_of(provider),
        "wall_clock": traits.wall_clock,
        "has_legs": traits.has_legs,
        "signs_url": traits.signs_url,
        "guide": provider.guide.strip(),
    }


def settings_of(provider: Provider) -> list[str]:
    """The lines to write, NAME for the name of the source and ... for what only its owner knows."""
    traits = provider.traits
    values = {"provider": provider.name, **dict.fromkeys(traits.needs, "...")}
    if traits.wall_clock:
        values["timezone"] = "Europe/Moscow"
    if traits.has_legs:
        values["hold"] = "10s"
    lines = [f"{configuration.variable_of(('sources', 'name', key))}={value}" for key, value in values.items()]
    if traits.signs_url:
        lines.append(f"{configuration.variable_of(('receiver', 'public_url'))}=https://your.host")
    return lines


def toml_of(provider: Provider) -> str:
    """Raises `WrongUsage` for a provider that is code."""
    if not _is_file(provider):
        raise WrongUsage(f"{provider.name} is built in: only presets are files. `callbridge providers list` shows them")
    if not provider.name.startswith(PREFIX):
        return Path(provider.name).read_text(encoding="utf-8")
    file = files("callbridge.presets").joinpath("data", provider.name.removeprefix(PREFIX) + SUFFIX)
    return file.read_text(encoding="utf-8")


def _is_file(provider: Provider) -> bool:
    return provider.name not in PROVIDERS
