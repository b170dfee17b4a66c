"""The users of the simulated account."""

from __future__ import annotations

from callbridge.sim.staff import STAFF
from callbridge.sim.traffic import EXTENSIONS


async def test_users_are_listed_with_totals_and_rights(bridge):
    status, headers, body = await bridge.get("/api/v4/users?limit=250")
    assert (status, headers["Content-Type"]) == (200, "application/hal+json")
    assert (body["_total_items"], body["_page"], body["_page_count"]) == (len(STAFF), 1, 1)
    users = body["_embedded"]["users"]
    assert [user["id"] for user in users] == [employee.id for employee in STAFF]
    assert [user["rights"]["is_admin"] for user in users].count(True) == 1
    assert [user["rights"]["is_active"] for user in users].count(False) == 1
    assert users[0]["_links"]["self"]["href"] == f"{bridge.sim.url}/api/v4/users/{users[0]['id']}"
    assert "next" not in body["_links"]


async def test_pages_lead_from_one_to_the_next_and_end_with_204(bridge):
    seen, path = [], "/api/v4/users?limit=4"
    while path:
        status, _, body = await bridge.get(path)
        assert (status, body["_page_count"]) == (200, 2)
        seen += [user["id"] for user in body["_embedded"]["users"]]
        following = body["_links"].get("next")
        path = following["href"].removeprefix(bridge.sim.url) if following else None
    assert seen == [employee.id for employee in STAFF]
    assert (await bridge.get("/api/v4/users?limit=4&page=3"))[0] == 204
    assert (await bridge.get("/api/v4/users?limit=251"))[0] == 422


async def test_who_is_no_administrator_is_not_told_who_works_here(start):
    bridge = await start(plain_tokens=("a-plain-token",))
    status, headers, body = await bridge.get("/api/v4/users", token="a-plain-token")
    assert (status, headers["Content-Type"], body["status"]) == (403, "application/problem+json", 403)
    assert (await bridge.get("/api/v4/account", token="a-plain-token"))[0] == 200
    assert (await bridge.get("/api/v4/users"))[0] == 200


async def test_users_are_only_read(bridge):
    assert (await bridge.request("POST", "/api/v4/users", [{"name": "x"}]))[0] == 405


def test_people_would_know_most_extensions_of_the_traffic_by_the_staff():
    known = " ".join(f"{employee.name} {employee.email}" for employee in STAFF if employee.active)
    assert [extension for extension in EXTENSIONS if extension not in known] == ["110"]
