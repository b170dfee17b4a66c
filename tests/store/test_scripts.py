"""The scripts themselves: loaded when missing, refusing malformed arguments without a trace, right about time."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from callbridge.errors import AccountSlowed, StoreUnavailable
from callbridge.outcome import MOVES, State
from callbridge.store.connect import connected
from callbridge.store.pace import RedisPace
from callbridge.store.scripts import VERBS, Scripts, Verb, source_of, without_flags
from support.store import Bench

READS_ONLY = {"agenda"}
NO_TRIAL = ("", 60_000, 50)


async def test_a_server_that_forgot_its_scripts_gets_them_again(bench: Bench, redis: Redis) -> None:
    await bench.store()
    await redis.script_flush()
    assert len((await bench.claim()).calls) == 1


async def test_an_unreachable_server_is_told_in_our_own_words() -> None:
    async with connected("redis://127.0.0.1:1/0", patience=0.5) as redis:
        with pytest.raises(StoreUnavailable):
            await Scripts(redis, "{x}:").run("agenda")


def test_each_verb_has_a_file_and_each_file_a_verb() -> None:
    files = {
        path.stem for path in Path(str(__import__("callbridge.store", fromlist=["x"]).__path__[0]), "lua").glob("*.lua")
    }
    assert files == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_only_what_takes_new_calls_in_is_refused_when_memory_is_full(verb: Verb) -> None:
    first = source_of(verb).splitlines()[0]
    assert first == ("#!lua" if verb in {"put", "patch", "count"} else "#!lua flags=allow-oom")
    assert not without_flags(source_of(verb)).startswith("#!")


@pytest.mark.parametrize("verb", sorted(set(VERBS) - READS_ONLY))
async def test_malformed_arguments_change_nothing(bench: Bench, verb: Verb) -> None:
    await bench.store(2)
    await bench.bring_to(State.DEAD, ref="dead")
    await bench.bring_to(State.UNCERTAIN, ref="lost")
    before = await bench.everything()
    draw = random.Random(verb)
    junk: list[Any] = ["", "x", -1, "é", "[]", "{}", "[1,2]", "nan", 10**15]
    for _ in range(60):
        arguments = [draw.choice(junk) for _ in range(draw.randrange(4))]
        try:
            await bench.scripts.run(verb, *arguments)
        except (StoreUnavailable, ValueError):  # fakeredis lets Python's own complaint about bad JSON through
            assert await bench.everything() == before, arguments
        before = await bench.everything()


async def test_the_moves_in_settle_are_those_of_the_state_table() -> None:
    text = source_of("settle")
    block = text[text.index("local moves = {") : text.index("local facts")]
    for origin in (State.CLAIMED, State.SENDING, State.UNCERTAIN):
        line = next(line for line in block.splitlines() if line.strip().startswith(f"{origin.value} ="))
        allowed = {state for state in State if f"{state.value} = true" in line}
        assert allowed == MOVES[origin] - {State.SENDING, State.ERASED}


async def test_slots_are_evenly_spaced_and_none_is_saved_up(bench: Bench) -> None:
    waits = []
    for _ in range(5):
        taken, wait, _ = await bench.scripts.run("pace", "main", 100_000, 10_000_000, *NO_TRIAL)
        assert taken == 1
        waits.append(wait / 1000)
    steps = [later - earlier for earlier, later in itertools.pairwise(waits)]
    assert waits[0] == 0
    assert all(40 < step <= 100.1 for step in steps)


async def test_a_slot_beyond_patience_is_not_reserved(bench: Bench) -> None:
    await bench.scripts.run("pace", "main", 5_000_000, 1_000_000, *NO_TRIAL)
    for _ in range(2):
        taken, wait, _ = await bench.scripts.run("pace", "main", 5_000_000, 1_000_000, *NO_TRIAL)
        assert taken == 0
        assert 3_000_000 < wait <= 4_000_000


async def test_a_slowed_account_gives_no_slot_and_is_never_slowed_less(bench: Bench) -> None:
    pace = RedisPace(bench.scripts, "main", 7)
    await pace.failed(30, "503")
    await pace.failed(1, "503")
    taken, wait, _ = await bench.scripts.run("pace", "main", 100_000, 1_000_000, *NO_TRIAL)
    assert taken == 0
    assert 25_000_000 < wait <= 30_000_000


async def test_a_slow_down_raises_at_once_and_is_no_slot(bench: Bench) -> None:
    pace = RedisPace(bench.scripts, "main", 7)
    await pace.failed(30, "503")
    with pytest.raises(AccountSlowed) as slowed:
        await pace.take()
    assert 25 < slowed.value.seconds <= 30
    assert pace.free_in == 0


async def test_what_an_envelope_says_survives_the_store(bench: Bench) -> None:
    [call_id] = await bench.store(result="Обсудили заказ", link="https://rec.example.org/1.mp3", extension="101")
    record = await bench.get(call_id)
    assert record.call
    assert (record.call.result, record.call.link, record.call.extension) == (
        "Обсудили заказ",
        "https://rec.example.org/1.mp3",
        "101",
    )
    assert orjson.loads(record.webhook.body) == {"id": "x"} if record.webhook else False
