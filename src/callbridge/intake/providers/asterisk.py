"""Asterisk and what is built on it: FreePBX, Issabel, MikoPBX [pure].

Asterisk posts nothing by itself, so what posts its call detail records (CDRs) is shipped in `deploy/asterisk/`: a
POSIX shell script around curl, and three lines of configuration that feed it: the CDR engine writes each record into a
file that the script sends (`cdr_custom.conf`, recommended, nothing in the dialplan changes), or a hangup handler runs
it. The folder's README goes step by step. Any other script may post too: what is understood is

* a form of CDR columns, several records one per line; this is what the script sends;
* JSON: an object, an array of up to 100, or one object per line;
* the text of an AMI `Cdr` event.

Columns: `src dst dcontext clid channel dstchannel lastapp lastdata start answer end duration billsec disposition
userfield uniqueid linkedid`, FreePBX's `did cnum recordingfile calldate`, and if you like `direction extension
recording_url`. AMI's names for them, and those of MikoPBX's example module and of MixMonitor posters (`call_id from to
status duration started_at recording_url`) are known as well. Letter case, `_` and `-` do not matter. `event`, where
there is one, is `Cdr`, `call.ended` or `call.finished`; `call.recording` names the recording of a call; others are
acknowledged and counted.

Signed: nothing, unless your script signs: with a `webhook-signature` header the request has to hold as Standard
Webhooks says. Otherwise the secret comes as bearer token, basic password or `?token=`, or the path token alone. Use
https.

Legs: the call's id is `linkedid`, else `uniqueid`. The records of one call that come in one request become one call,
the answered one with the longest talk; those that come one by one fold while the call is held, so set HOLD to 10s or
more.

Direction: the `direction` field; DIRECTIONS, by the beginning of `dcontext` or of the channel's or trunk's name;
FreePBX's contexts (`from-trunk`, `from-pstn`, `from-did...`) and a `did`; else the numbers: up to INTERNAL_DIGITS
digits or one of OWN_NUMBERS is ours.

Answered means `billsec` > 0, or the disposition ANSWERED together with the time of an answer. A record that ended in
VoiceMail is a message left; one that ended in Playback or BackGround without a second channel was no talk, whatever its
disposition. Times are the PBX's wall clock in TIMEZONE (not with `usegmtime=yes`). `recordingfile` is a file name:
LINK_TEMPLATE makes a link of it.

Settings: CALLBRIDGE_SOURCES__NAME__PROVIDER=asterisk, __SECRET or __PATH_TOKEN, __TIMEZONE, __HOLD=10s, __DIRECTIONS,
__OWN_NUMBERS, __INTERNAL_DIGITS, __LINK_TEMPLATE=https://pbx.example.com/monitor/{yyyy}/{mm}/{dd}/{recording},
__STATUS_OVERRIDES={"FAILED": 3}.

Vendor: https://docs.asterisk.org/Configuration/Reporting/Call-Detail-Records-CDR/ and
https://github.com/asterisk/asterisk (main/cdr.c, cdr/cdr_manager.c, configs/samples/cdr_custom.conf.sample). Retries:
the script's own, from its spool folder, until the receiver takes the record. Not verified on a live FreePBX, Issabel
or MikoPBX; the record formats come from their sources.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import Json, decode_form, decode_json, split_array
from callbridge.intake.providers import token
from callbridge.intake.providers.asterisk_cdr import Record, call_of, recording_of, reference
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
from callbridge.intake.providers.fields import link, moment, text

CDR: Final = "cdr"
MAX_RECORDS: Final = 100

_FINISHED: Final = frozenset({CDR, "callended", "callfinished", "callcompleted", "callend"})
_RECORDING: Final = frozenset({"callrecording", "callrecorded", "recordingready", "recording"})
_MARKS: Final = str.maketrans("", "", "_-. ")

_AMI_LINE: Final = re.compile(rb"[A-Za-z0-9]+:(?:[ \t\r\n]|$)")


class Asterisk:
    name = "asterisk"
    title = "Asterisk, FreePBX, Issabel, MikoPBX"
    setup = (
        "deploy/asterisk/: install the script, name https://YOUR.HOST/hooks/NAME and SECRET in its settings, "
        "and let cdr_custom.conf or a hangup handler feed it"
    )
    guide = __doc__ or ""
    traits = Traits(
        "the secret as bearer token, password or ?token=, or a Standard Webhooks signature; or the path token",
        wall_clock=True,
        has_legs=True,
    )
    methods = frozenset({"POST"})
    reply = Reply("application/json", b'{"accepted":true}')

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:  # noqa: ARG002 - it has no handshake
        return None

    def check(self, source: Source) -> None:
        token.check(source)
        for secret in source.secrets:
            try:
                verify.signing_key(secret)
            except Misconfigured as error:
                raise Misconfigured(f"sources.{source.name}.secret: {error}") from error

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:
        if "webhook-signature" not in request.headers or not source.secrets:
            token.verify_token(request, source)
            return
        problem = verify.signature_problem(request.headers, request.body, source.secrets, now)
        if problem:
            raise Unauthenticated(problem)

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        records = _records(request.body)
        if len(records) > MAX_RECORDS:
            raise Undecodable(f"holds more than {MAX_RECORDS} records")
        return _one_a_call([_read(record, source, now) for record in records]) or [Ignored("empty")]

    def event_of(self, request: WebhookRequest) -> str:  # noqa: ARG002 - only the body says it here
        return CDR


def _records(body: bytes) -> Sequence[bytes]:
    """The records of a body, unread."""
    elements = split_array(body)
    if elements is not None:
        return elements
    trimmed = body.strip()
    if not trimmed:
        raise Undecodable("is empty")
    if _AMI_LINE.match(trimmed):
        return [block for block in re.split(rb"(?:\r?\n){2,}", trimmed) if block.strip()]
    lines = [line for line in trimmed.splitlines() if line.strip()]
    if trimmed.startswith(b"{") and not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return [trimmed]  # one object over several lines
    return lines


def _read(body: bytes, source: Source, now: float) -> Event:
    name = CDR
    try:
        record = _fields(body)
        name = text(record.get("event"), "event") or CDR
        kind = name.lower().translate(_MARKS)
        if kind in _RECORDING:
            return _recording(record, source, now, event_name(name), body)
        if kind not in _FINISHED:
            return Ignored(event_name(name))
        return Finished(call_of(record, source, now, Asterisk.name), event_name(name), body, recording_of(record))
    except Undecodable as error:
        return Broken(error.reason, CDR, body)
    except ValueError as error:  # from `fields` and `Call`; both name the field and repeat nothing
        return Broken(str(error), event_name(name), body)


def _fields(body: bytes) -> Record:
    """A name that is given in two spellings counts as it was written first; as JSON or form it is refused twice anyway."""
    told: list[tuple[str, Json]]
    if body.startswith((b"{", b"[", b'"')):
        decoded = decode_json(body)
        if not isinstance(decoded, dict):
            raise Undecodable("is not a JSON object")
        told = list(decoded.items())
    elif _AMI_LINE.match(body):
        lines = body.decode("utf-8", "replace").splitlines()[:MAX_RECORDS]
        told = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    else:
        told = [(name, value.decode("utf-8", "replace")) for name, value in decode_form(body).items()]
    record: dict[str, Json] = {}
    for name, value in told:
        record.setdefault(name.lower().translate(_MARKS), value)
    return record


def _recording(record: Record, source: Source, now: float, name: str, body: bytes) -> Recording:
    url = link(record.get("recordingurl") or record.get("link"))
    file = None if url else recording_of(record)
    if url is None and file is None:
        raise ValueError("recording_url or recordingfile is missing")
    at = moment(record.get("at") or record.get("timestamp"), "at", source.timezone)
    return Recording(reference(record), url, int(now) if at is None else at, name, body, file)


def _one_a_call(events: Sequence[Event]) -> list[Event]:
    """The records of one call become one: the best leg, with the recording and the bytes of all."""
    folded: dict[str, Finished] = {}
    others: list[Event] = []
    for event in events:
        if not isinstance(event, Finished):
            others.append(event)
            continue
        kept = folded.setdefault(event.call.ref, event)
        if kept is not event:
            folded[event.call.ref] = _better(kept, event)
    return [*folded.values(), *others]


def _better(one: Finished, two: Finished) -> Finished:
    best, other = (two, one) if two.call.rank > one.call.rank else (one, two)
    call = best.call if best.call.link else replace(best.call, link=other.call.link)
    body = one.body + b"\n" + two.body
    return Finished(call, best.event, body, best.recording or other.recording)


ASTERISK: Final = Asterisk()
