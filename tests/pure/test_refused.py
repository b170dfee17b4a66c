"""What strangers send is counted within bounds, and nothing of it is kept that could be a secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.intake.refused import MAX_AGENT, MAX_COUNTS, MAX_SAMPLES, Refusals, Refused, network_of

ONE = Refused("office", "bad_signature", 1_790_000_000.5, "POST", 120, "192.0.2.17", "PBX/1.0")


def test_what_was_counted_is_taken_once() -> None:
    refusals = Refusals()
    for refused in (ONE, replace(ONE, at=1_790_000_001.0), replace(ONE, source="unknown", code="unknown_source")):
        refusals.add(refused)
    counts, samples = refusals.take()
    assert counts == {("office", "bad_signature"): 2, ("unknown", "unknown_source"): 1}
    assert [(source, sample["at"]) for source, sample in samples] == [
        ("office", 1_790_000_000.5), ("office", 1_790_000_001.0), ("unknown", 1_790_000_000.5),
    ]  # fmt: skip
    assert samples[0][1] == {
        "at": 1_790_000_000.5, "code": "bad_signature", "method": "POST", "bytes": 120, "ip": "192.0.2.0/24",
        "agent": "PBX/1.0",
    }  # fmt: skip
    assert refusals.take() == ({}, [])


def test_a_flood_keeps_its_last_samples_and_all_its_counts() -> None:
    refusals = Refusals()
    for number in range(5 * MAX_SAMPLES):
        refusals.add(replace(ONE, size=number))
    counts, samples = refusals.take()
    assert counts == {("office", "bad_signature"): 5 * MAX_SAMPLES}
    assert [sample["bytes"] for _, sample in samples] == list(range(4 * MAX_SAMPLES, 5 * MAX_SAMPLES))


def test_made_up_codes_do_not_fill_the_memory() -> None:
    refusals = Refusals()
    for number in range(2 * MAX_COUNTS):
        refusals.add(replace(ONE, code=f"c{number}"))
    refusals.add(replace(ONE, code="c0"))
    counts, _ = refusals.take()
    assert len(counts) == MAX_COUNTS
    assert counts["office", "c0"] == 2


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.17", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:192.0.2.17", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("unix:", ""),
        ("<script>", ""),
    ],
)
def test_of_an_address_only_the_network_is_kept(peer: str, network: str) -> None:
    assert network_of(peer) == network


@settings(max_examples=100)
@given(st.text(max_size=300), st.text(max_size=40))
def test_whatever_a_stranger_calls_itself_it_is_short_and_printable(agent: str, method: str) -> None:
    refusals = Refusals()
    refusals.add(replace(ONE, agent=agent, method=method))
    [(_, sample)] = refusals.take()[1]
    assert len(sample["agent"]) <= MAX_AGENT
    assert len(sample["method"]) <= 10
    assert not set(sample["agent"]) & set("\r\n\x00\x1b\u202e")
