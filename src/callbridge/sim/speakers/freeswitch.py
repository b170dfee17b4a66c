"""FreeSWITCH with mod_json_cdr [pure]: a record per channel, in each of the ways that the module can be told to write it.

Written from https://github.com/signalwire/freeswitch (mod_json_cdr.c, switch_ivr.c, switch_utils.h). Both legs of a
call are posted, as they are where nothing is said: that of the called side first, because it is hung up first. The
context is `public` for calls from outside and `default` for those of employees, as in the example configuration. The
credential is `cred`, basic.
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from callbridge.sim.speakers.base import FORM, JSON, Credentials, SignedWebhook, Story, Told, token_segment

CDR: Final = "cdr"

_BASE64_FORM: Final = "application/x-www-form-base64-encoded"
_NAMESPACE: Final = uuid.UUID("5c1fd3f4-52f6-4a6e-9a0f-7c0b4d8f2a11")
_CAUSES: Final = {
    "answered": ("NORMAL_CLEARING", 16), "voicemail": ("NORMAL_CLEARING", 16), "busy": ("USER_BUSY", 17),
    "unavailable": ("SUBSCRIBER_ABSENT", 20), "wrong_number": ("UNALLOCATED_NUMBER", 1), "no_answer": ("NO_ANSWER", 19),
}  # fmt: skip
_URL_UNSAFE: Final = frozenset('\r\n #%&+:;<=>?@[\\]^`{|}"')
_HOST: Final = "fs.example.net"


class FreeSwitch:
    name = "freeswitch"
    events = (CDR,)

    def tell(self, story: Story, timezone: str) -> list[Told]:
        lot = zlib.crc32(story.ref.encode())
        a_leg, b_leg = (str(uuid.uuid5(_NAMESPACE, f"{story.ref} {leg}")) for leg in "ab")
        records = [_record(story, timezone, a_leg, b_leg, of_called=True), _record(story, timezone, a_leg, b_leg)]
        if story.status == "voicemail":
            del records[0]
        if story.transferred:
            missed = _record(story, timezone, a_leg, str(uuid.uuid5(_NAMESPACE, f"{story.ref} c")), of_called=True)
            missed["variables"] |= {"billsec": "0", "answer_epoch": "0", "hangup_cause": "LOSE_RACE"}
            records.insert(0, missed)
        return [Told(CDR, _body(record, lot)) for record in records]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - neither is signed
        kind = JSON if told.body.startswith(b"{") else FORM if told.body.startswith(b"cdr=%") else _BASE64_FORM
        headers = {"Content-Type": kind, "User-Agent": "freeswitch-json/1.0"}
        if credentials.secret:
            cred = f"{credentials.key or 'freeswitch'}:{credentials.secret}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(cred).decode()}"
        elif not credentials.path_token:
            raise ValueError("freeswitch needs the secret, which is the password of `cred`, or a path token")
        named = uuid.uuid5(_NAMESPACE, message_id)
        return SignedWebhook("POST", f"{token_segment(credentials)}?uuid={named}", headers, told.body)


def _record(story: Story, timezone: str, a_leg: str, b_leg: str, *, of_called: bool = False) -> dict[str, Any]:
    outside, comes_in = story.phone.lstrip("+"), story.inbound and not story.internal
    caller, called = (outside, story.extension) if comes_in else (story.extension, outside)
    first: dict[str, Any] = {
        "username": caller,
        "caller_id_name": 'Söhne, "A"',
        "caller_id_number": caller,
        "destination_number": called,
        "uuid": a_leg,
        "context": "public" if comes_in else "default",
    }
    profile = first
    if of_called:
        shown = outside if comes_in else story.line.lstrip("+")
        profile = first | {"uuid": b_leg, "caller_id_number": shown, "context": "default"}
        profile["originator"] = {"originator_caller_profiles": [first]}
    flow = [{"dialplan": "XML", "profile_index": "1", "caller_profile": profile, "times": {"transfer_time": "0"}}]
    if comes_in and not of_called:  # the way from the company's number to the employee is a transfer
        flow = [flow[0], flow[0] | {"caller_profile": first | {"destination_number": story.line.lstrip("+")}}]
        flow[0] = flow[0] | {"caller_profile": first | {"context": "default"}}
    did = [{"app_name": "bridge", "app_data": f"user/{called}@{_HOST}"}]
    if story.recorded and not of_called:
        did.insert(0, {"app_name": "record_session", "app_data": f"/var/recordings/{story.ref}.wav"})
    if story.status == "voicemail":
        did = [{"app_name": "voicemail", "app_data": f"default {_HOST} {called}"}]
    return {
        "core-uuid": str(_NAMESPACE),
        "switchname": "fs1",
        "channel_data": {"state": "CS_REPORTING", "direction": "outbound" if of_called else "inbound"},
        "variables": _variables(story, timezone, a_leg, b_leg, caller, of_called=of_called),
        "app_log": {"applications": did},
        "callflow": flow,
    }


def _variables(story: Story, timezone: str, a_leg: str, b_leg: str, caller: str, *, of_called: bool) -> dict[str, str]:
    end, zone = story.started + story.ringing + story.talk, ZoneInfo(timezone)
    answered_at = end - story.talk if story.talk else end if story.status == "voicemail" else 0
    cause, number = _CAUSES[story.status]
    variables = {
        "direction": "outbound" if of_called else "inbound",
        "uuid": b_leg if of_called else a_leg,
        "start_stamp": f"{datetime.fromtimestamp(story.started, zone):%Y-%m-%d %H:%M:%S}",
        "start_epoch": str(story.started),
        "answer_epoch": str(answered_at),
        "end_epoch": str(end),
        "duration": str(end - story.started),
        "billsec": str(story.talk),
        "hangup_cause": cause,
        "hangup_cause_q850": str(number),
        "caller_id": f'"Söhne, A. & 100%" <{caller}>',
    }
    if of_called:
        return variables | {"originator": a_leg, "originating_leg_uuid": a_leg, "bridge_uuid": a_leg}
    bridged = {"bridge_uuid": b_leg} if story.talk else {}
    return variables | bridged | {"sip_from_user": caller, "sip_from_uri": f"{caller}@{_HOST}"}


def _body(record: dict[str, Any], lot: int) -> bytes:
    if lot & 1:  # encode-values
        record["variables"] = {name: _url_encoded(value) for name, value in record["variables"].items()}
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    match lot >> 1 & 3:
        case 0:
            return f"cdr={_url_encoded(text)}".encode()
        case 1:
            return b"cdr=" + base64.b64encode(text.encode())
        case _:
            return text.encode()


def _url_encoded(text: str) -> str:
    """As FreeSWITCH does it. A percent sign is left alone where it begins %XX: what is encoded twice is encoded once."""
    written = []
    for place, char in enumerate(text):
        begins_an_escape = char == "%" and _is_hex(text[place + 1 : place + 3])
        if begins_an_escape or (" " < char <= "~" and char not in _URL_UNSAFE):
            written.append(char)
        else:
            written += [f"%{byte:02X}" for byte in char.encode()]
    return "".join(written)


def _is_hex(text: str) -> bool:
    return len(text) == 2 and all(char in "0123456789ABCDEF" for char in text)


FREESWITCH: Final = FreeSwitch()
