"""What a test that failed shows of its switches: their ports, what became of the last frames, what guests said."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rich.console import Console

from vswitch.cli import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.lab.nodes import Questions
    from vswitch.lab.python import Lab

SWITCHES: Final = 10
"""Of a lab, that are shown at most."""

FRAMES: Final = 10
"""Of a switch, that are told of."""

EXPLAINED: Final = 3
"""Of those, the last that were dropped or lost: shown rule by rule."""

LAST_WORDS: Final = 4000
"""Characters of what a guest said, at most."""

_WIDTH: Final = 160

Section = tuple[str, str]


def of_lab(lab: Lab) -> Iterator[Section]:
    """Of all of its switches and guests."""
    if not lab.is_up:
        return
    for switch in lab.switches[:SWITCHES]:
        yield from of_switch(switch, f"switch {switch.name}")
    for guest in lab.guests:
        with suppress(OSError):
            said = guest.log.read_text(errors="replace").strip()
            if said:
                yield f"guest {guest.name}: what its commands said", said[-LAST_WORDS:]


def of_switch(switch: Questions, name: str) -> Iterator[Section]:
    """As `show ports` and `explain --last` have it."""
    rows = [row.model_dump(mode="json") for row in switch.ports().values()]
    yield f"{name}: ports", _text(tables.ports(rows))
    last = switch.last(FRAMES)
    if not last:
        yield f"{name}: last frames", "no frame was decided"
        return
    became = [row.model_dump(mode="json") for row in last]
    bad = [row for row in became if (row["reason"] or row["lost"]) and row["explanation"]]
    parts = [tables.became(row) for row in became]
    explained = [
        part for row in bad[-EXPLAINED:] for part in ("", tables.became(row), tables.explanation(row["explanation"]))
    ]
    yield f"{name}: last frames", _text(*parts, *explained)


def _text(*parts: object) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=_WIDTH, highlight=False, no_color=True)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
