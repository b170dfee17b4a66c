"""Nothing is done that is not written down first, by who may do it and for a reason; and what was done can be read there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from callbridge.amocrm.consent import Application
from callbridge.amocrm.tokens import Granted, TokenPair
from callbridge.call import CallId
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger import keeping
from callbridge.ledger.database import Ledger
from callbridge.ledger.marking import Marking
from callbridge.ledger.queries import Queries
from callbridge.ops.accounts import Authorised, NotAuthorised
from callbridge.ops.actions import (
    Actions,
    Amended,
    Erased,
    Marked,
    NotFit,
    Paused,
    Refused,
    Resumed,
    Revealed,
    SourceTest,
)
from callbridge.ops.doing import Log
from callbridge.ops.letting_in import GOOD_FOR, Consents, Door
from callbridge.ops.who import Role, Who
from callbridge.outcome import PauseReason, State
from callbridge.store.forgetting import RedisForgetting
from callbridge.store.mending import RedisMending
from support.jobs import EVE, Audit, caught_up
from support.store import Bench

ADA = Who("ada", Role.ADMIN, "session", session="s1")
VIC = Who("vic", Role.VIEWER, "session")
HOME = "https://example.amocrm.ru"


class Vault:
    pair: TokenPair | None = None

    async def load(self) -> TokenPair | None:
        return self.pair

    async def save(self, pair: TokenPair) -> bool:
        self.pair = pair
        return True


class Endpoint:
    async def exchange(self, url: str, code: str) -> Granted:
        return Granted("access", "refresh", 86_400.0)


async def permit() -> None:
    return


DOOR = Door(HOME, Application("id", "secret", "https://console.example.com/oauth"), Endpoint(), Vault(), permit)


@pytest.fixture
def clock() -> list[float]:
    return [time.time()]


@pytest.fixture
def actions(bench: Bench, ledger: Ledger, audit: Audit, clock: list[float]) -> Actions:
    async def wipe(phone: str) -> Sequence[str]:
        return await keeping.erase(ledger, phone, time.time(), RedisForgetting(bench.scripts))

    async def tester(source: str) -> SourceTest:
        return SourceTest(source == "office", (("sent", "401"),), None if source == "office" else "refused")

    return Actions(
        rows=Queries(ledger),
        records=bench.records,
        queue=bench.queue,
        pauses=bench.tally,
        mending=RedisMending(bench.scripts),
        marks=Marking(ledger),
        log=Log(audit),
        consents=Consents(lambda: clock[0]),
        accounts=("main", "token"),
        sources=("office", "lab"),
        door=lambda account: DOOR if account == "main" else None,
        wipe=wipe,
        tester=tester,
        now=lambda: clock[0],
    )


async def a_dead_call(bench: Bench, ledger: Ledger, reason: str = "untranslatable") -> CallId:
    [call_id] = await bench.bring_to(State.DEAD, 1, reason=reason)
    await caught_up(ledger, bench.scripts)
    return call_id


# --- accounts --------------------------------------------------------------------------------------------------------


async def test_a_pause_and_its_end_are_told_with_what_was_before(actions: Actions, bench: Bench, audit: Audit) -> None:
    done = await actions.pause_account(ADA, "main", "their  maintenance", 600)
    assert isinstance(done, Paused) and done.until
    pause = await bench.tally.pause_of("main")
    assert pause and (pause.reason, pause.owner, pause.detail) == (PauseReason.MANUAL, "ada", "their maintenance")
    resumed = await actions.resume_account(ADA, "main")
    assert isinstance(resumed, Resumed) and resumed.lasted is not None
    assert await bench.tally.pause_of("main") is None
    assert audit.actions == ["account.paused", "account.resumed"]
    assert audit.entries[0][2]["reason"] == "their  maintenance"
    assert audit.entries[0][2]["outcome"]["before"] is None
    assert audit.entries[1][2]["outcome"]["before"]["owner"] == "ada"


@pytest.mark.parametrize("who", [VIC, EVE])
async def test_an_account_is_an_admins_matter(actions: Actions, audit: Audit, bench: Bench, who: Who) -> None:
    assert await actions.pause_account(who, "main", "why") == Refused("forbidden", "that needs the role admin")
    for answer in (await actions.resume_account(who, "main"), await actions.begin_authorising(who, "main")):
        assert isinstance(answer, Refused) and answer.code == "forbidden"
    assert not audit.entries and await bench.tally.pause_of("main") is None


@pytest.mark.parametrize(
    ("account", "reason", "seconds", "code"),
    [
        ("other", "why", None, "no_such_account"),
        ("main", " ", None, "no_reason"),
        ("main", "x" * 501, None, "no_reason"),
        ("main", "why", 0.0, "bad_pause"),
        ("main", "why", 1e12, "bad_pause"),
        ("main", "why", float("nan"), "bad_pause"),
    ],
)
async def test_a_pause_that_makes_no_sense_is_refused(
    actions: Actions, audit: Audit, account: str, reason: str, seconds: float | None, code: str
) -> None:
    found = await actions.pause_account(ADA, account, reason, seconds)
    assert isinstance(found, Refused) and found.code == code and not audit.entries


async def test_what_cannot_be_written_down_is_not_done(actions: Actions, bench: Bench, audit: Audit) -> None:
    audit.away = LedgerUnavailable("locked")
    with pytest.raises(LedgerUnavailable):
        await actions.pause_account(ADA, "main", "why")
    assert await bench.tally.pause_of("main") is None


async def test_what_was_written_down_and_did_not_come_to_pass_is_told(actions: Actions, audit: Audit) -> None:
    class Away:
        async def hold(self, *_: Any) -> bool:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await replace(actions, queue=Away()).pause_account(ADA, "main", "why")  # type: ignore[arg-type] # half of a fake
    assert audit.actions == ["account.paused", "account.paused.failed"]
    assert audit.entries[1][2]["outcome"] == {"entry": 1, "problem": "away"}


# --- letting us in ---------------------------------------------------------------------------------------------------


async def brought_back(actions: Actions, who: Who = ADA) -> dict[str, str]:
    page = await actions.begin_authorising(who, "main")
    assert isinstance(page, str)
    state = parse_qs(urlsplit(page).query)["state"][0]
    return {"code": "def502", "state": state, "referer": "example.amocrm.ru", "client_id": "id"}


async def test_an_account_is_let_in_once_by_the_one_who_began(actions: Actions, audit: Audit, bench: Bench) -> None:
    query = await brought_back(actions)
    assert isinstance(await actions.finish_authorising(ADA, query), Authorised)
    again = await actions.finish_authorising(ADA, query)
    assert isinstance(again, Refused) and again.code == "not_begun"
    assert audit.actions == ["account.authorising", "account.authorised"]
    assert "def502" not in repr(audit.entries)


async def test_nobody_finishes_what_another_began_or_too_late_or_with_another_account(
    actions: Actions, clock: list[float]
) -> None:
    query = await brought_back(actions)
    other = await actions.finish_authorising(replace(ADA, session="s2"), query)
    assert isinstance(other, Refused) and other.code == "not_begun"
    query = await brought_back(actions)
    clock[0] += GOOD_FOR
    late = await actions.finish_authorising(ADA, query)
    assert isinstance(late, Refused) and late.code == "not_begun"
    elsewhere = await brought_back(actions) | {"referer": "other.amocrm.ru"}
    assert isinstance(await actions.finish_authorising(ADA, elsewhere), NotAuthorised)
    assert isinstance(await actions.finish_authorising(ADA, {}), Refused)


async def test_a_long_lived_token_is_set_in_the_settings(actions: Actions) -> None:
    found = await actions.begin_authorising(ADA, "token")
    assert isinstance(found, Refused) and found.code == "no_oauth"


# --- calls -----------------------------------------------------------------------------------------------------------


async def test_a_number_is_shown_to_who_may_see_it_and_that_is_written_down(
    actions: Actions, bench: Bench, ledger: Ledger, audit: Audit
) -> None:
    call_id = await a_dead_call(bench, ledger)
    assert await actions.reveal(VIC, call_id) is None and await actions.reveal(EVE, "nobody") is None
    assert not audit.entries
    assert await actions.reveal(EVE, call_id) == Revealed("+7 916 555-01-17", None, None)
    assert audit.entries == [("eve", "call.revealed", {"call": call_id, "reason": None, "outcome": None}, None)]
    [fresh] = await bench.store(1, ref="fresh-")  # the ledger has not heard of it
    assert await actions.reveal(EVE, fresh) == Revealed("+7 916 555-01-17", None, None)
    audit.away = LedgerUnavailable("locked")
    with pytest.raises(LedgerUnavailable):
        await actions.reveal(EVE, call_id)


async def test_a_corrected_call_is_sent_and_what_the_pbx_told_is_kept(
    actions: Actions, bench: Bench, ledger: Ledger, audit: Audit
) -> None:
    call_id = await a_dead_call(bench, ledger)
    seen = (await bench.get(call_id)).updated_at
    changes = {"phone": "+7 916 555-01-99", "duration": "42", "direction": "inbound"}
    assert await actions.edit_and_replay(EVE, call_id, changes, seen, "a typo") == Amended(("phone",), None)
    record = await bench.get(call_id)
    assert record.state in {"queued", "retrying"}
    assert record.call and record.call.phone == "+7 916 555-01-99"
    assert audit.actions == ["call.edited"]
    assert audit.entries[0][2]["outcome"]["fields"] == ["phone"]
    assert "5550199" not in repr(audit.entries).replace(" ", "").replace("-", "")
    again = await actions.edit_and_replay(EVE, call_id, changes, seen, "a typo")
    assert isinstance(again, Refused) and again.code == "not_dead"


@pytest.mark.parametrize(
    ("changes", "later", "code"),
    [({"phone": "+7 916 555-01-99"}, 1.0, "changed"), ({"duration": "42"}, 0.0, "nothing_changed")],
)
async def test_an_edit_of_what_is_not_there_any_more_changes_nothing(
    actions: Actions, bench: Bench, ledger: Ledger, audit: Audit, changes: dict[str, str], later: float, code: str
) -> None:
    call_id = await a_dead_call(bench, ledger)
    seen = (await bench.get(call_id)).updated_at + later
    found = await actions.edit_and_replay(EVE, call_id, changes, seen, "why")
    assert isinstance(found, Refused) and found.code == code
    assert (await bench.get(call_id)).state == "dead" and not audit.entries


async def test_an_edit_that_does_not_fit_says_which_fields(actions: Actions, bench: Bench, ledger: Ledger) -> None:
    call_id = await a_dead_call(bench, ledger)
    seen = (await bench.get(call_id)).updated_at
    found = await actions.edit_and_replay(EVE, call_id, {"duration": "long", "status": "?"}, seen, "why")
    assert isinstance(found, NotFit) and [problem.field for problem in found.problems] == ["duration", "status"]


@pytest.mark.parametrize("reason", ["unknown_outcome"])
async def test_a_call_that_may_be_in_the_crm_is_not_corrected(
    actions: Actions, bench: Bench, ledger: Ledger, reason: str
) -> None:
    call_id = await a_dead_call(bench, ledger, reason)
    seen = (await bench.get(call_id)).updated_at
    found = await actions.edit_and_replay(EVE, call_id, {"duration": "1"}, seen, "why")
    assert isinstance(found, Refused) and found.code == "unknown_outcome"


async def test_a_group_is_marked_and_the_mark_before_is_told(actions: Actions, ledger: Ledger, audit: Audit) -> None:
    assert await actions.mark_group(EVE, "main", "expired", "abc", "acknowledged") == Marked("open", "acknowledged")
    done = await actions.mark_group(EVE, "main", "expired", "abc", "fixed", "new  key")
    assert done == Marked("acknowledged", "fixed")
    assert await Marking(ledger).status("main", "expired", "abc") == ("fixed", "new key")
    assert audit.entries[1][2]["outcome"] == {
        "before": {"status": "acknowledged", "note": None}, "after": {"status": "fixed", "note": "new key"},
    }  # fmt: skip
    refused = await actions.mark_group(VIC, "main", "expired", "abc", "open")
    assert isinstance(refused, Refused) and len(audit.entries) == 2


async def test_a_number_is_erased_everywhere_and_stays_in_no_audit(
    actions: Actions, bench: Bench, ledger: Ledger, audit: Audit
) -> None:
    call_id = await a_dead_call(bench, ledger)
    assert isinstance(await actions.erase(EVE, "+7 916 555-01-17", "asked for"), Refused)
    assert await actions.erase(ADA, "8 (916) 555 01 17", "asked for") == Erased(1)
    assert (await bench.get(call_id)).state == "erased"
    found = await Queries(ledger).call(call_id)
    assert found and (found.row.state, found.row.phone) == ("erased", None)
    assert audit.actions == ["number.erasing", "number.erased"] and audit.entries[1][3] == 1
    assert "5550117" not in repr(audit.entries).replace(" ", "")
    nothing = await actions.erase(ADA, "nobody", "asked for")
    assert isinstance(nothing, Refused) and nothing.code == "bad_number"


async def test_a_source_is_tried_and_what_came_of_it_is_told(actions: Actions, audit: Audit) -> None:
    found = await actions.test_source(EVE, "office")
    assert isinstance(found, SourceTest) and found.ok
    found = await actions.test_source(EVE, "lab")
    assert isinstance(found, SourceTest) and found.problem == "refused"
    assert audit.actions == ["source.tested", "source.tested", "source.tested.failed"]
    unknown = await actions.test_source(EVE, "other")
    assert isinstance(unknown, Refused) and unknown.code == "no_such_source"
