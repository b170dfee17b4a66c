"""Put into a forked role before it runs: named points at which it dies, and guards that are switched off.

    CRASH_AT=post.after_body:2         the second time it gets there the process kills itself with -9
    GUARDS_OFF=read_back,fence         the storm must then show what the guard was for

The product knows nothing of this: functions are wrapped from outside, by name.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final

from callbridge.amocrm.client import AmoAccount
from callbridge.delivery import deliver, reconcile
from callbridge.outcome import ReadBack
from callbridge.store import scripts
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import RedisQueue

POINTS: Final[Mapping[str, tuple[Any, str, bool]]] = {
    "accept.before_write": (RedisInbox, "_write", True),
    "accept.after_write": (RedisInbox, "_write", False),
    "claim.after": (RedisQueue, "claim", False),
    "translate.mid": (AmoAccount, "translate", False),
    "post.before_send": (RedisQueue, "mark_sending", False),
    "post.after_body": (AmoAccount, "post", False),
    "classify.before": (deliver, "plan", True),
    "record.before": (RedisQueue, "settle", True),
    "record.after": (RedisQueue, "settle", False),
    "reconcile.mid": (reconcile, "conclude", True),
}
"""Name to (where, which function, whether before it)."""

GUARDS: Final = ("read_back", "fence")


def apply(environ: Mapping[str, str]) -> None:
    if point := environ.get("CRASH_AT"):
        name, _, nth = point.partition(":")
        owner, function, before = POINTS[name]
        setattr(owner, function, _dying(getattr(owner, function), int(nth or 1), before=before))
    for guard in filter(None, environ.get("GUARDS_OFF", "").split(",")):
        _OFF[guard]()


def _dying(function: Callable[..., Any], nth: int, *, before: bool) -> Callable[..., Any]:
    left = nth

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if _is_async(function):

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


def _is_async(function: Callable[..., Any]) -> bool:
    return bool(getattr(function, "__code__", None) and function.__code__.co_flags & 0x80)


def _without_read_back() -> None:
    async def nothing_there(*_: Any, **__: Any) -> ReadBack:
        return ReadBack({})

    AmoAccount.read_back = nothing_there  # type: ignore[method-assign]


def _without_fence() -> None:
    genuine = scripts.source_of

    def loose(verb: scripts.Verb) -> str:
        text = genuine(verb)
        if verb == "settle":
            return _replaced(text, "held ~= fence or not moves[from]", "not moves[from]")
        if verb == "sending":
            return _replaced(text, "held == fence and (state", "(state == 'waiting' or state")
        return text

    scripts.source_of = loose


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise LookupError(f"the script has changed, there is no {old!r}: this guard has to be taken out in another way")
    return text.replace(old, new)


_OFF: Final[Mapping[str, Callable[[], None]]] = {"read_back": _without_read_back, "fence": _without_fence}
