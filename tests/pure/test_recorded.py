"""Requests that people wrote down: whatever form is clear is read, the rest is refused with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.commands.recorded import Heads, build_request, read_heads
from support.webhooks import a_source

FORMS = {
    "lines": "Content-Type: application/json\nX-Signature: abc:def\n",
    "carriage returns": "Content-Type:application/json\r\nX-Signature:  abc:def  \r\n\r\n",
    "a dump of curl": "*   Trying 203.0.113.7\n> POST /hooks/office HTTP/1.1\n> Content-Type: application/json\n"
    "> X-Signature: abc:def\n>\n< HTTP/1.1 200 OK\n",
    "comments": "# secret of the test\n# key: value\nCONTENT-TYPE: application/json\n\nx-signature: abc:def",
    "a mark of the editor": "\ufeffContent-Type: application/json\nX-Signature: abc:def",
    "an object": json.dumps({"Content-Type": "application/json", "X-Signature": "abc:def"}),
    "lists of values": json.dumps({"Content-Type": ["application/json"], "X-Signature": ["abc:def", "other"]}),
    "pairs": json.dumps([["Content-Type", "application/json"], ["X-Signature", "abc:def"]]),
    "names and values": json.dumps(
        [{"name": "Content-Type", "value": "application/json"}, {"name": "X-Signature", "value": "abc:def"}]
    ),
    "inside": json.dumps({"method": "POST", "headers": {"content-type": "application/json", "x-signature": "abc:def"}}),
    "http/2": ":method: POST\n:path: /hooks/office\ncontent-type: application/json\nx-signature: abc:def",
}


@pytest.mark.parametrize("written", FORMS.values(), ids=FORMS)
def test_headers_are_read_in_every_form(written: str) -> None:
    assert read_heads(written).headers == {"content-type": "application/json", "x-signature": "abc:def"}


@pytest.mark.parametrize(
    ("line", "below", "query"),
    [
        ("POST /hooks/city/events/summary HTTP/1.1", "/events/summary", ""),
        ("# POST <base>/events/summary", "/events/summary", ""),
        ("GET https://hooks.example.com/hooks/city?a=1&b=%20 HTTP/2", "", "a=1&b=%20"),
        ("GET <base>?zd_echo=x", "", "zd_echo=x"),
        ("POST /somewhere/else HTTP/1.1", "", ""),
        (":method: POST\n:path: /hooks/city/events/summary?x=/y", "/events/summary", "x=/y"),
    ],
)
def test_a_request_line_tells_method_path_and_query(line: str, below: str, query: str) -> None:
    heads = read_heads(f"{line}\nHost: hooks.example.com\n")
    assert (heads.method in {"GET", "POST"}, heads.below, heads.query) == (True, below, query)
    assert heads.headers == {"host": "hooks.example.com"}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("Content-Type: x\nno colon here", "line 2"),
        ("{", "not valid JSON"),
        ("[1]", "names with texts"),
        ('{"a": {"b": 1}}', "names with texts"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_not_clear_is_refused_with_its_place(written: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_heads(written)


@given(st.text(max_size=200) | st.text(alphabet='{}[]":,> #POST\n-:ab', max_size=80))
@settings(deadline=None, max_examples=200)
def test_no_text_raises_anything_but_value_errors(written: str) -> None:
    try:
        heads = read_heads(written)
    except ValueError:
        return
    assert all(name == name.lower() for name in heads.headers)


@pytest.mark.parametrize("below", ["events/summary", "/events/summary", "/a-path-token/events/summary"])
def test_the_path_token_is_in_the_address_and_not_in_the_path(below: str) -> None:
    source = a_source(path_token="a-path-token")
    request = build_request(source, Heads(), b"x", method="POST", below=below, query="a=%41", url=None)
    assert request.path == ("events", "summary")
    assert request.target == "/hooks/office/a-path-token/events/summary?a=%41"
    assert request.query["a"] == "A"


def test_the_address_that_was_given_is_the_one_that_is_signed() -> None:
    url = "https://hooks.example.com:8443/v1/hook?x=%2F"
    request = build_request(a_source(), Heads(), b"", method="POST", below="", query="", url=url)
    assert request.public_url(a_source()) == url
    assert request.query["x"] == "/"
