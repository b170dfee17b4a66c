"""FreeSWITCH, and FusionPBX on it: the records of mod_json_cdr [pure].

One POST per channel. `deploy/freeswitch/json_cdr.conf.xml` is a configuration to start from. All that the module can
be told is understood, by the shape of the body and not by its content type, which `disable-100-continue` drops:

* `encode=false`, recommended: the JSON itself;
* `encode=true`: a form with the field `cdr`. FreeSWITCH does not encode a percent sign twice, so with
  `encode-values=true` the quotes inside values arrive bare; they are told from the others by their neighbours, and
  what stays ambiguous is kept as undecodable;
* `encode=base64`: `cdr=` and Base64, in which `+` is no space;
* a record from `err-log-dir`, posted later by hand: the same without `cdr=`.

`encode-values` (on where nothing is said) percent-encodes each value of `variables`. FreeSWITCH then leaves no space,
colon or quote in any of them, and every record has `start_stamp`, which holds both; so the stamp says whether values
are encoded. Where no stamp is, they are if one holds %XX and none a character that would have been encoded.
mod_xml_cdr is not understood.

Signed: nothing. The credential is `cred` (basic: KEY is the user name, where it is set, and SECRET the password) or
the path token. `?uuid=...` is appended to any address, even to one with a query: a `?token=` survives it.
`auth-scheme=digest` is not supported. Use https with `enable-cacert-check` and `enable-ssl-verifyhost`; without them
FreeSWITCH believes any certificate.

Legs: `log-b-leg` is on where nothing is said. A b-leg that was answered folds into the call of its originator while
the call is held (set HOLD to 5s or more); one that was not answered tells nothing that the a-leg does not, and is
acknowledged and counted.

Direction: `call_direction`, where the configuration sets it (FusionPBX does); DIRECTIONS, by the beginning of the
context in which the call began, or of a gateway's name; the context `public`; else the numbers: up to INTERNAL_DIGITS
digits or one of OWN_NUMBERS is ours. Talk is `billsec`; a channel that only heard `ivr` or `playback`, or whose
`bridge` came to nothing (`bridge_epoch` 0), had none; `voicemail` is a message left. The recording's file name comes
from `record_name` and the like, or from `record_session`; LINK_TEMPLATE makes a link of it.

Retries: `retries` (none where nothing is said) with `delay` seconds between, then a file in `err-log-dir`; any 2xx
ends them.

Settings: CALLBRIDGE_SOURCES__NAME__PROVIDER=freeswitch, __SECRET and __KEY, or __PATH_TOKEN; __HOLD=5s,
__DIRECTIONS={"public": "inbound"}, __MAX_BODY=262144 (records of long calls are long),
__STATUS_OVERRIDES={"CALL_REJECTED": 7} (names or Q.850 numbers).

Vendor: https://github.com/signalwire/freeswitch src/mod/event_handlers/mod_json_cdr/mod_json_cdr.c,
src/include/switch_utils.h (SWITCH_URL_UNSAFE). Not verified against a running FreeSWITCH.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from callbridge.errors import Undecodable
from callbridge.intake.decode import Json, decode_json
from callbridge.intake.providers import token
from callbridge.intake.providers.base import Event, Finished, Ignored, Reply, Source, Traits, WebhookRequest
from callbridge.intake.providers.freeswitch_cdr import call_of, is_answered, record_of, recording_of

CDR, B_LEG = "cdr", "b-leg"
MAX_VALUES: Final = 10_000
"""A call through a menu and two transfers has over a thousand values: each profile and application is told in full."""

MAX_STRING: Final = 65_536
"""Every SDP of the call is a variable; one with video and the candidates of many networks is ten thousand characters long."""

_APPENDED: Final = "?uuid="
_STAMPS: Final = ("start_stamp", "answer_stamp", "end_stamp")
_ENCODED: Final = re.compile(r"%[0-9A-F]{2}")
_UNSAFE: Final = re.compile(r"[\x00-\x20\"#&+:;<=>?@\[\\\]^`{|}\x7f-\U0010ffff]")
"""What FreeSWITCH never leaves in a value that it has encoded."""

_BARE_QUOTE: Final = re.compile(r'(?<![{\[,:\\])"(?![:,}\]])')
_BARE_BACKSLASH: Final = re.compile(r'\\(?!["\\/bfnrtu])')
_CONTROL: Final = re.compile(r"[\x00-\x1f]")


class FreeSwitch:
    name = "freeswitch"
    title = "FreeSWITCH, FusionPBX"
    setup = (
        "json_cdr.conf.xml: url https://YOUR.HOST/hooks/NAME, cred KEY:SECRET (or the path token in the url), "
        "encode false, retries 3"
    )
    guide = __doc__ or ""
    traits = Traits("the secret as password of HTTP basic or as ?token=; or the path token", has_legs=True)
    methods = frozenset({"POST"})
    reply = Reply("application/json", b'{"accepted":true}')

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        query = {name: value.partition(_APPENDED)[0] for name, value in request.query.items()}
        token.verify_token(replace(request, query=query), source)

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        fields = _decoded(request.body)
        if not isinstance(fields, dict):
            raise Undecodable("is not a JSON object")
        variables = fields.get("variables")
        if not isinstance(variables, dict):
            raise Undecodable("variables are missing: this is no record of mod_json_cdr")
        try:
            record = record_of(fields, _plain(variables))
            if record.origin is not None and not is_answered(record):
                return [Ignored(B_LEG)]
            call = call_of(record, source, now, FreeSwitch.name, _appended_uuid(request))
            return [Finished(call, CDR, request.body, recording_of(record))]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:  # noqa: ARG002 - it tells of nothing else
        return CDR


def _appended_uuid(request: WebhookRequest) -> str | None:
    told = request.query.get("uuid")
    if told:
        return told
    return next((tail for value in request.query.values() if (tail := value.partition(_APPENDED)[2])), None)


def _decoded(body: bytes) -> Json:
    trimmed = body.strip()
    if trimmed.startswith((b"{", b"[")):
        return decode_json(trimmed, MAX_VALUES, MAX_STRING)
    told = _field(trimmed)
    if told.startswith((b"<", b"%3C")):
        raise Undecodable("is an XML record: mod_json_cdr is understood, mod_xml_cdr is not")
    if told.startswith((b"{", b"%7B")):
        return _decode_form(unquote_to_bytes(told.replace(b"+", b" ")))
    try:
        return decode_json(base64.b64decode(b"".join(told.split()) + b"==").rstrip(b"\0"), MAX_VALUES, MAX_STRING)
    except binascii.Error:
        raise Undecodable("is neither JSON nor a form nor Base64 of a record") from None


def _field(body: bytes) -> bytes:
    """The value of `cdr`, still encoded: Base64 has `=` and `+` of its own."""
    if body.startswith(b"cdr="):
        return body[4:].partition(b"&")[0]
    start = body.find(b"&cdr=")
    return body if start < 0 else body[start + 5 :].partition(b"&")[0]


def _decode_form(written: bytes) -> Json:
    try:
        return decode_json(written, MAX_VALUES, MAX_STRING)
    except Undecodable:
        text = _CONTROL.sub(" ", written.decode("utf-8", "replace"))
        repaired = _BARE_QUOTE.sub(r"\"", _BARE_BACKSLASH.sub(r"\\\\", text))
        return decode_json(repaired.encode(), MAX_VALUES, MAX_STRING)


def _plain(variables: Mapping[str, Json]) -> Mapping[str, Json]:
    """The variables without percent-encoding."""
    if not _are_encoded(variables):
        return variables
    return {
        name: unquote(value, errors="replace") if type(value) is str else value for name, value in variables.items()
    }


def _are_encoded(variables: Mapping[str, Json]) -> bool:
    stamps = [value for name in _STAMPS if type(value := variables.get(name)) is str and value]
    values = stamps or [value for value in variables.values() if type(value) is str]
    return any(map(_ENCODED.search, values)) and not any(map(_UNSAFE.search, values))


FREESWITCH: Final = FreeSwitch()
