"""What every port has in common that reads and writes one network interface by a descriptor of its own."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from vswitch.ports.base import Options, Port, PortState

if TYPE_CHECKING:
    from vswitch.ports.host import Host
    from vswitch.ports.links import Link


class DevicePort(Port):
    """A port whose interface is known by its index, since a guest may rename it."""

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self._fd = -1

    def fileno(self) -> int:
        """The descriptor that frames are read from and written to."""
        return self._fd

    def owns(self, link: Link) -> bool:
        """By index."""
        return link.index == self.index

    def link_changed(self, link: Link) -> None:
        """Whoever has the interface may set it up and down, rename it and change its MTU."""
        self.device = link.name
        self.state = PortState.UP if link.up else PortState.DOWN
        self.capabilities = replace(self.capabilities, mtu=link.mtu)

    def lose(self) -> None:
        """The device is gone: the descriptor is closed, the namespace still watched."""
        self.state = PortState.NOT_PRESENT
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
