"""Telnyx's sender: its signature by another library than its own, and what it tells by the provider."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from callbridge.call import CallStatus, Direction, phone_tail
from callbridge.intake.providers.base import Finished, Recording, WebhookRequest
from callbridge.intake.providers.telnyx import TELNYX as PROVIDER
from callbridge.sim.speakers.base import Credentials, Story, Told
from callbridge.sim.speakers.telnyx import HANGUP, RECORDING_SAVED, TELNYX
from support.webhooks import NOW, a_source

KEY = SigningKey(b"thirty-two bytes of a secret key")
OFFICE = Credentials(secret=base64.b64encode(bytes(KEY)).decode(), path_token="c0ffee")
SOURCE = a_source(provider="telnyx", secrets=(base64.b64encode(bytes(KEY.verify_key)).decode(),))
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


def received(told: Told):
    webhook = TELNYX.sign(told, OFFICE, now=NOW, message_id="m")
    assert (webhook.method, webhook.path_suffix) == ("POST", "/c0ffee")
    request = WebhookRequest("POST", (), {}, webhook.headers, webhook.body)
    PROVIDER.verify(request, SOURCE, NOW)
    (event,) = PROVIDER.parse(request, SOURCE, NOW)
    return event


@given(STORIES)
@settings(max_examples=100, deadline=None)
def test_every_story_comes_out_as_it_was_told(story):
    events = [received(told) for told in TELNYX.tell(story, "Europe/Moscow")]
    calls = [event.call for event in events if isinstance(event, Finished)]
    assert len({call.key for call in calls}) == 1
    assert len(calls) == 1 + story.transferred
    call = max(calls, key=lambda leg: leg.rank)
    assert call.direction is (Direction.INBOUND if story.inbound else Direction.OUTBOUND)
    assert phone_tail(call.phone) == phone_tail(story.phone)
    assert (call.extension, call.duration, call.started_at) == (story.extension, story.talk, story.started)
    expected = CallStatus.ANSWERED if story.talk else STATUSES.get(story.status, CallStatus.NO_ANSWER)
    assert call.status is expected
    assert "assumed" not in call.result
    recordings = [event.ref for event in events if isinstance(event, Recording)]
    assert recordings == [call.ref] * story.recorded


@given(STORIES)
@settings(max_examples=50, deadline=None)
def test_another_library_takes_the_signature_for_telnyxs(story):
    for told in TELNYX.tell(story, "UTC"):
        webhook = TELNYX.sign(told, OFFICE, now=NOW, message_id="m")
        signed = webhook.headers["telnyx-timestamp"].encode() + b"|" + webhook.body
        assert KEY.verify_key.verify(signed, base64.b64decode(webhook.headers["telnyx-signature-ed25519"])) == signed


@given(STORIES)
@settings(max_examples=30, deadline=None)
def test_a_call_between_colleagues_is_internal(story):
    colleagues = replace(story, internal=True, inbound=False, phone="104", transferred=False)
    call = received(TELNYX.tell(colleagues, "UTC")[0]).call
    assert (call.direction, call.phone, call.extension) == (Direction.INTERNAL, "104", story.extension)


@pytest.mark.parametrize("secret", ["", "not base64", base64.b64encode(b"short").decode()])
def test_without_a_private_key_it_cannot_sign(secret):
    with pytest.raises(ValueError, match="private key"):
        TELNYX.sign(Told(HANGUP, b""), Credentials(secret=secret), now=NOW, message_id="m")


def test_the_finished_call_is_its_first_event():
    assert TELNYX.events == (HANGUP, RECORDING_SAVED)
