"""What a 2xx is worth right now: reads how Redis persists and compares it with what the operator asked for.

`judge` is pure. The levels are Redis's own words: `always` fsyncs before it answers, `everysec` may lose a second of
acknowledged calls in a power cut, `none` loses everything on a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from callbridge.errors import StoreUnavailable
from callbridge.settings import Durability

OLDEST, WANTED = (6, 2), (7, 0)
"""What the scripts need at least, as the bundled server has it, and what they are made for."""

_ORDER = (Durability.NONE, Durability.EVERYSEC, Durability.ALWAYS)


@dataclass(frozen=True, slots=True)
class Standing:
    """`level` is what Redis really does. `problems` break the promise, `warnings` do not."""

    level: Durability
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


async def stands(redis: Redis, wanted: Durability) -> Standing:
    """Raises `StoreUnavailable` when Redis does not answer."""
    try:
        info = await redis.info()
        try:
            config = {
                k: v
                for pattern in ("append*", "maxmemory*", "no-append*")
                for k, v in (await redis.config_get(pattern)).items()
            }
        except ResponseError:  # CONFIG is denied on many managed services
            config = None
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"durability: {error}") from error
    return judge(info, config, wanted)


def judge(info: Mapping[str, object], config: Mapping[str, str] | None, wanted: Durability) -> Standing:
    problems, warnings = _server_problems(info), []
    if config is None:
        level = Durability.EVERYSEC if info.get("aof_enabled") else Durability.NONE
        warnings.append(
            "Redis does not let us read CONFIG: appendfsync and maxmemory-policy are taken on trust of INFO alone"
        )
        policy = str(info.get("maxmemory_policy", "noeviction"))
    else:
        level, policy = _level(config), config.get("maxmemory-policy", "noeviction")
        if level is Durability.ALWAYS and config.get("no-appendfsync-on-rewrite") == "yes":
            level = Durability.EVERYSEC
            warnings.append("no-appendfsync-on-rewrite is yes: no fsync while the AOF is rewritten")
    if policy != "noeviction":
        (warnings if wanted is Durability.NONE else problems).append(
            f"maxmemory-policy is {policy}, must be noeviction"
        )
    if _ORDER.index(level) < _ORDER.index(wanted):
        problems.append(_shortfall(level, wanted))
    if OLDEST <= _version(info) < WANTED:
        warnings.append(
            f"Redis {info.get('redis_version')} has no scripts that may drain a full memory: 7.0 or newer is better"
        )
    if not int(str(info.get("maxmemory", 0))):
        warnings.append("maxmemory is 0: without a limit the host decides when memory runs out")
    return Standing(level, tuple(problems), tuple(warnings))


def _level(config: Mapping[str, str]) -> Durability:
    if config.get("appendonly") != "yes":
        return Durability.NONE
    match config.get("appendfsync"):
        case "always":
            return Durability.ALWAYS
        case "everysec":
            return Durability.EVERYSEC
        case _:
            return Durability.NONE


def _server_problems(info: Mapping[str, object]) -> list[str]:
    problems = []
    if info.get("role", "master") != "master":
        problems.append("this Redis is a replica: calls must go to the primary")
    if _version(info) < OLDEST:
        problems.append(f"Redis {info.get('redis_version')} is too old: 7.0 or newer")
    if info.get("loading"):
        problems.append("Redis is still loading its data")
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        problems.append("Redis cannot write its append-only file: look at its disk")
    return problems


def _version(info: Mapping[str, object]) -> tuple[int, int]:
    major, _, rest = str(info.get("redis_version", "7.0")).partition(".")
    return int(major), int(rest.partition(".")[0] or 0)


def _shortfall(level: Durability, wanted: Durability) -> str:
    needs = {
        Durability.ALWAYS: "appendonly yes and appendfsync always",
        Durability.EVERYSEC: "appendonly yes and appendfsync everysec or always",
        Durability.NONE: "nothing",
    }
    return (
        f"durability is {level.value}, {wanted.value} is asked for: "
        f"set {needs[wanted]} in Redis, or accept less with redis.durability"
    )
