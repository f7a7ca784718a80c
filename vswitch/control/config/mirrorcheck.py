"""What is wrong with the mirrors of a configuration that only the whole of it shows."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.control.config.yaml import Path


def check_mirrors(data: dict[str, Any], ports: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Mistakes with their places. It works on raw data, so that it speaks though something else is wrong too."""
    mirrors = data.get("mirrors")
    if not isinstance(mirrors, dict):
        return
    known = {name: mirror for name, mirror in mirrors.items() if isinstance(mirror, dict)}
    destinations = {mirror["to"]: name for name, mirror in known.items() if isinstance(mirror.get("to"), str)}
    for name, mirror in known.items():
        path: Path = ("mirrors", name)
        to = mirror.get("to")
        if isinstance(to, str) and to not in ports:
            yield (*path, "to"), no_port(to, ports)
        for place, port in _watched(mirror):
            if port not in ports:
                yield (*path, *place), no_port(port, ports)
            elif port in destinations:
                yield (*path, *place), f"port {port} is where mirror {destinations[port]} sends to: watch another one"
        if mirror.get("vlans") is not None and not _filters(data, ports):
            yield (*path, "vlans"), "VLAN filtering is off here, so there are no VLANs to watch: name `ports` alone"


def _watched(mirror: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Ports, each with its place."""
    ports = mirror.get("ports")
    if isinstance(ports, str):
        yield ("ports",), ports
    for index, port in enumerate(ports if isinstance(ports, list) else ()):
        if isinstance(port, str):
            yield ("ports", index), port


def _filters(data: dict[str, Any], ports: dict[str, Any]) -> bool:
    """Whether VLANs count; also where what is said of that is wrong."""
    said = data.get("vlan_filtering")
    if said is not None:
        return said is not False
    return any(
        port.get(key) is not None
        for port in ports.values()
        if isinstance(port, dict)
        for key in ("access", "trunk", "native")
    )


def no_port(name: str, ports: dict[str, Any]) -> str:
    """There is none of that name: the sentence, with the one that may be meant."""
    names = [str(port) for port in ports] if len(ports) <= 100 else []  # comparing each with each takes its time
    near = difflib.get_close_matches(name[:100], names, 1, 0.5)
    return f"there is no port {name}" + (f"; did you mean {near[0]}?" if near else "")
