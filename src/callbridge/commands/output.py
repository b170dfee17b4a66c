"""How answers look: tables for people, one JSON object a line for machines.

Text from outside is shown as text: no markup, no control characters, so that a hostile webhook cannot draw on the terminal.
People read local time; JSON has Unix seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from callbridge.ops.inspect import Listed
from callbridge.values import format_duration

PIPED_WIDTH: Final = 240
"""Columns where the output is no terminal: `grep` should find whole values."""

_WHOLE: Final = frozenset({"id", "received", "state", "check"})
"""Columns that are of no use in pieces."""

_COLOURS: Final = {
    "queued": "cyan",
    "retrying": "cyan",
    "sending": "cyan",
    "uncertain": "yellow",
    "parked": "yellow",
    "delivered": "green",
    "dead": "red",
    "active": "green",
    "paused": "yellow",
    "unauthorised": "red",
    "unconfigured": "red",
    "problem": "red",
    "warning": "yellow",
    "ok": "green",
}


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=False)


def notes() -> Console:
    """For what is said beside the answer: it goes to stderr and leaves stdout to be parsed."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=True)


def write_json(answer: Any) -> None:
    sys.stdout.write(f"{orjson.dumps(answer).decode()}\n")


def plain(text: object) -> Text:
    """`text` without meaning to rich or to the terminal; line breaks stay."""
    return Text("".join(c if c == "\n" or c.isprintable() else ascii(c)[1:-1] for c in str(text)))


def coloured(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, ""))


def local(at: float | None) -> str:
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float | None) -> str:
    """Roughly how long, in one unit or two."""
    if seconds is None:
        return ""
    if seconds < 1:
        return format_duration(round(seconds, 2)) if seconds >= 0.01 else "0s"
    whole = round(seconds)
    for size, unit, smaller, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit} {rest}{small}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def table(*columns: str, title: str | None = None, right: Iterable[str] = ()) -> Table:
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in _WHOLE,
            min_width=16 if column == "id" else None,
        )
    return made


def calls_table(calls: Iterable[Listed]) -> Table:
    made = table(
        *("id", "received", "state", "reason", "direction", "phone", "talk", "source", "account", "tries", "card"),
        right=("talk", "tries"),
    )
    for call in calls:
        card = f"{call.entity_type} {call.entity_id}" if call.entity_type else ""
        made.add_row(
            call.id,
            local(call.received_at),
            coloured(call.state),
            plain(call.reason or ""),
            call.direction or "",
            plain(call.phone or ("" if call.phone is None else "hidden")),
            span(call.duration),
            plain(call.source),
            plain(call.account),
            str(call.attempts),
            plain(card),
        )
    return made
