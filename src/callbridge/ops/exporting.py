"""Calls as files [pure]: CSV for spreadsheets, JSON lines for programs, and the columns of both.

A spreadsheet takes a cell that begins like a formula for one, whoever wrote it: a caller's name can be a program. Such cells
get an apostrophe in front, which spreadsheets show as text. A number in international form begins with a plus, so it gets
one, too, and stays whole: `'+79031112233`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from callbridge.ledger.views import CallRow
from callbridge.ops.masking import masked, without_phones

COLUMNS: Final = (
    "id", "state", "account", "source", "provider", "uniq", "ref", "direction", "phone", "extension", "duration",
    "started_at", "received_at", "settled_at", "updated_at", "attempts", "call_status", "reason", "detail", "result",
    "entity_type", "entity_id", "note_id", "link", "duplicates", "variants", "replayed",
)  # fmt: skip

KINDS: Final[Mapping[str, type]] = {
    column: {
        "duration": int, "started_at": int, "attempts": int, "entity_id": int, "note_id": int, "duplicates": int,
        "variants": int, "received_at": float, "settled_at": float, "updated_at": float, "replayed": bool,
    }.get(column, str)
    for column in COLUMNS
}  # fmt: skip
"""What each column holds, where it holds anything."""

TIMES: Final = frozenset({"started_at", "received_at", "settled_at", "updated_at"})

TRIGGERS: Final = (
    "=+-@\t\r\n\0\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
"""What begins a formula, or is passed over before one; the full-width forms are taken for the plain ones."""


def fields_of(row: CallRow, *, whole_numbers: bool) -> dict[str, Any]:
    """One call by column. Times are Unix seconds; the number is masked unless `whole_numbers`."""
    told = asdict(row)
    if not whole_numbers:
        told |= {"phone": masked(row.phone), "detail": without_phones(row.detail), "result": without_phones(row.result)}
    return {column: told[column] for column in COLUMNS}


def cell(value: Any) -> str:
    """As it stands in a spreadsheet: text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = str(value).replace("\0", "")
    return f"'{text}" if text.lstrip(" ").startswith(tuple(TRIGGERS)) or text.startswith(tuple(TRIGGERS)) else text


def csv_lines(rows: Iterable[CallRow], *, whole_numbers: bool, head: bool = False) -> str:
    """RFC 4180, with CRLF; times as ISO 8601 in UTC."""
    out = io.StringIO(newline="")
    write = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    if head:
        write.writerow(COLUMNS)
    for row in rows:
        told = fields_of(row, whole_numbers=whole_numbers)
        write.writerow([cell(_moment(value) if name in TIMES else value) for name, value in told.items()])
    return out.getvalue()


def json_lines(rows: Iterable[CallRow], *, whole_numbers: bool) -> bytes:
    return b"".join(
        orjson.dumps(fields_of(row, whole_numbers=whole_numbers), option=orjson.OPT_APPEND_NEWLINE) for row in rows
    )


def columns_of(rows: Sequence[CallRow], *, whole_numbers: bool) -> dict[str, list[Any]]:
    """The same by column, for files that are stored that way."""
    told = [fields_of(row, whole_numbers=whole_numbers) for row in rows]
    return {column: [row[column] for row in told] for column in COLUMNS}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
