"""Guests and what they live in: namespaces, addresses, virtual machines, the demo; and a lab without being root.

For programs and tests in Python there are `Lab`, `Switch`, `Guest` and `Link`, a topology that is up as a context; and
`capture`: what passes at ports while a test runs, and what is expected of it.
"""

from typing import TYPE_CHECKING, Any

from vswitch.lab.capture import Capturing, capture

if TYPE_CHECKING:
    from vswitch.lab.objects import Guest, Lab, LabGuest, Link, Switch

__all__ = ["Capturing", "Guest", "Lab", "LabGuest", "Link", "Switch", "capture"]


def __getattr__(name: str) -> Any:
    """Those of a topology, imported by whoever wants them: a command that only enters a guest has no time for that."""
    if name in __all__:
        from vswitch.lab import objects

        return getattr(objects, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
