"""Notes, contacts, account and incoming leads of the simulator over HTTP."""

from __future__ import annotations

import pytest

KNOWN, STRANGER = "+79005550101", "+79005550199"


async def test_a_call_is_read_back_as_a_note_with_its_uniq(bridge, make_call):
    call = make_call(
        "u-1", direction="outbound", created_at=1_700_000_000, call_status=4, link="https://x.example.com/1"
    )
    await bridge.post(call)
    (made,) = bridge.sim.notes
    status, headers, body = await bridge.get("/api/v4/contacts/notes")
    (note,) = body["_embedded"]["notes"]
    assert (status, headers["Content-Type"]) == (200, "application/hal+json")
    assert (note["id"], note["entity_id"], note["note_type"]) == (made.id, made.target.entity_id, "call_out")
    assert (note["created_at"], note["updated_at"]) == (1_700_000_000, int(bridge.clock.now))
    assert note["params"] == {
        "uniq": "u-1",
        "duration": 41,
        "source": "office",
        "phone": KNOWN,
        "call_status": 4,
        "link": "https://x.example.com/1",
    }
    _, _, own = await bridge.get(f"/api/v4/contacts/{made.target.entity_id}/notes")
    assert own["_embedded"]["notes"] == [note]


@pytest.mark.parametrize("kind", ["contacts", "companies", "leads", "customers"])
async def test_notes_lie_under_the_kind_of_their_entity_and_elsewhere_it_is_204(bridge, make_call, kind):
    bridge.sim.add_contact("+79005550102", kind="company")
    bridge.sim.add_contact("+79005550103", leads=1)
    bridge.sim.add_contact("+79005550104", customers=1)
    phones = dict(zip(["contacts", "companies", "leads", "customers"], range(101, 105), strict=True))
    await bridge.post(make_call("mine", f"+79005550{phones[kind]}"))
    for each in phones:
        status, _, body = await bridge.get(f"/api/v4/{each}/notes")
        assert (status, body == b"") == ((200, False) if each == kind else (204, True))


async def test_notes_are_filtered_by_type_and_by_time(bridge, make_call):
    start = int(bridge.clock.now)
    for second, direction in enumerate(("inbound", "outbound", "inbound")):
        bridge.clock.now = start + second * 10
        await bridge.post(make_call(f"u-{second}", direction=direction))

    async def uniqs(query):
        status, _, body = await bridge.get(f"/api/v4/contacts/notes?{query}")
        return [note["params"]["uniq"] for note in body["_embedded"]["notes"]] if status == 200 else status

    assert await uniqs("filter[note_type][]=call_in") == ["u-0", "u-2"]
    assert await uniqs("filter[note_type]=call_out") == ["u-1"]
    assert await uniqs("filter[note_type][]=call_in&filter[note_type][]=call_out") == ["u-0", "u-1", "u-2"]
    assert await uniqs("filter[note_type][]=common") == 204
    assert await uniqs(f"filter[updated_at][from]={start + 10}") == ["u-1", "u-2"]
    assert await uniqs(f"filter[updated_at][to]={start + 10}") == ["u-0", "u-1"]
    assert await uniqs(f"filter[updated_at][from]={start + 1}&filter[updated_at][to]={start + 19}") == ["u-1"]
    assert await uniqs("order[updated_at]=desc") == ["u-2", "u-1", "u-0"]


async def test_pages_follow_their_next_links_to_the_end(bridge, make_call):
    await bridge.post(*[make_call(f"u-{n}") for n in range(7)])
    path, pages = "/api/v4/contacts/notes?filter[note_type][]=call_in&limit=3", []
    while path:
        _, _, body = await bridge.get(path)
        pages.append([note["params"]["uniq"] for note in body["_embedded"]["notes"]])
        assert body["_page"] == len(pages)
        path = body["_links"].get("next", {}).get("href", "").removeprefix(bridge.sim.url)
    assert pages == [["u-0", "u-1", "u-2"], ["u-3", "u-4", "u-5"], ["u-6"]]
    assert (await bridge.get("/api/v4/contacts/notes?limit=3&page=4"))[0] == 204
    assert (await bridge.get("/api/v4/contacts/notes?limit=7&page=1"))[2]["_links"].keys() == {"self"}


async def test_a_page_is_at_most_250(bridge, make_call):
    await bridge.post(make_call())
    assert (await bridge.get("/api/v4/contacts/notes?limit=250"))[0] == 200
    assert (await bridge.get("/api/v4/contacts/notes?limit=251"))[0] == 422


async def test_the_account_tells_what_a_bridge_asks_for(start):
    bridge = await start(customers_mode="disabled", unsorted_on=False, subdomain="acme")
    status, _, body = await bridge.get("/api/v4/account?with=version")
    assert status == 200
    told = (body["id"], body["subdomain"], body["customers_mode"], body["is_unsorted_on"])
    assert told == (bridge.sim.config.account_id, "acme", "disabled", False)


async def test_contacts_are_searched_in_all_their_text(bridge):
    bridge.sim.add_contact("+7 (900) 555-01-02", name="Anna")
    status, _, body = await bridge.get("/api/v4/contacts?query=9005550102")
    (found,) = body["_embedded"]["contacts"]
    assert (status, found["name"]) == (200, "Anna")
    assert found["custom_fields_values"][0]["values"][0]["value"] == "+7 (900) 555-01-02"
    assert (await bridge.get("/api/v4/contacts?query=nobody"))[0] == 204
    assert len((await bridge.get("/api/v4/contacts?query=90055501"))[2]["_embedded"]["contacts"]) == 2


async def test_a_created_contact_takes_calls_and_is_created_again_each_time(bridge, make_call):
    fields = [{"field_code": "PHONE", "values": [{"value": STRANGER, "enum_code": "WORK"}]}]
    ids = []
    for _ in range(2):
        status, _, body = await bridge.request(
            "POST", "/api/v4/contacts", [{"name": "New", "custom_fields_values": fields, "request_id": "r"}]
        )
        assert (status, body["_embedded"]["contacts"][0]["request_id"]) == (200, "r")
        ids.append(body["_embedded"]["contacts"][0]["id"])
    assert ids[0] != ids[1]
    _, _, body = await bridge.post(make_call(phone=STRANGER))
    assert body["_embedded"]["calls"][0]["entity_id"] == min(ids)


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"[]", 400), (b"[1]", 400), (b"{}", 400), (b"[{}]", 200)])
async def test_contacts_from_hostile_bodies(bridge, body, status):
    assert (await bridge.request("POST", "/api/v4/contacts", body))[0] == status


async def test_an_incoming_lead_brings_contact_lead_and_note(bridge, make_call):
    item = {
        "request_id": "r-1",
        "source_uid": "bridge",
        "source_name": "Bridge",
        "metadata": {"phone": STRANGER, "uniq": "u-9", "duration": 0, "is_call_event_needed": True},
    }
    status, _, body = await bridge.request("POST", "/api/v4/leads/unsorted/sip", [item])
    (accepted,) = body["_embedded"]["unsorted"]
    assert (status, accepted["request_id"]) == (200, "r-1")
    (note,) = bridge.sim.notes
    assert (note.uniq, note.target.entity_type) == ("u-9", "lead")
    assert note.target.entity_id == accepted["_embedded"]["leads"][0]["id"]
    _, _, listed = await bridge.get("/api/v4/leads/notes")
    assert listed["_embedded"]["notes"][0]["params"]["uniq"] == "u-9"
    item["metadata"] = {"phone": STRANGER, "is_call_event_needed": False}
    await bridge.request("POST", "/api/v4/leads/unsorted/sip", [item])
    assert len(bridge.sim.notes) == 1
    del item["source_uid"]
    assert (await bridge.request("POST", "/api/v4/leads/unsorted/sip", [item]))[0] == 400


async def test_a_reads_fault_does_not_change_what_is_read(bridge, make_call):
    await bridge.post(make_call())
    bridge.sim.arm("truncate-json@reads=1")
    assert isinstance((await bridge.get("/api/v4/contacts/notes"))[2], bytes)
    assert (await bridge.get("/api/v4/contacts/notes"))[2]["_embedded"]["notes"]
