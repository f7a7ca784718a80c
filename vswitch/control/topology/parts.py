"""Topologies in parts: files that are included, and one line for many switches, guests or links.

What comes out is one document without `include`, `count` and ranges, each part of which knows the file and line that it
came from.
"""

from __future__ import annotations

import re
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from vswitch.control.config import reading as config
from vswitch.control.config import yaml
from vswitch.control.config.impairpaths import anchor
from vswitch.control.config.ranges import MOST_PORTS, afford, by_member, members_of, numbered, spread_section
from vswitch.control.config.yaml import Document, Mistake
from vswitch.control.topology.models import WireOptions
from vswitch.units import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vswitch.control.config.yaml import Mark

SECTIONS: Final = ("switches", "guests")
MOST_FILES: Final = 100
MOST_LINKS: Final = 4096
_RANGE: Final = re.compile(r"\[[0-9]+-[0-9]+\]")
_PATHS: Final = ("kernel", "initrd", "image")
"""Options of a virtual machine that are relative to the file they stand in."""


def assemble(path: Path) -> Document:
    """The whole topology of a file. Raises ConfigError where it cannot be read; other mistakes are in the document."""
    return expand(_Files().read(path, main=True))


class _Files:
    """What was read so far."""

    def __init__(self) -> None:
        self._seen: set[Path] = set()

    def read(self, path: Path, *, main: bool = False) -> Document:
        self._seen.add(path.resolve())
        document = yaml.load(config.read_text(path))
        file = "" if main else str(path)
        document = Document(
            document.data,
            {where: mark._replace(file=file) for where, mark in document.marks.items()},
            [mistake._replace(mark=mistake.mark._replace(file=file)) for mistake in document.mistakes],
        )
        if not isinstance(document.data, dict):
            if not main and not document.mistakes:
                document.mistakes.append(Mistake(document.mark(()), (), "an included file is a mapping"))
            return document
        _anchor_paths(document.data, path.parent)
        anchor(document.data, path.parent)
        return self._include(document, path.parent)

    def _include(self, document: Document, folder: Path) -> Document:
        names = document.data.pop("include", None)
        several = names if isinstance(names, list) else [] if names is None else [names]
        for index, name in enumerate(several):
            where: yaml.Path = ("include", index) if isinstance(names, list) else ("include",)
            mark = document.mark(where)
            path = _found(folder, name)
            if path is None:
                document.mistakes.append(Mistake(mark, where, f"{shown(name)} is no file name"))
            elif path.resolve() in self._seen or len(self._seen) >= MOST_FILES:
                document.mistakes.append(Mistake(mark, where, f"{name} is included already"))
            else:
                try:
                    part = self.read(path)
                except config.ConfigError as error:
                    document.mistakes.append(Mistake(mark, where, error.problems[0].message))
                    continue
                document = _join(document, part)
        return document


def _anchor_paths(data: dict[str, Any], folder: Path) -> None:
    """Paths of virtual machines as absolute ones."""
    guests = data.get("guests")
    for guest in guests.values() if isinstance(guests, dict) else ():
        machine = guest.get("qemu") if isinstance(guest, dict) else None
        if isinstance(machine, dict):
            for key in _PATHS:
                if (path := _found(folder, machine.get(key))) is not None:
                    machine[key] = str(path.resolve())


def _found(folder: Path, name: object) -> Path | None:
    """Where a file is that goes by this name; None where no file can."""
    with suppress(ValueError, RuntimeError):  # what no path can have, and links that lead round in a circle
        if isinstance(name, str) and name:
            (folder / name).resolve()
            return folder / name
    return None


def _join(whole: Document, part: Document) -> Document:
    """Switches, guests and links of an included file beside those that are there."""
    data, marks, mistakes = dict(whole.data), dict(whole.marks), [*whole.mistakes, *part.mistakes]
    if not isinstance(part.data, dict):
        return Document(data, marks, mistakes)
    places = by_member(part.marks)
    for key, value in part.data.items():
        if key in SECTIONS and isinstance(value, dict) and isinstance(data.get(key) or {}, dict):
            there = data[key] = dict(data.get(key) or {})
            for name, options in value.items():
                if name in there:
                    mark = whole.mark((key, name))
                    first = f"{mark.file or 'the file that includes this one'}:{mark.line}"
                    mistakes.append(Mistake(part.mark((key, name)), (key, name), f"it stands in {first} already"))
                    continue
                there[name] = options
                marks |= _at((key, name), places.get((key, name), {}))
        elif key == "links" and isinstance(value, list) and isinstance(data.get(key) or [], list):
            links = data[key] = list(data.get(key) or [])
            for index, link in enumerate(value):
                marks |= _at((key, len(links)), places.get((key, index), {}))
                links.append(link)
        elif not str(key).startswith("x-"):
            mistakes.append(Mistake(part.mark((key,)), (key,), "an included file has switches, guests and links alone"))
    return Document(data, marks, mistakes)


def _at(new: yaml.Path, inside: Mapping[yaml.Path, Mark]) -> dict[yaml.Path, Mark]:
    """The marks of what is inside of something, for where it stands from now on."""
    return {(*new, *path): mark for path, mark in inside.items()}


def expand(document: Document) -> Document:
    """The document with every `count` and range spread out, and guests dealt out to ranges of switches."""
    if not isinstance(document.data, dict):
        return document
    data = {key: value for key, value in document.data.items() if not str(key).startswith("x-")}
    document = Document(data, dict(document.marks), list(document.mistakes))
    document = spread_section(_count(document, "switches"), "switches", "switch")
    document = spread_section(_deal(_count(document, "guests")), "guests", "guest")
    return _links(document)


def _count(document: Document, section: str) -> Document:
    """`h{n}: {count: 3}` as `h[1-3]: {}`."""
    members = document.data.get(section)
    if not isinstance(members, dict):
        return document
    renamed: dict[Any, Any] = {}
    marks, places = dict(document.marks), by_member(document.marks)
    for name, options in members.items():
        if not isinstance(options, dict) or "count" not in options:
            renamed[name] = options
            continue
        count = options["count"]
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PORTS:
            where = (section, name, "count")
            message = f"found {shown(count)}, expected a whole number from 1 to {MOST_PORTS}"
            document.mistakes.append(Mistake(document.mark(where), where, message))
            count = 1
        place = f"[1-{count}]"
        new = str(name).replace("{n}", place, 1) if "{n}" in str(name) else f"{name}{place}"
        renamed[new] = {key: value for key, value in options.items() if key != "count"}
        marks |= _at((section, new), places.get((section, name), {}))
    return document._replace(data={**document.data, section: renamed}, marks=marks)


def _deal(document: Document) -> Document:
    """A range of guests on a range of switches: each of them on the next switch."""
    guests = document.data.get("guests")
    if not isinstance(guests, dict):
        return document
    dealt: dict[Any, Any] = {}
    marks, places = dict(document.marks), by_member(document.marks)
    for name, options in guests.items():
        switch = options.get("switch") if isinstance(options, dict) else None
        if not isinstance(switch, str) or not _RANGE.search(switch):
            dealt[name] = options
            continue
        try:
            members, switches = list(members_of(name, MOST_PORTS)), list(members_of(switch, MOST_PORTS))
            afford(options, len(members))
        except ValueError as error:
            where: yaml.Path = ("guests", name, "switch")
            document.mistakes.append(Mistake(document.mark(where), where, str(error)))
            continue
        for turn, (member, number) in enumerate(members):
            if member in dealt or (number and member in guests):
                where = ("guests", name)
                document.mistakes.append(Mistake(document.mark(where), where, f"there is a guest {member} already"))
                continue
            own = numbered(options, number) if number else options
            dealt[member] = {**own, "switch": switches[turn % len(switches)][0]}
            marks |= _at(("guests", member), places.get(("guests", name), {}))
    return document._replace(data={**document.data, "guests": dealt}, marks=marks)


def _links(document: Document) -> Document:
    """Each link as {ends: [{node: …}, {node: …}]}."""
    links = document.data.get("links")
    if not isinstance(links, list):
        return document
    spread: list[Any] = []
    marks = {path: mark for path, mark in document.marks.items() if path[:1] != ("links",)}
    places = by_member(document.marks)
    for index, link in enumerate(links):
        path: yaml.Path = ("links", index)
        try:
            copies = list(_copies(link))
        except ValueError as error:
            document.mistakes.append(Mistake(document.mark(path), path, str(error)))
            continue
        if len(spread) + len(copies) > MOST_LINKS:
            document.mistakes.append(Mistake(document.mark(path), path, f"a lab has {MOST_LINKS} links at most"))
            break
        inside = places.get(path, {})
        for ends in copies:
            new: yaml.Path = ("links", len(spread))
            if isinstance(link, dict):
                marks |= _at(new, inside)
            else:
                marks |= _at((*new, "ends"), inside) | {new: document.mark(path)}
            spread.append({"ends": ends})
    return document._replace(data={**document.data, "links": spread}, marks=marks)


def _copies(link: Any) -> Iterator[list[Any]]:
    """The ends of each link that one line stands for. Raises ValueError."""
    ends, count, options = link, None, {}
    if isinstance(link, dict):
        ends, count = link.get("ends"), link.get("count")
        options = {key: value for key, value in link.items() if key not in ("ends", "count")}
        if unknown := [key for key in options if key not in WireOptions.model_fields]:
            near = get_close_matches(str(unknown[0])[:100], ["ends", "count", *WireOptions.model_fields], 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else "a link has ends, count, and options of the end named first"
            raise ValueError(f"unknown key {shown(unknown[0])}; {hint}")
    if not isinstance(ends, list) or len(ends) != 2 or not all(isinstance(end, (str, dict)) for end in ends):
        raise ValueError("a link has two ends, such as [s1, s2] or [h1:eth0, {node: s1, access: 10}]")
    pair = [{"node": end} if isinstance(end, str) else end for end in ends]
    if clash := [key for key in options if key in pair[0]]:
        raise ValueError(f"{clash[0]} stands at its first end too: leave one of them out")
    pair[0] = {**pair[0], **options}
    if count is not None:
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_LINKS:
            raise ValueError(f"count: found {shown(count)}, expected a whole number from 1 to {MOST_LINKS}")
        afford(pair, count)
        yield from (numbered(pair, str(number)) for number in range(1, count + 1))
        return
    names = [list(members_of(end.get("node"), MOST_LINKS)) for end in pair]
    many = max(map(len, names))
    afford(pair, many)
    if any(len(each) not in (1, many) for each in names):
        raise ValueError(f"the ranges of both ends have {len(names[0])} and {len(names[1])} members")
    for turn in range(many):
        chosen = [each[turn % len(each)] for each in names]
        number = next((number for _, number in chosen if number), "")
        yield [{**(numbered(end, number) if number else end), "node": name}
               for end, (name, _) in zip(pair, chosen, strict=True)]  # fmt: skip
