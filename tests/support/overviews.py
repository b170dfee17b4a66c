"""Overviews as the console would compute them: figures made up, judged by the real judgement."""

from __future__ import annotations

import math
from typing import Any

from callbridge.breaker import Phase
from callbridge.ledger.views import ErrorGroup, LedgerStanding, Point, Speed
from callbridge.ops.health import Status
from callbridge.ops.overview import Overview
from callbridge.ops.verdict import judged
from callbridge.outcome import PauseReason
from callbridge.store.durability import Standing, Worth
from callbridge.store.tally import AccountTally, BreakerTally, Pause, Slowed, SourceTally, Tally

NOW = 1_790_000_000.0
NOTHING = dict.fromkeys(
    ("queued", "retrying", "sending", "uncertain", "parked", "delivered", "unmatched", "dead", "ignored"), 0
)


def a_tally(**parts: Any) -> Tally:
    given: dict[str, Any] = {
        "queued": 12, "retrying": 3, "sending": 20, "uncertain": 0, "parked": 41, "delivered": 128_432, "unmatched": 902,
        "dead": 0, "ignored": 5_521,
        "accounts": (AccountTally("main", 35, 0, 41, 1.4, None, used=4.2),),
        "sources": (SourceTally("office", 2.0, {"stored": 134_931, "duplicate": 1_312}),),
    }  # fmt: skip
    return Tally(**given | parts)


def a_status(tally: Tally | None = None, **parts: Any) -> Status:
    given: dict[str, Any] = {
        "sentence": "", "problems": (), "warnings": (), "standing": Standing(Worth.ALWAYS, (), (), replicas=1, memory=0.31),
        "tally": tally or a_tally(), "workers": {"worker-7f31": 1.1}, "configured": frozenset({"main"}),
    }  # fmt: skip
    return Status(**given | parts)


def an_hour() -> tuple[Point, ...]:
    first = NOW // 60 * 60 - 59 * 60
    return tuple(
        Point(
            first + 60 * step,
            {"received": 30 + int(20 * math.sin(step / 6)), "delivered": 28, "unmatched": step % 2, "dead": 0},
        )
        for step in range(60)
    )


def an_overview(status: Status | None = None, **parts: Any) -> Overview:
    """`status` None: that of a good day. What is not given is as it would be then."""
    given: dict[str, Any] = {
        "status": status or a_status(), "store_problem": None, "ledger_problem": None, "stale_since": None,
        "speed": Speed(12_000, 1.1, 4.2, 0.987), "speed_1h": Speed(900, 1.0, 3.1, 0.996), "chart": an_hour(), "groups": (),
        "standing": LedgerStanding("0005", "0005", 134_900, 0, 0.0, NOW, 812_345),
    } | parts  # fmt: skip
    judgement = judged(
        given["status"], given["groups"], given["speed_1h"], given["standing"], NOW,
        store_problem=given["store_problem"], ledger_problem=given["ledger_problem"],
    )  # fmt: skip
    told = {"verdict": judgement.verdict, "sentence": judgement.sentence}
    return Overview(at=NOW, problems=judgement.problems, warnings=judgement.warnings, **told, **given)


def a_bad_day(text: str = "text", name: str = "main", code: str = "of_tomorrow") -> Overview:
    """Everything at once that outside text can be in: `text` as others wrote it, `name` as an account, source or host, `code`
    as a reason that this version does not know.
    """
    pause = Pause(PauseReason.BANNED, text, NOW - 1900, 1700.0)
    by_hand = Pause(PauseReason.MANUAL, text, NOW - 60, None, owner=text)
    breaker = BreakerTally(Phase.OPEN, text, NOW - 90, 90.0, 12.0)
    accounts = (
        AccountTally(name, 3120, 2, 30, 1920.0, pause, leads_closed=text),
        AccountTally(f"{name}-hand", 4, 0, 0, 9.0, by_hand),
        AccountTally(f"{name}-open", 4, 0, 0, 9.0, None, Slowed(text, 7, 12.0), breaker=breaker),
        AccountTally(
            f"{name}-slow", 4, 0, 0, 9.0, None, Slowed(text, 1, 12.0), pace=0.5, slowed_times=14, slowed_at=NOW - 600
        ),
    )
    tally = a_tally(
        queued=3100, uncertain=2, dead=77, accounts=accounts, sources=(SourceTally(name, 2.0, {"stored": 3}),)
    )
    standing = Standing(Worth.EVERYSEC, (text,), (text,), (text,), memory=0.7)
    groups = (
        ErrorGroup(name, "refused_by_crm", "a1b2c3d4e5f6", 73, NOW - 9e4, NOW - 120, text, "open", None, None, None),
        ErrorGroup(name, code, "b1b2c3d4e5f6", 4, NOW - 9e4, NOW - 4000, text, "open", None, None, None),
    )
    configured = frozenset(account.account for account in accounts)
    status = a_status(tally, standing=standing, workers={name: 1.0, f"{name}-2": 90.0}, configured=configured)
    return an_overview(status, groups=groups)
