"""Bodies under limits: what is read is what was written, and what is refused is refused with a cause, never a crash."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.errors import Undecodable
from callbridge.intake.decode import MAX_STRING, _decode_carefully, decode_form, decode_json, split_array

QUICK = settings(max_examples=200, deadline=None)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: len(repr(f)) <= 20)
    | texts
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


@given(values, st.sampled_from([None, 1]), st.booleans())
@QUICK
def test_what_any_encoder_writes_is_read_back(value, indent, ascii_only):
    written = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert decode_json(written) == value


@given(st.binary(max_size=200) | st.text('{}[]",:\\ud8e0.1-NaItrufls \n', max_size=80).map(str.encode))
@QUICK
def test_any_bytes_give_a_clean_value_or_undecodable(body):
    for read in (decode_json, decode_form, split_array):
        with suppress(Undecodable):  # anything else would fail the test
            value = read(body)
            if read is decode_json:
                json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


numbers = st.from_regex(rb"-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,19})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
names = st.sampled_from([b'"a"', b'"\\u0061"', b'"b:"', b'"://"', b'"\\ud800"', b'"\\""', '"ж"'.encode()])
written = st.recursive(
    numbers | names | st.sampled_from([b"null", b"true", b"NaN", b"-Infinity", b"nul", b'"x', b'"\xff"']),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: b"[" + b",".join(items) + b"]")
        | st.lists(st.tuples(names, st.sampled_from([b":", b" :", b":\n"]), inner).map(b"".join), max_size=4).map(
            lambda members: b"{" + b", ".join(members) + b"}"
        )
    ),
)


@given(written | st.binary(max_size=30))
@settings(max_examples=500, deadline=None)
def test_the_fast_way_never_says_anything_but_the_careful_one(body):
    outcomes = []
    for read in (decode_json, _decode_carefully):
        try:
            outcomes.append(repr(read(body)))  # `repr` tells 1 from 1.0 and True, and 0.0 from -0.0
        except Undecodable as refused:
            outcomes.append(refused.reason)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b'{"id":', "not JSON"),
        (b'{"id":1} x', "not JSON"),
        (b'{"id":1,}', "not JSON"),
        (b"id=1", "not JSON"),
        (b'{"id":"\x01"}', "not JSON"),
        (b'\xef\xbb\xbf{"id":1}', "byte order mark"),
        ('{"id":1}'.encode("utf-16"), "UTF-16"),
        ('{"id":1}'.encode("utf-16-le"), "UTF-16"),
        ('{"id":1}'.encode("utf-32-be"), "UTF-16 or UTF-32"),
        (b'{"id":"\xff"}', "not UTF-8"),
        (b'{"id":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"n":NaN}', "NaN"),
        (b'{"n":-Infinity}', "NaN or Infinity"),
        (b'{"n":1e999}', "too large"),
        (b'{"n":-1e999}', "too large"),
        (b'{"n":' + b"9" * 21 + b"}", "more than 20"),
        (b'{"n":' + b"9" * 5000 + b"}", "more than 20"),
        (b'{"n":0.' + b"1" * 30 + b"}", "more than 20"),
        (b'{"id":1,"id":1}', "same name twice"),
        (b'{"a":{"id":1,"\\u0069d":2}}', "same name twice"),
        (b'{"\\ud800":1,"\\ud801":2}', "same name twice"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b"[" * 30_000, "deeper than 32"),
        (b'{"a":' * 30_000, "deeper than 32"),
        (b'{"a":"' + b"x" * 8193 + b'"}', "string of more than"),
        (b'{"' + b"x" * 8193 + b'":1}', "string of more than"),
        (b'["' + b"x" * 8193 + b'"]', "string of more than"),
        (json.dumps({f"k{i}": i for i in range(10_000)}).encode(), "more than 1000 values"),
        (json.dumps([0] * 1001).encode(), "more than 1000 values"),
    ],
)
def test_what_goes_beyond_a_limit_is_refused_with_its_cause(body, cause):
    with pytest.raises(Undecodable, match=cause) as refused:
        decode_json(body)
    assert len(refused.value.reason) < 100


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 32 + b"]" * 32,
        json.dumps([0] * 999).encode(),
        b'{"n":' + b"9" * 20 + b"}",
        b'{"a":"' + b"x" * 8192 + b'"}',
        b'{"a":"' + b"[{," * 1000 + b'"}',
        b'{"a":"' + b'\\"[' * 1000 + b'"}',
    ],
)
def test_what_just_keeps_a_limit_is_read(body):
    assert decode_json(body) == json.loads(body)


def test_a_whole_number_stays_whole_up_to_the_limit():
    assert decode_json(b"99999999999999999999") == 99_999_999_999_999_999_999


def test_half_a_surrogate_pair_becomes_the_replacement_character_wherever_it_stands():
    half, whole = "\\ud83d", "\\ud83d\\ude00"
    body = f'{{"a{half}":"{half}x","b":["{half}",["{half}"]],"c":"{whole}"}}'.encode()
    assert decode_json(body) == {"a\ufffd": "\ufffdx", "b": ["\ufffd", ["\ufffd"]], "c": "\U0001f600"}
    assert decode_json(f'"{half}"'.encode()) == "\ufffd"


@given(st.lists(values.map(json.dumps).map(str.encode), max_size=6), st.sampled_from([b",", b" ,\n", b",,"]))
@QUICK
def test_an_array_splits_into_its_elements_as_they_were_written(elements, comma):
    assert split_array(b" [" + comma.join(elements) + b"]\n") == elements


def test_only_an_array_is_split():
    assert split_array(b'{"a":[1]}') is None
    assert split_array(b'"[1]"') is None
    assert split_array(b"") is None


@pytest.mark.parametrize("body", [b"[1,2", b"[[1]", b"[1] 2", b"[1]]", b'["]'])
def test_an_array_that_does_not_end_well_is_refused(body):
    with pytest.raises(Undecodable):
        split_array(body)


def test_a_broken_element_leaves_its_neighbours_alone():
    assert split_array(b'[{"a":1},{"a":nonsense "]" ,},{"b":[2,3]}]') == [
        b'{"a":1}',
        b'{"a":nonsense "]" ,}',
        b'{"b":[2,3]}',
    ]


@given(st.dictionaries(texts.filter(bool), texts, max_size=6))
@QUICK
def test_a_form_is_read_back_as_bytes(fields):
    assert decode_form(urlencode(fields).encode()) == {name: value.encode() for name, value in fields.items()}


def test_a_field_given_twice_is_refused_however_it_is_spelt():
    with pytest.raises(Undecodable, match="twice"):
        decode_form(b"sign=a&s%69gn=b")


def test_a_form_has_at_most_two_hundred_fields():
    assert len(decode_form(b"&".join(b"f%d=" % i for i in range(200)))) == 200
    with pytest.raises(Undecodable, match="200 fields"):
        decode_form(b"&".join(b"f%d=" % i for i in range(201)))


def test_no_number_comes_out_infinite():
    value = decode_json(b"[1e308, -1e308, 5e-324]")
    assert isinstance(value, list)
    assert all(isinstance(number, float) and math.isfinite(number) for number in value)


@pytest.mark.parametrize("longest", [MAX_STRING, 20_000])
@pytest.mark.parametrize("written", ['"%s"', '["%s"]', '{"a": "%s"}', '{"%s": 1}', '[{"a": ["%s"]}]'])
def test_a_sender_may_be_allowed_longer_strings_and_no_longer_ones(written: str, longest: int) -> None:
    body = (written % ("x" * longest)).encode()
    assert decode_json(body, string=longest) == json.loads(body)
    with pytest.raises(Undecodable, match=f"a string of more than {longest} characters"):
        decode_json((written % ("x" * (longest + 1))).encode(), string=longest)
