"""`callbridge config ...`: what can be set."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer
from cryptography.fernet import Fernet

from callbridge import guide

app = typer.Typer(no_args_is_help=True, help="Show what can be set.")


@app.command("example")
def example(
    env: Annotated[bool, typer.Option("--env", help="As environment variables instead of a TOML file.")] = False,
) -> None:
    """Print a file with every setting, its description and its default."""
    sys.stdout.write(guide.env_example() if env else guide.example())


@app.command("key")
def key() -> None:
    """Print a fresh sealing key (CALLBRIDGE_SEALING__KEY), under which tokens of OAuth are stored."""
    sys.stdout.write(f"{Fernet.generate_key().decode()}\n")


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of the configuration file."""
    sys.stdout.write(f"{orjson.dumps(guide.json_schema(), option=orjson.OPT_INDENT_2).decode()}\n")
