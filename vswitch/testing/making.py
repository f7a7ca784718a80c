"""The lab of a test: from what its marker says, and cleared up after, also after a run that was killed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vswitch.control.place import lab_directory
from vswitch.lab.place import PlaceError
from vswitch.lab.python import PREFIX, Lab, unique_name
from vswitch.lab.runner import clear

if TYPE_CHECKING:
    from collections.abc import Sequence


def make(said: Any, folders: Sequence[Path]) -> Lab:
    """A lab with a name of its own. said: a file (sought in these folders), YAML, a mapping, or None for an empty one.

    Raises ConfigError.
    """
    if said is None:
        return Lab()
    if isinstance(said, Mapping):
        return Lab.from_dict(said, name=unique_name())
    if isinstance(said, Path) or (isinstance(said, str) and re.fullmatch(r"[^\n]+\.ya?ml", said)):
        places = [folder / said for folder in folders]
        return Lab.from_file(next((place for place in places if place.exists()), places[0]), name=unique_name())
    if isinstance(said, str):
        return Lab.from_yaml(said, name=unique_name())
    raise TypeError(f"a lab is a file, YAML or a mapping, not {said!r}")


def sweep() -> None:
    """Clear up after processes that were killed."""
    for folder in lab_directory("any").parent.glob(f"{PREFIX}*x*"):
        found = re.fullmatch(rf"{PREFIX}(\d+)x\d+", folder.name)
        if found and not Path("/proc", found[1]).exists():
            with suppress(PlaceError, OSError):  # another process does it at the moment
                clear(folder.name)
