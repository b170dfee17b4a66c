"""The words of a story [pure]: what the placeholders in a preset's samples stand for.

{id} {id_number} {phone} {phone_digits} {line} {line_digits} {extension} {from} {to} {from_digits} {to_digits}
{direction} {status} {talk} {talk_ms} {talk_hms} {ringing} {total} {total_ms} {recording} {recording_or_empty}
{voicemail_link} {is_voicemail} {is_recorded}, and {started} {answered} {ended}, each also with _ms, _iso (UTC), _utc and
_text (wall clock of UTC and of the source's zone, as 2026-09-21 16:13:30). In any other form it is written by the pattern of
a preset's time format, in the source's zone: {started:DD/MM/YYYY hh:mm:ss}.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from callbridge.presets import times
from callbridge.sim.speakers.base import Story

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]{1,30})\}|\{(started|answered|ended):([^{}\"\r\n]{1,40})\}")


def filled(text: str, words: Mapping[str, str], timezone: str = "UTC") -> str:
    """The text with its placeholders filled; braces around anything else stay."""

    def word(match: re.Match[str]) -> str:
        name, moment, pattern = match.groups()
        if moment and moment in words:
            return times.told(int(words[moment]), pattern, timezone)
        return words.get(name or "", match[0])

    return _PLACEHOLDER.sub(word, text)


def words_of(story: Story, timezone: str, statuses: Mapping[str, str], directions: Mapping[str, str]) -> dict[str, str]:
    direction = "inbound" if story.inbound else "outbound"
    caller, called = (story.phone, story.line) if story.inbound else (story.line, story.phone)
    total = story.ringing + story.talk
    recording = f"https://records.example.com/{story.ref}.mp3"
    voicemail = story.status == "voicemail"
    words = {
        "id": story.ref,
        "id_number": str(int(hashlib.sha256(story.ref.encode()).hexdigest()[:12], 16) + 10**15),
        "phone": story.phone,
        "line": story.line,
        "extension": story.extension,
        "from": caller,
        "to": called,
        "direction": directions.get(direction, direction),
        "status": statuses.get(story.status, story.status),
        "talk": str(story.talk),
        "talk_ms": str(story.talk * 1_000),
        "talk_hms": f"{story.talk // 3600:02}:{story.talk // 60 % 60:02}:{story.talk % 60:02}",
        "ringing": str(story.ringing),
        "total": str(total),
        "total_ms": str(total * 1_000),
        "recording": recording,
        "recording_or_empty": recording if story.recorded else "",
        "voicemail_link": f'"https://records.example.com/{story.ref}-message.mp3"' if voicemail else "null",
        "is_voicemail": "true" if voicemail else "false",
        "is_recorded": "1" if story.recorded else "0",
    }
    words |= {f"{name}_digits": "".join(filter(str.isdigit, words[name])) for name in ("phone", "line", "from", "to")}
    at = {"started": story.started, "answered": story.started + story.ringing, "ended": story.started + total}
    return words | {name: word for event, second in at.items() for name, word in _moments(event, second, timezone)}


def _moments(name: str, at: int, timezone: str) -> list[tuple[str, str]]:
    return [
        (name, str(at)),
        (f"{name}_ms", str(at * 1_000)),
        (f"{name}_iso", datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        (f"{name}_utc", _clock(at, UTC)),
        (f"{name}_text", _clock(at, ZoneInfo(timezone))),
    ]


def _clock(at: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S")
