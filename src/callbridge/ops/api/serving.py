"""From a row of the table to a handler of the web server: reads, calls, writes, and turns refusals into problems.

What is away, and what is broken, becomes one where routes are guarded.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import hdrs, web
from pydantic import BaseModel

from callbridge.ops.api import problems
from callbridge.ops.api.endpoint import Asked, Endpoint, Made, Nothing, Shown
from callbridge.ops.api.problems import ProblemError
from callbridge.ops.api.reading import body_of, path_of, query_of, takes_json
from callbridge.ops.web import CONSOLE, WHO, Handler

JSON: Final = "application/json"


def handler_of(endpoint: Endpoint[Any, Any]) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await _answer(endpoint, request)
        except ProblemError as error:
            return problems.answered(error)

    return serve


async def _answer(endpoint: Endpoint[Any, Any], request: web.Request) -> web.Response:
    if not takes_json(request.headers.get(hdrs.ACCEPT, "")):
        raise ProblemError("not_acceptable")
    asked = Asked(
        console=request.app[CONSOLE],
        who=request[WHO],
        path=path_of(request.match_info),
        query=query_of(endpoint.query, request.query),
        body=await body_of(endpoint.body, request) if endpoint.has_body else Nothing(),
    )
    done = await endpoint.handler(asked)
    answer, status = (done.answer, done.status) if isinstance(done, Made) else (done, HTTPStatus.OK)
    headers = {hdrs.CONTENT_TYPE: JSON}
    if following := getattr(answer, "next", None):
        address = request.rel_url.update_query({"cursor": following})
        headers[hdrs.LINK] = f'<{address.raw_path_qs}>; rel="next"'
    return web.Response(status=status, body=_json(answer), headers=headers)


def _json(answer: Shown | dict[str, Any]) -> bytes:
    plain = answer.model_dump() if isinstance(answer, BaseModel) else answer
    try:
        return orjson.dumps(plain)
    except TypeError:  # half a character, or a number beyond 64 bits, in the words of others
        return orjson.dumps(_writable(plain))


def _writable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {str(_writable(key)): _writable(each) for key, each in value.items()}
        case list() | tuple():
            return [_writable(each) for each in value]
        case bool() | float() | None:
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 64 else str(value)
        case _:
            return str(value)
