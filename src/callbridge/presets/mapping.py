"""The [map] and [recording] tables of a preset: where each thing about a call stands [pure].

Most keys have a short and a long form: `duration = "talk_time"` is `duration = {value = "talk_time", unit = "s"}`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, field_validator, model_validator

from callbridge.call import CallStatus, Direction
from callbridge.presets import times
from callbridge.presets.conditions import Condition, Value
from callbridge.presets.expressions import Expression
from callbridge.presets.part import Part

MAX_RULES = 200


def _long(told: Any, key: str = "value") -> Any:
    """The long form of a text or a list of texts."""
    return {key: told} if isinstance(told, str | list) else told


def _status(told: Any) -> Any:
    """A status by its name or number; `callback` is a person's decision and no PBX's."""
    if isinstance(told, int) and not isinstance(told, bool):
        told = CallStatus.numbered(told).value
    if told == CallStatus.CALLBACK or told not in set(CallStatus):
        names = ", ".join(status.value for status in CallStatus if status is not CallStatus.CALLBACK)
        raise ValueError(f"is one of {names}")
    return CallStatus(told)


Ending = Annotated[CallStatus, BeforeValidator(_status)]
Word = Annotated[dict[str, Direction], Field(max_length=MAX_RULES)]


class DirectionRule(Part):
    """One way to tell the direction; the first that can counts. `value` alone knows the usual words."""

    const: Direction | None = Field(None, description="Always this.")
    value: Value | None = Field(None, description="What tells it.")
    table: Word = Field({}, description="What each word means; without regard to case.")
    prefix: Word = Field({}, description="What its beginning means; the longest counts.")
    condition: Condition | None = Field(None, alias="if", description="If this holds,")
    then: Direction | None = Field(None, description="it is this.")
    numbers: tuple[Value, Value] | None = Field(
        None, description="Caller and called: who of them is one of our own numbers or short tells the direction."
    )
    routes: Value | None = Field(None, description="A context or trunk, looked up in the source's directions.")

    @model_validator(mode="after")
    def _is_one_way(self) -> DirectionRule:
        ways = (self.const, self.value, self.condition, self.numbers, self.routes)
        if sum(way is not None for way in ways) != 1 or (self.condition is None) is not (self.then is None):
            raise ValueError("is a direction, or has one of value (with table, prefix), if and then, numbers, routes")
        if (self.table or self.prefix) and self.value is None:
            raise ValueError("table and prefix need a value")
        return self


def _direction_rules(told: Any) -> Any:
    rules = told if isinstance(told, list) else [told]
    return [
        ({"const": rule} if rule in set(Direction) else {"value": rule}) if isinstance(rule, str) else rule
        for rule in rules
    ]


class ByDirection(Part):
    """A number that stands in different places by direction."""

    inbound: Value | None = Field(None, description="Of an inbound call.")
    outbound: Value | None = Field(None, description="Of an outbound call.")
    internal: Value | None = Field(None, description="Of an internal call; unset: as of an outbound one.")

    def of(self, direction: Direction) -> Expression | None:
        if direction is Direction.INTERNAL and self.internal is None:
            return self.outbound
        return {"inbound": self.inbound, "outbound": self.outbound, "internal": self.internal}[direction.value]


def _by_direction(told: Any) -> Any:
    return dict.fromkeys(("inbound", "outbound", "internal"), told) if isinstance(told, str | list) else told


class Duration(Part):
    value: Value = Field(description="Talk time.")
    unit: Literal["s", "ms", "min", "hms"] = Field("s", description="What it is counted in; hms: 01:02:03 or 02:03.")
    required: bool = Field(
        False, description="Whether a call without it is kept as unreadable, rather than taken for a missed one."
    )


class Moment(Part):
    value: Value = Field(description="A point in time.")
    format: str = Field("auto", description=f"{', '.join(times.NAMED)}, or a pattern such as DD.MM.YYYY hh:mm:ss.")
    zone: str = Field("source", description="Zone of a wall clock: source, utc, or an IANA name.")
    of: Literal["start", "end"] = Field("start", description="What begins there; end: the call's length is taken off.")
    length: Duration | None = Field(None, description="With end: the whole call's length; unset: the talk time.")

    @field_validator("format")
    @classmethod
    def _is_a_format(cls, told: str) -> str:
        times.check_format(told)
        return told

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, told: str) -> str:
        if told not in {"source", "utc"} and told not in available_timezones():
            raise ValueError("is source, utc or an IANA time zone such as Europe/Moscow")
        return told

    @field_validator("length", mode="before")
    @classmethod
    def _has_a_short_form(cls, told: Any) -> Any:
        return _long(told)


def _moments(told: Any) -> Any:
    """A list with a table in it is several points in time; a list of texts only is one, with alternatives."""
    several = isinstance(told, list) and any(isinstance(each, dict) for each in told)
    return [_long(each) for each in told] if several else [_long(told)]


Moments = Annotated[tuple[Moment, ...], BeforeValidator(_moments)]
"""The first of them that is present counts."""


class Status(Part):
    value: Value | None = Field(None, description="The PBX's word for how a call without talk ended.")
    table: dict[str, Ending] = Field({}, max_length=MAX_RULES, description="What each means; without regard to case.")
    prefix: dict[str, Ending] = Field(
        {}, max_length=MAX_RULES, description="What its beginning means; the longest counts."
    )
    default: Ending = Field(CallStatus.NO_ANSWER, description="What any other means.")


class Link(Part):
    value: Value | None = Field(None, description="The address of the recording.")
    template: str | None = Field(
        None, max_length=500, description="Instead: an address with {name} in it, filled from values, percent-encoded."
    )
    values: dict[str, Value] = Field({}, max_length=10, description="What the template is filled from.")

    @model_validator(mode="after")
    def _is_one_way(self) -> Link:
        if (self.value is None) is (self.template is None):
            raise ValueError("is an expression, or has template and values")
        if self.template and not self.template.startswith(("https://", "http://")):
            raise ValueError("template begins with https://")
        bare = self.template or ""
        for name in self.values:
            bare = bare.replace(f"{{{name}}}", "")
        if "{" in bare or "}" in bare:
            raise ValueError(
                f"template has a {{{bare.partition('{')[2].partition('}')[0][:40]}}} that is not in values"
            )
        return self


class Mapped(Part):
    """What both tables share."""

    ref: Value = Field(
        description="The call's id. In [recording] the same id as the call's, whatever it is called there."
    )
    link: Link | None = Field(None, description="Where the recording can be heard.")
    recording: Value | None = Field(
        None,
        description="File name or id of a recording without an address; the source's link_template makes one of it.",
    )

    @field_validator("link", mode="before")
    @classmethod
    def _link_has_a_short_form(cls, told: Any) -> Any:
        return _long(told)


class CallMap(Mapped):
    unique: bool = Field(False, description="Whether the PBX never gives an id twice; else an id counts for its day.")
    legs: bool = Field(False, description="Whether the PBX tells of one call in several webhooks with one id.")
    direction: Annotated[tuple[DirectionRule, ...], BeforeValidator(_direction_rules)] = Field(
        min_length=1, max_length=MAX_RULES, description="Ways to tell the direction, in order."
    )
    phone: Annotated[ByDirection, BeforeValidator(_by_direction)] = Field(description="The external number.")
    extension: Annotated[ByDirection | None, BeforeValidator(_by_direction)] = Field(
        None, description="The employee: extension, login, e-mail or id, as the source's extensions list them."
    )
    duration: Annotated[Duration | None, BeforeValidator(_long)] = Field(None, description="Talk time.")
    answered: Condition | None = Field(
        None, description="Whether anybody talked; decides over the duration. Unset: if there is talk time."
    )
    voicemail: Condition | None = Field(None, description="Whether the caller left a message.")
    started_at: Moments = Field(
        (), max_length=8, description="When it began. Unset or absent: receipt less the talk time."
    )
    status: Annotated[Status, BeforeValidator(_long)] = Field(Status(), description="How a call without talk ended.")
    result: Value | None = Field(None, description="The PBX's own words for how it ended, for people.")


class RecordingMap(Mapped):
    at: Moments = Field((), max_length=8, description="When it was ready. Unset or absent: the receipt.")

    @model_validator(mode="after")
    def _brings_something(self) -> RecordingMap:
        if self.link is None and self.recording is None:
            raise ValueError("has link or recording")
        return self
