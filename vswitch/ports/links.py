"""Links of a namespace by rtnetlink: what they are now, and what becomes of them."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyroute2.netlink.rtnl import RTMGRP_LINK
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from vswitch.ports.netns import Namespace, inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_IFF_UP = 1
_READ = 1 << 16
_REQUEST = struct.Struct("=IHHII4xi8x")  # nlmsghdr, ifinfomsg: rtnetlink(7)
_GETLINK, _NLM_F_REQUEST, _NLM_F_DUMP = 18, 1, 0x300


@dataclass(frozen=True, slots=True)
class Link:
    """An interface, or the last that was heard of it: `gone` says that it left the namespace."""

    index: int
    name: str
    up: bool
    mtu: int
    mac: str
    kind: str | None
    gone: bool = False
    master: int = 0
    """The index of the bridge that it is in."""

    @classmethod
    def of(cls, message: Any) -> Link:
        """From a RTM_NEWLINK or RTM_DELLINK message of pyroute2."""
        info = message.get("linkinfo")
        return cls(
            message["index"],
            message.get("ifname") or "",
            bool(message["flags"] & _IFF_UP),
            message.get("mtu") or 0,
            message.get("address") or "",
            info.get("kind") if info else None,
            message["event"] == "RTM_DELLINK",
            message.get("master") or 0,
        )


class LinkMonitor:
    """Tells what becomes of the links of one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        """Listen from now on, and be told first how every link is now; it keeps the namespace alive."""
        with inside(namespace):
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
        self._socket.bind((0, RTMGRP_LINK))
        self._marshal = MarshalRtnl()
        self.ask()

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._socket.fileno()

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()

    def ask(self, index: int = 0) -> None:
        """Be told how this link is now, or every one."""
        flags = _NLM_F_REQUEST | (0 if index else _NLM_F_DUMP)
        self._socket.send(_REQUEST.pack(_REQUEST.size, _GETLINK, flags, 1, 0, index))

    def read(self) -> tuple[list[Link], bool]:
        """What happened since, in order, and whether something was missed (then the links are to be looked for)."""
        links: list[Link] = []
        missed = False
        while True:
            try:
                octets = self._socket.recv(_READ)
            except BlockingIOError:
                return links, missed
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more happened than the socket could hold
                    raise
                missed = True
                continue
            messages = list(self._marshal.parse(octets))
            missed |= any(message["header"]["error"] for message in messages)  # a link that was asked for is gone
            links += self._links(messages)

    def _links(self, messages: Iterable[Any]) -> Iterator[Link]:
        for message in messages:
            if message.get("event") in ("RTM_NEWLINK", "RTM_DELLINK") and message["family"] == 0:
                yield Link.of(message)
