"""Mango Office, the events of its virtual PBX API [pure].

A form with three fields, `vpbx_api_key`, `sign` and `json`; what happened is only in the path, because the customer enters a
base address and Mango appends `/events/summary` and the like. `summary` is the final event of a call. A recording comes
as an id only, in an event of its own, before or after the summary; its address is built here, signed with the same salt.

Sources: "API Mango Office VPBX" 1.9/1.10 and its PHP examples 1.8 (fields, codes, sign, recording link), both published in
https://github.com/maxodrom/yii2-mango-office-api/tree/master/docs; `record/added` from
https://github.com/3dcafe/mango-office-client. The vendor writes numbers as numbers in `summary` and as text in other events.

Settings: `CALLBRIDGE_SOURCES__NAME__KEY` is the unique code of your PBX (vpbx_api_key), `__SECRET` the key for creating the
signature (salt). Recording links open only if links to recordings are allowed in the PBX's settings; `__HOLD=120s` lets a
call wait for its recording. Times are Unix seconds, so that `__TIMEZONE` does not matter.

Signed: key and JSON, byte for byte as they were written, with the salt, by SHA-256. Not signed: the path, and so the event's
name; and nothing is dated. No handshake. Reply: only the status is looked at.

Events: `events/summary`; `events/recording` (with the state Completed, unless it was not saved, or only mailed) and
`events/record/added`. All others, `result/...` among them, are counted only. At an address to which nothing is appended the
JSON's keys tell the event. Events are sent in parallel and may overtake each other.

Redirections: one summary ends a call. Of an answered call, `to` is who answered; of a missed one, the first who did not; it
is empty where the caller hung up in the menu. A caller without a number is a hidden one. An employee without an
extension is known by the user of the SIP address.

Not verified: whether the vendor repeats an event that was not answered 200.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from callbridge.call import Call, CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import Json, decode_form, decode_json
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
from callbridge.intake.providers.fields import MAX_EXTENSION, cut_text, exact_text, identity, moment, phone, whole

SUMMARY, RECORDING, RECORD_ADDED = "events/summary", "events/recording", "events/record/added"

RECORDING_LINK: Final = "https://app.mango-office.ru/vpbx/queries/recording/link"
LINK_LIFE: Final = 10 * 365 * 86_400
"""Seconds. The vendor sets no limit; a card in the CRM is opened years later. Counted from the event, so that the same
event gives the same link."""

SAVED: Final = 1000
"""`completion_code` of a recording that exists; 22xx and 4002 mean that nothing was saved."""

MAILED: Final = "Mail"
"""`recipient` of a recording that is sent to somebody and not kept; it cannot be linked to."""

_DIRECTIONS: Final = {0: Direction.INTERNAL, 1: Direction.INBOUND, 2: Direction.OUTBOUND}

_STATUS_OF_CODE: Final = {
    "1121": CallStatus.BUSY,
    "1123": CallStatus.UNAVAILABLE,
    "1124": CallStatus.UNAVAILABLE,
    "1133": CallStatus.WRONG_NUMBER,
    "3200": CallStatus.WRONG_NUMBER,
}
_STATUS_OF_CLASS: Final = dict.fromkeys(("113", "116", "119"), CallStatus.UNAVAILABLE)

_WORDS: Final = {
    "1100": "ended normally",
    "1110": "the caller hung up",
    "1111": "nobody answered",
    "1120": "the other side hung up",
    "1121": "busy",
    "1122": "rejected",
    "1123": "do not disturb",
    "1124": "employee not available",
    "1130": "not available",
    "1131": "not available",
    "1132": "number not in service",
    "1133": "number does not exist",
    "3200": "wrong number",
}
_WORDS_OF_CLASS: Final = {
    "115": "black or white list",
    "116": "group or queue did not take it",
    "117": "ended in the menu",
    "119": "inactive or out of schedule",
    "2": "account or billing",
    "42": "cannot be reached",
    "45": "refused for security",
    "5": "error in the PBX",
}
"""Codes are four digits, the first ones their class."""


class Mango:
    name = "mango"
    title = "Mango Office"
    setup = (
        "API connector: https://YOUR.HOST/hooks/NAME as the address of your system; "
        "KEY is the unique code of your PBX, SECRET the salt"
    )
    guide = __doc__ or ""
    traits = Traits("the key, and a SHA-256 over key, JSON and salt", needs=("key", "secret"))
    methods = frozenset({"POST"})
    reply = Reply("text/plain", b"ok")

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        if not source.key:
            raise Misconfigured(f"sources.{source.name}.key is missing: the API key of the PBX")
        if not source.secrets:
            raise Misconfigured(f"sources.{source.name}.secret is missing: the salt of the PBX")

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        try:
            form = decode_form(request.body)
        except Undecodable:
            form = {}
        key, sign, told = (form.get(name, b"") for name in ("vpbx_api_key", "sign", "json"))
        wanted = verify.wire_bytes(source.key or "")
        held = False
        for salt in source.secrets:
            held |= verify.same(sign, _sign(wanted, told, verify.wire_bytes(salt)))
        if not (verify.same(key, wanted) & held) or not wanted:
            raise Unauthenticated("bad_signature" if sign else "no_signature")

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        name = self.event_of(request)
        if name not in {"", SUMMARY, RECORDING, RECORD_ADDED}:
            return [Ignored(name)]
        fields = decode_json(decode_form(request.body).get("json", b""))
        if not isinstance(fields, dict):
            raise Undecodable("json is not an object")
        name = name or _detected(fields)
        try:
            if name == SUMMARY:
                return [Finished(_call(fields, source, now), name, request.body)]
            if name in {RECORDING, RECORD_ADDED}:
                return [_recording(fields, source, now, name, request.body)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None
        return [Ignored("unnamed")]

    def event_of(self, request: WebhookRequest) -> str:
        """The event as Mango writes it, from its first known word on: a base address may have a path of its own."""
        for place, segment in enumerate(request.path):
            if segment in {"events", "result"}:
                return event_name("/".join(request.path[place:]))
        return ""


def _sign(key: bytes, told: bytes, salt: bytes) -> bytes:
    return hashlib.sha256(key + told + salt).hexdigest().encode()


def _detected(fields: Mapping[str, Json]) -> str:
    """The event of a body that came to a bare address, by its keys."""
    if "call_direction" in fields and "entry_result" in fields:
        return SUMMARY
    if "recording_id" in fields:
        return RECORDING if "recording_state" in fields else RECORD_ADDED if "product_id" in fields else ""
    return ""


def _call(fields: Mapping[str, Json], source: Source, now: float) -> Call:
    number = whole(fields.get("call_direction"), "call_direction")
    direction = None if number is None else _DIRECTIONS.get(number)
    if direction is None:
        raise ValueError("call_direction is 0, 1 or 2")
    talk = _talk(fields)
    duration = talk or 0
    created = moment(fields.get("create_time"), "create_time", "UTC")
    code = cut_text(fields.get("disconnect_reason"), "disconnect_reason", 16)
    number_of_other, extension = _parties(direction, _party(fields, "from"), _party(fields, "to"))
    return Call(
        source=source.name,
        provider=Mango.name,
        ref=identity(fields.get("entry_id"), "entry_id"),
        direction=direction,
        phone=number_of_other or "",
        duration=duration,
        started_at=int(now) - duration if created is None else created,
        status=_status(code, source.status_overrides) if talk is None else CallStatus.ANSWERED,
        dated=created is not None,
        result=_result(code),
        extension=extension,
    )


def _talk(fields: Mapping[str, Json]) -> int | None:
    """Seconds of talk; None if nobody answered.

    `entry_result` is not asked: the vendor's own example says 1 for a caller who left the menu.
    """
    talk = moment(fields.get("talk_time"), "talk_time", "UTC")
    if talk is None:
        return None
    end = moment(fields.get("end_time"), "end_time", "UTC")
    if end is None or end < talk:
        raise ValueError("end_time is not before talk_time")
    return end - talk


def _party(fields: Mapping[str, Json], name: str) -> tuple[str | None, str | None]:
    """Number and extension of one side. It may be empty (left in the menu), and PHP writes an empty object as []."""
    side = fields.get(name)
    if side in (None, [], ""):
        return None, None
    if not isinstance(side, dict):
        raise ValueError(f"{name} is an object")  # noqa: TRY004 - one kind of error for all a sender writes
    number = phone(side.get("number"), f"{name}.number") or None
    return number, exact_text(side.get("extension"), f"{name}.extension", MAX_EXTENSION) or _sip_user(number)


def _sip_user(number: str | None) -> str | None:
    """Employees have SIP addresses for numbers, and not all have an extension."""
    scheme, colon, address = (number or "").partition(":")
    return address.partition("@")[0] or None if colon and scheme.lower() in {"sip", "sips"} else None


def _parties(
    direction: Direction, caller: tuple[str | None, str | None], called: tuple[str | None, str | None]
) -> tuple[str | None, str | None]:
    """The external phone and the employee's extension."""
    match direction:
        case Direction.INBOUND:
            return caller[0], called[1]
        case Direction.OUTBOUND:
            return called[0], caller[1]
        case Direction.INTERNAL:
            return called[1] or called[0], caller[1]


def _status(code: str | None, overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first, then the code, then its class."""
    if code is None:
        return CallStatus.NO_ANSWER
    return overrides.get(code) or _STATUS_OF_CODE.get(code) or _STATUS_OF_CLASS.get(code[:3]) or CallStatus.NO_ANSWER


def _result(code: str | None) -> str | None:
    if code is None:
        return None
    known = len(code) == 4 and next((words for start, words in _WORDS_OF_CLASS.items() if code.startswith(start)), None)
    words = _WORDS.get(code) or known
    return f"Mango {code}: {words}" if words else f"Mango {code}"


def _recording(fields: Mapping[str, Json], source: Source, now: float, name: str, body: bytes) -> Recording | Ignored:
    """Both recording events name the recording; of `recording` only the last state counts."""
    if name == RECORDING:
        state = cut_text(fields.get("recording_state"), "recording_state", 16)
        saved = whole(fields.get("completion_code"), "completion_code") in {None, SAVED}
        if state != "Completed" or not saved or fields.get("recipient") == MAILED:
            return Ignored(name)
    at = moment(fields.get("timestamp"), "timestamp", "UTC")
    at = int(now) if at is None else at
    recording = identity(fields.get("recording_id"), "recording_id")
    return Recording(identity(fields.get("entry_id"), "entry_id"), _link(recording, at, source), at, name, body)


def _link(recording: str, at: int, source: Source) -> str:
    key, expiry = source.key or "", str(at + LINK_LIFE)
    signed = f"{key}{expiry}{recording}{source.secrets[0]}"
    sign = hashlib.sha256(verify.wire_bytes(signed)).hexdigest()
    return f"{RECORDING_LINK}/{quote(recording, safe=':=')}/play/{quote(key, safe='')}/{expiry}/{sign}"


MANGO: Final = Mango()
