"""What QEMU's command line says of its network cards: text that strangers wrote, read as QEMU reads it.

Two ways of writing exist: `tap,id=n0,fd=27` with `,,` for a comma, and the JSON object that libvirt writes since 7.0.
What hangs on by QEMU's monitor later stands in no command line, and is not seen.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from vswitch.core.mac import format_mac, parse_mac

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FIRST_KEYS = {"netdev": "type", "nic": "type", "device": "driver", "name": "guest"}
"""The options that are read, and the key that may be left out in front of their first value."""

_ON_A_TAP = ("tap", "bridge")  # what qemu-bridge-helper makes is a TAP, too
_DEFAULT_NAME = "tap%d"  # what QEMU and its helper ask for where no ifname is given
_PART = re.compile(r"(?:[^,]|,,)+")
_DESCRIPTOR = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Card:
    """A network card on a TAP: by the numbers of its descriptors, or by the interface's name or its pattern.

    mac: None where the command line leaves it to QEMU.
    """

    mac: str | None
    fds: frozenset[int]
    interface: str

    def on(self, fd: int, interface: str) -> bool:
        """Whether this descriptor of QEMU, a TAP of this name, is the card's cable."""
        if self.fds:
            return fd in self.fds
        return re.fullmatch(re.escape(self.interface).replace("%d", "[0-9]+"), interface) is not None


@dataclass(frozen=True, slots=True)
class Machine:
    """What a command line says: the guest's name, and its cards that are on TAPs."""

    name: str | None
    cards: tuple[Card, ...]

    def macs(self, fd: int, interface: str) -> list[str]:
        """The card's MAC address behind a descriptor; none where that cannot be told."""
        cards = [card for card in self.cards if card.on(fd, interface)]
        return [card.mac for card in cards if card.mac] if len(cards) == 1 else []


def read(arguments: Sequence[str]) -> Machine:
    """The machine that a command line describes; one without cards where it is not QEMU's, or garbage."""
    name: str | None = None
    backends: list[Mapping[str, str]] = []
    macs: dict[str, str | None] = {}
    for word, value in pairwise(arguments):
        option = word.removeprefix("-").removeprefix("-")
        if not word.startswith("-") or option not in _FIRST_KEYS:
            continue
        settings = _settings(value, _FIRST_KEYS[option])
        if option == "name":
            name = settings.get("guest", name)
        elif option == "device":
            macs[settings.get("netdev", "")] = _mac(settings)
        elif settings.get("type") in _ON_A_TAP:
            backends.append({**settings, "card": "here" if option == "nic" else "apart"})
    return Machine(name, tuple(_cards(backends, macs)))


def _cards(backends: Sequence[Mapping[str, str]], macs: Mapping[str, str | None]) -> Iterator[Card]:
    """`-nic` is card and cable in one; a `-netdev` has its card in the `-device` that names it."""
    for backend in backends:
        mac = _mac(backend) if backend["card"] == "here" else macs.get(backend.get("id", ""))
        numbers = f"{backend.get('fd', '')}:{backend.get('fds', '')}".split(":")
        fds = frozenset(int(number) for number in numbers if _DESCRIPTOR.fullmatch(number))
        yield Card(mac, fds, backend.get("ifname", _DEFAULT_NAME))


def _settings(text: str, first: str) -> dict[str, str]:
    """The value of an option by its keys, whichever way it is written; nothing where it cannot be read."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return {key: str(value) for key, value in found.items() if isinstance(value, str | int)}
    settings: dict[str, str] = {}
    for position, part in enumerate(_PART.findall(text)):
        key, equals, value = part.replace(",,", ",").partition("=")
        if equals:
            settings[key] = value
        elif position == 0:
            settings[first] = key
    return settings


def _mac(settings: Mapping[str, str]) -> str | None:
    try:
        return format_mac(parse_mac(settings["mac"]))
    except (KeyError, ValueError):
        return None
