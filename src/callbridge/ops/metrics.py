"""`/metrics`: every figure of the overview in Prometheus's text format, and whether this process and its parts live.

Computed from Redis and the ledger at each scrape, so that it is true whichever process answers; nothing is counted in here.
What is not known now is left out, and `callbridge_up` says which part is away: a scrape never fails for that. Labels are
names from the settings and codes of ours, at most `MOST` of each kind, the rest together as `other`; a phone number or a text
of others is never one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import orjson
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from callbridge import __version__
from callbridge.breaker import Phase
from callbridge.errors import StoreUnavailable
from callbridge.ledger.views import ErrorGroup, LedgerStanding, Speed
from callbridge.ops.api.problems import problem
from callbridge.ops.health import Status, states
from callbridge.ops.overview import Overview
from callbridge.ops.web import CONSOLE, Route
from callbridge.ops.who import Role
from callbridge.store.presence import GONE_AFTER
from callbridge.store.refusals import SourceRefusals
from callbridge.store.tally import AccountTally, SourceTally

MOST: Final = 200
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric. `together` says what becomes of the values that share `other`."""

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    words: str
    together: Literal["sum", "max"] = "sum"


def _gauge(name: str, words: str, *labels: str, together: Literal["sum", "max"] = "sum") -> Figure:
    return Figure(f"callbridge_{name}", "gauge", labels, words, together)


def _counter(name: str, words: str, *labels: str) -> Figure:
    return Figure(f"callbridge_{name}", "counter", labels, words)


METRICS: Final[tuple[Figure, ...]] = (
    _gauge("up", "1 while this part answers.", "part"),
    _gauge("build_info", "Always 1; which version this is.", "version"),
    _gauge("problems", "Problems that the overview tells."),
    _gauge("warnings", "Warnings that the overview tells."),
    _gauge("calls", "Calls by state.", "state"),
    _counter("received_total", "Calls received and stored.", "source"),
    _counter("webhooks_total", "Webhooks taken, by what they were.", "source", "kind"),
    _counter("refused_total", "Webhooks refused, by why.", "source", "code"),
    _gauge("source_silent_seconds", "Since the last authenticated webhook.", "source", together="max"),
    _gauge("waiting", "Calls that wait to be sent.", "account"),
    _gauge("uncertain", "Calls that may be in the CRM or not.", "account"),
    _gauge("parked", "Calls without a contact that are tried again.", "account"),
    _gauge("oldest_waiting_seconds", "How long the oldest due call has been due.", "account", together="max"),
    _gauge("account_paused", "1 while nothing is sent to it, and why.", "account", "reason", together="max"),
    _gauge("account_pace_ratio", "Share of its configured rate that is in force.", "account", together="max"),
    _gauge("account_requests_per_second", "Requests a second in the last minute.", "account"),
    _counter("account_slowed_total", "Requests that the CRM turned away for speed (429).", "account"),
    _gauge("breaker_open", "1 while the account is left alone after failures.", "account", together="max"),
    _gauge("workers", "Workers with a heartbeat."),
    _gauge("durability", "1 for what a stored call is worth now.", "level"),
    _gauge("redis_memory_ratio", "Share of Redis's memory in use, where it has a limit."),
    _gauge("spool_waiting", "Acknowledged webhooks on a host's disk only.", "host"),
    _gauge("latency_seconds", "Webhook to CRM, calls delivered in that time.", "window", "quantile"),
    _gauge("in_time_ratio", "Share of them delivered within 60 s.", "window"),
    _gauge("delivered", "Calls delivered in that time.", "window"),
    _gauge("dead_group_calls", "Dead calls in the largest open groups.", "account", "reason"),
    _gauge("ledger_calls", "Calls in the history."),
    _gauge("ledger_behind", "Changes that are not in the history yet."),
    _gauge("ledger_lag_seconds", "Age of the oldest of them."),
)
"""Every metric there is: dashboards and alerts are built on the names, so a new one is a decision."""


def markdown() -> str:
    """The same as a table for the README."""
    rows = (
        f"| `{figure.name}` | {', '.join(f'`{label}`' for label in figure.labels)} | {figure.words} |"
        for figure in METRICS
    )
    return "\n".join(("| metric | labels | |", "|---|---|---|", *rows))


_BY_NAME: Final = {figure.name: figure for figure in METRICS}


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    value: float
    labels: tuple[str, ...] = ()


def samples_of(now: Overview, refusals: Mapping[str, SourceRefusals]) -> Iterator[Sample]:
    """Figures that are older than this scrape are left out."""
    fresh = now.status if now.store_problem is None else None
    yield Sample("callbridge_up", float(fresh is not None), ("redis",))
    yield Sample("callbridge_up", float(now.ledger_problem is None), ("ledger",))
    yield Sample("callbridge_build_info", 1, (__version__,))
    yield Sample("callbridge_problems", len(now.problems))
    yield Sample("callbridge_warnings", len(now.warnings))
    if fresh is not None:
        yield from _of_status(fresh)
        for source, refused in refusals.items():
            for code, webhooks in refused.counts.items():
                yield Sample("callbridge_refused_total", webhooks, (source, code))
    if now.ledger_problem is None:
        yield from _of_speed("1h", now.speed_1h)
        yield from _of_speed("24h", now.speed)
        yield from _of_ledger(now.standing)
        yield from _of_groups(now.groups)


def _of_status(status: Status) -> Iterator[Sample]:
    for state, calls in states(status.tally).items():
        yield Sample("callbridge_calls", calls, (state,))
    for account in status.tally.accounts:
        yield from _of_account(account)
    for source in status.tally.sources:
        yield from _of_source(source)
    yield Sample("callbridge_workers", sum(age <= GONE_AFTER for age in status.workers.values()))
    yield Sample("callbridge_durability", 1, (status.standing.level.value,))
    if status.standing.memory is not None:
        yield Sample("callbridge_redis_memory_ratio", status.standing.memory)
    for host, report in status.spools.items():
        yield Sample("callbridge_spool_waiting", report.standing.waiting, (host,))


def _of_account(account: AccountTally) -> Iterator[Sample]:
    name = (account.account,)
    yield Sample("callbridge_waiting", account.waiting, name)
    yield Sample("callbridge_uncertain", account.uncertain, name)
    yield Sample("callbridge_parked", account.parked, name)
    yield Sample("callbridge_oldest_waiting_seconds", account.oldest_waiting or 0.0, name)
    yield Sample("callbridge_account_pace_ratio", account.pace, name)
    yield Sample("callbridge_breaker_open", float(account.breaker.state is not Phase.CLOSED), name)
    if account.pause:
        yield Sample("callbridge_account_paused", 1, (account.account, account.pause.reason.value))
    yield Sample("callbridge_account_requests_per_second", account.used, name)
    yield Sample("callbridge_account_slowed_total", account.slowed_times, name)


def _of_source(source: SourceTally) -> Iterator[Sample]:
    yield Sample("callbridge_received_total", source.counts.get("stored", 0), (source.source,))
    yield Sample("callbridge_source_silent_seconds", source.last_seen, (source.source,))
    for kind, webhooks in source.counts.items():
        yield Sample("callbridge_webhooks_total", webhooks, (source.source, kind))


def _of_speed(window: str, speed: Speed | None) -> Iterator[Sample]:
    if speed is None:
        return
    yield Sample("callbridge_delivered", speed.delivered, (window,))
    if speed.in_time is not None:
        yield Sample("callbridge_in_time_ratio", speed.in_time, (window,))
    for quantile, seconds in (("0.5", speed.p50), ("0.95", speed.p95)):
        if seconds is not None:
            yield Sample("callbridge_latency_seconds", seconds, (window, quantile))


def _of_ledger(standing: LedgerStanding | None) -> Iterator[Sample]:
    if standing is not None:
        yield Sample("callbridge_ledger_calls", standing.calls)
        yield Sample("callbridge_ledger_behind", standing.behind)
        yield Sample("callbridge_ledger_lag_seconds", standing.lag)


def _of_groups(groups: Iterable[ErrorGroup]) -> Iterator[Sample]:
    for group in groups:
        yield Sample("callbridge_dead_group_calls", group.calls, (group.account, group.reason))


# --- from samples to text --------------------------------------------------------------------------------------------


def bounded(samples: Iterable[Sample]) -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """By name and labels. The first `MOST` values of a label, by alphabet, stand; those of the rest come together."""
    rows = list(samples)
    seen: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for label, value in zip(_BY_NAME[row.name].labels, row.labels, strict=True):
            seen.setdefault((row.name, label), set()).add(value)
    kept = {key: frozenset(sorted(values)[:MOST]) for key, values in seen.items()}
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for row in rows:
        figure = _BY_NAME[row.name]
        labels = tuple(
            value if value in kept[row.name, label] else OTHER
            for label, value in zip(figure.labels, row.labels, strict=True)
        )
        values = found.setdefault(row.name, {})
        before = values.get(labels)
        if before is None:
            values[labels] = row.value
        else:
            values[labels] = max(before, row.value) if figure.together == "max" else before + row.value
    return found


class _Collected:
    """What was gathered for one scrape, as prometheus_client wants it."""

    def __init__(self, found: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        for figure in METRICS:
            family: GaugeMetricFamily | CounterMetricFamily
            match figure.kind:
                case "gauge":
                    family = GaugeMetricFamily(figure.name, figure.words, labels=figure.labels)
                case "counter":
                    family = CounterMetricFamily(figure.name, figure.words, labels=figure.labels)
            for labels, value in sorted(self._found.get(figure.name, {}).items()):
                family.add_metric(labels, value)
            yield family


def rendered(now: Overview, refusals: Mapping[str, SourceRefusals]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collected(bounded(samples_of(now, refusals))))
    return generate_latest(registry)


# --- over HTTP -------------------------------------------------------------------------------------------------------


async def show_metrics(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    now = await console.overviews.latest()
    try:
        refusals = await console.refusals.read()
    except StoreUnavailable:  # the overview may be a second older than that
        now, refusals = replace(now, store_problem=now.store_problem or "away"), {}
    return web.Response(body=rendered(now, refusals), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4})


async def alive(_request: web.Request) -> web.StreamResponse:
    return _plain({"ok": True})


async def ready(request: web.Request) -> web.StreamResponse:
    """Whether pages can show anything true: Redis and the ledger answer. Says no more than that to anybody."""
    now = await request.app[CONSOLE].overviews.latest()
    parts = {"redis": now.store_problem is None, "ledger": now.ledger_problem is None}
    if all(parts.values()):
        return _plain({"ok": True, **parts})
    return problem("ledger_unavailable" if parts["redis"] else "store_unavailable", more={"ok": False, **parts})


def _plain(told: Mapping[str, object]) -> web.Response:
    return web.Response(body=orjson.dumps(told), headers={hdrs.CONTENT_TYPE: "application/json"})


ROUTES: Final = (
    Route("GET", "/metrics", show_metrics, Role.VIEWER, kind="plain"),
    Route("GET", "/livez", alive, None, kind="plain"),
    Route("GET", "/readyz", ready, None, kind="plain"),
)
