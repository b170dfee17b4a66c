"""Telnyx: the call control API, and TeXML, its dialect of Twilio's callbacks [pure].

    CALLBRIDGE_SOURCES__NAME__PROVIDER=telnyx
    CALLBRIDGE_SOURCES__NAME__SECRET=the public key, Base64        (portal: Account Settings, Keys & Credentials)
    CALLBRIDGE_SOURCES__NAME__OWN_NUMBERS=+15550100,+15550101      every number of the company: this gives the direction
    CALLBRIDGE_SOURCES__NAME__HOLD=30s                             calls have legs, and recordings come later
    CALLBRIDGE_SOURCES__NAME__DIRECTIONS={"1293384": "outbound"}   connection ids, where one connection only dials out

Where to enter the address, https://hooks.example.com/hooks/NAME: as webhook URL of the voice application. An application
that needs the events itself passes them on, headers and bytes unchanged, within five minutes.

Signed (https://developers.telnyx.com/docs/development/api-fundamentals/webhooks): `telnyx-timestamp`, a bar, the body's
bytes; ed25519 with Telnyx's own key, Base64, in `telnyx-signature-ed25519`. A timestamp off by more than five minutes is
refused. PREVIOUS_SECRET holds the public key before.

Replies: any 2xx (https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks). Everything else, and a
slow answer, is sent again, then to the failover URL; Telnyx warns of duplicates and of events out of order, and both are
harmless here. Webhooks by GET, and those of API version 1, are not read.

What to know:

* `call.hangup` is the finished call; it tells neither direction nor talk time. Direction: the number that is one of
  OWN_NUMBERS, or a SIP address, is the company's side; else the event's `direction`, `client_state`, a tag `inbound` or
  `outbound`, DIRECTIONS by the connection's id. Where none of these tells, the call is taken for an inbound one, and its
  result says "direction assumed".
* Talk time: an application that sets `client_state`, in Base64, to {"direction": "outbound", "answered_at": 1790000000,
  "extension": "101"} gives the exact one; each member may be left out, `answered_at` is known from `call.answered` on, and
  null until then says that nobody answered. Without it the duration is that of the whole leg, its ringing included, and
  the call counts as answered if it ended by `normal_clearing` or `time_limit` and not with a SIP error. That is a guess,
  the best that the event allows; and a missed call has a duration too, that of its ringing.
* All legs of a call have one `call_session_id` and fold into one call within HOLD; the longest answered leg stands.
* `call.recording.saved`: the public address is taken. The other one that Telnyx tells dies after ten minutes; so where
  recordings are private, set LINK_TEMPLATE to an address of your own that ends with {recording}, which is the recording's id.
* TeXML callbacks come as forms under the same signature and are read as Twilio's; they have a real CallDuration, and no
  Direction: OWN_NUMBERS counts there too.
* Not verified against the live service: `answered_time` in the event, the tags, all of TeXML.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import decode_json
from callbridge.intake.providers import telnyx_calls, twilio_calls
from callbridge.intake.providers.base import Event, Finished, Ignored, Reply, Source, Traits, WebhookRequest, event_name
from callbridge.intake.providers.twilio import form_fields

HANGUP, RECORDING_SAVED = "call.hangup", "call.recording.saved"

_EVENT_TYPE: Final = re.compile(rb'"event_type"\s*:\s*"([a-z._]{1,64})"')
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64


class Telnyx:
    name = "telnyx"
    title = "Telnyx"
    setup = (
        "Voice application: https://YOUR.HOST/hooks/NAME as webhook URL; SECRET is the account's public key, "
        "OWN_NUMBERS all your numbers"
    )
    guide = __doc__ or ""
    traits = Traits("Ed25519 signature; the secret is the public key", has_legs=True)
    methods = frozenset({"POST"})
    reply = Reply("application/json", b'{"accepted":true}')

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        if not source.secrets:
            raise Misconfigured(f"sources.{source.name}.secret is missing: the account's public key")
        if not all(_key_bytes(secret) for secret in source.secrets):
            raise Misconfigured(f"sources.{source.name}.secret is a public key: 32 bytes in Base64")

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:
        stamp = request.headers.get("telnyx-timestamp", "")
        signed = verify.wire_bytes(stamp) + b"|" + request.body
        signature = _signature(request.headers.get("telnyx-signature-ed25519", ""))
        held = False
        for secret in source.secrets:
            held |= _holds(_public_key(secret), signature, signed)
        if not held:
            raise Unauthenticated("bad_signature" if "telnyx-signature-ed25519" in request.headers else "no_signature")
        if not verify.is_fresh(stamp, now):
            raise Unauthenticated("stale_timestamp")

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        try:
            if request.body.lstrip().startswith((b"{", b"[")):
                return [_read(request.body, source, now)]
            return [twilio_calls.read(form_fields(request.body), source, self.name, now, request.body)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:
        found = _EVENT_TYPE.search(request.body)
        return found[1].decode() if found else "webhook"


def _read(body: bytes, source: Source, now: float) -> Event:
    fields = decode_json(body)
    data = fields.get("data") if isinstance(fields, dict) else None
    if not isinstance(data, dict):
        raise Undecodable("data is not an object")
    told = data.get("event_type")
    name = event_name(told if isinstance(told, str) else "")
    if name not in {HANGUP, RECORDING_SAVED}:
        return Ignored(name)
    payload = data.get("payload")
    if not isinstance(payload, dict):
        raise Undecodable("payload is not an object")
    occurred_at = data.get("occurred_at")
    if name == HANGUP:
        return Finished(telnyx_calls.finished(payload, occurred_at, source, Telnyx.name, now), name, body)
    return telnyx_calls.recorded(payload, occurred_at, source, now, name, body)


def _key_bytes(secret: str) -> bytes | None:
    try:
        key = base64.b64decode(verify.wire_bytes(secret.strip()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _KEY_BYTES else None


@lru_cache(maxsize=256)
def _public_key(secret: str) -> Ed25519PublicKey:
    """A secret that is no key, as a decoy's, becomes one that nobody can sign for, so that it costs the same to refuse."""
    return Ed25519PublicKey.from_public_bytes(_key_bytes(secret) or hashlib.sha256(verify.wire_bytes(secret)).digest())


def _signature(given: str) -> bytes:
    """Zeros for what is none. Base64 leaves bits of its last character unused; one signature has one spelling here."""
    written = verify.wire_bytes(given)
    try:
        signature = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    proper = len(signature) == _SIGNATURE_BYTES and base64.b64encode(signature) == written
    return signature if proper else bytes(_SIGNATURE_BYTES)


def _holds(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


TELNYX: Final = Telnyx()
