"""Zadarma, and Novofon with its first API: webhooks of the cloud PBX [pure].

Vendor: https://zadarma.com/en/support/api/#api_webhooks (Novofon v1 is the same wire under another name); signed texts and
fields from the vendor's own libraries, https://github.com/zadarma/user-api-v1 and
https://github.com/zadarma/user-api-typescript, and https://github.com/novofon/user-api-v1.

Which provider for Novofon: accounts whose notifications are fixed events named NOTIFY_... are `zadarma`. Accounts of
Novofon 2.0, where you write the body of a notification yourself, are on another platform: provider `uis`.

Settings: `CALLBRIDGE_SOURCES__NAME__SECRET` is the API secret (Settings, Integrations and API, Keys and API; not the key
beside it). `__TIMEZONE` is the time zone of the account, because times come as a wall clock without an offset. Set
`__PATH_TOKEN` too: the test of the address is not signed, and neither is more than three fields of a call.

Handshake: when the address is entered, the vendor asks it with `?zd_echo=TEXT` and wants exactly TEXT back, unsigned.
Only 1 to 64 of `A-Z a-z 0-9 _ . -` are echoed.

Events: NOTIFY_END and NOTIFY_OUT_END are finished calls, NOTIFY_RECORD a recording; it names the recording
(`call_id_with_rec`) and gives no address, so that a link needs `__LINK_TEMPLATE` with {recording} or {id}. All others are
counted only. A form; multipart and JSON have been seen and are read as well. Reply: 200, the body does not matter for
these events; NOTIFY_START would obey a JSON answer, so it gets an empty object.

Signed: the header `Signature` is Base64 of the hexadecimal (PHP library) or of the raw (TypeScript library) HMAC-SHA1 of a
few fields written one after another:

    NOTIFY_START, _INTERNAL, _END, _IVR                      caller_id called_did call_start
    NOTIFY_ANSWER                                            caller_id destination call_start
    NOTIFY_OUT_START, _OUT_END                               internal destination call_start
    NOTIFY_RECORD                                            pbx_call_id call_id_with_rec
    SMS, NUMBER_LOOKUP, CALL_TRACKING, SPEECH_RECOGNITION    result

Not signed: everything else, so above all `duration`, `disposition`, `pbx_call_id` and the event's name: whoever sees a
signed webhook can send it again with another outcome. Only HTTPS and the path token stand against that. Nothing is dated.
An event that the vendor does not document (NOTIFY_INTERNAL_END is one) may be signed in any of these ways; to a source with
a path token it may come signed in a way we do not know. It is counted and nothing more.

Not verified: whether and how often the vendor repeats a webhook; assume that it does not.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_REF, MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.multipart import decode_flat
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
    moment,
    phone,
    whole,
)

END, OUT_END, RECORD = "NOTIFY_END", "NOTIFY_OUT_END", "NOTIFY_RECORD"

_SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    event: fields
    for events, fields in (
        (("NOTIFY_START", "NOTIFY_INTERNAL", END, "NOTIFY_IVR"), ("caller_id", "called_did", "call_start")),
        (("NOTIFY_ANSWER",), ("caller_id", "destination", "call_start")),
        (("NOTIFY_OUT_START", OUT_END), ("internal", "destination", "call_start")),
        ((RECORD,), ("pbx_call_id", "call_id_with_rec")),
        (("SMS", "NUMBER_LOOKUP", "CALL_TRACKING", "SPEECH_RECOGNITION"), ("result",)),
    )
    for event in events
}
_WAYS: Final = tuple(dict.fromkeys(_SIGNED.values()))

_ECHO: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_STATUSES: Final = {
    "busy": CallStatus.BUSY,
    "unallocated number": CallStatus.WRONG_NUMBER,
}
"""The rest (cancel, no answer, failed, call failed, no money, no limit, no day limit, line limit, ...) is nobody's answer;
and so is "answered" without a second of talk."""


class Zadarma:
    name = "zadarma"
    title = "Zadarma, Novofon (API v1)"
    setup = (
        "Settings, Integrations and API, Notifications about calls: https://YOUR.HOST/hooks/NAME/PATH_TOKEN as the address, "
        "with the end of calls and recordings ticked; SECRET is the API secret"
    )
    guide = __doc__ or ""
    traits = Traits(
        "HMAC-SHA1 with the API secret over three fields; the path token for the rest",
        needs=("secret", "path_token"),
        wall_clock=True,
    )
    methods = frozenset({"POST"})
    reply = Reply("application/json", b"{}")

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - the test is not signed
        echo = request.query.get("zd_echo", "") if request.method == "GET" else ""
        return Reply("text/plain", echo.encode()) if _ECHO.fullmatch(echo) else None

    def check(self, source: Source) -> None:
        if not source.secrets:
            raise Misconfigured(f"sources.{source.name}.secret is missing: the API secret")

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        try:
            fields = decode_flat(request.body)
        except Undecodable:
            fields = {}
        given = verify.wire_bytes(request.headers.get("signature", ""))
        event = _event(fields)
        held = False
        for way in _WAYS:
            signed = b"".join(fields.get(name, b"") for name in way)
            fits = bool(signed) & (_SIGNED.get(event, way) == way)
            for secret in source.secrets:
                held |= fits & _is_signed(given, signed, verify.wire_bytes(secret))
        harmless = event != "" and event not in _SIGNED and source.path_token is not None
        if not (held or harmless):
            raise Unauthenticated("bad_signature" if given else "no_signature")

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        raw = decode_flat(request.body)
        fields = {name: _text(raw, name) for name in raw}
        name = _event(raw)
        if not name:
            raise Undecodable("event is missing")
        try:
            if name in {END, OUT_END}:
                return [_finished(fields, name, source, now, request.body)]
            if name == RECORD:
                return [_recording(fields, int(now), request.body)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None
        return [Ignored(name)]

    def event_of(self, request: WebhookRequest) -> str:
        try:
            return _event(decode_flat(request.body)) or event_name("")
        except Undecodable:
            return event_name("")


def _event(fields: Mapping[str, bytes]) -> str:
    """The event's name, "" where there is none. What has to be signed goes by it, so there is one reading of it: a name that
    was unknown here and NOTIFY_END where the call is read would be a call that nobody signed.
    """
    told = _text(fields, "event")
    return event_name(told) if told else ""


def _is_signed(given: bytes, signed: bytes, secret: bytes) -> bool:
    """Both spellings of the digest are always made and compared."""
    digest = hmac.digest(secret, signed, "sha1")
    return verify.same(given, base64.b64encode(digest.hex().encode())) | verify.same(given, base64.b64encode(digest))


def _text(fields: Mapping[str, bytes], name: str) -> str | None:
    return fields[name].decode("utf-8", "replace") if name in fields else None


def _finished(fields: Mapping[str, str | None], name: str, source: Source, now: float, body: bytes) -> Finished:
    duration = whole(fields.get("duration"), "duration") or 0
    started_at = moment(fields.get("call_start"), "call_start", source.timezone)
    party = "caller_id" if name == END else "destination"
    number = phone(fields.get(party), party)
    direction = Direction.INBOUND if name == END else Direction.OUTBOUND
    disposition = cut_text(fields.get("disposition"), "disposition", MAX_TEXT)
    call = Call(
        source=source.name,
        provider=Zadarma.name,
        ref=identity(fields.get("pbx_call_id"), "pbx_call_id"),
        direction=Direction.INTERNAL if is_internal(number, source.internal_digits) else direction,
        phone=number,
        duration=duration,
        started_at=int(now) - duration if started_at is None else started_at,
        status=CallStatus.ANSWERED if duration > 0 else _status(disposition, source.status_overrides),
        dated=False,  # the vendor's ids are long and random
        result=disposition,
        extension=exact_text(fields.get("internal"), "internal", MAX_EXTENSION),
    )
    recorded = (fields.get("is_recorded") or "").strip().lower() not in {"", "0", "false"}
    recording = exact_text(fields.get("call_id_with_rec"), "call_id_with_rec", MAX_REF)
    return Finished(call, name, body, recording if recorded else None)


def _status(disposition: str | None, overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first."""
    if disposition is None:
        return CallStatus.NO_ANSWER
    return overrides.get(disposition) or _STATUSES.get(disposition.lower()) or CallStatus.NO_ANSWER


def _recording(fields: Mapping[str, str | None], now: int, body: bytes) -> Recording:
    """The event has no time of its own."""
    ref = identity(fields.get("pbx_call_id"), "pbx_call_id")
    recording = identity(fields.get("call_id_with_rec"), "call_id_with_rec")
    return Recording(ref, None, now, RECORD, body, recording)


ZADARMA: Final = Zadarma()
