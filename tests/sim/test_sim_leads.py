"""Incoming leads of the simulator over HTTP: each post makes new ones, and its answer can be lost."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

PATH, STRANGER = "/api/v4/leads/unsorted/sip", "+79005550199"


def lead(uniq: str = "u-9", **meta: Any) -> dict[str, Any]:
    number = {"field_code": "PHONE", "values": [{"value": STRANGER, "enum_code": "WORK"}]}
    return {
        "request_id": uniq,
        "source_uid": "bridge",
        "source_name": "Bridge",
        "metadata": {"phone": STRANGER, "from": "Bridge", "uniq": uniq, "called_at": 1_700_000_000, "duration": 3}
        | meta,
        "_embedded": {"contacts": [{"name": "New", "custom_fields_values": [number]}], "leads": [{"name": "Call"}]},
    }


async def post(bridge: Any, *items: Any) -> tuple[int, Any]:
    status, _, body = await bridge.request("POST", PATH, list(items))
    return status, body


async def test_the_number_is_the_contacts_own_and_the_note_says_what_the_call_says(bridge):
    status, body = await post(bridge, lead(phone="204", **{"from": STRANGER}))
    (made,) = body["_embedded"]["unsorted"]
    assert (status, made["request_id"], bool(made["uid"])) == (200, "u-9", True)
    (card,) = [card for card in bridge.sim.desk.account.world if card.id == made["_embedded"]["contacts"][0]["id"]]
    assert (card.phones, card.name) == ((STRANGER,), "New")
    (note,) = bridge.sim.notes
    assert (note.target, note.phone) == (("lead", made["_embedded"]["leads"][0]["id"]), "204")
    _, _, listed = await bridge.get("/api/v4/leads/notes")
    (read,) = listed["_embedded"]["notes"]
    assert (read["note_type"], read["created_at"], read["params"]["uniq"]) == ("call_in", 1_700_000_000, "u-9")


async def test_each_post_makes_another_lead_and_contact(bridge):
    known = len(bridge.sim.desk.account.world)
    for _ in range(2):
        await post(bridge, lead())
    assert len(bridge.sim.desk.account.world) == known + 2
    assert [note.uniq for note in bridge.sim.notes] == ["u-9", "u-9"]


async def test_a_call_of_the_new_contact_finds_its_lead(bridge, make_call):
    _, body = await post(bridge, lead())
    _, _, answer = await bridge.post(make_call(phone=STRANGER))
    (call,) = answer["_embedded"]["calls"]
    (made,) = body["_embedded"]["unsorted"]
    assert (call["entity_type"], call["entity_id"]) == ("lead", made["_embedded"]["leads"][0]["id"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"source_uid": None}, "NotNullable"),
        ({"source_name": ""}, "NotBlank"),
        ({"pipeline_id": "7"}, "InvalidType"),
        ({"metadata": None}, "InvalidType"),
        ({"metadata": {"uniq": "u"}}, "FieldMissing"),
        ({"metadata": {"phone": STRANGER, "link": None}}, "NotNullable"),
        ({"metadata": {"phone": STRANGER, "duration": "3"}}, "InvalidType"),
        ({"_embedded": {"leads": [{}, {}]}}, "TooMany"),
    ],
)
async def test_one_invalid_item_fails_them_all_by_name(bridge, changes, code):
    status, body = await post(bridge, lead("good"), lead("bad") | changes)
    (error,) = body["validation-errors"]
    assert (status, error["request_id"]) == (400, "bad")
    assert code in {each["code"] for each in error["errors"]}
    assert list(bridge.sim.notes) == []


async def test_numbers_may_be_numbers(bridge):
    status, _ = await post(bridge, lead(phone=79005550199, **{"from": 74955550142}))
    assert status == 200


async def test_a_pipeline_has_to_exist_where_they_are_told(start):
    bridge = await start(pipelines=(5,))
    assert (await post(bridge, lead() | {"pipeline_id": 6}))[0] == 400
    assert (await post(bridge, lead() | {"pipeline_id": 5}))[0] == 200
    assert (await post(bridge, lead()))[0] == 200


async def test_an_account_without_incoming_leads_refuses_them(start):
    bridge = await start(unsorted_on=False)
    status, body = await post(bridge, lead())
    assert (status, "validation-errors" in body, list(bridge.sim.notes)) == (400, False, [])


@pytest.mark.parametrize(("fault", "made"), [("502-before", 0), ("502-half", 1), ("502-after", 2)])
async def test_the_answer_can_be_lost_before_amid_and_after(bridge, make_call, fault, made):
    bridge.sim.arm(f"{fault}@leads=1")
    status, _, _ = await bridge.post(make_call())
    assert status == 200  # not for calls
    before = len(bridge.sim.notes)
    status, _ = await post(bridge, lead("a"), lead("b"))
    assert (status, len(bridge.sim.notes) - before) == (502, made)


async def test_a_lead_may_be_made_after_everybody_has_left(bridge):
    bridge.sim.arm("late-commit@leads", "400ms", times=1)
    with pytest.raises(TimeoutError):
        await bridge.request("POST", PATH, [lead()], timeout=aiohttp.ClientTimeout(total=0.3))
    for _ in range(200):
        if bridge.sim.notes:
            break
        await asyncio.sleep(0.02)
    assert len(bridge.sim.notes) == 1


async def test_leads_count_as_writes(bridge):
    bridge.sim.arm("402@writes")
    assert (await post(bridge, lead()))[0] == 402


async def test_notes_can_lose_their_uniq(bridge, make_call):
    bridge.sim.arm("drop-uniq@writes=2")
    await post(bridge, lead())
    await bridge.post(make_call("u-1"))
    assert [note.uniq for note in bridge.sim.notes] == [None, None]
    _, _, listed = await bridge.get("/api/v4/contacts/notes")
    assert "uniq" not in listed["_embedded"]["notes"][0]["params"]
