"""The key schema of the queue [pure]: every Redis key there is, its type, and who writes it.

All keys start with one hash tag, so that Cluster and Sentinel deployments hold them on one primary and a script may touch
any of them. Times are milliseconds of the Redis clock unless named otherwise.

    {p}:call:<id>         HASH    the mutable part of a call, see CallField                  every script
    {p}:bodies            HASH    id -> envelope, the immutable part (`envelope.py`)         put
    {p}:keys              HASH    digest of the call key -> id: the dedupe index             put
    {p}:index             ZSET    every id by time of receipt                                put
    {p}:story:<id>        LIST    what happened to a call, JSON entries, the last 100        put settle reclaim replay
    {p}:accounts          SET     accounts that ever had a call                              put
    {p}:due:<account>     ZSET    waiting calls by the time they may be sent                 put settle release reclaim
    {p}:retrying          SET     waiting calls for which a request has been made            settle claim
    {p}:leases            ZSET    claimed and sending calls by the end of their lease        claim sending settle reclaim
    {p}:uncertain:<acct>  ZSET    uncertain calls by the time of the next look               settle reclaim look
    {p}:parked:<account>  ZSET    calls without a contact by the time of the next try        settle revive
    {p}:delivered ...     ZSET    final calls by the time they got there, one key a state    put settle replay discard
    {p}:recording:<dig>   STRING  a recording that came before its call, kept for a day      patch put
    {p}:fence             STRING  counter: each claim and each look gets the next number     claim look reclaim
    {p}:pace:<account>    HASH    next, blocked_until (microseconds), failures, why          pace slow steady
    {p}:pause:<account>   HASH    reason detail since probe_at every at_most                 pause claim resume
    {p}:counts            HASH    <source>:<what> -> how many webhooks                       put patch count
    {p}:seen              HASH    source -> time of its last authenticated webhook           put patch count
    {p}:workers           ZSET    worker ids by their last heartbeat                         presence
    {p}:drains            HASH    account -> worker id that drains it                        presence
    {p}:arq               ZSET    arq's own queue of wake-up jobs                            arq
"""

from __future__ import annotations

from typing import Final

from callbridge.outcome import FINAL, State


def root(prefix: str) -> str:
    """What every key begins with, hash tag included: `{callbridge}:`."""
    return f"{{{prefix}}}:"


def call(root: str, call_id: str) -> str:
    return f"{root}call:{call_id}"


def story(root: str, call_id: str) -> str:
    return f"{root}story:{call_id}"


def due(root: str, account: str) -> str:
    return f"{root}due:{account}"


def uncertain(root: str, account: str) -> str:
    return f"{root}uncertain:{account}"


def parked(root: str, account: str) -> str:
    return f"{root}parked:{account}"


def pause(root: str, account: str) -> str:
    return f"{root}pause:{account}"


def pace(root: str, account: str) -> str:
    return f"{root}pace:{account}"


def final(root: str, state: State) -> str:
    """The set in which a final state keeps its calls."""
    if state not in FINAL:
        raise ValueError(f"{state} is not final")
    return f"{root}{state.value}"


class CallField:
    """Fields of `{p}:call:<id>`. Short, because a million waiting calls carry them; an absent field is zero or none."""

    STATE: Final = "st"
    ACCOUNT: Final = "ac"
    SOURCE: Final = "so"
    FENCE: Final = "fn"
    ATTEMPTS: Final = "at"
    PARKS: Final = "pk"
    LOOKS: Final = "lk"
    DEATHS: Final = "dt"
    RECEIVED: Final = "rc"
    UPDATED: Final = "up"
    FIRST_SENT: Final = "fs"
    LAST_SENT: Final = "ls"
    RETRIED_SINCE: Final = "bs"
    UNCERTAIN_SINCE: Final = "us"
    BATCH: Final = "ba"
    REASON: Final = "rs"
    DETAIL: Final = "de"
    CONTENT: Final = "dg"
    DUPLICATES: Final = "du"
    VARIANTS: Final = "va"
    LINK: Final = "ln"
    NOTE: Final = "ni"
    ENTITY_TYPE: Final = "et"
    ENTITY: Final = "ei"
