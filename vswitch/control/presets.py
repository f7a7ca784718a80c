"""Impairments by name. Where each comes from stands in docs/impair.md."""

from __future__ import annotations

from dataclasses import dataclass
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


PRESETS: Final = {
    "3g": Preset(
        "3G Fast of WebPageTest",
        {"delay": "75ms", "rate": "768kbit"},
        {"delay": "75ms", "rate": "1600kbit"},
    ),
    "lte": Preset(
        "LTE of WebPageTest",
        {"delay": "35ms", "rate": "12mbit"},
        {"delay": "35ms", "rate": "12mbit"},
    ),
    "dsl": Preset(
        "DSL of WebPageTest",
        {"delay": "25ms", "rate": "384kbit"},
        {"delay": "25ms", "rate": "1500kbit"},
    ),
}
