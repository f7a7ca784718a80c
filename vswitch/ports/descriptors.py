"""Open descriptors by name: those systemd passed (sd_listen_fds(3)), and those handed over while the switch runs.

What was handed over is given to systemd's store for safekeeping, if it has one for this service (sd_pid_notify_with_fds
(3)), so that it is there again after a restart.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from vswitch import systemd

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST: Final = 3  # SD_LISTEN_FDS_START


class Descriptors:
    """Names, each for one open descriptor that is the store's own."""

    def __init__(self, passed: Mapping[str, int] | None = None) -> None:
        """passed: those there are already."""
        self._known = dict(passed or {})

    @classmethod
    def of_systemd(cls) -> Descriptors:
        """Those that systemd passed to this process by LISTEN_FDS; one whose name is taken is left alone."""
        known: dict[str, int] = {}
        if os.environ.get("LISTEN_PID") == str(os.getpid()):
            count = int(os.environ.get("LISTEN_FDS", "0"))
            names = os.environ.get("LISTEN_FDNAMES", "").split(":")
            for fd, name in zip(range(_FIRST, _FIRST + count), names, strict=False):
                os.set_inheritable(fd, False)
                known.setdefault(name, fd)
        return cls(known)

    def get(self, name: str) -> int | None:
        """The descriptor of this name; None where there is none yet."""
        return self._known.get(name)

    def put(self, name: str, fd: int) -> None:
        """Keep a descriptor, in place of the one that had its name."""
        self.drop(name)
        self._known[name] = fd
        if ":" not in name:  # which the list of names is divided by
            systemd.notify(f"FDSTORE=1\nFDNAME={name}", (fd,))

    def drop(self, name: str) -> None:
        """Close the descriptor of this name, if there is one."""
        fd = self._known.pop(name, None)
        if fd is not None:
            os.close(fd)
            systemd.notify(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def close(self) -> None:
        """Close them all; systemd's copies stay."""
        while self._known:
            os.close(self._known.popitem()[1])
