"""A frame as people write it: in hexadecimal, as a packet of a file, or as an expression of scapy."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Annotated

import typer

from vswitch.control.client import CallError

HELP = "Hexadecimal octets, FILE.pcap[:N] for its packet N, or scapy: 'Ether()/ARP()'."
FrameArgument = Annotated[str, typer.Argument(metavar="FRAME", help=HELP)]


def octets(words: str) -> str:
    """The frame, Ethernet header first, as hexadecimal digits. Raises CallError."""
    if re.fullmatch(r"[0-9A-Fa-f\s:-]*", words):
        digits = re.sub(r"[\s:-]", "", words)
        if len(digits) % 2:
            raise CallError(f"the frame has an odd number of hexadecimal digits: {len(digits)}", 2)
        return digits
    name, colon, number = words.rpartition(":")
    for path, at in ((Path(words), 1), (Path(name), int(number) if colon and number.isdigit() else 0)):
        if at and path.is_file():
            return _of_file(path, at)
    if "(" in words:
        return _of_scapy(words)
    raise CallError(f"{words!r} is no frame: it is not hexadecimal, no pcap file, and no expression of scapy", 2)


def _of_file(path: Path, number: int) -> str:
    from vswitch.observe.packets import packets

    try:
        packet = next(itertools.islice(packets(path), number - 1, None), None)
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
        return bytes(eval(expression, vars(scapy))).hex()  # noqa: S307
    except Exception as error:
        raise CallError(f"scapy does not make a frame of {expression!r}: {error}", 2) from error
