"""The test button of a source: a sample call as its PBX would send it, through the source's own settings, step by step.

Nothing is stored or sent. The sample is told and signed by the simulated PBX, so a wrong time zone, a number list that
swallows everybody, or a setting that the provider needs shows here before the first customer calls.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from multidict import CIMultiDict
from yarl import URL

from callbridge.commands.frame import WrongUsage
from callbridge.commands.senders import credentials_of, hook_at, known_as, receiver_url
from callbridge.commands.trial import Trial, trial
from callbridge.commands.trying import translator
from callbridge.errors import Misconfigured
from callbridge.intake.providers import provider_named
from callbridge.intake.providers.base import Source, WebhookRequest
from callbridge.ops.actions import SourceTest
from callbridge.settings import Settings
from callbridge.sim.entities import seeded_number
from callbridge.sim.speakers import speaker_named
from callbridge.sim.speakers.base import SignedWebhook
from callbridge.sim.traffic import traffic
from callbridge.wiring import sources

SEED: Final = 7
"""Always the same sample: a setting is seen to work or not, not the luck of a draw."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What came of the sample; `problem` says why there could not be one, in words for the operator."""

    trial: Trial | None
    problem: str | None = None


def sampled(settings: Settings, name: str) -> Sampled:
    """Runs one answered call of the source's PBX through its settings."""
    source, configured = sources(settings)[name], settings.sources[name]
    try:
        provider, speaker = provider_named(source.provider), speaker_named(source.provider)
        hook = hook_at(settings.receiver.public_url or receiver_url(settings), name)
        credentials = known_as(credentials_of(configured), hook, name, settings.receiver.public_url)
        samples = list(traffic(speaker, credentials, 1, now=time.time, seed=SEED, numbers=[seeded_number(1)]))
    except (ValueError, WrongUsage, Misconfigured) as error:
        return Sampled(None, str(error))
    translate = translator(settings, source)
    trials = [
        trial(provider, source, _received(sample, source, credentials.hook), time.time(), translate)
        for sample in samples
    ]
    # Some PBXs tell of the ringing and the recording, too; the one that tells of the finished call is what is asked for.
    finished = [each for each in trials if any(fate.kind == "call" for fate in each.fates)]
    return Sampled((finished or trials)[0])


def _received(sample: SignedWebhook, source: Source, hook: str) -> WebhookRequest:
    """The request as the receiver would hand it on."""
    parts = urlsplit(hook)
    target = f"{parts.path}{sample.path_suffix}"
    url = URL(target, encoded=True)
    below = [segment for segment in sample.path_suffix.partition("?")[0].split("/") if segment]
    if source.path_token and below[:1] == [source.path_token]:
        below = below[1:]
    origin = f"{parts.scheme}://{parts.netloc}"
    return WebhookRequest(
        sample.method, tuple(below), url.query, CIMultiDict(sample.headers), sample.body, target, origin
    )


def tested(settings: Settings, name: str) -> SourceTest:
    """The same as the console shows it: a line a step, then what would become of the call."""
    found = sampled(settings, name)
    if found.trial is None:
        return SourceTest(ok=False, steps=(), problem=found.problem)
    steps = [(stage.name, stage.detail) for stage in found.trial.stages]
    for fate in found.trial.fates:
        steps.append((fate.event, fate.intake))
        if fate.item:
            steps.append(("to the CRM", ", ".join(f"{name} {value}" for name, value in fate.item.items())))
    wrong = [stage.detail for stage in found.trial.stages if stage.ok is False]
    wrong += [fate.problem for fate in found.trial.fates if fate.problem]
    return SourceTest(ok=found.trial.ok, steps=tuple(steps), problem=wrong[0] if wrong else None)
