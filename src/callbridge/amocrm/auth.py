"""The one way to a valid access token of an OAuth account, for all workers together.

A refresh replaces both tokens, so there may be only one at a time and what it brings may not be lost: it happens under a
lock that all workers share, whoever comes second reads what the first one saved, and the new pair is saved before it is used.
Where it cannot be saved it stays in memory and is saved as soon as possible, before anything else. A refresh is a task of its
own, because whoever asked for it may be cancelled and a request that was sent may not. It knows nothing of Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol, assert_never

from callbridge import observe
from callbridge.amocrm.notes import Permit
from callbridge.amocrm.tokens import (
    Access,
    Granted,
    NotHere,
    NoVerdict,
    Rejected,
    TokenAnswer,
    TokenPair,
)
from callbridge.errors import AccountSlowed, Misconfigured, StoreUnavailable
from callbridge.outcome import AccountStopped, NotSent, PauseReason

SAVE_PAUSE: Final = 0.5
LOCK_PAUSE: Final = 0.25
PATIENCE: Final = 20.0
"""Seconds for which a caller waits for a refresh, ours or another worker's; then its calls go back unsent."""

AGAIN_AFTER: Final = 60.0
"""Seconds until the next refresh after one without a verdict, while the old token is still good."""

Found = Access | AccountStopped | NotSent


class Endpoint(Protocol):
    async def refresh(self, url: str, refresh_token: str) -> TokenAnswer: ...
    async def moved_to(self, pair: TokenPair) -> str | None: ...


class Vault(Protocol):
    """Where one account's pairs are kept. All methods raise `StoreUnavailable`."""

    async def load(self) -> TokenPair | None:
        """Raises `Misconfigured` where the keys in force do not open it."""

    async def save(self, pair: TokenPair) -> bool:
        """Durable when it returns; False where another pair of this or a later generation is there already."""

    async def lock(self) -> bool:
        """Whether this process may refresh, for longer than a request may take. Asked again it is held for as long again."""

    async def unlock(self) -> None: ...


class Bearer:
    """The `Credential` of one account; `home` is its address in the settings."""

    def __init__(self, account: str, home: str, endpoint: Endpoint, vault: Vault, now: Callable[[], float]) -> None:
        self._account = account
        self._home = home
        self._endpoint = endpoint
        self._vault = vault
        self._now = now
        self._pair: TokenPair | None = None
        self._unsaved: TokenPair | None = None
        self._renewing: asyncio.Task[Found] | None = None
        self._not_before = 0.0
        self._refused = -1
        """The latest generation that the CRM refused and that another pair can replace."""
        self._replacement = -1
        """The generation that replaced it: refused too, without having worked once, it is no matter of refreshing."""
        self._look = False
        """Whether the store has to be asked again before what is in hand is used."""

    @property
    def in_hand(self) -> Access | None:
        pair = self._pair
        return None if pair is None or self._unsaved or pair.generation <= self._refused else pair.in_use

    async def current(self, permit: Permit) -> Found:
        """Raises `StoreUnavailable` too where a refresh takes too long, here or elsewhere, and whatever `permit` raises."""
        if not self._look and (access := self.in_hand) is not None and not self._is_due():
            return access
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renewed(permit))
            self._renewing.add_done_callback(_retrieve)
        task = self._renewing
        await asyncio.wait([task], timeout=PATIENCE)
        if not task.done():
            raise StoreUnavailable(f"the token of {self._account} is being replaced for too long")
        return task.result()

    def refused(self, access: Access) -> bool:
        if access.generation > self._refused and access.generation == self._replacement:
            self._look = True  # a person may have authorised anew meanwhile
            return False
        self._refused = max(self._refused, access.generation)
        return True

    def worked(self, access: Access) -> None:
        if access.generation == self._replacement:
            self._replacement = -1

    async def close(self, patience: float = PATIENCE) -> None:
        """Waits for a refresh under way: its answer is the only copy of a pair."""
        if self._renewing is not None and not self._renewing.done():
            await asyncio.wait([self._renewing], timeout=patience)
            self._renewing.cancel()
            await asyncio.wait([self._renewing])

    # --- in a task of its own --------------------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        return self._pair is None or (
            self._pair.is_due(self._now())
            and (self._pair.expires_at <= self._now() or asyncio.get_running_loop().time() >= self._not_before)
        )

    async def _renewed(self, permit: Permit) -> Found:
        if self._unsaved is not None:
            await self._save(self._unsaved)
        while (found := await self._kept()) is None:
            if await self._vault.lock():
                break
            if (access := self._alive()) is not None:
                return access  # somebody else replaces it, and it is good until then
            await asyncio.sleep(LOCK_PAUSE)
        if found is not None:
            return found
        try:
            # Once more: the lock was free because somebody had just finished.
            return await self._kept() or await self._refresh(permit)
        except AccountSlowed:
            if (access := self._alive()) is not None:
                return access
            raise
        finally:
            with contextlib.suppress(StoreUnavailable):  # it ends by itself
                await self._vault.unlock()

    async def _kept(self) -> Found | None:
        """What the store says; None: its pair has to be replaced."""
        try:
            pair = await self._vault.load()
        except Misconfigured as error:
            return _reauthorise(str(error))
        if self._pair is not None and (pair is None or pair.generation < self._pair.generation):
            # The store has lost what it had confirmed.
            await self._vault.save(self._pair)
            pair = self._pair
        if pair is None:
            return _reauthorise("the account was never authorised")
        if not pair.is_for(self._home):
            return _reauthorise(f"it was authorised as {pair.home}, and the settings name {self._home}")
        self._take(pair)
        return None if self._is_due() else self.in_hand

    def _alive(self) -> Access | None:
        """What is in hand, where it is only due and not dead."""
        return self.in_hand if self._pair is not None and self._now() < self._pair.expires_at else None

    def _take(self, pair: TokenPair) -> None:
        if pair.generation > self._refused > -1 and (self._pair is None or self._pair.generation <= self._refused):
            self._replacement = pair.generation
        self._pair = pair
        self._look = False

    async def _refresh(self, permit: Permit) -> Found:
        old = self._pair
        if old is None:
            raise ValueError("there is nothing to refresh")
        url = old.url
        answer = await self._ask(url, old, permit)
        if isinstance(answer, NoVerdict) and answer.lost:
            # The pair may have been replaced and the answer lost: the old token is good once more, or never again.
            answer = await self._ask(url, old, permit)
        if isinstance(answer, NotHere | Rejected):
            await permit()
            moved = await self._endpoint.moved_to(old)
            if moved is not None and moved != url:
                url = moved
                observe.event("account.moved", level="warning", account=self._account, to=url)
                answer = await self._ask(url, old, permit)
        match answer:
            case Granted():
                pair = answer.pair(now=self._now(), generation=old.generation + 1, url=url, home=old.home)
                await self._save(pair)
                kept = await self._vault.load() or pair
                self._take(kept)
                observe.event("token.refreshed", account=self._account, generation=kept.generation)
                return kept.in_use
            case Rejected(detail):
                observe.event("token.rejected", level="warning", account=self._account, detail=detail)
                return _reauthorise(detail)
            case NotHere(detail):
                return AccountStopped(PauseReason.WRONG_HOST, detail)
            case NoVerdict(detail):
                self._not_before = asyncio.get_running_loop().time() + AGAIN_AFTER
                return self._alive() or NotSent(f"the token cannot be refreshed now: {detail}")
            case _:
                assert_never(answer)

    async def _ask(self, url: str, old: TokenPair, permit: Permit) -> TokenAnswer:
        await permit()
        if not await self._vault.lock():  # held on for this request; not ours any more after a long sleep
            raise StoreUnavailable(f"another worker replaces the token of {self._account}")
        return await self._endpoint.refresh(url, old.refresh)

    async def _save(self, pair: TokenPair) -> None:
        """Again and again while the store is away: nobody else has this pair, and unsaved it is not used."""
        self._unsaved = pair
        told = False
        while True:
            try:
                await self._vault.save(pair)
            except StoreUnavailable as error:
                if not told:
                    observe.event("token.unsaved", level="error", account=self._account, error=error)
                told = True
                await asyncio.sleep(SAVE_PAUSE)
            else:
                self._unsaved = None
                return


def _reauthorise(detail: str) -> AccountStopped:
    return AccountStopped(PauseReason.REAUTHORISE, detail)


def _retrieve(task: asyncio.Task[Found]) -> None:
    """Whoever waited may be gone: what the task died of is nobody's then."""
    if not task.cancelled():
        task.exception()
