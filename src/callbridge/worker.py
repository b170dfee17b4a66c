"""The worker role: arq hosts it, wakes it and beats its second; our queue decides what there is to do.

    job drain(account)      rung by the receiver after a store and by the sweep: starts the account's drain
    job reconcile(account)  rung by the sweep: starts a read-back of the account's uncertain calls
    job note(account)       rung by the sweep: starts adding late recordings to the account's cards
    cron sweep              each second, in one worker: reclaim leases, revive parked calls, ring for whoever has work

A job carries an account's name and nothing else and is over in milliseconds: losing one costs a second, never a call. When
Redis goes away, neither the process nor what the drains know goes with it: arq's loop ends with an error and is begun again.
Where it cannot run at all, because a full Redis refuses whatever it writes, each worker sweeps for itself until it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from arq import cron, func
from arq.connections import ArqRedis
from arq.worker import Worker as ArqWorker
from redis.exceptions import OutOfMemoryError, RedisError

from callbridge import observe
from callbridge.amocrm.exchange import build_session
from callbridge.claim import Agenda
from callbridge.delivery.drains import Drains
from callbridge.errors import AccountSlowed, StoreUnavailable
from callbridge.outcome import PauseReason
from callbridge.settings import Settings
from callbridge.store.bell import DRAIN, NOTE, RECONCILE, arq_redis, job_id
from callbridge.store.connect import follow_primary
from callbridge.wiring import CONFIG_PAUSES, AccountWork, Store, open_store

POLL = 0.01
"""Seconds between arq's looks for a wake-up. The median idle latency is half of it; it costs two percent of a core."""

BEAT = 2.0
LOOK_EVERY = 1.0
"""Seconds between two looks whether this is still the Redis that we know."""

KEEP_EVERY = 600.0
"""Seconds between two looks for tokens that are due; nothing is asked of anybody while there is none."""

SWEEP_EVERY = 1.0
"""Seconds between two sweeps of a worker whose arq cannot write."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts to reach a Redis that went away."""

NOTHING = Agenda(frozenset(), frozenset(), frozenset(), frozenset())


class WorkerRole:
    """One worker: its drains, its heartbeat, its arq loop."""

    def __init__(self, settings: Settings, store: Store, url: str, work: dict[str, AccountWork]) -> None:
        # Letters only at the end: with more digits there the log would take the name for a phone number.
        self.name = (
            f"{socket.gethostname()}-{os.getpid()}-{''.join(secrets.choice('bcdfghjkmnpqrstvwxz') for _ in range(5))}"
        )
        self._settings = settings
        self._store = store
        self._url = url
        self._work = work
        self._store_away = False
        self._arq_refused = False
        self._looked = asyncio.Event()
        self._drains = Drains(
            self.name,
            drain=lambda account, crowded: self._work[account].drain(crowded),
            look=lambda account: self._work[account].look(),
            note=lambda account: self._work[account].note(),
            presence=store.presence,
            at_most=settings.worker.max_accounts,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set; then ends after the requests in flight are settled. Raises what a duty died of."""
        duties = [
            asyncio.create_task(self._patiently(self._beat_once, BEAT)),
            asyncio.create_task(self._patiently(self._look_at_redis, LOOK_EVERY)),
            asyncio.create_task(self._host_arq()),
            asyncio.create_task(self._patiently(self._sweep_alone, SWEEP_EVERY)),
            asyncio.create_task(self._patiently(self._keep_authorised, KEEP_EVERY)),
        ]
        stop = asyncio.create_task(stopping.wait())
        try:
            await self._try_configured_accounts()
            await asyncio.wait([stop, *duties], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.set()
            await _end([stop, *duties])
            await self._drains.stop()
            with contextlib.suppress(StoreUnavailable):
                await self._store.presence.leave(self.name)
        for duty in duties:
            if not duty.cancelled() and (error := duty.exception()):
                raise error

    async def _beat_once(self) -> None:
        try:
            await self._store.presence.beat(self.name, self._drains.running)
        except StoreUnavailable:
            self._store_away = True
            raise
        if self._store_away:
            self._store_away = False
            observe.event("store.recovered")

    async def _look_at_redis(self) -> None:
        """Behind Sentinels idle connections follow the primary; with a Redis that was emptied, or is another, nothing is
        sent.
        """
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await follow_primary(self._store.scripts.redis)
        await self._store.epoch.look()
        self._looked.set()

    async def _try_configured_accounts(self) -> None:
        """A start may bring the setting that an account waits for: do not make it wait for its probe."""
        with contextlib.suppress(StoreUnavailable):
            for account in self._work:
                pause = await self._store.tally.pause_of(account)
                if pause and pause.reason in CONFIG_PAUSES:
                    await self._store.queue.resume(account)
                    observe.event("account.resumed", account=account, reason=pause.reason)

    async def _keep_authorised(self) -> None:
        """Accounts that wait for a person are tried by their probes, not here."""
        for account, work in self._work.items():
            with contextlib.suppress(StoreUnavailable, AccountSlowed):
                pause = await self._store.tally.pause_of(account)
                if pause is None or pause.reason is not PauseReason.REAUTHORISE:
                    await work.keep_authorised()

    async def _patiently(self, duty: Callable[[], Awaitable[None]], every: float) -> None:
        """Repeats a duty for ever; a Redis that does not answer only delays it."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await duty()
            await asyncio.sleep(every)

    async def _host_arq(self) -> None:
        """arq's own loop ends at the first Redis error; this one begins it again."""
        pause = FIRST_PAUSE
        await self._looked.wait()
        while True:
            redis = arq_redis(self._url, self._store.scripts.root, patience=self._settings.redis.timeout)
            began = asyncio.get_running_loop().time()
            worker = self._arq_worker(redis)
            try:
                await worker.async_run()
            except (RedisError, OSError, TimeoutError) as error:
                self._arq_refused = isinstance(error, OutOfMemoryError)
                observe.event("store.unavailable", level="warning", stage="arq", error=error)
            except Exception as error:  # noqa: BLE001 # a bug there must not end the drains that run beside it
                observe.event("worker.failed", level="error", stage="arq", error=error)
            finally:
                with contextlib.suppress(RedisError, OSError, TimeoutError, asyncio.CancelledError):
                    await worker.close()
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    await redis.aclose(close_connection_pool=True)  # arq does not where its own jobs were cancelled
            lasted = asyncio.get_running_loop().time() - began
            pause = FIRST_PAUSE if lasted > LONGEST_PAUSE else min(LONGEST_PAUSE, pause * 2)
            await asyncio.sleep(pause)

    def _arq_worker(self, redis: ArqRedis) -> ArqWorker:
        # arq's own type of a job function: a context, which ours have no use for, and anything.
        async def drain(ctx: dict[Any, Any], *accounts: Any, **_: Any) -> None:  # noqa: ARG001 # see above
            for account in self._work.keys() & accounts:
                await self._drains.wake(account)

        async def look(ctx: dict[Any, Any], *accounts: Any, **_: Any) -> None:  # noqa: ARG001 # see above
            for account in self._work.keys() & accounts:
                await self._drains.look(account)

        async def note(ctx: dict[Any, Any], *accounts: Any, **_: Any) -> None:  # noqa: ARG001 # see above
            for account in self._work.keys() & accounts:
                await self._drains.note(account)

        async def sweep(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:  # noqa: ARG001 # see above
            self._arq_refused = False
            with contextlib.suppress(StoreUnavailable):
                await self._sweep(redis)

        return ArqWorker(
            functions=[
                func(drain, name=DRAIN, keep_result=0, timeout=10, max_tries=1_000_000),
                func(look, name=RECONCILE, keep_result=0, timeout=10, max_tries=1_000_000),
                func(note, name=NOTE, keep_result=0, timeout=10, max_tries=1_000_000),
            ],
            cron_jobs=[
                cron(
                    sweep,
                    name=f"{redis.default_queue_name}:sweep",
                    second=set(range(60)),
                    unique=True,
                    keep_result=0,
                    timeout=10,
                )
            ],
            redis_pool=redis,
            queue_name=redis.default_queue_name,
            handle_signals=False,
            poll_delay=POLL,
            max_jobs=50,
            job_timeout=10,
            log_results=False,
            job_serializer=redis.job_serializer,
            job_deserializer=redis.job_deserializer,
        )

    async def _sweep(self, redis: ArqRedis) -> None:
        agenda = await self._take_stock()
        root = self._store.scripts.root
        for account in await self._to_drain(agenda):
            rung = await redis.enqueue_job(DRAIN, account, _job_id=job_id(root, DRAIN, account))
            if rung is None and account in self._work:
                # A job of that name exists: rung a moment ago, or left behind by a worker that died in it. Do not wait.
                await self._drains.wake(account)
        for account in agenda.looks:
            await redis.enqueue_job(RECONCILE, account, _job_id=job_id(root, RECONCILE, account))
        for account in agenda.notes:
            await redis.enqueue_job(NOTE, account, _job_id=job_id(root, NOTE, account))

    async def _sweep_alone(self) -> None:
        """Nobody can be rung, so what is due is begun here. That several workers may do the same costs requests to Redis:
        leases and fences keep them apart.
        """
        if not self._arq_refused:
            return
        agenda = await self._take_stock()
        for account in self._work.keys() & await self._to_drain(agenda):
            await self._drains.wake(account)
        for account in self._work.keys() & agenda.looks:
            await self._drains.look(account)
        for account in self._work.keys() & agenda.notes:
            await self._drains.note(account)

    async def _take_stock(self) -> Agenda:
        """Takes back what dead workers held, revives what waited for a contact; what is to be done now."""
        if not self._store.epoch.allows():
            return NOTHING
        reclaimed = await self._store.queue.reclaim()
        if reclaimed:
            observe.event(
                "calls.reclaimed",
                level="warning",
                waiting=reclaimed.waiting,
                uncertain=reclaimed.uncertain,
                dead=reclaimed.dead,
            )
        agenda = await self._store.queue.agenda()
        for account in agenda.tries:
            revived = await self._store.queue.revive(account)
            observe.event("calls.revived", account=account, calls=revived)
        return agenda

    async def _to_drain(self, agenda: Agenda) -> frozenset[str]:
        return (agenda.due | agenda.tries) - (await self._store.presence.drains()).keys()


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancels until it has worked: before Python 3.12 `wait_for`, on which redis-py rests, may swallow a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)


@asynccontextmanager
async def worker(settings: Settings, url: str, stopping: asyncio.Event) -> AsyncIterator[WorkerRole]:
    """A worker with everything open; it starts without Redis too and waits for it."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, url))
        session = await stack.enter_async_context(build_session())
        work = {name: AccountWork(name, settings, store, session, stopping) for name in settings.accounts}
        for account in work.values():
            stack.push_async_callback(account.close)
        yield WorkerRole(settings, store, url, work)
