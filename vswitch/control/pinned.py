"""Static entries of a kernel bridge that is taken over: they lead to the switch's TAP meanwhile, as its stations do.

With the TAP the bridge loses them, so they are known on disk until they lead to its ports again: in one file a bridge,
locked for as long as its switch lives. What a switch left that was killed, the next start or `vswitch release` applies.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from vswitch.control.place import make_folder, runtime_directory
from vswitch.ports import kernel_bridge
from vswitch.ports.base import PortError
from vswitch.ports.kernel_bridge import Pin

if TYPE_CHECKING:
    from pathlib import Path

    from vswitch.ports.kernel_bridge import KernelBridge

SUFFIX: Final = ".pins"


class Pinned:
    """The static entries of one bridge, from when they lead to the TAP until they are given back."""

    def __init__(self, switch: str, bridge: KernelBridge, namespace: str | None, tap: str) -> None:
        """switch: its name.  tap: the port of the bridge that is the switch's. Raises PortError. May block."""
        self._place = bridge.name, namespace
        self._pins = bridge.pins
        self._path: Path | None = None
        if not self._pins:
            return
        try:
            self._note(runtime_directory() / f"{switch}.{bridge.name}{SUFFIX}")
        except OSError as error:
            raise PortError(f"cannot write down the static entries of {bridge.name}: {error}") from error
        try:
            kernel_bridge.pin(*self._place, [pin._replace(member=tap) for pin in self._pins])
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """They lead to the bridge's ports again. May block."""
        if self._path is not None:
            _apply(*self._place, self._pins)
            self._path.unlink(missing_ok=True)
            os.close(self._lock)
            self._path = None

    def _note(self, path: Path) -> None:
        """Nobody finds the file before it is whole and locked."""
        make_folder(path.parent)
        draft = path.with_name(f"{path.name}.draft")
        self._lock = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            draft.write_text(json.dumps([*self._place, self._pins]))
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            os.close(self._lock)
            raise
        self._path = path


def give_back_left() -> list[str]:
    """Give back what switches had that were killed; the names of the bridges. May block."""
    given = []
    for path in sorted(runtime_directory().glob(f"*{SUFFIX}")):
        with suppress(OSError, ValueError, TypeError), path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            bridge, namespace, pins = json.load(file)
            path.unlink()
            _apply(bridge, namespace, tuple(Pin(*pin) for pin in pins))
            given.append(bridge)
    return given


def _apply(bridge: str, namespace: str | None, pins: tuple[Pin, ...]) -> None:
    with suppress(PortError, OSError):  # the bridge may be gone
        kernel_bridge.pin(bridge, namespace, pins)
