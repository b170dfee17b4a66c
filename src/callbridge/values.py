"""Values as people write them in settings [pure]: durations, lists, JSON, secrets.

Apart from `settings` so that a setting there is a name, a type, a default and a sentence. Refusals here never repeat the
value: it may be a secret in the wrong place.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", re.ASCII)


def parse_duration(value: Any) -> Any:
    """`500ms`, `30s`, `5m`, `18h`, `3d` or a number of seconds, to seconds; anything else is left to be refused."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        return float(match[1]) * _UNITS[match[2] or "s"]
    return value


def format_duration(seconds: float) -> str:
    """The shortest way to write it that `parse_duration` reads back."""
    for unit, size in _UNITS.items():
        count = round(seconds / size)
        if count and math.isclose(count * size, seconds, rel_tol=1e-12):
            return f"{count}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def is_duration_field(metadata: Iterable[Any]) -> bool:
    return any(isinstance(part, BeforeValidator) and part.func is _is_duration for part in metadata)


def _parse_json(value: Any) -> Any:
    """Mappings and lists may come from the environment as JSON text."""
    if isinstance(value, str) and value.strip()[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError("is not valid JSON") from error
    return value


def _split_list(value: Any) -> Any:
    value = _parse_json(value)
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _is_duration(value: Any) -> Any:
    value = parse_duration(value)
    if isinstance(value, bool | str):
        raise PydanticCustomError("duration", "is a duration such as 500ms, 30s, 5m, 18h or 3d")
    return value


def _is_not_empty(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError("is empty")
    return value


def _is_a_token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("is no token: it has spaces or other unusual characters")
    return value


def _is_a_segment(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", value.get_secret_value()):
        raise ValueError("stands in an address: letters, digits and . _ ~ - only")
    return value


def _is_a_sealing_key(value: SecretStr) -> SecretStr:
    try:
        raw = base64.b64decode(value.get_secret_value(), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ValueError("is 32 bytes in URL-safe Base64: `callbridge config key` makes one")
    return value


def _are_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(item, strict=False)) for item in value)
    except ValueError:
        raise ValueError("is a list of IP addresses or networks such as 203.0.113.0/24") from None


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True)


Duration = Annotated[
    float,
    BeforeValidator(_is_duration),
    Field(ge=0, le=366 * 86400),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^{_DURATION.pattern}$"}, {"type": "number", "minimum": 0}]}
    ),
]
Secret = Annotated[SecretStr, AfterValidator(_is_not_empty)]
Token = Annotated[SecretStr, AfterValidator(_is_not_empty), AfterValidator(_is_a_token)]
"""A secret that goes into an HTTP header as it is."""
SealingKey = Annotated[SecretStr, AfterValidator(_is_not_empty), AfterValidator(_is_a_sealing_key)]
"""A key of Fernet."""
Segment = Annotated[SecretStr, AfterValidator(_is_not_empty), AfterValidator(_is_a_segment)]
"""A secret that stands in a path as it is."""
Numbers = Annotated[dict[str, int], BeforeValidator(_parse_json)]
"""Text to number, as a table or as JSON."""
Directions = Annotated[dict[str, Literal["inbound", "outbound", "internal"]], BeforeValidator(_parse_json)]
"""Text to direction, as a table or as JSON."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_split_list)]
"""A list, JSON or text separated by commas."""
Networks = Annotated[tuple[str, ...], BeforeValidator(_split_list), AfterValidator(_are_networks)]
"""IP addresses and networks in CIDR notation, as text."""


def refusal(*problems: tuple[str, str]) -> PydanticCustomError:
    """What a check over several settings raises: (setting below the checked group, what is wrong with it) for each."""
    text = "; ".join(f"{name}: {what}" for name, what in problems)
    return PydanticCustomError("settings", "{text}", {"text": text, "problems": problems})


def public_address(value: str | None) -> str | None:
    """An address of ours as others know it, without the slash at its end. Raises `ValueError`."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is an address like https://hooks.example.com")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
