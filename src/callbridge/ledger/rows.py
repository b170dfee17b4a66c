"""From what Redis shows of a call to what the ledger holds of it [pure].

Apart from `writer`, which only carries out what is decided here: which of two states of a call is the newer one, what its
row, its events and its attempts are, and what is left of it once it is erased.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol

import orjson

from callbridge.ledger.figures import cause_of, tail_of
from callbridge.ledger.tables import ATTEMPTS, BATCHES, CALLS, EVENTS
from callbridge.ledger.upsert import fitted
from callbridge.outcome import FINAL, Reason
from callbridge.store.records import Record

Row = Mapping[str, Any]
EventKey = tuple[int, int]
"""When, and which of the entries of that millisecond."""

STRIPPED: Final[dict[str, Any]] = dict.fromkeys(
    (
        "uniq", "ref", "phone", "tail", "extension", "duration", "started_at", "result", "link", "detail", "cause",
        "note_id", "entity_type", "entity_id",
    )
)  # fmt: skip
"""What an erased call has no more: who it was with, and where that person is found."""

_FINAL: Final = frozenset(state.value for state in FINAL)
_REFUSED: Final = "WholeRefused"


class Snapshot(Protocol):
    """A call as Redis shows it. `story` has times in milliseconds; `sealed` is the envelope, None where there is none."""

    @property
    def record(self) -> Record: ...
    @property
    def story(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def sealed(self) -> bytes | None: ...
    @property
    def replayed(self) -> bool: ...


def call_row(snapshot: Snapshot, old: Row | None) -> dict[str, Any]:
    """The call's row. `old` is the row there is: it knows when the call ended, if the story does not reach so far back."""
    record, call = snapshot.record, snapshot.record.call
    webhook = record.webhook
    row: dict[str, Any] = {
        "id": record.id,
        "state": record.state,
        "account": record.account,
        "source": record.source,
        "provider": record.envelope.provider if record.envelope else None,
        "uniq": call.uniq if call else None,
        "ref": call.ref if call else None,
        "direction": call.direction.value if call else None,
        "phone": (call.phone or None) if call else None,
        "tail": tail_of(call.phone) if call else None,
        "extension": call.extension if call else None,
        "duration": call.duration if call else None,
        "started_at": call.started_at if call else None,
        "status": call.status.value if call else None,
        "result": call.result if call else None,
        "link": record.link,
        "event": webhook.event if webhook else None,
        "received_at": round(record.received_at * 1000),
        "updated_at": round(record.updated_at * 1000),
        "settled_at": _settled_at(snapshot, old),
        "attempts": record.attempts,
        "reason": record.reason,
        "detail": record.detail,
        "cause": cause_of(record.reason, record.detail) if record.reason else None,
        "note_id": record.note_id,
        "entity_type": record.entity_type,
        "entity_id": record.entity_id,
        "duplicates": record.duplicates,
        "variants": record.variants,
        "replayed": snapshot.replayed,
        "forgotten_at": None,
    }
    return fitted(CALLS, row | STRIPPED if record.state == "erased" else row)


def erased_row(row: Row, now: int) -> dict[str, Any]:
    """What is left of a call's row. One that had ended keeps the time of its end: it is kept no longer than it was to be."""
    ended = row["settled_at"] if row["state"] in _FINAL and row["settled_at"] else now
    return {**row, **STRIPPED, "state": "erased", "settled_at": ended}


def _settled_at(snapshot: Snapshot, old: Row | None) -> int | None:
    record = snapshot.record
    if record.state not in _FINAL:
        return None
    known = None if old is None else old["settled_at"]
    if known and record.state in {"erased", old and old["state"]} & {"erased", "delivered"}:
        return int(known)  # where counters are kept of it, or from which it is kept: for good
    for entry in reversed(snapshot.story):
        if entry["what"] == record.state or entry.get("as") == record.state or _discarded(entry, record.state):
            return int(entry["at"])
    if known and old is not None and old["state"] == record.state:
        return int(known)
    return round(record.updated_at * 1000)


def _discarded(entry: Mapping[str, Any], state: str) -> bool:
    return state == "ignored" and entry["what"] == "discarded"


def is_stale(old: Row, new: Row, *, told: AbstractSet[EventKey], known: AbstractSet[EventKey]) -> bool:
    """Whether `new` was read from Redis before `old` was, by a writer that was overtaken. A story that `told` what is not yet
    `known` here is newer whatever the clocks say, which differ after a failover. Within a millisecond, one without the
    latest that is known is older, and so is one that goes on where the other ended.
    """
    if told - known or new["updated_at"] > old["updated_at"]:
        return False
    if new["updated_at"] < old["updated_at"]:
        return True
    return bool(known and max(known) not in told) or (old["state"] in _FINAL and new["state"] not in _FINAL)


def is_timed(snapshot: Snapshot) -> bool:
    """Whether the time from its webhook to its delivery was ours alone."""
    record = snapshot.record
    if snapshot.replayed or record.reason == Reason.MARKED_DELIVERED:
        return False
    return all(entry["what"] != "parked" for entry in snapshot.story)


def entries(snapshot: Snapshot) -> Iterator[tuple[EventKey, Mapping[str, Any]]]:
    """The story's entries, each with the key under which the ledger holds it."""
    seen: Counter[int] = Counter()
    for entry in snapshot.story:
        at = int(entry["at"])
        yield (at, seen[at]), entry
        seen[at] += 1


def event_row(call_id: str, key: EventKey, entry: Mapping[str, Any], *, bare: bool) -> dict[str, Any]:
    """`bare` leaves what happened, and when."""
    facts = {} if bare else {name: value for name, value in entry.items() if name not in {"at", "what"}}
    what, told = str(entry["what"]), orjson.dumps(facts).decode()
    return fitted(EVENTS, {"call_id": call_id, "at": key[0], "n": key[1], "what": what, "facts": told})


def attempt_row(call_id: str, entry: Mapping[str, Any], *, bare: bool) -> dict[str, Any] | None:
    """What a request made of the call, if that is what the entry tells."""
    if not entry.get("batch"):
        return None
    row = {
        "batch_id": str(entry["batch"]),
        "call_id": call_id,
        "at": int(entry["at"]),
        "became": str(entry["what"]),
        "reason": entry.get("reason"),
        "detail": None if bare else entry.get("detail"),
    }
    return fitted(ATTEMPTS, row)


def batch_row(batch: Mapping[str, Any], *, erased: AbstractSet[str]) -> dict[str, Any]:
    """A request as the worker told of it, without its bodies if one of its calls is erased by now. Raises `KeyError`,
    `TypeError` or `ValueError` for what is none.
    """
    bare = any(call_id in erased for call_id in carried(batch))
    row = {name: batch[name] for name in ("id", "account", "at", "kind", "size", "why", "seconds", "answer")}
    row |= {name: batch.get(name) for name in ("parent", "status", "request_id")}
    for name in ("request", "response"):
        body = batch.get(name)
        row[name] = None if bare or body is None else base64.b64decode(body)
    return fitted(BATCHES, row)


def carried(batch: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the calls in it."""
    return tuple(map(str, batch.get("calls") or ()))


def batch_attempts(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the batch itself tells of its calls. Where a call's own story tells of that request, the story counts."""
    became = "halved" if batch["answer"] == _REFUSED else "waiting"
    return [
        fitted(
            ATTEMPTS,
            {
                "batch_id": batch["id"], "call_id": call_id, "at": batch["at"], "became": became, "reason": None,
                "detail": None,
            },
        )
        for call_id in carried(batch)
    ]  # fmt: skip
