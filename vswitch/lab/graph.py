"""A topology as a picture: SVG by a small layout of our own, or text for Graphviz and Mermaid.

Switches stand in layers, the one with the most neighbours on top; the guests of each in a block below it. A rail runs
down at the left of each column of guests, so that no line is hidden behind a box. What an end says stands above the
lower box.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from html import escape
from math import isqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.lab.graphtext import addresses_of, dot, mermaid, options_of, switches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.control.topology.layout import End, LabConfig

__all__ = ["FORMATS", "HEIGHT", "WIDTH", "dot", "mermaid", "svg"]

WIDTH, HEIGHT = 96, 34
"""Of the box of a node."""

GAP, LAYER, LINE = 20, 64, 11
_LETTER: Final = 5
"""Width of a letter of a label, about."""

_APART: Final = 6
"""Between two links of the same nodes."""

_STYLE: Final = (
    "text{font:11px sans-serif;text-anchor:middle;fill:#222}.small{font-size:9px;fill:#666}"
    "rect{fill:#fff;stroke:#555}.switch{fill:#dbe9f6;stroke:#2a6496}.qemu{fill:#f6ecdb;stroke:#96692a}"
    "line,polyline{stroke:#888;fill:none}.end{font-size:9px;fill:#a33;stroke:#fff;stroke-width:3px;paint-order:stroke}"
)


class _Place(NamedTuple):
    """The upper left corner of a box, and for a guest below its switch the rail beside its column."""

    x: int
    y: int
    rail: int = 0
    switch: str = ""


@dataclass
class _Item:
    """A switch with its guests and those that hang below it; how wide its label is, and how high its guests' are.

    width: of everything that hangs together here.
    """

    name: str
    guests: list[str] = field(default_factory=list)
    below: list[_Item] = field(default_factory=list)
    label: int = 0
    column: int = WIDTH
    above: int = 0
    width: int = 0

    @property
    def columns(self) -> int:
        """Guests side by side in the block."""
        return max(1, isqrt(len(self.guests)))


def svg(lab: LabConfig) -> str:
    """A picture that stands by itself."""
    places: dict[str, _Place] = {}
    labels = _labels(lab)
    left = GAP
    for root in _forest(lab):
        _measure(root, labels)
        _place(root, left, GAP, places)
        left += root.width + GAP
    width = max([left - GAP, *(place.x + WIDTH for place in places.values())], default=0) + GAP
    height = max([place.y + HEIGHT for place in places.values()], default=0) + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{escape(lab.name)}</title><style>{_STYLE}</style>",
        *_lines(lab, places),
        *_boxes(lab, places),
        *_ends(labels, places),
        "</svg>",
    ]
    return "\n".join(lines)


FORMATS: Final[dict[str, Callable[[LabConfig], str]]] = {"svg": svg, "dot": dot, "mermaid": mermaid}


def _labels(lab: LabConfig) -> dict[str, list[str]]:
    """What ends of links say, at the node that stands lower, as far as that is known: a guest, or the second switch."""
    labels: dict[str, list[str]] = {}
    for one, other in lab.links:
        lower = one if one.node in lab.guests and other.node not in lab.guests else other
        for end in (one, other):
            if end.options:
                labels.setdefault(lower.node, []).append(f"{_where(lab, end, lower)}{options_of(end)}")
    return labels


def _where(lab: LabConfig, end: End, lower: End) -> str:
    """Which end it is, unless that is plain."""
    guest = lab.guests.get(lower.node)
    if guest is not None:
        return f"{lower.name}: " if len(guest.plugs) > 1 else ""
    return "" if end is lower else f"{end.node}: "


def _measure(root: _Item, labels: dict[str, list[str]]) -> None:
    items = [root]
    for item in items:  # which grows meanwhile
        said = [line for guest in item.guests for line in labels.get(guest, ())]
        item.label = max(map(len, labels.get(item.name, ())), default=0) * _LETTER
        item.column = max([WIDTH, *(len(line) * _LETTER for line in said)])
        item.above = LINE * max((len(labels.get(guest, ())) for guest in item.guests), default=0)
        items += item.below
    for item in reversed(items):
        block = item.columns * (item.column + GAP) if item.guests else 0
        item.width = max(max(WIDTH, item.label) + GAP, block + sum(child.width for child in item.below))


def _place(root: _Item, left: int, top: int, places: dict[str, _Place]) -> None:
    """Give everything of an item its upper left corner."""
    waiting = [(root, left, top)]
    while waiting:
        item, left, top = waiting.pop()
        waiting += reversed(list(_put(item, left, top, places)))


def _put(item: _Item, left: int, top: int, places: dict[str, _Place]) -> Iterator[tuple[_Item, int, int]]:
    """The same of an item and its guests alone; what hangs below it, and where."""
    if item.name:
        places[item.name] = _Place(left + (item.width - GAP - WIDTH) // 2, top)
    below = top + (HEIGHT + LAYER if item.name else 0)
    for number, guest in enumerate(item.guests):
        row, column = divmod(number, item.columns)
        x = left + column * (item.column + GAP)
        y = below + row * (HEIGHT + GAP + item.above)
        places[guest] = _Place(x + (item.column - WIDTH) // 2, y, x - GAP // 2, item.name)
    left += item.columns * (item.column + GAP) if item.guests else 0
    for child in item.below:
        yield child, left, below
        left += child.width


def _forest(lab: LabConfig) -> list[_Item]:
    """Trees of switches, and guests that hang on none as trees of their own."""
    neighbours: dict[str, list[str]] = {name: [] for name in switches_of(lab)}
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


def _lines(lab: LabConfig, places: dict[str, _Place]) -> Iterator[str]:
    """Links of the same nodes side by side."""
    many = Counter(frozenset((one.node, other.node)) for one, other in lab.links)
    drawn: Counter[frozenset[str]] = Counter()
    for one, other in lab.links:
        nodes = frozenset((one.node, other.node))
        shift = _APART * (2 * drawn[nodes] - many[nodes] + 1) // 2
        drawn[nodes] += 1
        upper, lower = (other, one) if places[one.node].switch == other.node else (one, other)
        (x1, y1), (x2, y2) = _middle(places[upper.node]), _middle(places[lower.node])
        place = places[lower.node]
        if place.switch == upper.node:
            rail, edge = place.rail + shift, places[upper.node].y + HEIGHT
            down = edge + LAYER // 4
            points = f"{x1},{edge} {rail},{down} {rail},{y2 + shift} {place.x},{y2 + shift}"
            yield f'<polyline points="{points}"/>'
        else:
            yield f'<line x1="{x1 + shift}" y1="{y1 + shift}" x2="{x2 + shift}" y2="{y2 + shift}"/>'


def _boxes(lab: LabConfig, places: dict[str, _Place]) -> Iterator[str]:
    for name, (x, y, *_) in places.items():
        guest = lab.guests.get(name)
        kind = "switch" if guest is None else "qemu" if guest.options.qemu else "guest"
        addresses = addresses_of(lab, name) if guest else []
        yield f'<rect class="{kind}" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{0 if guest else 6}"/>'
        yield f'<text x="{x + WIDTH // 2}" y="{y + (15 if addresses else 21)}">{escape(name)}</text>'
        if addresses:
            more = " …" if len(addresses) > 1 else ""
            yield f'<text class="small" x="{x + WIDTH // 2}" y="{y + 27}">{escape(addresses[0])}{more}</text>'


def _ends(labels: dict[str, list[str]], places: dict[str, _Place]) -> Iterator[str]:
    for name, lines in labels.items():
        x, y, *_ = places[name]
        for number, line in enumerate(lines):
            top = y - 4 - LINE * (len(lines) - 1 - number)
            yield f'<text class="end" x="{x + WIDTH // 2}" y="{top}">{escape(line)}</text>'


def _middle(place: _Place) -> tuple[int, int]:
    return place.x + WIDTH // 2, place.y + HEIGHT // 2
