"""What a fault makes the simulator say: refusals at the door, failed checks, twisted results."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

KNOWN, STRANGER = "+79005550101", "+79005550199"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("variant", ["before", "after", "half"])
async def test_a_server_error_is_json_for_500_and_the_proxys_page_else(bridge, make_call, status, variant):
    bridge.sim.arm(f"{status}-{variant}")
    answered, headers, body = await bridge.post(make_call("u-1"), make_call("u-2"))
    assert answered == status
    if status == 500:
        assert body["trace_id"]
    else:
        assert headers["Content-Type"] == "text/html"
        assert str(status).encode() in body


async def test_the_shapes_of_429(bridge, make_call):
    async def with_fault(written):
        bridge.sim.arm(f"{written}*1")
        status, headers, body = await bridge.post(make_call())
        assert status == 429
        return headers, body

    headers, body = await with_fault("429")
    assert (headers["Content-Type"], "Retry-After" in headers) == ("text/html", False)
    assert b"<html>" in body
    headers, body = await with_fault("429-json")
    assert (headers["Content-Type"], body["retry_after"]) == ("application/problem+json", 300)
    _, body = await with_fault("429-json-after=7")
    assert body["retry_after"] == 7
    headers, _ = await with_fault("429-retry-after=3")
    assert headers["Retry-After"] == "3"
    headers, _ = await with_fault("429-http-date=60")
    assert parsedate_to_datetime(headers["Retry-After"]).timestamp() == bridge.clock.now + 60
    headers, _ = await with_fault("429-malformed")
    with pytest.raises(ValueError):
        float(headers["Retry-After"])
    with pytest.raises(ValueError):
        parsedate_to_datetime(headers["Retry-After"])


async def test_account_states_at_the_door(bridge, make_call):
    for name, kind in (("401", "json"), ("402", "json"), ("403", "json"), ("404", "json"), ("ban", "html")):
        bridge.sim.arm(name)
        status, headers, _ = await bridge.post(make_call())
        assert (status, kind in headers["Content-Type"]) == (403 if name == "ban" else int(name), True)
        read, _, _ = await bridge.get("/api/v4/account")
        assert read == (200 if name == "402" else status), "402 stops writes only"
        bridge.sim.disarm(name)


async def test_a_ban_with_a_time_ends_by_itself(bridge, make_call):
    bridge.sim.arm("ban", "30s")
    assert (await bridge.post(make_call()))[0] == 403
    bridge.clock.now += 29
    assert (await bridge.get("/api/v4/account"))[0] == 403
    bridge.clock.now += 2
    assert (await bridge.post(make_call()))[0] == 200


async def test_504_over_asks_for_smaller_batches(bridge, make_call):
    bridge.sim.arm("504-over", 2)
    assert (await bridge.post(*[make_call(f"u-{n}") for n in range(3)]))[0] == 504
    assert not bridge.sim.notes
    assert (await bridge.post(*[make_call(f"u-{n}") for n in range(2)]))[0] == 200


async def test_a_redirect_carries_its_place(bridge, make_call):
    bridge.sim.arm("redirect", "https://elsewhere.example.com/x")
    status, headers, _ = await bridge.post(make_call())
    assert (status, headers["Location"]) == (302, "https://elsewhere.example.com/x")


async def test_poison_is_named_by_number_or_uniq_and_stores_nothing(bridge, make_call):
    fine, by_number, by_uniq = make_call("a"), make_call("b", "8 900 555-01-77"), make_call("has-poison-in-it")
    bridge.sim.arm("validation", "0177")
    status, _, body = await bridge.post(fine, by_number, by_uniq)
    assert (status, [each["request_id"] for each in body["validation-errors"]]) == (400, ["b"])
    bridge.sim.arm("validation", "poison")
    _, _, body = await bridge.post(fine, by_number, by_uniq)
    assert [each["request_id"] for each in body["validation-errors"]] == ["has-poison-in-it"]
    assert not bridge.sim.notes
    assert (await bridge.post(fine))[0] == 200, "without the poison the rest passes"


async def test_unnamed_poison_fails_only_the_batches_that_hold_it(bridge, make_call):
    bridge.sim.arm("validation-unnamed", "bad")
    status, _, body = await bridge.post(make_call("good"), make_call("bad"))
    assert status == 400
    assert body["validation-errors"]
    assert all("request_id" not in each for each in body["validation-errors"])
    assert (await bridge.post(make_call("good")))[0] == 200


async def test_an_empty_list_of_culprits(bridge, make_call):
    bridge.sim.arm("validation-empty", "bad")
    status, _, body = await bridge.post(make_call("good"), make_call("bad"))
    assert (status, body["validation-errors"]) == (400, [])
    assert (await bridge.post(make_call("good")))[0] == 200
    bridge.sim.arm("validation-empty")
    assert (await bridge.post(make_call("good")))[0] == 400


async def test_omitted_calls_are_stored_but_in_neither_list(bridge, make_call):
    bridge.sim.arm("omit", 2)
    status, _, body = await bridge.post(*[make_call(f"u-{n}") for n in range(3)])
    assert status == 200
    assert [each["request_id"] for each in body["_embedded"]["calls"]] == ["u-2"]
    assert body["errors"] == []
    assert len(bridge.sim.notes) == 3


async def test_shuffled_calls_are_the_same_calls_in_another_order(bridge, make_call):
    bridge.sim.arm("shuffle")
    sent = [f"u-{n}" for n in range(50)]
    _, _, body = await bridge.post(*map(make_call, sent))
    told = [each["request_id"] for each in body["_embedded"]["calls"]]
    assert told != sent
    assert sorted(told) == sorted(sent)
    by_id = {note.id: note.uniq for note in bridge.sim.notes}
    assert all(by_id[each["id"]] == each["request_id"] for each in body["_embedded"]["calls"])


async def test_both_lists_holds_a_stored_call_twice(bridge, make_call):
    bridge.sim.arm("both-lists")
    _, _, body = await bridge.post(make_call("u-1"), make_call("u-2"))
    assert [each["request_id"] for each in body["_embedded"]["calls"]] == ["u-1", "u-2"]
    assert [each["request_id"] for each in body["errors"]] == ["u-1"]


async def test_request_ids_of_digits_become_numbers(bridge, make_call):
    bridge.sim.arm("int-request-ids")
    _, _, body = await bridge.post(
        make_call(request_id="17"), make_call(request_id="x"), make_call(request_id="ABSENT")
    )
    assert [each["request_id"] for each in body["_embedded"]["calls"]] == [17, "x", 2]


async def test_an_unknown_error_code_refuses_the_first_call(bridge, make_call):
    bridge.sim.arm("unknown-error", 777)
    status, _, body = await bridge.post(make_call("u-1"), make_call("u-2"))
    assert status == 200
    assert [(each["request_id"], each["status"]) for each in body["errors"]] == [("u-1", 777)]
    assert [note.uniq for note in bridge.sim.notes] == ["u-2"]


async def test_errors_can_be_null_or_missing(bridge, make_call):
    bridge.sim.arm("errors-null")
    assert (await bridge.post(make_call()))[2]["errors"] is None
    bridge.sim.disarm()
    bridge.sim.arm("errors-missing")
    assert "errors" not in (await bridge.post(make_call()))[2]


async def test_nothing_matched_can_be_200(bridge, make_call):
    bridge.sim.arm("all-unmatched-200")
    status, _, body = await bridge.post(make_call(phone=STRANGER))
    assert (status, body["_embedded"]["calls"], len(body["errors"])) == (200, [], 1)


async def test_dedup_gives_the_old_note(bridge, make_call):
    bridge.sim.arm("dedup")
    ids = {(await bridge.post(make_call("u-1")))[2]["_embedded"]["calls"][0]["id"] for _ in range(2)}
    assert len(ids) == len(bridge.sim.notes) == 1


async def test_localised_changes_texts_and_nothing_else(bridge, make_call):
    async def answers():
        return [await bridge.post(make_call(phone=STRANGER)), await bridge.post(make_call(), token="")]

    plain = await answers()
    bridge.sim.arm("localised")
    localised = await answers()
    assert [each[0] for each in plain] == [each[0] for each in localised]
    assert plain[0][2]["errors"][0]["status"] == localised[0][2]["errors"][0]["status"]
    assert plain[0][2]["errors"][0]["detail"] != localised[0][2]["errors"][0]["detail"]
    assert plain[1][2]["detail"] != localised[1][2]["detail"]


async def test_extra_fields_stand_beside_the_known_ones(bridge, make_call):
    _, _, plain = await bridge.post(make_call())
    bridge.sim.arm("extra-fields")
    _, _, extended = await bridge.post(make_call())
    assert extended.keys() > plain.keys()
    assert extended["_embedded"]["calls"][0].keys() > plain["_embedded"]["calls"][0].keys()


async def test_a_batch_whose_stored_calls_are_all_omitted_is_still_200(bridge, make_call):
    bridge.sim.arm("omit", 5)
    status, _, body = await bridge.post(make_call("u-1"))
    assert (status, body["_total_items"], body["_embedded"]["calls"], body["errors"]) == (200, 0, [], [])
