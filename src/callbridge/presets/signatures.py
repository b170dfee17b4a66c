"""The [auth] table of a preset: how the PBX proves who it is [pure].

`any_of` or `all_of` hold items; each has a `kind`. Where a value is taken from the request it is an expression
(`@header.x-signature`, `@query.sign`, a field of the body).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, model_validator

from callbridge.presets.conditions import Value
from callbridge.presets.expressions import Apply, Expression, Path, parse, walk
from callbridge.presets.part import Part

Algorithm = Literal["md5", "sha1", "sha256", "sha384", "sha512"]
Written = Literal["hex", "b64", "b64url", "b64_of_hex", "raw"]
"""How a digest is written; b64_of_hex is the Base64 of the hex text."""


def _parse_signed(told: object) -> Expression:
    if isinstance(told, list):
        raise ValueError("is one expression; what is signed has no alternatives")  # noqa: TRY004 - pydantic's way
    return parse(told, signing=True)


Signed = Annotated[Expression, PlainValidator(_parse_signed)]
"""An expression that may also be @body, @url, @url_base, @url_plivo_v3, @form_sorted, @secret or @key."""


class Timestamp(Part):
    value: Value = Field(alias="in", description="Where the signed time stands, such as @header.x-timestamp.")
    unit: Literal["s", "ms"] = Field("s", description="What it is counted in.")
    tolerance: int = Field(300, ge=1, le=86_400, description="Seconds that it may be off, before or after.")


class PartsBy(Part):
    """What is signed differs by event."""

    value: Value = Field(description="What tells the event.")
    table: dict[str, tuple[Signed, ...]] = Field(description="The parts of each; an event without any is refused.")


class PathToken(Part):
    """The secret path segment, `path_token` of the source. Beside other kinds it counts only where no secret is set."""

    kind: Literal["path_token"]


class Ip(Part):
    """The sender's network, `allow_from` of the source. Beside other kinds it counts only where no secret is set."""

    kind: Literal["ip"]


class FieldToken(Part):
    """The secret as it is, in a field of the body."""

    kind: Literal["field_token"]
    name: Value = Field(description="The field.")


class HeaderToken(Part):
    """The secret as it is, in a header."""

    kind: Literal["header_token"]
    name: str = Field(min_length=1, max_length=100, description="The header.")
    prefix: str = Field("", max_length=40, description="What stands before the secret there.")


class QueryToken(Part):
    """The secret as it is, in the address."""

    kind: Literal["query_token"]
    name: str = Field("token", min_length=1, max_length=100, description="The query parameter.")


class Bearer(Part):
    """Authorization: Bearer SECRET."""

    kind: Literal["bearer"]


class Basic(Part):
    """HTTP basic authentication: the password is the secret, the user name the source's key where it has one."""

    kind: Literal["basic"]


class StandardWebhooks(Part):
    """webhook-id, webhook-timestamp and webhook-signature, as standardwebhooks.com says."""

    kind: Literal["standard_webhooks"]


class Jwt(Part):
    """A token signed with HS256 by the secret; no other algorithm is accepted, whatever the token says."""

    kind: Literal["jwt_hs256"]
    place: Literal["body", "bearer"] = Field("body", alias="in", description="Where it stands.")
    leeway: int = Field(60, ge=0, le=3_600, description="Seconds for exp and nbf.")
    payload_hash: str | None = Field(
        None,
        max_length=100,
        description="Claim with the hex SHA-256 of the body; where the token has it, it must be right.",
    )


class Proof(Part):
    """What digests and signatures have in common."""

    parts: tuple[Signed, ...] = Field((), description="What is signed, one after the other.")
    parts_by: PartsBy | None = Field(None, description="Instead: the parts by event.")
    value: Signed = Field(alias="in", description="Where the signature stands.")
    timestamp: Timestamp | None = Field(None, description="A signed time that must be about now.")

    @model_validator(mode="after")
    def _signs_something(self) -> Proof:
        if bool(self.parts) is (self.parts_by is not None):
            raise ValueError("parts or parts_by says what is signed")
        if any(not parts for parts in self.every_parts()):
            raise ValueError("parts is not empty")
        if self.timestamp and not all(_covers(parts, self.timestamp.value) for parts in self.every_parts()):
            raise ValueError("timestamp.in is one of the parts; a time that is not signed proves nothing")
        return self

    def every_parts(self) -> list[tuple[Expression, ...]]:
        return list(self.parts_by.table.values()) if self.parts_by else [self.parts]


class Keyed(Proof):
    algorithm: Algorithm = Field("sha256", description="The hash.")
    out: tuple[Written, ...] = Field(("hex",), description="How the digest is written; any of several.")
    prefix: str = Field("", max_length=40, description="What stands before it.")
    split: str | None = Field(None, min_length=1, max_length=1, description="The mark between several signatures.")
    unless_header: str | None = Field(
        None, min_length=1, max_length=100, description="It does not count where this header is, of a better signature."
    )


class Digest(Keyed):
    """A plain hash over parts of which one is the secret."""

    kind: Literal["digest"]

    @model_validator(mode="after")
    def _contains_the_secret(self) -> Digest:
        for parts in self.every_parts():
            if not any(isinstance(each, Path) and each.root == "secret" for part in parts for each in walk(part)):
                raise ValueError("@secret is one of the parts; without it anybody can make the digest")
        return self


class Hmac(Keyed):
    kind: Literal["hmac"]
    key: Literal["text", "base64", "hex"] = Field("text", description="How the secret stands for the key.")
    strip: str = Field("", max_length=40, description="What is taken off the secret's beginning first, such as whsec_.")


class Ed25519(Proof):
    """A signature of the vendor's; the source's secret is the public key, 32 bytes in Base64 or hex."""

    kind: Literal["ed25519"]
    out: Literal["hex", "b64"] = Field("b64", description="How the signature is written.")


Item = Annotated[
    PathToken
    | Ip
    | FieldToken
    | HeaderToken
    | QueryToken
    | Bearer
    | Basic
    | StandardWebhooks
    | Jwt
    | Digest
    | Hmac
    | Ed25519,
    Field(discriminator="kind"),
]


class Auth(Part):
    any_of: tuple[Item, ...] = Field((), description="One of these holds.")
    all_of: tuple[Item, ...] = Field((), description="All of these hold.")

    @model_validator(mode="after")
    def _is_one_list(self) -> Auth:
        if bool(self.any_of) is bool(self.all_of) or len(self.items) > 8:
            raise ValueError("has either any_of or all_of, with 1 to 8 items")
        return self

    @property
    def items(self) -> tuple[Item, ...]:
        return self.any_of or self.all_of


def _covers(parts: tuple[Expression, ...], wanted: Expression) -> bool:
    """Whether the signed parts hold the timestamp, or the body in which it stands."""
    for each in (inner for part in parts for inner in walk(part)):
        if each == wanted or (isinstance(each, Path) and isinstance(wanted, Path) and _same(each, wanted)):
            return True
    return False


def _same(part: Path, wanted: Path) -> bool:
    if part.root == "body":
        return wanted.root in {"", "root"}
    if part.root in {"url", "url_plivo_v3"} and wanted.root == "query":
        return True
    return part.root == wanted.root == "header" and str(part.steps[0]).lower() == str(wanted.steps[0]).lower()


def used_secrets(expression: Expression) -> bool:
    """Whether the expression answers with the secret."""
    return any(isinstance(each, Apply) and each.function == "hmac_sha256" for each in walk(expression))
