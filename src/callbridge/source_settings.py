"""The settings of one PBX source. Part of `settings`, apart for its length."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator

from callbridge.values import Directions, Duration, Group, Networks, Numbers, Secret, Segment, Texts


class LateRecording(StrEnum):
    """What to do with a recording that comes after its call is in the CRM."""

    KEEP = "keep"
    NOTE = "note"


class SourceSettings(Group):
    provider: str = Field(
        description="What kind of PBX this is; `callbridge providers list` shows them. Or preset:NAME, or your own FILE.toml."
    )
    account: str | None = Field(
        None, description="Account to which its calls go. May be left out where there is only one."
    )
    auth: Literal["signature", "bearer"] = Field(
        "signature", description="generic only: Standard Webhooks signature, or a bearer token, made with the secret."
    )
    key: Secret | None = Field(
        None,
        description="What the PBX calls its key, beside the secret: Mango's vpbx_api_key, a user name, a client id.",
    )
    secret: Secret | None = Field(
        None, description="The shared secret: whsec_..., the bearer token, Mango's salt, the token in the body."
    )
    previous_secret: Secret | None = Field(
        None, description="The secret before, still accepted while it is being rotated."
    )
    path_token: Segment | None = Field(None, description="Secret path segment: POST /hooks/SOURCE/PATH_TOKEN.")
    allow_from: Networks = Field(
        (), description="Addresses and networks from which its webhooks may come, separated by commas. Unset: any."
    )
    timezone: str = Field("UTC", description="IANA time zone of the PBX's wall clock.")
    hold: Duration = Field(
        0.0, le=3600, description="How long a call waits for its recording and its other legs before it is sent."
    )
    late_recording: LateRecording = Field(
        LateRecording.KEEP,
        description="A recording that comes after delivery: keep it on the call here, or add it to the card as a note.",
    )
    link_hosts: Texts = Field(
        (),
        description="Hosts whose recording links are taken, separated by commas; .example.com: its subdomains. Unset: any.",
    )
    link_template: str | None = Field(
        None,
        description="Recording link where the PBX tells a file name or an id only: https://rec.example.com/{yyyy}/{mm}/{dd}/{recording}.",
    )
    extensions: Numbers = Field(
        {}, description='Extension, login or e-mail to amoCRM user id, as JSON: {"101": 504141}.'
    )
    own_numbers: Texts = Field(
        (), description="The company's own numbers, separated by commas: a call with one of them is internal."
    )
    internal_digits: int = Field(
        6, ge=1, le=9, description="Most digits of an internal number, where only numbers tell the direction."
    )
    directions: Directions = Field(
        {},
        description='Beginning of a context or trunk to direction, as JSON: {"from-trunk": "inbound"}; Asterisk, FreeSWITCH.',
    )
    status_overrides: Numbers = Field(
        {}, description='Disposition of the PBX to call status 1-7, as JSON: {"1122": 7}.'
    )
    min_duration: Duration = Field(0.0, description="Answered calls shorter than this are ignored.")
    post_missed: bool = Field(True, description="Whether calls without a talk go to the CRM.")
    post_internal: bool = Field(
        False,
        description="Whether calls between two employees go to the CRM. Its cards are found by numbers of five digits and"
        " more: a call to a shorter extension stays ignored, as short_number.",
    )
    ignore_numbers: Texts = Field(
        (), description="Numbers whose calls are ignored, separated by commas; 8800* ignores all that begin so."
    )
    max_body: int | None = Field(None, ge=1_024, le=262_144, description="Largest body of this source in bytes.")

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("is an IANA time zone such as Europe/Moscow")
        return str(ZoneInfo(value))

    @field_validator("link_template")
    @classmethod
    def _is_a_link_template(cls, value: str | None) -> str | None:
        if value is None:
            return None
        written = re.sub(r"\{(?:recording|id|yyyy|mm|dd)\}", "0", value)
        if not re.match(r"https?://[^/{}]+/", value) or "{" in written or "}" in written:
            raise ValueError("is an http(s) address with {recording}, {id}, {yyyy}, {mm} and {dd} in its path")
        return value

    @field_validator("status_overrides")
    @classmethod
    def _are_statuses(cls, value: dict[str, int]) -> dict[str, int]:
        if not all(1 <= status <= 7 for status in value.values()):
            raise ValueError("gives each disposition a status from 1 to 7")
        return value
