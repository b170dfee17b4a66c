"""What a form says: its texts, and the calls that it is about.

Apart from the pages because it is what a bulk action acts on. A part of a filter that cannot be read is an error here and
never left out: without it the filter would mean more calls than whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiDict, MultiMapping

from callbridge.ledger.views import CallFilter
from callbridge.ops.dashboard.call_query import asked, pairs
from callbridge.ops.dashboard.viewing import view_of
from callbridge.ops.job_plan import MOST_NAMED

_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")


async def texts_of(request: web.Request) -> MultiDict[str]:
    """The fields of a form; a file that somebody sends is none."""
    form = await request.post()
    return MultiDict((name, value) for name, value in form.items() if isinstance(value, str))


def filter_of(given: MultiMapping[str], request: web.Request, now: float) -> CallFilter:
    """Raises `ValueError`, naming the parts that cannot be read."""
    read = asked(given, now=now, zone=view_of(request).zone)
    if read.wrong:
        raise ValueError(", ".join(read.wrong))
    return read.filter


def ids_of(given: MultiMapping[str]) -> tuple[str, ...]:
    """The calls that are named one by one, each once. Raises `ValueError`."""
    ids = tuple(dict.fromkeys(value for value in given.getall("id", []) if value))
    if len(ids) > MOST_NAMED or not all(map(_ID.fullmatch, ids)):
        raise ValueError("id")
    return ids


def query_of(wanted: CallFilter) -> str:
    return urlencode(pairs(wanted))


def is_whole(wanted: CallFilter) -> bool:
    """Whether the filter still says what it said: of a stored one the number may have been masked."""
    return wanted.phone is None or wanted.phone.isdigit()


def one_of(given: MultiMapping[str], name: str, known: Collection[str]) -> str | None:
    """A value of a choice, None where it is none of the `known`."""
    value = given.get(name, "")
    return value if value in known else None


def line(given: MultiMapping[str], name: str, most: int) -> str | None:
    """A text on one line, None where nothing is in it. Raises `ValueError`."""
    value = given.get(name, "").strip()
    if len(value) > most or not value.isprintable():
        raise ValueError(name)
    return value or None
