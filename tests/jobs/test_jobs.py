"""A job touches what its preview counted, each call once, whoever else is at it, and goes on after whatever stopped it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from callbridge.call import CallId, Direction
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.database import Ledger
from callbridge.ledger.views import CallFilter
from callbridge.ops import job_runner
from callbridge.ops.jobs import ByFilter, ByIds, Job, JobAction, Jobs, Refusal
from callbridge.ops.who import Role, Who
from callbridge.outcome import State
from callbridge.store.repair import RedisRepair
from support.jobs import DEAD, EVE, Audit, caught_up, dead, ended, jobs_of, started, times_replayed
from support.store import Bench

REPLAY = JobAction.REPLAY


# --- the preview -----------------------------------------------------------------------------------------------------


async def test_a_preview_counts_what_becomes_of_each(jobs: Jobs, bench: Bench, ledger: Ledger) -> None:
    await dead(bench, ledger, 3)
    await dead(bench, ledger, 2, "unknown_outcome")
    await dead(bench, ledger, 1, "undecodable")
    await bench.bring_to(State.DELIVERED, 4, ref="fine-")
    await caught_up(ledger, bench.scripts)
    found = await jobs.preview(REPLAY, ByFilter(CallFilter()))
    assert (found.total, found.more) == (5, False)
    assert found.by_reason == {"refused_by_crm": 3, "unknown_outcome": 2}
    assert found.fates == {"would_send": 3, "looked_for_first": 2, "cannot": 1}
    assert found.skipped == {"undecodable": 1}
    assert len(found.sample) == 5 and {row.state for row in found.sample} == {"dead"}
    assert found.requests == 1 and found.seconds > 0


async def test_ids_are_judged_one_by_one(jobs: Jobs, bench: Bench, ledger: Ledger) -> None:
    ids = await dead(bench, ledger, 2)
    [fine] = await bench.bring_to(State.DELIVERED, 1, ref="fine-")
    await caught_up(ledger, bench.scripts)
    found = await jobs.preview(REPLAY, ByIds((*ids, ids[0], fine, "nobody")))
    assert (found.total, found.skipped) == (2, {"not_dead": 1, "no_such_call": 1})


async def test_only_calls_that_came_in_become_leads(jobs: Jobs, bench: Bench, ledger: Ledger) -> None:
    await bench.bring_to(State.PARKED, 2, reason="no_matching_entity", delay=900, ref="in-")
    await bench.bring_to(
        State.PARKED, 1, reason="no_matching_entity", delay=900, ref="out-", direction=Direction.OUTBOUND
    )
    await caught_up(ledger, bench.scripts)
    found = await jobs.preview(JobAction.LEAD, ByFilter(CallFilter()))
    assert (found.total, found.fates) == (2, {"would_become_lead": 2, "cannot": 1})
    assert (await jobs.preview(JobAction.GIVE_UP, ByFilter(CallFilter()))).fates == {"would_close": 3}


async def test_a_state_in_which_it_cannot_be_done_matches_nothing(jobs: Jobs, bench: Bench, ledger: Ledger) -> None:
    await dead(bench, ledger, 2)
    assert (await jobs.preview(REPLAY, ByFilter(CallFilter(states=("delivered",))))).total == 0
    refused = await jobs.start("job-00001", JobAction.RETRY, DEAD, "why", EVE)
    assert isinstance(refused, Refusal) and refused.code == "nothing"


async def test_doubtful_calls_are_those_that_are_uncertain_or_died_of_it(
    jobs: Jobs, bench: Bench, ledger: Ledger
) -> None:
    await bench.bring_to(State.UNCERTAIN, 2, reason="no_answer", delay=900, ref="u-")
    await dead(bench, ledger, 3, "unknown_outcome")
    await dead(bench, ledger, 4)
    found = await jobs.preview(JobAction.RESEND, ByFilter(CallFilter()))
    assert (found.total, found.fates) == (5, {"may_duplicate": 5})


# --- the start -------------------------------------------------------------------------------------------------------


async def test_a_replay_moves_every_call_once_and_into_the_lane_of_bulk(
    jobs: Jobs, bench: Bench, ledger: Ledger, audit: Audit, running: Any
) -> None:
    ids = await dead(bench, ledger, 450)
    job = await started(jobs)
    assert (job.state, job.total, job.done) == ("running", 450, 0)
    async with running(jobs):
        [job] = await ended(jobs, job.id)
    assert (job.state, job.done, job.moved, job.skipped) == ("done", 450, 450, {})
    assert await times_replayed(bench, ids) == [1] * 450
    assert {tuple(await bench.places(call_id)) for call_id in ids} == {("bulk:main",)}
    assert audit.entries == [
        ("eve", "job.started", audit.entries[0][2], 450),
    ]
    assert audit.entries[0][2]["reason"] == "the CRM is mended"


@pytest.mark.parametrize(
    ("action", "state", "reason", "becomes"),
    [
        (JobAction.DISCARD, State.DEAD, "expired", "ignored"),
        (JobAction.RETRY, State.PARKED, "no_matching_entity", "retrying"),
        (JobAction.LEAD, State.PARKED, "no_matching_entity", "retrying"),
        (JobAction.GIVE_UP, State.PARKED, "no_matching_entity", "unmatched"),
        (JobAction.RESEND, State.UNCERTAIN, "no_answer", "retrying"),
        (JobAction.MARK_DELIVERED, State.DEAD, "unknown_outcome", "delivered"),
    ],
)
async def test_each_action_does_what_it_says(
    jobs: Jobs, bench: Bench, ledger: Ledger, running: Any, action: JobAction, state: State, reason: str, becomes: str
) -> None:
    delay = 900.0 if state is not State.DEAD else 0.0
    ids = await bench.bring_to(state, 3, reason=reason, delay=delay)
    await caught_up(ledger, bench.scripts)
    job = await started(jobs, selection=ByIds(tuple(ids)), action=action)
    async with running(jobs):
        [job] = await ended(jobs, job.id)
    assert (job.state, job.moved) == ("done", 3)
    assert await bench.states(ids) == [becomes] * 3


async def test_asking_twice_with_one_id_is_asking_once(jobs: Jobs, bench: Bench, ledger: Ledger, audit: Audit) -> None:
    await dead(bench, ledger, 3)
    first = await started(jobs)
    again = await jobs.start(first.id, REPLAY, DEAD, "the CRM is mended", EVE)
    assert again == first and audit.actions == ["job.started"]
    other = await jobs.start(first.id, JobAction.DISCARD, DEAD, "the CRM is mended", EVE)
    assert isinstance(other, Refusal) and other.code == "id_taken"


async def test_two_who_press_at_the_same_moment_begin_one_job(
    jobs: Jobs, bench: Bench, ledger: Ledger, audit: Audit, running: Any
) -> None:
    ids = await dead(bench, ledger, 250)
    other = jobs_of(ledger, bench.scripts, "two", audit)
    asked = [each.start("job-00001", REPLAY, DEAD, "why", EVE, confirmed="250") for each in (jobs, other) for _ in "ab"]
    found = await asyncio.gather(*asked)
    assert {job.id if isinstance(job, Job) else job for job in found} == {"job-00001"}
    assert audit.actions == ["job.started"]
    async with running(jobs, other):
        [job] = await ended(jobs, "job-00001")
    assert (job.moved, job.skipped) == (250, {})
    assert await times_replayed(bench, ids) == [1] * 250


async def test_two_jobs_over_the_same_calls_move_each_once(
    jobs: Jobs, bench: Bench, ledger: Ledger, running: Any
) -> None:
    ids = await dead(bench, ledger, 450)
    other = jobs_of(ledger, bench.scripts, "two", Audit())
    await asyncio.gather(started(jobs, "job-00001"), started(other, "job-00002"))
    async with running(jobs, other):
        one, two = await ended(jobs, "job-00001", "job-00002")
    assert one.moved + two.moved == 450
    assert one.skipped.get("not_dead", 0) + two.skipped.get("not_dead", 0) == 450
    assert await times_replayed(bench, ids) == [1] * 450


async def test_a_filter_that_matches_another_number_now_is_refused_until_that_is_confirmed(
    jobs: Jobs, bench: Bench, ledger: Ledger
) -> None:
    await dead(bench, ledger, 3)
    await dead(bench, ledger, 1, "expired")
    found = await jobs.start("job-00001", REPLAY, DEAD, "why", EVE, expected_total=3)
    assert isinstance(found, Refusal) and (found.code, found.facts["now"]) == ("changed", 4)
    assert isinstance(await jobs.start("job-00001", REPLAY, DEAD, "why", EVE, expected_total=3, confirmed="4"), Job)


async def test_above_a_hundred_calls_their_number_is_typed(jobs: Jobs, bench: Bench, ledger: Ledger) -> None:
    await dead(bench, ledger, 101)
    for typed in ("", "100", "yes"):
        found = await jobs.start("job-00001", REPLAY, DEAD, "why", EVE, expected_total=101, confirmed=typed)
        assert isinstance(found, Refusal) and (found.code, found.facts) == ("unconfirmed", {"now": 101})
    assert await jobs.get("job-00001") is None
    assert isinstance(await jobs.start("job-00001", REPLAY, DEAD, "why", EVE, confirmed="101"), Job)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"who": Who("vic", Role.VIEWER, "session")}, "forbidden"),
        ({"reason": " "}, "no_reason"),
        ({"reason": "x" * 501}, "no_reason"),
        ({"job_id": "../../etc"}, "bad_id"),
        ({"selection": ByIds(tuple(map(str, range(1001))))}, "too_many"),
        ({"selection": ByIds(("nobody",))}, "nothing"),
    ],
)
async def test_what_is_not_fit_begins_nothing(jobs: Jobs, audit: Audit, changes: dict[str, Any], code: str) -> None:
    asked = {"job_id": "job-00001", "action": REPLAY, "selection": DEAD, "reason": "why", "who": EVE} | changes
    found = await jobs.start(**asked)
    assert isinstance(found, Refusal) and found.code == code
    assert not audit.entries and not (await jobs.list()).rows


async def test_what_cannot_be_audited_is_not_done(
    jobs: Jobs, bench: Bench, ledger: Ledger, audit: Audit, running: Any
) -> None:
    ids = await dead(bench, ledger, 2)
    audit.away = LedgerUnavailable("locked")
    with pytest.raises(LedgerUnavailable):
        await started(jobs)
    async with running(jobs):
        await asyncio.sleep(0.1)
        assert await bench.states(ids) == ["dead", "dead"]
        audit.away = None  # the job was asked for, and is audited before it goes on
        [job] = await ended(jobs, "job-00001")
    assert (job.moved, audit.actions) == (2, ["job.started"])


async def test_a_number_stays_neither_in_the_job_nor_in_the_audit(
    jobs: Jobs, bench: Bench, ledger: Ledger, audit: Audit
) -> None:
    await dead(bench, ledger, 1)
    job = await started(jobs, selection=ByFilter(CallFilter(phone="79165550117")))
    assert "5550117" not in repr(job) + repr(audit.entries)
    assert isinstance(await jobs.start(job.id, REPLAY, ByFilter(CallFilter(phone="79165550117")), "why", EVE), Job)


async def test_a_job_that_is_still_being_put_down_is_not_begun_by_its_own_runner(bench: Bench, ledger: Ledger) -> None:
    await dead(bench, ledger, 2)
    here, held = asyncio.Event(), asyncio.Event()

    class Slow(Audit):
        async def add(self, *given: Any, **more: Any) -> int:
            seq = await super().add(*given, **more)
            if seq == 1:
                here.set()
                await held.wait()
            return seq

    audit = Slow()
    jobs = jobs_of(ledger, bench.scripts, "one", audit)
    starting = asyncio.create_task(started(jobs))
    await here.wait()
    await jobs._runner.step()
    held.set()
    await starting
    assert audit.actions == ["job.started"]


# --- held, ended, resumed --------------------------------------------------------------------------------------------


async def test_a_paused_job_stands_still_and_a_resumed_one_ends(
    jobs: Jobs, bench: Bench, ledger: Ledger, audit: Audit, running: Any
) -> None:
    ids = await dead(bench, ledger, 50)
    job = await started(jobs)
    paused = await jobs.pause(job.id, EVE)
    assert paused and paused.state == "paused"
    async with running(jobs):
        await asyncio.sleep(0.1)
        assert await bench.states(ids) == ["dead"] * 50
        assert await jobs.resume(job.id, EVE)
        [job] = await ended(jobs, job.id)
    assert (job.state, job.moved) == ("done", 50)
    assert audit.actions == ["job.started", "job.paused", "job.resumed"]


async def test_a_cancelled_job_goes_no_further_and_what_it_moved_stays_moved(
    bench: Bench, ledger: Ledger, running: Any
) -> None:
    ids = await dead(bench, ledger, 450)
    holder: dict[str, Jobs] = {}

    class Cancelling(RedisRepair):
        async def replay(self, some: Sequence[CallId], by: str = "", why: str = "") -> frozenset[CallId]:
            moved = await super().replay(some, by, why)
            await holder["jobs"].cancel("job-00001", EVE)
            return moved

    jobs = holder["jobs"] = jobs_of(ledger, bench.scripts, "one", Audit(), Cancelling(bench.scripts))
    await started(jobs)
    async with running(jobs):
        await ended(jobs, "job-00001")
        await asyncio.sleep(0.1)
        job = await jobs.get("job-00001")
    assert job and (job.state, job.done, job.moved) == ("cancelled", 200, 200)
    assert sum(await times_replayed(bench, ids)) == 200
    assert await jobs.resume(job.id, EVE) == job  # it is over for good


async def test_who_only_reads_holds_no_job_up(jobs: Jobs, bench: Bench, ledger: Ledger) -> None:
    await dead(bench, ledger, 1)
    job = await started(jobs)
    viewer = Who("vic", Role.VIEWER, "session")
    assert await jobs.pause(job.id, viewer) == await jobs.cancel(job.id, viewer) == job
    assert await jobs.pause("nobody", EVE) is None


async def test_while_redis_is_away_a_job_waits_and_says_so(
    bench: Bench, ledger: Ledger, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await dead(bench, ledger, 3)
    monkeypatch.setattr(job_runner, "IDLE", 0.01)
    away = [True]

    class Away(RedisRepair):
        async def replay(self, some: Sequence[CallId], by: str = "", why: str = "") -> frozenset[CallId]:
            if away[0]:
                raise StoreUnavailable("away")
            return await super().replay(some, by, why)

    jobs = jobs_of(ledger, bench.scripts, "one", Audit(), Away(bench.scripts))
    await started(jobs)
    async with running(jobs):
        for _ in range(500):
            job = await jobs.get("job-00001")
            if job and job.problem:
                break
            await asyncio.sleep(0.01)
        assert job and (job.state, job.problem, job.done) == ("running", "store_unavailable", 0)
        away[0] = False
        [job] = await ended(jobs, "job-00001")
    assert (job.state, job.problem, job.done) == ("done", None, 3)
    assert await times_replayed(bench, ids) == [1, 1, 1]


async def test_a_fault_of_ours_ends_one_job_and_not_the_others(bench: Bench, ledger: Ledger, running: Any) -> None:
    ids = await dead(bench, ledger, 2)

    class Broken(RedisRepair):
        async def discard(self, some: Sequence[CallId], by: str = "", why: str = "") -> frozenset[CallId]:
            raise KeyError("x")

    jobs = jobs_of(ledger, bench.scripts, "one", Audit(), Broken(bench.scripts))
    await started(jobs, "job-00001", action=JobAction.DISCARD)
    await started(jobs, "job-00002")
    async with running(jobs):
        one, two = await ended(jobs, "job-00001", "job-00002")
    assert (one.state, one.problem, two.state) == ("failed", "crashed", "done")
    assert await times_replayed(bench, ids) == [1, 1]


async def test_jobs_are_listed_newest_first_page_by_page(jobs: Jobs, bench: Bench, ledger: Ledger) -> None:
    await dead(bench, ledger, 1)
    for number in range(5):
        await started(jobs, f"job-{number:05}")
    seen: list[str] = []
    after = None
    while True:
        page = await jobs.list(limit=2, after=after)
        seen += [job.id for job in page.rows]
        if (after := page.next) is None:
            break
    assert seen == [f"job-{number:05}" for number in (4, 3, 2, 1, 0)]
    for bad in ("", "x", "1_0-a", "-1-a"):
        with pytest.raises(ValueError):
            await jobs.list(after=bad)
