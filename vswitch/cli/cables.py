"""TAPs and their two ends for people. Names and programs are what strangers called them: nothing of them is markup."""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from vswitch.observe.places import THIS
from vswitch.observe.taps import LISTENS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vswitch.observe.taps import Holder, SwitchPort, Tap

MOST = 4
"""MAC addresses of one end that a table shows; there may be thousands behind a trunk."""

_STATE_STYLE = {"up": "green", "down": "red", "no carrier": "yellow"}


def printable(text: str) -> str:
    """What may not reach a terminal written as `\\x1b` or `\\udcff`."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def table(taps: Sequence[Tap]) -> Table:
    """`inspect`: one row a TAP."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("INTERFACE", "MAC", "NETNS", "STATE", "MTU", "MASTER", "HELD BY", "FAR END", "SWITCH PORT", "TAP"):
        grid.add_column(heading, justify="right" if heading == "MTU" else "left", overflow="fold")
    for tap in taps:
        near = tap.near
        cells = [near.interface, near.mac, tap.netns.name, _state(tap), str(near.mtu), _master(tap)]
        lists = [map(_holder, tap.holders), _short(_far(tap)), map(_port, tap.ports), [", ".join(_properties(tap))]]
        cells += ["\n".join(lines) or "-" for lines in lists]
        grid.add_row(*(_cell(cell) for cell in cells))
    return grid


def details(tap: Tap) -> Table:
    """`inspect INTERFACE`: one line a property."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    near = tap.near
    rows: list[tuple[str, Iterable[str]]] = [
        ("interface", [f"{near.interface}, index {near.index}"]),
        ("MAC", [near.mac]),
        ("namespace", [f"{tap.netns.name} ({tap.netns.inode})"]),
        ("state", [_state(tap)]),
        ("MTU", [str(near.mtu)]),
        ("master", [_master(tap)]),
        ("held by", map(_holder, tap.holders)),
        ("far end", [f"{mac}, known by {' and '.join(known)}" for mac, known in _stations(tap)]),
        ("switch port", [f"{_port(port)}, {port.attachment}, {port.state}" for port in tap.ports]),
        ("heard there", [mac for port in tap.ports for mac in port.macs]),
        ("TAP", [", ".join(_properties(tap))]),
    ]
    for key, lines in rows:
        grid.add_row(key, _cell("\n".join(lines) or "-"))
    return grid


def sentence(tap: Tap) -> Text:
    """What is connected to what, as one would say it."""
    near = tap.near
    ours = tap.netns.name == THIS
    where, whose = ("", "the host's") if ours else (f" in namespace {tap.netns.name}", "the near")
    parts = [f"{near.interface} ({near.mac}){where} is {whose} end of a cable", _other_end(tap)]
    if near.master is not None:
        parts.append(f"here it is in {near.master.kind or 'device'} {near.master.name}")
    parts += [f"here {_named(port)} listens on it" for port in tap.ports if port.attachment == LISTENS]
    return Text(printable("; ".join(parts) + "."))


def _other_end(tap: Tap) -> str:
    if not tap.holders:
        return "nobody that can be seen holds its other end"
    held = "its other end is held by " + " and by ".join(map(_at_length, tap.holders))
    ports = [_named(port) for port in tap.ports if port.attachment != LISTENS]
    return f"{held}, as {' and '.join(ports)}" if ports else held


def _at_length(holder: Holder) -> str:
    guest = "" if holder.guest is None else f", guest {holder.guest}"
    card = f", whose network card is {' or '.join(holder.macs)}" if holder.macs else ""
    doubt = "" if holder.certain else " (or that is another TAP of this name)"
    return f"{_who(holder)}{guest}{card}{doubt}"


def _named(port: SwitchPort) -> str:
    return f"port {port.port} of switch {port.switch}"


def _holder(holder: Holder) -> str:
    return f"{_who(holder)}{'' if holder.certain else ' ?'}"


def _who(holder: Holder) -> str:
    return f"{holder.program or 'gone'} (pid {holder.pid}, fd {holder.fd})"


def _port(port: SwitchPort) -> str:
    return f"{port.switch} {port.port}"


def _far(tap: Tap) -> list[str]:
    guests = {mac: holder.guest for holder in tap.holders if holder.guest for mac in holder.macs}
    return [f"{mac} ({guests[mac]})" if mac in guests else mac for mac, _ in _stations(tap)]


def _stations(tap: Tap) -> list[tuple[str, list[str]]]:
    return [(station.mac, station.known_by) for station in tap.far()]


def _short(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST else [*lines[:MOST], f"and {len(lines) - MOST} more"]


def _state(tap: Tap) -> str:
    return "down" if not tap.near.up else "up" if tap.near.carrier else "no carrier"


def _master(tap: Tap) -> str:
    return tap.near.master.name if tap.near.master else "-"


def _properties(tap: Tap) -> list[str]:
    """How the TAP was made, and what its holder takes uncompleted."""
    near = tap.near
    words = [word for word, has in (("persistent", near.persistent), ("multi-queue", near.multi_queue)) if has]
    if near.owner is not None:
        words.append(f"owner {_account(lambda number: pwd.getpwuid(number).pw_name, near.owner)}")
    if near.group is not None:
        words.append(f"group {_account(lambda number: grp.getgrgid(number).gr_name, near.group)}")
    return [*words, *(["vnet_hdr"] if near.vnet_hdr else []), *near.offload]


def _account(name: Callable[[int], str], number: int) -> str:
    try:
        return name(number)
    except KeyError:
        return str(number)


def _cell(text: str) -> Text:
    lines = "\n".join(printable(line) for line in text.split("\n"))
    return Text(lines, _STATE_STYLE.get(lines, ""))
