"""Sipuni: events of the PBX, as the query of a GET or as a form [pure].

Vendor: https://doc.sipuni.com and https://help.sipuni.com (HTTP API, events of the PBX).

Settings: in the PBX, Settings, API, Events of the PBX: https://YOUR.HOST/hooks/NAME/PATH_TOKEN as the address, GET or POST.
`CALLBRIDGE_SOURCES__NAME__PATH_TOKEN` is a long random word of your own. `__ALLOW_FROM` can name the vendor's networks
besides; alone it is no credential, because an address can be forged behind a proxy. `__OWN_NUMBERS` helps where events come
without the types of the two sides.

Credential: nothing is signed. The path token; or, where a secret is configured, `?token=` in the address (or a bearer token
or basic password, if a proxy of yours adds one). Whoever knows it can tell any call.

Events: 2 is the end of a call. 4 ends one leg of a transfer, 1 and 3 are ringing and answer; they and unknown ones are
counted only. Reply: 200 `{"success":true}` to every event, also to one that was seen before: without it the vendor may stop
delivering.

Direction: a caller outside (`src_type` 1) makes it an inbound call, whatever the other side is, because calls to a group
name the company's line there (`dst_type` 1). Else a called side outside makes it outbound, and two sides inside internal.
Without types the numbers tell: extensions and the company's own numbers.

Employee: of an inbound call `short_dst_num` if it is an extension, else the first of `last_called`; of an outbound call
`short_src_num`. Numbers of employees may be written with the account's number before them (`user_id`); it is taken off.

Duration: from `call_answer_timestamp` (0: nobody answered) to `timestamp`. The recording's address comes with the end of the
call (`call_record_link`).

Not verified: whether and how often the vendor repeats an event; the vendor's networks; how it appends its parameters to an
address that has a query already, which is why the path token is the better credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_PHONE, MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import decode_form
from callbridge.intake.multipart import decode_flat
from callbridge.intake.providers import token
from callbridge.intake.providers.base import (
    Event,
    Finished,
    Ignored,
    Reply,
    Source,
    Traits,
    WebhookRequest,
    event_name,
)
from callbridge.intake.providers.fields import cut_text, exact_text, identity, is_internal, link, moment, phone
from callbridge.intake.providers.numbers import by_numbers

HANGUP: Final = "2"
OUTSIDE, INSIDE = "1", "2"
"""Types of the two sides."""

_NAMES: Final = {"1": "call", HANGUP: "hangup", "3": "answer", "4": "secondary_hangup"}
"""What the vendor calls its numbered events."""

_STATUSES: Final = {"BUSY": CallStatus.BUSY, "CHANUNAVAIL": CallStatus.UNAVAILABLE}
"""Without a talk; the rest (NOANSWER, CANCEL, CONGESTION, and ANSWER without a second of it) is nobody's answer."""

_LIST: Final = re.compile(r"[,&;\s]+")


class Sipuni:
    name = "sipuni"
    title = "Sipuni"
    setup = (
        "Settings, API, Events of the PBX: https://YOUR.HOST/hooks/NAME/PATH_TOKEN as the address, GET or POST; "
        "PATH_TOKEN is a long random word of your own"
    )
    guide = __doc__ or ""
    traits = Traits("the path token, or the secret as ?token=", needs=("path_token",))
    methods = frozenset({"GET", "POST"})
    reply = Reply("application/json", b'{"success":true}')

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        token.verify_token(request, source)

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        try:
            return [_event(_fields(request), source, now, request.evidence)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:
        try:
            return _name(_fields(request).get("event", ""))
        except Undecodable:
            return event_name("")


def _fields(request: WebhookRequest) -> dict[str, str]:
    """The parameters, wherever they are: what the body says counts more than what the address has. Raises `Undecodable`."""
    told = decode_form(verify.wire_bytes(request.target.partition("?")[2]))
    if request.body:
        told |= decode_flat(request.body)
    return {name: value.decode("utf-8", "replace").strip() for name, value in told.items()}


def _name(event: str) -> str:
    return event_name(_NAMES.get(event, event))


def _event(fields: Mapping[str, str], source: Source, now: float, body: bytes) -> Event:
    event = fields.get("event")
    if not fields.keys() - {"token"}:
        return Ignored("empty")
    if not event:
        raise Undecodable("event is missing")
    if event != HANGUP:
        return Ignored(_name(event))
    return Finished(_call(fields, source, now), _name(event), body)


def _call(fields: Mapping[str, str], source: Source, now: float) -> Call:
    answered_at = moment(fields.get("call_answer_timestamp"), "call_answer_timestamp", "UTC")
    talk = None if answered_at is None else _talk(fields, answered_at, now)
    started_at = moment(fields.get("call_start_timestamp"), "call_start_timestamp", "UTC")
    status = cut_text(fields.get("status"), "status", MAX_TEXT)
    direction, number, extension = _parties(fields, source)
    return Call(
        source=source.name,
        provider=Sipuni.name,
        ref=identity(fields.get("call_id"), "call_id"),
        direction=direction,
        phone=number,
        duration=talk or 0,
        started_at=int(now) - (talk or 0) if started_at is None else started_at,
        status=_status(status, source.status_overrides) if talk is None else CallStatus.ANSWERED,
        dated=False,  # the time is part of the vendor's ids
        result=status,
        link=link(fields.get("call_record_link")),
        extension=extension,
    )


def _talk(fields: Mapping[str, str], answered_at: int, now: float) -> int:
    """Seconds from the answer to the event, which is sent when the call ends."""
    ended_at = moment(fields.get("timestamp"), "timestamp", "UTC")
    if ended_at is None:
        return max(int(now) - answered_at, 0)
    if ended_at < answered_at:
        raise ValueError("timestamp is not before call_answer_timestamp")
    return ended_at - answered_at


def _parties(fields: Mapping[str, str], source: Source) -> tuple[Direction, str, str | None]:
    """Direction, the other side's number, and the employee."""
    caller, called = phone(fields.get("src_num"), "src_num"), phone(fields.get("dst_num"), "dst_num")
    caller_inside = _extension(fields, "short_src_num", source) or _extension(fields, "src_num", source)
    rung, called_inside = _extension(fields, "short_dst_num", source), _extension(fields, "dst_num", source)
    direction = _direction(fields, caller_inside or caller, rung or called_inside or called, source)
    match direction:
        case Direction.INBOUND:
            return direction, caller, rung or _last_called(fields, source) or called_inside
        case Direction.OUTBOUND:
            return direction, called, caller_inside
        case Direction.INTERNAL:
            return direction, rung or called_inside or called, caller_inside


def _direction(fields: Mapping[str, str], caller: str, called: str, source: Source) -> Direction:
    from_type, to_type = fields.get("src_type"), fields.get("dst_type")
    if from_type == OUTSIDE:
        return Direction.INBOUND
    if to_type == OUTSIDE:
        return Direction.OUTBOUND
    if from_type == to_type == INSIDE:
        return Direction.INTERNAL
    return by_numbers(caller, called, source)


def _extension(fields: Mapping[str, str], name: str, source: Source) -> str | None:
    """The field, if it is an extension; calls to a group have a whole telephone number there."""
    number = _bare(exact_text(fields.get(name), name, MAX_PHONE) or "", fields, source)
    return number if is_internal(number, source.internal_digits) else None


def _last_called(fields: Mapping[str, str], source: Source) -> str | None:
    """The first of those whose telephones rang; it may be a mobile telephone."""
    called = next(filter(None, _LIST.split(fields.get("last_called", ""))), "")
    return _bare(exact_text(called, "last_called", MAX_PHONE) or "", fields, source) or None


def _bare(number: str, fields: Mapping[str, str], source: Source) -> str:
    """An employee's number without the account's before it."""
    account = fields.get("user_id", "")
    bare = number.removeprefix(account) if account else number
    return bare if is_internal(bare, source.internal_digits) else number


def _status(status: str | None, overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first."""
    if status is None:
        return CallStatus.NO_ANSWER
    return overrides.get(status) or _STATUSES.get(status.upper()) or CallStatus.NO_ANSWER


SIPUNI: Final = Sipuni()
