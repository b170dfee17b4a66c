"""Twilio's sender: its signature by the official library, and what it tells by the provider."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from callbridge.call import CallStatus, Direction, phone_tail
from callbridge.intake.providers.base import Finished, Recording, WebhookRequest
from callbridge.intake.providers.twilio import TWILIO as PROVIDER
from callbridge.sim.speakers.base import Credentials, Story, Told
from callbridge.sim.speakers.twilio import RECORDING, STATUS, TWILIO
from support.webhooks import NOW, a_source

TOKEN = "an auth token of the test suite"
HOOK = "https://hooks.example.com/hooks/office/c0ffee"
OFFICE = Credentials(secret=TOKEN, path_token="c0ffee", hook=HOOK)
SOURCE = a_source(provider="twilio", secrets=(TOKEN,))
STATUSES = {"busy": CallStatus.BUSY, "wrong_number": CallStatus.WRONG_NUMBER}

STORIES = st.builds(
    lambda answered, talk, status, recorded, transferred, **more: Story(
        talk=talk if answered else 0,
        status="answered" if answered else status,
        recorded=answered and recorded,
        transferred=answered and transferred,
        line="+74955550100",
        **more,
    ),
    answered=st.booleans(),
    talk=st.integers(1, 7_000),
    status=st.sampled_from(["voicemail", "unavailable", "wrong_number", "no_answer", "busy"]),
    recorded=st.booleans(),
    transferred=st.booleans(),
    ref=st.text("abcdef0123456789-", min_size=1, max_size=20),
    inbound=st.booleans(),
    phone=st.integers(10**9, 10**10 - 1).map("+7{}".format),
    extension=st.sampled_from(["101", "102", "110"]),
    started=st.integers(1_600_000_000, 1_900_000_000),
    ringing=st.integers(0, 60),
)


def received(told: Told, credentials: Credentials = OFFICE):
    webhook = TWILIO.sign(told, credentials, now=NOW, message_id="m")
    assert webhook.path_suffix == "/c0ffee"
    headers = {name.lower(): value for name, value in webhook.headers.items()}
    request = WebhookRequest("POST", (), {}, headers, webhook.body, urlsplit(HOOK).path, "https://hooks.example.com")
    PROVIDER.verify(request, SOURCE, NOW)
    (event,) = PROVIDER.parse(request, SOURCE, NOW)
    return event


@given(STORIES)
@settings(max_examples=100, deadline=None)
def test_every_story_comes_out_as_it_was_told(story):
    events = [received(told) for told in TWILIO.tell(story, "Europe/Moscow")]
    calls = [event.call for event in events if isinstance(event, Finished)]
    assert len({call.key for call in calls}) == 1
    assert len(calls) == 1 + (story.transferred and story.inbound)
    call = max(calls, key=lambda leg: leg.rank)
    assert call.direction is (Direction.INBOUND if story.inbound else Direction.OUTBOUND)
    assert phone_tail(call.phone) == phone_tail(story.phone)
    assert (call.extension, call.duration) == (story.extension, story.talk)
    assert call.started_at == story.started + story.ringing
    expected = CallStatus.ANSWERED if story.talk else STATUSES.get(story.status, CallStatus.NO_ANSWER)
    assert call.status is expected
    recordings = [event.ref for event in events if isinstance(event, Recording)]
    assert recordings == [call.ref] * story.recorded


@given(STORIES)
@settings(max_examples=50, deadline=None)
def test_the_official_library_takes_the_signature_for_twilios(story):
    for told in TWILIO.tell(story, "UTC"):
        webhook = TWILIO.sign(told, OFFICE, now=NOW, message_id="m")
        fields = MultiDict(parse_qsl(webhook.body.decode(), keep_blank_values=True))
        assert RequestValidator(TOKEN).validate(HOOK, fields, webhook.headers["X-Twilio-Signature"])


@given(STORIES)
@settings(max_examples=30, deadline=None)
def test_a_call_between_colleagues_is_internal(story):
    colleagues = replace(story, internal=True, inbound=False, phone="104", transferred=False)
    call = received(TWILIO.tell(colleagues, "UTC")[0]).call
    assert (call.direction, call.phone, call.extension) == (Direction.INTERNAL, "104", story.extension)


@pytest.mark.parametrize("missing", [Credentials(secret=TOKEN), Credentials(hook=HOOK)])
def test_without_the_token_or_the_address_it_cannot_sign(missing):
    with pytest.raises(ValueError, match="both are needed"):
        TWILIO.sign(Told(STATUS, b""), missing, now=NOW, message_id="m")


def test_the_finished_call_is_its_first_event():
    assert TWILIO.events == (STATUS, RECORDING)
