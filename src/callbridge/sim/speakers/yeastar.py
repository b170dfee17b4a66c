"""Yeastar [pure]: the signed webhooks of a P-Series and, for every fourth call, the flat reports of an S-Series.

Written from https://help.yeastar.com (P-Series, event 30012 Call End Details) and
https://github.com/YeastarCarol/Yeastar-S-Series-API-Guide-en (CDR). Times are the PBX's wall clock, recordings the names of
files. The P-Series tells a transfer's legs by 30039, to an address that subscribed to it; the S-Series writes a record per
leg with one id. Only the P-Series signs; the S-Series carries the secret as `token` in its address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from callbridge.sim.speakers.base import JSON, Credentials, SignedWebhook, Story, Told, token_segment

CALL_END, TIMELINE, NEW_CDR = "30012", "30039", "NewCdr"

_SERIAL: Final = "3639A2000077"
_STATUSES: Final = {"answered": "ANSWERED", "busy": "BUSY", "voicemail": "VOICEMAIL", "unavailable": "FAILED"}
_COLLEAGUE: Final = "199"


class Yeastar:
    name = "yeastar"
    events = (CALL_END, TIMELINE, NEW_CDR)

    def tell(self, story: Story, timezone: str) -> list[Told]:
        lot = zlib.crc32(story.ref.encode())
        start = datetime.fromtimestamp(story.started, ZoneInfo(timezone))
        if lot % 4 == 0:
            return _s_series(story, start, lot)
        msg = _call(story, start, lot)
        told = [Told(CALL_END, _p_series(CALL_END, json.dumps(msg)))]
        if story.transferred:
            slashed = {"time_start": f"{start:%Y/%m/%d %H:%M:%S}", "uid": f"{msg['uid']}-1"}
            missed = msg | slashed | {"status": "ABANDONED", "talk_duration": 0, "recording": ""}
            told.insert(0, Told(TIMELINE, _p_series(TIMELINE, missed)))
        return told

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - neither is signed
        if not (credentials.secret or credentials.path_token):
            raise ValueError("yeastar needs the secret of the webhook, which signs, or a path token")
        headers, segment = {"Content-Type": JSON}, token_segment(credentials)
        if not credentials.secret:
            return SignedWebhook("POST", segment, headers, told.body)
        if told.event == NEW_CDR:
            return SignedWebhook("POST", f"{segment}?{urlencode({'token': credentials.secret})}", headers, told.body)
        digest = hmac.new(credentials.secret.encode(), told.body, hashlib.sha256).digest()
        return SignedWebhook("POST", segment, headers | {"X-Signature": base64.b64encode(digest).decode()}, told.body)


def _sides(story: Story) -> tuple[str, str, str]:
    outside = story.phone.lstrip("+")
    if story.inbound:
        return outside, story.extension, "Inbound"
    return story.extension, outside, "Internal" if story.internal else "Outbound"


def _call(story: Story, start: datetime, lot: int) -> dict[str, Any]:
    caller, called, kind = _sides(story)
    call_id = f"{story.started}.{lot}"
    return {
        "call_id": call_id,
        "time_start": f"{start:%Y-%m-%d %H:%M:%S}",
        "call_from": caller,
        "call_to": called,
        "call_duration": story.ringing + story.talk,
        "talk_duration": story.talk,
        "src_trunk_name": "SIP-Trunk" if story.inbound else " ",
        "dst_trunk_name": "SIP-Trunk" if kind == "Outbound" else " ",
        "pin_code": " ",
        "status": _STATUSES.get(story.status, "NO ANSWER"),
        "type": kind,
        "recording": f"{start:%Y%m%d%H%M%S}-{call_id}-{caller}-{called}-{kind}.wav" if story.recorded else " ",
        "did_number": story.line.lstrip("+") if story.inbound else " ",
        "agent_ring_time": 0,
        "uid": f"{start:%Y%m%d%H%M%S}{lot:08X}",
    }


def _p_series(event: str, msg: str | dict[str, Any]) -> bytes:
    return json.dumps({"type": int(event), "sn": _SERIAL, "msg": msg}).encode()


def _s_series(story: Story, start: datetime, lot: int) -> list[Told]:
    caller, called, kind = _sides(story)
    call_id = f"{story.started}.{lot}"
    record = {
        "action": NEW_CDR,
        "callid": call_id,
        "timestart": f"{start:%Y-%m-%d %H:%M:%S}",
        "callfrom": caller,
        "callto": called,
        "srctrunkname" if story.inbound else "desttrunkname": "" if story.internal else "gsm-1",
        "callduraction": str(story.ringing + story.talk),
        "talkduraction": str(story.talk),
        "status": _STATUSES.get(story.status, "NO ANSWERED"),
        "type": kind,
        "recording": f"{start:%Y%m%d%H%M%S}-{call_id}-{caller}-{called}-{kind}.wav" if story.recorded else "",
        "didnumber": story.line.lstrip("+") if story.inbound else "",
        "sn": _SERIAL,
    }
    told = [record]
    if story.transferred:
        colleague = {"callto" if story.inbound else "callfrom": _COLLEAGUE}
        missed = colleague | {"talkduraction": "0", "status": "NO ANSWERED", "recording": ""}
        told.insert(0, record | missed)
    return [Told(NEW_CDR, json.dumps(one).encode()) for one in told]


YEASTAR: Final = Yeastar()
