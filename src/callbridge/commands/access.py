"""`callbridge operators`, `tokens`, `audit`: who may come into the console, and what was done there."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from callbridge.commands import options
from callbridge.commands.books import audit_of, opened_ledger, shell
from callbridge.commands.frame import Found, WrongUsage, run, settings_of
from callbridge.commands.output import console, local, notes, plain, table, write_json
from callbridge.ledger.access import AccessBook
from callbridge.ops.access.operators import Operators
from callbridge.ops.access.tokens import Tokens
from callbridge.ops.who import Role
from callbridge.settings import Settings
from callbridge.values import parse_duration

operators = typer.Typer(no_args_is_help=True, help="Who may log in to the console.")
tokens = typer.Typer(no_args_is_help=True, help="Tokens of programs that use the REST API.")
audit = typer.Typer(no_args_is_help=True, help="What was done by whom.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
RoleOf = Annotated[
    Role, typer.Option("--role", help="viewer reads, operator moves calls, admin decides about the rest.")
]
WORDS = 5
"""Of a password that is made here: five letters of twenty each, so 108 bits."""


@asynccontextmanager
async def _operators(settings: Settings) -> AsyncIterator[Operators]:
    async with opened_ledger(settings) as ledger:
        yield Operators(AccessBook(ledger), audit_of(ledger), time.time)


@operators.command("list")
def list_operators(context: typer.Context, as_json: options.Json = False) -> None:
    """List those who may log in beside the admin of the settings."""

    async def read() -> list[dict[str, Any]]:
        async with _operators(settings_of(context)) as desk:
            return [asdict(each) for each in await desk.listed()]

    _show(run(read()), ("name", "role", "created_at", "disabled_at", "has_totp"), as_json=as_json)


@operators.command("add")
def add_operator(context: typer.Context, name: Name, role: RoleOf = Role.VIEWER) -> None:
    """Add an operator. The password is read from standard input; where that is a terminal and none is typed, one is made."""
    password, made = _password()

    async def add() -> None:
        async with _operators(settings_of(context)) as desk:
            await desk.add(shell(), name, role, password)

    run(add())
    _say_password(f"Operator {name} may log in as {role.value}.", password, made=made)


@operators.command("password")
def set_password(context: typer.Context, name: Name) -> None:
    """Set an operator's password anew; his sessions end."""
    password, made = _password()

    async def change() -> None:
        async with _operators(settings_of(context)) as desk:
            await desk.set_password(shell(), name, password)

    run(change())
    _say_password(f"Operator {name} has a new password.", password, made=made)


@operators.command("role")
def set_role(context: typer.Context, name: Name, role: Annotated[Role, typer.Argument()]) -> None:
    """Give an operator another role; his sessions end."""

    async def change() -> None:
        async with _operators(settings_of(context)) as desk:
            await desk.set_role(shell(), name, role)

    run(change())
    console().print(plain(f"Operator {name} is {role.value} now."))


@operators.command("disable")
def disable(context: typer.Context, name: Name) -> None:
    """Keep an operator out, within five seconds also where he is logged in."""

    async def change() -> None:
        async with _operators(settings_of(context)) as desk:
            await desk.disable(shell(), name)

    run(change())
    console().print(plain(f"Operator {name} is kept out."))


@operators.command("enable")
def enable(context: typer.Context, name: Name) -> None:
    """Let a disabled operator in again."""

    async def change() -> None:
        async with _operators(settings_of(context)) as desk:
            await desk.enable(shell(), name)

    run(change())
    console().print(plain(f"Operator {name} may log in again."))


@asynccontextmanager
async def _tokens(settings: Settings) -> AsyncIterator[Tokens]:
    async with opened_ledger(settings) as ledger:
        yield Tokens(AccessBook(ledger), audit_of(ledger), time.time)


@tokens.command("list")
def list_tokens(context: typer.Context, as_json: options.Json = False) -> None:
    """List the tokens, those that are over among them; never their secrets."""

    async def read() -> list[dict[str, Any]]:
        async with _tokens(settings_of(context)) as desk:
            return [asdict(each) for each in await desk.listed()]

    columns = ("id", "name", "role", "created_at", "created_by", "used_at", "expires_at", "revoked_at")
    _show(run(read()), columns, as_json=as_json)


@tokens.command("create")
def create_token(
    context: typer.Context,
    name: Name,
    role: RoleOf = Role.VIEWER,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it is good: 12h, 90d. Unset: for ever.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make a token and show it, once."""
    lasts = parse_duration(expires) if expires else None
    if expires and not isinstance(lasts, float):
        raise WrongUsage(f"--expires {expires!r}: is a duration such as 12h or 90d")

    async def issue() -> tuple[str, str]:
        async with _tokens(settings_of(context)) as desk:
            made = await desk.issue(shell(), name, role, expires_at=time.time() + lasts if lasts else None)
            return made.token.id, made.secret

    try:
        token_id, secret = run(issue())
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    if as_json:
        write_json({"id": token_id, "name": name, "role": role.value, "token": secret})
    else:
        notes().print(plain(f"Token {token_id}, role {role.value}. It is shown this once:"))
        console().print(plain(secret), soft_wrap=True)


@tokens.command("revoke")
def revoke_token(context: typer.Context, token_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """End a token: within five seconds it opens no console any more."""

    async def revoke() -> bool:
        async with _tokens(settings_of(context)) as desk:
            return await desk.revoke(shell(), token_id)

    if not run(revoke()):
        notes().print(plain(f"There is no token {token_id} that is still good."))
        raise Found
    console().print(plain(f"Token {token_id} opens nothing any more."))


@audit.command("list")
def list_audit(
    context: typer.Context,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this one did.")] = None,
    action: Annotated[str | None, typer.Option(metavar="NAME", help="Only this action.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, metavar="N", help="Most entries shown.")] = 50,
    as_json: options.Json = False,
) -> None:
    """List what was done, the latest first."""

    async def read() -> list[dict[str, Any]]:
        async with opened_ledger(settings_of(context)) as ledger:
            page = await audit_of(ledger).entries(actor=actor, action=action, limit=limit)
            return [asdict(entry) for entry in page.rows]

    _show(run(read()), ("seq", "at", "actor", "action", "target", "count", "reason"), as_json=as_json)


@audit.command("verify")
def verify_audit(context: typer.Context, as_json: options.Json = False) -> None:
    """Check that no entry was changed or taken out."""

    async def check() -> int | None:
        async with opened_ledger(settings_of(context)) as ledger:
            return await audit_of(ledger).verify()

    wrong = run(check())
    if as_json:
        write_json({"ok": wrong is None, "first_wrong": wrong})
    elif wrong is None:
        console().print("Every entry fits the one before it.")
    else:
        console().print(plain(f"Entry {wrong} was changed, or one before it is missing."))
    if wrong is not None:
        raise Found


def _password() -> tuple[str, bool]:
    """What was given, and whether it was made here instead."""
    if sys.stdin.isatty():
        given = typer.prompt("Password (empty: make one)", hide_input=True, default="", show_default=False, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if given:
        return given, False
    letters = "bcdfghjkmnpqrstvwxyz"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(WORDS)), True


def _say_password(told: str, password: str, *, made: bool) -> None:
    notes().print(plain(told))
    if made:
        notes().print("The password is shown this once:")
        console().print(plain(password), soft_wrap=True)


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            write_json(row)
        return
    if not rows:
        console().print("None.")
        return
    made = table(*columns)
    for row in rows:
        cells = (local(row[name]) if name == "at" or name.endswith("_at") else row[name] for name in columns)
        made.add_row(*(plain("" if cell is None else cell) for cell in cells))
    console().print(made)
