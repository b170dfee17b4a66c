"""The canonical webhook, for every PBX that can run a script [pure].

JSON in UTF-8, one object or an array of up to 100. Unknown fields are ignored; null and "" mean absent.

| field      | type                      | required | default and rule                                                   |
|------------|---------------------------|----------|--------------------------------------------------------------------|
| event      | text                      | no       | `call.finished`; or `call.recording`; others are acknowledged and   |
|            |                           |          | counted                                                            |
| id         | text or whole number      | yes      | the PBX's own id of the call, 1 to 256 characters                  |
| direction  | text                      | yes      | `inbound`, `outbound`, `internal` (also `in`, `incoming`, ...)     |
| phone      | text or whole number      | yes      | the external party; "" or null where the number is hidden          |
| duration   | seconds, number or text   | yes      | talk time, 0 to 7 days; a fraction is cut off                      |
| started_at | Unix seconds or           | no       | receipt minus duration; milliseconds from 10^11 on; a time without |
|            | RFC 3339 text             |          | an offset is in the source's time zone; 0 means absent             |
| status     | 1 to 7, or its name       | no       | 4 `answered` if duration > 0, else 6 `no_answer`; the source's     |
|            |                           |          | `status_overrides` come first                                      |
| result     | text                      | no       | none; cut to 1,000 characters                                      |
| link       | http(s) URL               | no       | none; what is no such URL is dropped                               |
| extension  | text or whole number      | no       | none; at most 254 characters                                       |
| at         | as started_at             | no       | `call.recording` only: when the recording was ready; receipt       |

`call.recording` needs `id` and `link` only.

The credential is a Standard Webhooks signature, a bearer token, or the path token alone where no secret is configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callbridge.call import MAX_PHONE, MAX_TEXT, Call, CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import Json, decode_json, split_array
from callbridge.intake.providers import token
from callbridge.intake.providers.base import (
    Broken,
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
from callbridge.intake.providers.fields import MAX_EXTENSION, cut_text, exact_text, identity, link, moment, text, whole

FINISHED, RECORDING = "call.finished", "call.recording"
MAX_ELEMENTS: Final = 100

_DIRECTIONS: Final = {
    word: direction
    for direction, words in {
        Direction.INBOUND: ("inbound", "in", "incoming"),
        Direction.OUTBOUND: ("outbound", "out", "outgoing"),
        Direction.INTERNAL: ("internal", "local"),
    }.items()
    for word in words
}
_STATUSES: Final = {word: status for status in CallStatus for word in (status.value, str(status.number))}


class Generic:
    name = "generic"
    title = "Any PBX that can run a script"
    setup = "POST the canonical JSON to /hooks/NAME, signed as in Standard Webhooks, with a bearer token, or to a secret path"
    guide = __doc__ or ""
    traits = Traits("Standard Webhooks signature, bearer token, or the path token")
    methods = frozenset({"POST"})
    reply = Reply("application/json", b'{"accepted":true}')

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)
        if source.auth == "signature":
            for secret in source.secrets:
                try:
                    verify.signing_key(secret)
                except Misconfigured as error:
                    raise Misconfigured(f"sources.{source.name}.secret: {error}") from error

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:
        if not source.secrets:
            problem = None if source.path_token else "no_credential_configured"
        elif source.auth == "bearer":
            problem = verify.bearer_problem(request.headers, source.secrets)
        else:
            problem = verify.signature_problem(request.headers, request.body, source.secrets, now)
        if problem:
            raise Unauthenticated(problem)

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        elements = split_array(request.body)
        if elements is None:
            return [_read(request.body, source, now)]
        if len(elements) > MAX_ELEMENTS:
            raise Undecodable(f"is an array of more than {MAX_ELEMENTS} elements")
        return [_read(element, source, now) for element in elements] or [Ignored("empty")]

    def event_of(self, request: WebhookRequest) -> str:  # noqa: ARG002 - only the body says it here
        return FINISHED


def _read(body: bytes, source: Source, now: float) -> Event:
    name = FINISHED
    try:
        fields = decode_json(body)
        if not isinstance(fields, dict):
            return Broken("is not a JSON object", name, body)
        name = text(fields.get("event"), "event") or FINISHED
        if name == FINISHED:
            return Finished(_call(fields, source, now), name, body)
        if name == RECORDING:
            return _recording(fields, source, now, body)
        return Ignored(event_name(name))
    except Undecodable as error:
        return Broken(error.reason, name, body)
    except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
        return Broken(str(error), event_name(name), body)


def _call(fields: Mapping[str, Json], source: Source, now: float) -> Call:
    for name in ("id", "direction", "phone", "duration"):
        if name not in fields:
            raise ValueError(f"{name} is missing")
    duration = whole(fields["duration"], "duration")
    if duration is None:
        raise ValueError("duration is missing")
    started_at = moment(fields.get("started_at"), "started_at", source.timezone)
    return Call(
        source=source.name,
        provider=Generic.name,
        ref=identity(fields["id"], "id"),
        direction=_direction(fields["direction"]),
        phone=exact_text(fields["phone"], "phone", MAX_PHONE) or "",
        duration=duration,
        started_at=int(now) - duration if started_at is None else started_at,
        status=_status(fields.get("status"), duration, source.status_overrides),
        dated=started_at is not None,
        result=cut_text(fields.get("result"), "result", MAX_TEXT),
        link=link(fields.get("link")),
        extension=exact_text(fields.get("extension"), "extension", MAX_EXTENSION),
    )


def _recording(fields: Mapping[str, Json], source: Source, now: float, body: bytes) -> Recording:
    url = link(fields.get("link"))
    if url is None:
        raise ValueError("link is an http or https URL")
    at = moment(fields.get("at"), "at", source.timezone)
    return Recording(identity(fields.get("id"), "id"), url, int(now) if at is None else at, RECORDING, body)


def _direction(value: Json) -> Direction:
    word = text(value, "direction")
    direction = _DIRECTIONS.get(word.lower()) if word else None
    if direction is None:
        raise ValueError("direction is inbound, outbound or internal")
    return direction


def _status(value: Json, duration: int, overrides: Mapping[str, CallStatus]) -> CallStatus:
    word = text(value, "status")
    if word is None:
        return CallStatus.ANSWERED if duration > 0 else CallStatus.NO_ANSWER
    status = overrides.get(word) or _STATUSES.get(word.lower())
    if status is None:
        raise ValueError("status is a number from 1 to 7 or its name")
    return status


GENERIC: Final = Generic()
