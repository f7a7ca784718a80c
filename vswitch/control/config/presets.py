"""Impairments by name. Where each comes from stands in docs/impair.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Preset:
    """What the guest of a port with such an access sees: `up` is what it sends, `down` what it is sent."""

    words: str
    up: dict[str, Any]
    down: dict[str, Any]

    def direction(self, name: str) -> dict[str, Any]:
        """Of the port: `in` comes from the guest."""
        return self.up if name == "in" else self.down


def _of(words: str, delay: str, up: str = "", down: str = "", **more: Any) -> Preset:
    """delay: each way."""
    rates = [{"rate": rate} if rate else {} for rate in (up, down)]
    return Preset(words, *({"delay": delay, **rate, **more} for rate in rates))


_BURSTS: Final = {"gilbert": {"p": "0.5%", "r": "25%"}}

PRESETS: Final = {
    "3g": _of("3G Fast of WebPageTest", "75ms", "768kbit", "1600kbit"),
    "lte": _of("LTE of WebPageTest", "35ms", "12mbit", "12mbit"),
    "dsl": _of("DSL of WebPageTest", "25ms", "384kbit", "1500kbit"),
    "geo": _of("a geostationary satellite", "314ms", "2960kbit", "18750kbit"),
    "leo": _of("satellites in low orbits", "22ms", "13540kbit", "87250kbit", jitter="4ms", distribution="normal"),
    "transatlantic": _of("a backbone between London and New York", "45ms"),
    "wifi-lossy": _of("Wi-Fi with losses in bursts", "1ms", "15mbit", "30mbit", loss=_BURSTS),
}


def nearest_preset(name: str) -> str | None:
    """The one that is most likely meant."""
    words = set(re.split(r"[^a-z0-9]+", name[:100].lower()))
    within = (preset for preset in PRESETS if set(preset.split("-")) <= words)
    return next(within, None) or next(iter(get_close_matches(name[:100].lower(), PRESETS, 1, 0.6)), None)


def over_preset(preset: str, direction: str, own: dict[str, Any]) -> dict[str, Any]:
    """One direction of a preset, and what goes before it; a trace goes before its rate."""
    plain = PRESETS[preset].direction(direction)
    return {**{key: value for key, value in plain.items() if key != "rate" or not own.get("trace")}, **own}
