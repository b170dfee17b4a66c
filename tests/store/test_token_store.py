"""Sealed token pairs in the store: one refresher at a time, a newer pair stands, and a disk that helps when Redis is away."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from callbridge.amocrm.tokens import TokenPair
from callbridge.amocrm.vault import Seal, SealedVault
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from callbridge.store.tokens import RedisTokens

HOME = "https://romashka.amocrm.ru"
PAIR = TokenPair("acc-canary", "ref-canary", 1_790_000_000.0, 1_790_086_400.0, 4, HOME, HOME)
KEY, OTHER = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def tokens(scripts: Scripts, *, lock_for: float = 30.0) -> RedisTokens:
    return RedisTokens(scripts, "main", lock_for=lock_for)


def vault(scripts: Scripts, folder: Path, *sealing: str) -> SealedVault:
    return SealedVault(tokens(scripts), Seal(sealing or (KEY,)), folder / "tokens" / "main.sealed")


# --- the scripts ------------------------------------------------------------------------------------------------------


async def test_a_newer_generation_replaces_and_an_older_or_equal_one_does_not(scripts: Scripts) -> None:
    kept = tokens(scripts)
    assert await kept.load() is None
    assert await kept.save(2, b"two")
    assert not await kept.save(1, b"one")
    assert not await kept.save(2, b"another two")
    assert await kept.save(2, b"two")  # a save whose answer was lost may be repeated
    assert await kept.load() == b"two"
    assert await kept.save(1_790_000_000, b"authorised anew")
    assert await kept.load() == b"authorised anew"


async def test_accounts_have_pairs_of_their_own(scripts: Scripts) -> None:
    await tokens(scripts).save(1, b"main")
    assert await RedisTokens(scripts, "branch", lock_for=30).load() is None


async def test_one_holds_the_lock_and_may_hold_on_to_it(scripts: Scripts) -> None:
    first, second = tokens(scripts), tokens(scripts)
    assert await first.lock()
    assert not await second.lock()
    assert await first.lock()
    await second.unlock()
    assert not await second.lock()
    await first.unlock()
    assert await second.lock()


async def test_the_lock_of_a_dead_worker_ends_by_itself(scripts: Scripts, redis: Redis) -> None:
    assert await tokens(scripts, lock_for=7).lock()
    left = await redis.pttl(f"{scripts.root}refresh:main")
    assert 0 < left <= 7_000


# --- the vault --------------------------------------------------------------------------------------------------------


async def test_what_is_stored_shows_no_token_in_redis_nor_on_the_disk(
    scripts: Scripts, redis: Redis, tmp_path: Path
) -> None:
    assert await vault(scripts, tmp_path).save(PAIR)
    assert await vault(scripts, tmp_path).load() == PAIR
    stored = str(await redis.hgetall(keys.token(scripts.root, "main")))
    backup = tmp_path / "tokens" / "main.sealed"
    assert "canary" not in stored + backup.read_text()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [file.name for file in backup.parent.iterdir()] == [backup.name]


async def test_a_key_is_changed_without_a_new_authorisation(scripts: Scripts, tmp_path: Path) -> None:
    await vault(scripts, tmp_path).save(PAIR)
    changed = vault(scripts, tmp_path, OTHER, KEY)
    assert await changed.load() == PAIR
    await changed.save(replace(PAIR, generation=5))
    assert (await vault(scripts, tmp_path, OTHER).load() or PAIR).generation == 5


async def test_another_key_is_told_by_its_setting_and_without_the_pair(scripts: Scripts, tmp_path: Path) -> None:
    await vault(scripts, tmp_path).save(PAIR)
    with pytest.raises(Misconfigured, match=r"sealing\.previous_key") as problem:
        await vault(scripts, tmp_path, OTHER).load()
    assert "canary" not in str(problem.value)


def test_what_is_no_key_is_told_with_the_command_that_makes_one() -> None:
    with pytest.raises(Misconfigured, match="callbridge config key"):
        Seal(("short",))


async def test_a_pair_that_only_the_disk_has_comes_back_to_redis_first(
    scripts: Scripts, redis: Redis, tmp_path: Path
) -> None:
    await vault(scripts, tmp_path).save(PAIR)
    await vault(scripts, tmp_path).save(replace(PAIR, generation=5))
    await tokens(scripts).save(6, Seal((KEY,)).seal(replace(PAIR, generation=6)))
    assert (await vault(scripts, tmp_path).load() or PAIR).generation == 6
    await redis.flushall()
    assert (await vault(scripts, tmp_path).load() or PAIR).generation == 5
    assert await tokens(scripts).load() is not None


async def test_a_save_that_redis_does_not_take_is_on_the_disk(scripts: Scripts, tmp_path: Path) -> None:
    await vault(scripts, tmp_path).save(PAIR)
    async with connected("redis://127.0.0.1:1/0", patience=0.2) as away:
        broken = Scripts(away, scripts.root)
        with pytest.raises(StoreUnavailable):
            await vault(broken, tmp_path).save(replace(PAIR, generation=5))
    assert (await vault(scripts, tmp_path).load() or PAIR).generation == 5


async def test_a_late_save_does_not_put_an_older_pair_over_the_one_on_the_disk(
    scripts: Scripts, redis: Redis, tmp_path: Path
) -> None:
    await vault(scripts, tmp_path).save(replace(PAIR, generation=9))
    assert not await vault(scripts, tmp_path).save(replace(PAIR, generation=5))
    await redis.flushall()
    assert (await vault(scripts, tmp_path).load() or PAIR).generation == 9


async def test_a_damaged_or_unwritable_disk_is_no_obstacle(scripts: Scripts, tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "main.sealed").write_bytes(b"\x00 half a file")
    assert await vault(scripts, tmp_path).load() is None
    assert await vault(scripts, tmp_path).save(PAIR)
    (tmp_path / "a file").write_text("")
    nowhere = SealedVault(tokens(scripts), Seal((KEY,)), tmp_path / "a file" / "main.sealed")
    assert await nowhere.save(replace(PAIR, generation=5))
    assert (await nowhere.load() or PAIR).generation == 5
