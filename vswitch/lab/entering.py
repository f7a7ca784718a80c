"""Living in a guest: its network, and names of its own for the machine and for the other guests.

Whoever enters has a mount namespace of its own, so that /etc/hosts there is the lab's; see mount_namespaces(7).
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vswitch.lab.rootless import CLONE_NEWNS, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC, mount, unshare
from vswitch.ports import netns
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_CLONE_NEWUTS: Final = 0x0400_0000  # <linux/sched.h>
_MS_SLAVE: Final = 1 << 19  # <linux/mount.h>


@dataclass(frozen=True)
class Quarters:
    """Where a guest lives. hosts: the file that is /etc/hosts there."""

    guest: str
    netns: str
    hosts: Path

    def enter(self) -> None:
        """Move this thread there for good. Raises PortError."""
        namespace = netns.find(self.netns)
        if namespace is None:
            raise PortError(f"there is no namespace {self.netns}: the guest {self.guest} is gone")
        try:
            netns.enter(namespace)
            unshare(CLONE_NEWNS | _CLONE_NEWUTS)
            mount("none", "/", None, MS_REC | _MS_SLAVE)  # what the host mounts goes on to be seen, not the reverse
            with suppress(FileNotFoundError):  # a machine without that file resolves no names by it
                mount(str(self.hosts), "/etc/hosts", None, MS_BIND)
            socket.sethostname(self.guest)
        except OSError as error:
            raise PortError(f"cannot enter the guest {self.guest}: {error.strerror}; run as root") from error
        finally:
            namespace.close()
        with suppress(OSError):  # /sys/class/net of the guest, where the machine permits it, as `ip netns exec` has it
            mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def spawn(
    quarters: Quarters, command: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a program there, a session of its own, what it says at the end of `log`. Raises PortError or OSError."""
    made: list[subprocess.Popen[bytes] | Exception] = []

    def work() -> None:
        try:
            quarters.enter()
            with log.open("ab") as out:
                made.append(
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                        env={**os.environ, **environment},
                    )
                )  # fmt: skip
        except Exception as error:
            made.append(error)

    thread = threading.Thread(target=work)  # it ends, and with it its namespaces
    thread.start()
    thread.join()
    if isinstance(made[0], Exception):
        raise made[0]
    return made[0]


def become(quarters: Quarters, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Turn this process, which has one thread, into a program there. Raises PortError or OSError."""
    quarters.enter()
    os.execvpe(command[0], list(command), {**os.environ, **environment})  # noqa: S606


def inhabitants(namespaces: set[int]) -> list[int]:
    """Processes that live in network namespaces of these inode numbers, this one never."""
    found: list[int] = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if os.stat(f"/proc/{entry.name}/ns/net").st_ino in namespaces:  # noqa: PTH116
                    found.append(int(entry.name))
    return found
