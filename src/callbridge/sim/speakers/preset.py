"""Any PBX that a preset describes [pure]: its own samples filled with a story, and signed by the inverse of its [auth].

What is signed and how it is written comes from `callbridge.presets`, the same data that the verifying side reads: here it
is only put into the request instead of compared. Vendors' libraries check that data from outside in the tests. A preset
without samples can still sign a body that it is given.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from callbridge.errors import Misconfigured
from callbridge.presets import signing
from callbridge.presets.expressions import Expression, Path, Scope
from callbridge.presets.load import load
from callbridge.presets.model import Preset, Sample
from callbridge.presets.signatures import (
    Basic,
    Bearer,
    Digest,
    Ed25519,
    FieldToken,
    HeaderToken,
    Hmac,
    Ip,
    Item,
    Jwt,
    PathToken,
    QueryToken,
    StandardWebhooks,
)
from callbridge.sim.speakers.base import FORM, JSON, Auth, Credentials, SignedWebhook, Story, Told, token_segment
from callbridge.sim.speakers.generic import standard_webhooks
from callbridge.sim.speakers.preset_words import filled, words_of

_TOKENS: Final = FieldToken | HeaderToken | QueryToken | Bearer | Basic


@dataclass
class _Draft:
    """A request while it is being signed."""

    sample: Sample | None
    body: bytes
    query: dict[str, str]
    headers: dict[str, str]
    credentials: Credentials = field(repr=False)

    @property
    def is_form(self) -> bool:
        return self.headers["Content-Type"].startswith(FORM)

    @property
    def suffix(self) -> str:
        query = f"?{urlencode(self.query)}" if self.query else ""
        return (self.sample.path if self.sample else "") + query

    @property
    def signable(self) -> signing.Signable:
        form = {name: value.encode() for name, value in parse_qsl(self.body.decode())} if self.is_form else None
        document = _json(self.body) if form is None else {name: value.decode() for name, value in form.items()}
        lowered = {name.lower(): value for name, value in self.headers.items()}
        method = self.sample.method if self.sample else "POST"
        path = (self.sample.path if self.sample else "").strip("/")
        scope = Scope(document, document, method, path, self.query, lowered, timezone=self.credentials.timezone)
        return signing.Signable(
            scope, self.body, self.credentials.hook + self.suffix, form, self.credentials.key.encode()
        )

    def put(self, place: Expression, value: str) -> None:
        """Writes a value where the preset looks for it. Raises `ValueError` where there is no such place to write to."""
        match place:
            case Path("header", (str(name),)):
                self.headers[name] = value
            case Path("query", (str(name),)):
                self.query[name] = value
            case Path("", (str(name),)) if self.is_form:
                fields = dict(parse_qsl(self.body.decode(), keep_blank_values=True)) | {name: value}
                self.body = urlencode(fields).encode()
            case Path("", steps):
                self.body = _with(self.body, steps, value)
            case _:
                raise ValueError("this preset's credential stands where `send` cannot write it")


class PresetSpeaker:
    def __init__(self, preset: Preset, name: str) -> None:
        self._preset = preset
        self.name = name
        self.events = tuple(dict.fromkeys(sample.event for sample in preset.samples)) or ("webhook",)

    def tell(self, story: Story, timezone: str) -> list[Told]:
        if not self._preset.samples:
            raise ValueError(f"{self.name} has no samples: give a body with --file")
        words = words_of(story, timezone, self._preset.status_words, self._preset.direction_words)
        told = [sample for sample in self._preset.samples if _fits(sample, story)]
        return [Told(sample.event, _body(sample, words, timezone), late=sample.tells == "recording") for sample in told]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:
        sample = next((each for each in self._preset.samples if each.event == told.event), None)
        kind = sample.content_type if sample else _guessed(told.body)
        draft = _Draft(sample, told.body, {}, {"Content-Type": kind}, credentials)
        draft.headers |= {
            name: filled(text, {"key": credentials.key}) for name, text in (sample.headers if sample else {}).items()
        }
        if sample and sample.method == "GET":
            draft.query, draft.body = dict(parse_qsl(told.body.decode(), keep_blank_values=True)), b""
        for item in self._items(credentials):
            _prove(item, draft, now, message_id)
        method = sample.method if sample else "POST"
        return SignedWebhook(method, token_segment(credentials) + draft.suffix, draft.headers, draft.body)

    def _items(self, credentials: Credentials) -> list[Item]:
        """What proves the sender: tokens first, because signatures may cover them."""
        auth = self._preset.auth
        if auth.all_of:
            return sorted(auth.all_of, key=lambda item: not isinstance(item, _TOKENS))
        bare = credentials.auth is Auth.PATH or not credentials.secret
        wanted = [item for item in auth.any_of if isinstance(item, PathToken | Ip) is bare]
        if credentials.auth is Auth.BEARER:
            wanted.sort(key=lambda item: not isinstance(item, Bearer))
        able = [item for item in wanted if _can(item, credentials)]
        if not able:
            raise ValueError(f"{self.name} cannot sign with these credentials: a secret or a path token is missing")
        return able[:1]


def preset_speaker(name: str) -> PresetSpeaker:
    """The speaker of preset:NAME or of a preset's file. Raises `Misconfigured`."""
    return PresetSpeaker(load(name), name)


def _fits(sample: Sample, story: Story) -> bool:
    if sample.tells == "recording" and not story.recorded:
        return False
    return (
        sample.direction in {None, "inbound" if story.inbound else "outbound"}
        and sample.answered in {None, story.status == "answered"}
        and sample.recorded in {None, story.recorded}
    )


def _body(sample: Sample, words: Mapping[str, str], timezone: str) -> bytes:
    if sample.fields is not None:
        return urlencode({name: filled(text, words, timezone) for name, text in sample.fields.items()}).encode()
    escaped = {name: json.dumps(word, ensure_ascii=False)[1:-1] for name, word in words.items() if name not in _BARE}
    return filled(sample.body or "", {**words, **escaped}, timezone).encode()


_BARE: Final = frozenset({"voicemail_link", "is_voicemail", "is_recorded"})
"""Words that are JSON already."""


def _can(item: Item, credentials: Credentials) -> bool:
    match item:
        case PathToken():
            return bool(credentials.path_token)
        case Hmac():
            try:
                return isinstance(item.value, Path) and bool(signing.key_of(item, credentials.secret))
            except Misconfigured:
                return False
        case Ed25519():
            return False
        case _:
            return True


def _prove(item: Item, draft: _Draft, now: float, message_id: str) -> None:
    credentials = draft.credentials
    match item:
        case Ip():
            return
        case PathToken():
            _needed(credentials.path_token, "path token")
            return
        case _:
            _needed(credentials.secret, "secret")
    match item:
        case StandardWebhooks():
            draft.headers |= standard_webhooks(credentials.secret, draft.body, int(now), message_id)
        case Jwt():
            _sign_token(item, draft, now, message_id)
        case Digest() | Hmac():
            _sign(item, draft, now, message_id)
        case Ed25519():
            raise ValueError("only the vendor has the private key: it cannot be signed here")
        case _:
            _carry(item, draft)


def _needed(credential: str, name: str) -> None:
    if not credential:
        raise ValueError(f"a {name} is needed: the preset's [auth] asks for one")


def _carry(item: FieldToken | HeaderToken | QueryToken | Bearer | Basic, draft: _Draft) -> None:
    """The secret as it is."""
    secret = draft.credentials.secret
    match item:
        case FieldToken(name=place):
            draft.put(place, secret)
        case HeaderToken(name=name, prefix=prefix):
            draft.headers[name] = prefix + secret
        case QueryToken(name=name):
            draft.query[name] = secret
        case Bearer():
            draft.headers["Authorization"] = f"Bearer {secret}"
        case Basic():
            pair = f"{draft.credentials.key}:{secret}".encode()
            draft.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"


def _sign(item: Digest | Hmac, draft: _Draft, now: float, message_id: str) -> None:
    if item.timestamp is not None:
        draft.put(item.timestamp.value, str(int(now * 1_000 if item.timestamp.unit == "ms" else now)))
    parts = signing.parts_of(item, draft.signable.scope)
    if parts is None:
        raise ValueError("the preset signs no such event")
    for part in parts:  # a nonce
        match part:
            case Path("header", (str(name),)) if name.lower() not in map(str.lower, draft.headers):
                draft.headers[name] = message_id
            case _:
                pass
    try:
        made = signing.digest(
            item, signing.content(parts, draft.signable, draft.credentials.secret), draft.credentials.secret
        )
    except Misconfigured as error:
        raise ValueError(f"the secret {error}") from None
    draft.put(item.value, item.prefix + signing.written_as(item.out[0], made).decode("latin-1"))


def _sign_token(item: Jwt, draft: _Draft, now: float, message_id: str) -> None:
    header = _part(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
    claims = draft.body
    if item.place == "bearer":
        told = {"iat": int(now), "exp": int(now) + 300, "jti": message_id}
        if item.payload_hash:
            told |= {item.payload_hash: hashlib.sha256(draft.body).hexdigest()}
        claims = json.dumps(told).encode()
    signed = header + b"." + _part(claims)
    token = signed + b"." + _part(hmac.digest(draft.credentials.secret.encode(), signed, "sha256"))
    if item.place == "body":
        draft.body, draft.headers["Content-Type"] = token, "application/jwt"
    else:
        draft.headers["Authorization"] = f"Bearer {token.decode()}"


def _part(told: bytes) -> bytes:
    return base64.urlsafe_b64encode(told).rstrip(b"=")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _with(body: bytes, steps: tuple[str | int, ...], value: str) -> bytes:
    """A JSON body with a value put into it."""
    document = _json(body)
    here = document
    for step in steps[:-1]:
        here = here.setdefault(str(step), {}) if isinstance(here, dict) else None
    if not isinstance(here, dict):
        raise ValueError("the body is no JSON object, so that its credential cannot be put in")  # noqa: TRY004 - as all that `sign` refuses
    here[str(steps[-1])] = value
    return json.dumps(document, ensure_ascii=False).encode()


def _guessed(body: bytes) -> str:
    return JSON if body.lstrip()[:1] in {b"{", b"["} else FORM
