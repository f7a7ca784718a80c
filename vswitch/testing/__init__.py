"""For tests of network software: the fixtures of the pytest plugin, and what they are made of.

Nothing is imported before it is asked for: the plugin is loaded by every run of pytest in an environment that has this
package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vswitch.testing.expecting import Expect
    from vswitch.testing.stepped import SteppedPort, SteppedSwitch

_PLACES: Final = {"Expect": "expecting", "SteppedPort": "stepped", "SteppedSwitch": "stepped"}

__all__ = ["Expect", "SteppedPort", "SteppedSwitch"]


def __getattr__(name: str) -> Any:
    """What fixtures give, by the module that it is in (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"vswitch.testing.{_PLACES[name]}"), name)
