"""One call detail record of FreeSWITCH [pure]: which leg it is of, and what became of the call.

A record is of one channel. `direction` in it is the channel's, "inbound" even where an employee dials out, so it is
not read. The channel that was called for another one (the b-leg) carries that one's profile as its originator: from it
come the numbers and the route, so that both legs tell the same call. Apart from `freeswitch`, which unpacks requests.

Sources: https://github.com/signalwire/freeswitch src/switch_ivr.c (`switch_ivr_generate_json_cdr`: callflow from the
newest profile to the oldest, `originator`, `originatee`), src/switch_ivr_originate.c (`originating_leg_uuid`, on
b-legs only), src/switch_channel.c (`*_epoch`, `billsec`), src/switch_core_session.c (an originatee is set as soon as the
other channel is made); FusionPBX names the direction itself, in `call_direction`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from callbridge.call import MAX_TEXT, Call, CallStatus, Direction
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

Object = Mapping[str, Json]

INBOUND_CONTEXTS: Final = ("public", "from-trunk", "inbound")
"""The context of calls from outside in FreeSWITCH's own example configuration and in FusionPBX is `public`."""

_WORDS: Final = {
    "inbound": Direction.INBOUND, "outbound": Direction.OUTBOUND, "local": Direction.INTERNAL, "internal": Direction.INTERNAL,
}  # fmt: skip
_ANNOUNCING: Final = frozenset(
    {"playback", "ivr", "play_and_get_digits", "read", "say", "phrase", "gentones", "sleep", "endless_playback"}
)
_EMPLOYEE: Final = ("sip_from_user", "sip_auth_username", "user_name")
_FILES: Final = ("record_name", "recording_file", "recording_filename", "record_file", "recording", "record_path")


@dataclass(frozen=True, slots=True)
class Record:
    """A record and its parts. `own` is the channel's newest profile, `told` the one that numbers and route are read from."""

    variables: Object
    own: Object
    told: Object
    contexts: tuple[str, ...]
    origin: str | None
    applications: Sequence[Object]


def record_of(body: Object, variables: Object) -> Record:
    """`variables` are decoded already. A part that is missing or of another kind is empty."""
    profiles = [_object(flow.get("caller_profile")) for flow in _objects(body.get("callflow"))]
    own = profiles[0] if profiles else {}
    originator = next(_objects(_object(own.get("originator")).get("originator_caller_profiles")), None)
    told = originator or own
    # The oldest profile is how the call came into the PBX; transfers put newer ones before it.
    newest_last = [told] if originator else profiles[::-1]
    contexts = tuple(context for profile in newest_last if type(context := profile.get("context")) is str)
    origin = next(
        (found for value in (variables.get("originating_leg_uuid"), variables.get("originator"), _uuid(originator))
         if (found := text(value, "originator"))), None,
    )  # fmt: skip
    applications = tuple(_objects(_object(body.get("app_log")).get("applications")))
    return Record(variables, own, told, contexts, origin, applications)


def is_answered(record: Record) -> bool:
    return (_talk(record) or 0) > 0 or bool(moment(record.variables.get("answer_epoch"), "answer_epoch", "UTC"))


def call_of(record: Record, source: Source, now: float, provider: str, uuid: str | None) -> Call:
    """`uuid` is the one in the address, for a record that does not name its own. Raises `ValueError` that names the field."""
    variables = record.variables
    talk, status = _outcome(record, source)
    start = moment(variables.get("start_epoch"), "start_epoch", "UTC")
    if start is None:
        start = moment(variables.get("start_stamp"), "start_stamp", source.timezone)
    direction, number, extension = _parties(record, source)
    return Call(
        source=source.name,
        provider=provider,
        ref=identity(record.origin or variables.get("uuid") or record.own.get("uuid") or uuid, "uuid"),
        direction=direction,
        phone="" if direction is not Direction.INTERNAL and without_digits(number) else number,
        duration=talk,
        started_at=int(now) - talk if start is None else start,
        status=status,
        dated=False,  # UUIDs never repeat
        result=cut_text(variables.get("hangup_cause") or variables.get("hangup_cause_q850"), "hangup_cause", MAX_TEXT),
        link=link(variables.get("recording_url") or variables.get("record_url")),
        extension=extension or None,
    )


def recording_of(record: Record) -> str | None:
    """The file's name: from the variables in which configurations keep it, else from what `record_session` was told."""
    logged = [app.get("app_data") for app in record.applications if app.get("app_name") == "record_session"]
    for value in (*(record.variables.get(name) for name in _FILES), *logged):
        name = value.replace("\\", "/").rpartition("/")[2] if type(value) is str else ""
        if "." in name:
            return cut_text(name, "recording", MAX_TEXT)
    return None


def _outcome(record: Record, source: Source) -> tuple[int, CallStatus]:
    """Seconds of talk, and how the call ended."""
    variables, talk = record.variables, max(_talk(record) or 0, 0)
    last = record.applications[-1].get("app_name") if record.applications else None
    app = text(variables.get("last_app") or variables.get("current_application") or last, "last_app")
    answered = is_answered(record)
    if answered and app == "voicemail":
        return talk, CallStatus.VOICEMAIL
    if answered and not _reached_nobody(record, app):
        return talk, CallStatus.ANSWERED
    causes = [
        text(variables.get(name), name)
        for name in ("hangup_cause", "hangup_cause_q850", "last_bridge_hangup_cause", "originate_disposition")
    ]
    told = next((status for cause in causes[:2] if cause and (status := source.status_overrides.get(cause))), None)
    by_cause = filter(None, (STATUS_OF_CAUSE.get(cause or "") for cause in causes))
    return 0, told or next(by_cause, CallStatus.NO_ANSWER)


def _talk(record: Record) -> int | None:
    talk = whole(record.variables.get("billsec"), "billsec")
    if talk is not None:
        return talk
    answer = moment(record.variables.get("answer_epoch"), "answer_epoch", "UTC")
    end = moment(record.variables.get("end_epoch"), "end_epoch", "UTC")
    return end - answer if answer is not None and end is not None else None


def _reached_nobody(record: Record, app: str | None) -> bool:
    """Whether only a menu or an announcement took the call. An `originatee` proves no more than that a phone rang; and of a
    `bridge` that came to nothing the record says itself that there was none, with 0 for its time.
    """
    variables = record.variables
    if record.origin is not None or variables.get("bridge_uuid") or variables.get("last_bridge_to"):
        return False
    bridged_at = variables.get("bridge_epoch")
    if bridged_at not in (None, "", "0", 0):
        return False
    return app in _ANNOUNCING or (app == "bridge" and bridged_at in ("0", 0))


def _parties(record: Record, source: Source) -> tuple[Direction, str, str]:
    """Direction, the other party's number, and the employee's extension."""
    variables, digits = record.variables, source.internal_digits
    caller = phone_of(record.told.get("caller_id_number"), "caller_id_number")
    called = phone_of(record.told.get("destination_number"), "destination_number")
    if record.origin is None:
        caller = caller or phone_of(
            variables.get("caller_id_number") or variables.get("sip_from_user"), "sip_from_user"
        )
        called = called or phone_of(variables.get("destination_number") or variables.get("sip_to_user"), "sip_to_user")
    told = [] if record.origin is not None else [variables.get(name) for name in _EMPLOYEE]
    logins = [exact_text(login, "sip_from_user", MAX_EXTENSION) for login in (*told, record.told.get("username"))]
    employee = next((n for n in (*logins, caller) if n and is_internal(n, digits)), "")
    direction = _direction(record, source, employee or caller, called)
    match direction:
        case Direction.INBOUND:
            return direction, caller, _reached(record, called, digits)
        case Direction.OUTBOUND | Direction.INTERNAL:
            return direction, called, employee or next((n for n in logins if n and without_digits(n)), "")


def _direction(record: Record, source: Source, caller: str, called: str) -> Direction:
    word = text(record.variables.get("call_direction"), "call_direction")
    if word and word.lower() in _WORDS:
        return _WORDS[word.lower()]
    gateway = text(record.variables.get("sip_gateway_name"), "sip_gateway_name")
    if told := by_route(source, (*record.contexts, gateway or "")):
        return told
    if any(context.startswith(INBOUND_CONTEXTS) for context in record.contexts[:1]):
        return Direction.INBOUND
    return by_numbers(caller, called, source)


def _reached(record: Record, called: str, digits: int) -> str:
    """The extension that an outside call reached: the leg's own number, or that of the last leg called for it."""
    originatees = _objects(_object(record.own.get("originatee")).get("originatee_caller_profiles"))
    candidates = (
        record.variables.get("dialed_user"),
        record.own.get("destination_number") if record.origin else None,
        *(profile.get("destination_number") for profile in originatees),
        record.variables.get("last_dialed_extension"),
        called,
    )
    return next((n for n in candidates if type(n) is str and is_internal(n, digits)), "")


def _uuid(profile: Object | None) -> Json:
    return profile.get("uuid") if profile else None


def _object(value: Json) -> Object:
    return value if isinstance(value, dict) else {}


def _objects(value: Json) -> Iterator[Object]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
