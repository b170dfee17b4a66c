"""What the queue hands out [pure]: calls under a lease and a fence, and why there are none.

The store fills these in, delivery reads them; neither needs to know the other. Times are Unix seconds of the store's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from callbridge.call import Call, CallId
from callbridge.outcome import PauseReason


@dataclass(frozen=True, slots=True)
class Claimed:
    """One call that is ours to send. `call` is None where the stored bytes hold no readable call. `waiting_since` is when it
    was received, or replayed. `lead`: a person asked for an incoming lead, if the CRM still knows nobody by the number.
    """

    id: CallId
    call: Call | None
    attempts: int
    parks: int
    waiting_since: float
    first_sent_at: float | None
    lead: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """Calls of one account. Every later move names `fence`. `failures` counts the account's slow-downs in a row, whichever
    worker met them. A `probe` is one call of an account that is paused for that reason, a `trial` a few of one whose breaker
    is open. Of a `troubled` account good news is news.
    """

    account: str
    fence: int
    now: float
    calls: tuple[Claimed, ...]
    failures: int = 0
    probe: PauseReason | None = None
    trial: bool = False
    troubled: bool = False


@dataclass(frozen=True, slots=True)
class Nothing:
    """No call is due; the next one is in `next_due` seconds, or there is none."""

    next_due: float | None


@dataclass(frozen=True, slots=True)
class Paused:
    """The account is paused or slowed; in `ask_in` seconds it is worth asking again."""

    ask_in: float


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A call that may be in the CRM, due to be looked for. `looks` counts the complete read-backs without it; notes are
    searched from `first_sent_at` on; the time for retries counts from `retried_since`, which a replay renews.
    """

    id: CallId
    call: Call | None
    attempts: int
    looks: int
    received_at: float
    first_sent_at: float
    retried_since: float
    uncertain_since: float


@dataclass(frozen=True, slots=True)
class Looked:
    """Uncertain calls of one account that are ours to look for, under a fence like any claim."""

    account: str
    fence: int
    now: float
    calls: tuple[Uncertain, ...]


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """How many calls went where when their worker's lease had ended."""

    waiting: int
    uncertain: int
    dead: int

    def __bool__(self) -> bool:
        return bool(self.waiting or self.uncertain or self.dead)


@dataclass(frozen=True, slots=True)
class Agenda:
    """Accounts that have calls to send, uncertain calls to look for, parked calls to try again, notes to add to cards."""

    due: frozenset[str]
    looks: frozenset[str]
    tries: frozenset[str]
    notes: frozenset[str]
