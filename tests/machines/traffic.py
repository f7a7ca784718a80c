"""Octets over TCP between machines and guests in namespaces, whole and in order, or an AssertionError."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from tests.running import until

if TYPE_CHECKING:
    from tests.machines.machine import Shell
    from vswitch.lab.guest import Guest

PORT = 5001
SIZE = 2 << 20


def ping(machine: Shell, address: str, *, size: int = 56) -> None:
    """Echo from a machine; the first may wait for address resolution."""
    machine.run(f"ping -c 1 -W 5 -s {size} {address} || ping -c 3 -W 5 -s {size} {address}")


def between(sender: Shell, receiver: Shell, address: str) -> None:
    """From one machine to another."""
    _listen(receiver)
    sender.run(f"dd if=/dev/urandom of=/tmp/data bs=64k count={SIZE >> 16} 2>/dev/null; nc {address} {PORT} </tmp/data")
    assert _come(receiver) == sender.run("sha256sum </tmp/data").split()[0]


def to_machine(sender: Guest, receiver: Shell, address: str) -> None:
    """From a namespace to a machine."""
    data = random.randbytes(SIZE)
    _listen(receiver)
    with closing(sender.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as sock:
        sock.settimeout(60)
        sock.connect((address, PORT))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert _come(receiver) == hashlib.sha256(data).hexdigest()


def from_machine(sender: Shell, receiver: Guest, address: str) -> None:
    """From a machine to a namespace."""
    come = hashlib.sha256()
    with closing(receiver.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as server:
        server.bind((address, 0))
        server.listen(1)
        server.settimeout(60)
        thread = threading.Thread(target=_drain, args=(server, come))
        thread.start()
        port = server.getsockname()[1]
        make = f"dd if=/dev/urandom of=/tmp/data bs=64k count={SIZE >> 16} 2>/dev/null"
        sender.run(f"{make}; nc {address} {port} </tmp/data")
        thread.join()
    assert come.hexdigest() == sender.run("sha256sum </tmp/data").split()[0]


def _listen(machine: Shell) -> None:
    machine.run(f"rm -f /tmp/come; nc -l -p {PORT} -e /bin/receive & until netstat -tln | grep -q :{PORT}; do :; done")


def _come(machine: Shell) -> str:
    until(lambda: machine.run("test -e /tmp/come && echo yes || true"), "all to come")
    return machine.run("sha256sum </tmp/come").split()[0]


def _drain(server: socket.socket, come: hashlib._Hash) -> None:
    connection, _ = server.accept()
    with connection:
        connection.settimeout(60)
        while octets := connection.recv(1 << 16):
            come.update(octets)
