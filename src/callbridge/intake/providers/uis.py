"""UIS, CoMagic, CallGear and Novofon 2.0: notifications whose body the user writes [pure].

Vendor: https://help.uiscom.ru (notifications about events; the same in CoMagic, CallGear and Novofon 2.0); the variables as
listed there and in https://help.planfix.com, the finish reasons as in the vendor's Data API.

Settings: create two HTTP notifications in the PBX (method POST, content type JSON) to https://YOUR.HOST/hooks/NAME, with the
two bodies below; both are also files in `deploy/uis`. The secret that you write into them is
`CALLBRIDGE_SOURCES__NAME__SECRET`. `__TIMEZONE` is the account's zone, Europe/Moscow unless you changed it. `__HOLD=120s`
lets a call wait for its recording. Do not subscribe to "Lost call" as well: it is a finished call told twice.

Call finished ("Завершение звонка"):

    {
      "integration_key": "WRITE-YOUR-SECRET-HERE",
      "event": "call.finished",
      "call_session_id": {{call_session_id}},
      "direction": {{direction}},
      "is_internal": {{is_internal}},
      "contact_phone_number": {{contact_phone_number}},
      "calling_phone_number": {{calling_phone_number}},
      "called_phone_number": {{called_phone_number}},
      "virtual_phone_number": {{virtual_phone_number}},
      "extension_phone_number": {{extension_phone_number}},
      "employee_id": {{employee_id}},
      "employee_full_name": {{employee_full_name}},
      "talk_time_duration": {{talk_time_duration}},
      "wait_time_duration": {{wait_time_duration}},
      "total_time_duration": {{total_time_duration}},
      "start_time": {{start_time}},
      "notification_time": {{notification_time}},
      "notification_timestamp": {{notification_timestamp}},
      "is_lost": {{is_lost}},
      "lost_reason": {{lost_reason}},
      "call_status": {{call_status}}
    }

Recorded call ("Записанный разговор"):

    {
      "integration_key": "WRITE-YOUR-SECRET-HERE",
      "event": "call.recording",
      "call_session_id": {{call_session_id}},
      "file_link": {{file_link}},
      "file_duration": {{file_duration}},
      "notification_time": {{notification_time}},
      "notification_timestamp": {{notification_timestamp}}
    }

The placeholders bring their own quotes: "{{direction}}" in quotes arrives as ""in"", which is no JSON. Such a body is kept
as undecodable, and the reason says what to change. A variable that your PBX does not know can be left out with its line.

Bodies of other integrations are read too: with the groups contact_info, employee_info, call_info and
call_record_file_info, as text/plain, or as the query of a GET. An event is recognised by `event`, by the notification's
name, or else by its variables: a talk or total time tells a finished call, a `file_link` alone a recording.

Credential: nothing is signed. The literal `integration_key` of the body or query, a bearer token, a basic password or
`?token=`, each compared with the secret in constant time; without a secret the path token. Reply: 200.

Start: `notification_timestamp` minus the total time (Unix seconds, so no zone is needed), else `start_time` or
`notification_time` in the source's zone. Talk is `talk_time_duration`.

Not verified: the texts of `call_status` and the mnemonics of notifications, which is why neither is needed; what the PBX
does when it is not answered 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import Json
from callbridge.intake.providers import token
from callbridge.intake.providers.base import (
    Event,
    Finished,
    Ignored,
    Recording,
    Reply,
    Source,
    Traits,
    WebhookRequest,
    event_name,
)
from callbridge.intake.providers.fields import (
    MAX_EXTENSION,
    cut_text,
    exact_text,
    identity,
    is_internal,
    link,
    moment,
    phone,
    text,
    whole,
)
from callbridge.intake.providers.uis_body import event_in, fields_of, keys_of

FINISHED, RECORDING = "call.finished", "call.recording"

_FINISHED: Final = frozenset(
    {"call_end", "call_ended", "call_finished", "call finished", "завершение звонка"}
    | {"lost_call", "call_lost", "lost call", "потерянный звонок"}
    | {FINISHED}
)
_RECORDING: Final = frozenset(
    {"record_call", "recorded_call", "call_record", "recorded call", "записанный разговор"} | {RECORDING}
)

_DIRECTIONS: Final = {
    "in": Direction.INBOUND,
    "inbound": Direction.INBOUND,
    "out": Direction.OUTBOUND,
    "outbound": Direction.OUTBOUND,
}

_STATUSES: Final = {
    reason: status
    for status, reasons in {
        CallStatus.UNAVAILABLE: ("sip_offline", "numb_is_inactive", "operator_not_responsible"),
        CallStatus.WRONG_NUMBER: ("numb_not_exists", "subscriber_number_problems"),
        CallStatus.BUSY: ("subscriber_busy", "operator_busy"),
    }.items()
    for reason in reasons
}
"""Of the vendor's finish reasons; the rest (timeout, subscriber_not_responsible, ..._disconnects, no_success_..., no_money,
numa_in_black_list) is nobody's answer."""

_REASONS: Final = ("call_status", "lost_reason", "finish_reason")
_EMPLOYEE: Final = ("extension_phone_number", "employee_phone_number", "employee_email", "employee_id")
_PLACES: Final = ("event", "event_type", "notification_mnemonic", "notification_name")


class Uis:
    name = "uis"
    title = "UIS, CoMagic, CallGear, Novofon 2.0"
    setup = (
        "Notifications, HTTP, POST to https://YOUR.HOST/hooks/NAME with the two bodies of deploy/uis (call finished, "
        "recorded call); SECRET is what you write into them as integration_key"
    )
    guide = __doc__ or ""
    traits = Traits(
        "the secret in the body (integration_key), as bearer token or password, or the path token", wall_clock=True
    )
    methods = frozenset({"POST", "GET"})
    reply = Reply("text/plain", b"ok")

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        in_body, in_query = keys_of(request)
        held = verify.any_same(in_body, source.secrets) | verify.any_same(in_query, source.secrets)
        try:
            token.verify_token(request, source)
        except Unauthenticated:
            if not held:
                raise

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        try:
            return [_event(fields_of(request), source, now, request.evidence)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:
        return event_name(event_in(request))


def _event(fields: Mapping[str, Json], source: Source, now: float, body: bytes) -> Event:
    name = next((found for place in _PLACES if (found := text(fields.get(place), place))), "")
    kind = _kind(name.lower(), fields)
    if kind == FINISHED:
        return Finished(_call(fields, source, now), event_name(name or kind), body)
    if kind == RECORDING and (file := _file(fields)):
        at = _moment(fields, "notification_timestamp", "UTC") or _moment(fields, "notification_time", source.timezone)
        ref = identity(fields.get("call_session_id"), "call_session_id")
        return Recording(ref, link(file), int(now) if at is None else at, event_name(name or kind), body)
    return Ignored(event_name(name))


def _kind(name: str, fields: Mapping[str, Json]) -> str:
    """By the event's name, else by what it tells. An event with another name is a finished call only if time has passed."""
    if name in _FINISHED:
        return FINISHED
    if name in _RECORDING:
        return RECORDING
    times = [fields[told] for told in ("talk_time_duration", "total_time_duration") if told in fields]
    if times and (not name or any(whole(told, "total_time_duration") for told in times)):
        return FINISHED
    return RECORDING if "file_link" in fields else ""


def _call(fields: Mapping[str, Json], source: Source, now: float) -> Call:
    talk = whole(fields.get("talk_time_duration"), "talk_time_duration") or 0
    direction, number = _parties(fields, source)
    reasons = [found for name in _REASONS if (found := cut_text(fields.get(name), name, MAX_TEXT))]
    file = _file(fields)
    return Call(
        source=source.name,
        provider=Uis.name,
        ref=identity(fields.get("call_session_id"), "call_session_id"),
        direction=direction,
        phone=number,
        duration=talk,
        started_at=_started(fields, source, now, talk),
        status=CallStatus.ANSWERED if talk > 0 else _status(reasons, source.status_overrides),
        dated=False,  # a counter of the vendor's, never used twice
        result=reasons[0] if reasons else None,
        link=link(file) if file else None,
        extension=next(
            (found for name in _EMPLOYEE if (found := exact_text(fields.get(name), name, MAX_EXTENSION))), None
        ),
    )


def _parties(fields: Mapping[str, Json], source: Source) -> tuple[Direction, str]:
    """The direction, and the number of the other side."""
    inside = fields.get("is_internal") in (True, 1, "1", "true", "True")
    word = text(fields.get("direction"), "direction")
    direction = _DIRECTIONS.get(word.lower()) if word else None
    if direction is None and not inside:
        raise ValueError("direction is in or out")
    other = "calling_phone_number" if direction is Direction.INBOUND else "called_phone_number"
    places = (other,) if inside else ("contact_phone_number", other)
    number = next((found for place in places if (found := phone(fields.get(place), place))), "")
    if direction is None or inside or is_internal(number, source.internal_digits):
        return Direction.INTERNAL, number
    return direction, number


def _started(fields: Mapping[str, Json], source: Source, now: float, talk: int) -> int:
    total = whole(fields.get("total_time_duration"), "total_time_duration")
    if total is None:
        total = talk + (whole(fields.get("wait_time_duration"), "wait_time_duration") or 0)
    told = _moment(fields, "notification_timestamp", "UTC")
    start = _moment(fields, "start_time", source.timezone) if told is None else None
    if start is not None:
        return start
    ended = _moment(fields, "notification_time", source.timezone) if told is None else told
    return (int(now) if ended is None else ended) - total


def _moment(fields: Mapping[str, Json], name: str, zone: str) -> int | None:
    return moment(fields.get(name), name, zone)


def _file(fields: Mapping[str, Json]) -> Json:
    """The recording's address as it was told, or the first of several."""
    several = fields.get("record_file_links")
    first = several[0] if isinstance(several, list) and several else None
    return fields.get("file_link") or first


def _status(reasons: list[str], overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first."""
    for table, words in ((overrides, reasons), (_STATUSES, [reason.lower() for reason in reasons])):
        if found := next((table[word] for word in words if word in table), None):
            return found
    return CallStatus.NO_ANSWER


UIS: Final = Uis()
