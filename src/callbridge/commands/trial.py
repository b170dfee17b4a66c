"""What would become of one request, told step by step: the way of intake and of delivery's first steps, without a store.

The same functions decide as when it is real; nothing is stored or sent. Without a credential the verification is left out and
the rest still told: so a preset for a PBX that nobody has seen can be written one step after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, assert_never

from callbridge.call import (
    Call,
    FinishedCall,
    IgnoredEvent,
    RecordingReady,
    UndecodableWebhook,
    call_id,
    recording_keys,
    uniq_of,
)
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.accept import arrival_of
from callbridge.intake.answers import PROBLEM, problem_body
from callbridge.intake.providers.base import (
    Broken,
    Challenge,
    Event,
    Explains,
    Provider,
    Recording,
    Reply,
    Source,
    WebhookRequest,
)
from callbridge.outcome import NotForCrm, Ready, Translation, Untranslatable

NOT_GIVEN: Final = "not-given"
"""Stands in for a secret or key that was not given; links made with it do not open."""

MADE_UP: Final = "try"
"""Name of the source that stands in where no configured one is named."""

ITEM: Final = "auth "
"""How steps of an explanation begin that are about one part of the credential."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step for people; `ok` is None for what was left out."""

    name: str
    detail: str
    ok: bool | None = True

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "detail": self.detail, "ok": self.ok}


@dataclass(frozen=True, slots=True)
class Fate:
    """What would become of one event. `intake` says what is stored, `facts` are the fields of what was read, `item` is what
    the CRM would get; `problem` is why a person would have to look.
    """

    event: str
    kind: str
    intake: str
    facts: dict[str, Any]
    item: dict[str, Any] | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "kind": self.kind,
            "intake": self.intake,
            self.kind: self.facts,
            "item": self.item,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class Trial:
    stages: tuple[Stage, ...]
    fates: tuple[Fate, ...]
    answer: Reply

    @property
    def ok(self) -> bool:
        """Whether something came out that a person need not look at."""
        return self.answer.status < 400 and not any(fate.problem for fate in self.fates)

    def as_json(self) -> dict[str, Any]:
        answer = self.answer
        return {
            "ok": self.ok,
            "steps": [stage.as_json() for stage in self.stages],
            "events": [fate.as_json() for fate in self.fates],
            "answer": {
                "status": answer.status,
                "content_type": answer.content_type,
                "headers": dict(answer.headers),
                "body": answer.body.decode("utf-8", "replace"),
            },
        }


Translate = Callable[[Call], Translation]


def trial(provider: Provider, source: Source, request: WebhookRequest, now: float, translate: Translate) -> Trial:
    stages = [_request_line(request)]
    if len(request.body) > source.max_body:
        stages.append(Stage("size", f"more than {source.max_body} bytes", ok=False))
        return Trial(tuple(stages), (), _problem(413))
    if greeting := provider.greet(request, source):
        stages.append(Stage("handshake", "a test of the address, answered without a credential"))
        return Trial(tuple(stages), (), greeting)
    checked = _has_credential(provider, source)
    refusal = _refusal(provider, source, request, now) if checked else None
    verified = _verified(provider, source, request, refusal, now, checked=checked)
    if not checked:  # reading may need a secret, to make a link or an answer
        source = replace(source, secrets=(NOT_GIVEN,), key=source.key or NOT_GIVEN)
    try:
        events = provider.parse(request, source, now)
    except Undecodable as error:
        events = [Broken(error.reason, provider.event_of(request), request.evidence)]
    if isinstance(provider, Explains):
        stages += _explained(provider, source, request, now, verified)
    else:
        allowed = " or ".join(sorted(provider.methods, reverse=True))
        stages.append(Stage("method", f"{request.method}; it sends by {allowed}", request.method in provider.methods))
        stages += [verified, *map(_read, events)]
    fates = tuple(fate_of(event, source, now, translate) for event in events)
    status = 401 if refusal is not None else 405 if request.method not in provider.methods else None
    if status is not None:
        return Trial(tuple(stages), tuple(map(_were_it_taken, fates)), _problem(status))
    challenge = next((event.reply for event in events if isinstance(event, Challenge)), None)
    return Trial(tuple(stages), fates, challenge or provider.reply)


def _request_line(request: WebhookRequest) -> Stage:
    kind = request.headers.get("content-type", "no content type")
    return Stage("request", f"{request.method} {request.target}, {len(request.body)} bytes, {kind}")


def _explained(
    provider: Explains, source: Source, request: WebhookRequest, now: float, verified: Stage
) -> Iterator[Stage]:
    """The provider's own steps. Which items of the credential hold is told only where there is one, and one that does not is
    no problem where another does.
    """
    for step in provider.explain(request, source, now):
        if step.name == "verified":
            yield verified
        elif not step.name.startswith(ITEM):
            yield Stage(step.name, step.text, step.ok)
        elif verified.ok is not None:
            yield Stage(step.name, step.text, False if step.ok is False and not verified.ok else step.ok or None)


def _has_credential(provider: Provider, source: Source) -> bool:
    """Whether there is anything to check with: a secret, or a path token where that is enough."""
    if source.secrets:
        return True
    try:
        provider.check(source)
    except Misconfigured:
        return False
    return True


def _refusal(provider: Provider, source: Source, request: WebhookRequest, now: float) -> str | None:
    try:
        provider.check(source)
        provider.verify(request, source, now)
    except Misconfigured as error:
        return str(error).replace(f"sources.{MADE_UP}.", "")
    except Unauthenticated as error:
        return error.reason
    return None


def _verified(
    provider: Provider, source: Source, request: WebhookRequest, refusal: str | None, now: float, *, checked: bool
) -> Stage:
    if not checked:
        return Stage("verified", "not checked (no --secret); what follows is as if it held", ok=None)
    if refusal is None:
        return Stage("verified", f"it is from whom it says: {provider.traits.credential}")
    return Stage("verified", f"refused: {refusal}{_hint(provider, source, request, refusal, now)}", ok=False)


def _hint(provider: Provider, source: Source, request: WebhookRequest, refusal: str, now: float) -> str:
    """What people stumble over when they try a request that was written down."""
    if "stale" in refusal:
        return "; --now TIME says when it came"
    if "network" not in refusal and request.body.endswith(b"\n"):
        for end in (b"\n", b"\r\n"):
            if _refusal(provider, source, replace(request, body=request.body.removesuffix(end)), now) is None:
                return "; it holds without the line break at the end of the file"
    if provider.traits.signs_url and "signature" in refusal:
        return "; it covers the address: --url says which one the PBX was given"
    return ""


def _read(event: Event) -> Stage:
    match event:
        case Broken(problem, name):
            return Stage("read", f"{name}: {problem}", ok=False)
        case _:
            return Stage("read", f"{event.event}: {type(event).__name__.lower()}")


def fate_of(event: Event, source: Source, now: float, translate: Translate) -> Fate:
    arrival = arrival_of(event, source)
    match arrival:
        case FinishedCall(call=call):
            return _of_call(event.event, call, source.hold, now, translate)
        case RecordingReady(ref=ref, link=link, at=at):
            uniqs = [uniq_of(source.name, key) for key in recording_keys(source.name, ref, at)]
            late = "noted on its card" if source.note_late_recording else "kept on the call here"
            told = f"joins the call {ref} of this source, whose uniq is one of these; after its delivery {late}"
            return Fate(event.event, "recording", told, {"ref": ref, "link": link, "at": at, "uniqs": uniqs})
        case UndecodableWebhook(problem=problem):
            told = "kept for a person: dead, reason undecodable"
            return Fate(event.event, "broken", told, {}, problem=problem)
        case IgnoredEvent():
            named = {"ref": event.ref, "recording": event.recording} if isinstance(event, Recording) else {}
            return Fate(event.event, "ignored", _why_ignored(event), named)
        case _:
            assert_never(arrival)


def _why_ignored(event: Event) -> str:
    match event:
        case Challenge():
            return "answered and counted: a test of the address"
        case Recording():
            return "counted only: no link_template makes an address of it, or its host is not in link_hosts"
        case _:
            return "counted only: it tells of no finished call"


def _of_call(name: str, call: Call, hold: float, now: float, translate: Translate) -> Fate:
    day = datetime.fromtimestamp(call.started_at, UTC).date().isoformat() if call.dated else None
    facts = {
        "id": call_id(call.key, now),
        "key": [call.source, call.ref, day],
        "uniq": call.uniq,
        "provider": call.provider,
        "ref": call.ref,
        "direction": call.direction.value,
        "phone": call.phone,
        "duration": call.duration,
        "started_at": call.started_at,
        "status": call.status.value,
        "result": call.result,
        "link": call.link,
        "extension": call.extension,
    }
    translation = translate(call)
    wait = f"stored, held {hold:g} s for its recording and its other legs" if hold else "stored"
    match translation:
        case Ready(item=item):
            return Fate(name, "call", f"{wait}, then posted", facts, json.loads(item))
        case NotForCrm(reason=reason):
            return Fate(name, "call", f"{wait}, then ignored: {reason.value}", facts)
        case Untranslatable(problem=problem):
            return Fate(name, "call", f"{wait}, then dead: untranslatable", facts, problem=problem)
        case _:
            assert_never(translation)


def _were_it_taken(fate: Fate) -> Fate:
    return replace(fate, intake=f"nothing, it is refused; else: {fate.intake}")


def _problem(status: int) -> Reply:
    return Reply(PROBLEM, problem_body(status), status)
