"""Where a recording can be heard [pure]: the PBX's link if its host is allowed, else one made by the source's template.

A link comes from outside and is clicked by people in the CRM, so the operator may name the hosts that are taken. Many PBXs
tell a file name or an id only; the template says where their files are served.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from callbridge.call import is_web_link
from callbridge.intake.providers.base import Source


def link_of(source: Source, told: str | None, *, ref: str, recording: str | None, at: int) -> str | None:
    """`told` is what the PBX called the link; `at` (Unix seconds) gives the template its date, in the source's time zone."""
    if told is not None and is_allowed(told, source.link_hosts):
        return told
    return _filled(source, ref, recording, at)


def is_allowed(link: str, hosts: Sequence[str]) -> bool:
    """Whether the link's host is one of `hosts`, or below one that begins with a dot. No hosts: any."""
    if not hosts:
        return True
    try:
        host = (urlsplit(link).hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    return any(
        host.endswith(allowed) if allowed.startswith(".") else host == allowed for allowed in map(str.lower, hosts)
    )


def _filled(source: Source, ref: str, recording: str | None, at: int) -> str | None:
    template = source.link_template
    if template is None or ("{recording}" in template and not recording):
        return None
    day = datetime.fromtimestamp(at, ZoneInfo(source.timezone))
    values = {
        "recording": quote((recording or "").lstrip("/"), safe="/"),
        "id": quote(ref, safe=""),
        "yyyy": f"{day.year:04}",
        "mm": f"{day.month:02}",
        "dd": f"{day.day:02}",
    }
    if ".." in values["recording"].split("/"):
        return None
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template if is_web_link(template) else None
