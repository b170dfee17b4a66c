"""Which calls a source does not want in the CRM [pure]: too short, missed, internal, or with a number on its ignore list.

Asked when a call is about to be sent, not when it is received: before that a better leg may take its place, and a missed call
that is answered in its next leg was no missed call. What it drops stays visible as ignored, with the reason. Whether a number
could be anybody's phone is the CRM's matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from callbridge.call import Call, CallStatus, Direction, phone_tail
from callbridge.outcome import NotForCrm, Reason


@dataclass(frozen=True, slots=True)
class Rules:
    """What one source wants. `ignored` are last ten digits, `ignored_beginnings` the first digits of one as it is dialled.

    `min_duration` is about talks: an unanswered call is short by nature. A message that was left is no missed call; somebody
    wants to be called back.
    """

    min_duration: float = 0.0
    post_missed: bool = True
    post_internal: bool = False
    ignored: frozenset[str] = frozenset()
    ignored_beginnings: tuple[str, ...] = ()


def rules(*, min_duration: float, post_missed: bool, post_internal: bool, ignore_numbers: Iterable[str]) -> Rules:
    """Rules from settings as people write them: `+7 495 123-45-67` is a number, `8800*` a beginning. What has no digit in it
    is neither.
    """
    numbers = [(_digits(written), written.rstrip().endswith("*")) for written in ignore_numbers]
    return Rules(
        min_duration,
        post_missed,
        post_internal,
        ignored=frozenset(phone_tail(digits) for digits, begins in numbers if digits and not begins),
        ignored_beginnings=tuple(digits for digits, begins in numbers if digits and begins),
    )


def unwanted(call: Call, rules: Rules) -> Reason | None:
    """Why this call is not sent; None for one that is."""
    if call.direction is Direction.INTERNAL and not rules.post_internal:
        return Reason.INTERNAL_CALL
    if phone_tail(call.phone) in rules.ignored or _digits(call.phone).startswith(rules.ignored_beginnings):
        return Reason.IGNORED_NUMBER
    if call.status is CallStatus.ANSWERED:
        return Reason.TOO_SHORT if call.duration < rules.min_duration else None
    return Reason.MISSED_CALL if not rules.post_missed and call.status is not CallStatus.VOICEMAIL else None


def selected(call: Call, rules: Rules) -> Call | NotForCrm:
    """The call as it is sent, or why it is not. Of a call between two employees the CRM is told by the one who called."""
    if reason := unwanted(call, rules):
        return NotForCrm(reason)
    return replace(call, direction=Direction.OUTBOUND) if call.direction is Direction.INTERNAL else call


def _digits(number: str) -> str:
    return "".join(character for character in number if character in "0123456789")
