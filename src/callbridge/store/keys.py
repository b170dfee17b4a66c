"""The key schema of the queue [pure]: every Redis key there is, its type, and what it holds.

All keys start with one hash tag, so that Cluster and Sentinel deployments hold them on one primary and a script may touch
any of them. Times are milliseconds of the Redis clock unless named otherwise.

    {p}:call:<id>         HASH    the mutable part of a call, see CallField
    {p}:bodies            HASH    id -> envelope, the immutable part (`envelope.py`)
    {p}:keys              HASH    digest of the call key -> id: the dedupe index
    {p}:index             ZSET    every id by time of receipt
    {p}:legs:<id>         HASH    content digest -> envelope: other legs and variants of a call, ten at most; original:
                                  what the PBX told of one that a person changed
    {p}:story:<id>        LIST    what happened to a call, JSON entries, the last 100
    {p}:accounts          SET     accounts that ever had a call or a pause
    {p}:due:<account>     ZSET    waiting calls by the time they may be sent
    {p}:bulk:<account>    ZSET    the same, replayed or revived: a lane of their own, so that live calls do not wait for them
    {p}:alone:<account>   ZSET    the same, over which workers died again and again: claimed one at a time
    {p}:retrying          SET     waiting calls for which a request has been made
    {p}:leases            ZSET    claimed and sending calls by the end of their lease
    {p}:uncertain:<acct>  ZSET    uncertain calls by the time of the next look
    {p}:parked:<account>  ZSET    calls without a contact by the time of the next try
    {p}:delivered ...     ZSET    final calls by the time they got there, one key a state; {p}:erased too
    {p}:forgotten         HASH    final state -> how many calls are forgotten that got there: the ledger has them
    {p}:remnants          ZSET    what is kept of forgotten calls, so that a repeated webhook is known, by when that was
    {p}:ledger            STREAM  what changed, for the ledger: id (of a call), or batch (record of a request, JSON); group
                                  `ledger`; deleted once it is there
    {p}:recording:<dig>   STRING  digest and link of a recording that came before its call, kept for a day
    {p}:late:<account>    ZSET    notes to add to cards, <id>.<digest of the link>, by the time they may be sent
    {p}:note:<note>       HASH    one of them: id (call), ln (link), cr (queued), ps (posted first), fn, at (postponed), lk
    {p}:fence             STRING  counter: each claim and each look gets the next number
    {p}:pace:<account>    HASH    the next slot and blocked_until (microseconds), slots of the last minute, the breaker
                                  (see `pace.py`), its version, trial_by and trial_until; turn of two lanes, suspect;
                                  asked_times, asked_at: answers that asked for fewer requests, and the last of them
    {p}:pause:<account>   HASH    reason detail since; probe_at every at_most, or, by hand, owner and perhaps until
    {p}:closed:<account>  STRING  why it takes no incoming leads, for a day
    {p}:token:<account>   HASH    generation, pair (sealed with a key that Redis does not have)
    {p}:refresh:<account> STRING  who replaces the pair now, for as long as that may take
    {p}:counts            HASH    <source>:<what> -> how many webhooks
    {p}:seen              HASH    source -> time of its last authenticated webhook
    {p}:refused           HASH    <source>:<code> -> how many webhooks were refused for that; `unknown`: no such source
    {p}:refusals:<source> LIST    the last twenty of them, JSON objects
    {p}:workers           ZSET    worker ids by their last heartbeat
    {p}:drains            HASH    account -> worker id that drains it
    {p}:epoch             HASH    id: which Redis this is; after:<id>: one that a person has accepted it in place of
    {p}:spools            HASH    host -> what waits in its spool, as it last told
    {p}:arq               ZSET    arq's own queue of wake-up jobs
"""

from __future__ import annotations

from typing import Final

from callbridge.outcome import FINAL, State


def root(prefix: str) -> str:
    """What every key begins with, hash tag included: `{callbridge}:`."""
    return f"{{{prefix}}}:"


def call(root: str, call_id: str) -> str:
    return f"{root}call:{call_id}"


def legs(root: str, call_id: str) -> str:
    return f"{root}legs:{call_id}"


def story(root: str, call_id: str) -> str:
    return f"{root}story:{call_id}"


def due(root: str, account: str) -> str:
    return f"{root}due:{account}"


def lanes(root: str, account: str) -> tuple[str, str, str]:
    """Where an account's waiting calls are, each in one of them."""
    return f"{root}due:{account}", f"{root}bulk:{account}", f"{root}alone:{account}"


def uncertain(root: str, account: str) -> str:
    return f"{root}uncertain:{account}"


def parked(root: str, account: str) -> str:
    return f"{root}parked:{account}"


def ledger(root: str) -> str:
    return f"{root}ledger"


def closed(root: str, account: str) -> str:
    return f"{root}closed:{account}"


def pause(root: str, account: str) -> str:
    return f"{root}pause:{account}"


def token(root: str, account: str) -> str:
    return f"{root}token:{account}"


def pace(root: str, account: str) -> str:
    return f"{root}pace:{account}"


def final(root: str, state: State) -> str:
    """The set in which a final state keeps its calls."""
    if state not in FINAL:
        raise ValueError(f"{state} is not final")
    return f"{root}{state.value}"


class CallField:
    """Fields of `{p}:call:<id>` that Python reads. Short, because a million waiting calls carry them; an absent one is
    zero or none. The scripts alone use fn (fence), pk (times parked), lk (looks), dt (deaths of workers), bu (its lane is
    bulk), ba (batch marked last), sn (what left last: when, and with how many calls), fs (first sent), us
    (uncertain since), dg (content digest), rk (rank of the leg that stands), lh (digest of the link that stands), lt (links
    that came while it was on its way, to be noted once it is delivered), nt (digests of the links that are on its card, or
    on the way there), ld (a person asked for an incoming lead), kd (of a forgotten call: digests of its keys).
    """

    STATE: Final = "st"
    ACCOUNT: Final = "ac"
    SOURCE: Final = "so"
    ATTEMPTS: Final = "at"
    RECEIVED: Final = "rc"
    UPDATED: Final = "up"
    REASON: Final = "rs"
    DETAIL: Final = "de"
    DUPLICATES: Final = "du"
    VARIANTS: Final = "va"
    LINK: Final = "ln"
    NOTE: Final = "ni"
    ENTITY_TYPE: Final = "et"
    ENTITY: Final = "ei"
    REPLAYED: Final = "bs"
    FORGOTTEN: Final = "fg"
