"""The pace of each account, shared by every worker: who may send when, and what its answers change about that.

A slot is a moment in time. Slots stand `interval` apart, none is saved up, and a worker that took one waits for it. What the
CRM sees is what we hand out plus the noise of the way there, so slots stand a little further apart than the limit asks.

What an answer means for the account is decided in `breaker`. Here the decision is read, made and written; where another
worker wrote meanwhile, it is made anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from callbridge import observe
from callbridge.breaker import RAMP_BACKLOG, Breaker
from callbridge.errors import AccountSlowed, StoreUnavailable
from callbridge.store.scripts import Scripts

MARGIN: Final = 1.04
"""Eight requests then span 1.04 s instead of 1.00 s: forty milliseconds of noise cannot make a second hold eight of them."""

LATE: Final = 0.025
"""Seconds after its slot at which a request may still leave: well inside the margin. Later the slot is given up."""

MISSES: Final = 4
"""Slots in a row that may be missed. Where Redis is slower than that for good, the limit is out of reach anyway."""

PATIENCE: Final = 1.0
"""Seconds ahead for which a slot is reserved; further ahead a pause or a slow-down would come too late."""

REWRITES: Final = 20
"""Times that other workers may write between our reading and our writing: many more than there are requests under way."""

TRIAL: Final = 60.0
"""Seconds after which a trial of which nothing was heard is over; longer than a request lasts, if the settings do not say."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What the store holds about an account."""

    breaker: Breaker
    now: float
    waiting: int
    requests: int
    asked: int


class RedisPace:
    """One account's pace, for one kind of its requests. A slot is a moment of the event loop's clock; whoever is late for it
    takes another one.
    """

    def __init__(self, scripts: Scripts, account: str, requests_per_second: float, *, trial: float = TRIAL) -> None:
        self._scripts = scripts
        self._account = account
        self._configured = round(1_000_000 * MARGIN / requests_per_second)
        self._trial = max(1, round(trial * 1000))
        self._holder = secrets.token_hex(6)
        self._free_at = 0.0
        self._trying = False

    @property
    def free_in(self) -> float:
        """Seconds until the next slot as far as this process knows; another worker may have taken it."""
        return max(0.0, self._free_at - _now())

    @property
    def trying(self) -> bool:
        """Whether the last slot was given for the breaker's trial, and nothing was said about it yet."""
        return self._trying

    async def take(self, *, trial: bool = False) -> float:
        """Waits for a slot of our own and returns its moment. Raises `AccountSlowed` where that would take longer than
        `PATIENCE`, and `StoreUnavailable`: without the shared pace nothing is sent. While the breaker is open only what is
        fit for its `trial` gets a slot, and of that one.
        """
        holder = self._holder if trial else ""
        missed = 0
        while True:
            asked_at = _now()
            taken, wait, spacing = await self._scripts.run(
                "pace", self._account, self._configured, round(PATIENCE * 1_000_000), holder, self._trial, RAMP_BACKLOG
            )
            seconds: float = wait / 1_000_000
            interval: float = spacing / 1_000_000
            if taken < 0 or (not taken and seconds > max(PATIENCE, interval)):
                raise AccountSlowed(seconds)
            # Redis gave the slot somewhere between question and answer. Counted from the question it is early at worst, so
            # that an answer which was long on its way is late, as it should be.
            slot = asked_at + seconds
            self._trying = self._trying or taken == 2
            await asyncio.sleep(slot - _now() if taken else seconds)
            if taken:
                self._free_at = slot + interval
                missed += 1
                if self.holds(slot) or missed == MISSES:
                    return slot

    def holds(self, slot: float) -> bool:
        """Whether a request may still leave in this slot."""
        return _now() - slot <= LATE

    async def failed(self, seconds: float, why: str, *, asked: bool = False, trial: bool = False) -> None:
        """A request failed, and nobody sends to the account for `seconds`; `asked` where the CRM turned it away for speed."""

        def failed(heard: _Heard) -> Breaker:
            return heard.breaker.failed(
                heard.now, wait=seconds, why=why[:300], requests=heard.requests, asked=asked, trial=trial
            )

        before, after = await self._write(failed, trial=trial, asked=asked)
        if before.breaker.opened is None and after.opened is not None:
            observe.event(
                "account.opened",
                level="warning",
                account=self._account,
                why=after.why,
                failures=after.row,
                seconds=round(after.until - before.now, 2),
            )

    async def answered(self, *, trial: bool = False) -> None:
        """A request was answered: the account works."""
        before, after = await self._write(
            lambda heard: heard.breaker.answered(heard.now, backlog=heard.waiting, trial=trial), trial=trial
        )
        if before.breaker.opened is not None and after.opened is None:
            observe.event(
                "account.closed",
                account=self._account,
                why=before.breaker.why,
                open_for=round(before.now - before.breaker.opened, 2),
                ramp=after.ramp_until > before.now,
            )

    async def leave(self) -> None:
        """Gives up a trial that came to nothing, so that the next may try."""
        if self._trying:
            self._trying = False
            await self._write(lambda heard: heard.breaker, trial=True)

    async def _write(
        self, decide: Callable[[_Heard], Breaker], *, trial: bool, asked: bool = False
    ) -> tuple[_Heard, Breaker]:
        """What was read, and what was made of it. `trial`: this is what became of ours; `asked`: for people to count."""
        holder = self._holder if trial else ""
        if trial:
            self._trying = False
        _, *row = await self._scripts.run("breaker", self._account, "", "")
        for _ in range(REWRITES):
            heard = _heard(row)
            after = decide(heard)
            changes = _fields(after).items() - _fields(heard.breaker).items()
            if not changes and not trial:
                return heard, after
            pairs = [text for change in sorted(changes) for text in change]
            if asked:
                pairs += ["asked_times", str(heard.asked + 1), "asked_at", _ms(heard.now)]
            written, *row = await self._scripts.run("breaker", self._account, row[1], holder, *pairs)
            if written:
                return heard, after
        raise StoreUnavailable(f"breaker: {REWRITES} workers were faster")


def standing(row: Mapping[str, str]) -> Breaker:
    """The breaker as the store holds it; what is not there is as in an account that never failed."""
    return Breaker(
        opened=int(row["opened"]) / 1000 if row.get("opened") else None,
        why=row.get("why", ""),
        row=int(row.get("row") or 0),
        failures=int(row.get("failures") or 0),
        until=float(row.get("blocked_until") or 0) / 1_000_000,
        wait=int(row.get("wait") or 0) / 1000,
        failed_at=tuple(int(at) / 1000 for at in row.get("failed", "").split()),
        share=float(row.get("share") or 1),
        share_at=int(row.get("share_at") or 0) / 1000,
        ramp_until=int(row.get("ramp_until") or 0) / 1000,
    )


def _fields(breaker: Breaker) -> dict[str, str]:
    """Short texts; an empty one is not kept."""
    full = breaker.share >= 1
    return {
        "opened": "" if breaker.opened is None else _ms(breaker.opened),
        "why": breaker.why,
        "row": str(breaker.row or ""),
        "failures": str(breaker.failures or ""),
        "blocked_until": f"{breaker.until * 1_000_000:.0f}" if breaker.until else "",
        "wait": _ms(breaker.wait),
        "failed": " ".join(_ms(at) for at in breaker.failed_at),
        "share": "" if full else f"{breaker.share:.6f}",
        "share_at": "" if full else _ms(breaker.share_at),
        "ramp_until": _ms(breaker.ramp_until),
    }


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}" if seconds else ""


def _heard(row: list[Any]) -> _Heard:
    now, _, waiting, requests, *facts = row
    texts = [fact.decode() for fact in facts]
    kept = dict(zip(texts[::2], texts[1::2], strict=True))
    return _Heard(standing(kept), now / 1000, waiting, requests, int(kept.get("asked_times", 0)))


def _now() -> float:
    return asyncio.get_running_loop().time()
