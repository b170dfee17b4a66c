"""What is kept of a request can be read again, says no more than was asked, and is bounded."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace

import pytest

from callbridge.call import CallId
from callbridge.delivery.record import MAX_REQUEST, MAX_RESPONSE, Sent, record_of
from callbridge.outcome import NoAnswer, PerCall, SlowDown, Unmatched
from callbridge.posted import Evidence, Posted

SENT = Sent("b-2", "main", 1_790_000_000.25, False, "half", "b-1", 0.12345, [CallId("c-1"), CallId("c-2")])
EVIDENCE = Evidence(b'[{"n":1}]', b'{"ok":1}', 400, "vendor-7")


def inflated(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text), -15)


def told(sent: Sent, posted: Posted) -> dict[str, object]:
    record = record_of(sent, posted)
    assert record is not None
    return dict(json.loads(record))


def test_a_record_says_who_was_in_it_why_and_what_came_of_it() -> None:
    record = told(SENT, Posted(PerCall({CallId("c-1"): Unmatched()}), EVIDENCE))
    assert inflated(str(record.pop("request"))) == EVIDENCE.request
    assert inflated(str(record.pop("response"))) == EVIDENCE.response
    assert record == {
        "id": "b-2", "account": "main", "at": 1_790_000_000_250, "kind": "calls", "size": 2, "why": "half",
        "parent": "b-1", "seconds": 0.123, "answer": "PerCall", "detail": None, "status": 400,
        "request_id": "vendor-7", "calls": ["c-1", "c-2"],
    }  # fmt: skip


def test_what_never_got_an_answer_says_so() -> None:
    record = told(replace(SENT, leads=True), Posted(NoAnswer("Timeout"), Evidence(b"[]")))
    assert (record["kind"], record["answer"], record["detail"], record["status"], record["response"]) == (
        "leads", "NoAnswer", "Timeout", None, None,
    )  # fmt: skip


def test_without_a_request_there_is_no_record() -> None:
    assert record_of(SENT, Posted(SlowDown())) is None


@pytest.mark.parametrize(("size", "kept"), [(MAX_REQUEST - 1_000, True), (MAX_REQUEST + 1_000, False)])
def test_a_request_is_kept_whole_or_not_at_all(size: int, kept: bool) -> None:
    noise = random.Random(7).randbytes(size)
    record = told(SENT, Posted(SlowDown(), replace(EVIDENCE, request=noise)))
    assert (record["request"] is not None) is kept
    assert not kept or inflated(str(record["request"])) == noise


def test_of_a_long_answer_the_beginning_is_kept() -> None:
    noise = random.Random(8).randbytes(3 * MAX_RESPONSE)
    record = told(SENT, Posted(SlowDown(), replace(EVIDENCE, response=noise)))
    assert inflated(str(record["response"])) == noise[:MAX_RESPONSE]


def test_no_answer_and_an_empty_one_are_told_apart() -> None:
    assert inflated(str(told(SENT, Posted(SlowDown(), replace(EVIDENCE, response=b"")))["response"])) == b""
