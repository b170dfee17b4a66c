"""No webhook, however broken, makes any provider raise anything but the errors that it promises."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import plain_text
from callbridge.errors import Unauthenticated, Undecodable
from callbridge.intake.providers import PROVIDERS, provider_named
from callbridge.intake.providers.base import MAX_EVENT, Broken, Challenge, Finished, Ignored, Recording, Reply
from support.mutations import mutated
from support.webhooks import FIXTURES, fixtures

NAMES = sorted(path.name for path in FIXTURES.iterdir() if next(path.glob("*.headers.json"), None))
EVENTS = (Finished, Recording, Ignored, Challenge, Broken)


@cache
def recorded(name):
    """Requests, sources and times of a provider's fixtures, read once."""
    return [(case.request, case.source, case.now) for case in fixtures(name)]


@cache
def every_request():
    return [request for name in NAMES for request, _, _ in recorded(name)]


def test_every_provider_takes_part():
    assert set(PROVIDERS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@given(st.data(), st.randoms(use_true_random=False))
@settings(max_examples=120, deadline=None)
def test_no_mutation_of_a_webhook_raises_anything_but_the_promised_errors(name, data, dice):
    request, source, now = data.draw(st.sampled_from(recorded(name)))
    request = mutated(request, every_request(), dice)
    provider = provider_named(source.provider)
    assert isinstance(provider.greet(request, source), Reply | None)
    try:
        assert provider.verify(request, source, now) is None
    except Unauthenticated as refused:
        named = refused.reason
        assert named.replace("_", "").isalpha()
    assert_fit_for_logs(provider.event_of(request))
    try:
        events = provider.parse(request, source, now)  # as if it held: whoever has the secret may be broken too
    except Undecodable as undecodable:
        events = [Broken(undecodable.reason, provider.event_of(request), request.body)]
    assert events
    for event in events:
        assert isinstance(event, EVENTS)
        assert_fit_for_logs(event.event)
        if isinstance(event, Broken):
            assert 0 < len(event.problem) < 200
            assert event.problem == plain_text(event.problem)


def assert_fit_for_logs(event):
    assert len(event) <= MAX_EVENT
    assert event == plain_text(event)
