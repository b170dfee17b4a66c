"""Who did what, in a chain: each entry's hash covers the one before it, so that none can be changed or taken out unseen.

Entries are only ever added. Writers of several processes wait for each other at the chain's tip, which is kept beside it:
entries cut off at the end are missed as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from callbridge.ledger.views import Page
from callbridge.ops.who import Who

_CHUNK: Final = 1000
_MAX_ITEMS: Final = 1000
_MAX_TEXT: Final = 2000
_LIMITS: Final = {"actor": 64, "ip": 64, "action": 64, "reason": _MAX_TEXT}


class Book(Protocol):
    async def append(self, made: Callable[[int, str], Mapping[str, Any]]) -> int: ...
    async def tip(self) -> tuple[int, str]: ...
    async def after(self, seq: int, limit: int) -> list[Mapping[str, Any]]: ...
    async def latest(
        self, *, actor: str | None, action: str | None, before: int | None, limit: int
    ) -> list[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`at` in Unix seconds; `actor` is an operator's name, `token:NAME` or `shell:NAME`."""

    seq: int
    at: float
    actor: str
    ip: str | None
    action: str
    target: Mapping[str, Any]
    count: int | None
    reason: str | None
    outcome: Mapping[str, Any]


class Audit:
    """All methods raise `LedgerUnavailable`."""

    def __init__(self, book: Book, now: Callable[[], float]) -> None:
        self._book = book
        self._now = now

    async def add(
        self,
        who: Who,
        action: str,
        target: Mapping[str, Any],
        *,
        reason: str | None = None,
        count: int | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> int:
        """Returns the entry's number."""
        facts: dict[str, Any] = {
            "at": round(self._now() * 1000),
            "actor": _short("actor", actor_of(who)),
            "ip": _short("ip", who.ip),
            "action": _short("action", action),
            "target": _canonical(_plain(target)),
            "count": count,
            "reason": _short("reason", reason),
            "outcome": _canonical(_plain(outcome or {})),
        }

        def made(seq: int, previous: str) -> Mapping[str, Any]:
            row = {"seq": seq, **facts, "previous": previous}
            return {**row, "hash": hash_of(row)}

        return await self._book.append(made)

    async def entries(
        self, *, actor: str | None = None, action: str | None = None, before: int | None = None, limit: int = 50
    ) -> Page[AuditEntry]:
        """The latest first. `Page.next` is the `before` of the next page."""
        limit = max(1, min(limit, 200))
        rows = await self._book.latest(actor=actor, action=action, before=before, limit=limit + 1)
        shown = tuple(_entry(row) for row in rows[:limit])
        return Page(shown, str(shown[-1].seq) if len(rows) > limit else None)

    async def verify(self) -> int | None:
        """Number of the first entry that does not fit or is missing, None where all fit."""
        last, tip = await self._book.tip()
        seq, previous = 0, ""
        while rows := await self._book.after(seq, _CHUNK):
            for row in rows:
                if row["seq"] != seq + 1 or row["previous"] != previous or row["hash"] != hash_of(row):
                    return seq + 1
                seq, previous = row["seq"], row["hash"]
                if seq == last and previous != tip:
                    return last
        return seq + 1 if seq < last else None


def actor_of(who: Who) -> str:
    """Names of operators hold no colon, so nobody else passes for one."""
    return who.name if who.by == "session" else f"{who.by}:{who.name}"


def hash_of(row: Mapping[str, Any]) -> str:
    """Over all but the hash itself. `target` and `outcome` are taken as the text they are stored as."""
    told = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(_canonical(told).encode()).hexdigest()


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: Any, depth: int = 0) -> Any:
    """As JSON and every database take it: bounded, no half characters, no NUL."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value)
        case float():
            return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN is not itself
        case Mapping() if depth < 8:
            return {_text(str(name)): _plain(each, depth + 1) for name, each in value.items()}
        case list() | tuple() | set() | frozenset() if depth < 8:
            return [_plain(each, depth + 1) for each in list(value)[:_MAX_ITEMS]]
        case _:
            return _text(str(value))


def _text(value: str, limit: int = _MAX_TEXT) -> str:
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:limit]


def _short(column: str, value: str | None) -> str | None:
    return None if value is None else _text(value, _LIMITS[column])


def _entry(row: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(
        seq=row["seq"],
        at=row["at"] / 1000,
        actor=row["actor"],
        ip=row["ip"],
        action=row["action"],
        target=json.loads(row["target"]),
        count=row["count"],
        reason=row["reason"],
        outcome=json.loads(row["outcome"]),
    )
