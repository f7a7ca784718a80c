"""Guests and what they live in: namespaces, addresses, virtual machines, the demo; and a lab without being root.

For programs and tests in Python: a `Lab` of switches, guests and links, and `capture`, what passes at ports of any
switch that runs. What a lab takes is imported once one is asked for: `rootless` and the command line do without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from vswitch.lab.capture import Capturing, capture

if TYPE_CHECKING:
    from vswitch.lab.awaitable import AsyncCapturing, AsyncGuest, AsyncLab, AsyncLink, AsyncPort, AsyncSwitch
    from vswitch.lab.parts import Guest, Link, Port, Switch
    from vswitch.lab.python import Lab
    from vswitch.lab.session import LabError

_PLACES: Final = {
    "awaitable": ("AsyncCapturing", "AsyncGuest", "AsyncLab", "AsyncLink", "AsyncPort", "AsyncSwitch"),
    "parts": ("Guest", "Link", "Port", "Switch"),
    "python": ("Lab",),
    "session": ("LabError",),
}

__all__ = [
    "AsyncCapturing",
    "AsyncGuest",
    "AsyncLab",
    "AsyncLink",
    "AsyncPort",
    "AsyncSwitch",
    "Capturing",
    "Guest",
    "Lab",
    "LabError",
    "Link",
    "Port",
    "Switch",
    "capture",
]


def __getattr__(name: str) -> Any:
    """The rest, by the module that it is in (PEP 562)."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"vswitch.lab.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
