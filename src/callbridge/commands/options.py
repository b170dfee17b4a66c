"""Options that several commands share: filters over calls, and `--json`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from callbridge.commands.frame import WrongUsage
from callbridge.ops.filters import STATES, Filter, last_digits, moment, state_named

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON: one object, or one a line for lists.")]
State = Annotated[str | None, typer.Option(metavar="STATE", help=f"Only calls in this state: {', '.join(STATES)}.")]
Account = Annotated[str | None, typer.Option(metavar="NAME", help="Only calls of this account.")]
Source = Annotated[str | None, typer.Option(metavar="NAME", help="Only calls of this PBX source.")]
Phone = Annotated[str | None, typer.Option(metavar="DIGITS", help="Only calls whose number ends in these digits.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Received at or after: 2h (ago), 2026-03-01, 2026-03-01T08:30, Unix seconds."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Received before; written like --since.")]
Reason = Annotated[str | None, typer.Option(metavar="CODE", help="Only calls with this reason, such as expired.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Most calls shown.  [default: 50; with --json all]")
]

TABLE_LIMIT = 50


def wanted(
    *,
    state: str | None = None,
    account: str | None,
    source: str | None,
    phone: str | None,
    since: str | None,
    until: str | None,
    reason: str | None = None,
) -> Filter:
    """Raises `WrongUsage` for what cannot be meant."""
    now = time.time()
    return Filter(
        state=_read("--state", state, state_named),
        account=account,
        source=source,
        phone=_read("--phone", phone, last_digits),
        since=_read("--since", since, lambda text: moment(text, now=now)),
        until=_read("--until", until, lambda text: moment(text, now=now)),
        reason=reason,
    )


def _read(name: str, written: str | None, reader: Callable[[str], T]) -> T | None:
    if written is None:
        return None
    try:
        return reader(written)
    except ValueError as error:
        raise WrongUsage(f"{name} {written!r}: {error}") from None
