"""Stories of calls drawn at random, and what a provider makes of one that a simulated PBX tells and signs."""

from __future__ import annotations

from hypothesis import strategies as st

from callbridge.call import Call, phone_tail
from callbridge.intake.providers.base import Event, Finished, Provider, Recording, Source
from callbridge.sim.speakers.base import Credentials, Speaker, Story
from support.webhooks import NOW, a_request

UNANSWERED = ("voicemail", "unavailable", "wrong_number", "no_answer", "busy")


@st.composite
def stories(draw: st.DrawFn, *, statuses: tuple[str, ...] = UNANSWERED) -> Story:
    talk = draw(st.integers(0, 7_200))
    return Story(
        ref=f"call-{draw(st.integers(0, 10**9))}",
        inbound=draw(st.booleans()),
        phone=f"+79{draw(st.integers(10**8, 10**9 - 1))}",
        extension=str(draw(st.integers(100, 999))),
        line="+74955550100",
        started=draw(st.integers(1_600_000_000, int(NOW))),
        ringing=draw(st.integers(0, 60)),
        talk=talk,
        status="answered" if talk else draw(st.sampled_from(statuses)),
        recorded=talk > 0 and draw(st.booleans()),
        transferred=talk > 0 and draw(st.booleans()),
    )


def understood(
    speaker: Speaker, provider: Provider, story: Story, credentials: Credentials, source: Source
) -> list[Event]:
    """All events of the story, verified. The path token stays out of it: intake takes it off before a provider looks."""
    events: list[Event] = []
    for part, told in enumerate(speaker.tell(story, credentials.timezone)):
        webhook = speaker.sign(told, credentials, now=NOW, message_id=f"msg_{part}")
        path, _, query = webhook.path_suffix.partition("?")
        segments = tuple(path.strip("/").split("/")) if path.strip("/") else ()
        request = a_request(webhook.body, webhook.headers, method=webhook.method, path=segments, query=query)
        provider.verify(request, source, NOW)
        events += provider.parse(request, source, NOW)
    return events


def finished(events: list[Event]) -> Call:
    (call,) = (event.call for event in events if isinstance(event, Finished))
    return call


def recordings(events: list[Event]) -> list[Recording]:
    return [event for event in events if isinstance(event, Recording)]


def assert_told(call: Call, story: Story) -> None:
    """The call is the story's, but for its status without a talk, for which each PBX has words of its own."""
    assert call.direction == ("inbound" if story.inbound else "outbound")
    assert phone_tail(call.phone) == phone_tail(story.phone)
    assert (call.extension, call.duration, call.started_at) == (story.extension, story.talk, story.started)
    assert (call.status == "answered") == (story.talk > 0)
