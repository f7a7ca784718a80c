"""The program that Wireshark asks for interfaces and frames: extcap(4). `vswitch wireshark install` installs it.

Every running switch is an interface, and each of its ports. What comes is the pcapng of `vswitch capture`.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from vswitch import __version__
from vswitch.control.client import CallError, Client, running
from vswitch.control.place import control_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "vswitch-"
PATIENCE: Final = 2.0
"""Seconds that a switch has to name its ports: Wireshark waits for the list."""

DLTS: Final = ("dlt {number=1}{name=EN10MB}{display=Ethernet}",)
CONFIG: Final = (
    "arg {number=0}{call=--drops}{display=Only dropped frames}{type=boolflag}{default=false}"
    "{tooltip=Each with its reason, as the comment of the packet}",
    "arg {number=1}{call=--as-on-wire}{display=As on the wire}{type=boolflag}{default=false}"
    "{tooltip=Superframes as the segments they stand for, checksums complete}",
    "arg {number=2}{call=--vlan}{display=Only this VLAN}{type=integer}{range=1,4094}"
    "{tooltip=The VLAN that the switch put the frame into}",
    "arg {number=3}{call=--snaplen}{display=Octets to keep of each frame}{type=integer}{range=1,262144}"
    "{tooltip=All where it is empty}",
)


def main() -> None:
    """Answer one call of Wireshark. Errors are one sentence on standard error; exit status 1, or 2 for a wrong call."""
    asked, _ = _parser().parse_known_args()  # a newer Wireshark may say more than is understood here
    try:
        for line in _answer(asked):
            print(line)  # noqa: T201
    except CallError as error:
        print(f"vswitch: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.status)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="vswitch", description="Lets Wireshark capture from vswitch: see extcap(4).",
                            allow_abbrev=False)  # fmt: skip
    for action in ("--extcap-interfaces", "--extcap-dlts", "--extcap-config", "--capture"):
        parser.add_argument(action, action="store_true")
    parser.add_argument("--extcap-interface", metavar="NAME", default="")
    parser.add_argument("--extcap-capture-filter", metavar="BPF", default="")
    parser.add_argument("--fifo", metavar="PATH", type=Path)
    parser.add_argument("--drops", action="store_true", help="only dropped frames")
    parser.add_argument("--as-on-wire", action="store_true", help="superframes as segments, checksums complete")
    parser.add_argument("--vlan", metavar="VID", default="", help="only this VLAN")
    parser.add_argument("--snaplen", metavar="N", default="", help="octets to keep of each frame")
    return parser


def _answer(asked: Namespace) -> Iterator[str]:
    """The lines that Wireshark is to read. Raises CallError."""
    if asked.extcap_interfaces:
        return _interfaces()
    if asked.extcap_dlts:
        return iter(DLTS)
    if asked.extcap_config:
        return iter(CONFIG)
    if asked.capture:
        _capture(asked)
        return iter(())
    if asked.extcap_capture_filter:
        return _wrong_filter(asked.extcap_capture_filter)
    raise CallError("this is for Wireshark to call; in a shell there is `vswitch capture`", 2)


def _interfaces() -> Iterator[str]:
    yield f"extcap {{version={__version__}}}{{display=vswitch}}"
    for path in running():
        name = path.stem
        yield f"interface {{value={PREFIX}{name}}}{{display=vswitch {name} (all ports)}}"
        for port in _ports(path):
            yield f"interface {{value={PREFIX}{name}:{port}}}{{display=vswitch {name}, port {port}}}"


def _ports(path: Path) -> list[str]:
    """Of a switch; none where it does not say: the other switches are to be shown all the same."""
    try:
        return [row["port"] for row in Client(path, timeout=PATIENCE).call("GET", "ports")]
    except CallError:
        return []


def _wrong_filter(expression: str) -> Iterator[str]:
    """What is wrong with a filter, on standard output, where Wireshark looks for it; nothing if it is right."""
    from vswitch.observe import bpf

    try:
        bpf.compiled(expression)
    except ValueError as error:
        yield str(error)


def _capture(asked: Namespace) -> None:
    """Until Wireshark closes the pipe, or the switch ends. Raises CallError."""
    if asked.fifo is None:
        raise CallError("--capture needs a --fifo to write to", 2)
    try:
        pipe = os.open(asked.fifo, os.O_WRONLY)  # before anything fails: Wireshark waits for it to open, and to end
    except OSError as error:
        raise CallError(f"cannot write to {asked.fifo}: {error.strerror}") from error
    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
    name, _, port = asked.extcap_interface.removeprefix(PREFIX).partition(":")
    if not asked.extcap_interface.startswith(PREFIX) or not name or "/" in name:
        raise CallError(
            f"{asked.extcap_interface!r} is no interface of vswitch: they are called {PREFIX}SWITCH[:PORT]", 2
        )
    wanted = {
        "port": port or None, "filter": asked.extcap_capture_filter or None, "vlan": asked.vlan or None,
        "snaplen": asked.snaplen or None, "drops": asked.drops or None, "as_on_wire": asked.as_on_wire or None,
    }  # fmt: skip
    with os.fdopen(pipe, "wb") as fifo:
        for octets in Client(control_socket(name)).stream("capture", **wanted):
            fifo.write(octets)
            fifo.flush()


def _end_with(pipe: int) -> NoReturn:
    """End this process once nobody reads the pipe, or who started it is gone; a quiet switch writes nothing to tell.

    A tshark that is killed leaves a dumpcap behind, which keeps the pipe open until a packet comes.
    """
    poll = select.poll()
    poll.register(pipe, 0)
    with suppress(OSError):
        poll.register(os.pidfd_open(os.getppid()), select.POLLIN)
    poll.poll()
    os._exit(0)
