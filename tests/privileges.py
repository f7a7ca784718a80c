"""What a test may do on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

EVERY_USER = ["0", "0", "4294967295"]  # uid_map of a namespace that knows them all: user_namespaces(7)

takes_root = pytest.mark.skipif(
    os.geteuid() != 0 or Path("/proc/self/uid_map").read_text().split() != EVERY_USER,
    reason="takes root, and not that of a user namespace",
)
