"""The simulator's OAuth: what is granted, to whom, for how long, and what is said to everybody else."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

APP = {"client_id": "office", "client_secret": "s3cret", "redirect_uri": "https://bridge.example.com/oauth"}
DAY = 86_400


@pytest.fixture
async def bridge(start):
    return await start(**APP)


async def token(bridge: Any, grant: str, value: str, **changes: str) -> tuple[int, Any]:
    name = "code" if grant == "authorization_code" else grant
    status, _, body = await bridge.request(
        "POST", "/oauth2/access_token", {**APP, "grant_type": grant, name: value} | changes, token=""
    )
    return status, body


async def granted(bridge: Any) -> Any:
    status, body = await token(bridge, "authorization_code", bridge.sim.consent())
    assert status == 200
    return body


async def test_a_code_gives_a_pair_that_opens_the_api_for_a_day(bridge):
    pair = await granted(bridge)
    assert (pair["token_type"], pair["expires_in"], pair["server_time"]) == ("Bearer", DAY, int(bridge.clock.now))
    assert (await bridge.get("/api/v4/account", token=pair["access_token"]))[0] == 200
    bridge.clock.now += DAY
    assert (await bridge.get("/api/v4/account", token=pair["access_token"]))[0] == 401


async def test_only_tokens_that_were_issued_open_the_api(bridge):
    assert (await bridge.get("/api/v4/account"))[0] == 401


async def test_a_code_is_good_once_and_for_twenty_minutes(bridge):
    code = bridge.sim.consent()
    assert (await token(bridge, "authorization_code", code))[0] == 200
    assert (await token(bridge, "authorization_code", code))[0] == 400
    code = bridge.sim.consent()
    bridge.clock.now += 1_201
    assert (await token(bridge, "authorization_code", code))[0] == 400


async def test_strict_the_old_refresh_token_is_dead_at_once(bridge):
    pair = await granted(bridge)
    assert (await token(bridge, "refresh_token", pair["refresh_token"]))[0] == 200
    status, body = await token(bridge, "refresh_token", pair["refresh_token"])
    assert (status, body["hint"]) == (401, "Token has been revoked")


async def test_grace_the_old_refresh_token_is_good_until_the_new_pair_is_used(start):
    bridge = await start(**APP, grace_refresh=True)
    pair = await granted(bridge)
    _, lost = await token(bridge, "refresh_token", pair["refresh_token"])
    status, newer = await token(bridge, "refresh_token", pair["refresh_token"])
    assert status == 200
    assert newer["access_token"] != lost["access_token"]
    await bridge.get("/api/v4/account", token=newer["access_token"])
    assert (await token(bridge, "refresh_token", pair["refresh_token"]))[0] == 401


async def test_a_refresh_token_lives_three_months(bridge):
    pair = await granted(bridge)
    bridge.clock.now += 91 * DAY
    status, body = await token(bridge, "refresh_token", pair["refresh_token"])
    assert (status, body["hint"]) == (401, "Refresh token has expired")


@pytest.mark.parametrize("name", sorted(APP))
async def test_the_integration_has_to_be_the_registered_one(bridge, name):
    status, body = await token(bridge, "authorization_code", bridge.sim.consent(), **{name: "another"})
    assert status == 400
    assert name in body["hint"]


async def test_a_form_is_taken_like_json_and_rubbish_is_refused(bridge):
    asked = {**APP, "grant_type": "authorization_code", "code": bridge.sim.consent()}
    form = "&".join(f"{name}={value}" for name, value in asked.items()).encode()
    assert (await bridge.request("POST", "/oauth2/access_token", form, token=""))[0] == 200
    for rubbish in (b"", b"[]", b"\xff", b'{"grant_type": 5}'):
        assert (await bridge.request("POST", "/oauth2/access_token", rubbish, token=""))[0] == 400
    assert (await bridge.request("GET", "/oauth2/access_token", token=""))[0] == 404


async def test_the_consent_page_sends_the_browser_back_with_code_state_and_account(bridge):
    status, headers, _ = await bridge.get("/oauth?client_id=office&state=abc&mode=popup", token="")
    told = parse_qs(urlsplit(headers["Location"]).query)
    assert status == 302
    assert (told["state"], told["referer"]) == (["abc"], [bridge.sim.url.removeprefix("http://")])
    assert (await token(bridge, "authorization_code", told["code"][0]))[0] == 200
    assert (await bridge.get("/oauth?client_id=another", token=""))[0] == 404


async def test_a_moved_account_tells_its_address_to_its_refresh_token_only(bridge):
    pair = await granted(bridge)
    port = bridge.sim.url.rpartition(":")[2]
    bridge.sim.arm(f"moved=localhost:{port}")
    assert (await token(bridge, "refresh_token", pair["refresh_token"]))[0] == 404
    path = "/oauth2/account/current/subdomain"
    async with bridge.session.get(bridge.sim.url + path, headers={"X-Refresh-Token": pair["refresh_token"]}) as answer:
        assert (await answer.json(content_type=None))["domain"] == f"localhost:{port}"
    assert (await bridge.get(path, token=""))[0] == 401
    async with bridge.session.get(
        f"http://localhost:{port}/api/v4/account", headers={"Authorization": f"Bearer {pair['access_token']}"}
    ) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("fault", ["401", "403", "404", "402"])
async def test_what_the_api_says_of_a_token_the_endpoint_says_only_when_asked_to(bridge, fault):
    bridge.sim.arm(fault)
    await granted(bridge)
    bridge.sim.arm(f"{fault}@tokens")
    assert (await token(bridge, "authorization_code", bridge.sim.consent()))[0] == int(fault)


async def test_a_late_grant_happens_without_an_answer(bridge):
    pair = await granted(bridge)
    bridge.sim.arm("late-commit@tokens=10ms*1")
    asked = {**APP, "grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    with pytest.raises(TimeoutError):
        await bridge.request("POST", "/oauth2/access_token", asked, token="", timeout=aiohttp.ClientTimeout(total=0.3))
    assert (await token(bridge, "refresh_token", pair["refresh_token"]))[0] == 401


async def test_an_integration_has_one_rate_whatever_its_token(start):
    bridge = await start(**APP, rate=3)
    pair = await granted(bridge)
    statuses = [(await token(bridge, "refresh_token", "x"))[0]]
    statuses += [(await bridge.get("/api/v4/account", token=pair["access_token"]))[0] for _ in range(2)]
    assert statuses == [401, 200, 429]
