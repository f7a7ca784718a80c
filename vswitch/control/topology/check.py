"""What only the whole topology shows: loops between switches, and addresses that two interfaces have."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

from vswitch.control.topology.pools import text

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Groups:
    """Nodes that hang together, by the first of each group."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def of(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            self._parent[name] = self._parent.get(parent, parent)
            name = parent
        return name

    def join(self, one: str, other: str) -> None:
        self._parent[self.of(other)] = self.of(one)


def check_loops(links: Sequence[tuple[Any, Any]], wrong: Any, *, permitted: bool) -> None:
    """Name each link between switches that is redundant: there is no spanning tree that would block it."""
    groups = _Groups()
    neighbours: dict[str, list[str]] = {}
    for one, other in links:
        if one.node.guest or other.node.guest:
            continue
        if groups.of(one.name) == groups.of(other.name) and not permitted:
            way = ", ".join([*_way(neighbours, one.name, other.name), one.name])
            wrong(
                one.path if len(one.path) < 4 else one.path[:2],
                f"the link of {one.name} and {other.name} closes a loop ({way}), in which frames would go round "
                "without end: leave it out, or say `loops: true` if something else breaks the loop",
            )
            continue
        groups.join(one.name, other.name)
        neighbours.setdefault(one.name, []).append(other.name)
        neighbours.setdefault(other.name, []).append(one.name)


def _way(neighbours: dict[str, list[str]], start: str, goal: str) -> list[str]:
    """The switches from one to the other, both included."""
    came: dict[str, str] = {start: start}
    queue = deque([start])
    while queue and goal not in came:
        here = queue.popleft()
        for there in neighbours.get(here, ()):
            if there not in came:
                came[there] = here
                queue.append(there)
    way = [goal]
    while way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]


def check_addresses(links: Sequence[tuple[Any, Any]], wrong: Any) -> None:
    """Name each address that two interfaces have which hear each other: in one network of switches, and one VLAN."""
    groups = _Groups()
    for one, other in links:
        if not (one.node.guest or other.node.guest):
            groups.join(one.name, other.name)
    seen: dict[tuple[object, ...], str] = {}
    for number, (one, other) in enumerate(links):
        for end, far in ((one, other), (other, one)):
            if not end.node.guest:
                continue
            where = ("wire", str(number)) if far.node.guest else ("switch", groups.of(far.name))
            vlan = end.options.get("access", far.options.get("access"))
            address = end.options.get("address", ())
            for each in address if isinstance(address, (list, tuple)) else (address,):
                with suppress(ValueError):  # said already
                    key = (where, str(vlan), ip_interface(text(each)).ip)
                    if key in seen:
                        wrong((*end.path, "address"), f"{each} of {end.name} is an address of {seen[key]} already")
                    seen.setdefault(key, end.name)
