"""Which provider answers to which name. Explicit, so that what is supported can be read here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from callbridge.errors import Misconfigured
from callbridge.intake.providers.base import Provider, Source
from callbridge.intake.providers.generic import GENERIC
from callbridge.intake.providers.mango import MANGO

PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType({GENERIC.name: GENERIC, MANGO.name: MANGO})


def check_source(source: Source) -> None:
    """Raises `Misconfigured` for a source whose webhooks could never be accepted."""
    provider = PROVIDERS.get(source.provider)
    if provider is None:
        raise Misconfigured(f"sources.{source.name}.provider is one of {', '.join(PROVIDERS)}")
    provider.check(source)
