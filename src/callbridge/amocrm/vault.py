"""Token pairs at rest: sealed with a key that Redis never sees, kept in Redis, and on this host's disk first.

The disk copy is for the one bad moment: the CRM has replaced the pair and Redis is away. It is written before anything
else, so that a process which dies there leaves a usable pair behind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from callbridge import observe
from callbridge.amocrm.tokens import TokenPair, unpacked
from callbridge.errors import Misconfigured

NEW_KEY: Final = "callbridge config key"
"""The command that makes one."""


class Seal:
    """Fernet (AES-128-CBC with HMAC-SHA256); the first key seals, all of them open. Raises `Misconfigured` for a bad key."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise Misconfigured(f"sealing.key is 32 bytes in URL-safe Base64: `{NEW_KEY}` makes one") from error

    def seal(self, pair: TokenPair) -> bytes:
        return self._fernet.encrypt(pair.packed())

    def open(self, sealed: bytes) -> TokenPair:
        try:
            return unpacked(self._fernet.decrypt(sealed))
        except (InvalidToken, ValueError) as error:
            raise Misconfigured(
                "sealing.key does not open the stored tokens: set the key they were sealed with as sealing.previous_key"
            ) from error


class Tokens(Protocol):
    async def load(self) -> bytes | None: ...
    async def save(self, generation: int, sealed: bytes) -> bool: ...
    async def lock(self) -> bool: ...
    async def unlock(self) -> None: ...


class SealedVault:
    """The `auth.Vault` of one account. All methods raise `StoreUnavailable`."""

    def __init__(self, tokens: Tokens, seal: Seal, backup: Path) -> None:
        self._tokens = tokens
        self._seal = seal
        self._backup = backup

    async def load(self) -> TokenPair | None:
        """The latest pair of both places; one that only the disk has goes to Redis first."""
        kept = await self._tokens.load()
        pair = self._seal.open(kept) if kept else None
        spare = self._from_disk()
        if spare and (pair is None or spare.generation > pair.generation):
            await self._tokens.save(spare.generation, self._seal.seal(spare))
            return spare
        return pair

    async def save(self, pair: TokenPair) -> bool:
        sealed = self._seal.seal(pair)
        self._to_disk(pair.generation, sealed)
        return await self._tokens.save(pair.generation, sealed)

    async def lock(self) -> bool:
        return await self._tokens.lock()

    async def unlock(self) -> None:
        await self._tokens.unlock()

    def _from_disk(self) -> TokenPair | None:
        try:
            return self._seal.open(self._backup.read_bytes())
        except (OSError, Misconfigured):
            return None

    def _to_disk(self, generation: int, sealed: bytes) -> None:
        """Whole or not at all, and never an older pair over a newer one. Without a disk to write to Redis alone has to do."""
        if (spare := self._from_disk()) is not None and spare.generation > generation:
            return
        fresh = self._backup.with_suffix(f".{os.getpid()}.new")
        try:
            self._backup.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._backup)
            folder = os.open(self._backup.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            observe.event("token.backup_failed", level="warning", file=self._backup.name, error=error)
