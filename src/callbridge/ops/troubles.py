"""What is wrong, one trouble after the other [pure]: each a code with its values, and the page of the console that mends it.

Judges figures, never words, so that pages say it in any language; the English text stands beside it. Apart from `verdict`,
which makes one sentence of them: these look at one account, one host, the store, the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final
from urllib.parse import quote

from callbridge.breaker import Phase
from callbridge.ledger.views import ErrorGroup, LedgerStanding, Speed
from callbridge.ops.health import DOWN_AFTER, STUCK_AFTER, Status
from callbridge.ops.kept import MOVES_WITHIN, SILENT_AFTER
from callbridge.store.presence import GONE_AFTER
from callbridge.store.refusals import SourceRefusals
from callbridge.store.spools import SpoolReport
from callbridge.store.tally import AccountTally, Tally

LATE_AFTER: Final = 60.0
"""Seconds within which a call should be in the CRM."""

IN_TIME: Final = 0.95
"""The share of the last hour's calls that should have been."""


class Rank(IntEnum):
    """What hurts first. NOTE is worth a line, and makes nothing yellow."""

    LOST = 0
    STOPPED = 1
    LATE = 2
    LOOK = 3
    NOTE = 4


@dataclass(frozen=True, slots=True)
class Trouble:
    """`params` are the values of the words of `code`, `detail` is the English text, `link` a path of the console."""

    code: str
    params: Mapping[str, Any]
    detail: str
    link: str

    @property
    def cause(self) -> str:
        """The same for as long as it is the same trouble: what it is about, and no figure that moves."""
        names = (str(self.params[name]) for name in ("account", "source", "host", "reason") if name in self.params)
        return ":".join((self.code, *names))


@dataclass(frozen=True, slots=True)
class Weighed:
    rank: Rank
    problem: bool
    trouble: Trouble


def problem(rank: Rank, code: str, detail: str, link: str, /, **params: Any) -> Weighed:
    return Weighed(rank, True, Trouble(code, params, detail, link))


def warning(rank: Rank, code: str, detail: str, link: str, /, **params: Any) -> Weighed:
    return Weighed(rank, False, Trouble(code, params, detail, link))


# --- the store -------------------------------------------------------------------------------------------------------


def of_store(status: Status) -> Iterator[Weighed]:
    for detail in (*status.standing.problems, *status.standing.passing):
        yield problem(Rank.LOST, "not_durable", detail, "/#durability", detail=detail)
    for detail in status.standing.warnings:
        yield warning(Rank.NOTE, "durability", detail, "/#durability", detail=detail)


def of_spool(host: str, report: SpoolReport, now: float) -> Iterator[Weighed]:
    """What waits on the disk of a receiver, because Redis could not take it."""
    standing, link = report.standing, "/#spools"
    if report.problem:
        detail = f"the spool of {host} cannot be read: {report.problem}"
        yield problem(Rank.LOST, "spool_unreadable", detail, link, host=host, detail=report.problem)
    if standing.waiting:
        age, silent = now - (standing.oldest_at or now), now - report.told_at
        facts: dict[str, Any] = {"host": host, "webhooks": standing.waiting, "minutes": int(age // 60)}
        words = f"{standing.waiting} webhooks wait on the disk of {host}, the oldest for {span(age)}"
        if silent > SILENT_AFTER:
            words += f", and nothing was heard from it for {span(silent)}: start a receiver there"
            yield problem(Rank.LOST, "spool_silent", words, link, **facts, silent=int(silent // 60))
        elif age > MOVES_WITHIN:
            yield problem(Rank.LATE, "spool_stuck", words, link, **facts)
        else:
            yield warning(Rank.LATE, "spooled", words, link, **facts)
    if standing.damaged:
        words = f"damaged spool files on {host}: {standing.damaged}"
        yield warning(Rank.LOOK, "spool_damaged", words, link, host=host, files=standing.damaged)


# --- what is turned away ---------------------------------------------------------------------------------------------

REFUSED_LATELY: Final = 900.0
"""Seconds; a PBX that is refused goes on calling, and one that was put right is heard."""

REFUSED_AT_LEAST: Final = 3
"""Strangers knock now and then; a PBX whose secret was changed knocks with every call."""


def of_refusals(tally: Tally, refusals: Mapping[str, SourceRefusals], now: float) -> Iterator[Weighed]:
    """Sources of which nothing was taken since their webhooks began to be refused: those calls are nowhere here."""
    taken_at = {source.source: now - source.last_seen for source in tally.sources}
    for source, refused in sorted(refusals.items()):
        since = max(now - REFUSED_LATELY, taken_at.get(source, 0.0))
        lately = [sample for sample in refused.samples if sample["at"] > since]
        if source == "unknown" or len(lately) < REFUSED_AT_LEAST:
            continue
        code = str(lately[0]["code"])
        words = f"source {source}: {len(lately)} webhooks were refused ({code}) and none was taken since: its calls are lost"
        yield problem(
            Rank.LOST, "refused", words, f"/sources#{quote(source)}", source=source, webhooks=len(lately), code=code
        )


# --- who sends -------------------------------------------------------------------------------------------------------


def of_workers(status: Status) -> Iterator[Weighed]:
    if alive(status):
        return
    if waiting := under_way(status.tally) + status.tally.parked:
        words = f"{calls_are(waiting)} waiting and no worker is running"
        yield problem(Rank.STOPPED, "no_worker", words, "/#workers", calls=waiting)
    else:
        yield warning(Rank.STOPPED, "no_worker_idle", "no worker is running", "/#workers")


def alive(status: Status) -> bool:
    return any(age <= GONE_AFTER for age in status.workers.values())


def under_way(tally: Tally) -> int:
    return tally.queued + tally.retrying + tally.sending + tally.uncertain


def of_account(row: AccountTally, *, configured: bool, working: bool) -> Iterator[Weighed]:
    """`working`: there are workers."""
    name, link = row.account, f"/accounts#{quote(row.account)}"
    held = row.waiting + row.uncertain + row.parked
    facts: dict[str, Any] = {"account": name, "calls": held}
    if not configured:
        if held:
            words = f"{calls_are(held)} waiting for account {name}, which is not in the settings"
            yield problem(Rank.STOPPED, "unconfigured", words, link, **facts)
        return
    if row.pause and row.pause.owner:
        words = f"account {name} is paused by {row.pause.owner}: {row.pause.detail}; {calls_are(held)} waiting"
        by_hand = {**facts, "owner": row.pause.owner, "detail": row.pause.detail}
        weigh = problem if held else warning
        yield weigh(Rank.STOPPED if held else Rank.LOOK, "paused_by_hand", words, link, **by_hand)
    elif row.pause:
        words = f"account {name} stands still ({row.pause.reason}); {calls_are(held)} waiting"
        yield problem(Rank.STOPPED, "stopped", words, link, **facts, reason=row.pause.reason.value)
    else:
        yield from _of_moving(row, link, working=working)
    yield from _of_terms(row, link)


def _of_moving(row: AccountTally, link: str, *, working: bool) -> Iterator[Weighed]:
    """An account to which calls should go now."""
    name, slowed = row.account, row.slowed
    if slowed:
        trying = row.breaker.state is Phase.HALF_OPEN
        words = f"account {name} did not take a request {slowed.failures} times in a row: {slowed.why}"
        words += "; it is being tried" if trying else f"; next try in {slowed.ask_in:.0f} s"
        facts = {"account": name, "failures": slowed.failures, "seconds": round(slowed.ask_in), "detail": slowed.why}
        weigh = problem if slowed.failures >= DOWN_AFTER else warning
        yield weigh(Rank.STOPPED, "not_answering", words, link, **facts)
    late = row.oldest_waiting or 0.0
    # Calls that people let go again by thousands take their time: only live ones are late after a minute.
    patience = STUCK_AFTER if row.bulk >= row.waiting else LATE_AFTER
    if working and late > patience:
        words = f"account {name}: the oldest of {row.waiting} waiting calls has been due for {span(late)}"
        path = f"/calls?state=queued&state=retrying&account={quote(name)}"
        weigh = problem if late > STUCK_AFTER else warning
        yield weigh(Rank.LATE, "late", words, path, account=name, calls=row.waiting, minutes=max(1, int(late // 60)))


def _of_terms(row: AccountTally, link: str) -> Iterator[Weighed]:
    """What an account does not let us do, though calls go to it."""
    name = row.account
    if row.leads_closed is not None:
        words = f"account {name} takes no incoming leads, strangers wait: {row.leads_closed}"
        yield warning(Rank.LOOK, "leads_closed", words, link, account=name, detail=row.leads_closed)
    if row.pace < 1:
        share = round(row.pace * 100)
        words = (
            f"account {name} gets {share}% of its rate: the CRM asked for less, other integrations may use its limit"
        )
        yield warning(Rank.LOOK, "paced", words, link, account=name, percent=share)
    if row.isolated:
        words = f"account {name}: {calls_are(row.isolated)} sent one by one, because workers died over them"
        yield warning(Rank.LOOK, "isolated", words, link, account=name, calls=row.isolated)


def of_tokens(status: Status) -> Iterator[Weighed]:
    for name, (ended, ending) in status.ends.items():
        link = f"/accounts#{quote(name)}"
        if ended:
            yield problem(Rank.STOPPED, "token_ended", f"account {name}: {ended}", link, account=name, detail=ended)
        if ending:
            yield warning(Rank.LOOK, "token_ending", f"account {name}: {ending}", link, account=name, detail=ending)


# --- what became of calls --------------------------------------------------------------------------------------------


def of_outcomes(tally: Tally, groups: Sequence[ErrorGroup]) -> Iterator[Weighed]:
    """`groups` are those of the ledger, all or the first of them; what it does not know yet is open."""
    seen = sum(group.calls for group in groups if group.status != "open")
    if unseen := max(0, tally.dead - seen):
        words = f"{calls_are(unseen)} dead and nobody has looked at them yet"
        yield problem(Rank.LOOK, "dead", words, "/dead", calls=unseen)
    elif tally.dead:
        words = f"{calls_are(tally.dead)} dead, all of them known"
        yield warning(Rank.NOTE, "dead_known", words, "/dead", calls=tally.dead)
    if tally.uncertain:
        words = f"{calls_are(tally.uncertain)} uncertain: being looked for in the CRM"
        yield warning(Rank.NOTE, "uncertain", words, "/uncertain", calls=tally.uncertain)


def of_speed(speed: Speed | None) -> Iterator[Weighed]:
    """`speed` is the last hour's."""
    if speed and speed.delivered and speed.in_time is not None and speed.in_time < IN_TIME:
        percent = int(speed.in_time * 100)
        words = f"only {percent}% of the last hour's calls were in the CRM within a minute"
        yield warning(Rank.LATE, "slow_hour", words, "/#latency", percent=percent, calls=speed.delivered)


def of_ledger(standing: LedgerStanding | None, away: str | None) -> Iterator[Weighed]:
    if away is not None:
        words = f"the ledger is away, history is not shown and not written: {away}"
        yield warning(Rank.LATE, "ledger_down", words, "/#ledger", detail=away)
    elif standing and standing.lag > LATE_AFTER:
        words = f"the ledger is {span(standing.lag)} behind, {standing.behind} changes wait"
        facts = {"changes": standing.behind, "minutes": int(standing.lag // 60)}
        yield warning(Rank.LOOK, "ledger_behind", words, "/#ledger", **facts)


def calls_are(count: int) -> str:
    return f"{count} call is" if count == 1 else f"{count} calls are"


def span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
