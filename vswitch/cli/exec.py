"""`vswitch exec PORT -- COMMAND`: open what a program needs to be the guest of a port, and become that program."""

from __future__ import annotations

import os
import re
import shutil
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vswitch.cli.app import PASS, PortName, app, client
from vswitch.control.client import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vswitch.control.client import Client

PLACE: Final = "{fd}"
"""What stands in the command for the descriptor's number."""

_KINDS: Final = {"tap": "tap", "stream": "stream", "socket": "stream", "dgram": "dgram"}
_TYPES: Final = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM}


@app.command("exec", context_settings=PASS)
def execute(
    context: typer.Context,
    port: PortName,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="With {fd} where the number belongs.")],
    kind: Annotated[
        str | None,
        typer.Option("--as", metavar="tap|stream|dgram", help="What {fd} is; by default as QEMU's -netdev says it."),
    ] = None,
) -> None:
    """Run COMMAND as the guest of PORT, with a descriptor of its end of the cable.

    A port that is not there yet is added. {fd} is a TAP, or one end of a socket pair, as the word it stands in says.

    Example: vswitch exec vm1 -- qemu-system-x86_64 -netdev tap,id=n0,fd={fd} -device e1000,netdev=n0 disk.img
    """
    kind = kind or _kind(command)
    if kind not in _OPEN:
        raise CallError(f"{kind} is none of tap, stream and dgram", 2)
    switch = client(context)
    if shutil.which(command[0]) is None:
        raise CallError(f"cannot run {command[0]}: there is no such program")
    fd = _OPEN[kind](switch, port, _row(switch, port, kind))
    os.set_inheritable(fd, True)
    words = [word.replace(PLACE, str(fd)) for word in command]
    try:
        os.execvp(words[0], words)  # noqa: S606
    except OSError as error:
        raise CallError(f"cannot run {words[0]}: {error.strerror}") from error


def _kind(command: Sequence[str]) -> str:
    """What the descriptor has to be, from the word that it stands in: `tap,id=n0,fd={fd}`."""
    places = [word for word in command if PLACE in word]
    if not places:
        raise CallError(f"the command has no {PLACE}: write it where the number of the descriptor belongs", 2)
    for word in places:
        if kind := _KINDS.get(re.split(r"[,=]", word, maxsplit=1)[0]):
            return kind
    raise CallError(f"what {PLACE} is to be does not show in {places[0]!r}; say it with --as tap, stream or dgram", 2)


def _row(switch: Client, port: str, kind: str) -> dict[str, Any] | None:
    """The port as it is; None where there is none. Raises CallError where it shows that it has a guest."""
    row = next((row for row in switch.call("GET", "ports") if row["port"] == port), None)
    if row is not None and row["state"] != "not_present" and kind == "stream":
        raise CallError(f"port {port} has its guest already; end that one first")
    return row


def _open_tap(switch: Client, port: str, row: dict[str, Any] | None) -> int:
    """A TAP for the program to hold; the switch is attached to the host's end of it."""
    from vswitch.ports import PortError, netns, tun

    options = switch.call("GET", "config")["ports"].get(port, {})
    if row is not None and row["attachment"] != "interface":
        raise CallError(f"port {port} is a {row['attachment']} port: a TAP's other end is an interface port", 2)
    try:
        name = options.get("netns")
        namespace = netns.find(name) if name else netns.current()
        if namespace is None:
            raise CallError(f"there is no namespace {name}")
        with netns.inside(namespace):
            fd, device = tun.attach(options.get("interface") or _interface_name(port))
            os.set_blocking(fd, True)
            _set_up(device)
    except PortError as error:
        raise CallError(str(error)) from error
    if row is None:
        switch.call("POST", "ports", {"name": port, "interface": device})
    return fd


def _interface_name(port: str) -> str:
    """The port's own where an interface may be called that."""
    from vswitch.units import parse_interface_name

    with suppress(ValueError):
        return parse_interface_name(port)
    return "vswitch%d"


def _set_up(device: str) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as route:
        route.link("set", index=socket.if_nametoindex(device), state="up")


def _open_socket(kind: str) -> Callable[[Client, str, dict[str, Any] | None], int]:
    def open_(switch: Client, port: str, row: dict[str, Any] | None) -> int:
        """One end of a socket pair; the switch is handed the other, or listens already."""
        if row is not None and row["attachment"] == "qemu":
            return _call(row["device"], kind)
        ours, theirs = socket.socketpair(socket.AF_UNIX, _TYPES[kind])
        with theirs:
            if row is None:
                switch.call("POST", "ports", {"name": port}, fd=theirs.fileno())
            else:
                switch.call("PUT", f"ports/{port}/fd", fd=theirs.fileno())
        return ours.detach()

    return open_


def _call(place: str, kind: str) -> int:
    """A connection to where the port waits for its guest."""
    if not place.startswith("/") or kind != "stream":
        raise CallError("the port waits for its guest elsewhere; `vswitch qemu-args` says how to reach it", 2)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(place)
        except OSError as error:
            raise CallError(f"the switch does not answer on {place}: {error.strerror}") from error
        return sock.detach()


_OPEN: Final[dict[str, Callable[[Client, str, dict[str, Any] | None], int]]] = {
    "tap": _open_tap,
    "stream": _open_socket("stream"),
    "dgram": _open_socket("dgram"),
}
