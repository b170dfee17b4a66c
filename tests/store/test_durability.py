"""What a Redis is worth: refused, warned of, or away for a while; judged purely, and seen on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from callbridge.settings import Durability
from callbridge.store.connect import connected
from callbridge.store.durability import HIGH_WATER, Asked, Standing, Worth, judge, stands
from support.redis_server import RedisServer

INFO = {
    "redis_version": "7.2.4",
    "role": "master",
    "connected_slaves": 0,
    "loading": 0,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "used_memory": 100,
    "maxmemory": 1000,
    "maxmemory_policy": "noeviction",
}
CONFIG = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "stop-writes-on-bgsave-error": "yes",
    "save": "",
    "min-replicas-to-write": "0",
}
ALWAYS, EVERYSEC, NONE = Asked(), Asked(Durability.EVERYSEC), Asked(Durability.NONE)
RUNNING = Asked(running=True)


def seen(info: dict | None = None, config: dict | None = None, asked: Asked = ALWAYS, **more) -> Standing:
    return judge(INFO | (info or {}), CONFIG | (config or {}), asked, **more)


def test_nothing_is_said_of_a_redis_that_keeps_everything() -> None:
    found = seen()
    assert (found.level, found.problems, found.warnings, found.passing) == ("always", (), (), ())


REFUSED = [
    ({"redis_version": "6.2.14"}, {}, ALWAYS, "too old"),
    ({"redis_version": "6.0.16"}, {}, Asked(accept_old=True), "too old"),
    ({"role": "slave"}, {}, ALWAYS, "role master"),
    ({}, {"maxmemory-policy": "allkeys-lru"}, ALWAYS, "maxmemory-policy is allkeys-lru"),
    ({}, {"maxmemory-policy": "volatile-ttl"}, EVERYSEC, "maxmemory-policy is volatile-ttl"),
    ({}, {"appendonly": "no"}, ALWAYS, "durability is none, always is asked for"),
    ({}, {"appendonly": "no"}, EVERYSEC, "durability is none, everysec is asked for"),
    ({}, {"appendfsync": "everysec"}, ALWAYS, "durability is everysec, always is asked for"),
    ({}, {"appendfsync": "no"}, EVERYSEC, "durability is none"),
    ({}, {"no-appendfsync-on-rewrite": "yes"}, ALWAYS, "no-appendfsync-on-rewrite is yes"),
    ({"aof_last_write_status": "err"}, {}, ALWAYS, "aof_last_write_status"),
    ({"aof_last_bgrewrite_status": "err"}, {}, ALWAYS, "aof_last_bgrewrite_status"),
    ({"rdb_last_bgsave_status": "err"}, {}, ALWAYS, "rdb_last_bgsave_status"),
]


@pytest.mark.parametrize(("info", "config", "asked", "words"), REFUSED)
def test_what_an_operator_has_to_change_is_a_problem_that_names_it(info, config, asked, words) -> None:
    found = seen(info, config, asked)
    assert any(words in problem for problem in found.problems), found
    assert found.passing == ()


WARNED = [
    ({"redis_version": "6.2.14"}, {}, Asked(accept_old=True), "7.0 or newer"),
    ({"maxmemory": 0}, {}, ALWAYS, "maxmemory is 0"),
    ({"used_memory": 650}, {}, ALWAYS, "65% of maxmemory"),
    ({}, {"appendfsync": "everysec"}, EVERYSEC, "a power cut loses"),
    ({}, {"no-appendfsync-on-rewrite": "yes"}, EVERYSEC, "no-appendfsync-on-rewrite is yes"),
    ({}, {"maxmemory-policy": "allkeys-lru"}, NONE, "maxmemory-policy"),
    ({}, {"appendonly": "no"}, NONE, "writes nothing to disk"),
    ({}, {"save": "900 1", "stop-writes-on-bgsave-error": "no"}, ALWAYS, "stop-writes-on-bgsave-error"),
    ({"aof_last_bgrewrite_status": "err"}, {}, RUNNING, "aof_last_bgrewrite_status"),
    ({"rdb_last_bgsave_status": "err"}, {}, RUNNING, "rdb_last_bgsave_status"),
]


@pytest.mark.parametrize(("info", "config", "asked", "words"), WARNED)
def test_what_may_become_a_problem_is_a_warning(info, config, asked, words) -> None:
    found = seen(info, config, asked)
    assert any(words in warning for warning in found.warnings), found
    assert (found.problems, found.passing) == ((), ())


PASSING = [
    ({"loading": 1, "loading_eta_seconds": 7}, {}, ALWAYS, "loading"),
    ({"role": "slave"}, {}, RUNNING, "failover"),
    ({"used_memory": 801}, {}, ALWAYS, "80% of maxmemory"),
    ({"aof_last_write_status": "err"}, {}, RUNNING, "aof_last_write_status"),
    ({"rdb_last_bgsave_status": "err"}, {"save": "60 1"}, RUNNING, "rdb_last_bgsave_status"),
    ({}, {}, Asked(replicas=1), "redis.replicas"),
    ({"connected_slaves": 1, "slave0": {"state": "wait_bgsave"}}, {}, Asked(replicas=1), "redis.replicas"),
    ({"min_slaves_good_slaves": 0}, {"min-replicas-to-write": "1"}, ALWAYS, "min-replicas-to-write"),
]


@pytest.mark.parametrize(("info", "config", "asked", "words"), PASSING)
def test_what_passes_by_itself_is_no_problem_of_the_settings(info, config, asked, words) -> None:
    found = seen(info, config, asked)
    assert any(words in line for line in found.passing), found
    assert found.problems == ()


def test_replicas_that_follow_are_counted() -> None:
    two = {"connected_slaves": 2, "slave0": {"state": "online"}, "slave1": {"state": "online"}}
    found = seen(two, asked=Asked(replicas=2))
    assert (found.replicas, found.passing, found.problems) == (2, (), ())


def test_a_replica_behind_sentinels_is_a_failover_from_the_start() -> None:
    assert seen({"role": "slave"}, primary="10.0.0.1:6379").problems == ()
    assert seen({"role": "slave"}, primary="10.0.0.1:6379").passing


def test_memory_that_redis_does_not_count_is_not_counted() -> None:
    assert seen({"used_memory": 900, "mem_not_counted_for_evict": 700}).passing == ()


def test_memory_has_to_fall_well_below_the_mark_where_that_is_asked() -> None:
    assert seen({"used_memory": 780}).passing == ()
    assert seen({"used_memory": 780}, asked=Asked(high_water=HIGH_WATER - 0.05)).passing


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_is_warned_of_and_then_refused(sign: int) -> None:
    assert seen(ahead=1.9 * sign).warnings == ()
    assert "clock" in seen(ahead=2.1 * sign).warnings[0]
    assert "clock" in seen(ahead=301 * sign).problems[0]


def test_a_redis_that_hides_its_configuration_is_refused_until_somebody_vouches_for_it() -> None:
    hidden = judge(INFO, None, ALWAYS)
    assert hidden.level is Worth.UNVERIFIED
    assert "redis.trust_unverified" in hidden.problems[0]
    trusted = judge(INFO, None, Asked(trust_unverified=True))
    assert (trusted.level, trusted.problems) == (Worth.UNVERIFIED, ())
    assert "on trust" in trusted.warnings[0]
    off = judge(INFO | {"aof_enabled": 0}, None, Asked(trust_unverified=True))
    assert "durability is none" in off.problems[0], "INFO says that there is no AOF: nothing is left to trust"


def test_an_acknowledgement_is_worth_the_spool_only_while_redis_is_away_for_a_while() -> None:
    away, refused = seen({"used_memory": 900}), seen({"used_memory": 900}, {"appendonly": "no"})
    assert Standing("always", (), (), ("x",), spools=True).kept_as == "spool"  # type: ignore[arg-type] # the word is enough
    assert away.kept_as == "always", "without a spool nothing is kept elsewhere"
    assert refused.kept_as == "none"


# --- real servers ----------------------------------------------------------------------------------------------------

OLD = Asked(accept_old=True)
MATRIX = [
    (("--appendfsync", "always"), OLD, "always", False),
    (("--appendfsync", "everysec"), OLD, "everysec", True),
    (("--appendfsync", "everysec"), Asked(Durability.EVERYSEC, accept_old=True), "everysec", False),
    (("--appendfsync", "no"), Asked(Durability.EVERYSEC, accept_old=True), "none", True),
    (("--appendonly", "no"), OLD, "none", True),
    (("--appendonly", "no", "--save", "900 1"), Asked(Durability.EVERYSEC, accept_old=True), "none", True),
    (("--appendonly", "no"), Asked(Durability.NONE, accept_old=True), "none", False),
    (("--maxmemory-policy", "allkeys-lru"), OLD, "always", True),
    (("--maxmemory-policy", "volatile-lru"), OLD, "always", True),
    (("--no-appendfsync-on-rewrite", "yes"), OLD, "everysec", True),
    (("--rename-command", "CONFIG", ""), OLD, "unverified", True),
    (("--rename-command", "CONFIG", ""), Asked(trust_unverified=True, accept_old=True), "unverified", False),
    (("--replicaof", "127.0.0.1", "1"), OLD, "always", True),
    (("--maxmemory", "100mb"), OLD, "always", False),
]


@pytest.fixture
def server_with(tmp_path: Path) -> Iterator:
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        started.append(RedisServer(tmp_path, *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.mark.parametrize(("options", "asked", "level", "refused"), MATRIX)
async def test_a_server_is_taken_for_what_it_is(server_with, options, asked, level, refused) -> None:
    server = server_with(*options)
    async with connected(server.url) as redis:
        found = await stands(redis, asked)
    assert (found.level.value, bool(found.problems)) == (level, refused), found
    assert found.passing == ()


async def test_memory_above_the_mark_is_seen_on_a_server(server_with) -> None:
    server = server_with("--maxmemory", "40mb")
    async with connected(server.url) as redis:
        await fill(redis, 0.65)
        assert any("of maxmemory" in line for line in (await stands(redis, OLD)).warnings)
        await fill(redis, 0.85)
        found = await stands(redis, OLD)
    assert found.memory and found.memory > HIGH_WATER
    assert found.passing and not found.problems


async def fill(redis: Redis, share: float) -> None:
    """Until so much of maxmemory is used."""
    for number in range(1_000):
        info = await redis.info("memory")
        if info["used_memory"] > share * info["maxmemory"]:
            return
        await redis.set(f"ballast-{share}-{number}", b"x" * 500_000)
    raise AssertionError("it takes no end")


async def test_a_user_who_may_not_read_the_configuration_is_taken_on_trust_only_if_told_so(server_with) -> None:
    server = server_with()
    async with connected(server.url) as redis:
        await redis.acl_setuser(
            "bridge", enabled=True, nopass=True, keys="*", categories=["+@all"], commands=["-config"]
        )
    async with connected(server.url.replace("redis://", "redis://bridge:x@")) as redis:
        found = await stands(redis, OLD)
        assert (found.level, bool(found.problems)) == (Worth.UNVERIFIED, True)
        assert (await stands(redis, Asked(trust_unverified=True, accept_old=True))).problems == ()


async def test_a_clock_that_is_off_is_seen_on_a_server(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        seconds, _ = await redis.time()
        assert any("clock" in line for line in (await stands(redis, OLD, lambda: seconds - 1000.0)).problems)


async def test_looking_writes_nothing(redis_server: RedisServer) -> None:
    async with connected(redis_server.url) as redis:
        before = await _writes(redis)
        await stands(redis, OLD)
        assert await _writes(redis) == before


async def _writes(redis: Redis) -> int:
    return int((await redis.info("persistence"))["rdb_changes_since_last_save"])
