"""Static files by a URL that has their content's hash in it: kept for ever by browsers, never stale, nothing else is served.

The table is made from the package's own files when the process starts; a request is a look-up in it, so no path leads out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final

from aiohttp import hdrs, web

ROOT: Final = "/static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    type: str
    digest: str


@cache
def assets() -> Mapping[str, Asset]:
    """By the path below `static`, without the hash."""
    return dict(_found(files(__package__).joinpath("static"), ""))


def asset(name: str) -> str:
    """The URL of a file. Raises KeyError: a file that does not exist is a mistake of ours."""
    path = PurePosixPath(name)
    return f"{ROOT}/{path.with_suffix('')}.{assets()[name].digest}{path.suffix}"


@cache
def _by_url() -> Mapping[str, Asset]:
    return {asset(name): found for name, found in assets().items()}


async def serve_asset(request: web.Request) -> web.StreamResponse:
    found = _by_url().get(request.path)
    if found is None:
        raise web.HTTPNotFound(text="no such file\n")
    response = web.Response(
        body=found.content,
        headers={
            hdrs.CONTENT_TYPE: found.type,
            hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable",
            hdrs.ETAG: f'"{found.digest}"',
        },
    )
    if len(found.content) > 1024:
        response.enable_compression()
    return response


def _found(folder: Traversable, path: str) -> list[tuple[str, Asset]]:
    rows: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            rows += _found(entry, f"{path}{entry.name}/")
        elif (suffix := PurePosixPath(entry.name).suffix) in _TYPES:
            content = entry.read_bytes()
            rows.append(
                (f"{path}{entry.name}", Asset(content, _TYPES[suffix], hashlib.sha256(content).hexdigest()[:16]))
            )
    return rows
