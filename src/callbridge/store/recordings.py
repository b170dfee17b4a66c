"""Which recording a link leads to [pure].

Storage services sign a link anew each time that they hand it out, in its query, so two links may be one recording. A path
that names a file is the recording, whatever is asked for behind it. Where the path names a script or a verb only, the
query names the file, and everything in it counts but what is known to be a signature.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

_SCRIPTS: Final = (".php", ".asp", ".aspx", ".ashx", ".cgi", ".jsp", ".do", ".pl", ".py", ".html", ".htm")
_FILE: Final = re.compile(r".*([0-9]|\.[a-z0-9]{1,5}$)", re.DOTALL)
"""A name with a digit or an ending in it; `download` and `get` are verbs."""

_SIGNATURES: Final = frozenset(
    {
        *("signature", "sig", "sign", "hmac", "token", "access_token", "auth", "key-pair-id", "policy", "nonce"),
        *("expires", "expiry", "exp", "e", "timestamp", "ts", "awsaccesskeyid", "googleaccessid"),
        *("st", "se", "sp", "sv", "sr", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv"),
    }
)
_SIGNING: Final = ("x-amz-", "x-goog-", "x-oss-", "x-cos-", "q-sign-")
"""AWS, Google, Azure, Alibaba and Tencent, and what others call it."""


def recording_at(link: str) -> str:
    """The same text for two links to one recording; a link that cannot be taken apart stands for itself."""
    try:
        parts = urlsplit(link)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return link
    place = parts.netloc.rpartition("@")[2].lower() + parts.path
    name = parts.path.rstrip("/").rpartition("/")[2].lower()
    if _FILE.fullmatch(name) and not name.endswith(_SCRIPTS):
        return place
    told = sorted((name, value) for name, value in pairs if not _signs(name.lower()))
    return f"{place}?{urlencode(told, errors='surrogatepass')}" if told else place


def _signs(name: str) -> bool:
    return name in _SIGNATURES or name.startswith(_SIGNING)
