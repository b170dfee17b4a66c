"""Binotel [pure]: PHP arrays written as forms.

Written from https://developers.binotel.ua (API CALL Completed). A call is told once, when it is over; who rang before the one
who answered is in `historyData`, so a transfer has no leg of its own here. Before it the PBX asks who is calling. The secret
is `token` in the address, because nothing is signed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlencode

from callbridge.sim.speakers.base import FORM, Credentials, SignedWebhook, Story, Told, token_segment

COMPLETED, SETTINGS, HANGUP = "apiCallCompleted", "apiCallSettings", "hangupTheCall"

_COMPANY: Final = "90417"
_DISPOSITIONS: Final = {"busy": "BUSY", "unavailable": "CHANUNAVAIL", "voicemail": "VM", "wrong_number": "CONGESTION"}
_UNANSWERED: Final = ("NOANSWER", "CANCEL")

Tree = Mapping[str, "str | Tree"]


class Binotel:
    name = "binotel"
    events = (COMPLETED, SETTINGS, HANGUP)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - its times are Unix seconds
        lot = zlib.crc32(story.ref.encode())
        call_id, kind = str(4_000_000_000 + lot), "0" if story.inbound else "1"
        disposition = _DISPOSITIONS.get(story.status, _UNANSWERED[lot % 2])
        if story.talk:
            disposition = "TRANSFER" if story.transferred else "ANSWER"
        asked = {"companyID": _COMPANY, "externalNumber": story.phone.lstrip("+"), "callType": kind}
        over = {"generalCallID": call_id, "billsec": str(story.talk), "disposition": disposition}
        completed: Tree = {
            "attemptsCounter": "1",
            "callDetails": _details(story, kind, disposition, call_id),
            "language": "uk",
        }
        told: list[tuple[str, Tree]] = [(SETTINGS, asked), (HANGUP, over), (COMPLETED, completed)]
        return [Told(event, urlencode([("requestType", event), *_flat(tree)]).encode()) for event, tree in told]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - nothing is signed
        if not (credentials.secret or credentials.path_token):
            raise ValueError("binotel needs a path token, or a secret that its address carries as ?token=")
        query = "?" + urlencode({"token": credentials.secret}) if credentials.secret else ""
        return SignedWebhook("POST", token_segment(credentials) + query, {"Content-Type": FORM}, told.body)


def _details(story: Story, kind: str, disposition: str, call_id: str) -> Tree:
    answered = _try(story.extension, story.ringing, story.talk, disposition)
    tries = [_try("199", story.ringing, 0, "NOANSWER"), answered] if story.transferred else [answered]
    link = f"https://my.binotel.example/?module=cdrs&fileName={call_id}.mp3" if story.recorded else ""
    return {
        "companyID": _COMPANY,
        "generalCallID": call_id,
        "callID": call_id,
        "startTime": str(story.started),
        "callType": kind,
        "internalNumber": story.extension,
        "internalAdditionalData": "",
        "externalNumber": story.phone.lstrip("+"),
        "waitsec": str(story.ringing),
        "billsec": str(story.talk),
        "disposition": disposition,
        "recordingStatus": "uploaded" if story.recorded else "",
        "isNewCall": "0",
        "customerData": "",
        "employeeData": {"name": f"Employee {story.extension}", "email": f"e{story.extension}@example.com"},
        "pbxNumberData": {"number": story.line.lstrip("+")},
        "historyData": {str(place): one for place, one in enumerate(tries)},
        "linkToCallRecordInMyBusiness": link,
    }


def _try(extension: str, waited: int, talk: int, disposition: str) -> Tree:
    return {
        "waitsec": str(waited),
        "billsec": str(talk),
        "disposition": disposition,
        "internalNumber": extension,
        "employeeData": {"email": f"e{extension}@example.com"},
    }


def _flat(tree: Tree, inside: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        place = f"{inside}[{name}]" if inside else name
        if isinstance(value, str):
            yield place, value
        else:
            yield from _flat(value, place)


BINOTEL: Final = Binotel()
