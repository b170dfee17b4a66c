"""An integration that is authorised at the simulated CRM, and a vault in memory that can be away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from callbridge.amocrm.auth import Bearer
from callbridge.amocrm.consent import Application
from callbridge.amocrm.endpoint import TokenEndpoint
from callbridge.amocrm.exchange import build_session
from callbridge.amocrm.tokens import Granted, TokenPair
from callbridge.errors import StoreUnavailable
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim

APP = Application("7c1d-office-integration", "canary-client-secret", "https://bridge.example.com/oauth")
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    """What all vaults of one account share. `away`: how many of the next saves fail."""

    pair: TokenPair | None = None
    history: list[int] = field(default_factory=list)
    holder: object = None
    away: int = 0
    asked: int = 0
    guarded: bool = True


class MemoryVault:
    """One process's view of it."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    async def load(self) -> TokenPair | None:
        await asyncio.sleep(0)
        self.kept.asked += 1
        return self.kept.pair

    async def save(self, pair: TokenPair) -> bool:
        await asyncio.sleep(0)
        if self.kept.away > 0:
            self.kept.away -= 1
            raise StoreUnavailable("token: away")
        if self.kept.guarded and self.kept.pair is not None and self.kept.pair.generation >= pair.generation:
            return self.kept.pair == pair
        self.kept.pair = pair
        self.kept.history.append(pair.generation)
        return True

    async def lock(self) -> bool:
        await asyncio.sleep(0)
        if self.kept.holder not in {None, self}:
            return False
        self.kept.holder = self
        return True

    async def unlock(self) -> None:
        if self.kept.holder is self:
            self.kept.holder = None


@dataclass
class Rig:
    sim: CrmSim
    clock: Clock
    kept: Kept
    session: aiohttp.ClientSession
    permits: int = 0
    bearers: list[Bearer] = field(default_factory=list)

    @property
    def endpoint(self) -> TokenEndpoint:
        return TokenEndpoint(APP, self.session, 0.5)

    async def permit(self) -> None:
        self.permits += 1

    def bearer(self) -> Bearer:
        """One more worker's."""
        made = Bearer("main", self.sim.url, self.endpoint, MemoryVault(self.kept), self.clock)
        self.bearers.append(made)
        return made

    async def authorise(self) -> TokenPair:
        answer = await self.endpoint.exchange(self.sim.url, self.sim.consent())
        assert isinstance(answer, Granted)
        generation = self.kept.pair.generation + 1 if self.kept.pair else 1
        pair = answer.pair(now=self.clock(), generation=generation, url=self.sim.url, home=self.sim.url)
        await MemoryVault(self.kept).save(pair)
        return pair

    @property
    def token_requests(self) -> int:
        return sum(seen.path == "/oauth2/access_token" for seen in self.sim.requests)


@asynccontextmanager
async def rig(*, authorised: bool = True, **options: Any) -> AsyncIterator[Rig]:
    clock = Clock()
    defaults: dict[str, Any] = {
        "contacts": 3, "rate": 0, "clock": clock, "client_id": APP.client_id, "client_secret": APP.client_secret,
        "redirect_uri": APP.redirect_uri,
    }  # fmt: skip
    sim = CrmSim(SimConfig(**(defaults | options)))
    await sim.start()
    try:
        async with build_session() as session:
            made = Rig(sim, clock, Kept(), session)
            if authorised:
                await made.authorise()
            yield made
            for bearer in made.bearers:
                await bearer.close(patience=0)
    finally:
        await sim.stop()
