"""MegaFon's virtual PBX and its family [pure]: MegaPBX, Gravitel, Kcell, Moldcell, Dom.ru, all built on ITooLabs.

Sources: the CRM integration API of the virtual PBX, as the vendor hands it out in the PBX's own settings, read together with
public clients of it: https://github.com/antibaloo/bpm.ucre.ru (MegaPBX), https://github.com/barseeek/Megapbx_api.

Settings: in the PBX, Settings, Integration with CRM, "own CRM": the address of your CRM is
https://YOUR.HOST/hooks/NAME, and the key that the PBX shows or lets you enter for the CRM (`crm_token`) goes to
`CALLBRIDGE_SOURCES__NAME__SECRET`. `__TIMEZONE` matters only to brands that write the start as a wall clock.

Credential: nothing is signed. `crm_token` in each form is compared in constant time; some brands send it as the
header X-API-KEY, which is taken instead. Whoever holds it can tell any call. A path token can be added, or stand alone.

Events (`cmd`): `history` is a finished call and carries its recording (`link`); it may come again with another duration or
link, which is the same call. `event` (a call in progress), `rating` and unknown ones are counted only. `contact` asks for
the caller's name before the phone rings; we know no names, and the empty object of the reply says so. Reply: 200 `{}`.

Direction is `type`: in, out, or missed (inbound). A number no longer than an extension is a colleague, and so the call is
internal. The employee is `ext`, or the login `user` where there is no extension; either can be mapped to a user.

Duration: the vendor does not say whether `duration` is the whole call or the talk. It counts as talk only where nobody says
that there was none: with the status missed, Cancel, Busy, NotAvailable, NotAllowed or NotFound, in any case of letters,
it may be the ringing, and is not taken.

A transfer makes two calls: the event TRANSFERRED names the ids of both legs, the history of a leg only its own. They are
delivered as two calls, each to its own employee.

Not verified: how often a webhook is repeated after an error (one client says: until it is answered 2xx).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Unauthenticated, Undecodable
from callbridge.intake import verify
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
from callbridge.intake.providers.fields import (
    MAX_EXTENSION,
    cut_text,
    exact_text,
    identity,
    is_internal,
    link,
    moment,
    phone,
    whole,
)

HISTORY: Final = "history"

_DIRECTIONS: Final = {
    "in": Direction.INBOUND,
    "missed": Direction.INBOUND,
    "out": Direction.OUTBOUND,
    "internal": Direction.INTERNAL,
}

_STATUSES: Final = {
    "missed": CallStatus.NO_ANSWER,
    "cancel": CallStatus.NO_ANSWER,
    "notallowed": CallStatus.NO_ANSWER,
    "busy": CallStatus.BUSY,
    "notavailable": CallStatus.UNAVAILABLE,
    "notfound": CallStatus.WRONG_NUMBER,
}
"""Without a talk. `Success` is not among them: it is told by its duration."""


class Megafon:
    name = "megafon"
    title = "MegaFon VATS, MegaPBX, Gravitel, Kcell, Moldcell, Dom.ru (ITooLabs)"
    setup = (
        "Settings, Integration with CRM, own CRM: https://YOUR.HOST/hooks/NAME as the address of your CRM; "
        "SECRET is the key of your CRM there (crm_token)"
    )
    guide = __doc__ or ""
    traits = Traits("the secret in the form (crm_token)")
    methods = frozenset({"POST"})
    reply = Reply("application/json", b"{}")

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        try:
            given = decode_flat(request.body).get("crm_token", b"")
        except Undecodable:
            given = b""
        in_header = verify.wire_bytes(request.headers.get("x-api-key", ""))
        held = verify.any_same(given, source.secrets) | verify.any_same(in_header, source.secrets)
        if not (held if source.secrets else source.path_token is not None):
            raise Unauthenticated("bad_token" if given or in_header else "no_token")

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        fields = _read(request.body)
        name = event_name(fields.get("cmd", ""))
        if not fields.get("cmd"):
            raise Undecodable("cmd is missing")
        if name != HISTORY:
            return [Ignored(name)]
        try:
            return [Finished(_call(fields, source, now), name, request.body)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:
        try:
            return event_name(_read(request.body).get("cmd", ""))
        except Undecodable:
            return event_name("")


def _read(body: bytes) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace") for name, value in decode_flat(body).items()}


def _call(fields: Mapping[str, str], source: Source, now: float) -> Call:
    kind = (fields.get("type") or "").strip().lower()
    direction = _DIRECTIONS.get(kind)
    if direction is None:
        raise ValueError("type is in, out or missed")
    number = phone(fields.get("phone"), "phone")
    status = cut_text(fields.get("status"), "status", MAX_TEXT)
    told = status or (kind if kind == "missed" else None)
    named = (told or "").lower()
    duration = 0 if named in _STATUSES else whole(fields.get("duration"), "duration") or 0
    started_at = moment(fields.get("start"), "start", source.timezone)
    return Call(
        source=source.name,
        provider=Megafon.name,
        ref=identity(fields.get("callid"), "callid"),
        direction=Direction.INTERNAL if is_internal(number, source.internal_digits) else direction,
        phone=number,
        duration=duration,
        started_at=int(now) - duration if started_at is None else started_at,
        status=CallStatus.ANSWERED if duration > 0 else _status(told, source.status_overrides),
        dated=started_at is not None,
        result=told,
        link=link(fields.get("link")),
        extension=_extension(fields),
    )


def _extension(fields: Mapping[str, str]) -> str | None:
    return exact_text(fields.get("ext"), "ext", MAX_EXTENSION) or exact_text(fields.get("user"), "user", MAX_EXTENSION)


def _status(told: str | None, overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first."""
    if told is None:
        return CallStatus.NO_ANSWER
    return overrides.get(told) or _STATUSES.get(told.lower()) or CallStatus.NO_ANSWER


MEGAFON: Final = Megafon()
