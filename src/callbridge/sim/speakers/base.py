"""What the simulated PBXs share [pure]: the story of a call, what proves the sender, and what goes over the wire.

A speaker tells one story in the words of one PBX and signs what it tells as that PBX does. Speakers are written from the
vendors' documents and apart from the verifying side, so that the two check each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

JSON, FORM = "application/json", "application/x-www-form-urlencoded"


class Auth(StrEnum):
    """How a sender that has a choice proves who it is."""

    SIGNATURE = "signature"
    BEARER = "bearer"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the receiver's source is configured with. `hook` is the whole public address of the source, path token included,
    for PBXs that sign the URL; `timezone` is the zone of the PBX's wall clock.
    """

    secret: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    path_token: str = field(default="", repr=False)
    auth: Auth = Auth.SIGNATURE
    hook: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Story:
    """One call, before it is told in a PBX's words. Times are Unix seconds and seconds; `status` is how it ended
    (answered, voicemail, unavailable, wrong_number, no_answer, busy); `transferred`: a first employee did not answer, so
    that PBXs with legs tell of two. `phone` is written with a plus and its country code. `internal`: the employee at
    `extension` called a colleague, and `phone` is the colleague's extension; told only to speakers that know such calls.
    """

    ref: str
    inbound: bool
    phone: str
    extension: str
    line: str
    started: int
    ringing: int
    talk: int
    status: str
    recorded: bool
    transferred: bool = False
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a PBX says, before it is signed. `event` is what `Speaker.sign` needs to know beside the body;
    `late` marks a recording that is ready only some time after the call.
    """

    event: str
    body: bytes
    late: bool = False


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A request for the receiver: `path_suffix` is appended to the source's URL and may end with a query."""

    method: str
    path_suffix: str
    headers: dict[str, str]
    body: bytes


class Speaker(Protocol):
    """One simulated PBX."""

    @property
    def name(self) -> str: ...

    @property
    def events(self) -> tuple[str, ...]:
        """The values of `Told.event`, the finished call first: what `callbridge send --event` offers."""

    def tell(self, story: Story, timezone: str) -> list[Told]:
        """All that the PBX says about the call, in its order."""

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:
        """Raises `ValueError` where a credential is missing, in words for the user."""


def token_segment(credentials: Credentials) -> str:
    return f"/{credentials.path_token}" if credentials.path_token else ""


def carried(credentials: Credentials) -> dict[str, str]:
    """The header of a PBX that signs nothing but can carry a secret; none where the path token is the credential."""
    if credentials.secret:
        return {"Authorization": f"Bearer {credentials.secret}"}
    if not credentials.path_token:
        raise ValueError("a secret or a path token is needed to prove the sender")
    return {}
