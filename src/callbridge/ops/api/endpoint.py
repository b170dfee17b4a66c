"""What an endpoint is: one row of the table that the routes, the OpenAPI document and the tests are made from.

Apart from `table` so that the handlers, which the table names, can say what they are given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from callbridge.ops.web import Console
from callbridge.ops.who import Role, Who

PREFIX: Final = "/api/v1"


class Given(BaseModel):
    """What comes from outside: nothing but what is documented, and of the documented type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Shown(BaseModel):
    """What is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Given):
    """No parameters, or no body."""


Q = TypeVar("Q", bound=Given)
B = TypeVar("B", bound=Given)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """A request as a handler sees it: read, checked, and allowed."""

    console: Console
    who: Who
    path: Mapping[str, str]
    query: Q
    body: B


@dataclass(frozen=True, slots=True)
class Made:
    """An answer with another status than 200."""

    answer: Shown
    status: HTTPStatus


Handling = Callable[[Asked[Q, B]], Awaitable["Shown | Made | dict[str, Any]"]]


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[Q, B]):
    """`path` is below `PREFIX`. `refusals` are codes beyond those that any endpoint may answer with, `made` is set where
    something may be created, with the answer 201. `answer` None: any JSON object.
    """

    method: Literal["GET", "POST", "PUT"]
    path: str
    role: Role
    tag: str
    summary: str
    query: type[Q]
    body: type[B]
    answer: type[Shown] | None
    handler: Handling[Q, B]
    refusals: tuple[str, ...] = ()
    pages: bool = False
    made: bool = False

    @property
    def operation(self) -> str:
        return self.handler.__name__

    @property
    def has_body(self) -> bool:
        return self.body is not Nothing


PATH_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "id": (r"^[0-9A-Za-z_-]{1,40}$", "Id of a call, a batch or a job, as lists tell it."),
    "name": (r"^[a-z0-9][a-z0-9_-]{0,31}$", "The account's name in the settings."),
    "account": (r"^[a-z0-9][a-z0-9_-]{0,31}$", "The account's name in the settings."),
    "reason": (r"^[a-z0-9_]{1,64}$", "The group's reason."),
    "cause": (r"^[0-9A-Za-z_-]{1,16}$", "The group's cause."),
}
"""Each part of a path that varies: its pattern, and what it is."""
