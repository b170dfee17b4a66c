"""Where an account's sealed tokens live, and the lock under which they are replaced. What is in them nobody here can read."""

from __future__ import annotations

import secrets

from redis.exceptions import RedisError

from callbridge.errors import StoreUnavailable
from callbridge.store import keys
from callbridge.store.scripts import Scripts


class RedisTokens:
    """The tokens of one account, for one process. All methods raise `StoreUnavailable`."""

    def __init__(self, scripts: Scripts, account: str, *, lock_for: float) -> None:
        """`lock_for` in seconds is longer than one request may take: after it the lock of a dead refresher ends."""
        self._scripts = scripts
        self._account = account
        self._lock_for = round(lock_for * 1000)
        self._owner = secrets.token_hex(8)

    async def load(self) -> bytes | None:
        try:
            kept = await self._scripts.redis.hget(keys.token(self._scripts.root, self._account), "pair")  # type: ignore[misc] # typed for both worlds
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"token: {error}") from error
        return kept if isinstance(kept, bytes) else None

    async def save(self, generation: int, sealed: bytes) -> bool:
        """False where a pair of this or a later generation is kept already."""
        return bool(await self._scripts.run("token", self._account, generation, sealed))

    async def lock(self) -> bool:
        return bool(await self._scripts.run("lock", self._account, self._owner, self._lock_for))

    async def unlock(self) -> None:
        await self._scripts.run("lock", self._account, self._owner, 0)
