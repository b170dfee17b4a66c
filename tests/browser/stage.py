"""A bad day, rehearsed: the whole product in one process, over real HTTP, with everything gone wrong that operators meet.

    main    answers, but refuses one call without naming it, knows nobody of a hundred callers
    north   has banned our address
    branch  a PBX whose secret was changed without telling us
    office  one that also sends something unreadable

Whoever gets it finds it at rest: what can move by itself has moved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from pydantic import SecretStr

from callbridge.commands.roles import Product, product
from callbridge.settings import Settings
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from callbridge.sim.speakers import speaker_named
from callbridge.sim.speakers.base import Credentials, Told
from callbridge.store.changes import RedisChanges
from callbridge.wiring import Store, open_store

PASSWORD: Final = "a grey heron waits at the weir"
OFFICE, BRANCH, NORTH = (
    f"whsec_{word}" for word in ("b2ZmaWNlIG9mIHRoZSBzdGFnZSwgbm90IHJlYWwh", "YnJhbmNoIG9mIHRoZSBzdGFnZSwgbm90IHJlYWwh",
                                 "bm9ydGggb2YgdGhlIHN0YWdlLCBub3QgcmVhbCEh")
)  # fmt: skip
NEW_SECRET: Final = "whsec_Y2hhbmdlZCB3aXRob3V0IHRlbGxpbmcgYW55Ym9keQ=="
POISON: Final = "4242"
"""How the number ends that the CRM refuses without saying so."""

KNOWN, UNKNOWN, HELD, FORGED = 60, 100, 12, 9
SETTLES_WITHIN: Final = 60.0


@dataclass(slots=True)
class Stage:
    settings: Settings
    product: Product
    store: Store
    crm: CrmSim
    banned: CrmSim

    @property
    def url(self) -> str:
        return self.product.console

    async def post(self, source: str, secret: str, *bodies: bytes) -> list[int]:
        """The status of each."""
        return await posted(self.product.url, source, secret, bodies)

    async def settled(self) -> None:
        """Until nothing moves by itself any more, and the ledger has all of it."""
        deadline = time.monotonic() + SETTLES_WITHIN
        changes = RedisChanges(self.store.scripts, "stage")
        while time.monotonic() < deadline:
            tally = await self.store.tally.read()
            moving = sum(
                account.waiting for account in tally.accounts if not account.pause
            ) + tally.sending + tally.uncertain  # fmt: skip
            if not moving and not (await changes.behind()).entries:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the stage does not come to rest")


def settings_of(folder: Path, crm: str, banned: str, **changes: Any) -> Settings:
    """`changes` of the console's settings."""
    account = {"token": SecretStr("token-of-the-stage"), "requests_per_second": 50}
    source = {"provider": "generic", "timezone": "Europe/Moscow"}
    return Settings.model_validate(
        {
            "data_dir": folder,
            "log": {"level": "error"},
            "receiver": {"port": 0},
            "console": {"port": 0, "password": PASSWORD} | changes,
            "accounts": {"main": {"url": crm} | account, "north": {"url": banned} | account},
            "sources": {
                "office": source | {"account": "main", "secret": OFFICE},
                "branch": source | {"account": "main", "secret": BRANCH},
                "north-office": source | {"account": "north", "secret": NORTH},
            },
        }
    )


def a_call(ref: str, phone: str, **changes: Any) -> bytes:
    told = {"id": ref, "direction": "inbound", "phone": phone, "duration": 61, "extension": "204"}
    return orjson.dumps(told | {"started_at": int(time.time()) - 90} | changes)


async def posted(base: str, source: str, secret: str, bodies: Any) -> list[int]:
    speaker = speaker_named("generic")
    statuses = []
    async with aiohttp.ClientSession() as session:
        for number, body in enumerate(bodies):
            signed = speaker.sign(
                Told("call.finished", body), Credentials(secret=secret), now=time.time(), message_id=f"msg_{number}"
            )
            url = f"{base}/hooks/{source}{signed.path_suffix}"
            async with session.request(signed.method, url, data=signed.body, headers=signed.headers) as answer:
                statuses.append(answer.status)
    return statuses


def _office(known: list[str]) -> Iterator[bytes]:
    for number, phone in enumerate(known):
        yield a_call(f"known-{number}", phone, direction="outbound" if number % 3 == 0 else "inbound")
    yield a_call("poisoned", f"+7495555{POISON}")
    yield a_call("hidden", "", direction="inbound")
    yield a_call("between-us", "105", direction="internal")
    yield b"<call>an old firmware still sends XML</call>"
    yield b'{"event": "call.finished", "id": "cut-off", "dura'
    for number in range(UNKNOWN):
        yield a_call(f"stranger-{number}", f"+7988{5_000_000 + number // 2}")


@asynccontextmanager
async def bad_day(folder: Path, redis: str, **changes: Any) -> AsyncIterator[Stage]:
    """`redis` is the address of an empty one. Yields once all calls have come to rest."""
    async with AsyncExitStack() as stack:
        crm, banned = CrmSim(SimConfig(rate=1000)), CrmSim(SimConfig(rate=1000))
        for each in (crm, banned):
            await each.start()
            stack.push_async_callback(each.stop)
        crm.arm("validation-unnamed", POISON)
        banned.arm("ban")
        known = [f"+7916{2_000_000 + number}" for number in range(KNOWN)]
        for phone in (*known, f"+7495555{POISON}"):
            crm.add_contact(phone)
        settings = settings_of(folder, crm.url, banned.url, **changes)
        store = await stack.enter_async_context(open_store(settings, redis))
        running = await stack.enter_async_context(product(settings, redis))
        stage = Stage(settings, running, store, crm, banned)
        # Held until all are in: so the call that the CRM refuses always travels with others.
        await store.queue.hold("main", "until all are in", "the stage", None)
        assert set(await stage.post("office", OFFICE, *_office(known))) <= {200, 202}
        north = [a_call(f"north-{number}", f"+7812{3_000_000 + number}") for number in range(HELD)]
        assert set(await stage.post("north-office", NORTH, *north)) <= {200, 202}
        forged = [a_call(f"branch-{number}", f"+7903{4_000_000 + number}") for number in range(FORGED)]
        assert await stage.post("branch", NEW_SECRET, *forged) == [401] * FORGED
        await store.queue.resume("main")
        await stage.settled()
        yield stage
