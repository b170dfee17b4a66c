"""Simulated PBXs, one module each, and which of them answers to which name. Explicit, as on the verifying side."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from callbridge.errors import Misconfigured
from callbridge.presets.load import PREFIX, is_preset, shipped
from callbridge.sim.speakers.asterisk import ASTERISK
from callbridge.sim.speakers.base import Speaker
from callbridge.sim.speakers.binotel import BINOTEL
from callbridge.sim.speakers.freeswitch import FREESWITCH
from callbridge.sim.speakers.generic import GENERIC
from callbridge.sim.speakers.mango import MANGO
from callbridge.sim.speakers.megafon import MEGAFON
from callbridge.sim.speakers.onlinepbx import ONLINEPBX
from callbridge.sim.speakers.preset import preset_speaker
from callbridge.sim.speakers.sipuni import SIPUNI
from callbridge.sim.speakers.telnyx import TELNYX
from callbridge.sim.speakers.twilio import TWILIO
from callbridge.sim.speakers.uis import UIS
from callbridge.sim.speakers.yeastar import YEASTAR
from callbridge.sim.speakers.zadarma import ZADARMA

SPEAKERS: Final[Mapping[str, Speaker]] = MappingProxyType(
    {
        speaker.name: speaker
        for speaker in (
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

TELL_INTERNAL: Final = frozenset(
    {"asterisk", "freeswitch", "generic", "mango", "onlinepbx", "sipuni", "telnyx", "twilio", "uis", "yeastar"}
)
"""Those whose PBX posts calls between two employees, and says so in a way that needs no settings."""

SIGN_WITH_A_PRIVATE_KEY: Final = frozenset({"telnyx"})
"""Those whose receiver is configured with a public key, so that its settings are not enough to sign."""


def speaker_named(name: str) -> Speaker:
    """The speaker of a provider as a source names it: `mango`, `preset:NAME`, or a preset's file. Raises `ValueError`, with
    the names that there are.
    """
    if speaker := SPEAKERS.get(name):
        return speaker
    if not is_preset(name):
        also = f"; did you mean {PREFIX}{name}?" if name in shipped() else f", {PREFIX}NAME or a preset's FILE.toml"
        raise ValueError(f"there is no provider {name}: there are {', '.join(SPEAKERS)}{also}")
    try:
        return preset_speaker(name)
    except Misconfigured as error:
        raise ValueError(str(error)) from None
