"""Yeastar: the P-Series with its signed webhooks; the flat reports of the S-Series, the K2 and the first Cloud PBX [pure].

Vendor: https://help.yeastar.com/en/p-series-cloud-edition/developer-guide (Monitor Events via Webhook; event 30012, Call End
Details), and https://github.com/YeastarCarol/Yeastar-S-Series-API-Guide-en (CDR) for the others.

Settings, P-Series: Integrations, API, Webhook: https://YOUR.HOST/hooks/NAME as the address, POST, with the event "(30012)
Call End Details" alone. Its secret goes to `CALLBRIDGE_SOURCES__NAME__SECRET`. Settings, S-Series and K2: Settings, PBX,
General, API: the address of the API server, with the path token below it. `__TIMEZONE` is the PBX's own zone, because times
come as a wall clock. `__HOLD=10s` lets records of one call come together where they share an id; see below.

Do not subscribe to 30039 (Call End Details with a timeline) beside 30012: it tells the same calls again, leg by leg and under
other ids. It is counted only, so that an address that has both makes no second calls, and one that has 30039 alone none.

Credential, P-Series: the header `X-Signature` is Base64 of the HMAC-SHA256 of the body as it came, with the secret's own
characters as key. Nothing is dated, so an old webhook can be sent again; it is the same call then.
Credential, others: nothing is signed. `?token=` in the address (or a bearer token or basic password), or the path token where
no secret is configured. A P-Series that cannot sign may use these too. A request with the header must be signed
right, whatever else it carries; leaving the header out gains a forger nothing, because the other ways want the same secret.

P-Series: `msg` is the call, as JSON in a string or as an object. Others: one flat object with `action` or `event` NewCdr and
the vendor's own spelling of names (callduraction, talkduraction) and statuses (ANSWERD, NO ANSWERED). Words count in any
case of letters, and a value of spaces is absent. Other events are counted only. Reply: 200.

Direction is `type`. Callback and Transfer, which say nothing of it, are told by the trunks: a call from one came in, a call
to one went out. The id is `uid`, which a P-Series gives each record: a transferred call that it tells in two records is
two calls, whatever HOLD is. Where there is no `uid` it is the id of the call, and all its records are one call within HOLD.

Recording: the name of the file only; `__LINK_TEMPLATE` with {recording} makes a link of it. Talk is `talk_duration`.

Not verified: whether a webhook that fails is sent again; what a GET of the P-Series looks like, so choose POST.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_PHONE, MAX_REF, MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import Json, decode_json
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
from callbridge.intake.providers.fields import cut_text, exact_text, identity, moment, phone, text, whole
from callbridge.intake.providers.numbers import by_numbers

CALL_END, NEW_CDR = "30012", "NewCdr"

Fields = Mapping[str, Json]

_ID: Final = ("uid", "call_id", "callid")
_START: Final = ("time_start", "timestart")
_FROM, _TO = ("call_from", "callfrom"), ("call_to", "callto")
_TALK: Final = ("talk_duration", "talkduraction", "talkduration")
_FROM_TRUNK: Final = ("src_trunk_name", "srctrunkname")
_TO_TRUNK: Final = ("dst_trunk_name", "dsttrunkname", "desttrunkname", "dsttrcunkname", "dstrunkname")

_DIRECTIONS: Final = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
    "internal": Direction.INTERNAL,
}

_VOICEMAIL: Final = "VOICEMAIL"
_STATUSES: Final = {"BUSY": CallStatus.BUSY, _VOICEMAIL: CallStatus.VOICEMAIL}
"""Without a talk; the rest (NO ANSWER, NO ANSWERED, FAILED, ABANDONED, ANSWERED without a second) is nobody's answer."""


class Yeastar:
    name = "yeastar"
    title = "Yeastar P-Series, S-Series, K2, Cloud PBX"
    setup = (
        "P-Series: Integrations, API, Webhook: https://YOUR.HOST/hooks/NAME, POST, event 30012 alone; SECRET is its secret. "
        "S-Series, K2: Settings, PBX, General, API: https://YOUR.HOST/hooks/NAME/PATH_TOKEN"
    )
    guide = __doc__ or ""
    traits = Traits(
        "HMAC-SHA256 of the body with the secret (P-Series); ?token= or the path token (others)",
        wall_clock=True,
        has_legs=True,
    )
    methods = frozenset({"POST"})
    reply = Reply("application/json", b"{}")

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        held = False
        given = verify.wire_bytes(request.headers.get("x-signature", "").strip())
        for secret in source.secrets:
            digest = hmac.digest(verify.wire_bytes(secret), request.body, "sha256")
            held |= verify.same(given, base64.b64encode(digest))
        try:
            token.verify_token(request, source)
        except Unauthenticated as refused:
            if not held:
                carried = "authorization" in request.headers or "token" in request.query
                unsigned = refused.reason if carried else "no_signature"
                raise Unauthenticated("bad_signature" if given else unsigned) from None
        if given and source.secrets and not held:
            raise Unauthenticated("bad_signature")

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        told = _object(request.body)
        name = _name(told)
        if name not in {CALL_END, NEW_CDR}:
            return [Ignored(name)]
        try:
            fields = _message(told) if name == CALL_END else told
            return [Finished(_call(fields, source, now), name, request.body, _recording(fields))]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:
        try:
            return _name(_object(request.body))
        except Undecodable:
            return event_name("")


def _object(body: bytes) -> Fields:
    told = decode_json(body)
    if not isinstance(told, dict):
        raise Undecodable("is not a JSON object")
    return told


def _name(told: Fields) -> str:
    """A `type` is the event's number where there is a `msg`, and the direction where there is none."""
    if "msg" in told:
        return event_name(_word(told, "type"))
    name = _word(told, "action") or _word(told, "event")
    return NEW_CDR if name.lower() == NEW_CDR.lower() else event_name(name)


def _word(told: Fields, name: str) -> str:
    value = told.get(name)
    return str(value).strip() if isinstance(value, str | int) else ""


def _message(told: Fields) -> Fields:
    msg = told["msg"]
    if isinstance(msg, str):
        try:
            msg = decode_json(msg.encode("utf-8", "replace"))
        except Undecodable as error:
            raise Undecodable(f"msg {error.reason}") from None
    if not isinstance(msg, dict):
        raise Undecodable("msg is not a JSON object")
    return msg


def _call(fields: Fields, source: Source, now: float) -> Call:
    status = cut_text(fields.get("status"), "status", MAX_TEXT)
    talk = _talk(fields)
    started_at = _start(fields, source)
    caller, called = _party(fields, _FROM), _party(fields, _TO)
    direction = _direction(fields, caller, called, source)
    other, employee = (caller, called) if direction is Direction.INBOUND else (called, caller)
    return Call(
        source=source.name,
        provider=Yeastar.name,
        ref=identity(_first(fields, _ID)[1], "call_id"),
        direction=direction,
        phone=other,
        duration=talk,
        started_at=int(now) - talk if started_at is None else started_at,
        status=_status(talk, status or "", source.status_overrides),
        dated=False,  # the time is part of the vendor's ids
        result=status,
        extension=employee or None,
    )


def _first(fields: Fields, names: tuple[str, ...]) -> tuple[str, Json]:
    """Name and value of the first of `names` that is there and not blank."""
    for name in names:
        value = fields.get(name)
        if value is not None and not (isinstance(value, str) and not value.strip()):
            return name, value
    return names[0], None


def _talk(fields: Fields) -> int:
    """Seconds, or hours, minutes and seconds as the vendor's table of the S-Series has it."""
    name, value = _first(fields, _TALK)
    parts = value.split(":") if isinstance(value, str) else []
    if len(parts) == 3:
        hours, minutes, seconds = (whole(part, name) or 0 for part in parts)
        return hours * 3600 + minutes * 60 + seconds
    return whole(value, name) or 0


def _start(fields: Fields, source: Source) -> int | None:
    """PBXs can be set to write dates with slashes."""
    name, value = _first(fields, _START)
    return moment(value.replace("/", "-") if isinstance(value, str) else value, name, source.timezone)


def _party(fields: Fields, names: tuple[str, ...]) -> str:
    """One side's number, which may come with a name: Anna<1001>."""
    name, value = _first(fields, names)
    written = exact_text(value, name, MAX_REF) or ""
    if written.endswith(">") and "<" in written:
        written = written[:-1].rpartition("<")[2]
    return phone(exact_text(written, name, MAX_PHONE), name)


def _direction(fields: Fields, caller: str, called: str, source: Source) -> Direction:
    direction = _DIRECTIONS.get((text(fields.get("type"), "type") or "").lower())
    if direction is not None:
        return direction
    if _first(fields, _FROM_TRUNK)[1] is not None:
        return Direction.INBOUND
    if _first(fields, _TO_TRUNK)[1] is not None:
        return Direction.OUTBOUND
    return by_numbers(caller, called, source)


def _recording(fields: Fields) -> str | None:
    """The file's name. One that is too long to be a name is none: the call is worth more."""
    name = text(fields.get("recording"), "recording")
    return name if name is not None and len(name) <= MAX_REF else None


def _status(talk: int, status: str, overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first. The seconds of a message are no talk: nobody answered."""
    told = status.upper()
    if talk > 0 and told != _VOICEMAIL:
        return CallStatus.ANSWERED
    return overrides.get(status) or _STATUSES.get(told) or CallStatus.NO_ANSWER


YEASTAR: Final = Yeastar()
