"""What an import makes: switches, guests and links as a topology file has them, and what could not be had."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from vswitch.units import parse_interface_name

_LONGEST: Final = 32


class ForeignError(Exception):
    """A file that is not what it is to be: one sentence."""


@dataclass
class Draft:
    """A topology that is being written.

    remarks: one sentence for each thing that has no counterpart here, in the order of the file.
    """

    name: str
    switches: dict[str, dict[str, Any]] = field(default_factory=dict)
    guests: dict[str, dict[str, Any]] = field(default_factory=dict)
    ends: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Names are those that a lab may have."""
        self.name = identifier(self.name) or "lab"

    def remark(self, sentence: str) -> None:
        """Say once what is missing: on one line, whatever the words are that it quotes."""
        sentence = "".join(char if char.isprintable() else repr(char)[1:-1] for char in sentence)
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def interface(self, node: str, name: str) -> str | None:
        """The guest's interface of this name, if an interface may have it."""
        try:
            return str(parse_interface_name(name))
        except ValueError:
            self.remark(f"{node}: {name} is no name that an interface can have; it gets the next free one")
            return None

    def link(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        """Join two ends, of which more may be said later."""
        self.ends.append((one, other))

    @property
    def links(self) -> list[list[Any]]:
        """Both ends of each, as short as they can be said."""
        return [[_short(one), _short(other)] for one, other in self.ends]

    def data(self) -> dict[str, Any]:
        """As a topology file has it."""
        whole: dict[str, Any] = {"name": self.name}
        for key in ("switches", "guests", "links"):
            if part := getattr(self, key):
                whole[key] = part
        return whole

    def text(self) -> str:
        """The file, with the remarks before it."""
        remarks = "".join(f"# - {sentence}\n" for sentence in self.remarks)
        head = f"# What did not map:\n{remarks}" if remarks else ""
        parts = [yaml.safe_dump({"name": self.name}, sort_keys=False)]
        for key, value in self.data().items():
            if isinstance(value, dict):
                parts.append(f"{key}:\n" + "".join(f"  {_flow(name)}: {_flow(each)}\n" for name, each in value.items()))
            elif isinstance(value, list):
                parts.append(f"{key}:\n" + "".join(f"  - {_flow(each)}\n" for each in value))
        return head + "".join(parts)


def identifier(name: object) -> str:
    """The name, with what a name cannot have replaced."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", str(name)).strip("-_")[:_LONGEST]


def _short(end: dict[str, Any]) -> Any:
    return end["node"] if end.keys() == {"node"} else {key: value for key, value in end.items() if value is not None}


class _Dumper(yaml.SafeDumper):
    """Writes what stands twice twice."""

    def ignore_aliases(self, _data: object) -> bool:
        """Of anything."""
        return True


def _flow(value: object) -> str:
    text: str = yaml.dump(value, None, _Dumper, default_flow_style=True, sort_keys=False, width=1 << 20)
    return text.removesuffix("\n").removesuffix("\n...")
