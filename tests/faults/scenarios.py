"""Every scenario by its name, as it runs in full and, bounded, with the tests: what `python -m faults.storm` chooses from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from faults.crash_storms import n1_crash_storm, n2_pause_storm, n3_late_commit, n4_accept_crash
from faults.disk_storms import n5_power_cuts, n19_torn_files
from faults.door_storms import n11_flood, n12_repetitions, n13_hostile_bodies, n14_slow_connections
from faults.failover_storms import n6_failovers
from faults.outage_storms import n7_redis_away, n8_memory_full, n10_long_outage
from faults.people_storms import n15_rolling_restarts, n17_two_operators
from faults.report import Report
from faults.soak import soak
from faults.token_chaos import n16_token_chaos


class Scenario(Protocol):
    def __call__(self, directory: Path, seed: int) -> Awaitable[Report]: ...


Parts = dict[str, Scenario]
"""A scenario may have several parts, each with a town of its own."""

FULL: Final[dict[str, Parts]] = {
    "N1": {"": partial(n1_crash_storm, calls=20_000, kills=200, redis_kills=6)},
    "N2": {"": partial(n2_pause_storm, calls=8_000, pauses=80)},
    "N3": {"": partial(n3_late_commit, calls=200, late=3.0, settle="5s")},
    "N4": {"": partial(n4_accept_crash, calls=10_000, kills=100)},
    "N5": {level: partial(n5_power_cuts, level=level, cuts=10) for level in ("always", "everysec")},
    "N6": {"spool": partial(n6_failovers, rounds=10, spool=True), "503": partial(n6_failovers, rounds=10, spool=False)},
    "N7": {"": partial(n7_redis_away, away=60, restarts=3, wire=4, rate=20)},
    "N8": {"spool": partial(n8_memory_full, spool=True), "503": partial(n8_memory_full, spool=False)},
    "N10": {
        "402": partial(n10_long_outage, trouble="402", hours=72, step=2),
        "away": partial(n10_long_outage, trouble="away", hours=72, step=2),
        "ban": partial(n10_long_outage, trouble="ban", hours=10, step=0.5),
    },
    "N11": {"": partial(n11_flood, seconds=20, connections=300)},
    "N12": {"": partial(n12_repetitions)},
    "N13": {"": partial(n13_hostile_bodies, bodies=10_000)},
    "N14": {"": partial(n14_slow_connections, connections=1_000)},
    "N15": {"": partial(n15_rolling_restarts, restarts=50)},
    "N16": {
        "strict": partial(n16_token_chaos, crashes=100, strict=True),
        "grace": partial(n16_token_chaos, crashes=100, strict=False),
    },
    "N17": {"": partial(n17_two_operators, calls=5_000, kills=20)},
    "N19": {"": partial(n19_torn_files, files=150, steps=2_000)},
}

SMALL: Final[dict[str, Parts]] = {  # N6 and N16 have bounded tests of their own
    "N1": {"": partial(n1_crash_storm, calls=1_000, kills=12, redis_kills=2, offices=4)},
    "N2": {"": partial(n2_pause_storm, calls=300, pauses=6)},
    "N3": {"": partial(n3_late_commit, calls=60, late=1.5, settle="2500ms")},
    "N4": {"": partial(n4_accept_crash, calls=1_000, kills=8)},
    "N5": {level: partial(n5_power_cuts, level=level, cuts=2) for level in ("always", "everysec")},
    "N7": {"": partial(n7_redis_away, away=3, restarts=1, wire=1.2, rate=20, within=5.0)},
    "N8": {
        "spool": partial(n8_memory_full, spool=True, extra=700_000),
        "503": partial(n8_memory_full, spool=False, extra=700_000),
    },
    "N10": {
        "402": partial(n10_long_outage, trouble="402", hours=72, step=18),
        "away": partial(n10_long_outage, trouble="away", hours=72, step=18),
    },
    "N11": {"": partial(n11_flood, seconds=3, connections=150, within=5.0)},
    "N12": {"": partial(n12_repetitions)},
    "N13": {"": partial(n13_hostile_bodies, bodies=1_000)},
    "N14": {"": partial(n14_slow_connections, connections=200, closed_in=30.0, calls=60)},
    "N15": {"": partial(n15_rolling_restarts, restarts=6)},
    "N17": {"": partial(n17_two_operators, calls=800, kills=5)},
    "N19": {"": partial(n19_torn_files, files=12)},
}


def soak_of(minutes: float) -> Callable[[Path, int], Awaitable[Report]]:
    return partial(soak, minutes=minutes)
