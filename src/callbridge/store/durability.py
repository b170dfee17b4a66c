"""What a 2xx is worth right now: reads how Redis persists and compares it with what the operator asked for.

`judge` is pure. The levels are Redis's own words: `always` fsyncs before it answers, `everysec` may lose a second of
acknowledged calls in a power cut, `none` loses everything on a restart; `unverified` is a Redis that does not let us look.
What an operator has to change is a problem; what passes by itself (a restart, a failover, a full memory) is apart from it,
because the spool may keep the promise meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from callbridge.errors import StoreUnavailable
from callbridge.settings import Durability
from callbridge.store.connect import drop_connections, follow_primary
from callbridge.store.trouble import Trouble, trouble_of, words_for

OLDEST, WANTED = (6, 2), (7, 0)
"""What the scripts need at least, as the bundled server has it, and what they are made for."""

HIGH_WATER, WARN_FROM = 0.8, 0.6
"""Shares of maxmemory in use: from the first on Redis gets no new calls, from the second on people are warned."""

CLOCK_WARNING, CLOCK_PROBLEM = 2.0, 300.0
"""Seconds between two clocks. Webhook signatures are valid for five minutes."""

_CONFIG: Final = (
    "append*",
    "no-appendfsync-on-rewrite",
    "maxmemory-policy",
    "stop-writes-on-bgsave-error",
    "save",
    "min-replicas-to-write",
)


class Worth(StrEnum):
    """What Redis really does."""

    ALWAYS = "always"
    EVERYSEC = "everysec"
    NONE = "none"
    UNVERIFIED = "unverified"


_ORDER: Final = (Worth.NONE, Worth.EVERYSEC, Worth.ALWAYS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator asked for. `running`: it has kept its promise here before, so that a replica or a failed write is an
    accident that passes, not a setting. `high_water`: the share of maxmemory from which new calls have to wait.
    """

    durability: Durability = Durability.ALWAYS
    replicas: int = 0
    trust_unverified: bool = False
    accept_old: bool = False
    running: bool = False
    high_water: float = HIGH_WATER


@dataclass(frozen=True, slots=True)
class Standing:
    """`problems` break the promise until somebody changes something, `passing` break it for now, `warnings` do not.
    `memory` is the share of maxmemory in use, `primary` who the Sentinels name, `spools` whether receivers have a spool.
    """

    level: Worth | Durability
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    passing: tuple[str, ...] = ()
    replicas: int = 0
    memory: float | None = None
    primary: str | None = None
    spools: bool = False

    @property
    def kept_as(self) -> str:
        """The level that an acknowledgement has now: `spool` while receivers keep what Redis cannot take."""
        return "spool" if self.spools and self.passing and not self.problems else self.level.value


@dataclass(slots=True)
class _Found:
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)


async def stands(redis: Redis, asked: Asked | Durability, now: Callable[[], float] = time.time) -> Standing:
    """Raises `StoreUnavailable` when Redis does not answer."""
    asked = asked if isinstance(asked, Asked) else Asked(asked)
    try:
        primary = await follow_primary(redis)
        info = await redis.info()
        if info.get("role", "master") != "master":
            await drop_connections(redis)
        config, ahead = (None, 0.0) if info.get("loading") else await _ask_more(redis, now)
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"durability: {error}") from error
    return judge(info, config, asked, ahead=ahead, primary=primary)


async def _ask_more(redis: Redis, now: Callable[[], float]) -> tuple[Mapping[str, str] | None, float]:
    """The configuration, None where CONFIG is denied as on many managed services; seconds that Redis's clock is ahead."""
    asking = redis.pipeline(transaction=False)
    for pattern in _CONFIG:
        asking.config_get(pattern)
    asking.time()
    before = now()
    *answers, told = await asking.execute(raise_on_error=False)
    ahead = 0.0 if isinstance(told, Exception) else told[0] + told[1] / 1_000_000 - (before + now()) / 2
    config: dict[str, str] = {}
    for answer in answers:
        if isinstance(answer, ResponseError):
            if trouble_of(answer) in {Trouble.DENIED, Trouble.BUG}:  # a renamed command is an unknown one
                return None, ahead
            raise answer
        config |= answer
    return config, ahead


def judge(
    info: Mapping[str, Any],
    config: Mapping[str, str] | None,
    asked: Asked | Durability,
    *,
    ahead: float = 0.0,
    primary: str | None = None,
) -> Standing:
    """`config` is None where Redis does not let us read it."""
    asked = asked if isinstance(asked, Asked) else Asked(asked)
    found = _Found()
    if info.get("loading"):
        eta = info.get("loading_eta_seconds")
        found.passing.append(words_for(Trouble.LOADING) + (f", for {eta} s more" if eta else ""))
        return Standing(Worth.UNVERIFIED, (), (), tuple(found.passing), primary=primary)
    level = _level(info, config)
    _judge_version(info, asked, found)
    _judge_role(info, config, asked, primary, found)
    _judge_level(level, config, asked, found)
    _judge_disk(info, config, asked, found)
    memory = _judge_memory(info, config, asked, found)
    _judge_clock(ahead, found)
    return Standing(
        level,
        tuple(found.problems),
        tuple(found.warnings),
        tuple(found.passing),
        replicas=_replicas(info),
        memory=memory,
        primary=primary,
    )


def _level(info: Mapping[str, Any], config: Mapping[str, str] | None) -> Worth:
    if config is None:
        return Worth.UNVERIFIED if info.get("aof_enabled") else Worth.NONE
    if config.get("appendonly") != "yes":
        return Worth.NONE
    match config.get("appendfsync"):
        case "always":
            return Worth.EVERYSEC if config.get("no-appendfsync-on-rewrite") == "yes" else Worth.ALWAYS
        case "everysec":
            return Worth.EVERYSEC
        case _:
            return Worth.NONE


def _judge_version(info: Mapping[str, Any], asked: Asked, found: _Found) -> None:
    version = _version(info)
    if version < OLDEST or (version < WANTED and not asked.accept_old):
        found.problems.append(f"Redis {info.get('redis_version')} is too old: 7.0 or newer is needed")
    elif version < WANTED:
        found.warnings.append(
            f"Redis {info.get('redis_version')} has no scripts that may drain a full memory: 7.0 or newer is better"
        )


def _version(info: Mapping[str, Any]) -> tuple[int, int]:
    major, _, rest = str(info.get("redis_version", "7.0")).partition(".")
    return int(major), int(rest.partition(".")[0] or 0)


def _judge_role(
    info: Mapping[str, Any], config: Mapping[str, str] | None, asked: Asked, primary: str | None, found: _Found
) -> None:
    if info.get("role", "master") != "master":
        if asked.running or primary:
            found.passing.append("this Redis is a replica now: a failover is under way")
        else:
            found.problems.append("this Redis is a replica: calls must go to the primary (role master)")
    replicas = _replicas(info)
    if replicas < asked.replicas:
        found.passing.append(f"{replicas} replicas follow, {asked.replicas} have to confirm each call (redis.replicas)")
    brake = int((config or {}).get("min-replicas-to-write", 0))
    if brake and int(info.get("min_slaves_good_slaves", brake)) < brake:
        found.passing.append(f"Redis takes no writes: fewer than {brake} replicas are well (min-replicas-to-write)")


def _replicas(info: Mapping[str, Any]) -> int:
    """Those that follow; one that is still being copied to confirms nothing."""
    known = (info.get(f"slave{number}") for number in range(int(info.get("connected_slaves", 0))))
    return sum(1 for replica in known if isinstance(replica, Mapping) and replica.get("state") == "online")


def _judge_level(level: Worth, config: Mapping[str, str] | None, asked: Asked, found: _Found) -> None:
    wanted = asked.durability
    if level is Worth.UNVERIFIED:
        told = "Redis does not let us read CONFIG, so nobody here knows whether it writes each call to disk"
        if wanted is Durability.NONE or asked.trust_unverified:
            found.warnings.append(f"{told}: it is taken on trust")
        else:
            found.problems.append(f"{told}: set redis.trust_unverified if whoever runs it promises that it does")
    elif _ORDER.index(level) < _ORDER.index(Worth(wanted)):
        found.problems.append(_shortfall(level, wanted))
    if config is not None and config.get("appendonly") == "yes" and config.get("no-appendfsync-on-rewrite") == "yes":
        told = "no-appendfsync-on-rewrite is yes, so nothing is synced while the AOF is rewritten: set it to no"
        (found.problems if wanted is Durability.ALWAYS else found.warnings).append(told)
    if level is Worth.EVERYSEC and wanted is not Durability.ALWAYS:
        found.warnings.append("appendfsync is everysec: a power cut loses about the last second of acknowledged calls")
    if level is Worth.NONE and config is not None and not config.get("save"):
        found.warnings.append(
            "appendonly is no and save is empty: Redis writes nothing to disk, a restart loses all calls"
        )


def _shortfall(level: Worth, wanted: Durability) -> str:
    needs = {
        Durability.ALWAYS: "appendonly yes and appendfsync always",
        Durability.EVERYSEC: "appendonly yes and appendfsync everysec or always",
        Durability.NONE: "nothing",
    }
    return (
        f"durability is {level.value}, {wanted.value} is asked for: "
        f"set {needs[wanted]} in Redis, or accept less with redis.durability"
    )


def _judge_disk(info: Mapping[str, Any], config: Mapping[str, str] | None, asked: Asked, found: _Found) -> None:
    """A failed write at the start is a disk that somebody has to look at first; later it is one that may get room again."""
    broken = found.passing if asked.running else found.problems
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        broken.append("Redis cannot write its append-only file (aof_last_write_status): look at its disk")
    saves = config is None or bool(config.get("save"))
    stops = config is None or config.get("stop-writes-on-bgsave-error", "yes") == "yes"
    failed = info.get("rdb_last_bgsave_status", "ok") != "ok"
    if failed:
        told = "Redis could not save its last snapshot (rdb_last_bgsave_status): look at its disk"
        (broken if saves and stops else found.warnings if asked.running else found.problems).append(told)
    if info.get("aof_enabled") and info.get("aof_last_bgrewrite_status", "ok") != "ok":
        told = "Redis could not rewrite its append-only file (aof_last_bgrewrite_status): look at its disk"
        (found.warnings if asked.running else found.problems).append(told)
    if config is not None and config.get("save") and not stops:
        found.warnings.append("stop-writes-on-bgsave-error is no: Redis goes on after it could not save")


def _judge_memory(
    info: Mapping[str, Any], config: Mapping[str, str] | None, asked: Asked, found: _Found
) -> float | None:
    policy = (config or {}).get("maxmemory-policy") or str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        told = f"maxmemory-policy is {policy}, must be noeviction"
        (found.warnings if asked.durability is Durability.NONE else found.problems).append(told)
    limit = int(info.get("maxmemory", 0))
    if not limit:
        found.warnings.append("maxmemory is 0: without a limit the host decides when memory runs out")
        return None
    used = (int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))) / limit
    if used > asked.high_water:
        found.passing.append(
            f"Redis uses {used:.0%} of maxmemory: new calls wait until others are delivered, or maxmemory is raised"
        )
    elif used > WARN_FROM:
        found.warnings.append(f"Redis uses {used:.0%} of maxmemory: from {HIGH_WATER:.0%} on it gets no new calls")
    return used


def _judge_clock(ahead: float, found: _Found) -> None:
    if abs(ahead) > CLOCK_WARNING:
        way = "ahead of" if ahead > 0 else "behind"
        told = f"Redis's clock is {abs(ahead):.0f} s {way} this computer's: set the clocks by NTP"
        (found.problems if abs(ahead) > CLOCK_PROBLEM else found.warnings).append(told)
