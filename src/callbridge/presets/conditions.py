"""Conditions of a preset [pure]: is something there, is it one of these, does it begin so, is it more than that.

Text is compared without regard to case, true and false as these words, numbers by their value.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from callbridge.presets import times
from callbridge.presets.expressions import Expression, Scope, parse, written
from callbridge.presets.functions import as_text, evaluate, is_present
from callbridge.presets.part import Part

Value = Annotated[Expression, PlainValidator(parse)]
"""An expression, or a list of which the first that is present counts."""

Plain = Annotated[str, BeforeValidator(lambda told: as_text(told) if isinstance(told, bool | int | float) else told)]
"""Text, also written as a number or as true and false."""


class Condition(Part):
    """Exactly one kind of test; several conditions make one by all, any and not."""

    value: Value | None = Field(None, description="What is looked at.")
    equals: Plain | None = Field(None, description="It is this.")
    one_of: tuple[Plain, ...] | None = Field(None, alias="in", description="It is one of these.")
    starts: tuple[Plain, ...] | None = Field(None, description="It begins with one of these.")
    present: bool | None = Field(None, description="It is there and not empty; false: it is not there.")
    gt: float | None = Field(None, description="It is a number greater than this.")
    lt: float | None = Field(None, description="It is a number less than this.")
    all: tuple[Condition, ...] | None = Field(None, description="All of these hold.")
    any: tuple[Condition, ...] | None = Field(None, description="One of these holds.")
    negated: Condition | None = Field(None, alias="not", description="This does not hold.")

    @model_validator(mode="after")
    def _is_one_test(self) -> Condition:
        of_value = (self.equals, self.one_of, self.starts, self.present, self.gt, self.lt)
        told = sum(test is not None for test in (*of_value, self.all, self.any, self.negated))
        if told != 1:
            raise ValueError("a condition has exactly one of equals, in, starts, present, gt, lt, all, any, not")
        if (self.value is None) is any(test is not None for test in of_value):
            raise ValueError(
                "equals, in, starts, present, gt and lt need a value to look at; all, any and not have none"
            )
        return self


def holds(condition: Condition, scope: Scope) -> bool:
    """Whether it does. `ValueError` names the place of a value that is no number where one is compared."""
    if condition.all is not None:
        return all(holds(each, scope) for each in condition.all)
    if condition.any is not None:
        return any(holds(each, scope) for each in condition.any)
    if condition.negated is not None:
        return not holds(condition.negated, scope)
    if condition.value is None:  # the model has a value wherever it comes to here
        return False
    if condition.present is not None:
        return is_present(condition.value, scope) is condition.present
    if condition.gt is not None or condition.lt is not None:
        return _compares(condition, condition.value, scope)
    found = as_text(evaluate(condition.value, scope))
    return found is not None and _matches(condition, found.strip().casefold())


def _matches(condition: Condition, found: str) -> bool:
    if condition.starts is not None:
        return found.startswith(tuple(start.casefold() for start in condition.starts))
    wanted = condition.one_of if condition.one_of is not None else (condition.equals or "",)
    return found in {word.casefold() for word in wanted}


def _compares(condition: Condition, value: Expression, scope: Scope) -> bool:
    try:
        found = times.number(evaluate(value, scope))
    except ValueError as error:
        raise ValueError(f"{written(value)} {error}") from None
    if found is None:
        return False
    return (condition.gt is None or found > condition.gt) and (condition.lt is None or found < condition.lt)
