"""What the ports of one switch share of the host: the namespaces it made, remembered on disk.

The ledger is written before a namespace has its name. After a kill -9 the next start of the switch takes what it
still needs of them over, guests and all, and removes the rest. A namespace whose inode is not the one written down is
somebody else's, and is left alone.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from vswitch.ports import netns
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from pathlib import Path

    from vswitch.ports.netns import Namespace


class Host:
    """Namespaces in use, made where they were missing and removed when the last port leaves them."""

    def __init__(self, ledger: Path | None = None) -> None:
        """ledger: the file that remembers what was made; None remembers nothing."""
        self._ledger = ledger
        self._held: dict[str, tuple[Namespace, int]] = {}
        self._made = self._read()

    def namespace(self, name: str) -> Namespace:
        """The namespace of this name, made if it is missing; to be released. Raises PortError."""
        namespace, users = self._held.get(name) or (self._find_or_make(name), 0)
        self._held[name] = (namespace, users + 1)
        return namespace

    def release(self, name: str) -> None:
        """One port needs it no longer."""
        namespace, users = self._held.pop(name)
        if users > 1:
            self._held[name] = (namespace, users - 1)
            return
        namespace.close()
        if name in self._made:
            self._remove(name)

    def settle(self) -> None:
        """Remove what a run that was killed left and nobody took over."""
        for name in [name for name in self._made if name not in self._held]:
            self._remove(name)

    def _find_or_make(self, name: str) -> Namespace:
        namespace = netns.find(name)
        if namespace is not None:
            if self._made.get(name, namespace.inode) != namespace.inode:
                self._forget(name)
            return namespace
        if "/" in name or name.startswith("pid:"):
            raise PortError(f"there is no namespace {name}")

        def announce(inode: int) -> None:
            self._made[name] = inode
            self._write()

        try:
            return netns.make(name, announce)
        except PortError:
            self._forget(name)
            raise

    def _remove(self, name: str) -> None:
        namespace = netns.find(name)
        if namespace is not None:
            if namespace.inode == self._made[name]:
                netns.remove(name)
            namespace.close()
        self._forget(name)

    def _forget(self, name: str) -> None:
        if self._made.pop(name, None) is not None:
            self._write()

    def _read(self) -> dict[str, int]:
        """What an earlier run left: names and inodes that still go together."""
        try:
            left = json.loads(self._ledger.read_text())["namespaces"] if self._ledger else {}
            return {str(name): int(inode) for name, inode in left.items() if _inode(str(name)) == inode}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return {}

    def _write(self) -> None:
        if self._ledger is None:
            return
        if not self._made:
            self._ledger.unlink(missing_ok=True)
            return
        draft = self._ledger.with_suffix(".draft")
        draft.touch(0o600)
        draft.write_text(json.dumps({"namespaces": self._made}))
        draft.replace(self._ledger)


def _inode(name: str) -> int | None:
    try:
        return os.stat(netns.path_of(name)).st_ino  # noqa: PTH116
    except OSError:
        return None
