"""When a problem is told, and when its end is [pure].

Per cause, on transitions only: a problem that lasts is told once, its end once. What comes and goes within `after` seconds is
not told at all, neither is a relapse within that time: then nothing had ended. What is known is a value that its keeper
stores, so a restart tells nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from callbridge.ledger.views import KnownProblem


@dataclass(frozen=True, slots=True)
class Trouble:
    """One problem as it stands now. `cause` is the same for as long as it is the same problem, and holds no number that
    moves; `path` leads to where the console shows it.
    """

    cause: str
    detail: str
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Began:
    known: KnownProblem


@dataclass(frozen=True, slots=True)
class Ended:
    """`lasted` in seconds."""

    known: KnownProblem
    lasted: float


News = Began | Ended


def step(
    known: Mapping[str, KnownProblem], troubles: Mapping[str, Trouble], *, now: float, after: float
) -> tuple[dict[str, KnownProblem], tuple[News, ...]]:
    """What is known after a look that found `troubles`, by cause, and what is to be told because of it."""
    then: dict[str, KnownProblem] = {}
    news: list[News] = []
    for cause in sorted(known.keys() | troubles.keys()):
        before, trouble = known.get(cause), troubles.get(cause)
        if trouble is not None:
            here = _lasting(before, trouble, now)
            if here.told_at is None and now - here.since >= after:
                here = replace(here, told_at=now)
                news.append(Began(here))
            then[cause] = here
        elif before is not None and before.told_at is not None:
            gone = before if before.gone_since is not None else replace(before, gone_since=now)
            if gone.gone_since is not None and now - gone.gone_since >= after:
                news.append(Ended(gone, max(0.0, gone.gone_since - gone.since)))
            else:
                then[cause] = gone
    return then, tuple(news)


def _lasting(before: KnownProblem | None, trouble: Trouble, now: float) -> KnownProblem:
    if before is None:
        return KnownProblem(trouble.cause, trouble.detail, trouble.path, since=now)
    return replace(before, detail=trouble.detail, path=trouble.path, gone_since=None)
