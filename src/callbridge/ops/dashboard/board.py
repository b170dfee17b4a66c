"""What the overview shows, worked out of what is known [pure]: figures with their lists, accounts, sources, the chart.

Apart from the templates because each of these is a decision: what counts as late, which colour that has, where it leads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode

from callbridge.ledger.views import ErrorGroup, Speed
from callbridge.ops.dashboard.words import Words
from callbridge.ops.health import DOWN_AFTER, STUCK_AFTER, Status
from callbridge.ops.overview import Overview
from callbridge.ops.web import Console
from callbridge.store.presence import GONE_AFTER
from callbridge.store.tally import AccountTally, SourceTally, Tally

Tone = Literal["", "ok", "warning", "problem"]

LATE: Final = 60.0
"""Seconds within which a call should be in the CRM."""

IN_TIME: Final = 0.95
"""Share of calls that should be."""

WAITING: Final = urlencode([("state", "queued"), ("state", "retrying"), ("state", "sending")])
_SERIES: Final = (
    ("received", "ink-info", [6, 4]),
    ("delivered", "ink-ok", None),
    ("unmatched", "ink-warning", [2, 3]),
    ("dead", "ink-problem", None),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What of the settings the board needs: each account's requests a second, the sources and their addresses."""

    rates: Mapping[str, float]
    hooks: Mapping[str, str]
    providers: Mapping[str, str]

    @classmethod
    def of(cls, console: Console) -> Setting:
        settings = console.settings
        return cls(
            {name: account.requests_per_second for name, account in settings.accounts.items()},
            console.hooks(),
            {name: source.provider for name, source in settings.sources.items()},
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` None: not known. `code` names its label."""

    code: str
    value: float | str | None
    href: str
    tone: Tone = ""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class AccountLine:
    """`standing` is a code of `account.*`, `why` of `pause.*` where it is paused, `told` what the CRM or a person said."""

    tally: AccountTally
    standing: Literal["going", "paused", "by_hand", "open", "slowed", "unknown"]
    tone: Tone
    limit: float | None
    why: str | None = None
    told: str | None = None


@dataclass(frozen=True, slots=True)
class SourceLine:
    name: str
    provider: str | None
    seen: SourceTally | None
    refused: int
    configured: bool


@dataclass(frozen=True, slots=True)
class WorkerLine:
    name: str
    beat_at: float
    alive: bool


@dataclass(frozen=True, slots=True)
class Board:
    figures: tuple[Figure, ...]
    speed: tuple[Figure, ...]
    accounts: tuple[AccountLine, ...]
    sources: tuple[SourceLine, ...]
    workers: tuple[WorkerLine, ...]
    hooks: Mapping[str, str]
    chart: str
    empty: bool
    hour: Mapping[str, int]


def board_of(overview: Overview, setting: Setting, refused: Mapping[str, int], words: Words) -> Board:
    """`refused` counts by source the webhooks that were turned away."""
    status = overview.status
    tally = status.tally if status else None
    hour = {code: sum(point.counts.get(code, 0) for point in overview.chart) for code, _, _ in _SERIES}
    return Board(
        figures=_figures(tally, hour if overview.chart else None, words),
        speed=_speed(overview.speed, overview.speed_1h, words),
        accounts=_accounts(tally, setting.rates),
        sources=_sources(overview, setting, refused),
        workers=_workers(status, overview.at),
        hooks=setting.hooks,
        chart=_chart(overview, words),
        empty=tally is not None and not tally.total,
        hour=hour,
    )


def _figures(tally: Tally | None, hour: Mapping[str, int] | None, words: Words) -> tuple[Figure, ...]:
    if tally is None:
        codes = ("received", "delivered", "oldest", "waiting", "uncertain", "parked", "dead")
        return tuple(Figure(code, None, "/calls") for code in codes)

    def lately(code: str) -> str | None:
        return words("overview.last_hour", count=hour[code]) if hour else None

    waiting = tally.queued + tally.retrying + tally.sending
    oldest = max((account.oldest_waiting or 0.0 for account in tally.accounts), default=0.0)
    late: Tone = "problem" if oldest > STUCK_AFTER else "warning" if oldest > LATE else ""
    nothing = words("overview.nothing_due")
    return (
        Figure("received", tally.total, "/calls", note=lately("received")),
        Figure("delivered", tally.delivered, "/calls?state=delivered", note=lately("delivered")),
        Figure("oldest", words.span(oldest) if oldest else nothing, f"/calls?{WAITING}", late),
        Figure("waiting", waiting, f"/calls?{WAITING}"),
        Figure("uncertain", tally.uncertain, "/uncertain", "warning" if tally.uncertain else ""),
        Figure("parked", tally.parked, "/parked"),
        Figure("dead", tally.dead, "/dead", "problem" if tally.dead else ""),
    )


def _speed(day: Speed | None, hour: Speed | None, words: Words) -> tuple[Figure, ...]:
    def told(code: str, value: str | None, lately: str | None, tone: Tone = "") -> Figure:
        note = words("overview.hour_is", value=lately) if lately else None
        return Figure(code, value, "/calls?state=delivered", tone, note)

    def span(speed: Speed | None, part: Literal["p50", "p95"]) -> str | None:
        seconds = getattr(speed, part, None)
        return None if seconds is None else words.span(seconds)

    def share(speed: Speed | None) -> str | None:
        return None if speed is None or speed.in_time is None else f"{words.number(round(speed.in_time * 100, 1))} %"

    in_time = day.in_time if day else None
    tone: Tone = "" if in_time is None else "ok" if in_time >= IN_TIME else "warning"
    return (
        told("p50", span(day, "p50"), span(hour, "p50")),
        told("p95", span(day, "p95"), span(hour, "p95")),
        told("in_time", share(day), share(hour), tone),
    )


def _accounts(tally: Tally | None, rates: Mapping[str, float]) -> tuple[AccountLine, ...]:
    if tally is None:
        return ()
    known = {account.account: account for account in tally.accounts}
    unseen = (AccountTally(name, 0, 0, 0, None, None) for name in rates if name not in known)
    rows = [_account(account, rates.get(account.account)) for account in (*known.values(), *unseen)]
    order = {"problem": 0, "warning": 1, "": 2, "ok": 2}
    return tuple(sorted(rows, key=lambda row: (order[row.tone], row.tally.account)))


def _account(account: AccountTally, limit: float | None) -> AccountLine:
    if pause := account.pause:
        standing, tone = ("by_hand", "warning") if pause.owner else ("paused", "problem")
        return AccountLine(account, standing, tone, limit, pause.reason.value, pause.detail)  # type: ignore[arg-type] # two literals in a pair
    if account.breaker.open_for is not None:
        return AccountLine(account, "open", "problem", limit, told=account.breaker.reason)
    if account.slowed:
        tone = "problem" if account.slowed.failures >= DOWN_AFTER else "warning"
        return AccountLine(account, "slowed", tone, limit, told=account.slowed.why)  # type: ignore[arg-type] # as above
    if limit is None:
        return AccountLine(account, "unknown", "problem", None)
    return AccountLine(account, "going", "warning" if account.pace < 1 else "ok", limit)


def _sources(overview: Overview, setting: Setting, refused: Mapping[str, int]) -> tuple[SourceLine, ...]:
    seen = {source.source: source for source in overview.status.tally.sources} if overview.status else {}
    names = sorted({*setting.providers, *seen, *refused}, key=lambda name: (name not in setting.providers, name))
    return tuple(
        SourceLine(name, setting.providers.get(name), seen.get(name), refused.get(name, 0), name in setting.providers)
        for name in names
    )


def _workers(status: Status | None, now: float) -> tuple[WorkerLine, ...]:
    if status is None:
        return ()
    return tuple(WorkerLine(name, now - age, age <= GONE_AFTER) for name, age in sorted(status.workers.items()))


def _chart(overview: Overview, words: Words) -> str:
    """What the page's script draws, as JSON. Numbers and texts of ours only."""
    series = [
        {
            "label": words(f"chart.{code}"),
            "tone": tone,
            "dash": dash,
            "values": [point.counts.get(code, 0) for point in overview.chart],
        }
        for code, tone, dash in _SERIES
    ]
    return json.dumps({"at": [int(point.at) for point in overview.chart], "series": series}, separators=(",", ":"))


def group_link(group: ErrorGroup) -> str:
    """The dead calls of one cause."""
    wanted = {"state": "dead", "account": group.account, "reason": group.reason, "cause": group.cause}
    return f"/calls?{urlencode(wanted)}"
