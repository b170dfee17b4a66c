"""Masked numbers keep what a caller is recognised by and lose what could be called."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.ops.masking import masked, without_phones


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+79161234567", "+7916***4567"),
        ("89161234567", "8916***4567"),
        ("8 (916) 123-45-67", "8916***4567"),
        ("+4915112345678", "+4915***5678"),
        ("1234567", "***4567"),
        ("12345", "***45"),
        ("101", "101"),
        ("anonymous", "anonymous"),
        ("", ""),
        (None, None),
    ],
)
def test_a_number_is_shown_by_its_ends(phone: str | None, shown: str | None) -> None:
    assert masked(phone) == shown


@given(st.from_regex(r"\+?[1-9][0-9]{6,14}", fullmatch=True))
@settings(max_examples=100)
def test_three_digits_of_a_number_are_never_shown(phone: str) -> None:
    digits = phone.lstrip("+")
    assert len([c for c in masked(phone) if c.isdigit()]) <= len(digits) - 3
    assert masked(phone).endswith(digits[-4:])


@given(st.text(max_size=40), st.from_regex(r"\+7[0-9]{10}", fullmatch=True))
@settings(max_examples=100)
def test_a_field_that_is_more_than_a_number_does_not_show_it_either(words: str, phone: str) -> None:
    assert phone not in masked(f"{words} {phone}")
    assert phone not in without_phones(f"{words} {phone}")
