"""How long to wait before the next try [pure]; seconds everywhere, `jitter` drawn from [0, 1) by the caller.

a call that was read back as absent      full jitter, 2 s doubling to 5 min, by its attempts
an account that does not answer          full jitter, 1 s doubling to 1 min, by failures in a row
an account that said "slower"            what it said, at least 1 s and at most 1 h; else 1 s doubling to 5 min
a call without a contact                 30 s, 2 min, 5 min, 15 min, then every hour until the window closes
"""

from __future__ import annotations

from typing import Final

RETRY_BASE: Final = 2.0
RETRY_CAP: Final = 300.0
OUTAGE_BASE: Final = 1.0
OUTAGE_CAP: Final = 60.0
SLOWER_CAP: Final = 300.0
RETRY_AFTER_BOUNDS: Final = (1.0, 3600.0)
PARK_STEPS: Final = (30.0, 120.0, 300.0, 900.0, 3600.0)


def full_jitter(failures: int, jitter: float, *, base: float, cap: float) -> float:
    """Anywhere between zero and a bound that doubles with each failure, so that a crowd does not come back together."""
    return jitter * min(cap, base * (1 << min(max(failures, 1) - 1, 30)))


def retry_in(attempts: int, jitter: float) -> float:
    return full_jitter(attempts, jitter, base=RETRY_BASE, cap=RETRY_CAP)


def outage_wait(failures: int, jitter: float) -> float:
    return full_jitter(failures, jitter, base=OUTAGE_BASE, cap=OUTAGE_CAP)


def slower_wait(told: float | None, failures: int, jitter: float) -> float:
    """`told` is what the CRM asked for, if it did. A nonsense value is clamped, never obeyed."""
    lowest, highest = RETRY_AFTER_BOUNDS
    if told is not None:
        return min(highest, max(lowest, told))
    # Half of it is certain: asked again and again to slow down, a sender that sometimes does not ends up banned.
    bound = min(SLOWER_CAP, OUTAGE_BASE * (1 << min(failures + 1, 30)))
    return max(lowest, bound * (1 + jitter) / 2)


def park_for(parks: int, since: float, now: float, window: float) -> float | None:
    """Seconds until a call without a contact is tried again; None once its window has closed. The last try is at the end."""
    left = since + window - now
    if left <= 0:
        return None
    return min(left, PARK_STEPS[min(parks, len(PARK_STEPS) - 1)])
