"""Every option of the CRM simulator, in one value that the command line and the tests build."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from callbridge.sim.entities import MAX_SEEDED
from callbridge.sim.faults import ArmedFault, parse_fault


def steady_clock() -> Callable[[], float]:
    """Unix time that never jumps: the wall clock of now, moved on by the monotonic one."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimConfig:
    """Nothing is checked later than here: a wrong value raises `ValueError`, an unknown fault with near matches."""

    contacts: int = 50
    """How many cards there are at the start; their numbers are `entities.seeded_number(0...)`."""
    match_all: bool = False
    """Make a contact for every number of five digits or more that nobody has."""
    tokens: tuple[str, ...] = ()
    """Bearer tokens that are accepted; none: any that is not empty."""
    plain_tokens: tuple[str, ...] = ()
    """Tokens of users who are no administrators: they are not told the users."""
    rate: int = 7
    """Requests that one token may make in any sliding second; 0 lifts this limit and, unless set, that of the account."""
    account_rate: int | None = None
    """The same for all tokens together; unset: 50."""
    foreign_load: int = 0
    """How many of these the account's other integrations use up all the time."""
    limit_answer: str = "429"
    """How an exceeded rate is answered: one of the `429...` faults, with its value."""
    ban_after: int = 0
    """Exceeded rates within a minute after which everything is answered 403 HTML; 0: never."""
    ban_for: float = 60.0
    latency: float = 0.0
    """Seconds between storing the calls and answering."""
    faults: tuple[str | ArmedFault, ...] = ()
    max_body: int = 2 * 1024 * 1024
    max_requests: int = 100_000
    """Requests remembered; the oldest are dropped and counted."""
    max_notes: int = 200_000
    account_id: int = 28_800_017
    subdomain: str = "rehearsal"
    customers_mode: str = "segments"
    unsorted_on: bool = True
    pipelines: tuple[int, ...] = ()
    """Pipelines that incoming leads may name; none: any."""
    client_id: str = ""
    """OAuth: the id of the integration; with one, only tokens that were issued here are accepted, and `tokens`."""
    client_secret: str = ""
    redirect_uri: str = ""
    token_life: float = 86_400.0
    refresh_life: float = 90 * 86_400.0
    grace_refresh: bool = False
    """A used refresh token is good until the new pair is used, as the vendor says; else it is dead at once."""
    seed: int = 0
    """Of the lots drawn for shares and shuffles."""
    clock: Callable[[], float] | None = None
    """Unix time; tests move it. Unset: a clock that never jumps."""

    def __post_init__(self) -> None:
        if not 0 <= self.contacts <= MAX_SEEDED:
            raise ValueError(f"contacts is between 0 and {MAX_SEEDED}")
        for name in ("rate", "foreign_load", "ban_after", "ban_for", "latency"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is not negative")
        for name in ("token_life", "refresh_life"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is a time")
        for name in ("max_body", "max_requests", "max_notes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if self.account_rate is not None and self.account_rate < 0:
            raise ValueError("account_rate is not negative")
        if not self.limit_answer.startswith("429"):
            raise ValueError("limit_answer is one of the 429 faults")
        parse_fault(self.limit_answer)
        self.armed_faults()

    def armed_faults(self) -> tuple[ArmedFault, ...]:
        return tuple(parse_fault(fault) if isinstance(fault, str) else fault for fault in self.faults)

    def account_limit(self) -> int:
        """What the account's window leaves to us; 0 is no limit, so a fully used account still lets one through."""
        limit = self.account_rate if self.account_rate is not None else 50 if self.rate else 0
        return max(1, limit - self.foreign_load) if limit else 0
