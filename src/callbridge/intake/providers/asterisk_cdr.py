"""One call detail record of Asterisk, in the words of whoever posted it [pure].

The columns of the CDR engine are the vocabulary (`src dst dcontext channel dstchannel lastapp start answer end
duration billsec disposition uniqueid linkedid`, and FreePBX's `did cnum recordingfile`); AMI, MixMonitor scripts and
MikoPBX modules say the same things by other names. Apart from `asterisk`, which unpacks requests, because this is
about telephony.

Sources: https://github.com/asterisk/asterisk main/cdr.c (columns, dispositions, billsec), cdr/cdr_manager.c (AMI
names). `ANSWERED` means only that the channel was answered, be it by a menu or a mailbox: the last application tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_PHONE, MAX_TEXT, Call, CallStatus, Direction
from callbridge.intake.decode import Json
from callbridge.intake.providers.base import Source
from callbridge.intake.providers.causes import STATUS_OF_CAUSE
from callbridge.intake.providers.fields import (
    MAX_EXTENSION,
    cut_text,
    exact_text,
    identity,
    is_internal,
    link,
    moment,
    text,
    whole,
)
from callbridge.intake.providers.fields import phone as phone_of
from callbridge.intake.providers.numbers import by_numbers, by_route, without_digits

Record = Mapping[str, Json]
"""Fields by their names in lower case, without underscores and dashes."""

INBOUND_CONTEXTS: Final = (
    "from-trunk",
    "from-pstn",
    "from-did",
    "from-dahdi",
    "from-zaptel",
    "from-sip-external",
    "incoming",
)
"""Where FreePBX and its relatives let outside calls in; most handwritten dialplans say one of these too."""

_SRC: Final = ("src", "source", "from", "caller", "callernumber")
_DST: Final = ("dst", "destination", "to", "called", "callednumber")
_CONTEXT: Final = ("dcontext", "destinationcontext", "context")
_DSTCHANNEL: Final = ("dstchannel", "destinationchannel")
_APP: Final = ("lastapp", "lastapplication")
_START: Final = ("start", "starttime", "startedat", "calldate")
_ANSWER: Final = ("answer", "answertime", "answeredat")
_END: Final = ("end", "endtime", "endedat", "timestamp")
_TOTAL: Final = ("duration", "durationseconds")
_TALK: Final = ("billsec", "billableseconds", "billseconds")
_DISPOSITION: Final = ("disposition", "status", "dialstatus")
_CAUSE: Final = ("hangupcause", "cause")
_FILE: Final = ("recordingfile", "recording", "mixmonitorfilename")
_LINK: Final = ("recordingurl", "recordurl", "link")
_REF: Final = ("linkedid", "uniqueid", "callid", "id")

_WORDS: Final = {
    "inbound": Direction.INBOUND, "in": Direction.INBOUND, "incoming": Direction.INBOUND,
    "outbound": Direction.OUTBOUND, "out": Direction.OUTBOUND, "outgoing": Direction.OUTBOUND,
    "internal": Direction.INTERNAL, "local": Direction.INTERNAL,
}  # fmt: skip
_STATUSES: Final = {
    "ANSWERED": CallStatus.ANSWERED, "ANSWER": CallStatus.ANSWERED, "BUSY": CallStatus.BUSY,
    "CHANUNAVAIL": CallStatus.UNAVAILABLE, "VOICEMAIL": CallStatus.VOICEMAIL,
}  # fmt: skip
"""All others (NO ANSWER, CANCEL, FAILED, CONGESTION) are calls that nobody answered."""
_NORMAL: Final = 16
"""ITU-T Q.850: normal clearing."""

_MAILBOX: Final = frozenset({"voicemail", "minivmrecord"})
_ANNOUNCING: Final = frozenset(
    {"playback", "background", "controlplayback", "musiconhold", "waitexten", "read", "saydigits"}
)
_WAITING: Final = frozenset({"queue", "wait", "answer", "hangup", "ringing", "busy", "congestion", "goto", "noop"})
"""These end calls with and without a talk: they mean no talk only where the record says that there was no second channel."""

_EPOCH_ID: Final = re.compile(r"(?:.*[^0-9])?([0-9]{10})\.[0-9]+")
_DIALLED: Final = re.compile(r"(?:PJSIP|SIP|IAX2|DAHDI)/(?:[^/@,&]*/)?(\+?[0-9*#]{2,})(?:@|,|&|$)")
_DEVICE: Final = re.compile(r"(?:PJSIP|SIP|IAX2|SCCP|Skinny|Agent)/(.+)-[0-9a-fA-F]+")
_LOCAL: Final = re.compile(r"Local/([^@]+)@.*")
_MAILBOX_DST: Final = re.compile(r"vm[ubsi]([0-9]+)")


def call_of(record: Record, source: Source, now: float, provider: str) -> Call:
    """Raises `ValueError` that names the field."""
    talk, status = _outcome(record, source)
    direction, number, extension = _parties(record, source)
    return Call(
        source=source.name,
        provider=provider,
        ref=reference(record),
        direction=direction,
        phone="" if direction is not Direction.INTERNAL and without_digits(number) else number,
        duration=talk,
        started_at=_started(record, source, now, talk),
        status=status,
        dated=False,  # an id of Asterisk begins with the second in which the call began
        result=_result(record),
        link=link(_first(record, _LINK)),
        extension=extension or None,
    )


def reference(record: Record) -> str:
    """The id that all legs of a call share; `uniqueid` is the leg's own, and all there is before Asterisk 1.8."""
    return identity(_first(record, _REF), "linkedid or uniqueid")


def recording_of(record: Record) -> str | None:
    """The file's name; its folder is the business of the link template. Old FreePBX hid it in `userfield`."""
    told = cut_text(_first(record, _FILE), "recordingfile", MAX_TEXT)
    if told is None:
        marker, _, path = (cut_text(record.get("userfield"), "userfield", MAX_TEXT) or "").partition(":")
        told = path if marker == "audio" else None
    return (told or "").replace("\\", "/").rpartition("/")[2] or None


def _outcome(record: Record, source: Source) -> tuple[int, CallStatus]:
    """Seconds of talk, and how the call ended."""
    raw = text(_first(record, _DISPOSITION), "disposition")
    word = (raw or "").upper().replace("_", " ")
    app = (text(_first(record, _APP), "lastapp") or "").lower()
    cause = whole(_first(record, _CAUSE), "hangup_cause")
    talk = max(_talk(record, source, word, cause), 0)
    taken = _STATUSES.get(word) is CallStatus.ANSWERED
    answered = talk > 0 or (taken and _time(record, _ANSWER, source) is not None)
    if (answered or taken) and app in _MAILBOX:
        return talk, CallStatus.VOICEMAIL
    if answered and _nobody_there(record, app):
        return 0, CallStatus.NO_ANSWER
    if answered:
        return talk, CallStatus.ANSWERED
    told = source.status_overrides.get(raw or "") or source.status_overrides.get("" if cause is None else str(cause))
    return 0, told or (None if taken else _STATUSES.get(word)) or STATUS_OF_CAUSE.get(
        str(cause)
    ) or CallStatus.NO_ANSWER


def _nobody_there(record: Record, app: str) -> bool:
    if text(_first(record, _DSTCHANNEL), "dstchannel"):
        return False
    told = any(name in record for name in _DSTCHANNEL)
    return app in _ANNOUNCING or (told and app in _WAITING)


def _talk(record: Record, source: Source, word: str, cause: int | None) -> int:
    """Without `billsec` the whole duration is taken for the talk, unless something says that there was none."""
    talk = whole(_first(record, _TALK), "billsec")
    if talk is not None:
        return talk
    total = whole(_first(record, _TOTAL), "duration")
    if total is None and not word and cause is None:
        raise ValueError("billsec is missing")
    if (word and _STATUSES.get(word) is not CallStatus.ANSWERED) or (not word and cause not in {None, _NORMAL}):
        return 0
    answer, end = _time(record, _ANSWER, source), _time(record, _END, source)
    return end - answer if answer is not None and end is not None and end >= answer else total or 0


def _started(record: Record, source: Source, now: float, talk: int) -> int:
    start = _time(record, _START, source)
    if start is not None:
        return start
    total = whole(_first(record, _TOTAL), "duration")
    total = talk if total is None else max(total, 0)
    end = _time(record, _END, source)
    if end is not None:
        return end - total
    from_id = _EPOCH_ID.fullmatch(reference(record))
    return int(from_id[1]) if from_id else int(now) - total


def _time(record: Record, names: tuple[str, ...], source: Source) -> int | None:
    value = _first(record, names)
    if type(value) is str and value.startswith("0000"):  # what MySQL makes of no date
        return None
    return moment(value, names[0], source.timezone)


def _parties(record: Record, source: Source) -> tuple[Direction, str, str]:
    """Direction, the other party's number, and the employee's extension."""
    channel, dstchannel = _channel(record, ("channel",)), _channel(record, _DSTCHANNEL)
    src, cnum, called = (_number(record, names) for names in (_SRC, ("cnum",), _DST))
    src = src or cnum or _within(exact_text(record.get("clid") or record.get("callerid"), "clid", MAX_TEXT) or "")
    device = _peer(channel)
    employee = next((n for n in (cnum, src, device) if is_internal(n, source.internal_digits)), "")
    if without_digits(called) and (text(_first(record, _APP), "lastapp") or "").lower() == "dial":
        dialled = _DIALLED.match(text(record.get("lastdata"), "lastdata") or "")
        called = dialled[1] if dialled else called
    mailbox = _MAILBOX_DST.fullmatch(called)
    called = mailbox[1] if mailbox else called
    given = exact_text(record.get("extension"), "extension", MAX_EXTENSION)
    direction = _direction(record, source, employee or src, called, channel, dstchannel)
    match direction:
        case Direction.INBOUND:
            return direction, src, given or _reached(called, dstchannel, device, source)
        case Direction.OUTBOUND | Direction.INTERNAL:
            login = next((n for n in (src, device) if n and without_digits(n)), "")
            return direction, called, given or employee or login


def _direction(record: Record, source: Source, caller: str, called: str, channel: str, dstchannel: str) -> Direction:
    word = text(record.get("direction") or record.get("calltype"), "direction")
    if word and word.lower() in _WORDS:
        return _WORDS[word.lower()]
    context = text(_first(record, _CONTEXT), "dcontext") or ""
    if told := by_route(source, (context, channel, _peer(channel))):
        return told
    if by_route(source, (dstchannel, _peer(dstchannel))) is Direction.OUTBOUND:  # the trunk that it left by
        return Direction.OUTBOUND
    if context.startswith(INBOUND_CONTEXTS) or text(record.get("did"), "did"):
        return Direction.INBOUND
    return by_numbers(caller, called, source)


def _reached(called: str, dstchannel: str, trunk: str, source: Source) -> str:
    """Whose phone an outside call reached: the second channel's, if that is no trunk; else the number asked for."""
    local = _LOCAL.fullmatch(dstchannel)
    peer = local[1].rstrip("#").rpartition("-")[2] if local else _peer(dstchannel)
    if is_internal(peer, source.internal_digits):
        return peer
    if is_internal(called, source.internal_digits):
        return called
    return peer if without_digits(peer) and peer != trunk and not local else ""


def _peer(channel: str) -> str:
    device = _DEVICE.fullmatch(channel)
    return device[1] if device and len(device[1]) <= MAX_PHONE else ""


def _channel(record: Record, names: tuple[str, ...]) -> str:
    return cut_text(_first(record, names), names[0], MAX_TEXT) or ""


def _number(record: Record, names: tuple[str, ...]) -> str:
    return phone_of(_first(record, names), names[0])


def _within(clid: str) -> str:
    """The number in `"Name" <number>`."""
    return phone_of(clid.rpartition("<")[2].rstrip("> "), "clid") if clid.endswith(">") else ""


def _result(record: Record) -> str | None:
    told = cut_text(_first(record, (*_DISPOSITION, "hangupcausetxt")), "disposition", MAX_TEXT)
    cause = whole(_first(record, _CAUSE), "hangup_cause")
    return told or (None if cause is None else f"Q.850 {cause}")


def _first(record: Record, names: tuple[str, ...]) -> Json:
    """The first of these fields that says something."""
    return next((value for name in names if (value := record.get(name)) not in (None, "", " ")), None)
