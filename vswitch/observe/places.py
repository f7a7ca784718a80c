"""Every network namespace of the host that can be found: by a name, by a process in it, by a held TAP in it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vswitch.ports import netns
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

THIS = "this"
UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace. name: `this` for our own, that of `ip netns`, `pid:4242` for a process in it, or `unnamed`."""

    inode: int
    name: str


@dataclass(frozen=True, slots=True)
class Door:
    """A namespace, and the file to enter it by."""

    place: Place
    path: Path

    @classmethod
    def held(cls, namespace: netns.Namespace) -> Door:
        """A namespace that a descriptor of ours holds open, with neither name nor process."""
        return cls(Place(namespace.inode, UNNAMED), Path(f"/proc/self/fd/{namespace.fd}"))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Run a block of this thread there. Raises PortError where that is not permitted, or it is gone."""
        namespace = netns.find(str(self.path))
        if namespace is None or namespace.inode != self.place.inode:
            if namespace is not None:
                namespace.close()
            raise PortError(f"the namespace {self.place.name} is gone")
        try:
            with netns.inside(namespace):
                yield
        finally:
            namespace.close()


def doors(processes: Mapping[int, int]) -> dict[int, Door]:
    """Each namespace once by its inode number, ours first, then those with a name, then those with processes.

    processes: a process by the inode number of its namespace.
    """
    here = Path("/proc/thread-self/ns/net")
    found = {here.stat().st_ino: Door(Place(here.stat().st_ino, THIS), here)}
    for name, inode in _named():
        found.setdefault(inode, Door(Place(inode, name), netns.NAMED / name))
    for inode, pid in processes.items():
        found.setdefault(inode, Door(Place(inode, f"pid:{pid}"), Path(f"/proc/{pid}/ns/net")))
    return found


def _named() -> Iterator[tuple[str, int]]:
    try:
        names = sorted(path.name for path in netns.NAMED.iterdir())
    except OSError:
        return
    for name in names:
        try:
            namespace = netns.find(name)
        except PortError:
            continue
        if namespace is not None:
            yield name, namespace.inode
            namespace.close()
