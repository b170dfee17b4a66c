"""A request that somebody wrote down: headers as text or JSON, a body, perhaps the address [pure].

What PBXs send reaches us as people copy it: from a log, from a request inspector, from `curl -v`. Read is whatever is clear;
what is not is refused with its line. It knows no provider.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from yarl import URL

from callbridge.intake.providers.base import Source, WebhookRequest

_HOOK: Final = re.compile(r"(?:<base>|/hooks/[^/?]+)(?P<below>/[^?]*)?(?:\?(?P<query>.*))?$")
"""A request line with the address of the source in it, for which people also write <base>."""

_REQUEST_LINE: Final = re.compile(r"(?:#\s*)?(?P<method>GET|POST|PUT|OPTIONS)\s+(?P<target>\S+)(?:\s+HTTP/[0-9.]+)?")
_HEADER: Final = re.compile(r"(?P<name>:?[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(?P<value>.*)")
_NOT_A_HEADER: Final = re.compile(r"#|HTTP/[0-9.]+ [0-9]{3}|\*")
"""Comments, status lines, and what `curl -v` says about the connection."""


@dataclass(frozen=True, slots=True)
class Heads:
    """`headers` by lower-case name. `method` and `target` where a request line or its like told them."""

    headers: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    target: str | None = None

    @property
    def below(self) -> str:
        """The path below the source's address, as far as the target shows where that ends."""
        found = _HOOK.search(self.target or "")
        return (found["below"] or "") if found else ""

    @property
    def query(self) -> str:
        return (self.target or "").partition("?")[2]


def read_heads(written: str) -> Heads:
    """Lines of `Name: value`, or JSON. Raises `ValueError` with the line, and never with a value."""
    text = written.lstrip("\ufeff")
    if text.lstrip()[:1] in {"{", "["}:
        try:
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not valid JSON: {error}") from None
        return _from_json(told)
    headers: dict[str, str] = {}
    method = target = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"^[<>] ?", "", raw).strip()
        if request := _REQUEST_LINE.fullmatch(line):
            method, target = request["method"], request["target"]
        elif header := _HEADER.fullmatch(line) if not line.startswith("#") else None:
            headers.setdefault(header["name"].lower(), header["value"])
        elif line and not _NOT_A_HEADER.match(line):
            raise ValueError(f"line {number}: is not `Name: value`")
    return _with_pseudo(headers, method, target)


def _from_json(told: Any) -> Heads:
    """{name: value}, [[name, value]], [{"name": ..., "value": ...}], or an object that holds one of these as `headers`."""
    method = target = None
    if isinstance(told, dict) and isinstance(told.get("headers"), dict | list):
        method, target = (told[key] if isinstance(told.get(key), str) else None for key in ("method", "url"))
        told = told["headers"]
    headers: dict[str, str] = {}
    for name, value in _pairs(told):
        one = value[0] if isinstance(value, list) and value else value
        if not isinstance(name, str) or not isinstance(one, str | int | float):
            raise ValueError("headers in JSON are names with texts")  # noqa: TRY004 - it is written in a file
        headers.setdefault(name.lower(), str(one))
    return _with_pseudo(headers, method, target)


def _pairs(told: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(told, dict):
        yield from told.items()
        return
    for entry in told:
        if isinstance(entry, dict):
            yield entry.get("name"), entry.get("value")
        elif isinstance(entry, list) and len(entry) == 2:
            yield entry[0], entry[1]
        else:
            yield None, None


def _with_pseudo(headers: dict[str, str], method: str | None, target: str | None) -> Heads:
    """HTTP/2 tells method and path as headers."""
    pseudo = {name: headers.pop(name) for name in list(headers) if name.startswith(":")}
    return Heads(headers, method or pseudo.get(":method"), target or pseudo.get(":path"))


def build_request(
    source: Source,
    heads: Heads,
    body: bytes,
    *,
    method: str,
    below: str,
    query: str,
    url: str | None,
) -> WebhookRequest:
    """The request as a provider sees it: the path token, if any, is in the address and not in its path."""
    token = f"/{source.path_token}" if source.path_token else ""
    segments = [segment for segment in below.split("/") if segment]
    if token and segments[:1] == [source.path_token]:
        segments = segments[1:]
    path = "".join(f"/{segment}" for segment in segments)
    if url is None:
        origin = "https://hooks.example.com"
        target = f"/hooks/{source.name}{token}{path}" + (f"?{query}" if query else "")
    else:
        parts = urlsplit(url)
        asked = parts.query or query
        origin = f"{parts.scheme}://{parts.netloc}"
        target = f"{parts.path or '/'}{f'?{asked}' if asked else ''}"
    return WebhookRequest(
        method,
        tuple(unquote(segment) for segment in segments),
        URL(target, encoded=True).query,
        heads.headers,
        body,
        target,
        origin,
    )
