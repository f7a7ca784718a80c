"""A topology as a picture: SVG by a small layout of our own, or text for Graphviz and Mermaid.

Switches stand in layers, the one with the most neighbours on top; the guests of each in a block below it.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from html import escape
from math import isqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.control.topology.layout import End, LabConfig

WIDTH, HEIGHT = 96, 34
"""Of the box of a node."""

GAP, LAYER = 14, 56

_STYLE: Final = (
    "text{font:11px sans-serif;text-anchor:middle;fill:#222}.small{font-size:9px;fill:#666}"
    "rect{fill:#fff;stroke:#555}.switch{fill:#dbe9f6;stroke:#2a6496}.qemu{fill:#f6ecdb;stroke:#96692a}"
    "line{stroke:#888}.end{font-size:9px;fill:#a33}"
)


def dot(lab: LabConfig) -> str:
    """For Graphviz."""
    lines = [f"graph {_quote(lab.name)} {{", "  node [shape=box, fontname=sans];"]
    lines += [f"  {_quote(name)} [style=filled, fillcolor=lightblue];" for name in _switches(lab)]
    for name, guest in lab.guests.items():
        fill = ", style=filled, fillcolor=moccasin" if guest.options.qemu else ""
        label = _quote("\n".join([name, *_addresses(lab, name)]))
        lines.append(f"  {_quote(name)} [label={label}{fill}];")
    for one, other in lab.links:
        words = [f"taillabel={_quote(_options(one))}"] if one.options else []
        words += [f"headlabel={_quote(_options(other))}"] if other.options else []
        attributes = f" [{', '.join(words)}]" if words else ""
        lines.append(f"  {_quote(one.node)} -- {_quote(other.node)}{attributes};")
    return "\n".join([*lines, "}"])


def mermaid(lab: LabConfig) -> str:
    """For Mermaid, as GitHub and others draw it."""
    ids = {name: f"n{number}" for number, name in enumerate([*_switches(lab), *lab.guests])}
    lines = ["graph TD"]
    lines += [f'  {ids[name]}[["{name}"]]' for name in _switches(lab)]
    labels = {name: "<br>".join([name, *_addresses(lab, name)]) for name in lab.guests}
    lines += [f'  {ids[name]}("{label}")' for name, label in labels.items()]
    for one, other in lab.links:
        words = ", ".join(filter(None, (_options(one), _options(other)))).replace('"', "'").replace("|", "/")
        label = f'|"{words}"|' if words else ""
        lines.append(f"  {ids[one.node]} ---{label} {ids[other.node]}")
    return "\n".join(lines)


@dataclass
class _Item:
    """A switch with its guests and those that hang below it."""

    name: str
    guests: list[str] = field(default_factory=list)
    below: list[_Item] = field(default_factory=list)

    @property
    def columns(self) -> int:
        """Guests side by side in the block."""
        return max(1, isqrt(len(self.guests)))

    def width(self) -> int:
        """Of everything that hangs together here."""
        block = self.columns * (WIDTH + GAP) if self.guests else 0
        return max(WIDTH + GAP, block + sum(item.width() for item in self.below))


def svg(lab: LabConfig) -> str:
    """A picture that stands by itself."""
    places: dict[str, tuple[int, int]] = {}
    left = GAP
    for root in _forest(lab):
        _place(root, left, GAP, places)
        left += root.width() + GAP
    width = max([x + WIDTH for x, _ in places.values()], default=0) + GAP
    height = max([y + HEIGHT for _, y in places.values()], default=0) + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{escape(lab.name)}</title><style>{_STYLE}</style>",
        *_lines(lab, places),
        *_boxes(lab, places),
        "</svg>",
    ]
    return "\n".join(lines)


FORMATS: Final[dict[str, Callable[[LabConfig], str]]] = {"svg": svg, "dot": dot, "mermaid": mermaid}


def _place(item: _Item, left: int, top: int, places: dict[str, tuple[int, int]]) -> None:
    """Give everything of an item its upper left corner."""
    width = item.width()
    if item.name:
        places[item.name] = left + (width - GAP - WIDTH) // 2, top
    below = top + (HEIGHT + LAYER if item.name else 0)
    for number, guest in enumerate(item.guests):
        row, column = divmod(number, item.columns)
        places[guest] = left + column * (WIDTH + GAP), below + row * (HEIGHT + GAP)
    left += item.columns * (WIDTH + GAP) if item.guests else 0
    for child in item.below:
        _place(child, left, below, places)
        left += child.width()


def _forest(lab: LabConfig) -> list[_Item]:
    """Trees of switches, and guests that hang on none as trees of their own."""
    neighbours: dict[str, list[str]] = {name: [] for name in _switches(lab)}
    homes: dict[str, str] = {}
    for one, other in lab.links:
        for here, there in ((one.node, other.node), (other.node, one.node)):
            if here in neighbours and there in neighbours:
                neighbours[here].append(there)
            elif here in neighbours:
                homes.setdefault(there, here)
    items = {name: _Item(name) for name in neighbours}
    for guest, switch in homes.items():
        items[switch].guests.append(guest)
    seen: set[str] = set()
    starts = sorted(neighbours, key=lambda name: -len(neighbours[name]))
    roots = [_grow(start, neighbours, items, seen) for start in starts if start not in seen]
    alone = [name for name in lab.guests if name not in homes]
    return [*roots, *([_Item("", alone)] if alone else [])]


def _grow(start: str, neighbours: dict[str, list[str]], items: dict[str, _Item], seen: set[str]) -> _Item:
    """The tree of what hangs together with a switch, breadth first."""
    seen.add(start)
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for there in neighbours[here]:
            if there not in seen:
                seen.add(there)
                items[here].below.append(items[there])
                waiting.append(there)
    return items[start]


def _lines(lab: LabConfig, places: dict[str, tuple[int, int]]) -> Iterator[str]:
    for one, other in lab.links:
        (x1, y1), (x2, y2) = (_middle(places[end.node]) for end in (one, other))
        yield f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
        for end, at in ((one, 0.35), (other, 0.65)):
            if end.options:
                x, y = x1 + (x2 - x1) * at, y1 + (y2 - y1) * at
                yield f'<text class="end" x="{x:.0f}" y="{y:.0f}">{escape(_options(end))}</text>'


def _boxes(lab: LabConfig, places: dict[str, tuple[int, int]]) -> Iterator[str]:
    for name, (x, y) in places.items():
        guest = lab.guests.get(name)
        kind = "switch" if guest is None else "qemu" if guest.options.qemu else "guest"
        addresses = _addresses(lab, name) if guest else []
        yield f'<rect class="{kind}" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{0 if guest else 6}"/>'
        yield f'<text x="{x + WIDTH // 2}" y="{y + (15 if addresses else 21)}">{escape(name)}</text>'
        if addresses:
            more = " …" if len(addresses) > 1 else ""
            yield f'<text class="small" x="{x + WIDTH // 2}" y="{y + 27}">{escape(addresses[0])}{more}</text>'


def _middle(place: tuple[int, int]) -> tuple[int, int]:
    return place[0] + WIDTH // 2, place[1] + HEIGHT // 2


def _switches(lab: LabConfig) -> list[str]:
    """Without those that are wires."""
    return [name for name in lab.switches if name not in lab.wires]


def _addresses(lab: LabConfig, guest: str) -> list[str]:
    return [address for plug in lab.guests[guest].plugs for address in plug.addresses]


def _options(end: End) -> str:
    """An end's options on one short line."""
    words = ", ".join(f"{key} {_value(value)}" for key, value in end.options.items())
    return words if len(words) <= 60 else f"{words[:59]}…"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_value(each)}" for key, each in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
