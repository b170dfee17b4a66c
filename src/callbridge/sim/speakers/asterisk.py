"""Asterisk as callbridge's own script speaks for it [pure]: call detail records as forms, one or several of a call.

Written from https://github.com/asterisk/asterisk (main/cdr.c, configs/samples/cdr_custom.conf.sample) and
`deploy/asterisk/`. Now and then it is a FreePBX with file names and wall clocks, an engine that writes Unix seconds,
or somebody's script that posts JSON. A call that nobody took at first has a record for each try; all share `linkedid`.
Nothing is signed.
"""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from callbridge.sim.speakers.base import FORM, JSON, Credentials, SignedWebhook, Story, Told, carried, token_segment

CDR: Final = "cdr"

_DISPOSITIONS: Final = {"answered": "ANSWERED", "voicemail": "ANSWERED", "busy": "BUSY", "unavailable": "FAILED"}
_OTHERWISE: Final = ("NO ANSWER", "CANCEL", "CONGESTION")
_TRUNK: Final = "PJSIP/provider"
_COLLEAGUE: Final = "199"


class Asterisk:
    name = "asterisk"
    events = (CDR,)

    def tell(self, story: Story, timezone: str) -> list[Told]:
        lot = zlib.crc32(story.ref.encode())
        zone = ZoneInfo(timezone) if lot & 1 else None
        records = [_record(story, lot, zone)]
        if story.transferred:
            records.insert(0, _tried_before(records[0], lot))
        if lot >> 2 & 1:
            return [Told(CDR, "".join(f"{_form(record)}\n" for record in records).encode())]
        if lot >> 3 & 1:
            return [Told(CDR, json.dumps(record, ensure_ascii=False).encode()) for record in records]
        return [Told(CDR, _form(record).encode()) for record in records]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - neither is signed
        kind = JSON if told.body.startswith(b"{") else FORM
        return SignedWebhook(
            "POST", token_segment(credentials), {"Content-Type": kind, **carried(credentials)}, told.body
        )


def _record(story: Story, lot: int, zone: ZoneInfo | None) -> dict[str, str]:
    outside, comes_in = story.phone.lstrip("+"), story.inbound and not story.internal
    end = story.started + story.ringing + story.talk
    employee = f"PJSIP/{story.extension}-{lot % 4096:08x}"
    other = f"PJSIP/{outside}-{lot % 2048:08x}" if story.internal else f"{_TRUNK}-{lot % 2048:08x}"
    recording = f"{'in' if comes_in else 'out'}-{outside}-{story.extension}-{story.ref}.wav" if story.recorded else ""
    left_a_message = story.status == "voicemail"
    return {
        "uniqueid": f"{story.ref}-{story.started}.{lot % 97}",
        "linkedid": f"{story.ref}-{story.started}.{lot % 97}",
        "src": outside if comes_in else story.extension,
        "dst": (f"vmu{story.extension}" if left_a_message else story.extension) if comes_in else outside,
        "dcontext": ("from-did-direct", "ext-local")[lot >> 4 & 1] if comes_in else "from-internal",
        "channel": other if comes_in else employee,
        "dstchannel": "" if left_a_message else employee if comes_in else other,
        "lastapp": "VoiceMail" if left_a_message else "Dial",
        "start": _written(story.started, zone),
        "answer": _written(end - story.talk, zone) if story.talk else "" if zone else "0.000000",
        "end": _written(end, zone),
        "duration": str(story.ringing + story.talk),
        "billsec": str(story.talk),
        "disposition": _DISPOSITIONS.get(story.status) or _OTHERWISE[lot % len(_OTHERWISE)],
        "did": story.line.lstrip("+") if comes_in else "",
        "recordingfile": recording,
        "clid": f'"O\'Neil; $(id) & Söhne" <{outside}>' if comes_in else f'"Sales" <{story.extension}>',
    }


def _tried_before(record: dict[str, str], lot: int) -> dict[str, str]:
    """The record of a colleague who did not answer, or of a trunk that was full."""
    side = f"PJSIP/{_COLLEAGUE}" if record["did"] else "PJSIP/second"
    tried = {"uniqueid": f"{record['uniqueid']}1", "dstchannel": f"{side}-{lot % 512:08x}", "disposition": "NO ANSWER"}
    return record | tried | {"billsec": "0", "answer": "", "recordingfile": ""}


def _written(at: int, zone: ZoneInfo | None) -> str:
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}" if zone else f"{at}.250000"


def _form(record: dict[str, str]) -> str:
    return urlencode(record, quote_via=quote, safe="")


ASTERISK: Final = Asterisk()
