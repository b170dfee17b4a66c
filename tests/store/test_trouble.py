"""Every kind of "no" has its name: from the words of the servers, and provoked on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from callbridge.errors import StoreUnavailable
from callbridge.store.connect import connected, pool_of
from callbridge.store.inbox import RedisInbox
from callbridge.store.scripts import Scripts
from callbridge.store.trouble import Trouble, passes, trouble_of, words_for
from support.builders import a_finished_call
from support.redis_server import RedisServer, free_port

ROOT = "{trouble}:"

KNOWN = [
    (exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:1."), Trouble.UNREACHABLE),
    (ConnectionRefusedError(), Trouble.UNREACHABLE),
    (exceptions.ConnectionError("No connection available."), Trouble.NO_CONNECTION),
    (exceptions.MaxConnectionsError(), Trouble.NO_CONNECTION),
    (exceptions.TimeoutError("Timeout reading from socket"), Trouble.SILENT),
    (TimeoutError(), Trouble.SILENT),
    (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), Trouble.LOADING),
    (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), Trouble.OUT_OF_MEMORY),
    (
        exceptions.ResponseError(
            "Error running script (call to f_1): @user_script:3: @user_script: 3: -OOM command not allowed when used"
        ),
        Trouble.OUT_OF_MEMORY,
    ),
    (exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), Trouble.DISK),
    (exceptions.ReadOnlyError("You can't write against a read only replica."), Trouble.FAILOVER),
    (exceptions.ConnectionError("The previous master is now a slave"), Trouble.FAILOVER),
    (exceptions.ResponseError("MASTERDOWN Link with MASTER is down"), Trouble.FAILOVER),
    (exceptions.ResponseError("UNBLOCKED force unblock from blocking operation"), Trouble.FAILOVER),
    (MasterNotFoundError("No master found for 'calls'"), Trouble.FAILOVER),
    (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), Trouble.REPLICAS),
    (exceptions.ResponseError("BUSY Redis is busy running a script."), Trouble.BUSY),
    (exceptions.NoScriptError("No matching script."), Trouble.NO_SCRIPT),
    (exceptions.AuthenticationError("invalid username-password pair or user is disabled."), Trouble.DENIED),
    (exceptions.NoPermissionError("this user has no permissions to run the 'evalsha' command"), Trouble.DENIED),
    (exceptions.ResponseError("ERR ACL failure in script: This user has no permissions"), Trouble.DENIED),
    (exceptions.ClusterDownError("CLUSTERDOWN"), Trouble.CLUSTER),
    (exceptions.ResponseError("MOVED 3999 127.0.0.1:6381"), Trouble.CLUSTER),
    (exceptions.ResponseError("PUT wants pairs"), Trouble.BUG),
    (exceptions.ResponseError("user_script:9: attempt to index a nil value"), Trouble.BUG),
    (StoreUnavailable("nobody said why"), Trouble.UNREACHABLE),
]


@pytest.mark.parametrize(("error", "trouble"), KNOWN, ids=lambda value: str(value)[:40])
def test_each_answer_of_redis_has_its_name(error: Exception, trouble: Trouble) -> None:
    assert trouble_of(error) is trouble
    own = StoreUnavailable("put: in our words")
    own.__cause__ = error
    assert trouble_of(own) is trouble


@pytest.mark.parametrize("trouble", Trouble)
def test_each_name_has_words_and_is_known_to_pass_or_not(trouble: Trouble) -> None:
    assert words_for(trouble)
    assert passes(trouble) == (trouble not in {"denied", "bug"})


# --- provoked --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.stop()


async def put(url: str, ref: str = "pbx-1", *, replicas: int = 0, patience: float = 2.0) -> Trouble | str:
    """What storing a call ends with: the trouble, or how it was stored."""
    async with connected(url, patience=patience) as redis:
        inbox = RedisInbox(Scripts(redis, ROOT), lambda: 1_790_000_100.0, lambda _: None, replicas=replicas)
        try:
            (receipt,) = await inbox.put([a_finished_call(ref=ref)])
        except StoreUnavailable as error:
            return trouble_of(error)
        return receipt.kind.value


async def test_nobody_listens() -> None:
    assert await put(f"redis://127.0.0.1:{free_port()}/0") is Trouble.UNREACHABLE


async def test_somebody_listens_and_says_nothing() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assert await put(f"redis://127.0.0.1:{port}/0", patience=0.2) is Trouble.SILENT
    listener.close()


async def test_full_memory(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        await redis.config_set("maxmemory", 1)
    assert await put(server.url) is Trouble.OUT_OF_MEMORY


async def test_a_replica(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        await redis.replicaof("127.0.0.1", free_port())
    assert await put(server.url) is Trouble.FAILOVER
    async with connected(server.url) as redis:
        await redis.replicaof("NO", "ONE")
    assert await put(server.url) == "stored"


async def test_after_a_demotion_no_old_connection_is_used_again(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        scripts = Scripts(redis, ROOT)
        await scripts.run("agenda")
        first = await redis.client_id()
        await redis.replicaof("127.0.0.1", free_port())
        with pytest.raises(StoreUnavailable):
            await scripts.run("count", "office")
        assert await redis.client_id() != first


async def test_a_replica_that_serves_nothing_while_its_primary_is_down(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        await redis.config_set("replica-serve-stale-data", "no")
        await redis.replicaof("127.0.0.1", free_port())
    assert await put(server.url) is Trouble.FAILOVER


async def test_too_few_replicas_for_redis(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        await redis.config_set("min-replicas-to-write", 1)
    assert await put(server.url) is Trouble.REPLICAS


async def test_too_few_replicas_for_us_and_the_repetition_is_known(server: RedisServer) -> None:
    assert await put(server.url, replicas=1) is Trouble.REPLICAS
    assert await put(server.url) == "duplicate"


async def test_a_changed_password(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        await redis.config_set("requirepass", "changed")
    assert await put(server.url) is Trouble.DENIED
    assert await put(server.url.replace("redis://", "redis://:wrong@")) is Trouble.DENIED
    assert await put(server.url.replace("redis://", "redis://:changed@")) == "stored"


async def test_a_user_with_too_few_rights(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        await redis.acl_setuser("poor", enabled=True, nopass=True, keys="*", commands=["+ping", "+info"])
        assert await put(server.url.replace("redis://", "redis://poor:x@")) is Trouble.DENIED
        # May run scripts, and not what is in them.
        await redis.acl_setuser("poor", enabled=True, nopass=True, keys="*", commands=["+eval", "+evalsha", "+info"])
        assert await put(server.url.replace("redis://", "redis://poor:x@")) is Trouble.DENIED


async def test_data_that_is_still_being_read(server: RedisServer) -> None:
    async with connected(server.url, patience=30) as redis:
        await redis.config_set("appendonly", "no")
        await redis.config_set("rdbcompression", "no")
        await redis.eval("for n = 1, 100000 do redis.call('SET', 'key:' .. n, string.rep('x', 100)) end", 0)
        await redis.save()
    server.stop()
    server.options = ("--appendonly", "no", "--key-load-delay", "100")  # microseconds for each key
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    found: set[Trouble | str] = set()
    async with asyncio.timeout(60):
        while Trouble.LOADING not in found:
            found.add(await put(server.url))
    server.kill()
    await asyncio.gather(starting, return_exceptions=True)


async def test_a_script_that_takes_too_long_is_waited_for_once(server: RedisServer) -> None:
    async with connected(server.url, patience=10) as redis:
        await redis.config_set("lua-time-limit", 10)
        loop = "local n = 0 while true do n = n + 1 end"
        slow = asyncio.create_task(redis.eval(loop, 0))
        await asyncio.sleep(0.2)
        assert await put(server.url) is Trouble.BUSY
        waiting = asyncio.create_task(put(server.url))
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"SCRIPT KILL\r\n")
        assert await reader.readline() == b"+OK\r\n"
        writer.close()
        assert await waiting == "stored"
        await asyncio.gather(slow, return_exceptions=True)


async def test_forgotten_scripts_are_sent_along_however_often(server: RedisServer) -> None:
    async with connected(server.url) as redis:
        scripts = Scripts(redis, ROOT)
        inbox = RedisInbox(scripts, lambda: 1_790_000_100.0, lambda _: None)

        async def forget() -> None:
            while True:
                await redis.script_flush()

        forgetting = asyncio.create_task(forget())
        kinds = [(await inbox.put([a_finished_call(ref=f"pbx-{n}")]))[0].kind.value for n in range(200)]
        forgetting.cancel()
        await asyncio.wait([forgetting])
    assert kinds == ["stored"] * 200


async def test_more_at_once_than_there_are_connections_wait_and_none_is_an_accident(server: RedisServer) -> None:
    pool = pool_of(server.url, patience=5, connections=2)
    async with connected(server.url) as redis:
        redis.connection_pool = pool
        scripts = Scripts(redis, ROOT)
        replies = await asyncio.gather(*(scripts.run("count", f"source-{n}") for n in range(200)))
    assert len(replies) == 200
    await pool.aclose()


async def test_no_connection_in_time_has_its_own_name(server: RedisServer) -> None:
    pool = pool_of(server.url, patience=0.2, connections=1)
    held = await pool.get_connection()
    async with connected(server.url) as redis:
        redis.connection_pool = pool
        with pytest.raises(StoreUnavailable) as heard:
            await Scripts(redis, ROOT, flags=False).run("agenda")
    assert trouble_of(heard.value) is Trouble.NO_CONNECTION
    await pool.release(held)
    await pool.aclose()
