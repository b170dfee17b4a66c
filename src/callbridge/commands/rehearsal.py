"""What the demo plays and how it is judged: made-up settings, sample calls of several PBXs, the final account.

Every call that was sent has to be found in exactly one state, and every delivered one exactly once at the CRM. Opens
nothing; `demo` runs it.
"""

from __future__ import annotations

import base64
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from callbridge.commands.senders import hook_at, known_as
from callbridge.ops.health import states
from callbridge.settings import Settings
from callbridge.sim.speakers import speaker_named
from callbridge.sim.speakers.base import Credentials, SignedWebhook, Told
from callbridge.sim.traffic import Mix, traffic
from callbridge.store.tally import Tally

PBXS: Final = {
    "office": "mango",
    "shop": "generic",
    "support": "zadarma",
    "branch": "megafon",
    "workshop": "asterisk",
    "agency": "twilio",
    "clinic": "preset:ringostat",
}
"""The sources of the demo and the provider of each."""

ODD: Final = "shop"
"""The source that sends the odd ones: the canonical webhook can tell anything."""

UNDER_WAY: Final = ("queued", "retrying", "sending", "uncertain")

MIX: Final = Mix(duplicates=0.05, unknown=0.06, sooner=0.2, late=0.2, never=0.1, transferred=0.2, internal=0.04)

HOLD: Final = "1s"
"""How long a call waits for its recording and its legs: these PBXs tell both within a moment."""

TIMEZONE: Final = "Europe/Moscow"

ENOUGH: Final = 10
"""Calls from which on there is room for odd ones."""


def made_up_keys() -> dict[str, Credentials]:
    """Credentials of every source, made up for one run."""
    return {source: _made_up(provider) for source, provider in PBXS.items()}


def _made_up(provider: str) -> Credentials:
    if provider == "generic":
        return Credentials(secret=f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}")
    return Credentials(secret=secrets.token_hex(16), key=secrets.token_hex(16), timezone=TIMEZONE)


def made_up_settings(keys: Mapping[str, Credentials], *, crm: str, data_dir: Path) -> Settings:
    """One account, a source for each PBX, a free port."""
    return Settings.model_validate(
        {
            "data_dir": data_dir,
            "log": {"level": "error"},
            "receiver": {"port": 0},
            "console": {"port": 0},
            "accounts": {"demo": {"url": crm, "token": secrets.token_hex(16)}},
            "sources": {
                source: {
                    "provider": provider,
                    "key": keys[source].key or None,
                    "secret": keys[source].secret,
                    "timezone": keys[source].timezone,
                    "hold": HOLD,
                }
                for source, provider in PBXS.items()
            },
        }
    )


@dataclass(frozen=True, slots=True)
class Script:
    """The webhooks of `calls` calls by source; `undecodable` of them hold no readable call."""

    calls: int
    undecodable: int
    webhooks: Mapping[str, Iterator[SignedWebhook]]


def script(
    calls: int, keys: Mapping[str, Credentials], numbers: Sequence[str], now: Callable[[], float], url: str
) -> Script:
    """`url` is the receiver's: some PBXs sign it."""
    odd = list(_odd_ones(calls, now)) if calls >= ENOUGH else []
    share, more = divmod(calls - len(odd), len(PBXS))
    webhooks: dict[str, Iterator[SignedWebhook]] = {}
    for place, (source, provider) in enumerate(PBXS.items()):
        held = known_as(keys[source], hook_at(url, source), source)
        count = share + (place < more)
        webhooks[source] = traffic(speaker_named(provider), held, count, now=now, seed=place, numbers=numbers, mix=MIX)
    speaker = speaker_named(PBXS[ODD])
    signed = (
        speaker.sign(Told(speaker.events[0], body), keys[ODD], now=now(), message_id=f"msg_odd_{number}")
        for number, body in enumerate(odd)
    )
    webhooks[ODD] = itertools.chain(signed, webhooks[ODD])
    return Script(calls, sum(body.startswith(b"<") for body in odd), webhooks)


def _odd_ones(calls: int, now: Callable[[], float]) -> Iterator[bytes]:
    """What real PBXs send besides calls with a number: hidden, internal and unknown callers, and something unreadable."""
    yield b"<call>an old firmware still sends XML</call>"
    people = {"hidden": ("inbound", ""), "between-us": ("internal", "104"), "stranger": ("inbound", "+79885550142")}
    for number in range(max(1, calls // 100)):
        for name, (direction, phone) in people.items():
            call = {"id": f"{name}-{number}", "direction": direction, "phone": phone, "duration": 20}
            yield orjson.dumps(call | {"started_at": int(now()) - 60})


@dataclass(frozen=True, slots=True)
class Account:
    """What became of everything. `problems` say what does not add up; without any, every call is accounted for."""

    sent: int
    webhooks: int
    refused: int
    by_state: Mapping[str, int]
    notes: int
    duplicates: int
    seconds: float
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "problems": list(self.problems),
            "sent": self.sent,
            "webhooks": self.webhooks,
            "refused": self.refused,
            **self.by_state,
            "crm_notes": self.notes,
            "crm_duplicates": self.duplicates,
            "seconds": round(self.seconds, 1),
        }


def under_way(tally: Tally) -> int:
    """Calls that are neither final nor parked."""
    return sum(states(tally)[state] for state in UNDER_WAY)


def account(
    played: Script,
    answers: Counter[int],
    tally: Tally,
    delivered: Mapping[str, int | None],
    notes: Sequence[tuple[int, str | None]],
    seconds: float,
) -> Account:
    """`delivered` maps the uniq of each delivered call to its note; `notes` are the CRM's: id and uniq."""
    refused = sum(count for status, count in answers.items() if not 200 <= status < 300)
    by_uniq = Counter(uniq for _, uniq in notes)
    duplicates = sum(count - 1 for count in by_uniq.values())
    held = {uniq: number for number, uniq in notes}
    misplaced = sum(held.get(uniq) != note for uniq, note in delivered.items())
    unknown = sum(uniq not in delivered for uniq in by_uniq)
    complaints = {
        f"{refused} webhooks were refused": refused,
        f"{tally.total} calls are stored, {played.calls} were sent": tally.total != played.calls,
        f"{under_way(tally)} calls are still on the way": under_way(tally),
        f"{tally.dead} calls are dead, {played.undecodable} should be": tally.dead != played.undecodable,
        f"{duplicates} calls stand in the CRM twice": duplicates,
        f"{misplaced} delivered calls have no such note in the CRM": misplaced,
        f"{unknown} notes in the CRM belong to no delivered call": unknown,
        f"{len(delivered)} delivered calls are listed, {tally.delivered} counted": len(delivered) != tally.delivered,
    }
    return Account(
        sent=played.calls,
        webhooks=answers.total(),
        refused=refused,
        by_state=states(tally),
        notes=len(notes),
        duplicates=duplicates,
        seconds=seconds,
        problems=tuple(text for text, wrong in complaints.items() if wrong),
    )
