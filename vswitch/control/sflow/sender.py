"""Datagrams to one collector. Whatever becomes of them is counted, and nothing else."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vswitch.control.config.collectors import Collector

log = logging.getLogger(__name__)

RENEW: Final = 60.0
"""Seconds between two looks for the address behind a name."""

_BUSY: Final = frozenset((errno.EAGAIN, errno.ENOBUFS))  # on any other error the socket may hold on to a stale route

Target = tuple[int, tuple[Any, ...]]


class Sender:
    """One collector and the socket to it.

    The socket is connected, so that the kernel tells of a host that refuses, and the address that reaches it is known.
    datagrams: made for the collector.  lost: those of them that could not be sent, or that its host refused.
    """

    def __init__(self, collector: Collector) -> None:
        """It sends nothing until its address is known: at once, or once `look_up` found it."""
        self.collector = collector
        self.datagrams = self.lost = 0
        self.trouble: str | None = None
        """Why the last one was lost, if it was."""
        self._target: Target | None = None
        self._socket: socket.socket | None = None
        self._looking: asyncio.Task[None] | None = None
        if collector.named:
            self.trouble = f"the address of {collector.host} is not known yet"
            self._looking = asyncio.ensure_future(self._look_up())
        else:
            family = socket.AF_INET6 if ":" in collector.host else socket.AF_INET
            self._target = family, tuple(collector)

    def local_address(self) -> IPv4Address | IPv6Address | None:
        """The address that datagrams leave from; None where there is no way to the collector now."""
        with suppress(OSError):
            return ip_address(self._connected().getsockname()[0].partition("%")[0])
        return None

    def send(self, octets: bytes) -> None:
        """Send a datagram, or count it as lost."""
        self.datagrams += 1
        lost = self.lost
        try:
            self._send(octets)
        except OSError as error:
            self._lose(error)
        if self.lost == lost:
            self.trouble = None

    def miss(self) -> None:
        """There was one that could not even be made, since no way to any collector is known."""
        self.datagrams += 1
        try:
            self._connected()
        except OSError as error:
            self._lose(error)

    def close(self) -> None:
        """Let go of the socket, and look for no address any more."""
        if self._looking is not None:
            self._looking.cancel()
        self._disconnect()

    def _send(self, octets: bytes) -> None:
        sock = self._connected()
        try:
            sock.send(octets)
        except ConnectionRefusedError as error:  # that was one sent before; this one was not sent yet
            self._lose(error)
            sock.send(octets)

    def _connected(self) -> socket.socket:
        """The socket, which has a way to the collector. Raises OSError."""
        if self._socket is None:
            if self._target is None:
                raise OSError(errno.EHOSTUNREACH, self.trouble)
            family, address = self._target
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                sock.connect(address)
            except OSError:
                sock.close()
                raise
            self._socket = sock
        return self._socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _lose(self, error: OSError) -> None:
        self.lost += 1
        if not isinstance(error, ConnectionRefusedError) and error.errno not in _BUSY:
            self._disconnect()
        self._say(error.strerror or str(error))

    def _say(self, trouble: str) -> None:
        """Say what is wrong, once."""
        if trouble != self.trouble:
            log.warning("sflow: %s: %s", self.collector, trouble)
        self.trouble = trouble

    async def _look_up(self) -> None:
        """Keep the address as the name says. A look-up may hang: it has a thread that nobody waits for."""
        while True:
            found = await _addresses(self.collector)
            if found and self._target not in found:
                self._target = found[0]
                self._disconnect()
                log.info("sflow: %s is %s", self.collector.host, found[0][1][0])
            elif self._target is None:
                self._say(f"the address of {self.collector.host} cannot be found")
            await asyncio.sleep(RENEW)


async def _addresses(collector: Collector) -> list[Target]:
    """What the name of a collector stands for; nothing where that is not to be had."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Target]] = loop.create_future()

    def tell(found: list[Target]) -> None:
        if not future.done():
            future.set_result(found)

    def look() -> None:
        found: list[Target] = []
        with suppress(OSError, UnicodeError):
            answers = socket.getaddrinfo(collector.host, collector.port, type=socket.SOCK_DGRAM)
            found = [(family, address) for family, _, _, _, address in answers]
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(partial(tell, found))

    threading.Thread(target=look, name="vswitch-sflow-name", daemon=True).start()
    return await future
