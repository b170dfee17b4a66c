"""Answers on the connection: sent whole or in pieces, cut off, or not at all.

Apart from `replies`, which decides what is to happen: this module only does it, with aiohttp and the bare transport.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import assert_never

from aiohttp import web

from callbridge.sim.answers import Answer
from callbridge.sim.replies import CutOff, Garbage, Pieces, Reply, Reset, Silence, Whole

_PIECES = 20
_LONGEST_SILENCE = 600.0
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


async def send(request: web.Request, reply: Reply, request_id: str) -> web.StreamResponse:
    transport = request.transport
    match reply:
        case Whole(answer):
            return web.Response(status=answer.status, body=answer.body or None, headers=_headers(answer, request_id))
        case Pieces(answer, seconds):
            return await _send_pieces(request, answer, seconds, request_id)
        case CutOff(answer):
            if transport is not None:
                transport.write(_raw_head(answer, request_id) + answer.body[: len(answer.body) // 2])
                transport.close()
        case Garbage():
            if transport is not None:
                transport.write(b"\x16\x03\x00 this is no status line\r\n\r\n")
                transport.close()
        case Reset():
            _reset(transport)
        case Silence(seconds, then):
            await asyncio.sleep(seconds)
            then()
            await _until_gone(request)
            _reset(request.transport)
        case _:
            assert_never(reply)
    return web.Response()  # never arrives: the connection is gone


def _headers(answer: Answer, request_id: str) -> dict[str, str]:
    headers = {"X-Request-Id": request_id, "Server": "nginx", **dict(answer.headers)}
    if answer.status != 204:
        headers["Content-Type"] = answer.content_type
    return headers


async def _send_pieces(request: web.Request, answer: Answer, seconds: float, request_id: str) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer, request_id))
    if seconds:
        response.content_length = len(answer.body)
    else:
        response.enable_chunked_encoding()
    size = max(1, -(-len(answer.body) // _PIECES))
    with suppress(ConnectionError):
        await response.prepare(request)
        for start in range(0, len(answer.body), size):
            await asyncio.sleep(seconds / _PIECES)
            await response.write(answer.body[start : start + size])
        await response.write_eof()
    return response


def _raw_head(answer: Answer, request_id: str) -> bytes:
    headers = _headers(answer, request_id) | {"Content-Length": str(len(answer.body))}
    lines = [f"HTTP/1.1 {answer.status} Sim", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _reset(transport: asyncio.Transport | None) -> None:
    """RST instead of FIN."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    transport.abort()


async def _until_gone(request: web.Request) -> None:
    waited = 0.0
    while request.transport is not None and not request.transport.is_closing() and waited < _LONGEST_SILENCE:
        await asyncio.sleep(0.05)
        waited += 0.05
