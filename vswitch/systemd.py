"""What systemd is told of a service: sd_notify(3), a datagram to the socket that it names."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def notify(state: str, fds: Sequence[int] = ()) -> None:
    """Tell systemd, if it started this process; descriptors go along. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    place = address.replace("@", "\0", 1) if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):
        sock.connect(place)  # send_fds() takes an address, and ignores it
        socket.send_fds(sock, [state.encode()], list(fds))
