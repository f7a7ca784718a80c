"""Listening sockets of TCP."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vswitch.units import ListenAddress


def server_socket(address: ListenAddress) -> socket.socket:
    """One that listens. The loop would look the address up in threads that then stay. Raises OSError."""
    everywhere = not address.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in address.host else socket.AF_INET
    return socket.create_server(tuple(address), family=family, dualstack_ipv6=everywhere)
