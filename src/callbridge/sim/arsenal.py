"""The faults that are armed now [pure]: which of them strikes this request, and what is left of it afterwards.

Apart from the catalogue because this is the only place that counts. Time and lots come from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callbridge.sim.faults import ArmedFault, Scope, Stage


@dataclass(slots=True)
class _Armed:
    armed: ArmedFault
    left: int | None
    until: float | None
    struck: int = 0


def _everywhere(_: ArmedFault) -> bool:
    return True


class Arsenal:
    """Armed faults by name, in the order in which they were armed. `lot` returns a number in [0, 1)."""

    def __init__(self, lot: Callable[[], float]) -> None:
        self._lot = lot
        self._faults: dict[str, _Armed] = {}

    def arm(self, armed: ArmedFault, now: float) -> None:
        """Arming a name again replaces it."""
        until = now + armed.number if armed.name == "ban" and armed.number else None
        self._faults.pop(armed.name, None)
        self._faults[armed.name] = _Armed(armed, armed.times, until)

    def disarm(self, name: str | None = None) -> bool:
        """Clear one fault, or all; False where there was nothing to clear."""
        if name is not None:
            return self._faults.pop(name, None) is not None
        had_any = bool(self._faults)
        self._faults.clear()
        return had_any

    def held(self, name: str) -> ArmedFault | None:
        """The fault of this name, if it is armed; that does not use it up."""
        entry = self._faults.get(name)
        return entry.armed if entry else None

    def first(
        self, stage: Stage, kind: Scope, now: float, applies: Callable[[ArmedFault], bool] = _everywhere
    ) -> ArmedFault | None:
        """The fault of a "one" stage that strikes; the ones after it are left as they are."""
        for entry in self._of(stage, kind, now):
            if applies(entry.armed) and self._strikes(entry):
                return entry.armed
        return None

    def every(self, stage: Stage, kind: Scope, now: float) -> dict[str, ArmedFault]:
        """All faults of a stage that strike, by name."""
        return {entry.armed.name: entry.armed for entry in self._of(stage, kind, now) if self._strikes(entry)}

    def listing(self, now: float) -> list[dict[str, Any]]:
        self._expire(now)
        return [
            {
                "name": entry.armed.name,
                "scope": entry.armed.scope.value,
                "value": entry.armed.text or entry.armed.number or None,
                "times_left": entry.left,
                "share": entry.armed.share,
                "until": entry.until,
                "struck": entry.struck,
            }
            for entry in self._faults.values()
        ]

    def _of(self, stage: Stage, kind: Scope, now: float) -> list[_Armed]:
        if not self._faults:
            return []
        self._expire(now)
        return [
            entry
            for entry in self._faults.values()
            if entry.armed.fault.stage is stage and _covers(entry.armed.scope, kind)
        ]

    def _strikes(self, entry: _Armed) -> bool:
        if entry.armed.share is not None and self._lot() >= entry.armed.share:
            return False
        entry.struck += 1
        if entry.left is not None:
            entry.left -= 1
            if not entry.left:
                del self._faults[entry.armed.name]
        return True

    def _expire(self, now: float) -> None:
        for name in [name for name, entry in self._faults.items() if entry.until is not None and entry.until <= now]:
            del self._faults[name]


def _covers(scope: Scope, kind: Scope) -> bool:
    """`kind` is what the request is: calls, incoming leads, another write, or a read."""
    match scope:
        case Scope.ALL:
            return True
        case Scope.WRITES:
            return kind in {Scope.CALLS, Scope.LEADS, Scope.WRITES}
        case Scope.CALLS | Scope.LEADS | Scope.READS | Scope.TOKENS:
            return kind is scope
