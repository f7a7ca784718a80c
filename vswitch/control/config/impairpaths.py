"""Files that an impairment names are relative to the file that it stands in, or to where a command is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

_FILES: Final = ("trace", "replay")
_PERHAPS: Final = "distribution"
"""A word, or the path of a file."""


def anchored(direction: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What is said of a direction, with absolute paths."""
    return {key: str((folder / value).absolute()) if _names_file(key, value) else value
            for key, value in direction.items()}  # fmt: skip


def anchor(data: object, folder: Path) -> None:
    """The same of every `impair:` in data that YAML gave, in place."""
    seen: set[int] = set()  # what an anchor of YAML stands for is one object, wherever it stands
    waiting = [data]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or not isinstance(part, (dict, list)):
            continue
        seen.add(id(part))
        waiting += part if isinstance(part, list) else part.values()
        impair: object = part.get("impair") if isinstance(part, dict) else None
        if isinstance(impair, dict):
            impair |= {key: anchored(each, folder) for key, each in impair.items() if isinstance(each, dict)}


def _names_file(key: object, value: object) -> bool:
    if not isinstance(value, str) or not value or not value.isprintable():
        return False
    return key in _FILES or (key == _PERHAPS and "/" in value)
