"""What the status and recording callbacks of Twilio's voice API say, and of those who speak its language [pure].

Apart from `twilio` because TeXML, Telnyx's dialect, says the same under Telnyx's signature. Knows fields, not credentials.

Sources: https://www.twilio.com/docs/usage/webhooks/voice-webhooks (fields), https://www.twilio.com/docs/voice/twiml/dial
(child legs; a recording's CallSid is the parent's), https://developers.telnyx.com/api-reference/callbacks/texml-call-completed
(TeXML: no Direction, an ISO time).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from callbridge.call import Call, CallStatus, Direction
from callbridge.intake.decode import Json
from callbridge.intake.providers.base import Event, Finished, Ignored, Recording, Source, event_name
from callbridge.intake.providers.fields import cut_text, identity, link, moment, whole
from callbridge.intake.providers.parties import Sides, party, sides

FINAL: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})

_WRONG_NUMBER: Final = frozenset({"404", "484", "604"})
"""SIP: not found, address incomplete, does not exist anywhere."""

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_RFC_2822: Final = re.compile(
    r"(?:[a-z]{3,4},?\s+)?([0-9]{1,2})\s+([a-z]{3,4})\s+([0-9]{4})\s+([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"\s+(?:GMT|UTC|([+-])([0-9]{2})([0-9]{2}))",
    re.IGNORECASE,
)


def read(fields: Mapping[str, Json], source: Source, provider: str, now: float, body: bytes) -> Event:
    """Raises `ValueError` that names the field."""
    recording = _word(fields, "RecordingStatus")
    if recording is not None:
        return _recording(fields, recording, now, body)
    status = _word(fields, "CallStatus")
    if status not in FINAL:
        return Ignored(event_name(status or ""))
    ref = _ref(fields)
    who = _sides(fields, source)
    if who is None:
        return Ignored(f"{status}: device only")
    return Finished(_call(fields, source, provider, now, ref, status, who), status, body)


def _call(
    fields: Mapping[str, Json], source: Source, provider: str, now: float, ref: str, status: str, who: Sides
) -> Call:
    talk = (whole(fields.get("CallDuration"), "CallDuration") or 0) if status == "completed" else 0
    sip = cut_text(fields.get("SipResponseCode"), "SipResponseCode", 8)
    ended = _moment(fields.get("Timestamp"))
    return Call(
        source=source.name,
        provider=provider,
        ref=ref,
        direction=who.direction,
        phone=who.phone,
        duration=talk,
        started_at=(int(now) if ended is None else ended) - talk,
        status=_status(fields, status, sip, talk, who.direction, source.status_overrides),
        dated=False,
        result=status + (f" (SIP {sip})" if sip else "") + ("; direction assumed" if who.assumed else ""),
        link=link(fields.get("RecordingUrl")),
        extension=who.extension,
    )


def _ref(fields: Mapping[str, Json]) -> str:
    """The parent's id on every leg: the legs of one call fold, and the parent's is the one that recordings name."""
    return identity(fields.get("ParentCallSid") or fields.get("CallSid"), "CallSid")


def _sides(fields: Mapping[str, Json], source: Source) -> Sides | None:
    """None for a leg that joins Twilio to one of the company's devices and no customer, being the first half of a call
    whose other half is a leg of its own: it must not be taken for the call, which it outlasts.
    """
    caller, called = party(fields.get("From"), "From", source), party(fields.get("To"), "To", source)
    leg = (_word(fields, "Direction") or "").lower()
    if leg == "outbound-api" and called.employee and not caller.employee:
        return None
    if leg == "inbound" and caller.employee and not (called.number or called.employee):
        return None
    told = None
    if leg.startswith("outbound") or (not leg and fields.get("ParentCallSid")):
        told = Direction.OUTBOUND
    elif leg == "inbound":
        told = Direction.INBOUND
    return sides(caller, called, told, source)


def _status(
    fields: Mapping[str, Json],
    status: str,
    sip: str | None,
    talk: int,
    direction: Direction,
    overrides: Mapping[str, CallStatus],
) -> CallStatus:
    if talk > 0:
        machine = (_word(fields, "AnsweredBy") or "").startswith("machine")
        return CallStatus.VOICEMAIL if machine and direction is Direction.OUTBOUND else CallStatus.ANSWERED
    told = overrides.get(sip or "") or overrides.get(status)
    if told:
        return told
    if sip in _WRONG_NUMBER:
        return CallStatus.WRONG_NUMBER
    return CallStatus.BUSY if status == "busy" else CallStatus.NO_ANSWER


def _recording(fields: Mapping[str, Json], status: str, now: float, body: bytes) -> Event:
    name = event_name(f"recording {status}")
    if status != "completed" or not (fields.get("CallSid") or fields.get("ParentCallSid")):
        return Ignored(name)  # begun, failed, nothing to hear; or of a conference, which is not one call
    at = _moment(fields.get("Timestamp")) or _moment(fields.get("RecordingStartTime")) or int(now)
    url = link(fields.get("RecordingUrl"))
    if url is not None:
        return Recording(_ref(fields), url, at, name, body)
    return Recording(_ref(fields), None, at, name, body, identity(fields.get("RecordingSid"), "RecordingSid"))


def _word(fields: Mapping[str, Json], name: str) -> str | None:
    return cut_text(fields.get(name), name, 64)


def _moment(value: Json) -> int | None:
    """Unix seconds of an RFC 2822 or ISO time. One in another form is no reason to lose a call that was reported as it
    ended, and takes no part in its identity.
    """
    if type(value) is not str:
        return None
    parts = _RFC_2822.fullmatch(value.strip())
    try:
        if parts is None:
            return moment(value, "Timestamp", "UTC")
        day, month, year, hour, minute, second, sign, offset_hours, offset_minutes = parts.groups()
        east = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0)) * (-1 if sign == "-" else 1)
        wall = datetime(
            int(year),
            _MONTHS.index(month[:3].lower()) + 1,
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),
            tzinfo=UTC,
        )
        return moment(int((wall - east).timestamp()), "Timestamp", "UTC")
    except (ValueError, OverflowError):
        return None
