"""No script ends halfway: whatever is wrong with its arguments, an error means that nothing was written.

Arguments are those that the product itself gives, with something changed; Redis counts its own writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from callbridge.call import FinishedCall, IgnoredEvent, RecordingReady, Webhook
from callbridge.errors import AccountSlowed, StoreUnavailable
from callbridge.outcome import PauseReason, State
from callbridge.store.connect import connected
from callbridge.store.doubts import RedisDoubts, Verdict
from callbridge.store.envelope import seal
from callbridge.store.forgetting import RedisForgetting
from callbridge.store.late import RedisLateNotes
from callbridge.store.mending import RedisMending, amended
from callbridge.store.pace import RedisPace
from callbridge.store.refusals import RedisRefusals
from callbridge.store.repair import RedisRepair
from callbridge.store.scripts import VERBS, Argument, Scripts, Verb
from callbridge.store.tokens import RedisTokens
from support.builders import a_call
from support.redis_server import RedisServer
from support.store import Bench

RUNS = 200
"""For each script; thirty of them make six thousand."""

READS_ONLY = {"agenda"}
LINK = "https://rec.example.com/7.mp3"
JUNK: list[Argument] = [
    "",
    "x",
    -1,
    0,
    1,
    "1e400",
    "nan",
    "é",
    "[]",
    "{}",
    "null",
    "[1,2]",
    b"\xff\x00",
    10**18,
    "a" * 300,
]


class Recording(Scripts):
    """Keeps what each verb was run with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: dict[str, list[tuple[Argument, ...]]] = {}

    async def run(self, verb: Verb, *arguments: Argument, replicas: int = 0) -> Any:
        self.seen.setdefault(verb, []).append(arguments)
        return await super().run(verb, *arguments, replicas=replicas)


@pytest.fixture
async def scripts(redis_server: RedisServer) -> AsyncIterator[Recording]:
    async with connected(redis_server.url) as redis:
        await redis.flushall()
        yield Recording(redis, "{fuzz}:")


async def live_through_everything(scripts: Recording) -> None:
    """Calls in every state, and every verb once: what it was given is in `scripts.seen`."""
    bench, pace = Bench(scripts), RedisPace(scripts, "slow", 50)
    for number, state in enumerate(state for state in State if state not in {State.ERASED, State.WAITING}):
        await bench.bring_to(state, ref=f"{state.value}-{number}")
    await bench.inbox.put(
        [
            FinishedCall("main", a_call(ref="first", link=LINK), Webhook("call.finished", b"{}")),
            FinishedCall("main", a_call(ref="first", duration=99), Webhook("call.finished", b"{1}")),
            RecordingReady("main", "office", "first", LINK, 1_790_000_000, Webhook("r", b"{}"), True),
            IgnoredEvent("office", "ringing"),
        ]
    )
    with contextlib.suppress(AccountSlowed):
        await pace.take()
    await pace.failed(0.001, "503")
    await pace.answered()
    await bench.queue.pause("other", PauseReason.UNAUTHORISED, "401", 60, 900)
    await bench.queue.hold("other", "by hand", "somebody", 60)
    await bench.queue.resume("other")
    await bench.queue.reprobe("other")
    await bench.queue.leads_closed("other", "402")
    claim = await bench.claim()
    await bench.queue.renew(claim.fence, [call.id for call in claim.calls], 60)
    await bench.queue.release(claim.fence, [call.id for call in claim.calls])
    await bench.queue.look("main", 10, 60)
    await bench.queue.revive("main")
    await bench.queue.reclaim()
    await bench.queue.agenda()
    tokens = RedisTokens(scripts, "main", lock_for=10)
    await tokens.lock()
    await tokens.save(3, b"sealed")
    dead = [record.id async for record in bench.records.in_state(State.DEAD)]
    mending = RedisMending(scripts)
    for record in [record async for record in bench.records.in_state(State.DEAD)][:1]:
        assert record.envelope
        fixed = seal(amended(record.envelope, {"phone": "+79165550199"}))
        await mending.amend(record.id, fixed, round(record.updated_at * 1000), "somebody", "a digit")
    await mending.unpark(await bench.bring_to(State.PARKED, 2, ref="parked"), "lead", "somebody", "a customer")
    await RedisRefusals(scripts).add({("office", "bad_signature"): 2}, [("office", {"at": 1.5})])
    await RedisRepair(scripts).replay(dead)
    await RedisRepair(scripts).discard(dead)
    await RedisDoubts(scripts).resolve(Verdict.RESEND, dead, by="somebody", why="looked", after=0)
    await bench.queue.tell(b'{"id":"b-1"}')
    forgetting = RedisForgetting(scripts)
    ended = await bench.bring_to(State.UNMATCHED, 3, ref="ended")
    await forgetting.forget(ended)
    await forgetting.erase(ended[:1])
    await forgetting.drop_remnants(4e9, 1)
    notes = RedisLateNotes(scripts, "main", lease=60)
    if (note := await notes.take()) is not None:
        await notes.mark(note)
        await notes.put_back(note, 5, posted=True, looks=1)


GIVEN: dict[str, tuple[Argument, ...]] = {
    "noting": ("main", "c-1.d", 1, 1000),
    "noted": ("main", "c-1.d", 1, 0, 0, 0, ""),
}
"""For verbs that the story above may not reach: of the right shape, about things that are not there."""


def changed(arguments: tuple[Argument, ...], dice: Random) -> list[Argument]:
    """One thing about them is not as it was."""
    given = list(arguments)
    match dice.randrange(5) if given else 4:
        case 0:
            del given[dice.randrange(len(given))]
        case 1:
            given[dice.randrange(len(given))] = dice.choice(JUNK)
        case 2:
            given.insert(dice.randrange(len(given) + 1), dice.choice(JUNK))
        case 3:
            place = dice.randrange(len(given))
            text = given[place] if isinstance(given[place], bytes) else str(given[place]).encode()
            at = dice.randrange(len(text) + 1)
            given[place] = text[:at] + dice.choice([b"", b"]", b'"', b"null", b"\xff"]) + text[at + 1 :]
        case _:
            given = [dice.choice(JUNK) for _ in range(dice.randrange(8))]
    return given


@pytest.mark.parametrize("verb", sorted(set(VERBS) - READS_ONLY))
async def test_a_script_that_ends_with_an_error_has_written_nothing(scripts: Recording, verb: Verb) -> None:
    await live_through_everything(scripts)
    known = scripts.seen.get(verb) or [GIVEN[verb]]
    dice = Random(verb)
    plain = Scripts(scripts.redis, scripts.root)
    errors = 0
    for _ in range(RUNS):
        arguments = changed(dice.choice(known), dice)
        before, refused = await writes(scripts), None
        try:
            await plain.run(verb, *arguments)
        except StoreUnavailable as error:
            errors, refused = errors + 1, str(error)
        assert refused is None or await writes(scripts) == before, (arguments, refused)
    assert errors, "nothing that was given was wrong enough"


async def writes(scripts: Scripts) -> int:
    return int((await scripts.redis.info("persistence"))["rdb_changes_since_last_save"])
