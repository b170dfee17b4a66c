"""amoCRM's words [pure]: the item of `POST /api/v4/calls` with its exact types, and the names and numbers of its API.

Nobody outside `amocrm` imports this module: when the vendor renames a field, this is where it changes. It knows nothing
of our `Call`; `translate` fills the item, `classify` and `notes` read answers with the two readers at the end.

Sources: the vendor's page "Calls" of the API v4 (2021-03-04), its changelog (`call_responsible`, 2023-02-07), its page
of limits, the official PHP client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

CALLS_PATH: Final = "/api/v4/calls"
ACCOUNT_PATH: Final = "/api/v4/account"
USERS_PATH: Final = "/api/v4/users"

MAX_BATCH: Final = 250
"""Entities in one write (page of limits; 50 advised). One more is answered 422."""

MAX_PAGE: Final = 250
"""Entities on one page of a list (page of limits)."""

CALL_NOTES: Final = ("call_in", "call_out")
"""A stored call is a note of one of these types on a card."""

ENTITY_OF: Final[Mapping[str, str]] = {
    "contacts": "contact",
    "companies": "company",
    "leads": "lead",
    "customers": "customer",
}
"""Where a call can land: plural in addresses, singular in `entity_type`."""

CUSTOMERS_OFF: Final = frozenset({"unavailable", "disabled"})
"""Values of the account's `customers_mode` under which no customer card can exist to hold a note."""

ENTITY_NOT_FOUND: Final = 263
"""The item-level `status` of a number that no card has. Its texts follow the account's language, so nobody reads them."""

UserId = Annotated[int, Field(strict=True, ge=1, le=2**53)]
Seconds = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
NonEmpty = Annotated[str, Field(strict=True, min_length=1)]


class CallItem(BaseModel):
    """One call as amoCRM takes it.

    A key without a value is left out: null is refused (code `NotNullable`) although the key is optional. The vendor
    documents no text lengths; ours are those of `Call`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    direction: Literal["inbound", "outbound"]
    phone: NonEmpty
    """Any formatting; the server compares the last ten digits."""
    duration: Seconds
    """Required, 0 for a call without talk."""
    source: NonEmpty
    """Required, and blank is refused (code `NotBlank`)."""
    uniq: NonEmpty
    """Stored with the note, not used by the server to recognise a repeat: that is our duty."""
    request_id: NonEmpty
    """Comes back unchanged and is not stored. Without it the server answers with the item's index."""
    call_status: Annotated[int, Field(strict=True, ge=1, le=7)]
    """1 left a message, 2 call back, 3 not available, 4 talked, 5 wrong number, 6 no answer, 7 busy. The 8 of some
    clients is undocumented."""
    call_result: NonEmpty | None = None
    link: NonEmpty | None = None
    """Stored as an address; the browser fetches it when somebody presses play."""
    created_at: Seconds
    """Places the call on the card's timeline."""
    responsible_user_id: UserId | None = None
    call_responsible: UserId | None = None
    """Who is shown as having talked. A JSON number: a string here would be shown as a person's name."""
    created_by: UserId | None = None
    """Left out where no user is known: the CRM's statistics then show a robot, which is the truth."""
    updated_by: UserId | None = None
    updated_at: Seconds | None = None
    """Never set by us, see `translate`."""

    def to_json(self) -> bytes:
        """The item's bytes: the same item gives the same bytes, field order included."""
        return orjson.dumps(self.model_dump(exclude_none=True))


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in `body`; None for anything else: a proxy's page, half an answer, a list, endless nesting."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def positive(value: object) -> int | None:
    """An id as the API writes it: a positive number, here and there in quotes."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
