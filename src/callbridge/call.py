"""The call [pure]: what a PBX told us, in our own words, and the identities derived from it.

Everything between the webhook and the CRM speaks in these types. They cannot be built wrong: a `Call` has a
direction, a bounded non-negative duration, and text without control characters, or it raises `ValueError` at the
border. What a PBX calls things stays in `intake.providers`; what amoCRM calls things stays in `amocrm`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NewType

CallId = NewType("CallId", str)
"""The id people see: 16 characters, sorts by time of acceptance."""

CallKey = NewType("CallKey", str)
"""The identity that dedupes: source, the PBX's own id, and the day where the PBX told the start time."""

MAX_DURATION = 7 * 24 * 3600
"""Seconds. A longer "call" is a unit mistake of the sender, not a conversation."""

MIN_STARTED_AT, MAX_STARTED_AT = 946_684_800, 4_102_444_800
"""Unix seconds, 2000-01-01 to 2100-01-01: outside it a timestamp is milliseconds or garbage."""

MAX_REF, MAX_PHONE, MAX_TEXT, MAX_LINK = 256, 64, 1_000, 2_048

SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(one + other for one in _CROCKFORD for other in _CROCKFORD)


class Direction(StrEnum):
    """Seen from the company: `internal` calls are between two employees and never reach the CRM."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class CallStatus(StrEnum):
    """How the call ended. The numbers 1-7 of the canonical webhook stand for these in this order."""

    VOICEMAIL = "voicemail"
    CALLBACK = "callback"
    UNAVAILABLE = "unavailable"
    ANSWERED = "answered"
    WRONG_NUMBER = "wrong_number"
    NO_ANSWER = "no_answer"
    BUSY = "busy"

    @classmethod
    def numbered(cls, number: int) -> CallStatus:
        """The status behind 1-7; `ValueError` for any other number."""
        if not 1 <= number <= len(cls):
            raise ValueError("status is a number from 1 to 7")
        return _STATUSES[number - 1]

    @property
    def number(self) -> int:
        return _NUMBERS[self]


_STATUSES = tuple(CallStatus)
_NUMBERS = {status: number for number, status in enumerate(CallStatus, 1)}


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call.

    `ref` is the PBX's own id of it. `phone` is the external party as the PBX wrote it ("" when hidden). `duration` is
    talk time in seconds, `started_at` Unix seconds. `dated` says that `started_at` takes part in the call's identity: not
    where it was estimated from the receipt, and not where the PBX never gives an id twice and legs of one call may begin
    on two days.
    """

    source: str
    provider: str
    ref: str
    direction: Direction
    phone: str
    duration: int
    started_at: int
    status: CallStatus
    dated: bool = True
    result: str | None = None
    link: str | None = None
    extension: str | None = None

    def __post_init__(self) -> None:
        if not SOURCE_NAME.fullmatch(self.source):
            raise ValueError("source is 1 to 32 characters of a-z 0-9 _ -")
        if not self.ref or len(self.ref) > MAX_REF:
            raise ValueError(f"id is 1 to {MAX_REF} characters")
        if len(self.phone) > MAX_PHONE:
            raise ValueError(f"phone is at most {MAX_PHONE} characters")
        if not 0 <= self.duration <= MAX_DURATION:
            raise ValueError("duration is between 0 seconds and 7 days")
        if not MIN_STARTED_AT <= self.started_at < MAX_STARTED_AT:
            raise ValueError("started_at is Unix seconds between the years 2000 and 2100")
        if self.link is not None and not is_web_link(self.link):
            raise ValueError("link is an http or https URL")
        _check_texts(self.ref, self.phone)
        _check_texts(*(text for text in (self.result, self.extension) if text is not None), bounds=(1, MAX_TEXT))

    @property
    def key(self) -> CallKey:
        return call_key(self.source, self.ref, self.started_at if self.dated else None)

    @property
    def uniq(self) -> str:
        return uniq_of(self.source, self.key)

    @property
    def rank(self) -> int:
        """Which of several legs tells what became of the call: one with somebody outside beats one between employees,
        answered beats a message left, that beats missed, longer beats shorter. Above zero: somebody outside spoke.
        """
        spoken = {CallStatus.ANSWERED: 2 + self.duration, CallStatus.VOICEMAIL: 1}
        rank = spoken.get(self.status, 0)
        inside = self.direction is Direction.INTERNAL or not self.phone
        return rank - 2 * MAX_DURATION if inside else rank


def _check_texts(*texts: str, bounds: tuple[int, int] = (0, MAX_REF)) -> None:
    for text in texts:
        if not bounds[0] <= len(text) <= bounds[1]:
            raise ValueError(f"text is {bounds[0]} to {bounds[1]} characters, or absent")
        if text != plain_text(text):
            raise ValueError("text holds no control or formatting characters")


def call_key(source: str, ref: str, started_at: int | None) -> CallKey:
    """Source keeps two PBXs apart; the PBX's id names the call; the UTC day lets a PBX that restarted its counter reuse
    an id on another day. The day is left out (`None`) where it would be our guess: a retry past midnight must still match.
    """
    day = "" if started_at is None else str(started_at // 86_400)
    return CallKey(f"{source}\x1f{ref}\x1f{day}")


def recording_keys(source: str, ref: str, at: int) -> tuple[CallKey, ...]:
    """The keys under which the call of a recording event can stand: begun that day, the day before, or undated."""
    return (
        call_key(source, ref, at),
        call_key(source, ref, at - 86_400),
        call_key(source, ref, None),
    )


def raw_key(source: str, body: bytes) -> CallKey:
    """The identity of a webhook nobody could decode: its bytes."""
    return CallKey(f"{source}\x1fraw\x1f{hashlib.sha256(body).hexdigest()}")


def key_digest(key: CallKey) -> str:
    """96 bits of SHA-256 in 16 URL-safe characters: the stored form of a key, free of anything personal."""
    return base64.urlsafe_b64encode(_digest(key)[:12]).decode()


def uniq_of(source: str, key: CallKey) -> str:
    """What the CRM stores as the call's `uniq`: deterministic, so that a note can be recognised years later."""
    return f"{source}-{base64.b32encode(_digest(key)[:15]).decode().lower()}"


def call_id(key: CallKey, accepted_at: float) -> CallId:
    """Seven characters of time (seconds, Crockford base32), then nine of the key's digest."""
    return CallId(_crockford(int(accepted_at), 7) + _crockford(int.from_bytes(_digest(key)[:6]) >> 3, 9))


def _crockford(number: int, length: int) -> str:
    """The last `length` digits of `number`, two at a time because it is on the way of every webhook."""
    text = ""
    while len(text) < length:
        number, pair = number >> 10, _PAIRS[number & 1023]
        text = pair + text
    return text[-length:]


def plain_text(text: str) -> str:
    """`text` without lone surrogates, control, format (bidi, zero-width) and line-separating characters, trimmed.

    Such characters break logs, terminals and UTF-8 encoders, and say nothing about a call.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = ("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return "".join(
        " " if c in "\t\n\r" else c
        for c in kept
        if c in "\t\n\r" or unicodedata.category(c) not in {"Cc", "Cf", "Zl", "Zp", "Co", "Cn"}
    ).strip()


def is_web_link(text: str) -> bool:
    """An http(s) URL with a host, printable, without spaces, quotes, backslashes or userinfo."""
    return (
        len(text) <= MAX_LINK
        and bool(re.fullmatch(r"https?://[^\s/?#@\\\"'<>]+(?:[/?#][^\s\\\"'<>]*)?", text, re.IGNORECASE))
        and text.isprintable()
    )


def phone_tail(phone: str) -> str:
    """The last ten digits: what the CRM compares numbers by, and what two spellings of one number share."""
    return "".join(c for c in phone if c in "0123456789")[-10:]


@lru_cache(maxsize=512)  # each identity of a call is another part of the same digest
def _digest(key: CallKey) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True)
class Webhook:
    """The evidence kept with a call, after verification: which event it was, and its bytes as received less the secret."""

    event: str
    body: bytes


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """A call to store and deliver; `hold` is how many seconds to wait for its recording and other legs first."""

    account: str
    call: Call
    webhook: Webhook
    hold: float = 0.0


@dataclass(frozen=True, slots=True)
class UndecodableWebhook:
    """Authenticated, but no call can be read from it: kept for a person, never lost. `problem` names the cause."""

    account: str
    source: str
    provider: str
    webhook: Webhook
    problem: str


@dataclass(frozen=True, slots=True)
class RecordingReady:
    """The recording of the call `ref` can be heard at `link`; `at` (Unix seconds) is when the PBX said so. `note_late`: if
    the call is in the CRM already, the link goes to the same card as a note.
    """

    account: str
    source: str
    ref: str
    link: str
    at: int
    webhook: Webhook
    note_late: bool = False


@dataclass(frozen=True, slots=True)
class IgnoredEvent:
    """An event that is not about a finished call (a ring, a DTMF tone): counted, not stored."""

    source: str
    event: str


Arrival = FinishedCall | UndecodableWebhook | RecordingReady | IgnoredEvent
"""What one webhook brings. A webhook may bring several."""


class ReceiptKind(StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"
    """The same call with the same content, again."""
    VARIANT = "variant"
    """The same call with other content: the first stands, the second is kept visible."""
    FOLDED = "folded"
    """A better leg of a call that was not sent yet: it takes the place of the first, which stays visible."""
    PATCHED = "patched"
    """A recording link joined its call."""
    KEPT = "kept"
    """A recording came before its call and waits for it."""
    COUNTED = "counted"
    SPOOLED = "spooled"
    """On this host's disk, because Redis could not take it; it goes there when Redis is back."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The store's durable answer to one arrival; `id` is None where no call is concerned yet."""

    kind: ReceiptKind
    id: CallId | None = None
