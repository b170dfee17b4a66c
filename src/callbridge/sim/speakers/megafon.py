"""MegaFon's virtual PBX and the ITooLabs family [pure]: forms with the CRM's token in them.

Written from the CRM integration API of the virtual PBX (`cmd=history`). The recording's address comes with the call. A
transfer would make calls with ids of their own there, so there are no legs of one call to tell of.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode

from callbridge.sim.speakers.base import FORM, Credentials, SignedWebhook, Story, Told, token_segment

HISTORY, EVENT = "history", "event"

_STATUSES: Final = {
    "answered": "Success",
    "busy": "Busy",
    "unavailable": "NotAvailable",
    "wrong_number": "NotFound",
}


class Megafon:
    name = "megafon"
    events = (HISTORY, EVENT)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - its times are UTC
        phone, line = story.phone.lstrip("+"), story.line.lstrip("+")
        ringing = {
            "cmd": EVENT,
            "type": "INCOMING" if story.inbound else "OUTGOING",
            "phone": phone,
            "user": f"user{story.extension}",
            "ext": story.extension,
            "diversion": line,
            "callid": story.ref,
        }
        unanswered = "missed" if story.inbound else "Cancel"
        history = {
            "cmd": HISTORY,
            "type": "in" if story.inbound else "out",
            "user": f"user{story.extension}",
            "ext": story.extension,
            "telnum": line,
            "phone": phone,
            "diversion": line,
            "start": f"{datetime.fromtimestamp(story.started, UTC):%Y%m%dT%H%M%SZ}",
            "duration": str(story.talk),
            "wait": str(story.ringing),
            "callid": story.ref,
            "status": _STATUSES.get(story.status, unanswered),
        }
        if story.recorded:
            history["link"] = f"https://records.example.com/{story.ref}.mp3"
        return [Told(EVENT, urlencode(ringing).encode()), Told(HISTORY, urlencode(history).encode())]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - nothing is signed
        """The token, in the form; a body that has one already keeps it."""
        if not (credentials.secret or credentials.path_token):
            raise ValueError("megafon needs the token of the CRM, or a path token")
        body = told.body
        if credentials.secret and "crm_token" not in dict(parse_qsl(body.decode("utf-8", "replace"))):
            body += b"&" + urlencode({"crm_token": credentials.secret}).encode()
        return SignedWebhook("POST", token_segment(credentials), {"Content-Type": FORM}, body)


MEGAFON: Final = Megafon()
