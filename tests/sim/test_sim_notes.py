"""Notes that are written through the notes endpoints."""

from __future__ import annotations

import pytest

NOTE = {"note_type": "common", "params": {"text": "hello"}, "request_id": "r-1"}


async def test_a_note_is_written_on_its_card_and_listed_among_its_notes(bridge, make_call):
    await bridge.post(make_call())
    card = bridge.sim.notes[0].target
    path = f"/api/v4/contacts/{card.entity_id}/notes"
    status, _, answer = await bridge.request("POST", path, [NOTE])
    [written] = answer["_embedded"]["notes"]
    assert (status, written["request_id"], written["entity_id"]) == (200, "r-1", card.entity_id)
    _, _, listed = await bridge.get(f"{path}?filter[note_type][]=common")
    assert [(note["id"], note["params"]) for note in listed["_embedded"]["notes"]] == [
        (written["id"], {"text": "hello"})
    ]
    _, _, everything = await bridge.get(path)
    assert [note["note_type"] for note in everything["_embedded"]["notes"]] == ["call_in", "common"]
    assert len(bridge.sim.notes) == 1, "notes of calls are counted apart"


async def test_the_card_may_stand_in_the_note(bridge):
    [card] = bridge.sim.desk.account.world
    status, _, _ = await bridge.request("POST", "/api/v4/contacts/notes", [NOTE | {"entity_id": card.id}])
    assert status == 200
    assert bridge.sim.texts[0].target.entity_id == card.id


@pytest.mark.parametrize("kind", ["leads", "companies", "customers", "contacts"])
async def test_a_card_that_is_not_there_takes_no_note(bridge, kind):
    status, _, _ = await bridge.request("POST", f"/api/v4/{kind}/5/notes", [NOTE])
    assert status == 404
    assert not bridge.sim.texts


async def test_a_deleted_card_takes_neither_notes_nor_calls(bridge, make_call):
    world = bridge.sim.desk.account.world
    [card] = world
    world.remove(card)
    assert (await bridge.request("POST", f"/api/v4/contacts/{card.id}/notes", [NOTE]))[0] == 404
    assert (await bridge.post(make_call()))[0] == 400


@pytest.mark.parametrize(
    "changes", [{"note_type": "call_in"}, {"params": {}}, {"params": {"text": " "}}, {"params": 3}]
)
async def test_an_invalid_note_fails_all(bridge, changes):
    [card] = bridge.sim.desk.account.world
    status, _, _ = await bridge.request("POST", f"/api/v4/contacts/{card.id}/notes", [NOTE, NOTE | changes])
    assert status == 400
    assert not bridge.sim.texts
