"""Put into a forked role before it runs: points at which it dies or falls asleep, guards that are off, a clock that moves.

    CRASH_AT=post.after_body:2         the second time it gets there the process kills itself with -9
    SLEEP_AT=post.before_send          the first time it gets there the process stops itself; SIGCONT wakes it
    GUARDS_OFF=read_back,fence         the storm must then show what the guard was for
    HASTE=0.25                         waits that are no settings (heartbeat, lease margin) are that much shorter
    MOVABLE_CLOCK=1                    the scripts' clock is ahead by what {callbridge}:clock says, in seconds

The product knows nothing of this: functions are wrapped from outside, by name.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp

import callbridge.worker
from callbridge import wiring
from callbridge.amocrm import exchange
from callbridge.amocrm.client import AmoAccount
from callbridge.amocrm.vault import SealedVault
from callbridge.delivery import deliver, reconcile
from callbridge.found import ReadBack
from callbridge.store import presence, scripts
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import RedisQueue
from callbridge.store.repair import RedisRepair
from callbridge.store.tokens import RedisTokens

POINTS: Final[Mapping[str, tuple[Any, str, bool]]] = {
    "accept.before_write": (RedisInbox, "_write", True),
    "accept.after_write": (RedisInbox, "_write", False),
    "claim.after": (RedisQueue, "claim", False),
    "translate.mid": (AmoAccount, "translate", False),
    "post.before_send": (RedisQueue, "mark_sending", True),
    "post.marked": (RedisQueue, "mark_sending", False),
    "post.after_headers": (exchange, "_TRACE", True),
    "post.after_body": (AmoAccount, "post", False),
    "classify.before": (deliver, "plan", True),
    "record.before": (RedisQueue, "settle", True),
    "record.after": (RedisQueue, "settle", False),
    "reconcile.mid": (reconcile, "conclude", True),
    "replay.mid": (RedisRepair, "replay", False),
    "token.before_backup": (SealedVault, "save", True),
    "token.before_save": (RedisTokens, "save", True),
    "token.after_save": (RedisTokens, "save", False),
}
"""Name to (where, which function, whether before it)."""


def apply(environ: Mapping[str, str]) -> None:
    for order, deed in (("CRASH_AT", signal.SIGKILL), ("SLEEP_AT", signal.SIGSTOP)):
        if point := environ.get(order):
            name, _, nth = point.partition(":")
            owner, function, before = POINTS[name]
            place = getattr(owner, function)
            if isinstance(place, aiohttp.TraceConfig):
                place.on_request_headers_sent.append(_stumbling(_headers_sent, int(nth or 1), deed, before=before))
            else:
                setattr(owner, function, _stumbling(place, int(nth or 1), deed, before=before))
    for guard in filter(None, environ.get("GUARDS_OFF", "").split(",")):
        GUARDS[guard]()
    if haste := environ.get("HASTE"):
        _hurry(float(haste))
    if environ.get("MOVABLE_CLOCK"):
        _edit_scripts(lambda _, text: text.replace("redis.call('TIME')", _CLOCK))


def _stumbling(function: Callable[..., Any], nth: int, deed: signal.Signals, *, before: bool) -> Callable[..., Any]:
    left = nth

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), deed)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapped_async(*args: Any, **named: Any) -> Any:
            if before:
                reached()
            result = await function(*args, **named)
            if not before:
                reached()
            return result

        return wrapped_async

    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> Any:
        if before:
            reached()
        result = function(*args, **named)
        if not before:
            reached()
        return result

    return wrapped


async def _headers_sent(*_: Any) -> None:
    """The request's head has been handed to the socket, its body has not."""


def _hurry(factor: float) -> None:
    wiring.LEASE_MARGIN *= factor
    presence.GONE_AFTER *= factor
    callbridge.worker.BEAT *= factor


_CLOCK: Final = (
    "(function() local t = redis.call('TIME') return {tostring(tonumber(t[1]) + "
    "tonumber(redis.call('GET', KEYS[1] .. 'clock') or 0)), t[2]} end)()"
)


def _edit_scripts(edit: Callable[[str, str], str]) -> None:
    genuine = scripts.source_of

    def edited(verb: scripts.Verb) -> str:
        return edit(verb, genuine(verb))

    scripts.source_of = edited


def _without_read_back() -> None:
    async def nothing_there(*_: Any, **__: Any) -> ReadBack:
        return ReadBack({})

    AmoAccount.read_back = nothing_there  # type: ignore[method-assign] # that is what an injection does


def _without_fence() -> None:
    def loose(verb: str, text: str) -> str:
        match verb:
            case "settle":
                return _replaced(text, "held ~= fence or not moves[from]", "not moves[from]")
            case "sending":
                return _replaced(text, "held == fence and (state", "(state == 'waiting' or state")
            case "release":
                return _replaced(text, "held == fence and (state", "(state")
        return text

    _edit_scripts(loose)


def _without_token_lock() -> None:
    _edit_scripts(
        lambda verb, text: (
            _replaced(text, "holder ~= owner then return 0", "false then return 0") if verb == "lock" else text
        )
    )


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise LookupError(f"the script has changed, there is no {old!r}: this guard has to be taken out in another way")
    return text.replace(old, new)


GUARDS: Final[Mapping[str, Callable[[], None]]] = {
    "read_back": _without_read_back,
    "fence": _without_fence,
    "token_lock": _without_token_lock,
}
