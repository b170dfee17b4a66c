"""What is stored is what was received, and damaged bytes are told as such."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction, Webhook, plain_text
from callbridge.store.envelope import Envelope, EnvelopeError, content_digest, link_digest, seal, unseal
from support.builders import a_call

texts = st.text(min_size=1, max_size=60).map(plain_text).filter(bool)


@given(
    body=st.binary(max_size=2000),
    ref=texts,
    phone=st.text("0123456789+ ()-", max_size=20).map(plain_text),
    direction=st.sampled_from(Direction),
    status=st.sampled_from(CallStatus),
    duration=st.integers(0, 86_400),
    dated=st.booleans(),
    result=st.none() | texts,
)
def test_an_envelope_comes_back_as_it_was_sealed(body: bytes, **fields: object) -> None:
    envelope = Envelope("office", "generic", Webhook("call.finished", body), a_call(**fields))
    assert unseal(seal(envelope)) == envelope


@given(st.binary(max_size=300))
def test_an_undecodable_body_is_kept_byte_for_byte(body: bytes) -> None:
    envelope = Envelope("office", "mango", Webhook("", body), None, "no call in it")
    assert unseal(seal(envelope)) == envelope


@given(st.binary(max_size=80))
def test_foreign_bytes_are_no_envelope(blob: bytes) -> None:
    with pytest.raises(EnvelopeError):
        unseal(blob)


@given(st.data())
def test_a_damaged_envelope_is_refused_or_still_an_envelope(data: st.DataObject) -> None:
    blob = bytearray(seal(Envelope("office", "generic", Webhook("e", b"{}"), a_call())))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(EnvelopeError):
        assert isinstance(unseal(bytes(blob)), Envelope)


def test_content_is_what_the_crm_would_be_told() -> None:
    digest = content_digest(a_call())
    assert content_digest(a_call(link="https://rec.example.org/1")) == digest
    assert content_digest(a_call(duration=43)) != digest
    assert content_digest(a_call(phone="+7 916 555-01-18")) != digest
    assert content_digest(a_call(dated=False)) == content_digest(a_call(dated=False, started_at=1_790_000_555))


REC = "https://rec.example.org"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{REC}/a.mp3?X-Amz-Signature=a", f"{REC}/a.mp3?X-Amz-Signature=b&X-Amz-Date=2"),
        (f"{REC}/a.mp3?t=1", f"{REC}/a.mp3"),
        (f"{REC}/a.mp3#t=1", "https://REC.example.org/a.mp3"),
        (f"{REC}/v1/records/7701?anything=1", f"{REC}/v1/records/7701?anything=2"),
        (f"{REC}/get.php?id=1&Expires=5&Signature=a", f"{REC}/get.php?Signature=b&Expires=6&id=1"),
        (f"{REC}/?file=a.mp3&token=x", f"{REC}/?token=y&file=a.mp3"),
        (f"{REC}/download?id=1&sig=x", f"{REC}/download?id=1&sig=y"),
    ],
)
def test_a_link_that_was_signed_anew_is_to_the_same_recording(one: str, other: str) -> None:
    assert link_digest(one) == link_digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{REC}/a.mp3", f"{REC}/b.mp3"),
        (f"{REC}/a.mp3", "https://other.example.org/a.mp3"),
        (f"{REC}:8443/a.mp3", f"{REC}/a.mp3"),
        (f"{REC}/get.php?id=1", f"{REC}/get.php?id=2"),
        (f"{REC}/?file=a.mp3", f"{REC}/?file=b.mp3"),
        (f"{REC}?id=1", f"{REC}?id=2"),
        (f"{REC}/download?id=1&sig=x", f"{REC}/download?id=2&sig=x"),
    ],
)
def test_links_to_two_recordings_are_told_apart(one: str, other: str) -> None:
    assert link_digest(one) != link_digest(other)


@given(st.text(max_size=60))
def test_any_text_has_a_digest_as_a_link(text: str) -> None:
    assert link_digest("https://[" + text) == link_digest("https://[" + text)
