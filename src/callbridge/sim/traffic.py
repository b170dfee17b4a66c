"""Invented calls of an office, as its PBX would report them: varied, and the same for the same seed.

Apart from `pbx`, which signs: this module decides who calls whom, for how long and how it ends, and writes it in the words of
the provider. Some calls get a recording, some webhooks come twice, some numbers nobody knows, as far as it is asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson

from callbridge.sim.pbx import Credentials, MangoEvent, SignedWebhook, sign

EXTENSIONS = ("101", "102", "104", "110")
LINE = "+74955550100"

_ANSWERED, _VOICEMAIL = "answered", "voicemail"
_UNANSWERED = (_VOICEMAIL, "unavailable", "wrong_number", "no_answer", "no_answer", "no_answer", "busy")
_NUMBERS = {_VOICEMAIL: 1, "unavailable": 3, _ANSWERED: 4, "wrong_number": 5, "no_answer": 6, "busy": 7}
_RESULTS = ("Agreed on a visit", "Asked for a quote", "Перезвонит завтра", "Wants the manager", "Заказ №1042 оформлен")
_MANGO_REASONS = {_ANSWERED: 1120, "unavailable": 1124, "wrong_number": 1133, "busy": 1121}


@dataclass(frozen=True, slots=True)
class _Story:
    """One call, before it is told in a provider's words."""

    ref: str
    inbound: bool
    phone: str
    extension: str
    started: int
    ringing: int
    talk: int
    status: str
    recorded: bool


def traffic(
    provider: str,
    credentials: Credentials,
    count: int,
    *,
    now: float | Callable[[], float],
    seed: int,
    numbers: Sequence[str],
    duplicates: float = 0.0,
    unknown: float = 0.0,
    recordings: float = 0.3,
) -> Iterator[SignedWebhook]:
    """The webhooks of `count` calls with the given numbers: one for each call, more where it is recorded or comes twice.

    `duplicates`, `unknown` and `recordings` are shares of the calls. `now` may be a clock, so that a long run is signed with
    fresh times. Two seeds never share a call id.
    """
    clock = now if callable(now) else lambda: now
    dice = Random(seed)  # noqa: S311 - invented calls are no secrets
    for index in range(count):
        story = _invent(dice, index, seed, int(clock()), numbers, unknown=unknown, recordings=recordings)
        events = _mango(story) if provider == "mango" else _generic(story, dice)
        for part, (event, body) in enumerate(events):
            message_id = f"msg_{seed:x}_{index}_{part}"
            webhook = sign(provider, credentials, orjson.dumps(body), now=clock(), message_id=message_id, event=event)
            yield webhook
            if part == 0 and dice.random() < duplicates:
                yield webhook


def _invent(
    dice: Random, index: int, seed: int, now: int, numbers: Sequence[str], *, unknown: float, recordings: float
) -> _Story:
    answered = dice.random() < 0.7
    talk = min(3_600, int(dice.lognormvariate(4.2, 1.0)) + 1) if answered else 0
    ringing = dice.randint(2, 40)
    stranger = not numbers or dice.random() < unknown
    phone = f"+7988{dice.randrange(10_000_000):07d}" if stranger else _spelled(dice, dice.choice(numbers))
    return _Story(
        ref=f"sim-{seed:x}-{index}",
        inbound=dice.random() < 0.65,
        phone=phone,
        extension=dice.choice(EXTENSIONS),
        started=now - talk - ringing,
        ringing=ringing,
        talk=talk,
        status=_ANSWERED if answered else dice.choice(_UNANSWERED),
        recorded=answered and dice.random() < recordings,
    )


def _spelled(dice: Random, phone: str) -> str:
    """A PBX writes one number in several ways."""
    bare = phone.removeprefix("+")
    if len(bare) != 11 or not bare.startswith("7"):
        return phone
    national = bare[1:]
    pretty = f"+7 {national[:3]} {national[3:6]}-{national[6:8]}-{national[8:]}"
    return dice.choice((phone, bare, f"8{national}", pretty))


_Events = list[tuple[MangoEvent, dict[str, Any]]]


def _generic(story: _Story, dice: Random) -> _Events:
    """Our canonical body in its permitted spellings; the event of `sign` is Mango's and means nothing here."""
    started: int | str = story.started
    if dice.random() < 0.3:
        started = datetime.fromtimestamp(story.started, UTC).isoformat()
    body: dict[str, Any] = {
        "event": "call.finished",
        "id": story.ref,
        "direction": "inbound" if story.inbound else "outbound",
        "phone": story.phone,
        "duration": story.talk,
        "started_at": started,
        "status": dice.choice((story.status, _NUMBERS[story.status])),
        "extension": story.extension,
    }
    if story.talk and dice.random() < 0.4:
        body["result"] = dice.choice(_RESULTS)
    link = f"https://records.example.com/{story.ref}.mp3"
    if not story.recorded:
        return [(MangoEvent.SUMMARY, body)]
    if dice.random() < 0.5:
        return [(MangoEvent.SUMMARY, body | {"link": link})]
    later = {"event": "call.recording", "id": story.ref, "link": link}
    return [(MangoEvent.SUMMARY, body), (MangoEvent.RECORD_ADDED, later)]


def _mango(story: _Story) -> _Events:
    """A summary, and for a recorded call the two recording events; times are UTC seconds, 0 where there was no talk."""
    outside, inside = {"number": story.phone.lstrip("+")}, {"extension": story.extension, "number": LINE.lstrip("+")}
    end = story.started + story.ringing + story.talk
    summary = {
        "entry_id": story.ref,
        "call_direction": 1 if story.inbound else 2,
        "from": outside if story.inbound else inside,
        "to": inside if story.inbound else outside,
        "line_number": LINE.lstrip("+"),
        "create_time": story.started,
        "forward_time": story.started + 1 if story.talk else 0,
        "talk_time": end - story.talk if story.talk else 0,
        "end_time": end,
        "entry_result": 1 if story.talk else 0,
        "disconnect_reason": _MANGO_REASONS.get(story.status, 1111),
    }
    if not story.recorded:
        return [(MangoEvent.SUMMARY, summary)]
    recording = {"recording_id": f"rec-{story.ref}", "entry_id": story.ref}
    completed = {
        "recording_state": "Completed",
        "seq": 2,
        "call_id": f"leg-{story.ref}",
        "extension": story.extension,
        "timestamp": str(end + 1),
        "completion_code": 1000,
        "recipient": "Cloud",
    }
    added = {"product_id": 400017, "user_id": 400018, "timestamp": end + 45}
    return [
        (MangoEvent.SUMMARY, summary),
        (MangoEvent.RECORDING, recording | completed),
        (MangoEvent.RECORD_ADDED, recording | added),
    ]
