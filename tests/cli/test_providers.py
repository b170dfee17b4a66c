"""`providers list`, `show` and `try`: what is understood, how it is set up, and what is made of a request."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from callbridge.commands.providers import every_provider, markdown, settings_of
from callbridge.configuration import load
from callbridge.intake.providers import PROVIDERS
from callbridge.presets.load import shipped
from cli.conftest import Ended, Office
from support.webhooks import NOW, SECRET, mango_form, signed

OWN = """
name = "pigeon"
title = "Pigeon PBX"
setup = "Address https://YOUR.HOST/hooks/NAME"

[auth]
any_of = [{kind = "hmac", parts = ["@body"], in = "@header.x-pigeon"}]

[select]
by = "what"
finished = ["done"]
recording = ["taped"]

[map]
ref = "call"
direction = {value = "way", table = {in = "inbound", out = "outbound"}}
phone = "who"
extension = "desk"
duration = "talk"
started_at = {value = "at", format = "DD.MM.YYYY hh:mm:ss"}

[recording]
ref = "call"
link = "tape"
"""
CALL = {"what": "done", "call": "p-1", "way": "in", "who": "+7 495 555-01-44", "desk": "101", "talk": 41,
        "at": "21.09.2026 17:13:20"}  # fmt: skip
AT = 1_790_000_000  # the same in Moscow


@pytest.fixture
def pigeon(office: Office) -> str:
    (office.directory / "pigeon.toml").write_text(OWN)
    return str(office.directory / "pigeon.toml")  # its own path: a preset is read once


def written(office: Office, told: Any, name: str = "body") -> str:
    file = office.directory / name
    file.write_bytes(told if isinstance(told, bytes) else json.dumps(told).encode())
    return str(file)


def attempt(office: Office, provider: str, told: Any, *arguments: str, headers: dict[str, str] | None = None) -> Ended:
    extra = ("--headers", written(office, headers, "headers")) if headers is not None else ()
    return office.run("providers", "try", provider, "--body", written(office, told), "--json", *extra, *arguments)


def steps(ended: Ended) -> dict[str, bool | None]:
    return {step["name"]: step["ok"] for step in ended.json["steps"]}


# --- list and show ---------------------------------------------------------------------------------------------------


def test_the_list_has_every_provider_and_every_shipped_preset(office: Office) -> None:
    rows = office.run("providers", "list", "--json").lines
    assert [row["name"] for row in rows] == [*PROVIDERS, *(f"preset:{name}" for name in shipped())]
    assert {row["kind"] for row in rows} == {"built in", "preset"}
    assert all(row["title"] and row["setup"] and row["credential"] for row in rows)
    shown = office.run("providers", "list").out
    assert all(row["name"] in shown for row in rows)


def test_the_table_for_the_readme_keeps_to_its_columns(office: Office) -> None:
    table = office.run("providers", "list", "--markdown").out
    assert table == markdown()
    assert len(table.splitlines()) == 2 + len(PROVIDERS) + len(shipped())
    assert {line.replace("\\|", "").count("|") for line in table.splitlines()} == {5}
    assert "<" not in table


@pytest.mark.parametrize("name", [*PROVIDERS, *(f"preset:{name}" for name in shipped())])
def test_each_tells_how_it_is_set_up(office: Office, name: str) -> None:
    ended = office.run("providers", "show", name)
    assert ended.code == 0
    assert f"CALLBRIDGE_SOURCES__NAME__PROVIDER={name}\n" in ended.out
    told = office.run("providers", "show", name, "--json").json
    assert told["name"] == name
    assert told["setup"]
    assert len(told["guide"]) > 200


@pytest.mark.parametrize("provider", list(every_provider()), ids=lambda provider: provider.name)
def test_the_settings_that_are_shown_are_settings(tmp_path: Path, provider: Any) -> None:
    """Filled in by somebody, they are taken; only what the secret has to look like is the owner's to know."""
    environ = dict(line.split("=", 1) for line in settings_of(provider))
    filled = {name: "a-made-up-value-4711" if value == "..." else value for name, value in environ.items()}
    account = {"CALLBRIDGE_ACCOUNTS__MAIN__URL": "https://x.amocrm.ru", "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN": "t"}
    source = load(filled | account, tmp_path).sources["name"]
    assert source.provider == provider.name
    assert source.secret or source.path_token


def test_a_shipped_preset_is_a_start_for_ones_own(office: Office) -> None:
    ended = office.run("providers", "show", f"preset:{shipped()[0]}", "--toml")
    assert ended.code == 0
    (office.directory / "copy.toml").write_text(ended.out)
    mine = str(office.directory / "copy.toml")
    assert office.run("providers", "show", mine, "--json").json["kind"] == "preset"
    assert office.run("providers", "show", mine, "--toml").out == ended.out
    assert office.run("providers", "show", "mango", "--toml").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        "show",
        "show avaya",
        "show preset:avaya",
        "show no-such-file.toml",
        "try",
        "try mango",
        "try avaya --query a=1",
        "try no-such-file.toml --query a=1",
        "try mango --body no-such-file",
        "try mango --body . ",
        "try mango --query a=1 --headers no-such-file",
        "try mango --query a=1 --now soon",
        "try mango --query a=1 --timezone Mars/Base",
        "try mango --query a=1 --url nonsense",
        "try mango --query a=1 --source nobody",
        "try mango --body - --headers -",
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(office: Office, arguments: str) -> None:
    ended = office.run("providers", *arguments.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err


def test_an_unknown_name_is_answered_with_those_that_there_are(office: Office) -> None:
    err = office.run("providers", "show", "avaya").err
    assert all(name in err for name in (*PROVIDERS, *(f"preset:{name}" for name in shipped())))


# --- try: built-in providers -----------------------------------------------------------------------------------------


MANGO = {
    "entry_id": "m-17",
    "call_direction": 1,
    "from": {"number": "74955550144"},
    "to": {"extension": "101", "number": "74955550100"},
    "line_number": "74955550100",
    "create_time": AT - 9,
    "forward_time": AT - 8,
    "talk_time": AT,
    "end_time": AT + 41,
    "entry_result": 1,
    "disconnect_reason": 1110,
}
KEYS = ("--key", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "--secret", "pepper-and-salt-0815")


def test_a_signed_call_is_told_to_the_item_that_the_crm_would_get(office: Office) -> None:
    ended = attempt(office, "mango", mango_form(MANGO), *KEYS, "--path", "events/summary")
    assert ended.code == 0
    assert steps(ended) == {"request": True, "method": True, "verified": True, "read": True}
    (event,) = ended.json["events"]
    assert (event["event"], event["kind"], event["problem"]) == ("events/summary", "call", None)
    assert event["intake"] == "stored, then posted"
    call = event["call"]
    assert (call["ref"], call["phone"], call["duration"], call["extension"]) == ("m-17", "74955550144", 41, "101")
    assert call["key"][:2] == ["try", "m-17"]
    assert event["item"]["uniq"] == event["item"]["request_id"] == call["uniq"]
    assert (event["item"]["phone"], event["item"]["call_status"]) == ("74955550144", 4)
    assert ended.json["answer"] == {"status": 200, "content_type": "text/plain", "headers": {}, "body": "ok"}


def test_people_read_the_same(office: Office) -> None:
    body = written(office, mango_form(MANGO))
    ended = office.run("providers", "try", "mango", "--body", body, *KEYS, "--path", "events/summary")
    assert ended.code == 0
    for part in (
        "it is from whom it says",
        "74955550144",
        "stored, then posted",
        '"call_status": 4',
        "200 text/plain ok",
    ):
        assert part in ended.out


def test_a_wrong_secret_is_refused_as_the_receiver_would_and_the_rest_still_told(office: Office) -> None:
    ended = attempt(office, "mango", mango_form(MANGO), *KEYS[:3], "another-salt", "--path", "events/summary")
    assert (ended.code, ended.json["ok"]) == (1, False)
    assert steps(ended)["verified"] is False
    assert ended.json["answer"]["status"] == 401
    assert json.loads(ended.json["answer"]["body"])["title"] == "Unauthorized"
    (event,) = ended.json["events"]
    assert event["intake"] == "nothing, it is refused; else: stored, then posted"


def test_without_a_secret_the_credential_is_not_checked(office: Office) -> None:
    ended = attempt(office, "mango", mango_form(MANGO), "--path", "events/summary")
    assert ended.code == 0
    assert steps(ended)["verified"] is None
    assert "not checked (no --secret)" in json.dumps(ended.json["steps"])
    assert ended.json["events"][0]["item"]["phone"] == "74955550144"


def test_a_secret_that_lacks_its_key_is_refused_with_the_name_of_the_setting(office: Office) -> None:
    ended = attempt(office, "mango", mango_form(MANGO), "--secret", "pepper-and-salt-0815")
    assert ended.code == 1
    assert any(step["detail"].startswith("refused: key is missing") for step in ended.json["steps"])


def test_headers_from_a_log_bring_path_and_method(office: Office) -> None:
    file = office.directory / "heads.txt"
    file.write_text("# POST <base>/events/call\nContent-Type: application/x-www-form-urlencoded\n")
    ended = attempt(office, "mango", mango_form({"call_state": "Appeared"}), *KEYS, "--headers", str(file))
    assert (ended.code, ended.json["events"][0]["kind"]) == (0, "ignored")
    assert ended.json["events"][0]["event"] == "events/call"
    assert "POST /hooks/try/events/call," in ended.json["steps"][0]["detail"]


CANONICAL = {"id": "c-1", "direction": "inbound", "phone": "+7 495 555-01-44", "duration": 41, "started_at": AT}


def test_an_old_signature_holds_at_its_time_and_the_way_there_is_told(office: Office) -> None:
    body = json.dumps(CANONICAL).encode()
    late = attempt(office, "generic", body, "--secret", SECRET, headers=signed(body))
    assert late.code == 1
    assert "stale_timestamp; --now TIME says when it came" in json.dumps(late.json["steps"])
    then = attempt(office, "generic", body, "--secret", SECRET, "--now", str(int(NOW)), headers=signed(body))
    assert then.code == 0


def test_a_line_break_that_an_editor_added_is_found_out(office: Office) -> None:
    body = json.dumps(CANONICAL).encode()
    now = ("--now", str(int(NOW)))
    ended = attempt(office, "generic", body + b"\n", "--secret", SECRET, *now, headers=signed(body))
    assert ended.code == 1
    assert "without the line break at the end of the file" in json.dumps(ended.json["steps"])
    spoiled = signed(body) | {"webhook-signature": "v1,c3BvaWxlZA=="}
    assert "line break" not in attempt(office, "generic", body + b"\n", "--secret", SECRET, *now, headers=spoiled).out


@pytest.mark.parametrize(("token", "code"), [("s3cret-of-the-test", 0), ("s3cret-of-another", 1)])
def test_a_bearer_token_is_checked_too(office: Office, token: str, code: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert attempt(office, "generic", CANONICAL, "--secret", "s3cret-of-the-test", headers=headers).code == code


@pytest.mark.parametrize(
    ("changes", "intake"),
    [
        ({"direction": "internal"}, "stored, then ignored: internal_call"),
        ({"phone": ""}, "stored, then ignored: hidden_number"),
        ({"phone": "112"}, "stored, then ignored: short_number"),
        ({"event": "call.ringing"}, "counted only: it tells of no finished call"),
    ],
)
def test_what_would_not_be_posted_is_told_with_the_reason(office: Office, changes: dict[str, Any], intake: str) -> None:
    ended = attempt(office, "generic", CANONICAL | changes)
    assert ended.code == 0
    assert [(event["intake"], event["item"]) for event in ended.json["events"]] == [(intake, None)]


def test_a_number_of_our_own_is_nobodys_contact(office: Office) -> None:
    ended = attempt(office, "generic", CANONICAL, "--own-number", "8 495 555 01 43", "--own-number", "84955550144")
    assert ended.json["events"][0]["intake"] == "stored, then ignored: internal_call"


def test_a_recording_tells_which_call_it_joins(office: Office) -> None:
    call = attempt(office, "generic", CANONICAL).json["events"][0]["call"]
    told = {"event": "call.recording", "id": "c-1", "link": "https://rec.example.org/1.mp3"}
    ended = attempt(office, "generic", told, "--now", str(AT + 60))
    assert ended.code == 0
    (event,) = ended.json["events"]
    assert event["kind"] == "recording"
    assert call["uniq"] in event["recording"]["uniqs"]


def test_reading_that_needs_a_secret_goes_on_without_one(office: Office) -> None:
    told = {"recording_id": "r1:2", "entry_id": "m-17", "recording_state": "Completed", "timestamp": AT + 50}
    ended = attempt(office, "mango", mango_form(told), "--path", "events/recording")
    assert ended.code == 0
    assert ended.json["events"][0]["recording"]["ref"] == "m-17"


def test_a_recording_that_nothing_leads_to_is_counted_and_says_what_is_missing(office: Office) -> None:
    told = {"event": "NOTIFY_RECORD", "call_id_with_rec": "1790000000.17", "pbx_call_id": "in_" + "7" * 36}
    body = "&".join(f"{name}={value}" for name, value in told.items()).encode()
    (event,) = attempt(office, "zadarma", body).json["events"]
    assert "no link_template" in event["intake"]
    assert event["ignored"]["recording"] == "1790000000.17"
    office.env["CALLBRIDGE_SOURCES__OFFICE__LINK_TEMPLATE"] = "https://rec.example.org/{recording}.mp3"
    (event,) = attempt(office, "zadarma", body, "--source", "office", "--secret", "x" * 20).json["events"]
    assert event["recording"]["link"] == "https://rec.example.org/1790000000.17.mp3"


def test_what_cannot_be_read_is_a_problem_though_the_sender_hears_thanks(office: Office) -> None:
    for body in (b"not json", json.dumps([CANONICAL, {"id": "c-2"}]).encode()):
        ended = attempt(office, "generic", body)
        assert (ended.code, ended.json["answer"]["status"]) == (1, 200)
        assert ended.json["events"][-1]["kind"] == "broken"
        assert ended.json["events"][-1]["problem"]


def test_a_body_that_is_too_large_or_a_wrong_method_is_refused(office: Office) -> None:
    large = attempt(office, "generic", b"x" * 65_537)
    assert (large.code, large.json["answer"]["status"]) == (1, 413)
    wrong = attempt(office, "generic", CANONICAL, "--method", "get")
    assert (wrong.code, wrong.json["answer"]["status"]) == (1, 405)


def test_a_handshake_is_answered_without_a_credential(office: Office) -> None:
    ended = office.run("providers", "try", "zadarma", "--query", "zd_echo=a.test-7", "--secret", "x" * 20, "--json")
    assert ended.code == 0
    assert ended.json["answer"]["body"] == "a.test-7"


def test_a_signed_address_has_to_be_told(office: Office) -> None:
    fields = {"CallSid": "CA" + "7" * 32, "CallStatus": "completed", "Direction": "inbound", "From": "+14155550144",
              "To": "+14155550100", "CallDuration": "41"}  # fmt: skip
    url = "https://hooks.example.com/hooks/city"
    text = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    signature = base64.b64encode(hmac.new(b"an-auth-token", text.encode(), hashlib.sha1).digest()).decode()
    body = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in fields.items()).encode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    without = attempt(office, "twilio", body, "--secret", "an-auth-token", headers=headers)
    assert without.code == 1
    assert "--url" in json.dumps(without.json["steps"])
    assert attempt(office, "twilio", body, "--secret", "an-auth-token", "--url", url, headers=headers).code == 0


def test_a_configured_source_brings_its_secret_its_zone_and_its_users(office: Office) -> None:
    office.env["CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS"] = '{"Anna@X.example": 504141}'
    office.env["CALLBRIDGE_SOURCES__OFFICE__TIMEZONE"] = "Europe/Moscow"
    office.env["CALLBRIDGE_SOURCES__OFFICE__HOLD"] = "30s"
    secret = office.env["CALLBRIDGE_SOURCES__OFFICE__SECRET"]
    told = CANONICAL | {"extension": " anna@x.EXAMPLE", "started_at": "2026-09-21 17:13:20"}
    body = json.dumps(told).encode()
    arguments = ("--source", "office", "--now", str(int(NOW)))
    ended = attempt(office, "generic", body, *arguments, headers=signed(body, secret))
    assert ended.code == 0
    (event,) = ended.json["events"]
    assert event["intake"] == "stored, held 30 s for its recording and its other legs, then posted"
    assert (event["item"]["source"], event["item"]["created_at"]) == ("office", AT)
    assert event["item"]["responsible_user_id"] == 504141
    assert attempt(office, "generic", body, *arguments, headers=signed(body)).code == 1


def test_rules_of_a_configured_source_decide_what_is_posted(office: Office) -> None:
    office.env["CALLBRIDGE_SOURCES__OFFICE__MIN_DURATION"] = "60s"
    body = json.dumps(CANONICAL).encode()
    headers = signed(body, office.env["CALLBRIDGE_SOURCES__OFFICE__SECRET"])
    ended = attempt(office, "generic", body, "--source", "office", "--now", str(int(NOW)), headers=headers)
    assert (ended.code, ended.json["events"][0]["intake"]) == (0, "stored, then ignored: too_short")


# --- try: presets ----------------------------------------------------------------------------------------------------


def test_a_preset_of_ones_own_tells_its_way_from_the_body_to_the_item(office: Office, pigeon: str) -> None:
    body = json.dumps(CALL).encode()
    headers = {"X-Pigeon": hmac.new(b"coo-coo-coo", body, hashlib.sha256).hexdigest()}
    ended = attempt(office, pigeon, body, "--secret", "coo-coo-coo", "--timezone", "Europe/Moscow", headers=headers)
    assert ended.code == 0
    told = steps(ended)
    assert next(iter(told)) == "request"
    assert {"decoded", "auth hmac", "verified", "selected", "phone", "started_at"} <= set(told)
    assert all(told.values())
    (event,) = ended.json["events"]
    assert event["item"]["created_at"] == AT
    assert event["item"]["phone"] == "+74955550144"


def test_a_preset_without_a_secret_is_told_without_its_credential(office: Office, pigeon: str) -> None:
    ended = attempt(office, pigeon, CALL)
    assert ended.code == 0
    assert steps(ended)["verified"] is None
    assert not any(name.startswith("auth ") for name in steps(ended))


def test_a_new_preset_is_tried_beside_what_the_source_runs_with(office: Office, pigeon: str) -> None:
    office.env["CALLBRIDGE_SOURCES__CITY__TIMEZONE"] = "Europe/Moscow"
    body = json.dumps(CALL).encode()
    salt = office.env["CALLBRIDGE_SOURCES__CITY__SECRET"].encode()
    headers = {"X-Pigeon": hmac.new(salt, body, hashlib.sha256).hexdigest()}
    ended = attempt(office, pigeon, body, "--source", "city", headers=headers)
    assert ended.code == 0
    (event,) = ended.json["events"]
    assert (event["call"]["provider"], event["item"]["source"], event["item"]["created_at"]) == (pigeon, "city", AT)


@pytest.mark.parametrize("signature", ["", "00" * 32])
def test_a_preset_with_a_wrong_signature_is_refused(office: Office, pigeon: str, signature: str) -> None:
    ended = attempt(office, pigeon, CALL, "--secret", "coo-coo-coo", headers={"X-Pigeon": signature})
    assert (ended.code, steps(ended)["verified"], steps(ended)["auth hmac"]) == (1, False, False)
    assert ended.json["answer"]["status"] == 401


def test_a_wrong_signature_is_told_beside_the_right_one(office: Office, pigeon: str) -> None:
    body = json.dumps(CALL).encode()
    ended = attempt(office, pigeon, body, "--secret", "coo-coo-coo", headers={"X-Pigeon": "00" * 32})
    told = {step["name"]: step["detail"] for step in ended.json["steps"]}
    right = hmac.new(b"coo-coo-coo", body, hashlib.sha256).hexdigest()
    assert told["auth hmac looked for"] == f"header x-pigeon: found {'00' * 32}"
    assert right in told["auth hmac expected"]
    assert {steps(ended)[name] for name in told if name.startswith("auth hmac ")} == {None}
    assert steps(ended)["auth hmac"] is False
    assert "coo-coo" not in ended.out


def test_where_one_way_of_several_holds_the_others_are_no_problem(office: Office) -> None:
    file = office.directory / "two-ways.toml"
    ways = '[{kind = "bearer"}, {kind = "hmac", parts = ["@body"], in = "@header.x-pigeon"}]'
    file.write_text(OWN.replace('[{kind = "hmac", parts = ["@body"], in = "@header.x-pigeon"}]', ways))
    ended = attempt(office, str(file), CALL, "--secret", "coo-coo", headers={"Authorization": "Bearer coo-coo"})
    assert (ended.code, steps(ended)["auth bearer"], steps(ended)["auth hmac"]) == (0, True, None)


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        (CALL | {"what": "ringing"}, "ignored", 0),
        ({"what": "taped", "call": "p-1", "tape": "https://rec.example.org/p-1.mp3"}, "recording", 0),
        (CALL | {"call": ""}, "broken", 1),
        (b'{"what": "done",', "broken", 1),
    ],
)
def test_a_preset_tells_other_endings(office: Office, pigeon: str, told: Any, kind: str, code: int) -> None:
    ended = attempt(office, pigeon, told)
    assert (ended.code, [event["kind"] for event in ended.json["events"]]) == (code, [kind])


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('phone = "who"', 'fone = "who"', "map.fone"),
        ('duration = "talk"', 'duration = "nosuch(talk)"', "map.duration"),
        ("[auth]", "[aut]", "aut"),
        ("[auth]", "[auth", "not TOML"),
    ],
)
def test_a_mistake_in_a_preset_is_named_with_its_place(office: Office, old: str, new: str, place: str) -> None:
    file = office.directory / f"broken-{abs(hash((old, new)))}.toml"
    file.write_text(OWN.replace(old, new, 1))
    ended = attempt(office, str(file), CALL)
    assert (ended.code, ended.out) == (1, "")
    assert place in ended.err
    assert file.name in ended.err


def test_a_body_may_come_through_a_pipe(office: Office) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "callbridge", "providers", "try", "generic", "--body", "-", "--json"],
        input=json.dumps(CANONICAL), capture_output=True, text=True, check=False, cwd=office.directory,
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["events"][0]["item"]["phone"] == "+74955550144"


def test_hostile_text_cannot_draw_on_the_terminal(office: Office) -> None:
    told = CANONICAL | {"result": "\x1b[31m[bold]red", "extension": "\u202e[red]x"}
    ended = office.run("providers", "try", "generic", "--body", written(office, told), "--query", "a=\x1b[1m")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert "\u202e" not in ended.out
    assert "[bold]red" in ended.out
