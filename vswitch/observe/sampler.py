"""A few of the frames at a port: as many as there is room for, and how many more there were."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vswitch.core import offload
from vswitch.core.offload import HEADER, Capability

if TYPE_CHECKING:
    from vswitch.core.offload import Buffer
    from vswitch.observers import Sight


class Sampler:
    """An observer of one port. Whoever reads sets `room` again and again, and takes what came.

    lost: frames for which there was no room.
    """

    drops_only = False

    def __init__(self, port: str) -> None:
        """No room yet."""
        self._port = port
        self._rows: list[dict[str, Any]] = []
        self.room = 0
        self.lost = 0

    def wants(self, port: str) -> bool:
        """This one alone."""
        return port == self._port

    def see(self, sight: Sight) -> None:
        """Keep it, if there is room."""
        if not self.room:
            self.lost += 1
            return
        self.room -= 1
        self._rows.append(
            {
                "at": sight.time / 1e9,
                "port": self._port,
                "direction": "out" if sight.leaves else "in",
                "vlan": sight.mark.vid or None,
                "length": max(0, len(sight.raw) - HEADER),
                "reason": sight.reason,
                "frame": _first(sight.raw).hex(),
            }
        )

    def take(self) -> list[dict[str, Any]]:
        """What came, each frame as hexadecimal: of a superframe the first segment, checksums complete."""
        rows, self._rows = self._rows, []
        return rows


def _first(raw: Buffer) -> bytes:
    if len(raw) >= HEADER + 14:
        with suppress(offload.OffloadError):
            return bytes(offload.lower(raw, Capability.NONE)[0][HEADER:])
    return bytes(raw[HEADER:])
