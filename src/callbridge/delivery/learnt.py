"""What a drain has learnt about its account from the answers, and what that changes: batch size, pace, pause.

Apart from the drain because it is about the account, not about the calls: those have been settled when this hears of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from callbridge import observe
from callbridge.claim import Claim
from callbridge.delivery.batching import BatchSize
from callbridge.delivery.settle import GoOn, Pause, Plan, Policy, Slow
from callbridge.errors import StoreUnavailable
from callbridge.outcome import Answer, NoAnswer, PauseReason, PerCall, TokenRefused


@dataclass(frozen=True, slots=True)
class Terms:
    """How an account is drained. Seconds; `lease` is how long calls in flight stay ours, longer than a request can last."""

    policy: Policy
    max_batch: int
    max_in_flight: int
    lease: float
    probe_after: float
    probe_at_most: float
    ban_probe: float


class Queue(Protocol):
    async def pause(self, account: str, reason: PauseReason, detail: str, first: float, at_most: float) -> bool: ...
    async def reprobe(self, account: str) -> None: ...
    async def resume(self, account: str, of: PauseReason | None = None) -> float | None: ...


class Pace(Protocol):
    async def failed(self, seconds: float, why: str, *, asked: bool = False, trial: bool = False) -> None: ...
    async def answered(self, *, trial: bool = False) -> None: ...


class Learnt:
    """`size` bounds the next batch; `refusals` counts calls buried in a row without any other answer."""

    def __init__(self, account: str, *, queue: Queue, pace: Pace, terms: Terms) -> None:
        self._account = account
        self._queue = queue
        self._pace = pace
        self._terms = terms
        self.size = BatchSize(terms.max_batch)
        self.refusals = 0

    async def react(
        self, claim: Claim, answer: Answer, planned: Plan, facts: Mapping[str, Any], *, sent: int, full: bool
    ) -> None:
        """Takes in one answered request of `sent` calls; `facts` about it are for the log, and empty where there was none for
        want of a token. What the store does not take down now, the next answer brings.
        """
        if "batch" in facts:
            observe.event(
                "batch.posted",
                account=self._account,
                calls=sent,
                answer=type(answer).__name__,
                probe=claim.probe,
                detail=getattr(answer, "detail", None),
                batch=facts["batch"],
                seconds=facts.get("seconds"),
                status=facts.get("status"),
            )
        with contextlib.suppress(StoreUnavailable):
            match planned.effect:
                case GoOn():
                    await self._go_on(claim, answer, planned, full=full)
                case Slow(seconds, why, too_heavy, asked):
                    if isinstance(answer, NoAnswer):
                        self.size = self.size.unanswered(sent, too_heavy=too_heavy)
                    await self._pace.failed(seconds, why, asked=asked, trial=claim.trial)
                    observe.event(
                        "account.slowed", level="warning", account=self._account, seconds=round(seconds, 2), why=why
                    )
                case Pause(reason, detail):
                    if claim.trial:
                        await self._pace.answered(trial=True)
                    await self._pause(reason, detail)
                case other:
                    assert_never(other)

    async def _go_on(self, claim: Claim, answer: Answer, planned: Plan, *, full: bool) -> None:
        if claim.troubled:
            await self._pace.answered(trial=claim.trial)
        if isinstance(answer, TokenRefused):
            if claim.probe:
                await self._queue.reprobe(self._account)
            return
        if isinstance(answer, PerCall):
            self.refusals = 0
            self.size = self.size.answered(full=full)
        else:
            self.refusals += len(planned.settlements)
        # A refusal proves that the account works again, unless refusing was the trouble.
        if claim.probe and (isinstance(answer, PerCall) or claim.probe is not PauseReason.REFUSES_ALL):
            lasted = await self._queue.resume(self._account, claim.probe)
            observe.event("account.resumed", account=self._account, paused_for=lasted)

    async def _pause(self, reason: PauseReason, detail: str) -> None:
        await pause(self._queue, self._account, self._terms, reason, detail)


async def pause(queue: Queue, account: str, terms: Terms, reason: PauseReason, detail: str) -> None:
    """Pauses the account, with one alarm. Raises `StoreUnavailable`."""
    first = terms.ban_probe if reason is PauseReason.BANNED else terms.probe_after
    # Each probe of an account that has to be authorised anew takes requests for a token that is probably dead.
    rarely = reason in {PauseReason.BANNED, PauseReason.REAUTHORISE}
    at_most = terms.ban_probe if rarely else terms.probe_at_most
    if await queue.pause(account, reason, detail, first, at_most):
        observe.event("account.paused", level="error", account=account, reason=reason, detail=detail)
