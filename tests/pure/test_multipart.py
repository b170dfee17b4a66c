"""Flat bodies in three wrappings: one meaning, the limits of the others, and no error but `Undecodable`."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.errors import Undecodable
from callbridge.intake.multipart import decode_flat, decode_multipart

QUICK = settings(max_examples=200, deadline=None)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\r\n', exclude_categories=("Cs",)), max_size=12)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)


def part(name, value, boundary=b"--b0undary"):
    return boundary + b'\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"


def multipart(fields, boundary=b"--b0undary"):
    told = b"".join(part(name.encode(), value, boundary) for name, value in fields.items())
    return told + boundary + b"--\r\n"


@given(st.dictionaries(NAMES, st.binary(max_size=30).filter(lambda value: b"\r\n--b0undary" not in value), min_size=1))
@QUICK
def test_every_field_comes_out_as_it_was_written(fields):
    assert decode_multipart(multipart(fields)) == fields


@given(st.dictionaries(NAMES.filter(lambda name: name and not name.startswith("--")), TEXTS, min_size=1, max_size=8))
@QUICK
def test_three_wrappings_have_one_meaning(fields):
    expected = {name: value.encode() for name, value in fields.items()}
    assert decode_flat(urlencode(fields).encode()) == expected
    assert decode_flat(multipart(expected)) == expected
    assert decode_flat(json.dumps(fields).encode()) == expected


def test_numbers_of_json_are_written_out_and_what_is_no_field_is_empty():
    body = b' {"a": 7, "b": true, "c": false, "d": null, "e": ["x"], "f": 1.5}'
    assert decode_flat(body) == {"a": b"7", "b": b"1", "c": b"0", "d": b"", "e": b"", "f": b"1.5"}


def test_a_part_may_have_other_headers_and_a_file_name():
    body = b'--x\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; filename="name"; NAME="n"\r\n\r\nv\r\n--x--'
    assert decode_multipart(body) == {"n": b"v"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--", b"--\r\n", b"a=1", b"--x", b"--x\r\n", b"--x--", part(b"n", b"v"), multipart({"n": b"v"})[:-4],
        b"--x\r\n\r\nno name\r\n--x--", b'--x\r\nContent-Disposition: form-data; name="n"\r\nv\r\n--x--',
        b'--x\r\nX-Disposition: form-data; name="n"\r\n\r\nv\r\n--x--',
        part(b"n", b"1") + part(b"n", b"2") + b"--b0undary--", part(b"n", b"\r\n--b0undaryless") + b"--b0undary--",
        multipart({"n": b"v"}, b"--" + b"x" * 71), part(b"n", b"v").replace(b"form-data;", b" " * 1100) + b"--b0undary--",
    ],
)  # fmt: skip
def test_what_is_no_multipart_form_is_refused(body):
    with pytest.raises(Undecodable):
        decode_multipart(body)


def test_more_fields_than_a_form_may_have_are_refused():
    fields = {f"n{number}": b"" for number in range(200)}
    assert len(decode_multipart(multipart(fields))) == 200
    with pytest.raises(Undecodable, match="200 fields"):
        decode_multipart(multipart(fields | {"one more": b""}))


@given(st.sampled_from([b"", b"--b0undary\r\n", b"{", part(b"n", b"v")]), st.binary(max_size=200))
@QUICK
def test_no_bytes_raise_anything_else(start, rest):
    for body in (start + rest, rest + start):
        with suppress(Undecodable):
            decode_flat(body)
