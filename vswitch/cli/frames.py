"""A frame as people write it: in hexadecimal, as a packet of a file, or as an expression of scapy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from vswitch.control.client import CallError

HELP = "Hexadecimal octets, FILE.pcap[:N] for its packet N, or scapy: 'Ether()/ARP()'."
FrameArgument = Annotated[str, typer.Argument(metavar="FRAME", help=HELP)]


def octets(words: str) -> str:
    """The frame, Ethernet header first, as hexadecimal digits. Raises CallError."""
    digits = re.sub(r"0[xX](?=[0-9A-Fa-f])|\\x|[\s:.,-]", "", words)
    if re.fullmatch(r"[0-9A-Fa-f]*", digits):
        if len(digits) % 2:
            raise CallError(f"the frame has an odd number of hexadecimal digits: {len(digits)}", 2)
        return digits
    name, colon, number = words.rpartition(":")
    numbered = bool(colon) and number.isdecimal()
    if _is_file(words):
        return _of_file(Path(words), 1)
    if numbered and _is_file(name):
        return _of_file(Path(name), int(number))
    if "(" in words:
        return _of_scapy(words)
    raise CallError(_no_frame(words, name if numbered else words), 2)


def _is_file(path: str) -> bool:
    """Whether there is one; of words that are too long for a path there is none."""
    return os.path.isfile(path)  # noqa: PTH113  Path raises OSError for those


def _no_frame(words: str, path: str) -> str:
    """Why these are neither."""
    if os.path.isdir(path):  # noqa: PTH112
        return f"{path} is a directory: name a pcap file"
    if path.endswith((".pcap", ".pcapng", ".cap")):
        return f"there is no file {path}"
    return f"{words!r} is no frame: it is not hexadecimal, no pcap file, and no expression of scapy"


def _of_file(path: Path, number: int) -> str:
    from vswitch.observe.packets import packets

    if number < 1:
        raise CallError("the packets of a file count from 1", 2)
    try:
        packet = next((packet for at, packet in enumerate(packets(path), 1) if at == number), None)
    except (OSError, ValueError) as error:
        raise CallError(f"cannot read {path}: {error}", 2) from error
    if packet is None:
        raise CallError(f"{path} has no packet {number}", 2)
    return packet.hex()


def _of_scapy(expression: str) -> str:
    """The user's own words, in the user's own process: they may do whatever Python does."""
    try:
        from scapy import all as scapy
    except ImportError:
        raise CallError(
            "an expression of scapy needs scapy: pip install 'vswitch[scapy]', or give hexadecimal octets", 2
        ) from None
    try:
        made = eval(expression, vars(scapy))  # noqa: S307
        if not isinstance(made, (bytes, scapy.Packet)):
            raise CallError(f"{expression!r} is no frame of scapy: it is of type {type(made).__name__}", 2)
        if isinstance(made, scapy.Packet) and not isinstance(made, (scapy.Ether, scapy.Dot3, scapy.Raw)):
            raise CallError(f"a frame begins with Ether(), not with {type(made).__name__}(): 'Ether()/…'", 2)
        return bytes(made).hex()
    except CallError:
        raise
    except (Exception, SystemExit) as error:
        raise CallError(f"scapy does not make a frame of {expression!r}: {error}", 2) from error
