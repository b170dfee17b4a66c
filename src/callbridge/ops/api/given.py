"""What the endpoints take: parameters and bodies, each with its limits."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from callbridge.ledger.views import CallFilter
from callbridge.ops.api.endpoint import Given
from callbridge.ops.api.reading import number, whole
from callbridge.ops.jobs import JobAction
from callbridge.outcome import PublicState

_LATEST: Final = 4_102_444_800
"""The year 2100."""

Moment = Annotated[float, Field(ge=0, le=_LATEST), BeforeValidator(number)]
Limit = Annotated[int, Field(ge=1, le=200), BeforeValidator(whole)]
Count = Annotated[int, Field(ge=0, lt=1 << 53), BeforeValidator(whole)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Code = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
Cause = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,16}$")]
Digits = Annotated[str, Field(pattern=r"^[0-9]{2,20}$")]
Line = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Cursor = Annotated[str, Field(pattern=r"^[0-9A-Za-z_=.~-]{1,512}$")]
Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,40}$")]
JobId = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{8,40}$")]
Why = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
Unset: TypeAlias = None
"""A part that is left out. It is never written: `null` is refused, and not in the documented schema."""


class _Explicit(Given):
    @model_validator(mode="before")
    @classmethod
    def _nothing_is_null(cls, value: Any) -> Any:
        if isinstance(value, dict) and (nulls := [name for name in cls.model_fields if value.get(name, ...) is None]):
            raise ValueError(f"what is not wanted is left out, not null: {', '.join(nulls)}")
        return value


class Wanted(_Explicit):
    """Which calls: every part that is given must hold, several states are alternatives."""

    state: list[PublicState] = Field([], max_length=10, description="One state, or several as alternatives.")
    account: Name | Unset = Field(None, description="Name of an account.")
    source: Name | Unset = Field(None, description="Name of a source.")
    direction: Literal["inbound", "outbound", "internal"] | Unset = Field(None, description="Seen from the company.")
    reason: Code | Unset = Field(None, description="Stable code, no_matching_entity.")
    cause: Cause | Unset = Field(None, description="The cause of an error group.")
    phone: Digits | Unset = Field(None, description="The number's last digits.")
    text: Line | Unset = Field(None, description="An id, a uniq or the PBX's own id, whole.")
    since: Moment | Unset = Field(None, description="Received at this time or later, Unix seconds.")
    until: Moment | Unset = Field(None, description="Received before this time, Unix seconds.")

    def as_filter(self) -> CallFilter:
        return CallFilter(
            states=tuple(dict.fromkeys(self.state)),
            account=self.account,
            source=self.source,
            direction=self.direction,
            reason=self.reason,
            cause=self.cause,
            phone=self.phone,
            text=self.text,
            since=self.since,
            until=self.until,
        )


_CURSOR: Final = Field(None, description="`next` of the page before; opaque. Absent: the first page.")
_LIMIT: Final = Field(50, description="Rows on a page.")


class CallsQuery(Wanted):
    order: Literal["received", "settled"] = Field("received", description="Newest first, by receipt or by end.")
    limit: Limit = _LIMIT
    cursor: Cursor | Unset = _CURSOR


AnswerName = Literal["PerCall", "WholeRefused", "SlowDown", "AccountStopped", "TokenRefused", "NotSent", "NoAnswer"]
"""`outcome.Answer` by the names of its kinds, as the ledger has them."""


class BatchesQuery(_Explicit):
    account: Name | Unset = Field(None, description="Name of an account.")
    answer: AnswerName | Unset = Field(None, description="What kind of answer it got.")
    limit: Limit = _LIMIT
    cursor: Cursor | Unset = _CURSOR


class DeadQuery(_Explicit):
    account: Name | Unset = Field(None, description="Name of an account.")
    status: Literal["open", "acknowledged", "fixed"] | Unset = Field(None, description="What people said of it.")


class JobsQuery(_Explicit):
    limit: Limit = _LIMIT
    cursor: Cursor | Unset = _CURSOR


class AuditQuery(_Explicit):
    actor: Line | Unset = Field(None, description="Who did it.")
    action: Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,64}$")] | Unset = Field(None, description="What was done.")
    limit: Limit = _LIMIT
    cursor: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,14}$")] | Unset = Field(
        None, description="`next` of the page before: entries with a lower number only."
    )


class _Chosen(_Explicit):
    """Calls by `filter` or by `ids`, exactly one of them."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["filter"]}, {"required": ["ids"]}]})

    action: JobAction = Field(description="What becomes of each call.")
    filter: Wanted | Unset = Field(None, description="All calls that match now.")
    ids: Annotated[list[Id], Field(min_length=1, max_length=1000)] | Unset = Field(None, description="These calls.")

    @model_validator(mode="after")
    def _one_of_both(self) -> _Chosen:
        if (self.filter is None) == (self.ids is None):
            raise ValueError("either `filter` or `ids` is given")
        return self


class PreviewBody(_Chosen):
    """What would happen; nothing does."""


class JobBody(_Chosen):
    id: JobId = Field(description="Chosen by whoever asks: asking twice with it is asking once.")
    reason: Why = Field(description="Why, for the audit.")
    confirmed: Count | Unset = Field(
        None, description="How many calls the preview told: it has to be right, and above 100 it has to be given."
    )


class GroupBody(_Explicit):
    status: Literal["open", "acknowledged", "fixed"] = Field(description="What is said of the group.")
    note: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] | Unset = Field(
        None, description="For whoever looks next."
    )


class PauseBody(_Explicit):
    reason: Why = Field(description="Why, for the audit and for whoever looks next.")
    seconds: Annotated[float, Field(gt=0, le=366 * 86_400)] | Unset = Field(
        None, description="The pause ends by itself after that; absent: when somebody ends it."
    )
