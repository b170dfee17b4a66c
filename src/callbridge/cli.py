"""The command line: puts the commands together and turns every ending into an exit code.

Nothing is decided here. 0 done, 1 a problem was found, 2 wrong usage; errors are one line each on stderr, so that stdout
can be parsed whatever happens.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from callbridge import __version__
from callbridge.commands import (
    access,
    accounts,
    calls,
    checking,
    configuring,
    dead,
    demo,
    epoch,
    erasing,
    frame,
    ledger,
    providers,
    roles,
    sending,
    simulating,
    trying,
    uncertain,
    users,
)
from callbridge.errors import CallbridgeError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Every finished phone call of a PBX ends in the CRM, or where a person can see why not.",
)

for command in (
    roles.up,
    demo.demo,
    roles.receiver,
    roles.worker,
    roles.console,
    checking.check,
    calls.status,
    sending.send,
    erasing.erase,
):
    app.command(command.__name__)(command)
app.add_typer(calls.app, name="calls")
app.add_typer(dead.app, name="dead")
app.add_typer(epoch.app, name="epoch")
app.add_typer(uncertain.app, name="uncertain")
app.add_typer(accounts.app, name="accounts")
app.add_typer(ledger.app, name="ledger")
app.add_typer(access.operators, name="operators")
app.add_typer(access.tokens, name="tokens")
app.add_typer(access.audit, name="audit")
providers.app.command("try")(trying.try_request)
app.add_typer(providers.app, name="providers")
app.add_typer(users.app, name="users")
app.add_typer(simulating.app, name="sim")
app.add_typer(configuring.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"callbridge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings file, instead of CALLBRIDGE_CONFIG or ./callbridge.toml."),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version, and end.")
    ] = False,
) -> None:
    context.obj = frame.Options(config)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    for stream in (sys.stdout, sys.stderr):  # what a PBX calls people does not always fit the terminal's encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    out = sys.stdout
    try:
        code = _run(arguments)
        if sys.stdout is not out:  # typer met the closed pipe first, put something else there, and calls it a failure
            return frame.DONE
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has what it wanted: `| head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return frame.DONE
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        app(arguments, prog_name="callbridge")
    except CallbridgeError as error:
        code, words = frame.ending(error)
        for line in words.splitlines():
            sys.stderr.write(f"callbridge: {line}\n")
        return code
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else frame.DONE
    return frame.DONE
