"""`POST /api/v4/calls` of the simulator over HTTP: what is accepted, what is refused, and how it is told."""

from __future__ import annotations

import asyncio

import orjson
import pytest

KNOWN, STRANGER = "+79005550101", "+79005550199"
CALLS = "/api/v4/calls"


async def test_a_stored_call_is_told_with_its_note_and_card(bridge, make_call):
    card = bridge.sim.desk.account.world.find(KNOWN)
    status, headers, body = await bridge.post(make_call("u-1"))
    (note,) = bridge.sim.notes
    assert (status, headers["Content-Type"]) == (200, "application/hal+json")
    assert body == {
        "_total_items": 1,
        "errors": [],
        "_embedded": {
            "calls": [
                {
                    "id": note.id,
                    "entity_id": card.id,
                    "entity_type": "contact",
                    "account_id": bridge.sim.config.account_id,
                    "request_id": "u-1",
                    "_embedded": {
                        "entity": {
                            "id": card.id,
                            "_links": {"self": {"href": f"{bridge.sim.url}/api/v4/contacts/{card.id}"}},
                        }
                    },
                }
            ]
        },
    }


async def test_a_partly_stored_batch_is_200_with_both_lists(bridge, make_call):
    status, _, body = await bridge.post(make_call("u-1"), make_call("u-2", STRANGER))
    assert status == 200
    assert [item["request_id"] for item in body["_embedded"]["calls"]] == ["u-1"]
    assert body["errors"] == [
        {"title": "Entity not found", "status": 263, "detail": "Entity not found", "request_id": "u-2"}
    ]
    assert body["_total_items"] == 1


async def test_a_batch_without_any_match_is_400_with_the_same_body(bridge, make_call):
    status, headers, body = await bridge.post(make_call("u-1", STRANGER), make_call("u-2", "anonymous"))
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert body["_total_items"] == 0
    assert body["_embedded"] == {"calls": []}
    assert [(item["request_id"], item["status"]) for item in body["errors"]] == [("u-1", 263), ("u-2", 263)]
    assert "title" not in body
    assert not bridge.sim.notes


@pytest.mark.parametrize(
    ("leads", "customers", "kind"), [(1, 0, "lead"), (0, 1, "customer"), (1, 1, "contact"), (2, 0, "contact")]
)
async def test_the_answer_names_the_entity_that_took_the_call(bridge, make_call, leads, customers, kind):
    bridge.sim.add_contact("+79005550177", leads=leads, customers=customers)
    _, _, body = await bridge.post(make_call(phone="8 (900) 555-01-77"))
    (item,) = body["_embedded"]["calls"]
    assert item["entity_type"] == kind
    assert f"/api/v4/{kind}s/{item['entity_id']}" in item["_embedded"]["entity"]["_links"]["self"]["href"]


async def test_a_contact_added_between_two_attempts_takes_the_second(bridge, make_call):
    assert (await bridge.post(make_call(phone=STRANGER)))[0] == 400
    bridge.sim.add_contact(STRANGER)
    assert (await bridge.post(make_call(phone=STRANGER)))[0] == 200


async def test_the_same_uniq_twice_makes_two_notes(bridge, make_call):
    for _ in range(2):
        await bridge.post(make_call("u-1"))
    first, second = bridge.sim.notes
    assert first.uniq == second.uniq == "u-1"
    assert first.id != second.id


@pytest.mark.parametrize(("given", "echoed"), [("ABSENT", "0"), (17, "17"), ("x-1", "x-1")])
async def test_request_id_comes_back_as_text_and_defaults_to_the_index(bridge, make_call, given, echoed):
    _, _, body = await bridge.post(make_call(request_id=given))
    assert body["_embedded"]["calls"][0]["request_id"] == echoed


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"direction": "ABSENT"}, "FieldMissing", "direction"),
        ({"duration": "ABSENT"}, "FieldMissing", "duration"),
        ({"source": "ABSENT"}, "FieldMissing", "source"),
        ({"phone": "ABSENT"}, "FieldMissing", "phone"),
        ({"direction": "internal"}, "NotSupportedChoice", "direction"),
        ({"call_status": 0}, "NotSupportedChoice", "call_status"),
        ({"call_status": 9}, "NotSupportedChoice", "call_status"),
        ({"call_status": None}, "NotNullable", "call_status"),
        ({"call_status": "4"}, "InvalidType", "call_status"),
        ({"link": None}, "NotNullable", "link"),
        ({"call_result": None}, "NotNullable", "call_result"),
        ({"duration": "41"}, "InvalidType", "duration"),
        ({"duration": 4.5}, "InvalidType", "duration"),
        ({"duration": True}, "InvalidType", "duration"),
        ({"source": " "}, "NotBlank", "source"),
        ({"phone": ""}, "NotBlank", "phone"),
        ({"request_id": [1]}, "InvalidType", "request_id"),
        ({"call_responsible": 1.5}, "InvalidType", "call_responsible"),
        ({"created_at": "2026"}, "InvalidType", "created_at"),
    ],
)
async def test_one_malformed_call_is_named_and_fails_the_whole_batch(bridge, make_call, changes, code, path):
    status, headers, body = await bridge.post(make_call("fine"), make_call("bad", **changes))
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    (culprit,) = body["validation-errors"]
    assert [(error["code"], error["path"]) for error in culprit["errors"]] == [(code, path)]
    assert path == "request_id" or culprit["request_id"] == "bad"
    assert body["detail"] == "Request validation failed"
    assert not bridge.sim.notes


@pytest.mark.parametrize(
    "changes",
    [
        {"link": ""},
        {"duration": 0},
        {"call_status": 8},
        {"call_responsible": None},
        {"_embedded": {}},
        {"phone": "8-900-555-01-01"},
    ],
)
async def test_what_is_known_to_be_accepted_is_accepted(bridge, make_call, changes):
    assert (await bridge.post(make_call(**changes)))[0] == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"  ", 400),
        (b"[]", 400),
        (b'{"phone": "1"}', 400),
        (b"[{", 400),
        (b'["text"]', 400),
        (b"\xff\xfe", 400),
        (orjson.dumps([{}] * 251), 422),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_as_a_whole(bridge, body, status):
    answered, headers, problem = await bridge.request("POST", CALLS, body)
    assert (answered, headers["Content-Type"]) == (status, "application/problem+json")
    assert problem["status"] == status
    assert problem["type"] == f"https://httpstatus.es/{status}"


async def test_a_body_above_the_limit_is_413_from_the_gateway(start, make_call):
    bridge = await start(max_body=2_000)
    status, headers, _ = await bridge.post(*[make_call(f"u-{n}") for n in range(50)])
    assert (status, headers["Content-Type"]) == (413, "text/html")
    assert not bridge.sim.notes


async def test_250_calls_pass(bridge, make_call):
    status, _, body = await bridge.post(*[make_call(f"u-{n}") for n in range(250)])
    assert (status, body["_total_items"]) == (200, 250)
    assert len({item["id"] for item in body["_embedded"]["calls"]}) == 250


async def test_match_all_makes_a_contact_of_any_number_but_extensions(start, make_call):
    bridge = await start(match_all=True)
    _, _, body = await bridge.post(
        make_call("a", "+380445550123"), make_call("b", "0445550123"), make_call("c", "1010")
    )
    first, second = body["_embedded"]["calls"]
    assert first["entity_id"] == second["entity_id"], "the last ten digits are the same"
    assert [item["request_id"] for item in body["errors"]] == ["c"]


async def test_without_a_token_or_with_a_wrong_one_it_is_401(start, make_call):
    bridge = await start(tokens=("good",))
    for token in ("", "bad"):
        status, headers, body = await bridge.post(make_call(), token=token)
        assert (status, headers["Content-Type"], body["status"]) == (401, "application/problem+json", 401)
    assert not bridge.sim.notes
    assert (await bridge.post(make_call(), token="good"))[0] == 200


async def test_where_no_tokens_are_set_any_but_an_empty_one_passes(bridge, make_call):
    assert (await bridge.post(make_call(), token=""))[0] == 401
    assert (await bridge.post(make_call(), token="whatever"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CALLS, 405),
        ("PATCH", CALLS, 405),
        ("DELETE", "/api/v4/contacts/notes", 405),
        ("POST", "/api/v4/account", 405),
        ("GET", "/api/v4/nothing", 404),
        ("POST", "/api/v4/calls/add", 404),
        ("GET", "/", 404),
        ("GET", "/api/v4/robots/notes", 404),
    ],
)
async def test_other_verbs_are_405_and_unknown_paths_404(bridge, method, path, status):
    answered, headers, body = await bridge.request(method, path)
    assert (answered, headers["Content-Type"], body["status"]) == (status, "application/problem+json", status)


async def test_every_answer_carries_its_own_request_id(bridge, make_call):
    ids = {(await bridge.get(path))[1]["X-Request-Id"] for path in ("/api/v4/account", "/api/v4/x", CALLS)}
    ids.add((await bridge.post(make_call()))[1]["X-Request-Id"])
    assert len(ids) == 4


async def test_who_a_call_is_shown_under_follows_the_vendors_rules(bridge, make_call):
    await bridge.post(
        make_call("robot"),
        make_call("system", created_by=0, call_responsible="504"),
        make_call("person", created_by=504, call_responsible=504),
    )
    shown = [(note.author, note.shown_responsible) for note in bridge.sim.notes]
    assert shown == [("robot", None), ("system", "name 504"), ("user 504", "user 504")]


async def test_two_simulators_do_not_share_anything(start, make_call):
    one, other = await asyncio.gather(start(), start())
    await one.post(make_call())
    assert len(one.sim.notes) == 1
    assert not other.sim.notes
