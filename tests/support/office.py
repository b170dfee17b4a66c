"""A small office: one PBX source, one CRM account, their settings, and the work that a worker does for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from callbridge.amocrm.exchange import build_session
from callbridge.call import CallId
from callbridge.settings import Settings
from callbridge.sim.crm import CrmSim
from callbridge.store.connect import connected
from callbridge.store.inbox import RedisInbox
from callbridge.store.records import Record
from callbridge.wiring import AccountWork, Store, open_store
from support.builders import a_finished_call
from support.redis_server import RedisServer

SECRET = "whsec_b2ZmaWNlLXRlc3Qtc2VjcmV0LW5vdC1yZWFs"
TOKEN = "token-of-the-test-account"


def office_settings(
    crm_url: str, *, delivery: dict[str, Any] | None = None, account: dict[str, Any] | None = None, **more: Any
) -> Settings:
    """Quick settings: no waiting where a test would have to wait too."""
    quick = {"settle_delay": 0.02, "lease": 5, "request_timeout": 1, "connect_timeout": 1}
    return Settings.model_validate(
        {
            "delivery": quick | (delivery or {}),
            "accounts": {"main": {"url": crm_url, "token": TOKEN, "requests_per_second": 500} | (account or {})},
            "sources": {"office": {"provider": "generic", "secret": SECRET}},
        }
        | more
    )


@dataclass
class Office:
    settings: Settings
    store: Store
    work: AccountWork
    crm: CrmSim
    stopping: asyncio.Event
    ids: list[CallId] = field(default_factory=list)

    @property
    def inbox(self) -> RedisInbox:
        return RedisInbox(self.store.scripts, lambda: 1_790_000_100.0, lambda _: None)

    async def take_calls(self, *phones: str, **changes: Any) -> list[CallId]:
        """Stores a call for each phone."""
        start = len(self.ids)
        receipts = await self.inbox.put(
            [a_finished_call(ref=f"call-{start + n}", phone=phone, **changes) for n, phone in enumerate(phones)]
        )
        self.ids += [receipt.id for receipt in receipts if receipt.id]
        return self.ids[start:]

    async def known_calls(self, count: int) -> list[CallId]:
        """Calls of people whom the CRM knows."""
        phones = [f"+7916{1_000_000 + len(self.ids) + number}" for number in range(count)]
        for phone in phones:
            self.crm.add_contact(phone)
        return await self.take_calls(*phones)

    async def get(self, call_id: CallId) -> Record:
        record = await self.store.records.get(call_id)
        assert record is not None
        return record

    async def states(self) -> list[str]:
        return [(await self.get(call_id)).state for call_id in self.ids]

    async def settle_uncertain(self) -> None:
        """Looks until nothing is uncertain, then delivers what was found absent."""
        for _ in range(400):
            if not (await self.store.tally.read()).uncertain:
                return
            await self.work.look()
            await asyncio.sleep(0.01)
        raise AssertionError("calls stay uncertain")

    def notes_by_uniq(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for note in self.crm.notes:
            counts[note.uniq] = counts.get(note.uniq, 0) + 1
        return counts


@asynccontextmanager
async def open_office(
    redis_server: RedisServer,
    crm: CrmSim,
    *,
    delivery: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
) -> AsyncIterator[Office]:
    """An office on an emptied Redis. `source` and `account` are further settings of its PBX and of its CRM."""
    async with connected(redis_server.url) as redis:
        await redis.flushall()
    sources = {"office": {"provider": "generic", "secret": SECRET} | (source or {})}
    settings = office_settings(crm.url, delivery=delivery, account=account, sources=sources)
    stopping = asyncio.Event()
    async with open_store(settings, redis_server.url) as store, build_session() as session:
        yield Office(settings, store, AccountWork("main", settings, store, session, stopping), crm, stopping)
