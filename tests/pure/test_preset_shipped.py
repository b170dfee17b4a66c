"""What single shipped presets promise beyond their fixtures: legs of one call, a handshake, a token of its library."""

from __future__ import annotations

import hashlib
import json

import jwt
import pytest

from callbridge.errors import Unauthenticated
from callbridge.intake.providers import provider_named
from callbridge.intake.providers.base import Broken, Finished
from callbridge.intake.providers.preset_traits import traits_of
from callbridge.presets.load import read
from support.webhooks import NOW, a_request, a_source, fixtures

VONAGE = "vonage signature secret of the test suite"
BODY = json.dumps(
    {"uuid": "u-1", "from": "493055501", "to": "49301", "direction": "inbound", "status": "busy"}
).encode()


def events(provider, name):
    (case,) = (each for each in fixtures(provider) if each.name == name)
    return provider_named(case.source.provider).parse(case.request, case.source, case.now)


def test_every_agent_of_a_telphin_queue_and_the_queue_itself_are_one_call():
    (agent,), (queue,) = events("telphin", "queue_agent_answered"), events("telphin", "queue_itself_missed")
    assert agent.call.key == queue.call.key
    assert agent.call.rank > queue.call.rank


def test_the_flows_of_a_wildix_call_are_one_call_and_the_longest_talk_ranks_first():
    one, other = events("wildix", "completed_transferred")
    assert one.call.key == other.call.key
    assert other.call.rank > one.call.rank


@pytest.mark.parametrize("name", ["aircall", "voximplant", "cloudevents"])
def test_a_recording_has_the_id_of_its_call(name):
    (call,) = next(
        found
        for each in fixtures(name)
        if isinstance(
            (found := provider_named(each.source.provider).parse(each.request, each.source, NOW))[0], Finished
        )
        and found[0].call.ref in {"70551", "700551231", "ce-551"}
    )
    (recording,) = events(name, "recording")
    assert recording.ref == call.call.ref


def test_a_cloud_events_sender_is_told_that_it_is_welcome():
    source = a_source(provider="preset:cloudevents", secrets=("s3cret",))
    request = a_request(method="OPTIONS", headers={"WebHook-Request-Origin": "events.acme.example"})
    reply = provider_named("preset:cloudevents").greet(request, source)
    assert reply is not None
    assert reply.status == 200
    assert reply.headers == {
        "WebHook-Allowed-Origin": "events.acme.example",
        "WebHook-Allowed-Rate": "120",
        "Allow": "POST",
    }
    assert provider_named("preset:cloudevents").greet(a_request(method="OPTIONS"), source) is None


@pytest.mark.parametrize(
    ("started", "wall_clock"),
    [
        ('"t"', False),
        ('["t", {value = "u", format = "DD.MM.YYYY hh:mm:ss"}]', True),
        ('["t", {value = "u", zone = "source"}]', True),
        ('["t", {value = "u", format = "DD.MM.YYYY hh:mm:ss", zone = "utc"}]', False),
    ],
)
def test_whoever_sets_it_up_is_asked_for_the_zone_if_any_start_is_a_wall_clock(started, wall_clock):
    written = f"""
name = "own"
title = "Own"
[auth]
all_of = [{{kind = "bearer"}}]
[map]
ref = "id"
direction = "inbound"
phone = "number"
started_at = {started}
"""
    assert traits_of(read(written.encode(), "own.toml")).wall_clock is wall_clock


def vonage_problem(claims, *, body=BODY, secret=VONAGE, secrets=(VONAGE,)):
    headers = {"Authorization": "Bearer " + jwt.encode(claims, secret, algorithm="HS256")}
    try:
        provider_named("preset:vonage").verify(
            a_request(body, headers), a_source(provider="preset:vonage", secrets=secrets), NOW
        )
    except Unauthenticated as refused:
        return refused.reason
    return None


def test_a_vonage_token_holds_for_the_body_whose_hash_it_has():
    claims = {"iat": int(NOW), "jti": "1", "payload_hash": hashlib.sha256(BODY).hexdigest()}
    assert vonage_problem(claims) is None
    assert vonage_problem(claims, secrets=("another secret that is long enough for it", VONAGE)) is None
    for place in range(len(BODY)):
        flipped = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        assert vonage_problem(claims, body=flipped) == "bad_signature"
    assert vonage_problem(claims, secret="somebody else's secret, which is long enough") == "bad_signature"


def test_rostelecoms_own_event_never_becomes_a_missed_call():
    (event,) = events("rostelecom", "end_without_length")
    assert event == Broken("duration (call_info.duration or duration) is missing", "end", event.body)
