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
