"""Settings as people see them: an example file, `.env.example`, a JSON schema, and the ones in force without their secrets.

All of it is made from the model in `settings`, so that a description stands in one place. Reads and writes no file.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from callbridge.settings import Settings, every_setting
from callbridge.values import format_duration, is_duration_field

_NAMES: Final = {"accounts": ("main",), "sources": ("office",)}

_SAMPLES: Final[dict[str, Any]] = {
    "redis.url": "redis://127.0.0.1:6379/0",
    "ledger.url": "sqlite:///var/ledger.db",
    "console.password": "three short words together",
    "console.public_url": "https://calls.example.com",
    "alerts.webhook_url": "https://alerts.example.com/callbridge",
    "alerts.webhook_secret": "whsec_YSBzYW1wbGUgc2VjcmV0IG9mIHRoZSBhbGVydHMh",
    "alerts.telegram_token": "110201543:sample-token-of-the-bot",
    "alerts.telegram_chat": "-1001234567890",
    "alerts.smtp_url": "smtp://callbridge:long-mail-secret@mail.example.com:587",
    "alerts.mail_from": "callbridge@example.com",
    "alerts.mail_to": ("ops@example.com",),
    "alerts.heartbeat_url": "https://monitor.example.com/ping/callbridge",
    "receiver.public_url": "https://hooks.example.com",
    "accounts.main.url": "https://example.amocrm.ru",
    "accounts.main.token": "long-lived-token-of-the-integration",
    "accounts.main.client_id": "0c1f7a52-8e4b-4d0a-9a61-5f2d3b7c8e90",
    "accounts.main.client_secret": "secret-of-the-integration",
    "accounts.main.redirect_uri": "https://bridge.example.com/oauth",
    "accounts.main.no_match.pipeline_id": 3107712,
    "sealing.key": "b25lIHNhbXBsZSBrZXksIHRoaXJ0eS10d28gYnl0ZXM=",
    "sealing.previous_key": "dGhlIHNhbXBsZSBrZXkgYmVmb3JlIHRoYXQgb25lLi4=",
    "sources.office.provider": "generic",
    "sources.office.account": "main",
    "sources.office.key": "api-key-of-the-pbx",
    "sources.office.secret": "whsec_c2FtcGxlIHNlY3JldCwgMjQgYnl0ZXMh",
    "sources.office.previous_secret": "whsec_c2FtcGxlIHNlY3JldCBmcm9tIDIwMjUh",
    "sources.office.path_token": "a-long-random-word",
    "sources.office.link_template": "https://rec.example.com/{yyyy}/{mm}/{dd}/{recording}",
    "sources.office.directions": {"from-trunk": "inbound"},
    "sources.office.extensions": {"204": 7130045},
    "sources.office.own_numbers": ("+7 495 555-01-42",),
    "sources.office.status_overrides": {"1122": 7},
    "sources.office.max_body": 131_072,
}
"""What to show where the model has no default. Made up; none of them opens anything."""

_TOML_HEAD: Final = """\
# Settings of callbridge. Save as callbridge.toml, or anywhere and name it in CALLBRIDGE_CONFIG.
# What begins with # is at its default, or a sample where there is none. Variables CALLBRIDGE_* override this file.
"""

_ENV_HEAD: Final = """\
# Settings of callbridge as environment variables. Copy to .env and remove the # in front of what you set.
# At least: the address and token of an account, and the provider and secret of a PBX.
# MAIN and OFFICE are names of your choice; repeat their lines under other names for more accounts and PBXs.
# A name with _FILE at its end takes the value from a file: CALLBRIDGE_ACCOUNTS__MAIN__TOKEN_FILE=/run/secrets/token

# TOML file with the same settings, which these variables override. Unset: ./callbridge.toml if present.
#CALLBRIDGE_CONFIG=/etc/callbridge/callbridge.toml

# Directory of secret files; each is named like the variable that it sets.
#CALLBRIDGE_SECRETS_DIR=/run/secrets
"""


def example() -> str:
    """A TOML file in which every setting stands as a comment, with its description, at its default or with a sample."""
    text, section = [_TOML_HEAD], ""
    for path, field in every_setting(_NAMES):
        if path[:-1] and (head := ".".join(path[:-1])) != section:
            section = head
            mark = "#" if path[0] in _NAMES else ""  # an empty account would be one without an address
            text.append(f"\n{mark}[{section}]\n")
        text.append(f"# {field.description}\n#{path[-1]} = {_toml(_shown(path, field))}\n")
    return "".join(text)


def env_example() -> str:
    """The text of `.env.example`."""
    text = [_ENV_HEAD]
    for path, field in every_setting(_NAMES):
        text.append(f"\n# {field.description}\n#CALLBRIDGE_{'__'.join(path).upper()}={_env(_shown(path, field))}\n")
    return "".join(text)


def json_schema() -> dict[str, Any]:
    """For editors that check and complete TOML files."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
    return schema | {"title": "callbridge.toml"}


def redacted(settings: BaseModel) -> dict[str, Any]:
    """The settings in force, fit for a log or a screen: a secret is `***`, an address is without its credentials."""
    return {key: _without_secrets(getattr(settings, key)) for key in type(settings).model_fields}


def secret_values(settings: BaseModel) -> frozenset[str]:
    """Every secret in force, so that the log can be kept free of them."""
    found: set[str] = set()
    for value in (getattr(settings, key) for key in type(settings).model_fields):
        match value:
            case SecretStr() if "://" in (text := value.get_secret_value()):
                found |= {text, urlsplit(text).password or text}
                found |= set(parse_qs(urlsplit(text).query).get("sentinel_password", ()))
            case SecretStr():
                found.add(value.get_secret_value())
            case BaseModel():
                found |= secret_values(value)
            case dict():
                found |= {s for item in value.values() if isinstance(item, BaseModel) for s in secret_values(item)}
            case _:
                pass
    return frozenset(found)


def _without_secrets(value: Any) -> Any:
    match value:
        case SecretStr():
            return _address(value.get_secret_value())
        case BaseModel():
            return redacted(value)
        case dict():
            return {key: _without_secrets(item) for key, item in value.items()}
        case Path():
            return str(value)
        case Enum():
            return value.value
        case tuple():
            return list(value)
        case _:
            return value


def _address(secret: str) -> str:
    """Where a secret is an address of a database, everything of it that is no secret."""
    try:
        parts = urlsplit(secret)
        if parts.scheme in {"redis+sentinel", "rediss+sentinel"}:  # several hosts, each with its port
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "***"
    if parts.scheme not in {"redis", "rediss", "unix", "sqlite", "postgresql"}:
        return "***"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _shown(path: tuple[str, ...], field: FieldInfo) -> Any:
    sample = _SAMPLES.get(".".join(path))
    if sample is not None:
        return sample
    value = field.default
    if is_duration_field(field.metadata):
        return format_duration(value)
    return value.value if isinstance(value, Enum) else str(value) if isinstance(value, Path) else value


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
        case tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            return json.dumps(value)


def _env(value: Any) -> str:
    match value:
        case dict():
            return f"'{json.dumps(value)}'"
        case tuple():
            return f"'{','.join(value)}'"
        case str() if " " in value:
            return f"'{value}'"
        case _:
            return f"{value:g}" if isinstance(value, float) else str(value)
