"""Sipuni [pure]: numbered events, as the query of a GET or as a form, as its user chose.

Written from https://doc.sipuni.com (HTTP API, events of the PBX). Every second event is told by GET. Numbers of employees
carry the account's number before them. Some inbound calls go to a group: then the company's line stands where the employee
was, and `last_called` names who rang. A transfer is a secondary hangup before the last one. The secret is `token` in the
address.
"""

from __future__ import annotations

import zlib
from typing import Final
from urllib.parse import urlencode

from callbridge.sim.speakers.base import FORM, Credentials, SignedWebhook, Story, Told, token_segment

CALL, HANGUP, ANSWER, SECONDARY = "1", "2", "3", "4"

_ACCOUNT: Final = "052719"
_OUTSIDE, _INSIDE = "1", "2"
_STATUSES: Final = {"answered": "ANSWER", "busy": "BUSY", "unavailable": "CHANUNAVAIL", "wrong_number": "CONGESTION"}
_UNANSWERED: Final = ("NOANSWER", "CANCEL")


class Sipuni:
    name = "sipuni"
    events = (HANGUP, CALL, ANSWER, SECONDARY)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - its times are Unix seconds
        lot = zlib.crc32(story.ref.encode())
        ended = story.started + story.ringing + story.talk
        sides = {"call_id": f"{story.started}.{lot}"} | _sides(story, to_group=lot % 4 == 0)
        ringing = sides | {"event": CALL, "timestamp": str(story.started)}
        end = sides | {
            "status": _STATUSES.get(story.status, _UNANSWERED[lot % 2]),
            "timestamp": str(ended),
            "call_start_timestamp": str(story.started),
            "call_answer_timestamp": str(ended - story.talk if story.talk else 0),
            "call_record_link": f"https://records.example.com/{lot}.mp3" if story.recorded else "",
            "user_id": _ACCOUNT,
            "treeName": "Main",
            "treeNumber": f"000-{_ACCOUNT}",
        }
        told = [(CALL, ringing)]
        if story.transferred:
            told.append((SECONDARY, end | {"event": SECONDARY, "status": "NOANSWER", "call_answer_timestamp": "0"}))
        if story.talk:
            told.append((ANSWER, ringing | {"event": ANSWER, "timestamp": str(ended - story.talk)}))
        told.append((HANGUP, end | {"event": HANGUP}))
        return [Told(event, urlencode(fields).encode()) for event, fields in told]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - nothing is signed
        if not (credentials.secret or credentials.path_token):
            raise ValueError("sipuni needs a path token, or a secret that its address carries as ?token=")
        token = urlencode({"token": credentials.secret}) if credentials.secret else ""
        segment = token_segment(credentials)
        if zlib.crc32(told.body) % 2:
            query = "&".join(filter(None, (token, told.body.decode())))
            return SignedWebhook("GET", f"{segment}?{query}", {}, b"")
        address = f"{segment}?{token}" if token else segment
        return SignedWebhook("POST", address, {"Content-Type": FORM}, told.body)


def _sides(story: Story, *, to_group: bool) -> dict[str, str]:
    outside, employee = story.phone.lstrip("+"), _ACCOUNT + story.extension
    ours = {"num": employee, "type": _INSIDE, "short": story.extension}
    theirs = {"num": outside, "type": _OUTSIDE, "short": outside}
    if story.internal:
        theirs = {"num": _ACCOUNT + story.phone, "type": _INSIDE, "short": story.phone}
    caller, called = (theirs, ours) if story.inbound else (ours, theirs)
    last_called = story.extension if story.inbound else outside
    if story.inbound and to_group:
        line = story.line.lstrip("+")
        called = {"num": line, "type": _OUTSIDE, "short": line}
        last_called = f"{employee},{_ACCOUNT}199"
    return {
        "src_num": caller["num"],
        "src_type": caller["type"],
        "short_src_num": caller["short"],
        "dst_num": called["num"],
        "dst_type": called["type"],
        "short_dst_num": called["short"],
        "last_called": last_called,
    }


SIPUNI: Final = Sipuni()
