"""Everything this package raises on purpose.

    CallbridgeError
      +- BadWebhook             what a sender did wrong; `reason` is a stable code, `status` the HTTP answer
      |    +- Unauthenticated   no, wrong or stale credential, or an unknown source: the sender cannot tell which
      |    +- BodyRefused       too large, too slow
      |    +- MethodRefused     authenticated, but this PBX does not send by this HTTP method
      |    +- Undecodable       authenticated, but no call can be read from it: stored for a person, answered 2xx
      +- Unavailable            what cannot be reached now; always chained from the library's error
      |    +- StoreUnavailable
      |    +- AccountSlowed     no request to this account for a while; `seconds` says how long
      +- Misconfigured          what an operator must change; the message names the setting

Library exceptions do not cross a folder border: the library may be replaced, and a caller should catch our words. There is
no exception for a 4xx or 5xx of the CRM: that is an `outcome.Answer`.
"""

from __future__ import annotations


class CallbridgeError(Exception):
    """The root: catch it to catch all of ours."""


class BadWebhook(CallbridgeError):
    """What a sender did wrong. The message is for our logs; a sender is told no more than the status."""

    status: int = 400

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unauthenticated(BadWebhook):
    """No valid credential. Unknown sources raise it too, so that names cannot be probed."""

    status = 401


class BodyRefused(BadWebhook):
    """Too large (413) or too slow (408)."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class MethodRefused(BadWebhook):
    """Authenticated, but webhooks of this kind come by another HTTP method."""

    status = 405

    def __init__(self, reason: str, allowed: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.allowed = allowed


class Undecodable(BadWebhook):
    """An authenticated body without a call in it. It is stored, so the sender gets a 2xx."""

    status = 200


class Unavailable(CallbridgeError):
    """Something we depend on does not answer now; trying again later is right."""


class StoreUnavailable(Unavailable):
    """Redis did not confirm. Nothing may be acknowledged."""


class LedgerUnavailable(Unavailable):
    """The SQL database did not answer, or not in time. What is on its way does not wait for it."""


class AccountSlowed(Unavailable):
    """The CRM asked for a pause, or does not answer; nobody sends to the account for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no request for {seconds:.1f} s")
        self.seconds = seconds


class Misconfigured(CallbridgeError):
    """An operator has to change something; the message says what and where."""
