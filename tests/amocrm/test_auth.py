"""A valid access token for all workers: one refresh at a time, saved before it is used, and never an older pair back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from callbridge.amocrm import auth
from callbridge.amocrm.auth import Bearer
from callbridge.amocrm.client import AmoAccount
from callbridge.amocrm.exchange import Exchange
from callbridge.amocrm.tokens import Access, Granted, NoVerdict, Rejected
from callbridge.call import CallId
from callbridge.errors import AccountSlowed, Misconfigured, StoreUnavailable
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import AccountStopped, NotSent, PauseReason, PerCall, Ready, TokenRefused
from callbridge.sim import oauth
from callbridge.sim.entities import seeded_number
from support.builders import a_call
from support.oauth import DAY, MemoryVault, Rig, rig


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "SAVE_PAUSE", 0.01)
    monkeypatch.setattr(auth, "LOCK_PAUSE", 0.01)


def an_account(place: Rig, bearer: Bearer) -> AmoAccount:
    exchange = Exchange(place.session, request_timeout=1, connect_timeout=1, now=place.clock)
    return AmoAccount("main", bearer, exchange, users={}, now=place.clock)


def a_batch(number: int = 0) -> dict[CallId, Ready]:
    item = (
        f'{{"direction":"inbound","uniq":"u-{number}","duration":5,"source":"office","phone":"{seeded_number(0)}",'
        f'"request_id":"u-{number}"}}'
    )
    return {CallId(f"c-{number}"): Ready(f"u-{number}", item.encode())}


async def access_of(place: Rig, bearer: Bearer) -> Access:
    found = await bearer.current(place.permit)
    assert isinstance(found, Access), found
    return found


# --- in time ---------------------------------------------------------------------------------------------------------


async def test_a_fresh_pair_is_used_without_asking_anybody() -> None:
    async with rig() as place:
        bearer = place.bearer()
        first = await access_of(place, bearer)
        asked = place.kept.asked
        assert await access_of(place, bearer) == first
        assert (place.permits, place.token_requests, place.kept.asked) == (0, 1, asked)


async def test_a_due_pair_is_replaced_once_by_many_workers_at_once() -> None:
    """K2: twenty at a time, in strict mode, where the second refresh would be told revoked."""
    async with rig() as place:
        place.sim.arm("slow@tokens=50ms")
        place.clock.now += DAY
        found = await asyncio.gather(*(access_of(place, place.bearer()) for _ in range(20)))
        assert {access.generation for access in found} == {2}
        assert len({access.token for access in found}) == 1
        assert place.sim.desk.tokens.refreshed == 1
        assert place.sim.desk.tokens.peak == 1
        assert place.permits == 1


async def test_without_the_lock_the_workers_would_refresh_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard matters: the same race, and somebody is told revoked."""

    async def nobody_waits(self: object) -> bool:
        return True

    async with rig() as place:
        monkeypatch.setattr("support.oauth.MemoryVault.lock", nobody_waits)
        place.sim.arm("slow@tokens=50ms")
        place.clock.now += DAY
        found = await asyncio.gather(*(place.bearer().current(place.permit) for _ in range(5)))
        assert place.sim.desk.tokens.peak > 1
        assert any(isinstance(each, AccountStopped) for each in found)


async def test_while_another_worker_refreshes_a_token_that_is_still_good_is_used() -> None:
    async with rig() as place:
        place.kept.holder = "somebody"
        place.clock.now += 0.9 * DAY
        assert (await access_of(place, place.bearer())).generation == 1


async def test_a_dead_token_waits_for_the_other_worker_and_then_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "PATIENCE", 0.05)
    async with rig() as place:
        place.kept.holder = "somebody"
        place.clock.now += DAY
        with pytest.raises(StoreUnavailable):
            await place.bearer().current(place.permit)
        assert place.token_requests == 1


async def test_a_cancelled_caller_does_not_take_the_refresh_with_it() -> None:
    async with rig() as place:
        place.sim.arm("slow@tokens=100ms")
        place.clock.now += DAY
        bearer = place.bearer()
        caller = asyncio.create_task(bearer.current(place.permit))
        await asyncio.sleep(0.03)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await bearer.close()
        assert place.kept.history == [1, 2]


async def test_a_clock_that_jumped_back_does_not_prolong_a_token() -> None:
    """K8."""
    async with rig() as place:
        bearer = place.bearer()
        await access_of(place, bearer)
        place.clock.now -= 2 * DAY
        assert (await access_of(place, bearer)).generation == 2
        assert (await access_of(place, bearer)).generation == 2
        assert place.token_requests == 2


# --- a request is refused ---------------------------------------------------------------------------------------------


async def test_a_401_in_the_middle_costs_one_refresh_and_the_same_batch_goes_again() -> None:
    """K1: the CRM ended the token though our clock says it is good."""
    async with rig() as place:
        account = an_account(place, place.bearer())
        assert await account.authorise(place.permit) is None
        assert isinstance((await account.post(a_batch(1))).answer, PerCall)
        place.sim.desk.tokens.expire_access()
        assert isinstance((await account.post(a_batch(2))).answer, TokenRefused)
        assert isinstance(
            (await account.post(a_batch(2))).answer, NotSent
        )  # there is nothing in hand until it is replaced
        assert await account.authorise(place.permit) is None
        assert isinstance((await account.post(a_batch(2))).answer, PerCall)
        assert place.sim.desk.tokens.refreshed == 1
        assert [note.uniq for note in place.sim.notes] == ["u-1", "u-2"]


async def test_several_batches_that_met_the_old_token_share_one_refresh() -> None:
    async with rig() as place:
        account = an_account(place, place.bearer())
        await account.authorise(place.permit)
        place.sim.desk.tokens.expire_access()
        answers = await asyncio.gather(*(account.post(a_batch(n)) for n in range(4)))
        assert all(isinstance(posted.answer, TokenRefused) for posted in answers)
        await asyncio.gather(*(account.authorise(place.permit) for _ in range(4)))
        assert place.sim.desk.tokens.refreshed == 1


async def test_another_401_right_after_a_good_refresh_stops_the_account_and_is_no_loop() -> None:
    """K7: the user who had let us in was disabled."""
    async with rig() as place:
        account = an_account(place, place.bearer())
        place.sim.arm("401")
        for _ in range(5):
            await account.authorise(place.permit)
            answer = (await account.post(a_batch())).answer
        assert isinstance(answer, AccountStopped)
        assert answer.reason is PauseReason.REAUTHORISE
        assert place.sim.desk.tokens.refreshed == 1


async def test_after_a_stop_a_new_authorisation_is_found_in_the_store() -> None:
    async with rig() as place:
        account = an_account(place, place.bearer())
        place.sim.arm("401=2")
        for _ in range(2):
            await account.authorise(place.permit)
            await account.post(a_batch())
        newer = await place.authorise()
        place.sim.desk.tokens.expire_access()
        newer = await place.authorise()
        assert await account.authorise(place.permit) is None
        assert isinstance((await account.post(a_batch())).answer, PerCall)
        assert place.kept.pair == newer


async def test_a_token_that_worked_and_ended_again_is_replaced_again() -> None:
    async with rig() as place:
        account = an_account(place, place.bearer())
        for number in range(3):
            place.sim.desk.tokens.expire_access()
            await account.authorise(place.permit)
            answer = (await account.post(a_batch(number))).answer
            if isinstance(answer, TokenRefused):
                await account.authorise(place.permit)
                answer = (await account.post(a_batch(number))).answer
            assert isinstance(answer, PerCall)
        assert place.sim.desk.tokens.refreshed == 3


async def test_a_read_back_replaces_a_refused_token_by_itself_at_the_accounts_pace() -> None:
    async with rig() as place:
        account = an_account(place, place.bearer())
        await account.authorise(place.permit)
        call = a_call(phone=seeded_number(0))
        ready = account.translate(call)
        assert isinstance(ready, Ready)
        await account.post({CallId("c-1"): ready})
        place.sim.desk.tokens.expire_access()
        before = len(place.sim.requests)
        read = await account.read_back([call], 600, place.permit)
        assert isinstance(read, ReadBack)
        assert call.uniq in read.notes
        assert place.permits == len(place.sim.requests) - before


async def test_each_slot_of_a_reading_is_used_at_once_though_the_token_has_to_be_replaced_first() -> None:
    """A slot taken before the refresh would be somebody else's by the time of the request."""
    async with rig() as place:
        account = an_account(place, place.bearer())
        place.clock.now += DAY
        before = len(place.sim.requests)
        heard: list[int] = []

        async def permit() -> None:
            heard.append(len(place.sim.requests) - before)

        await account.read_back([a_call()], 600, permit)
        assert heard == list(range(len(heard)))
        assert len(heard) > 3


async def test_whoever_gets_the_lock_reads_the_store_once_more() -> None:
    """Another worker may have finished between our look and our lock."""

    class JustFinished(MemoryVault):
        async def lock(self) -> bool:
            assert self.kept.pair
            self.kept.pair = replace(
                self.kept.pair, generation=2, issued_at=place.clock(), expires_at=place.clock() + DAY
            )
            return await super().lock()

    async with rig() as place:
        place.clock.now += DAY
        bearer = Bearer("main", place.sim.url, place.endpoint, JustFinished(place.kept), place.clock)
        assert (await access_of(place, bearer)).generation == 2
        assert place.token_requests == 1


async def test_a_read_back_without_any_authorisation_concludes_nothing() -> None:
    async with rig(authorised=False) as place:
        read = await an_account(place, place.bearer()).read_back([a_call()], 600, place.permit)
        assert isinstance(read, Unreadable)


# --- a refresh goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["502-after", "reset-after", "truncate-json", "empty-200"])
async def test_a_lost_answer_costs_nothing_in_grace_mode(fault: str) -> None:
    """K3: the old token is tried once more."""
    async with rig(grace_refresh=True) as place:
        place.clock.now += DAY
        place.sim.arm(f"{fault}@tokens=1")
        assert (await access_of(place, place.bearer())).generation == 2
        assert place.sim.desk.tokens.refreshed == 2


@pytest.mark.parametrize("fault", ["502-after@tokens=1", "reset-after@tokens=1"])
async def test_a_lost_answer_ends_in_a_clear_state_in_strict_mode(fault: str) -> None:
    async with rig() as place:
        place.clock.now += DAY
        place.sim.arm(fault)
        found = await place.bearer().current(place.permit)
        assert isinstance(found, AccountStopped)
        assert found.reason is PauseReason.REAUTHORISE
        assert "revoked" in found.detail
        assert place.sim.desk.tokens.refreshed == 1


@pytest.mark.parametrize("fault", ["503-before@tokens", "ban", "429@tokens", "html-200@tokens", "504-before@tokens"])
async def test_an_outage_or_a_ban_is_no_token_problem(fault: str) -> None:
    """K6: the pair is kept, a token that is only due goes on being used, and a dead one waits without blame."""
    async with rig(grace_refresh=True) as place:
        bearer = place.bearer()
        place.sim.arm(fault)
        place.clock.now += 0.9 * DAY
        assert (await access_of(place, bearer)).generation == 1
        asked = place.token_requests
        assert (await access_of(place, bearer)).generation == 1
        assert place.token_requests == asked  # not with every request
        place.clock.now += DAY
        assert isinstance(await bearer.current(place.permit), NotSent)
        place.sim.disarm()
        assert (await access_of(place, bearer)).generation >= 2


async def test_an_endpoint_that_cannot_be_reached_is_waited_for() -> None:
    async with rig() as place:
        place.clock.now += DAY
        bearer = place.bearer()
        await place.sim.stop()
        assert isinstance(await bearer.current(place.permit), NotSent)


async def test_a_new_pair_is_used_only_once_it_is_saved() -> None:
    """K4."""
    async with rig() as place:
        place.clock.now += DAY
        place.kept.away = 10**6
        bearer = place.bearer()
        caller = asyncio.create_task(bearer.current(place.permit))
        await asyncio.sleep(0.1)
        assert not caller.done()
        assert bearer.in_hand is None
        assert place.sim.desk.tokens.refreshed == 1
        place.kept.away = 0
        found = await caller
        assert isinstance(found, Access)
        assert (found.generation, place.kept.history) == (2, [1, 2])
        assert place.sim.desk.tokens.refreshed == 1


async def test_a_pair_that_nobody_waits_for_any_more_is_saved_before_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "PATIENCE", 0.05)
    async with rig() as place:
        place.clock.now += DAY
        place.kept.away = 10**6
        bearer = place.bearer()
        with pytest.raises(StoreUnavailable):
            await bearer.current(place.permit)
        await bearer.close(patience=0)
        place.kept.away = 0
        assert (await access_of(place, bearer)).generation == 2
        assert place.sim.desk.tokens.refreshed == 1


async def test_a_late_worker_does_not_put_an_older_pair_over_a_newer_one() -> None:
    """K5: stopped in the middle of its refresh, it wakes up after others have gone on."""
    async with rig(grace_refresh=True) as place:
        place.sim.arm("slow@tokens=150ms*1")
        place.clock.now += DAY
        late = asyncio.create_task(place.bearer().current(place.permit))
        await asyncio.sleep(0.05)
        assert place.kept.pair
        newer = replace(place.kept.pair, generation=7, issued_at=place.clock(), expires_at=place.clock() + DAY)
        place.kept.pair = newer
        found = await late
        assert isinstance(found, Access)
        assert (found.generation, place.kept.pair) == (7, newer)


async def test_without_the_compare_the_older_pair_would_win() -> None:
    """The guard matters."""
    async with rig(grace_refresh=True) as place:
        place.kept.guarded = False
        place.sim.arm("slow@tokens=150ms*1")
        place.clock.now += DAY
        late = asyncio.create_task(place.bearer().current(place.permit))
        await asyncio.sleep(0.05)
        assert place.kept.pair
        place.kept.pair = replace(place.kept.pair, generation=7)
        await late
        assert place.kept.pair.generation == 2


async def test_a_lock_that_was_lost_in_between_stops_the_next_request() -> None:
    async with rig() as place:
        place.clock.now += DAY

        async def slow_permit() -> None:
            place.kept.holder = "somebody"

        with pytest.raises(StoreUnavailable):
            await place.bearer().current(slow_permit)
        assert place.token_requests == 1


async def test_a_store_that_forgot_gets_the_pair_again() -> None:
    async with rig() as place:
        bearer = place.bearer()
        place.clock.now += DAY
        await access_of(place, bearer)
        newest = place.kept.pair
        place.kept.pair = None
        place.clock.now += DAY
        assert (await access_of(place, bearer)).generation == 3
        assert newest


@pytest.mark.parametrize("fault", [None, "revoked"])
async def test_what_a_person_has_to_mend_is_said_and_nothing_is_refreshed(fault: str | None) -> None:
    """K7: revoked or uninstalled; never authorised."""
    async with rig(authorised=fault is not None) as place:
        place.clock.now += DAY
        if fault:
            place.sim.desk.tokens.revoke()
        found = await place.bearer().current(place.permit)
        assert isinstance(found, AccountStopped)
        assert found.reason is PauseReason.REAUTHORISE
        assert ("revoked" if fault else "never authorised") in found.detail


async def test_a_refresh_token_that_ended_is_told_by_its_hint() -> None:
    async with rig(refresh_life=30 * DAY) as place:
        place.clock.now += 40 * DAY
        found = await place.bearer().current(place.permit)
        assert isinstance(found, AccountStopped)
        assert "expired" in found.detail


async def test_settings_that_name_another_account_do_not_send_to_the_old_one() -> None:
    async with rig() as place:
        bearer = Bearer("main", "https://other.amocrm.ru", place.endpoint, _vault(place), place.clock)
        found = await bearer.current(place.permit)
        assert isinstance(found, AccountStopped)
        assert "other.amocrm.ru" in found.detail


async def test_a_key_that_does_not_open_the_pair_is_named() -> None:
    async with rig() as place:
        vault = _vault(place)

        async def wrong_key() -> None:
            raise Misconfigured("sealing.key does not open the stored tokens")

        vault.load = wrong_key  # type: ignore[method-assign,assignment] # a vault sealed with another key
        found = await Bearer("main", place.sim.url, place.endpoint, vault, place.clock).current(place.permit)
        assert isinstance(found, AccountStopped)
        assert "sealing.key" in found.detail


async def test_a_moved_account_is_followed_and_its_new_address_is_kept_with_the_pair() -> None:
    """K7: the token endpoint answers 404 at the old host; the subdomain request tells the new one."""
    async with rig() as place:
        port = place.sim.url.rpartition(":")[2]
        place.sim.arm(f"moved=localhost:{port}")
        place.clock.now += DAY
        bearer = place.bearer()
        access = await access_of(place, bearer)
        assert access.url == f"http://localhost:{port}"
        assert place.kept.pair
        assert place.kept.pair.home == place.sim.url
        assert isinstance((await an_account(place, bearer).post(a_batch())).answer, PerCall)
        assert place.permits == 3  # refresh, question, refresh


async def test_an_account_that_moved_while_its_token_is_good_is_followed_too() -> None:
    async with rig() as place:
        account = an_account(place, place.bearer())
        await account.authorise(place.permit)
        place.sim.arm(f"moved=localhost:{place.sim.url.rpartition(':')[2]}")
        assert isinstance((await account.post(a_batch())).answer, TokenRefused)
        assert await account.authorise(place.permit) is None
        assert isinstance((await account.post(a_batch())).answer, PerCall)


async def test_a_host_that_is_nobodys_account_stops_with_that_reason_and_no_loop() -> None:
    async with rig() as place:
        account = an_account(place, place.bearer())
        place.sim.arm("404")
        for _ in range(4):
            await account.authorise(place.permit)
            answer = (await account.post(a_batch())).answer
        assert isinstance(answer, AccountStopped)
        assert answer.reason is PauseReason.WRONG_HOST
        assert place.sim.desk.tokens.refreshed == 1


async def test_a_slowed_account_lends_no_permit_for_a_refresh() -> None:
    async def slowed() -> None:
        raise AccountSlowed(5)

    async with rig() as place:
        bearer = place.bearer()
        place.clock.now += 0.9 * DAY
        assert isinstance(await bearer.current(slowed), Access)
        place.clock.now += DAY
        with pytest.raises(AccountSlowed):
            await bearer.current(slowed)
        assert place.token_requests == 1


# --- the endpoint itself ----------------------------------------------------------------------------------------------


async def test_a_code_is_good_once_and_for_twenty_minutes() -> None:
    async with rig(authorised=False) as place:
        code = place.sim.consent()
        assert isinstance(await place.endpoint.exchange(place.sim.url, code), Granted)
        assert isinstance(await place.endpoint.exchange(place.sim.url, code), Rejected)
        late = place.sim.consent()
        place.clock.now += 1_300
        assert isinstance(await place.endpoint.exchange(place.sim.url, late), Rejected)


@pytest.mark.parametrize("option", ["client_id", "client_secret", "redirect_uri"])
async def test_another_integration_is_refused(option: str) -> None:
    async with rig(authorised=False, **{option: "something else"}) as place:
        answer = await place.endpoint.exchange(place.sim.url, place.sim.consent())
        assert isinstance(answer, Rejected)
        assert option in answer.detail


async def test_a_server_that_quotes_our_secrets_does_not_get_them_into_our_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def quoting(hint: str, status: int) -> object:
        return refused(f"{hint} canary-client-secret canary-refresh", status)

    refused = oauth.refused
    monkeypatch.setattr(oauth, "refused", quoting)
    async with rig(authorised=False) as place:
        answer = await place.endpoint.refresh(place.sim.url, "canary-refresh")
        assert isinstance(answer, Rejected)
        assert "canary" not in answer.detail
        assert "revoked" in answer.detail


async def test_an_endless_answer_is_cut_off() -> None:
    async with rig() as place:
        place.sim.arm("drip@tokens=5s")
        assert isinstance(await place.endpoint.refresh(place.sim.url, "x"), NoVerdict)


def _vault(place: Rig) -> MemoryVault:
    return MemoryVault(place.kept)
