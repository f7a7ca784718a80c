"""A topology as text for programs that draw, Graphviz and Mermaid, and what every picture says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vswitch.control.topology.layout import End, LabConfig


def dot(lab: LabConfig) -> str:
    """For Graphviz."""
    lines = [f"graph {_quote(lab.name)} {{", "  node [shape=box, fontname=sans];"]
    lines += [f"  {_quote(name)} [style=filled, fillcolor=lightblue];" for name in switches_of(lab)]
    for name, guest in lab.guests.items():
        fill = ", style=filled, fillcolor=moccasin" if guest.options.qemu else ""
        label = _quote("\n".join([name, *addresses_of(lab, name)]))
        lines.append(f"  {_quote(name)} [label={label}{fill}];")
    for one, other in lab.links:
        words = [f"taillabel={_quote(options_of(one))}"] if one.options else []
        words += [f"headlabel={_quote(options_of(other))}"] if other.options else []
        attributes = f" [{', '.join(words)}]" if words else ""
        lines.append(f"  {_quote(one.node)} -- {_quote(other.node)}{attributes};")
    return "\n".join([*lines, "}"])


def mermaid(lab: LabConfig) -> str:
    """For Mermaid, as GitHub and others draw it."""
    ids = {name: f"n{number}" for number, name in enumerate([*switches_of(lab), *lab.guests])}
    lines = ["graph TD"]
    lines += [f'  {ids[name]}[["{name}"]]' for name in switches_of(lab)]
    labels = {name: "<br>".join([name, *addresses_of(lab, name)]) for name in lab.guests}
    lines += [f'  {ids[name]}("{label}")' for name, label in labels.items()]
    for one, other in lab.links:
        words = ", ".join(filter(None, (options_of(one), options_of(other)))).replace('"', "'").replace("|", "/")
        label = f'|"{words}"|' if words else ""
        lines.append(f"  {ids[one.node]} ---{label} {ids[other.node]}")
    return "\n".join(lines)


def switches_of(lab: LabConfig) -> list[str]:
    """Its switches, without those that are wires."""
    return [name for name in lab.switches if name not in lab.wires]


def addresses_of(lab: LabConfig, guest: str) -> list[str]:
    """Those of all interfaces of a guest."""
    return [address for plug in lab.guests[guest].plugs for address in plug.addresses]


def options_of(end: End) -> str:
    """An end's options on one short line."""
    words = ", ".join(f"{key} {_value(value)}" for key, value in end.options.items())
    return words if len(words) <= 60 else f"{words[:59]}…"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_value(each)}" for key, each in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
