"""Twilio Programmable Voice, and the services that speak its language (SignalWire's compatibility API) [pure].

    CALLBRIDGE_SOURCES__NAME__PROVIDER=twilio
    CALLBRIDGE_SOURCES__NAME__SECRET=the account's auth token      (SignalWire: the signing key)
    CALLBRIDGE_SOURCES__NAME__PREVIOUS_SECRET=the token before, while it is rotated
    CALLBRIDGE_SOURCES__NAME__OWN_NUMBERS=+15550100,+15550101      every number of the company, employees' mobiles too
    CALLBRIDGE_SOURCES__NAME__HOLD=30s                             where both legs of a call are reported, or recordings
    CALLBRIDGE_SOURCES__NAME__EXTENSIONS={"anna": 504141}          names of clients and SIP users
    CALLBRIDGE_RECEIVER__PUBLIC_URL=https://hooks.example.com      behind a proxy: the address that Twilio was given

Where to enter the address, https://hooks.example.com/hooks/NAME: as "Call status changes" of a phone number, as
`StatusCallback` where calls are made by the API, as `statusCallback` of `<Number>`, `<Client>` and `<Sip>`, and as
`recordingStatusCallback`. Twilio reports only the legs that have one.

Signed (https://www.twilio.com/docs/usage/webhooks/webhooks-security): the full URL, then each field of a form, sorted, its
name and its value without anything between; HMAC-SHA1 with the auth token, Base64, in `X-Twilio-Signature`
(`X-SignalWire-Signature`). A GET has the URL alone, query and all. A JSON body is signed through its digest, the query's
`bodySHA256`. Ports come and go, so the URL holds with and without its port. Where a webhook rule signs with a shared key,
`X-Twilio-Webhooks-Signature-Settings` names the algorithm, HMAC_SHA256; the shared key is then the source's secret. No
timestamp is signed: an old request stays valid, and is the same call again.

Replies: any 2xx; it gets an empty `<Response/>`. Twilio does not retry, unless the address ends with overrides such as
`#rc=3&rp=all` (https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides); without them a callback that meets
a closed receiver is gone.

What to know:

* The talk time is `CallDuration`, in seconds, of a completed call; `Duration` beside it is minutes. An inbound call is
  completed, and lasts, from when TwiML answered it, whoever was reached then; a child leg (`<Dial>`) lasts from when its
  party answered. Report the child legs alone to count only talks with people, and the parents too to hear of callers who
  left before. All legs carry the parent's id here and fold into one call within HOLD; the longest answered leg stands.
* Clients and SIP addresses are employees. A child leg between two plain numbers is outbound; list the employees' own
  telephones in OWN_NUMBERS if calls are forwarded to them.
* A leg that joins only Twilio and a client or SIP device (a softphone whose TwiML dials out, an API call that rings the
  employee first) is counted and no call: the customer's leg is the call and must have a statusCallback.
* `RecordingUrl` is kept as told; Twilio serves it with `.mp3` or `.wav` appended too, and may ask for a login.
* Not verified against the live service: `AnsweredBy` machine_*, which makes an outbound call one that left a message;
  404, 484 and 604 in `SipResponseCode`, which make it a wrong number; SignalWire's header on forms.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import MAX_FIELDS, MAX_STRING, Json, decode_json
from callbridge.intake.providers import twilio_calls
from callbridge.intake.providers.base import Event, Reply, Source, Traits, WebhookRequest

EVENT: Final = "status callback"

_SIGNATURES: Final = ("x-twilio-signature", "x-signalwire-signature")
_SETTINGS: Final = "x-twilio-webhooks-signature-settings"
_DIGESTS: Final = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_BODY_DIGEST: Final = "bodySHA256"

_URL: Final = re.compile(r"(https?)://([^/?#]*?)(:[0-9]*)?([/?#].*)?", re.IGNORECASE | re.DOTALL)


class Twilio:
    name = "twilio"
    title = "Twilio, SignalWire"
    setup = (
        "https://YOUR.HOST/hooks/NAME as StatusCallback of numbers, API calls and <Number>/<Client>/<Sip>, and as "
        "recordingStatusCallback; SECRET is the auth token; receiver.public_url behind a proxy"
    )
    guide = __doc__ or ""
    traits = Traits("HMAC-SHA1 with the auth token over address and form", has_legs=True, signs_url=True)
    methods = frozenset({"POST", "GET"})
    reply = Reply("text/xml", b"<Response/>")

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        if not source.secrets:
            raise Misconfigured(f"sources.{source.name}.secret is missing: the auth token")

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:  # noqa: ARG002 - nothing here is dated
        body_held, fields = True, b""
        if _BODY_DIGEST in request.query:
            told = verify.wire_bytes(request.query[_BODY_DIGEST]).lower()
            body_held = verify.same(told, hashlib.sha256(request.body).hexdigest().encode())
        else:
            body_held, fields = _signed_fields(request.body)
        given = [verify.wire_bytes(request.headers[name]) for name in _SIGNATURES if name in request.headers]
        digest = _digest(request.headers.get(_SETTINGS, ""))
        held = False
        for secret in source.secrets:
            for url in _spellings(request.public_url(source)):
                made = hmac.digest(verify.wire_bytes(secret), verify.wire_bytes(url) + fields, digest or "sha1")
                held |= verify.same(given[0] if given else b"", base64.b64encode(made))
        if not (held & body_held & (digest is not None)):
            raise Unauthenticated("bad_signature" if given else "no_signature")

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        try:
            return [twilio_calls.read(_fields(request), source, self.name, now, request.evidence)]
        except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
            raise Undecodable(str(error)) from None

    def event_of(self, request: WebhookRequest) -> str:  # noqa: ARG002 - only the fields say it here
        return EVENT


def form_fields(body: bytes) -> dict[str, Json]:
    """The fields of a form as text. One that is given twice may be repeated, but not contradicted."""
    fields: dict[str, Json] = {}
    for name, value in _pairs(body):
        key, text = name.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        if len(text) > MAX_STRING:
            raise Undecodable(f"has a field of more than {MAX_STRING} characters")
        if fields.setdefault(key, text) != text:
            raise Undecodable("has a field twice")
    return fields


def _fields(request: WebhookRequest) -> Mapping[str, Json]:
    """A POST's fields are in its body, a GET's in the query, among what the customer's address has there itself."""
    if request.method == "GET":
        return {name: value[:MAX_STRING] for name, value in request.query.items()}
    if not request.body.lstrip().startswith((b"{", b"[")):
        return form_fields(request.body)
    fields = decode_json(request.body)
    if not isinstance(fields, dict):
        raise Undecodable("is not a JSON object")
    return fields


def _pairs(body: bytes) -> list[tuple[bytes, bytes]]:
    if body.count(b"&") >= MAX_FIELDS:
        raise Undecodable(f"has more than {MAX_FIELDS} fields")
    halves = (part.replace(b"+", b" ").partition(b"=") for part in body.split(b"&") if part)
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in halves]


def _signed_fields(body: bytes) -> tuple[bool, bytes]:
    """Names and values as they are signed: sorted, of equal values of one name only the first.

    A field without its equals sign is refused. Twilio writes one always, and for the signature, which puts nothing between
    name and value, `To=anna` would be the same as two empty fields `To&anna`.
    """
    try:
        pairs = sorted(set(_pairs(body)))
    except Undecodable:
        return False, b""
    return all(b"=" in part for part in body.split(b"&") if part), b"".join(name + value for name, value in pairs)


def _digest(told: str) -> str | None:
    for part in told.split(","):
        name, equals, value = part.partition("=")
        if equals and name.strip() == "algorithm" and value.strip():
            return _DIGESTS.get(value.strip().upper())
    return "sha1"


def _spellings(url: str) -> tuple[str, str]:
    """The URL with a port and without one: which of them is signed varies."""
    parts = _URL.fullmatch(url)
    if parts is None:
        return url, url
    scheme, host, port, rest = parts.groups(default="")
    usual = ":443" if scheme.lower() == "https" else ":80"
    return f"{scheme}://{host}{rest}", f"{scheme}://{host}{port or usual}{rest}"


TWILIO: Final = Twilio()
