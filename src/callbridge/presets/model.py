"""The form of a preset file: one PBX described as data [pure].

    name title setup guide verified     who it is, and what its users must know
    [accept]                            methods, and how the body is decoded
    [auth]                              how it proves who it is            (signatures)
    [[handshake]]                       tests by the PBX that want an answer of their own
    [select]                            which requests, and which elements of them, tell of a finished call
    [map]                               where each thing about the call stands      (mapping)
    [recording]                         the same for an event that brings a recording
    [reply]                             what the PBX wants to hear
    [[samples]]                         example bodies, so that `callbridge send` can play this PBX

Everything is checked when the file is read; what is wrong is told with its place. Nothing here knows how a request comes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, field_validator, model_validator

from callbridge.presets.conditions import Condition, Plain, Value
from callbridge.presets.expressions import Expression, Path, parse
from callbridge.presets.mapping import CallMap, RecordingMap
from callbridge.presets.part import Part
from callbridge.presets.signatures import Auth, used_secrets

MAX_EACH: Final = 100
"""Elements of one request."""

NAME, EVENT, PATH = r"^[a-z0-9][a-z0-9-]{0,31}$", r"^[A-Za-z0-9_.:/-]{1,64}$", r"^(/[A-Za-z0-9._~/-]{0,100})?$"
PATTERNS: Final = {
    NAME: "is 1 to 32 small letters a-z, digits and -, and begins with a letter or digit, such as acme-cloud",
    EVENT: "is 1 to 64 letters, digits and _ . : / -",
    PATH: "begins with / and has at most 100 letters, digits and . _ ~ / -",
}
"""What a text that must look like this looks like, in words."""

Decode = Literal[
    "auto", "json", "form", "form_brackets", "multipart", "query", "form_json", "form_base64_json", "jwt", "text_json"
]


class Accept(Part):
    methods: tuple[Literal["POST", "GET"], ...] = Field(
        ("POST",), min_length=1, description="HTTP methods it sends by."
    )
    decode: Decode = Field(
        "auto",
        description="What the body is. A GET request is always read from its query. auto: JSON, multipart or a form with "
        "brackets, by how the body begins.",
    )
    field: str | None = Field(None, description="form_json and form_base64_json: the form field that holds the JSON.")
    nested_json: tuple[Value, ...] = Field((), max_length=8, description="Fields that hold JSON as text.")
    percent_decoded: tuple[Value, ...] = Field(
        (), max_length=8, description="Objects or fields whose text is percent-encoded once more."
    )

    @model_validator(mode="after")
    def _names_its_field(self) -> Accept:
        if self.decode.startswith("form_") and self.decode.endswith("json") and not self.field:
            raise ValueError(f"field says in which form field the JSON of decode = {self.decode!r} stands")
        for path in (*self.nested_json, *self.percent_decoded):
            if not isinstance(path, Path) or path.root or any(isinstance(step, int) for step in path.steps):
                raise ValueError("nested_json and percent_decoded name fields, such as msg or data.msg")
        return self


Answer = Annotated[Expression, PlainValidator(lambda told: parse(told, answering=True))]
"""An expression that may answer with the secret."""


class HandshakeReply(Part):
    status: int = Field(200, ge=200, le=299, description="HTTP status.")
    text: Answer | None = Field(None, description="Plain text: an expression.")
    json_body: dict[str, Answer] | None = Field(
        None, alias="json", description="JSON object: an expression for each name."
    )
    headers: dict[str, Answer] = Field({}, max_length=10, description="Headers: an expression for each.")

    @model_validator(mode="after")
    def _is_one_body(self) -> HandshakeReply:
        if self.text is not None and self.json_body is not None:
            raise ValueError("has text or json, not both")
        return self

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, told: dict[str, Any]) -> dict[str, Any]:
        return _checked_headers(told)

    def expressions(self) -> list[Expression]:
        return [
            *([self.text] if self.text is not None else []),
            *(self.json_body or {}).values(),
            *self.headers.values(),
        ]


class Handshake(Part):
    """An unsigned one is known by method, query parameter or header; a signed one is verified first, then known by `when`."""

    method: Literal["GET", "POST", "OPTIONS"] | None = Field(None, description="It comes by this method.")
    query: str | None = Field(None, description="It has this query parameter.")
    header: str | None = Field(None, description="It has this header.")
    when: Condition | None = Field(None, description="Signed handshakes: what the body says.")
    reply: HandshakeReply = Field(description="What it wants to hear. Only harmless text is sent back.")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Handshake:
        unsigned = any((self.method, self.query, self.header))
        if unsigned is (self.when is not None):
            raise ValueError("is known by method, query and header (unsigned), or by when (signed)")
        if unsigned and not (self.query or self.header or self.method == "OPTIONS"):
            raise ValueError("needs query or header, or every request by this method would be answered unread")
        for expression in self.reply.expressions():
            if unsigned and used_secrets(expression):
                raise ValueError("hmac_sha256 stands only in a signed handshake: anybody could have it sign for them")
        return self


class Select(Part):
    by: Value | None = Field(None, description="What names the event. Unset: conditions alone decide.")
    match: Literal["whole", "end", "start"] = Field("whole", description="Which part of it the names below are.")
    case: Literal["fold", "exact"] = Field("fold", description="Whether upper and lower case are the same.")
    finished: tuple[Plain, ...] = Field((), description="Names of events that tell of a finished call.")
    finished_if: tuple[Condition, ...] = Field((), description="Or one of these conditions holds.")
    recording: tuple[Plain, ...] = Field((), description="Names of events that bring a recording.")
    recording_if: tuple[Condition, ...] = Field((), description="Or one of these conditions holds; asked first.")
    ignore: tuple[Plain, ...] = Field(
        (), description="Names of events that are of no interest. Unknown ones are not either."
    )
    each: Value | None = Field(None, description="Array of which every element is a call; an object is the only one.")
    skip_if: tuple[Condition, ...] = Field((), description="Elements of which one of these holds are of no interest.")


class Reply(Part):
    status: int = Field(200, ge=200, le=299, description="HTTP status.")
    text: str | None = Field(None, max_length=1_000, description="Plain text.")
    json_body: Any = Field(None, alias="json", description="Any JSON value.")
    content_type: str | None = Field(None, max_length=100, description="Where it is neither text/plain nor JSON.")
    headers: dict[str, str] = Field({}, max_length=10, description="Further headers.")

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, told: dict[str, str]) -> dict[str, str]:
        return _checked_headers(told)


class Sample(Part):
    """One thing that the PBX says, with placeholders such as {id} and {phone}."""

    event: str = Field(pattern=EVENT, description="What --event calls it.")
    tells: Literal["finished", "recording", "other"] = Field("finished", description="What it is about.")
    direction: Literal["inbound", "outbound"] | None = Field(None, description="Only for calls in this direction.")
    answered: bool | None = Field(None, description="Only for answered calls; false: for the others.")
    recorded: bool | None = Field(None, description="Only for recorded calls; false: for the others.")
    method: Literal["POST", "GET"] = Field("POST", description="HTTP method.")
    path: str = Field("", pattern=PATH, description="Appended to the source's address.")
    content_type: str = Field("application/json", description="What the body is.")
    headers: dict[str, str] = Field({}, max_length=10, description="Headers beside the signature.")
    body: str | None = Field(None, max_length=16_384, description="The body as text.")
    fields: dict[str, str] | None = Field(None, description="Instead: a form, or the query of a GET request.")

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, told: dict[str, str]) -> dict[str, str]:
        return _checked_headers(told)

    @model_validator(mode="after")
    def _is_one_body(self) -> Sample:
        if (self.body is None) is (self.fields is None):
            raise ValueError("has body or fields")
        if self.method == "GET" and self.fields is None:
            raise ValueError("a GET sample has fields")
        return self


class Preset(Part):
    name: str = Field(pattern=NAME, description="Its name: a-z 0-9 -, the file's.")
    title: str = Field(max_length=100, description="What its users call it.")
    setup: str = Field("", max_length=400, description="One line: what to enter where in the PBX's own settings.")
    guide: str = Field("", max_length=16_384, description="The vendor's page, what is signed, retries, quirks.")
    verified: str = Field("", max_length=1_000, description="On what evidence this rests.")
    accept: Accept = Field(Accept(), description="How a request is read.")
    auth: Auth = Field(description="How the PBX proves who it is.")
    handshake: tuple[Handshake, ...] = Field((), max_length=8, description="Tests that want an answer of their own.")
    select: Select = Field(Select(), description="What tells of a finished call.")
    map: CallMap = Field(description="Where the call stands.")
    recording: RecordingMap | None = Field(None, description="Where the recording stands, in an event of its own.")
    reply: Reply = Field(Reply(), description="What the PBX wants to hear.")
    status_words: dict[str, str] = Field({}, description="For the samples: our statuses in the PBX's words ({status}).")
    direction_words: dict[str, str] = Field({}, description="For the samples: inbound and outbound in its words.")
    samples: tuple[Sample, ...] = Field((), max_length=20, description="Example bodies, for `callbridge send`.")

    @model_validator(mode="after")
    def _fits_together(self) -> Preset:
        if (self.select.recording or self.select.recording_if) and self.recording is None:
            raise ValueError("select names recording events, but there is no [recording] that says where it stands")
        return self


def _checked_headers(told: dict[str, Any]) -> dict[str, Any]:
    for name, value in told.items():
        if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", name) or name.lower() in {"content-length", "transfer-encoding"}:
            raise ValueError("names of headers are letters, digits and -")
        if isinstance(value, str) and not (value.isprintable() and len(value) <= 300):
            raise ValueError("a header is one line of at most 300 characters")
    return told
