"""Where classes of different folders meet: settings in, working objects out. The only file that knows them all.

Plain code, no container: each builder takes the settings and what it needs open, and the entry points hold the results.
What has to be closed is opened in an `AsyncExitStack`, so that it closes in the opposite order.
"""

from __future__ import annotations

import asyncio
import functools
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network

import aiohttp

from callbridge import observe
from callbridge.account_settings import AccountSettings, NoMatchPolicy
from callbridge.amocrm.client import AmoAccount
from callbridge.amocrm.credential import Credential
from callbridge.amocrm.exchange import Exchange
from callbridge.amocrm.translate import dialable
from callbridge.amocrm.unsorted import CallerField, LeadWords
from callbridge.call import Call, CallStatus, Direction
from callbridge.credentials import credential
from callbridge.delivery.deliver import Drain
from callbridge.delivery.learnt import Terms, pause
from callbridge.delivery.noting import Noting
from callbridge.delivery.reconcile import reconcile
from callbridge.delivery.selection import Rules, rules, selected
from callbridge.delivery.settle import Policy
from callbridge.delivery.trial import tell
from callbridge.errors import Misconfigured
from callbridge.intake.providers.base import Source
from callbridge.outcome import AccountStopped, NotForCrm, NotSent, PauseReason
from callbridge.settings import Durability, Settings
from callbridge.source_settings import LateRecording, SourceSettings
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.durability import Asked
from callbridge.store.epoch import Epoch
from callbridge.store.late import RedisLateNotes
from callbridge.store.pace import RedisPace
from callbridge.store.presence import RedisPresence
from callbridge.store.queue import RedisQueue
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts
from callbridge.store.spools import RedisSpools
from callbridge.store.tally import RedisTally

LEASE_MARGIN = 5.0
"""Seconds by which calls in flight stay ours beyond the longest request."""

CONFIG_PAUSES = frozenset({PauseReason.UNAUTHORISED, PauseReason.WRONG_HOST, PauseReason.REAUTHORISE})
"""Pauses that a changed setting ends: a restarted worker tries such an account at once."""


@dataclass(frozen=True, slots=True)
class Store:
    """One connected Redis, seen by each of its users."""

    scripts: Scripts
    queue: RedisQueue
    records: RedisRecords
    tally: RedisTally
    presence: RedisPresence
    epoch: Epoch
    spools: RedisSpools


@asynccontextmanager
async def open_store(settings: Settings, url: str) -> AsyncIterator[Store]:
    """Connects when first used: a Redis that is away now may be back later. Raises `Misconfigured` for a bad address."""
    async with connected(url, patience=settings.redis.timeout) as redis:
        scripts = Scripts(redis, keys.root(settings.redis.prefix))
        epoch = Epoch(
            redis,
            scripts.root,
            settings.data_dir / f"epoch-{settings.redis.prefix}",
            forgetful=settings.redis.durability is Durability.NONE,
            replicas=settings.redis.replicas,
        )
        queue = RedisQueue(
            scripts,
            lease=lease_of(settings),
            look_in=settings.delivery.settle_delay,
            allowed=epoch.allows,
            replicas=settings.redis.replicas,
        )
        yield Store(
            scripts=scripts,
            queue=queue,
            records=RedisRecords(scripts),
            tally=RedisTally(scripts),
            presence=RedisPresence(redis, scripts.root),
            epoch=epoch,
            spools=RedisSpools(redis, scripts.root),
        )


def asked(settings: Settings) -> Asked:
    """What Redis has to do before a webhook is acknowledged."""
    redis = settings.redis
    return Asked(
        redis.durability,
        replicas=redis.replicas,
        trust_unverified=redis.trust_unverified,
        accept_old=redis.accept_old or redis.url is None,
    )


def redis_url(settings: Settings) -> str:
    """The configured Redis. Raises `Misconfigured` where a role needs one and none is set."""
    if settings.redis.url is None:
        raise Misconfigured(
            "redis.url is missing: set CALLBRIDGE_REDIS__URL, or use `callbridge up` with its embedded Redis"
        )
    return settings.redis.url.get_secret_value()


def sources(settings: Settings) -> dict[str, Source]:
    """What intake has to know of each source. Raises `Misconfigured`."""
    return {name: _source(name, source, settings) for name, source in settings.sources.items()}


def _source(name: str, source: SourceSettings, settings: Settings) -> Source:
    return Source(
        name=name,
        account=settings.account_of(name),
        provider=source.provider,
        auth=source.auth,
        secrets=tuple(s.get_secret_value() for s in (source.secret, source.previous_secret) if s),
        key=source.key.get_secret_value() if source.key else None,
        path_token=source.path_token.get_secret_value() if source.path_token else None,
        timezone=source.timezone,
        hold=source.hold,
        own_numbers=source.own_numbers,
        status_overrides={raw: CallStatus.numbered(number) for raw, number in source.status_overrides.items()},
        max_body=source.max_body or settings.receiver.max_body,
        public_url=settings.receiver.public_url,
        allow_from=tuple(map(ip_network, source.allow_from)),
        link_hosts=source.link_hosts,
        link_template=source.link_template,
        note_late_recording=source.late_recording is LateRecording.NOTE,
        internal_digits=source.internal_digits,
        directions={beginning: Direction(word) for beginning, word in source.directions.items()},
    )


def account_client(name: str, settings: Settings, session: aiohttp.ClientSession, credential: Credential) -> AmoAccount:
    """The account's HTTP side."""
    exchange = Exchange(
        session,
        request_timeout=settings.delivery.request_timeout,
        connect_timeout=settings.delivery.connect_timeout,
        now=time.time,
        on_exchange=lambda status, request_id, seconds: observe.event(
            "crm.answered", level="debug", account=name, status=status, request_id=request_id, seconds=round(seconds, 3)
        ),
    )
    users = {
        source: dict(settings.sources[source].extensions)
        for source in settings.sources
        if settings.account_of(source) == name
    }
    no_match = settings.accounts[name].no_match
    words = LeadWords(no_match.pipeline_id, CallerField(no_match.caller_field))
    return AmoAccount(name, credential, exchange, users=users, now=time.time, leads=words)


class AccountWork:
    """What one worker does for one account: drain it, look for its uncertain calls, add late recordings to its cards."""

    def __init__(
        self, name: str, settings: Settings, store: Store, session: aiohttp.ClientSession, stopping: asyncio.Event
    ) -> None:
        account = settings.accounts[name]
        self.name = name
        self._store = store
        self._credential = credential(name, settings, session, store.scripts)
        self._client = account_client(name, settings, session, self._credential)
        self._terms = terms(account, settings)
        self._reading, self._authorising, pace, writing = (
            RedisPace(store.scripts, name, account.requests_per_second, trial=self._terms.lease) for _ in range(4)
        )
        self._drain = Drain(
            name,
            queue=store.queue,
            crm=self._client,
            pace=pace,
            terms=self._terms,
            select=selection(settings),
            stopping=stopping,
            jitter=random.random,
            new_batch=new_batch,
        )
        self._noting = Noting(
            name,
            queue=RedisLateNotes(store.scripts, name, lease=self._terms.lease),
            cards=self._client,
            pace=writing,
            policy=self._terms.policy,
            jitter=random.random,
        )

    async def drain(self, crowded: Callable[[], bool] = lambda: False) -> None:
        if self._store.epoch.allows():
            await self._drain.run(crowded)

    async def keep_authorised(self) -> bool:
        """Replaces a pair of tokens that is due, whether or not there is something to send: an idle one would die. False, and
        the account is paused, where a person has to authorise anew. Raises `StoreUnavailable`, `AccountSlowed`.
        """
        problem = await self._client.authorise(functools.partial(self._authorising.take, trial=True))
        await tell(self._authorising, problem.detail if isinstance(problem, NotSent) else None, random.random)
        if isinstance(problem, AccountStopped):
            await pause(self._store.queue, self.name, self._terms, problem.reason, problem.detail)
            return False
        return True

    async def close(self) -> None:
        """Waits for a refresh under way."""
        await self._credential.close()

    async def look(self) -> int:
        """How many calls were looked for; nothing is posted but notes."""
        if not self._store.epoch.allows() or not await self.keep_authorised():
            return 0
        return await reconcile(
            self.name,
            queue=self._store.queue,
            notes=self._client,
            pace=self._reading,
            policy=self._terms.policy,
            lease=self._terms.lease,
            jitter=random.random,
        )

    async def note(self) -> int:
        """How many late recordings were taken in hand."""
        return await self._noting.run() if self._store.epoch.allows() else 0


def selection(settings: Settings) -> Callable[[Call], Call | NotForCrm]:
    """What the sources want of their calls. A number is compared as the CRM will see it."""
    wanted = {name: _rules(source) for name, source in settings.sources.items()}
    default = Rules()  # a source that is not configured any more

    def select(call: Call) -> Call | NotForCrm:
        rules = wanted.get(call.source, default)
        if rules.ignored or rules.ignored_beginnings:
            call = replace(call, phone=dialable(call.phone))
        return selected(call, rules)

    return select


def _rules(source: SourceSettings) -> Rules:
    return rules(
        min_duration=source.min_duration,
        post_missed=source.post_missed,
        post_internal=source.post_internal,
        ignore_numbers=source.ignore_numbers,
    )


def terms(account: AccountSettings, settings: Settings) -> Terms:
    delivery = settings.delivery
    no_match = account.no_match
    return Terms(
        policy=Policy(
            park_window=None if no_match.policy is NoMatchPolicy.RECORD else no_match.window,
            settle_delay=delivery.settle_delay,
            expire_after=delivery.expire_after,
            unknown_after=delivery.unknown_after,
            unsorted=no_match.policy is NoMatchPolicy.UNSORTED,
        ),
        max_batch=account.max_batch,
        max_in_flight=account.max_in_flight,
        lease=lease_of(settings),
        probe_after=delivery.probe_after,
        probe_at_most=delivery.probe_at_most,
        ban_probe=delivery.ban_probe,
    )


def lease_of(settings: Settings) -> float:
    """Seconds for which a worker's calls stay its own: as configured, but never less than a request may take."""
    return max(settings.delivery.lease, settings.delivery.request_timeout + LEASE_MARGIN)


def new_batch() -> str:
    return f"b-{secrets.token_hex(6)}"
