"""Which provider answers to which name. Explicit, so that what is supported can be read here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from callbridge.errors import Misconfigured
from callbridge.intake.providers.asterisk import ASTERISK
from callbridge.intake.providers.base import Provider, Source
from callbridge.intake.providers.binotel import BINOTEL
from callbridge.intake.providers.freeswitch import FREESWITCH
from callbridge.intake.providers.generic import GENERIC
from callbridge.intake.providers.mango import MANGO
from callbridge.intake.providers.megafon import MEGAFON
from callbridge.intake.providers.onlinepbx import ONLINEPBX
from callbridge.intake.providers.preset import PresetProvider
from callbridge.intake.providers.sipuni import SIPUNI
from callbridge.intake.providers.telnyx import TELNYX
from callbridge.intake.providers.twilio import TWILIO
from callbridge.intake.providers.uis import UIS
from callbridge.intake.providers.yeastar import YEASTAR
from callbridge.intake.providers.zadarma import ZADARMA
from callbridge.presets.load import is_preset, load

PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(
    {
        provider.name: provider
        for provider in (
            GENERIC,
            ASTERISK,
            BINOTEL,
            FREESWITCH,
            MANGO,
            MEGAFON,
            ONLINEPBX,
            SIPUNI,
            TELNYX,
            TWILIO,
            UIS,
            YEASTAR,
            ZADARMA,
        )
    }
)


def provider_named(name: str) -> Provider:
    """The provider that a source names. Raises `Misconfigured`."""
    if provider := PROVIDERS.get(name):
        return provider
    if is_preset(name):
        return _preset(name)
    raise Misconfigured(
        f"there is no provider {name}; there are {', '.join(PROVIDERS)}, preset:NAME, and files of your own"
    )


@lru_cache(maxsize=256)
def _preset(name: str) -> Provider:
    """Read once: a preset that was changed counts from the next start."""
    return PresetProvider(name, load(name))


def check_source(source: Source) -> None:
    """Raises `Misconfigured` for a source whose webhooks could never be accepted."""
    try:
        provider = provider_named(source.provider)
    except Misconfigured as error:
        raise Misconfigured(f"sources.{source.name}.provider: {error}") from error
    provider.check(source)
