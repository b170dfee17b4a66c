"""onlinePBX: events of the cloud PBX, as a form, as JSON or as a multipart form [pure].

Vendor: https://kb.onlinepbx.ru, "HTTP-уведомления" (pageId=27591028); the fields of the two final events as production
receivers of them read them, because the vendor's page prints the first events only.

Settings: in the PBX, Profile, Web-hooks: https://YOUR.HOST/hooks/NAME/PATH_TOKEN as the address, with the events call_end and
call_missed. The certificate must be valid. `CALLBRIDGE_SOURCES__NAME__PATH_TOKEN` is a long random word of your own.

Credential: nothing is signed. The path token; or, where a secret is configured, `?token=` in the address. Signatures that
some receivers check are of their own making. Whoever knows the address can tell any call.

Events: call_end and call_missed are both final and may come for the same call, which has one `uuid`; call_start,
call_answered and unknown ones are counted only. Reply: 200.

Repetitions: six deliveries of one call within 270 ms have been seen. That is normal, and is one call.

Direction is `direction`: inbound, outbound or local (internal). The customer is one of `caller` and `callee`, the employee
the other; `gateway` is the company's line. Duration is `dialog_duration`; `call_duration` counts the ringing too. Without a
talk `hangup_cause`, in FreeSWITCH's words, tells why.

Recording: `download_url` comes with the end of the call. It is known to expire, after a time that the vendor does not tell:
where recordings must be heard for longer, fetch them yourself and set `__LINK_TEMPLATE` with `__LINK_HOSTS` naming only the
host that you keep them on.

Not verified: how today's PBXs wrap the fields (all three wrappings are read); whether a webhook that fails is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Undecodable
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
from callbridge.intake.providers.causes import STATUS_OF_CAUSE
from callbridge.intake.providers.fields import MAX_EXTENSION, cut_text, exact_text, identity, link, moment, phone, whole
from callbridge.intake.providers.numbers import is_one_of

END, MISSED = "call_end", "call_missed"

_DIRECTIONS: Final = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
    "local": Direction.INTERNAL,
    "internal": Direction.INTERNAL,
}


class OnlinePbx:
    name = "onlinepbx"
    title = "onlinePBX"
    setup = (
        "Profile, Web-hooks: https://YOUR.HOST/hooks/NAME/PATH_TOKEN as the address, with call_end and call_missed ticked; "
        "PATH_TOKEN is a long random word of your own"
    )
    guide = __doc__ or ""
    traits = Traits("the path token, or the secret as ?token=", needs=("path_token",))
    methods = frozenset({"POST"})
    reply = Reply("application/json", b'{"success":true}')

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        token.verify_token(request, source)

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        fields = _read(request.body)
        if not fields.get("event"):
            raise Undecodable("event is missing")
        name = event_name(fields["event"])
        if name not in {END, MISSED}:
            return [Ignored(name)]
        try:
            return [Finished(_call(fields, name, source, now), name, request.body)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:
        try:
            return event_name(_read(request.body).get("event", ""))
        except Undecodable:
            return event_name("")


def _read(body: bytes) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace").strip() for name, value in decode_flat(body).items()}


def _call(fields: Mapping[str, str], event: str, source: Source, now: float) -> Call:
    direction = _DIRECTIONS.get(fields.get("direction", "").lower())
    if direction is None:
        raise ValueError("direction is inbound, outbound or local")
    talk = whole(fields.get("dialog_duration"), "dialog_duration") or 0
    date = moment(fields.get("date"), "date", source.timezone)
    cause = cut_text(fields.get("hangup_cause"), "hangup_cause", MAX_TEXT)
    outside, inside = ("caller", "callee") if direction is Direction.INBOUND else ("callee", "caller")
    return Call(
        source=source.name,
        provider=OnlinePbx.name,
        ref=identity(fields.get("uuid"), "uuid"),
        direction=direction,
        phone=phone(fields.get(outside), outside),
        duration=talk,
        started_at=int(now) - talk if date is None else date,
        status=CallStatus.ANSWERED if talk > 0 else _status(cause, event, source.status_overrides),
        dated=False,  # UUIDs never repeat
        result=cause or (MISSED if event == MISSED else None),
        link=link(fields.get("download_url")),
        extension=_employee(fields, inside, source),
    )


def _employee(fields: Mapping[str, str], side: str, source: Source) -> str | None:
    """Who of the company took part; a missed call may have reached no further than the company's line."""
    number = exact_text(fields.get(side), side, MAX_EXTENSION)
    lines = (fields.get("gateway", ""), *source.own_numbers)
    return None if number is None or is_one_of(number, lines) else number


def _status(cause: str | None, event: str, overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first. It may be about the event where that is all there is."""
    told = cause or event
    return overrides.get(told) or STATUS_OF_CAUSE.get(told.upper()) or CallStatus.NO_ANSWER


ONLINEPBX: Final = OnlinePbx()
