"""Binotel: what its virtual PBX posts about calls, a PHP array written as a form [pure].

Vendor: https://developers.binotel.ua (API CALL Completed, API CALL Settings); the wire as public receivers of it read it.

Settings: the vendor's support enters the address for you, https://YOUR.HOST/hooks/NAME/PATH_TOKEN for API CALL Completed;
`CALLBRIDGE_SOURCES__NAME__PATH_TOKEN` is a long random word of your own. The vendor asks you to take requests from its own
servers only: put the list of its page into `__ALLOW_FROM`. Published copies of that list differ, so ask for today's.

Credential: nothing is signed. The path token; or, where a secret is configured, `?token=` in the address. `__ALLOW_FROM`
alone is none, because an address can be forged behind a proxy.

Events (`requestType`): apiCallCompleted is a finished call. apiCallSettings asks, while the telephone rings, who is calling;
we know no names, and are quick to say so: `{"customerData":{}}`. receivedTheCall, answeredTheCall, transferredTheCall,
hangupTheCall and unknown ones are counted only, and so is apiCallCompleted about a text message.

Reply: exactly `{"status":"success"}`, also for what was seen before. After any other the vendor sends again,
`attemptsCounter` counting: seven times in 38 hours, as one public receiver says.

The fields are `callDetails[...]`: `callType` 0 is inbound, 1 outbound; `externalNumber` is the customer in the country's own
spelling (the last ten digits are what the CRM compares by); the employee is `internalNumber`, or the e-mail address in
`employeeData` where there is none. `startTime` is Unix seconds, `billsec` the talk.

Voicemail: VM and VM-SUCCESS. TRANSFER is a call that was answered and handed on: it is told by its `billsec`.

Recording: `linkToCallRecordInMyBusiness` needs a login at the vendor's. A link to the file itself is to be had from the
vendor's API only, and lives for 15 minutes.

Not verified: today's networks; whether calls between employees are told (a short `externalNumber` is taken for one).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Undecodable
from callbridge.intake.decode import decode_form
from callbridge.intake.providers import token
from callbridge.intake.providers.base import (
    Challenge,
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

COMPLETED, SETTINGS = "apiCallCompleted", "apiCallSettings"

MAX_FIELDS: Final = 2_000
"""Each employee whose telephone rang adds seven."""

_DIRECTIONS: Final = {"0": Direction.INBOUND, "1": Direction.OUTBOUND}

_VOICEMAIL: Final = frozenset({"VM", "VM-SUCCESS"})
_TEXT_MESSAGE: Final = "SMS-"
_STATUSES: Final = {
    "BUSY": CallStatus.BUSY,
    "CHANUNAVAIL": CallStatus.UNAVAILABLE,
    **dict.fromkeys(_VOICEMAIL, CallStatus.VOICEMAIL),
}
"""Without a talk; the rest (NOANSWER, CANCEL, CONGESTION, FAILED, TRANSFER, ...) is nobody's answer."""

_NOBODY: Final = Reply("application/json", b'{"customerData":{}}')


class Binotel:
    name = "binotel"
    title = "Binotel"
    setup = (
        "Ask Binotel's support to enter https://YOUR.HOST/hooks/NAME/PATH_TOKEN for API CALL Completed; PATH_TOKEN is a long "
        "random word of your own, ALLOW_FROM the addresses of its servers"
    )
    guide = __doc__ or ""
    traits = Traits("the path token, or the secret as ?token=", needs=("path_token",))
    methods = frozenset({"POST"})
    reply = Reply("application/json", b'{"status":"success"}')

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        token.verify_token(request, source)

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        fields = _read(request.body)
        if not fields.get("requestType"):
            raise Undecodable("requestType is missing")
        name = event_name(fields["requestType"])
        if name == SETTINGS:
            return [Challenge(name, _NOBODY)]
        if name != COMPLETED or _detail(fields, "disposition").upper().startswith(_TEXT_MESSAGE):
            return [Ignored(name)]
        try:
            return [Finished(_call(fields, source, now), name, request.body)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:
        try:
            return event_name(_read(request.body).get("requestType", ""))
        except Undecodable:
            return event_name("")


def _read(body: bytes) -> dict[str, str]:
    """The fields under their whole names, brackets and all: what we need of the tree is at places that we know, so no tree is
    built, and none can be too deep.
    """
    told = decode_form(body, MAX_FIELDS)
    return {name: value.decode("utf-8", "replace").strip() for name, value in told.items()}


def _detail(fields: Mapping[str, str], *path: str) -> str:
    return fields.get("callDetails" + "".join(f"[{step}]" for step in path), "")


def _call(fields: Mapping[str, str], source: Source, now: float) -> Call:
    direction = _DIRECTIONS.get(_detail(fields, "callType"))
    if direction is None:
        raise ValueError("callType is 0 or 1")
    number = phone(_detail(fields, "externalNumber"), "externalNumber")
    duration = whole(_detail(fields, "billsec"), "billsec") or 0
    started_at = moment(_detail(fields, "startTime"), "startTime", source.timezone)
    disposition = cut_text(_detail(fields, "disposition"), "disposition", MAX_TEXT)
    employee = _detail(fields, "internalNumber") or _detail(fields, "employeeData", "email")
    return Call(
        source=source.name,
        provider=Binotel.name,
        ref=identity(_detail(fields, "generalCallID"), "generalCallID"),
        direction=Direction.INTERNAL if is_internal(number, source.internal_digits) else direction,
        phone=number,
        duration=duration,
        started_at=int(now) - duration if started_at is None else started_at,
        status=_status(duration, disposition or "", source.status_overrides),
        dated=False,  # a counter of the vendor's, never used twice
        result=disposition,
        link=link(_detail(fields, "linkToCallRecordInMyBusiness")),
        extension=exact_text(employee, "internalNumber", MAX_EXTENSION),
    )


def _status(talk: int, disposition: str, overrides: Mapping[str, CallStatus]) -> CallStatus:
    """Of a call without talk: the operator's word first. The seconds of a message are no talk: nobody answered."""
    told = disposition.upper()
    if talk > 0 and told not in _VOICEMAIL:
        return CallStatus.ANSWERED
    return overrides.get(disposition) or _STATUSES.get(told) or CallStatus.NO_ANSWER


BINOTEL: Final = Binotel()
