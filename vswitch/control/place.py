"""Where running switches are found: their control sockets."""

from __future__ import annotations

import os
from pathlib import Path


def runtime_directory() -> Path:
    """`/run/vswitch` for root; for a user the `vswitch` folder of XDG_RUNTIME_DIR, or of /tmp where that is not set."""
    if os.geteuid() == 0:
        return Path("/run/vswitch")
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base, "vswitch")
    return Path(f"/tmp/vswitch-{os.getuid()}")  # noqa: S108


def control_socket(name: str) -> Path:
    """The control socket of the switch of this name, where its configuration names no other."""
    return runtime_directory() / f"{name}.sock"


LAB_LOG = "log"
"""In the folder of a lab: what one in the background says."""


def lab_directory(name: str) -> Path:
    """Where a lab of this name has its socket, its log files and what else it needs while it runs."""
    return runtime_directory() / "labs" / name
