"""Metrics: registered names, bounded labels, no number, true also while a part is away."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families

from callbridge.breaker import Phase
from callbridge.ledger.views import Speed
from callbridge.ops import metrics
from callbridge.ops.metrics import METRICS, MOST, Sample, bounded, rendered
from callbridge.ops.who import Role
from callbridge.outcome import PauseReason
from callbridge.store.refusals import SourceRefusals
from callbridge.store.spool import SpoolStanding
from callbridge.store.spools import SpoolReport
from callbridge.store.tally import BreakerTally, Pause
from support.apidesk import NOW, PHONE, Desk, bearer, make_overview, make_status, make_tally


def parsed(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


REFUSED = {"office": SourceRefusals({"bad_signature": 4}, ({"at": NOW, "agent": f"ask {PHONE}"},))}


def busy_overview() -> Any:
    """One in which every metric has a value."""
    tally = make_tally()
    paused = replace(
        tally.accounts[0],
        pause=Pause(PauseReason.BANNED, f"banned, ask {PHONE}", NOW, 60.0),
        breaker=BreakerTally(Phase.OPEN, f"no answer for {PHONE}", NOW, 3.0, 1.0),
        used=4.5,
        slowed_times=7,
    )
    status = make_status(replace(tally, accounts=(paused,)))
    status = replace(status, standing=replace(status.standing, memory=0.25))
    spools = {"host-1": SpoolReport(SpoolStanding(5, NOW - 10, 0), NOW)}
    return make_overview(status=replace(status, spools=spools))


def test_every_registered_metric_is_told_and_nothing_else_is() -> None:
    names = {name for name, _ in parsed(rendered(busy_overview(), REFUSED))}
    assert names == {figure.name for figure in METRICS}


def test_the_figures_are_those_of_the_overview() -> None:
    told = parsed(rendered(busy_overview(), REFUSED))

    def value(name: str, **labels: str) -> float:
        return told[f"callbridge_{name}", tuple(sorted(labels.items()))]

    assert value("up", part="redis") == value("up", part="ledger") == 1
    assert value("calls", state="delivered") == 100
    assert value("received_total", source="office") == 10
    assert value("webhooks_total", source="office", kind="duplicate") == 2
    assert value("refused_total", source="office", code="bad_signature") == 4
    assert value("oldest_waiting_seconds", account="main") == 12.5
    assert value("account_paused", account="main", reason="banned") == 1
    assert value("account_requests_per_second", account="main") == 4.5
    assert value("account_slowed_total", account="main") == 7
    assert value("breaker_open", account="main") == 1
    assert value("workers") == 1
    assert value("durability", level="always") == 1
    assert value("spool_waiting", host="host-1") == 5
    assert value("latency_seconds", window="24h", quantile="0.95") == 9.0
    assert value("in_time_ratio", window="1h") == 1.0
    assert value("ledger_lag_seconds") == 0.5


@pytest.mark.parametrize(
    ("away", "part", "other"), [("store_problem", "redis", "ledger"), ("ledger_problem", "ledger", "redis")]
)
async def test_a_part_that_is_away_is_told_and_its_figures_are_left_out(
    client: TestClient, desk: Desk, away: str, part: str, other: str
) -> None:
    desk.overviews.now = make_overview(**{away: "it does not answer"})  # with the last good figures still in it
    async with client.get("/metrics", headers=bearer(Role.VIEWER)) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        told = parsed(await answer.read())
    assert told["callbridge_up", (("part", part),)] == 0
    assert told["callbridge_up", (("part", other),)] == 1
    gone = {"redis": "callbridge_waiting", "ledger": "callbridge_ledger_lag_seconds"}
    names = {name for name, _ in told}
    assert gone[part] not in names and gone[other] in names


async def test_redis_that_goes_away_within_a_scrape_is_away(client: TestClient, desk: Desk) -> None:
    desk.refusals.away = True
    async with client.get("/metrics", headers=bearer(Role.VIEWER)) as answer:
        told = parsed(await answer.read())
    assert told["callbridge_up", (("part", "redis"),)] == 0
    assert "callbridge_waiting" not in {name for name, _ in told}


def test_the_figures_of_a_thousand_accounts_and_sources_are_bounded_and_none_is_lost() -> None:
    names = [f"a{number:04d}" for number in range(1000)]
    told = parsed(rendered(make_overview(status=make_status(make_tally(names, names))), {}))
    waiting = {labels[0][1]: value for (name, labels), value in told.items() if name == "callbridge_waiting"}
    assert len(waiting) == MOST + 1
    assert sum(waiting.values()) == 3000
    assert waiting["other"] == 3 * (1000 - MOST)
    oldest = {labels: value for (name, labels), value in told.items() if name == "callbridge_oldest_waiting_seconds"}
    assert oldest[("account", "other"),] == 12.5
    assert len(told) < 3000


def test_no_number_and_no_words_of_others_are_in_a_scrape() -> None:
    text = rendered(busy_overview(), REFUSED).decode()
    assert "4567" not in text and "ask" not in re.sub(r"# .*", "", text)


def test_names_follow_the_conventions_that_scrapers_expect() -> None:
    assert len({figure.name for figure in METRICS}) == len(METRICS)
    for figure in METRICS:
        assert re.fullmatch(r"callbridge_[a-z0-9_]+", figure.name) and figure.words.endswith(".")
        assert figure.name.endswith("_total") == (figure.kind == "counter")
        assert not figure.name.endswith(("_ms", "_milliseconds", "_percent"))


def test_hostile_labels_are_escaped() -> None:
    rows = [Sample("callbridge_waiting", 1, ('a"} 5\ncallbridge_up{part="x',))]
    assert list(bounded(rows)["callbridge_waiting"].values()) == [1]
    tally = make_tally(['a"} 5\ncallbridge_up{part="x'])
    told = parsed(rendered(make_overview(status=make_status(tally)), {}))
    assert ("callbridge_up", (("part", "x"),)) not in told


def test_a_day_without_a_delivery_has_no_latency_rather_than_a_wrong_one() -> None:
    names = {name for name, _ in parsed(rendered(make_overview(speed=Speed(0, None, None, None), speed_1h=None), {}))}
    assert "callbridge_latency_seconds" not in names and "callbridge_delivered" in names


# --- who lives -------------------------------------------------------------------------------------------------------


async def test_metrics_want_a_viewer_and_probes_want_nobody(client: TestClient) -> None:
    assert {route.path: route.role for route in metrics.ROUTES} == {
        "/metrics": Role.VIEWER, "/livez": None, "/readyz": None,
    }  # fmt: skip
    for path, status in (("/metrics", 401), ("/livez", 200), ("/readyz", 200)):
        async with client.get(path) as answer:
            assert answer.status == status


@pytest.mark.parametrize("away", ["store_problem", "ledger_problem"])
async def test_a_console_without_redis_or_ledger_is_alive_and_not_ready(
    client: TestClient, desk: Desk, away: str
) -> None:
    desk.overviews.now = make_overview(**{away: "redis://user:sample-secret@10.0.0.1 does not answer"})
    async with client.get("/readyz") as answer:
        assert answer.status == 503
        text = await answer.text()
    assert "sample-secret" not in text and "10.0.0.1" not in text
    async with client.get("/livez") as answer:
        assert answer.status == 200
