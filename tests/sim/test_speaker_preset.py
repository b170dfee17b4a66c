"""What a preset's speaker tells and signs is accepted by the provider of the same preset, and comes out as the story."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction, phone_tail
from callbridge.intake.providers import provider_named
from callbridge.intake.providers.base import Finished, Recording
from callbridge.intake.providers.preset import PresetProvider
from callbridge.presets import times
from callbridge.presets.load import load, read, shipped
from callbridge.sim.speakers.base import Auth, Credentials, Story, Told
from callbridge.sim.speakers.preset import PresetSpeaker, preset_speaker
from callbridge.sim.speakers.preset_words import filled
from support.webhooks import FIXTURES, NOW, SECRET, a_request, a_source

HOOK = "https://hooks.example.com/hooks/office"
NO_TALK = [status.value for status in CallStatus if status not in {CallStatus.ANSWERED, CallStatus.CALLBACK}]

STORIES = st.builds(
    lambda number, inbound, extension, ringing, talk, status, recorded: Story(
        ref=f"sim-{number:x}-1",
        inbound=inbound,
        phone=f"+7916{number % 10**7:07}",
        extension=extension,
        line="+74955550100",
        started=1_790_000_000 + number % 1_000,
        ringing=ringing,
        talk=talk,
        status="answered" if talk else status,
        recorded=recorded and talk > 0,
    ),
    st.integers(0, 2**40),
    st.booleans(),
    st.sampled_from(["101", "207"]),
    st.integers(1, 40),
    st.integers(0, 3_600),
    st.sampled_from(NO_TALK),
    st.booleans(),
)


def received(name, webhook, source):
    path, _, query = webhook.path_suffix.partition("?")
    request = a_request(
        webhook.body, webhook.headers, method=webhook.method, path=tuple(filter(None, path.split("/"))), query=query
    )
    provider = provider_named(name) if isinstance(name, str) else name
    provider.verify(request, source, NOW)
    (event,) = provider.parse(request, source, NOW)
    return event


@pytest.mark.parametrize("name", shipped())
@settings(deadline=None, max_examples=40)
@given(story=STORIES)
def test_a_story_comes_out_as_it_was_told(name, story):
    source = a_source(provider=f"preset:{name}", secrets=(SECRET,), key="the-key")
    credentials = Credentials(secret=SECRET, key="the-key", hook=HOOK, timezone=source.timezone)
    speaker = preset_speaker(f"preset:{name}")
    told = speaker.tell(story, source.timezone)
    found = [
        received(f"preset:{name}", speaker.sign(each, credentials, now=NOW, message_id="msg_1"), source)
        for each in told
    ]
    assert [type(event) for event in found] == [Recording if each.late else Finished for each in told]
    call = found[0].call
    assert call.direction is (Direction.INBOUND if story.inbound else Direction.OUTBOUND)
    assert phone_tail(call.phone) == phone_tail(story.phone)
    assert call.duration == story.talk
    assert call.started_at in {story.started, story.started + story.ringing}  # a PBX may tell only the end and the talk
    assert (call.status is CallStatus.ANSWERED) is (story.talk > 0)
    assert call.extension in {story.extension, None}
    for recording in found[1:]:
        assert recording.ref == call.ref
    told_of = load(f"preset:{name}")
    if story.recorded and (told_of.recording or told_of.map.link or told_of.map.recording):
        links = [call.link, found[0].recording, *(each.link or each.recording for each in found[1:])]
        assert any(links)


@pytest.mark.parametrize("name", shipped())
def test_every_event_of_a_preset_is_told_by_some_story(name):
    speaker = preset_speaker(f"preset:{name}")
    told = set()
    for inbound in (True, False):
        for talk in (0, 5):
            story = Story(
                "s-1",
                inbound,
                "+79161234567",
                "101",
                "+74955550100",
                1_790_000_000,
                5,
                talk,
                "answered" if talk else "busy",
                talk > 0,
            )
            told |= {each.event for each in speaker.tell(story, "UTC")}
    assert told == set(speaker.events)


MAP = '\n[map]\nref = "id"\ndirection = "inbound"\nphone = "number"\n'
BODY = b'{"id":"c-1","number":"+49"}'


def own(auth: str, decode: str = "json"):
    return read(f'name = "own"\ntitle = "Own"\naccept.decode = "{decode}"\nauth.{auth}{MAP}'.encode(), "own.toml")


@pytest.mark.parametrize(
    "auth",
    [
        'any_of = [{kind = "bearer"}]',
        'any_of = [{kind = "basic"}]',
        'any_of = [{kind = "header_token", name = "X-Key", prefix = "Key "}]',
        'any_of = [{kind = "query_token"}]',
        'any_of = [{kind = "field_token", name = "auth.token"}]',
        'any_of = [{kind = "standard_webhooks"}]',
        'any_of = [{kind = "jwt_hs256", in = "bearer", payload_hash = "h"}]',
        'any_of = [{kind = "hmac", parts = ["@body"], in = "@query.sign", out = ["b64url"]}]',
        'any_of = [{kind = "hmac", parts = ["id", "@url_base", "@header.nonce"], in = "sign", algorithm = "sha1"}]',
        (
            'any_of = [{kind = "hmac", parts = ["@header.t", "@body"], in = "@header.s",'
            ' timestamp = {in = "@header.t", unit = "ms"}}]'
        ),
        'any_of = [{kind = "digest", parts = ["@key", "id", "@secret"], in = "@header.s", out = ["b64_of_hex"]}]',
        (
            'all_of = [{kind = "hmac", parts = ["@body", "@url"], in = "@header.s"},'
            ' {kind = "field_token", name = "t"}, {kind = "query_token"}]'
        ),
    ],
)
def test_a_body_of_ones_own_is_signed_by_the_inverse_of_the_preset(auth):
    preset = own(auth)
    source = a_source(secrets=(SECRET,), key="the-key")
    credentials = Credentials(secret=SECRET, key="the-key", hook=HOOK)
    speaker = PresetSpeaker(preset, "own.toml")
    webhook = speaker.sign(Told(speaker.events[0], BODY), credentials, now=NOW, message_id="m-1")
    assert received(PresetProvider("own.toml", preset), webhook, source).call.ref == "c-1"


def test_a_form_is_signed_by_its_fields():
    preset = own('any_of = [{kind = "hmac", parts = ["id", "number"], in = "sign"}]', decode="form")
    webhook = PresetSpeaker(preset, "own.toml").sign(
        Told("webhook", b"id=c-1&number=%2B49"), Credentials(secret=SECRET, hook=HOOK), now=NOW, message_id="m"
    )
    assert received(PresetProvider("own.toml", preset), webhook, a_source(secrets=(SECRET,))).call.phone == "+49"


def test_a_jwt_becomes_the_body():
    preset = own('any_of = [{kind = "jwt_hs256"}]', decode="jwt")
    webhook = PresetSpeaker(preset, "o").sign(
        Told("webhook", BODY), Credentials(secret=SECRET), now=NOW, message_id="m"
    )
    assert webhook.body.count(b".") == 2
    assert received(PresetProvider("o", preset), webhook, a_source(secrets=(SECRET,))).call.ref == "c-1"


def test_a_key_in_base64_is_a_key():
    preset = own('any_of = [{kind = "hmac", parts = ["@body"], in = "@header.s", key = "base64"}]')
    secret = base64.b64encode(b"raw").decode()
    webhook = PresetSpeaker(preset, "o").sign(
        Told("webhook", BODY), Credentials(secret=secret), now=NOW, message_id="m"
    )
    assert received(PresetProvider("o", preset), webhook, a_source(secrets=(secret,))).call.ref == "c-1"
    with pytest.raises(ValueError, match="cannot sign with these credentials"):
        PresetSpeaker(preset, "o").sign(Told("webhook", BODY), Credentials(secret="?"), now=NOW, message_id="m")


def test_the_path_token_proves_where_there_is_no_secret():
    speaker = preset_speaker("preset:3cx")
    told = Told("ReportCall", BODY)
    webhook = speaker.sign(told, Credentials(path_token="p", auth=Auth.PATH), now=NOW, message_id="m")
    assert webhook.path_suffix == "/p"
    assert "Authorization" not in webhook.headers


@pytest.mark.parametrize(
    ("auth", "credentials", "told"),
    [
        ('any_of = [{kind = "bearer"}]', Credentials(), "a secret or a path token is missing"),
        ('any_of = [{kind = "path_token"}]', Credentials(), "a secret or a path token is missing"),
        ('all_of = [{kind = "bearer"}]', Credentials(), "a secret is needed"),
        ('all_of = [{kind = "path_token"}]', Credentials(secret="s"), "a path token is needed"),
        ('all_of = [{kind = "ed25519", parts = ["@body"], in = "@header.s"}]', Credentials(secret="s"), "private key"),
        ('all_of = [{kind = "field_token", name = "id.x"}]', Credentials(secret="s"), "the body is no JSON object"),
        (
            'all_of = [{kind = "hmac", parts = ["@body"], in = "split(@header.s, \';\', 1)"}]',
            Credentials(secret="s"),
            "cannot write it",
        ),
    ],
)
def test_what_cannot_be_signed_is_said(auth, credentials, told):
    speaker = PresetSpeaker(own(auth), "own.toml")
    with pytest.raises(ValueError, match=told):
        speaker.sign(Told("webhook", BODY), credentials, now=NOW, message_id="m")


def test_a_preset_without_samples_has_nothing_to_tell():
    speaker = PresetSpeaker(own('any_of = [{kind = "bearer"}]'), "own.toml")
    story = Story("s", True, "+7", "1", "+7", 1_790_000_000, 1, 1, "answered", False)
    with pytest.raises(ValueError, match="give a body with --file"):
        speaker.tell(story, "UTC")


ACME = FIXTURES / "own_presets" / "acme.toml"


@settings(deadline=None, max_examples=60)
@given(story=STORIES)
def test_samples_with_a_time_of_their_own_form_come_out_as_they_were_told(story):
    preset = load(str(ACME))
    source = a_source(provider=str(ACME), secrets=(SECRET,), timezone="Asia/Almaty")
    speaker = PresetSpeaker(preset, "acme.toml")
    credentials = Credentials(secret=SECRET, hook=HOOK, timezone="Asia/Almaty")
    for told in speaker.tell(story, "Asia/Almaty"):
        event = received(
            PresetProvider("acme.toml", preset), speaker.sign(told, credentials, now=NOW, message_id="m"), source
        )
        assert isinstance(event, Recording if told.late else Finished)
        if not told.late:
            assert (event.call.started_at, event.call.duration) == (story.started, story.talk)
            assert (event.call.status == "answered") is (story.talk > 0)


WORDS = {"started": "1790000010", "ended": "1790043210", "id": "7"}


@pytest.mark.parametrize(
    ("text", "filled_in"),
    [
        ("{started:DD/MM/YYYY hh:mm:ss}", "21/09/2026 16:13:30"),
        ("{started:DD.MM.YY}|{started:hh:mm}", "21.09.26|16:13"),
        ("{started:MM/DD/YYYY hh:mm:ss AM}", "09/21/2026 04:13:30 PM"),
        ("{ended:YYYYMMDDhhmmsszz}", "20260922041330+02:00"),
        ('{"a":{started:YYYY-MM-DDThh:mm:sszz},"b":{id}}', '{"a":2026-09-21T16:13:30+02:00,"b":7}'),
        ('{"answered": {"x": 1}, "ended":"DD"}', '{"answered": {"x": 1}, "ended":"DD"}'),
        ("{answered:DD} {phone:DD} {started:} {ended: 1}", "{answered:DD} {phone:DD} {started:}  1"),
    ],
)
def test_a_moment_is_written_in_the_form_that_is_asked_for(text, filled_in):
    assert filled(text, WORDS, "Europe/Berlin") == filled_in


@given(
    st.integers(1_000_000_000, 2_000_000_000),
    st.sampled_from(
        ["DD.MM.YYYY hh:mm:ss zz", "MM/DD/YY hh:mm:ss AM zz", "YYYYMMDDhhmmsszz", "zz YYYY-MM-DD hh:mm:ss"]
    ),
    st.sampled_from(["Europe/Berlin", "Asia/Almaty", "America/St_Johns", "UTC"]),
)
def test_what_a_pattern_writes_it_reads(at, pattern, zone):
    assert times.moment(times.told(at, pattern, zone), pattern, "UTC") == at
