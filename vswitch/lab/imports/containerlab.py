"""Topologies of containerlab (`*.clab.yml`): nodes become guests, bridges switches, links links.

A guest is a namespace of this host: what a node's image would run is not run, and that is said. Settings come from
`defaults`, `kinds`, `groups` and the node itself, the last one first, as in containerlab (types/topology.go).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from vswitch.control.config import yaml
from vswitch.control.topology.models import parse_route, parse_setting, parse_sysctl, parse_via
from vswitch.lab.imports.draft import Draft, ForeignError, identifier
from vswitch.units import parse_address, parse_station, parse_whole

if TYPE_CHECKING:
    from pathlib import Path

_BRIDGES: Final = ("bridge", "ovs-bridge")
_OUTSIDE: Final = ("host", "mgmt-net", "macvlan")
_OURS: Final = frozenset(("kind", "env", "sysctls", "exec", "group", "image", "labels", "position", "type"))
"""What a node may say that maps, is remarked on by itself, or means nothing to a switch."""
_OF_LINKS: Final = frozenset(("endpoints", "type", "mtu", "ipv4", "ipv6", "labels"))
"""The same of a link."""


def read(path: Path, _which: str | None = None) -> Draft:
    """The topology in a file. Raises ForeignError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ForeignError(f"cannot read {path}: {error}") from error
    document = yaml.load(text)
    if document.mistakes:
        mistake = document.mistakes[0]
        raise ForeignError(f"{path}:{mistake.mark.line}: {mistake.message}")
    data = document.data
    topology = data.get("topology") if isinstance(data, dict) else None
    if not isinstance(topology, dict) or not isinstance(topology.get("nodes"), dict):
        raise ForeignError(f"{path} is no topology of containerlab: there is no `topology:` with `nodes:` in it")
    return _Reader(Draft(data.get("name", path.name.partition(".")[0])), data, topology).read()


class _Reader:
    """Goes through one file."""

    def __init__(self, draft: Draft, data: dict[str, Any], topology: dict[str, Any]) -> None:
        self._draft = draft
        self._data = data
        self._topology = topology
        self._names: dict[str, str] = {}
        self._plugged: dict[str, dict[str, dict[str, Any]]] = {}
        """The ends of links, by guest and interface."""
        self._lost: set[tuple[str, str]] = set()
        """Guests and interfaces of links that leave the lab."""

    def read(self) -> Draft:
        for key in self._data.keys() - {"name", "topology"}:
            self._draft.remark(f"`{key}:` of the file has no counterpart")
        for name, node in self._topology["nodes"].items():
            self._node(str(name), node if isinstance(node, dict) else {})
        links = self._topology.get("links")
        for link in links if isinstance(links, list) else ():
            self._link(link if isinstance(link, dict) else {"endpoint": link})
        for name, node in self._topology["nodes"].items():
            if self._names[str(name)] in self._draft.guests:
                self._commands(str(name), self._settings(node if isinstance(node, dict) else {}))
        return self._draft

    # Nodes

    def _settings(self, node: dict[str, Any]) -> dict[str, Any]:
        """Those of the node, and of all that it inherits from; commands of each, one after the other."""
        layers = [_mapping(self._topology.get("defaults"))]
        kind = str(node.get("kind", layers[0].get("kind")))
        for section, key in (("kinds", kind), ("groups", str(node.get("group")))):
            layers.append(_mapping(_mapping(self._topology.get(section)).get(key)))
        whole: dict[str, Any] = {"kind": "linux"}
        for layer in (*layers, node):
            for key, value in layer.items():
                if isinstance(value, dict) and isinstance(whole.get(key), dict):
                    whole[key] = whole[key] | value
                elif isinstance(value, list) and isinstance(whole.get(key), list):
                    whole[key] = whole[key] + value
                else:
                    whole[key] = value
        return whole

    def _node(self, name: str, node: dict[str, Any]) -> None:
        settings = self._settings(node)
        self._names[name] = short = identifier(name)
        if settings["kind"] in _BRIDGES:
            self._draft.switches[short] = {}
            return
        if short != name:
            self._draft.remark(f"{name} is called {short} here")
        if settings["kind"] == "linux":
            self._draft.remark(f"{name}: the image {settings.get('image', '')} is not run; its commands are the host's")
        else:
            self._draft.remark(f"{name}: a namespace of this host, not a {settings['kind']}")
        for key in settings.keys() - _OURS:
            self._draft.remark(f"{name}: `{key}` has no counterpart")
        guest = self._draft.guests[short] = {}
        self._copy(guest, "environment", name, settings.get("env"), lambda key: key)
        self._copy(guest, "sysctls", name, settings.get("sysctls"), parse_sysctl)

    def _copy(self, guest: dict[str, Any], key: str, name: str, values: object, check: Any) -> None:
        for each, value in _mapping(values).items():
            try:
                guest.setdefault(key, {})[check(each)] = parse_setting(value)
            except ValueError as error:
                self._draft.remark(f"{name}: {key} {each}: {error}")
        if not guest.get(key):
            guest.pop(key, None)

    # Links

    def _link(self, link: dict[str, Any]) -> None:
        kind = link.get("type", "veth")
        if kind == "vxlan":
            self._tunnel(link)
            return
        given = link.get("endpoints")
        found = [self._end(each) for each in given] if isinstance(given, list) else []
        ends = [each for each in found if each is not None]
        if kind != "veth" or not len(ends) == len(found) == 2:
            self._leaves(link)
            return
        one, other = ends
        for number, end in enumerate((one, other)):
            self._options(end, link, number)
        for key in link.keys() - _OF_LINKS:
            self._draft.remark(f"the link {_words(link)}: `{key}` has no counterpart")
        if "mtu" not in link:
            self._draft.remark("links have an MTU of 1500 unless the file says another; containerlab's have 9500")
        self._join(one, other)

    def _join(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        self._draft.link(one, other)
        for end in (one, other):
            if "interface" in end:
                self._plugged.setdefault(end["node"], {})[end["interface"]] = end

    def _leaves(self, link: dict[str, Any]) -> None:
        self._draft.remark(f"the link {_words(link)} has no counterpart: it leaves the lab")
        for end in _ends(link):
            name, interface = _parts(end)
            if name in self._names:
                self._lost.add((self._names[name], interface))

    def _end(self, end: object) -> dict[str, Any] | None:
        """One end, as a mapping; None where it is none of the lab's nodes."""
        given, (name, interface) = _mapping(end), _parts(end)
        if name in _OUTSIDE or name not in self._names:
            return None
        node = self._names[name]
        if node in self._draft.switches:
            return {"node": node}
        found: dict[str, Any] = {"node": node}
        if (usable := self._draft.interface(name, interface)) is not None:
            found["interface"] = usable
        if (mac := given.get("mac")) is not None:
            self._checked(found, "mac", mac, parse_station, name)
        for key in ("ipv4", "ipv6"):
            if key in given:
                self._checked(found, "address", given[key], _address, name)
        return found

    def _options(self, end: dict[str, Any], link: dict[str, Any], number: int) -> None:
        """What a link says of both ends, or of each in turn."""
        if end["node"] not in self._draft.guests:
            return
        if "mtu" in link:
            self._checked(end, "mtu", link["mtu"], parse_whole, end["node"])
        for key in ("ipv4", "ipv6"):
            each = link.get(key)
            if isinstance(each, list) and each[number : number + 1] not in ([], [None], [""]):
                self._checked(end, "address", each[number], _address, end["node"])

    def _checked(self, end: dict[str, Any], key: str, value: object, check: Any, name: str) -> None:
        try:
            checked = check(value)
        except ValueError as error:
            self._draft.remark(f"{name}: {key}: {error}")
            return
        if key == "address":
            end.setdefault(key, []).append(checked)
        else:
            end[key] = checked

    def _tunnel(self, link: dict[str, Any]) -> None:
        """A node with one end in the lab, and the other at the far end of a tunnel."""
        end = self._end(link.get("endpoint"))
        if end is None or "remote" not in link or "vni" not in link:
            self._leaves(link)
            return
        name = f"vx{sum(key.startswith('vx') for key in self._draft.switches) + 1}"
        far = {"vxlan": link["remote"], "vni": link["vni"]}
        if "udp-port" in link:
            far["udp_port"] = link["udp-port"]
        self._draft.switches[name] = {"ports": {"far": far}}
        self._join(end, {"node": name})

    # Commands

    def _commands(self, name: str, settings: dict[str, Any]) -> None:
        """What a node runs once it is there: what a topology says by itself is said so, the rest is for its shell."""
        guest = self._draft.guests[self._names[name]]
        given, node = settings.get("exec"), self._names[name]
        plugged = self._plugged.get(node, {})
        for line in map(str, given if isinstance(given, list) else [] if given is None else [given]):
            lost = [word for word in line.split() if (node, word) in self._lost and word not in plugged]
            if lost:
                self._draft.remark(f"{name}: `{line}` is left out: there is no {lost[0]} here")
            elif not self._understood(node, line):
                guest.setdefault("setup", []).append(line)

    def _understood(self, node: str, line: str) -> bool:
        """Whether it is an address, a route, a sysctl or a link that comes up: those are the lab's."""
        try:
            words = shlex.split(line)
        except ValueError:
            return False
        guest, plugged = self._draft.guests[node], self._plugged.get(node, {})
        if words[:1] == ["ip"]:
            words = ["ip", *(word for word in words[1:] if word not in ("-4", "-6"))]
        try:
            match words:
                case ["ip", "a" | "addr" | "address", "add", address, "dev", device] if device in plugged:
                    plugged[device].setdefault("address", []).append(_address(address))
                case ["ip", "l" | "link", "set", *_, "up"] if words[-2] in plugged:
                    pass
                case ["ip", "r" | "ro" | "route", "add" | "replace", where, "via", router, *rest] if not rest or (
                    rest[0] == "dev" and rest[1:2] and rest[1] in plugged and len(rest) == 2
                ):
                    guest.setdefault("routes", {})[parse_route(where)] = parse_via(router)
                case ["sysctl", "-w" | "-qw", setting] if "=" in setting:
                    key, _, value = setting.partition("=")
                    guest.setdefault("sysctls", {})[parse_sysctl(key)] = parse_setting(value)
                case _:
                    return False
        except ValueError:
            return False
        return True


def _address(value: object) -> str:
    return str(parse_address(value))


def _mapping(value: object) -> dict[Any, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _ends(link: dict[str, Any]) -> list[Any]:
    ends = link.get("endpoints")
    return ends if isinstance(ends, list) else [link.get("endpoint")]


def _parts(end: object) -> tuple[str, str]:
    """The node and the interface of one end, brief or extended."""
    if isinstance(end, Mapping):
        return str(end.get("node", "")), str(end.get("interface", ""))
    name, _, interface = str(end).rpartition(":")
    return name, interface


def _words(link: dict[str, Any]) -> str:
    return " to ".join(f"{e.get('node')}:{e.get('interface')}" if isinstance(e, dict) else str(e) for e in _ends(link))
