"""Is anything wrong, in words: judges figures that others read.

A call waiting while nobody works, an ack worth less than was promised, an account that stands still, a call that only a
person can move: those are problems. What may become one is a warning. The first sentence says the worst of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, assert_never

from callbridge.amocrm.client import AccountCheck, AccountFound, AccountProblem
from callbridge.breaker import Phase
from callbridge.ops.advice import of_pause
from callbridge.ops.authorised import Authorisation
from callbridge.ops.kept import as_json as spools_as_json
from callbridge.ops.kept import of_spools
from callbridge.store.durability import CLOCK_PROBLEM, CLOCK_WARNING, Standing
from callbridge.store.presence import GONE_AFTER
from callbridge.store.spools import SpoolReport
from callbridge.store.tally import AccountTally, Pause, Slowed, Tally

STUCK_AFTER: Final = 300.0
"""Seconds for which a call may be due before that is a problem: a backlog after an outage moves, this one does not."""

UNTOLD_AT_MOST: Final = 20_000
"""Changes that a busy ledger may be behind: seconds of work for it, and megabytes of Redis."""

DOWN_AFTER: Final = 5
"""Requests in a row that an account did not take: a blip is over before that."""


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    detail: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Status:
    """How everything stands. `workers` are seconds since their last heartbeat, `configured` the accounts of the settings,
    `ends` problem and warning of the accounts' long-lived tokens.
    """

    sentence: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    standing: Standing
    tally: Tally
    workers: Mapping[str, float]
    spools: Mapping[str, SpoolReport] = field(default_factory=dict)
    configured: frozenset[str] = frozenset()
    ends: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        workers = [
            {"worker": name, "heartbeat_age": round(age, 3), "alive": age <= GONE_AFTER}
            for name, age in sorted(self.workers.items())
        ]
        return {
            "ok": self.ok,
            "summary": self.sentence,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "durability": self.standing.kept_as,
            "redis": {
                "durability": self.standing.level.value,
                "replicas": self.standing.replicas,
                "memory": self.standing.memory,
                "primary": self.standing.primary,
            },
            "spools": spools_as_json(self.spools),
            "total": self.tally.total,
            "states": states(self.tally),
            "accounts": [asdict(account) for account in self.tally.accounts],
            "sources": [asdict(source) for source in self.tally.sources],
            "workers": workers,
        }


def states(tally: Tally) -> dict[str, int]:
    """Calls by public state, in the order in which a call goes through them."""
    return {
        "queued": tally.queued,
        "retrying": tally.retrying,
        "sending": tally.sending,
        "uncertain": tally.uncertain,
        "parked": tally.parked,
        "delivered": tally.delivered,
        "unmatched": tally.unmatched,
        "dead": tally.dead,
        "ignored": tally.ignored,
        "erased": tally.erased,
    }


def assess(
    tally: Tally,
    workers: Mapping[str, float],
    standing: Standing,
    configured: Collection[str],
    ends: Mapping[str, tuple[str | None, str | None]] | None = None,
    spools: Mapping[str, SpoolReport] | None = None,
    now: float = 0.0,
) -> Status:
    """`configured` are the accounts that the settings name; `ends` are problem and warning of their long-lived tokens."""
    alive = sum(age <= GONE_AFTER for age in workers.values())
    under_way = tally.queued + tally.retrying + tally.sending + tally.uncertain
    problems = [*standing.problems, *standing.passing]
    warnings = list(standing.warnings)
    stuck, spooled = of_spools(spools or {}, now)
    problems += stuck
    warnings += spooled
    if not alive and under_way + tally.parked:
        problems.insert(0, f"{_calls(under_way + tally.parked)} waiting and no worker is running")
    elif not alive:
        warnings.append("no worker is running")
    for account in tally.accounts:
        if account.slowed and not account.pause:
            heard = problems if account.slowed.failures >= DOWN_AFTER else warnings
            heard.append(_not_taken(account, account.slowed))
        problems += _account_problems(account, account.account in configured, working=bool(alive))
        warnings += _account_warnings(account)
    for name, (problem, warning) in (ends or {}).items():
        problems += [f"account {name}: {problem}"] if problem else []
        warnings += [f"account {name}: {warning}"] if warning else []
    if tally.dead:
        problems.append(f"{_calls(tally.dead)} dead: `callbridge dead list` shows why")
    if tally.untold > UNTOLD_AT_MOST:
        warnings.append(
            f"{tally.untold} changes are not in the ledger yet: is a console running, and does its SQL answer?"
        )
    if tally.uncertain:
        warnings.append(f"{_calls(tally.uncertain)} uncertain: being looked for in the CRM")
    said = _sentence(tally, under_way, problems)
    found = tuple(problems), tuple(warnings)
    return Status(said, *found, standing, tally, workers, spools or {}, frozenset(configured), ends or {})


def _not_taken(account: AccountTally, slowed: Slowed) -> str:
    times = "once" if slowed.failures == 1 else f"{slowed.failures} times in a row"
    told = f"account {account.account} did not take a request {times}"
    if account.breaker.open_for is not None:
        told += f" and is left alone, for {_minutes(account.breaker.open_for)} by now"
    tried = "being tried" if account.breaker.state is Phase.HALF_OPEN else f"next try in {slowed.ask_in:.0f} s"
    return f"{told}, {tried}: {slowed.why}"


def _account_problems(account: AccountTally, configured: bool, *, working: bool) -> list[str]:
    held = _held(account)
    if not configured and held:
        return [f"{_calls(held)} waiting for account {account.account}, which is not in the settings"]
    if account.pause and account.pause.owner:
        return [f"{_by_hand(account.account, account.pause)}; {_calls(held)} waiting"] if held else []
    if account.pause:
        return [f"account {account.account} is paused ({account.pause.reason}): {of_pause(account.pause.reason)}"]
    if working and account.oldest_waiting is not None and account.oldest_waiting > STUCK_AFTER:
        return [
            f"account {account.account}: a call has been due for {_minutes(account.oldest_waiting)} without being sent"
        ]
    return []


def _account_warnings(account: AccountTally) -> list[str]:
    name, warnings = f"account {account.account}", list[str]()
    if account.pause and account.pause.owner and not _held(account):
        warnings.append(_by_hand(account.account, account.pause))
    if account.leads_closed is not None:
        warnings.append(f"{name} takes no incoming leads, strangers wait: {account.leads_closed}")
    if account.pace < 1:
        warnings.append(
            f"{name} gets {account.pace:.0%} of its rate: the CRM asked for less (429) than we are allowed, "
            "so other integrations use its limit too, or requests_per_second is above it"
        )
    if account.isolated:
        warnings.append(f"{name}: {_calls(account.isolated)} sent one by one, because workers died over them")
    return warnings


def _held(account: AccountTally) -> int:
    return account.waiting + account.uncertain + account.parked


def _by_hand(account: str, pause: Pause) -> str:
    return f"account {account} is paused by {pause.owner}: {pause.detail}"


def _sentence(tally: Tally, under_way: int, problems: Sequence[str]) -> str:
    if problems:
        more = len(problems) - 1
        tail = f", and {more} more problem{'s' if more > 1 else ''}" if more else ""
        return f"Needs attention: {problems[0].rstrip('.')}{tail}."
    if not tally.total:
        return "All is well: no call has come yet."
    if under_way:
        return f"All is well: {_calls(under_way)} on the way, {tally.delivered} delivered."
    parked = f", {tally.parked} parked until a contact appears" if tally.parked else ""
    return f"All is well: nothing waits, {tally.delivered} delivered{parked}."


def _calls(count: int) -> str:
    return f"{count} call is" if count == 1 else f"{count} calls are"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


# --- single checks ---------------------------------------------------------------------------------------------------


def durability_checks(standing: Standing) -> list[Check]:
    found = [Check("durability", Level.PROBLEM, problem) for problem in (*standing.problems, *standing.passing)]
    found += [Check("durability", Level.WARNING, warning) for warning in standing.warnings]
    replicas = f", confirmed by {standing.replicas} replicas" if standing.replicas else ""
    primary = f", primary {standing.primary}" if standing.primary else ""
    return found or [Check("durability", Level.OK, f"{standing.level.value}, as asked for{replicas}{primary}")]


def spool_checks(spools: Mapping[str, SpoolReport], now: float) -> list[Check]:
    problems, warnings = of_spools(spools, now)
    found = [Check("spool", Level.PROBLEM, problem) for problem in problems]
    found += [Check("spool", Level.WARNING, warning) for warning in warnings]
    return found or [Check("spool", Level.OK, "empty: nothing waits for Redis")]


def clock_check(name: str, ahead: float) -> Check:
    """`ahead` is how many seconds the other clock is ahead of ours."""
    detail = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this computer's"
    if abs(ahead) > CLOCK_PROBLEM:
        return Check(name, Level.PROBLEM, f"{detail}: set the clocks by NTP")
    if abs(ahead) > CLOCK_WARNING:
        return Check(name, Level.WARNING, detail)
    return Check(name, Level.OK, detail)


def authorisation_checks(account: str, found: Authorisation) -> list[Check]:
    told = ((Level.PROBLEM, found.problem), (Level.WARNING, found.warning))
    return [Check(f"account {account}", level, detail) for level, detail in told if detail]


def account_checks(account: str, found: AccountCheck, *, wants_leads: bool = False) -> list[Check]:
    """`wants_leads`: its strangers are to become incoming leads."""
    name = f"account {account}"
    match found:
        case AccountFound(number, title, subdomain, clock_ahead, takes_leads):
            checks = [Check(name, Level.OK, f"{title or subdomain} ({number}): the token opens it")]
            if wants_leads and takes_leads is False:
                told = "has incoming leads (unsorted) switched off, so no_match.policy unsorted does what wait does"
                checks.append(Check(f"incoming leads of {name}", Level.WARNING, told))
            if clock_ahead is not None:
                checks.append(clock_check(f"clock of {name}", clock_ahead))
            return checks
        case AccountProblem(None, detail):
            return [Check(name, Level.PROBLEM, detail)]
        case AccountProblem(reason, detail):
            return [Check(name, Level.PROBLEM, f"{detail}: {of_pause(reason)}" if reason else detail)]
        case _:
            assert_never(found)
