"""MegaFon's sender: its token is accepted, and what it tells is the story."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from callbridge.intake.providers.base import Ignored
from callbridge.intake.providers.megafon import MEGAFON as PROVIDER
from callbridge.sim.speakers.base import Credentials, Told
from callbridge.sim.speakers.megafon import HISTORY, MEGAFON
from support.stories import assert_told, finished, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=100, deadline=None)
OFFICE = Credentials(secret="crm-token-77", timezone="Europe/Samara")
SOURCE = a_source(provider="megafon", secrets=("crm-token-77",), timezone="Europe/Samara")


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    events = understood(MEGAFON, PROVIDER, story, OFFICE, SOURCE)
    call = finished(events)
    assert_told(call, story)
    assert call.status == ("no_answer" if story.status == "voicemail" else story.status)
    assert bool(call.link) == story.recorded
    assert [event for event in events if isinstance(event, Ignored)] == [Ignored("event")]


def test_the_token_is_a_field_of_the_form_and_is_not_given_twice():
    sent = MEGAFON.sign(Told(HISTORY, b"cmd=history"), OFFICE, now=NOW, message_id="m")
    assert sent.body == b"cmd=history&crm_token=crm-token-77"
    again = MEGAFON.sign(Told(HISTORY, sent.body), OFFICE, now=NOW, message_id="m")
    assert again.body == sent.body


def test_without_a_token_nothing_can_be_sent_but_to_a_secret_path():
    with pytest.raises(ValueError, match="token of the CRM"):
        MEGAFON.sign(Told(HISTORY, b"cmd=history"), Credentials(), now=NOW, message_id="m")
    sent = MEGAFON.sign(Told(HISTORY, b"cmd=history"), Credentials(path_token="tok"), now=NOW, message_id="m")
    assert (sent.path_suffix, sent.body) == ("/tok", b"cmd=history")
