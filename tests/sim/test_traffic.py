"""Invented traffic: the same for a seed, and as unruly as it is asked to be."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.sim.entities import digits, seeded_number
from callbridge.sim.speakers.base import Credentials
from callbridge.sim.speakers.generic import GENERIC
from callbridge.sim.speakers.mango import MANGO
from callbridge.sim.traffic import LATEST, Mix, stories, traffic

SIGNED = Credentials(secret="whsec_Y2FsbGJyaWRnZS1zYW1wbGUtc2VjcmV0LTAwMQ==")
CITY = Credentials(key="sample-key", secret="sample-salt")
NUMBERS = [seeded_number(n) for n in range(20)]
NOW = 1_800_000_000.0


def made(count=200, speaker=GENERIC, credentials=SIGNED, **options):
    defaults = {"now": lambda: NOW, "seed": 5, "numbers": NUMBERS, "mix": Mix(recordings=0.0)}
    return list(traffic(speaker, credentials, count, **(defaults | options)))


def told(**options):
    return [json.loads(hook.body) for hook in made(**options)]


def invented(count=400, **options):
    return list(stories(count, **({"now": lambda: NOW, "seed": 5, "numbers": NUMBERS} | options)))


@pytest.mark.parametrize(("speaker", "credentials"), [(GENERIC, SIGNED), (MANGO, CITY)])
def test_the_same_seed_makes_the_same_traffic_and_another_seed_other_calls(speaker, credentials):
    mix = Mix(0.2, 0.2, 0.5, 0.2, 0.3, 0.2, 0.3, 0.1)
    first, again, other = (made(30, speaker, credentials, mix=mix, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert not {hook.body for hook in first} & {hook.body for hook in other}


def test_duplicates_are_the_same_webhook_again():
    hooks = made(mix=Mix(duplicates=0.2, recordings=0.0))
    repeated = [hook for before, hook in itertools.pairwise(hooks) if before == hook]
    assert len(hooks) == 200 + len(repeated)
    assert 10 < len(repeated) < 90


def test_no_two_webhooks_share_a_message_id_but_duplicates():
    hooks = made(mix=Mix(recordings=0.8, late=0.5))
    assert len({hook.headers["webhook-id"] for hook in hooks}) == len(hooks) > 200


def test_unknown_numbers_are_not_among_the_given_ones():
    tails = {digits(number)[-10:] for number in NUMBERS}
    strangers = [one for one in invented(mix=Mix(unknown=0.3)) if digits(one.phone)[-10:] not in tails]
    assert 60 < len(strangers) < 180
    assert len(made(numbers=[], count=3)) == 3


def test_recordings_come_sooner_later_or_never_as_they_are_asked_for():
    def places(**shares):
        events = [(body["id"], body["event"]) for body in told(mix=Mix(recordings=1.0, **shares))]
        calls = {ref: place for place, (ref, event) in enumerate(events) if event == "call.finished"}
        return [place - calls[ref] for place, (ref, event) in enumerate(events) if event == "call.recording"]

    assert set(places()) == {1}
    assert set(places(sooner=1.0)) == {-1}
    assert places(never=1.0) == []
    late = places(late=1.0)
    assert len(late) == len(places())
    assert min(late) > 1
    assert len(set(late)) > 3
    mixed = places(sooner=0.3, late=0.3, never=0.2)
    assert {-1, 1} < set(mixed)
    assert len(mixed) < len(late)


def test_a_late_recording_is_at_most_so_many_calls_late():
    bodies = told(mix=Mix(recordings=1.0, late=1.0))
    seen: list[str] = []
    for body in bodies:
        if body["event"] == "call.finished":
            seen.append(body["id"])
        else:
            assert len(seen) - 1 - seen.index(body["id"]) <= LATEST


def test_calls_between_colleagues_and_transfers_are_told_as_far_as_they_are_asked_for():
    calls = invented(mix=Mix(transferred=0.5, internal=0.2))
    internal = [one for one in calls if one.internal]
    assert 40 < len(internal) < 130
    assert all(len(one.phone) == 3 and one.phone != one.extension and not one.inbound for one in internal)
    transferred = [one for one in calls if one.transferred]
    assert 60 < len(transferred) < 240
    assert all(one.talk and not one.internal for one in transferred)
    assert not any(one.internal or one.transferred for one in invented())
    assert not any(one.internal for one in invented(mix=Mix(internal=1.0), internal=False))


def test_a_clock_that_is_ahead_shifts_what_is_told_and_what_is_signed():
    def stamps(hooks):
        return [int(hook.headers["webhook-timestamp"]) for hook in hooks]

    def starts(skew):
        bodies = told(count=40, skew=skew)
        return {body["id"]: body["started_at"] for body in bodies if type(body["started_at"]) is int}

    assert [ahead - right for right, ahead in zip(stamps(made(5)), stamps(made(5, skew=90.0)), strict=True)] == [90] * 5
    right, ahead = starts(0.0), starts(90.0)
    assert right
    assert {ref: at + 90 for ref, at in right.items()} == ahead


def test_a_long_run_is_signed_with_the_time_of_each_webhook():
    times = itertools.count(1_800_000_000)
    hooks = made(5, now=lambda: float(next(times)))
    assert len({hook.headers["webhook-timestamp"] for hook in hooks}) == 5


@given(st.integers(0, 2**40), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_every_story_is_a_call_that_could_have_been(seed, transferred, internal):
    for story in invented(20, seed=seed, mix=Mix(transferred=transferred, internal=internal, unknown=0.5)):
        assert story.started + story.ringing + story.talk == NOW
        assert (story.status == "answered") == (story.talk > 0)
        assert story.talk or not (story.recorded or story.transferred)


@pytest.mark.parametrize("shares", [{"late": 1.1}, {"duplicates": -0.1}, {"sooner": 0.5, "late": 0.4, "never": 0.2}])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(ValueError):
        Mix(**shares)


def test_credentials_are_not_shown():
    shown = repr(Credentials(secret="s3cret", key="k3y", path_token="t0k"))
    assert not any(secret in shown for secret in ("s3cret", "k3y", "t0k"))
