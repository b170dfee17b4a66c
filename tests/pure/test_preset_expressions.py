"""Every function of the closed list, the paths, the conditions, the times."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.presets import times
from callbridge.presets.conditions import Condition, holds
from callbridge.presets.expressions import FUNCTIONS, Scope, parse, written
from callbridge.presets.functions import as_text, evaluate

BODY = {
    "id": 7,
    "half": 1.5,
    "whole": 2.0,
    "yes": True,
    "blank": "  ",
    "nothing": None,
    "php": [],
    "name": "Ann",
    "a.b": {"c": "dotted"},
    "legs": [{"num": "101"}, {"num": "+49 30 5550123"}],
    "sip": '"Ann" <sip:207@pbx.acme.example:5060;transport=udp>',
    "tel": "tel:+4930555;phone-context=x",
    "begin": "2026-09-21T14:13:30Z",
    "end": "21 Sep 2026 14:14:12 GMT",
}
SCOPE = Scope(BODY, {"whole": BODY}, "POST", "events/summary", {"q": "1"}, {"x-id": "h"})


def value(expression, scope=SCOPE):
    return evaluate(parse(expression), scope)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("id", 7),
        ("half", 1.5),
        ("legs[0].num", "101"),
        ("legs[-1].num", "+49 30 5550123"),
        ("legs[2].num", None),
        ("legs.num", None),
        ("name.deeper", None),
        ('"a.b".c', "dotted"),
        ("@root.whole.name", "Ann"),
        ("@query.q", "1"),
        ("@query.none", None),
        ("@header.X-Id", "h"),
        ("@path", "events/summary"),
        ("@method", "POST"),
        ("blank", None),
        ("nothing", None),
        ("php", None),
        ("'a literal, (with) marks'", "a literal, (with) marks"),
        (["gone", "blank", "name"], "Ann"),
        ("first(gone, blank)", None),
        ("lower(name)", "ann"),
        ("lower(yes)", "true"),
        ("trim('  x ')", "x"),
        ("digits(legs[1].num)", "49305550123"),
        ("digits(name)", None),
        ("strip(sip)", "207"),
        ("strip(tel)", "+4930555"),
        ("strip(legs[0].num)", "101"),
        ("short(legs[0].num)", "101"),
        ("short(digits(legs[1].num))", None),
        ("short(name)", None),
        ("long(digits(legs[1].num))", "49305550123"),
        ("long(legs[0].num)", None),
        ("split('a,b&c', ',&', 2)", "c"),
        ("split('a,b', ',', -1)", "b"),
        ("split('a,b', ',', 5)", None),
        ("split('a,', ',', 1)", None),
        ("join(' / ', name, gone, id)", "Ann / 7"),
        ("join('-', gone, gone)", None),
        ("sha256(name, gone, id)", hashlib.sha256(b"Ann||7").hexdigest()),
        ("sha256(gone, gone)", None),
        ("sub(id, half)", 5.5),
        ("sub(id, gone)", None),
        ("hms('01:02:03')", 3723),
        ("hms('00:06')", 6),
        ("hms(id)", 7),
        ("hms(gone)", None),
        ("seconds_between(begin, end)", 42),
        ("seconds_between(begin, gone)", None),
        ("if_present(name, id)", 7),
        ("if_present(legs, id)", 7),
        ("if_present(php, id)", None),
    ],
)
def test_an_expression_has_its_value(expression, expected):
    assert value(expression) == expected


def test_every_function_is_tried_above():
    (cases,) = test_an_expression_has_its_value.pytestmark
    text = json.dumps([str(case[0]) for case in cases.args[1]])
    assert [name for name in FUNCTIONS if f"{name}(" not in text] == ["hmac_sha256"]


def test_the_secret_answers_only_where_it_is_meant_to():
    scope = Scope({"token": "t"}, secret="s3cret")
    made = evaluate(parse("hmac_sha256(token)", answering=True), scope)
    assert made == hmac.new(b"s3cret", b"t", hashlib.sha256).hexdigest()
    with pytest.raises(ValueError, match="stands only in the reply"):
        parse("first(a, lower(hmac_sha256(token)))")
    assert "s3cret" not in repr(scope)


def test_short_follows_the_source():
    assert value("short('1234')", Scope(internal_digits=3)) is None


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("legs", "legs is text or a number"),
        ("lower(legs[0])", "legs[0] is text or a number"),
        ("sub(id, name)", "name is a number"),
        ("hms(name)", "name is a length such as 01:02:03"),
        ("seconds_between(begin, lower(name))", r"name is a point in time"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_by_its_place_and_not_repeated(expression, told):
    with pytest.raises(ValueError) as error:
        value(expression)
    assert told in str(error.value)
    assert "Ann" not in str(error.value)


def test_a_text_is_bounded():
    with pytest.raises(ValueError, match="long is at most 8192 characters"):
        value("long", Scope({"long": "x" * 8193}))
    assert len(value("join('', a, a, a, a)", Scope({"a": "x" * 8000}))) == 8192


@pytest.mark.parametrize(("told", "text"), [(True, "true"), (2.0, "2"), (1.5, "1.5"), (7, "7"), (None, None)])
def test_numbers_and_truth_as_text(told, text):
    assert as_text(told) == text


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"value": "name", "equals": "ANN"}, True),
        ({"value": "id", "equals": 7}, True),
        ({"value": "yes", "equals": True}, True),
        ({"value": "gone", "equals": ""}, False),
        ({"value": "name", "in": ["bob", "ann"]}, True),
        ({"value": "name", "starts": ["b", "an"]}, True),
        ({"value": "name", "starts": ["n"]}, False),
        ({"value": "legs", "present": True}, True),
        ({"value": "php", "present": False}, True),
        ({"value": ["gone", "name"], "present": True}, True),
        ({"value": "id", "gt": 6}, True),
        ({"value": "id", "gt": 7}, False),
        ({"value": "id", "lt": 8}, True),
        ({"value": "gone", "gt": -1}, False),
        ({"all": [{"value": "id", "gt": 6}, {"value": "name", "equals": "bob"}]}, False),
        ({"any": [{"value": "id", "gt": 9}, {"value": "name", "equals": "ann"}]}, True),
        ({"not": {"value": "gone", "present": True}}, True),
    ],
)
def test_a_condition_holds_or_not(condition, expected):
    assert holds(Condition.model_validate(condition), SCOPE) is expected


def test_a_comparison_names_what_is_no_number():
    with pytest.raises(ValueError, match="name is a number"):
        holds(Condition.model_validate({"value": "name", "gt": 1}), SCOPE)


AT = 1_790_000_010


@pytest.mark.parametrize(
    ("told", "how", "zone"),
    [
        (AT, "auto", "UTC"),
        (str(AT), "auto", "UTC"),
        (AT * 1000, "auto", "UTC"),
        (AT * 1_000_000, "auto", "UTC"),
        (AT, "epoch_s", "UTC"),
        (AT * 1000, "epoch_ms", "UTC"),
        (f"{AT}000", "epoch_ms", "UTC"),
        (AT * 1_000_000, "epoch_us", "UTC"),
        ("2026-09-21T14:13:30Z", "auto", "Asia/Tokyo"),
        ("2026-09-21T17:13:30+03:00", "iso", "UTC"),
        ("2026-09-21 17:13:30.250", "auto", "Europe/Moscow"),
        ("2026-09-21 14:13:30 UTC", "auto", "Europe/Moscow"),
        ("Mon, 21 Sep 2026 14:13:30 +0000", "auto", "Europe/Moscow"),
        ("Mon, 21 Sep 2026 17:13:30 +0300", "rfc2822", "UTC"),
        ("21.09.2026 17:13:30", "DD.MM.YYYY hh:mm:ss", "Europe/Moscow"),
        ("20260921T141330Z", "YYYYMMDDThhmmsszz", "Europe/Moscow"),
        ("09/21/26 02:13:30 PM", "MM/DD/YY hh:mm:ss AM", "UTC"),
        ("2026/09/21 17:13:30+03:00", "YYYY/MM/DD hh:mm:sszz", "UTC"),
    ],
)
def test_a_time_is_read_in_its_format(told, how, zone):
    times.check_format(how)
    assert int(times.moment(told, how, zone)) == AT


@pytest.mark.parametrize("absent", [None, 0, "0", "0000-00-00 00:00:00"])
def test_no_time_is_absent(absent):
    assert times.moment(absent, "auto", "UTC") is None


@pytest.mark.parametrize(
    ("told", "how"),
    [
        ("soon", "auto"),
        ("2026-13-21T14:13:30Z", "auto"),
        ("21.09.2026", "DD.MM.YYYY hh:mm:ss"),
        ("21.09.2026 17:13:30 and more", "DD.MM.YYYY hh:mm:ss"),
        ("٢١.09.2026 17:13:30", "DD.MM.YYYY hh:mm:ss"),
        ("09/21/26 02:13:30 XM", "MM/DD/YY hh:mm:ss AM"),
        (True, "auto"),
        ("9" * 65, "auto"),
        ("Mon, 99 Sep 2026 99:99:99 +9999", "rfc2822"),
    ],
)
def test_what_is_no_time_is_refused(told, how):
    with pytest.raises(ValueError, match="point in time"):
        times.moment(told, how, "UTC")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(["a", "b.c", "a[0]", "c[-1].d", "@root.a", "@query.q", "@header.h", "@path", "'text'", "'7'"])


def applied(inner):
    one = st.sampled_from(["lower", "trim", "digits", "strip", "short", "long", "hms"])
    return st.one_of(
        st.builds(lambda name, x: f"{name}({x})", one, inner),
        st.builds(
            lambda name, x, y: f"{name}({x}, {y})",
            st.sampled_from(["first", "sub", "seconds_between", "if_present", "sha256"]),
            inner,
            inner,
        ),
        st.builds(lambda x, n: f"split({x}, ',-', {n})", inner, st.integers(-3, 3)),
        st.builds(lambda x, y: f"join('-', {x}, {y})", inner, inner),
    )


EXPRESSIONS = st.recursive(PATHS, applied, max_leaves=6)


@settings(deadline=None)
@given(EXPRESSIONS, JSON, JSON)
def test_no_expression_and_no_body_do_anything_but_a_value_or_a_value_error(expression, element, root):
    scope = Scope(element, root, query={"q": "1"}, headers={"h": "2"})
    try:
        parsed = parse(expression)
        found = evaluate(parsed, scope)
    except ValueError:
        return
    assert found is None or isinstance(found, str | int | float)
    assert written(parsed)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("abc.[]()@,'\"-0 ", max_size=40))
def test_no_text_does_anything_to_the_parser_but_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert written(parse(text))


@settings(deadline=None)
@given(
    st.text(max_size=30) | st.integers() | st.floats() | st.datetimes().map(str),
    st.sampled_from([*times.NAMED, "DD.MM.YYYY", "YYYY-MM-DD hh:mm:ss"]),
)
def test_no_value_does_anything_to_the_clock_but_a_value_error(told, how):
    try:
        at = times.moment(told, how, "Europe/Moscow")
    except ValueError:
        return
    assert at is None or isinstance(at, float | int)


@settings(deadline=None)
@given(st.integers(978_307_200, 4_070_908_800))
def test_a_pattern_reads_what_it_describes(at):
    told = datetime.fromtimestamp(at, UTC).strftime("%d.%m.%Y %H:%M:%S")
    assert times.moment(told, "DD.MM.YYYY hh:mm:ss", "UTC") == at
