"""Are calls being lost or late right now, and what to do [pure]: one colour and one sentence from everything that is known.

The sentence says the worst trouble there is: what is lost before what stands still, that before what is late, that before
what somebody has to look at. Where nothing hurts, it says how much went well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from callbridge.ledger.views import ErrorGroup, LedgerStanding, Speed
from callbridge.ops.health import Status
from callbridge.ops.troubles import (
    Rank,
    Trouble,
    Weighed,
    alive,
    calls_are,
    of_account,
    of_ledger,
    of_outcomes,
    of_refusals,
    of_speed,
    of_spool,
    of_store,
    of_tokens,
    of_workers,
    problem,
    under_way,
)
from callbridge.store.refusals import SourceRefusals

Verdict = Literal["ok", "warning", "problem", "unknown"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """`code` with its values, and what that is in English. That of a trouble has its code, and `more`: how many others."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    sentence: Sentence
    problems: tuple[Trouble, ...]
    warnings: tuple[Trouble, ...]


CODES: Final[Mapping[str, tuple[str, ...]]] = {
    # sentences where nothing hurts
    "all_well": ("delivered",),
    "on_the_way": ("calls", "delivered"),
    "parked_only": ("calls", "delivered"),
    "no_calls": (),
    "starting": (),
    # what is lost
    "redis_down": ("detail",),
    "not_durable": ("detail",),
    "spool_unreadable": ("host", "detail"),
    "spool_silent": ("host", "webhooks", "minutes", "silent"),
    "refused": ("source", "webhooks", "code"),
    # what stands still
    "no_worker": ("calls",),
    "no_worker_idle": (),
    "unconfigured": ("account", "calls"),
    "stopped": ("account", "calls", "reason"),
    "paused_by_hand": ("account", "calls", "owner", "detail"),
    "not_answering": ("account", "failures", "seconds", "detail"),
    "token_ended": ("account", "detail"),
    # what is late
    "late": ("account", "calls", "minutes"),
    "spool_stuck": ("host", "webhooks", "minutes"),
    "spooled": ("host", "webhooks", "minutes"),
    "slow_hour": ("percent", "calls"),
    "ledger_down": ("detail",),
    # what somebody has to look at
    "dead": ("calls",),
    "token_ending": ("account", "detail"),
    "leads_closed": ("account", "detail"),
    "paced": ("account", "percent"),
    "isolated": ("account", "calls"),
    "spool_damaged": ("host", "files"),
    "ledger_behind": ("changes", "minutes"),
    # what is worth a line
    "dead_known": ("calls",),
    "uncertain": ("calls",),
    "durability": ("detail",),
}
"""Every code there is with the names of its values: what pages need words for, as `verdict.<code>`."""


def judged(
    status: Status | None,
    groups: Sequence[ErrorGroup],
    speed: Speed | None,
    standing: LedgerStanding | None,
    now: float,
    *,
    store_problem: str | None = None,
    ledger_problem: str | None = None,
    refusals: Mapping[str, SourceRefusals] = MappingProxyType({}),
) -> Judgement:
    """`status` is what Redis said last, None if nothing ever; with `store_problem` it is old and judged no more. `speed` is
    the last hour's. `now` in Unix seconds.
    """
    found: list[Weighed] = []
    if store_problem is not None:
        words = (
            f"Redis is away, so nothing is sent; receivers keep new calls on their disks if they can: {store_problem}"
        )
        found.append(problem(Rank.LOST, "redis_down", words, "/#durability", detail=store_problem))
    elif status is not None:
        found += _of_status(status, groups, now)
        found += of_refusals(status.tally, refusals, now)
        found += of_speed(speed)
    found += of_ledger(standing, ledger_problem)
    found.sort(key=lambda weighed: (weighed.rank, not weighed.problem))
    problems = tuple(weighed.trouble for weighed in found if weighed.problem)
    warnings = tuple(weighed.trouble for weighed in found if not weighed.problem)
    yellow = [weighed.trouble for weighed in found if weighed.rank < Rank.NOTE]
    worst = [*problems, *(trouble for trouble in yellow if trouble not in problems)]
    if worst:
        return Judgement("problem" if problems else "warning", _says(worst), problems, warnings)
    if status is None:
        return Judgement("unknown", Sentence("starting", {}, "Nothing is known yet."), problems, warnings)
    return Judgement("ok", _well(status), problems, warnings)


def _of_status(status: Status, groups: Sequence[ErrorGroup], now: float) -> Iterator[Weighed]:
    yield from of_store(status)
    for host, report in sorted(status.spools.items()):
        yield from of_spool(host, report, now)
    yield from of_workers(status)
    yield from of_tokens(status)
    for row in status.tally.accounts:
        yield from of_account(row, configured=row.account in status.configured, working=alive(status))
    yield from of_outcomes(status.tally, groups)


def _says(worst: Sequence[Trouble]) -> Sentence:
    first, more = worst[0], len(worst) - 1
    tail = f", and {more} more problem{'s' if more > 1 else ''}" if more else ""
    detail = first.detail.rstrip(".")
    text = f"{detail[:1].upper()}{detail[1:]}{tail}."
    return Sentence(first.code, {**first.params, "more": more}, text)


def _well(status: Status) -> Sentence:
    tally = status.tally
    if not tally.total:
        return Sentence("no_calls", {}, "All is well: no call has come yet.")
    facts = {"delivered": tally.delivered}
    if calls := under_way(tally):
        text = f"All is well: {calls_are(calls)} on the way, {tally.delivered} delivered."
        return Sentence("on_the_way", {"calls": calls, **facts}, text)
    if calls := tally.parked:
        text = f"All is well: {tally.delivered} delivered, {calls} parked until a contact appears."
        return Sentence("parked_only", {"calls": calls, **facts}, text)
    return Sentence("all_well", facts, f"All is well: nothing waits, {tally.delivered} delivered.")
