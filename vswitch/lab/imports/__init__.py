"""Topologies of other tools, as far as they map onto this one's, and a list of what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.lab.imports import containerlab, miniedit, mininet
from vswitch.lab.imports.draft import Draft, ForeignError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMATS: Final[dict[str, Callable[[Path, str | None], Draft]]] = {
    "containerlab": containerlab.read,
    "mininet": mininet.read,
    "miniedit": miniedit.read,
}

_BY_ENDING: Final = {".py": "mininet", ".mn": "miniedit"}


def read(path: Path, form: str | None = None, which: str | None = None) -> Draft:
    """The topology in a file of another tool. Raises ForeignError.

    form: one of FORMATS; by default as the file's name says.  which: of several topologies in it, this one.
    """
    name = form or _BY_ENDING.get(path.suffix, "containerlab")
    if name not in FORMATS:
        raise ForeignError(f"there is no format {name!r}; the formats are {', '.join(FORMATS)}")
    return FORMATS[name](path, which)


__all__ = ["FORMATS", "Draft", "ForeignError", "read"]
