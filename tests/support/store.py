"""A store on a test's bench: short ways to put calls in, move them along and see where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callbridge.call import CallId
from callbridge.claim import Claim
from callbridge.outcome import Delivered, Settlement, State
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import RedisQueue
from callbridge.store.records import Record, RedisRecords
from callbridge.store.scripts import Scripts
from callbridge.store.tally import RedisTally
from support.builders import a_finished_call

A_NOTE = Delivered(note_id=7001, entity_type="contact", entity_id=12)

SETS = ("leases", "delivered", "unmatched", "dead", "ignored")
ACCOUNT_SETS = ("due", "bulk", "alone", "uncertain", "parked")


class Bench:
    def __init__(self, scripts: Scripts, *, lease: float = 60.0, look_in: float = 30.0) -> None:
        self.scripts = scripts
        self.rung: set[str] = set()
        self.inbox = RedisInbox(scripts, lambda: 1_790_000_100.0, self.rung.update)
        self.queue = RedisQueue(scripts, lease=lease, look_in=look_in)
        self.records = RedisRecords(scripts)
        self.tally = RedisTally(scripts)

    async def store(self, count: int = 1, *, account: str = "main", **changes: Any) -> list[CallId]:
        base = changes.pop("ref", "r")
        receipts = await self.inbox.put(
            [a_finished_call(account=account, ref=f"{base}{number}", **changes) for number in range(count)]
        )
        return [receipt.id for receipt in receipts if receipt.id]

    async def claim(self, size: int = 250, account: str = "main") -> Claim:
        claim = await self.queue.claim(account, size)
        assert isinstance(claim, Claim), claim
        return claim

    async def sending(self, size: int = 250, account: str = "main", batch: str = "b-1") -> Claim:
        claim = await self.claim(size, account)
        ids = [call.id for call in claim.calls]
        assert await self.queue.mark_sending(claim.fence, ids, batch=batch, lease=60) == set(ids)
        return claim

    async def bring_to(
        self, state: State, count: int = 1, *, reason: str | None = None, delay: float = 0.0, **changes: Any
    ) -> list[CallId]:
        """Calls that stand in `state`, brought there by the moves of a real worker."""
        ids = await self.store(count, **changes)
        if state is State.WAITING:
            return ids
        claim = await self.claim(account=changes.get("account", "main"))
        if state is State.CLAIMED:
            return ids
        if state is not State.IGNORED:
            await self.queue.mark_sending(claim.fence, ids, batch="b-1", lease=60)
        if state is State.SENDING:
            return ids
        settled = [
            Settlement(call_id, state, reason or "test", delay=delay)
            if state is not State.DELIVERED
            else Settlement(call_id, state, delivered=A_NOTE)
            for call_id in ids
        ]
        assert await self.queue.settle(claim.fence, settled, {}) == set()
        return ids

    async def get(self, call_id: CallId) -> Record:
        record = await self.records.get(call_id)
        assert record is not None
        return record

    async def states(self, ids: Sequence[CallId]) -> list[str]:
        return [(await self.get(call_id)).state for call_id in ids]

    async def places(self, call_id: CallId, account: str = "main") -> list[str]:
        """The sets that hold the call: a stored call must be in exactly one."""
        redis, root = self.scripts.redis, self.scripts.root
        names = [*SETS, *(f"{name}:{account}" for name in ACCOUNT_SETS)]
        return [name for name in names if await redis.zscore(f"{root}{name}", call_id) is not None]

    async def everything(self) -> dict[bytes, Any]:
        """All that Redis holds of this bench, to see that nothing changed; other tests' leftovers come and go beside it."""
        redis = self.scripts.redis
        found: dict[bytes, Any] = {}
        for key in sorted(await redis.keys(f"{self.scripts.root}*")):
            match await redis.type(key):
                case b"hash":
                    found[key] = await redis.hgetall(key)
                case b"zset":
                    found[key] = await redis.zrange(key, 0, -1, withscores=True)
                case b"list":
                    found[key] = await redis.lrange(key, 0, -1)
                case b"set":
                    found[key] = await redis.smembers(key)
                case b"string":
                    found[key] = await redis.get(key)
                case b"stream":
                    found[key] = await redis.xrange(key)
        return found
