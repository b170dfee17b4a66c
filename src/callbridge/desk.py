"""The operators' desk put together: the parts that pages and endpoints use, over an open store and an open ledger.

Apart from `console`, which opens, serves and ends them, because a desk without a server is what tests and benchmarks want.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp

from callbridge.credentials import application, token_endpoint, token_vault
from callbridge.errors import AccountSlowed
from callbridge.inspecting import inspector
from callbridge.ledger.access import AccessBook, AuditBook
from callbridge.ledger.database import Ledger
from callbridge.ledger.jobs import JobBook
from callbridge.ledger.marking import Marking
from callbridge.ledger.queries import Queries
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.gate import Gate
from callbridge.ops.access.origins import is_loopback
from callbridge.ops.actions import Actions, SourceTest
from callbridge.ops.doing import Log
from callbridge.ops.job_plan import Lane
from callbridge.ops.job_runner import Hands
from callbridge.ops.jobs import Jobs
from callbridge.ops.letting_in import Consents, Door
from callbridge.ops.overview import Overviews
from callbridge.ops.web import Console
from callbridge.ops.wiping import Wiping
from callbridge.settings import Settings
from callbridge.store.changes import RedisChanges
from callbridge.store.doubts import RedisDoubts
from callbridge.store.mending import RedisMending
from callbridge.store.pace import RedisPace
from callbridge.store.refusals import RedisRefusals
from callbridge.store.repair import RedisRepair
from callbridge.wiring import Store

Tester = Callable[[str], Awaitable[SourceTest]]
Hooks = Callable[[], Mapping[str, str]]

HOOKS: Final = "/hooks/"

WIPES_WITHIN: Final = 20.0
"""Seconds for which the ledger may take to catch up before a number is erased: a browser waits less than a shell."""


def desk(
    settings: Settings,
    store: Store,
    ledger: Ledger,
    session: aiohttp.ClientSession,
    *,
    name: str,
    tester: Tester,
    hooks: Hooks,
    tell_link: Callable[[str], None] | None,
) -> Console:
    """`name` is this process's alone. Raises `Misconfigured`."""
    now = time.time
    audit = Audit(AuditBook(ledger), now)
    queries = Queries(ledger)
    seen = inspector(store, settings)
    password = settings.console.password
    scripts = store.scripts
    refusals = RedisRefusals(scripts)
    return Console(
        settings=settings,
        now=now,
        inspector=seen,
        ledger=queries,
        overviews=Overviews(seen, queries, now=now, behind=RedisChanges(scripts, name).behind, refusals=refusals.read),
        actions=_actions(settings, store, ledger, session, queries, audit, tester, name),
        jobs=_jobs(settings, store, ledger, queries, audit, name),
        gate=Gate(
            AccessBook(ledger),
            audit,
            now,
            password=password.get_secret_value() if password else None,
            loopback_only=is_loopback(settings.console.host),
            sealing_keys=settings.sealing.keys,
            tell_link=tell_link,
        ),
        audit=audit,
        refusals=refusals,
        hooks=hooks,
    )


def _actions(
    settings: Settings,
    store: Store,
    ledger: Ledger,
    session: aiohttp.ClientSession,
    queries: Queries,
    audit: Audit,
    tester: Tester,
    name: str,
) -> Actions:
    return Actions(
        rows=queries,
        records=store.records,
        queue=store.queue,
        pauses=store.tally,
        mending=RedisMending(store.scripts),
        marks=Marking(ledger),
        log=Log(audit),
        consents=Consents(time.time),
        accounts=frozenset(settings.accounts),
        sources=frozenset(settings.sources),
        door=lambda account: _door(account, settings, store, session),
        wipe=Wiping(ledger, store.scripts, f"{name}-wiping", patience=WIPES_WITHIN).wipe,
        tester=tester,
        now=time.time,
    )


def _door(name: str, settings: Settings, store: Store, session: aiohttp.ClientSession) -> Door | None:
    """How an account that uses OAuth is let into; None for any other."""
    account = settings.accounts[name]
    registered = application(account)
    if registered is None:
        return None
    pace = RedisPace(store.scripts, name, account.requests_per_second)

    async def permit() -> None:
        with contextlib.suppress(AccountSlowed):  # nobody else sends then, and the person waits
            await pace.take()

    return Door(
        home=account.url,
        application=registered,
        endpoint=token_endpoint(registered, settings, session),
        vault=token_vault(name, settings, store.scripts),
        permit=permit,
    )


def _jobs(settings: Settings, store: Store, ledger: Ledger, queries: Queries, audit: Audit, name: str) -> Jobs:
    hands = Hands(
        repair=RedisRepair(store.scripts),
        mending=RedisMending(store.scripts),
        doubts=RedisDoubts(store.scripts),
        unknown_after=settings.delivery.unknown_after,
    )
    lanes = {account: Lane(held.max_batch, held.requests_per_second) for account, held in settings.accounts.items()}
    return Jobs(JobBook(ledger), queries, hands, audit, lanes=lanes, now=time.time, runner=name)


def hooks_at(settings: Settings, base: str) -> dict[str, str]:
    """Where each PBX posts: at the public address if there is one, else at `base`."""
    public = settings.receiver.public_url or base
    return {name: f"{public}{HOOKS}{name}" for name in settings.sources}
