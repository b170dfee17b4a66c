"""The accounts as people see them, and letting us into one anew.

The command line, and whatever else shows accounts, is a skin over this. A new authorisation gets a generation that no earlier
one can have reached, so that it stands even where the store has lost, or nobody can open, what was there before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, assert_never

from callbridge import observe
from callbridge.account_settings import AccountSettings
from callbridge.amocrm.consent import Consent
from callbridge.amocrm.tokens import Granted, NotHere, NoVerdict, Rejected, TokenAnswer, TokenPair
from callbridge.errors import Misconfigured
from callbridge.ops.authorised import Authorisation
from callbridge.outcome import PauseReason
from callbridge.store.tally import AccountTally, BreakerTally, Pause

State = Literal["active", "paused", "unauthorised", "unconfigured"]


@dataclass(frozen=True, slots=True)
class Row:
    """One account. Times are Unix seconds, `next_probe_in` is seconds. `state`: unauthorised is one that a person has to let
    us into before anything can be sent, unconfigured one that has calls and no settings.
    """

    account: str
    state: State
    url: str | None
    reason: str | None
    detail: str | None
    since: float | None
    owner: str | None
    until: float | None
    next_probe_in: float | None
    slowed_by: str | None
    breaker: BreakerTally
    requests_per_second: float | None
    pace: float
    used: float
    asked_to_slow: int
    asked_to_slow_at: float | None
    waiting: int
    uncertain: int
    parked: int
    authorised_by: str | None
    token_expires_at: float | None
    renewable_until: float | None
    problem: str | None
    warning: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def row(tally: AccountTally, account: AccountSettings | None, authorised: Authorisation | None) -> Row:
    pause = tally.pause
    problem = authorised.problem if authorised else None
    state: State = "active"
    if account is None:
        state = "unconfigured"
    elif pause:
        state = "paused"
    elif problem:
        state = "unauthorised"
    return Row(
        account=tally.account,
        state=state,
        url=authorised.url if authorised else None,
        reason=pause.reason.value if pause else None,
        detail=pause.detail if pause else None,
        since=pause.since if pause else None,
        owner=pause.owner if pause else None,
        until=pause.until if pause else None,
        next_probe_in=pause.probe_in if pause else None,
        slowed_by=tally.slowed.why if tally.slowed else None,
        breaker=tally.breaker,
        requests_per_second=account.requests_per_second if account else None,
        pace=tally.pace,
        used=tally.used,
        asked_to_slow=tally.slowed_times,
        asked_to_slow_at=tally.slowed_at,
        waiting=tally.waiting,
        uncertain=tally.uncertain,
        parked=tally.parked,
        authorised_by=authorised.by if authorised else None,
        token_expires_at=authorised.expires_at if authorised else None,
        renewable_until=authorised.renewable_until if authorised else None,
        problem=problem,
        warning=authorised.warning if authorised else None,
    )


class Queue(Protocol):
    async def hold(self, account: str, detail: str, owner: str, seconds: float | None) -> bool: ...
    async def resume(self, account: str, of: PauseReason | None = None) -> float | None: ...


async def pause(queue: Queue, account: str, reason: str, owner: str, seconds: float | None) -> None:
    """Nothing is sent to the account until it is resumed, or for `seconds`. Raises `StoreUnavailable`."""
    await queue.hold(account, reason, owner, seconds)
    observe.event(
        "account.paused",
        level="warning",
        account=account,
        reason=PauseReason.MANUAL,
        detail=reason,
        owner=owner,
        seconds=seconds,
    )


async def resume(queue: Queue, account: str, owner: str) -> float | None:
    """Ends any pause: how many seconds it had lasted, None where there was none. Raises `StoreUnavailable`."""
    lasted = await queue.resume(account)
    if lasted is not None:
        observe.event("account.resumed", account=account, owner=owner, paused_for=lasted)
    return lasted


class Endpoint(Protocol):
    async def exchange(self, url: str, code: str) -> TokenAnswer: ...


class Vault(Protocol):
    async def load(self) -> TokenPair | None: ...
    async def save(self, pair: TokenPair) -> bool: ...


@dataclass(frozen=True, slots=True)
class Authorised:
    """A pair is stored. `resumed`: the account was paused for want of it, and goes on."""

    pair: TokenPair
    resumed: bool


@dataclass(frozen=True, slots=True)
class NotAuthorised:
    """Nothing was stored; `problem` is for people."""

    problem: str


async def authorise(
    account: str,
    consent: Consent,
    *,
    endpoint: Endpoint,
    vault: Vault,
    queue: Queue,
    pause: Pause | None,
    owner: str,
    now: Callable[[], float],
    permit: Callable[[], Awaitable[object]],
) -> Authorised | NotAuthorised:
    """Exchanges the code and stores the pair. Raises `StoreUnavailable`: then a new consent is needed."""
    await permit()
    answer = await endpoint.exchange(consent.url, consent.code)
    match answer:
        case Granted():
            pair = answer.pair(now=now(), generation=await _next(vault, now()), url=consent.url, home=consent.url)
        case Rejected(detail):
            why = "a code is good for 20 minutes and once; client id, secret and redirect address must be as registered"
            return NotAuthorised(f"the CRM does not take the code ({detail}): {why}")
        case NotHere(detail):
            return NotAuthorised(f"there is no account at {consent.url} ({detail})")
        case NoVerdict(detail, lost):
            again = "begin again with a new consent" if lost else "try again"
            return NotAuthorised(f"the CRM gave no readable answer ({detail}): {again}")
        case _:
            assert_never(answer)
    if not await vault.save(pair):
        return NotAuthorised("a later authorisation is stored already: is the clock of this computer right?")
    observe.event("account.authorised", account=account, generation=pair.generation, owner=owner)
    resumed = False
    if pause is not None and pause.reason is not PauseReason.MANUAL:
        resumed = await resume(queue, account, owner) is not None
    return Authorised(pair, resumed)


async def _next(vault: Vault, now: float) -> int:
    try:
        kept = await vault.load()
    except Misconfigured:  # sealed with a key that is lost: that is what the new authorisation is for
        kept = None
    return max(int(now), kept.generation + 1 if kept else 1)
