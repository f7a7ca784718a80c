"""Attachments: one file a kind, one line here that registers it."""

from __future__ import annotations

from vswitch.ports.base import Capabilities, Options, Port, PortError, PortState
from vswitch.ports.fd import FdPort
from vswitch.ports.tap import TapPort

ATTACHMENTS: dict[str, type[Port]] = {port.kind: port for port in (TapPort, FdPort)}
"""What a configuration may name, by its key."""

ANNOUNCED = ("interface", "qemu", "vde")
"""Keys that name an attachment to readers of the documentation, and that this version does not have."""

__all__ = ["ANNOUNCED", "ATTACHMENTS", "Capabilities", "Options", "Port", "PortError", "PortState"]
