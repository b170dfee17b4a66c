"""Every simulated PBX in front of the real receiver: what it tells and signs comes out as the story that it was given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from callbridge.call import Call, CallStatus, Direction, FinishedCall, RecordingReady, UndecodableWebhook, phone_tail
from callbridge.intake.accept import Acceptor
from callbridge.intake.http import Readiness, build_app, serve
from callbridge.intake.providers import PROVIDERS
from callbridge.presets.load import PREFIX, is_preset, load, shipped
from callbridge.presets.signatures import Ip
from callbridge.settings import Settings
from callbridge.sim.entities import seeded_number
from callbridge.sim.speakers import SPEAKERS, TELL_INTERNAL, speaker_named
from callbridge.sim.speakers.base import Auth, Credentials, SignedWebhook, Story
from callbridge.sim.traffic import Mix, stories, traffic
from callbridge.wiring import sources
from support.speaking import secret_of, settings_for, wrong_secret_for
from support.webhooks import MemoryInbox

NOW = 1_790_000_100.0
NUMBERS = [seeded_number(index) for index in range(4_000)]
EVERY_SPEAKER = [*SPEAKERS, *(f"{PREFIX}{name}" for name in shipped())]


@dataclass
class Office:
    """A receiver with one source, and the credentials of the PBX in front of it."""

    inbox: MemoryInbox
    session: aiohttp.ClientSession
    hook: str
    credentials: Credentials

    async def send(self, webhooks: Iterable[SignedWebhook]) -> set[int]:
        statuses = set()
        for webhook in webhooks:
            url = URL(self.hook + webhook.path_suffix, encoded=True)
            async with self.session.request(
                webhook.method, url, data=webhook.body or None, headers=webhook.headers
            ) as answer:
                await answer.read()
                statuses.add(answer.status)
        return statuses

    @property
    def calls(self) -> list[Call]:
        """The calls that stand in the end: of each the leg that tells most."""
        legs: dict[str, list[Call]] = defaultdict(list)
        for arrival in self.inbox.arrivals:
            if isinstance(arrival, FinishedCall):
                legs[arrival.call.key].append(arrival.call)
        return [max(told, key=lambda call: call.rank) for told in legs.values()]

    @property
    def recorded(self) -> set[str]:
        """The PBX's ids of all calls of which a recording was told."""
        arrivals = self.inbox.arrivals
        ready = {arrival.ref for arrival in arrivals if isinstance(arrival, RecordingReady)}
        return ready | {one.call.ref for one in arrivals if isinstance(one, FinishedCall) and one.call.link}


Opened = Callable[..., Awaitable[Office]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open_office(provider: str, **changes: str) -> Office:
            source = settings_for(provider) | {"link_template": "https://rec.example.com/{recording}"} | changes
            settings = Settings.model_validate(
                {
                    "data_dir": tmp_path,
                    "accounts": {"main": {"url": "http://127.0.0.1:9", "token": "t0ken-of-the-test"}},
                    "sources": {"pbx": source},
                }
            )
            inbox = MemoryInbox()
            ready = Readiness(ok=True, durability="always", problems=())
            app = build_app(Acceptor(sources(settings), inbox, lambda: NOW), ready=lambda: ready)
            running = await serve(app, "127.0.0.1", 0, farewell=0.0)
            stack.push_async_callback(running.stop)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            hook = f"{running.url}/hooks/pbx"
            token = source.get("path_token", "")
            secret = secret_of(provider) if source["secret"] else ""
            credentials = Credentials(
                secret,
                source.get("key") or "",
                token,
                Auth(source.get("auth", "signature")) if secret else Auth.PATH,
                hook=f"{hook}/{token}" if token else hook,
                timezone=source["timezone"],
            )
            return Office(inbox, session, hook, credentials)

        yield open_office


def all_different(count: int, provider: str, mix: Mix) -> list[Story]:
    """Stories of people who each call once, so that a call can be told by its number."""
    told = stories(count, now=lambda: NOW, seed=3, numbers=NUMBERS, mix=mix, internal=provider in TELL_INTERNAL)
    return [story if story.internal else replace(story, phone=NUMBERS[place]) for place, story in enumerate(told)]


def test_every_provider_has_a_simulated_pbx() -> None:
    assert set(SPEAKERS) == set(PROVIDERS)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"generic.*mango"):
        speaker_named("avaya")


@pytest.mark.parametrize("provider", EVERY_SPEAKER)
async def test_the_receiver_understands_every_story_as_it_was_told(opened: Opened, provider: str) -> None:
    office, speaker = await opened(provider), speaker_named(provider)
    told = all_different(120, provider, Mix(recordings=0.5, transferred=0.3, internal=0.1))
    for story in told:
        for part, thing in enumerate(speaker.tell(story, office.credentials.timezone)):
            webhook = speaker.sign(thing, office.credentials, now=NOW, message_id=f"msg_{story.ref}_{part}")
            assert await office.send([webhook]) <= {200, 204}
    assert not [arrival for arrival in office.inbox.arrivals if isinstance(arrival, UndecodableWebhook)]
    calls, recorded = office.calls, office.recorded
    tells_recordings = bool(recorded) or not is_preset(provider)
    assert len(calls) == len(told)
    outside = {phone_tail(call.phone): call for call in calls if call.direction is not Direction.INTERNAL}
    for story in told:
        if story.internal:
            continue
        call = outside.pop(phone_tail(story.phone))
        assert call.direction == ("inbound" if story.inbound else "outbound")
        assert call.duration == story.talk
        assert (call.status is CallStatus.ANSWERED) == bool(story.talk)
        assert story.started <= call.started_at <= story.started + story.ringing + story.talk + 1
        if story.status != "voicemail":  # the message may be linked
            assert (call.ref in recorded) == (story.recorded and tells_recordings)
        assert call.extension == story.extension or (call.extension is None and is_preset(provider))
    assert not outside
    assert len(calls) - sum(not story.internal for story in told) == sum(story.internal for story in told)


@pytest.mark.parametrize("provider", EVERY_SPEAKER)
async def test_duplicates_late_recordings_and_legs_add_no_calls(opened: Opened, provider: str) -> None:
    office = await opened(provider)
    mix = Mix(duplicates=0.3, sooner=0.3, late=0.3, never=0.2, recordings=0.6, transferred=0.4, internal=0.1)
    webhooks = traffic(
        speaker_named(provider), office.credentials, 60, now=lambda: NOW, seed=9, numbers=NUMBERS, mix=mix, skew=120
    )
    assert await office.send(webhooks) <= {200, 204}
    assert len(office.calls) == 60
    assert not [arrival for arrival in office.inbox.arrivals if isinstance(arrival, UndecodableWebhook)]


@pytest.mark.parametrize("provider", EVERY_SPEAKER)
async def test_the_path_token_goes_where_the_receiver_looks_for_it(opened: Opened, provider: str) -> None:
    office = await opened(provider, path_token="a-secret-segment")
    assert await office.send(_one(provider, office.credentials)) <= {200, 204}
    wrong = replace(office.credentials, path_token="another-segment")
    assert await office.send(_one(provider, wrong)) == {401}


@pytest.mark.parametrize("provider", EVERY_SPEAKER)
async def test_a_pbx_with_another_secret_is_refused(opened: Opened, provider: str) -> None:
    office = await opened(provider)
    stranger = replace(office.credentials, secret=wrong_secret_for(provider))
    assert await office.send(_one(provider, stranger)) == {401}
    assert office.inbox.arrivals == []


def known_by_network(provider: str) -> bool:
    """Whether the sender's address can be all that proves it."""
    return is_preset(provider) and any(isinstance(item, Ip) for item in load(provider).auth.any_of)


@pytest.mark.parametrize("provider", [name for name in EVERY_SPEAKER if not known_by_network(name)])
def test_missing_credentials_are_explained(provider: str) -> None:
    with pytest.raises(ValueError) as caught:
        _one(provider, Credentials())
    assert len(str(caught.value)) > 15


@pytest.mark.parametrize("provider", EVERY_SPEAKER)
def test_the_finished_call_is_the_first_of_the_events(provider: str) -> None:
    speaker = speaker_named(provider)
    told = speaker.tell(replace(all_different(1, provider, Mix())[0], inbound=True), "UTC")
    assert speaker.name == provider
    assert speaker.events[0] in {thing.event for thing in told}
    assert {thing.event for thing in told} <= set(speaker.events)


async def test_a_clock_that_is_far_off_is_refused_where_the_time_is_signed(opened: Opened) -> None:
    office = await opened("generic")
    options = {"now": lambda: NOW, "seed": 1, "numbers": NUMBERS}
    assert await office.send(traffic(speaker_named("generic"), office.credentials, 3, **options, skew=-3_600)) == {401}
    assert await office.send(traffic(speaker_named("generic"), office.credentials, 3, **options, skew=-200)) == {200}


def _one(provider: str, credentials: Credentials) -> list[SignedWebhook]:
    return list(
        traffic(
            speaker_named(provider), credentials, 1, now=lambda: NOW, seed=4, numbers=NUMBERS, mix=Mix(recordings=0)
        )
    )
