"""A PBX described by a preset file: the provider that runs one [pure].

The way of a request: method, handshakes that nobody signs, decoding, credential, handshakes that are signed, which event it
is, which elements it has, and of each the call. Every step is data of the preset (`callbridge.presets.model`); here is only
the order. The same way can be told step by step, for people who write a preset of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from callbridge.errors import Unauthenticated, Undecodable
from callbridge.intake.providers import preset_auth, preset_hints, preset_map, preset_select
from callbridge.intake.providers.base import (
    Broken,
    Challenge,
    Event,
    Finished,
    Ignored,
    Recording,
    Reply,
    Source,
    Step,
    WebhookRequest,
    event_name,
)
from callbridge.intake.providers.preset_auth import Seen
from callbridge.intake.providers.preset_decode import Document, decode, scope_of
from callbridge.intake.providers.preset_traits import traits_of
from callbridge.presets.conditions import holds
from callbridge.presets.expressions import Scope
from callbridge.presets.functions import as_text, evaluate
from callbridge.presets.load import PREFIX
from callbridge.presets.model import Handshake, HandshakeReply, Preset

Tell = Callable[[str, object], None]

_ECHO: Final = re.compile(r"[A-Za-z0-9_.:/@+=,*-]{1,256}")
"""What may be sent back in plain text or a header: nothing that a browser or a proxy could take for more than text."""

MAX_ANSWER: Final = 1_024


class PresetProvider:
    """`name` is what sources call it: preset:NAME, or the path of a file."""

    def __init__(self, name: str, preset: Preset) -> None:
        self._preset = preset
        self.name = name
        self.title, self.setup = preset.title, preset.setup
        self.guide = "\n\n".join(
            filter(None, (preset.guide.strip(), preset.verified and f"Evidence: {preset.verified}"))
        )
        self.traits = traits_of(preset)
        self.methods: frozenset[str] = frozenset(preset.accept.methods)
        self.reply = _reply(preset)

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:
        for handshake in self._preset.handshake:
            if handshake.when is None and _is_called(handshake, request):
                return _answer(handshake.reply, scope_of(Document(None), request, source))
        return None

    def check(self, source: Source) -> None:
        preset_auth.check(self._preset.auth, source)

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:
        problem = preset_auth.problem(
            self._preset.auth, preset_auth.outcomes(self._preset.auth, self._seen(request, source, now))
        )
        if problem:
            raise Unauthenticated(problem)

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        return self._events(request, source, now, lambda _name, _detail: None)

    def event_of(self, request: WebhookRequest) -> str:
        try:
            document = decode(self._preset.accept, request)
        except Undecodable:
            document = Document(None)
        return event_name(preset_select.name_of(self._preset.select, scope_of(document, request, _NOBODY)) or "webhook")

    def explain(self, request: WebhookRequest, source: Source, now: float) -> Iterator[Step]:
        """The way of one request, step by step, to its end or to what stops it. Its secrets are not told again."""
        seen = self._seen(request, source, now)
        for step in self._steps(request, seen):
            yield replace(step, text=preset_hints.hidden(step.text, seen))

    def _steps(self, request: WebhookRequest, seen: Seen) -> Iterator[Step]:
        source, now = seen.source, seen.now
        if greeting := self.greet(request, source):
            yield Step(
                "handshake", f"answered {greeting.status} {greeting.body.decode()} {dict(greeting.headers)}", ok=True
            )
            return
        yield Step(
            "method", f"{request.method}; it sends by {', '.join(sorted(self.methods))}", request.method in self.methods
        )
        try:
            document = decode(self._preset.accept, request)
            told = json.dumps(document.root, ensure_ascii=False)
            yield Step("decoded", f"{self._preset.accept.decode}: {told}", ok=True)
        except Undecodable as error:
            yield Step("decoded", f"{self._preset.accept.decode}: {error.reason}", ok=False)
        found = preset_auth.outcomes(self._preset.auth, seen)
        for kind, problem in found:
            yield Step(f"auth {kind}", problem or "holds", problem is None)
        problem = preset_auth.problem(self._preset.auth, found)
        if problem:
            for name, text in preset_hints.hints(self._preset.auth, seen, [each for _, each in found]):
                yield Step(f"auth {name}", text, ok=None)
        yield Step("verified", problem or "it is from whom it says", problem is None)
        heard: list[tuple[str, object]] = []
        try:
            events = self._events(request, source, now, lambda name, detail: heard.append((name, detail)))
        except Undecodable as error:
            yield Step("read", error.reason, ok=False)
            return
        for name, detail in heard:
            yield Step(name, "not in the preset" if detail is None else str(detail), ok=True)
        for event in events:
            yield _ending(event)

    def _seen(self, request: WebhookRequest, source: Source, now: float) -> Seen:
        try:
            document = decode(self._preset.accept, request)
        except Undecodable:
            document = Document(None)
        return Seen(request, source, document, now)

    def _events(self, request: WebhookRequest, source: Source, now: float, tell: Tell) -> list[Event]:
        document = decode(self._preset.accept, request)
        whole = scope_of(document, request, source)
        for handshake in self._preset.handshake:
            if handshake.when is not None and _says(handshake, whole):
                return [self._challenge(handshake, whole, source, request.evidence)]
        elements = preset_select.elements(self._preset.select, whole)
        if elements is None:
            return [self._event(whole, source, now, request.evidence, tell, is_element=False)]
        tell("elements", len(elements))
        only = len(elements) == 1
        return [
            self._event(replace(whole, element=each), source, now, request.evidence if only else _written(each), tell)
            for each in elements
        ] or [Ignored(preset_select.label(self._preset.select, whole, "empty"))]

    def _challenge(self, handshake: Handshake, scope: Scope, source: Source, body: bytes) -> Event:
        name = preset_select.label(self._preset.select, scope, "challenge")
        reply = _answer(handshake.reply, replace(scope, secret=source.secrets[0] if source.secrets else None))
        return Challenge(name, reply) if reply else Broken("is a handshake without the value to answer", name, body)

    def _event(
        self, scope: Scope, source: Source, now: float, body: bytes, tell: Tell, *, is_element: bool = True
    ) -> Event:
        select = self._preset.select
        name = event_name(preset_select.label(select, scope, "call"))
        try:
            kind, why = preset_select.kind_of(select, scope)
            tell("selected", f"{name}: {kind} ({why})")
            if kind == "ignored":
                return Ignored(name)
            if not is_element:
                return Broken(preset_select.NO_ELEMENTS, name, body)
            if kind == "recording" and self._preset.recording is not None:
                return preset_map.recorded(self._preset.recording, scope, source, now, name, body, tell)
            return preset_map.finished(self._preset.map, scope, source, now, name, body, tell)
        except Undecodable as error:
            return Broken(error.reason, name, body)
        except ValueError as error:  # names a place in the preset and a field, and repeats nothing that was sent
            return Broken(str(error), name, body)


def _is_called(handshake: Handshake, request: WebhookRequest) -> bool:
    return (
        (handshake.method is None or handshake.method == request.method)
        and (handshake.query is None or handshake.query in request.query)
        and (handshake.header is None or handshake.header.lower() in request.headers)
    )


def _says(handshake: Handshake, scope: Scope) -> bool:
    try:
        return handshake.when is not None and holds(handshake.when, scope)
    except ValueError:
        return False


def _answer(reply: HandshakeReply, scope: Scope) -> Reply | None:
    """The reply with its values; None where one of them is absent or nothing to send back."""
    headers: dict[str, str] = {}
    try:
        for name, expression in reply.headers.items():
            headers[name] = as_text(evaluate(expression, scope)) or ""
        text = None if reply.text is None else as_text(evaluate(reply.text, scope)) or ""
        fields = {name: as_text(evaluate(each, scope)) for name, each in (reply.json_body or {}).items()}
    except ValueError:
        return None
    echoed = [*headers.values(), *([text] if text is not None else [])]
    if not all(map(_ECHO.fullmatch, echoed)) or not all(
        value and len(value) <= MAX_ANSWER for value in fields.values()
    ):
        return None
    if text is not None or not fields:
        return Reply("text/plain", (text or "").encode(), reply.status, headers)
    return Reply("application/json", json.dumps(fields).encode(), reply.status, headers)


def _reply(preset: Preset) -> Reply:
    told = preset.reply
    if told.text is not None:
        return Reply(told.content_type or "text/plain", told.text.encode(), told.status, told.headers)
    body = {"accepted": True} if told.json_body is None else told.json_body
    return Reply(told.content_type or "application/json", json.dumps(body).encode(), told.status, told.headers)


def _written(element: object) -> bytes:
    return json.dumps(element, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _ending(event: Event) -> Step:
    match event:
        case Finished(call, recording=recording):
            named = f", recording {recording}" if recording else ""
            return Step(
                "call", f"{call.direction.value} {call.phone} {call.status.value} {call.duration} s{named}", ok=True
            )
        case Recording(ref, link, recording=recording):
            return Step("recording", f"of {ref}: {link or recording}", ok=True)
        case Ignored(name):
            return Step("ignored", name, ok=True)
        case Challenge(name, reply):
            return Step("challenge", f"{name}: answered {reply.body.decode()}", ok=True)
        case Broken(problem):
            return Step("broken", problem, ok=False)


_NOBODY: Final = Source("nobody", "nobody", PREFIX, "signature", (), None, None, "UTC", 0.0, (), {}, 0)
