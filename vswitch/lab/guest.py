"""A guest in a network namespace, driven from outside: a socket stays in the namespace that it was made in."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import threading
import time
from contextlib import closing
from ipaddress import ip_address
from typing import Final

from vswitch.ports import netns
from vswitch.ports.base import PortError

ETH_P_ALL: Final = 3
CHUNK: Final = 1 << 20
ECHO: Final = {4: (8, 0), 6: (128, 129)}  # request and reply: RFC 792, RFC 4443

_identifiers = itertools.count(os.getpid())


class Guest:
    """Whoever lives in a namespace."""

    def __init__(self, namespace: str) -> None:
        """namespace: as a configuration names it."""
        self.namespace = namespace

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this guest. Raises PortError where there is no such namespace."""
        namespace = netns.find(self.namespace)
        if namespace is None:
            raise PortError(f"there is no namespace {self.namespace}")
        made: list[socket.socket | OSError] = []

        def work() -> None:
            try:
                with netns.inside(namespace):
                    made.append(socket.socket(family, kind, protocol))
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=work)  # one of its own, so that the caller's never leaves its namespace
        thread.start()
        thread.join()
        namespace.close()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def wire(self, interface: str) -> socket.socket:
        """A packet socket on an interface: whole frames out, and in."""
        packet = self.open_socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        packet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        packet.bind((interface, ETH_P_ALL))
        return packet

    def ping(self, address: str, *, timeout: float = 2.0) -> float | None:
        """Round-trip time in seconds of one ICMP echo; None: no answer within `timeout` seconds."""
        version = ip_address(address).version
        family, protocol = (
            (socket.AF_INET, socket.IPPROTO_ICMP) if version == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
        )
        request, reply = ECHO[version]
        identifier = next(_identifiers) & 0xFFFF  # threads may ping at once, and each socket hears every reply
        with closing(self.open_socket(family, socket.SOCK_RAW, protocol)) as raw:
            began = time.perf_counter()
            raw.sendto(echo(request, identifier), (address, 0))
            deadline = began + timeout
            while (left := deadline - time.perf_counter()) > 0 and select.select([raw], [], [], left)[0]:
                octets = raw.recv(2048)
                message = octets[(octets[0] & 15) * 4 :] if version == 4 else octets  # IPv4 raw sockets show its header
                if message[0] == reply and message[4:6] == identifier.to_bytes(2):
                    return time.perf_counter() - began
        return None


def stream(sender: Guest, receiver: Guest, address: str, seconds: float) -> float:
    """Bits a second that one TCP stream carries from one guest to another, as the receiver counts them."""
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    stop = threading.Event()
    with closing(receiver.open_socket(family, socket.SOCK_STREAM)) as server:
        server.bind((address, 0))
        server.listen(1)
        with closing(sender.open_socket(family, socket.SOCK_STREAM)) as client:
            client.settimeout(10.0)
            client.connect(server.getsockname()[:2])
            connection, _ = server.accept()
            with closing(connection):
                thread = threading.Thread(target=_pour, args=(client, stop))
                thread.start()
                try:
                    return _count(connection, seconds)
                finally:
                    stop.set()
                    connection.close()
                    thread.join()


def _pour(client: socket.socket, stop: threading.Event) -> None:
    chunk = bytes(CHUNK)
    try:
        while not stop.is_set():
            client.send(chunk)
    except OSError:
        return  # the receiver has seen enough


def _count(connection: socket.socket, seconds: float) -> float:
    buffer = bytearray(CHUNK)
    total = 0
    began = now = time.perf_counter()
    while now - began < seconds and (octets := connection.recv_into(buffer)):
        total += octets
        now = time.perf_counter()
    return total * 8 / (now - began)


def echo(kind: int, identifier: int, number: int = 1) -> bytes:
    """An ICMP echo request; the kernel writes the checksum of the IPv6 one."""
    head = struct.pack("!BBHHH", kind, 0, 0, identifier, number)
    checksum = -int.from_bytes(head) % 0xFFFF
    return head[:2] + checksum.to_bytes(2) + head[4:]
