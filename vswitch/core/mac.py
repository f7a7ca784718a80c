"""MAC addresses: six octets inside the switch, text only where a person reads or writes one."""

from __future__ import annotations

import re

BROADCAST = b"\xff" * 6
ZERO = bytes(6)

_TEXT = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")


def format_mac(mac: bytes) -> str:
    """Six octets as `52:54:00:a8:32:d7`."""
    return mac.hex(":")


def parse_mac(text: str) -> bytes:
    """Six octets from `52:54:00:a8:32:d7` or `52-54-00-A8-32-D7`.

    Raises ValueError, with one sentence, for anything else.
    """
    if not _TEXT.fullmatch(text):
        raise ValueError(f"{text!r} is not a MAC address such as 52:54:00:a8:32:d7")
    return bytes.fromhex(text.replace(":", "").replace("-", ""))


def is_group(mac: bytes) -> bool:
    """Whether this is a group (multicast or broadcast) address: the I/G bit, IEEE 802-2014 clause 8.2."""
    return bool(mac[0] & 1)
