"""How much the CRM lets through [pure]: requests in any sliding second, and the ban of those who do not listen.

amoCRM allows 7 requests a second to an integration and 50 to the whole account (its page "Limits", 2021), Kommo the same 7.
A refused request does not fill the window, but it is a violation; enough violations within a minute block the account.
Thresholds and length of the ban are not published, so they are settings. `now` is passed; nothing here waits.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

WINDOW = 1.0
VIOLATION_WINDOW = 60.0


class Passage(Enum):
    """What the gate says to one request."""

    FREE = auto()
    TOO_MANY = auto()
    BANNED = auto()


class SlidingWindow:
    """At most `limit` admissions in any `WINDOW` seconds; 0 admits everything."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._admitted: deque[float] = deque()

    def has_room(self, now: float) -> bool:
        if not self.limit:
            return True
        while self._admitted and self._admitted[0] <= now - WINDOW:
            self._admitted.popleft()
        return len(self._admitted) < self.limit

    def admit(self, now: float) -> None:
        if self.limit:
            self._admitted.append(now)


class Peak:
    """The most arrivals ever seen in one sliding second, whether they were admitted or not."""

    def __init__(self) -> None:
        self.highest = 0
        self._recent: deque[float] = deque()

    def arrive(self, now: float) -> None:
        self._recent.append(now)
        while self._recent[0] <= now - WINDOW:
            self._recent.popleft()
        self.highest = max(self.highest, len(self._recent))


class Gate:
    """The limits of one account: a window for each integration (told by its token), one for all, and the ban."""

    def __init__(self, *, rate: int, account_rate: int, ban_after: int, ban_for: float) -> None:
        self._rate = rate
        self._account = SlidingWindow(account_rate)
        self._windows: dict[str, SlidingWindow] = {}
        self._ban_after, self._ban_for = ban_after, ban_for
        self._violations: deque[float] = deque()
        self._banned_until = 0.0

    def enter(self, token: str, now: float) -> Passage:
        if now < self._banned_until:
            return Passage.BANNED
        window = self._windows.get(token)
        if window is None:
            window = self._windows[token] = SlidingWindow(self._rate)
        if not (window.has_room(now) and self._account.has_room(now)):
            self._violate(now)
            return Passage.TOO_MANY
        window.admit(now)
        self._account.admit(now)
        return Passage.FREE

    def _violate(self, now: float) -> None:
        if not self._ban_after:
            return
        self._violations.append(now)
        while self._violations[0] <= now - VIOLATION_WINDOW:
            self._violations.popleft()
        if len(self._violations) >= self._ban_after:
            self._violations.clear()
            self._banned_until = now + self._ban_for
