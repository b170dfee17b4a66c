"""The read side: stored calls as people list them, their stories, and how many stand where. Never writes.

Lists walk the index newest first in bounded pages; a filter costs a page at a time, never the whole set at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.exceptions import RedisError

from callbridge.call import Call, CallId, Webhook
from callbridge.errors import StoreUnavailable
from callbridge.outcome import PublicState, State, public_state
from callbridge.store import keys
from callbridge.store.envelope import Envelope, EnvelopeError, unseal
from callbridge.store.keys import CallField
from callbridge.store.scripts import Scripts

PAGE = 500

SHOWN: Final = 200
"""Snapshots in one pipeline."""

_FIELDS = (
    CallField.STATE, CallField.ACCOUNT, CallField.SOURCE, CallField.ATTEMPTS, CallField.RECEIVED, CallField.UPDATED,
    CallField.REASON, CallField.DETAIL, CallField.NOTE, CallField.ENTITY_TYPE, CallField.ENTITY, CallField.LINK,
    CallField.DUPLICATES, CallField.VARIANTS, CallField.REPLAYED, CallField.FORGOTTEN,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One stored call as it stands now. `envelope` is None only for bytes we cannot read any more."""

    id: CallId
    state: PublicState
    account: str
    source: str
    attempts: int
    received_at: float
    updated_at: float
    reason: str | None
    detail: str | None
    note_id: int | None
    entity_type: str | None
    entity_id: int | None
    link: str | None
    duplicates: int
    variants: int
    envelope: Envelope | None

    @property
    def call(self) -> Call | None:
        return self.envelope.call if self.envelope else None

    @property
    def webhook(self) -> Webhook | None:
        return self.envelope.webhook if self.envelope else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is told of a call. `story` has its times in milliseconds, and of other legs what they were;
    `sealed` is the envelope as it is stored, absent once erased. `replayed`: a person had it sent again.
    """

    record: Record
    story: Sequence[Mapping[str, Any]]
    sealed: bytes | None
    replayed: bool


class RedisRecords:
    """Reads calls. All methods raise `StoreUnavailable`. What is forgotten is not there."""

    def __init__(self, scripts: Scripts) -> None:
        self._redis = scripts.redis
        self._root = scripts.root

    async def get(self, call_id: CallId) -> Record | None:
        records = await self._read([call_id.encode()])
        return records[0] if records else None

    async def story(self, call_id: CallId) -> list[dict[str, Any]]:
        """What happened to the call after it was received, oldest first; each entry has `at` (Unix seconds) and `what`."""
        try:
            rows = await self._redis.lrange(keys.story(self._root, call_id), 0, -1)  # type: ignore[misc] # typed for both worlds
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"story: {error}") from error
        entries = [orjson.loads(row) for row in rows]
        legs = await self._legs(call_id) if any("leg" in entry for entry in entries) else {}
        return [_told(entry, legs) | {"at": entry["at"] / 1000} for entry in entries]

    async def snapshots(self, ids: Sequence[str]) -> list[Snapshot]:
        """Those of the calls that are there. One that moves while it is read is told on the stream again."""
        found: list[Snapshot] = []
        for start in range(0, len(ids), SHOWN):
            chunk = [CallId(call_id) for call_id in ids[start : start + SHOWN]]
            try:
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for call_id in chunk:
                        pipeline.hget(f"{self._root}bodies", call_id)
                        pipeline.lrange(keys.story(self._root, call_id), 0, -1)
                        pipeline.hgetall(keys.legs(self._root, call_id))
                        # Last: it knows what was forgotten meanwhile.
                        pipeline.hmget(keys.call(self._root, call_id), list(_FIELDS))
                    rows = await pipeline.execute()
            except (RedisError, OSError, TimeoutError) as error:
                raise StoreUnavailable(f"snapshots: {error}") from error
            each = zip(chunk, rows[::4], rows[1::4], rows[2::4], rows[3::4], strict=True)
            found += [_snapshot(*facts) for facts in each if _is_there(facts[-1])]
        return found

    async def _legs(self, call_id: CallId) -> dict[str, Call]:
        """The other legs of a call by their digest."""
        try:
            rows = await self._redis.hgetall(keys.legs(self._root, call_id))  # type: ignore[misc] # as above
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"legs: {error}") from error
        return _calls(rows)

    async def newest(self, *, since: float | None = None, until: float | None = None) -> AsyncIterator[Record]:
        """Calls by time of receipt, newest first, received in [since, until)."""
        upper = "+inf" if until is None else f"({round(until * 1000)}"
        lower = "-inf" if since is None else f"{round(since * 1000)}"
        async for record in self._walk(f"{self._root}index", upper, lower):
            yield record

    async def in_state(self, state: State) -> AsyncIterator[Record]:
        """Calls of one final state, latest first."""
        async for record in self._walk(keys.final(self._root, state), "+inf", "-inf"):
            yield record

    async def uncertain(self, accounts: Iterable[str]) -> AsyncIterator[Record]:
        """Calls that are uncertain now; the account's latest look first. One that is looked for meanwhile may come twice."""
        for account in accounts:
            async for record in self._walk(keys.uncertain(self._root, account), "+inf", "-inf"):
                yield record

    async def _walk(self, key: str, upper: str, lower: str) -> AsyncIterator[Record]:
        """Pages by score and position: calls that leave or join meanwhile neither repeat nor hide a neighbour."""
        seen: set[bytes] = set()
        while True:
            try:
                rows = await self._redis.zrevrangebyscore(key, upper, lower, 0, PAGE + len(seen), withscores=True)
            except (RedisError, OSError, TimeoutError) as error:
                raise StoreUnavailable(f"list: {error}") from error
            fresh = [row for row in rows if row[0] not in seen]
            if not fresh:
                return
            for record in await self._read([call_id for call_id, _ in fresh]):
                yield record
            last = fresh[-1][1]
            seen = {call_id for call_id, score in rows if score == last}
            upper = f"{last:.0f}"

    async def _read(self, ids: Sequence[bytes]) -> list[Record]:
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                # In this order: what is forgotten in between is left out, not shown without its content.
                pipeline.hmget(f"{self._root}bodies", [call_id.decode() for call_id in ids])
                for call_id in ids:
                    pipeline.hmget(keys.call(self._root, call_id.decode()), list(_FIELDS))
                bodies, *rows = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"read: {error}") from error
        return [
            _record(CallId(call_id.decode()), dict(zip(_FIELDS, row, strict=True)), body)
            for call_id, row, body in zip(ids, rows, bodies, strict=True)
            if _is_there(row)
        ]


def _is_there(row: Sequence[bytes | None]) -> bool:
    state, *_, forgotten = row
    return state is not None and forgotten is None


def _snapshot(
    call_id: CallId,
    sealed: bytes | None,
    story: Sequence[bytes],
    legs: Mapping[bytes, bytes],
    row: Sequence[bytes | None],
) -> Snapshot:
    facts, calls = dict(zip(_FIELDS, row, strict=True)), _calls(legs)
    entries = [_told(orjson.loads(entry), calls) for entry in story]
    replayed = facts[CallField.REPLAYED] is not None
    return Snapshot(_record(call_id, facts, sealed), entries, sealed, replayed)


def _calls(legs: Mapping[bytes, bytes]) -> dict[str, Call]:
    envelopes = {digest.decode(): _unsealed(sealed) for digest, sealed in legs.items()}
    return {digest: envelope.call for digest, envelope in envelopes.items() if envelope and envelope.call}


def _told(entry: dict[str, Any], legs: Mapping[str, Call]) -> dict[str, Any]:
    """A story entry; one about another leg says what that leg was, as far as it is kept."""
    told = {name: value for name, value in entry.items() if name != "leg"}
    if leg := legs.get(entry.get("leg", "")):
        facts = {
            "status": leg.status.value,
            "duration": leg.duration,
            "extension": leg.extension,
            "started_at": leg.started_at,
        }
        told |= {name: value for name, value in facts.items() if value is not None}
    return told


def _unsealed(sealed: bytes) -> Envelope | None:
    try:
        return unseal(sealed)
    except EnvelopeError:
        return None


def _record(call_id: CallId, row: Mapping[str, bytes | None], body: bytes | None) -> Record:
    def text(name: str) -> str | None:
        value = row[name]
        return value.decode() if value else None

    def number(name: str) -> int | None:
        value = row[name]
        return int(value) if value else None

    envelope = _unsealed(body or b"")
    attempts, received = number(CallField.ATTEMPTS) or 0, number(CallField.RECEIVED) or 0
    state = State(text(CallField.STATE) or "")
    return Record(
        id=call_id,
        state=public_state(state, attempts),
        account=text(CallField.ACCOUNT) or "",
        source=text(CallField.SOURCE) or "",
        attempts=attempts,
        received_at=received / 1000,
        updated_at=(number(CallField.UPDATED) or received) / 1000,
        reason=text(CallField.REASON),
        detail=text(CallField.DETAIL),
        note_id=number(CallField.NOTE) or None,  # stored as 0 where only the card was told
        entity_type=text(CallField.ENTITY_TYPE),
        entity_id=number(CallField.ENTITY),
        link=text(CallField.LINK) or (envelope.call.link if envelope and envelope.call else None),
        duplicates=number(CallField.DUPLICATES) or 0,
        variants=number(CallField.VARIANTS) or 0,
        envelope=envelope,
    )
