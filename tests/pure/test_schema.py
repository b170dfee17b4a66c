"""The item of `POST /api/v4/calls`: exact types, no null, the same bytes for the same item."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from callbridge.amocrm.schema import CallItem, json_object, positive

LEAST: dict[str, Any] = {
    "direction": "outbound",
    "phone": "+79165550117",
    "duration": 0,
    "source": "office",
    "uniq": "office-abc",
    "request_id": "office-abc",
    "call_status": 6,
    "created_at": 1_790_000_000,
}
VENDOR_FIELDS = {
    "direction", "uniq", "duration", "source", "link", "phone", "call_result", "call_status", "responsible_user_id",
    "created_by", "updated_by", "created_at", "updated_at", "request_id", "call_responsible",
}  # fmt: skip


def test_every_field_of_the_vendor_and_no_other_is_modelled() -> None:
    assert set(CallItem.model_fields) == VENDOR_FIELDS


def test_a_key_without_a_value_is_left_out_and_zero_is_a_value() -> None:
    sent = json.loads(CallItem(**LEAST).to_json())
    assert sent == LEAST


def test_ids_and_times_are_json_numbers() -> None:
    whole = LEAST | {"responsible_user_id": 70071, "call_responsible": 70071, "created_by": 70071, "updated_at": 1}
    sent = json.loads(CallItem(**whole).to_json())
    assert {name for name, value in sent.items() if isinstance(value, int)} == {
        "duration", "call_status", "created_at", "updated_at", "responsible_user_id", "call_responsible", "created_by",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("direction", "internal"),
        ("direction", "in"),
        ("phone", ""),
        ("phone", 79165550117),
        ("duration", -1),
        ("duration", "42"),
        ("duration", 4.5),
        ("duration", True),
        ("source", ""),
        ("uniq", ""),
        ("request_id", 7),
        ("call_status", 0),
        ("call_status", 8),
        ("call_status", "4"),
        ("call_result", ""),
        ("link", ""),
        ("call_responsible", "70071"),
        ("responsible_user_id", 0),
        ("created_by", -3),
        ("created_at", 1_790_000_000.5),
        ("note_type", "call_in"),
    ],
)
def test_a_value_amocrm_would_refuse_or_misread_cannot_be_built(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as problem:
        CallItem(**(LEAST | {field: value}))
    assert "79165550117" not in str(problem.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"7", b"<html>", b'{"a": 1', b"{}x", b"\xff\xfe", b"[" * 100_000, b'{"a":NaN}'],
)
def test_only_a_whole_json_object_is_read(body: bytes) -> None:
    assert json_object(body) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7), ("7", 7), (0, None), (-7, None), (True, None), (7.0, None), ("٧", None), ("", None), ("9" * 30, None),
     (None, None)],
)  # fmt: skip
def test_an_id_is_a_positive_number(value: object, expected: int | None) -> None:
    assert positive(value) == expected
