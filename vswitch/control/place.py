"""Where running switches are found: their control sockets."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path


def runtime_directory() -> Path:
    """`/run/vswitch` for root; for a user the `vswitch` folder of XDG_RUNTIME_DIR, or of /tmp where that is not set."""
    if os.geteuid() == 0:
        return Path("/run/vswitch")
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base, "vswitch")
    return Path(f"/tmp/vswitch-{os.getuid()}")  # noqa: S108


def is_ours(path: Path) -> bool:
    """Whether a folder is there by the will of this user or the administrator: in /tmp anybody may have been first.

    `/run/vswitch` may well belong to a service's user, or to root where the switch is none.
    """
    try:
        found, around = path.lstat(), path.parent.stat()
    except OSError:
        return False
    if not around.st_mode & stat.S_IWOTH:
        return path.is_dir()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def make_folder(path: Path) -> None:
    """Make a folder where it is missing. Raises OSError, too where the runtime directory around it is not ours."""
    runtime = runtime_directory()
    if path.is_relative_to(runtime):
        with suppress(FileExistsError):
            runtime.mkdir(parents=True, mode=0o755)
        if not is_ours(runtime):
            raise PermissionError(errno.EPERM, f"{runtime} belongs to another user; set XDG_RUNTIME_DIR")
    path.mkdir(parents=True, exist_ok=True, mode=0o755)


def control_socket(name: str) -> Path:
    """The control socket of the switch of this name, where its configuration names no other."""
    return runtime_directory() / f"{name}.sock"


LAB_LOG = "log"
"""In the folder of a lab: what one in the background says."""


def lab_directory(name: str) -> Path:
    """Where a lab of this name has its socket, its log files and what else it needs while it runs."""
    return runtime_directory() / "labs" / name
