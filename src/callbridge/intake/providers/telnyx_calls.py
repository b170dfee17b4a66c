"""What Telnyx says of a call that was hung up, and what it leaves out [pure].

`call.hangup` tells who called whom, when the leg began and ended, and why; not which side was the company and not when
somebody answered. What the customer's application passed along in `client_state` fills both gaps; `telnyx` tells users
what to write there. Knows fields, not credentials.

Sources: https://developers.telnyx.com/api-reference/callbacks/call-hangup,
https://developers.telnyx.com/api-reference/callbacks/call-recording-saved.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from callbridge.call import MAX_DURATION, Call, CallStatus, Direction
from callbridge.errors import Undecodable
from callbridge.intake.decode import Json, decode_json
from callbridge.intake.providers.base import Recording, Source
from callbridge.intake.providers.fields import MAX_EXTENSION, cut_text, identity, link, moment
from callbridge.intake.providers.numbers import by_route
from callbridge.intake.providers.parties import Sides, party, sides

T = TypeVar("T")

_DIRECTIONS: Final = {
    word: direction
    for direction, words in {
        Direction.INBOUND: ("inbound", "incoming", "in"),
        Direction.OUTBOUND: ("outbound", "outgoing", "out"),
        Direction.INTERNAL: ("internal",),
    }.items()
    for word in words
}

CLOCK_SKEW: Final = 60
"""Seconds."""

_ENDS_A_TALK: Final = frozenset({"normal_clearing", "time_limit"})
"""Causes of a call that was answered, unless SIP says otherwise. All others end a call that was not."""

_STATUS_OF_CAUSE: Final = {"user_busy": CallStatus.BUSY, "not_found": CallStatus.WRONG_NUMBER}


@dataclass(frozen=True, slots=True)
class _State:
    """What the customer's application passed along; `unanswered`: it told that there was no answer, instead of nothing."""

    direction: Direction | None = None
    answered_at: int | None = None
    unanswered: bool = False
    extension: str | None = None


def finished(payload: Mapping[str, Json], occurred_at: Json, source: Source, provider: str, now: float) -> Call:
    """Raises `ValueError` that names the field."""
    state = _client_state(payload.get("client_state"))
    who = _sides(payload, state, source)
    ended = moment(payload.get("end_time"), "end_time", "UTC") or moment(occurred_at, "occurred_at", "UTC") or int(now)
    began = moment(payload.get("start_time"), "start_time", "UTC")
    cause = cut_text(payload.get("hangup_cause"), "hangup_cause", 64)
    sip = cut_text(payload.get("sip_hangup_cause"), "sip_hangup_cause", 16)
    told = moment(payload.get("answered_time"), "answered_time", "UTC") or state.answered_at
    answered = _between(told, began or ended - MAX_DURATION, ended)
    if answered is None:
        duration = 0 if state.unanswered or not began else max(0, ended - began)
        talked = duration > 0 and cause in _ENDS_A_TALK and (sip or "")[:1] not in {"4", "5", "6"}
    else:
        duration = ended - answered
        talked = duration > 0
    return Call(
        source=source.name,
        provider=provider,
        ref=session(payload),
        direction=who.direction,
        phone=who.phone,
        duration=duration,
        started_at=began or ended - duration,
        status=CallStatus.ANSWERED if talked else _status(cause, source.status_overrides),
        dated=False,
        result=_result(cause, sip, who),
        extension=state.extension or who.extension,
    )


def recorded(
    payload: Mapping[str, Json], occurred_at: Json, source: Source, now: float, name: str, body: bytes
) -> Recording:
    """The address that stays, if there is one; else the recording's id where a template makes an address of it; else the
    address that Telnyx serves for ten minutes.
    """
    at = moment(occurred_at, "occurred_at", "UTC") or int(now)
    ref, public = session(payload), _address(payload, "public_recording_urls")
    if public is not None:
        return Recording(ref, public, at, name, body)
    brief = _address(payload, "recording_urls")
    if brief is None or source.link_template is not None:
        return Recording(ref, None, at, name, body, identity(payload.get("recording_id"), "recording_id"))
    return Recording(ref, brief, at, name, body)


def session(payload: Mapping[str, Json]) -> str:
    """The id that all legs of one call share."""
    return identity(payload.get("call_session_id") or payload.get("call_leg_id"), "call_session_id")


def _sides(payload: Mapping[str, Json], state: _State, source: Source) -> Sides:
    """The first that tells a direction counts: the event, the application's state, its tags, the connection."""
    tags = payload.get("tags")
    tagged = tags if isinstance(tags, list) else []
    told = _direction(payload.get("direction")) or state.direction or next(filter(None, map(_direction, tagged)), None)
    if told is None:
        connection = cut_text(payload.get("connection_id"), "connection_id", 64) or ""
        told = by_route(source, (connection,))
    caller, called = party(payload.get("from"), "from", source), party(payload.get("to"), "to", source)
    return sides(caller, called, told, source)


def _between(answered: int | None, began: int, ended: int) -> int | None:
    """An application's clock may be a little off; a time that is nowhere near the call is none."""
    if answered is None or not began - CLOCK_SKEW <= answered <= ended + CLOCK_SKEW:
        return None
    return min(max(answered, began), ended)


def _client_state(value: Json) -> _State:
    """It is JSON, or the direction alone, in Base64 as Telnyx demands; or anything else, and then nothing to us."""
    if type(value) is not str:
        return _State()
    try:
        written = base64.b64decode(value.strip().encode("utf-8", "replace"), validate=True)
        told = decode_json(written) if written.lstrip().startswith(b"{") else written.decode("utf-8", "replace")
    except (binascii.Error, ValueError, Undecodable):
        return _State()
    if not isinstance(told, dict):
        return _State(_direction(told))
    return _State(
        _direction(told.get("direction")),
        _or_none(lambda: moment(told.get("answered_at"), "answered_at", "UTC")),
        "answered_at" in told and not told["answered_at"],
        _or_none(lambda: cut_text(told.get("extension"), "extension", MAX_EXTENSION)),
    )


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ValueError:
        return None


def _direction(value: Json) -> Direction | None:
    return _DIRECTIONS.get(value.strip().lower()) if type(value) is str else None


def _status(cause: str | None, overrides: Mapping[str, CallStatus]) -> CallStatus:
    word = cause or ""
    return overrides.get(word) or _STATUS_OF_CAUSE.get(word) or CallStatus.NO_ANSWER


def _result(cause: str | None, sip: str | None, who: Sides) -> str:
    told = (cause or "hung up") + (f" (SIP {sip})" if sip and sip.isdigit() else "")
    return f"{told}; direction assumed" if who.assumed else told


def _address(payload: Mapping[str, Json], name: str) -> str | None:
    formats = payload.get(name)
    if not isinstance(formats, dict):
        return None
    return link(formats.get("mp3")) or link(formats.get("wav"))
