"""Buckets, percentiles, causes and last digits: small arithmetic on which charts, groups and searches stand."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.ledger.figures import LAST_BUCKET, bucket_of, cause_of, percentile, range_of, seconds_of, tail_of


@given(st.integers(30, 30_000_000_000))
def test_a_bucket_tells_a_time_within_three_percent(ms: int):
    assert seconds_of(bucket_of(ms)) * 1000 == pytest.approx(ms, rel=0.03)


@given(st.integers(-(10**9), 10**12), st.integers(-(10**9), 10**12))
def test_longer_times_are_in_no_lower_bucket(one: int, other: int):
    assert (bucket_of(min(one, other))) <= bucket_of(max(one, other)) <= LAST_BUCKET
    assert bucket_of(one) >= 0


@given(st.lists(st.integers(100, 10_000_000), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_percentile_is_about_the_time_in_that_place(times: list[int], share: float):
    found = percentile(Counter(map(bucket_of, times)), share)
    place = max(0, -int(-share * len(times) // 1) - 1)
    assert found is not None
    near = sorted(times)[max(0, place - 1) : place + 2]
    assert min(near) * 0.97 <= found * 1000 <= max(near) * 1.03


def test_nothing_counted_has_no_percentile():
    assert percentile({}, 0.5) is None
    assert percentile({7: 0}, 0.5) is None
    assert percentile({3: 0, 90: 2}, 0.01) == seconds_of(90)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("status 400, field [12].phone: NotBlank", "status 401, field [7].phone: NotBlank"),
        ('no user "Ivan Petrov" in account 31', 'no user "Anna" in account 8'),
        ("note 5f3a9c01-aa00-4be1-9f2e-0123456789ab is gone", "note deadbeef-0000-4be1-9f2e-ffffffffffff is gone"),
        ("digest deadbeefcafe", "digest 00ff00ff00ff"),
        ("phone +7 (916) 555-01-17 refused", "phone 84951234567 refused"),
        ("see https://example.com/a/b?c=1", "see https://example.org/x"),
        ("entity 'lead' missing", "entity 'contact' missing"),
    ],
)
def test_numbers_ids_and_quoted_values_make_no_other_cause(one: str, other: str):
    assert cause_of("refused_by_crm", one) == cause_of("refused_by_crm", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("refused_by_crm", "phone is blank"), ("refused_by_crm", "duration is blank")),
        (("refused_by_crm", "phone"), ("untranslatable", "phone")),
        (("refused_by_crm", None), ("refused_by_crm", "phone")),
        (("refused_by_crm", "it can't be"), ("refused_by_crm", "it won't be")),
    ],
)
def test_other_words_make_another_cause(one: tuple[str, str | None], other: tuple[str, str | None]):
    assert cause_of(*one) != cause_of(*other)


@given(st.text(max_size=80), st.integers(0, 10**12))
def test_a_cause_is_the_same_with_any_numbers_and_fits_its_column(detail: str, number: int):
    other = re.sub(r"[0-9]+", str(number), detail)
    assert cause_of("reason", detail) == cause_of("reason", other)
    assert re.fullmatch(r"[0-9a-f]{12}", cause_of("reason", detail))


def test_a_tail_is_the_digits_from_behind():
    assert tail_of("+7 (916) 555-01-17") == "71105556197"
    assert tail_of("anonymous") is tail_of("") is tail_of(None) is None


@given(st.text("0123456789", min_size=1, max_size=6), st.lists(st.text("0123456789", min_size=1, max_size=8)))
def test_a_range_holds_the_tails_that_begin_so_and_no_others(tail: str, tails: list[str]):
    first, end = range_of(tail)
    assert [t for t in tails if first <= t and (end is None or t < end)] == [t for t in tails if t.startswith(tail)]
