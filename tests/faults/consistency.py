"""Whether everything that Redis holds fits together, key by key of the schema: one list of what does not.

Each call stands in exactly one set, and it is the set of its state. Scripts write several keys at once, so a power cut, a
torn file or a kill in the middle must never be seen here. Reads all of it: for tests.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson
from redis.asyncio import Redis

FINAL = ("delivered", "unmatched", "dead", "ignored", "erased")
LANES = ("due", "bulk", "alone")
"""Where a waiting call may stand, one of them."""

PER_ACCOUNT = (*LANES, "uncertain", "parked")
PLACES = {
    "waiting": LANES, "claimed": ("leases",), "sending": ("leases",), "uncertain": ("uncertain",), "parked": ("parked",),
}  # fmt: skip


@dataclass
class Holdings:
    """What was read, by the names of the schema; ids and fields as text."""

    calls: dict[str, dict[str, str]] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    stories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    legs: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


async def holdings(redis: Redis, root: str) -> Holdings:
    found = Holdings()
    for raw in await redis.keys(f"{_escaped(root)}*"):  # SCAN was seen to miss some while the table grew
        key = raw.decode()
        name, _, rest = key.removeprefix(root).partition(":")
        match name, await redis.type(key):
            case "call", b"hash":
                found.calls[rest] = await _hash(redis, key)
            case "note", b"hash":
                found.notes[rest] = (await _hash(redis, key)).get("id", "")
            case "legs", b"hash":
                found.legs[rest] = await redis.hlen(key)
            case "story", b"list":
                found.stories[rest] = [orjson.loads(row) for row in await redis.lrange(key, 0, -1)]
            case _, b"zset":
                found.sets[key.removeprefix(root)] = {m.decode() for m in await redis.zrange(key, 0, -1)}
            case _, b"set":
                found.sets[key.removeprefix(root)] = {m.decode() for m in await redis.smembers(key)}
            case "keys" | "counts" | "forgotten", b"hash":
                found.hashes[name] = await _hash(redis, key)
            case "bodies", b"hash":
                found.sets["bodies"] = {member.decode() for member in await redis.hkeys(key)}
    return found


async def inconsistencies(redis: Redis, root: str) -> list[str]:
    """What does not fit together, in words; empty where all is well."""
    found = await holdings(redis, root)
    return [*_indexes(found), *_whereabouts(found), *_fields(found), *_notes(found)]


def _indexes(found: Holdings) -> list[str]:
    ids, problems = set(found.calls), []
    forgotten = {call_id for call_id, call in found.calls.items() if "fg" in call}
    erased = {call_id for call_id, call in found.calls.items() if call["st"] == "erased"}
    dedupe = Counter(found.hashes.get("keys", {}).values())
    indexes = {
        "keys": (set(dedupe), ids),
        "index": (found.sets.get("index", set()), ids - forgotten),
        "bodies": (found.sets.get("bodies", set()), ids - forgotten - erased),
        "remnants": (found.sets.get("remnants", set()), forgotten),
    }
    for name, (members, right) in indexes.items():
        if members != right:
            problems.append(f"{name} and the calls differ: {_some(members ^ right)}")
    if twice := [call_id for call_id, times in dedupe.items() if times > 1]:
        problems.append(f"calls under two keys: {_some(twice)}")
    stored = sum(int(n) for name, n in found.hashes.get("counts", {}).items() if name.endswith(":stored"))
    dropped = sum(map(int, found.hashes.get("forgotten", {}).values())) - len(forgotten)
    if stored != len(ids) + dropped:
        problems.append(f"{stored} were counted as stored, there are {len(ids)}, and {dropped} are gone")
    for name, there, right in (
        ("story", found.stories, ids - forgotten),
        ("legs", found.legs, ids - forgotten - erased),
    ):
        if strange := set(there) - right:
            problems.append(f"a {name} of no call: {_some(strange)}")
    if strange := {call["ac"] for call in found.calls.values()} - found.sets.get("accounts", set()):
        problems.append(f"accounts that are not listed: {_some(strange)}")
    return problems


def _whereabouts(found: Holdings) -> list[str]:
    problems = []
    where = defaultdict(set)
    for name, members in found.sets.items():
        if name in {*FINAL, "leases"} or name.partition(":")[0] in PER_ACCOUNT:
            for call_id in members:
                where[call_id].add(name)
    for call_id, call in found.calls.items():
        if "fg" in call and not where[call_id]:
            continue
        right = PLACES.get(call["st"], (call["st"],))
        right = {f"{name}:{call['ac']}" if name in PER_ACCOUNT else name for name in right}
        if len(where[call_id]) != 1 or not where[call_id] <= right:
            problems.append(f"{call_id} is {call['st']} and stands in {sorted(where[call_id])}")
    if strange := {call_id for call_id, places in where.items() if places} - set(found.calls):
        problems.append(f"sets hold ids of no call: {_some(strange)}")
    retrying = {call_id for call_id, call in found.calls.items() if call["st"] == "waiting" and int(call.get("at", 0))}
    if retrying != found.sets.get("retrying", set()):
        problems.append(f"retrying differs from the calls: {_some(retrying ^ found.sets.get('retrying', set()))}")
    return problems


def _fields(found: Holdings) -> list[str]:
    needed = {
        "claimed": {"fn"}, "sending": {"fn", "at", "fs", "ba"}, "uncertain": {"at", "fs", "us"}, "delivered": {"ni", "et"},
        "dead": {"rs"}, "parked": {"rs", "pk"}, "ignored": {"rs"}, "unmatched": {"rs"},
    }  # fmt: skip
    problems = []
    for call_id, call in found.calls.items():
        if "fg" in call:
            continue
        by_hand = call["st"] == "delivered" and call.get("rs") == "marked_delivered"
        if missing := (set() if by_hand else needed.get(call["st"], set())) - call.keys():
            problems.append(f"{call_id} is {call['st']} without {sorted(missing)}")
        if call["st"] in FINAL and call.get("rs") != "undecodable" and not found.stories.get(call_id):
            problems.append(f"{call_id} is {call['st']} and has no story")
        if call["st"] in {"delivered", "unmatched", "parked"} and not _was_told(
            found.stories.get(call_id, []), call["st"]
        ):
            problems.append(f"{call_id} is {call['st']} and its story does not say so")
    return problems


def _notes(found: Holdings) -> list[str]:
    problems = []
    due = {m: name.partition(":")[2] for name, s in found.sets.items() if name.startswith("late:") for m in s}
    if due.keys() != found.notes.keys():
        problems.append(f"notes that are not due, or due and not there: {_some(due.keys() ^ found.notes.keys())}")
    for note, call_id in found.notes.items():
        if found.calls.get(call_id, {}).get("ac") != due.get(note):
            problems.append(f"note {note} is due for another account than its call's")
    return problems


def _was_told(story: list[dict[str, Any]], state: str) -> bool:
    """By the story's own word, or by an operator's."""
    return any(entry.get("what") == state or entry.get("as") == state for entry in story)


async def _hash(redis: Redis, key: str) -> dict[str, str]:
    rows: dict[bytes, bytes] = await redis.hgetall(key)  # type: ignore[misc] # typed for both worlds
    return {name.decode(): value.decode(errors="replace") for name, value in rows.items()}


def _escaped(root: str) -> str:
    return "".join(f"\\{c}" if c in "[]?*\\" else c for c in root)


def _some(things: Any) -> str:
    return ", ".join(sorted(map(str, things))[:4])
