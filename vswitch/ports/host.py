"""What the ports of a switch, or of a lab, share: descriptors by name, and namespaces that it made, known on disk.

The ledger is written before a namespace has its name. After a kill -9 the next start of the switch takes what it
still needs of them over, guests and all, and removes the rest. A namespace whose cookie is not the one written down is
somebody else's, and is left alone; so is all that a killed run made where the kernel (before 5.14) gives no cookies.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from vswitch.ports import netns
from vswitch.ports.base import PortError
from vswitch.ports.descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.ports.netns import Namespace


class Closing(Protocol):
    """What has an end."""

    def close(self) -> None:
        """That is it."""


Shared = TypeVar("Shared", bound=Closing)


class Host:
    """Namespaces in use, made where they were missing and removed when the last port leaves them.

    Several threads may open and close ports at once: a TAP takes the kernel some 20 ms to remove, most of it waiting.
    """

    def __init__(self, ledger: Path | None = None, descriptors: Descriptors | None = None) -> None:
        """ledger: the file that remembers what was made; None remembers nothing.  descriptors: those it was passed."""
        self.descriptors = descriptors or Descriptors()
        self._ledger = ledger
        self._shared: dict[object, tuple[Closing, int]] = {}
        self._held: dict[str, tuple[Namespace, int]] = {}
        self._made = self._read()
        self._lock = threading.RLock()

    def namespace(self, name: str) -> Namespace:
        """The namespace of this name, made if it is missing; to be released. Raises PortError."""
        with self._lock:
            namespace, users = self._held.get(name) or (self._find_or_make(name), 0)
            self._held[name] = (namespace, users + 1)
            return namespace

    def is_made(self, name: str) -> bool:
        """Whether this host made the namespace that is held under this name."""
        return name in self._made

    def release(self, name: str) -> None:
        """One port needs it no longer."""
        with self._lock:
            namespace, users = self._held.pop(name)
            if users > 1:
                self._held[name] = (namespace, users - 1)
                return
            if name in self._made:
                self._remove(name, namespace)
            namespace.close()

    def share(self, key: object, make: Callable[[], Shared]) -> Shared:
        """What ports have in common, made by the first and closed with the last; to be unshared."""
        with self._lock:
            shared, users = self._shared.get(key) or (make(), 0)
            self._shared[key] = (shared, users + 1)
            return cast("Shared", shared)

    def unshare(self, key: object) -> None:
        """One port needs it no longer."""
        with self._lock:
            shared, users = self._shared.pop(key)
            if users > 1:
                self._shared[key] = (shared, users - 1)
            else:
                shared.close()

    def left(self) -> dict[str, int]:
        """What a run that was killed left and nobody took over: names, and inode numbers, of namespaces."""
        inodes: dict[str, int] = {}
        for name in self._made:
            namespace = None if name in self._held else netns.find(name)
            if namespace is not None:
                if self._is_made(name, namespace):
                    inodes[name] = namespace.inode
                namespace.close()
        return inodes

    def settle(self) -> None:
        """Remove what a run that was killed left and nobody took over."""
        for name in [name for name in self._made if name not in self._held]:
            self._remove(name)

    def _find_or_make(self, name: str) -> Namespace:
        namespace = netns.find(name)
        if namespace is not None:
            if name in self._made and not self._is_made(name, namespace):
                self._forget(name)
            return namespace
        if "/" in name or name.startswith("pid:"):
            raise PortError(f"there is no namespace {name}")

        def announce(cookie: int) -> None:
            self._made[name] = cookie
            self._write()

        try:
            return netns.make(name, announce)
        except PortError:
            self._forget(name)
            raise

    def _remove(self, name: str, held: Namespace | None = None) -> None:
        """While a namespace is held open nobody else can get its inode number."""
        namespace = netns.find(name)
        if namespace is not None:
            if namespace == held or self._is_made(name, namespace):
                netns.remove(name)
            namespace.close()
        self._forget(name)

    def _is_made(self, name: str, namespace: Namespace) -> bool:
        """Whether it is the very one that was made under this name."""
        try:
            return self._made[name] == netns.cookie(namespace) != 0
        except PortError:
            return False

    def _forget(self, name: str) -> None:
        if self._made.pop(name, None) is not None:
            self._write()

    def _read(self) -> dict[str, int]:
        """What an earlier run of this boot left: names and cookies."""
        try:
            left = json.loads(self._ledger.read_text()) if self._ledger else {}
            if left.get("boot") != _boot():
                return {}
            return {str(name): int(cookie) for name, cookie in left["namespaces"].items()}
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
        draft.write_text(json.dumps({"boot": _boot(), "namespaces": self._made}))
        draft.replace(self._ledger)


def _boot() -> str:
    """Cookies begin anew with every boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
