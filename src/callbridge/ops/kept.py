"""What waits in the spools, in words [pure]: an acknowledged webhook that is on one host's disk only is a warning, and one
that stays there a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from callbridge.store.spools import SpoolReport
from callbridge.store.trouble import Trouble, words_for

MOVES_WITHIN: Final = 300.0
"""Seconds after which what waits in a spool should be in Redis, where Redis answers."""

SILENT_AFTER: Final = 120.0
"""Seconds without a word from a host with a spool; a receiver tells every half minute."""


def of_spools(spools: Mapping[str, SpoolReport], now: float) -> tuple[list[str], list[str]]:
    """Problems and warnings."""
    problems: list[str] = []
    warnings: list[str] = []
    for host, report in sorted(spools.items()):
        standing = report.standing
        if report.problem:
            problems.append(f"the spool of {host} cannot be read: {report.problem}")
        if standing.waiting:
            age = now - (standing.oldest_at or now)
            told = f"{_webhooks(standing.waiting)} in the spool of {host}, the oldest for {age:.0f} s"
            silent = now - report.told_at
            if silent > SILENT_AFTER:
                problems.append(f"{told}; no word from it for {silent:.0f} s: start a receiver there")
            else:
                (problems if age > MOVES_WITHIN else warnings).append(told)
        if standing.damaged:
            files = "1 file is" if standing.damaged == 1 else f"{standing.damaged} files are"
            warnings.append(
                f"{files} set aside as damaged in the spool of {host}: spool.damaged-N, delete when looked at"
            )
    return problems, warnings


def as_json(spools: Mapping[str, SpoolReport]) -> list[dict[str, Any]]:
    return [
        {
            "host": host,
            "waiting": report.standing.waiting,
            "oldest_at": report.standing.oldest_at,
            "damaged": report.standing.damaged,
            "told_at": report.told_at,
            "problem": report.problem,
        }
        for host, report in sorted(spools.items())
    ]


@dataclass(frozen=True, slots=True)
class Away:
    """What can be said without Redis: why it is away, and what this host keeps meanwhile."""

    why: str
    trouble: Trouble | None
    spools: Mapping[str, SpoolReport]
    now: float

    @property
    def sentence(self) -> str:
        waiting = sum(report.standing.waiting for report in self.spools.values())
        kept = f"; {_webhooks(waiting)} in the spool of this host" if waiting else ""
        what = words_for(self.trouble) if self.trouble else self.why.rstrip(".")
        return f"Needs attention: {what}{kept}."

    @property
    def problems(self) -> list[str]:
        return [self.why, *of_spools(self.spools, self.now)[0]]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": False,
            "summary": self.sentence,
            "problems": self.problems,
            "warnings": of_spools(self.spools, self.now)[1],
            "durability": "unknown",
            "trouble": self.trouble,
            "spools": as_json(self.spools),
            "states": None,
        }


def _webhooks(count: int) -> str:
    return "1 acknowledged webhook waits" if count == 1 else f"{count} acknowledged webhooks wait"
