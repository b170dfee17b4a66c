"""Which provider answers to which name. Explicit, so that what is supported can be read here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from callbridge.errors import Misconfigured
from callbridge.intake.providers.base import Provider, Source
from callbridge.intake.providers.generic import GENERIC
from callbridge.intake.providers.mango import MANGO

PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType({provider.name: provider for provider in (GENERIC, MANGO)})


def provider_named(name: str) -> Provider:
    """The provider that a source names. Raises `Misconfigured`."""
    if provider := PROVIDERS.get(name):
        return provider
    raise Misconfigured(f"there is no provider {name}: `callbridge providers list` shows them")


def check_source(source: Source) -> None:
    """Raises `Misconfigured` for a source whose webhooks could never be accepted."""
    try:
        provider = provider_named(source.provider)
    except Misconfigured as error:
        raise Misconfigured(f"sources.{source.name}.provider: {error}") from error
    provider.check(source)
