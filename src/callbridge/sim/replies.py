"""What the client gets of an answer [pure]: all of it, pieces, half, garbage, or nothing.

Apart from `wire`, which does it to the connection, so that the decision can be tested without one; apart from the endpoints,
which never know that their answer was lost.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from callbridge.sim.answers import Answer, broken, maintenance_page, no_content
from callbridge.sim.faults import ArmedFault


@dataclass(frozen=True, slots=True)
class Whole:
    answer: Answer


@dataclass(frozen=True, slots=True)
class Pieces:
    """Chunked where no time is given; else with a length, spread over `seconds`."""

    answer: Answer
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CutOff:
    """The head promises the whole body; half of it comes before the connection closes."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Reset:
    pass


@dataclass(frozen=True, slots=True)
class Garbage:
    pass


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is ever sent; `then` happens after `seconds`, even if the client has left."""

    seconds: float
    then: Callable[[], object]


Reply = Whole | Pieces | CutOff | Reset | Garbage | Silence


def end(answer: Answer, ending: ArmedFault | None, trace_id: str) -> Reply:
    """What an "ending" fault makes of an answer. `late-commit` is not among them: it has no answer."""
    if ending is None:
        return Whole(answer)
    if made := _ENDINGS.get(ending.name):
        return made(answer, ending)
    return Whole(broken(int(ending.name[:3]), trace_id))


def _compressed(answer: Answer) -> Answer:
    headers = (*answer.headers, ("Content-Encoding", "gzip"))
    return replace(answer, body=gzip.compress(answer.body, 1, mtime=0), headers=headers)


_ENDINGS: dict[str, Callable[[Answer, ArmedFault], Reply]] = {
    "reset-after": lambda _answer, _: Reset(),
    "garbage": lambda _answer, _: Garbage(),
    "truncate": lambda answer, _: CutOff(answer),
    "truncate-json": lambda answer, _: Whole(replace(answer, body=answer.body[: len(answer.body) // 2])),
    "html-200": lambda _answer, _: Whole(maintenance_page()),
    "empty-200": lambda answer, _: Whole(replace(answer, status=200, body=b"")),
    "204": lambda _answer, _: Whole(no_content()),
    "gzip": lambda answer, _: Whole(_compressed(answer)),
    "chunked": lambda answer, _: Pieces(answer),
    "drip": lambda answer, ending: Pieces(answer, ending.number),
}


def status_of(reply: Reply) -> int | None:
    """What the client can read of it as a status."""
    match reply:
        case Whole(answer) | Pieces(answer) | CutOff(answer):
            return answer.status
        case Reset() | Garbage() | Silence():
            return None
        case _:
            assert_never(reply)
