"""What leaves Redis: calls that ended and are in the ledger, and the content of calls that a person wants gone.

A forgotten call leaves what it takes to know its webhook when it comes again, for a while; an erased one leaves a tombstone
for good. Apart from the other verbs because nothing here is ever undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from callbridge.call import CallId, call_key, key_digest, raw_key
from callbridge.errors import StoreUnavailable
from callbridge.outcome import State
from callbridge.store import keys
from callbridge.store.envelope import Envelope, EnvelopeError, unseal
from callbridge.store.repair import MAX_MOVED
from callbridge.store.scripts import Argument, Scripts, Verb

PAGE: Final = 1_000


class RedisForgetting:
    """All methods raise `StoreUnavailable` and may be repeated; then some of it may have been done."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis: Any = scripts.redis  # typed for both worlds, sync and async
        self._root = scripts.root

    async def forget(self, ids: Sequence[CallId]) -> frozenset[CallId]:
        """Those of the calls of which nothing is kept now but what tells a repeated webhook from a new one: the delivered,
        unmatched and ignored ones that no note is on its way for. The ledger must have them.
        """
        return await self._each("forget", ids, _keys_of)

    async def drop_remnants(self, before: float, limit: int) -> int:
        """Calls that were forgotten before that time (Unix seconds) leave nothing; how many that were, at most `limit`."""
        dropped = 0
        while dropped < limit:
            most = min(MAX_MOVED, limit - dropped)
            went = int(await self._scripts.run("remnants", round(before * 1000), most))
            dropped += went
            if went < most:
                break
        return dropped

    async def erase(self, ids: Sequence[CallId]) -> frozenset[CallId]:
        """Those of the calls that are tombstones now. What a worker has at this moment is not: ask again. Nor is what Redis
        does not know.
        """
        return await self._each("erase", ids, _early_of)

    async def tombstones(self) -> list[CallId]:
        """All of them, oldest first."""
        found: list[CallId] = []
        try:
            while rows := await self._redis.zrange(
                keys.final(self._root, State.ERASED), len(found), len(found) + PAGE - 1
            ):
                found += [CallId(call_id.decode()) for call_id in rows]
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"tombstones: {error}") from error
        return found

    async def rewrite_log(self) -> bool:
        """Has Redis write its append-only file anew, where it keeps one: the old one holds what was erased since. False where
        our user may not, or one that began before the erasure is under way.
        """
        try:
            if (await self._redis.info("persistence")).get("aof_enabled"):
                await self._redis.bgrewriteaof()
        except ResponseError:
            return False
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"rewriting: {error}") from error
        return True

    async def _each(self, verb: Verb, ids: Sequence[CallId], digests: Callable[[Envelope], str]) -> frozenset[CallId]:
        """Runs the verb over the ids, each with the digests that are found in its envelope."""
        done: set[CallId] = set()
        for start in range(0, len(ids), MAX_MOVED):
            chunk = ids[start : start + MAX_MOVED]
            envelopes = await self._envelopes(chunk)
            arguments: list[Argument] = []
            for call_id, envelope in zip(chunk, envelopes, strict=True):
                arguments += [call_id, digests(envelope) if envelope else ""]
            done.update(CallId(call_id.decode()) for call_id in await self._scripts.run(verb, *arguments))
        return frozenset(done)

    async def _envelopes(self, ids: Sequence[CallId]) -> list[Envelope | None]:
        try:
            rows = await self._redis.hmget(f"{self._root}bodies", list(ids))
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"bodies: {error}") from error
        return [_unsealed(row) if row else None for row in rows]


def _unsealed(sealed: bytes) -> Envelope | None:
    try:
        return unseal(sealed)
    except EnvelopeError:
        return None


def _keys_of(envelope: Envelope) -> str:
    """A call that a person read from a webhook stands under that webhook's bytes too."""
    found = [raw_key(envelope.source, envelope.webhook.body)]
    if envelope.call:
        found.append(envelope.call.key)
    return " ".join(map(key_digest, found))


def _early_of(envelope: Envelope) -> str:
    call = envelope.call
    return key_digest(call_key(call.source, call.ref, None)) if call else ""
