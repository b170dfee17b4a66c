"""What Redis said when it did not do what it was asked [pure]: one word for each kind, and what an operator does about it.

The answers are Redis's own error codes; inside a script the same code comes in another wrapping, before 7.0 within the text.
Apart from `scripts` because everybody who waits for Redis has to tell "it comes back by itself" from "somebody must act".
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from redis.asyncio.sentinel import MasterNotFoundError, SlaveNotFoundError
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterError,
    MasterDownError,
    MaxConnectionsError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from callbridge.errors import StoreUnavailable


class Trouble(StrEnum):
    """Nothing of what was asked may be taken for done, whichever it is; after SILENT it may have been."""

    UNREACHABLE = "unreachable"
    SILENT = "silent"
    LOADING = "loading"
    OUT_OF_MEMORY = "out_of_memory"
    DISK = "disk"
    FAILOVER = "failover"
    REPLICAS = "replicas"
    BUSY = "busy"
    NO_SCRIPT = "no_script"
    DENIED = "denied"
    CLUSTER = "cluster"
    NO_CONNECTION = "no_connection"
    BUG = "bug"


_CODES: Final = {
    "LOADING": Trouble.LOADING,
    "OOM": Trouble.OUT_OF_MEMORY,
    "MISCONF": Trouble.DISK,
    "READONLY": Trouble.FAILOVER,
    "MASTERDOWN": Trouble.FAILOVER,
    "UNBLOCKED": Trouble.FAILOVER,
    "NOREPLICAS": Trouble.REPLICAS,
    "BUSY": Trouble.BUSY,
    "NOSCRIPT": Trouble.NO_SCRIPT,
    "NOAUTH": Trouble.DENIED,
    "WRONGPASS": Trouble.DENIED,
    "NOPERM": Trouble.DENIED,
    "CLUSTERDOWN": Trouble.CLUSTER,
    "TRYAGAIN": Trouble.CLUSTER,
    "MOVED": Trouble.CLUSTER,
    "ASK": Trouble.CLUSTER,
    "CROSSSLOT": Trouble.CLUSTER,
}
_IN_A_SCRIPT: Final = re.compile(rf"(?:^|[\s:])-?({'|'.join(_CODES)})\b")
_DENIED_IN_A_SCRIPT: Final = ("ACL failure in script", "can't run this command")


_KINDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Trouble], ...]] = (
    (BusyLoadingError, Trouble.LOADING),
    (OutOfMemoryError, Trouble.OUT_OF_MEMORY),
    ((ReadOnlyError, MasterDownError, MasterNotFoundError, SlaveNotFoundError), Trouble.FAILOVER),
    (NoScriptError, Trouble.NO_SCRIPT),
    (
        (AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError, NoPermissionError),
        Trouble.DENIED,
    ),
    ((ClusterError, TryAgainError, AskError), Trouble.CLUSTER),
    (MaxConnectionsError, Trouble.NO_CONNECTION),
    ((RedisTimeoutError, TimeoutError), Trouble.SILENT),
)
"""The first that fits counts: redis-py makes some of them connection errors too."""


def trouble_of(error: BaseException) -> Trouble:
    """`error` is what redis-py raised, or our own that was raised from it."""
    if isinstance(error, StoreUnavailable):
        return trouble_of(error.__cause__) if error.__cause__ else Trouble.UNREACHABLE
    for kinds, trouble in _KINDS:
        if isinstance(error, kinds):
            return trouble
    match error:
        case RedisConnectionError():
            return _of_a_connection(str(error))
        case ResponseError():
            return _of_an_answer(str(error))
        case OSError():
            return Trouble.UNREACHABLE
        case _:
            return Trouble.BUG


def _of_a_connection(text: str) -> Trouble:
    if text.startswith("The previous master is now"):  # redis-py's word for READONLY behind Sentinel
        return Trouble.FAILOVER
    return Trouble.NO_CONNECTION if text.startswith("No connection available") else Trouble.UNREACHABLE


def _of_an_answer(text: str) -> Trouble:
    if found := _IN_A_SCRIPT.search(text):
        return _CODES[found[1]]
    return Trouble.DENIED if any(words in text for words in _DENIED_IN_A_SCRIPT) else Trouble.BUG


def passes(trouble: Trouble) -> bool:
    """Whether it may be over without anybody changing anything here."""
    return trouble not in {Trouble.DENIED, Trouble.BUG}


def words_for(trouble: Trouble) -> str:
    """One line for an operator."""
    return _WORDS[trouble]


_WORDS: Final = {
    Trouble.UNREACHABLE: "Redis cannot be reached",
    Trouble.SILENT: "Redis does not answer in time",
    Trouble.LOADING: "Redis is still loading its data",
    Trouble.OUT_OF_MEMORY: "Redis is at its memory limit: raise maxmemory, or wait until calls are delivered",
    Trouble.DISK: "Redis cannot write to its disk: make room there",
    Trouble.FAILOVER: "there is no Redis primary now: a failover is under way, or this is a replica",
    Trouble.REPLICAS: "too few replicas confirm what Redis stores",
    Trouble.BUSY: "Redis is busy with a script that takes too long",
    Trouble.NO_SCRIPT: "Redis forgets its scripts",
    Trouble.DENIED: "configuration error: Redis does not accept our user or password, or its rights are too few",
    Trouble.CLUSTER: "the Redis Cluster is not in order",
    Trouble.NO_CONNECTION: "no connection to Redis is free",
    Trouble.BUG: "Redis refuses a command of ours: please report it",
}
