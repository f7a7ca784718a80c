"""The difference between two topologies: what a running lab has to do to come from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vswitch.control.config.difference import compare, words
from vswitch.control.config.schema import FdbConfig, SwitchConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vswitch.control.config.difference import Difference
    from vswitch.control.topology.layout import GuestConfig, LabConfig


@dataclass(frozen=True)
class LabDifference:
    """Guests and switches by name.

    moved: guests that have to be made anew, which are among those removed and added, too.  changed: those that go on
    with other settings, interfaces or commands.  switches: those that go on and change.  lines: everything, for people.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    switches_added: list[str] = field(default_factory=list)
    switches_removed: list[str] = field(default_factory=list)
    switches: dict[str, Difference] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def compare_labs(old: LabConfig, new: LabConfig, running: Mapping[str, SwitchConfig]) -> LabDifference:
    """What has to change for `old` to become `new`. running: the switches as they are, whoever changed them since."""
    added, removed, changed = _guests(old.guests, new.guests)
    switches = {name: compare(running[name], new.switches[name]) for name in new.switches if name in running}
    more = [name for name in new.switches if name not in running]
    fewer = [name for name in running if name not in new.switches]
    lines = [f"- guest {name}" for name in removed]
    lines += [f"+ guest {name} ({_about(new.guests[name])})" for name in added]
    for name in changed:
        lines += [f"~ guest {name}: {what}" for what in _changes(old.guests[name], new.guests[name])]
    lines += [f"- switch {name}" for name in fewer]
    lines += [f"+ switch {name} ({_ports(new.switches[name])})" for name in more]
    lines += [f"{line[:2]}{name}: {line[2:]}" for name, each in switches.items() for line in each.lines]
    refused = [line for each in switches.values() for line in each.refused]
    if old.name != new.name:
        refused = [f"the name cannot change while the lab runs ({old.name} to {new.name}); take it down and up again"]
    there = {name: each for name, each in switches.items() if not each.empty}
    return LabDifference(added, removed, changed, more, fewer, there, lines, refused)


def without(config: SwitchConfig, ports: set[str]) -> SwitchConfig:
    """A switch that lacks these ports, and all that names them."""
    left = {name: port for name, port in config.ports.items() if name not in ports}
    static = tuple(entry for entry in config.fdb.static if entry.port in left)
    mirrors = {
        name: mirror
        for name, mirror in config.mirrors.items()
        if mirror.to in left and all(port in left for port in mirror.ports or ())
    }
    fdb = FdbConfig.model_construct(limit=config.fdb.limit, static=static)
    top = config.top.model_copy(update={"fdb": fdb, "mirrors": mirrors, "vlan_filtering": config.vlan_aware})
    return SwitchConfig(top, left)


def _guests(old: Mapping[str, GuestConfig], new: Mapping[str, GuestConfig]) -> tuple[list[str], list[str], list[str]]:
    """Names of those that come, that go, and that change."""
    both = [name for name in new if name in old]
    moved = [name for name in both if _identity(old[name]) != _identity(new[name])]
    added = [name for name in new if name not in old or name in moved]
    removed = [name for name in old if name not in new or name in moved]
    return added, removed, [name for name in both if name not in moved and old[name] != new[name]]


def _identity(guest: GuestConfig) -> tuple[object, ...]:
    """What makes another guest of it if it changes: its home, and a virtual machine with its cards."""
    machine = guest.options.qemu
    return guest.netns, machine, [(plug.interface, plug.mac) for plug in guest.plugs] if machine else None


def _about(guest: GuestConfig) -> str:
    at = (
        f"{plug.interface} at {plug.switch}" + "".join(f", {each}" for each in plug.addresses) for plug in guest.plugs
    )
    return "; ".join([*at, *(["a virtual machine"] if guest.options.qemu else [])]) or "without interfaces"


def _ports(switch: SwitchConfig) -> str:
    return ", ".join(switch.ports) or "without ports"


def _changes(old: GuestConfig, new: GuestConfig) -> Iterator[str]:
    if (before := _about(old)) != (after := _about(new)):
        yield f"{before} → {after}"
    for key in ("routes", "sysctls", "environment", "setup", "run"):
        was, becomes = getattr(old.options, key), getattr(new.options, key)
        if was != becomes:
            yield f"{key} {_value(was)} → {_value(becomes)}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return words(value) or "none"
    return ", ".join(map(repr, value)) or "none" if isinstance(value, tuple) else str(value)
