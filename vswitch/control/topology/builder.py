"""What every switch, guest and link of a lab is to be, of what a topology says.

A link between switches is a patch cable, one between a guest and a switch a TAP in the guest's namespace (or a socket
of its machine), and one between two guests a switch of its own with two ports that pass everything: a true wire.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vswitch.control.api.guests import guest_mac
from vswitch.control.config import reading as config
from vswitch.control.config.reading import build_model, build_port
from vswitch.control.config.schema import SwitchConfig, TopLevel
from vswitch.control.place import lab_directory
from vswitch.control.topology.check import check_addresses, check_loops
from vswitch.control.topology.layout import End, GuestConfig, LabConfig, Plug
from vswitch.control.topology.models import NAME, EndOptions, GuestOptions, LabOptions, WireOptions
from vswitch.control.topology.pools import deal
from vswitch.units import parse_interface_name, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vswitch.control.config import yaml
    from vswitch.control.config.schema import PortConfig

_TAP: Final = ("address", "mac", "mtu", "speed", "offload")
"""Options of an end that are the interface's; all others are the port's."""

_LONGEST: Final = 32


@dataclass
class _Node:
    """What is known of a guest or a switch while links are plugged in.

    own: ports of the switch that the file has by themselves, as it has them.  ports: those of links, as it would.
    beside: options beside a guest without `switch:`, which its first link is to have.
    """

    path: yaml.Path
    data: dict[str, Any]
    guest: bool
    own: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)
    ports: dict[str, dict[str, Any]] = field(default_factory=dict)
    built: dict[str, PortConfig] = field(default_factory=dict)
    plugs: dict[str, Plug] = field(default_factory=dict)
    peers: dict[str, int] = field(default_factory=dict)


@dataclass
class _End:
    """An end on its way: its node, its interface if it says one, its options, where it stands, and if that is right."""

    node: _Node
    name: str
    interface: str | None
    options: dict[str, Any]
    path: yaml.Path
    right: bool


class Builder:
    """Makes a lab of raw data, and tells what is wrong with it."""

    def __init__(self, data: dict[str, Any], wrong: Any) -> None:
        """wrong: called with the path and the message of each mistake."""
        self._data = data
        self._wrong = wrong
        self._nodes: dict[str, _Node] = {}
        self._options: dict[str, GuestOptions] = {}
        self._links: list[tuple[_End, _End]] = []
        self._wires: dict[str, _Node] = {}
        self._shown: list[tuple[End, End]] = []
        self._name = ""
        self._macs: set[str] = set()

    def build(self) -> LabConfig | None:
        """The lab; None, or one that lacks something, where anything was wrong."""
        sections = ("switches", "guests", "links")
        own = {key: value for key, value in self._data.items() if key not in sections}
        lab = build_model(LabOptions, own, (), self._wrong, known=[*sections, "include"])
        self._name = lab.name if lab else "lab"
        self._switches()
        self._guests()
        self._explicit_links()
        self._check_beside()
        deal(self._nodes_of_guests(), self._links, self._wrong)
        check_loops(self._links, self._wrong, permitted=bool(self._data.get("loops") is True))
        check_addresses(self._links, self._wrong)
        for one, other in self._links:
            self._plug(one, other)
        switches = self._finish_switches()
        if lab is None:
            return None
        guests = {
            name: GuestConfig(
                name, options.netns or f"{self._name}-{name}", options, tuple(self._nodes[name].plugs.values())
            )
            for name, options in self._options.items()
        }
        self._check_namespaces(guests)
        return LabConfig(lab.name, switches, guests, tuple(self._shown), frozenset(self._wires), self._data)

    # Nodes

    def _section(self, key: str) -> dict[str, Any]:
        members = self._data.get(key)
        if members is not None and not isinstance(members, dict):
            self._wrong((key,), f"found {shown(members)}, expected a mapping of names to {key}")
        return members if isinstance(members, dict) else {}

    def _add(self, section: str, name: object, data: Any, *, guest: bool) -> _Node | None:
        path: yaml.Path = (section, str(name))
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            self._wrong(path, f"{shown(name)} is no name: 1 to 32 letters, digits, _ and - after a letter or digit")
            return None
        if name in self._nodes:
            self._wrong(path, f"{name} is a switch already; a guest has another name")
            return None
        if data is not None and not isinstance(data, dict):
            self._wrong(path, f"found {shown(data)}, expected a mapping")
            data = {}
        node = self._nodes[name] = _Node(path, dict(data or {}), guest)
        return node

    def _switches(self) -> None:
        for name, data in self._section("switches").items():
            node = self._add("switches", name, data, guest=False)
            if node is not None:
                self._check_length(f"{self._name}-{name}", node.path)
                ports = node.data.pop("ports", None)
                if ports is not None and not isinstance(ports, dict):
                    self._wrong(
                        (*node.path, "ports"), f"found {shown(ports)}, expected a mapping of port names to ports"
                    )
                elif ports:
                    node.own = ports

    def _guests(self) -> None:
        for name, data in self._section("guests").items():
            node = self._add("guests", name, data, guest=True)
            if node is None:
                continue
            mine = {key: value for key, value in node.data.items() if key in GuestOptions.model_fields}
            rest = {key: value for key, value in node.data.items() if key not in mine}
            options = build_model(GuestOptions, mine, node.path, self._wrong, known=list(WireOptions.model_fields))
            build_model(WireOptions, rest, node.path, self._wrong, known=list(GuestOptions.model_fields))
            if options is not None:
                self._options[name] = options
                if options.qemu is not None and (options.sysctls or options.routes or options.run or options.setup):
                    self._wrong(
                        (*node.path, "qemu"), "what a virtual machine does inside is its own affair: leave out "
                        "routes, sysctls, setup and run"
                    )  # fmt: skip
            switch = node.data.get("switch")
            if isinstance(switch, str):
                self._join(
                    self._end({"node": name, **rest}, node.path),
                    self._end({"node": switch}, (*node.path, "switch"), switch_only=True),
                )
            else:
                node.beside = {key: value for key, value in rest.items() if key in WireOptions.model_fields}

    def _nodes_of_guests(self) -> list[tuple[str, _Node]]:
        return [(name, node) for name, node in self._nodes.items() if node.guest]

    def _check_length(self, name: str, path: yaml.Path) -> None:
        if len(name) > _LONGEST:
            self._wrong(path, f"the switch would be called {name}, and a name has {_LONGEST} characters at most")

    def _check_namespaces(self, guests: dict[str, GuestConfig]) -> None:
        seen: dict[str, str] = {}
        for name, guest in guests.items():
            if guest.netns in seen:
                self._wrong((*self._nodes[name].path, "netns"), f"{guest.netns} is the home of {seen[guest.netns]}")
            seen.setdefault(guest.netns, name)
            if "/" in guest.netns or ":" in guest.netns:
                self._wrong((*self._nodes[name].path, "netns"), "a guest's namespace goes by a name of `ip netns`")

    # Links

    def _explicit_links(self) -> None:
        links = self._data.get("links")
        if links is None:
            return
        if not isinstance(links, list):
            self._wrong(("links",), f"found {shown(links)}, expected a list of links such as [s1, s2]")
            return
        for index, link in enumerate(links):
            if isinstance(link, dict):
                one, other = (self._end(end, ("links", index, "ends", at)) for at, end in enumerate(link["ends"]))
                self._join(one, other)

    def _check_beside(self) -> None:
        for _, node in self._nodes_of_guests():
            if node.beside:
                self._wrong((*node.path, next(iter(node.beside))),
                            "a guest without `switch:` has that at the end of a link")  # fmt: skip

    def _end(self, data: dict[str, Any], path: yaml.Path, *, switch_only: bool = False) -> _End | None:
        right = build_model(EndOptions, data, path, self._wrong, known=[]) is not None
        if not isinstance(data.get("node"), str):
            return None
        name, _, interface = data["node"].partition(":")
        interface = interface or data.get("interface") or ""
        node = self._nodes.get(name)
        if node is None or (switch_only and node.guest):
            there = [known for known, each in self._nodes.items() if not (switch_only and each.guest)]
            what = "switch" if switch_only else "switch or guest"
            self._wrong(path, f"there is no {what} {shown(name)}; {_nearest(name, there)}")
            return None
        if interface:
            try:
                parse_interface_name(interface)
            except ValueError as error:
                self._wrong(path, str(error))
                return None
            if not node.guest:
                self._wrong(path, f"{name} is a switch: only a guest's end names an interface")
        options = {key: value for key, value in data.items() if key in WireOptions.model_fields}
        if not node.guest and (extra := [key for key in _TAP if key in options and key != "mtu"]):
            self._wrong((*path, extra[0]), f"{extra[0]} belongs to a guest's end; {name} is a switch")
        return _End(node, name, interface or None, options, path, right)

    def _join(self, one: _End | None, other: _End | None) -> None:
        if one is None or other is None:
            return
        if one.name == other.name:
            self._wrong(other.path, f"both ends are {one.name}: a link joins two")
            return
        for end in (one, other):
            if end.node.guest and end.interface is None:
                end.interface = self._free_interface(end)
            elif end.node.guest and end.interface in end.node.plugs:
                self._wrong(end.path, f"{end.name} has an interface {end.interface} already")
                return
            if end.node.guest:
                end.node.plugs[str(end.interface)] = Plug("", "", "", (), "")
                self._take_beside(end)
        self._links.append((one, other))

    def _take_beside(self, end: _End) -> None:
        """What stands beside a guest without `switch:` is that of its first link."""
        beside, end.node.beside = end.node.beside, {}
        if clash := [key for key in beside if key in end.options]:
            self._wrong((*end.path, clash[0]), f"that stands beside {end.name} too: leave one of them out")
        end.options = {**beside, **end.options}

    @staticmethod
    def _free_interface(end: _End) -> str:
        return next(name for name in (f"eth{n}" for n in range(10_000)) if name not in end.node.plugs)

    def _plug(self, one: _End, other: _End) -> None:
        if one.node.guest and other.node.guest:
            self._wire(one, other)
        elif one.node.guest or other.node.guest:
            guest, switch = (one, other) if one.node.guest else (other, one)
            clash = [key for key in guest.options if key in switch.options]
            if clash:
                self._wrong((*switch.path, clash[0]), "the guest's end says that too: leave one of them out")
            options = {**switch.options, **guest.options}
            port = self._port_name(switch, guest)
            made = self._attachment(guest, options, switch.name, port)
            self._occupy(switch.node, port, made, switch.path, build=one.right and other.right)
            self._shown.append((self._show(guest, str(guest.interface), {}), self._show(switch, port, options)))
        else:
            self._cable(one, other)

    def _cable(self, one: _End, other: _End) -> None:
        """A patch cable, which has a name of its own in the whole lab."""
        ports = self._port_name(one, other), self._port_name(other, one)
        cable = f"{one.name}:{ports[0]}--{other.name}:{ports[1]}"
        for end, port in zip((one, other), ports, strict=True):
            self._occupy(end.node, port, {"patch": cable, **end.options}, end.path, build=end.right)
        self._shown.append((self._show(one, ports[0], one.options), self._show(other, ports[1], other.options)))

    def _wire(self, one: _End, other: _End) -> None:
        """A switch of two ports for two guests alone."""
        base = name = f"{one.name}--{other.name}"
        number = 1
        while name in self._wires or name in self._nodes:
            number += 1
            name = f"{base}-{number}"
        self._check_length(f"{self._name}-{name}", one.path)
        wire = self._wires[name] = _Node(("links",), {}, guest=False)
        for end in (one, other):
            port = self._attachment(end, {"reserved": "wire", **end.options}, name, end.name)
            self._occupy(wire, end.name, port, end.path, build=end.right)
        self._shown.append((self._show(one, str(one.interface), one.options),
                            self._show(other, str(other.interface), other.options)))  # fmt: skip

    def _free_mac(self, place: str) -> str:
        """The interface's own; of two that come out alike, which happens among a thousand, the later has another."""
        names = (place, *(f"{place}/{number}" for number in range(1, 100)))
        mac = next(mac for name in names if (mac := guest_mac(self._name, name)) not in self._macs)
        self._macs.add(mac)
        return mac

    def _attachment(self, guest: _End, options: dict[str, Any], switch: str, port: str) -> dict[str, Any]:
        """The port of a guest's interface, as a switch's file would say it; the interface is noted."""
        interface = str(guest.interface)
        mac = options.get("mac") or self._free_mac(f"{guest.name}/{interface}")
        address = options.get("address", ())
        addresses = tuple(map(str, address)) if isinstance(address, (list, tuple)) else (str(address),)
        guest.node.plugs[interface] = Plug(interface, switch, port, addresses, str(mac))
        settings = self._options.get(guest.name)
        if settings is not None and settings.qemu is not None:
            for key in ("address", "speed", "offload"):
                if key in options:
                    self._wrong((*guest.path, key), "a virtual machine sets its interfaces up itself: leave this out")
            rest = {key: value for key, value in options.items() if key not in _TAP or key == "mtu"}
            return {"qemu": str(lab_directory(self._name) / f"{guest.name}-{interface}.sock"), **rest}
        home = settings.netns if settings and settings.netns else f"{self._name}-{guest.name}"
        return {**options, "tap": interface, "netns": home, "mac": mac}

    def _occupy(self, switch: _Node, name: str, port: dict[str, Any], path: yaml.Path, *, build: bool) -> None:
        """Give a switch a port. build: unless it is known already that something is wrong with it."""
        if name in switch.ports or name in switch.own:
            self._wrong(path, f"there is a port {name} there already; name it otherwise")
            return
        switch.ports[name] = port
        if build and (built := build_port(port, path, self._wrong)):
            switch.built[name] = built

    @staticmethod
    def _port_name(end: _End, other: _End) -> str:
        """A switch's port is named after whoever is at the other end, a second one with its interface or number."""
        number = end.node.peers[other.name] = end.node.peers.get(other.name, 0) + 1
        if number == 1:
            return other.name
        return f"{other.name}:{other.interface}" if other.interface else f"{other.name}.{number}"

    @staticmethod
    def _show(end: _End, name: str, options: Mapping[str, Any]) -> End:
        return End(end.name, name, {key: value for key, value in options.items() if key not in _TAP})

    # Switches

    def _finish_switches(self) -> dict[str, SwitchConfig]:
        nodes = {name: node for name, node in self._nodes.items() if not node.guest} | self._wires
        built = {name: self._switch(name, node) for name, node in nodes.items()}
        return {name: switch for name, switch in built.items() if switch is not None}

    def _switch(self, name: str, node: _Node) -> SwitchConfig | None:
        data = {**node.data, "name": f"{self._name}-{name}"}
        for key in ("name", "control"):
            if key in node.data:
                self._wrong((*node.path, key), "a lab gives its switches names and sockets: leave this out")

        def wrong(path: yaml.Path, message: str) -> None:
            self._wrong((*node.path, *path), message)

        known = [*(key for key in TopLevel.model_fields if key not in ("name", "control")), "ports"]
        top = build_model(TopLevel, data, node.path, self._wrong, known=known)
        ports = {**config.build_ports(node.own, wrong), **node.built}
        raw = {**node.own, **node.ports}
        for path, message in config.cross_checks({**data, "ports": raw}):
            wrong(path, message)
        return SwitchConfig(top, ports) if top is not None and len(ports) == len(raw) else None


def _nearest(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name[:100], known, 1, 0.6)
    if near:
        return f"did you mean {near[0]}?"
    some = ", ".join(known[:10]) + (" …" if len(known) > 10 else "")
    return f"there are {some}" if known else "there are none at all"
