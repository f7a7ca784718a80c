"""Topologies of MiniEdit (`*.mn`), Mininet's editor: JSON with hosts, switches and links."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vswitch.lab.imports.draft import Draft, ForeignError
from vswitch.lab.imports.graph import BASE, UNFIT, draw

if TYPE_CHECKING:
    from pathlib import Path

_ROUTER = "legacyRouter"


def read(path: Path, _which: str | None = None) -> Draft:
    """The topology in a file. Raises ForeignError."""
    try:
        data = json.loads(path.read_bytes())
        hosts = [(_options(each)["hostname"], _options(each)) for each in data["hosts"]]
        switches = [(_options(each)["hostname"], _options(each)) for each in data["switches"]]
        links = [(str(each["src"]), str(each["dest"]), _options(each)) for each in data["links"]]
        base = data.get("application", {}).get("ipBase") or BASE
        routers = [name for name, options in switches if options.get("switchType") == _ROUTER]
        draft = draw(
            path.stem, [*hosts, *[(name, {}) for name in routers]],
            [each for each in switches if each[0] not in routers], links, base,
        )  # fmt: skip
    except OSError as error:
        raise ForeignError(f"cannot read {path}: {error.strerror}") from error
    except (*UNFIT, KeyError, RecursionError) as error:
        raise ForeignError(f"{path} is no topology of MiniEdit: {type(error).__name__}: {error}") from error
    for name in routers:
        draft.guests[name]["sysctls"] = {"net.ipv4.ip_forward": 1}
    return draft


def _options(part: dict[str, Any]) -> dict[str, Any]:
    return dict(part["opts"])
