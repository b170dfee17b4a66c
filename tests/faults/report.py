"""What a scenario has to say: its figures, and what does not add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faults.checker import Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """`figures` in the order in which they are printed; empty `violations`: the promise held."""

    name: str
    promise: str
    seed: int
    figures: Mapping[str, object]
    violations: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.violations


def reported(name: str, promise: str, seed: int, verdict: Verdict, *more: str, **figures: object) -> Report:
    told = {"lost": verdict.lost, "doubled": verdict.doubled, "stuck": verdict.stuck} | figures
    return Report(name, promise, seed, told, (*verdict.violations, *more))
