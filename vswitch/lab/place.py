"""What a lab has on the disk while it runs, and how it all goes: also what a run that was killed left.

A folder holds its socket, its lock, its ledger of namespaces, the names of its switches' sockets, logs and /etc/hosts.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vswitch.control.place import LAB_LOG, lab_directory, make_folder
from vswitch.lab.entering import inhabitants
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ETC: Final = Path("/etc/netns")
"""Where `ip netns exec` looks for files of a namespace (ip-netns(8))."""

GRACE: Final = 1.0
"""Seconds that a process has between SIGTERM and SIGKILL."""

SPARE: Final = 512
"""Descriptors that a process has for all else."""

_LOCALHOST: Final = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


class PlaceError(Exception):
    """The lab cannot be here: one sentence."""


class Place:
    """The folder of one lab: `take` it, and `leave` it."""

    def __init__(self, name: str) -> None:
        """Of the lab of this name; nothing is done yet."""
        self.name = name
        self.folder = lab_directory(name)
        self.control = self.folder / "control.sock"
        self.hosts = self.folder / "hosts"
        self._sockets = self.folder / "sockets"
        self._lock = -1

    @property
    def ledger(self) -> Path:
        """Where the host remembers namespaces."""
        return self.folder / "ledger"

    def log(self, guest: str) -> Path:
        """What the commands of a guest say."""
        return self.folder / f"{guest}.log"

    def take(self) -> bool:
        """Have the folder, cleared of what a run that was killed left; whether there was any. Raises PlaceError."""
        try:
            make_folder(self.folder)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PlaceError(f"cannot write to {self.folder}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PlaceError(f"the lab {self.name} runs already; `vswitch lab down {self.name}` ends it") from None
        self._lock = lock
        return self._clear()

    def leave(self) -> None:
        """Remove the folder, and those around it that are empty."""
        for link in self._links():
            _unlink(link)
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.folder.parent, self.folder.parent.parent):
            with suppress(OSError):
                folder.rmdir()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def note_sockets(self, paths: Iterable[Path]) -> None:
        """Remember where the switches have their sockets."""
        self._sockets.write_text(json.dumps([str(path) for path in paths]))

    def write_hosts(self, guests: Mapping[str, Sequence[str]], namespaces: Iterable[str]) -> None:
        """Write the names of all guests, in place since it is mounted; `ip netns exec` has it too where that can be."""
        lines = (f"{address} {name}\n" for name, addresses in guests.items() for address in addresses)
        self.hosts.write_text(_LOCALHOST + "".join(lines))
        wanted = {ETC / name / "hosts" for name in namespaces}
        for link in set(self._links()) - wanted:
            _unlink(link)
        for link in wanted:
            with suppress(OSError):  # somebody's own file, or a folder that may not be written to
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(self.hosts)

    def _links(self) -> list[Path]:
        with suppress(OSError):
            return [link for link in ETC.glob("*/hosts") if link.is_symlink() and link.readlink() == self.hosts]
        return []

    def _clear(self) -> bool:
        """End and remove what was left: processes, namespaces, sockets, files."""
        left = set(self.folder.iterdir()) - {self.folder / "lock", self.folder / LAB_LOG}
        host = Host(self.ledger)
        end(inhabitants(set(host.left().values())))
        host.settle()
        with suppress(OSError, ValueError, TypeError):
            for path in map(Path, json.loads(self._sockets.read_text())):
                if _is_free(path.with_suffix(".lock")):
                    path.unlink(missing_ok=True)
                    path.with_suffix(".lock").unlink(missing_ok=True)
        for link in self._links():
            _unlink(link)
        for path in left:
            path.unlink(missing_ok=True)
        return bool(left)


def make_room(descriptors: int) -> None:
    """Have this process open so many descriptors more, as far as it may: the usual limit is 1024 (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def end(pids: Iterable[int]) -> None:
    """End processes, gently first. It may take GRACE seconds."""
    left: list[int] = []
    for pid in pids:
        with suppress(OSError):
            left.append(os.pidfd_open(pid))
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        for fd in left:
            with suppress(OSError):
                signal.pidfd_send_signal(fd, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            left = [fd for fd in left if not _ended(fd)]
            if left:
                time.sleep(0.01)
    for fd in left:
        os.close(fd)


def _ended(fd: int) -> bool:
    """Whether the process of this descriptor is gone, which is then closed; a zombie is."""
    import select

    if not select.select([fd], [], [], 0)[0]:
        return False
    os.close(fd)
    return True


def _is_free(lock: Path) -> bool:
    """Whether nobody holds this lock."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _unlink(link: Path) -> None:
    with suppress(OSError):
        link.unlink()
    with suppress(OSError):
        link.parent.rmdir()
    with suppress(OSError):
        link.parent.parent.rmdir()
