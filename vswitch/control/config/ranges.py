"""Many ports by one line: `vm[1-32]: {…}` stands for vm1 … vm32, and `{n}` in its options for the number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from vswitch.control.config.yaml import Document, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.control.config.yaml import Mark, Path

MOST_PORTS: Final = 4096
"""Ports, at most, that the ranges of one configuration make."""

MOST_VALUES: Final = 2_000_000
"""Values, at most, that one range makes of its options."""

_RANGE: Final = re.compile(r"([^\[\]]*)\[([0-9]{1,9})-([0-9]{1,9})\]([^\[\]]*)")
_NUMBER: Final = "{n}"


def spread(document: Document) -> Document:
    """The document with each range of ports spread out; every port stands where its range does."""
    return spread_section(document, "ports", "port")


def spread_section(document: Document, section: str, what: str) -> Document:
    """The document with each range in the mapping of that name spread out. what: the word for one of its members."""
    ports = document.data.get(section) if isinstance(document.data, dict) else None
    if not isinstance(ports, dict) or not any(_match(name) for name in ports):
        return document
    many: dict[Any, Any] = {}
    marks, mistakes = dict(document.marks), list(document.mistakes)
    places = by_member(document.marks)
    for name, options in ports.items():
        path: Path = (section, name)
        inside = places.get(path, {})
        try:
            members = list(members_of(name, MOST_PORTS - len(many)))
            afford(options, len(members))
        except ValueError as error:
            mistakes.append(Mistake(document.mark(path), path, str(error)))
            continue
        for member, number in members:
            if member in many or (number and member in ports):
                mistakes.append(Mistake(document.mark(path), path, f"there is a {what} {member} already"))
                continue
            many[member] = numbered(options, number) if number else options
            marks |= {(section, member, *where): mark for where, mark in inside.items()}
    return Document({**document.data, section: many}, marks, mistakes)


def by_member(marks: dict[Path, Mark]) -> dict[Path, dict[Path, Mark]]:
    """Where the members of all sections stand, by section and name, and what is in them, by the rest of its path."""
    found: dict[Path, dict[Path, Mark]] = {}
    for path, mark in marks.items():
        if len(path) > 1:
            found.setdefault(path[:2], {})[path[2:]] = mark
    return found


def afford(options: Any, copies: int) -> None:
    """See that so many copies of these options do not fill the memory. Raises ValueError."""
    if copies > 1 and copies * _size(options) > MOST_VALUES:
        raise ValueError(f"{copies} copies of this are more than {MOST_VALUES} values")


def _size(options: Any) -> int:
    """How many values these are."""
    inside = options.values() if isinstance(options, dict) else options if isinstance(options, list) else ()
    return 1 + sum(map(_size, inside))


def _match(name: object) -> re.Match[str] | None:
    return _RANGE.fullmatch(name) if isinstance(name, str) else None


def members_of(name: Any, room: int) -> Iterator[tuple[Any, str]]:
    """The names that a key stands for, each with its number as written; none for a plain name. Raises ValueError."""
    match = _match(name)
    if match is None:
        yield name, ""
        return
    before, first, last, behind = match.groups()
    if int(first) > int(last):
        raise ValueError(f"the range {first}-{last} runs backwards")
    if int(last) - int(first) >= room:
        raise ValueError(f"the ranges of a configuration make {MOST_PORTS} ports at most")
    for number in range(int(first), int(last) + 1):
        text = f"{number:0{len(first)}}"
        yield f"{before}{text}{behind}", text


def numbered(options: Any, number: str) -> Any:
    """The options of one port of a range."""
    if isinstance(options, str):
        return options.replace(_NUMBER, number)
    if isinstance(options, list):
        return [numbered(each, number) for each in options]
    if isinstance(options, dict):
        return {key: numbered(value, number) for key, value in options.items()}
    return options
