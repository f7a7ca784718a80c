"""Attachments: one file a kind, one line here that registers it."""

from __future__ import annotations

from vswitch.ports.base import Capabilities, Options, Port, PortError, PortState
from vswitch.ports.erspan import ErspanPort
from vswitch.ports.fd import FdPort
from vswitch.ports.interface import InterfacePort
from vswitch.ports.patch import PatchPort
from vswitch.ports.qemu import QemuPort
from vswitch.ports.tap import TapPort
from vswitch.ports.vde import VdePort
from vswitch.ports.vxlan import VxlanPort

ATTACHMENTS: dict[str, type[Port]] = {
    port.kind: port for port in (TapPort, FdPort, InterfacePort, QemuPort, VdePort, ErspanPort, VxlanPort, PatchPort)
}
"""What a configuration may name, by its key."""

__all__ = ["ATTACHMENTS", "Capabilities", "Options", "Port", "PortError", "PortState"]
