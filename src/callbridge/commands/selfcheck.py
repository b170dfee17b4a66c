"""Whether a preset can read its own samples, asked before they are sent.

The sending side and the reading side of a preset know nothing of each other; a mistake in a sample would only be seen as a
dead call at the receiver. Here both are in reach: each sample is told as a few calls, signed, and read, without a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl

from callbridge.errors import Undecodable
from callbridge.intake.providers import provider_named
from callbridge.intake.providers.base import Broken, Event, Finished, Recording, Source, WebhookRequest
from callbridge.presets.load import is_preset, load
from callbridge.sim.speakers.base import Credentials, SignedWebhook, Speaker, Story

STORIES: Final = tuple(
    Story(f"self-check-{place}", inbound, "+74955550177", "101", "+74955550100", 1_790_000_000, 9, talk, how, recorded)
    for place, (inbound, talk, how, recorded) in enumerate(
        [
            *((inbound, 42, "answered", recorded) for inbound in (True, False) for recorded in (True, False)),
            *((inbound, 0, how, False) for inbound in (True, False) for how in ("no_answer", "busy")),
        ]
    )
)


def problem_of(provider: str, speaker: Speaker, credentials: Credentials, now: float) -> str | None:
    """What is wrong with the samples of this preset, in one line; None for a preset that reads them, and for what is none.
    Raises `ValueError` where a credential is missing.
    """
    if not is_preset(provider):
        return None
    preset = load(provider)
    if not preset.samples:
        return f"{provider} has no [[samples]], so there is nothing to send: give a body with --file"
    tells = {sample.event: sample.tells for sample in preset.samples}
    for story in STORIES:
        for told in speaker.tell(story, credentials.timezone):
            webhook = speaker.sign(told, credentials, now=now, message_id="self-check")
            for problem in _problems(provider, webhook, credentials, tells[told.event], now):
                return f"{provider} cannot read its own sample {told.event}: {problem}; nothing was sent"
    return None


def _problems(provider: str, webhook: SignedWebhook, credentials: Credentials, tells: str, now: float) -> Iterator[str]:
    wanted = {"finished": Finished, "recording": Recording}.get(tells)
    try:
        events = provider_named(provider).parse(_request(webhook, credentials), _source(provider, credentials), now)
    except Undecodable as error:
        yield error.reason
        return
    for event in events:
        if isinstance(event, Broken):
            yield event.problem
        elif wanted and not isinstance(event, wanted):
            yield f"tells = {tells!r}, and it comes out as {_kind(event)}"


def _kind(event: Event) -> str:
    return type(event).__name__.lower()


def _request(webhook: SignedWebhook, credentials: Credentials) -> WebhookRequest:
    path, _, query = webhook.path_suffix.partition("?")
    segments = tuple(filter(None, path.split("/")))
    return WebhookRequest(
        method=webhook.method,
        path=segments[1:] if credentials.path_token else segments,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in webhook.headers.items()},
        body=webhook.body,
    )


def _source(provider: str, credentials: Credentials) -> Source:
    return Source(
        name="self-check",
        account="self-check",
        provider=provider,
        auth="signature",
        secrets=(credentials.secret,) if credentials.secret else (),
        key=credentials.key or None,
        path_token=credentials.path_token or None,
        timezone=credentials.timezone,
        hold=0.0,
        own_numbers=(),
        status_overrides={},
        max_body=65_536,
    )
