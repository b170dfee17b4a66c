"""Invented calls of an office, as its PBX would report them: varied, and the same for the same seed.

Apart from the speakers, which know how one PBX talks: this module decides who calls whom, for how long and how it ends, and
in which order and how often the PBX gets around to saying so. It knows stories and what is told of them, no PBX.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from callbridge.sim.speakers import TELL_INTERNAL
from callbridge.sim.speakers.base import Credentials, SignedWebhook, Speaker, Story, Told

EXTENSIONS: Final = ("101", "102", "104", "110")
LINE: Final = "+74955550100"

_ANSWERED: Final = "answered"
_UNANSWERED: Final = ("voicemail", "unavailable", "wrong_number", "no_answer", "no_answer", "no_answer", "busy")

LATEST: Final = 8
"""Calls after its own at which a late recording still comes."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What the traffic is made of, as shares of the calls; those of recordings are shares of the recorded calls. A
    recording that is neither sooner than its call, late (some calls later) nor never told comes right after its call.
    """

    duplicates: float = 0.0
    unknown: float = 0.0
    recordings: float = 0.3
    sooner: float = 0.0
    late: float = 0.0
    never: float = 0.0
    transferred: float = 0.0
    internal: float = 0.0

    def __post_init__(self) -> None:
        if (
            not all(0 <= getattr(self, share) <= 1 for share in self.__slots__)
            or self.sooner + self.late + self.never > 1
        ):
            raise ValueError("a share is between 0 and 1")


CALM: Final = Mix()


def stories(
    count: int, *, now: Callable[[], float], seed: int, numbers: Sequence[str], mix: Mix = CALM, internal: bool = True
) -> Iterator[Story]:
    """`count` calls that have just ended by the clock `now`. Two seeds never share a `ref`. `numbers` are those that the CRM
    knows; without any everybody is a stranger. `internal`: whether the PBX tells calls between employees.
    """
    dice = Random(seed)  # noqa: S311 - invented calls are no secrets
    for index in range(count):
        yield _invented(dice, f"sim-{seed:x}-{index}", int(now()), numbers, mix, internal=internal)


def traffic(
    speaker: Speaker,
    credentials: Credentials,
    count: int,
    *,
    now: Callable[[], float],
    seed: int,
    numbers: Sequence[str],
    mix: Mix = CALM,
    skew: float = 0.0,
) -> Iterator[SignedWebhook]:
    """The webhooks of `count` calls: one for each, more where it is recorded, has legs or comes twice. `skew` is by how many
    seconds the PBX's clock is ahead of `now`: both what it tells and what it signs are off by that much.
    """

    def clock() -> float:
        return now() + skew

    lots = Random(f"told {seed}")  # noqa: S311 - likewise
    invented = stories(count, now=clock, seed=seed, numbers=numbers, mix=mix, internal=speaker.name in TELL_INTERNAL)
    calls = (speaker.tell(story, credentials.timezone) for story in invented)
    for name, told in _in_order(calls, lots, mix):
        webhook = speaker.sign(told, credentials, now=clock(), message_id=f"msg_{seed:x}_{name}")
        yield webhook
        if lots.random() < mix.duplicates:
            yield webhook


def _invented(dice: Random, ref: str, now: int, numbers: Sequence[str], mix: Mix, *, internal: bool) -> Story:
    answered = dice.random() < 0.7
    talk = min(3_600, int(dice.lognormvariate(4.2, 1.0)) + 1) if answered else 0
    ringing = dice.randint(2, 40)
    between_us = dice.random() < mix.internal and internal
    extension, colleague = dice.sample(EXTENSIONS, 2)
    stranger = not numbers or dice.random() < mix.unknown
    phone = f"+7988{dice.randrange(10_000_000):07d}" if stranger else dice.choice(numbers)
    return Story(
        ref=ref,
        inbound=dice.random() < 0.65 and not between_us,
        phone=colleague if between_us else phone,
        extension=extension,
        line=LINE,
        started=now - talk - ringing,
        ringing=ringing,
        talk=talk,
        status=_ANSWERED if answered else dice.choice(_UNANSWERED),
        recorded=answered and dice.random() < mix.recordings,
        transferred=answered and dice.random() < mix.transferred and not between_us,
        internal=between_us,
    )


def _in_order(calls: Iterable[list[Told]], lots: Random, mix: Mix) -> Iterator[tuple[str, Told]]:
    """All that is told, each thing with a name of its own, recordings where `mix` puts them among the calls."""
    waiting: list[tuple[int, str, Told]] = []
    for index, call in enumerate(calls):
        at_once, recordings = ([one for one in _named(index, call) if one[1].late is late] for late in (False, True))
        lot, due = lots.random(), index + lots.randint(1, LATEST)
        if lot < mix.sooner:
            yield from recordings
        yield from at_once
        if mix.sooner <= lot < mix.sooner + mix.late:
            for name, told in recordings:
                heapq.heappush(waiting, (due, name, told))
        elif lot >= mix.sooner + mix.late + mix.never:
            yield from recordings
        while waiting and waiting[0][0] <= index:
            yield heapq.heappop(waiting)[1:]
    while waiting:
        yield heapq.heappop(waiting)[1:]


def _named(index: int, call: list[Told]) -> Iterator[tuple[str, Told]]:
    for part, told in enumerate(call):
        yield f"{index}_{part}", told
