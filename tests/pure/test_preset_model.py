"""A preset file is checked when it is read, and what is wrong with it is told with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from callbridge.errors import Misconfigured
from callbridge.presets.load import MAX_FILE, load, read, shipped

LEAST = """
name = "mine"
title = "Mine"
[auth]
all_of = [{kind = "bearer"}]
[map]
ref = "id"
direction = "way"
phone = "number"
"""


def refused(text: str) -> str:
    with pytest.raises(Misconfigured) as error:
        read(text.encode(), "mine.toml")
    return str(error.value)


def test_the_least_preset_is_read():
    assert read(LEAST.encode(), "mine.toml").name == "mine"


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_preset_is_read_and_says_what_its_users_need(name):
    preset = load(f"preset:{name}")
    assert preset.name == name
    assert preset.setup and preset.verified and "https://" in preset.guide
    assert preset.samples


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('ref = "id"\n', "map.ref: is missing"),
        ('[map]\nref = "id"\ndirection = "way"\nphone = "number"\n', "map: is missing"),
        ('[auth]\nall_of = [{kind = "bearer"}]\n', "auth: is missing"),
    ],
)
def test_what_is_missing_is_named(change, told):
    assert told in refused(LEAST.replace(change, ""))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('refs = "id"', "mine.toml: map.refs: is not known here"),
        ('result = "a..b"', "map.result: a name is missing before ."),
        ('result = "lower("', "map.result"),
        ('result = "shout(a)"', "map.result: there is no function shout; there are first, lower"),
        ('result = "lower(a, b)"', "map.result: lower takes 1 arguments"),
        ('result = "@body"', "map.result: there is no @body here"),
        ('result = "@header"', "map.result: @header is followed by one name"),
        ('result = "a b"', "map.result: goes on where it should end: b"),
        ('result = "\'open"', "map.result: cannot be read at character 1"),
        ("result = \"split(a, '', 0)\"", "map.result: split needs the marks"),
        ("result = \"split(a, ',', x)\"", "map.result: argument 3 of split is a literal"),
        ("result = 7", "map.result: is an expression"),
        ("result = []", "map.result: a list of expressions has 1 to 12"),
        ('result = "hmac_sha256(a)"', "map.result: hmac_sha256 stands only in the reply of a signed handshake"),
        (f'result = "{"lower(" * 9}a{")" * 9}"', "map.result: is nested deeper than 8 levels"),
        (f'result = "{"a" * 501}"', "map.result: an expression is at most 500 characters"),
        ('duration = {value = "t", unit = "h"}', "map.duration.unit"),
        ('started_at = {value = "t", format = "YY"}', "map.started_at[0].format: is one of auto"),
        ('started_at = {value = "t", zone = "Mars"}', "map.started_at[0].zone: is source, utc or an IANA time zone"),
        ('status = {value = "s", table = {A = "callback"}}', "map.status.table.A: is one of voicemail"),
        ('status = {value = "s", table = {A = "gone"}}', "map.status.table.A: is one of voicemail"),
        ('answered = {value = "a"}', "map.answered: a condition has exactly one of equals"),
        ('answered = {value = "a", gt = 1, lt = 2}', "map.answered: a condition has exactly one of equals"),
        ("answered = {equals = 1}", "map.answered: equals, in, starts, present, gt and lt need a value"),
        ('link = {template = "https://r/{x}"}', "map.link: template has a {x} that is not in values"),
        ('link = {template = "ftp://r/"}', "map.link: template begins with https://"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(more, told):
    assert told in refused(LEAST + more)


@pytest.mark.parametrize(
    ("direction", "told"),
    [
        ('{if = {value = "a", equals = "1"}}', "map.direction[0]: is a direction, or has one of value"),
        ('[{value = "a", table = {x = "sideways"}}]', "map.direction[0].table.x"),
        ('[{numbers = ["a"]}]', "map.direction[0].numbers"),
        ("[]", "map.direction"),
    ],
)
def test_a_direction_rule_says_what_it_wants(direction, told):
    assert told in refused(LEAST.replace('direction = "way"', f"direction = {direction}"))


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("{}", "auth.all_of[0]: kind is missing"),
        ('{kind = "rsa"}', "auth.all_of[0]"),
        ('{kind = "digest", parts = ["@body"], in = "@header.s"}', "@secret is one of the parts"),
        ('{kind = "hmac", in = "@header.s"}', "parts or parts_by says what is signed"),
        ('{kind = "hmac", parts = ["@body"]}', "auth.all_of[0].hmac.in: is missing"),
        ('{kind = "hmac", parts = ["@body"], in = "@header.s", algorithm = "md4"}', "auth.all_of[0].hmac.algorithm"),
        (
            '{kind = "hmac", parts = ["@body"], in = "@header.s", timestamp = {in = "@header.t"}}',
            "a time that is not signed proves nothing",
        ),
        ('{kind = "path_token", name = "x"}', "auth.all_of[0].path_token.name: is not known here"),
    ],
)
def test_an_auth_item_says_what_it_wants(item, told):
    assert told in refused(LEAST.replace('{kind = "bearer"}', item))


def test_either_any_of_or_all_of():
    assert "has either any_of or all_of" in refused(LEAST.replace("[map]", 'any_of = [{kind = "basic"}]\n[map]'))


@pytest.mark.parametrize(
    ("handshake", "told"),
    [
        ('query = "c"\nreply.text = "hmac_sha256(@query.c)"', "anybody could have it sign for them"),
        ('method = "GET"\nreply.text = "\'x\'"', "every request by this method would be answered unread"),
        ("reply.text = \"'x'\"", "is known by method, query and header (unsigned), or by when (signed)"),
        ('query = "c"\nreply.headers = {"X Y" = "@query.c"}', "names of headers are letters, digits and -"),
        ('query = "c"\nreply.headers = {"Content-Length" = "@query.c"}', "names of headers are letters, digits and -"),
        ('query = "c"\nreply.status = 401\nreply.text = "@query.c"', "handshake[0].reply.status"),
    ],
)
def test_a_handshake_gives_nothing_away(handshake, told):
    assert told in refused(f"{LEAST}\n[[handshake]]\n{handshake}")


def test_recording_events_need_their_table():
    assert "there is no [recording]" in refused(LEAST + '[select]\nby = "e"\nrecording = ["r"]')


def test_only_so_much_is_read(tmp_path):
    assert "is larger than 64 KiB" in refused("#" * (MAX_FILE + 1))
    assert "map.status.table: has more than 200 entries" in refused(
        LEAST + "[map.status.table]\n" + "\n".join(f'k{n} = "busy"' for n in range(201))
    )
    assert "is nested too deep" in refused(LEAST + "x = " + "[" * 40 + "]" * 40)
    assert "is not TOML" in refused(LEAST + "x = " + "[" * 5_000 + "]" * 5_000)
    assert "is not TOML" in refused("name = ")
    with pytest.raises(Misconfigured, match="is not UTF-8"):
        read(b"\xff", "mine.toml")


def test_many_problems_are_told_a_few_at_a_time():
    told = refused(LEAST + "\n".join(f"k{n} = 1" for n in range(9)))
    assert told.count("is not known here") == 5
    assert "and 4 more" in told


def test_a_file_of_ones_own_is_found_by_its_path(tmp_path: Path, monkeypatch):
    (tmp_path / "mine.toml").write_text(LEAST)
    monkeypatch.chdir(tmp_path)
    assert load("./mine.toml").title == "Mine"
    with pytest.raises(Misconfigured, match=r"gone\.toml: cannot be read"):
        load("gone.toml")
    with pytest.raises(Misconfigured, match="there is no preset nowhere; there are 3cx"):
        load("preset:nowhere")
    with pytest.raises(Misconfigured, match="there is no preset"):
        load("preset:../model")


def test_a_preset_never_changes():
    with pytest.raises(ValueError, match="frozen"):
        read(LEAST.encode(), "mine.toml").name = "other"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('kind = "bearer"', 'kind = "hmacs"', "auth.all_of[0]: kind = 'hmacs' is not known here; it is one of path_token, "),
        ('kind = "bearer"', 'kind = "hmacs"', "digest, hmac, ed25519"),
        ('kind = "bearer"', "kind = 3", "kind = '3' is not known here"),
        ('name = "mine"', 'name = "Klang PBX"', "name: is 1 to 32 small letters a-z, digits and -"),
        ('name = "mine"', "name = 3", "name: is a text, in quotes"),
        ('title = "Mine"', f'title = "{"x" * 101}"', "title: is at most 100 characters long"),
        ('phone = "number"', 'phone = "number"\nunique = "maybe"', "map.unique: is true or false"),
        ('phone = "number"', "phone = 3", "map.phone: is a table, in { }"),
        ('phone = "number"', 'phone = "number"\nduration = {value = "d", unit = "mm:ss"}', "is one of s, ms, min, hms"),
        ('direction = "way"', "direction = []", "map.direction: has at least 1 entry"),
        ('phone = "number"', 'phone = "number"\n[accept]\nmethods = ["PUT"]', "accept.methods[0]: is one of POST, GET"),
        ('phone = "number"', 'phone = "number"\n[select]\nfinished = "x"', "select.finished: is a list, in [ ]"),
        ('phone = "number"', 'phone = "number"\n[reply]\nstatus = 404', "reply.status: is at most 299"),
        ('phone = "number"', 'phone = "number"\n[reply]\nstatus = "ok"', "reply.status: is a whole number"),
        ('phone = "number"', 'phone = "number"\n[[samples]]\nevent = "a b"\nbody = ""', "[0].event: is 1 to 64 letters"),
        ('phone = "number"', 'phone = "number"\n[[samples]]\nevent = "a"\npath = "x"\nbody = ""', "path: begins with /"),
        ('phone = "number"', 'phone = "number"\nvoicemail = {value = "x", gt = "a"}', "map.voicemail.gt: is a number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_words_with_what_may_stand_there(old, new, told):
    said = refused(LEAST.replace(old, new))
    assert told in said
    assert not any(jargon in said for jargon in ("Input", "String", "Tuple", "valid", "pattern", "instance"))


def test_a_list_whose_only_element_is_wrong_is_told_once():
    assert refused(
        LEAST.replace('direction = "way"', 'direction = {if = {value = "x", equals = "y"}, then = "in"}')
    ) == ("mine.toml: map.direction[0].then: is one of inbound, outbound, internal")
