"""The base of every table in a preset file: what it does not know it refuses, and it never changes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True, str_strip_whitespace=False
    )
